"""What happens to worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...engine.core.errors import MisuseError
from ...sim.node import Node
from ..kind import Fault, register
from ..units import SECOND, duration_text
from ..when import At

if TYPE_CHECKING:
    from ..draw import PlanDraw
    from ..strike import Strike
    from ..topology import Topology

WORKER_POINTS = (
    "service.before_effect",
    "service.after_effect",
    "activity.started",
    "activity.before_report",
    "activity.after_report",
    "workflow_task.received",
    "workflow_task.before_answer",
    "workflow_task.answered",
)
ENGINE_AREAS = ("engine.", "history.")


@dataclass(frozen=True, slots=True)
class _WorkerFault(Fault):
    """Base of what happens to one worker process.

    Args:
        worker: The name of the worker's node. Default: the worker that reached the point at which it strikes (of a
            point of a service: the worker that had called).
        restart_after_us: Microseconds until the process is started again; ``None``: when everything heals. Default 1 s.
    """

    area: ClassVar[str] = "workers"

    worker: str = ""
    restart_after_us: int | None = SECOND

    def check(self) -> None:
        """It must be clear which worker is meant."""
        if self.worker:
            return
        if isinstance(self.when, At) or self.when.point.startswith(ENGINE_AREAS):
            raise MisuseError(
                f"{self.kind} {self.when} names no worker: give it one (worker='worker'), or let it strike at a point "
                f"that a worker reaches ({', '.join(WORKER_POINTS)})"
            )

    def victim(self, strike: Strike) -> Node | None:
        """The worker's node. Of a point that no worker reached (a driver called the service), there is none."""
        if self.worker:
            return strike.node(self.worker)
        node = strike.node(strike.node_name)
        return node if node is not None and node.kind == "worker" else None

    def lasts_us(self) -> int:
        """Until the process is back."""
        return self.restart_after_us or 0

    def names(self) -> dict[str, str]:
        """The worker."""
        return {self.worker: "worker"} if self.worker else {}

    def who(self) -> str:
        """The worker, for sentences."""
        return self.worker or "the worker that is at it"

    def restart_text(self) -> str:
        """When it comes back, for sentences."""
        if self.restart_after_us is None:
            return "and stays down until everything heals"
        return f"and is started again after {duration_text(self.restart_after_us)}"

    @classmethod
    def applies(cls, topology: Topology) -> bool:
        """Where there is a worker."""
        return bool(topology.workers)

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """At any point that workers reach, or any time. A worker stays down only where another one goes on."""
        restart_after_us: int | None = draw.restart_after_us()
        if len(draw.topology.workers) > 1 and draw.chance("never_back", 1, 8):
            restart_after_us = None
        when = draw.when(*WORKER_POINTS)
        named = isinstance(when, At) or when.point.startswith(ENGINE_AREAS)
        return cls(draw.worker() if named else "", restart_after_us, when=when)


@register
@dataclass(frozen=True, slots=True)
class WorkerCrash(_WorkerFault):
    """A worker process dies: not one more line of its code runs, ``finally`` blocks included.

    In the real world: out of memory, a segmentation fault, a lost machine, ``kill -9``. What it had in memory is gone;
    what it had sent is under way.

    Applies to: a worker that is up. At a point it dies exactly there: after an effect and before its report, say.

    Args:
        worker: The name of the worker's node. Default: the worker that reached the point at which it strikes (of a
            point of a service: the worker that had called).
        restart_after_us: Microseconds until the process is started again; ``None``: when everything heals. Default 1 s.
    """

    kind: ClassVar[str] = "worker_crash"
    weight: ClassVar[int] = 4

    def strike(self, strike: Strike) -> None:
        """It dies."""
        node = self.victim(strike)
        if node is not None:
            strike.crash(node, self.restart_after_us)

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.who()} crashes {self.restart_text()}"


@register
@dataclass(frozen=True, slots=True)
class WorkerShutdown(_WorkerFault):
    """A worker process is asked to end, and does so in an orderly way; then it is started again.

    In the real world: a rolling deploy, a machine that is drained (SIGTERM). It polls no more; its activities may go on
    for their grace period (``graceful_shutdown_timeout`` of the ``Worker``), then they are cancelled, and their
    ``finally`` blocks run and count. Who does not end in time is killed.

    Applies to: a worker that is up.

    Args:
        worker: The name of the worker's node. Default: the worker that reached the point at which it strikes (of a
            point of a service: the worker that had called).
        restart_after_us: Microseconds from its end until the process is started again; ``None``: when everything heals.
            Default 1 s.
        kill_after_us: Microseconds after which it is killed if it has not ended. Default 30 s, as Kubernetes has it.
    """

    kind: ClassVar[str] = "worker_shutdown"
    weight: ClassVar[int] = 2

    kill_after_us: int = 30 * SECOND

    def strike(self, strike: Strike) -> None:
        """It is asked to end."""
        node = self.victim(strike)
        if node is not None:
            strike.shut_down(node, kill_after_us=self.kill_after_us, restart_after_us=self.restart_after_us)

    def lasts_us(self) -> int:
        """Until the process is back, if it takes all its time."""
        return self.kill_after_us + (self.restart_after_us or 0)

    def sentence(self) -> str:
        """In plain words."""
        return f"{self.who()} is shut down in an orderly way {self.restart_text()}"


__all__ = ["WorkerCrash", "WorkerShutdown"]
