"""Workflow tasks: started, completed, failed, timed out.

Sources: ``service/history/workflow/workflow_task_state_machine.go``,
``service/history/api/recordworkflowtaskstarted/api.go``, ``service/history/api/respondworkflowtaskcompleted/api.go``,
``service/history/api/respondworkflowtaskfailed/api.go`` and ``executeWorkflowTaskTimeoutTask`` in
``service/history/timer_queue_active_task_executor.go``.
"""

from __future__ import annotations

from dataclasses import replace

from . import events as ev
from .enums import TimeoutType, WorkflowTaskFailedCause
from .errors import ServiceError
from .events import HistoryEvent
from .failures import Failure, ServerFailureInfo
from .record import PendingWorkflowTask, StickyQueue
from .requests import (
    PollWorkflowTaskQueueResponse,
    RecordWorkflowTaskStarted,
    RespondWorkflowTaskCompleted,
    RespondWorkflowTaskFailed,
    TaskToken,
    TimerDue,
    TimerTask,
)
from .state import RUNNING, MutableState
from .transition_command import BadCommand, CommandPlan, apply_plan, plan_commands
from .transition_work import TASK, TASK_TIMEOUT, Work, suggests_continue_as_new

_NOT_FOUND = "Workflow task not found."


def record_started(work: Work, request: RecordWorkflowTaskStarted) -> None:
    """A poller gets the task (``recordworkflowtaskstarted/api.go``, ``AddWorkflowTaskStartedEvent``)."""
    state = work.state
    task = state.workflow_task
    if task is None or task.scheduled_event_id != request.scheduled_event_id or task.attempt != request.attempt:
        raise ServiceError("NOT_FOUND", _NOT_FOUND)
    if task.started_event_id:
        if task.request_id != request.request_id:
            raise ServiceError("NOT_FOUND", "Workflow task already started.", "TaskAlreadyStarted")
        work.transition.response = _poll_response(state, task, request.identity)
        return
    if request.sticky and state.sticky is None:
        raise ServiceError("NOT_FOUND", "rejecting sticky poller because workflow has moved to normal queue")
    if state.sticky is not None and not request.sticky:
        work.clear_sticky()
    work.drop_task(TASK)
    if not task.is_transient or task.scheduled_event_id != state.next_event_id:
        _start_normal(work, task, request)
    else:
        _start_transient(work, task, request)
    task = state.workflow_task
    assert task is not None
    due_us = task.started_time_us + task.start_to_close_timeout_us
    work.set_task(
        TASK_TIMEOUT,
        TimerTask(due_us, TASK_TIMEOUT, task.scheduled_event_id, task.attempt, TimeoutType.START_TO_CLOSE),
    )
    work.transition.response = _poll_response(state, task, request.identity)


def _start_normal(work: Work, task: PendingWorkflowTask, request: RecordWorkflowTaskStarted) -> None:
    state = work.state
    suggest = suggests_continue_as_new(state)
    size = state.history_size_bytes
    if task.is_transient:
        # Events came since it was scheduled, so it can't be transient any more: it is scheduled again, as a normal
        # task.
        work.drop(TASK)
        state.workflow_task = None
        timeout_us = task.start_to_close_timeout_us
        work.append(ev.WorkflowTaskScheduled(0, work.now_us, task.task_queue, timeout_us, 1))
    scheduled_event_id = state.workflow_task.scheduled_event_id if state.workflow_task else 0
    work.append(
        ev.WorkflowTaskStarted(0, work.now_us, scheduled_event_id, request.identity, request.request_id, suggest, size)
    )


def _start_transient(work: Work, task: PendingWorkflowTask, request: RecordWorkflowTaskStarted) -> None:
    state = work.state
    state.workflow_task = replace(
        task,
        started_event_id=task.scheduled_event_id + 1,
        started_time_us=work.now_us,
        request_id=request.request_id,
        identity=request.identity,
        suggest_continue_as_new=suggests_continue_as_new(state),
        history_size_bytes=state.history_size_bytes,
    )
    work.put(TASK, state.workflow_task)


def _transient_events(task: PendingWorkflowTask, identity: str) -> list[HistoryEvent]:
    """The two events that a transient task will get (``GetTransientWorkflowTaskInfo``)."""
    return [
        ev.WorkflowTaskScheduled(
            task.scheduled_event_id,
            task.scheduled_time_us,
            task.task_queue,
            task.start_to_close_timeout_us,
            task.attempt,
        ),
        ev.WorkflowTaskStarted(
            task.started_event_id,
            task.started_time_us,
            task.scheduled_event_id,
            identity,
            task.request_id,
            task.suggest_continue_as_new,
            task.history_size_bytes,
        ),
    ]


