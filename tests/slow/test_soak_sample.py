"""A sample of the soak: no alarm on the correct examples; what the last result file says can be made again."""

from __future__ import annotations

import json
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from stormproof.sim.campaign import RunStatus
from stormproof.sim.options import RunOptions
from stormproof.sim.patches import installed_patches

from stormproof import run_campaign
from stormproof.simulation import run_one

EXAMPLES = {
    "abc": "stormproof.examples.abc.scenario:correct",
    "order": "stormproof.examples.order.scenario:correct",
    "batch": "stormproof.examples.batch.scenario:correct",
}
SEEDS = {"abc": 120, "order": 80, "batch": 8}
SEEDS_IN_ALL = 100_000
"""Where samples are drawn from: far beyond the seeds of the result file, so that each commit tries new ones."""

CODE = ("engine", "sim", "faults", "properties", "stormproof", "examples")


def git(repository: Path, *words: str) -> str:
    """What git prints, or an empty string where there is no repository (the tests alone, against a wheel)."""
    done = subprocess.run(["git", "-C", str(repository), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def first_seed(repository: Path, name: str) -> int:
    """Drawn from the commit id."""
    head = git(repository, "rev-parse", "HEAD") or "0"
    return (int(head[:12], 16) + len(name)) % SEEDS_IN_ALL


def scenario(name: str) -> Any:
    """The scenario itself."""
    module, _, attribute = EXAMPLES[name].partition(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_correct_examples_raise_no_alarm(name: str, repository: Path) -> None:
    base = first_seed(repository, name)
    print(f"{EXAMPLES[name]}: seeds {base} to {base + SEEDS[name] - 1}")
    result = run_campaign(EXAMPLES[name], seeds=SEEDS[name], base_seed=base, jobs=2)
    alarms = [(row.seed, row.status, row.error, row.verdicts) for row in result.rows if row.status != RunStatus.HOLDS]
    assert not alarms
    assert len(result.rows) == SEEDS[name]
    assert result.fault_counts(), "no fault fired: the sample says nothing"


def newest_results(repository: Path) -> dict[str, Any]:
    """The newest result file of the soak."""
    files = sorted((repository / "benchmarks" / "results").glob("soak-*.json"))
    if not files:
        pytest.skip("there is no result file here: the tests run without the repository")
    found: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
    return found


def test_the_result_file_tells_of_no_alarm(repository: Path) -> None:
    for name, found in newest_results(repository)["examples"].items():
        assert found["statuses"] == {"holds": found["runs"]}, name
        assert found["alarms"] == []


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_three_rows_of_the_result_file_can_be_made_again(name: str, repository: Path) -> None:
    results = newest_results(repository)
    commit = results["commit"].rstrip("+")
    if results["commit"].endswith("+") or not git(repository, "cat-file", "-t", commit):
        pytest.skip(f"the code of {results['commit']} is not at hand")
    if git(repository, "diff", "--stat", commit, "--", *CODE):
        pytest.skip(f"the code has changed since {commit}: its digests are of that code")
    rows = sorted(results["examples"][name]["spot_checks"].items())
    start = first_seed(repository, name) % len(rows)
    with installed_patches():
        for seed, digest in (rows[start:] + rows)[:3]:
            record = run_one(scenario(name), seed=int(seed), options=RunOptions())
            assert record.digest == digest, f"seed {seed}"
