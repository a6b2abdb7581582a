"""State machines for what a workflow's code asks for: one per activity, timer and end of the run.

Each machine is a table, state and input to next state and action; what a table doesn't have is an error. The tables are
those of Temporal's core (``worker/workflow/machines/*_state_machine.rs``), ``Cancel`` and ``Abandon`` being what the
workflow's code does, event classes what the history says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, Protocol

from .activation import FireTimer as FireTimerJob
from .activation import Job, ResolveActivity, ScheduleActivityCommand, StartTimerCommand
from .commands import (
    CancelTimer,
    Command,
    RequestCancelActivityTask,
    ScheduleActivityTask,
    StartTimer,
)
from .enums import ActivityCancellationType, RetryState, TaskQueueKind
from .events import (
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    TaskQueue,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from .failures import ActivityFailureInfo, CanceledFailureInfo, Failure
from .nondeterminism import (
    FatalMachinesError,
    Nondeterminism,
    describe_command,
    describe_event,
    event_name,
    short_event,
)

CANCEL = "Cancel"
ABANDON = "Abandon"

ID_AND_TYPE_CHECKS = 1
"""Flag of the core: ids and types of activities are compared with those in the history."""


class Machines(Protocol):
    """What a machine can do to the run that it belongs to."""

    jobs: list[Job]
    core_flags: set[int]

    def issue(self, machine: CommandMachine, make: Callable[[Any], Command]) -> None:
        """Add a command of the current workflow task."""


Action = Callable[[Any, Any, Any, bool], None]
"""What happens on a transition: machine, run, event (``None`` for an input of the code), is it the last task."""


class Row(dict[Any, tuple["Row", Action | None]]):
    """A state with its transitions: input to next state and action."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = state


def rows_of(table: Mapping[tuple[str, Any], tuple[str, Any]]) -> dict[str, Row]:
    """The states of a table, linked, so that a transition costs one look-up."""
    states = dict.fromkeys([*(state for state, _ in table), *(state for state, _ in table.values())])
    rows = {state: Row(state) for state in states}
    for (state, given), (following, action) in table.items():
        rows[state][given] = (rows[following], action)
    return rows


class CommandMachine:
    """What all machines have.

    Attributes:
        row: The state that it is in.
        cancelled_before_sent: The command was cancelled in the workflow task that issued it: it is never sent.
    """

    __slots__ = ("cancelled_before_sent", "row")
    name: ClassVar[str]
    table: ClassVar[Mapping[tuple[str, Any], tuple[str, Action | None]]]
    """State and input to next state and action."""
    rows: ClassVar[Mapping[str, Row]]
    handled: ClassVar[frozenset[type]]
    """The events that a machine of this kind is for."""

    def __init__(self, state: str) -> None:
        self.row = self.rows[state]
        self.cancelled_before_sent = False

    @property
    def state(self) -> str:
        """The state's name, as in Temporal's core."""
        return self.row.state

    def make_command(self) -> Command:
        """The command that this machine was made for."""
        raise FatalMachinesError(f"{self.name} makes no command")

    def sent(self) -> None:
        """Its commands are on their way to the server."""

    def refuse(self, event: HistoryEvent) -> NoReturn:
        """Refuse an event for which the table has nothing.

        Raises:
            Nondeterminism: The machine is not for events of this type.
            FatalMachinesError: The state does not allow it.
        """
        if event.__class__ not in self.handled:
            raise Nondeterminism(
                f"{self.name} machine does not handle this event: {short_event(event)}",
                event.event_id,
                describe_event(event),
                describe_command(self.make_command()),
            )
        raise FatalMachinesError(
            f"{self.name} machine in state {self.state} says the transition is invalid during event "
            f"EventInfo {{ event_id: {event.event_id}, event_type: {event_name(event)} }}"
        )

    def _input(self, run: Machines, given: str) -> bool:
        """Apply an input of the workflow's code. False if the state has no such transition."""
        transition = self.row.get(given)
        if transition is None:
            return False
        row, action = transition
        if action is not None:
            action(self, run, None, False)
        self.row = row
        return True


# --- activities -----------------------------------------------------------------------------------------------------


