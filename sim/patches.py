"""Putting a simulation's clocks, sleep, loops and randomness in the place of the host's, and taking them away again.

``installed_patches()`` is a context manager that counts: the outermost installs, and when it ends everything is as it
was before. ``simulate`` installs for one run (about 0.1 ms once modules are known); a campaign holds the patches around
all of its runs.

Installed or not, code outside any simulated process gets what it always got.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from freezegun import api as freezegun_api

from ..engine.core.errors import MisuseError
from . import executors, locks, randomness
from .clocks import DATETIME_CLASSES, DATETIME_METHODS, FREEZEGUN_METHODS, TIME_FUNCTIONS, factory
from .greenlets import current_thread
from .loop import VirtualLoop
from .process import current_process
from .rebind import Places

_PLAIN: dict[str, Any] = {name: getattr(asyncio, name) for name in ("new_event_loop", "as_completed")}
_PLAIN |= {name: getattr(asyncio, name) for name in ("set_event_loop", "get_event_loop")}
_start_thread = threading.Thread.start
_allocate_lock: Any = threading._allocate_lock  # type: ignore[attr-defined]  # noqa: SLF001  # `Condition` uses it


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """In a simulated thread (``asyncio.run`` there): a virtual loop."""
    thread = current_thread()
    if thread is None or thread.process is None or thread.threads is None:
        return _PLAIN["new_event_loop"]()  # type: ignore[no-any-return]
    return VirtualLoop(thread.threads.kernel, thread.process, thread.threads, in_thread=True)


def _set_event_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    thread = current_thread()
    if thread is None:
        _PLAIN["set_event_loop"](loop)
    else:
        thread.event_loop = loop


def _get_event_loop() -> asyncio.AbstractEventLoop:
    thread = current_thread()
    if thread is None or asyncio._get_running_loop() is not None:  # noqa: SLF001  # the only way that doesn't raise
        return _PLAIN["get_event_loop"]()  # type: ignore[no-any-return]
    if thread.event_loop is None:
        raise RuntimeError("There is no current event loop in this (simulated) thread.")
    return thread.event_loop  # type: ignore[no-any-return]


def _as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    """``asyncio.as_completed`` makes tasks in the order of a set of coroutines, which is the order of addresses."""
    if current_process.get() is not None and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
        fs = [asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(fs)]
    return _PLAIN["as_completed"](fs, timeout=timeout)


def _refuse_thread(self: threading.Thread) -> None:
    process = current_process.get()
    if process is not None:
        raise MisuseError(
            f"a real thread ({self.name}) was started on node {process.name}: the simulation cannot order it; "
            f"use asyncio.to_thread() or loop.run_in_executor(), which are simulated"
        )
    _start_thread(self)


class _ThreadsAsSeenByRunner:
    """``threading`` for ``asyncio.Runner``, which takes Ctrl-C over if it runs in the main thread.

    A simulated thread is not the main thread, though it runs there: Ctrl-C belongs to whoever started the simulation.
    """

    main_thread = staticmethod(threading.main_thread)

    @staticmethod
    def current_thread() -> Any:
        return threading.current_thread() if current_thread() is None else None

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class _Patches:
    def __init__(self) -> None:
        self._holders = 0
        self._places = Places()
        self._undo: list[tuple[Any, str, Any]] = []
        self._changed: list[Any] = []
        self._replacements: dict[int, tuple[Any, Any]] = {}

    def hold(self) -> None:
        self._holders += 1
        if self._holders == 1:
            self._install()

    def release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._uninstall()

    def _install(self) -> None:
        factories: list[Any] = freezegun_api.freeze_factories
        factories.append(factory)
        freezegun_api.tz_offsets.append(dt.timedelta(0))
        freezegun_api.ignore_lists.append(())
        freezegun_api.tick_flags.append(False)
        for (owner, name), method in DATETIME_METHODS.items():
            setattr(owner, name, method)
        for owner, name, original, replacement in _replaced():
            self._undo.append((owner, name, original))
            self._replacements[id(original)] = original, replacement
            setattr(owner, name, replacement)
        self._changed = self._places.bind(self._replacements)
        for owner, name, value in _shims():
            self._undo.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    def _uninstall(self) -> None:
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)
        self._places.restore(self._changed, self._replacements)
        self._undo.clear()
        self._changed = []
        self._replacements = {}
        for owner, name in DATETIME_METHODS:
            if (owner, name) in FREEZEGUN_METHODS:
                setattr(owner, name, FREEZEGUN_METHODS[owner, name])
            else:
                delattr(owner, name)
        factories: list[Any] = freezegun_api.freeze_factories
        index = factories.index(factory)
        for stack in (factories, freezegun_api.tz_offsets, freezegun_api.ignore_lists, freezegun_api.tick_flags):
            del stack[index]


def _replaced() -> list[tuple[Any, str, Any, Any]]:
    """``(owner, name, what is there, its replacement)`` of everything whose imported names are bound anew."""
    outside = {name: getattr(time, name) for name in TIME_FUNCTIONS if hasattr(time, name)}
    result = [(time, name, original, TIME_FUNCTIONS[name](outside, name)) for name, original in outside.items()]
    result += [
        (dt, name, real, fake)
        for name, real, fake in DATETIME_CLASSES
        if getattr(dt, name) is real  # not if a freeze_time around the simulation has replaced it
    ]
    asyncio_functions: dict[str, Callable[..., Any]] = {
        "new_event_loop": _new_event_loop,
        "set_event_loop": _set_event_loop,
        "get_event_loop": _get_event_loop,
        "as_completed": _as_completed,
    }
    result += [(asyncio, name, getattr(asyncio, name), new) for name, new in asyncio_functions.items()]
    return [*result, *randomness.replacements()]


def _shims() -> list[tuple[Any, str, Any]]:
    """What is replaced in one place only."""
    return [
        (asyncio.events, "new_event_loop", _new_event_loop),
        (asyncio.events, "set_event_loop", _set_event_loop),
        (asyncio.runners, "threading", _ThreadsAsSeenByRunner()),
        (threading.Thread, "start", _refuse_thread),
        (threading, "Lock", locks.replacement(threading.Lock, locks.SimulatedLock)),
        (threading, "RLock", locks.replacement(threading.RLock, locks.SimulatedRLock)),
        (threading, "_allocate_lock", locks.replacement(_allocate_lock, locks.SimulatedLock)),
        (ThreadPoolExecutor, "submit", executors.submit),
        (ThreadPoolExecutor, "shutdown", executors.shutdown),
        *randomness.shims(),
    ]


_patches = _Patches()


@contextmanager
def installed_patches() -> Generator[None, None, None]:
    """Inside the block, simulated processes see virtual time. Blocks may be nested; the outermost counts."""
    _patches.hold()
    try:
        yield
    finally:
        _patches.release()


__all__ = ["installed_patches"]
