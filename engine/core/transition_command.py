"""Commands of a completed workflow task: checked and turned into events first, applied only when all of them are good.

A bad command fails the workflow task as if none of the others had been there, so nothing is changed before the last
is checked: ``plan_commands`` works on the state and on notes about what the commands before did; ``apply_plan`` then
folds the events.

Sources: ``service/history/api/respondworkflowtaskcompleted/workflow_task_completed_handler.go``,
``service/history/api/command_attr_validator.go``, ``chasm/lib/activity/validator.go`` (activity timeouts) and the
``Add...Event`` functions of ``service/history/workflow/mutable_state_impl.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import commands as cm
from . import events as ev
from .enums import RetryState
from .enums import WorkflowTaskFailedCause as Cause
from .errors import ServiceError
from .events import HistoryEvent, TaskQueue
from .limits import BLOB_SIZE_MAX, DURATION_MAX_US, ID_LENGTH_MAX, PENDING_ACTIVITIES_MAX
from .payloads import Payload
from .requests import ActivityTaskReady, TimerTask
from .retry import validate_policy, with_defaults
from .size import failure_size, payloads_size
from .state import MutableState
from .transition_start import next_run_id, retried_run, workflow_backoff
from .transition_work import Work

_ACTIVITY_NOT_STARTED = Payload({"encoding": b"json/plain"}, b'"ACTIVITY_ID_NOT_STARTED"')
_CLOSING = (cm.CompleteWorkflowExecution, cm.FailWorkflowExecution, cm.CancelWorkflowExecution)
_INVALID_ACTION = "invalid history builder state for action"


class BadCommand(Exception):
    """A command that fails its workflow task; ``terminates``: and ends the run, since trying again can't help."""

    def __init__(self, cause: Cause, detail: str = "", *, terminates: bool = False) -> None:
        super().__init__(cause, detail, terminates)
        self.cause = cause
        self.terminates = terminates
        name = "".join(part.capitalize() for part in cause.name.split("_"))
        self.message = f"{name}: {detail}" if detail else name


class CommandPlan:
    """Events that the commands become, and notes for the commands that are still to come.

    ``canceled``: activities that end at once because no worker has them; their ``ActivityTaskCanceled`` follows all
    other events. ``unbuffered``: timers (by started event) whose buffered fire is dropped because they are cancelled.
    """

    __slots__ = (
        "_activities",
        "_timers",
        "backoff_us",
        "canceled",
        "completed_event_id",
        "events",
        "has_buffered",
        "identity",
        "now_us",
        "state",
        "unbuffered",
    )

    def __init__(self, state: MutableState, completed_event_id: int, identity: str, now_us: int) -> None:
        self.state = state
        self.completed_event_id = completed_event_id
        self.identity = identity
        self.now_us = now_us
        self.events: list[HistoryEvent] = []
        self.canceled: list[ev.ActivityTaskCanceled] = []
        self.unbuffered: list[int] = []
        self.has_buffered = bool(state.buffered)
        self.backoff_us = 0  # until the next run, should the run fail and be retried
        # Ids that the commands so far took (event id) or gave free (0); all others are as in the state.
        self._activities: dict[str, int] = {}
        self._timers: dict[str, int] = {}

    @property
    def next_event_id(self) -> int:
        """The id that the next command's event gets."""
        return self.completed_event_id + 1 + len(self.events)

    def activity(self, activity_id: str) -> int:
        """The pending activity of that name after the commands so far; 0 if there is none."""
        noted = self._activities.get(activity_id)
        return self.state.activity_ids.get(activity_id, 0) if noted is None else noted

    def timer(self, timer_id: str) -> int:
        """The running timer of that name after the commands so far; 0 if there is none."""
        noted = self._timers.get(timer_id)
        return self.state.timer_ids.get(timer_id, 0) if noted is None else noted

    def note_activity(self, activity_id: str, event_id: int) -> None:
        """An activity takes this id, or (0) gives it free."""
        self._activities[activity_id] = event_id

    def note_timer(self, timer_id: str, event_id: int) -> None:
        """A timer takes this id, or (0) gives it free."""
        self._timers[timer_id] = event_id

    @property
    def activity_count(self) -> int:
        """How many activities are pending after the commands so far."""
        kept = self.state.activity_ids
        noted = self._activities
        return len(kept) + sum((event_id > 0) - (name in kept) for name, event_id in noted.items())


