"""Requests to the service and their responses, named as the calls of Temporal's WorkflowService.

``Client requests`` and ``worker requests`` come over the network; ``internal requests`` are made by the server itself
when it matches a task with a poller or when a timer is due. All of them that touch a run are handled by
``engine/core/transition.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .commands import Command
from .enums import (
    PendingActivityState,
    QueryRejectCondition,
    TimeoutType,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
    WorkflowTaskFailedCause,
)
from .events import HistoryEvent, RetryPolicyData, TaskQueue, UserMetadata, WorkflowTaskCompletedMetadata
from .failures import Failure
from .payloads import PayloadMap, Payloads

DEFAULT_NAMESPACE = "default"


@dataclass(slots=True)
class Execution:
    """Names a run. An empty ``run_id`` means the current run of that workflow id."""

    workflow_id: str
    run_id: str = ""
    namespace: str = DEFAULT_NAMESPACE


# --- client requests ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class StartWorkflowExecution:
    """``new_run_id`` is given by the server that receives the request, before the transition."""

    execution: Execution
    workflow_type: str
    task_queue: str
    input: Payloads
    request_id: str
    identity: str = ""
    header: PayloadMap = field(default_factory=dict)
    workflow_execution_timeout_us: int = 0
    workflow_run_timeout_us: int = 0
    workflow_task_timeout_us: int = 0
    retry_policy: RetryPolicyData | None = None
    workflow_id_reuse_policy: WorkflowIdReusePolicy = WorkflowIdReusePolicy.ALLOW_DUPLICATE
    workflow_id_conflict_policy: WorkflowIdConflictPolicy = WorkflowIdConflictPolicy.FAIL
    workflow_start_delay_us: int = 0
    memo: PayloadMap = field(default_factory=dict)
    search_attributes: PayloadMap = field(default_factory=dict)
    user_metadata: UserMetadata | None = None
    new_run_id: str = ""


@dataclass(slots=True)
class StartWorkflowExecutionResponse:
    run_id: str
    started: bool = True


@dataclass(slots=True)
class SignalWorkflowExecution:
    execution: Execution
    signal_name: str
    input: Payloads
    request_id: str
    identity: str = ""
    header: PayloadMap = field(default_factory=dict)


@dataclass(slots=True)
class RequestCancelWorkflowExecution:
    execution: Execution
    request_id: str
    identity: str = ""
    reason: str = ""
    first_execution_run_id: str = ""


@dataclass(slots=True)
class TerminateWorkflowExecution:
    execution: Execution
    reason: str = ""
    details: Payloads = field(default_factory=list)
    identity: str = ""
    first_execution_run_id: str = ""


@dataclass(slots=True)
class QueryWorkflow:
    """``timeout_us`` is the client's: a real call carries its deadline with it."""

    execution: Execution
    query_type: str
    query_args: Payloads
    header: PayloadMap = field(default_factory=dict)
    query_reject_condition: QueryRejectCondition = QueryRejectCondition.NONE
    timeout_us: int = 30_000_000


@dataclass(slots=True)
class QueryWorkflowResponse:
    """``rejected_status`` is set, and the result empty, where the reject condition held."""

    query_result: Payloads = field(default_factory=list)
    rejected_status: WorkflowExecutionStatus | None = None


@dataclass(slots=True)
class DescribeWorkflowExecution:
    execution: Execution


@dataclass(slots=True)
class PendingActivityInfo:
    activity_id: str
    activity_type: str
    state: PendingActivityState
    attempt: int
    maximum_attempts: int
    scheduled_time_us: int
    last_started_time_us: int | None = None
    last_heartbeat_time_us: int | None = None
    heartbeat_details: Payloads = field(default_factory=list)
    last_failure: Failure | None = None
    last_worker_identity: str = ""
    next_attempt_schedule_time_us: int | None = None


@dataclass(slots=True)
class DescribeWorkflowExecutionResponse:
    execution: Execution
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time_us: int
    close_time_us: int | None
    history_length: int
    history_size_bytes: int
    memo: PayloadMap
    search_attributes: PayloadMap
    pending_activities: list[PendingActivityInfo]
    pending_workflow_task_attempt: int = 0


@dataclass(slots=True)
class GetWorkflowExecutionHistory:
    """``wait_new_event`` with ``close_event_only`` waits for the close of the run (as a client's ``result()`` does)."""

    execution: Execution
    wait_new_event: bool = False
    close_event_only: bool = False


@dataclass(slots=True)
class GetWorkflowExecutionHistoryResponse:
    run_id: str
    events: list[HistoryEvent]


# --- worker requests ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PollWorkflowTaskQueue:
    task_queue: TaskQueue
    identity: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(slots=True)
class WorkflowQuery:
    query_type: str
    query_args: Payloads
    header: PayloadMap = field(default_factory=dict)


@dataclass(slots=True)
class PollWorkflowTaskQueueResponse:
    """A workflow task, or a query task (``query`` set: then ``task_token`` names the query).

    ``events`` holds what is new since ``previous_started_event_id`` on a sticky queue, the whole history otherwise.
    """

    task_token: TaskToken
    execution: Execution
    workflow_type: str
    previous_started_event_id: int
    started_event_id: int
    attempt: int
    events: list[HistoryEvent]
    queries: dict[str, WorkflowQuery] = field(default_factory=dict)
    query: WorkflowQuery | None = None
    query_token: str = ""


