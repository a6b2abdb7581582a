"""The history of one run, applied to state machines: commands go in, events are matched with them, jobs come out.

After Temporal's core (``workflow_machines.rs``). Two things are subtle. *Replaying* ends at the first event that this
run's past hasn't seen: neither a command's event nor the completion of a task (``_apply_events``). And events are read
ahead of their time in two ways: the flags of the task that is being replayed lie in its completion, which comes after
it, and so do the markers of the patches that its code is about to reach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from .activation import (
    CancelTimerCommand,
    CancelWorkflow,
    CancelWorkflowCommand,
    CompleteWorkflowCommand,
    FailWorkflowCommand,
    InitializeWorkflow,
    Job,
    NotifyHasPatch,
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
from .events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
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
from .history_sequences import COMMAND_EVENTS, find_sequences, is_closing_event, is_command_event
from .nondeterminism import FatalMachinesError, Nondeterminism, describe_event, short_event
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
from .requests import Execution
from .task_machine import TaskMachine

WRITTEN_CORE_FLAGS = (1, 3, 4)
"""The core's flags that this engine sets. 2 is left out: see ``patch_machines.py``."""

SDK_NAME = "stormproof"
"""Recorded with the first workflow task of a run. There is no version: it would change every digest."""

_CommandEntry = tuple[CommandMachine, Callable[[Any], Command]]


