"""``requests`` inside a simulation: its network adapter answers from the simulated network.

``HTTPAdapter.send`` is the lowest public level: sessions, redirects, cookies and authentication are the real library.
What urllib3 does below it is done here in its place: the adapter's ``max_retries``, with urllib3's own ``Retry``, whose
pauses are virtual. Proxies, certificates and ``verify`` are left aside.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from email.message import Message
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .messages import HttpRequest, HttpResponse
from .route import HttpFailure, exchange_blocking, micros, simulated

if TYPE_CHECKING:
    import requests

Undo = Callable[[], None]


def patch(adapters: Any) -> Undo:
    """Patch the module ``requests.adapters``; the result undoes it."""
    adapter = adapters.HTTPAdapter
    real_send = adapter.send

    def send(  # noqa: PLR0917  # the signature of requests
        self: Any,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        if not simulated():
            return real_send(self, request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        connect_s, read_s = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        response = _Sending(adapters, self, request, micros(connect_s), micros(read_s)).run()
        built = self.build_response(request, response)
        if not stream:
            _ = built.content
        return built

    def undo() -> None:
        adapter.send = real_send

    adapter.send = send
    return undo


class _Sending:
    """One request with the retries of its adapter."""

    def __init__(
        self,
        adapters: Any,
        adapter: Any,
        request: requests.PreparedRequest,
        connect_us: int | None,
        read_us: int | None,
    ) -> None:
        import requests  # noqa: PLC0415  # optional: here it is loaded already
        import urllib3  # noqa: PLC0415

        self._requests = requests
        self._urllib3 = urllib3
        self._request = request
        self._retries: urllib3.Retry = adapter.max_retries
        self._connect_us = connect_us
        self._read_us = read_us
        self._message = _read(request)

    def run(self) -> Any:
        """The first response that is not to be retried, as urllib3's."""
        while True:
            try:
                response = exchange_blocking(self._message, connect_us=self._connect_us, read_us=self._read_us)
            except HttpFailure as failure:
                self._retry_after(failure)
                continue
            made = self._made(response)
            has_retry_after = any(name == b"retry-after" for name, _ in response.headers)
            if not self._retries.is_retry(self._message.method, response.status, has_retry_after):
                return made
            try:
                self._retries = self._retries.increment(self._message.method, self._request.url, response=made)
            except self._urllib3.exceptions.MaxRetryError as error:
                if self._retries.raise_on_status:
                    raise self._requests.exceptions.RetryError(error, request=self._request) from None
                return made
            self._retries.sleep(made)

    def _retry_after(self, failure: HttpFailure) -> None:
        """Pause before the next attempt, or raise what ``requests`` raises when there is none."""
        errors: Any = self._urllib3.exceptions
        kinds: dict[str, Any] = {
            "connect_error": errors.ConnectTimeoutError(failure.message),  # the base of "no connection" there
            "connect_timeout": errors.ConnectTimeoutError(failure.message),
            "read_error": errors.ProtocolError(failure.message),
            "read_timeout": errors.ReadTimeoutError(None, self._request.url or "", failure.message),
        }
        try:
            self._retries = self._retries.increment(self._message.method, self._request.url, error=kinds[failure.kind])
        except errors.HTTPError:
            raised = {
                "connect_error": self._requests.exceptions.ConnectionError,
                "connect_timeout": self._requests.exceptions.ConnectTimeout,
                "read_error": self._requests.exceptions.ConnectionError,
                "read_timeout": self._requests.exceptions.ReadTimeout,
            }
            raise raised[failure.kind](failure.message, request=self._request) from None
        self._retries.sleep()

    def _made(self, response: HttpResponse) -> Any:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        original: Any = _Original(headers)
        return self._urllib3.HTTPResponse(
            body=io.BytesIO(response.body),
            headers=self._urllib3.HTTPHeaderDict(headers),
            status=response.status,
            reason=_reason(response.status),
            preload_content=False,
            request_method=self._message.method,
            original_response=original,  # cookies are read from its ``msg``
        )


class _Original:
    """What ``requests`` needs of an ``http.client.HTTPResponse``: the headers, for its cookie jar."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self.msg = Message()
        for name, value in headers:
            self.msg[name] = value

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _read(request: requests.PreparedRequest) -> HttpRequest:
    parts = urlsplit(request.url or "")
    headers = [(name.lower().encode("latin-1"), _bytes(value)) for name, value in request.headers.items()]
    if not any(name == b"host" for name, _ in headers):
        headers.insert(0, (b"host", parts.netloc.rpartition("@")[2].encode("latin-1")))
    return HttpRequest(
        (request.method or "GET").upper(),
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
        request.path_url.encode("ascii"),
        tuple(headers),
        _body(request.body),
    )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _body(body: Any) -> bytes:
    """A body as ``requests`` takes it: text, bytes, a file, or pieces."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if hasattr(body, "read"):
        return _body(body.read())
    pieces: Iterable[Any] = body
    return b"".join(_body(piece) for piece in pieces)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


__all__ = ["patch"]
