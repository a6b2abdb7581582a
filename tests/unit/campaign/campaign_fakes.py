"""Runs that need no engine, for the tests of campaigns: imported by path, here and in simulation processes."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from stormproof.engine.core.errors import MisuseError
from stormproof.sim.campaign import environment
from stormproof.sim.options import RunOptions
from stormproof.sim.record import RunRecord
from stormproof.sim.verdict import Truth, Verdict


async def main() -> None:
    """What is run; a fake runner never calls it."""


def record_of(seed: int, options: RunOptions, *, message: str = "") -> RunRecord:
    fired = [{"kind": "outage", "index": 0}] if options.faults and seed % 2 else []
    result = Truth.FALSE if message else Truth.TRUE
    return RunRecord(
        seed=seed,
        options=options,
        digest=f"{seed:032x}",
        faults_fired=fired,  # type: ignore[arg-type]
        verdicts=[Verdict("P1", "Order", Truth.TRUE), Verdict("P10", "Order", result, message)],
        statistics={"events": 10 + seed},
        **environment(),
    )


def holds(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    return record_of(seed, options)


def prints_hash(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    record = record_of(seed, options)
    record.statistics["hash"] = hash("text") & 0xFFFFFFFF
    return record


def fails_at_7(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    return record_of(seed, options, message="the order was charged twice" if seed == 7 else "")


def slow(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    time.sleep(0.02)
    return record_of(seed, options)


def misused(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    raise MisuseError("nobody polls the task queue 'orders': start a worker for it")


def breaks(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    if seed == 3:
        raise ValueError("a mistake of ours")
    return record_of(seed, options)


def dies(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    """Every way in which a process can end or hang, each at its own seed."""
    match seed:
        case 3:
            os._exit(7)
        case 5:
            print("the last words of seed 5", flush=True)
            os.kill(os.getpid(), 9)
        case 6:
            ctypes.string_at(0)
        case 10:
            # Stuck in C, deaf to every signal that can be handled: PyDLL keeps the lock of the interpreter.
            ctypes.PyDLL(None).sleep(1000)
    return record_of(seed, options)


def dies_once(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    """Seed 4 dies unless the file says that it has before."""
    flag = Path(os.environ["FAKE_FLAG"])
    if seed == 4 and not flag.exists():
        flag.touch()
        os._exit(1)
    return record_of(seed, options)


async def other() -> None:
    """Another one."""


INTERRUPT_AT: int | None = None
SEEN: list[int] = []


def interrupted(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    SEEN.append(seed)
    if seed == INTERRUPT_AT:
        raise KeyboardInterrupt
    return record_of(seed, options)


def bounded(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    record = record_of(seed, options)
    record.stopped_by = "events"
    return record


def breaks_and_fails(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    return breaks(target, seed=seed, options=options) if seed == 3 else fails_at_7(target, seed=seed, options=options)


def main_raises(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    record = record_of(seed, options)
    record.error = "ValueError: boom"
    return record


def noted(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    """Note in a file, by one write, that the *previous* run of this process has been written to its journal."""
    global _previous  # noqa: PLW0603
    if _previous is not None:
        file = os.open(os.environ["FAKE_NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, b"%d\n" % _previous)
        os.close(file)
    _previous = seed
    time.sleep(0.005)
    return record_of(seed, options)


_previous: int | None = None


def traced(target: Any, *, seed: int, options: RunOptions) -> RunRecord:
    record = record_of(seed, options)
    if options.trace:
        record.trace = [
            {"id": 1, "cause": 0, "time_us": 5, "node": "C", "kind": "fault", "text": "outage of C", "data": {}},
        ]
    return record
