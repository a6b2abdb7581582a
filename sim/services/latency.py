"""How long an outside system works on a call: distributions in integer microseconds, drawn from the world's choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...engine.core.errors import MisuseError
from ..choices import Choices

Shape = Literal["fixed", "uniform", "log_uniform", "long_tail"]


@dataclass(slots=True, frozen=True)
class Latency:
    """A distribution of durations; made by the class methods. The network's own latency comes on top of it."""

    shape: Shape
    low_us: int
    high_us: int
    typical_us: int = 0

    @classmethod
    def none(cls) -> Latency:
        """The service answers at once."""
        return cls("fixed", 0, 0)

    @classmethod
    def fixed_us(cls, duration_us: int) -> Latency:
        """Always the same."""
        return cls("fixed", _checked(duration_us), duration_us)

    @classmethod
    def between_us(cls, low_us: int, high_us: int) -> Latency:
        """Any duration of the range is equally likely."""
        return cls("uniform", _checked(low_us), _checked(high_us, low_us))

    @classmethod
    def log_between_us(cls, low_us: int, high_us: int) -> Latency:
        """Any order of magnitude of the range is equally likely: mostly short, sometimes very long."""
        return cls("log_uniform", _checked(low_us), _checked(high_us, low_us))

    @classmethod
    def long_tail_us(cls, typical_us: int, worst_us: int) -> Latency:
        """Like most real systems: a long tail, roughly log-normal.

        15 of 16 calls take half to 1.5 times ``typical_us``, the others anything from there to ``worst_us``, each order
        of magnitude equally likely.
        """
        low_us = _checked(typical_us) // 2
        return cls("long_tail", low_us, _checked(worst_us, typical_us + low_us), typical_us)

    def draw_us(self, choices: Choices, label: str) -> int:
        """One duration. Nothing is drawn where there is only one."""
        shape = self.shape
        if shape == "uniform":
            return self.low_us + choices.draw(label, self.high_us - self.low_us + 1)
        if shape == "fixed":
            return self.low_us
        if shape == "log_uniform":
            return choices.log_uniform_us(label, self.low_us, self.high_us)
        usual_us = self.typical_us + self.low_us
        if choices.draw(label, 16) < 15:
            return choices.integer(label, self.low_us, usual_us)
        return choices.log_uniform_us(label, usual_us, self.high_us)


def _checked(duration_us: int, least_us: int = 0) -> int:
    if isinstance(duration_us, bool) or not isinstance(duration_us, int) or duration_us < least_us:
        raise MisuseError(f"a latency of {duration_us!r}: expected a whole number of microseconds, at least {least_us}")
    return duration_us


__all__ = ["Latency"]
