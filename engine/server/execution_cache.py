"""Loaded runs of one server process, each with the requests that wait for its turn.

As on the real server, a run is changed by one request at a time: while a commit is under way the others queue. What is here
is lost in a crash and loaded again from the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..core.events import HistoryEvent
from ..core.requests import Execution, QueryWorkflow, WorkflowQuery
from ..core.state import MutableState
from ..core.transition import rebuild
from ..store import Store


@dataclass(slots=True)
class BufferedQuery:
    """A query that waits for the next workflow task of its run."""

    query_id: str
    request: QueryWorkflow
    reply: Callable[[object], None]
    sent: bool = False

    def wire(self) -> WorkflowQuery:
        """The query as a worker gets it."""
        return WorkflowQuery(self.request.query_type, self.request.query_args, self.request.header)


@dataclass(slots=True)
class LoadedRun:
    """A run in memory: its folded state, the version it has in the store, and its events."""

    execution: Execution
    state: MutableState
    version: int
    events: list[HistoryEvent]
    busy: bool = False
    waiting: deque[Callable[[], None]] = field(default_factory=deque)
    close_waiters: list[Callable[[object], None]] = field(default_factory=list)
    queries: dict[str, BufferedQuery] = field(default_factory=dict)


class ExecutionCache:
    """The runs that this server process has in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[tuple[str, str, str], LoadedRun] = {}

    def find(self, execution: Execution) -> LoadedRun | None:
        """The run, loaded from the store if need be; ``None`` if there is no such run."""
        run_id = execution.run_id or self._store.current_run_id(execution.namespace, execution.workflow_id)
        if run_id is None:
            return None
        key = (execution.namespace, execution.workflow_id, run_id)
        run = self._runs.get(key)
        if run is None:
            stored = self._store.load(Execution(execution.workflow_id, run_id, execution.namespace))
            if stored is None:
                return None
            events = list(stored.events)
            named = Execution(execution.workflow_id, run_id, execution.namespace)
            run = LoadedRun(named, rebuild(events, stored.record), stored.version, events)
            self._runs[key] = run
        return run

    def add(self, run: LoadedRun) -> None:
        """Keep a run that was just started."""
        named = run.execution
        self._runs[(named.namespace, named.workflow_id, named.run_id)] = run

    def reload(self, run: LoadedRun) -> None:
        """Read a run anew after a refused write: what is in memory is not what is in the store."""
        stored = self._store.load(run.execution)
        if stored is not None:
            run.events = list(stored.events)
            run.state = rebuild(run.events, stored.record)
            run.version = stored.version

    def loaded(self) -> list[LoadedRun]:
        """All runs in memory, in the order in which they were loaded."""
        return list(self._runs.values())
