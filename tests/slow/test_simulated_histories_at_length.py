"""The real SDK agrees with every history of the example scenarios, over 200 faulty seeds each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("temporalio")

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from stormy_scenario import SCENARIOS
from test_simulated_histories import EXAMPLES, WRONG, run

BLOCK = 20
BLOCKS = [range(start, start + BLOCK) for start in range(0, 200, BLOCK)]
ALL = {name: (scenario, judge) for name, (scenario, judge, _) in EXAMPLES.items()} | SCENARIOS


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:.TMPRL1102.", "ignore:coroutine .* was never awaited:RuntimeWarning")
def test_the_real_sdk_agrees_on_every_history(name: str, seeds: range) -> None:
    scenario, judge = ALL[name]
    judge.check(run(scenario, seeds), accepted=name not in WRONG)