def _poll_response(state: MutableState, task: PendingWorkflowTask, identity: str) -> PollWorkflowTaskQueueResponse:
    execution = state.execution
    return PollWorkflowTaskQueueResponse(
        TaskToken(execution, task.scheduled_event_id, task.attempt, task.started_event_id),
        execution,
        state.workflow_type,
        state.previous_started_event_id,
        task.started_event_id,
        task.attempt,
        _transient_events(task, identity) if task.is_transient else [],
    )


def _started_task(state: MutableState, token: TaskToken) -> PendingWorkflowTask:
    task = state.workflow_task
    if (
        task is None
        or not task.started_event_id
        or task.scheduled_event_id != token.scheduled_event_id
        or task.attempt != token.attempt
        or (token.started_event_id and task.started_event_id != token.started_event_id)
    ):
        raise ServiceError("NOT_FOUND", _NOT_FOUND)
    return task


def respond_completed(work: Work, request: RespondWorkflowTaskCompleted) -> None:
    """A worker's commands become events (``WorkflowTaskCompletedHandler.Invoke``)."""
    state = work.state
    task = _started_task(state, request.task_token)
    completed_event_id = state.next_event_id + (2 if task.is_transient else 0)
    try:
        plan = plan_commands(
            state,
            request.commands,
            completed_event_id=completed_event_id,
            identity=request.identity,
            now_us=work.now_us,
        )
    except BadCommand as bad:
        _refuse(work, task, request, bad)
        return
    _complete(work, task, request)
    _set_sticky(work, request)
    apply_plan(work, plan)
    if state.status is RUNNING and _needs_another(request, plan):
        work.schedule_workflow_task()


def _needs_another(request: RespondWorkflowTaskCompleted, plan: CommandPlan) -> bool:
    return request.force_create_new_workflow_task or plan.has_buffered or bool(plan.canceled)


def _complete(work: Work, task: PendingWorkflowTask, request: RespondWorkflowTaskCompleted) -> None:
    work.end_workflow_task()
    if task.is_transient:
        work.state.workflow_task = None
        for event in _transient_events(task, request.identity):
            work.append(event)
    work.append(
        ev.WorkflowTaskCompleted(
            0, work.now_us, task.scheduled_event_id, task.started_event_id, request.identity, request.sdk_metadata
        )
    )


def _set_sticky(work: Work, request: RespondWorkflowTaskCompleted) -> None:
    queue = request.sticky_task_queue
    if queue is None:
        work.clear_sticky()
        return
    sticky = work.state.sticky
    timeout_us = request.sticky_schedule_to_start_timeout_us
    if sticky is None or sticky.task_queue != queue or sticky.schedule_to_start_timeout_us != timeout_us:
        work.state.sticky = StickyQueue(queue, timeout_us)
        work.put("sticky", work.state.sticky)


def _refuse(work: Work, task: PendingWorkflowTask, request: RespondWorkflowTaskCompleted, bad: BadCommand) -> None:
    """Fail the task for its commands. The worker gets an error, and yet the run has changed."""
    error = ServiceError("INVALID_ARGUMENT", bad.message)
    if task.attempt > 1 and bad.cause is not WorkflowTaskFailedCause.UNHANDLED_COMMAND:
        raise error  # a task that keeps failing is left to its timeout
    failure = Failure(bad.message, info=ServerFailureInfo())
    attempt = work.fail_workflow_task(_failed_event(work, task, bad.cause, failure, request.identity))
    if bad.terminates:
        work.flush()
        work.close(ev.WorkflowExecutionTerminated(0, work.now_us, bad.message, [], "history-service"))
    else:
        work.schedule_workflow_task(attempt)
    work.transition.response = error


def _failed_event(
    work: Work, task: PendingWorkflowTask, cause: WorkflowTaskFailedCause, failure: Failure, identity: str
) -> ev.WorkflowTaskFailed:
    return ev.WorkflowTaskFailed(
        0, work.now_us, task.scheduled_event_id, task.started_event_id, cause, failure, identity
    )


def respond_failed(work: Work, request: RespondWorkflowTaskFailed) -> None:
    """A worker could not do the task; the next attempt is scheduled at once (``respondworkflowtaskfailed/api.go``).

    The SDKs report the first attempt's failure only and leave later ones to their timeout, which is what slows them
    down.
    """
    task = _started_task(work.state, request.task_token)
    event = _failed_event(work, task, request.cause, request.failure, request.identity)
    work.schedule_workflow_task(work.fail_workflow_task(event))


def timeout_due(work: Work, request: TimerDue) -> None:
    """A workflow task's timeout is due (``executeWorkflowTaskTimeoutTask``)."""
    timer = request.task
    task = work.state.workflow_task
    if task is None or task.scheduled_event_id != timer.event_id or task.attempt != timer.attempt:
        return
    started = timer.timeout_type is TimeoutType.START_TO_CLOSE
    if started != (task.started_event_id > 0):
        return
    event = ev.WorkflowTaskTimedOut(0, work.now_us, task.scheduled_event_id, task.started_event_id, timer.timeout_type)
    work.schedule_workflow_task(work.fail_workflow_task(event, count=started))
