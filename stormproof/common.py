"""Values that workflows, activities and clients share: what ``temporalio.common`` has."""

from __future__ import annotations

from .engine.common import QueryRejectCondition, RawValue, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

__all__ = ["QueryRejectCondition", "RawValue", "RetryPolicy", "WorkflowIDConflictPolicy", "WorkflowIDReusePolicy"]
