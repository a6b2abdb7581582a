"""The fault mix: which kinds a run draws from, how often, and how many; and the plan that a seed draws from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.core.errors import MisuseError
from ..sim.choices import Choices
from . import kinds  # noqa: F401  # registers the kinds of the default mix
from .draw import PlanDraw
from .kind import KINDS, Fault, kind_named
from .plan import Plan
from .session import heal_time_us
from .topology import Topology


def default_weights() -> tuple[tuple[str, int], ...]:
    """The weights of all kinds that the default mix draws, those that users registered with a weight included."""
    return tuple((name, kind.weight) for name, kind in KINDS.items() if kind.weight)


@dataclass(frozen=True, slots=True)
class FaultMix:
    """Which faults runs draw.

    Args:
        weights: How often each kind is drawn beside the others: ``(("worker_crash", 3), ...)``. Default: every kind
            with its own ``weight``.
        faults_min: The fewest faults of a run. Default 1.
        faults_max: The most faults of a run; every number between is equally likely. Default 4.
        swarm: Each run first draws which kinds are on at all, each with probability 1/2 (swarm testing): runs differ
            more from each other, and faults that hide each other get their turn. Default yes.

    Raises:
        MisuseError: A kind is unknown, or a number is out of range.
    """

    weights: tuple[tuple[str, int], ...] | None = None
    faults_min: int = 1
    faults_max: int = 4
    swarm: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.faults_min <= self.faults_max:
            raise MisuseError(f"a mix of {self.faults_min} to {self.faults_max} faults: expected 0 <= fewest <= most")
        for name, weight in self.weights or ():
            kind_named(name)
            if weight.__class__ is not int or weight < 0:
                raise MisuseError(f"the weight of {name!r} is {weight!r}: expected a whole number, 0 or more")

    @classmethod
    def of(cls, *chosen: str | type[Fault], **options: Any) -> FaultMix:
        """A mix of these kinds alone, all equally often."""
        return cls(weights=tuple((_name(kind), 1) for kind in chosen), **options)

    def without(self, *unwanted: str | type[Fault]) -> FaultMix:
        """The same mix without some kinds."""
        names = [_name(kind) for kind in unwanted]
        left = tuple((name, weight) for name, weight in self.active() if name not in names)
        return FaultMix(left, self.faults_min, self.faults_max, self.swarm)

    def active(self) -> tuple[tuple[str, int], ...]:
        """The kinds that it draws, with their weights."""
        weights = default_weights() if self.weights is None else self.weights
        return tuple((name, weight) for name, weight in weights if weight)

    def describe(self) -> str:
        """In plain words, for reports."""
        shares = ", ".join(f"{name} {weight}" for name, weight in self.active()) or "no kinds"
        return f"{self.faults_min} to {self.faults_max} faults a run of {shares}{' (swarm)' if self.swarm else ''}"

    def to_data(self) -> dict[str, Any]:
        """Plain data, in full: what was drawn from stays known when defaults change."""
        return {
            "weights": dict(self.active()),
            "faults_min": self.faults_min,
            "faults_max": self.faults_max,
            "swarm": self.swarm,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> FaultMix:
        """A mix from plain data.

        Raises:
            MisuseError: A field is unknown or wrong.
        """
        known = ("weights", "faults_min", "faults_max", "swarm")
        for name in data:
            if name not in known:
                raise MisuseError(f"a fault mix has an unknown field {name!r}: expected {', '.join(known)}")
        values = dict(data)
        for name in ("faults_min", "faults_max"):
            if name in values and values[name].__class__ is not int:
                raise MisuseError(f"the field {name!r} of a fault mix is {values[name]!r}: expected a whole number")
        weights = values.get("weights")
        if weights is not None:
            if not isinstance(weights, Mapping):
                raise MisuseError(f"the weights of a fault mix are {weights!r}: expected kinds with their weights")
            values["weights"] = tuple(weights.items())
        return cls(**values)


def _name(kind: str | type[Fault]) -> str:
    return kind_named(kind if isinstance(kind, str) else kind.kind).kind


def draw_plan(choices: Choices, mix: FaultMix, topology: Topology) -> Plan:
    """The faults of one run.

    Args:
        choices: Where they are drawn from, in the stream ``faults``.
        mix: What is drawn.
        topology: The shape of the world, from a run without faults.

    Returns:
        The plan. Empty where the mix has nothing that can happen in such a world.
    """
    possible = [(name, weight) for name, weight in mix.active() if KINDS[name].applies(topology)]
    if not possible:
        return ()
    on = possible
    if mix.swarm:
        on = [item for item in possible if choices.chance(f"faults.on.{item[0]}", 1, 2)]
        on = on or [choices.pick("faults.one_on", possible)]
    count = choices.integer("faults.count", mix.faults_min, mix.faults_max)
    draw = PlanDraw(choices, topology)
    return tuple(KINDS[_weighted(choices, on)].draw(draw) for _ in range(count))


def _weighted(choices: Choices, options: Sequence[tuple[str, int]]) -> str:
    left = choices.draw("faults.kind", sum(weight for _, weight in options))
    for name, weight in options:
        left -= weight
        if left < 0:
            return name
    raise AssertionError("a draw beyond its range")


def mix_of(faults: Any) -> FaultMix | Plan:
    """What a scenario's ``faults`` mean.

    Args:
        faults: ``None``: the default mix; a ``FaultMix``; kinds (classes or names), which make a mix; faults, which
            make a plan for every run; nothing (``()``): no faults.

    Raises:
        MisuseError: It is none of these.
    """
    if faults is None:
        return FaultMix()
    if isinstance(faults, FaultMix):
        return faults
    if isinstance(faults, Fault):
        return (faults,)
    if isinstance(faults, str) or not isinstance(faults, Iterable):
        raise MisuseError(f"faults={faults!r}: expected a FaultMix, fault kinds, or faults; () for none")
    items = list(faults)
    if items and all(isinstance(item, str) or (isinstance(item, type) and issubclass(item, Fault)) for item in items):
        return FaultMix.of(*items)
    if all(isinstance(item, Fault) for item in items):
        return tuple(items)
    raise MisuseError(f"faults={faults!r}: expected fault kinds ({', '.join(KINDS)}), or faults, and not both")


def heal_at_us(plan: Sequence[Fault], topology: Topology) -> int:
    """When everything heals in a world of this shape: see ``session.heal_time_us``."""
    return heal_time_us(plan, duration_us=topology.duration_us)


__all__ = ["FaultMix", "Topology", "default_weights", "draw_plan", "heal_at_us", "mix_of"]
