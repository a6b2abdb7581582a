"""``httpx`` inside a simulation: its two network transports answer from the simulated network.

The transports are the lowest public level: everything above them (clients, authentication, redirects, cookies, event
hooks, retries of the user's own) is the real library. Proxies of the environment are left aside. A transport made
inside a simulation does without the machine's certificates, whose loading takes longer (30 ms) than most runs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ...engine.core.errors import InternalError
from .messages import HttpRequest, HttpResponse
from .route import HttpFailure, exchange, exchange_blocking, micros, simulated

if TYPE_CHECKING:
    import httpx

Undo = Callable[[], None]


@cache
def _no_certificates() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def patch(library: Any) -> Undo:
    """Patch the module ``httpx``; the result undoes it."""
    asynchronous = library.AsyncHTTPTransport
    blocking = library.HTTPTransport
    real_async = asynchronous.handle_async_request
    real_blocking = blocking.handle_request
    real_inits = {kind: kind.__init__ for kind in (asynchronous, blocking)}

    async def handle_async_request(self: Any, request: httpx.Request) -> httpx.Response:
        if not simulated():
            response: httpx.Response = await real_async(self, request)
            return response
        await request.aread()
        timeouts = _timeouts(request)
        try:
            return _response(library, await exchange(_read(request), connect_us=timeouts[0], read_us=timeouts[1]))
        except HttpFailure as failure:
            raise _error(library, failure, request) from None

    def handle_request(self: Any, request: httpx.Request) -> httpx.Response:
        if not simulated():
            response: httpx.Response = real_blocking(self, request)
            return response
        request.read()
        timeouts = _timeouts(request)
        try:
            return _response(library, exchange_blocking(_read(request), connect_us=timeouts[0], read_us=timeouts[1]))
        except HttpFailure as failure:
            raise _error(library, failure, request) from None

    def undo() -> None:
        for kind, real in real_inits.items():
            kind.__init__ = real
        asynchronous.handle_async_request = real_async
        blocking.handle_request = real_blocking

    for kind, real in real_inits.items():
        kind.__init__ = _without_certificates(real)
    asynchronous.handle_async_request = handle_async_request
    blocking.handle_request = handle_request
    return undo


def _without_certificates(real: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, verify: Any = True, *args: Any, **kwargs: Any) -> None:
        if simulated() and isinstance(verify, bool):
            verify = _no_certificates()
        real(self, verify, *args, **kwargs)

    return init


def _read(request: httpx.Request) -> HttpRequest:
    url = request.url
    return HttpRequest(
        request.method.upper(),
        url.scheme,
        url.host,
        url.port or (443 if url.scheme == "https" else 80),
        url.raw_path,
        tuple((name.lower(), value) for name, value in request.headers.raw),
        request.content,
    )


def _timeouts(request: httpx.Request) -> tuple[int | None, int | None]:
    given: dict[str, float | None] = request.extensions.get("timeout", {})
    return micros(given.get("connect")), micros(given.get("read"))


def _response(library: Any, response: HttpResponse) -> httpx.Response:
    made: httpx.Response = library.Response(
        response.status,
        headers=list(response.headers),
        stream=library.ByteStream(response.body),
        extensions={"http_version": b"HTTP/1.1"},
    )
    return made


_ERRORS = {
    "connect_error": "ConnectError",
    "connect_timeout": "ConnectTimeout",
    "read_error": "ReadError",
    "read_timeout": "ReadTimeout",
}


def _error(library: Any, failure: HttpFailure, request: httpx.Request) -> Exception:
    error = getattr(library, _ERRORS[failure.kind])(failure.message, request=request)
    if not isinstance(error, Exception):
        raise InternalError(f"httpx.{_ERRORS[failure.kind]} is no exception")
    return error


__all__ = ["patch"]
