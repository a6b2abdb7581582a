"""Watches a run without faults, to learn where and when faults can strike."""

from __future__ import annotations

from ..sim.world import World
from .topology import ActivityCall, PointCount, ServiceShape, Topology


class Profile:
    """Counts the named points that a run reaches, and sees who takes part.

    Use it with a run without faults: ``run_scenario(..., watch=profile.watch)``, then ``profile.topology()``.
    """

    def __init__(self) -> None:
        self._world: World | None = None
        self._counts: dict[tuple[str, str], int] = {}
        self._kinds: dict[str, str] = {}
        # A dict for its order.
        self._calls: dict[ActivityCall, None] = {}
        self._last_us = 0

    def watch(self, world: World) -> None:
        """Observe this world."""
        assert self._world is None, "a profile is of one run: make another one"
        self._world = world
        world.observers.append(self._reached)

    def _reached(self, point: str, node: str, subject: str, detail: str) -> None:
        key = (point, subject)
        self._counts[key] = self._counts.get(key, 0) + 1
        world = self._world
        assert world is not None
        self._last_us = world.kernel.now_us - world.start_time_us
        call = world.services.current_call
        if call is not None and call.activity is not None:
            service = subject.removesuffix(f".{call.operation}")
            self._calls[ActivityCall(call.activity.activity_type, service, call.operation)] = None
        # The nodes are gone when the run is over.
        if len(self._kinds) != len(world.nodes):
            self._kinds = {name: found.kind for name, found in world.nodes.items()}

    def topology(self, duration_us: int | None = None) -> Topology:
        """What was seen.

        Args:
            duration_us: How long the run took. Default: until the last point that it reached.
        """
        return Topology(
            workers=self._of_kind("worker"),
            services=tuple(ServiceShape(name, self._operations(name)) for name in self._of_kind("service")),
            drivers=self._of_kind("driver"),
            duration_us=self._last_us if duration_us is None else duration_us,
            points=tuple(PointCount(point, subject, count) for (point, subject), count in self._counts.items()),
            calls=tuple(self._calls),
        )

    def _of_kind(self, kind: str) -> tuple[str, ...]:
        return tuple(name for name, found in self._kinds.items() if found == kind)

    def _operations(self, service: str) -> tuple[str, ...]:
        prefix = f"{service}."
        return tuple(
            subject.removeprefix(prefix)
            for point, subject in self._counts
            if point == "service.before_effect" and subject.startswith(prefix)
        )


__all__ = ["Profile"]
