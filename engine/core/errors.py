"""Errors that a service answers with, and errors that are our own fault.

``ServiceError`` travels over the network as data (``status`` and ``message``); clients turn it into
``temporalio``-like exceptions. SimPy rebuilds an exception that crosses a process from its ``args``, so every class
here keeps all that it has in ``args``.
"""

from __future__ import annotations


class StormproofError(Exception):
    """Base of all errors of this package."""


class MisuseError(StormproofError):
    """The caller did something that cannot work: the message says what, what was expected, and the remedy."""


class InternalError(StormproofError):
    """A mistake of stormproof's own. Please report it with the seed."""


class IllegalTransition(InternalError):
    """The engine was asked to apply an event that its state does not allow."""


class ServiceError(StormproofError):
    """A refusal or failure of the service. ``status`` is the name of a gRPC status code.

    Args:
        status: ``NOT_FOUND``, ``ALREADY_EXISTS``, ``INVALID_ARGUMENT``, ``UNAVAILABLE``, ``DEADLINE_EXCEEDED`` ...
        message: For people.
        detail: The name of Temporal's error detail, if there is one (``WorkflowExecutionAlreadyStartedFailure`` ...).
        run_id: The run that the detail names, if there is one.
    """

    def __init__(self, status: str, message: str, detail: str = "", run_id: str = "") -> None:
        super().__init__(status, message, detail, run_id)

    @property
    def status(self) -> str:
        """The name of a gRPC status code."""
        return str(self.args[0])

    @property
    def message(self) -> str:
        """For people."""
        return str(self.args[1])

    @property
    def detail(self) -> str:
        """The name of Temporal's error detail, or empty."""
        return str(self.args[2])

    @property
    def run_id(self) -> str:
        """The run that the detail names, or empty."""
        return str(self.args[3])

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class ConditionFailed(StormproofError):
    """A conditional write was refused: somebody else wrote first. The state must be read anew."""


class OwnershipLost(StormproofError):
    """A write with a stale owner epoch was refused (fencing)."""
