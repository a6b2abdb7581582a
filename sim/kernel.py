"""The kernel: one total order of everything that happens in a world, in virtual time.

It is a SimPy environment: SimPy's events, processes and resources work in it, with integer microseconds as time. What
the world itself schedules is lighter than a SimPy event: a slotted ``Entry`` with one callback, in SimPy's own heap.

**Order.** Entries are processed by (time, priority, tie-break). Entries of the same time, priority and *lane* are
processed in the order in which they were scheduled, and nothing is drawn: a lane is what promises an order (a process,
an ordered connection). Between lanes nobody promised an order, so it is drawn (``kernel.order``), each lane being
equally likely, but only where there is a contest: the kernel looks at the top of its heap, and one entry alone costs no
draw. The entries that are ready together are taken out of the heap once and wait in a ``_Contest``, so that n of them
cost n draws, not n². Lane 0 means: a lane of its own for each entry.

**Cause.** Entries are numbered from 1 as they are processed. ``current_cause`` is the number of the entry that is being
processed, and an entry remembers the cause under which it was scheduled. With ``tracing`` an entry also carries on
``trace_cause``, a number that belongs to the tracer: it sets it to the id of its latest event and finds it again in
everything that follows from there. Tracing changes neither order nor digest.

**Digest.** Each entry adds (time, 1, lane, cause).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Literal, cast, overload

import simpy
import simpy.core
import simpy.events
from simpy.events import NORMAL, EventPriority

from ..engine.core.errors import InternalError, MisuseError
from . import simpy_bridge
from .choices import Choices
from .detached import detached_from_asyncio
from .digest import Digest
from .garbage import ENTRIES_PER_COLLECTION, collect_young
from .process import NodeDead
from .real_clock import real_monotonic_ns

EVENT: Final = 1
"""The digest's code of a processed entry."""

SLICE: Final = 61
"""Entries between two looks at the real clock. A prime, so that sampling every slice meets no pattern."""

FOREVER: Final = 1 << 62

StopReason = Literal["stopped", "idle", "events", "virtual_time", "real_time", "spinning"]


class SpinError(BaseException):
    """Raised into code that has spun without yielding for longer than the watchdog allows."""


