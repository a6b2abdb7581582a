"""What outside systems do: they are down, slow, refuse, or do the work and don't say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...engine.core.errors import MisuseError
from ...sim.services import (
    Condition,
    Down,
    DuplicateRequest,
    Errors,
    ErrorsAfterEffect,
    Hang,
    LateEffect,
    RateLimit,
    ReplyLost,
    Slow,
    Throttled,
)
from ..kind import LastingFault, register
from ..units import MINUTE, SECOND, duration_text, ratio_text

if TYPE_CHECKING:
    from ..draw import PlanDraw
    from ..strike import Strike
    from ..topology import Topology

Mode = Literal["refuse", "hang"]
MODES: tuple[Mode, ...] = ("refuse", "hang")


@dataclass(frozen=True, slots=True)
class _ServiceFault(LastingFault):
    """Base of what happens at an outside system.

    Args:
        service: The name of the service.
        operation: One of its operations (``charge``; ``POST /charges`` for HTTP). Default: all.
    """

    area: ClassVar[str] = "services"

    service: str
    operation: str = ""

    @property
    def title(self) -> str:
        """The service, or the one operation."""
        return f"{self.service}.{self.operation}" if self.operation else self.service

    def names(self) -> dict[str, str]:
        """The service."""
        return {self.service: "service"}

    @classmethod
    def applies(cls, topology: Topology) -> bool:
        """Where there is a service."""
        return bool(topology.services)


@dataclass(frozen=True, slots=True)
class _EffectFault(_ServiceFault):
    """Base of what happens to single calls that have an effect.

    Args:
        calls: How many calls are hit; then it is over. Default 1.
        duration_us: How long it waits for them. Default: until everything heals.
    """

    calls: int = 1
    duration_us: int | None = field(default=None, kw_only=True)

    def check(self) -> None:
        """At least one call."""
        if self.calls < 1:
            raise MisuseError(f"{self.kind}: calls is {self.calls}: expected 1 or more")

    def next_calls(self) -> str:
        """The calls that are hit, for sentences."""
        return f"the next call of {self.title}" if self.calls == 1 else f"the next {self.calls} calls of {self.title}"

    @classmethod
    def applies(cls, topology: Topology) -> bool:
        """Where a service applies effects."""
        return any(service.operations for service in topology.services)


@register
@dataclass(frozen=True, slots=True)
class ServiceOutage(_ServiceFault):
    """An outside system is down.

    In the real world: a failed deploy, a full disk, a dead data centre. Some systems say so (the connection is refused
    at once), others accept the connection and never answer, so that only a timeout tells.

    Applies to: calls that arrive while it lasts. They have no effect. Calls under way go on.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        mode: ``refuse`` (connection refused) or ``hang`` (accepted, never answered). Default ``refuse``.
    """

    kind: ClassVar[str] = "service_outage"
    weight: ClassVar[int] = 3

    mode: Mode = "refuse"

    def strike(self, strike: Strike) -> None:
        """The service goes down."""
        kind: type[Condition] = Down if self.mode == "refuse" else Hang
        strike.set_condition(self.service, kind(operation=self.operation))

    def sentence(self) -> str:
        """In plain words."""
        does = "refuses connections" if self.mode == "refuse" else "accepts calls and never answers them"
        return f"{self.title} {does} {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """Refusing and hanging equally often."""
        service, operation = draw.target()
        mode = draw.pick("mode", MODES)
        return cls(
            service,
            operation,
            mode=mode,
            when=draw.before_call(service, operation),
            duration_us=draw.duration_us(),
        )


@register
@dataclass(frozen=True, slots=True)
class ServiceErrors(_ServiceFault):
    """A share of the calls of an outside system fails (a brownout); nothing has happened for those.

    In the real world: one bad instance behind a load balancer, an overloaded database, a dependency that is down.

    Applies to: calls that arrive while it lasts.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        ratio: The share of calls that fails. Default 1/2.
        status: The answer's status, as in HTTP. From 500 on another try may help; below 500 it is the caller's fault,
            and no try will. Default 503.
    """

    kind: ClassVar[str] = "service_errors"
    weight: ClassVar[int] = 3

    ratio: Fraction = Fraction(1, 2)
    status: int = 503

    def check(self) -> None:
        """An error's status."""
        if not 400 <= self.status <= 599:
            raise MisuseError(f"{self.kind}: status is {self.status}: expected an HTTP error, from 400 to 599")

    def strike(self, strike: Strike) -> None:
        """Calls begin to fail."""
        numerator, denominator = self.ratio.as_integer_ratio()
        condition = Errors(operation=self.operation, numerator=numerator, denominator=denominator, status=self.status)
        strike.set_condition(self.service, condition)

    def sentence(self) -> str:
        """In plain words."""
        return f"{ratio_text(self.ratio)} of the calls of {self.title} fail with {self.status} {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """Retryable errors only: a service that answers 4xx to a sound request is no weather."""
        service, operation = draw.target()
        return cls(
            service,
            operation,
            ratio=draw.ratio(),
            status=draw.pick("status", (500, 502, 503)),
            when=draw.before_call(service, operation),
            duration_us=draw.duration_us(),
        )


@register
@dataclass(frozen=True, slots=True)
class ServiceSlowness(_ServiceFault):
    """An outside system takes longer.

    In the real world: a cold cache, a missing index, garbage collection, a noisy neighbour.

    Applies to: calls that arrive while it lasts. They have their effect when they are done, whether or not their caller
    still waits.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        factor: How many times as long calls take. Default 10/1.
        extra_us: Microseconds on top of that. Default 0.
    """

    kind: ClassVar[str] = "service_slowness"
    weight: ClassVar[int] = 2

    factor: Fraction = Fraction(10)
    extra_us: int = 0

    def strike(self, strike: Strike) -> None:
        """Calls begin to take longer."""
        numerator, denominator = self.factor.as_integer_ratio()
        condition = Slow(
            operation=self.operation,
            factor_numerator=numerator,
            factor_denominator=denominator,
            extra_us=self.extra_us,
        )
        strike.set_condition(self.service, condition)

    def sentence(self) -> str:
        """In plain words."""
        more = f" and {duration_text(self.extra_us)} more" if self.extra_us else ""
        return f"calls of {self.title} take {ratio_text(self.factor)} times as long{more} {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """A little slower to hopelessly slow."""
        service, operation = draw.target()
        return cls(
            service,
            operation,
            factor=draw.pick("factor", (Fraction(1), Fraction(3, 2), Fraction(3), Fraction(10), Fraction(100))),
            extra_us=draw.spread_us("extra", 1_000, 2 * MINUTE),
            when=draw.before_call(service, operation),
            duration_us=draw.duration_us(),
        )


@register
@dataclass(frozen=True, slots=True)
class ServiceRateLimit(_ServiceFault):
    """An outside system lets fewer calls through than usual.

    In the real world: a quota shared with other customers, a limit lowered in an incident, an API gateway's protection.

    Applies to: calls that arrive while it lasts; those beyond the limit are refused (429) with a time to come back, and
    have no effect.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        calls: How many calls are let through ... Default 1.
        per_us: ... in this many microseconds. Default 1 s.
    """

    kind: ClassVar[str] = "service_rate_limit"
    weight: ClassVar[int] = 2

    calls: int = 1
    per_us: int = SECOND

    def check(self) -> None:
        """A limit that lets something through."""
        if self.calls < 1 or self.per_us < 1:
            raise MisuseError(f"{self.kind}: {self.calls} calls in {self.per_us} us: expected at least 1 in at least 1")

    def strike(self, strike: Strike) -> None:
        """The limit begins to hold, with a full bucket."""
        limit = RateLimit(self.calls, self.per_us)
        strike.set_condition(self.service, Throttled(operation=self.operation, rate_limit=limit))

    def sentence(self) -> str:
        """In plain words."""
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        return f"{self.title} lets {calls} in {duration_text(self.per_us)} through {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """From one call in ten milliseconds to one in a minute, a few at once."""
        service, operation = draw.target()
        return cls(
            service,
            operation,
            calls=draw.integer("calls", 1, 5),
            per_us=draw.spread_us("per", 10_000, MINUTE),
            when=draw.before_call(service, operation),
            duration_us=draw.duration_us(),
        )


@register
@dataclass(frozen=True, slots=True)
class EffectReplyLost(_EffectFault):
    """The effect is applied, and the reply never comes.

    In the real world: the connection dies between the commit at the other side and its answer; a proxy is restarted.
    The caller can't tell it from a call that never arrived.

    Applies to: calls that have been carried out and are about to be answered.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        calls: How many replies are lost; then it is over. Default 1.
        ratio: The share of replies that is lost until then. Default 1/1.
        reset: Whether the caller sees its connection break at once; otherwise only its own timeout tells it. Default
            no.
        duration_us: How long it waits for such calls. Default: until everything heals.
    """

    kind: ClassVar[str] = "effect_reply_lost"
    weight: ClassVar[int] = 4

    ratio: Fraction = Fraction(1)
    reset: bool = False

    def strike(self, strike: Strike) -> None:
        """Replies begin to get lost."""
        numerator, denominator = self.ratio.as_integer_ratio()
        condition = ReplyLost(
            operation=self.operation,
            numerator=numerator,
            denominator=denominator,
            times=self.calls,
            reset=self.reset,
        )
        strike.set_condition(self.service, condition)

    def sentence(self) -> str:
        """In plain words."""
        share = "" if self.ratio == 1 else f" ({ratio_text(self.ratio)} of them)"
        how = " and its connection is reset" if self.reset else ""
        return f"the reply to {self.next_calls()} is lost after the effect{how}{share}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One to three replies, often exactly after a certain effect."""
        service, operation = draw.effect()
        return cls(
            service,
            operation,
            calls=draw.pick("lost_calls", (1, 1, 1, 2, 3)),
            ratio=draw.pick("lost_ratio", (Fraction(1), Fraction(1), Fraction(1, 2))),
            reset=draw.chance("reset", 1, 2),
            when=draw.at_effect(service, operation),
        )


