"""The weather at an outside system: what faults do to it, as data that is set and cleared.

Conditions stack. At each step of a call (``host.py`` lists them in order) those of one kind are asked in the order in
which they were set; where only one can decide (refuse or not), the first that bites does. A condition *bites* when it
really changes a call, and says so to ``on_bite``: a fault that was planned but bit nobody has not fired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ...engine.core.errors import MisuseError
from ..choices import Choices
from .rate_limit import RateLimit, TokenBucket

if TYPE_CHECKING:
    from .host import ServiceCall

    OnBite = Callable[["Condition", ServiceCall], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Condition:
    """What all conditions have.

    Args:
        operation: The operation that it is about (``charge``; ``POST /charges`` for HTTP); empty: all.
        numerator: It bites with probability ``numerator / denominator`` (certainly, by default).
        denominator: See ``numerator``.
        times: How often it may bite; ``None``: as long as it is set.
        on_bite: Called when it bites, with the condition and the call.
    """

    kind: ClassVar[str] = ""
    operation: str = ""
    numerator: int = 1
    denominator: int = 1
    times: int | None = None
    on_bite: OnBite | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.numerator <= self.denominator or self.denominator < 1:
            raise MisuseError(
                f"{type(self).__name__} with probability {self.numerator}/{self.denominator}: expected a ratio of "
                "whole numbers from 0/1 to 1/1"
            )


@dataclass(slots=True, kw_only=True, eq=False)
class Down(Condition):
    """Connections are refused. Calls that were accepted before go on."""

    kind = "down"


@dataclass(slots=True, kw_only=True, eq=False)
class Hang(Condition):
    """The call is accepted and never answered, and has no effect."""

    kind = "hang"


@dataclass(slots=True, kw_only=True, eq=False)
class Throttled(Condition):
    """A tighter rate limit than the service's own; its bucket is full when the condition is set."""

    kind = "throttled"
    rate_limit: RateLimit
    bucket: TokenBucket | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Errors(Condition):
    """Calls fail with ``status``, and nothing has happened."""

    kind = "errors"
    status: int = 503


@dataclass(slots=True, kw_only=True, eq=False)
class ErrorsAfterEffect(Condition):
    """Calls fail with ``status``, although their effect is applied."""

    kind = "errors_after_effect"
    status: int = 500


@dataclass(slots=True, kw_only=True, eq=False)
class Slow(Condition):
    """Calls take ``factor_numerator / factor_denominator`` times as long, and ``extra_us`` more."""

    kind = "slow"
    factor_numerator: int = 1
    factor_denominator: int = 1
    extra_us: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class ReplyLost(Condition):
    """The effect is applied, and the caller never hears of it; ``reset``: its connection breaks instead."""

    kind = "reply_lost"
    reset: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class DuplicateRequest(Condition):
    """The request comes twice (a proxy sent it again), ``after_us`` apart; the caller hears the first answer."""

    kind = "duplicate"
    after_us: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class LateEffect(Condition):
    """A gateway gives up and answers ``status``; the effect is applied nevertheless, ``delay_us`` later."""

    kind = "late_effect"
    delay_us: int = 60_000_000
    status: int = 504


C = TypeVar("C", bound=Condition)


class ServiceConditions:
    """The conditions of one service. ``any`` is False in fine weather, which is all that a call then looks at.

    Args:
        service: The name of the service.
        choices: Where it is drawn whether a condition bites.
    """

    __slots__ = ("_active", "_choices", "_label", "_service", "any")

    def __init__(self, service: str, choices: Choices) -> None:
        self._service = service
        self._label = f"weather-{service}."
        self._choices = choices
        self._active: list[Condition] = []
        self.any = False

    @property
    def active(self) -> tuple[Condition, ...]:
        """Those that are set, in the order in which they were."""
        return tuple(self._active)

    def set(self, condition: C) -> C:
        """From now on it holds. Returns it, for ``clear``."""
        assert all(other is not condition for other in self._active), "this condition is set already"
        self._active.append(condition)
        self.any = True
        return condition

    def clear(self, condition: Condition) -> None:
        """It holds no longer. Does nothing if it did not."""
        self._active = [other for other in self._active if other is not condition]
        self.any = bool(self._active)

    def clear_all(self) -> None:
        """Fine weather."""
        self._active.clear()
        self.any = False

    def candidates(self, kind: type[C], call: ServiceCall) -> list[C]:
        """Conditions of one kind that are about this call and not used up, in order."""
        operation = call.operation
        return [
            condition
            for condition in self._active
            if type(condition) is kind and condition.operation in ("", operation) and condition.times != 0
        ]

    def first_biting(self, kind: type[C], call: ServiceCall) -> C | None:
        """The first condition of a kind that bites this call."""
        for condition in self.candidates(kind, call):
            if self.drawn(condition):
                self.bite(condition, call)
                return condition
        return None

    def drawn(self, condition: Condition) -> bool:
        """Whether it happens this time."""
        return self._choices.chance(self._label + condition.kind, condition.numerator, condition.denominator)

    def bite(self, condition: Condition, call: ServiceCall) -> None:
        """It really changes this call."""
        if condition.times is not None:
            condition.times -= 1
        if condition.on_bite is not None:
            condition.on_bite(condition, call)


__all__ = [
    "Condition",
    "Down",
    "DuplicateRequest",
    "Errors",
    "ErrorsAfterEffect",
    "Hang",
    "LateEffect",
    "ReplyLost",
    "ServiceConditions",
    "Slow",
    "Throttled",
]
