"""The real server's limits and defaults, each with its source (paths are in github.com/temporalio/temporal).

What is enforced says so; the others are here for whoever reports how near a history came to them.
"""

from __future__ import annotations

from typing import Final

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US

DURATION_MAX_US: Final = 100 * 365 * 24 * 60 * MINUTE_US
"""Longer durations are capped (``common/primitives/timestamp/duration.go: maxAllowedDuration``). Enforced."""

ID_LENGTH_MAX: Final = 1000
"""``limit.maxIDLength`` (``common/dynamicconfig/constants.go``), in characters. Enforced."""

WORKFLOW_TASK_TIMEOUT_DEFAULT_US: Final = 10 * SECOND_US
"""``common/primitives/constants.go: DefaultWorkflowTaskTimeout``. Enforced."""

WORKFLOW_TASK_TIMEOUT_MAX_US: Final = 120 * SECOND_US
"""``service/history/api/create_workflow_util.go: maxWorkflowTaskStartToCloseTimeout``. Enforced."""

WORKFLOW_TASK_RETRY_ATTEMPTS_WITHOUT_BACKOFF: Final = 3
"""``service/history/workflow/workflow_task_state_machine.go: workflowTaskRetryBackoffMinAttempts``. Enforced."""

WORKFLOW_TASK_RETRY_INITIAL_INTERVAL_US: Final = 5 * SECOND_US
"""``service/history/workflow/workflow_task_state_machine.go: workflowTaskRetryInitialInterval``. Enforced."""

WORKFLOW_TASK_RETRY_MAXIMUM_INTERVAL_US: Final = 10 * MINUTE_US
"""``history.workflowTaskRetryMaxInterval`` (``common/dynamicconfig/constants.go``). Enforced."""

HISTORY_COUNT_SUGGEST_CONTINUE_AS_NEW: Final = 4 * 1024
"""``limit.historyCount.suggestContinueAsNew`` (``common/dynamicconfig/constants.go``), in events. Enforced."""

HISTORY_SIZE_SUGGEST_CONTINUE_AS_NEW: Final = 4 * 1024 * 1024
"""``limit.historySize.suggestContinueAsNew`` (``common/dynamicconfig/constants.go``), in bytes. Enforced."""

HISTORY_COUNT_MAX: Final = 50 * 1024
"""``limit.historyCount.error`` (``common/dynamicconfig/constants.go``), in events. A run above it is terminated."""

HISTORY_SIZE_MAX: Final = 50 * 1024 * 1024
"""``limit.historySize.error`` (``common/dynamicconfig/constants.go``), in bytes. A run above it is terminated."""

RUN_INTERVAL_MIN_US: Final = SECOND_US
"""``history.workflowIdReuseMinimalInterval`` (``common/dynamicconfig/constants.go``), between runs of a chain."""

BUFFERED_EVENTS_MAX: Final = 100
"""``history.maximumBufferedEventsBatch`` (``common/dynamicconfig/constants.go``). Enforced."""

SIGNALS_MAX: Final = 10_000
"""``history.maximumSignalsPerExecution`` (``common/dynamicconfig/constants.go``). Enforced."""

PENDING_ACTIVITIES_MAX: Final = 2000
"""``limit.numPendingActivities.error`` (``common/dynamicconfig/constants.go``). Enforced."""

BLOB_SIZE_MAX: Final = 2 * 1024 * 1024
"""``limit.blobSize.error`` (``common/dynamicconfig/constants.go``), in bytes, of one payload list. Enforced."""

ACTIVITY_FAILURE_SIZE_MAX: Final = 4 * 1024
"""``limit.mutableStateActivityFailureSize.error`` (``common/dynamicconfig/constants.go``), in bytes: the server cuts a
longer failure before it keeps it for the next attempt. Not enforced."""

WORKFLOW_TASK_HEARTBEAT_TIMEOUT_US: Final = 30 * MINUTE_US
"""``history.workflowTaskHeartbeatTimeout`` (``common/dynamicconfig/constants.go``): how long a worker may go on forcing
new workflow tasks without commands. Not enforced: it matters to local activities only."""
