"""The real SDK agrees with every history of the example scenarios, over 200 faulty seeds each."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("temporalio")

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

stormy = importlib.import_module("stormy_scenario")
shorter = importlib.import_module("test_simulated_histories")

BLOCK = 20
BLOCKS = [range(start, start + BLOCK) for start in range(0, 200, BLOCK)]
ALL = {name: (scenario, judge) for name, (scenario, judge, _) in shorter.EXAMPLES.items()} | stormy.SCENARIOS


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:.TMPRL1102.", "ignore:coroutine .* was never awaited:RuntimeWarning")
def test_the_real_sdk_agrees_on_every_history(name: str, seeds: range) -> None:
    scenario, judge = ALL[name]
    judge.check(shorter.run(scenario, seeds), accepted=name not in shorter.WRONG)