class HistoryMachines:
    """See the module.

    Attributes:
        jobs: What the next activation has for the workflow.
        last_event_id: The last event that was given.
        processed_event_id: The last event that was applied.
        started_event_id: The start of the last workflow task that was applied.
        is_replaying: What was applied last had been done before.
        is_closed: The event that ends the run was applied.
        completed: The workflow's code has asked for the end of the run.
        time_us: Workflow time.
    """

    last_event_id = 0
    processed_event_id = 0
    started_event_id = 0
    is_replaying = False
    is_closed = False
    completed = False
    time_us = 0
    history_size_bytes = 0
    continue_as_new_suggested = False
    lang_flags: frozenset[int] = frozenset()
    _last_sdk_name = ""
    _first_id = 1
    _has_markers = False
    _previous_started_id = 0
    _next_started_id = 0
    _is_last_task = False
    _skips_next_event = False

    def __init__(self, execution: Execution) -> None:
        self.jobs: list[Job] = []
        self.core_flags: set[int] = set()
        self._execution = execution
        # The history from event `_first_id` on; the ends (as ids) of sequences in it that weren't applied, and the
        # completions whose flags weren't read, both in reverse.
        self._events: list[HistoryEvent] = []
        self._ends: list[int] = []
        self._completions: list[WorkflowTaskCompleted] = []
        self._lang_flags_used: list[int] = []
        self._activities: dict[int, ActivityMachine] = {}
        self._timers: dict[int, TimerMachine] = {}
        self._by_event_id: dict[int, CommandMachine] = {}
        self._commands: deque[_CommandEntry] = deque()
        self._new_commands: list[_CommandEntry] = []
        self._patches: dict[str, bool] = {}

    # --- the history ------------------------------------------------------------------------------------------------

    def take_in(self, events: list[HistoryEvent], previous_started_event_id: int) -> None:
        """Add what follows the events given before; those known are skipped."""
        self._previous_started_id = previous_started_event_id
        self.is_replaying = previous_started_event_id > 0
        known = self.last_event_id
        if events and events[0].event_id <= known:
            events = [event for event in events if event.event_id > known]
        if not events:
            return
        if not self._events:
            self._first_id = events[0].event_id
        self._events.extend(events)
        first_id = self._first_id
        self.last_event_id = first_id + len(self._events) - 1
        ends, completions, has_markers = find_sequences(self._events, self.started_event_id + 1 - first_id)
        # Both are taken from the front, which is now the end.
        self._ends = [index + first_id for index in reversed(ends)]
        completions.reverse()
        self._completions = completions
        if has_markers:
            self._has_markers = True

    def forget_events(self) -> None:
        """Let go of what is before the last workflow task that was applied."""
        count = self.started_event_id + 1 - self._first_id
        if count > 0:
            del self._events[:count]
            self._first_id += count

    def apply_while_replaying(self) -> None:
        """Apply workflow tasks, as long as they have no jobs and are replayed."""
        while True:
            count = self.apply_next_task()
            if count == 0 or not self.is_replaying or self.jobs:
                return

    def apply_next_task(self) -> int:
        """Apply the events of the next workflow task, up to its start. Returns how many there were."""
        if self.is_closed:
            self.is_replaying = False
            return 0
        # Some of the events may have been seen in a query's task.
        start_id = self.processed_event_id + 1
        end_id = self._next_end()
        if end_id < start_id:
            self.is_replaying = False
        else:
            self._apply_events(start_id, end_id)
        if self._has_markers:
            self._announce_patches(max(end_id, self.started_event_id) + 1)
        return end_id + 1 - start_id if end_id >= start_id else 0

    def _next_end(self) -> int:
        """The id of the last event of the next sequence."""
        if self._ends:
            return self._ends.pop()
        # What is left is a sequence, though not complete; but for a single event, which is left where it is (as in the
        # core).
        last_id = self.last_event_id
        return last_id if last_id - self.started_event_id > 1 else 0

    def _apply_events(self, start_id: int, end_id: int) -> None:
        events = self._events
        first_id = self._first_id
        by_event_id = self._by_event_id
        last = events[end_id - first_id]
        self._read_flags_up_to(end_id)
        if last.__class__ is WorkflowTaskStarted:
            self._next_started_id = end_id
        is_last = self._is_last_task = end_id == self.last_event_id
        may_stop_replaying = is_last and self.is_replaying
        event_id = start_id - 1
        for index in range(start_id - first_id, end_id + 1 - first_id):
            event: Any = events[index]
            event_id += 1
            if event.event_id != event_id:
                raise FatalMachinesError(
                    f"History is out of order. Last processed event: {event_id - 1}, event id: {event.event_id}"
                )
            kind = event.__class__
            if (
                may_stop_replaying
                and event_id > self._previous_started_id
                and kind is not WorkflowTaskCompleted
                and not is_command_event(event)
            ):
                self.is_replaying = may_stop_replaying = False
            if self._skips_next_event:
                self._skips_next_event = False
            elif kind in _CAUSED_BY_SCHEDULING:
                machine = by_event_id.get(event.scheduled_event_id)
                if machine is None:
                    _refuse_uncaused(event)
                transition = machine.row.get(kind)
                if transition is None:
                    machine.refuse(event)
                row, action = transition
                if action is not None:
                    action(machine, self, event, is_last)
                machine.row = row
            else:
                handle = _EVENTS.get(kind)
                if handle is not None:
                    handle(self, event)
                else:
                    self._command_event(event, events[index + 1] if event_id < end_id else None)
            self.processed_event_id = event_id

    def _announce_patches(self, start_id: int) -> None:
        """Tell the workflow of the patches that its code is about to reach."""
        end_id = self._ends[-1] if self._ends else self.last_event_id
        first_id = self._first_id
        for event in self._events[start_id - first_id : end_id + 1 - first_id]:
            patch = patch_of(event)
            if patch is not None:
                self._patches[patch[0]] = False
                self.jobs.append(NotifyHasPatch(patch[0]))

    # --- flags ------------------------------------------------------------------------------------------------------

    def _read_flags_up_to(self, event_id: int) -> None:
        """Read the flags of all completions up to an event, and of the one after it, which is that of the next task."""
        completions = self._completions
        while completions:
            event = completions.pop()
            metadata = event.sdk_metadata
            if metadata is not None:
                if metadata.core_used_flags and not self.core_flags.issuperset(metadata.core_used_flags):
                    self.core_flags.update(metadata.core_used_flags)
                if metadata.lang_used_flags:
                    self.lang_flags |= set(metadata.lang_used_flags)
                self._last_sdk_name = metadata.sdk_name or self._last_sdk_name
            if event.event_id > event_id:
                return

    def note_lang_flags(self, flags: list[int]) -> None:
        """Keep flags to be recorded with the task."""
        for flag in flags:
            if flag not in self._lang_flags_used:
                self._lang_flags_used.append(flag)

    def metadata(self) -> WorkflowTaskCompletedMetadata:
        """Flags that are new since the last task."""
        core = [flag for flag in WRITTEN_CORE_FLAGS if flag not in self.core_flags]
        lang = [flag for flag in self._lang_flags_used if flag not in self.lang_flags]
        if core:
            self.core_flags.update(core)
        if lang:
            self.lang_flags |= set(lang)
        return WorkflowTaskCompletedMetadata(core, lang, "" if self._last_sdk_name == SDK_NAME else SDK_NAME)

    # --- events -----------------------------------------------------------------------------------------------------

    def _command_event(self, event: HistoryEvent, following: HistoryEvent | None) -> None:
        """The history has a command: the code must have asked for it, and it must be the next one."""
        if is_closing_event(event):
            self.is_closed = True
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
                self._transit(machine, event)
                self._by_event_id[event.event_id] = machine
                return

    def _timer_fired(self, event: TimerFired) -> None:
        machine = self._by_event_id.get(event.started_event_id)
        if machine is None:
            _refuse_uncaused(event)
        self._transit(machine, event)

    def _transit(self, machine: CommandMachine, event: HistoryEvent) -> None:
        transition = machine.row.get(event.__class__)
        if transition is None:
            machine.refuse(event)
        row, action = transition
        if action is not None:
            action(machine, self, event, self._is_last_task)
        machine.row = row

    def _closed_from_outside(self, event: WorkflowExecutionTimedOut | WorkflowExecutionTerminated) -> None:
        self.is_closed = True
        if not self._is_last_task or event.event_id != self.last_event_id:
            raise FatalMachinesError(
                "Machines were fed a history which has an event after workflow execution was terminated!"
            )

    def _other_event(self, event: OtherEvent) -> None:
        extra = event.extra or {}
        if extra.get("workerMayIgnore") or event.attributes.get("workerMayIgnore"):
            return
        if not is_command_event(event):
            raise FatalMachinesError(f"The event is of a type that can't be handled here: {short_event(event)}")
        self._command_event(event, None)

    def _run_started(self, event: WorkflowExecutionStarted) -> None:
        self.time_us = event.time_us
        execution = self._execution
        job = InitializeWorkflow(
            execution.workflow_id,
            execution.run_id,
            event.workflow_type,
            event.input,
            event.header,
            event.identity,
            event,
        )
        self.jobs.append(job)

    def _signaled(self, event: WorkflowExecutionSignaled) -> None:
        self.jobs.append(SignalWorkflow(event.signal_name, event.input, event.identity, event.header))

    def _cancel_requested(self, event: WorkflowExecutionCancelRequested) -> None:
        self.jobs.append(CancelWorkflow(event.cause))

    def _task_scheduled(self, event: WorkflowTaskScheduled) -> None:
        self._by_event_id[event.event_id] = TaskMachine(self._next_started_id)

    def task_has_started(self, event_id: int, time_us: int) -> None:
        """A task's machine says that the code works on this task now."""
        self.started_event_id = event_id
        self.time_us = max(self.time_us, time_us)

    def reset_to(self, run_id: str) -> None:
        """A task's machine says that the history was reset to this task."""
        self.jobs.append(UpdateRandomSeed(run_id))

    # --- commands ---------------------------------------------------------------------------------------------------

    def accept(self, commands: list[WorkflowCommand]) -> None:
        """Give the code's commands to the machines, and put into the queue what they make of them.

        Raises:
            Nondeterminism: One of them is about something that isn't there.
        """
        cancels = False
        for command in commands:
            kind = command.__class__
            _COMMANDS[kind](self, command)
            cancels = cancels or kind in _CANCELS
        if cancels:
            self._commands = deque(entry for entry in self._commands if not entry[0].cancelled_before_sent)
        for entry in self._new_commands:
            machine = entry[0]
            if not machine.cancelled_before_sent:
                machine.sent()
                self._commands.append(entry)
        self._new_commands.clear()

    def make_commands(self) -> list[Command]:
        """The commands that the server hasn't been sent."""
        return [make(machine) for machine, make in self._commands]

    def issue(self, machine: CommandMachine, make: Callable[[Any], Command]) -> None:
        """Add a command of the current workflow task; it is made when it is sent."""
        self._new_commands.append((machine, make))

    def _start_timer(self, command: StartTimerCommand) -> None:
        machine = self._timers[command.seq] = TimerMachine(command)
        self._new_commands.append((machine, TimerMachine.make_command))

    def _cancel_timer(self, command: CancelTimerCommand) -> None:
        _known(self._timers, command.seq, "Timer").cancel(self)

    def _schedule_activity(self, command: ScheduleActivityCommand) -> None:
        machine = self._activities[command.seq] = ActivityMachine(command)
        self._new_commands.append((machine, ActivityMachine.make_command))

    def _cancel_activity(self, command: RequestCancelActivityCommand) -> None:
        _known(self._activities, command.seq, "Activity").cancel(self)

    def _set_patch_marker(self, command: SetPatchMarkerCommand) -> None:
        patch_id = command.patch_id
        was_announced = patch_id in self._patches
        if self._patches.get(patch_id):
            return
        machine = PatchMachine(patch_id, deprecated=command.deprecated)
        self._new_commands.append((machine, PatchMachine.make_command))
        if self.is_replaying and was_announced and UPSERT_ON_PATCH in self.core_flags:
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


