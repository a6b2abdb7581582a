"""Replays histories: does a workflow's code still ask for what its history says?

``replay`` is the plain function; ``Replayer`` has the names and signatures of ``temporalio.worker.Replayer``. Both give
the verdict of the real SDK (``tests/conformance/test_activations.py`` holds them to it).
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .converter import DataConverter
from .core.conversion import Conversion
from .core.definition import WorkflowDefinition
from .core.errors import MisuseError
from .core.events import (
    HistoryEvent,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from .core.machines import OnActivation, WorkflowRun
from .core.nondeterminism import Nondeterminism
from .core.requests import Execution
from .core.runtime_context import NondeterminismError
from .history_json import events_from_json, events_to_json

REPLAY_NAMESPACE = "ReplayNamespace"


@dataclass(slots=True)
class ReplayResult:
    """What came of a replay.

    Attributes:
        ok: The code does what the history says.
        message: What is wrong, as the real SDK words it, with what was expected and what came. Empty if nothing is.
        event_id: The event that doesn't fit, or up to which the history was replayed when the code failed.
        expected: What the history has there. Empty if the code failed.
        actual: What the code does there. Empty if the code failed.
        is_nondeterminism: False if the code failed in some other way, or the history is impossible.
    """

    ok: bool
    message: str = ""
    event_id: int = 0
    expected: str = ""
    actual: str = ""
    is_nondeterminism: bool = False


def replay(
    history_events: Sequence[HistoryEvent],
    definition: WorkflowDefinition,
    converter: Conversion,
    *,
    workflow_id: str = "",
    namespace: str = REPLAY_NAMESPACE,
    failure_exception_types: Sequence[type[BaseException]] = (),
    on_activation: OnActivation | None = None,
    reverses_sets: bool = False,
) -> ReplayResult:
    """Replay a history on a workflow's code, checking the commands of every workflow task.

    Args:
        history_events: A whole history, from its first event; the run need not be closed.
        definition: The workflow's class.
        converter: The data converter that the history was made with.
        workflow_id: What the code sees as its workflow's id; that of the history by default.
        namespace: What the code sees as its namespace.
        failure_exception_types: As given to the worker.
        on_activation: Called with each activation and its completion.
        reverses_sets: Give sets of tasks, such as ``asyncio.wait`` returns, the opposite order. In a real process it
            can be any, so that code which depends on it can't be replayed.

    Raises:
        MisuseError: This is no history.
    """
    if _get_running_loop() is not None:
        with outside_of_tasks():
            return replay(
                history_events,
                definition,
                converter,
                workflow_id=workflow_id,
                namespace=namespace,
                failure_exception_types=failure_exception_types,
                on_activation=on_activation,
                reverses_sets=reverses_sets,
            )
    events = history_events if isinstance(history_events, list) else list(history_events)
    started = _started_event(events)
    previous_started_id, started_id = last_tasks(events)
    execution = Execution(workflow_id or started.workflow_id, started.original_execution_run_id, namespace)
    run = WorkflowRun(
        definition,
        execution,
        converter,
        task_queue="" if started.task_queue is None else started.task_queue.name,
        failure_exception_types=failure_exception_types,
        reverses_sets=reverses_sets,
    )
    outcome = run.handle_task(
        events,
        previous_started_event_id=previous_started_id,
        started_event_id=started_id,
        on_activation=on_activation,
    )
    processed_id, was_replaying = run.processed_event_id, run.is_replaying
    run.close()
    error = outcome.error
    if (error is None and outcome.failure is None) or not was_replaying:
        # What the code does past the end of the history can't contradict it, not even by failing.
        return ReplayResult(ok=True)
    if isinstance(error, Nondeterminism):
        return ReplayResult(False, str(error), error.event_id, error.expected, error.actual, is_nondeterminism=True)
    if error is not None:
        return ReplayResult(False, str(error), processed_id)
    assert outcome.failure is not None
    return ReplayResult(False, f"The workflow's code failed: {outcome.failure.message}", processed_id)


def _started_event(events: Sequence[HistoryEvent]) -> WorkflowExecutionStarted:
    if not events:
        raise MisuseError("the history is empty: a replay needs a history from its first event on")
    if not isinstance(events[0], WorkflowExecutionStarted):
        raise MisuseError(
            f"the history begins with event {events[0].event_id}, {type(events[0]).__name__}: a replay needs a history "
            "from its first event, WorkflowExecutionStarted, on"
        )
    return events[0]


_NO_TASK = (WorkflowTaskFailed, WorkflowTaskTimedOut, WorkflowExecutionTerminated, WorkflowExecutionTimedOut)


def last_tasks(events: Sequence[HistoryEvent]) -> tuple[int, int]:
    """The started events of the last workflow task but one, and of the last one, as a worker would be told them.

    A history that goes on after its last task is one that is replayed to its end: then both are the same. After
    Temporal's core (``replay/history_info.rs``).

    Raises:
        MisuseError: A started workflow task is followed by what can't follow it.
    """
    last = 0
    for index, event in enumerate(events):
        if event.__class__ is not WorkflowTaskStarted:
            continue
        if index + 1 == len(events):
            return last, event.event_id
        following = events[index + 1]
        if following.__class__ is WorkflowTaskCompleted:
            last = event.event_id
        elif not isinstance(following, _NO_TASK):
            raise MisuseError(
                f"not a possible history: event {following.event_id}, {type(following).__name__}, follows the start of "
                "a workflow task, which must be completed, failed or timed out first"
            )
    return last, last


@contextmanager
def outside_of_tasks() -> Generator[None, None, None]:
    """Run what has an event loop of its own as if no event loop and no task were running here."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 (asyncio offers nothing else, on any version)
    _set_running_loop(None)
    try:
        yield
    finally:
        _set_running_loop(loop)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)  # noqa: SLF001


