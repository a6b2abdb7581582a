"""Durations and ratios as people write and read them: ``"1 h 30 min"``, ``"250 ms"``, ``"1/5"``."""

from __future__ import annotations

import re
from fractions import Fraction

MS = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS: tuple[tuple[str, int], ...] = (
    ("d", DAY),
    ("h", HOUR),
    ("min", MINUTE),
    ("s", SECOND),
    ("ms", MS),
    ("us", 1),
)
_BY_NAME: dict[str, int] = {**dict(_UNITS), "m": MINUTE, "µs": 1}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*")
_RATIO = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")


def parse_duration_us(text: str) -> int | None:
    """Microseconds of a text such as ``"1 h 30 min"``, ``"1.5 s"``, ``"250ms"``.

    Units are ``d``, ``h``, ``min`` (or ``m``), ``s``, ``ms`` and ``us``.

    Returns:
        The duration, or ``None`` where the text is none, or no whole number of microseconds.
    """
    total = Fraction(0)
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or match[2] not in _BY_NAME:
            return None
        total += Fraction(match[1]) * _BY_NAME[match[2]]
        position = match.end()
    return total.numerator if text.strip() and total.denominator == 1 else None


def duration_text(duration_us: int) -> str:
    """A duration for people: its two largest units. For exact values use the number itself."""
    parts: list[str] = []
    left_us = duration_us
    for name, size_us in _UNITS:
        amount, left_us = divmod(left_us, size_us)
        if amount:
            parts.append(f"{amount} {name}")
        if len(parts) == 2 or (parts and not amount):
            break
    return " ".join(parts) or "0 s"


def parse_ratio(text: str) -> Fraction | None:
    """A ratio such as ``"1/5"``; ``None`` where the text is none."""
    match = _RATIO.fullmatch(text)
    if match is None or int(match[2]) == 0:
        return None
    return Fraction(int(match[1]), int(match[2]))


def ratio_text(ratio: Fraction) -> str:
    """``"1/5"``; ``"2/1"`` for whole numbers, so that it is read back as a ratio."""
    return f"{ratio.numerator}/{ratio.denominator}"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``11th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "MS",
    "SECOND",
    "duration_text",
    "ordinal",
    "parse_duration_us",
    "parse_ratio",
    "ratio_text",
]
