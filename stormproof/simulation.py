"""Simulating: one scenario, one seed, one judged record. All rooms meet here.

Before a scenario is run under faults it is run without (the *baseline*): from that come the points at which faults can
strike, how long the scenario takes when all is well, and the outcomes that are reachable without faults. A baseline is
made once in a process for each scenario, from fixed seeds, so that it is the same in every process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .engine.converter import DataConverter
from .engine.core import events as ev
from .engine.core.errors import MisuseError
from .faults.mix import FaultMix, draw_plan, mix_of
from .faults.plan import check_plan, plan_from_data
from .faults.profile import Profile
from .faults.session import PlannedFaults, heal_time_us
from .faults.topology import Topology
from .properties.convergence import Convergence, Reachable
from .properties.effect_at_most_once import EffectAtMostOnce
from .properties.liveness import Liveness
from .properties.replay_determinism import ReplayDeterminism
from .sim.choices import Choices
from .sim.loading import find_reference
from .sim.options import RunOptions
from .sim.patches import installed_patches
from .sim.record import RunRecord
from .sim.scenario import Scenario, as_scenario
from .sim.simulate import run_scenario
from .sim.world import World

BASELINE_SEEDS = (0, 1)
"""The seeds of the fault-free runs that a baseline is made of."""

LIVENESS_FACTOR = 10
"""P5's k: after healing a run may take so many times the slowest fault-free one, plus what it declares."""

LIVENESS_SLACK_US = 600_000_000
"""And ten minutes more, for timeouts of the engine's own (polls, calls, sticky queues)."""

RETRY_INTERVAL_DEFAULT_MAX_US = 100_000_000


@dataclass
class Baseline:
    """What fault-free runs of a scenario taught."""

    topology: Topology
    duration_us: int
    declared_us: int
    reachable: Reachable

    @property
    def liveness_us(self) -> int:
        """How long after healing everything must have closed."""
        return LIVENESS_FACTOR * self.duration_us + self.declared_us + LIVENESS_SLACK_US


@dataclass
class _Watch:
    """Keeps what the judgement needs of a world that is about to be closed."""

    profile: Profile | None = None
    world: World | None = None
    definitions: dict[str, Any] = field(default_factory=dict)

    def __call__(self, world: World) -> None:
        self.definitions = world.definitions
        if self.profile is not None:
            self.profile.watch(world)


class Simulator:
    """Runs one scenario again and again; keeps its baseline."""

    def __init__(self, scenario: Scenario, reference: str = "") -> None:
        self.scenario = scenario
        self.reference = reference
        self._baseline: Baseline | None = None

    # --- one run ----------------------------------------------------------------------------------------------------

    def run(self, seed: int, options: RunOptions) -> RunRecord:
        """One run, judged unless ``options.checks`` is off.

        Raises:
            MisuseError: The scenario cannot work, or an option is wrong.
        """
        if seed < 0:
            raise MisuseError(f"the seed is {seed}: give a whole number from 0")
        with installed_patches():
            baseline = self.baseline() if options.faults or options.checks else None
            faults = self._faults(seed, options, baseline)
            watch = _Watch()
            record = run_scenario(
                self.scenario,
                seed=seed,
                options=options,
                faults=faults,
                liveness_us=None if baseline is None else baseline.liveness_us,
                reference=self.reference,
                watch=watch,
            )
            if options.checks and baseline is not None:
                record.judge(self._properties(watch, baseline))
            return record

    def _faults(self, seed: int, options: RunOptions, baseline: Baseline | None) -> PlannedFaults | None:
        if not options.faults or baseline is None:
            return None
        plan = mix_of(self.scenario.faults) if options.plan is None else plan_from_data(options.plan)
        if isinstance(plan, FaultMix):
            plan = draw_plan(Choices(seed), plan, baseline.topology)
        else:
            check_plan(plan, baseline.topology)
        return PlannedFaults(plan, heal_time_us(plan, duration_us=baseline.topology.duration_us))

    def _properties(self, watch: _Watch, baseline: Baseline) -> list[Any]:
        scenario = self.scenario
        return [
            ReplayDeterminism(watch.definitions, DataConverter.default),
            EffectAtMostOnce(),
            Liveness(),
            Convergence(baseline.reachable, scenario.outcomes),
            *scenario.properties,
        ]

    # --- the baseline -----------------------------------------------------------------------------------------------

    def baseline(self) -> Baseline:
        """The baseline; made when first asked for.

        Raises:
            MisuseError: The scenario does not come to an end even without faults.
        """
        if self._baseline is None:
            self._baseline = self._make_baseline()
        return self._baseline

    def _make_baseline(self) -> Baseline:
        profile = Profile()
        reachable = Reachable(more=self._more)
        duration_us = declared_us = 0
        for seed in BASELINE_SEEDS:
            record = self._fault_free(seed, profile if seed == BASELINE_SEEDS[0] else None)
            reachable.add(record)
            duration_us = max(duration_us, active_us(record))
            declared_us = max(declared_us, declared_timeouts_us(record))
        return Baseline(profile.topology(duration_us), duration_us, declared_us, reachable)

    def _fault_free(self, seed: int, profile: Profile | None = None) -> RunRecord:
        options = RunOptions(faults=False, checks=False)
        return run_scenario(
            self.scenario, seed=seed, options=options, reference=self.reference, watch=_Watch(profile=profile)
        )

    def _more(self, seed: int) -> Sequence[RunRecord]:
        """Fault-free runs for one seed: the same draws, and another schedule."""
        return [self._fault_free(seed), self._fault_free(seed + 1_000_003)]


