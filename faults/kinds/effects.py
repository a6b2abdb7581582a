"""What happens to single calls of outside systems: the work is done, and the caller learns something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from ...engine.core.errors import MisuseError
from ...sim.services import DuplicateRequest, ErrorsAfterEffect, Hang, LateEffect, ReplyLost
from ..kind import register
from ..units import MINUTE, SECOND, duration_text, ratio_text
from .services import ServiceFault

if TYPE_CHECKING:
    from ..draw import PlanDraw
    from ..strike import Strike
    from ..topology import Topology


@dataclass(frozen=True, slots=True)
class _EffectFault(ServiceFault):
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


__all__ = ["ActivityHang", "EffectLate", "EffectReplyLost", "EffectThenError", "RequestDuplicated"]
