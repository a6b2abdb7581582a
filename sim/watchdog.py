"""Stopping code that spins: a workflow, activity or service that computes for ever and never yields.

Virtual time stands still while user code computes, so no budget of the kernel can end it. One daemon thread per
operating-system process looks now and then whether the kernel has moved on to another entry. If one entry has used more
than ``limit_us`` of *processor time* (a machine that is merely busy raises no alarm), it says whose code that is and
raises ``SpinError`` in the simulation's thread, where the kernel ends its run with the reason ``spinning``.

An exception can only be raised between two instructions of Python: code stuck in C, or waiting for a real lock, is not
stopped by this; a campaign ends its process. Where there is no clock of a thread's processor time (Windows, macOS), the
time for which nothing moved counts.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from ..engine.core.errors import StormproofError
from .kernel import Kernel, SpinError
from .real_clock import real_sleep
from .rebind import is_user_module

LIMIT_US = 5_000_000
"""Default: microseconds of processor time that one entry may take."""

_LOOKS_PER_LIMIT = 10


class Watched(Protocol):
    """Something whose progress can be watched: a kernel, or a block of code outside one."""

    current_cause: int
    """Changes when it moves on."""
    running: bool
    busy_with: str
    draining: Any

    def spinning(self, detail: str) -> None:
        """Told just before its code is stopped."""


class CodeSpins(StormproofError):
    """Code was stopped because it spun without yielding. ``args``: whose, and where."""


class Block:
    """Code outside a kernel; see ``stopping_spins``."""

    def __init__(self, busy_with: str) -> None:
        self.current_cause = 0
        self.running = True
        self.busy_with = busy_with
        self.draining = None
        self.detail = ""

    def next(self, busy_with: str) -> None:
        """It has moved on: the limit starts anew."""
        self.busy_with = busy_with
        self.current_cause += 1

    def spinning(self, detail: str) -> None:
        """Told just before its code is stopped."""
        self.detail = detail


class _Watch:
    """What is watched: one kernel, in the thread that made this object."""

    def __init__(self, kernel: Watched, limit_us: int) -> None:
        self.kernel = kernel
        self.limit_us = limit_us
        self.thread_id = threading.get_ident()
        self._clock = None
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(self.thread_id)
        self._looks = 0
        self._raised = False
        self._entry = -1
        self._since_us = 0

    @property
    def interval_us(self) -> int:
        """Microseconds between two looks."""
        return self.limit_us // _LOOKS_PER_LIMIT

    def look(self) -> None:
        """Stop the code if it has had its time; again and again as long as it goes on."""
        kernel = self.kernel
        self._looks += 1
        spent_us = self._looks * self.interval_us
        if self._clock is not None:
            spent_us = _clock_gettime_ns(self._clock) // 1000
        if kernel.current_cause != self._entry or not kernel.running:
            self._entry = kernel.current_cause
            self._since_us = spent_us
        elif spent_us - self._since_us > self.limit_us:
            kernel.spinning(self._describe())
            self._raised = True
            _raise_in(self.thread_id, SpinError)

    def end(self) -> None:
        """Take back an exception that came too late to be raised."""
        if self._raised:
            _raise_in(self.thread_id, None)

    def _describe(self) -> str:
        kernel = self.kernel
        who = kernel.busy_with or "code"
        if kernel.draining is not None:
            task = asyncio.current_task(kernel.draining)
            if task is not None:
                who = f"{task.get_name()} ({who})"
        frame = _innermost_user_frame(sys._current_frames().get(self.thread_id))  # noqa: SLF001  # nothing else tells
        place = ""
        if frame is not None:
            code = frame.f_code
            place = f" in {code.co_qualname}, {Path(code.co_filename).name} line {frame.f_lineno}"
        return f"{who} spins without yielding{place}"


class _Watchdog:
    def __init__(self) -> None:
        self._watches: list[_Watch] = []
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, watch: _Watch) -> None:
        with self._lock:
            self._watches.append(watch)
            self._wanted.set()
            if self._thread is None or not self._thread.is_alive():  # not alive: this is a fork of its process
                self._thread = threading.Thread(target=self._run, name="stormproof watchdog", daemon=True)
                self._thread.start()

    def remove(self, watch: _Watch) -> None:
        with self._lock:
            self._watches.remove(watch)
            watch.end()

    def _run(self) -> None:
        while True:
            with self._lock:
                watches = list(self._watches)
                if not watches:
                    self._wanted.clear()
            if not watches:
                self._wanted.wait()
                continue
            real_sleep(min(watch.interval_us for watch in watches) / 1_000_000)
            with self._lock:
                for watch in self._watches:
                    watch.look()


_clock_gettime_ns: Callable[[int], int] = getattr(time, "clock_gettime_ns", lambda _: 0)
_watchdog = _Watchdog()


@contextmanager
def watched(kernel: Kernel, *, limit_us: int = LIMIT_US) -> Generator[None, None, None]:
    """Inside the block, code that spins in a callback of this kernel, in this thread, is stopped.

    Args:
        kernel: Its ``busy_with`` names whose code is running.
        limit_us: Microseconds of processor time that one entry may take.
    """
    watch = _Watch(kernel, limit_us)
    _watchdog.add(watch)
    try:
        yield
    finally:
        _watchdog.remove(watch)


@contextmanager
def stopping_spins(busy_with: str, *, limit_us: int = LIMIT_US) -> Generator[Block, None, None]:
    """Inside the block, code that runs for longer than the limit is stopped: a replay of a workflow, say.

    Args:
        busy_with: Whose code it is.
        limit_us: Microseconds of processor time that it may take, from each call of ``next`` on.

    Raises:
        CodeSpins: It was stopped.
    """
    block = Block(busy_with)
    watch = _Watch(block, limit_us)
    _watchdog.add(watch)
    try:
        yield block
    except SpinError:
        raise CodeSpins(block.detail) from None
    finally:
        block.running = False
        _watchdog.remove(watch)


def _raise_in(thread_id: int, error: type[BaseException] | None) -> None:
    pointer = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), pointer)


def _innermost_user_frame(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        module = sys.modules.get(frame.f_globals.get("__name__", ""))
        if module is None or is_user_module(module):
            return frame
        frame = frame.f_back
    return None