def plan_commands(
    state: MutableState, commands: Sequence[cm.Command], *, completed_event_id: int, identity: str, now_us: int
) -> CommandPlan:
    """Check all commands and make their events; changes nothing.

    Raises:
        BadCommand: One of them fails the workflow task.
        ServiceError: ``INVALID_ARGUMENT``, the answer as a whole is refused and the task goes on.
    """
    _check_sequence(commands)
    plan = CommandPlan(state, completed_event_id, identity, now_us)
    for command in commands:
        event = _PLAN[type(command)](plan, command)
        event.user_metadata = command.user_metadata
        plan.events.append(event)
    return plan


def _check_sequence(commands: Sequence[cm.Command]) -> None:
    """A closing command must be the last (``ValidateCommandSequence``)."""
    last = len(commands) - 1
    for index, command in enumerate(commands):
        if type(command) not in _PLAN:
            raise ServiceError("INVALID_ARGUMENT", f"unknown command type: {type(command).__name__}")
        if index < last and isinstance(command, _CLOSING):
            names = ", ".join(type(one).__name__ for one in commands)
            text = f"invalid command sequence: [{names}], command {type(command).__name__} must be the last command."
            raise ServiceError("INVALID_ARGUMENT", text)


# --- activities -------------------------------------------------------------------------------------------------------


def _schedule_activity(plan: CommandPlan, command: cm.ScheduleActivityTask) -> HistoryEvent:
    cause = Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
    event = _normalised_activity(plan, command, cause)
    if payloads_size(command.input) > BLOB_SIZE_MAX:
        detail = "ScheduleActivityTaskCommandAttributes.Input exceeds size limit."
        raise BadCommand(cause, detail, terminates=True)
    if len(plan.state.activity_ids) + len(plan.events) >= PENDING_ACTIVITIES_MAX:
        _check_activity_count(plan)
    if plan.activity(command.activity_id):
        detail = f"{_INVALID_ACTION}: add-activitytask-scheduled-event, ActivityID: {command.activity_id}"
        raise BadCommand(Cause.SCHEDULE_ACTIVITY_DUPLICATE_ID, detail)
    plan.note_activity(command.activity_id, plan.next_event_id)
    return event


def _check_activity_count(plan: CommandPlan) -> None:
    count = plan.activity_count
    if count >= PENDING_ACTIVITIES_MAX:
        detail = f"the number of pending activities, {count}, has reached the per-workflow limit of "
        raise BadCommand(Cause.PENDING_ACTIVITIES_LIMIT_EXCEEDED, f"{detail}{PENDING_ACTIVITIES_MAX}")


def _normalised_activity(plan: CommandPlan, command: cm.ScheduleActivityTask, cause: Cause) -> ev.ActivityTaskScheduled:
    if not command.activity_id:
        raise BadCommand(cause, "activityId is not set")
    if not command.activity_type:
        raise BadCommand(cause, "activityType is not set")
    if len(command.activity_id) > ID_LENGTH_MAX:
        lengths = f"Length={len(command.activity_id)} Limit={ID_LENGTH_MAX}"
        raise BadCommand(cause, f"activityId exceeds length limit. {lengths}")
    if len(command.activity_type) > ID_LENGTH_MAX:
        lengths = f"Length={len(command.activity_type)} Limit={ID_LENGTH_MAX}"
        raise BadCommand(cause, f"activityType exceeds length limit. {lengths}")
    policy = with_defaults(command.retry_policy)
    if command.retry_policy is not None:
        try:
            validate_policy(policy)
        except ServiceError as error:
            raise BadCommand(cause, error.message) from None
    close_us, start_us, run_us, heartbeat_us = _activity_timeouts(plan.state, command, cause)
    queue = command.task_queue
    if queue is None or not queue.name:
        queue = plan.state.normal_queue
    elif queue.normal_name or queue.kind is not plan.state.normal_queue.kind:
        queue = TaskQueue(queue.name)
    return ev.ActivityTaskScheduled(
        0,
        plan.now_us,
        command.activity_id,
        command.activity_type,
        queue,
        command.header,
        command.input,
        close_us,
        start_us,
        run_us,
        heartbeat_us,
        plan.completed_event_id,
        policy,
    )


