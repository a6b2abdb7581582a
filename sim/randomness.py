"""Randomness of code on a node: ``random``, ``uuid``, ``secrets`` and ``os.urandom`` answer from the seed.

Activities and clients draw idempotency keys with ``uuid4`` and jitter with ``random``; that is nobody's mistake, and a
run is to be made again from its seed all the same. So in a simulated process these come from a generator of its own,
which is seeded by one draw (``random.<node>``) when it is first used. A process that starts again draws anew, and
workflow code that uses them gets other numbers when it is replayed: a mistake stays a mistake.

Outside any process they are the host's.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary
from zlib import crc32

from .choices import COUNT_MAX
from .kernel import active_kernel
from .process import Process, current_process, require_alive

_FUNCTIONS = (
    *("random", "uniform", "triangular", "randint", "randrange", "choice", "choices", "sample", "shuffle"),
    *("getrandbits", "randbytes", "betavariate", "binomialvariate", "expovariate", "gammavariate", "gauss"),
    *("lognormvariate", "normalvariate", "paretovariate", "vonmisesvariate", "weibullvariate"),
    *("seed", "getstate", "setstate"),
)
_GREGORIAN = 0x01B21DD213814000
"""Between 1582-10-15 and 1970-01-01, in steps of 100 ns."""

_generators: WeakKeyDictionary[Process, random.Random] = WeakKeyDictionary()
_original_seed = random.Random.seed


def _generator() -> random.Random | None:
    """The generator of the process that asks; ``None`` outside any."""
    process = current_process.get()
    if process is None:
        return None
    require_alive(process)
    found = _generators.get(process)
    if found is None:
        kernel = active_kernel()
        if kernel is None:
            return None
        found = random.Random(kernel.choices.draw(f"random.{process.name}", COUNT_MAX))  # noqa: S311  # not a secret
        _generators[process] = found
    return found


def _dispatch(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        generator = _generator()
        return original(*args, **kwargs) if generator is None else getattr(generator, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    return function


def _urandom(original: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def urandom(size: int, /) -> bytes:
        generator = _generator()
        return original(size) if generator is None else generator.randbytes(size)

    return urandom


def _uuid1(original: Callable[..., uuid.UUID]) -> Callable[..., uuid.UUID]:
    def uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        generator, process = _generator(), current_process.get()
        if generator is None or process is None:
            return original(node, clock_seq)
        steps = process.wall_clock_us() * 10 + _GREGORIAN
        sequence = generator.getrandbits(14) if clock_seq is None else clock_seq
        address = crc32(process.name.encode()) if node is None else node
        fields = steps & 0xFFFFFFFF, steps >> 32 & 0xFFFF, steps >> 48 & 0x0FFF, sequence >> 8 & 0x3F, sequence & 0xFF
        return uuid.UUID(fields=(*fields, address), version=1)

    return uuid1


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """``random.Random()`` without a seed takes one from the operating system, in C."""
    if a is None and type(self) is not random.SystemRandom:
        generator = _generator()
        a = None if generator is None or generator is self else generator.getrandbits(128)
    _original_seed(self, a, version)


def replacements() -> list[tuple[Any, str, Any, Any]]:
    """``(owner, name, what is there, its replacement)``, also for names imported before."""
    found = [(random, name, getattr(random, name)) for name in _FUNCTIONS if hasattr(random, name)]
    result = [(owner, name, original, _dispatch(name, original)) for owner, name, original in found]
    return [*result, (os, "urandom", os.urandom, _urandom(os.urandom)), (uuid, "uuid1", uuid.uuid1, _uuid1(uuid.uuid1))]


def shims() -> list[tuple[Any, str, Any]]:
    """``(owner, name, replacement)`` of what is replaced in one place only."""
    return [(random.Random, "seed", _seed)]
