"""The life of a run: signals, cancel request, termination, timeouts, user timers.

Sources: ``service/history/api/signalworkflow``, ``requestcancelworkflow`` and ``terminateworkflow`` beside it,
``service/history/workflow/util.go`` and ``service/history/timer_queue_active_task_executor.go``.
"""

from __future__ import annotations

from . import events as ev
from .enums import RetryState, TimeoutType
from .errors import ServiceError
from .failures import Failure, TimeoutFailureInfo
from .limits import BLOB_SIZE_MAX, SIGNALS_MAX
from .requests import (
    RequestCancelWorkflowExecution,
    SignalWorkflowExecution,
    TerminateWorkflowExecution,
    TimerDue,
)
from .size import payloads_size
from .state import MutableState
from .transition_start import next_run_id, retried_run, workflow_backoff
from .transition_work import Work


def completed_error() -> ServiceError:
    """What a closed run answers (``consts.ErrWorkflowCompleted``)."""
    return ServiceError("NOT_FOUND", "workflow execution already completed")


# --- messages from outside --------------------------------------------------------------------------------------------


def signal(work: Work, request: SignalWorkflowExecution) -> None:
    """``signalworkflow/api.go`` and ``ValidateSignal``."""
    state = work.state
    if _is_repeated(state, request):
        return
    if payloads_size(request.input) > BLOB_SIZE_MAX:
        raise ServiceError("INVALID_ARGUMENT", "Blob data size exceeds limit.")
    if state.signal_count >= SIGNALS_MAX:
        raise ServiceError("INVALID_ARGUMENT", "exceeded workflow execution limit for signal events")
    task = state.workflow_task
    if state.close_attempted and task is not None and task.started_event_id:
        text = "workflow operation can not be applied because workflow is closing"
        raise ServiceError("RESOURCE_EXHAUSTED", text)
    waits = not state.had_workflow_task and _delayed(state)
    work.buffer(
        ev.WorkflowExecutionSignaled(
            0, work.now_us, request.signal_name, request.input, request.identity, request.header, request.request_id
        )
    )
    if not waits:
        work.need_workflow_task()


def _delayed(state: MutableState) -> bool:
    return state.started is not None and state.started.first_workflow_task_backoff_us > 0


def _is_repeated(state: MutableState, request: SignalWorkflowExecution) -> bool:
    return bool(request.request_id) and request.request_id in state.signal_request_ids


def signal_closed(work: Work, request: SignalWorkflowExecution) -> None:
    """A retried signal is answered as before even if the run has closed; a new one is refused."""
    if not _is_repeated(work.state, request):
        raise completed_error()


def request_cancel(work: Work, request: RequestCancelWorkflowExecution) -> None:
    """``requestcancelworkflow/api.go``; asking again changes nothing."""
    state = work.state
    _check_chain(state, request.first_execution_run_id)
    if state.cancel_requested:
        return
    work.buffer(ev.WorkflowExecutionCancelRequested(0, work.now_us, request.reason, request.identity))
    work.need_workflow_task()


def request_cancel_closed(work: Work, request: RequestCancelWorkflowExecution) -> None:
    """Cancelling what has closed is a success."""


def terminate(work: Work, request: TerminateWorkflowExecution) -> None:
    """``terminateworkflow/api.go``."""
    _check_chain(work.state, request.first_execution_run_id)
    work.terminate(request.reason, request.details, request.identity)


def _check_chain(state: MutableState, first_run_id: str) -> None:
    started = state.started
    if first_run_id and started is not None and started.first_execution_run_id != first_run_id:
        raise ServiceError("NOT_FOUND", "workflow execution not found")


# --- timers -----------------------------------------------------------------------------------------------------------


def user_timer_due(work: Work, request: TimerDue) -> None:
    """A timer fires, with all others that are due by now, in order (``executeUserTimerTimeoutTask``)."""
    state = work.state
    timer = state.timers.get(request.task.event_id)
    if timer is None or timer.closing:
        return
    now_us = max(work.now_us, request.task.due_us)
    while state.timer_queue and state.timer_queue[0][0] <= now_us:
        due = state.timers[state.timer_queue[0][1]]
        work.drop_task(f"timer/{due.started_event_id}")
        work.buffer(ev.TimerFired(0, work.now_us, due.timer_id, due.started_event_id))
    work.need_workflow_task()


def backoff_due(work: Work, request: TimerDue) -> None:
    """A delayed start begins (``executeWorkflowBackoffTimerTask``)."""
    if not work.state.had_workflow_task:
        work.schedule_workflow_task()


def run_timeout_due(work: Work, request: TimerDue) -> None:
    """The run, or the whole execution, is out of time (``executeWorkflowRunTimeoutTask``)."""
    state = work.state
    started = state.started
    assert started is not None
    if request.task.due_us != state.run_expiration_time_us:
        return
    failure = Failure("workflow timeout", "Server", info=TimeoutFailureInfo(TimeoutType.START_TO_CLOSE))
    last_us = started.workflow_execution_expiration_time_us
    backoff_us, retry_state = 0, RetryState.TIMEOUT
    if not last_us or last_us > max(work.now_us, request.task.due_us):
        backoff_us, retry_state = workflow_backoff(state, failure, work.now_us)
    work.force_close_workflow_task()
    new_run_id = next_run_id(state) if retry_state is RetryState.IN_PROGRESS else ""
    work.close(ev.WorkflowExecutionTimedOut(0, work.now_us, retry_state, new_run_id))
    if new_run_id:
        work.transition.also = retried_run(work, new_run_id, backoff_us, failure, started.last_completion_result)
