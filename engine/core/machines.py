"""One cached run of a workflow on a worker: between its history and its code.

Does what Temporal's core does (``workflow_machines.rs`` and ``managed_run.rs``): cuts the history into workflow tasks,
makes an activation of each, lets the workflow's code answer, and matches the commands that it asks for with the events
that the history has for them. Past the end of the history the commands become the answer to the workflow task.

Two things here are subtle. *Replaying* ends at the first event that nobody of this run's past has seen: neither a
command's event nor the completion of a task (``_apply_events``). And an activation may cause another one without any new
event: cancelling an activity without waiting for it resolves it at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from .activation import (
    Activation,
    ActivationCompletion,
    CancelTimerCommand,
    CancelWorkflow,
    CancelWorkflowCommand,
    CompleteWorkflowCommand,
    FailWorkflowCommand,
    InitializeWorkflow,
    Job,
    NotifyHasPatch,
    QueryResultCommand,
    QueryWorkflow,
    RequestCancelActivityCommand,
    ScheduleActivityCommand,
    SetPatchMarkerCommand,
    SignalWorkflow,
    StartTimerCommand,
    UpdateRandomSeed,
    WorkflowCommand,
)
from .command_machines import (
    ActivityMachine,
    CancelMachine,
    CommandMachine,
    CompleteMachine,
    EndMachine,
    FailMachine,
    TimerMachine,
)
from .commands import CancelWorkflowExecution, Command, CompleteWorkflowExecution, FailWorkflowExecution
from .conversion import Conversion
from .definition import WorkflowDefinition
from .enums import WorkflowTaskFailedCause
from .events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    MarkerRecorded,
    OtherEvent,
    TimerFired,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowTaskCompleted,
    WorkflowTaskCompletedMetadata,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from .failures import ApplicationFailureInfo, Failure
from .history_sequences import COMMAND_EVENTS, is_closing_event, is_command_event, sequence_end
from .nondeterminism import (
    FatalMachinesError,
    MachinesError,
    Nondeterminism,
    describe_event,
    short_event,
)
from .patch_machines import (
    NORMAL,
    SKIP_COMMAND,
    SKIP_TWO_EVENTS,
    UPSERT_ON_PATCH,
    PatchMachine,
    PatchUpsertMachine,
    marker_handling,
    patch_of,
)
from .requests import Execution, WorkflowQuery, WorkflowQueryResult
from .runtime_context import NondeterminismError
from .workflow_instance import WorkflowInstance

MOVE_TERMINAL_COMMANDS = 3
"""Flag of the core: the command that ends the run is sent last, and none that came after it is dropped."""
WRITTEN_CORE_FLAGS = (1, 3, 4)
"""The core's flags that this engine sets. 2 is left out: see ``patch_machines.py``."""

SDK_NAME = "stormproof"
"""Recorded with the first workflow task of a run. There is no version: it would change every digest."""

LEGACY_QUERY_ID = "legacy"

OnActivation = Callable[[Activation, ActivationCompletion], None]


class Graveyard(Protocol):
    """Keeps suspended user code of a dead process: strong references, in order."""

    def add_task(self, task: Any, context: Context) -> None:
        """A task that isn't done, and the context to end it in."""

    def keep(self, thing: object) -> None:
        """Anything else."""


@dataclass(slots=True)
class WorkflowTaskOutcome:
    """The answer to a workflow task.

    Attributes:
        commands: What the server is asked to do.
        failure: Set: the task has failed (``failure_cause`` says how), and the run must leave the cache.
        query_results: The results of the queries that came with the task.
        query_result: The result of the query that came as a task of its own.
        sdk_metadata: Flags to record with the task.
        is_answer: False if there is nothing to tell the server: all of a closed run was replayed.
        error: What of the history and the code doesn't fit, where that failed the task.
    """

    commands: list[Command] = field(default_factory=list)
    failure: Failure | None = None
    failure_cause: WorkflowTaskFailedCause = WorkflowTaskFailedCause.UNSPECIFIED
    query_results: dict[str, WorkflowQueryResult] = field(default_factory=dict)
    query_result: WorkflowQueryResult | None = None
    sdk_metadata: WorkflowTaskCompletedMetadata | None = None
    is_answer: bool = True
    error: MachinesError | None = None


