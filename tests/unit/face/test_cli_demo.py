"""``stormproof demo``: its ending and its exit code. That the story is true is tested in slow/."""

from __future__ import annotations

from typing import Any

import pytest
from stormproof.sim.campaign import CampaignResult, RunRow, RunStatus
from stormproof.sim.options import RunOptions
from stormproof.sim.verdict import Truth

from stormproof import cli_demo
from stormproof.cli import main


def row(seed: int, status: RunStatus) -> RunRow:
    result = {RunStatus.HOLDS: Truth.TRUE, RunStatus.VIOLATED: Truth.FALSE}.get(status, Truth.UNKNOWN)
    return RunRow(seed, status, verdicts=[("P2", "Order", result, "charged twice")], faults_fired={"outage": 1})


@pytest.mark.parametrize(
    ("naive", "correct", "code", "told"),
    [
        (RunStatus.VIOLATED, RunStatus.HOLDS, 0, "fails under 2 of 2 seeds; with seed 0: charged twice"),
        (RunStatus.HOLDS, RunStatus.HOLDS, 3, "give more with --seeds"),
        (RunStatus.VIOLATED, RunStatus.VIOLATED, 1, "please report the seed above"),
        (RunStatus.VIOLATED, RunStatus.UNKNOWN, 3, "give more with --seeds"),
        (RunStatus.VIOLATED, RunStatus.ERROR, 4, "please report what stands above"),
    ],
)
def test_the_demo_ends_with_0_when_it_showed_what_it_should(  # noqa: PLR0917
    naive: RunStatus,
    correct: RunStatus,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def campaign(reference: str, **options: Any) -> CampaignResult:
        name = reference.rpartition(":")[2]
        status = {"naive": naive, "correct": correct}[name]
        rows = [row(seed, status) for seed in (0, 1)]
        return CampaignResult(reference, name, RunOptions(), 0, 2, rows=rows)

    monkeypatch.setattr(cli_demo, "run_campaign", campaign)
    assert main(["demo", "--seeds", "2"]) == code
    out = capsys.readouterr().out
    assert told in out
    assert ("stormproof run stormproof.examples.abc.scenario:naive --seed 0 --show" in out) == (
        naive is RunStatus.VIOLATED
    )
