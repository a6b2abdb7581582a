"""Sockets inside a simulation: refused by name, since nothing real can be reached in virtual time.

Creating a socket is harmless (libraries do it to look at the machine); what would reach out is refused.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, NoReturn

from ...engine.core.errors import MisuseError
from ..process import current_process
from .route import note

Undo = Callable[[], None]

METHODS = ("connect", "connect_ex", "bind", "sendto", "sendmsg")
FUNCTIONS = ("create_connection", "create_server", "getaddrinfo", "gethostbyname", "gethostbyname_ex", "getnameinfo")
# Not on every platform.
PRESENT_METHODS = tuple(name for name in METHODS if hasattr(socket.socket, name))


class SocketRefused(MisuseError, OSError):
    """Code of a simulated process tried to reach the real network.

    Args:
        message: For people.
        address: ``host:port``, or whatever was to be reached.
        call: What it called.
    """

    def __init__(self, message: str, address: str = "", call: str = "") -> None:
        # Past OSError, which would read its arguments as (errno, strerror, filename).
        BaseException.__init__(self, message, address, call)

    @property
    def address(self) -> str:
        """What was to be reached."""
        return str(self.args[1])

    @property
    def call(self) -> str:
        """What was called."""
        return str(self.args[2])

    def __str__(self) -> str:
        return str(self.args[0])


def refuse(call: str, address: object) -> NoReturn:
    """Refuse a call that reaches for ``address``: a ``(host, port)`` pair, a host, or a path.

    Raises:
        SocketRefused: Always.
    """
    process: Any = current_process.get()
    assert process is not None
    where = _text(address)
    services = process.world.services
    host = where.rpartition(":")[0] or where
    if services.at(where) is not None or services.at(host) is not None:
        remedy = f"{host} is a simulated service, which is reached with httpx or requests alone"
    else:
        remedy = (
            "make the outside system a service of the scenario: a stormproof Service with a client, "
            "or an HttpService that httpx and requests reach"
        )
    message = f"{call} to {where} on node {process.name}: a simulated process has no sockets; {remedy}"
    note(process, message)
    raise SocketRefused(message, where, call)


def _text(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{_text(address[0])}:{address[1]}"
    if isinstance(address, bytes):
        return address.decode("utf-8", "replace")
    return str(address)


def patch() -> Undo:
    """Put the refusals in place; the result takes them away."""
    undo: list[tuple[Any, str, Any]] = []
    own = vars(socket.socket)
    for name in PRESENT_METHODS:
        undo.append((socket.socket, name, own.get(name)))
        setattr(socket.socket, name, _method(name, getattr(socket.socket, name)))
    for name in FUNCTIONS:
        undo.append((socket, name, getattr(socket, name)))
        setattr(socket, name, _function(name, getattr(socket, name)))

    def restore() -> None:
        for owner, name, original in undo:
            if original is None:
                delattr(owner, name)  # it was inherited
            else:
                setattr(owner, name, original)

    return restore


def _method(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any, **kwargs: Any) -> Any:
        if current_process.get() is not None:
            refuse(f"socket.{name}()", args[-1] if args else "?")
        return real(self, *args, **kwargs)

    return guarded


def _function(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if current_process.get() is not None:
            given: tuple[Any, ...] = (*args, *kwargs.values())
            refuse(f"socket.{name}()", given[:2] if name == "getaddrinfo" else given[0] if given else "?")
        return real(*args, **kwargs)

    return guarded


__all__ = ["SocketRefused", "patch", "refuse"]
