"""History events: one slotted dataclass per event type of Temporal, attributes inline.

A history is the truth about a run. The classes are named as Temporal's event types without the ``EVENT_TYPE_``
prefix, their fields as in ``temporal.api.history.v1``, with two exceptions: durations and timestamps are integer
microseconds and say so (``_us`` last), and one-field messages (``WorkflowType``, ``ActivityType``) are their name.

Events are treated as immutable, yet are not frozen: a frozen dataclass costs five times as much to make.

The annotations are read by the JSON codec (``engine/history_json.py``): ``Int64`` is written as a JSON string,
``Int32`` as a number, ``DurationUs`` as ``"1.5s"``, ``TimestampUs`` as RFC 3339. What a recorded history has and a
class here has not is kept in ``extra``, in its JSON form, and written again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .enums import ContinueAsNewInitiator, RetryState, TaskQueueKind, TimeoutType, WorkflowTaskFailedCause
from .failures import Failure
from .payloads import Payload, PayloadMap, Payloads

Int32 = int
Int64 = int
DurationUs = int
TimestampUs = int


@dataclass(slots=True)
class TaskQueue:
    """A task queue's name; ``normal_name`` is set on sticky queues."""

    name: str = ""
    kind: TaskQueueKind = TaskQueueKind.NORMAL
    normal_name: str = ""


@dataclass(slots=True)
class RetryPolicyData:
    """A retry policy on the wire. ``maximum_attempts`` 0 is unlimited; a ``maximum_interval_us`` of 0 is 100 x initial.

    ``backoff_coefficient`` is a float as in Temporal's protocol; intervals computed from it are rounded to
    microseconds.
    """

    initial_interval_us: DurationUs = 1_000_000
    backoff_coefficient: float = 2.0
    maximum_interval_us: DurationUs = 0
    maximum_attempts: Int32 = 0
    non_retryable_error_types: list[str] = field(default_factory=list)


@dataclass(slots=True)
class UserMetadata:
    """What a user wrote about a workflow or timer for people to read."""

    summary: Payload | None = None
    details: Payload | None = None


@dataclass(slots=True)
class HistoryEvent:
    """What all events have.

    ``event_id`` counts from 1 without gaps; ``time_us`` is microseconds since the Unix epoch.
    """

    event_id: Int64 = 0
    time_us: TimestampUs = 0
    user_metadata: UserMetadata | None = field(default=None, kw_only=True)
    extra: dict[str, Any] | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class WorkflowExecutionStarted(HistoryEvent):
    workflow_type: str = ""
    workflow_id: str = ""
    task_queue: TaskQueue | None = None
    input: Payloads = field(default_factory=list)
    header: PayloadMap = field(default_factory=dict)
    workflow_execution_timeout_us: DurationUs = 0
    workflow_run_timeout_us: DurationUs = 0
    workflow_task_timeout_us: DurationUs = 0
    original_execution_run_id: str = ""
    first_execution_run_id: str = ""
    continued_execution_run_id: str = ""
    initiator: ContinueAsNewInitiator = ContinueAsNewInitiator.UNSPECIFIED
    continued_failure: Failure | None = None
    last_completion_result: Payloads = field(default_factory=list)
    identity: str = ""
    retry_policy: RetryPolicyData | None = None
    attempt: Int32 = 1
    workflow_execution_expiration_time_us: TimestampUs = 0
    cron_schedule: str = ""
    first_workflow_task_backoff_us: DurationUs = 0
    memo: PayloadMap = field(default_factory=dict)
    search_attributes: PayloadMap = field(default_factory=dict)


@dataclass(slots=True)
class WorkflowExecutionCompleted(HistoryEvent):
    result: Payloads = field(default_factory=list)
    workflow_task_completed_event_id: Int64 = 0
    new_execution_run_id: str = ""


@dataclass(slots=True)
class WorkflowExecutionFailed(HistoryEvent):
    failure: Failure | None = None
    retry_state: RetryState = RetryState.UNSPECIFIED
    workflow_task_completed_event_id: Int64 = 0
    new_execution_run_id: str = ""


@dataclass(slots=True)
class WorkflowExecutionTimedOut(HistoryEvent):
    retry_state: RetryState = RetryState.UNSPECIFIED
    new_execution_run_id: str = ""


@dataclass(slots=True)
class WorkflowExecutionCanceled(HistoryEvent):
    details: Payloads = field(default_factory=list)
    workflow_task_completed_event_id: Int64 = 0


@dataclass(slots=True)
class WorkflowExecutionTerminated(HistoryEvent):
    reason: str = ""
    details: Payloads = field(default_factory=list)
    identity: str = ""


@dataclass(slots=True)
class WorkflowExecutionCancelRequested(HistoryEvent):
    cause: str = ""
    identity: str = ""


