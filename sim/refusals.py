"""What a simulated process's loop does not have: sockets, pipes, child processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from ..engine.core.errors import MisuseError


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise MisuseError(
            f"loop.{name}(): a simulated process has no sockets, pipes or child processes; "
            f"use a service of the scenario, httpx or requests"
        )

    return refuse


class ClosedToTheOutside(asyncio.AbstractEventLoop):
    """A loop that refuses by name whatever would reach out of the simulation, with ``MisuseError``."""

    create_connection: Any = _refused("create_connection")
    create_server: Any = _refused("create_server")
    create_unix_connection: Any = _refused("create_unix_connection")
    create_unix_server: Any = _refused("create_unix_server")
    create_datagram_endpoint: Any = _refused("create_datagram_endpoint")
    connect_accepted_socket: Any = _refused("connect_accepted_socket")
    start_tls: Any = _refused("start_tls")
    sendfile: Any = _refused("sendfile")
    getaddrinfo: Any = _refused("getaddrinfo")
    getnameinfo: Any = _refused("getnameinfo")
    connect_read_pipe: Any = _refused("connect_read_pipe")
    connect_write_pipe: Any = _refused("connect_write_pipe")
    subprocess_exec: Any = _refused("subprocess_exec")
    subprocess_shell: Any = _refused("subprocess_shell")
    add_reader: Any = _refused("add_reader")
    remove_reader: Any = _refused("remove_reader")
    add_writer: Any = _refused("add_writer")
    remove_writer: Any = _refused("remove_writer")
    sock_recv: Any = _refused("sock_recv")
    sock_recv_into: Any = _refused("sock_recv_into")
    sock_recvfrom: Any = _refused("sock_recvfrom")
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into")
    sock_sendall: Any = _refused("sock_sendall")
    sock_sendto: Any = _refused("sock_sendto")
    sock_connect: Any = _refused("sock_connect")
    sock_accept: Any = _refused("sock_accept")
    sock_sendfile: Any = _refused("sock_sendfile")
