"""The client: what ``temporalio.client`` has."""

from __future__ import annotations

from .engine.client import Client
from .engine.client_errors import (
    RPCError,
    RPCStatusCode,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from .engine.core.enums import WorkflowExecutionStatus
from .engine.replayer import WorkflowHistory
from .engine.workflow_description import WorkflowExecutionDescription
from .engine.workflow_handle import WorkflowHandle

__all__ = [
    "Client",
    "RPCError",
    "RPCStatusCode",
    "WorkflowContinuedAsNewError",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
]
