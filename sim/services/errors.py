"""What a caller of an outside system gets instead of an answer.

Two kinds matter to whoever has to decide what to do next. After a *definite* error nothing has happened at the other
side, and the call may be made again without harm. After an *ambiguous* one (``ConnectionLost``, ``CallTimedOut``) the
effect may have been applied, may still be applied later, or never: only an idempotency key or a look at the other
side's state helps. ``ambiguous`` says which it is.

The classes are also the standard library's (``ConnectionError``, ``TimeoutError``), so that code which knows nothing of
this package catches what it would catch against the real thing. Each keeps all that it has in ``args``.
"""

from __future__ import annotations

from typing import ClassVar

from ...engine.core.errors import MisuseError, StormproofError


class CallFailed(StormproofError):
    """Base of everything that can happen to a call of an outside system instead of its answer.

    Args:
        message: For people.
        service: The name of the outside system.
        operation: The operation that was called (``POST /charges`` for HTTP), or empty.
    """

    ambiguous: ClassVar[bool] = False
    """Whether the effect may have been applied nevertheless."""

    def __init__(self, message: str, service: str = "", operation: str = "", *more: object) -> None:
        # Past OSError, which would read its arguments as (errno, strerror, filename) and drop the rest.
        BaseException.__init__(self, message, service, operation, *more)

    @property
    def message(self) -> str:
        """For people."""
        return str(self.args[0])

    @property
    def service(self) -> str:
        """The name of the outside system."""
        return str(self.args[1])

    @property
    def operation(self) -> str:
        """The operation that was called."""
        return str(self.args[2])

    def __str__(self) -> str:
        return self.message


class ServiceUnavailable(CallFailed, ConnectionError):
    """The connection was refused: nothing has happened at the other side."""


class ConnectionLost(CallFailed, ConnectionError):
    """The connection broke after the request was sent: nobody knows whether the effect was applied."""

    ambiguous = True


class CallTimedOut(CallFailed, TimeoutError):
    """No answer within the client's timeout: the effect may have been applied, or may be applied later."""

    ambiguous = True


class ServiceRefused(CallFailed):
    """The service answered, and the answer is no.

    Operations raise it themselves (``raise ServiceRefused("card declined", status=402)``).

    Args:
        message: For people.
        service: The name of the outside system; filled in on the way where an operation leaves it empty.
        operation: Likewise.
        status: As in HTTP. 5xx means that trying again may help.
    """

    def __init__(self, message: str, service: str = "", operation: str = "", status: int = 400) -> None:
        super().__init__(message, service, operation, status)

    @property
    def status(self) -> int:
        """As in HTTP: 4xx is the caller's fault, 5xx the service's."""
        status = self.args[3]
        assert isinstance(status, int)
        return status

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class RateLimited(ServiceRefused):
    """Too many calls. Nothing has happened; come back after ``retry_after_us``.

    Args:
        message: For people.
        service: The name of the outside system.
        operation: The operation that was called.
        status: As in HTTP, 429.
        retry_after_us: How long until a call would be let through if nobody else called, in microseconds.
    """

    def __init__(
        self, message: str, service: str = "", operation: str = "", status: int = 429, retry_after_us: int = 0
    ) -> None:
        CallFailed.__init__(self, message, service, operation, status, retry_after_us)

    @property
    def retry_after_us(self) -> int:
        """How long until a call would be let through, in microseconds."""
        retry_after_us = self.args[4]
        assert isinstance(retry_after_us, int)
        return retry_after_us


class IdempotencyConflict(ServiceRefused):
    """The idempotency key was used before with other arguments (422), or its first call is still going on (409)."""

    def __init__(self, message: str, service: str = "", operation: str = "", status: int = 422) -> None:
        super().__init__(message, service, operation, status)


class ServiceFailed(ServiceRefused):
    """The service broke down while it worked on the call (500).

    Also what callers get when an operation raises something that it does not declare (``raises=``).
    """

    def __init__(self, message: str, service: str = "", operation: str = "", status: int = 500) -> None:
        super().__init__(message, service, operation, status)


class NoSuchService(MisuseError):
    """A call to an outside system that the scenario does not have."""


__all__ = [
    "CallFailed",
    "CallTimedOut",
    "ConnectionLost",
    "IdempotencyConflict",
    "NoSuchService",
    "RateLimited",
    "ServiceFailed",
    "ServiceRefused",
    "ServiceUnavailable",
]
