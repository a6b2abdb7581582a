"""Queries: handed to a worker with the run's next workflow task, or as a task of their own where none is pending.

As in ``service/history/api/queryworkflow/api.go`` of the real server: a query sees all events that came before it, so
while a workflow task is pending it waits for that task; otherwise it is dispatched directly, to the sticky queue first
and to the normal one if nobody has answered within the sticky queue's timeout. Nothing of a query is durable: after a
crash of the server its client asks again.

The real server clears the sticky queue of a run when such a query times out there; here the next workflow task does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..core import requests as rq
from ..core.enums import QueryRejectCondition, WorkflowExecutionStatus
from ..core.errors import ServiceError
from .buffered_query import BufferedQuery
from .execution_cache import LoadedRun, not_found
from .matching import Poll

if TYPE_CHECKING:
    from .server import Server

Reply = Callable[[object], None]

BUFFERED_QUERIES_MAX = 1
"""``history.MaxBufferedQueryCount`` in ``common/dynamicconfig/constants.go``."""
WORKFLOW_TASK_ATTEMPTS_MAX = 3
"""From this attempt on a workflow task counts as failing (``failQueryWorkflowTaskAttemptCount``)."""
POLLER_UNAVAILABLE_US = 20_000_000
"""``matching.queryPollerUnavailableWindow``: a queue that nobody polled for so long has no worker."""
NO_POLLER_BUDGET_US = 1_000_000
"""So long before a query's deadline its client is told that there is no worker (``returnEmptyTaskTimeBudget``)."""

_BUFFER_FULL = (
    "consistent query buffer is full, this may be caused by too many queries and workflow not able to process query "
    "fast enough"
)
_NO_POLLER = "no poller seen for task queue recently, worker may be down"


