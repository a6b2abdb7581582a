"""HTTP on the simulated wire: whole requests and whole responses, immutable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True, frozen=True)
class HttpConnect:
    """A connection is opened for a request: refused by a service that is down, unanswered where nothing gets there."""

    method: str
    path: str


@dataclass(slots=True, frozen=True)
class HttpRequest:
    """One request.

    Attributes:
        method: ``GET``, ``POST`` ...
        scheme: ``http`` or ``https``; TLS itself is not simulated.
        host: The host name.
        port: The port.
        target: Path and query as they are on the wire.
        headers: In order, names in lower case.
        body: All of it.
        activity: ``activity.Info`` of the calling activity, if there is one. Not part of what the app sees.
    """

    method: str
    scheme: str
    host: str
    port: int
    target: bytes
    headers: Headers
    body: bytes
    activity: Any = None

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return path_of(self.target)

    @property
    def query(self) -> dict[str, str]:
        """The query, by name."""
        return dict(parse_qsl(self.target.partition(b"?")[2].decode("ascii"), keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """A header's value."""
        wanted = name.lower().encode("latin-1")
        for key, value in self.headers:
            if key == wanted:
                return value.decode("latin-1")
        return None

    def json(self) -> Any:
        """The body as JSON; ``None`` where it is not."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(slots=True, frozen=True)
class HttpResponse:
    """One response; headers in order, names in lower case."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    @classmethod
    def text(cls, status: int, message: str, *more: tuple[bytes, bytes]) -> HttpResponse:
        """A response in plain text."""
        body = message.encode()
        headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)), *more)
        return cls(status, headers, body)


def path_of(target: bytes) -> str:
    """The decoded path of a request's target."""
    return unquote(target.partition(b"?")[0].decode("ascii"))


__all__ = ["Headers", "HttpConnect", "HttpRequest", "HttpResponse", "path_of"]
