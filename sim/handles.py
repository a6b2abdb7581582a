"""What a virtual loop gives to its callers: handles of callbacks, and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

from .kernel import Entry

T = TypeVar("T")


class Handle:
    """A callback that ``call_soon``, ``call_later`` or ``call_at`` will run; does what ``asyncio.Handle`` does.

    Not a subclass of it (uvloop's are none either): its constructor costs as much as a callback.
    """

    __slots__ = ("args", "callback", "context", "entry", "when_s")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = context
        self.entry: Entry | None = None

    def cancel(self) -> None:
        """It will not run."""
        self.callback = None
        self.args = ()
        if self.entry is not None:
            self.entry.cancel()
            self.entry = None

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.callback is None

    def get_context(self) -> Context:
        """The context that it runs in."""
        return self.context


class TimerHandle(Handle):
    """A callback with its time."""

    __slots__ = ()

    when_s: float

    def when(self) -> float:
        """When it is due, in seconds of ``loop.time()``."""
        return self.when_s


class VirtualFuture(asyncio.Future[T]):
    """A future whose place in a set doesn't depend on its address; for those that users are likely to put into one."""

    number: int = 0

    def __hash__(self) -> int:
        return self.number


class VirtualTask(asyncio.Task[T]):
    """A task whose place in a set doesn't depend on its address."""

    __slots__ = ("number",)

    number: int

    def __hash__(self) -> int:
        return self.number