@dataclass(slots=True)
class WorkflowExecutionSignaled(HistoryEvent):
    signal_name: str = ""
    input: Payloads = field(default_factory=list)
    identity: str = ""
    header: PayloadMap = field(default_factory=dict)
    request_id: str = ""


@dataclass(slots=True)
class WorkflowTaskScheduled(HistoryEvent):
    task_queue: TaskQueue | None = None
    start_to_close_timeout_us: DurationUs = 0
    attempt: Int32 = 1


@dataclass(slots=True)
class WorkflowTaskStarted(HistoryEvent):
    scheduled_event_id: Int64 = 0
    identity: str = ""
    request_id: str = ""
    suggest_continue_as_new: bool = False
    history_size_bytes: Int64 = 0


@dataclass(slots=True)
class WorkflowTaskCompletedMetadata:
    """Flags of the SDK: behaviours that are in force from this task on, for this history."""

    core_used_flags: list[Int32] = field(default_factory=list)
    lang_used_flags: list[Int32] = field(default_factory=list)
    sdk_name: str = ""
    sdk_version: str = ""


@dataclass(slots=True)
class WorkflowTaskCompleted(HistoryEvent):
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    identity: str = ""
    sdk_metadata: WorkflowTaskCompletedMetadata | None = None


@dataclass(slots=True)
class WorkflowTaskTimedOut(HistoryEvent):
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    timeout_type: TimeoutType = TimeoutType.UNSPECIFIED


@dataclass(slots=True)
class WorkflowTaskFailed(HistoryEvent):
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    cause: WorkflowTaskFailedCause = WorkflowTaskFailedCause.UNSPECIFIED
    failure: Failure | None = None
    identity: str = ""
    base_run_id: str = ""
    new_run_id: str = ""


@dataclass(slots=True)
class ActivityTaskScheduled(HistoryEvent):
    activity_id: str = ""
    activity_type: str = ""
    task_queue: TaskQueue | None = None
    header: PayloadMap = field(default_factory=dict)
    input: Payloads = field(default_factory=list)
    schedule_to_close_timeout_us: DurationUs = 0
    schedule_to_start_timeout_us: DurationUs = 0
    start_to_close_timeout_us: DurationUs = 0
    heartbeat_timeout_us: DurationUs = 0
    workflow_task_completed_event_id: Int64 = 0
    retry_policy: RetryPolicyData | None = None


@dataclass(slots=True)
class ActivityTaskStarted(HistoryEvent):
    scheduled_event_id: Int64 = 0
    identity: str = ""
    request_id: str = ""
    attempt: Int32 = 1
    last_failure: Failure | None = None


@dataclass(slots=True)
class ActivityTaskCompleted(HistoryEvent):
    result: Payloads = field(default_factory=list)
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    identity: str = ""


@dataclass(slots=True)
class ActivityTaskFailed(HistoryEvent):
    failure: Failure | None = None
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    identity: str = ""
    retry_state: RetryState = RetryState.UNSPECIFIED


@dataclass(slots=True)
class ActivityTaskTimedOut(HistoryEvent):
    failure: Failure | None = None
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    retry_state: RetryState = RetryState.UNSPECIFIED


@dataclass(slots=True)
class ActivityTaskCancelRequested(HistoryEvent):
    scheduled_event_id: Int64 = 0
    workflow_task_completed_event_id: Int64 = 0


@dataclass(slots=True)
class ActivityTaskCanceled(HistoryEvent):
    details: Payloads = field(default_factory=list)
    latest_cancel_requested_event_id: Int64 = 0
    scheduled_event_id: Int64 = 0
    started_event_id: Int64 = 0
    identity: str = ""


@dataclass(slots=True)
class TimerStarted(HistoryEvent):
    timer_id: str = ""
    start_to_fire_timeout_us: DurationUs = 0
    workflow_task_completed_event_id: Int64 = 0


@dataclass(slots=True)
class TimerFired(HistoryEvent):
    timer_id: str = ""
    started_event_id: Int64 = 0


@dataclass(slots=True)
class TimerCanceled(HistoryEvent):
    timer_id: str = ""
    started_event_id: Int64 = 0
    workflow_task_completed_event_id: Int64 = 0
    identity: str = ""


@dataclass(slots=True)
class MarkerRecorded(HistoryEvent):
    marker_name: str = ""
    details: dict[str, Payloads] = field(default_factory=dict)
    workflow_task_completed_event_id: Int64 = 0
    header: PayloadMap = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(slots=True)
class OtherEvent(HistoryEvent):
    """An event of a type that this engine neither writes nor acts on; it is kept so that it can be written again.

    ``event_type`` is the full enum name (``EVENT_TYPE_...``), ``attributes`` the attributes in their JSON form.
    """

    event_type: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
