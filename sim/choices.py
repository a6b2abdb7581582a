"""The one source of every nondeterministic decision of a run.

A draw has a *label*, ``"network.latency"``. What stands before the first ``"."`` is its *stream*: the words of a stream
are keyed blake2b blocks of seed and stream name, so that a further draw in one component does not shift another's, and
a stream costs nothing before its first draw (a ``random.Random`` costs 4 us each). Each draw takes exactly one word,
whether its value is then overridden or not. The n-th draw of a label has the *position* ``"network.latency#n"``
(n from 0), by which explorers and shrinkers override it. Everything is integer arithmetic: the same on every platform.

Every draw enters the digest as ``(label code, count, value)``; the code is the label's CRC-32, never ``hash()``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from struct import unpack
from typing import TypeVar
from zlib import crc32

from ..engine.core.errors import MisuseError
from .digest import DRAW, Digest

T = TypeVar("T")

_MASK_60 = (1 << 60) - 1
_SPREAD = 0x9E3779B97F4A7C15
COUNT_MAX = 1 << 62


class _Stream:
    """The words of one component: an endless, addressable sequence of 64-bit numbers."""

    __slots__ = ("_base", "_block", "words")

    def __init__(self, key: bytes, name: str) -> None:
        self._base = blake2b(name.encode(), key=key)
        self._block = 0
        self.words: list[int] = []

    def refill(self) -> None:
        block = self._base.copy()
        block.update(self._block.to_bytes(8, "little"))
        self._block += 1
        self.words.extend(unpack("<8Q", block.digest()))


class _Line:
    """All draws of one label."""

    __slots__ = ("code", "forced", "recorded", "stream", "values", "words")

    def __init__(self, code: int, stream: _Stream, recorded: Sequence[int], forced: dict[int, int]) -> None:
        self.code = code
        self.stream = stream
        self.words = stream.words
        self.values: list[int] = []
        self.recorded = recorded
        self.forced = forced


class Choices:
    """Draws of one run.

    Args:
        seed: Not negative. Equal seeds give equal runs.
        digest: Where draws are recorded; a private one by default.
        overrides: Position (``"label#n"``) -> value. A value beyond the count of its draw becomes the largest.
        recorded: ``record()`` of an earlier run: draws answer from it as far as it goes, then from the seed.
        journal: Keep every draw in order, in ``journal``, for explorers.

    Raises:
        MisuseError: Negative seed, or an override that isn't ``"label#n"`` -> value.
    """

    def __init__(
        self,
        seed: int,
        *,
        digest: Digest | None = None,
        overrides: Mapping[str, int] | None = None,
        recorded: Mapping[str, Sequence[int]] | None = None,
        journal: bool = False,
    ) -> None:
        if seed < 0:
            raise MisuseError(f"seed is {seed}: a seed is an integer that is not negative")
        self.seed = seed
        self.digest = digest if digest is not None else Digest()
        self.journal: list[tuple[str, int, int, int]] | None = [] if journal else None
        """``(label, n, count, value)`` of every draw in order, if asked for."""
        self._overrides = _by_label(overrides or {})
        self._recorded = recorded or {}
        data = seed.to_bytes((seed.bit_length() + 7) // 8, "little")
        self._key = data if len(data) <= 64 else blake2b(data).digest()
        self._streams: dict[str, _Stream] = {}
        self._lines: dict[str, _Line] = {}
        self._extend = self.digest.extend

    def draw(self, label: str, count: int) -> int:
        """One of ``range(count)``, all equally likely. Nothing is drawn (or recorded) where there is no choice.

        Raises:
            MisuseError: ``count`` is not in 1 ... 2**62.
        """
        if count <= 1 or count > COUNT_MAX:
            if count == 1:
                return 0
            raise MisuseError(f"draw({label!r}, {count}): the count must be 1 to 2**62")
        line = self._lines.get(label)
        if line is None:
            line = self._open(label)
        words = line.words
        if not words:
            line.stream.refill()
        value = words.pop() * count >> 64
        if line.forced or line.recorded:
            value = self._replaced(line, value, count)
        if self.journal is not None:
            self.journal.append((label, len(line.values), count, value))
        line.values.append(value)
        self._extend((DRAW, line.code, count, value))
        return value

    def drawer(self, label: str, count: int) -> Callable[[], int]:
        """``draw(label, count)`` as a function of its own, for draws that a run makes by the thousand."""
        if self.journal is not None or self._recorded or self._overrides:
            return partial(self.draw, label, count)
        line = self._lines.get(label) or self._open(label)
        words, values, extend, refill, code = line.words, line.values, self._extend, line.stream.refill, line.code

        def drawn() -> int:
            if not words:
                refill()
            value = words.pop() * count >> 64
            values.append(value)
            extend((DRAW, code, count, value))
            return value

        return drawn

    def chance(self, label: str, numerator: int, denominator: int) -> bool:
        """True with probability ``numerator / denominator``; the override 0 means true. Certainty is not drawn."""
        if numerator <= 0:
            return False
        if numerator >= denominator:
            return True
        return self.draw(label, denominator) < numerator

    def integer(self, label: str, low: int, high: int) -> int:
        """An integer ``low <= value <= high``."""
        return low + self.draw(label, high - low + 1)

    def pick(self, label: str, options: Sequence[T]) -> T:
        """One of the options (a sequence: sets have no order that a run could rely on)."""
        return options[self.draw(label, len(options))]

    def shuffled(self, label: str, options: Sequence[T]) -> list[T]:
        """The options in drawn order."""
        result = list(options)
        for last in range(len(result) - 1, 0, -1):
            other = self.draw(label, last + 1)
            result[last], result[other] = result[other], result[last]
        return result

    def log_uniform_us(self, label: str, low_us: int, high_us: int) -> int:
        """A duration ``low_us <= value <= high_us`` whose magnitude is uniform: latencies are of any order.

        Uniform within each power of two (integers only; logarithms differ between platforms).
        """
        low = _log2(max(low_us, 1))
        drawn = low + self.draw(label, _log2(max(high_us, 1)) - low + 1)
        value = ((1 << 16) + (drawn & 0xFFFF)) << (drawn >> 16) >> 16
        return min(max(value, low_us), high_us)

    def uuid(self, label: str) -> str:
        """A UUID (version 4 in form), from one draw of 62 bits."""
        value = self.draw(label, COUNT_MAX)
        text = f"{(value * _SPREAD) & _MASK_60:015x}{value:016x}"
        return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-{'89ab'[value >> 60]}{text[16:19]}-{text[19:]}"

    def workload(self, name: str = "workload") -> Workload:
        """Draws for a workload or a user's script, from a stream of its own."""
        return Workload(self, name)

    def record(self) -> dict[str, list[int]]:
        """Label -> the values drawn, in order. With it (``recorded=``) the run can be made again without its seed."""
        return {label: list(line.values) for label, line in self._lines.items()}

    def unused_overrides(self) -> list[str]:
        """Positions that were overridden but never drawn: the run took another way."""
        unused = []
        for label, forced in self._overrides.items():
            drawn = len(self._lines[label].values) if label in self._lines else 0
            unused += [f"{label}#{position}" for position in forced if position >= drawn]
        return unused

    def _open(self, label: str) -> _Line:
        name, code = _named(label)
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _Stream(self._key, name)
        self.digest.names[code] = label
        line = _Line(code, stream, self._recorded.get(label, ()), self._overrides.get(label, {}))
        self._lines[label] = line
        return line

    @staticmethod
    def _replaced(line: _Line, value: int, count: int) -> int:
        position = len(line.values)
        if position < len(line.recorded):
            value = line.recorded[position]
        value = line.forced.get(position, value)
        return min(value, count - 1)