@register
@dataclass(frozen=True, slots=True)
class EffectThenError(_EffectFault):
    """The effect is applied, and the answer is an error.

    In the real world: a service commits and then fails while it writes its answer, or calls something else that fails.

    Applies to: calls that have been carried out and are about to be answered.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        calls: How many calls are hit; then it is over. Default 1.
        status: The answer's status, as in HTTP. Default 500.
        duration_us: How long it waits for such calls. Default: until everything heals.
    """

    kind: ClassVar[str] = "effect_then_error"
    weight: ClassVar[int] = 2

    status: int = 500

    def check(self) -> None:
        """An error's status."""
        if self.calls < 1:
            raise MisuseError(f"{self.kind}: calls is {self.calls}: expected 1 or more")
        if not 500 <= self.status <= 599:
            raise MisuseError(f"{self.kind}: status is {self.status}: expected a server's error, from 500 to 599")

    def strike(self, strike: Strike) -> None:
        """Answers begin to be errors."""
        condition = ErrorsAfterEffect(operation=self.operation, times=self.calls, status=self.status)
        strike.set_condition(self.service, condition)

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.next_calls()} answers {self.status} although the effect is applied"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One or two calls."""
        service, operation = draw.effect()
        status = draw.pick("late_status", (500, 502, 503))
        return cls(
            service,
            operation,
            calls=draw.integer("error_calls", 1, 2),
            status=status,
            when=draw.at_effect(service, operation),
        )


