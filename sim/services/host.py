"""The other side of a call: what every outside system does with a request, whatever it is made of.

A request goes through these steps, each in one kernel event::

    received ── duplicated? ── down? ── hangs? ── rate limit ── error? ── latency (slowed?) ── given up by a gateway?
    ── point service.before_effect ── the effect, at one instant ── point service.after_effect
    ── error after the effect? ── reply lost? ── reply

Nothing stops a request on its way when its caller dies or gives up: the effect comes late, as in reality. What the
service itself keeps (state, ledger, idempotency keys) is durable: a crash of its node loses the calls in flight only.
The first point is reached by calls that may have an effect, the second by those that had; ``Services.current_call`` is
the call then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from .conditions import (
    Condition,
    Down,
    DuplicateRequest,
    Errors,
    ErrorsAfterEffect,
    Hang,
    LateEffect,
    ReplyLost,
    ServiceConditions,
    Slow,
    Throttled,
)
from .errors import CallFailed, ConnectionLost, RateLimited, ServiceRefused, ServiceUnavailable
from .latency import Latency
from .ledger import Caller, Effect, EffectLedger
from .rate_limit import RateLimit, TokenBucket

if TYPE_CHECKING:
    from ..choices import Workload
    from ..network import Call
    from ..node import Incarnation
    from .registry import Services

T = TypeVar("T")


class ServiceCall:
    """One request at an outside system.

    Attributes:
        operation: What was called: ``charge``, or ``POST /charges``.
        title: The same with the service's name: ``payments.charge``.
        net: The request as it arrived.
        machine: The process that works on it.
        activity: ``activity.Info`` of the calling activity, if an activity called.
        key: The logical effect key, from just before the effect on; empty until then, or where there is none.
        effectful: Whether it may have an effect that is written into the ledger.
        without_effect: The operation said that this call changed nothing (``no_effect``).
        effect: What was written into the ledger for it.
    """

    __slots__ = (
        "activity",
        "effect",
        "effectful",
        "key",
        "machine",
        "net",
        "operation",
        "subject",
        "title",
        "values",
        "without_effect",
    )

    def __init__(
        self,
        net: Call,
        machine: Incarnation,
        operation: str,
        title: str,
        *,
        subject: Any,
        values: tuple[Any, ...],
        activity: Any,
        effectful: bool,
    ) -> None:
        self.net = net
        self.machine = machine
        self.operation = operation
        self.title = title
        self.subject = subject
        self.values = values
        self.activity = activity
        self.effectful = effectful
        self.key = ""
        self.without_effect = False
        self.effect: Effect | None = None

    @property
    def source(self) -> str:
        """The node that called."""
        return self.net.source

    @property
    def workflow_id(self) -> str:
        """The workflow whose activity called; empty where no activity did."""
        return "" if self.activity is None else str(self.activity.workflow_id or "")

    def caller(self) -> Caller:
        """Who called, for the ledger."""
        info = self.activity
        if info is None:
            return Caller(self.net.source)
        return Caller(
            self.net.source,
            info.workflow_id or "",
            info.workflow_run_id or "",
            info.activity_id,
            info.activity_type,
            info.attempt,
        )


working_on: ContextVar[ServiceCall | None] = ContextVar("stormproof_service_call", default=None)
"""The call that the running code of a service works on."""


def no_effect(reply: T) -> T:
    """Say, in an operation, that this call changed nothing: it is not written into the ledger. Returns ``reply``.

    For operations that find by themselves that the work was done before (``return no_effect(self.receipts[order])``).
    """
    call = working_on.get()
    if call is not None:
        call.without_effect = True
    return reply


class ServiceHost(ABC):
    """One outside system in one world: its durable side. ``program`` is what runs on its node.

    Args:
        services: The outside systems of its world.
        name: The name of the service, and of its node.
        latency: How long a call takes.
        rate_limit: How many calls are let through; ``None``: all.
    """

    def __init__(self, services: Services, name: str, *, latency: Latency, rate_limit: RateLimit | None) -> None:
        self.services = services
        self.world = services.world
        self.name = name
        self.latency = latency
        self.conditions = ServiceConditions(name, self.world.choices)
        self.ledger = EffectLedger(name)
        self.draws: Workload = self.world.choices.workload(f"operations-{name}")
        self.calls = 0
        """Requests that arrived."""
        self.broken: list[str] = []
        """What operations raised without declaring it, oldest first: mostly mistakes in the fake itself."""
        self._bucket = None if rate_limit is None else TokenBucket(rate_limit, self.now_us)

    @property
    def now_us(self) -> int:
        """True time, in microseconds since the Unix epoch."""
        return self.world.kernel.now_us

    def program(self, machine: Incarnation) -> ServiceProgram:
        """What runs in one incarnation of the service's node."""
        return ServiceProgram(self, machine)

    # --- what the kinds of services differ in -----------------------------------------------------------------------

    @abstractmethod
    def opened(self, machine: Incarnation, net: Call) -> ServiceCall | None:
        """Read a request; ``None``: it was answered already."""

    @abstractmethod
    def perform(self, call: ServiceCall) -> None:
        """Do what was asked, then call ``performed``, now or later."""

    def latency_of(self, call: ServiceCall) -> int:
        """How long this call takes, drawn."""
        return self.latency.draw_us(self.world.choices, f"service-{self.name}.latency")

    def bucket_of(self, call: ServiceCall) -> TokenBucket | None:
        """A rate limit of the operation's own."""
        return None

    def key_of(self, call: ServiceCall) -> str:
        """The logical effect key of a call that may have an effect."""
        return ""

    def addresses(self) -> list[str]:
        """The host names that it answers for."""
        return []

    def rendered(self, error: CallFailed) -> object:
        """How the caller is told of an error."""
        return error

    def started(self, machine: Incarnation) -> None:  # noqa: B027  # most kinds have nothing to do then
        """The service's process has started."""

    def stopping(self, machine: Incarnation, on_stopped: Callable[[], None]) -> None:
        """The service's process is asked to end."""
        on_stopped()

    # --- the way of a request ---------------------------------------------------------------------------------------

    def receive(self, machine: Incarnation, net: Call) -> None:
        """A request has arrived."""
        self.calls += 1
        call = self.opened(machine, net)
        if call is None:
            return
        if self.conditions.any:
            doubled = self.conditions.first_biting(DuplicateRequest, call)
            if doubled is not None:
                again = self.opened(machine, net)
                assert again is not None
                machine.call_later(doubled.after_us, self._begin, again)
        self._begin(call)

    def _begin(self, call: ServiceCall) -> None:
        weather = self.conditions
        if weather.any and (self.refuses_connection(call) or self._hangs(call)):
            return
        if self._rate_limited(call):
            return
        if weather.any:
            errors = weather.first_biting(Errors, call)
            if errors is not None:
                self.answer(call, self._refusal(call, errors.status, "the service has an outage"))
                return
        delay_us = self.latency_of(call)
        if weather.any:
            delay_us = self._slowed(call, delay_us)
        call.machine.call_later(delay_us, self._work, call)

    def _work(self, call: ServiceCall) -> None:
        if self.conditions.any:
            late = self.conditions.first_biting(LateEffect, call)
            if late is not None:
                self.answer(call, self._refusal(call, late.status, "the gateway gave up waiting"))
                call.machine.call_later(late.delay_us, self._apply, call)
                return
        self._apply(call)

    def _apply(self, call: ServiceCall) -> None:
        if call.effectful:
            call.key = self.key_of(call)
            self._reach("service.before_effect", call)
        self.perform(call)

    def performed(self, call: ServiceCall, reply: Any) -> None:
        """The work is done (its effect is in the ledger) or was refused; ``reply`` says which."""
        if call.effect is not None:
            self._reach("service.after_effect", call)
        weather = self.conditions
        if weather.any:
            errors = weather.first_biting(ErrorsAfterEffect, call)
            if errors is not None:
                reply = self._refusal(call, errors.status, "the service failed")
            lost = weather.first_biting(ReplyLost, call)
            if lost is not None and not lost.reset:
                call.machine.trace("service", f"{call.title}: the reply is lost", call=call.net.number)
                return
            if lost is not None:
                reply = ConnectionLost(f"{call.title}: the connection was reset", self.name, call.operation)
        self.answer(call, reply)

    def answer(self, call: ServiceCall, reply: Any) -> None:
        """Send the reply of a call."""
        if isinstance(reply, CallFailed):
            call.machine.trace("service", f"{call.title}: {type(reply).__name__}: {reply}", call=call.net.number)
            reply = self.rendered(reply)
        call.net.reply(reply)

    def applied(
        self, call: ServiceCall, arguments: dict[str, Any], result: Any, *, idempotency_key: str | None
    ) -> None:
        """Write the effect of a call into the ledger, now."""
        effects = self.ledger.effects
        call.effect = Effect(
            len(effects) + 1,
            self.now_us,
            self.name,
            call.operation,
            call.key,
            arguments,
            idempotency_key,
            self.undoes(call),
            result,
            call.caller(),
            call.net.number,
            call.net.sent_us,
        )
        self.ledger.add(call.effect)
        call.machine.trace("effect", call.title, key=call.key, call=call.net.number)

    def undoes(self, call: ServiceCall) -> str:
        """The operation whose effect this one undoes."""
        return ""

    # --- weather ----------------------------------------------------------------------------------------------------

    def refuses_connection(self, call: ServiceCall) -> bool:
        """Whether the service is down for this call, which is then answered."""
        if self.conditions.first_biting(Down, call) is None:
            return False
        self.answer(call, ServiceUnavailable(f"{self.name} refuses connections", self.name, call.operation))
        return True

    def _hangs(self, call: ServiceCall) -> bool:
        if self.conditions.first_biting(Hang, call) is None:
            return False
        call.machine.trace("service", f"{call.title}: hangs, and never answers", call=call.net.number)
        return True

    def _rate_limited(self, call: ServiceCall) -> bool:
        """Whether the call comes too early, by the operation's limit, the service's, or the weather's."""
        own = self.bucket_of(call)
        weather = self.conditions
        if own is None and self._bucket is None and not weather.any:
            return False
        now_us = self.now_us
        limits: list[tuple[TokenBucket | None, Condition | None]] = [(own, None), (self._bucket, None)]
        if weather.any:
            for condition in weather.candidates(Throttled, call):
                if condition.bucket is None:
                    condition.bucket = TokenBucket(condition.rate_limit, now_us)
                limits.append((condition.bucket, condition))
        for bucket, throttled in limits:
            retry_after_us = 0 if bucket is None else bucket.take(now_us)
            if retry_after_us:
                if throttled is not None:
                    weather.bite(throttled, call)
                message = f"{self.name} has had too many calls, try again in {retry_after_us} microseconds"
                self.answer(
                    call, RateLimited(message, self.name, call.operation, status=429, retry_after_us=retry_after_us)
                )
                return True
        return False

    def _slowed(self, call: ServiceCall, delay_us: int) -> int:
        weather = self.conditions
        for slow in weather.candidates(Slow, call):
            if weather.drawn(slow):
                weather.bite(slow, call)
                delay_us = delay_us * slow.factor_numerator // slow.factor_denominator + slow.extra_us
        return delay_us

    def _refusal(self, call: ServiceCall, status: int, why: str) -> ServiceRefused:
        return ServiceRefused(f"{self.name}: {why}", self.name, call.operation, status)

    def _reach(self, point: str, call: ServiceCall) -> None:
        services = self.services
        services.current_call = call
        try:
            call.machine.reach(point, call.title, call.key)
        finally:
            services.current_call = None


class ServiceProgram:
    """What runs on a service's node: the volatile side of a service."""

    __slots__ = ("_host", "_machine")

    def __init__(self, host: ServiceHost, machine: Incarnation) -> None:
        self._host = host
        self._machine = machine

    def start(self) -> None:
        """The process has started."""
        self._host.started(self._machine)

    def receive(self, call: Call) -> None:
        """A request has arrived."""
        self._host.receive(self._machine, call)

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """End in an orderly way."""
        self._host.stopping(self._machine, on_stopped)

    def abandon(self) -> None:
        """The process has died: its calls in flight died with it, the rest is durable."""

    def connection_lost(self, source: str) -> None:
        """A caller is gone: its requests go on."""


__all__ = ["ServiceCall", "ServiceHost", "ServiceProgram", "no_effect", "working_on"]
