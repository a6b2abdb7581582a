"""Activations: what the worker's core tells a workflow instance, and what the instance answers.

The shapes and the order of jobs are those of Temporal's SDK core (``coresdk.workflow_activation`` and
``coresdk.workflow_commands``). Instances speak of things by ``seq``; the core (``engine/core/machines.py``) translates
to and from commands and events, which have ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .enums import ActivityCancellationType
from .events import RetryPolicyData, UserMetadata, WorkflowExecutionStarted
from .failures import Failure
from .payloads import Payload, PayloadMap, Payloads


@dataclass(slots=True)
class InitializeWorkflow:
    """The first job of an instance. ``started`` is the first event of the history."""

    workflow_id: str
    run_id: str
    workflow_type: str
    arguments: Payloads
    headers: PayloadMap
    identity: str
    started: WorkflowExecutionStarted


@dataclass(slots=True)
class FireTimer:
    seq: int


@dataclass(slots=True)
class ResolveActivity:
    """Exactly one of ``completed`` (``result`` may then be ``None``), ``failed`` and ``cancelled`` is the status."""

    seq: int
    status: str  # "completed" | "failed" | "cancelled" | "backoff"
    result: Payload | None = None
    failure: Failure | None = None
    is_local: bool = False


@dataclass(slots=True)
class SignalWorkflow:
    signal_name: str
    input: Payloads
    identity: str = ""
    headers: PayloadMap = field(default_factory=dict)


@dataclass(slots=True)
class QueryWorkflow:
    """``query_id`` is ``"legacy"`` for a query that came as a task of its own."""

    query_id: str
    query_type: str
    arguments: Payloads
    headers: PayloadMap = field(default_factory=dict)


@dataclass(slots=True)
class CancelWorkflow:
    reason: str = ""


@dataclass(slots=True)
class NotifyHasPatch:
    patch_id: str


@dataclass(slots=True)
class UpdateRandomSeed:
    """After a reset; the seed is made from ``run_id``."""

    run_id: str


@dataclass(slots=True)
class RemoveFromCache:
    message: str = ""
    reason: str = ""


Job = (
    InitializeWorkflow
    | FireTimer
    | ResolveActivity
    | SignalWorkflow
    | QueryWorkflow
    | CancelWorkflow
    | NotifyHasPatch
    | UpdateRandomSeed
    | RemoveFromCache
)


@dataclass(slots=True)
class Activation:
    """One batch of jobs for one instance; ``timestamp_us`` is workflow time.

    ``available_internal_flags`` are the flags of the language's side that the history has recorded so far.
    """

    run_id: str
    timestamp_us: int
    is_replaying: bool
    history_length: int
    jobs: list[Job]
    history_size_bytes: int = 0
    continue_as_new_suggested: bool = False
    available_internal_flags: frozenset[int] = frozenset()


@dataclass(slots=True)
class StartTimerCommand:
    seq: int
    start_to_fire_timeout_us: int
    user_metadata: UserMetadata | None = None


@dataclass(slots=True)
class CancelTimerCommand:
    seq: int


@dataclass(slots=True)
class ScheduleActivityCommand:
    seq: int
    activity_id: str
    activity_type: str
    task_queue: str
    headers: PayloadMap
    arguments: Payloads
    schedule_to_close_timeout_us: int = 0
    schedule_to_start_timeout_us: int = 0
    start_to_close_timeout_us: int = 0
    heartbeat_timeout_us: int = 0
    retry_policy: RetryPolicyData | None = None
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL
    user_metadata: UserMetadata | None = None


@dataclass(slots=True)
class RequestCancelActivityCommand:
    seq: int


@dataclass(slots=True)
class SetPatchMarkerCommand:
    patch_id: str
    deprecated: bool


@dataclass(slots=True)
class QueryResultCommand:
    """Exactly one of ``response`` and ``failure``."""

    query_id: str
    response: Payload | None = None
    failure: Failure | None = None


@dataclass(slots=True)
class CompleteWorkflowCommand:
    result: Payload | None = None


@dataclass(slots=True)
class FailWorkflowCommand:
    failure: Failure


@dataclass(slots=True)
class CancelWorkflowCommand:
    pass


WorkflowCommand = (
    StartTimerCommand
    | CancelTimerCommand
    | ScheduleActivityCommand
    | RequestCancelActivityCommand
    | SetPatchMarkerCommand
    | QueryResultCommand
    | CompleteWorkflowCommand
    | FailWorkflowCommand
    | CancelWorkflowCommand
)


@dataclass(slots=True)
class ActivationCompletion:
    """What an instance answers. ``failure`` set: the workflow task fails (and is retried), the run does not.

    ``used_internal_flags`` are flags of the language's side that this activation relied on, to be recorded.
    """

    commands: list[WorkflowCommand] = field(default_factory=list)
    failure: Failure | None = None
    used_internal_flags: list[int] = field(default_factory=list)
