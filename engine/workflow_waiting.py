"""``asyncio.wait`` and ``asyncio.as_completed`` in the order that was given.

The standard library's put what they are given into a set, whose order is that of addresses in memory: another one in
each process. A replay of such code can ask for other commands than its history has.
"""

# ruff: noqa: ASYNC109 (`timeout` is what temporalio calls it)
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar, overload

from .callable_types import AnyType

_FT = TypeVar("_FT", bound="asyncio.Future[Any]")
_CONDITIONS = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)


def as_completed(fs: Iterable[Awaitable[AnyType]], *, timeout: float | None = None) -> Iterator[Awaitable[AnyType]]:
    """Awaitables that give the results in the order in which they come.

    Args:
        fs: What to wait for.
        timeout: In seconds; after that, those left raise ``TimeoutError``.

    Raises:
        TypeError: ``fs`` is a single awaitable.
    """
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expect an iterable of futures, not {type(fs).__name__}")
    # A generator, so that nothing starts before the first item is asked for (as in the real SDK).
    return _as_completed(fs, timeout)


def _as_completed(fs: Iterable[Awaitable[AnyType]], timeout: float | None) -> Iterator[Awaitable[AnyType]]:
    loop = asyncio.get_running_loop()
    left: list[asyncio.Future[AnyType]] = [asyncio.ensure_future(item, loop=loop) for item in list(fs)]
    count = len(left)
    done: asyncio.Queue[asyncio.Future[AnyType] | None] = asyncio.Queue()
    timer: asyncio.TimerHandle | None = None

    def give_up() -> None:
        for future in left:
            future.remove_done_callback(note)
            done.put_nowait(None)
        left.clear()

    def note(future: asyncio.Future[AnyType]) -> None:
        if left:
            left.remove(future)
            done.put_nowait(future)
            if not left and timer is not None:
                timer.cancel()

    async def next_one() -> AnyType:
        future = await done.get()
        if future is None:
            raise TimeoutError
        return future.result()

    for future in left:
        future.add_done_callback(note)
    if left and timeout is not None:
        timer = loop.call_later(timeout, give_up)
    for _ in range(count):
        yield next_one()


@overload
async def wait(
    fs: Iterable[_FT], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[_FT], list[_FT]]: ...


@overload
async def wait(
    fs: Iterable[asyncio.Task[AnyType]], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[asyncio.Task[AnyType]], list[asyncio.Task[AnyType]]]: ...


async def wait(
    fs: Iterable[Any], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[Any], list[Any]]:
    """Wait for futures or tasks.

    Args:
        fs: What to wait for.
        timeout: In seconds.
        return_when: As in ``asyncio.wait``.

    Returns:
        Those that are done and those that aren't, each in the order given.

    Raises:
        TypeError: ``fs`` is a single awaitable, or has a coroutine in it.
        ValueError: ``fs`` is empty, or ``return_when`` unknown.
    """
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"Expect an iterable of Tasks/Futures, not {type(fs).__name__}")
    futures: list[asyncio.Future[Any]] = list(fs)
    if not futures:
        raise ValueError("Sequence of Tasks/Futures must not be empty.")
    if return_when not in _CONDITIONS:
        raise ValueError(f"Invalid return_when value: {return_when}")
    if any(asyncio.iscoroutine(future) for future in futures):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    await _wait(futures, timeout, return_when)
    return [future for future in futures if future.done()], [future for future in futures if not future.done()]


async def _wait(futures: list[asyncio.Future[Any]], timeout_s: float | None, return_when: str) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = None if timeout_s is None else loop.call_later(timeout_s, _release, waiter)
    left = len(futures)

    def note(future: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        failed = not future.cancelled() and future.exception() is not None
        if left <= 0 or return_when == asyncio.FIRST_COMPLETED or (return_when == asyncio.FIRST_EXCEPTION and failed):
            if timer is not None:
                timer.cancel()
            _release(waiter)

    for future in futures:
        future.add_done_callback(note)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(note)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