@dataclass(frozen=True)
class WorkflowHistory:
    """A workflow's id and history."""

    workflow_id: str
    events: Sequence[HistoryEvent]

    @property
    def run_id(self) -> str:
        """The run's id, from the first event.

        Raises:
            MisuseError: There is no such event.
        """
        return _started_event(self.events).original_execution_run_id

    @staticmethod
    def from_json(workflow_id: str, history: str | dict[str, Any]) -> WorkflowHistory:
        """Read Temporal's JSON, as the ``temporal`` command and the web interface write it.

        Raises:
            HistoryError: It is not a history.
        """
        return WorkflowHistory(workflow_id, events_from_json(history))

    def to_json_dict(self) -> dict[str, Any]:
        """The history as Temporal's JSON."""
        return events_to_json(self.events)

    def to_json(self) -> str:
        """The history as Temporal's JSON, as a text."""
        import json  # noqa: PLC0415 (needed here only)

        return json.dumps(self.to_json_dict())


@dataclass(frozen=True)
class WorkflowReplayResult:
    """One replayed history, and what went wrong with it."""

    history: WorkflowHistory
    replay_failure: Exception | None


@dataclass(frozen=True)
class WorkflowReplayResults:
    """What went wrong with histories, by run id."""

    replay_failures: Mapping[str, Exception] = field(default_factory=dict)


class Replayer:
    """Replays histories on the workflows given.

    Args:
        workflows: Workflow classes.
        namespace: What the code sees as its namespace.
        data_converter: The one that the histories were made with.
        workflow_failure_exception_types: As given to the worker.

    Raises:
        ValueError: There are no workflows, or a class is none.
    """

    def __init__(
        self,
        *,
        workflows: Sequence[type],
        namespace: str = REPLAY_NAMESPACE,
        data_converter: DataConverter = DataConverter.default,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
    ) -> None:
        if not workflows:
            raise ValueError("At least one workflow must be specified")
        self._definitions = {definition.name: definition for definition in map(WorkflowDefinition.of, workflows)}
        self._namespace = namespace
        self._converter = data_converter
        self._failure_types = tuple(workflow_failure_exception_types)

    def replay(self, history: WorkflowHistory) -> ReplayResult:
        """Replay one history.

        Raises:
            MisuseError: It is no history, or of a workflow that isn't given.
        """
        name = _started_event(history.events).workflow_type
        definition = self._definitions.get(name) or self._definitions.get(None)
        if definition is None:
            known = ", ".join(sorted(str(known) for known in self._definitions))
            raise MisuseError(f"Workflow class {name} is not registered on this replayer, available workflows: {known}")
        return replay(
            history.events,
            definition,
            self._converter,
            workflow_id=history.workflow_id,
            namespace=self._namespace,
            failure_exception_types=self._failure_types,
        )

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replay one history.

        Raises:
            NondeterminismError: The code asks for something else than the history has.
            RuntimeError: The code failed.
        """
        result = self.replay(history)
        failure: Exception | None = None
        if not result.ok:
            failure = NondeterminismError(result.message) if result.is_nondeterminism else RuntimeError(result.message)
            if raise_on_replay_failure:
                raise failure
        return WorkflowReplayResult(history, failure)

    async def replay_workflows(
        self, histories: AsyncIterator[WorkflowHistory], *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResults:
        """Replay histories, up to the first failure or to the end."""
        failures: dict[str, Exception] = {}
        async for history in histories:
            result = await self.replay_workflow(history, raise_on_replay_failure=raise_on_replay_failure)
            if result.replay_failure is not None:
                failures[history.run_id] = result.replay_failure
        return WorkflowReplayResults(failures)

    @asynccontextmanager
    async def workflow_replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult], None]:
        """Replay histories one by one, as they are asked for."""

        async def results() -> AsyncIterator[WorkflowReplayResult]:
            async for history in histories:
                yield await self.replay_workflow(history, raise_on_replay_failure=False)

        yield results()
