"""Transitions: (state of a run, request) to events, record, outbox and response. Pure; the server machine commits them.

The table is the theory of this module: what a run may be asked while it is open and when it is closed. A request that
is not in it is answered as the real server answers it (``NOT_FOUND`` from a closed run) or is a mistake of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import requests as rq
from . import transition_activity as activity
from . import transition_life_cycle as life_cycle
from . import transition_workflow_task as workflow_task
from .enums import PendingActivityState, WorkflowExecutionStatus
from .errors import IllegalTransition, ServiceError
from .limits import HISTORY_COUNT_MAX, HISTORY_SIZE_MAX
from .state import RUNNING, ActivityState, MutableState, rebuild
from .transition_start import ALREADY_STARTED, start
from .transition_work import HISTORY_SERVICE, Transition, Work

Handler = Callable[[Work, Any], None]


def _timer_due(work: Work, request: rq.TimerDue) -> None:
    handler = _TIMERS.get(request.task.kind)
    if handler is None:
        raise IllegalTransition(f"unknown kind of timer {request.task.kind!r}; known are {list(_TIMERS)}")
    handler(work, request)


def _timer_due_closed(work: Work, request: rq.TimerDue) -> None:
    """Nothing of a closed run is due."""


_TIMERS: dict[str, Handler] = {
    "user_timer": life_cycle.user_timer_due,
    "activity_timeout": activity.timeout_due,
    "activity_retry": activity.retry_due,
    "workflow_task_timeout": workflow_task.timeout_due,
    "workflow_run_timeout": life_cycle.run_timeout_due,
    "workflow_execution_timeout": life_cycle.run_timeout_due,
    "workflow_backoff": life_cycle.backoff_due,
}

OPEN: dict[type, Handler] = {
    rq.SignalWorkflowExecution: life_cycle.signal,
    rq.RequestCancelWorkflowExecution: life_cycle.request_cancel,
    rq.TerminateWorkflowExecution: life_cycle.terminate,
    rq.RecordWorkflowTaskStarted: workflow_task.record_started,
    rq.RespondWorkflowTaskCompleted: workflow_task.respond_completed,
    rq.RespondWorkflowTaskFailed: workflow_task.respond_failed,
    rq.RecordActivityTaskStarted: activity.record_started,
    rq.RespondActivityTaskCompleted: activity.respond_completed,
    rq.RespondActivityTaskFailed: activity.respond_failed,
    rq.RespondActivityTaskCanceled: activity.respond_canceled,
    rq.RecordActivityTaskHeartbeat: activity.heartbeat,
    rq.TimerDue: _timer_due,
}
"""What an open run may be asked."""

CLOSED: dict[type, Handler] = {
    rq.SignalWorkflowExecution: life_cycle.signal_closed,
    rq.RequestCancelWorkflowExecution: life_cycle.request_cancel_closed,
    rq.TimerDue: _timer_due_closed,
}
"""What a closed run may be asked; it refuses all else that is in ``OPEN``."""


def handle(state: MutableState, request: object, *, now_us: int) -> Transition:
    """Do what ``request`` asks of a run.

    ``state`` is changed as the transition says. If the transition can't be committed, drop the state and ``rebuild``
    it.

    Args:
        state: Of the run that the request names.
        request: One of the classes in ``OPEN``.
        now_us: Microseconds since the Unix epoch, by the server's clock.

    Raises:
        ServiceError: The request is refused; the state is as it was.
        IllegalTransition: The request is none of a run's.
    """
    is_open = state.status is RUNNING
    handler = (OPEN if is_open else CLOSED).get(type(request))
    if handler is None:
        if type(request) in OPEN:
            raise life_cycle.completed_error()
        raise IllegalTransition(f"{type(request).__name__} is no request to a run; those are in transition.OPEN")
    work = Work(state, now_us)
    if is_open and (state.next_event_id > HISTORY_COUNT_MAX + 1 or state.history_size_bytes > HISTORY_SIZE_MAX):
        _end_oversized(work)
    else:
        handler(work, request)
    return work.finish()


def _end_oversized(work: Work) -> None:
    """A run whose history is too long is terminated instead (``enforceHistoryCountCheck`` in ``workflow/context.go``).

    The server looks at the history as it would be after the request and abandons the request; here the request that
    goes over the limit is still done, and the next one is not.
    """
    what = "count" if work.state.next_event_id > HISTORY_COUNT_MAX + 1 else "size"
    reason = f"Workflow history {what} exceeds limit."
    work.terminate(reason, [], HISTORY_SERVICE)
    work.transition.response = ServiceError("INVALID_ARGUMENT", reason)


def read(
    state: MutableState, request: rq.DescribeWorkflowExecution, *, now_us: int
) -> rq.DescribeWorkflowExecutionResponse:
    """Describe a run; changes nothing (``service/history/api/describeworkflow/api.go``)."""
    started = state.started
    task = state.workflow_task
    return rq.DescribeWorkflowExecutionResponse(
        execution=state.execution,
        workflow_type=state.workflow_type,
        task_queue=state.task_queue,
        status=state.status,
        start_time_us=state.start_time_us,
        close_time_us=None if state.is_open else state.close_time_us,
        history_length=state.next_event_id - 1,
        history_size_bytes=state.history_size_bytes,
        memo={} if started is None else started.memo,
        search_attributes={} if started is None else started.search_attributes,
        pending_activities=[_describe(one, now_us) for one in state.activities.values() if not one.closing],
        pending_workflow_task_attempt=0 if task is None else task.attempt,
    )


def _describe(pending: ActivityState, now_us: int) -> rq.PendingActivityInfo:
    """One pending activity (``GetPendingActivityInfo`` in ``service/history/workflow/activity.go``)."""
    scheduled = pending.scheduled
    attempt = pending.attempt
    if pending.cancel_requested_event_id:
        what = PendingActivityState.CANCEL_REQUESTED
    else:
        what = PendingActivityState.STARTED if attempt.started else PendingActivityState.SCHEDULED
    backs_off = what is PendingActivityState.SCHEDULED and now_us < attempt.scheduled_time_us
    policy = scheduled.retry_policy
    return rq.PendingActivityInfo(
        activity_id=scheduled.activity_id,
        activity_type=scheduled.activity_type,
        state=what,
        attempt=attempt.attempt,
        maximum_attempts=0 if policy is None else policy.maximum_attempts,
        scheduled_time_us=attempt.scheduled_time_us,
        last_started_time_us=attempt.started_time_us if attempt.started else None,
        last_heartbeat_time_us=attempt.heartbeat_time_us or None,
        heartbeat_details=attempt.heartbeat_details,
        last_failure=attempt.last_failure,
        last_worker_identity=attempt.identity,
        next_attempt_schedule_time_us=attempt.scheduled_time_us if backs_off else None,
    )


__all__ = [
    "ALREADY_STARTED",
    "CLOSED",
    "OPEN",
    "MutableState",
    "Transition",
    "WorkflowExecutionStatus",
    "handle",
    "read",
    "rebuild",
    "start",
]
