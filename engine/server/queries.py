"""Queries: handed to a worker with the run's next workflow task, or as a task of their own where none is pending.

As in ``service/history/api/queryworkflow/api.go`` of the real server: a query sees all events that came before it, so while
a workflow task is pending it waits for that task; otherwise it is dispatched directly. Nothing of a query is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..core import requests as rq
from ..core.enums import QueryRejectCondition, WorkflowExecutionStatus
from ..core.errors import ServiceError
from .execution_cache import BufferedQuery, LoadedRun
from .matching import Poll

if TYPE_CHECKING:
    from .server import Server

Reply = Callable[[object], None]


class QueryDesk:
    """The queries that this server process has not answered yet."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._direct: dict[str, BufferedQuery] = {}
        self._count = 0

    def query(self, request: rq.QueryWorkflow, reply: Reply, source: str) -> None:
        """A client asks."""
        run = self._server.cache.find(request.execution)
        if run is None:
            from .server import not_found

            reply(not_found(request.execution))
            return
        if _rejected(request.query_reject_condition, run.state.status):
            reply(rq.QueryWorkflowResponse(rejected_status=run.state.status))
            return
        self._count += 1
        query = BufferedQuery(f"{self._server.epoch}-{self._count}", request, reply)
        if run.state.is_open and (run.state.workflow_task is not None or not run.state.previous_started_event_id):
            run.queries[query.query_id] = query
        else:
            self._dispatch(run, query)

    def _dispatch(self, run: LoadedRun, query: BufferedQuery) -> None:
        self._direct[query.query_id] = query
        matching = self._server.dispatcher.matching
        namespace = run.execution.namespace
        sticky = run.state.sticky_task_queue
        key = (namespace, "workflow", run.state.task_queue)
        if sticky is not None and matching.sticky_available(
            (namespace, "workflow", sticky), self._server.host.now_us()
        ):
            key = (namespace, "workflow", sticky)
        elif not matching.was_polled(key):
            del self._direct[query.query_id]
            text = f"no poller seen for task queue recently, worker may be down: {run.state.task_queue}"
            query.reply(ServiceError("FAILED_PRECONDITION", text))
            return
        poll = matching.offer(key, (run.execution, query.query_id))
        if poll is not None:
            self.assign(key, run.execution, query.query_id, poll)

    def assign(self, key: tuple[str, str, str], execution: rq.Execution, query_id: str, poll: Poll) -> None:
        """Hand a query task to a poll."""
        query = self._direct.get(query_id)
        run = self._server.cache.find(execution)
        if query is None or run is None:
            self._server.dispatcher._poll(key, poll)
            return
        first = run.state.previous_started_event_id if poll.sticky else 0
        token = rq.TaskToken(run.execution, 0, 0)
        poll.reply(
            rq.PollWorkflowTaskQueueResponse(
                task_token=token,
                execution=run.execution,
                workflow_type=run.state.workflow_type,
                previous_started_event_id=run.state.previous_started_event_id,
                started_event_id=run.state.previous_started_event_id,
                attempt=1,
                events=run.events[first:],
                query=query.wire(),
                query_token=query_id,
            )
        )

    def answered(self, request: rq.RespondQueryTaskCompleted, reply: Reply, source: str) -> None:
        """A worker answers a query task."""
        query = self._direct.pop(request.query_token, None)
        if query is None:
            reply(ServiceError("NOT_FOUND", "query task not found, or already expired"))
            return
        query.reply(_response(request.result))
        reply(None)

    def results(self, execution: rq.Execution, results: Mapping[str, rq.WorkflowQueryResult]) -> None:
        """A worker answers queries together with a workflow task."""
        run = self._server.cache.find(execution)
        if run is None:
            return
        for query_id, result in results.items():
            query = run.queries.pop(query_id, None)
            if query is not None:
                query.reply(_response(result))

    def after_commit(self, run: LoadedRun) -> None:
        """Dispatch directly what waited for a workflow task that will not come."""
        if run.state.workflow_task is None:
            waiting = [query for query in run.queries.values() if not query.sent]
            for query in waiting:
                del run.queries[query.query_id]
                self._dispatch(run, query)
        elif not run.state.workflow_task.started_event_id:
            for query in run.queries.values():
                query.sent = False


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
