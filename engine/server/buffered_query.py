"""A query on its way through the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.requests import Execution, QueryWorkflow, WorkflowQuery
from ..host import Cancellable
from .matching import QueueKey


@dataclass(slots=True)
class BufferedQuery:
    """A query that was not answered yet.

    ``deadline`` is the timer of its last moment, ``queue`` where it was offered to workers as a task of its own (with
    ``fallback``, a timer, while that is a sticky queue), and ``sent`` says that a worker has taken it from there.
    """

    query_id: str
    execution: Execution
    request: QueryWorkflow
    reply: Callable[[object], None]
    deadline: Cancellable | None = None
    queue: QueueKey | None = None
    fallback: Cancellable | None = None
    sent: bool = False

    def wire(self) -> WorkflowQuery:
        """The query as a worker gets it."""
        return WorkflowQuery(self.request.query_type, self.request.query_args, self.request.header)

    def answer(self, value: object) -> None:
        """Answer the client, and forget the timers."""
        for timer in (self.deadline, self.fallback):
            if timer is not None:
                timer.cancel()
        self.deadline = self.fallback = None
        self.reply(value)
