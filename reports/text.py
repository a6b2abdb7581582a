"""Text from users on a terminal: nothing in it may move the cursor, colour the screen or turn the direction of text."""

from __future__ import annotations

import re

# Control characters (but newline and tab), marks and overrides of direction, invisible separators, surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain_text(text: str) -> str:
    """The text with everything that a terminal would act upon written as an escape sequence."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str, *, width_max: int | None = None) -> str:
    """Like ``plain_text``, on one line and cut to a width where one is given."""
    line = " ".join(plain_text(text).split())
    if width_max is not None and len(line) > width_max:
        return line[: max(width_max - 3, 1)] + "..."
    return line


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def duration(us: int) -> str:
    """A duration in the two largest units that say something: ``1 d 4 h``, ``3 min 5 s``, ``12.5 ms``."""
    if us < 0:
        return "-" + duration(-us)
    if us < 1_000:
        return f"{us} us"
    if us < 1_000_000:
        return f"{_trimmed(us, 1_000)} ms"
    if us < 60_000_000:
        return f"{_trimmed(us, 1_000_000)} s"
    units = (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000))
    parts: list[str] = []
    for name, size in units:
        count, us = divmod(us, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def _trimmed(us: int, unit: int) -> str:
    whole, rest = divmod(us, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}"[: len(str(whole)) + 4].rstrip("0").rstrip(".")


def counted(counts: dict[str, int], *, none: str = "none") -> str:
    """``outage 12, worker_crash 3``."""
    return ", ".join(f"{one_line(name)} {count}" for name, count in counts.items()) or none
