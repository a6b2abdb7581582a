"""What the engine needs of the process that it runs in: protocols, and the context variable that reaches a world.

The server machine and the worker machine are callback-based and run on a ``Host``. The public API (``Client``,
``Worker``) finds the world through ``current_world``. ``sim`` implements both; a real-time server can do so later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from .core.errors import MisuseError, ServiceError

if TYPE_CHECKING:
    from .worker.settings import WorkerSettings


class Cancellable(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Forget it; does nothing when it already ran."""


class Host(Protocol):
    """One process (a node incarnation). Nothing given to a host runs any more once the process has died."""

    @property
    def identity(self) -> str:
        """The name of the process, as Temporal's ``identity``."""
        ...

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, by this process's clock."""
        ...

    def call_later(self, delay_us: int, callback: Callable[..., None], *args: Any) -> Cancellable:
        """Run ``callback(*args)`` after ``delay_us`` microseconds."""
        ...

    def call_service(
        self,
        request: object,
        on_reply: Callable[[Any], None],
        *,
        timeout_us: int,
        long_poll: bool = False,
    ) -> None:
        """Send a request to the engine's service; ``on_reply`` gets the response or a ``ServiceError``, exactly once.

        A long poll has no timer of its own while it is not lost: a process that merely waits costs nothing.
        """

    def new_id(self, purpose: str) -> str:
        """A new UUID string, drawn from the world's choices."""
        ...

    def choose(self, label: str, count: int) -> int:
        """One of ``range(count)``; drawn where ``count`` is more than one."""
        ...

    def start_coroutine(self, coroutine: Coroutine[Any, Any, Any], name: str, on_done: Callable[[Any], None]) -> Any:
        """Run a coroutine as a task on this process's asyncio loop; ``on_done`` gets the task. Returns the task."""
        ...

    def start_thread(
        self, function: Callable[[], Any], name: str, on_done: Callable[[Any, BaseException | None], None]
    ) -> Any:
        """Run a blocking function in a (simulated) thread; ``on_done`` gets its result and error. Returns a handle."""
        ...


class World(Protocol):
    """What ``Client`` and ``Worker`` find while a simulation (or a real-time engine) is running."""

    def current_host(self) -> Host:
        """The process that the calling code runs in."""
        ...

    def run_worker(self, settings: WorkerSettings, stop: asyncio.Event) -> Awaitable[None]:
        """Run a worker on a process of its own until ``stop`` is set and its shutdown has ended."""
        ...


current_world: ContextVar[World | None] = ContextVar("stormproof_world", default=None)


def world() -> World:
    """The world of the calling code.

    Raises:
        MisuseError: No simulation is running here.
    """
    found = current_world.get()
    if found is None:
        raise MisuseError(
            "no simulation is running here: call this from the function that you hand to stormproof.simulate(), "
            "or run the module with `stormproof run module.py:main`"
        )
    return found


__all__ = ["Cancellable", "Host", "ServiceError", "World", "current_world", "world"]
