"""Commands: what a workflow task's completion asks the server to do (``temporal.api.command.v1``).

One slotted dataclass per command type. A command becomes one history event of the server's; the two are matched on
replay.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import DurationUs, Int64, RetryPolicyData, TaskQueue, UserMetadata
from .failures import Failure
from .payloads import PayloadMap, Payloads


@dataclass(slots=True)
class Command:
    """What all commands have."""

    user_metadata: UserMetadata | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class ScheduleActivityTask(Command):
    activity_id: str = ""
    activity_type: str = ""
    task_queue: TaskQueue | None = None
    header: PayloadMap = field(default_factory=dict)
    input: Payloads = field(default_factory=list)
    schedule_to_close_timeout_us: DurationUs = 0
    schedule_to_start_timeout_us: DurationUs = 0
    start_to_close_timeout_us: DurationUs = 0
    heartbeat_timeout_us: DurationUs = 0
    retry_policy: RetryPolicyData | None = None


@dataclass(slots=True)
class RequestCancelActivityTask(Command):
    scheduled_event_id: Int64 = 0


@dataclass(slots=True)
class StartTimer(Command):
    timer_id: str = ""
    start_to_fire_timeout_us: DurationUs = 0


@dataclass(slots=True)
class CancelTimer(Command):
    timer_id: str = ""


@dataclass(slots=True)
class CompleteWorkflowExecution(Command):
    result: Payloads = field(default_factory=list)


@dataclass(slots=True)
class FailWorkflowExecution(Command):
    failure: Failure | None = None


@dataclass(slots=True)
class CancelWorkflowExecution(Command):
    details: Payloads = field(default_factory=list)


@dataclass(slots=True)
class RecordMarker(Command):
    marker_name: str = ""
    details: dict[str, Payloads] = field(default_factory=dict)
    header: PayloadMap = field(default_factory=dict)
    failure: Failure | None = None
