"""Campaigns in this process: results, verdicts, stores, resumption. Runs are fakes; processes are tested in slow/."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import campaign_fakes
import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.campaign import (
    CampaignInterrupted,
    CampaignResult,
    ExitCode,
    Progress,
    RunRow,
    RunStatus,
    run_campaign,
)
from stormproof.sim.campaign.hash_seeds import GROUP_COUNT, hash_seed_of
from stormproof.sim.campaign.journal import JournalReader, JournalWriter
from stormproof.sim.campaign.run import stored_campaigns
from stormproof.sim.campaign.store import open_store
from stormproof.sim.options import RunOptions
from stormproof.sim.record import RunRecord
from stormproof.sim.verdict import Truth

MAIN = "campaign_fakes:main"


def campaign(runner: str, *, target: object = MAIN, **arguments: Any) -> CampaignResult:
    arguments.setdefault("seeds", 10)
    return run_campaign(target, runner=f"campaign_fakes:{runner}", **arguments)


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_a_campaign_that_holds() -> None:
    result = campaign("holds")
    assert result.exit_code() is ExitCode.HOLDS
    assert [row.seed for row in result.rows] == list(range(10))
    assert result.rows[3].digest == f"{3:032x}"
    assert result.fault_counts() == {"outage": 5}
    assert [(count.code, count.holds) for count in result.verdict_counts()] == [("P1", 10), ("P10", 10)]
    result.check()


def test_a_campaign_that_is_violated() -> None:
    result = campaign("fails_at_7")
    assert result.exit_code() is ExitCode.VIOLATED
    assert result.first_failure is not None
    assert result.first_failure.seed == 7
    with pytest.raises(AssertionError, match="the first is seed 7") as caught:
        result.check(allow_unknown=True)
    assert "charged twice" in str(caught.value)
    assert "stormproof run campaign_fakes:main --seed 7 --show" in str(caught.value)


def test_faults_that_never_fired_make_a_campaign_unknown() -> None:
    result = campaign("holds", seeds=1, base_seed=2)
    assert result.exit_code() is ExitCode.UNKNOWN
    assert "no fault ever fired" in result.unknown_reasons[0]
    assert result.exit_code(allow_unknown=True) is ExitCode.HOLDS
    with pytest.raises(AssertionError, match="no fault ever fired"):
        result.check()


def test_without_faults_none_is_missed() -> None:
    assert campaign("holds", options=RunOptions(faults=False)).exit_code() is ExitCode.HOLDS


def test_a_campaign_whose_runs_all_hit_a_bound_is_unknown() -> None:
    result = campaign("bounded")
    assert result.exit_code() is ExitCode.UNKNOWN
    assert result.unknown_reasons == ["every run hit a bound (events)"]


def test_an_error_of_our_own_outweighs_everything_and_ends_nothing() -> None:
    result = campaign("breaks_and_fails")
    assert result.exit_code() is ExitCode.INTERNAL_ERROR
    assert [row.seed for row in result.errors] == [3]
    assert "ValueError: a mistake of ours" in result.errors[0].error
    assert len(result.rows) == 10
    assert result.first_failure is not None


def test_an_exception_of_main_is_a_violation() -> None:
    result = campaign("main_raises", seeds=2)
    assert result.exit_code() is ExitCode.VIOLATED
    assert "ValueError: boom" in result.explain()


def test_a_scenario_that_cannot_work_ends_the_campaign() -> None:
    with pytest.raises(MisuseError, match="nobody polls the task queue 'orders'"):
        campaign("misused")


def test_codes_are_in_their_natural_order() -> None:
    verdicts = [(code, "", Truth.TRUE, "") for code in ("P10", "always", "P2", "P1")]
    row = RunRow(0, RunStatus.HOLDS, verdicts=verdicts)
    result = CampaignResult("", "x", RunOptions(), 0, 1, rows=[row])
    assert [count.code for count in result.verdict_counts()] == ["P1", "P2", "P10", "always"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"seeds": 0}, "number of seeds is 0"),
        ({"base_seed": -1}, "the seed is -1"),
        ({"jobs": 0}, "number of jobs is 0"),
        ({"resume": True}, "resume needs results"),
        ({"target": 3}, "3 cannot be run"),
        ({"target": "campaign_fakes:mian"}, "did you mean main"),
    ],
)
def test_misuse_is_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        campaign("holds", **arguments)


def test_a_local_function_runs_here() -> None:
    async def local() -> None: ...

    result = campaign("holds", target=local, jobs=4)
    assert (result.scenario, result.name, result.jobs) == ("", "local", 0)
    assert result.exit_code() is ExitCode.HOLDS
    assert "stormproof.simulate(local, seed=7)" in campaign("fails_at_7", target=local).explain()


def test_a_local_function_cannot_be_isolated_nor_stored(tmp_path: Path) -> None:
    async def local() -> None: ...

    with pytest.raises(MisuseError, match="move it to the top level"):
        campaign("holds", target=local, isolate=True)
    with pytest.raises(MisuseError, match="move it to the top level"):
        campaign("holds", target=local, results=tmp_path / "r.db")


def test_progress_is_told() -> None:
    told: list[Progress] = []
    campaign("fails_at_7", on_progress=told.append)
    assert [(item.done, item.failures) for item in told][-1] == (10, 1)
    assert told[-1].left_s == 0
    assert [item.done for item in told] == sorted(item.done for item in told)


# --- stores -------------------------------------------------------------------------------------------------------


def test_a_store_keeps_every_run(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    result = campaign("fails_at_7", results=path)
    store = open_store(path)
    ((campaign_id, row),) = store.campaigns()
    assert (row.scenario, row.base_seed, row.seed_count) == (MAIN, 0, 10)
    assert list(store.rows(campaign_id)) == result.rows
    store.close()
    assert [item.name for item in tmp_path.iterdir() if not item.name.startswith("results.db-")] == ["results.db"]


def test_a_stopped_campaign_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.db"
    monkeypatch.setattr(campaign_fakes, "INTERRUPT_AT", 6)
    with pytest.raises(CampaignInterrupted) as caught:
        campaign("interrupted", results=path)
    partial = caught.value.result
    assert partial.exit_code() is ExitCode.INTERRUPTED
    assert [row.seed for row in partial.rows] == list(range(6))
    assert "stopped after 6 of 10 runs" in partial.unknown_reasons[-1]

    monkeypatch.setattr(campaign_fakes, "INTERRUPT_AT", None)
    monkeypatch.setattr(campaign_fakes, "SEEN", [])
    result = campaign("interrupted", results=path, resume=True, seeds=None)
    assert campaign_fakes.SEEN == [6, 7, 8, 9]
    assert result.resumed
    assert result.runs_now == 4
    assert len(result.rows) == 10
    assert result.exit_code() is ExitCode.HOLDS


def test_runs_that_did_not_finish_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.db"
    store = open_store(path)
    monkeypatch.setattr(campaign_fakes, "SEEN", [])
    store.close()
    campaign("interrupted", results=path)
    store = open_store(path)
    store.put(1, [RunRow(4, RunStatus.DIED, error="gone"), RunRow(5, RunStatus.HUNG), RunRow(6, RunStatus.ERROR)])
    store.close()
    monkeypatch.setattr(campaign_fakes, "SEEN", [])
    result = campaign("interrupted", results=path, resume=True, seeds=12)
    assert campaign_fakes.SEEN == [4, 5, 6, 10, 11]
    assert result.seed_count == 12
    assert result.exit_code() is ExitCode.HOLDS


def test_journals_of_a_killed_campaign_are_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.db"
    campaign("interrupted", results=path, seeds=2)
    folder = tmp_path / "results.db.running"
    folder.mkdir()
    writer = JournalWriter(str(folder / "1-7.journal"))
    for seed in (2, 3):
        writer.started(seed)
        writer.finished(RunRow(seed, RunStatus.HOLDS, digest="from the journal"))
    writer.started(4)
    writer.close()
    with (folder / "1-7.journal").open("ab") as file:
        file.write(b'R {"seed": 4, "status"')
    monkeypatch.setattr(campaign_fakes, "SEEN", [])
    result = campaign("interrupted", results=path, resume=True, seeds=6)
    assert campaign_fakes.SEEN == [4, 5]
    assert [row.digest for row in result.rows][2:4] == ["from the journal"] * 2
    assert not folder.exists()


def test_a_store_holds_several_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    campaign("holds", results=path)
    campaign("holds", results=path, target="campaign_fakes:other")
    assert stored_campaigns(path) == [MAIN, "campaign_fakes:other"]
    with pytest.raises(MisuseError, match=r"holds results of campaign_fakes:main already: complete them with --resume"):
        campaign("holds", results=path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"options": RunOptions(faults=False)}, r"another options faults \(True, now False\)"),
        ({"base_seed": 5}, r"another first seed \(0, now 5\)"),
        ({"target": "campaign_fakes:other"}, "holds no results of campaign_fakes:other, only of campaign_fakes:main"),
        ({"runner_name": "fails_at_7"}, "another runner"),
    ],
)
def test_a_store_is_completed_by_its_own_campaign_alone(tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    path = tmp_path / "results.db"
    campaign("holds", results=path, seeds=2)
    with pytest.raises(MisuseError, match=told):
        campaign(arguments.pop("runner_name", "holds"), results=path, resume=True, **arguments)
    assert not (tmp_path / "results.db.running").exists()


def test_a_campaign_of_changed_code_is_not_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = tmp_path / "changing_flow.py"
    flow.write_text("async def main(): ...\n", encoding="utf-8")
    campaign("holds", target="changing_flow.py:main", results="r.db")
    flow.write_text("async def main(): ...  # changed\n", encoding="utf-8")
    with pytest.raises(MisuseError, match="its file was changed"):
        campaign("holds", target="changing_flow.py:main", results="r.db", resume=True)


def test_options_are_those_of_the_campaign_unless_others_are_given(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    campaign("holds", results=path, seeds=2, options=RunOptions(faults=False))
    assert campaign("holds", results=path, seeds=3, resume=True).options == RunOptions(faults=False)


def test_two_campaigns_cannot_write_to_one_store(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    store = open_store(path)
    with pytest.raises(MisuseError, match="in use by another campaign"):
        open_store(path)
    store.close()
    open_store(path).close()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_text("this is no database, whatever its name says" * 100, encoding="utf-8")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    open_store(newer).close()
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE stormproof_schema SET version = 9")
    connection.commit()
    connection.close()
    for path, told in (
        (text, "no result store"),
        (other, "no result store of stormproof"),
        (newer, "schema version 9"),
    ):
        with pytest.raises(MisuseError, match=told):
            open_store(path)
    with pytest.raises(MisuseError, match="there is no result store"):
        open_store(tmp_path / "none.db", must_exist=True)
    with pytest.raises(MisuseError, match="does not exist: make it first"):
        open_store(tmp_path / "no" / "folder.db")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["newer.db", "other.db", "text.db"]


# --- the small parts ----------------------------------------------------------------------------------------------


def test_a_journal_is_read_while_it_grows(tmp_path: Path) -> None:
    path = str(tmp_path / "a.journal")
    reader = JournalReader(path)
    assert reader.read() == []
    writer = JournalWriter(path)
    writer.started(5)
    assert reader.read() == []
    assert (reader.running, reader.begun) == (5, 1)
    row = RunRow(5, RunStatus.VIOLATED, verdicts=[("P1", "Order", Truth.FALSE, "no\n\udc80")], faults_fired={"x": 1})
    writer.finished(row)
    assert reader.read() == [row]
    assert reader.running is None
    writer.close()
    reader.remove()
    reader.remove()


def test_hash_seeds_are_fixed_and_four() -> None:
    values = [hash_seed_of(seed) for seed in range(100)]
    assert len(set(values)) == GROUP_COUNT
    assert values[:4] == ["2672808064", "2222290120", "3158714612", "4127015426"]
    # They stand in records and must never change: a recorded run would no longer be made again.
    assert values[:4] == ["2672808064", "2222290120", "3158714612", "4127015426"]


def test_rows_of_records_keep_messages_of_failures_alone() -> None:
    record = campaign_fakes.record_of(7, RunOptions(), message="bad")
    record.verdicts[0].message = "all is well"
    from stormproof.sim.campaign.row import row_of

    row = row_of(record, real_us=3)
    assert row.verdicts == [("P1", "Order", Truth.TRUE, ""), ("P10", "Order", Truth.FALSE, "bad")]
    assert RunRow.from_data(row.to_data()) == row


def test_a_record_says_where_it_was_made() -> None:
    record: RunRecord = campaign_fakes.record_of(0, RunOptions())
    assert record.python_version.startswith("3.")
    assert record.python_hash_seed
