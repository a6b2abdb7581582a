"""The trace: what happened, each event with the id of the one that caused it (a happens-before graph)."""

from __future__ import annotations

from typing import Any

from .kernel import Kernel
from .record import TraceEvent


class Tracer:
    """Collects trace events; the kernel carries the cause along from an event to all that follows from it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.events: list[TraceEvent] = []

    def add(self, kind: str, node: str, text: str, data: dict[str, Any]) -> int:
        """Tell one event; its id counts from 1."""
        number = len(self.events) + 1
        kernel = self._kernel
        self.events.append(
            TraceEvent(
                id=number,
                cause=kernel.trace_cause,
                time_us=kernel.now_us,
                node=node,
                kind=kind,
                text=text,
                data=data,
            )
        )
        kernel.trace_cause = number
        return number