@dataclass(slots=True)
class _TaskMachine:
    """One workflow task of the history; ``awaited_event_id`` is the started event of the task that is being applied."""

    awaited_event_id: int
    state: str = "Scheduled"
    started_event_id: int = 0
    started_time_us: int = 0


class WorkflowRun:
    """A run in a worker's cache.

    Args:
        definition: The workflow's class.
        execution: The run.
        converter: Values to payloads and back.
        task_queue: The worker's task queue.
        failure_exception_types: Exceptions of these types too fail the workflow, not the workflow task. With
            ``NondeterminismError`` or a base of it, so does nondeterminism.
        lang_flags: Flags of the language's side that new workflow tasks switch on.

    Attributes:
        last_event_id: The last event that was given.
        completed: The workflow's code has ended.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        execution: Execution,
        converter: Conversion,
        *,
        task_queue: str,
        failure_exception_types: Sequence[type[BaseException]] = (),
        lang_flags: frozenset[int] = frozenset(),
    ) -> None:
        self.last_event_id = 0
        self.completed = False
        self.jobs: list[Job] = []
        self._instance = WorkflowInstance(
            definition,
            execution,
            converter,
            task_queue=task_queue,
            failure_exception_types=failure_exception_types,
            lang_flags=lang_flags,
        )
        self._execution = execution
        types = (*failure_exception_types, *definition.failure_exception_types)
        self._fails_on_nondeterminism = any(issubclass(NondeterminismError, kind) for kind in types)
        # The history from event `_first_id` on.
        self._events: list[HistoryEvent] = []
        self._first_id = 1
        self._has_markers = False
        self._previous_started_id = 0
        self._started_id = 0
        self._next_started_id = 0
        self._processed_id = 0
        self._is_replaying = False
        self._is_closed = False
        self._is_last_task = False
        self._skips_next_event = False
        self._time_us = 0
        self._history_size_bytes = 0
        self._continue_as_new_suggested = False
        self._core_flags: set[int] = set()
        self._lang_flags: frozenset[int] = frozenset()
        self._lang_flags_used: list[int] = []
        self._last_sdk_name = ""
        self._activities: dict[int, ActivityMachine] = {}
        self._timers: dict[int, TimerMachine] = {}
        self._by_event_id: dict[int, Any] = {}
        self._commands: deque[tuple[CommandMachine, Callable[[Any], Command]]] = deque()
        self._new_commands: list[tuple[CommandMachine, Callable[[Any], Command]]] = []
        self._patches: dict[str, bool] = {}

    # --- a workflow task --------------------------------------------------------------------------------------------

    def handle_task(
        self,
        events: list[HistoryEvent],
        *,
        previous_started_event_id: int,
        started_event_id: int,
        queries: Mapping[str, WorkflowQuery] | None = None,
        query: WorkflowQuery | None = None,
        on_activation: OnActivation | None = None,
    ) -> WorkflowTaskOutcome:
        """Replay what is known, checking the code's commands, then work on the new task.

        Args:
            events: What follows the events given before; a whole history for a new run. Those known are skipped.
            previous_started_event_id: The start of the last task before this one that was completed, 0 if none.
            started_event_id: The start of this task, 0 for a query's task.
            queries: Queries to answer with the task.
            query: The query for which alone this task was made.
            on_activation: Called with each activation and its completion.
        """
        self._take_in(events)
        self._previous_started_id = previous_started_event_id
        self._is_replaying = previous_started_event_id > 0
        asked = [
            QueryWorkflow(key, asking.query_type, asking.query_args, asking.header)
            for key, asking in (queries or {}).items()
        ]
        if query is not None:
            asked.append(QueryWorkflow(LEGACY_QUERY_ID, query.query_type, query.query_args, query.header))
        try:
            self._apply_next_task()
            if not self.jobs:
                self._apply_next_task()
            return self._work(asked, on_activation)
        except MachinesError as error:
            return self._failed(error, is_query=query is not None)
        finally:
            self._forget_events()

    def _work(self, queries: list[QueryWorkflow], on_activation: OnActivation | None) -> WorkflowTaskOutcome:
        """Activate the code until the task is answered or there is nothing more to do."""
        # Nothing to do but to answer, perhaps: the task brought nothing that concerns the workflow.
        completion = self._activate(self.jobs, on_activation) if self.jobs else ActivationCompletion()
        while True:
            if completion.failure is not None:
                return self._failed_by_code(completion.failure, queries)
            self._note_lang_flags(completion.used_internal_flags)
            commands, results = self._sort(completion.commands)
            legacy = results.pop(LEGACY_QUERY_ID, None)
            if legacy is not None and not commands and not results:
                return WorkflowTaskOutcome(query_result=legacy)
            self._accept(commands)
            if not self.jobs:
                self._apply_while_replaying()
            is_held = bool(self.jobs) or self._is_replaying or self._is_closed or (bool(queries) and not results)
            if results or not is_held:
                return self._answer(results)
            if self.jobs:
                completion = self._activate(self.jobs, on_activation)
            elif queries:
                asked, queries = queries, []
                completion = self._activate(list(asked), on_activation)
                if completion.failure is not None:
                    return self._failed_by_code(completion.failure, asked)
            else:
                return WorkflowTaskOutcome(is_answer=False)

    def _activate(self, jobs: list[Job], on_activation: OnActivation | None) -> ActivationCompletion:
        self.jobs = []
        # Queries are never recorded, so that they look like a replay even at the end of the history.
        is_replaying = self._is_replaying or jobs[0].__class__ is QueryWorkflow
        activation = Activation(
            self._execution.run_id,
            self._time_us,
            is_replaying,
            self._processed_id,
            jobs,
            self._history_size_bytes,
            self._continue_as_new_suggested,
            self._lang_flags,
        )
        completion = self._instance.activate(activation)
        if on_activation is not None:
            on_activation(activation, completion)
        return completion

    def _sort(self, commands: list[WorkflowCommand]) -> tuple[list[WorkflowCommand], dict[str, WorkflowQueryResult]]:
        """The commands in the order in which they are sent, and the results of queries among them."""
        results: dict[str, WorkflowQueryResult] = {}
        moves_terminal = not self._is_replaying or MOVE_TERMINAL_COMMANDS in self._core_flags
        terminal: WorkflowCommand | None = None
        kept: list[WorkflowCommand] = []
        for command in commands:
            kind = command.__class__
            if kind is QueryResultCommand:
                _keep_result(results, command)  # type: ignore[arg-type]  # its class was compared
            elif kind in _TERMINAL:
                terminal = terminal or command
            elif terminal is None or moves_terminal:
                kept.append(command)
        if terminal is not None:
            kept.append(terminal)
        return kept, results

    def _accept(self, commands: list[WorkflowCommand]) -> None:
        """Give the code's commands to the machines, and put into the queue what they make of them."""
        for command in commands:
            _COMMANDS[command.__class__](self, command)
        if self._commands and any(machine.cancelled_before_sent for machine, _ in self._commands):
            self._commands = deque(entry for entry in self._commands if not entry[0].cancelled_before_sent)
        for entry in self._new_commands:
            machine = entry[0]
            if not machine.cancelled_before_sent:
                if machine.__class__ is TimerMachine:
                    machine.sent()  # type: ignore[attr-defined]  # its class was compared
                self._commands.append(entry)
        self._new_commands.clear()

    def _answer(self, results: dict[str, WorkflowQueryResult]) -> WorkflowTaskOutcome:
        commands = [make(machine) for machine, make in self._commands]
        return WorkflowTaskOutcome(commands, query_results=results, sdk_metadata=self._metadata())

    # --- failing a task ---------------------------------------------------------------------------------------------

    def _failed_by_code(self, failure: Failure, queries: list[QueryWorkflow]) -> WorkflowTaskOutcome:
        outcome = WorkflowTaskOutcome(
            failure=failure, failure_cause=WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
        )
        if queries and queries[0].query_id == LEGACY_QUERY_ID:
            outcome.query_result = WorkflowQueryResult(failure=failure)
        return outcome

    def _failed(self, error: MachinesError, *, is_query: bool) -> WorkflowTaskOutcome:
        failure = Failure(message=str(error), info=ApplicationFailureInfo())
        is_nondeterminism = isinstance(error, Nondeterminism)
        if is_nondeterminism and self._fails_on_nondeterminism and not is_query:
            commands = [make(machine) for machine, make in self._commands]
            commands.append(FailWorkflowExecution(failure=failure))
            return WorkflowTaskOutcome(commands, sdk_metadata=self._metadata(), error=error)
        outcome = WorkflowTaskOutcome(
            failure=failure,
            failure_cause=WorkflowTaskFailedCause.NON_DETERMINISTIC_ERROR
            if is_nondeterminism
            else WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE,
            error=error,
        )
        if is_query:
            outcome.query_result = WorkflowQueryResult(failure=failure)
        return outcome

    # --- flags ------------------------------------------------------------------------------------------------------

    def uses_core_flag(self, flag: int, *, is_last_task: bool) -> bool:
        """Whether a behaviour of the core is in force: recorded in the history, or new with the newest task."""
        return is_last_task or flag in self._core_flags

    def _note_lang_flags(self, flags: list[int]) -> None:
        for flag in flags:
            if flag not in self._lang_flags_used:
                self._lang_flags_used.append(flag)

    def _read_flags(self, event: WorkflowTaskCompleted) -> None:
        metadata = event.sdk_metadata
        if metadata is None:
            return
        if metadata.core_used_flags:
            self._core_flags.update(metadata.core_used_flags)
        if metadata.lang_used_flags:
            self._lang_flags |= set(metadata.lang_used_flags)
        self._last_sdk_name = metadata.sdk_name or self._last_sdk_name

    def _metadata(self) -> WorkflowTaskCompletedMetadata:
        """What is new since the last task."""
        core = [flag for flag in WRITTEN_CORE_FLAGS if flag not in self._core_flags]
        lang = [flag for flag in self._lang_flags_used if flag not in self._lang_flags]
        self._core_flags.update(core)
        self._lang_flags |= set(lang)
        return WorkflowTaskCompletedMetadata(core, lang, "" if self._last_sdk_name == SDK_NAME else SDK_NAME)

    # --- the history ------------------------------------------------------------------------------------------------

    def _take_in(self, events: list[HistoryEvent]) -> None:
        known = self.last_event_id
        if events and events[0].event_id <= known:
            events = [event for event in events if event.event_id > known]
        if not events:
            return
        if not self._events:
            self._first_id = events[0].event_id
        self._events.extend(events)
        self.last_event_id = events[-1].event_id
        self._has_markers = self._has_markers or any(event.__class__ is MarkerRecorded for event in events)

    def _forget_events(self) -> None:
        """Let go of what is before the last workflow task that was applied."""
        count = self._started_id + 1 - self._first_id
        if count > 0:
            del self._events[:count]
            self._first_id += count

    def _next_sequence(self, after_started_id: int) -> tuple[int, int, bool]:
        """First and last index of the events of the next workflow task, and whether anything follows."""
        start = max(after_started_id + 1 - self._first_id, 0)
        end, is_complete = sequence_end(self._events, start, after_started_id)
        if not is_complete and end <= start:
            return start, start - 1, True
        return start, end, end + 1 >= len(self._events)

    def _apply_while_replaying(self) -> None:
        """Apply tasks that concern nobody but the machines."""
        while True:
            count = self._apply_next_task()
            if count == 0 or not self._is_replaying or self.jobs:
                return

    def _apply_next_task(self) -> int:
        """Apply the events of the next workflow task, up to its start. Returns how many there were."""
        if self._is_closed:
            self._is_replaying = False
            return 0
        handled_id = self._started_id
        start, end, is_last = self._next_sequence(handled_id)
        # Some of them were seen in a query's task.
        start = max(start, self._processed_id + 1 - self._first_id)
        events = self._events
        if end < start:
            self._is_replaying = False
        else:
            self._apply_events(start, end, is_last=is_last)
        if self._has_markers:
            self._announce_patches(events, handled_id, end)
        return max(end + 1 - start, 0)

    def _apply_events(self, start: int, end: int, *, is_last: bool) -> None:
        events = self._events
        self._peek_flags(start, end)
        last = events[end]
        if last.__class__ is WorkflowTaskStarted:
            self._next_started_id = last.event_id
        self._is_last_task = is_last
        for index in range(start, end + 1):
            event = events[index]
            event_id = event.event_id
            if event_id != self._processed_id + 1:
                raise FatalMachinesError(
                    f"History is out of order. Last processed event: {self._processed_id}, event id: {event_id}"
                )
            kind = event.__class__
            if (
                self._is_replaying
                and is_last
                and event_id > self._previous_started_id
                and kind is not WorkflowTaskCompleted
                and not is_command_event(event)
            ):
                self._is_replaying = False
            if self._skips_next_event:
                self._skips_next_event = False
            else:
                handle = _EVENTS.get(kind)
                if handle is None:
                    self._command_event(event, events[index + 1] if index < end else None)
                else:
                    handle(self, event)
            self._processed_id = event_id

    def _peek_flags(self, start: int, end: int) -> None:
        """Read the flags of the completions of these events, and of the next one, with which they were completed."""
        events = self._events
        for index in range(start, end + 1):
            event = events[index]
            if event.__class__ is WorkflowTaskCompleted:
                self._read_flags(event)  # type: ignore[arg-type]  # its class was compared
        for index in range(end, len(events)):
            event = events[index]
            if event.__class__ is WorkflowTaskCompleted:
                self._read_flags(event)  # type: ignore[arg-type]  # its class was compared
                return

    def _announce_patches(self, events: list[HistoryEvent], handled_id: int, end: int) -> None:
        """Tell the workflow of the patches that its code is about to reach."""
        start = end + 1
        if start >= len(events):
            return
        peeked_end, _ = sequence_end(events, start, handled_id)
        for index in range(start, peeked_end + 1):
            patch = patch_of(events[index])
            if patch is not None:
                self._patches[patch[0]] = False
                self.jobs.append(NotifyHasPatch(patch[0]))

    # --- events -----------------------------------------------------------------------------------------------------

    def _command_event(self, event: HistoryEvent, following: HistoryEvent | None) -> None:
        """The history has a command: the code must have asked for it, and it must be the next one."""
        if is_closing_event(event):
            self._is_closed = True
        commands = self._commands
        while True:
            if self._has_markers or self._patches:
                machine = commands[0][0] if commands else None
                handling = marker_handling(event, machine, following)
                if handling == SKIP_COMMAND:
                    commands.popleft()
                    continue
                if handling != NORMAL:
                    self._skips_next_event = handling == SKIP_TWO_EVENTS
                    return
            if not commands:
                raise Nondeterminism(
                    f"No command scheduled for event {short_event(event)}",
                    event.event_id,
                    describe_event(event),
                    "asks for nothing",
                )
            machine = commands.popleft()[0]
            if not machine.cancelled_before_sent:
                machine.on_event(self, event, is_last_task=self._is_last_task)
                self._by_event_id[event.event_id] = machine
                return

    def _closed_from_outside(self, event: WorkflowExecutionTimedOut | WorkflowExecutionTerminated) -> None:
        self._is_closed = True
        if not self._is_last_task or event.event_id != self.last_event_id:
            raise FatalMachinesError(
                "Machines were fed a history which has an event after workflow execution was terminated!"
            )

    def _other_event(self, event: OtherEvent) -> None:
        extra = event.extra or {}
        if extra.get("workerMayIgnore") or event.attributes.get("workerMayIgnore"):
            return
        if is_command_event(event):
            self._command_event(event, None)
            return
        raise FatalMachinesError(f"The event is of a type that can't be handled here: {short_event(event)}")

    def _activity_event(
        self,
        event: ActivityTaskStarted
        | ActivityTaskCompleted
        | ActivityTaskFailed
        | ActivityTaskTimedOut
        | ActivityTaskCanceled,
    ) -> None:
        machine = self._by_event_id.get(event.scheduled_event_id)
        if machine is None:
            self._refuse_uncaused(event)
        else:
            machine.on_event(self, event, is_last_task=self._is_last_task)

    def _timer_fired(self, event: TimerFired) -> None:
        machine = self._by_event_id.get(event.started_event_id)
        if machine is None:
            self._refuse_uncaused(event)
        else:
            machine.on_event(self, event, is_last_task=self._is_last_task)

    def _refuse_uncaused(self, event: HistoryEvent) -> None:
        raise Nondeterminism(
            "During event handling, this event had an initial command ID but we could not find a matching command for "
            f"it: {short_event(event)}",
            event.event_id,
            describe_event(event),
            "has not asked for what it refers to",
        )

    def _run_started(self, event: WorkflowExecutionStarted) -> None:
        self._set_time(event.time_us)
        execution = self._execution
        self.jobs.append(
            InitializeWorkflow(
                execution.workflow_id,
                execution.run_id,
                event.workflow_type,
                event.input,
                event.header,
                event.identity,
                event,
            )
        )

    def _signaled(self, event: WorkflowExecutionSignaled) -> None:
        self.jobs.append(SignalWorkflow(event.signal_name, event.input, event.identity, event.header))

    def _cancel_requested(self, event: WorkflowExecutionCancelRequested) -> None:
        self.jobs.append(CancelWorkflow(event.cause))

    def _set_time(self, time_us: int) -> None:
        self._time_us = max(self._time_us, time_us)

    # --- workflow tasks in the history ------------------------------------------------------------------------------

    def _task_scheduled(self, event: WorkflowTaskScheduled) -> None:
        self._by_event_id[event.event_id] = _TaskMachine(self._next_started_id)

    def _task_of(self, event: Any, *states: str) -> _TaskMachine:
        machine = self._by_event_id.get(event.scheduled_event_id)
        if machine is None:
            self._refuse_uncaused(event)
        if machine.__class__ is not _TaskMachine:
            raise Nondeterminism(f"{type(machine).name} machine does not handle this event: {short_event(event)}")
        if machine.state not in states:
            raise FatalMachinesError(
                f"WorkflowTask machine in state {machine.state} says the transition is invalid during event "
                f"{short_event(event)}"
            )
        return machine

    def _task_started(self, event: WorkflowTaskStarted) -> None:
        self._history_size_bytes = event.history_size_bytes
        self._continue_as_new_suggested = event.suggest_continue_as_new
        machine = self._task_of(event, "Scheduled")
        machine.state = "Started"
        machine.started_event_id = event.event_id
        machine.started_time_us = event.time_us
        # The start of a task that led to nothing is passed over.
        if event.event_id >= machine.awaited_event_id:
            self._started_id = machine.awaited_event_id
            self._set_time(event.time_us)

    def _task_completed(self, event: WorkflowTaskCompleted) -> None:
        machine = self._task_of(event, "Started")
        machine.state = "Completed"
        self._started_id = machine.started_event_id
        self._set_time(machine.started_time_us)

    def _task_failed(self, event: WorkflowTaskFailed) -> None:
        self._task_of(event, "Started").state = "Failed"
        # Only a reset names a new run.
        if event.new_run_id:
            self.jobs.append(UpdateRandomSeed(event.new_run_id))

    def _task_timed_out(self, event: WorkflowTaskTimedOut) -> None:
        self._task_of(event, "Scheduled", "Started").state = "TimedOut"

    # --- commands ---------------------------------------------------------------------------------------------------

    def issue(self, machine: CommandMachine, make: Callable[[Any], Command]) -> None:
        """Add a command of the current workflow task; it is made when it is sent."""
        self._new_commands.append((machine, make))

    def _start_timer(self, command: StartTimerCommand) -> None:
        machine = self._timers[command.seq] = TimerMachine(command)
        self._new_commands.append((machine, TimerMachine.make_command))

    def _cancel_timer(self, command: CancelTimerCommand) -> None:
        self._known(self._timers, command.seq, "Timer").cancel(self)

    def _schedule_activity(self, command: ScheduleActivityCommand) -> None:
        machine = self._activities[command.seq] = ActivityMachine(command)
        self._new_commands.append((machine, ActivityMachine.make_command))

    def _cancel_activity(self, command: RequestCancelActivityCommand) -> None:
        self._known(self._activities, command.seq, "Activity").cancel(self)

    def _known(self, machines: dict[int, Any], seq: int, kind: str) -> Any:
        machine = machines.get(seq)
        if machine is None:
            raise Nondeterminism(f"Missing associated machine for {kind}({seq})")
        return machine

    def _set_patch_marker(self, command: SetPatchMarkerCommand) -> None:
        patch_id = command.patch_id
        was_announced = patch_id in self._patches
        if self._patches.get(patch_id):
            return
        machine = PatchMachine(patch_id, deprecated=command.deprecated)
        self._new_commands.append((machine, PatchMachine.make_command))
        if self._is_replaying and was_announced and UPSERT_ON_PATCH in self._core_flags:
            self._new_commands.append((PatchUpsertMachine(), PatchUpsertMachine.make_command))
        self._patches[patch_id] = True

    def _complete(self, command: CompleteWorkflowCommand) -> None:
        result = [] if command.result is None else [command.result]
        self._end(CompleteMachine(CompleteWorkflowExecution(result=result)))

    def _fail(self, command: FailWorkflowCommand) -> None:
        self._end(FailMachine(FailWorkflowExecution(failure=command.failure)))

    def _cancel(self, _command: CancelWorkflowCommand) -> None:
        self._end(CancelMachine(CancelWorkflowExecution()))

    def _end(self, machine: EndMachine) -> None:
        self.completed = True
        self._new_commands.append((machine, EndMachine.make_command))

    # --- closing ----------------------------------------------------------------------------------------------------

    def close(self, *, run_user_code: bool = True, graveyard: Graveyard | None = None) -> None:
        """Let go of the run, as on eviction.

        Args:
            run_user_code: Cancel its tasks and let their ``finally`` blocks run, as the real SDK does; what they ask for
                is ignored. False for a process that has crashed: nothing of it may run any more.
            graveyard: Gets what would run code when it is freed. Without one, such things are freed now.
        """
        instance = self._instance
        if run_user_code:
            instance.evict()
        left = instance.detach()
        if graveyard is not None:
            for task in left:
                graveyard.add_task(task, copy_context())
            if left:
                graveyard.keep(instance.object)
        self._events = []
        self._by_event_id = {}
        self._commands.clear()


