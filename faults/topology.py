"""What a world looks like to whoever draws faults for it: who is there, how long a run takes, which points it has."""

from __future__ import annotations

from dataclasses import dataclass

from ..sim.node import ENGINE


@dataclass(frozen=True, slots=True)
class PointCount:
    """How often a named point was reached for one subject in a run without faults."""

    point: str
    subject: str
    count: int


@dataclass(frozen=True, slots=True)
class ServiceShape:
    """An outside system and those of its operations that were seen to have effects."""

    name: str
    operations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """An activity type was seen to apply an effect: it calls this operation."""

    activity: str
    service: str
    operation: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The shape of a world.

    Attributes:
        workers: Names of the worker nodes.
        services: The outside systems.
        drivers: Names of the nodes that drive the workload; they never crash, but their messages can be lost.
        engine: The name of the engine's node.
        duration_us: How long a run without faults takes, in microseconds of virtual time.
        points: The named points that such a run reaches, each with its counts.
        calls: Which activities call which operations.
    """

    workers: tuple[str, ...] = ()
    services: tuple[ServiceShape, ...] = ()
    drivers: tuple[str, ...] = ("driver",)
    engine: str = ENGINE
    duration_us: int = 0
    points: tuple[PointCount, ...] = ()
    calls: tuple[ActivityCall, ...] = ()

    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return (self.engine, *self.workers, *(service.name for service in self.services), *self.drivers)

    def count(self, point: str, subject: str = "") -> int:
        """How often a point is reached, for one subject or (empty) for all."""
        return sum(found.count for found in self.points if found.point == point and subject in ("", found.subject))


__all__ = ["ActivityCall", "PointCount", "ServiceShape", "Topology"]
