"""``ThreadPoolExecutor`` on a node: its threads are simulated ones.

At most ``max_workers`` jobs run at a time, the others wait in the order in which they came; which of those that run
goes first is drawn, as between any threads. An executor that several nodes share (an object of a module) serves each as
if it were its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from .greenlets import Greenlets, block_until, blocking_thread
from .process import Process, current_process, require_alive

_plain_submit = ThreadPoolExecutor.submit
_plain_shutdown = ThreadPoolExecutor.shutdown


class NumberedFuture(Future[Any]):
    """A future whose place in a set doesn't depend on its address."""

    number: int = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Jobs:
    """What one process has given to one executor."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.count = 0
        self.closed = False
        self.waiting: deque[Callable[[], None]] = deque()
        self.idle_callbacks: list[Callable[[Any], None]] = []

    def begin_next(self) -> None:
        while self.waiting and self.running < self.limit:
            self.running += 1
            self.waiting.popleft()()

    def ended(self) -> None:
        self.running -= 1
        self.begin_next()
        if not self.running:
            callbacks, self.idle_callbacks = self.idle_callbacks, []
            for callback in callbacks:
                callback(None)


_jobs: WeakKeyDictionary[Any, WeakKeyDictionary[Process, _Jobs]] = WeakKeyDictionary()


def _jobs_of(executor: Any, process: Process) -> _Jobs:
    by_process = _jobs.setdefault(executor, WeakKeyDictionary())
    found = by_process.get(process)
    if found is None:
        found = by_process[process] = _Jobs(executor._max_workers)  # noqa: SLF001  # it is public nowhere
    return found


def submit_in(
    greenlets: Greenlets, process: Process, executor: ThreadPoolExecutor, function: Callable[[], Any]
) -> NumberedFuture:
    """Give a process's executor a job."""
    jobs = _jobs_of(executor, process)
    if jobs.closed:
        raise RuntimeError("cannot schedule new futures after shutdown")
    jobs.count += 1
    future = NumberedFuture()
    future.number = jobs.count

    def done(result: Any, error: BaseException | None) -> None:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
        jobs.ended()

    def begin() -> None:
        if future.set_running_or_notify_cancel():
            greenlets.spawn(process, function, done)
        else:
            jobs.ended()

    jobs.waiting.append(begin)
    jobs.begin_next()
    return future


def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """``ThreadPoolExecutor.submit`` while a simulation is installed."""
    process = current_process.get()
    if process is None:
        return _plain_submit(self, fn, *args, **kwargs)
    require_alive(process)
    thread = blocking_thread("ThreadPoolExecutor.submit()")
    assert thread.threads is not None
    return submit_in(thread.threads, process, self, partial(fn, *args, **kwargs))


def shutdown(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
    """``ThreadPoolExecutor.shutdown`` while a simulation is installed."""
    process = current_process.get()
    if process is None:
        _plain_shutdown(self, wait, cancel_futures=cancel_futures)
        return
    jobs = _jobs_of(self, process)
    jobs.closed = True
    if cancel_futures:
        jobs.waiting.clear()
    if wait and jobs.running:
        block_until(jobs.idle_callbacks.append)