def _keep_result(results: dict[str, WorkflowQueryResult], command: QueryResultCommand) -> None:
    answer = [] if command.response is None else [command.response]
    results[command.query_id] = WorkflowQueryResult(answer, command.failure)


_TERMINAL = frozenset({CompleteWorkflowCommand, FailWorkflowCommand, CancelWorkflowCommand})

_COMMANDS: dict[type, Callable[[WorkflowRun, Any], None]] = {
    StartTimerCommand: WorkflowRun._start_timer,  # noqa: SLF001 (the class's own tables)
    CancelTimerCommand: WorkflowRun._cancel_timer,  # noqa: SLF001
    ScheduleActivityCommand: WorkflowRun._schedule_activity,  # noqa: SLF001
    RequestCancelActivityCommand: WorkflowRun._cancel_activity,  # noqa: SLF001
    SetPatchMarkerCommand: WorkflowRun._set_patch_marker,  # noqa: SLF001
    CompleteWorkflowCommand: WorkflowRun._complete,  # noqa: SLF001
    FailWorkflowCommand: WorkflowRun._fail,  # noqa: SLF001
    CancelWorkflowCommand: WorkflowRun._cancel,  # noqa: SLF001
}

# What isn't here is a command's event.
_EVENTS: dict[type, Callable[[WorkflowRun, Any], None]] = {
    WorkflowExecutionStarted: WorkflowRun._run_started,  # noqa: SLF001
    WorkflowExecutionSignaled: WorkflowRun._signaled,  # noqa: SLF001
    WorkflowExecutionCancelRequested: WorkflowRun._cancel_requested,  # noqa: SLF001
    WorkflowExecutionTimedOut: WorkflowRun._closed_from_outside,  # noqa: SLF001
    WorkflowExecutionTerminated: WorkflowRun._closed_from_outside,  # noqa: SLF001
    WorkflowTaskScheduled: WorkflowRun._task_scheduled,  # noqa: SLF001
    WorkflowTaskStarted: WorkflowRun._task_started,  # noqa: SLF001
    WorkflowTaskCompleted: WorkflowRun._task_completed,  # noqa: SLF001
    WorkflowTaskFailed: WorkflowRun._task_failed,  # noqa: SLF001
    WorkflowTaskTimedOut: WorkflowRun._task_timed_out,  # noqa: SLF001
    ActivityTaskStarted: WorkflowRun._activity_event,  # noqa: SLF001
    ActivityTaskCompleted: WorkflowRun._activity_event,  # noqa: SLF001
    ActivityTaskFailed: WorkflowRun._activity_event,  # noqa: SLF001
    ActivityTaskTimedOut: WorkflowRun._activity_event,  # noqa: SLF001
    ActivityTaskCanceled: WorkflowRun._activity_event,  # noqa: SLF001
    TimerFired: WorkflowRun._timer_fired,  # noqa: SLF001
    OtherEvent: WorkflowRun._other_event,  # noqa: SLF001
}
assert not COMMAND_EVENTS & _EVENTS.keys()
