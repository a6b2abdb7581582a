"""Code that a worker was asked for and does not have.

A real service knows nothing of it: the task fails, is tried again, and fails for ever. Here it is told as what it is, a
mistake in the scenario, but not at once: with versions of code in a fleet, the worker that has it may start later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.core.errors import MisuseError
from ..engine.worker.settings import DYNAMIC

if TYPE_CHECKING:
    from ..engine.worker.settings import WorkerSettings

PATIENCE_US = 600_000_000
"""How long a task may be refused for want of code before the run is stopped: ten minutes of virtual time."""

Code = tuple[str, str]
"""Kind (``workflow`` or ``activity``) and name."""


class MissingCode:
    """What workers of each task queue have code for, and what they were asked for in vain."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Code, None]] = {}
        self._refused_at_us: dict[tuple[str, Code], int] = {}

    def register(self, settings: WorkerSettings) -> None:
        """A worker has started."""
        known = self._known.setdefault(settings.task_queue, {})
        known.update({("workflow", name): None for name in settings.workflows})
        known.update({("activity", name): None for name in settings.activities})

    def polls(self, kind: str, task_queue: str) -> bool:
        """Did a worker ever start that asks for this kind of task on this queue?"""
        return any(known_kind == kind for known_kind, _ in self._known.get(task_queue, {}))

    def polled(self, kind: str) -> list[str]:
        """All queues that a worker was started for which asks for this kind of task."""
        return [task_queue for task_queue in self._known if self.polls(kind, task_queue)]

    def refused(self, task_queue: str, code: Code, now_us: int) -> MisuseError | None:
        """A task was refused; gives the mistake if this went on for too long."""
        first_us = self._refused_at_us.setdefault((task_queue, code), now_us)
        return self._mistake(task_queue, code) if now_us - first_us >= PATIENCE_US else None

    def mistake(self) -> MisuseError | None:
        """The first thing that was refused and that no worker of its queue has had to this day."""
        for task_queue, code in self._refused_at_us:
            found = self._mistake(task_queue, code)
            if found is not None:
                return found
        return None

    def _mistake(self, task_queue: str, code: Code) -> MisuseError | None:
        known = self._known.get(task_queue, {})
        kind, name = code
        if code in known or (kind, DYNAMIC) in known:
            return None
        names = ", ".join(sorted(other for other_kind, other in known if other_kind == kind)) or "none"
        elsewhere = sorted(queue for queue, codes in self._known.items() if code in codes)
        hint = f"; task queue {elsewhere[0]!r} has one that does" if elsewhere else ""
        what = "its class" if kind == "workflow" else "it"
        return MisuseError(
            f"no worker of task queue {task_queue!r} has the {kind} {name!r} (registered there: {names}{hint}): "
            f"give {what} to a Worker of that queue"
        )
