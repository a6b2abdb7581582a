"""The caller's side of the kit: what ``Service.client()`` gives.

A client is an object of a class derived from the service's, so that type checkers and ``isinstance`` take it for one;
its operations are ``ClientOperation`` objects, and nothing else of the service can be reached through it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from ...engine.activity import current_activity
from ...engine.core.errors import MisuseError, ServiceError
from .exchange import ask, ask_blocking, calling_process, check_target, failure_of
from .operation import Operation
from .operation_host import OperationRequest
from .values import copied_tuple

if TYPE_CHECKING:
    from .service import Service

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Service")

_MICROSECOND = timedelta(microseconds=1)


class ClientOperation:
    """One operation as its callers see it: a call of it is a call over the network."""

    __slots__ = ("_operation", "_service", "_timeout_us", "_title")

    def __init__(self, operation: Operation, service: str, timeout_us: int | None) -> None:
        self._operation = operation
        self._service = service
        self._timeout_us = timeout_us
        self._title = f"{service}.{operation.name}"

    def __repr__(self) -> str:
        return f"<operation {self._title}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as it is declared."""
        values = self._operation.bind(args, kwargs)
        return self._awaited(values) if self._operation.is_async else self._blocking(values)

    def awaited(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call it from a coroutine, however it is declared."""
        return self._awaited(self._operation.bind(args, kwargs))

    def blocking(self, *args: Any, **kwargs: Any) -> Any:
        """Call it from a thread, however it is declared."""
        return self._blocking(self._operation.bind(args, kwargs))

    async def _awaited(self, values: tuple[Any, ...]) -> Any:
        process = calling_process(self._title)
        if self._service not in process.world.nodes:
            check_target(process, self._service, self._title)
        return self._outcome(await ask(process, self._service, self._request(values), self._timeout_us, self._title))

    def _blocking(self, values: tuple[Any, ...]) -> Any:
        process = calling_process(self._title)
        check_target(process, self._service, self._title)
        return self._outcome(ask_blocking(process, self._service, self._request(values), self._timeout_us, self._title))

    def _request(self, values: tuple[Any, ...]) -> OperationRequest:
        context = current_activity.get()
        return OperationRequest(self._operation.name, copied_tuple(values), None if context is None else context.info)

    def _outcome(self, reply: Any) -> Any:
        if isinstance(reply, BaseException):
            if isinstance(reply, ServiceError):
                reply = failure_of(reply, self._service, self._operation.name)
            raise reply
        return reply


def make_client(cls: type[S], *, name: str, timeout: timedelta | None) -> S:
    """A client of a service class; see ``Service.client``."""
    kind: Any = cls._client_class  # one class in two files
    if kind is None:
        methods = {"with_timeout": _with_timeout, "__getattr__": _unreachable, "__repr__": _repr}
        metaclass: Any = type(cls)
        kind = metaclass(f"{cls.__name__}Client", (cls,), methods, stormproof_client=True)
        cls._client_class = kind
    timeout_us = None
    if timeout is not None:
        timeout_us = timeout // _MICROSECOND
        if timeout_us <= 0:
            raise MisuseError(
                f"a client of {name} with a timeout of {timeout}: expected more than 0, or None (for ever)"
            )
    client: S = object.__new__(kind)
    own = vars(client)
    own["name"] = name
    for operation in cls.operations().values():
        own[operation.name] = ClientOperation(operation, name, timeout_us)
    return client


def _with_timeout(self: Service, timeout: timedelta | None) -> Service:
    return make_client(type(self).__mro__[1], name=self.name, timeout=timeout)


def _unreachable(self: Service, attribute: str) -> NoReturn:
    known = ", ".join(type(self).operations()) or "none"
    raise AttributeError(
        f"{type(self).__name__} has no {attribute!r}: a client reaches the operations of {self.name} ({known}) "
        "and nothing else of it"
    )


def _repr(self: Service) -> str:
    return f"<client of {self.name}>"


def as_async(operation: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Make a blocking (``def``) operation of a client one to be awaited.

    ``await as_async(bank.pay)("order-1", 5)``

    Raises:
        MisuseError: It is no operation of a client.
    """
    return _operation(operation).awaited


def as_blocking(operation: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Make an awaited (``async def``) operation of a client one that blocks, for threads.

    Raises:
        MisuseError: It is no operation of a client.
    """
    return _operation(operation).blocking


def _operation(operation: Callable[..., Any]) -> ClientOperation:
    if not isinstance(operation, ClientOperation):
        raise MisuseError(f"{operation!r} is no operation of a client: expected one, as in Payments.client().charge")
    return operation


__all__ = ["ClientOperation", "as_async", "as_blocking", "make_client"]
