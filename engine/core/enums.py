"""Enumerations of Temporal's API, numbered and named as in its protocol buffers (``temporal.api.enums.v1``)."""

from __future__ import annotations

from enum import IntEnum


class TimeoutType(IntEnum):
    """Which timeout fired."""

    UNSPECIFIED = 0
    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class RetryState(IntEnum):
    """Why there was no (further) retry."""

    UNSPECIFIED = 0
    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class WorkflowExecutionStatus(IntEnum):
    """The status of a run. RUNNING is open, all others are closed."""

    UNSPECIFIED = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7


class TaskQueueKind(IntEnum):
    """NORMAL queues are shared; a STICKY queue belongs to one worker process, which has the run in its cache."""

    UNSPECIFIED = 0
    NORMAL = 1
    STICKY = 2


class WorkflowTaskFailedCause(IntEnum):
    """Why a workflow task failed (a part of Temporal's list: those that this engine can produce)."""

    UNSPECIFIED = 0
    UNHANDLED_COMMAND = 1
    BAD_SCHEDULE_ACTIVITY_ATTRIBUTES = 2
    BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES = 3
    BAD_START_TIMER_ATTRIBUTES = 4
    BAD_CANCEL_TIMER_ATTRIBUTES = 5
    BAD_RECORD_MARKER_ATTRIBUTES = 6
    BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES = 7
    BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES = 8
    BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES = 9
    START_TIMER_DUPLICATE_ID = 12
    RESET_STICKY_TASK_QUEUE = 13
    WORKFLOW_WORKER_UNHANDLED_FAILURE = 14
    FORCE_CLOSE_COMMAND = 17
    SCHEDULE_ACTIVITY_DUPLICATE_ID = 22
    NON_DETERMINISTIC_ERROR = 24
    PENDING_ACTIVITIES_LIMIT_EXCEEDED = 27


class PendingActivityState(IntEnum):
    """The state of an activity that is not closed."""

    UNSPECIFIED = 0
    SCHEDULED = 1
    STARTED = 2
    CANCEL_REQUESTED = 3


class ContinueAsNewInitiator(IntEnum):
    """Who started the next run of a chain."""

    UNSPECIFIED = 0
    WORKFLOW = 1
    RETRY = 2
    CRON_SCHEDULE = 3


class WorkflowIdReusePolicy(IntEnum):
    """May a closed workflow's id be used again?"""

    UNSPECIFIED = 0
    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIdConflictPolicy(IntEnum):
    """What happens to a start when a run of that workflow id is open?"""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class QueryRejectCondition(IntEnum):
    """When a query is refused."""

    UNSPECIFIED = 0
    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


class ActivityCancellationType(IntEnum):
    """What a workflow waits for when it cancels an activity (numbers of the SDK's core)."""

    TRY_CANCEL = 0
    WAIT_CANCELLATION_COMPLETED = 1
    ABANDON = 2
