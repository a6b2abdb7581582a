"""What must hold of a run at every commit: for tests, and for simulations that check themselves.

The state that a server keeps equals the one rebuilt from what is stored, the stored outbox holds exactly the tasks
that this state implies, event ids have no gaps, and the record has no item that it may not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .enums import TimeoutType
from .errors import InternalError
from .events import HistoryEvent
from .record import check_item
from .requests import ActivityTaskReady, OutboxTask, TimerTask, WorkflowTaskReady
from .state import ActivityState, MutableState, rebuild
from .transition_work import BACKOFF, RUN_TIMEOUT, TASK, TASK_TIMEOUT


def implied_outbox(state: MutableState) -> dict[str, OutboxTask]:
    """The outbox tasks that a run in this state has, worked out from the state alone."""
    tasks: dict[str, OutboxTask] = {}
    started = state.started
    if started is None or not state.is_open:
        return tasks
    if state.run_expiration_time_us:
        tasks[RUN_TIMEOUT] = TimerTask(state.run_expiration_time_us, RUN_TIMEOUT)
    backoff_us = started.first_workflow_task_backoff_us
    if backoff_us and not state.had_workflow_task:
        tasks[BACKOFF] = TimerTask(started.time_us + backoff_us, BACKOFF)
    _workflow_task(state, tasks)
    for activity in state.activities.values():
        if not activity.closing:
            _activity(state, activity, tasks)
    for timer in state.timers.values():
        if not timer.closing:
            event_id = timer.started_event_id
            tasks[f"timer/{event_id}"] = TimerTask(timer.due_us, "user_timer", event_id)
    return tasks


def _workflow_task(state: MutableState, tasks: dict[str, OutboxTask]) -> None:
    task = state.workflow_task
    if task is None:
        return
    event_id = task.scheduled_event_id
    if task.started_event_id:
        due_us = task.started_time_us + task.start_to_close_timeout_us
        timeout_type = TimeoutType.START_TO_CLOSE
    else:
        tasks[TASK] = WorkflowTaskReady(event_id, task.attempt, task.task_queue.name, state.sticky is not None)
        if state.sticky is None:
            return
        due_us = task.scheduled_time_us + state.sticky.schedule_to_start_timeout_us
        timeout_type = TimeoutType.SCHEDULE_TO_START
    tasks[TASK_TIMEOUT] = TimerTask(due_us, TASK_TIMEOUT, event_id, task.attempt, timeout_type)


def _activity(state: MutableState, activity: ActivityState, tasks: dict[str, OutboxTask]) -> None:
    scheduled = activity.scheduled
    attempt = activity.attempt
    event_id = scheduled.event_id
    number = attempt.attempt
    if not attempt.dispatched:
        tasks[f"activity_retry/{event_id}"] = TimerTask(attempt.scheduled_time_us, "activity_retry", event_id, number)
    elif not attempt.started:
        queue = scheduled.task_queue.name if scheduled.task_queue else state.task_queue
        tasks[f"activity/{event_id}/{number}"] = ActivityTaskReady(event_id, number, queue)
    if activity.timer is not None:
        tasks[f"activity_timeout/{event_id}"] = activity.timer


def check_commit(
    state: MutableState,
    events: Sequence[HistoryEvent],
    record: Mapping[str, object],
    outbox: Mapping[str, OutboxTask],
) -> None:
    """Compare the state kept by a server with what the store holds of the run.

    Raises:
        InternalError: They differ; the message says in what.
    """
    for index, event in enumerate(events):
        if event.event_id != index + 1:
            raise InternalError(f"event {event.event_id} stands at position {index + 1} of the history")
    for key, item in record.items():
        check_item(key, item)
    rebuilt = rebuild(events, record, namespace=state.execution.namespace)
    if rebuilt != state:
        raise InternalError(f"state kept and state rebuilt differ in {differing_fields(state, rebuilt)}")
    implied = implied_outbox(state)
    if implied != dict(outbox):
        names = sorted(key for key in {**implied, **outbox} if implied.get(key) != outbox.get(key))
        pairs = ", ".join(f"{name}: implied {implied.get(name)}, stored {outbox.get(name)}" for name in names)
        raise InternalError(f"the outbox is not the one that the state implies: {pairs}")


def differing_fields(kept: MutableState, rebuilt: MutableState) -> str:
    """The fields in which two states differ, with both values."""
    names = [name for name in MutableState.__slots__ if getattr(kept, name) != getattr(rebuilt, name)]
    return "; ".join(f"{name}: kept {getattr(kept, name)!r}, rebuilt {getattr(rebuilt, name)!r}" for name in names)