class ActivityMachine(CommandMachine):
    """One activity."""

    __slots__ = ("command", "scheduled_event_id", "seq")
    name = "Activity"

    def __init__(self, command: ScheduleActivityCommand) -> None:
        self.row = _ACTIVITY_CREATED
        self.cancelled_before_sent = False
        self.command = command
        self.seq = command.seq
        self.scheduled_event_id = 0

    def make_command(self) -> Command:
        """The command that schedules it."""
        command = self.command
        return ScheduleActivityTask(
            user_metadata=command.user_metadata,
            activity_id=command.activity_id,
            activity_type=command.activity_type,
            task_queue=TaskQueue(command.task_queue, TaskQueueKind.NORMAL),
            header=command.headers,
            input=command.arguments,
            schedule_to_close_timeout_us=command.schedule_to_close_timeout_us,
            schedule_to_start_timeout_us=command.schedule_to_start_timeout_us,
            start_to_close_timeout_us=command.start_to_close_timeout_us,
            heartbeat_timeout_us=command.heartbeat_timeout_us,
            retry_policy=command.retry_policy,
        )

    def make_cancel_command(self) -> Command:
        """The command that asks for its cancellation."""
        return RequestCancelActivityTask(scheduled_event_id=self.scheduled_event_id)

    def cancel(self, run: Machines) -> None:
        """The workflow's code cancels it; nothing happens once it has ended."""
        is_abandoned = self.command.cancellation_type == ActivityCancellationType.ABANDON
        if not self._input(run, ABANDON if is_abandoned else CANCEL) and self.state not in _ACTIVITY_ENDED:
            raise FatalMachinesError(f"Activity machine can't be cancelled in state {self.state}")

    # Actions: (run, event, is_last_task) -> None

    def _scheduled(self, run: Machines, event: ActivityTaskScheduled, is_last_task: bool) -> None:
        command = self.command
        if (event.activity_id != command.activity_id or event.activity_type != command.activity_type) and (
            is_last_task or ID_AND_TYPE_CHECKS in run.core_flags
        ):
            self._mismatch(event)
        self.scheduled_event_id = event.event_id

    def _mismatch(self, event: ActivityTaskScheduled) -> NoReturn:
        what, recorded, asked = "id", event.activity_id, self.command.activity_id
        if recorded == asked:
            what, recorded, asked = "type", event.activity_type, self.command.activity_type
        raise Nondeterminism(
            f"Activity {what} of scheduled event '{recorded}' does not match activity {what} of activity command "
            f"'{asked}'",
            event.event_id,
            describe_event(event),
            describe_command(self.make_command()),
        )

    def _completed(self, run: Machines, event: ActivityTaskCompleted, _is_last_task: bool) -> None:
        result = event.result
        if len(result) > 1:
            raise FatalMachinesError(f"Not exactly one payload in activity result for event {event.event_id}")
        run.jobs.append(ResolveActivity(self.seq, "completed", result[0] if result else None))

    def _failed(self, run: Machines, event: ActivityTaskFailed, _is_last_task: bool) -> None:
        failure = self._failure("Activity task failed", event, event.failure, event.identity, event.retry_state)
        run.jobs.append(ResolveActivity(self.seq, "failed", None, failure))

    def _timed_out(self, run: Machines, event: ActivityTaskTimedOut, _is_last_task: bool) -> None:
        failure = self._failure("Activity task timed out", event, event.failure, "", event.retry_state)
        run.jobs.append(ResolveActivity(self.seq, "failed", None, failure))

    def _cancelled(self, run: Machines, event: ActivityTaskCanceled | None, _is_last_task: bool) -> None:
        known = ActivityTaskCanceled() if event is None else event
        cause = Failure(info=CanceledFailureInfo(known.details))
        state = RetryState.CANCEL_REQUESTED
        failure = self._failure("Activity cancelled", known, cause, known.identity, state)
        run.jobs.append(ResolveActivity(self.seq, "cancelled", None, failure))

    def _failure(
        self, message: str, event: Any, cause: Failure | None, identity: str, retry_state: RetryState
    ) -> Failure:
        info = ActivityFailureInfo(
            scheduled_event_id=event.scheduled_event_id,
            started_event_id=event.started_event_id,
            identity=identity,
            activity_type=self.command.activity_type,
            activity_id=self.command.activity_id,
            retry_state=retry_state,
        )
        return Failure(message=message, cause=cause, info=info)

    def _cancelled_before_sent(self, run: Machines, event: None, is_last_task: bool) -> None:
        self.cancelled_before_sent = True
        self._cancelled(run, event, is_last_task)

    def _request_cancel(self, run: Machines, event: None, is_last_task: bool) -> None:
        run.issue(self, ActivityMachine.make_cancel_command)
        if self.command.cancellation_type != ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            self._cancelled(run, event, is_last_task)

    # After a cancellation with TRY_CANCEL the workflow has been told already.

    def _completed_if_awaited(self, run: Machines, event: ActivityTaskCompleted, is_last_task: bool) -> None:
        if self._is_awaited():
            self._completed(run, event, is_last_task)

    def _failed_if_awaited(self, run: Machines, event: ActivityTaskFailed, is_last_task: bool) -> None:
        if self._is_awaited():
            self._failed(run, event, is_last_task)

    def _timed_out_if_awaited(self, run: Machines, event: ActivityTaskTimedOut, is_last_task: bool) -> None:
        if self._is_awaited():
            self._timed_out(run, event, is_last_task)

    def _cancelled_if_awaited(self, run: Machines, event: ActivityTaskCanceled, is_last_task: bool) -> None:
        if self._is_awaited():
            self._cancelled(run, event, is_last_task)

    def _is_awaited(self) -> bool:
        return self.command.cancellation_type == ActivityCancellationType.WAIT_CANCELLATION_COMPLETED

    def _only_if_abandoned(self, _run: Machines, event: HistoryEvent, _is_last_task: bool) -> None:
        if self.command.cancellation_type != ActivityCancellationType.ABANDON:
            verb = "started" if isinstance(event, ActivityTaskStarted) else "completed"
            raise Nondeterminism(
                f"Non-Abandon cancel mode activities cannot be {verb} after being cancelled. Seq: {self.seq}",
                event.event_id,
                describe_event(event),
                describe_command(self.make_command()),
            )

    table: ClassVar = {
        ("ScheduleCommandCreated", ActivityTaskScheduled): ("ScheduledEventRecorded", _scheduled),
        ("ScheduleCommandCreated", CANCEL): ("Canceled", _cancelled_before_sent),
        ("ScheduleCommandCreated", ABANDON): ("Canceled", _cancelled_before_sent),
        ("ScheduledEventRecorded", ActivityTaskStarted): ("Started", None),
        ("ScheduledEventRecorded", ActivityTaskTimedOut): ("TimedOut", _timed_out),
        ("ScheduledEventRecorded", CANCEL): ("ScheduledActivityCancelCommandCreated", _request_cancel),
        ("ScheduledEventRecorded", ABANDON): ("Canceled", _cancelled),
        ("Started", ActivityTaskCompleted): ("Completed", _completed),
        ("Started", ActivityTaskFailed): ("Failed", _failed),
        ("Started", ActivityTaskTimedOut): ("TimedOut", _timed_out),
        ("Started", CANCEL): ("StartedActivityCancelCommandCreated", _request_cancel),
        ("Started", ABANDON): ("Canceled", _cancelled),
        ("ScheduledActivityCancelCommandCreated", ActivityTaskCancelRequested): (
            "ScheduledActivityCancelEventRecorded",
            None,
        ),
        ("ScheduledActivityCancelEventRecorded", ActivityTaskCanceled): ("Canceled", _cancelled_if_awaited),
        ("ScheduledActivityCancelEventRecorded", ActivityTaskStarted): ("StartedActivityCancelEventRecorded", None),
        ("ScheduledActivityCancelEventRecorded", ActivityTaskTimedOut): ("TimedOut", _timed_out_if_awaited),
        ("StartedActivityCancelCommandCreated", ActivityTaskCancelRequested): (
            "StartedActivityCancelEventRecorded",
            None,
        ),
        ("StartedActivityCancelEventRecorded", ActivityTaskFailed): ("Failed", _failed_if_awaited),
        ("StartedActivityCancelEventRecorded", ActivityTaskCompleted): ("Completed", _completed_if_awaited),
        ("StartedActivityCancelEventRecorded", ActivityTaskTimedOut): ("TimedOut", _timed_out_if_awaited),
        ("StartedActivityCancelEventRecorded", ActivityTaskCanceled): ("Canceled", _cancelled_if_awaited),
        ("Canceled", ActivityTaskStarted): ("Canceled", _only_if_abandoned),
        ("Canceled", ActivityTaskCompleted): ("Canceled", _only_if_abandoned),
    }
    rows = rows_of(table)
    handled = frozenset(
        {
            *(ActivityTaskScheduled, ActivityTaskStarted, ActivityTaskCompleted, ActivityTaskFailed),
            *(ActivityTaskTimedOut, ActivityTaskCancelRequested, ActivityTaskCanceled),
        }
    )


