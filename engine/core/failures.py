"""Failures as data: the shape of Temporal's ``temporal.api.failure.v1.Failure``.

A failure is what an exception becomes in a history. Conversion from and to exceptions is done by the failure
converter (``engine/failure_converter.py``), not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .enums import RetryState, TimeoutType
from .payloads import Payload, Payloads


@dataclass(slots=True)
class ApplicationFailureInfo:
    """An error raised by the user's code; ``type`` is what ``non_retryable_error_types`` is matched with."""

    type: str = ""
    non_retryable: bool = False
    details: Payloads = field(default_factory=list)
    next_retry_delay_us: int | None = None
    category: int = 0


@dataclass(slots=True)
class TimeoutFailureInfo:
    """A timeout, with the last heartbeat details where it was an activity's."""

    timeout_type: TimeoutType = TimeoutType.UNSPECIFIED
    last_heartbeat_details: Payloads = field(default_factory=list)


@dataclass(slots=True)
class CanceledFailureInfo:
    """A cancellation."""

    details: Payloads = field(default_factory=list)


@dataclass(slots=True)
class TerminatedFailureInfo:
    """A termination."""


@dataclass(slots=True)
class ServerFailureInfo:
    """An error of the server's own."""

    non_retryable: bool = False


@dataclass(slots=True)
class ResetWorkflowFailureInfo:
    """A reset of the workflow."""

    last_heartbeat_details: Payloads = field(default_factory=list)


@dataclass(slots=True)
class ActivityFailureInfo:
    """The activity whose failure is the cause of this one."""

    scheduled_event_id: int = 0
    started_event_id: int = 0
    identity: str = ""
    activity_type: str = ""
    activity_id: str = ""
    retry_state: RetryState = RetryState.UNSPECIFIED


@dataclass(slots=True)
class ChildWorkflowExecutionFailureInfo:
    """The child workflow whose failure is the cause of this one."""

    namespace: str = ""
    workflow_id: str = ""
    run_id: str = ""
    workflow_type: str = ""
    initiated_event_id: int = 0
    started_event_id: int = 0
    retry_state: RetryState = RetryState.UNSPECIFIED


FailureInfo = (
    ApplicationFailureInfo
    | TimeoutFailureInfo
    | CanceledFailureInfo
    | TerminatedFailureInfo
    | ServerFailureInfo
    | ResetWorkflowFailureInfo
    | ActivityFailureInfo
    | ChildWorkflowExecutionFailureInfo
)


@dataclass(slots=True)
class Failure:
    """What went wrong. ``info`` says of which kind it is; ``None`` is a failure of unknown kind."""

    message: str = ""
    source: str = ""
    stack_trace: str = ""
    encoded_attributes: Payload | None = None
    cause: Failure | None = None
    info: FailureInfo | None = None
