"""Activities: started, heartbeating, closed, retried, timed out.

``ActivityTaskStarted`` is written when the attempt that closes the activity has ended; all earlier attempts leave
nothing in history. Sources: ``RetryActivity`` and the ``AddActivityTask...`` functions of
``service/history/workflow/mutable_state_impl.go``, ``service/history/workflow/activity.go``,
``service/history/api/recordactivitytaskstarted``, ``respondactivitytask*`` and ``recordactivitytaskheartbeat``, and
``executeActivityTimeoutTask`` in ``service/history/timer_queue_active_task_executor.go``.
"""

from __future__ import annotations

from dataclasses import replace

from . import events as ev
from .enums import RetryState, TimeoutType
from .errors import ServiceError
from .failures import Failure, TimeoutFailureInfo
from .record import ActivityAttempt
from .requests import (
    ActivityTaskReady,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeat,
    RecordActivityTaskHeartbeatResponse,
    RecordActivityTaskStarted,
    RespondActivityTaskCanceled,
    RespondActivityTaskCompleted,
    RespondActivityTaskFailed,
    TaskToken,
    TimerDue,
    TimerTask,
)
from .retry import DEFAULT_RETRY_POLICY, TIMEOUT_TYPE_NAMES, is_retryable, next_backoff_us, requested_delay_us
from .state import ActivityClose, ActivityState, MutableState
from .timer_sequence import Deadline, activity_deadlines, next_activity_timer
from .transition_work import Work

_NOT_FOUND = "invalid activityID or activity already timed out or invoking workflow is completed"
_NO_TIME_LEFT = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying"


def record_started(work: Work, request: RecordActivityTaskStarted) -> None:
    """A poller gets the attempt (``recordactivitytaskstarted/api.go``); nothing is written to history yet."""
    activity = work.state.activities.get(request.scheduled_event_id)
    if activity is None or activity.closing:
        raise ServiceError("NOT_FOUND", _NOT_FOUND)
    attempt = activity.attempt
    if attempt.attempt != request.attempt or not attempt.dispatched:
        raise ServiceError("NOT_FOUND", _NOT_FOUND)
    if attempt.started:
        if attempt.request_id != request.request_id:
            raise ServiceError("NOT_FOUND", "Activity task already started.", "TaskAlreadyStarted")
        work.transition.response = _poll_response(work.state, activity)
        return
    work.drop_task(f"activity/{request.scheduled_event_id}/{attempt.attempt}")
    started = ActivityAttempt(
        attempt.attempt,
        attempt.scheduled_time_us,
        True,
        True,
        work.now_us,
        request.request_id,
        request.identity,
        attempt.last_failure,
        attempt.heartbeat_details,
        attempt.heartbeat_time_us,
    )
    _set_attempt(work, activity, started)
    work.transition.response = _poll_response(work.state, activity)


def _set_attempt(work: Work, activity: ActivityState, attempt: ActivityAttempt) -> None:
    """Put the record item, and move the activity's timeout timer if its earliest timeout is another now."""
    event_id = activity.scheduled.event_id
    activity.attempt = attempt
    work.put(f"activity/{event_id}", attempt)
    timer = next_activity_timer(activity.scheduled, attempt)
    if timer != activity.timer:
        if timer is None:
            work.drop_task(f"activity_timeout/{event_id}")
        else:
            work.set_task(f"activity_timeout/{event_id}", timer)
        activity.timer = timer


def _poll_response(state: MutableState, activity: ActivityState) -> PollActivityTaskQueueResponse:
    scheduled = activity.scheduled
    attempt = activity.attempt
    execution = state.execution
    # By position, since this is made for every attempt; the order is that of the class.
    return PollActivityTaskQueueResponse(
        TaskToken(execution, scheduled.event_id, attempt.attempt, 0, scheduled.activity_id),
        execution,
        state.workflow_type,
        scheduled.activity_id,
        scheduled.activity_type,
        scheduled.input,
        scheduled.header,
        attempt.attempt,
        scheduled.time_us,
        attempt.scheduled_time_us,
        attempt.started_time_us,
        scheduled.schedule_to_close_timeout_us,
        scheduled.start_to_close_timeout_us,
        scheduled.heartbeat_timeout_us,
        attempt.heartbeat_details,
        scheduled.retry_policy,
        scheduled.task_queue.name if scheduled.task_queue else state.task_queue,
    )


