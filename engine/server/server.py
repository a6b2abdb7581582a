"""The server machine: one process that serves requests, matches tasks with pollers and lets timers fire.

It is the effectful shell around ``engine/core/transition.py``. Every change of a run is one transition and one
conditional write; only after the write is the caller answered and are tasks dispatched. A server that dies between the
two leaves the tasks in the outbox of the store, and the next one dispatches them (the transactional outbox; Temporal's
transfer and timer queues).

A request is served from its arrival to its commit in one go, so no run needs a lock: what is slow about a real server
is in the latencies of messages, and where it may die is named by ``engine.before_commit`` and ``engine.after_commit``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..core import requests as rq
from ..core.errors import ConditionFailed, OwnershipLost, ServiceError
from ..core.transition import Transition, handle, read, start
from ..host import Host
from ..store import Commit, Store
from .dispatch import Dispatcher
from .execution_cache import ExecutionCache, LoadedRun, not_found
from .queries import QueryDesk

Reply = Callable[[object], None]


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
        self.dispatcher.drain()

    def handle(self, request: object, reply: Reply, source: str) -> None:
        """Serve a request. ``reply`` gets a response or a ``ServiceError``; ``source`` names the connection."""
        handler = self._handlers.get(type(request))
        if handler is not None:
            handler(request, reply, source)
        else:
            self.change(request, reply)
        self.dispatcher.drain()

    def connection_lost(self, source: str) -> None:
        """A process that polled is gone."""
        self.dispatcher.matching.connection_lost(source, self.host.now_us())

    # --- changes of a run -------------------------------------------------------------------------------------------

    def change(self, request: Any, reply: Reply) -> None:
        """Run one transition of the run that ``request`` names. What is to be dispatched waits for ``drain``."""
        token = getattr(request, "task_token", None)
        execution = request.execution if token is None else token.execution
        run = self.cache.find(execution)
        if run is None:
            reply(not_found(execution))
            return
        try:
            transition = handle(run.state, request, now_us=self.host.now_us())
        except ServiceError as error:
            reply(error)
            return
        if transition.is_empty:
            reply(transition.response)
            return
        commit = Commit(run.execution, run.version, self.epoch, transition)
        after = None if transition.also is None else self._next_run(run, commit)
        if not self._commit(commit, run, after):
            reply(ServiceError("UNAVAILABLE", "the write of this run was refused; try again"))
            return
        reply(transition.response)
        self._after_commit(run, transition)
        if after is not None and transition.also is not None:
            self._after_commit(after, transition.also[1])

    def _next_run(self, run: LoadedRun, commit: Commit) -> LoadedRun:
        """The run that a retry starts as this one closes: it becomes the current one by the same write."""
        assert commit.transition.also is not None
        state, transition = commit.transition.also
        commit.also = Commit(
            state.execution,
            0,
            self.epoch,
            transition,
            make_current=True,
            expected_current_run_id=run.execution.run_id,
        )
        return LoadedRun(state.execution, state, 0, [])

    def _commit(self, commit: Commit, run: LoadedRun, other: LoadedRun | None, *, other_first: bool = False) -> bool:
        """Write, for one run or for two; ``False`` when the write was refused (what is in memory is read anew).

        Args:
            commit: Of ``run``, with that of ``other`` in ``also``.
            run: The run.
            other: The other one, if there is one.
            other_first: Tell the world of the other one first.
        """
        host = self.host
        host.reach("engine.before_commit", run.execution.workflow_id)
        try:
            version = self.store.commit(commit)
        except (ConditionFailed, OwnershipLost):
            self._refused(run)
            if other is not None:
                self._refused(other)
            return False
        if other is None or commit.also is None:
            self._written(run, commit.transition, version)
        else:
            pairs = [(run, commit.transition, version)]
            other_version = commit.also.expected_version + 1
            pairs.insert(0 if other_first else 1, (other, commit.also.transition, other_version))
            for one, transition, new_version in pairs:
                self._written(one, transition, new_version)
        host.reach("engine.after_commit", run.execution.workflow_id)
        return True

    def _written(self, run: LoadedRun, transition: Transition, version: int) -> None:
        """A run was written: bring what is in memory up to date, and tell the world."""
        run.version = version
        run.events += transition.events
        if version == 1:
            self.cache.add(run)
        self.host.committed(run.execution, run, transition)

    def _refused(self, run: LoadedRun) -> None:
        """Somebody else wrote: what is in memory is not what is in the store."""
        self.cache.reload(run)
        if run.version and not run.state.is_open:
            self._closed(run)

    def _after_commit(self, run: LoadedRun, transition: Transition) -> None:
        self.dispatcher.apply_outbox(run.execution, transition)
        if transition.closed:
            self._closed(run)
        if run.queries:
            self.queries.after_commit(run)

    def _closed(self, run: LoadedRun) -> None:
        waiters, run.close_waiters = run.close_waiters, []
        for waiter in waiters:
            waiter(rq.GetWorkflowExecutionHistoryResponse(run.execution.run_id, run.events[-1:]))

    # --- single requests --------------------------------------------------------------------------------------------

    def _start(self, request: rq.StartWorkflowExecution, reply: Reply, source: str) -> None:
        execution = request.execution
        current_id = self.store.current_run_id(execution.namespace, execution.workflow_id)
        current = None
        if current_id is not None:
            current = self.cache.find(rq.Execution(execution.workflow_id, current_id, execution.namespace))
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
        commit = Commit(
            state.execution, 0, self.epoch, transition, make_current=True, expected_current_run_id=current_id
        )
        terminated = None
        if transition.also is not None:
            assert current is not None
            terminated = current
            commit.also = Commit(current.execution, current.version, self.epoch, transition.also[1])
        run = LoadedRun(state.execution, state, 0, [])
        if not self._commit(commit, run, terminated, other_first=True):
            reply(ServiceError("UNAVAILABLE", "another start of this workflow id came first; try again"))
            return
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
        events = run.events[: request.last_event_id or None]
        reply(rq.GetWorkflowExecutionHistoryResponse(run.execution.run_id, events))

    def _describe(self, request: rq.DescribeWorkflowExecution, reply: Reply, source: str) -> None:
        run = self.cache.find(request.execution)
        if run is None:
            reply(not_found(request.execution))
            return
        reply(read(run.state, request, now_us=self.host.now_us()))