@register
@dataclass(frozen=True, slots=True)
class EffectLate(_EffectFault):
    """The caller is told that it took too long, and the effect is applied nevertheless, later.

    In the real world: a gateway gives up (504) on a request that its backend goes on with; a queue in between.

    Applies to: calls that are about to be carried out.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        calls: How many calls are hit; then it is over. Default 1.
        delay_us: Microseconds from the answer to the effect. Default 30 s.
        duration_us: How long it waits for such calls. Default: until everything heals.
    """

    kind: ClassVar[str] = "effect_late"
    weight: ClassVar[int] = 2

    delay_us: int = 30 * SECOND

    def strike(self, strike: Strike) -> None:
        """Effects begin to come late."""
        condition = LateEffect(operation=self.operation, times=self.calls, delay_us=self.delay_us)
        strike.set_condition(self.service, condition)

    def lasts_us(self) -> int:
        """Until the last effect that it holds back."""
        return (self.duration_us or 0) + self.delay_us

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.next_calls()} answers 504, and the effect is applied {duration_text(self.delay_us)} later"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One or two calls; the effect comes milliseconds to ten minutes late."""
        service, operation = draw.effect()
        return cls(
            service,
            operation,
            calls=draw.integer("late_calls", 1, 2),
            delay_us=draw.spread_us("late", 1_000, 10 * MINUTE),
            when=draw.before_call(service, operation),
        )


