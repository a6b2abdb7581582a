"""A run starts: because a client asks for it, or as the next run of a workflow that failed and is retried.

Sources: ``service/history/api/startworkflow/api.go``, ``workflow_id_dedup.go`` and ``create_workflow_util.go`` there,
``chasm/lib/workflow/validator.go``, ``common/util.go`` (``CreateHistoryStartWorkflowRequest``) and
``service/history/workflow/retry.go`` (``SetupNewWorkflowForRetryOrCron``).
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from . import events as ev
from .enums import ContinueAsNewInitiator, RetryState, TaskQueueKind, WorkflowExecutionStatus
from .enums import WorkflowIdConflictPolicy as ConflictPolicy
from .enums import WorkflowIdReusePolicy as ReusePolicy
from .errors import ServiceError
from .events import RetryPolicyData, TaskQueue
from .failures import Failure
from .limits import (
    BLOB_SIZE_MAX,
    DURATION_MAX_US,
    ID_LENGTH_MAX,
    RUN_INTERVAL_MIN_US,
    WORKFLOW_TASK_TIMEOUT_DEFAULT_US,
    WORKFLOW_TASK_TIMEOUT_MAX_US,
)
from .payloads import Payload, Payloads
from .record import SeenRequest
from .requests import Execution, StartWorkflowExecution, StartWorkflowExecutionResponse, TimerTask
from .retry import is_retryable, next_backoff_us, requested_delay_us, validate_policy, with_defaults
from .size import payloads_size
from .state import MutableState
from .transition_work import BACKOFF, HISTORY_SERVICE, RUN_TIMEOUT, Transition, Work

ALREADY_STARTED = "WorkflowExecutionAlreadyStartedFailure"
"""The detail of the ``ServiceError`` that refuses a start because of another run of the same workflow id."""

_FAILED = (
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
)


def start(
    request: StartWorkflowExecution, *, now_us: int, current: MutableState | None
) -> tuple[MutableState, Transition]:
    """Start a run, or answer with the one that there is.

    Args:
        request: Its ``new_run_id`` is the id of the run, should one be started.
        now_us: Microseconds since the Unix epoch.
        current: The current run of that workflow id, open or closed.

    Returns:
        The new run's state and transition; or ``current`` and an empty transition (a retried request, or
        ``USE_EXISTING``). Where the current run is terminated for it, that is the transition's ``also``.

    Raises:
        ServiceError: ``INVALID_ARGUMENT``, or ``ALREADY_EXISTS`` with the detail ``ALREADY_STARTED`` and the run id.
    """
    assert request.new_run_id, "the server that receives a start gives the id of the run"
    policy = _check_start(request)
    terminated: Transition | None = None
    if current is not None:
        run_id = current.execution.run_id
        if request.request_id in current.seen_requests:
            return current, Transition(response=StartWorkflowExecutionResponse(run_id, started=True))
        if _may_start(request, current) is ConflictPolicy.USE_EXISTING:
            return current, Transition(response=StartWorkflowExecutionResponse(run_id, started=False))
        if current.is_open:
            terminated = _terminate_existing(request, current, now_us)
    state = MutableState(Execution(request.execution.workflow_id, request.new_run_id, request.execution.namespace))
    transition = _new_run(state, _started_event(request, policy, now_us), request.request_id)
    transition.response = StartWorkflowExecutionResponse(request.new_run_id)
    if current is not None and terminated is not None:
        transition.also = (current, terminated)
    return state, transition


def _new_run(state: MutableState, event: ev.WorkflowExecutionStarted, request_id: str) -> Transition:
    work = Work(state, event.time_us)
    work.append(event)
    seen = SeenRequest(request_id, 1)
    state.seen_requests[request_id] = seen
    work.put(f"request/{request_id}", seen)
    if state.run_expiration_time_us:
        work.set_task(RUN_TIMEOUT, TimerTask(state.run_expiration_time_us, RUN_TIMEOUT))
    backoff_us = event.first_workflow_task_backoff_us
    if backoff_us:
        work.set_task(BACKOFF, TimerTask(event.time_us + backoff_us, BACKOFF))
    else:
        work.schedule_workflow_task()
    return work.finish()


def _may_start(request: StartWorkflowExecution, current: MutableState) -> ConflictPolicy:
    """What is to happen to the current run: ``USE_EXISTING`` or ``TERMINATE_EXISTING`` (nothing, if it is closed).

    Source: ``ResolveDuplicateWorkflowID`` in ``service/history/api/workflow_id_dedup.go``.
    """
    reuse = request.workflow_id_reuse_policy
    names = f"WorkflowId: {current.execution.workflow_id}, RunId: {current.execution.run_id}."
    if current.is_open:
        conflict = request.workflow_id_conflict_policy
        if reuse is ReusePolicy.TERMINATE_IF_RUNNING:
            conflict = ConflictPolicy.TERMINATE_EXISTING
        if conflict in (ConflictPolicy.USE_EXISTING, ConflictPolicy.TERMINATE_EXISTING):
            return conflict
        raise _already_started(f"Workflow execution is already running. {names}", current)
    if reuse is ReusePolicy.REJECT_DUPLICATE:
        text = f"Workflow execution already finished. {names} Workflow Id reuse policy: reject duplicate workflow Id."
        raise _already_started(text, current)
    if reuse is ReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY and current.status not in _FAILED:
        text = "Workflow Id reuse policy: allow duplicate workflow Id if last run failed."
        raise _already_started(f"Workflow execution already finished successfully. {names} {text}", current)
    return ConflictPolicy.TERMINATE_EXISTING


def _already_started(text: str, current: MutableState) -> ServiceError:
    return ServiceError("ALREADY_EXISTS", text, ALREADY_STARTED, current.execution.run_id)


def _terminate_existing(request: StartWorkflowExecution, current: MutableState, now_us: int) -> Transition:
    text = f'"terminated by new runID: {request.new_run_id}"'
    details = [Payload({"encoding": b"json/plain"}, text.encode())]
    work = Work(current, now_us)
    work.terminate("TerminateIfRunning WorkflowIdReusePolicy", details, HISTORY_SERVICE)
    return work.finish()


def _check_start(request: StartWorkflowExecution) -> RetryPolicyData | None:
    """Refuse what the front end and the history service refuse; gives the retry policy with its defaults."""
    named = (
        ("WorkflowId", request.execution.workflow_id),
        ("WorkflowType", request.workflow_type),
        ("TaskQueue", request.task_queue),
        ("RequestId", request.request_id),
    )
    for name, value in named:
        if not value:
            raise ServiceError("INVALID_ARGUMENT", f"{name} is not set on request.")
        if len(value) > ID_LENGTH_MAX:
            raise ServiceError("INVALID_ARGUMENT", f"{name} length exceeds limit.")
    durations = (
        ("WorkflowExecutionTimeout", request.workflow_execution_timeout_us),
        ("WorkflowRunTimeout", request.workflow_run_timeout_us),
        ("WorkflowTaskTimeout", request.workflow_task_timeout_us),
        ("WorkflowStartDelay", request.workflow_start_delay_us),
    )
    for name, value_us in durations:
        if value_us < 0:
            raise ServiceError("INVALID_ARGUMENT", f"An invalid {name} is set on request. cause: negative duration")
    if (
        request.workflow_id_conflict_policy is ConflictPolicy.TERMINATE_EXISTING
        and request.workflow_id_reuse_policy is ReusePolicy.REJECT_DUPLICATE
    ):
        text = "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be used together with "
        raise ServiceError(
            "INVALID_ARGUMENT", text + "WorkflowIdConflictPolicy WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        )
    if payloads_size(request.input) > BLOB_SIZE_MAX:
        raise ServiceError("INVALID_ARGUMENT", "Blob data size exceeds limit.")
    if request.retry_policy is None:
        return None
    policy = with_defaults(request.retry_policy)
    validate_policy(policy)
    return policy


def _started_event(
    request: StartWorkflowExecution, policy: RetryPolicyData | None, now_us: int
) -> ev.WorkflowExecutionStarted:
    execution_timeout_us = min(request.workflow_execution_timeout_us, DURATION_MAX_US)
    run_timeout_us = min(request.workflow_run_timeout_us, DURATION_MAX_US)
    if execution_timeout_us:
        run_timeout_us = min(run_timeout_us or execution_timeout_us, execution_timeout_us)
    task_timeout_us = min(
        request.workflow_task_timeout_us or WORKFLOW_TASK_TIMEOUT_DEFAULT_US, WORKFLOW_TASK_TIMEOUT_MAX_US
    )
    if run_timeout_us:
        task_timeout_us = min(task_timeout_us, run_timeout_us)
    # The server rounds this deadline, and only this one, to milliseconds.
    expires_us = (now_us + execution_timeout_us + 500) // 1000 * 1000 if execution_timeout_us else 0
    return ev.WorkflowExecutionStarted(
        0,
        now_us,
        workflow_type=request.workflow_type,
        workflow_id=request.execution.workflow_id,
        task_queue=TaskQueue(request.task_queue, TaskQueueKind.NORMAL),
        input=request.input,
        header=request.header,
        workflow_execution_timeout_us=execution_timeout_us,
        workflow_run_timeout_us=run_timeout_us,
        workflow_task_timeout_us=task_timeout_us,
        original_execution_run_id=request.new_run_id,
        first_execution_run_id=request.new_run_id,
        identity=request.identity,
        retry_policy=policy,
        workflow_execution_expiration_time_us=expires_us,
        first_workflow_task_backoff_us=min(request.workflow_start_delay_us, DURATION_MAX_US),
        memo=request.memo,
        search_attributes=request.search_attributes,
        user_metadata=request.user_metadata,
    )


# --- workflow retries -------------------------------------------------------------------------------------------------


def workflow_backoff(state: MutableState, failure: Failure | None, now_us: int) -> tuple[int, RetryState]:
    """When does the next run of a failed workflow start, if there is one? (``GetRetryBackoffDuration``)."""
    started = state.started
    policy = None if started is None else started.retry_policy
    if started is None or policy is None:
        return 0, RetryState.RETRY_POLICY_NOT_SET
    if not is_retryable(failure, policy.non_retryable_error_types):
        return 0, RetryState.NON_RETRYABLE_FAILURE
    return next_backoff_us(
        policy,
        attempt=started.attempt,
        now_us=now_us,
        expiration_us=started.workflow_execution_expiration_time_us,
        delay_us=requested_delay_us(failure),
        maximum_interval_us=policy.maximum_interval_us,
    )


def next_run_id(state: MutableState) -> str:
    """The id of the run that a retry starts: the server draws one, here it follows from the run that failed."""
    return str(uuid5(NAMESPACE_OID, f"{state.execution.run_id}/retry"))


def retried_run(
    work: Work, run_id: str, backoff_us: int, failure: Failure | None, last_completion_result: Payloads
) -> tuple[MutableState, Transition]:
    """The next run of a workflow that failed and is retried (``SetupNewWorkflowForRetryOrCron``)."""
    before = work.state.started
    assert before is not None
    execution = work.state.execution
    event = ev.WorkflowExecutionStarted(
        0,
        work.now_us,
        workflow_type=before.workflow_type,
        workflow_id=before.workflow_id,
        task_queue=work.state.normal_queue,
        input=before.input,
        header=before.header,
        workflow_execution_timeout_us=before.workflow_execution_timeout_us,
        workflow_run_timeout_us=before.workflow_run_timeout_us,
        workflow_task_timeout_us=before.workflow_task_timeout_us,
        original_execution_run_id=run_id,
        first_execution_run_id=before.first_execution_run_id,
        continued_execution_run_id=execution.run_id,
        initiator=ContinueAsNewInitiator.RETRY,
        continued_failure=failure,
        last_completion_result=last_completion_result,
        retry_policy=before.retry_policy,
        attempt=before.attempt + 1,
        workflow_execution_expiration_time_us=before.workflow_execution_expiration_time_us,
        first_workflow_task_backoff_us=_at_least_minimal(before, backoff_us, work.now_us),
        memo=before.memo,
        search_attributes=before.search_attributes,
    )
    state = MutableState(Execution(execution.workflow_id, run_id, execution.namespace))
    return state, _new_run(state, event, run_id)


def _at_least_minimal(before: ev.WorkflowExecutionStarted, backoff_us: int, now_us: int) -> int:
    """Runs of a chain start a second apart, or more (``ContinueAsNewMinBackoff`` in ``mutable_state_impl.go``)."""
    lifetime_us = now_us - before.time_us - before.first_workflow_task_backoff_us
    if lifetime_us + backoff_us < RUN_INTERVAL_MIN_US:
        return RUN_INTERVAL_MIN_US - lifetime_us
    return backoff_us
