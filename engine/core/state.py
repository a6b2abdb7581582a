"""Mutable state: what the server knows of a run, as a fold over its events.

``apply`` is the fold: a table from (life-cycle phase, event class) to a function; what is absent from it is an
``IllegalTransition``. What events leave out is in the record (``record.py``) and laid over the fold by ``rebuild``:
attempts of pending activities, a transient workflow task, the sticky queue, and the events that are buffered while a
workflow task is started. A buffered close of an activity (or fire of a timer) is marked ``closing`` at once and
folded when it reaches history, as in ``service/history/workflow/mutable_state_impl.go``, where the pending item is
gone as soon as its event is buffered.

Rejected: keeping only record items and dropping the fold (a second truth beside the history), and copying state on
write (a commit would cost what is pending, not what changed).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import events as ev
from .enums import TaskQueueKind, WorkflowExecutionStatus, WorkflowTaskFailedCause
from .errors import IllegalTransition
from .events import HistoryEvent, TaskQueue
from .record import ActivityAttempt, BufferedEvents, PendingWorkflowTask, SeenRequest, StickyQueue
from .requests import DEFAULT_NAMESPACE, Execution, TimerTask
from .size import event_size
from .timer_sequence import next_activity_timer

RUNNING = WorkflowExecutionStatus.RUNNING
ENDED = ActivityAttempt(0, 0)
"""Stands for the attempt of an activity whose end is buffered."""


@dataclass(slots=True)
class ActivityState:
    """A pending activity. ``timer``: its earliest timeout, as in the outbox. ``closing``: its end is buffered."""

    scheduled: ev.ActivityTaskScheduled
    attempt: ActivityAttempt
    timer: TimerTask | None = None
    cancel_requested_event_id: int = 0
    closing: bool = False


@dataclass(slots=True)
class TimerState:
    """A user timer that runs. ``closing``: its fire is buffered."""

    timer_id: str
    started_event_id: int
    due_us: int
    closing: bool = False


@dataclass(slots=True)
class MutableState:
    """One run. Changed only by ``apply`` and by the transitions; two equal states are the same run at the same point.

    Args:
        execution: Names the run.
        status: ``UNSPECIFIED`` before the first event, then ``RUNNING``, then how it closed.
        started: The first event.
        next_event_id: The id that the next event gets.
        history_size_bytes: An estimate, see ``size.py``.
        previous_started_event_id: ``WorkflowTaskStarted`` of the last workflow task that completed; 0 if none has.
        run_expiration_time_us: When the run times out; 0 is never.
        close_time_us: When it closed; 0 while it is open.
        workflow_task: The one that is scheduled or started.
        activities: Pending activities by the id of their scheduled event; ``activity_ids`` finds them by name.
        timers: Running timers by the id of their started event; ``timer_ids`` finds them by name.
        timer_queue: (due time, started event id) of the running timers, in order.
        buffered: Events that wait for the end of the started workflow task.
        close_attempted: The last workflow task failed because it tried to close the run while events were buffered.
    """

    execution: Execution
    status: WorkflowExecutionStatus = WorkflowExecutionStatus.UNSPECIFIED
    started: ev.WorkflowExecutionStarted | None = None
    next_event_id: int = 1
    history_size_bytes: int = 0
    previous_started_event_id: int = 0
    run_expiration_time_us: int = 0
    close_time_us: int = 0
    workflow_task: PendingWorkflowTask | None = None
    sticky: StickyQueue | None = None
    activities: dict[int, ActivityState] = field(default_factory=dict)
    activity_ids: dict[str, int] = field(default_factory=dict)
    timers: dict[int, TimerState] = field(default_factory=dict)
    timer_ids: dict[str, int] = field(default_factory=dict)
    timer_queue: list[tuple[int, int]] = field(default_factory=list)
    buffered: list[HistoryEvent] = field(default_factory=list)
    cancel_requested: bool = False
    close_attempted: bool = False
    signal_count: int = 0
    signal_request_ids: dict[str, None] = field(default_factory=dict)
    seen_requests: dict[str, SeenRequest] = field(default_factory=dict)
    normal_queue: TaskQueue = field(default_factory=TaskQueue)

    @property
    def is_open(self) -> bool:
        """Has the run started and not closed?"""
        return self.status is RUNNING

    @property
    def workflow_type(self) -> str:
        """The workflow's type."""
        return "" if self.started is None else self.started.workflow_type

    @property
    def task_queue(self) -> str:
        """The name of the normal task queue."""
        return self.normal_queue.name

    @property
    def sticky_task_queue(self) -> str | None:
        """The name of the sticky task queue, while one is set."""
        return None if self.sticky is None else self.sticky.task_queue.name

    @property
    def current_queue(self) -> TaskQueue:
        """Where the next workflow task goes."""
        return self.normal_queue if self.sticky is None else self.sticky.task_queue

    @property
    def start_time_us(self) -> int:
        """When the run started."""
        return 0 if self.started is None else self.started.time_us

    @property
    def had_workflow_task(self) -> bool:
        """Is there, or was there ever, a workflow task? (``HadOrHasWorkflowTask``)."""
        return self.workflow_task is not None or self.previous_started_event_id > 0