def active_us(record: RunRecord) -> int:
    """From the start of the world to the last event of any history, in microseconds."""
    starts = [history.events[0].time_us for history in record.histories]
    ends = [history.events[-1].time_us for history in record.histories]
    return max(ends) - min(starts) if ends else record.statistics["virtual_us"]


def declared_timeouts_us(record: RunRecord) -> int:
    """The sum of what activities and runs declare: their timeouts, and one longest retry interval each."""
    total_us = 0
    for history in record.histories:
        for event in history.events:
            if isinstance(event, ev.ActivityTaskScheduled):
                total_us += event.start_to_close_timeout_us + event.heartbeat_timeout_us
                policy = event.retry_policy
                interval_us = RETRY_INTERVAL_DEFAULT_MAX_US
                if policy is not None:
                    interval_us = policy.maximum_interval_us or 100 * policy.initial_interval_us
                total_us += interval_us
    return total_us


_simulators: list[tuple[Any, str, Simulator]] = []
"""The simulators of this process, by the object that they run: baselines are kept for as long as they may be needed."""

_SIMULATORS_MAX = 16


def simulator(target: Any, reference: str = "") -> Simulator:
    """The simulator of a target, made when first asked for."""
    for known, known_reference, found in _simulators:
        if known is target and known_reference == reference:
            return found
    made = Simulator(as_scenario(target), reference or find_reference(target))
    _simulators.append((target, reference, made))
    del _simulators[:-_SIMULATORS_MAX]
    return made


def run_one(target: Any, *, seed: int, options: RunOptions, reference: str = "") -> RunRecord:
    """One judged run of a target: what campaigns call in their processes."""
    return simulator(target, reference).run(seed, options)


def simulate(
    target: Scenario | Callable[..., Awaitable[Any]],
    *,
    seed: int = 0,
    faults: bool | Sequence[Any] = True,
    trace: bool = True,
    evict_every_task: bool = False,
    options: RunOptions | None = None,
) -> RunRecord:
    """Run a scenario once, under faults, and judge what happened.

    Args:
        target: An async function that uses ``Client`` and ``Worker`` as it would against a real server, or a
            ``Scenario``.
        seed: Every choice of the run comes from it. Default 0.
        faults: True draws faults from the scenario's mix; False injects none; a sequence of faults is the plan.
        trace: Keep the trace, so that the record can be shown as a timeline. Default on.
        evict_every_task: Rebuild each workflow from its history for every workflow task. Default off.
        options: All options at once, instead of the ones above.

    Returns:
        The record: ``record.check()`` raises ``AssertionError`` with the explanation if a property does not hold.

    Raises:
        MisuseError: The scenario cannot work (a queue that nobody polls, a workflow that nobody registered ...).
    """
    if options is None:
        plan = None if isinstance(faults, bool) else tuple(faults)
        options = RunOptions(
            faults=faults if isinstance(faults, bool) else True,
            plan=plan,
            trace=trace,
            evict_every_task=evict_every_task,
        )
    return run_one(target, seed=seed, options=options)


__all__ = ["Baseline", "Simulator", "run_one", "simulate", "simulator"]
