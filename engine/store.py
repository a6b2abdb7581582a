"""The store: where a run's history, record and outbox are kept, written together or not at all.

A commit is conditional: on the version that the writer has seen, on the current run of the workflow id, and on the
writer still being the owner. A server takes ownership with ``acquire``; from then on writes of earlier owners are
refused (fencing), so that a server that was thought dead can change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .core.errors import ConditionFailed, InternalError, OwnershipLost
from .core.events import HistoryEvent
from .core.requests import Execution, OutboxTask
from .core.transition_work import Transition


@dataclass(slots=True)
class Commit:
    """One conditional write.

    Args:
        execution: The run, with its run id.
        expected_version: Of the run in the store; 0: it must not exist.
        owner_epoch: What ``acquire`` gave.
        transition: What to write.
        make_current: Make this the current run of its workflow id.
        expected_current_run_id: With ``make_current``: the current run before; ``None``: there must be none.
        also: Another run's commit that is written with this one or not at all (its owner epoch is this one's).
    """

    execution: Execution
    expected_version: int
    owner_epoch: int
    transition: Transition
    make_current: bool = False
    expected_current_run_id: str | None = None
    also: Commit | None = None


@dataclass(slots=True)
class StoredExecution:
    """A run as it is stored. The collections are the reader's own; what is in them is shared and immutable."""

    version: int = 0
    events: list[HistoryEvent] = field(default_factory=list)
    record: dict[str, object] = field(default_factory=dict)
    outbox: dict[str, OutboxTask] = field(default_factory=dict)


class Store(Protocol):
    """A place that survives servers. All times and ids come from the writer."""

    def acquire(self) -> int:
        """Become the owner: a new epoch, which fences off all earlier ones."""
        ...

    def current_run_id(self, namespace: str, workflow_id: str) -> str | None:
        """The current (last started) run of a workflow id; ``None`` if there was never one."""
        ...

    def load(self, execution: Execution) -> StoredExecution | None:
        """A run; ``None`` if there is no such run. ``execution`` names its run id."""
        ...

    def commit(self, commit: Commit) -> int:
        """Write all of ``commit`` or nothing.

        Returns:
            The new version of ``commit.execution`` (of ``commit.also`` likewise: its expected version plus one).

        Raises:
            OwnershipLost: Somebody acquired the store since.
            ConditionFailed: The version or the current run is another than expected.
        """
        ...

    def outbox(self) -> Iterable[tuple[Execution, str, OutboxTask]]:
        """The outbox tasks of all runs with their keys, in the order in which they were committed."""
        ...

    def executions(self) -> Iterable[Execution]:
        """All runs, in the order in which they were started."""
        ...


@dataclass(slots=True)
class _Row:
    execution: Execution
    version: int = 0
    events: list[HistoryEvent] = field(default_factory=list)
    record: dict[str, object] = field(default_factory=dict)
    outbox: dict[str, tuple[int, OutboxTask]] = field(default_factory=dict)


_Key = tuple[str, str, str]


class MemoryStore:
    """A store in memory. It does not outlive its process; a simulated server is not its process."""

    def __init__(self) -> None:
        self._rows: dict[_Key, _Row] = {}
        self._current: dict[tuple[str, str], str] = {}
        self._epoch = 0
        self._sequence = 0

    def acquire(self) -> int:
        """See ``Store``."""
        self._epoch += 1
        return self._epoch

    def current_run_id(self, namespace: str, workflow_id: str) -> str | None:
        """See ``Store``."""
        return self._current.get((namespace, workflow_id))

    def load(self, execution: Execution) -> StoredExecution | None:
        """See ``Store``."""
        row = self._rows.get(_key(execution))
        if row is None:
            return None
        outbox = {key: task for key, (_, task) in row.outbox.items()}
        return StoredExecution(row.version, list(row.events), dict(row.record), outbox)

    def commit(self, commit: Commit) -> int:
        """See ``Store``."""
        if commit.owner_epoch != self._epoch:
            raise OwnershipLost(f"epoch {commit.owner_epoch} was fenced off by epoch {self._epoch}")
        also = commit.also
        if (also is None) is not (commit.transition.also is None):
            raise InternalError(
                "what a transition asks for beside its run goes into the same commit, nothing else does"
            )
        key = _key(commit.execution)
        row = self._check(commit, key)
        if also is not None:
            other_key = _key(also.execution)
            if also.also is not None or other_key == key:
                raise InternalError("a commit changes one run, and at most one other run with it")
            other_row = self._check(also, other_key)
            self._write(also, other_key, other_row)
        self._write(commit, key, row)
        return commit.expected_version + 1

    def _check(self, commit: Commit, key: _Key) -> _Row | None:
        """The run's row, if it has one, once it is known that the commit can be written."""
        row = self._rows.get(key)
        version = 0 if row is None else row.version
        if version != commit.expected_version:
            raise ConditionFailed(f"run {key[2]} has version {version}, expected {commit.expected_version}")
        if commit.make_current:
            current = self._current.get(key[:2])
            if current != commit.expected_current_run_id:
                raise ConditionFailed(
                    f"current run of {key[1]} is {current}, expected {commit.expected_current_run_id}"
                )
        events = commit.transition.events
        if events and events[0].event_id != 1 + (0 if row is None else len(row.events)):
            raise InternalError(f"event {events[0].event_id} does not follow the history of run {key[2]}")
        return row

    def _write(self, commit: Commit, key: _Key, row: _Row | None) -> None:
        if row is None:
            row = self._rows[key] = _Row(commit.execution)
        transition = commit.transition
        row.version += 1
        row.events += transition.events
        record = row.record
        for name in transition.record_delete:
            record.pop(name, None)
        if transition.record_put:
            record.update(transition.record_put)
        outbox = row.outbox
        for name in transition.outbox_delete:
            outbox.pop(name, None)
        for name, task in transition.outbox_add.items():
            self._sequence += 1
            outbox[name] = (self._sequence, task)
        if commit.make_current:
            self._current[key[:2]] = key[2]

    def outbox(self) -> Iterator[tuple[Execution, str, OutboxTask]]:
        """See ``Store``."""
        found = [
            (sequence, row.execution, key, task)
            for row in self._rows.values()
            for key, (sequence, task) in row.outbox.items()
        ]
        found.sort(key=lambda entry: entry[0])
        return ((execution, key, task) for _, execution, key, task in found)

    def executions(self) -> Iterator[Execution]:
        """See ``Store``."""
        return iter([row.execution for row in self._rows.values()])


def _key(execution: Execution) -> _Key:
    return (execution.namespace, execution.workflow_id, execution.run_id)
