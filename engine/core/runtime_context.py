"""Which workflow instance is running here, and the errors of code that asks for what it can't have.

The running event loop says which instance it is: a workflow's code runs on a loop of its own (``workflow_loop.py``),
and only while that loop is set as the running one.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import TYPE_CHECKING

from ..exceptions import TemporalError

if TYPE_CHECKING:
    from .workflow_calls import WorkflowCalls


class NondeterminismError(TemporalError):
    """A workflow's code did something else, on replay, than its history says."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ReadOnlyContextError(TemporalError):
    """Code that may only read, such as a query handler, tried to change something."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotInWorkflowEventLoopError(TemporalError):
    """A function of ``workflow`` was called outside workflow code."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or ("Not in workflow event loop",)))
        self.message = str(self)


class WorkflowBeingEvictedError(BaseException):
    """Workflow code that is being torn down tried to do something. Nothing is wrong."""


def current_instance_or_none() -> WorkflowCalls | None:
    """The instance whose code is running, if there is one."""
    return getattr(_get_running_loop(), "workflow_instance", None)


def current_instance() -> WorkflowCalls:
    """The instance whose code is running.

    Raises:
        NotInWorkflowEventLoopError: No workflow code is running.
    """
    instance: WorkflowCalls | None = getattr(_get_running_loop(), "workflow_instance", None)
    if instance is None:
        raise NotInWorkflowEventLoopError
    return instance