def _refuse_uncaused(event: HistoryEvent) -> NoReturn:
    raise Nondeterminism(
        "During event handling, this event had an initial command ID but we could not find a matching command for it: "
        f"{short_event(event)}",
        event.event_id,
        describe_event(event),
        "has not asked for what it refers to",
    )


def _known(machines: dict[int, Any], seq: int, kind: str) -> Any:
    machine = machines.get(seq)
    if machine is None:
        raise Nondeterminism(f"Missing associated machine for {kind}({seq})")
    return machine


_COMMANDS: dict[type, Callable[[HistoryMachines, Any], None]] = {
    StartTimerCommand: HistoryMachines._start_timer,  # noqa: SLF001 (the class's own tables)
    CancelTimerCommand: HistoryMachines._cancel_timer,  # noqa: SLF001
    ScheduleActivityCommand: HistoryMachines._schedule_activity,  # noqa: SLF001
    RequestCancelActivityCommand: HistoryMachines._cancel_activity,  # noqa: SLF001
    SetPatchMarkerCommand: HistoryMachines._set_patch_marker,  # noqa: SLF001
    CompleteWorkflowCommand: HistoryMachines._complete,  # noqa: SLF001
    FailWorkflowCommand: HistoryMachines._fail,  # noqa: SLF001
    CancelWorkflowCommand: HistoryMachines._cancel,  # noqa: SLF001
}

