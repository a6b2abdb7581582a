"""From a simulated process to an HTTP service: what the patched libraries have in common.

A request is two calls over the network: one that opens a connection, under the connect timeout, and the request itself,
under the read timeout. So a host that nothing reaches is a connect timeout, one that refuses a connect error, and one
that hangs a read timeout, as against the real thing. Connections are not pooled: every request opens one, which a real
client may do as well. Writing, and waiting for a free connection in a pool, take no time.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ...engine.activity import current_activity
from ...engine.core.errors import ServiceError, StormproofError
from ..process import current_process
from ..services.errors import ConnectionLost, ServiceUnavailable
from ..services.exchange import ask, ask_blocking, calling_process
from .messages import HttpConnect, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from ..node import Incarnation

FailureKind = Literal["connect_error", "connect_timeout", "read_error", "read_timeout"]


class HttpFailure(StormproofError):
    """There is no response. Each library turns it into an exception of its own.

    Args:
        kind: What went wrong.
        message: For people.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(kind, message)

    @property
    def kind(self) -> FailureKind:
        """What went wrong."""
        kind: FailureKind = self.args[0]
        return kind

    @property
    def message(self) -> str:
        """For people."""
        return str(self.args[1])

    def __str__(self) -> str:
        return self.message


def simulated() -> bool:
    """Whether the calling code belongs to a simulated process; otherwise the libraries do what they always did."""
    return current_process.get() is not None


def micros(seconds: float | None) -> int | None:
    """A library's timeout in microseconds; ``None`` waits for ever."""
    return None if seconds is None else max(1, round(seconds * 1_000_000))


Steps = Generator[tuple[object, int | None], Any, HttpResponse]


async def exchange(request: HttpRequest, *, connect_us: int | None, read_us: int | None) -> HttpResponse:
    """One request from a coroutine.

    Raises:
        HttpFailure: There is no response.
    """
    process = calling_process(_what(request))
    target = _service(process, request)
    steps = _steps(request, connect_us, read_us)
    body, timeout_us = next(steps)
    while True:
        reply = await ask(process, target, body, timeout_us, _what(request))
        try:
            body, timeout_us = steps.send(reply)
        except StopIteration as stop:
            response: HttpResponse = stop.value
            return response


def exchange_blocking(request: HttpRequest, *, connect_us: int | None, read_us: int | None) -> HttpResponse:
    """One request from a thread.

    Raises:
        HttpFailure: There is no response.
    """
    process = calling_process(_what(request))
    target = _service(process, request)
    steps = _steps(request, connect_us, read_us)
    body, timeout_us = next(steps)
    while True:
        reply = ask_blocking(process, target, body, timeout_us, _what(request))
        try:
            body, timeout_us = steps.send(reply)
        except StopIteration as stop:
            response: HttpResponse = stop.value
            return response


def _steps(request: HttpRequest, connect_us: int | None, read_us: int | None) -> Steps:
    where = f"{request.host}:{request.port}"
    reply = yield HttpConnect(request.method, request.path), connect_us
    if isinstance(reply, ServiceError) and reply.status == "DEADLINE_EXCEEDED":
        raise HttpFailure("connect_timeout", f"no connection to {where} in time")
    if isinstance(reply, ServiceError | ServiceUnavailable):
        raise HttpFailure("connect_error", f"{where}: {reply.message}")
    context = current_activity.get()
    reply = yield replace(request, activity=None if context is None else context.info), read_us
    if isinstance(reply, HttpResponse):
        return reply
    if isinstance(reply, ServiceError) and reply.status == "DEADLINE_EXCEEDED":
        raise HttpFailure("read_timeout", f"no response from {where} in time")
    if isinstance(reply, ServiceError | ConnectionLost):
        raise HttpFailure("read_error", f"{where}: {reply.message}")
    raise reply


def _service(process: Incarnation, request: HttpRequest) -> str:
    """The service that answers for a host."""
    services = process.world.services
    host = request.host.lower()
    found = services.at(f"{host}:{request.port}") or services.at(host)
    if found is not None:
        return found.name
    known = ", ".join(services.addresses()) or "none"
    message = (
        f"no service of this simulation answers for {host!r} (hosts: {known}), and nothing else is reachable: "
        f'add HttpService(..., hosts=["{host}"]) to the scenario\'s services'
    )
    note(process, f"{process.name}: {message}")
    raise HttpFailure("connect_error", message)


def note(process: Incarnation, text: str) -> None:
    """Tell the record of the run, once."""
    notes = process.world.notes
    if text not in notes:
        notes.append(text)


def _what(request: HttpRequest) -> str:
    return f"{request.method} {request.host}{request.path}"


__all__ = ["HttpFailure", "exchange", "exchange_blocking", "micros", "note", "simulated"]