class QueryDesk:
    """The queries that this server process has not answered yet."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._direct: dict[str, BufferedQuery] = {}
        self._count = 0

    # --- from clients -----------------------------------------------------------------------------------------------

    def query(self, request: rq.QueryWorkflow, reply: Reply, source: str) -> None:
        """A client asks."""
        run = self._server.cache.find(request.execution)
        if run is None:
            reply(not_found(request.execution))
            return
        state = run.state
        if _rejected(request.query_reject_condition, state.status):
            reply(rq.QueryWorkflowResponse(rejected_status=state.status))
            return
        refusal = self._refusal(run, request)
        if refusal is not None:
            reply(refusal)
            return
        self._count += 1
        query = BufferedQuery(f"{self._server.epoch}-{self._count}", run.execution, request, reply)
        query.deadline = self._server.host.call_later(request.timeout_us, self._expired, run, query)
        if state.is_open and (state.workflow_task is not None or not state.previous_started_event_id):
            run.queries[query.query_id] = query
        else:
            self._dispatch(run, query)

    def _refusal(self, run: LoadedRun, request: rq.QueryWorkflow) -> ServiceError | None:
        """Why this run can't be queried now."""
        state = run.state
        if not state.is_open and not state.previous_started_event_id:
            return _not_ready("Workflow execution closed before WorkflowTaskStarted event")
        if not state.had_workflow_task and state.started is not None:
            first_us = state.started.time_us + state.started.first_workflow_task_backoff_us
            if first_us > self._server.host.now_us() + request.timeout_us:
                return _not_ready("Workflow task is not scheduled yet.")
        task = state.workflow_task
        if task is not None and task.attempt >= WORKFLOW_TASK_ATTEMPTS_MAX:
            return _not_ready("Unable to query workflow due to Workflow Task in failed state.")
        if len(run.queries) >= BUFFERED_QUERIES_MAX and (task is not None or not state.previous_started_event_id):
            return ServiceError("RESOURCE_EXHAUSTED", _BUFFER_FULL)
        return None

    def _expired(self, run: LoadedRun, query: BufferedQuery) -> None:
        """The client's time is over; it has given up already."""
        query.deadline = None
        run.queries.pop(query.query_id, None)
        self._forget(query)
        query.answer(ServiceError("DEADLINE_EXCEEDED", "context deadline exceeded"))

    def _forget(self, query: BufferedQuery) -> None:
        self._direct.pop(query.query_id, None)
        if query.queue is not None and not query.sent:
            self._server.dispatcher.matching.withdraw(query.queue, (query.execution, query.query_id))
        query.queue = None

    # --- direct dispatch --------------------------------------------------------------------------------------------

    def _dispatch(self, run: LoadedRun, query: BufferedQuery) -> None:
        """Offer a query as a task of its own."""
        host = self._server.host
        self._direct[query.query_id] = query
        namespace = run.execution.namespace
        sticky = run.state.sticky
        if sticky is not None:
            key = (namespace, "workflow", sticky.task_queue.name)
            if self._server.dispatcher.matching.sticky_available(key, host.now_us()):
                query.fallback = host.call_later(sticky.schedule_to_start_timeout_us, self._fall_back, run, query)
                query.queue = key
                self._server.dispatcher.offer(key, (run.execution, query.query_id))
                return
        self._dispatch_normally(run, query)

    def _fall_back(self, run: LoadedRun, query: BufferedQuery) -> None:
        """The sticky queue's worker does not answer."""
        query.fallback = None
        self._forget(query)
        query.sent = False
        self._direct[query.query_id] = query
        self._dispatch_normally(run, query)
        self._server.dispatcher.drain()

    def _dispatch_normally(self, run: LoadedRun, query: BufferedQuery) -> None:
        key = (run.execution.namespace, "workflow", run.state.task_queue)
        query.queue = key
        dispatcher = self._server.dispatcher
        dispatcher.offer(key, (run.execution, query.query_id))
        if not query.sent:
            delay_us = max(0, query.request.timeout_us - NO_POLLER_BUDGET_US)
            query.fallback = self._server.host.call_later(delay_us, self._look_for_poller, query)

    def _look_for_poller(self, query: BufferedQuery) -> None:
        """The query has nearly run out of time and no worker has taken it: is there any?"""
        query.fallback = None
        if query.sent or query.queue is None:
            return
        now_us = self._server.host.now_us()
        if not self._server.dispatcher.matching.polled_within(query.queue, POLLER_UNAVAILABLE_US, now_us):
            self._forget(query)
            query.answer(ServiceError("FAILED_PRECONDITION", _NO_POLLER))

    def assign(self, execution: rq.Execution, query_id: str, poll: Poll) -> bool:
        """Hand a query task to a poll; ``False`` when nobody waits for its answer any more."""
        query = self._direct.get(query_id)
        run = self._server.cache.find(execution)
        if query is None or run is None:
            return False
        query.sent = True
        started_event_id = run.state.previous_started_event_id
        poll.reply(
            rq.PollWorkflowTaskQueueResponse(
                task_token=rq.TaskToken(run.execution, 0, 0),
                execution=run.execution,
                workflow_type=run.state.workflow_type,
                previous_started_event_id=started_event_id,
                started_event_id=started_event_id,
                attempt=1,
                # A worker that has the run in its cache needs no events (``createPollWorkflowTaskQueueResponse``).
                events=[] if poll.sticky else list(run.events),
                query=query.wire(),
                query_token=query_id,
            )
        )
        return True

    # --- from workers -----------------------------------------------------------------------------------------------

    def answered(self, request: rq.RespondQueryTaskCompleted, reply: Reply, source: str) -> None:
        """A worker answers a query task."""
        query = self._direct.pop(request.query_token, None)
        if query is None:
            reply(ServiceError("NOT_FOUND", "query task not found, or already expired"))
            return
        self._forget(query)
        query.answer(_response(request.result))
        reply(None)

    def results(self, execution: rq.Execution, results: Mapping[str, rq.WorkflowQueryResult]) -> None:
        """A worker answers queries together with a workflow task."""
        run = self._server.cache.find(execution)
        if run is None:
            return
        for query_id, result in results.items():
            query = run.queries.pop(query_id, None)
            if query is not None:
                query.answer(_response(result))

    def after_commit(self, run: LoadedRun) -> None:
        """Dispatch directly what waits for a workflow task that will not come."""
        state = run.state
        if state.workflow_task is not None or (state.is_open and not state.previous_started_event_id):
            return
        waiting, run.queries = run.queries, {}
        for query in waiting.values():
            if state.previous_started_event_id:
                self._dispatch(run, query)
            else:
                query.answer(_not_ready("Workflow execution closed before WorkflowTaskStarted event"))


def _not_ready(message: str) -> ServiceError:
    return ServiceError("FAILED_PRECONDITION", message, "WorkflowNotReadyFailure")


def _response(result: rq.WorkflowQueryResult) -> object:
    if result.failure is not None:
        return ServiceError("INVALID_ARGUMENT", result.failure.message, "QueryFailedFailure")
    return rq.QueryWorkflowResponse(query_result=result.answer)


def _rejected(condition: QueryRejectCondition, status: WorkflowExecutionStatus) -> bool:
    if condition == QueryRejectCondition.NOT_OPEN:
        return status != WorkflowExecutionStatus.RUNNING
    if condition == QueryRejectCondition.NOT_COMPLETED_CLEANLY:
        return status not in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
    return False
