"""What crashes leave behind: suspended tasks, threads and callbacks of dead processes.

A crashed process runs no code any more, ``finally`` blocks included. But there is no way to destroy a suspended
coroutine or greenlet without running them: throwing into it runs them, and so does dropping the last reference. So a
crash moves everything here (strong references, in order), and only when the world has ended and its record is sealed
are they buried: in order, each in its own context, with every error swallowed. Doors raise ``NodeDead`` meanwhile, so
that a ``finally`` block has no effect. One that will not end after several throws is reported as a leak.
"""

# ruff: noqa: SLF001  # a task tells what it waits for only under private names
from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, cast

from .process import NodeDead

THROWS_MAX = 10
"""How often ``NodeDead`` is thrown into one coroutine or thread before it counts as a leak."""

_leaked: list[object] = []
"""What would not end. Kept for good: its code would run once more when the last reference goes."""


class Buriable(Protocol):
    """A suspended thread that can be ended."""

    def bury(self) -> bool:
        """Throw ``NodeDead`` into it; whether it ended."""
        ...


class Graveyard:
    """The dead of one world, in the order in which they died."""

    def __init__(self) -> None:
        self._threads: list[Buriable] = []
        self._tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self._kept: list[object] = []
        self._at_end: list[Callable[[], None]] = []
        self.burying = False
        """Whether burial has begun: from then on loops ignore what the dead call."""

    def add_thread(self, thread: Buriable) -> None:
        """A suspended greenlet."""
        self._threads.append(thread)

    def add_task(self, task: asyncio.Task[Any], context: Context) -> None:
        """An unfinished task, with the context that it runs in."""
        self._tasks.append((task, context))

    def keep(self, thing: object) -> None:
        """Anything else whose last reference must not go before the end."""
        self._kept.append(thing)

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call this when all are buried, to break what reference cycles are left."""
        self._at_end.append(callback)

    def __len__(self) -> int:
        return len(self._threads) + len(self._tasks)

    def bury(self) -> list[str]:
        """End them all. Call it once, when the world is over.

        Returns:
            What would not end, described.
        """
        self.burying = True
        leaks = []
        for thread in self._threads:
            if not any(thread.bury() for _ in range(THROWS_MAX)):
                leaks.append(f"{thread} goes on after {THROWS_MAX} throws")
                _leaked.append(thread)
        for task, context in self._tasks:
            if not _end_task(task, context):
                leaks.append(f"task {task.get_name()} goes on after {THROWS_MAX} throws")
                _leaked.append(task)
        for callback in self._at_end:
            callback()
        self._threads.clear()
        self._tasks.clear()
        self._kept.clear()
        self._at_end.clear()
        return leaks


def end_coroutine(coroutine: Coroutine[Any, Any, Any], context: Context) -> bool:
    """Throw ``NodeDead`` into a coroutine until it ends; whether it did."""
    for _ in range(THROWS_MAX):
        dead = NodeDead("buried")
        try:
            context.run(coroutine.throw, dead)
        except BaseException as error:
            error.__traceback__ = None
            return True
        finally:
            # Whoever keeps it would keep our frames with it, and with them the world.
            dead.__traceback__ = None
    return False


def _end_task(task: asyncio.Task[Any], context: Context) -> bool:
    # Its ``finally`` blocks may make tasks, for which asyncio opens a real loop where none is running.
    outside = asyncio._get_running_loop()
    asyncio._set_running_loop(task.get_loop())
    try:
        ended = task.done() or end_coroutine(cast("Coroutine[Any, Any, Any]", task.get_coro()), context)
    finally:
        asyncio._set_running_loop(outside)
    forget_task(task)
    return ended


def forget_task(task: asyncio.Task[Any]) -> None:
    """Cut a task off from what it waits for and who waits for it: they refer to each other in a circle."""
    anything = cast("Any", task)
    anything._log_destroy_pending = False
    waiter = anything._fut_waiter
    for future in (anything, waiter):
        callbacks = getattr(future, "_callbacks", None)
        for callback, _ in callbacks or ():
            future.remove_done_callback(callback)
