"""Errors that a client raises, named as in ``temporalio.client`` and ``temporalio.service``."""

from __future__ import annotations

from enum import IntEnum

from .core.enums import WorkflowExecutionStatus
from .core.errors import ServiceError
from .exceptions import TemporalError


class RPCStatusCode(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(TemporalError):
    """A call to the service failed."""

    def __init__(self, message: str, status: RPCStatusCode, raw_grpc_status: bytes = b"") -> None:
        super().__init__(message)
        self._message = message
        self._status = status
        self._raw_grpc_status = raw_grpc_status

    @property
    def message(self) -> str:
        """What the service said."""
        return self._message

    @property
    def status(self) -> RPCStatusCode:
        """The status code."""
        return self._status

    @property
    def raw_grpc_status(self) -> bytes:
        """Always empty here: a simulated service sends no protocol buffers."""
        return self._raw_grpc_status


class WorkflowFailureError(TemporalError):
    """A workflow whose result was asked for did not complete. ``cause`` says why."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__("Workflow execution failed")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """The failure of the workflow."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(TemporalError):
    """A workflow continued as new, and the caller asked not to follow it."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self._new_execution_run_id = new_execution_run_id

    @property
    def new_execution_run_id(self) -> str:
        """The next run."""
        return self._new_execution_run_id


class WorkflowQueryFailedError(TemporalError):
    """A query handler raised."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    @property
    def message(self) -> str:
        """What the handler raised."""
        return self._message


class WorkflowQueryRejectedError(TemporalError):
    """A query was refused because of the workflow's status."""

    def __init__(self, status: WorkflowExecutionStatus | None) -> None:
        super().__init__(f"Query rejected, status: {status}")
        self._status = status

    @property
    def status(self) -> WorkflowExecutionStatus | None:
        """The status of the workflow."""
        return self._status


def rpc_error(error: ServiceError) -> RPCError:
    """A refusal of the service as the exception that users of ``temporalio`` know."""
    return RPCError(error.message, RPCStatusCode[error.status])
