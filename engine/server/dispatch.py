"""Dispatch: outbox tasks to task queues and timers, and tasks to the pollers that wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import requests as rq
from ..core.errors import ServiceError
from ..core.transition import Transition
from .matching import Matching, Poll
from .timers import TimerQueue

if TYPE_CHECKING:
    from .server import Server

Reply = Callable[[object], None]
QueueKey = tuple[str, str, str]


class Dispatcher:
    """Owns the task queues and the timers of one server process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.matching = Matching(server.host.choose)
        self.timers = TimerQueue(server.host, self._timer_due)

    # --- outbox -----------------------------------------------------------------------------------------------------

    def apply_outbox(self, execution: rq.Execution, transition: Transition) -> None:
        """Do what a committed transition asks for.

        Timers first: a task may be handed to a waiting poll at once, and that transition sets timers of its own, which
        these must not replace.
        """
        for key in transition.outbox_delete:
            self.timers.remove(execution, key)
        added = transition.outbox_add
        for key, task in added.items():
            if isinstance(task, rq.TimerTask):
                self.timers.add(execution, key, task)
        for key, task in added.items():
            if not isinstance(task, rq.TimerTask):
                self.dispatch(execution, key, task)

    def dispatch(self, execution: rq.Execution, key: str, task: rq.OutboxTask) -> None:
        """Hand one outbox task on: a timer is set, a task is offered to pollers."""
        if isinstance(task, rq.TimerTask):
            self.timers.add(execution, key, task)
        elif isinstance(task, rq.WorkflowTaskReady):
            self._offer_workflow_task(execution, task)
        else:
            self._offer((execution.namespace, "activity", task.task_queue), (execution, task))

    def _offer_workflow_task(self, execution: rq.Execution, task: rq.WorkflowTaskReady) -> None:
        key = (execution.namespace, "workflow", task.task_queue)
        if task.sticky and not self.matching.sticky_available(key, self._server.host.now_us()):
            run = self._server.cache.find(execution)
            if run is None:
                return
            key = (execution.namespace, "workflow", run.state.task_queue)
        self._offer(key, (execution, task))

    def _offer(self, key: QueueKey, item: Any) -> None:
        poll = self.matching.offer(key, item)
        if poll is not None:
            self.assign(key, item, poll)

    def _timer_due(self, execution: rq.Execution, key: str, task: rq.TimerTask) -> None:
        self._server.change(rq.TimerDue(execution, task), _nobody)

    # --- polls ------------------------------------------------------------------------------------------------------

    def poll_workflow_task(self, request: rq.PollWorkflowTaskQueue, reply: Reply, source: str) -> None:
        """A worker asks for a workflow task."""
        queue = request.task_queue
        sticky = queue.kind == 2
        self._poll((request.namespace, "workflow", queue.name), Poll(request.identity, source, sticky, reply))

    def poll_activity_task(self, request: rq.PollActivityTaskQueue, reply: Reply, source: str) -> None:
        """A worker asks for an activity task."""
        key = (request.namespace, "activity", request.task_queue.name)
        self._poll(key, Poll(request.identity, source, False, reply))

    def _poll(self, key: QueueKey, poll: Poll) -> None:
        item = self.matching.poll(key, poll, self._server.host.now_us())
        if item is not None:
            self.assign(key, item, poll)

    def assign(self, key: QueueKey, item: Any, poll: Poll) -> None:
        """Start ``item`` for ``poll``; a task that is out of date is dropped and the poll asks again."""
        execution, task = item
        if isinstance(task, str):
            self._server.queries.assign(key, execution, task, poll)
            return
        request_id = self._server.host.new_id("engine.poll_id")

        def started(response: object) -> None:
            if isinstance(response, ServiceError):
                if response.status == "UNAVAILABLE":
                    self._offer(key, item)
                self._poll(key, poll)
            elif isinstance(response, rq.PollWorkflowTaskQueueResponse):
                poll.reply(self._with_history(execution, response, poll.sticky))
            else:
                poll.reply(response)

        request: Any
        if isinstance(task, rq.WorkflowTaskReady):
            request = rq.RecordWorkflowTaskStarted(
                execution, task.scheduled_event_id, task.attempt, request_id, poll.identity, poll.sticky
            )
        else:
            request = rq.RecordActivityTaskStarted(
                execution, task.scheduled_event_id, task.attempt, request_id, poll.identity
            )
        self._server.change(request, started)

    def _with_history(
        self, execution: rq.Execution, response: rq.PollWorkflowTaskQueueResponse, sticky: bool
    ) -> rq.PollWorkflowTaskQueueResponse:
        """Fill in the stored events before the transient ones that the transition gave."""
        run = self._server.cache.find(execution)
        if run is None:
            return response
        first = response.previous_started_event_id if sticky else 0
        response.events = run.events[first:] + response.events
        for query in run.queries.values():
            query.sent = True
            response.queries[query.query_id] = query.wire()
        return response


def _nobody(response: object) -> None:
    """Nobody waits for the answer to an internal request."""