def apply(state: MutableState, event: HistoryEvent) -> None:
    """Fold one event into ``state``.

    Raises:
        IllegalTransition: The state does not allow this event, or its id is not the next.
    """
    if event.event_id != state.next_event_id:
        raise IllegalTransition(f"event {event.event_id} after event {state.next_event_id - 1}: ids have no gaps")
    change = APPLY[state.status].get(type(event))
    if change is None:
        raise _illegal(state, event)
    change(state, event)
    state.next_event_id += 1
    state.history_size_bytes += event_size(event)


def _illegal(state: MutableState, event: HistoryEvent, why: str = "") -> IllegalTransition:
    name = type(event).__name__
    return IllegalTransition(f"{name} (event {event.event_id}) in a run that is {state.status.name}{why and ': '}{why}")


def _execution_started(state: MutableState, event: ev.WorkflowExecutionStarted) -> None:
    if event.task_queue is None:
        raise _illegal(state, event, "it names no task queue")
    state.status = RUNNING
    state.started = event
    queue = event.task_queue
    # What was recorded by a real server may leave the kind out; the queue is written to later events and must be equal.
    state.normal_queue = queue if queue.kind is TaskQueueKind.NORMAL else TaskQueue(queue.name)
    if event.workflow_run_timeout_us:
        expires_us = event.time_us + event.workflow_run_timeout_us + event.first_workflow_task_backoff_us
        last_us = event.workflow_execution_expiration_time_us
        state.run_expiration_time_us = min(expires_us, last_us) if last_us else expires_us


_CLOSED_BY: dict[type[HistoryEvent], WorkflowExecutionStatus] = {
    ev.WorkflowExecutionCompleted: WorkflowExecutionStatus.COMPLETED,
    ev.WorkflowExecutionFailed: WorkflowExecutionStatus.FAILED,
    ev.WorkflowExecutionTimedOut: WorkflowExecutionStatus.TIMED_OUT,
    ev.WorkflowExecutionCanceled: WorkflowExecutionStatus.CANCELED,
    ev.WorkflowExecutionTerminated: WorkflowExecutionStatus.TERMINATED,
}


def _execution_closed(state: MutableState, event: HistoryEvent) -> None:
    """Whatever was pending is of no interest any more: nothing of it can change the run."""
    state.status = _CLOSED_BY[type(event)]
    state.close_time_us = event.time_us
    state.workflow_task = None
    state.sticky = None
    state.activities.clear()
    state.activity_ids.clear()
    state.timers.clear()
    state.timer_ids.clear()
    state.timer_queue.clear()


def _cancel_requested(state: MutableState, event: ev.WorkflowExecutionCancelRequested) -> None:
    state.cancel_requested = True


def _signaled(state: MutableState, event: ev.WorkflowExecutionSignaled) -> None:
    state.signal_count += 1
    if event.request_id:
        state.signal_request_ids[event.request_id] = None


def _task_scheduled(state: MutableState, event: ev.WorkflowTaskScheduled) -> None:
    if state.workflow_task is not None:
        raise _illegal(state, event, "a workflow task is pending")
    state.workflow_task = PendingWorkflowTask(
        event.event_id,
        event.time_us,
        event.attempt,
        event.start_to_close_timeout_us,
        event.task_queue or state.normal_queue,
    )


def _task_started(state: MutableState, event: ev.WorkflowTaskStarted) -> None:
    task = state.workflow_task
    if task is None or task.started_event_id or task.scheduled_event_id != event.scheduled_event_id:
        raise _illegal(state, event, "that workflow task is not scheduled")
    # A task that apply() made is in no record, so it may be changed in place.
    task.started_event_id = event.event_id
    task.started_time_us = event.time_us
    task.request_id = event.request_id
    task.identity = event.identity
    task.suggest_continue_as_new = event.suggest_continue_as_new
    task.history_size_bytes = event.history_size_bytes


