"""Naming the first thing in which two runs of one seed differ.

Digests say *that* two runs differ, their checkpoints narrow it to about a thousand entries, and running both again with
those entries kept as text names the first that differs: which event or draw came in one run, and which in the other.

The two runs may be in one process (code that reads a real clock, addresses, what an earlier run left behind) or in
processes of different ``PYTHONHASHSEED`` (code that goes by the order of a set): ``here`` and ``in_process`` observe a
run either way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..engine.core.errors import InternalError
from .digest import Checkpoint, first_divergence, keeping_entries, name_divergence

Window = tuple[int, int]


class Digested(Protocol):
    """What a run gives back: a ``RunRecord``, or anything that has its digest."""

    digest: str
    checkpoints: Any


@dataclass(slots=True)
class Observation:
    """A run as far as it matters here: its checkpoints, and the entries of the window that was asked for."""

    checkpoints: list[Checkpoint]
    entries: list[str]


Observer = Callable[[Window | None], Observation]


@dataclass(slots=True)
class Divergence:
    """Where two runs part. ``first`` and ``second``: the first entries that differ; empty if a repetition agreed."""

    low: int
    high: int
    first: str
    second: str

    @property
    def message(self) -> str:
        """In plain words."""
        if not self.first and not self.second:
            return (
                f"the runs part between entry {self.low} and entry {self.high}, but not when they are repeated: "
                f"something in them differs from run to run"
            )
        return f"the runs part here:\n  one:   {self.first}\n  other: {self.second}"


def find_divergence(first: Observer, second: Observer) -> Divergence | None:
    """Run twice, and, if the digests differ, twice more to name the first difference; ``None``: they agree."""
    window = first_divergence(first(None).checkpoints, second(None).checkpoints)
    if window is None:
        return None
    named = name_divergence(first(window).entries, second(window).entries)
    return Divergence(*window, *(("", "") if named is None else named))


def here(run: Callable[[], Digested]) -> Observer:
    """Observe a run in this process."""

    def observe(window: Window | None) -> Observation:
        if window is None:
            return Observation(_checkpoints(run()), [])
        with keeping_entries(window) as digests:
            record = run()
        found = [digest for digest in digests if digest.hexdigest() == record.digest]
        return Observation(_checkpoints(record), found[-1].kept() if found else [])

    return observe


def in_process(program: str, *, hash_seed: str, cwd: str | None = None) -> Observer:
    """Observe a run in a fresh process.

    Args:
        program: Python code that defines ``run()``, which returns a record.
        hash_seed: Its ``PYTHONHASHSEED``.
        cwd: Its working directory.
    """
    code = f"{program}\nfrom stormproof.sim.divergence import answer\nanswer(run)"

    def observe(window: Window | None) -> Observation:
        done = subprocess.run(  # noqa: S603  # our own interpreter, with code of the caller
            [sys.executable, "-P", "-c", code],
            input=json.dumps(window),
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InternalError(f"a run in a process of its own failed: {done.stderr.strip()[-2000:]}")
        data = json.loads(done.stdout.splitlines()[-1])
        return Observation([(count, digest) for count, digest in data["checkpoints"]], data["entries"])

    return observe


def answer(run: Callable[[], Digested]) -> None:
    """In the fresh process: observe, and print what was seen."""
    window = json.loads(sys.stdin.read())
    seen = here(run)(None if window is None else (window[0], window[1]))
    sys.stdout.write(json.dumps({"checkpoints": seen.checkpoints, "entries": seen.entries}) + "\n")


def _checkpoints(record: Digested) -> list[Checkpoint]:
    found: Sequence[Sequence[Any]] = record.checkpoints
    return [(count, digest) for count, digest in found]