def _duration_us(value_us: int, name: str, cause: Cause) -> int:
    if 0 <= value_us <= DURATION_MAX_US:
        return value_us
    if value_us < 0:
        raise BadCommand(cause, f"invalid {name}: negative duration")
    return DURATION_MAX_US


def _activity_timeouts(
    state: MutableState, command: cm.ScheduleActivityTask, cause: Cause
) -> tuple[int, int, int, int]:
    """Schedule-to-close, schedule-to-start, start-to-close, heartbeat (``validateAndNormalizeTimeouts``)."""
    to_close_us = _duration_us(command.schedule_to_close_timeout_us, "ScheduleToCloseTimeout", cause)
    to_start_us = _duration_us(command.schedule_to_start_timeout_us, "ScheduleToStartTimeout", cause)
    start_to_close_us = _duration_us(command.start_to_close_timeout_us, "StartToCloseTimeout", cause)
    heartbeat_us = _duration_us(command.heartbeat_timeout_us, "HeartbeatTimeout", cause)
    assert state.started is not None
    run_timeout_us = state.started.workflow_run_timeout_us
    if to_close_us:
        to_start_us = min(to_start_us or to_close_us, to_close_us)
        start_to_close_us = min(start_to_close_us or to_close_us, to_close_us)
    elif start_to_close_us:
        to_close_us = run_timeout_us
        to_start_us = to_start_us or run_timeout_us
    else:
        text = "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity."
        raise BadCommand(cause, f"{text} ActivityId={command.activity_id} ActivityType={command.activity_type}")
    if run_timeout_us:
        to_close_us = min(to_close_us, run_timeout_us)
        to_start_us = min(to_start_us, run_timeout_us)
        start_to_close_us = min(start_to_close_us, run_timeout_us)
    return to_close_us, to_start_us, start_to_close_us, min(heartbeat_us, start_to_close_us)


def _cancel_activity(plan: CommandPlan, command: cm.RequestCancelActivityTask) -> HistoryEvent:
    cause = Cause.BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES
    event_id = command.scheduled_event_id
    if event_id <= 0:
        raise BadCommand(cause, "ScheduledEventId is not set on RequestCancelActivityTaskCommand.")
    event = ev.ActivityTaskCancelRequested(0, plan.now_us, event_id, plan.completed_event_id)
    name, started, requested = _pending_activity(plan, event_id)
    ended = any(one.scheduled_event_id == event_id for one in plan.canceled)
    requested = requested or any(
        isinstance(one, ev.ActivityTaskCancelRequested) and one.scheduled_event_id == event_id for one in plan.events
    )
    if ended or (not name and _end_is_buffered(plan.state, event_id)):
        return event  # too late: it has ended, which the worker can't know yet
    if not name or requested:
        raise BadCommand(
            cause, f"{_INVALID_ACTION}: add-activitytask-cancel-requested-event, ScheduledEventID: {event_id}"
        )
    if not started:
        plan.canceled.append(
            ev.ActivityTaskCanceled(
                0, plan.now_us, [_ACTIVITY_NOT_STARTED], plan.next_event_id, event_id, 0, plan.identity
            )
        )
        plan.note_activity(name, 0)
    return event


def _pending_activity(plan: CommandPlan, event_id: int) -> tuple[str, bool, bool]:
    """Id of the pending activity (empty: there is none), has a worker got it, is it to be cancelled already?"""
    activity = plan.state.activities.get(event_id)
    if activity is not None and not activity.closing:
        return activity.scheduled.activity_id, activity.attempt.started, activity.cancel_requested_event_id > 0
    index = event_id - plan.completed_event_id - 1
    if 0 <= index < len(plan.events):
        event = plan.events[index]
        if isinstance(event, ev.ActivityTaskScheduled):
            return event.activity_id, False, False
    return "", False, False


