from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from stormproof.sim.http import HttpService, SocketRefused, install_http, installed_http, uninstall_http

TLS = httpx.create_ssl_context()


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"


@pytest.fixture(autouse=True)
def patched() -> Iterator[None]:
    with installed_http():
        yield


@pytest.fixture
def small(world: Any) -> Any:
    return world(HttpService("payments", app, hosts=["payments.test"]))


# --- sockets ----------------------------------------------------------------------------------------------------------


def connect() -> None:
    with socket.socket() as raw:
        raw.connect(("db.example.com", 5432))


def bind() -> None:
    with socket.socket() as raw:
        raw.bind(("127.0.0.1", 8000))


@pytest.mark.parametrize(
    ("reach", "address"),
    [
        (connect, "db.example.com:5432"),
        (bind, "127.0.0.1:8000"),
        (lambda: socket.create_connection(("db.example.com", 5432)), "db.example.com:5432"),
        (lambda: socket.getaddrinfo("db.example.com", 5432), "db.example.com:5432"),
        (lambda: socket.gethostbyname("db.example.com"), "db.example.com"),
        (lambda: http.client.HTTPConnection("db.example.com", 80).request("GET", "/"), "db.example.com:80"),
    ],
)
def test_sockets_are_refused_by_name(small: Any, reach: Any, address: str) -> None:
    with pytest.raises(
        SocketRefused, match="a simulated process has no sockets; make the outside system a service"
    ) as c:
        small.run_thread(reach)
    assert isinstance(c.value, OSError)
    assert c.value.address == address
    assert address in str(c.value)
    assert "on node client" in str(c.value)
    again = SocketRefused(*c.value.args)
    assert (str(again), again.address, again.call) == (str(c.value), c.value.address, c.value.call)
    assert small.notes == [str(c.value)]


def test_another_client_of_a_simulated_host_is_told_which_ones_work(small: Any) -> None:
    with pytest.raises(
        OSError, match=r"payments\.test is a simulated service, which is reached with httpx or requests"
    ):
        small.run_thread(lambda: urllib.request.urlopen("http://payments.test/charges"))


def test_outside_a_simulation_everything_is_as_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as raw:
            accepted, _ = server.accept()
            accepted.close()
            assert raw.getpeername()[1] == port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False, verify=TLS)
    with requests.Session() as session:
        session.trust_env = False
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(f"http://127.0.0.1:{port}")


# --- installing -------------------------------------------------------------------------------------------------------


def state() -> list[Any]:
    return [
        httpx.AsyncHTTPTransport.handle_async_request,
        httpx.HTTPTransport.handle_request,
        httpx.HTTPTransport.__init__,
        requests.adapters.HTTPAdapter.send,
        vars(socket.socket).get("connect"),
        vars(socket.socket).get("bind"),
        vars(socket.socket).get("sendto"),
        socket.getaddrinfo,
        socket.create_connection,
        list(sys.meta_path),
    ]


def test_installing_counts_and_undoes_all_of_it() -> None:
    uninstall_http()  # the fixture's
    before = state()
    install_http()
    installed = state()
    install_http()
    uninstall_http()
    assert state() == installed
    uninstall_http()
    assert state() == before
    install_http()
    assert before[0] is not installed[0]


LATE = """
import sys
from stormproof.sim.http import installed_http
import stormproof.sim.services
assert "httpx" not in sys.modules and "requests" not in sys.modules, "imported for nothing"
with installed_http():
    import httpx, requests
    assert httpx.AsyncHTTPTransport.handle_async_request.__module__ == "stormproof.sim.http.httpx_transport"
    assert requests.adapters.HTTPAdapter.send.__module__ == "stormproof.sim.http.requests_adapter"
    assert type(httpx.__loader__).__name__ == type(httpx.__spec__.loader).__name__ == "SourceFileLoader"
assert httpx.AsyncHTTPTransport.handle_async_request.__module__.startswith("httpx")
assert requests.adapters.HTTPAdapter.send.__module__ == "requests.adapters"
"""


def test_a_client_made_in_a_simulation_loads_no_certificates(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *given, **more: loaded.append(given))
    small.run_thread(lambda: httpx.Client().close())
    assert loaded == []
    httpx.Client().close()
    assert loaded


def test_libraries_that_are_imported_later_are_patched_then(tmp_path: Path) -> None:
    # From elsewhere: in the repository's root, `stormproof` would be the face alone.
    subprocess.run([sys.executable, "-c", LATE], check=True, timeout=60, cwd=tmp_path)
