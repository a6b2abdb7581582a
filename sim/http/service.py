"""``HttpService``: an outside system that is a real ASGI application (FastAPI, Starlette, hand-written).

    def payments() -> HttpService:
        return HttpService("payments", make_app(), hosts=["payments.test"], effects={("POST", "/charges"): "order_id"})

It runs on a node of its own, with the same latency, limits, weather and ledger as the kit's services. ``httpx`` (async
and sync) and ``requests`` on other nodes reach it under its host names; the code that uses them stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from ...engine.core.errors import MisuseError
from ..services.errors import CallFailed, ConnectionLost, RateLimited, ServiceRefused, ServiceUnavailable
from ..services.host import ServiceCall, ServiceHost, working_on
from ..services.latency import Latency
from ..services.rate_limit import RateLimit
from ..services.service import Service
from .asgi import ASGIApp, Lifespan, respond
from .messages import HttpConnect, HttpRequest, HttpResponse, path_of

if TYPE_CHECKING:
    from ..network import Call
    from ..node import Incarnation
    from ..services.registry import Services

HttpKey = str | Callable[[HttpRequest], object]


@dataclass(slots=True, frozen=True)
class HttpEffect:
    """What a request does that matters.

    Args:
        key: What makes it the same logical effect as another request's: a name, looked up among the path's parameters
            (``/orders/{order}``), the fields of the JSON body and the query, in this order; or a function of the
            request.
        undoes: The operation (``POST /charges``) whose effect, of the same key, this one undoes.
    """

    key: HttpKey
    undoes: str = ""


class HttpService(Service):
    """An outside system that speaks HTTP.

    Args:
        name: Its name, and its node's.
        app: An ASGI 3 application. Its memory is durable: it is the same object after a crash of the node, and its
            lifespan runs once for each process. Make one for each run.
        hosts: The host names that it answers for; ``"payments.test:8080"`` is one port alone.
        effects: The requests that are written into the ledger when they succeed (status below 400), by method and path:
            ``{("POST", "/charges"): "order_id", ("DELETE", "/charges/{order_id}"): HttpEffect("order_id", undoes="POST
            /charges")}``. A handler can say that it changed nothing with ``no_effect``.
        latency: How long it takes before the app sees a request. Default: 1 to 10 milliseconds.
        rate_limit: How many requests it lets through before it answers 429 with ``Retry-After``. Default: all.
        idempotency_header: A header (``Idempotency-Key``) that is looked after for the app: a second request with the
            same key gets the stored response of the first that succeeded; with another content, 422. Default: the app's
            own business.
        state: What ``snapshot()`` returns, for the comparison of runs.
    """

    def __init__(
        self,
        name: str,
        app: ASGIApp,
        *,
        hosts: Sequence[str],
        effects: Mapping[tuple[str, str], HttpKey | HttpEffect] | None = None,
        latency: Latency | None = None,
        rate_limit: RateLimit | None = None,
        idempotency_header: str | None = None,
        state: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        if isinstance(hosts, str) or not hosts:
            raise MisuseError(f"HttpService({name!r}, hosts={hosts!r}): expected a list of host names")
        self.name = name
        self.app = app
        self.hosts = tuple(host.lower() for host in hosts)
        self.effects = [
            _Rule(method.upper(), path, effect if isinstance(effect, HttpEffect) else HttpEffect(effect))
            for (method, path), effect in (effects or {}).items()
        ]
        if latency is not None:
            self.latency = latency
        if rate_limit is not None:
            self.rate_limit = rate_limit
        self.idempotency_header = idempotency_header
        self._state = state

    @classmethod
    def client(cls, *, timeout: timedelta | None = None, name: str | None = None) -> Self:
        """HTTP services have no client of ours.

        Raises:
            MisuseError: Always.
        """
        raise MisuseError("an HttpService is reached with httpx or requests, under one of its host names")

    def snapshot(self) -> dict[str, Any]:
        """What the ``state`` function says."""
        return {} if self._state is None else dict(self._state())

    def _new_host(self, services: Services) -> HttpHost:
        return HttpHost(services, self)


class _Rule:
    """One entry of ``effects``."""

    __slots__ = ("effect", "method", "pattern", "title")

    def __init__(self, method: str, path: str, effect: HttpEffect) -> None:
        self.method = method
        self.title = f"{method} {path}"
        self.effect = effect
        parts = re.split(r"\{(\w+)\}", path)
        self.pattern = re.compile(
            "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        )

    def key_of(self, request: HttpRequest) -> str:
        key = self.effect.key
        value: object
        if callable(key):
            value = key(request)
        else:
            found = self.pattern.fullmatch(request.path)
            body = request.json()
            sources = [
                {} if found is None else found.groupdict(),
                body if isinstance(body, dict) else {},
                request.query,
            ]
            value = next((source[key] for source in sources if key in source), None)
        return "" if value is None else str(value)


@dataclass(slots=True)
class _StoredResponse:
    """What an idempotency key stands for; no response while its first request goes on in incarnation ``number``."""

    content: tuple[str, bytes, bytes]
    number: int
    response: HttpResponse | None = field(default=None)


class HttpHost(ServiceHost):
    """Hosts one ``HttpService``."""

    def __init__(self, services: Services, service: HttpService) -> None:
        super().__init__(services, service.name, latency=service.latency, rate_limit=service.rate_limit)
        self.service = service
        self._lifespan = Lifespan(service.app)
        self._replies: dict[tuple[str, str], _StoredResponse] = {}

    def addresses(self) -> list[str]:
        """The host names that it answers for."""
        return list(self.service.hosts)

    # --- its process ------------------------------------------------------------------------------------------------

    def started(self, machine: Incarnation) -> None:
        """Begin the application's lifespan."""
        lifespan = self._lifespan = Lifespan(self.service.app)
        machine.start_coroutine(lifespan.run(), f"{self.name} lifespan", lambda _: None)

    def stopping(self, machine: Incarnation, on_stopped: Callable[[], None]) -> None:
        """Let the application shut down."""
        machine.start_coroutine(
            self._lifespan.stop(), f"{self.name} shutdown", lambda _: machine.call_later(0, on_stopped)
        )

    # --- requests ---------------------------------------------------------------------------------------------------

    def opened(self, machine: Incarnation, net: Call) -> ServiceCall | None:
        """Read a request; a connection is accepted or refused at once."""
        body = net.body
        if isinstance(body, HttpConnect):
            connection = self._call(machine, net, body.method, body.path, None)
            if not self.conditions.any or not super().refuses_connection(connection):
                net.reply(True)
            return None
        if not isinstance(body, HttpRequest):
            net.reply(MisuseError(f"{self.name} is an HttpService: reach it with httpx or requests"))
            return None
        return self._call(machine, net, body.method, path_of(body.target), body.activity)

    def _call(self, machine: Incarnation, net: Call, method: str, path: str, activity: Any) -> ServiceCall:
        rule = next(
            (rule for rule in self.service.effects if rule.method == method and rule.pattern.fullmatch(path)), None
        )
        operation = f"{method} {path}" if rule is None else rule.title
        return ServiceCall(
            net,
            machine,
            operation,
            f"{self.name} {operation}",
            subject=rule,
            values=(),
            activity=activity,
            effectful=rule is not None,
        )

    def refuses_connection(self, call: ServiceCall) -> bool:
        """The connection stands already."""
        return False

    def key_of(self, call: ServiceCall) -> str:
        """The logical effect key."""
        rule: _Rule | None = call.subject
        request: Any = call.net.body
        return "" if rule is None else rule.key_of(request)

    def undoes(self, call: ServiceCall) -> str:
        """The operation whose effect this one undoes."""
        rule: _Rule | None = call.subject
        return "" if rule is None else rule.effect.undoes

    def rendered(self, error: CallFailed) -> object:
        """Refusals are responses; what happens to connections is no response."""
        if isinstance(error, ServiceUnavailable | ConnectionLost):
            return error
        if isinstance(error, RateLimited):
            seconds = -(-error.retry_after_us // 1_000_000)
            return HttpResponse.text(429, error.message, (b"retry-after", b"%d" % seconds))
        return HttpResponse.text(error.status if isinstance(error, ServiceRefused) else 500, error.message)

    def perform(self, call: ServiceCall) -> None:
        """Let the application answer, or find the stored response of the idempotency key."""
        request: Any = call.net.body
        header = self.service.idempotency_header
        key = None if header is None or request.method in ("GET", "HEAD", "OPTIONS") else request.header(header)
        stored: _StoredResponse | None = None
        if key is not None:
            content = (request.method, request.target, request.body)
            stored = self._replies.get((call.operation, key))
            if stored is not None and (stored.response is not None or stored.number == call.machine.number):
                self.performed(call, self._repeated(stored, content))
                return
            stored = self._replies[call.operation, key] = _StoredResponse(content, call.machine.number)

        def ended(task: Any) -> None:
            # Out of the loop first: what follows may end this very process.
            call.machine.call_later(0, self._conclude, call, key, stored, task)

        call.machine.busy_with(call.title)
        call.machine.start_coroutine(self._serve(call, request), call.title, ended)

    async def _serve(self, call: ServiceCall, request: HttpRequest) -> HttpResponse:
        lifespan = self._lifespan
        await lifespan.started()
        if lifespan.failure is not None:
            return HttpResponse.text(503, f"the startup of {self.name} failed: {lifespan.failure}")
        working_on.set(call)
        return await respond(self.service.app, request, client=call.source, state=lifespan.state)

    def _conclude(self, call: ServiceCall, key: str | None, stored: _StoredResponse | None, task: Any) -> None:
        error = RuntimeError("cancelled") if task.cancelled() else task.exception()
        request: Any = call.net.body
        if error is not None:
            self.broken.append(f"{call.title} raised {type(error).__name__}: {error}")
            call.machine.trace("service", self.broken[-1], call=call.net.number)
            response = HttpResponse.text(500, "Internal Server Error")
        else:
            response = task.result()
        succeeded = response.status < 400
        if stored is not None and succeeded:
            stored.response = response
        elif stored is not None:
            self._replies.pop((call.operation, str(key)), None)
        if succeeded and call.effectful and not call.without_effect:
            arguments = {"target": request.target.decode("ascii"), "body": request.body.decode("utf-8", "replace")}
            given = request.header(self.service.idempotency_header or "Idempotency-Key")
            self.applied(call, arguments, response.status, idempotency_key=given)
        self.performed(call, response)

    def _repeated(self, stored: _StoredResponse, content: tuple[str, bytes, bytes]) -> HttpResponse:
        if stored.content != content:
            return HttpResponse.text(422, "the idempotency key was used before with another request")
        if stored.response is None:
            return HttpResponse.text(409, "the first request with this idempotency key is still going on")
        self.ledger.repeats += 1
        return stored.response


__all__ = ["HttpEffect", "HttpHost", "HttpKey", "HttpService"]
