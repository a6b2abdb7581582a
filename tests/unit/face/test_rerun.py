"""Runs made again from their records alone, and whether they were the same."""

from __future__ import annotations

from dataclasses import replace

import campaign_fakes
import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.options import RunOptions
from stormproof.sim.record import RunRecord
from stormproof.sim.rerun import compare_records, hash_seed_wanted, run_again

RECORD = RunRecord(
    seed=3,
    scenario="campaign_fakes:main",
    options=RunOptions(faults=False, evict_every_task=True),
    choices_overrides={"latency#1": 4},
    stormproof_version="0.1.0",
    python_version="3.11.7",
    python_hash_seed="77",
    digest="aa",
    checkpoints=[[1024, "x"], [2048, "y"], [2100, "z"]],
)


def test_a_run_is_made_again_from_its_record_alone() -> None:
    again = run_again(RunRecord.from_json(RECORD.to_json()), trace=True, runner="campaign_fakes:traced")
    assert (again.seed, again.scenario) == (3, "campaign_fakes:main")
    assert again.options == RunOptions(faults=False, evict_every_task=True, trace=True, overrides={"latency#1": 4})
    assert again.trace


def test_a_record_of_a_local_function_cannot() -> None:
    with pytest.raises(MisuseError, match="names no scenario that can be imported"):
        run_again(replace(RECORD, scenario=""), runner="campaign_fakes:holds")


def test_the_same_run_is_recognised() -> None:
    assert compare_records(RECORD, RECORD).same is True


def test_a_run_without_a_digest_is_not_compared() -> None:
    found = compare_records(RECORD, replace(RECORD, digest=""))
    assert found.same is None
    assert "the run made again has no digest" in found.message


def test_where_two_runs_part_is_told_and_what_was_different() -> None:
    other = replace(RECORD, digest="bb", checkpoints=[[1024, "x"], [2048, "Y"], [2100, "Z"]])
    found = compare_records(RECORD, other)
    assert found.same is False
    assert "between entry 1024 and entry 2048" in found.message
    assert "the scenario's code was changed" in found.message
    found = compare_records(RECORD, replace(other, python_hash_seed="78", python_version="3.12.1"))
    assert "another version of Python: 3.12.1, recorded was 3.11.7" in found.message
    assert "another PYTHONHASHSEED: 78, recorded was 77" in found.message
    assert "was changed" not in found.message


def test_the_hash_seed_of_the_record_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    assert hash_seed_wanted(RECORD) == "77"
    assert hash_seed_wanted(replace(RECORD, python_hash_seed="random")) == "5"
    assert campaign_fakes.holds(None, seed=1, options=RunOptions()).python_hash_seed == "5"
