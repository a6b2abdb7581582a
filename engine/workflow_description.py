"""What ``WorkflowHandle.describe`` tells (``temporalio.client.WorkflowExecutionDescription``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .callable_types import UNSET
from .converter import DataConverter
from .core.enums import WorkflowExecutionStatus
from .core.payloads import PayloadMap
from .core.requests import DescribeWorkflowExecutionResponse, PendingActivityInfo


@dataclass(frozen=True)
class WorkflowExecutionDescription:
    """A workflow's status, and what is pending. Times are timezone-aware, in UTC.

    ``pending_activities`` is what ``raw_description`` has there.
    """

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time: datetime
    close_time: datetime | None
    history_length: int
    pending_activities: Sequence[PendingActivityInfo]
    data_converter: DataConverter
    raw_memo: PayloadMap = field(repr=False)

    async def memo(self) -> Mapping[str, Any]:
        """The memo's values, decoded without type hints."""
        return {key: await self.memo_value(key) for key in self.raw_memo}

    async def memo_value(self, key: str, default: Any = UNSET, *, type_hint: type | None = None) -> Any:
        """One value of the memo.

        Args:
            key: Its key.
            default: What to give if there is no such key.
            type_hint: The type wanted.

        Raises:
            KeyError: There is no such key, and no default.
        """
        payload = self.raw_memo.get(key)
        if payload is None:
            if default is UNSET:
                raise KeyError(f"Memo does not have a value for key {key}")
            return default
        hints = None if type_hint is None else [type_hint]
        return self.data_converter.payload_converter.from_payloads([payload], hints)[0]


def description_of(found: DescribeWorkflowExecutionResponse, converter: DataConverter) -> WorkflowExecutionDescription:
    """A service's answer as a description."""
    return WorkflowExecutionDescription(
        id=found.execution.workflow_id,
        run_id=found.execution.run_id,
        workflow_type=found.workflow_type,
        task_queue=found.task_queue,
        status=found.status,
        start_time=_time_of(found.start_time_us),
        close_time=None if found.close_time_us is None else _time_of(found.close_time_us),
        history_length=found.history_length,
        pending_activities=found.pending_activities,
        data_converter=converter,
        raw_memo=found.memo,
    )


def _time_of(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