_ACTIVITY_CREATED = ActivityMachine.rows["ScheduleCommandCreated"]
_ACTIVITY_ENDED = frozenset({"Completed", "Canceled", "Failed", "TimedOut"})


# --- timers ---------------------------------------------------------------------------------------------------------


class TimerMachine(CommandMachine):
    """One timer."""

    __slots__ = ("command", "seq")
    name = "Timer"

    def __init__(self, command: StartTimerCommand) -> None:
        self.row = self.rows["StartCommandCreated"]
        self.cancelled_before_sent = False
        self.command = command
        self.seq = command.seq

    def make_command(self) -> Command:
        """The command that starts it."""
        command = self.command
        delay_us = command.start_to_fire_timeout_us
        return StartTimer(
            timer_id=str(self.seq), start_to_fire_timeout_us=delay_us, user_metadata=command.user_metadata
        )

    def make_cancel_command(self) -> Command:
        """The command that cancels it."""
        return CancelTimer(timer_id=str(self.seq))

    def cancel(self, run: Machines) -> None:
        """The workflow's code cancels it; nothing happens once it has fired."""
        if not self._input(run, CANCEL):
            raise FatalMachinesError(f"Timer machine can't be cancelled in state {self.state}")

    def sent(self) -> None:
        """Its commands are on their way to the server."""
        if self.state == "CancelTimerCommandCreated":
            self.row = self.rows["CancelTimerCommandSent"]

    def _cancelled_before_sent(self, _run: Machines, _event: None, _is_last_task: bool) -> None:
        self.cancelled_before_sent = True

    def _cancel(self, run: Machines, _event: None, _is_last_task: bool) -> None:
        run.issue(self, TimerMachine.make_cancel_command)

    def _fired(self, run: Machines, event: TimerFired, _is_last_task: bool) -> None:
        if event.timer_id != str(self.seq):
            raise Nondeterminism(
                f"Timer fired event did not have expected timer id {self.seq}, it was {event.timer_id}!",
                event.event_id,
                describe_event(event),
                describe_command(self.make_command()),
            )
        run.jobs.append(FireTimerJob(self.seq))

    table: ClassVar = {
        ("StartCommandCreated", TimerStarted): ("StartCommandRecorded", None),
        ("StartCommandCreated", CANCEL): ("Canceled", _cancelled_before_sent),
        ("StartCommandRecorded", TimerFired): ("Fired", _fired),
        ("StartCommandRecorded", CANCEL): ("CancelTimerCommandCreated", _cancel),
        ("CancelTimerCommandCreated", CANCEL): ("CancelTimerCommandCreated", None),
        ("CancelTimerCommandSent", TimerCanceled): ("Canceled", None),
        ("Canceled", CANCEL): ("Canceled", None),
        ("Fired", CANCEL): ("Fired", None),
    }
    rows = rows_of(table)
    handled = frozenset({TimerStarted, TimerCanceled, TimerFired})


