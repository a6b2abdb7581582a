from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import requests
import urllib3
from stormproof.engine.activity import current_activity
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.http import HttpEffect, HttpService, installed_http
from stormproof.sim.services import Down, Errors, Hang, Latency, RateLimit, ReplyLost, no_effect


class Charges:
    """An ASGI app with state, lifespan and a few routes."""

    def __init__(self, *, lifespan: str = "yes") -> None:
        self.charged: dict[str, int] = {}
        self.log: list[str] = []
        self.scopes: list[dict[str, Any]] = []
        self.lifespan = lifespan

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        self.scopes.append(scope)
        body = (await receive())["body"]
        handler: Callable[..., Any] = getattr(self, f"{scope['method'].lower()}_{scope['path'].split('/')[1]}")
        status, headers, pieces = await handler(scope, body)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async def live(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        if self.lifespan == "no":
            raise RuntimeError("what is a lifespan?")
        if self.lifespan == "fails":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await asyncio.sleep(1)
        scope["state"]["database"] = "connected"
        self.log.append("startup")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def post_charges(self, scope: Any, body: bytes) -> Any:
        order = json.loads(body)["order_id"]
        if order in self.charged:
            return no_effect((200, [], [b"again"]))
        if order == "bad":
            return 422, [], [b"bad order"]
        self.charged[order] = len(self.charged) + 1
        return 201, [(b"Content-Type", b"application/json")], [b'{"receipt": ', b"%d}" % self.charged[order]]

    async def delete_charges(self, scope: Any, body: bytes) -> Any:
        self.charged.pop(scope["path"].rsplit("/", 1)[1])
        return 204, [], []

    async def get_charges(self, scope: Any, body: bytes) -> Any:
        return 200, [(b"set-cookie", b"session=1; Path=/"), (b"x-state", str(scope["state"]).encode())], [b"all"]

    async def head_charges(self, scope: Any, body: bytes) -> Any:
        return 200, [(b"content-length", b"3")], [b"all"]

    async def get_raises(self, scope: Any, body: bytes) -> Any:
        raise KeyError("oops")

    async def get_old(self, scope: Any, body: bytes) -> Any:
        return 302, [(b"location", b"/charges")], []

    async def get_gone(self, scope: Any, body: bytes) -> Any:
        return 503, [(b"retry-after", b"7")], []


EFFECTS = {
    ("POST", "/charges"): "order_id",
    ("DELETE", "/charges/{order_id}"): HttpEffect("order_id", undoes="POST /charges"),
}


def service(app: Any, **options: Any) -> HttpService:
    options = {"hosts": ["payments.test"], "latency": Latency.none(), "effects": EFFECTS} | options
    return HttpService("payments", app, **options)


@pytest.fixture(autouse=True)
def patched() -> Iterator[None]:
    with installed_http():
        yield


@pytest.fixture
def app() -> Charges:
    return Charges(lifespan="no")


@pytest.fixture
def small(world: Any, app: Charges) -> Any:
    return world(service(app))


async def over_httpx(method: str, url: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, url, **options)


def call_httpx(small: Any, method: str, url: str, **options: Any) -> httpx.Response:
    response: httpx.Response = small.run(lambda: over_httpx(method, url, **options))
    return response


def call_httpx_blocking(small: Any, method: str, url: str, **options: Any) -> httpx.Response:
    def send() -> httpx.Response:
        with httpx.Client() as client:
            return client.request(method, url, **options)

    response: httpx.Response = small.run_thread(send)
    return response


def call_requests(small: Any, method: str, url: str, **options: Any) -> requests.Response:
    response: requests.Response = small.run_thread(lambda: requests.request(method, url, **options))
    return response


CALLS = pytest.mark.parametrize("call", [call_httpx, call_httpx_blocking, call_requests])
URL = "http://payments.test/charges"


# --- requests that work -----------------------------------------------------------------------------------------------


@CALLS
def test_each_library_reaches_the_app(small: Any, app: Charges, call: Any) -> None:
    response = call(small, "POST", URL + "?a=1&b=%20x", json={"order_id": "order-1"}, headers={"X-Tag": "t"})
    assert response.status_code == 201
    assert response.json() == {"receipt": 1}
    assert response.headers["content-type"] == "application/json"
    assert app.charged == {"order-1": 1}
    (scope,) = app.scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/charges", b"a=1&b=%20x")
    assert (scope["scheme"], scope["server"], scope["client"]) == ("http", ("payments.test", 80), ("client", 0))
    headers = dict(scope["headers"])
    assert (headers[b"host"], headers[b"x-tag"]) == (b"payments.test", b"t")
    assert small.elapsed_us < 10_000_000


@CALLS
def test_cookies_redirects_and_heads_work_as_in_the_library(small: Any, call: Any) -> None:
    options = {"follow_redirects": True} if call is not call_requests else {}
    response = call(small, "GET", "https://payments.test/old", **options)
    assert response.text == "all"
    assert response.cookies["session"] == "1"
    assert [first.status_code for first in response.history] == [302]
    assert call(small, "HEAD", URL).content == b""


@CALLS
def test_an_app_that_raises_answers_500(small: Any, call: Any) -> None:
    assert call(small, "GET", "http://payments.test/raises").status_code == 500
    assert small.services.host("payments").broken == ["payments GET /raises raised KeyError: 'oops'"]


def test_an_app_that_ends_without_a_response_answers_500(world: Any) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    small = world(service(silent))
    assert call_httpx(small, "GET", URL).status_code == 500
    assert "without a whole response" in small.services.host("payments").broken[0]


def test_bodies_of_all_kinds_arrive(world: Any) -> None:
    bodies: list[bytes] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            bodies.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

    small = world(service(echo))

    async def pieces() -> Any:
        yield b"a"
        yield b"b"

    call_httpx(small, "POST", URL, content=pieces())
    call_httpx_blocking(small, "POST", URL, content=iter([b"a", b"b"]))
    call_requests(small, "POST", URL, data=iter([b"a", "b"]))
    call_requests(small, "POST", URL, data="text")
    call_requests(small, "POST", URL, data=b"bytes")
    call_requests(small, "PUT", URL)
    assert bodies == [b"ab", b"ab", b"ab", b"text", b"bytes", b""]


def test_a_port_may_be_one_service_and_the_host_another(world: Any) -> None:
    here, there = Charges(lifespan="no"), Charges(lifespan="no")
    small = world(service(here), HttpService("other", there, hosts=["payments.test:8080"]))
    call_httpx(small, "GET", "http://payments.test:8080/charges")
    assert (len(here.scopes), len(there.scopes)) == (0, 1)


# --- lifespan and process ---------------------------------------------------------------------------------------------


def test_requests_wait_for_the_startup_and_see_its_state(world: Any) -> None:
    app = Charges()
    small = world(service(app))
    response = call_httpx(small, "GET", URL)
    assert small.elapsed_us >= 1_000_000
    assert response.headers["x-state"] == "{'database': 'connected'}"
    small.nodes["payments"].shutdown()
    small.kernel.run()
    assert app.log == ["startup", "shutdown"]
    small.nodes["payments"].start()
    small.kernel.run()
    assert app.log == ["startup", "shutdown", "startup"]


def test_a_failed_startup_answers_503_and_says_why(world: Any) -> None:
    small = world(service(Charges(lifespan="fails")))
    response = call_httpx(small, "GET", URL)
    assert (response.status_code, response.text) == (503, "the startup of payments failed: no database")


def test_an_app_belongs_to_one_run(world: Any, app: Charges) -> None:
    once = service(app)
    world(once)
    with pytest.raises(MisuseError, match="has run in a simulation already"):
        world(once)


# --- what goes wrong --------------------------------------------------------------------------------------------------

LONG = {"timeout": 60}


@CALLS
def test_an_unknown_host_is_named_with_the_remedy(small: Any, call: Any) -> None:
    with pytest.raises((httpx.ConnectError, requests.exceptions.ConnectionError)) as caught:
        call(small, "GET", "http://api.example.com/x")
    assert "no service of this simulation answers for 'api.example.com' (hosts: payments.test)" in str(caught.value)
    assert 'HttpService(..., hosts=["api.example.com"])' in str(caught.value)
    assert len(small.notes) == 1


@CALLS
def test_a_service_that_is_down_refuses_the_connection(small: Any, call: Any) -> None:
    bites: list[str] = []
    down = Down(operation="POST /charges", on_bite=lambda _, found: bites.append(found.operation))
    small.services.host("payments").conditions.set(down)
    with pytest.raises((httpx.ConnectError, requests.exceptions.ConnectionError), match="refuses connections"):
        call(small, "POST", URL, json={"order_id": "order-1"})
    assert bites == ["POST /charges"]
    assert call(small, "GET", URL).status_code == 200


@CALLS
def test_a_node_that_is_down_refuses_the_connection(small: Any, call: Any) -> None:
    small.nodes["payments"].crash()
    with pytest.raises((httpx.ConnectError, requests.exceptions.ConnectionError), match="connection refused"):
        call(small, "GET", URL)


@CALLS
def test_a_service_that_hangs_is_a_read_timeout(small: Any, call: Any) -> None:
    small.services.host("payments").conditions.set(Hang())
    started_us = small.kernel.now_us
    with pytest.raises(
        (httpx.ReadTimeout, requests.exceptions.ReadTimeout), match=r"no response from payments.test:80"
    ):
        call(small, "GET", URL, timeout=3)
    assert 3_000_000 <= small.kernel.now_us - started_us < 3_010_000


class Partition:
    """Loses every message to a node."""

    def __init__(self, target: str) -> None:
        self.target = target

    def affects(self, source: str, target: str) -> bool:
        return target == self.target

    def treat(self, world: Any, source: str, target: str, kind: str) -> Any:
        from stormproof.sim.network import Treatment

        return Treatment(lose=True)


@CALLS
def test_a_service_that_nothing_reaches_is_a_connect_timeout(small: Any, call: Any) -> None:
    small.network.disturbances.append(Partition("payments"))
    timeout = (2, 30) if call is call_requests else httpx.Timeout(30, connect=2)
    started_us = small.kernel.now_us
    with pytest.raises((httpx.ConnectTimeout, requests.exceptions.ConnectTimeout)):
        call(small, "GET", URL, timeout=timeout)
    assert small.kernel.now_us - started_us == 2_000_000


@CALLS
def test_a_reply_that_is_lost_leaves_the_effect(small: Any, app: Charges, call: Any) -> None:
    small.services.host("payments").conditions.set(ReplyLost(reset=True))
    with pytest.raises((httpx.ReadError, requests.exceptions.ConnectionError)):
        call(small, "POST", URL, json={"order_id": "order-1"})
    assert app.charged == {"order-1": 1}
    assert len(small.services.host("payments").ledger.effects) == 1


@CALLS
def test_a_service_that_crashes_at_work_is_a_read_error(world: Any, call: Any) -> None:
    small = world(service(Charges(lifespan="no"), latency=Latency.fixed_us(1_000_000)))
    small.kernel.schedule(500_000, small.nodes["payments"].crash)
    with pytest.raises((httpx.ReadError, requests.exceptions.ConnectionError), match="reset"):
        call(small, "GET", URL)


@CALLS
def test_weather_and_limits_answer_in_http(world: Any, call: Any) -> None:
    small = world(service(Charges(lifespan="no"), rate_limit=RateLimit.per_minute(1)))
    errors = small.services.host("payments").conditions.set(Errors(status=502, times=1))
    assert call(small, "GET", URL).status_code in (502, 429)
    response = call(small, "GET", URL)
    assert response.status_code == 429
    assert 55 <= int(response.headers["retry-after"]) <= 60
    assert errors.times == 0


def test_requests_retries_as_its_adapter_says(small: Any, app: Charges) -> None:
    retry = urllib3.Retry(total=2, status_forcelist=[503], respect_retry_after_header=True)

    def send() -> None:
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        session.get("http://payments.test/gone")

    # Nothing pauses in virtual time here (the clocks are patched elsewhere): no retry-after, no pause.
    small.services.host("payments").conditions.set(Errors(status=503))
    with pytest.raises(requests.exceptions.RetryError):
        small.run_thread(send)
    assert small.services.host("payments").calls == 6  # three connections, three requests
    small.services.host("payments").conditions.clear_all()
    small.services.host("payments").conditions.set(Down(times=2))

    def again() -> int:
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        return session.get(URL).status_code

    assert small.run_thread(again) == 200


# --- effects ----------------------------------------------------------------------------------------------------------


def test_declared_requests_that_succeed_are_in_the_ledger(small: Any) -> None:
    info = SimpleNamespace(workflow_id="w", workflow_run_id="r", activity_id="1", activity_type="charge", attempt=2)

    async def main() -> None:
        current_activity.set(SimpleNamespace(info=info))  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url="http://payments.test") as client:
            await client.post("/charges", json={"order_id": "order-1"}, headers={"Idempotency-Key": "k"})
            await client.post("/charges", json={"order_id": "order-1"})  # the app says: no effect
            await client.post("/charges", json={"order_id": "bad"})
            await client.get("/charges")
            await client.delete("/charges/order-1")

    small.run(main)
    first, second = small.services.host("payments").ledger.effects
    assert (first.operation, first.key, first.idempotency_key) == ("POST /charges", "order-1", "k")
    assert (first.caller.workflow_id, first.caller.attempt, first.result) == ("w", 2, 201)
    assert first.arguments == {"target": "/charges", "body": '{"order_id":"order-1"}'}
    assert (second.operation, second.key, second.undoes) == ("DELETE /charges/{order_id}", "order-1", "POST /charges")


