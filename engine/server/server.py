"""The server machine: one process that serves requests, matches tasks with pollers and lets timers fire.

It is the effectful shell around ``engine/core/transition.py``. Every change of a run is one transition and one conditional
write; only after the write are tasks dispatched and the caller answered. A server that dies between the two leaves the tasks
in the outbox of the store, and the next one dispatches them (the transactional outbox; Temporal's transfer and timer queues).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..core import requests as rq
from ..core.errors import ConditionFailed, OwnershipLost, ServiceError
from ..core.transition import Transition, handle, read, start
from ..host import Host
from ..store import Commit, Store
from .dispatch import Dispatcher
from .execution_cache import ExecutionCache, LoadedRun
from .queries import QueryDesk

Reply = Callable[[object], None]


@dataclass(slots=True)
class StartCommit:
    """What the first commit of a run has beside the run itself: the run before it, perhaps terminated by the start."""

    current_run_id: str | None
    terminated: LoadedRun | None


class ServerHost(Host, Protocol):
    """A host that also lets the world watch the points at which a server may die."""

    def reach(self, point: str, subject: str, detail: str = "") -> None:
        """A named point was reached; raises if the process dies here."""

    def committed(self, execution: rq.Execution, run: LoadedRun, transition: Transition) -> None:
        """A transition was committed (for digests, traces and checks)."""


class Server:
    """One incarnation of an engine server. ``handle`` takes a request and answers it, now or later."""

    def __init__(self, host: ServerHost, store: Store) -> None:
        self.host = host
        self.store = store
        self.cache = ExecutionCache(store)
        self.epoch = store.acquire()
        self.dispatcher = Dispatcher(self)
        self.queries = QueryDesk(self)
        self._handlers: dict[type, Callable[[Any, Reply, str], None]] = {
            rq.StartWorkflowExecution: self._start,
            rq.PollWorkflowTaskQueue: self.dispatcher.poll_workflow_task,
            rq.PollActivityTaskQueue: self.dispatcher.poll_activity_task,
            rq.GetWorkflowExecutionHistory: self._history,
            rq.GetWorkflowExecutionHistoryForWorker: self._history_for_worker,
            rq.DescribeWorkflowExecution: self._describe,
            rq.QueryWorkflow: self.queries.query,
            rq.RespondQueryTaskCompleted: self.queries.answered,
            rq.RespondWorkflowTaskCompleted: self._workflow_task_completed,
        }

    def recover(self) -> None:
        """Dispatch what an earlier server left in the outbox."""
        for execution, key, task in list(self.store.outbox()):
            self.dispatcher.dispatch(execution, key, task)

    def handle(self, request: object, reply: Reply, source: str) -> None:
        """Serve a request. ``reply`` gets a response or a ``ServiceError``; ``source`` names the connection."""
        handler = self._handlers.get(type(request))
        if handler is not None:
            handler(request, reply, source)
        else:
            self.change(request, reply)

    def connection_lost(self, source: str) -> None:
        """A process that polled is gone."""
        self.dispatcher.matching.connection_lost(source, self.host.now_us())

    # --- changes of a run -------------------------------------------------------------------------------------------

    def change(self, request: Any, reply: Reply) -> None:
        """Run one transition of the run that ``request`` names."""
        execution = request.task_token.execution if hasattr(request, "task_token") else request.execution
        run = self.cache.find(execution)
        if run is None:
            reply(not_found(execution))
        elif run.busy:
            run.waiting.append(lambda: self._change_loaded(run, request, reply))
        else:
            self._change_loaded(run, request, reply)

    def _change_loaded(self, run: LoadedRun, request: Any, reply: Reply) -> None:
        try:
            transition = handle(run.state, request, now_us=self.host.now_us())
        except ServiceError as error:
            reply(error)
            self._next(run)
            return
        if transition.is_empty:
            reply(transition.response)
            self._next(run)
            return
        if not self._commit(run, transition):
            reply(ServiceError("UNAVAILABLE", "the write of this run was refused; try again"))
            self._next(run)
            return
        reply(transition.response)
        self._after_commit(run, transition)

    def _next(self, run: LoadedRun) -> None:
        if run.waiting and not run.busy:
            run.waiting.popleft()()

    def _commit(self, run: LoadedRun, transition: Transition, start: StartCommit | None = None) -> bool:
        """Write; ``False`` when the write was refused (what is in memory is read anew)."""
        host = self.host
        workflow_id = run.execution.workflow_id
        commit = Commit(run.execution, run.version, self.epoch, transition)
        terminated = None if start is None else start.terminated
        if start is not None:
            commit.make_current, commit.expected_current_run_id = True, start.current_run_id
            if terminated is not None and transition.also is not None:
                commit.also = Commit(terminated.execution, terminated.version, self.epoch, transition.also[1])
        host.reach("engine.before_commit", workflow_id)
        run.busy = True
        try:
            run.version = self.store.commit(commit)
        except (ConditionFailed, OwnershipLost):
            for refused in (run, terminated):
                if refused is not None:
                    self.cache.reload(refused)
            return False
        finally:
            run.busy = False
        if terminated is not None and commit.also is not None:
            terminated.version = commit.also.expected_version + 1
            terminated.events.extend(commit.also.transition.events)
            host.committed(terminated.execution, terminated, commit.also.transition)
        run.events.extend(transition.events)
        host.committed(run.execution, run, transition)
        host.reach("engine.after_commit", workflow_id)
        return True

    def _after_commit(self, run: LoadedRun, transition: Transition) -> None:
        self.dispatcher.apply_outbox(run.execution, transition)
        if transition.closed:
            self._closed(run)
        if run.queries:
            self.queries.after_commit(run)
        self._next(run)

    def _closed(self, run: LoadedRun) -> None:
        waiters, run.close_waiters = run.close_waiters, []
        for waiter in waiters:
            waiter(rq.GetWorkflowExecutionHistoryResponse(run.execution.run_id, run.events[-1:]))

    # --- single requests --------------------------------------------------------------------------------------------

    def _start(self, request: rq.StartWorkflowExecution, reply: Reply, source: str) -> None:
        execution = request.execution
        current_id = self.store.current_run_id(execution.namespace, execution.workflow_id)
        named = rq.Execution(execution.workflow_id, "", execution.namespace)
        current = self.cache.find(named) if current_id else None
        request.new_run_id = self.host.new_id("engine.run_id")
        try:
            state, transition = start(
                request, now_us=self.host.now_us(), current=None if current is None else current.state
            )
        except ServiceError as error:
            reply(error)
            return
        if not transition.events:
            reply(transition.response)
            return
        new = rq.Execution(execution.workflow_id, request.new_run_id, execution.namespace)
        run = LoadedRun(new, state, 0, [])
        terminated = current if transition.also is not None else None
        if not self._commit(run, transition, StartCommit(current_id, terminated)):
            reply(ServiceError("UNAVAILABLE", "another start of this workflow id came first; try again"))
            return
        self.cache.add(run)
        reply(transition.response)
        if terminated is not None and transition.also is not None:
            self._after_commit(terminated, transition.also[1])
        self._after_commit(run, transition)

    def _workflow_task_completed(self, request: rq.RespondWorkflowTaskCompleted, reply: Reply, source: str) -> None:
        results = request.query_results
        if not results:
            self.change(request, reply)
            return

        def completed(response: object) -> None:
            if not isinstance(response, ServiceError):
                self.queries.results(request.task_token.execution, results)
            reply(response)

        self.change(request, completed)

    def _history(self, request: rq.GetWorkflowExecutionHistory, reply: Reply, source: str) -> None:
        run = self.cache.find(request.execution)
        if run is None:
            reply(not_found(request.execution))
        elif request.wait_new_event and run.state.is_open:
            run.close_waiters.append(reply)
        else:
            events = run.events[-1:] if request.close_event_only else list(run.events)
            reply(rq.GetWorkflowExecutionHistoryResponse(run.execution.run_id, events))

    def _history_for_worker(self, request: rq.GetWorkflowExecutionHistoryForWorker, reply: Reply, source: str) -> None:
        run = self.cache.find(request.execution)
        if run is None:
            reply(not_found(request.execution))
            return
        reply(rq.GetWorkflowExecutionHistoryResponse(run.execution.run_id, run.events[: request.last_event_id]))

    def _describe(self, request: rq.DescribeWorkflowExecution, reply: Reply, source: str) -> None:
        run = self.cache.find(request.execution)
        if run is None:
            reply(not_found(request.execution))
            return
        reply(read(run.state, request, now_us=self.host.now_us()))


def not_found(execution: rq.Execution) -> ServiceError:
    """The real server's answer to an unknown workflow or run id."""
    if execution.run_id:
        text = f"workflow not found for ID: {execution.workflow_id} and RunID: {execution.run_id}"
    else:
        text = f"workflow not found for ID: {execution.workflow_id}"
    return ServiceError("NOT_FOUND", text)
