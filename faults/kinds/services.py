"""What outside systems as a whole do for a while: they are down, slow, or refuse."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from ...engine.core.errors import MisuseError
from ...sim.services import Condition, Down, Errors, Hang, RateLimit, Slow, Throttled
from ..kind import LastingFault, register
from ..units import MINUTE, SECOND, duration_text, ratio_text

if TYPE_CHECKING:
    from ..draw import PlanDraw
    from ..strike import Strike
    from ..topology import Topology

Mode = Literal["refuse", "hang"]
MODES: tuple[Mode, ...] = ("refuse", "hang")


@dataclass(frozen=True, slots=True)
class ServiceFault(LastingFault):
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


@register
@dataclass(frozen=True, slots=True)
class ServiceOutage(ServiceFault):
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
class ServiceErrors(ServiceFault):
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
class ServiceSlowness(ServiceFault):
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
class ServiceRateLimit(ServiceFault):
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


__all__ = ["ServiceErrors", "ServiceFault", "ServiceOutage", "ServiceRateLimit", "ServiceSlowness"]