class Entry:
    """One thing that will happen: ``callback(*args)``. Once it happened or was cancelled, ``callback`` is ``None``."""

    __slots__ = ("args", "callback", "cause", "kernel", "lane", "trace_cause")

    args: tuple[Any, ...]
    callback: Callable[..., object] | None
    cause: int
    lane: int
    trace_cause: int

    def __init__(
        self, kernel: Kernel, callback: Callable[..., object], args: tuple[Any, ...], lane: int, cause: int
    ) -> None:
        self.kernel = kernel
        self.callback = callback
        self.args = args
        self.lane = lane
        self.cause = cause

    @property
    def pending(self) -> bool:
        """Whether it is still going to happen."""
        return self.callback is not None

    def cancel(self) -> None:
        """It will not happen. Does nothing if it already did."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self.kernel.entry_cancelled()


@dataclass(slots=True)
class RunResult:
    """How a call of ``Kernel.run`` ended.

    ``reason``: ``stopped`` (``stop()`` was called), ``idle`` (nothing can happen any more), ``events``,
    ``virtual_time`` or ``real_time`` (a budget), ``spinning`` (the watchdog stopped code that did not yield;
    ``detail`` says whose). ``busy``: lane name -> share of samples, busiest first.
    """

    reason: StopReason
    events: int
    now_us: int
    detail: str = ""
    busy: list[tuple[str, int]] = field(default_factory=list)


class _Contest:
    """Entries that are ready at one time and priority, by lane."""

    __slots__ = ("_by_lane", "priority", "slots", "time_us")

    def __init__(self, time_us: int, priority: int) -> None:
        self.time_us = time_us
        self.priority = priority
        self.slots: list[Entry | deque[Entry]] = []
        self._by_lane: dict[int, deque[Entry]] = {}

    def add(self, entry: Entry) -> None:
        lane = entry.lane
        if lane == 0:
            self.slots.append(entry)
            return
        waiting = self._by_lane.get(lane)
        if waiting is None:
            waiting = self._by_lane[lane] = deque((entry,))
            self.slots.append(waiting)
        else:
            waiting.append(entry)

    def take(self, choices: Choices) -> Entry | None:
        """The next entry, drawn if lanes compete; ``None``: no entry is left. Cancelled ones do not compete."""
        slots = self.slots
        while slots:
            index = choices.draw("kernel.order", len(slots))
            slot = slots[index]
            if isinstance(slot, Entry):
                self._drop(index)
                if slot.callback is not None:
                    return slot
            else:
                entry = slot.popleft()
                if not slot:
                    del self._by_lane[entry.lane]
                    self._drop(index)
                if entry.callback is not None:
                    return entry
            self.sift()
        return None

    def sift(self) -> None:
        """Throw out cancelled entries."""
        entries = self.entries()
        self.slots.clear()
        self._by_lane.clear()
        for entry in entries:
            if entry.callback is not None:
                self.add(entry)

    def entries(self) -> list[Entry]:
        """All entries, in order."""
        result: list[Entry] = []
        for slot in self.slots:
            if isinstance(slot, Entry):
                result.append(slot)
            else:
                result.extend(slot)
        return result

    def _drop(self, index: int) -> None:
        last = self.slots.pop()
        if index < len(self.slots):
            self.slots[index] = last


class Kernel(simpy.Environment):
    """Virtual time and the order of events.

    Args:
        choices: Draws the order between lanes.
        digest: Gets every processed entry; the choices' own by default.
        start_time_us: Virtual time at the start: microseconds since the Unix epoch.
        tracing: Carry ``trace_cause`` along.
    """

    def __init__(
        self, choices: Choices, digest: Digest | None = None, start_time_us: int = 0, *, tracing: bool = False
    ) -> None:
        # Not SimPy's own __init__: it binds five classes to the instance, which is slow and makes a reference cycle.
        self._queue = []
        self._eid = count()
        self._active_proc = None
        self.choices = choices
        self.digest = digest if digest is not None else choices.digest
        self.digest.names[EVENT] = "event"
        self.now_us: int = start_time_us
        """Virtual time. Read only."""
        self.current_cause = 0
        """The number of the entry being processed; the count of processed entries between two."""
        self.trace_cause = 0
        """The tracer's own: see the module's text."""
        self.busy_with = ""
        """Whose code is about to run, for the watchdog's report: set by whoever calls it, forgotten with each entry."""
        self.draining: Any = None
        """The asyncio loop whose callbacks are being run, if any."""
        self.running = False
        """Whether ``run`` is under way."""
        self.tracing = tracing
        # What `schedule` and `sim/network.py` push to: (time, priority, sequence, entry).
        self.heap = cast("list[tuple[int, int, int, Entry]]", self._queue)
        self.next_sequence = self._eid.__next__
        self._contests: list[_Contest] = []
        self._cancelled = 0
        self._stopping = False
        self._spun = ""
        self._lanes = ["(no lane)"]
        self._samples: dict[int, int] = {}

    # --- scheduling

    @property
    def now(self) -> int:
        """Virtual time in microseconds (SimPy's name for it)."""
        return self.now_us

    def new_lane(self, name: str) -> int:
        """A lane: entries of one lane keep their order. The name is for reports."""
        self._lanes.append(name)
        return len(self._lanes) - 1

    def lane_name(self, lane: int) -> str:
        """The name given to ``new_lane``."""
        return self._lanes[lane] if lane < len(self._lanes) else f"lane {lane}"

    @overload
    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0, /) -> None: ...

    @overload
    def schedule(
        self, delay_us: int, callback: Callable[..., object], /, *args: Any, priority: int = 0, lane: int = 0
    ) -> Entry: ...

    def schedule(  # pyright: ignore[reportIncompatibleMethodOverride]  # SimPy's own events come in by SimPy's signature
        self, delay_us: Any, callback: Any = NORMAL, /, *args: Any, priority: int = 0, lane: int = 0
    ) -> Entry | None:
        """Let ``callback(*args)`` happen ``delay_us`` microseconds from now.

        Args:
            delay_us: Not negative.
            callback: What to call.
            *args: Its arguments.
            priority: Among entries of one time the lower goes first.
            lane: Entries of one lane (``new_lane``) keep their order; 0 is a lane of its own.

        Returns:
            The entry, which can be cancelled.

        Raises:
            InternalError: ``delay_us`` is negative or no integer.
        """
        if delay_us.__class__ is not int or delay_us < 0:
            self._schedule_other(delay_us, callback, args)
            return None
        entry = Entry(self, callback, args, lane, self.current_cause)
        if self.tracing:
            entry.trace_cause = self.trace_cause
        heappush(self.heap, (self.now_us + delay_us, priority, self.next_sequence(), entry))
        return entry

    def process(self, generator: simpy.events.ProcessGenerator) -> simpy.Process:
        """A SimPy process. Exceptions cross from one process to another unchanged."""
        return simpy.Process(self, cast("Any", simpy_bridge.OpeningGenerator(generator)))

    def _schedule_other(self, event: Any, priority: int, rest: tuple[Any, ...]) -> None:
        """SimPy schedules one of its own events. Its normal priority, 1, is our 0."""
        if not isinstance(event, simpy.Event):
            raise InternalError(f"schedule({event!r}, ...): the delay must be an integer that is not negative")
        delay = rest[0] if rest else 0
        if delay != int(delay):
            raise MisuseError(f"a SimPy event is delayed by {delay!r}: time here is whole microseconds")
        self.schedule(int(delay), simpy_bridge.fire, event, priority=priority - int(NORMAL))

    def entry_cancelled(self) -> None:
        """An entry tells that it was cancelled: when most of a long heap is cancelled, it is made anew."""
        self._cancelled += 1
        if self._cancelled > 100 and self._cancelled * 2 > len(self.heap):
            self.heap[:] = [item for item in self.heap if item[3].callback is not None]
            heapify(self.heap)
            self._cancelled = 0

    # --- running

    def stop(self) -> None:
        """End the current ``run`` after the entry being processed."""
        self._stopping = True

    def spinning(self, detail: str) -> None:
        """The watchdog tells, from its own thread, that it is about to stop the code being run."""
        self._spun = self._spun or detail
        self._stopping = True

    def run(
        self, until: float | simpy.Event | None = None, *, events: int | None = None, real_time_us: int | None = None
    ) -> RunResult:
        """Process entries until something ends it.

        Args:
            until: A virtual time (microseconds, absolute) that no processed entry lies beyond, or a SimPy event.
            events: How many entries may be processed.
            real_time_us: How long it may take, by the host's clock. Not deterministic: such a run has no digest.

        Raises:
            BaseException: Whatever a callback raised, except ``NodeDead``, which only ends the callback.
        """
        until_us = None if until is None or isinstance(until, simpy.Event) else int(until)
        if isinstance(until, simpy.Event):
            if until.processed:
                return self._result("stopped", 0)
            until.callbacks.append(lambda _: self.stop())
        self._stopping = False
        self._spun = ""
        self._samples.clear()
        first = self.current_cause
        deadline_ns = None if real_time_us is None else real_monotonic_ns() + real_time_us * 1000
        outer = _active.kernel
        with detached_from_asyncio():
            self.running, _active.kernel = True, self
            try:
                reason = self._run(until_us, events, deadline_ns)
            finally:
                self.running, _active.kernel = False, outer
        return self._result(reason, self.current_cause - first)

    def step(self) -> None:
        """Process one entry.

        Raises:
            simpy.core.EmptySchedule: There is none.
        """
        self._stopping = False
        if self._slice(1, None) == "idle":
            raise simpy.core.EmptySchedule

    def peek(self) -> float:
        """When the next entry will be processed; infinity if there is none."""
        if self._contests:
            return self.now_us
        return super().peek()

    def close(self) -> None:
        """Forget everything that was going to happen, and leave no reference cycle behind."""
        for contest in self._contests:
            for entry in contest.entries():
                entry.callback, entry.args = None, ()
        for item in self.heap:
            item[3].callback, item[3].args = None, ()
        self._contests.clear()
        self.heap.clear()

    def _run(self, until_us: int | None, events: int | None, deadline_ns: int | None) -> StopReason:
        left = events
        collect_at = self.current_cause + ENTRIES_PER_COLLECTION
        while True:
            if self.current_cause >= collect_at:
                collect_young()
                collect_at += ENTRIES_PER_COLLECTION
            size = SLICE if left is None else min(SLICE, left)
            before = self.current_cause
            try:
                reason = self._slice(size, until_us)
            except SpinError:
                reason = "stopped"
            if reason is not None:
                return "spinning" if self._spun else reason
            if left is not None:
                left -= self.current_cause - before
                if left <= 0:
                    return "events"
            if deadline_ns is not None and real_monotonic_ns() > deadline_ns:
                return "real_time"

    def _slice(self, size: int, until_us: int | None) -> StopReason | None:
        """Process up to ``size`` entries. The hot loop: what it can keep in a local name, it keeps there."""
        heap, contests = self.heap, self._contests
        extend = self.digest.extend
        extras = self.tracing or self.digest.keeps_text
        limit_us = FOREVER if until_us is None else until_us
        number = self.current_cause
        entry = None
        for _ in range(size):
            if self._stopping:
                return "stopped"
            entry = self._from_contest() if contests else None
            while entry is None:
                if not heap:
                    return "idle"
                item = heappop(heap)
                time_us, priority, _, entry = item
                if entry.callback is None:
                    self._cancelled -= 1
                    entry = None
                elif time_us > limit_us:
                    heappush(heap, item)
                    self.now_us = limit_us
                    return "virtual_time"
                else:
                    self.now_us = time_us
                    if heap and heap[0][0] == time_us and heap[0][1] == priority:
                        entry = self._open_contest(time_us, priority, entry)
            callback, args = entry.callback, entry.args
            assert callback is not None
            number += 1
            self.current_cause = number
            self.busy_with = ""
            extend((self.now_us, EVENT, entry.lane, entry.cause))
            if extras:
                self._observe(entry)
            entry.callback = None
            entry.args = ()
            try:  # noqa: SIM105  # `contextlib.suppress` costs 300 ns, and this is the hot loop
                callback(*args)
            except NodeDead:
                pass  # the callback's process died under it: whatever it was about to do has no effect any more
        if entry is not None:
            self._samples[entry.lane] = self._samples.get(entry.lane, 0) + 1
        if len(self.digest.buffer) >= 1024:
            self.digest.flush()
        return None

    def _open_contest(self, time_us: int, priority: int, first: Entry) -> Entry | None:
        contest = _Contest(time_us, priority)
        contest.add(first)
        self._contests.append(contest)
        return self._from_contest()

    def _from_contest(self) -> Entry | None:
        """The next of those that are ready together; ``None``: something more urgent is on the heap, or none left."""
        heap, contests = self.heap, self._contests
        while contests:
            contest = contests[-1]
            while heap:
                time_us, priority, _, entry = heap[0]
                if time_us != contest.time_us or priority > contest.priority:
                    break
                if priority < contest.priority:
                    return None
                heappop(heap)
                if entry.callback is None:
                    self._cancelled -= 1
                else:
                    contest.add(entry)
            taken = contest.take(self.choices)
            if not contest.slots:
                contests.pop()
            if taken is not None:
                return taken
        return None

    def _observe(self, entry: Entry) -> None:
        """What only a run that is looked at pays for."""
        if self.tracing:
            self.trace_cause = entry.trace_cause
        if self.digest.wants_note:
            name = getattr(entry.callback, "__qualname__", type(entry.callback).__name__)
            shown = [repr(arg) if isinstance(arg, int | str) else type(arg).__name__ for arg in entry.args]
            lane = f" of {self.lane_name(entry.lane)}" if entry.lane else ""
            self.digest.note(f"{name}({', '.join(shown)}){lane}")

    def _result(self, reason: StopReason, events: int) -> RunResult:
        shares: dict[str, int] = {}
        for lane, samples in self._samples.items():
            name = self.lane_name(lane)
            shares[name] = shares.get(name, 0) + samples
        busy = sorted(shares.items(), key=lambda share: (-share[1], share[0]))
        return RunResult(reason, events, self.now_us, self._spun, busy)


class _Active(threading.local):
    kernel: Kernel | None = None


_active = _Active()


def active_kernel() -> Kernel | None:
    """The kernel that is running in this thread."""
    return _active.kernel