class Workload:
    """``Choices`` with short names, for code that describes what users of a system do.

    All draws have labels ``"<name>.<purpose>"`` and do not shift any draw of the simulator.
    """

    __slots__ = ("_choices", "_name")

    def __init__(self, choices: Choices, name: str) -> None:
        if "." in name:
            raise MisuseError(f"workload name {name!r}: a name without '.' is expected, since '.' ends a stream's name")
        self._choices = choices
        self._name = name

    def chance(self, numerator: int, denominator: int, purpose: str = "chance") -> bool:
        """True with probability ``numerator / denominator``."""
        return self._choices.chance(f"{self._name}.{purpose}", numerator, denominator)

    def integer(self, low: int, high: int, purpose: str = "integer") -> int:
        """An integer ``low <= value <= high``."""
        return self._choices.integer(f"{self._name}.{purpose}", low, high)

    def pick(self, options: Sequence[T], purpose: str = "pick") -> T:
        """One of the options."""
        return self._choices.pick(f"{self._name}.{purpose}", options)

    def shuffled(self, options: Sequence[T], purpose: str = "shuffle") -> list[T]:
        """The options in drawn order."""
        return self._choices.shuffled(f"{self._name}.{purpose}", options)

    def duration_us(self, low_us: int, high_us: int, purpose: str = "duration") -> int:
        """A duration in microseconds whose magnitude is uniform."""
        return self._choices.log_uniform_us(f"{self._name}.{purpose}", low_us, high_us)

    def uuid(self, purpose: str = "uuid") -> str:
        """A UUID."""
        return self._choices.uuid(f"{self._name}.{purpose}")


@lru_cache(maxsize=1024)
def _named(label: str) -> tuple[str, int]:
    """A label's stream and code: a run opens some dozens of labels, and the next run the same ones."""
    return label.partition(".")[0], crc32(label.encode())


def _log2(value: int) -> int:
    """Logarithm in 16.16 fixed point, linear between powers of two."""
    exponent = value.bit_length() - 1
    return (exponent << 16) + ((value << 16) >> exponent) - (1 << 16)


def _by_label(overrides: Mapping[str, int]) -> dict[str, dict[int, int]]:
    result: dict[str, dict[int, int]] = {}
    for key, value in overrides.items():
        label, mark, position = key.rpartition("#")
        if not mark or not position.isdecimal() or value < 0:
            raise MisuseError(
                f"override {key!r}: {value!r}: expected a position and a value that is not negative, "
                f"such as 'network.loss#3': 0"
            )
        result.setdefault(label, {})[int(position)] = value
    return result
