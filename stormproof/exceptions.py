"""Exceptions of workflows and activities: what ``temporalio.exceptions`` has."""

from __future__ import annotations

from .engine.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    ServerError,
    TemporalError,
    TerminatedError,
    TimeoutError,  # noqa: A004 (its name in temporalio)
    TimeoutType,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

__all__ = [
    "ActivityError",
    "ApplicationError",
    "ApplicationErrorCategory",
    "CancelledError",
    "ChildWorkflowError",
    "FailureError",
    "RetryState",
    "ServerError",
    "TemporalError",
    "TerminatedError",
    "TimeoutError",
    "TimeoutType",
    "WorkflowAlreadyStartedError",
    "is_cancelled_exception",
]
