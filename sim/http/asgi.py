"""Running an ASGI 3 application: one exchange, and the lifespan of a process.

As uvicorn does it: an application that raises answers 500; one that does not know ``lifespan`` does without; requests
wait until its startup is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ...engine.core.errors import StormproofError
from .messages import HttpRequest, HttpResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}
# What belongs to one connection and not to the response (RFC 9110, 7.6.1).
_HOP_BY_HOP = (b"connection", b"keep-alive", b"transfer-encoding", b"upgrade")


class AppFailed(StormproofError):
    """The application broke the rules of ASGI, or ended without a whole response."""


async def respond(app: ASGIApp, request: HttpRequest, *, client: str, state: dict[str, Any]) -> HttpResponse:
    """One exchange.

    Args:
        app: The application.
        request: The request.
        client: The name of the calling node.
        state: What the lifespan's startup left.

    Raises:
        AppFailed: There is no whole response.
        Exception: What the application raised.
    """
    exchange = _Exchange(request)
    path, _, query = request.target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": (client, 0),
        "server": (request.host, request.port),
        "extensions": {},
        "state": state.copy(),
    }
    await app(scope, exchange.receive, exchange.send)
    return exchange.response()


class _Exchange:
    """``receive`` and ``send`` of one request."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._received = False
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._complete = asyncio.Event()

    async def receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._status is None:
            self._status = int(message["status"])
            self._headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        elif kind == "http.response.body" and self._status is not None and not self._complete.is_set():
            self._chunks.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._complete.set()
        else:
            raise AppFailed(f"the app sent {kind!r} where ASGI does not allow it")

    def response(self) -> HttpResponse:
        if self._status is None or not self._complete.is_set():
            raise AppFailed("the app returned without a whole response")
        body = b"" if self._request.method == "HEAD" else b"".join(self._chunks)
        headers = tuple(item for item in self._headers if item[0] not in _HOP_BY_HOP)
        return HttpResponse(self._status, headers, body)


class Lifespan:
    """The lifespan of an application in one process.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self.failure: str | None = None
        """Why the startup failed, if it did."""
        self._app = app
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._asked = False

    async def run(self) -> None:
        """The whole of it: a task that lasts as long as the process."""
        try:
            await self._app({"type": "lifespan", "asgi": _VERSIONS, "state": self.state}, self._receive, self._send)
        except Exception:
            # Without a word before, it knows no lifespan, and does without; afterwards nobody is there to be told.
            self.state.clear()
        finally:
            self._started.set()
            self._stopped.set()

    async def started(self) -> None:
        """Wait until the application can serve."""
        await self._started.wait()

    async def stop(self) -> None:
        """Shut it down and wait until that is done."""
        self._stopping.set()
        await self._stopped.wait()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            self.failure = str(message.get("message", "")) or "the app says that its startup failed"
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            self._started.set()
        else:
            self._stopped.set()


__all__ = ["ASGIApp", "AppFailed", "Lifespan", "Message", "Receive", "Send", "respond"]
