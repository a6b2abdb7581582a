"""Mixes and the plans that seeds draw from them; profiles, which say what there is to draw for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.faults import (
    KINDS,
    At,
    AtPoint,
    EngineCrash,
    FaultMix,
    MessageLoss,
    PointCount,
    ServiceOutage,
    ServiceShape,
    Topology,
    WorkerCrash,
    check_plan,
    draw_plan,
    heal_at_us,
    mix_of,
    plan_from_data,
    plan_to_data,
)
from stormproof.faults.mix import default_weights
from stormproof.faults.when import POINTS
from stormproof.sim.choices import Choices

SEEDS = range(300)
HOUR_US = 3_600_000_000
WEEK_US = 7 * 24 * HOUR_US
DEFAULT = [name for name, _ in default_weights()]


def test_a_profile_sees_who_is_there_and_what_is_reached(topology: Topology) -> None:
    assert topology.workers == ("worker",)
    assert topology.services == (ServiceShape("payments", ("charge",)), ServiceShape("stock", ("reserve",)))
    assert topology.drivers == ("driver",)
    assert 5_000_000 < topology.duration_us < 5_200_000
    assert topology.count("service.after_effect", "payments.charge") == 1
    assert topology.count("service.after_effect") == 2
    assert topology.count("engine.before_commit") == topology.count("engine.after_commit") > 10
    assert {found.point for found in topology.points} == set(POINTS)
    assert [(call.activity, call.service, call.operation) for call in topology.calls] == [
        ("reserve", "stock", "reserve"),
        ("charge", "payments", "charge"),
    ]


def test_watching_a_run_does_not_change_it(storm: Any) -> None:
    from stormproof.faults import Profile

    assert storm.run().digest == storm.run(watch=Profile().watch).digest


def test_a_seed_draws_one_plan_and_seeds_differ(topology: Topology) -> None:
    plans = [draw_plan(Choices(seed), FaultMix(), topology) for seed in SEEDS]
    assert plans == [draw_plan(Choices(seed), FaultMix(), topology) for seed in SEEDS]
    assert len(set(plans)) > len(plans) * 9 // 10


def test_every_default_kind_is_drawn(topology: Topology) -> None:
    counts: Counter[str] = Counter()
    for seed in SEEDS:
        counts.update(fault.kind for fault in draw_plan(Choices(seed), FaultMix(), topology))
    assert sorted(counts) == sorted(DEFAULT)
    assert min(counts.values()) >= 5
    assert set(DEFAULT) == {name for name, kind in KINDS.items() if kind.__module__.startswith("stormproof.faults")}


def test_a_run_has_one_to_four_faults_of_some_kinds(topology: Topology) -> None:
    sizes = Counter(len(draw_plan(Choices(seed), FaultMix(), topology)) for seed in SEEDS)
    assert sorted(sizes) == [1, 2, 3, 4]
    assert min(sizes.values()) > 40
    none = FaultMix(faults_min=0, faults_max=0)
    assert draw_plan(Choices(1), none, topology) == ()


def test_a_swarm_switches_kinds_off(topology: Topology) -> None:
    def kinds(mix: FaultMix) -> set[str]:
        return {fault.kind for fault in draw_plan(Choices(3), mix, topology)}

    assert len(kinds(FaultMix(faults_min=200, faults_max=200, swarm=False))) == len(DEFAULT)
    assert 3 < len(kinds(FaultMix(faults_min=200, faults_max=200))) < len(DEFAULT) - 2


def test_drawn_plans_are_sound(topology: Topology) -> None:
    shape = replace(topology, workers=("worker-1", "worker-2"))
    for seed in SEEDS:
        plan = draw_plan(Choices(seed), FaultMix(), shape)
        check_plan(plan, shape)
        assert plan_from_data(plan_to_data(plan)) == plan
        for fault in plan:
            assert fault.lasts_us() <= 12 * HOUR_US + 10 * 60_000_000
            if isinstance(fault.when, At):
                assert fault.when.us <= shape.duration_us * 6 // 5
            else:
                assert fault.when.nth <= shape.count(fault.when.point, fault.when.subject)
        assert heal_at_us(plan, shape) > max(fault.lasts_us() for fault in plan)


def test_a_single_worker_always_comes_back_and_one_of_several_may_not(topology: Topology) -> None:
    mix = FaultMix.of(WorkerCrash)

    def stays_down(workers: tuple[str, ...]) -> int:
        shape = replace(topology, workers=workers)
        plans = [draw_plan(Choices(seed), mix, shape) for seed in SEEDS]
        return sum(fault.restart_after_us is None for plan in plans for fault in plan)  # type: ignore[attr-defined]

    assert stays_down(("worker",)) == 0
    assert stays_down(("worker-1", "worker-2")) > 20


def test_moments_are_at_points_near_points_and_anywhere(topology: Topology) -> None:
    found: Counter[str] = Counter()
    durations = []
    for seed in SEEDS:
        for fault in draw_plan(Choices(seed), FaultMix.of(ServiceOutage, MessageLoss, EngineCrash), topology):
            when = fault.when
            found["time" if isinstance(when, At) else "near" if when.after_us else "point"] += 1
            durations.append(fault.lasts_us())
    total = sum(found.values())
    assert found["point"] > total // 3
    assert found["time"] > total // 6
    assert found["near"] > total // 6
    assert min(durations) < 100_000
    assert max(durations) > 60_000_000


def test_in_runs_of_weeks_faults_still_meet_what_happens(topology: Topology) -> None:
    long = replace(topology, duration_us=3 * WEEK_US)
    faults = [fault for seed in SEEDS for fault in draw_plan(Choices(seed), FaultMix(), long)]
    by_clock = [fault for fault in faults if isinstance(fault.when, At)]
    assert len(by_clock) < len(faults) // 3
    assert max(fault.lasts_us() for fault in faults) <= 12 * HOUR_US + 10 * 60_000_000


def test_faults_strike_where_the_service_is_about_to_be_called(topology: Topology) -> None:
    faults = [fault for seed in SEEDS for fault in draw_plan(Choices(seed), FaultMix.of(ServiceOutage), topology)]
    aimed = [fault for fault in faults if isinstance(fault.when, AtPoint) and not fault.when.after_us]
    assert len(aimed) > len(faults) // 3
    activities = {"payments": "charge", "stock": "reserve"}
    assert all(activities[fault.service] == fault.when.subject for fault in aimed)  # type: ignore[attr-defined,union-attr]


def test_only_what_can_happen_is_drawn() -> None:
    bare = Topology(workers=("worker",), duration_us=1_000_000)
    kinds = {fault.kind for seed in SEEDS for fault in draw_plan(Choices(seed), FaultMix(), bare)}
    assert {KINDS[kind].area for kind in kinds} == {"workers", "engine", "network"}
    assert draw_plan(Choices(1), FaultMix.of(ServiceOutage), bare) == ()
    silent = replace(bare, services=(ServiceShape("mail"),))
    kinds = {fault.kind for seed in SEEDS for fault in draw_plan(Choices(seed), FaultMix(), silent)}
    assert "service_outage" in kinds
    assert "effect_reply_lost" not in kinds


def test_the_driver_does_not_crash_and_ids_of_runs_are_not_named(topology: Topology) -> None:
    for seed in SEEDS:
        for fault in draw_plan(Choices(seed), FaultMix(), topology):
            assert getattr(fault, "worker", "") != "driver"
            if isinstance(fault.when, AtPoint) and fault.when.point.startswith(("workflow_task", "engine", "history")):
                assert fault.when.subject == ""


def test_drawing_a_plan_shifts_no_other_draw(topology: Topology) -> None:
    before, after = Choices(9), Choices(9)
    draw_plan(after, FaultMix(), topology)
    assert [before.draw("network.latency", 1000) for _ in range(9)] == [
        after.draw("network.latency", 1000) for _ in range(9)
    ]
    assert all(label.startswith("faults.") for label in after.record() if label != "network.latency")


def test_a_mix_is_made_of_kinds_and_without_kinds(topology: Topology) -> None:
    few = FaultMix.of(WorkerCrash, "engine_crash", faults_max=2)
    assert few.active() == (("worker_crash", 1), ("engine_crash", 1))
    assert few.without("worker_crash").active() == (("engine_crash", 1),)
    rest = FaultMix().without(WorkerCrash)
    assert [name for name, _ in rest.active()] == [name for name in DEFAULT if name != "worker_crash"]
    assert "1 to 2 faults a run of worker_crash 1, engine_crash 1 (swarm)" in few.describe()


def test_a_mix_is_plain_data() -> None:
    for mix in (FaultMix(), FaultMix.of(WorkerCrash, faults_max=9, swarm=False)):
        again = FaultMix.from_data(mix.to_data())
        assert again.active() == mix.active()
        assert again.to_data() == mix.to_data()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FaultMix(faults_min=3, faults_max=2), "a mix of 3 to 2 faults"),
        (lambda: FaultMix((("nothing", 1),)), "there is no fault kind 'nothing'"),
        (lambda: FaultMix((("worker_crash", -1),)), "the weight of 'worker_crash' is -1"),
        (lambda: FaultMix.of("nothing"), "there is no fault kind 'nothing'"),
        (lambda: FaultMix.from_data({"kinds": {}}), "unknown field 'kinds'"),
        (lambda: FaultMix.from_data({"weights": 5}), "the weights of a fault mix are 5"),
        (lambda: FaultMix.from_data({"faults_max": "4"}), "'faults_max' of a fault mix is '4'"),
        (lambda: mix_of(5), "faults=5: expected a FaultMix"),
        (lambda: mix_of("worker_crash"), "faults='worker_crash': expected"),
        (lambda: mix_of([WorkerCrash, EngineCrash()]), "and not both"),
    ],
)
def test_a_wrong_mix_is_refused(make: Any, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        make()
    assert words in str(caught.value)


def test_what_a_scenario_says_of_faults() -> None:
    assert mix_of(None) == FaultMix()
    assert mix_of(FaultMix.of(WorkerCrash)) == FaultMix.of(WorkerCrash)
    assert mix_of([WorkerCrash, "engine_crash"]) == FaultMix.of(WorkerCrash, EngineCrash)
    assert mix_of(EngineCrash()) == (EngineCrash(),)
    assert mix_of((EngineCrash(), ServiceOutage("payments"))) == (EngineCrash(), ServiceOutage("payments"))
    assert mix_of(()) == ()


def test_runs_under_drawn_plans_come_to_an_end(storm: Any) -> None:
    """No plan of the default mix breaks the world, and most plans bite."""
    fired = 0
    for seed in range(60):
        plan = draw_plan(Choices(seed), FaultMix(), storm.topology)
        record = storm.run(*plan, seed=seed)
        fired += bool(record.faults_fired)
        assert [outcome["status"] for outcome in record.outcomes] == ["completed"], seed
        assert record.notes == []
    assert fired > 40


def test_counts_are_by_point_and_subject() -> None:
    shape = Topology(points=(PointCount("history.event", "a", 2), PointCount("history.event", "b", 3)))
    assert shape.count("history.event") == 5
    assert shape.count("history.event", "b") == 3
    assert shape.count("activity.started") == 0
