"""Draws the parts of a fault (moment, duration, target ...) for a world of a given shape, from one source of choices.

All labels begin with ``faults.``: a stream of its own, so that drawing a plan shifts no other draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

from ..sim.choices import Choices
from .topology import PointCount, Topology
from .units import HOUR, MINUTE, MS
from .when import At, AtPoint, When

T = TypeVar("T")

DURATION_MIN_US = MS
DURATION_MAX_US = 12 * HOUR
DURATION_FLOOR_US = 10 * MINUTE
AFTER_FLOOR_US = 100 * MS
AFTER_MAX_US = 10 * MINUTE
RESTART_MIN_US = 10 * MS
RESTART_MAX_US = 10 * MINUTE
EFFECT_POINTS = ("service.before_effect", "service.after_effect")
BY_RUN = ("workflow_task.", "engine.", "history.")
"""Points whose subject is a workflow id. Ids may differ from run to run, so that drawn faults name none."""


class PlanDraw:
    """What ``Fault.draw`` draws with.

    Args:
        choices: The source of choices.
        topology: The shape of the world.
    """

    def __init__(self, choices: Choices, topology: Topology) -> None:
        self.choices = choices
        self.topology = topology

    # --- plain draws --------------------------------------------------------------------------------------------------

    def pick(self, what: str, options: Sequence[T]) -> T:
        """One of several."""
        return self.choices.pick(f"faults.{what}", options)

    def chance(self, what: str, numerator: int, denominator: int) -> bool:
        """True with probability ``numerator / denominator``."""
        return self.choices.chance(f"faults.{what}", numerator, denominator)

    def integer(self, what: str, low: int, high: int) -> int:
        """A number ``low <= value <= high``."""
        return self.choices.integer(f"faults.{what}", low, high)

    def spread_us(self, what: str, low_us: int, high_us: int) -> int:
        """A duration of the range, each order of magnitude equally likely."""
        return self.choices.log_uniform_us(f"faults.{what}", low_us, high_us)

    # --- moments and durations ----------------------------------------------------------------------------------------

    def when(self, *points: str) -> When:
        """A moment: half of them anywhere in 1.2 times a run without faults, half of them at points.

        Args:
            points: Names of the points at which the kind strikes best. Default: all.
        """
        found = self._points(points)
        if found and self.chance("at_point", 1, 2):
            return self._at_point(found)
        return self.moment()

    def moment(self) -> When:
        """A moment that is not a point itself.

        Half of these follow a point closely: most of the time, above all in long runs, next to nothing happens.
        """
        if self.topology.points and self.chance("after_point", 1, 2):
            longest_us = min(max(self.topology.duration_us, AFTER_FLOOR_US), AFTER_MAX_US)
            after_us = self.spread_us("after", DURATION_MIN_US, longest_us)
            return self._at_point(self.topology.points, after_us)
        return At(self.integer("at", 0, self.topology.duration_us * 6 // 5))

    def before_call(self, service: str, operation: str = "") -> When:
        """A moment: half of them when an activity starts that will call this service, or operation."""
        activities = [
            call.activity
            for call in self.topology.calls
            if call.service == service and operation in ("", call.operation)
        ]
        points = [found for found in self._points(("activity.started",)) if found.subject in activities]
        if points and self.chance("before_call", 1, 2):
            found = self.pick("activity", points)
            return AtPoint(found.point, found.subject, self.integer("nth", 1, found.count))
        return self.moment()

    def at_effect(self, service: str, operation: str) -> When:
        """A moment: half of them when an operation applies an effect, just before it or just after."""
        title = f"{service}.{operation}"
        points = [found for found in self._points(EFFECT_POINTS) if found.subject == title]
        if points and self.chance("at_effect", 1, 2):
            found = self.pick("effect_point", points)
            return AtPoint(found.point, found.subject, self.integer("nth", 1, found.count))
        return self.moment()

    def _points(self, names: Sequence[str]) -> Sequence[PointCount]:
        points = self.topology.points
        return [found for found in points if found.point in names] if names else points

    def _at_point(self, found: Sequence[PointCount], after_us: int = 0) -> AtPoint:
        # By name first: there are far more history events than effects.
        point = self.pick("point", list(dict.fromkeys(item.point for item in found)))
        subject = ""
        if not point.startswith(BY_RUN) and self.chance("of_subject", 1, 2):
            subject = self.pick("subject", [item.subject for item in found if item.point == point])
        nth = self.integer("nth", 1, self.topology.count(point, subject))
        return AtPoint(point, subject, nth, after_us)

    def duration_us(self) -> int:
        """How long something lasts: from a millisecond to ten minutes, or twice the run; never more than 12 hours."""
        longest_us = min(max(DURATION_FLOOR_US, 2 * self.topology.duration_us), DURATION_MAX_US)
        return self.spread_us("duration", DURATION_MIN_US, longest_us)

    def restart_after_us(self) -> int:
        """How long a process stays down: 10 milliseconds to 10 minutes."""
        return self.spread_us("restart", RESTART_MIN_US, RESTART_MAX_US)

    # --- targets ------------------------------------------------------------------------------------------------------

    def target(self) -> tuple[str, str]:
        """A service, and one operation of it, or (half of the time) empty: all of them."""
        service = self.pick("service", self.topology.services)
        if not service.operations or self.chance("all_operations", 1, 2):
            return service.name, ""
        return service.name, self.pick("operation", service.operations)

    def effect(self) -> tuple[str, str]:
        """A service and an operation of it that has effects."""
        effects = [(service.name, name) for service in self.topology.services for name in service.operations]
        return self.pick("effect", effects)

    def worker(self) -> str:
        """One of the workers."""
        return self.pick("worker", self.topology.workers)

    def link(self) -> tuple[str, str]:
        """Two nodes that talk to each other: one calls, the other is the engine or a service."""
        topology = self.topology
        links = [(caller, topology.engine) for caller in (*topology.workers, *topology.drivers)]
        links += [(worker, service.name) for worker in topology.workers for service in topology.services]
        return self.pick("link", links)

    def ratio(self) -> Fraction:
        """A share of calls or messages: from one in twenty to all."""
        return self.pick("ratio", RATIOS)


RATIOS: tuple[Fraction, ...] = tuple(Fraction(percent, 100) for percent in (5, 10, 20, 50, 50, 90, 100, 100))

__all__ = ["PlanDraw"]
