"""Dispatch: outbox tasks to task queues and timers, and tasks to the pollers that wait for them.

A committed transition sets its timers at once, and puts its tasks into a line that ``drain`` works off when the request
at hand has been answered. So the start of a task, which is a transition of its own, never runs inside another one, and
a queue full of tasks that are out of date costs a loop and no recursion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import requests as rq
from ..core.enums import TaskQueueKind
from ..core.errors import ServiceError
from ..core.transition import Transition
from .matching import Matching, Poll, QueueKey
from .timers import TimerQueue

if TYPE_CHECKING:
    from .server import Server

Reply = Callable[[object], None]


class Dispatcher:
    """Owns the task queues and the timers of one server process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._line: deque[tuple[rq.Execution, rq.WorkflowTaskReady | rq.ActivityTaskReady]] = deque()
        self._draining = False
        self.matching = Matching(server.host.choose)
        self.timers = TimerQueue(server.host, self._timer_due)

    # --- outbox -----------------------------------------------------------------------------------------------------

    def apply_outbox(self, execution: rq.Execution, transition: Transition) -> None:
        """Do what a committed transition asks for."""
        for key in transition.outbox_delete:
            self.timers.remove(execution, key)
        for key, task in transition.outbox_add.items():
            if isinstance(task, rq.TimerTask):
                self.timers.add(execution, key, task)
            else:
                self._line.append((execution, task))

    def dispatch(self, execution: rq.Execution, key: str, task: rq.OutboxTask) -> None:
        """Set a timer, or put a task into the line."""
        if isinstance(task, rq.TimerTask):
            self.timers.add(execution, key, task)
        else:
            self._line.append((execution, task))

    def drain(self) -> None:
        """Offer the tasks in the line to pollers; what follows from that joins the line."""
        line = self._line
        if not line or self._draining:
            return
        self._draining = True
        while line:
            execution, task = line.popleft()
            if isinstance(task, rq.WorkflowTaskReady):
                self._offer_workflow_task(execution, task)
            else:
                self.offer((execution.namespace, "activity", task.task_queue), (execution, task))
        self._draining = False

    def _offer_workflow_task(self, execution: rq.Execution, task: rq.WorkflowTaskReady) -> None:
        key = (execution.namespace, "workflow", task.task_queue)
        if task.sticky and not self.matching.sticky_available(key, self._server.host.now_us()):
            run = self._server.cache.find(execution)
            if run is None:
                return
            key = (execution.namespace, "workflow", run.state.task_queue)
        self.offer(key, (execution, task))

    def offer(self, key: QueueKey, item: Any) -> None:
        """Hand a task to a poller, or let it wait for one."""
        poll = self.matching.offer(key, item)
        if poll is not None and not self._assign(key, item, poll):
            self._poll(key, poll)

    def _timer_due(self, execution: rq.Execution, key: str, task: rq.TimerTask) -> None:
        self._server.change(rq.TimerDue(execution, task), _nobody)
        self.drain()

    # --- polls ------------------------------------------------------------------------------------------------------

    def poll_workflow_task(self, request: rq.PollWorkflowTaskQueue, reply: Reply, source: str) -> None:
        """A worker asks for a workflow task."""
        queue = request.task_queue
        sticky = queue.kind is TaskQueueKind.STICKY
        self._poll((request.namespace, "workflow", queue.name), Poll(request.identity, source, sticky, reply))

    def poll_activity_task(self, request: rq.PollActivityTaskQueue, reply: Reply, source: str) -> None:
        """A worker asks for an activity task."""
        key = (request.namespace, "activity", request.task_queue.name)
        self._poll(key, Poll(request.identity, source, False, reply))

    def _poll(self, key: QueueKey, poll: Poll) -> None:
        """Give the poll the oldest task of the queue that is not out of date, or let it wait."""
        now_us = self._server.host.now_us()
        while True:
            item = self.matching.poll(key, poll, now_us)
            if item is None or self._assign(key, item, poll):
                return

    def _assign(self, key: QueueKey, item: Any, poll: Poll) -> bool:
        """Start a task for a poll; ``False``: it is out of date, and the poll still wants one."""
        execution, task = item
        if isinstance(task, str):
            return self._server.queries.assign(execution, task, poll)
        request_id = self._server.host.new_id("engine.poll_id")
        request: Any
        if isinstance(task, rq.WorkflowTaskReady):
            request = rq.RecordWorkflowTaskStarted(
                execution, task.scheduled_event_id, task.attempt, request_id, poll.identity, poll.sticky
            )
        else:
            request = rq.RecordActivityTaskStarted(
                execution, task.scheduled_event_id, task.attempt, request_id, poll.identity
            )
        start = _Start(self, key, item, poll)
        self._server.change(request, start.answered)
        return start.taken

    def with_history(
        self, execution: rq.Execution, response: rq.PollWorkflowTaskQueueResponse, *, sticky: bool
    ) -> rq.PollWorkflowTaskQueueResponse:
        """Fill in the stored events before the transient ones that the transition gave, and the queries that wait."""
        run = self._server.cache.find(execution)
        if run is None:
            return response
        first = response.previous_started_event_id if sticky else 0
        response.events = run.events[first:] + response.events
        for query in run.queries.values():
            response.queries[query.query_id] = query.wire()
        return response


class _Start:
    """The start of one task for one poll. ``taken``: the poll has its answer."""

    __slots__ = ("_dispatcher", "_item", "_key", "_poll", "taken")

    def __init__(self, dispatcher: Dispatcher, key: QueueKey, item: Any, poll: Poll) -> None:
        self._dispatcher = dispatcher
        self._key = key
        self._item = item
        self._poll = poll
        self.taken = True

    def answered(self, response: object) -> None:
        """The transition was committed or refused."""
        poll = self._poll
        if isinstance(response, rq.PollWorkflowTaskQueueResponse):
            poll.reply(self._dispatcher.with_history(self._item[0], response, sticky=poll.sticky))
        elif isinstance(response, ServiceError):
            if response.status == "UNAVAILABLE":
                # The write was refused: this server no longer owns the store. Whoever does has the task in its outbox.
                poll.reply(response)
            else:
                self.taken = False
        else:
            poll.reply(response)


def _nobody(response: object) -> None:
    """Nobody waits for the answer to an internal request."""
