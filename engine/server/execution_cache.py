"""Loaded runs of one server process. What is here is lost in a crash and loaded again from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..core.errors import ServiceError
from ..core.events import HistoryEvent
from ..core.requests import Execution
from ..core.state import MutableState
from ..core.transition import rebuild
from ..store import Store
from .buffered_query import BufferedQuery


@dataclass(slots=True)
class LoadedRun:
    """A run in memory: its folded state, the version it has in the store, and its events.

    ``close_waiters`` are clients that wait for its end, ``queries`` those that wait for its next workflow task.
    """

    execution: Execution
    state: MutableState
    version: int
    events: list[HistoryEvent]
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
            named = Execution(execution.workflow_id, run_id, execution.namespace)
            stored = self._store.load(named)
            if stored is None:
                return None
            events = list(stored.events)
            state = rebuild(events, stored.record, namespace=named.namespace)
            run = self._runs[key] = LoadedRun(named, state, stored.version, events)
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
            run.state = rebuild(run.events, stored.record, namespace=run.execution.namespace)
            run.version = stored.version

    def loaded(self) -> list[LoadedRun]:
        """All runs in memory, in the order in which they were loaded."""
        return list(self._runs.values())


def not_found(execution: Execution) -> ServiceError:
    """The real server's answer to an unknown workflow or run id."""
    if execution.run_id:
        text = f"workflow not found for ID: {execution.workflow_id} and RunID: {execution.run_id}"
    else:
        text = f"workflow not found for ID: {execution.workflow_id}"
    return ServiceError("NOT_FOUND", text)
