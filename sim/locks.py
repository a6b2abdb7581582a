"""Locks of simulated threads.

A real lock that is held while its thread sleeps in virtual time would stop the one real thread for good when another
simulated thread wants it. So a lock made in a simulated process is one of these: waiting for it is waiting in virtual
time. ``Condition``, ``Event``, ``Semaphore``, ``Barrier``, ``queue.Queue`` and ``concurrent.futures.Future`` are built
on ``threading``'s locks, and so work in virtual time as well. Who waits longest gets the lock.

A lock made outside any process (in a module that was imported before the simulation) stays real.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from greenlet import getcurrent

from .greenlets import Waiter
from .process import current_process


class SimulatedLock:
    """As ``threading.Lock``."""

    __slots__ = ("__weakref__", "_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[Waiter] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; whether it was taken.

        Raises:
            MisuseError: It is held, and the caller runs in no simulated thread, where it could wait.
        """
        if not self._held:
            self._held = True
            return True
        if not blocking:
            if timeout != -1:
                raise ValueError("can't specify a timeout for a non-blocking call")
            return False
        waiter = Waiter()
        self._waiting.append(waiter)
        if waiter.wait(None if timeout < 0 else round(timeout * 1_000_000)):
            return True  # whoever released it left it held, for us
        self._waiting.remove(waiter)
        return False

    def release(self) -> None:
        """Give it to who waits longest, or back."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.alive:
                waiter.wake()
                return
        self._held = False

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimulatedRLock:
    """As ``threading.RLock``; its owner is a simulated thread."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = SimulatedLock()
        self._owner: Any = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock once more; whether it was taken."""
        if self._owner is not getcurrent():
            if not self._lock.acquire(blocking, timeout):
                return False
            self._owner = getcurrent()
        self._count += 1
        return True

    def release(self) -> None:
        """Undo one ``acquire``."""
        if self._owner is not getcurrent():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # What `threading.Condition` asks of a lock.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> int:
        count, self._count, self._owner = self._count, 0, None
        self._lock.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self._lock.acquire()
        self._owner, self._count = getcurrent(), count


def replacement(original: Any, simulated: type[SimulatedLock | SimulatedRLock]) -> Any:
    """A factory: simulated in a simulated process, the original elsewhere."""

    def make_lock() -> Any:
        return original() if current_process.get() is None else simulated()

    return make_lock