def _end_of_task(
    state: MutableState, event: ev.WorkflowTaskCompleted | ev.WorkflowTaskFailed | ev.WorkflowTaskTimedOut
) -> None:
    task = state.workflow_task
    if (
        task is None
        or task.scheduled_event_id != event.scheduled_event_id
        or task.started_event_id != event.started_event_id
    ):
        raise _illegal(state, event, "that workflow task is not pending")
    state.workflow_task = None
    state.close_attempted = False


def _task_completed(state: MutableState, event: ev.WorkflowTaskCompleted) -> None:
    _end_of_task(state, event)
    state.previous_started_event_id = event.started_event_id


def _task_failed(state: MutableState, event: ev.WorkflowTaskFailed) -> None:
    _end_of_task(state, event)
    state.close_attempted = event.cause is WorkflowTaskFailedCause.UNHANDLED_COMMAND


def _activity_scheduled(state: MutableState, event: ev.ActivityTaskScheduled) -> None:
    activity = ActivityState(event, ActivityAttempt(1, event.time_us))
    activity.timer = next_activity_timer(event, activity.attempt)
    state.activities[event.event_id] = activity
    state.activity_ids[event.activity_id] = event.event_id


def _activity_started(state: MutableState, event: ev.ActivityTaskStarted) -> None:
    if event.scheduled_event_id not in state.activities:
        raise _illegal(state, event, f"activity {event.scheduled_event_id} is not pending")


ActivityClose = ev.ActivityTaskCompleted | ev.ActivityTaskFailed | ev.ActivityTaskTimedOut | ev.ActivityTaskCanceled


def _activity_closed(state: MutableState, event: ActivityClose) -> None:
    activity = state.activities.pop(event.scheduled_event_id, None)
    if activity is None:
        raise _illegal(state, event, f"activity {event.scheduled_event_id} is not pending")
    if not activity.closing:
        _forget_activity_id(state, activity)


def _forget_activity_id(state: MutableState, activity: ActivityState) -> None:
    # While its end was buffered, another activity may have taken the id.
    name = activity.scheduled.activity_id
    if state.activity_ids.get(name) == activity.scheduled.event_id:
        del state.activity_ids[name]


def _activity_cancel_requested(state: MutableState, event: ev.ActivityTaskCancelRequested) -> None:
    activity = state.activities.get(event.scheduled_event_id)
    if activity is not None:
        activity.cancel_requested_event_id = event.event_id


def _timer_started(state: MutableState, event: ev.TimerStarted) -> None:
    due_us = event.time_us + event.start_to_fire_timeout_us
    state.timers[event.event_id] = TimerState(event.timer_id, event.event_id, due_us)
    state.timer_ids[event.timer_id] = event.event_id
    insort(state.timer_queue, (due_us, event.event_id))


def _timer_closed(state: MutableState, event: ev.TimerFired | ev.TimerCanceled) -> None:
    timer = state.timers.pop(event.started_event_id, None)
    if timer is None:
        raise _illegal(state, event, f"timer {event.timer_id!r} is not running")
    if not timer.closing:
        _forget_timer(state, timer)


def _forget_timer(state: MutableState, timer: TimerState) -> None:
    if state.timer_ids.get(timer.timer_id) == timer.started_event_id:
        del state.timer_ids[timer.timer_id]
    del state.timer_queue[bisect_left(state.timer_queue, (timer.due_us, timer.started_event_id))]


def _marker_recorded(state: MutableState, event: ev.MarkerRecorded) -> None:
    """Markers are for workers."""


