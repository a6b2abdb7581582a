"""The faults of one run: lets each strike at its moment, and heals everything in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .kind import Fault
from .strike import Restarts, Strike
from .units import DAY, MINUTE
from .when import At, AtPoint

if TYPE_CHECKING:
    from ..sim.world import World

HEAL_MARGIN_US = MINUTE
POINT_BY_US = DAY
"""When a plan says nothing of it: by then the points at which its faults strike are taken to have been reached."""


class _Watch:
    """A strike that waits for a point, and how many more times it must be reached."""

    __slots__ = ("after_us", "left", "strike", "subject")

    def __init__(self, strike: Strike, when: AtPoint) -> None:
        self.strike = strike
        self.subject = when.subject
        self.left = when.nth
        self.after_us = when.after_us


class PlannedFaults:
    """A plan at work. Fulfils ``sim.simulate.FaultSession``; each run needs one of its own.

    Args:
        plan: The faults.
        heal_at_us: Microseconds after the start when everything heals. Default: a minute after the last fault is over;
            for faults that wait for a named point, as if it were reached after one day.
    """

    def __init__(self, plan: Sequence[Fault], heal_at_us: int | None = None) -> None:
        self.plan = tuple(plan)
        self._heal_at_us = heal_time_us(self.plan) if heal_at_us is None else heal_at_us
        self._strikes: list[Strike] = []
        self._watches: dict[str, list[_Watch]] = {}
        self._restarts: Restarts | None = None
        self._world: World | None = None

    @property
    def heal_at_us(self) -> int:
        """Microseconds after the start when everything has healed; 0 if there are no faults."""
        return self._heal_at_us if self.plan else 0

    def planned(self) -> list[Any]:
        """The plan as plain data."""
        return [fault.to_data() for fault in self.plan]

    def not_fired(self) -> list[int]:
        """The places in the plan of those that have not bitten (yet)."""
        fired = [strike.bites > 0 for strike in self._strikes] or [False] * len(self.plan)
        return [index for index, bit in enumerate(fired) if not bit]

    def install(self, world: World) -> None:
        """Let the faults strike in this world."""
        assert self._world is None, "a session serves one run: make another one"
        self._world = world
        restarts = self._restarts = Restarts(world)
        for index, fault in enumerate(self.plan):
            strike = Strike(fault, world, index, restarts)
            self._strikes.append(strike)
            when = fault.when
            if isinstance(when, At):
                world.kernel.schedule(when.us, strike.begin)
            else:
                self._watches.setdefault(when.point, []).append(_Watch(strike, when))
        if self._watches:
            world.observers.append(self._reached)

    def _reached(self, point: str, node: str, subject: str, detail: str) -> None:
        watches = self._watches.get(point)
        if watches is None:
            return
        due: list[_Watch] | None = None
        for watch in watches:
            if watch.subject in ("", subject):
                watch.left -= 1
                if not watch.left:
                    due = [watch] if due is None else [*due, watch]
        if due is None:
            return
        world = self._world
        assert world is not None
        left = self._watches[point] = [watch for watch in watches if watch.left > 0]
        if not left:
            del self._watches[point]
            self._stop_watching(world)
        for watch in due:
            strike = watch.strike
            strike.point, strike.subject, strike.node_name = point, subject, _doer(world, point, node)
            if watch.after_us:
                world.kernel.schedule(watch.after_us, strike.begin)
            else:
                strike.begin()

    def _stop_watching(self, world: World) -> None:
        # A new list: the old one is being looped over. A bound method is a new object each time, and equal.
        if not self._watches:
            world.observers = [observer for observer in world.observers if observer != self._reached]

    def heal(self, world: World) -> None:
        """End every fault that still lasts, let none begin any more, and start again what is down."""
        self._watches.clear()
        self._stop_watching(world)
        for strike in self._strikes:
            strike.end()
        assert self._restarts is not None, "the session was never installed"
        self._restarts.heal()


def _doer(world: World, point: str, node: str) -> str:
    """The node whose doing it was that a point was reached: of a call to a service, the caller's."""
    if point.startswith("service."):
        call = world.services.current_call
        if call is not None:
            return call.source
    return node


def heal_time_us(plan: Sequence[Fault], *, duration_us: int | None = None, margin_us: int = HEAL_MARGIN_US) -> int:
    """When everything heals: a margin after the last fault is over.

    Args:
        plan: The faults.
        duration_us: How long a run without faults takes. By 1.2 times that, all named points are taken to have been
            reached. Default: one day.
        margin_us: The margin. Default one minute.

    Returns:
        Microseconds after the start; 0 for an empty plan.
    """
    if not plan:
        return 0
    reached_us = POINT_BY_US if duration_us is None else duration_us * 6 // 5
    ends = [
        (fault.when.us if isinstance(fault.when, At) else reached_us + fault.when.after_us) + fault.lasts_us()
        for fault in plan
    ]
    # A fault without an end of its own must have had the time to bite.
    if duration_us is not None:
        ends.append(reached_us)
    return max(ends) + margin_us


__all__ = ["PlannedFaults", "heal_time_us"]