@register
@dataclass(frozen=True, slots=True)
class RequestDuplicated(_EffectFault):
    """A request reaches the outside system twice.

    In the real world: a proxy or an HTTP client that sends a request again when a connection breaks, as many do
    unasked; at-least-once delivery in between. The caller hears the first answer.

    Applies to: requests that arrive.

    Args:
        service: The name of the service.
        operation: One of its operations. Default: all.
        calls: How many requests are doubled; then it is over. Default 1.
        after_us: Microseconds from the first to the second. Default 10 ms.
        duration_us: How long it waits for such calls. Default: until everything heals.
    """

    kind: ClassVar[str] = "request_duplicated"
    weight: ClassVar[int] = 1

    after_us: int = 10_000

    def strike(self, strike: Strike) -> None:
        """Requests begin to come twice."""
        condition = DuplicateRequest(operation=self.operation, times=self.calls, after_us=self.after_us)
        strike.set_condition(self.service, condition)

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.next_calls()} arrives twice, {duration_text(self.after_us)} apart"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One request."""
        service, operation = draw.effect()
        return cls(
            service,
            operation,
            after_us=draw.spread_us("again", 1, 10 * SECOND),
            when=draw.before_call(service, operation),
        )


@register
@dataclass(frozen=True, slots=True)
class ActivityHang(_EffectFault):
    """An activity attempt hangs for ever: its call is accepted, never answered, and has no effect.

    In the real world: a half-open connection, a deadlock at the other side, a stuck connection pool. Without a timeout
    of its own the attempt waits until the engine gives up on it, and keeps its worker's slot meanwhile.

    Applies to: calls that arrive. To hit a certain attempt, let it strike at ``activity.started``.

    Args:
        service: The name of the service that is called.
        operation: One of its operations. Default: all.
        calls: How many calls hang; then it is over. Default 1.
        duration_us: How long it waits for such calls. Default: until everything heals.
    """

    kind: ClassVar[str] = "activity_hang"
    weight: ClassVar[int] = 3

    def strike(self, strike: Strike) -> None:
        """The next call hangs."""
        strike.set_condition(self.service, Hang(operation=self.operation, times=self.calls))

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.next_calls()} is never answered and has no effect"

    @classmethod
    def applies(cls, topology: Topology) -> bool:
        """Where there is a service."""
        return bool(topology.services)

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One call, often the first one of a certain attempt."""
        service, operation = draw.target()
        return cls(service, operation, when=draw.before_call(service, operation))


__all__ = [
    "ActivityHang",
    "EffectLate",
    "EffectReplyLost",
    "EffectThenError",
    "RequestDuplicated",
    "ServiceErrors",
    "ServiceOutage",
    "ServiceRateLimit",
    "ServiceSlowness",
]
