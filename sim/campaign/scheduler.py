"""Hands out the seeds of a campaign, watches the processes that run them, and collects what the journals say.

Seeds go out in chunks that take about a quarter of a second, so that sending a job costs little per run and the end of
a campaign is not spent waiting for one process. The seed that a process works on stands in its journal; a process that
dies or that is killed after its limit costs that one run, and the rest of its chunk goes back into the queue.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.core.errors import InternalError, MisuseError
from .hash_seeds import GROUP_COUNT, group_of, hash_seed_of
from .job import Job, run_seeds
from .journal import JournalReader
from .processes import Slot, death_of, is_death, stop_all
from .row import RunRow, RunStatus

CHUNK_S = 0.25
CHUNK_FIRST = 4
CHUNK_MAX = 500
POLL_S = 0.05
START_LIMIT_S = 60.0
STILLBORN_MAX = 3

# Simulations in this very process patch the time module; our own code keeps the real clock.
_clock = time.monotonic


@dataclass(slots=True)
class Work:
    """What is to be run, and how.

    Attributes:
        target: The reference of the scenario; empty where nothing can import it.
        value: The scenario itself, for runs in this process.
        runner: The reference of the function that makes one run.
        options: The options, as plain data.
        seeds: The seeds that are still to be run, ascending.
        kill_after_s: Seconds of real time after which a run's process is killed.
        folder: Where journals and the output of processes are kept.
        journal_path: The path of a journal of this name.
        on_rows: Takes the rows that have come in.
    """

    target: str
    value: object
    runner: str
    options: dict[str, Any]
    seeds: list[int]
    kill_after_s: float
    folder: Path
    journal_path: Callable[[str], str]
    on_rows: Callable[[list[RunRow]], None]

    def job(self, seeds: list[int], name: str) -> Job:
        """A job for some of the seeds."""
        return Job(self.target, self.runner, seeds, self.options, self.journal_path(name))


class _Pace:
    """How many runs to hand out at once, from how long they have taken so far."""

    def __init__(self) -> None:
        self._run_s = 0.0

    def note(self, rows: Iterable[RunRow]) -> None:
        for row in rows:
            seconds = max(row.real_us, 1) / 1e6
            self._run_s = seconds if self._run_s == 0.0 else 0.9 * self._run_s + 0.1 * seconds

    def chunk(self, left: int, slots: int) -> int:
        size = CHUNK_FIRST if self._run_s == 0.0 else int(CHUNK_S / self._run_s)
        return max(1, min(size, CHUNK_MAX, -(-left // (2 * slots))))


def run_inline(work: Work) -> None:
    """Run every seed in this process."""
    pace = _Pace()
    seeds = deque(work.seeds)
    number = 0
    while seeds:
        number += 1
        chunk = [seeds.popleft() for _ in range(min(len(seeds), pace.chunk(len(seeds), 1)))]
        job = work.job(chunk, f"inline-{number}")
        reader = JournalReader(job.journal)
        try:
            run_seeds(work.value, job)
        finally:
            rows = reader.read()
            work.on_rows(rows)
            reader.remove()
        pace.note(rows)
        _stop_at_misuse(rows)


@dataclass(slots=True)
class _Running:
    """A job under way."""

    slot: Slot
    job: Job
    reader: JournalReader
    since: float
    left: list[int]
    killed: bool = False
    hung: int | None = None

    def read(self, now: float) -> list[RunRow]:
        """The rows that are new; the clock of the limit starts again with each run that begins."""
        begun = self.reader.begun
        rows = self.reader.read()
        if self.reader.begun != begun or rows:
            self.since = now
        done = {row.seed for row in rows}
        if done:
            self.left = [seed for seed in self.left if seed not in done]
        return rows


class Scheduler:
    """Runs the seeds of a campaign on processes.

    Args:
        work: What is to be run.
        jobs: How many processes at once.
    """

    def __init__(self, work: Work, *, jobs: int) -> None:
        self._work = work
        self._queues: list[deque[int]] = [deque() for _ in range(GROUP_COUNT)]
        for seed in work.seeds:
            self._queues[group_of(seed)].append(seed)
        slots = min(jobs, max(1, len(work.seeds)))
        self._slots = [Slot(number, work.folder) for number in range(slots)]
        self._running: list[_Running] = []
        self._pace = _Pace()
        self._wake = threading.Event()
        self._number = 0
        self._stillborn = 0

    def run(self) -> None:
        """Run every seed.

        Raises:
            MisuseError: The scenario cannot work, or cannot be imported in a process of its own.
            InternalError: Processes end before they begin.
            KeyboardInterrupt: As it came; what was finished has been handed on.
        """
        try:
            self._hand_out()
            while self._running:
                self._wake.wait(POLL_S)
                self._wake.clear()
                self._collect()
                self._hand_out()
        finally:
            stop_all(self._slots)
            for running in self._running:
                self._work.on_rows(running.read(_clock()))
                running.reader.remove()

    def _hand_out(self) -> None:
        busy = {id(running.slot) for running in self._running}
        for slot in self._slots:
            if id(slot) in busy:
                continue
            group = self._next_group(slot)
            if group is None:
                slot.stop()
            else:
                slot.bind(group)
                self._start(slot, self._take(group))

    def _next_group(self, slot: Slot) -> int | None:
        """The slot's own group while it has seeds, since another needs another process; else the fullest."""
        if slot.group is not None and self._queues[slot.group]:
            return slot.group
        workers = [sum(1 for other in self._slots if other.group == group) for group in range(GROUP_COUNT)]
        waiting = [group for group in range(GROUP_COUNT) if self._queues[group]]
        return min(waiting, key=lambda group: (workers[group], -len(self._queues[group]), group), default=None)

    def _take(self, group: int) -> list[int]:
        queue = self._queues[group]
        slots = sum(1 for slot in self._slots if slot.group == group)
        return [queue.popleft() for _ in range(min(len(queue), self._pace.chunk(len(queue), slots)))]

    def _start(self, slot: Slot, seeds: list[int]) -> None:
        self._number += 1
        job = self._work.job(seeds, str(self._number))
        self._running.append(_Running(slot, job, JournalReader(job.journal), _clock(), seeds))
        slot.submit(job, self._wake)

    def _collect(self) -> None:
        now = _clock()
        over: list[_Running] = []
        for running in self._running:
            # Asked before the journal is read, so that nothing can be written after the last reading.
            ended = not running.slot.busy
            rows = running.read(now)
            if rows:
                self._pace.note(rows)
                self._work.on_rows(rows)
                _stop_at_misuse(rows)
            if ended:
                over.append(running)
            elif not running.killed:
                self._kill_if_hung(running, now)
        for running in over:
            self._running.remove(running)
            self._settle(running)

    def _kill_if_hung(self, running: _Running, now: float) -> None:
        limit = self._work.kill_after_s
        if running.reader.running is None:
            limit += START_LIMIT_S
        if now - running.since > limit:
            running.killed = True
            running.hung = running.reader.running
            running.slot.kill(running.reader.pid)

    def _settle(self, running: _Running) -> None:
        """What to make of a job that is over: nothing, or a run that was lost with its process."""
        error = running.slot.outcome()
        if isinstance(error, MisuseError):
            raise error
        if error is None and running.left and not running.killed:
            raise InternalError(f"a job ended by itself, but left the seeds {running.left} without a word")
        if error is not None and not is_death(error):
            raise InternalError(f"a job of the campaign failed: {error!r}") from error
        # The signals of a kill may have shaken a hung run loose: it counts as hung all the same, and a later run of
        # the chunk that died instead of it is innocent.
        lost = running.hung if running.killed else running.reader.running
        if lost is not None:
            self._work.on_rows([self._lost_run(running, lost, error)])
            running.left = [seed for seed in running.left if seed != lost]
        if running.left:
            self._give_back(running, error)
        running.reader.remove()

    def _lost_run(self, running: _Running, seed: int, error: BaseException | None) -> RunRow:
        if running.killed:
            status = RunStatus.HUNG
            told = f"its process was killed, because the run had not ended after {self._work.kill_after_s:g} s"
        else:
            assert error is not None
            status = RunStatus.DIED
            told = death_of(error)
        output = running.slot.output()
        if output:
            told += f"\nits last output:\n{output}"
        return RunRow(seed, status, python_hash_seed=hash_seed_of(seed), error=told)

    def _give_back(self, running: _Running, error: BaseException | None) -> None:
        if running.reader.begun == 0:
            self._stillborn += 1
            if self._stillborn >= STILLBORN_MAX:
                why = death_of(error) if error else "no reason given"
                output = running.slot.output()
                raise InternalError(
                    f"simulation processes end before their first run ({why})"
                    + (f"; their last output:\n{output}" if output else "")
                )
        else:
            self._stillborn = 0
        self._queues[group_of(running.left[0])].extendleft(reversed(running.left))


def _stop_at_misuse(rows: list[RunRow]) -> None:
    for row in rows:
        if row.status is RunStatus.MISUSE:
            raise MisuseError(row.error)
