"""What the kernel's parts know of a simulated operating-system process: one incarnation of a node.

``current_process`` says in whose name the running code runs. Tasks and simulated threads inherit it through their
context. Outside any process (kernel callbacks, the caller of ``simulate``) it is ``None``.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import tzinfo
from typing import Protocol


class NodeDead(BaseException):
    """The process of the running code has crashed: nothing it does has an effect any more.

    User code sees it only while a finished world buries what a crash left behind (``graveyard.py``), never during the
    run: at a crash nothing of the process runs, ``finally`` blocks included.
    """


class Process(Protocol):
    """One process. Its clocks are its own: they may be off and drift against true (kernel) time."""

    name: str
    """The name of its node, for people."""
    lane: int
    """The kernel lane of its events: they are processed in the order in which they were scheduled."""
    alive: bool
    """False from its crash or end on. Set by ``Greenlets.kill``, never reset."""
    zone: tzinfo | None
    """Its local time zone; ``None`` is UTC."""

    def wall_clock_us(self) -> int:
        """Its wall clock: microseconds since the Unix epoch."""
        ...

    def monotonic_us(self) -> int:
        """Its monotonic clock: microseconds since any fixed moment; never runs backwards."""
        ...

    def true_delay_us(self, delay_us: int) -> int:
        """How long ``delay_us`` microseconds of its monotonic clock are in kernel time."""
        ...


current_process: ContextVar[Process | None] = ContextVar("stormproof_process", default=None)


def require_alive(process: Process | None) -> None:
    """The check of every door by which a process has effects.

    Raises:
        NodeDead: The process is dead.
    """
    if process is not None and not process.alive:
        raise NodeDead(process.name)