_CANCELS = frozenset({CancelTimerCommand, RequestCancelActivityCommand})

_CAUSED_BY_SCHEDULING = frozenset(
    {
        *(WorkflowTaskStarted, WorkflowTaskCompleted, WorkflowTaskFailed, WorkflowTaskTimedOut),
        *(ActivityTaskStarted, ActivityTaskCompleted, ActivityTaskFailed, ActivityTaskTimedOut, ActivityTaskCanceled),
    }
)
"""Events for the machine of the event that has scheduled what they are about."""

# What is in neither table is a command's event.
_EVENTS: dict[type, Callable[[HistoryMachines, Any], None]] = {
    WorkflowExecutionStarted: HistoryMachines._run_started,  # noqa: SLF001
    WorkflowExecutionSignaled: HistoryMachines._signaled,  # noqa: SLF001
    WorkflowExecutionCancelRequested: HistoryMachines._cancel_requested,  # noqa: SLF001
    WorkflowExecutionTimedOut: HistoryMachines._closed_from_outside,  # noqa: SLF001
    WorkflowExecutionTerminated: HistoryMachines._closed_from_outside,  # noqa: SLF001
    WorkflowTaskScheduled: HistoryMachines._task_scheduled,  # noqa: SLF001
    TimerFired: HistoryMachines._timer_fired,  # noqa: SLF001
    OtherEvent: HistoryMachines._other_event,  # noqa: SLF001
}
assert not COMMAND_EVENTS & (_EVENTS.keys() | _CAUSED_BY_SCHEDULING)
