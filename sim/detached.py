"""Running the simulation from inside a real asyncio loop (a notebook, an async test).

While the kernel runs, no loop is running and no task is current in its thread, so that virtual loops can be; afterwards
the outer loop finds everything as it was. asyncio has no public way to do this; ``_enter_task`` and ``_leave_task`` are
what its documentation names for other event loops, and work on Python 3.11 to 3.14.
"""

# ruff: noqa: SLF001  # `_set_running_loop` and its like are private, but there is no other way
from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager


def suspend_asyncio() -> tuple[asyncio.AbstractEventLoop, asyncio.Task[object] | None] | None:
    """Make as if no loop ran in this thread. Give what it returns to ``resume_asyncio``."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return None
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    return loop, task


def resume_asyncio(state: tuple[asyncio.AbstractEventLoop, asyncio.Task[object] | None] | None) -> None:
    """Undo ``suspend_asyncio``."""
    if state is None:
        return
    loop, task = state
    asyncio._set_running_loop(loop)
    if task is not None:
        asyncio.tasks._enter_task(loop, task)


@contextmanager
def detached_from_asyncio() -> Generator[None, None, None]:
    """No loop is running inside the block, and hooks for asynchronous generators are restored after it."""
    state = suspend_asyncio()
    hooks = sys.get_asyncgen_hooks()
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
        resume_asyncio(state)
