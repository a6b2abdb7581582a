"""Timers of the server: one heap, one wake-up of the host at a time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from ..core.requests import Execution, TimerTask
from ..host import Cancellable, Host


class TimerQueue:
    """Calls ``on_due(execution, key, task)`` for each timer that was added and not removed, in order of their times."""

    def __init__(self, host: Host, on_due: Callable[[Execution, str, TimerTask], None]) -> None:
        self._host = host
        self._on_due = on_due
        self._heap: list[tuple[int, int, Execution, str, TimerTask]] = []
        self._live: dict[tuple[str, str, str], int] = {}
        self._sequence = 0
        self._wake: Cancellable | None = None
        self._wake_at_us = 0

    def add(self, execution: Execution, key: str, task: TimerTask) -> None:
        """Set a timer; one of the same run and key replaces the earlier."""
        self._sequence += 1
        self._live[(execution.namespace, execution.run_id, key)] = self._sequence
        heappush(self._heap, (task.due_us, self._sequence, execution, key, task))
        if self._wake is None or task.due_us < self._wake_at_us:
            self._arm()

    def remove(self, execution: Execution, key: str) -> None:
        """Forget a timer; does nothing when there is none."""
        self._live.pop((execution.namespace, execution.run_id, key), None)

    def keys(self, execution: Execution) -> list[str]:
        """The keys of the timers that are set for a run."""
        named = (execution.namespace, execution.run_id)
        return [key for *run, key in self._live if tuple(run) == named]

    def _is_live(self, entry: tuple[int, int, Execution, str, TimerTask]) -> bool:
        return self._live.get((entry[2].namespace, entry[2].run_id, entry[3])) == entry[1]

    def _arm(self) -> None:
        heap = self._heap
        while heap and not self._is_live(heap[0]):
            heappop(heap)
        if not heap:
            return
        due_us = heap[0][0]
        if self._wake is not None:
            if self._wake_at_us <= due_us:
                return
            self._wake.cancel()
        self._wake_at_us = due_us
        self._wake = self._host.call_later(max(0, due_us - self._host.now_us()), self._woken)

    def _woken(self) -> None:
        self._wake = None
        now_us = self._host.now_us()
        due: list[tuple[int, int, Execution, str, TimerTask]] = []
        while self._heap and self._heap[0][0] <= now_us:
            due.append(heappop(self._heap))
        for entry in due:
            if self._is_live(entry):
                del self._live[(entry[2].namespace, entry[2].run_id, entry[3])]
                self._on_due(entry[2], entry[3], entry[4])
        self._arm()