def _running(state: MutableState, token: TaskToken) -> ActivityState:
    """The activity that a worker speaks of (``IsActivityTaskNotFoundForToken``)."""
    activity = state.activities.get(token.scheduled_event_id)
    if (
        activity is None
        or activity.closing
        or not activity.attempt.started
        or activity.attempt.attempt != token.attempt
    ):
        raise ServiceError("NOT_FOUND", _NOT_FOUND)
    return activity


def _close(work: Work, activity: ActivityState, event: ActivityClose) -> None:
    """Write the start of the last attempt, if a worker had it, and its end."""
    attempt = activity.attempt
    work.drop_activity(activity)
    if attempt.started:
        work.buffer(
            ev.ActivityTaskStarted(
                0,
                attempt.started_time_us,
                activity.scheduled.event_id,
                attempt.identity,
                attempt.request_id,
                attempt.attempt,
                attempt.last_failure,
            )
        )
    work.buffer(event)


def respond_completed(work: Work, request: RespondActivityTaskCompleted) -> None:
    """``respondactivitytaskcompleted/api.go``."""
    activity = _running(work.state, request.task_token)
    event_id = activity.scheduled.event_id
    _close(work, activity, ev.ActivityTaskCompleted(0, work.now_us, request.result, event_id, 0, request.identity))
    work.need_workflow_task()


def respond_failed(work: Work, request: RespondActivityTaskFailed) -> None:
    """``respondactivitytaskfailed/api.go``: retried if the policy allows it, closed otherwise."""
    activity = _running(work.state, request.task_token)
    if request.last_heartbeat_details:
        activity.attempt = replace(
            activity.attempt, heartbeat_details=request.last_heartbeat_details, heartbeat_time_us=work.now_us
        )
    retry_state = _retry(work, activity, request.failure)
    if retry_state is RetryState.IN_PROGRESS:
        return
    event_id = activity.scheduled.event_id
    _close(
        work,
        activity,
        ev.ActivityTaskFailed(0, work.now_us, request.failure, event_id, 0, request.identity, retry_state),
    )
    work.need_workflow_task()


def respond_canceled(work: Work, request: RespondActivityTaskCanceled) -> None:
    """``respondactivitytaskcanceled/api.go``."""
    activity = _running(work.state, request.task_token)
    requested_event_id = activity.cancel_requested_event_id
    if not requested_event_id:
        text = "unable to mark activity as canceled without activity being request canceled first"
        raise ServiceError("INVALID_ARGUMENT", text)
    event_id = activity.scheduled.event_id
    _close(
        work,
        activity,
        ev.ActivityTaskCanceled(0, work.now_us, request.details, requested_event_id, event_id, 0, request.identity),
    )
    work.need_workflow_task()


def heartbeat(work: Work, request: RecordActivityTaskHeartbeat) -> None:
    """``recordactivitytaskheartbeat/api.go``: keep the details, begin the timeout anew, say whether to cancel."""
    activity = _running(work.state, request.task_token)
    beat = replace(activity.attempt, heartbeat_details=request.details, heartbeat_time_us=work.now_us)
    _set_attempt(work, activity, beat)
    work.transition.response = RecordActivityTaskHeartbeatResponse(activity.cancel_requested_event_id > 0)


# --- retries ----------------------------------------------------------------------------------------------------------


def _retry(work: Work, activity: ActivityState, failure: Failure) -> RetryState:
    """Set up the next attempt, or say why there is none (``RetryActivity``)."""
    if activity.cancel_requested_event_id:
        return RetryState.CANCEL_REQUESTED
    info = failure.info
    if isinstance(info, TimeoutFailureInfo) and info.timeout_type in (
        TimeoutType.SCHEDULE_TO_START,
        TimeoutType.SCHEDULE_TO_CLOSE,
    ):
        return RetryState.TIMEOUT
    scheduled = activity.scheduled
    policy = scheduled.retry_policy or DEFAULT_RETRY_POLICY
    if not is_retryable(failure, policy.non_retryable_error_types):
        return RetryState.NON_RETRYABLE_FAILURE
    attempt = activity.attempt
    delay_us = requested_delay_us(failure)
    to_close_us = scheduled.schedule_to_close_timeout_us
    interval_us, retry_state = next_backoff_us(
        policy,
        attempt=attempt.attempt,
        now_us=work.now_us,
        expiration_us=scheduled.time_us + to_close_us if to_close_us else 0,
        delay_us=delay_us,
        # A delay that the application asks for is not held to the policy's maximum.
        maximum_interval_us=policy.maximum_interval_us if delay_us is None else delay_us,
    )
    if retry_state is RetryState.IN_PROGRESS:
        _back_off(work, activity, failure, work.now_us + interval_us)
    return retry_state