@dataclass(slots=True)
class TaskToken:
    """What a worker hands back with an answer: which task of which run, and which attempt of it."""

    execution: Execution
    scheduled_event_id: int
    attempt: int
    started_event_id: int = 0
    activity_id: str = ""


@dataclass(slots=True)
class WorkflowQueryResult:
    """Exactly one of ``answer`` (success) and ``failure``."""

    answer: Payloads = field(default_factory=list)
    failure: Failure | None = None


@dataclass(slots=True)
class RespondWorkflowTaskCompleted:
    """``sticky_task_queue`` set: the worker keeps the run in its cache and wants its next tasks there."""

    task_token: TaskToken
    commands: list[Command]
    identity: str
    sticky_task_queue: TaskQueue | None = None
    sticky_schedule_to_start_timeout_us: int = 0
    sdk_metadata: WorkflowTaskCompletedMetadata | None = None
    query_results: dict[str, WorkflowQueryResult] = field(default_factory=dict)
    force_create_new_workflow_task: bool = False


@dataclass(slots=True)
class RespondWorkflowTaskFailed:
    task_token: TaskToken
    cause: WorkflowTaskFailedCause
    failure: Failure
    identity: str


@dataclass(slots=True)
class RespondQueryTaskCompleted:
    query_token: str
    result: WorkflowQueryResult


@dataclass(slots=True)
class GetWorkflowExecutionHistoryForWorker:
    """A worker that no longer has the run in its cache asks for the history up to its task; 0: for all of it."""

    execution: Execution
    last_event_id: int


@dataclass(slots=True)
class PollActivityTaskQueue:
    task_queue: TaskQueue
    identity: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(slots=True)
class PollActivityTaskQueueResponse:
    """``heartbeat_details`` are those of the last attempt. Times are microseconds since the Unix epoch."""

    task_token: TaskToken
    execution: Execution
    workflow_type: str
    activity_id: str
    activity_type: str
    input: Payloads
    header: PayloadMap
    attempt: int
    scheduled_time_us: int
    current_attempt_scheduled_time_us: int
    started_time_us: int
    schedule_to_close_timeout_us: int
    start_to_close_timeout_us: int
    heartbeat_timeout_us: int
    heartbeat_details: Payloads
    retry_policy: RetryPolicyData | None
    task_queue: str


@dataclass(slots=True)
class RespondActivityTaskCompleted:
    task_token: TaskToken
    result: Payloads
    identity: str


@dataclass(slots=True)
class RespondActivityTaskFailed:
    task_token: TaskToken
    failure: Failure
    identity: str
    last_heartbeat_details: Payloads = field(default_factory=list)


@dataclass(slots=True)
class RespondActivityTaskCanceled:
    task_token: TaskToken
    details: Payloads
    identity: str


@dataclass(slots=True)
class RecordActivityTaskHeartbeat:
    task_token: TaskToken
    details: Payloads
    identity: str


@dataclass(slots=True)
class RecordActivityTaskHeartbeatResponse:
    cancel_requested: bool = False


# --- internal requests ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RecordWorkflowTaskStarted:
    """A workflow task was matched with a poller. Answered with a ``PollWorkflowTaskQueueResponse``."""

    execution: Execution
    scheduled_event_id: int
    attempt: int
    request_id: str
    identity: str
    sticky: bool = False


@dataclass(slots=True)
class RecordActivityTaskStarted:
    """An activity task was matched with a poller. Answered with a ``PollActivityTaskQueueResponse``."""

    execution: Execution
    scheduled_event_id: int
    attempt: int
    request_id: str
    identity: str


@dataclass(slots=True)
class TimerDue:
    """A timer task of the outbox is due. One that no longer applies changes nothing."""

    execution: Execution
    task: TimerTask


# --- outbox ---------------------------------------------------------------------------------------------------------
# Treated as immutable, and hashable; not frozen, since a frozen dataclass costs five times as much to make.


@dataclass(slots=True, unsafe_hash=True)
class WorkflowTaskReady:
    """Hand this workflow task to a worker. ``sticky`` says which of the two queues ``task_queue`` is."""

    scheduled_event_id: int
    attempt: int
    task_queue: str
    sticky: bool


@dataclass(slots=True, unsafe_hash=True)
class ActivityTaskReady:
    """Hand this attempt of an activity to a worker."""

    scheduled_event_id: int
    attempt: int
    task_queue: str


@dataclass(slots=True, unsafe_hash=True)
class TimerTask:
    """Call back at ``due_us``.

    ``kind`` is one of ``TIMER_KINDS``; ``event_id`` names the timer or activity or workflow task (0 for the run's own),
    ``attempt`` the attempt for which it was set (0 where there is none).
    """

    due_us: int
    kind: str
    event_id: int = 0
    attempt: int = 0
    timeout_type: TimeoutType = TimeoutType.UNSPECIFIED


TIMER_KINDS = (
    "user_timer",
    "activity_timeout",
    "activity_retry",
    "workflow_task_timeout",
    "workflow_run_timeout",
    "workflow_execution_timeout",
    "workflow_backoff",
)

OutboxTask = WorkflowTaskReady | ActivityTaskReady | TimerTask
