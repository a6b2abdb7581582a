"""What a workflow can know about its own run (``temporalio.workflow.Info``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..common import RetryPolicy, us_to_timedelta
from .activation import InitializeWorkflow
from .payloads import Payload
from .runtime_context import current_instance

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def datetime_of(time_us: int) -> datetime:
    """Microseconds since the Unix epoch as a datetime in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=time_us)


@dataclass(frozen=True)
class Info:
    """Information about the running workflow, from ``workflow.info()``."""

    attempt: int
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    original_execution_run_id: str
    """The run id of the first event; a reset changes ``run_id``, never this."""
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    """When the first workflow task started."""
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_start_time: datetime
    """When the run started."""
    workflow_type: str

    def _logger_details(self) -> Mapping[str, Any]:
        return {
            "attempt": self.attempt,
            "namespace": self.namespace,
            "run_id": self.run_id,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
        }

    def get_current_history_length(self) -> int:
        """The number of events of the history, up to the current workflow task."""
        return current_instance().history_length

    def get_current_history_size(self) -> int:
        """The size of the history in bytes, up to the current workflow task."""
        return current_instance().history_size_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the server finds that the history has become long."""
        return current_instance().continue_as_new_suggested


def build_info(job: InitializeWorkflow, *, namespace: str, task_queue: str, start_time_us: int) -> Info:
    """The information that comes with the first job of an instance."""
    started = job.started
    policy = started.retry_policy
    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_execution_run_id or None,
        cron_schedule=started.cron_schedule or None,
        execution_timeout=us_to_timedelta(started.workflow_execution_timeout_us),
        first_execution_run_id=started.first_execution_run_id,
        headers=dict(job.headers),
        namespace=namespace,
        original_execution_run_id=started.original_execution_run_id or job.run_id,
        raw_memo=dict(started.memo),
        retry_policy=None if policy is None else RetryPolicy.from_data(policy),
        run_id=job.run_id,
        run_timeout=us_to_timedelta(started.workflow_run_timeout_us),
        start_time=datetime_of(start_time_us),
        task_queue=task_queue,
        task_timeout=timedelta(microseconds=started.workflow_task_timeout_us),
        workflow_id=job.workflow_id,
        workflow_start_time=datetime_of(started.time_us),
        workflow_type=job.workflow_type,
    )