def _back_off(work: Work, activity: ActivityState, failure: Failure, due_us: int) -> None:
    attempt = activity.attempt
    event_id = activity.scheduled.event_id
    number = attempt.attempt + 1
    _set_attempt(
        work,
        activity,
        ActivityAttempt(
            number,
            due_us,
            False,
            identity=attempt.identity,
            last_failure=failure,
            heartbeat_details=attempt.heartbeat_details,
            heartbeat_time_us=attempt.heartbeat_time_us,
        ),
    )
    work.set_task(f"activity_retry/{event_id}", TimerTask(due_us, "activity_retry", event_id, number))


def retry_due(work: Work, request: TimerDue) -> None:
    """The backoff is over: the next attempt is handed out (``executeActivityRetryTimerTask``)."""
    timer = request.task
    activity = work.state.activities.get(timer.event_id)
    if activity is None or activity.closing:
        return
    attempt = activity.attempt
    if attempt.dispatched or attempt.attempt != timer.attempt:
        return
    scheduled = activity.scheduled
    event_id = scheduled.event_id
    _set_attempt(work, activity, replace(attempt, dispatched=True))
    work.drop_task(f"activity_retry/{event_id}")
    queue = scheduled.task_queue.name if scheduled.task_queue else work.state.task_queue
    work.set_task(f"activity/{event_id}/{attempt.attempt}", ActivityTaskReady(event_id, attempt.attempt, queue))


# --- timeouts ---------------------------------------------------------------------------------------------------------


def timeout_due(work: Work, request: TimerDue) -> None:
    """A timeout of an activity is due, and with it all others that are (``executeActivityTimeoutTask``)."""
    state = work.state
    timer = request.task
    activity = state.activities.get(timer.event_id)
    if activity is None or activity.timer != timer:
        return
    now_us = max(work.now_us, timer.due_us)
    due: list[tuple[Deadline, int]] = []
    for pending in state.activities.values():
        first = pending.timer
        if first is not None and first.due_us <= now_us:
            attempt = pending.attempt
            found = activity_deadlines(pending.scheduled, attempt)
            due += [(deadline, attempt.attempt) for deadline in found if deadline[0] <= now_us]
    closed = False
    for (_, event_id, timeout_type), number in sorted(due):
        pending_one = state.activities.get(event_id)
        if pending_one is None or pending_one.closing or number < pending_one.attempt.attempt:
            continue
        closed = _time_out(work, pending_one, timeout_type) or closed
    if closed:
        work.need_workflow_task()


def _time_out(work: Work, activity: ActivityState, timeout_type: TimeoutType) -> bool:
    """Retry the activity or close it as timed out; was it closed? (``processSingleActivityTimeoutTask``)."""
    name = TIMEOUT_TYPE_NAMES[timeout_type]
    failure = Failure(f"activity {name} timeout", "Server", info=TimeoutFailureInfo(timeout_type))
    retry_state = _retry(work, activity, failure)
    if retry_state is RetryState.IN_PROGRESS:
        return False
    if retry_state is RetryState.TIMEOUT and timeout_type is not TimeoutType.SCHEDULE_TO_START:
        # For historical reasons: schedule-to-close says that there was no time for another attempt.
        failure = Failure(_NO_TIME_LEFT, "Server", info=TimeoutFailureInfo(TimeoutType.SCHEDULE_TO_CLOSE))
    attempt = activity.attempt
    info = failure.info
    assert isinstance(info, TimeoutFailureInfo)
    info.last_heartbeat_details = attempt.heartbeat_details
    failure.cause = attempt.last_failure
    event_id = activity.scheduled.event_id
    _close(work, activity, ev.ActivityTaskTimedOut(0, work.now_us, failure, event_id, 0, retry_state))
    return True
