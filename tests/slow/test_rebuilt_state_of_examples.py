"""State rebuilt from history and record equals the state kept, at every commit of the examples' faulty runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from stormproof.sim.options import RunOptions
from stormproof.sim.rebuild_check import RebuildCheck
from stormproof.sim.world import World

from stormproof import simulation

EXAMPLES = {"abc:correct": 200, "abc:naive": 200, "order:correct": 200, "batch:correct": 20}


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> RebuildCheck:
    """Checks every commit of every run that follows."""
    made = RebuildCheck()
    run_scenario = simulation.run_scenario

    def checked(*scenario: Any, watch: Callable[[World], None], **options: Any) -> Any:
        def both(world: World) -> None:
            made.watch(world)
            watch(world)

        return run_scenario(*scenario, watch=both, **options)

    monkeypatch.setattr(simulation, "run_scenario", checked)
    return made


@pytest.mark.parametrize("example", EXAMPLES)
def test_at_every_commit(check: RebuildCheck, example: str) -> None:
    package, name = example.split(":")
    scenario = getattr(importlib.import_module(f"stormproof.examples.{package}.scenario"), name)
    simulator = simulation.Simulator(scenario)
    fired = 0
    for seed in range(EXAMPLES[example]):
        record = simulator.run(seed, RunOptions(checks=False, evict_every_task=seed % 2 == 1))
        fired += len(record.faults_fired)
    assert check.commits > 10 * EXAMPLES[example]
    assert fired > EXAMPLES[example] // 2