def _end_is_buffered(state: MutableState, event_id: int) -> bool:
    activity = state.activities.get(event_id)
    return activity is not None and activity.closing


# --- timers and markers -----------------------------------------------------------------------------------------------


def _check_id(cause: Cause, value: str, what: str, command: str) -> None:
    if not value:
        raise BadCommand(cause, f"{what} is not set on {command}.")
    if len(value) > ID_LENGTH_MAX:
        lengths = f"{what}={value} Length={len(value)} Limit={ID_LENGTH_MAX}"
        raise BadCommand(cause, f"{what} on {command} exceeds length limit. {lengths}")


def _start_timer(plan: CommandPlan, command: cm.StartTimer) -> HistoryEvent:
    cause = Cause.BAD_START_TIMER_ATTRIBUTES
    timer_id = command.timer_id
    _check_id(cause, timer_id, "TimerId", "StartTimerCommand")
    if command.start_to_fire_timeout_us < 0:
        text = "An invalid StartToFireTimeout is set on StartTimerCommand: negative duration."
        raise BadCommand(cause, f"{text} TimerId={timer_id}")
    if plan.timer(timer_id):
        detail = f"{_INVALID_ACTION}: add-timer-started-event, TimerID: {timer_id}"
        raise BadCommand(Cause.START_TIMER_DUPLICATE_ID, detail)
    plan.note_timer(timer_id, plan.next_event_id)
    timeout_us = min(command.start_to_fire_timeout_us, DURATION_MAX_US)
    return ev.TimerStarted(0, plan.now_us, timer_id, timeout_us, plan.completed_event_id)


def _cancel_timer(plan: CommandPlan, command: cm.CancelTimer) -> HistoryEvent:
    cause = Cause.BAD_CANCEL_TIMER_ATTRIBUTES
    timer_id = command.timer_id
    _check_id(cause, timer_id, "TimerId", "CancelTimerCommand")
    started_event_id = plan.timer(timer_id)
    if started_event_id:
        plan.note_timer(timer_id, 0)
    else:
        started_event_id = _buffered_fire(plan, timer_id)
        if not started_event_id:
            raise BadCommand(cause, f"{_INVALID_ACTION}: add-timer-canceled-event, TimerID: {timer_id}")
        plan.unbuffered.append(started_event_id)
        left = len(plan.state.buffered) - len(plan.unbuffered) + len(plan.canceled)
        plan.has_buffered = plan.has_buffered and left > 0
    return ev.TimerCanceled(0, plan.now_us, timer_id, started_event_id, plan.completed_event_id, plan.identity)


def _buffered_fire(plan: CommandPlan, timer_id: str) -> int:
    for event in plan.state.buffered:
        if (
            isinstance(event, ev.TimerFired)
            and event.timer_id == timer_id
            and event.started_event_id not in plan.unbuffered
        ):
            return event.started_event_id
    return 0


def _record_marker(plan: CommandPlan, command: cm.RecordMarker) -> HistoryEvent:
    cause = Cause.BAD_RECORD_MARKER_ATTRIBUTES
    _check_id(cause, command.marker_name, "MarkerName", "RecordMarkerCommand")
    size = sum(payloads_size(details) for details in command.details.values())
    if size > BLOB_SIZE_MAX:
        raise BadCommand(cause, "RecordMarkerCommandAttributes.Details exceeds size limit.", terminates=True)
    return ev.MarkerRecorded(
        0,
        plan.now_us,
        command.marker_name,
        command.details,
        plan.completed_event_id,
        command.header,
        command.failure,
    )


# --- closing commands -------------------------------------------------------------------------------------------------


def _check_buffered(plan: CommandPlan) -> None:
    """A run does not close over events that its worker has not seen."""
    if plan.has_buffered:
        raise BadCommand(Cause.UNHANDLED_COMMAND)


def _complete_execution(plan: CommandPlan, command: cm.CompleteWorkflowExecution) -> HistoryEvent:
    _check_buffered(plan)
    if payloads_size(command.result) > BLOB_SIZE_MAX:
        # The cause is the one that the server gives here.
        detail = "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit."
        raise BadCommand(Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, detail, terminates=True)
    return ev.WorkflowExecutionCompleted(0, plan.now_us, command.result, plan.completed_event_id)