def test_a_key_may_be_a_function_of_the_request(world: Any) -> None:
    effects = {("POST", "/charges"): lambda request: f"{request.query['shop']}/{request.header('X-Order')}"}
    small = world(service(Charges(lifespan="no"), effects=effects))
    call_httpx(small, "POST", URL + "?shop=a", json={"order_id": "1"}, headers={"X-Order": "7"})
    assert small.services.host("payments").ledger.effects[0].key == "a/7"


def test_idempotency_keys_can_be_looked_after_for_the_app(world: Any) -> None:
    app = Charges(lifespan="no")
    small = world(service(app, idempotency_header="Idempotency-Key"))
    headers = {"Idempotency-Key": "k"}
    first = call_httpx(small, "POST", URL, json={"order_id": "order-1"}, headers=headers)
    second = call_httpx(small, "POST", URL, json={"order_id": "order-1"}, headers=headers)
    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, b'{"receipt": 1}')
    other = call_httpx(small, "POST", URL, json={"order_id": "order-2"}, headers=headers)
    assert other.status_code == 422
    assert len(app.scopes) == 1
    assert small.services.host("payments").ledger.repeats == 1


def test_an_http_service_that_has_no_hosts_is_refused(app: Charges) -> None:
    with pytest.raises(MisuseError, match="expected a list of host names"):
        HttpService("payments", app, hosts="payments.test")
    with pytest.raises(MisuseError, match="httpx or requests"):
        HttpService.client()


def test_two_services_cannot_answer_for_one_host(world: Any, app: Charges) -> None:
    with pytest.raises(MisuseError, match=r"two services answer for the host 'payments\.test'"):
        world(service(app), HttpService("other", app, hosts=["Payments.test"]))