# --- the end of the run ---------------------------------------------------------------------------------------------


class EndMachine(CommandMachine):
    """The command that completes, fails or cancels the run."""

    __slots__ = ("command",)
    closes_with: ClassVar[type]

    def __init__(self, command: Command) -> None:
        super().__init__("CommandCreated")
        self.command = command

    def make_command(self) -> Command:
        """The command."""
        return self.command


class CompleteMachine(EndMachine):
    """Completes the run."""

    __slots__ = ()
    name = "Complete workflow"
    table: ClassVar = {("CommandCreated", WorkflowExecutionCompleted): ("CommandRecorded", None)}
    rows = rows_of(table)
    handled = frozenset({WorkflowExecutionCompleted})


class FailMachine(EndMachine):
    """Fails the run."""

    __slots__ = ()
    name = "Fail workflow"
    table: ClassVar = {("CommandCreated", WorkflowExecutionFailed): ("CommandRecorded", None)}
    rows = rows_of(table)
    handled = frozenset({WorkflowExecutionFailed})


class CancelMachine(EndMachine):
    """Cancels the run."""

    __slots__ = ()
    name = "Cancel workflow"
    table: ClassVar = {("CommandCreated", WorkflowExecutionCanceled): ("CommandRecorded", None)}
    rows = rows_of(table)
    handled = frozenset({WorkflowExecutionCanceled})