Change = Callable[[MutableState, Any], None]
_OPEN: dict[type[HistoryEvent], Change] = {
    **dict.fromkeys(_CLOSED_BY, _execution_closed),
    ev.WorkflowExecutionCancelRequested: _cancel_requested,
    ev.WorkflowExecutionSignaled: _signaled,
    ev.WorkflowTaskScheduled: _task_scheduled,
    ev.WorkflowTaskStarted: _task_started,
    ev.WorkflowTaskCompleted: _task_completed,
    ev.WorkflowTaskTimedOut: _end_of_task,
    ev.WorkflowTaskFailed: _task_failed,
    ev.ActivityTaskScheduled: _activity_scheduled,
    ev.ActivityTaskStarted: _activity_started,
    ev.ActivityTaskCompleted: _activity_closed,
    ev.ActivityTaskFailed: _activity_closed,
    ev.ActivityTaskTimedOut: _activity_closed,
    ev.ActivityTaskCanceled: _activity_closed,
    ev.ActivityTaskCancelRequested: _activity_cancel_requested,
    ev.TimerStarted: _timer_started,
    ev.TimerFired: _timer_closed,
    ev.TimerCanceled: _timer_closed,
    ev.MarkerRecorded: _marker_recorded,
}
APPLY: dict[WorkflowExecutionStatus, dict[type[HistoryEvent], Change]] = {
    status: {} for status in WorkflowExecutionStatus
}
"""The fold: life-cycle status to event class to function. A closed run allows nothing."""
APPLY[WorkflowExecutionStatus.UNSPECIFIED] = {ev.WorkflowExecutionStarted: _execution_started}
APPLY[RUNNING] = _OPEN


# --- buffered events --------------------------------------------------------------------------------------------------


def _close_buffered(state: MutableState, event: ActivityClose) -> None:
    activity = state.activities[event.scheduled_event_id]
    activity.closing = True
    activity.attempt = ENDED  # its record item is gone
    activity.timer = None
    _forget_activity_id(state, activity)


def _fire_buffered(state: MutableState, event: ev.TimerFired) -> None:
    timer = state.timers[event.started_event_id]
    timer.closing = True
    _forget_timer(state, timer)


def _signal_buffered(state: MutableState, event: ev.WorkflowExecutionSignaled) -> None:
    if event.request_id:
        state.signal_request_ids[event.request_id] = None


def _nothing_buffered(state: MutableState, event: HistoryEvent) -> None:
    """The start of an activity's last attempt says nothing that its close does not."""


BUFFERABLE: dict[type[HistoryEvent], Change] = {
    ev.WorkflowExecutionCancelRequested: _cancel_requested,
    ev.WorkflowExecutionSignaled: _signal_buffered,
    ev.ActivityTaskStarted: _nothing_buffered,
    ev.ActivityTaskCompleted: _close_buffered,
    ev.ActivityTaskFailed: _close_buffered,
    ev.ActivityTaskTimedOut: _close_buffered,
    ev.ActivityTaskCanceled: _close_buffered,
    ev.TimerFired: _fire_buffered,
}
"""Events that are buffered while a workflow task is started, and what they change at once.

Source: ``bufferEvent`` in ``service/history/historybuilder/event_store.go``.
"""


def buffer_event(state: MutableState, event: HistoryEvent) -> None:
    """Buffer an event, which has no id yet.

    Raises:
        IllegalTransition: Events of that class are never buffered.
    """
    change = BUFFERABLE.get(type(event))
    if change is None:
        raise _illegal(state, event, "events of this type are not buffered")
    change(state, event)
    state.buffered.append(event)


# --- rebuilding -------------------------------------------------------------------------------------------------------


def rebuild(
    events: Iterable[HistoryEvent], record: Mapping[str, object], *, namespace: str = DEFAULT_NAMESPACE
) -> MutableState:
    """The state that the server kept when it committed the last of ``events`` and ``record``.

    Events do not name their namespace, so it is given.

    Raises:
        IllegalTransition: The events are no history, or the record is not theirs.
    """
    state: MutableState | None = None
    for event in events:
        if state is None:
            if not isinstance(event, ev.WorkflowExecutionStarted):
                raise IllegalTransition(f"a history starts with WorkflowExecutionStarted, not {type(event).__name__}")
            state = MutableState(Execution(event.workflow_id, event.original_execution_run_id, namespace))
        apply(state, event)
    if state is None:
        raise IllegalTransition("an empty history is no run")
    for key, item in record.items():
        _lay_over(state, key, item)
    return state


def _lay_over(state: MutableState, key: str, item: Any) -> None:
    kind, _, name = key.partition("/")
    if kind == "activity":
        activity = state.activities.get(int(name))
        if activity is None:
            raise IllegalTransition(f"record item {key!r} is of an activity that is not pending")
        activity.attempt = item
        activity.timer = next_activity_timer(activity.scheduled, item)
    elif kind == "workflow_task":
        state.workflow_task = item
    elif kind == "sticky":
        state.sticky = item
    elif kind == "request":
        state.seen_requests[name] = item
    elif kind == "buffered":
        buffered: BufferedEvents = item
        for event in buffered:
            buffer_event(state, event)
    else:
        raise IllegalTransition(f"unknown record item {key!r}")