def _fail_execution(plan: CommandPlan, command: cm.FailWorkflowExecution) -> HistoryEvent:
    _check_buffered(plan)
    cause = Cause.BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES
    if command.failure is None:
        raise BadCommand(cause, "Failure is not set on FailWorkflowExecutionCommand.")
    if failure_size(command.failure) > BLOB_SIZE_MAX:
        detail = "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit."
        raise BadCommand(cause, detail, terminates=True)
    plan.backoff_us, retry_state = workflow_backoff(plan.state, command.failure, plan.now_us)
    new_run_id = next_run_id(plan.state) if retry_state is RetryState.IN_PROGRESS else ""
    return ev.WorkflowExecutionFailed(0, plan.now_us, command.failure, retry_state, plan.completed_event_id, new_run_id)


def _cancel_execution(plan: CommandPlan, command: cm.CancelWorkflowExecution) -> HistoryEvent:
    _check_buffered(plan)
    return ev.WorkflowExecutionCanceled(0, plan.now_us, command.details, plan.completed_event_id)


_PLAN: dict[type[cm.Command], Callable[[CommandPlan, Any], HistoryEvent]] = {
    cm.ScheduleActivityTask: _schedule_activity,
    cm.RequestCancelActivityTask: _cancel_activity,
    cm.StartTimer: _start_timer,
    cm.CancelTimer: _cancel_timer,
    cm.RecordMarker: _record_marker,
    cm.CompleteWorkflowExecution: _complete_execution,
    cm.FailWorkflowExecution: _fail_execution,
    cm.CancelWorkflowExecution: _cancel_execution,
}


# --- applying ---------------------------------------------------------------------------------------------------------


def apply_plan(work: Work, plan: CommandPlan) -> None:
    """Fold the planned events, in order, with what each of them asks of the outbox."""
    assert work.state.next_event_id == plan.completed_event_id + 1
    for started_event_id in plan.unbuffered:
        _drop_buffered_fire(work, started_event_id)
    for event in plan.events:
        _APPLY.get(type(event), Work.append)(work, event)
    last = plan.events[-1] if plan.events else None
    if isinstance(last, ev.WorkflowExecutionFailed) and last.new_execution_run_id:
        work.transition.also = retried_run(work, last.new_execution_run_id, plan.backoff_us, last.failure, [])
    if work.state.is_open:  # as on the server, a close drops what it would have cancelled
        for canceled in plan.canceled:
            work.drop_activity(work.state.activities[canceled.scheduled_event_id])
            work.buffer(canceled)


def _drop_buffered_fire(work: Work, started_event_id: int) -> None:
    for index, event in enumerate(work.state.buffered):
        if isinstance(event, ev.TimerFired) and event.started_event_id == started_event_id:
            work.unbuffer(index)
            return


def _activity_scheduled(work: Work, event: ev.ActivityTaskScheduled) -> None:
    work.append(event)
    event_id = event.event_id
    assert event.task_queue is not None
    work.set_task(f"activity/{event_id}/1", ActivityTaskReady(event_id, 1, event.task_queue.name))
    timer = work.state.activities[event_id].timer
    if timer is not None:
        work.set_task(f"activity_timeout/{event_id}", timer)


def _timer_started(work: Work, event: ev.TimerStarted) -> None:
    work.append(event)
    due_us = work.now_us + event.start_to_fire_timeout_us
    work.set_task(f"timer/{event.event_id}", TimerTask(due_us, "user_timer", event.event_id))


def _timer_canceled(work: Work, event: ev.TimerCanceled) -> None:
    work.append(event)
    work.drop_task(f"timer/{event.started_event_id}")


_APPLY: dict[type[HistoryEvent], Callable[[Work, Any], None]] = {
    ev.ActivityTaskScheduled: _activity_scheduled,
    ev.TimerStarted: _timer_started,
    ev.TimerCanceled: _timer_canceled,
    ev.WorkflowExecutionCompleted: Work.close,
    ev.WorkflowExecutionFailed: Work.close,
    ev.WorkflowExecutionCanceled: Work.close,
}
