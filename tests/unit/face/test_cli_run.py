"""``stormproof run`` as a user meets it. Runs are fakes and happen in this process; processes are tested in slow/."""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import campaign_fakes
import pytest
from stormproof.sim.campaign import RunStatus, run_campaign
from stormproof.sim.campaign.hash_seeds import hash_seed_of

from stormproof import cli_run
from stormproof.cli import main

TARGET = "campaign_fakes:main"


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def stormproof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    def inline(*arguments: Any, **options: Any) -> Any:
        return run_campaign(*arguments, **{**options, "isolate": False, "jobs": 1})

    monkeypatch.setattr(cli_run, "run_campaign", inline)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, fake: str = "holds") -> Ended:
        runner = ["--runner", f"campaign_fakes:{fake}"] if arguments[:1] == ("run",) else []
        code = main([*arguments, *runner])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


def test_a_campaign_that_holds(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seeds", "12")
    assert ended.code == 0
    assert "main: HOLDS in 12 runs (seeds 0 to 11" in ended.out
    assert "P10 convergence" in ended.out
    assert "faults fired: outage 6" in ended.out
    assert ended.err == ""


def test_without_a_number_there_are_100_seeds(stormproof: Any) -> None:
    assert "in 100 runs (seeds 0 to 99" in stormproof("run", TARGET).out


def test_a_campaign_that_is_violated(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seeds", "5", "--seed", "4", fake="fails_at_7")
    assert ended.code == 1
    assert "main: VIOLATED in 5 runs (seeds 4 to 8" in ended.out
    assert "1 violated, 4 hold" in ended.out
    assert "first failure: seed 7 (1 of 5 runs failed)" in ended.out
    assert "the order was charged twice" in ended.out
    assert f"see it: stormproof run {TARGET} --seed 7 --show" in ended.out


def test_the_command_that_reproduces_says_which_options_it_was(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seeds", "9", "--evict", "--no-faults", fake="fails_at_7")
    command = next(line for line in ended.out.splitlines() if line.startswith("see it: "))
    again = stormproof(*command.removeprefix("see it: stormproof ").split(), fake="fails_at_7")
    assert again.code == 1
    assert "main, seed 7: VIOLATED" in again.out


def test_one_seed(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seed", "7", fake="fails_at_7")
    assert ended.code == 1
    assert ended.out == (
        "main, seed 7: VIOLATED\n"
        "  violated P10 convergence, Order: the order was charged twice\n"
        "  holds    P1 replay determinism, Order\n"
        "outcomes: no workflow ran\n"
        "faults fired: outage 1\n"
        f"digest: {7:032x}\n"
    )


def test_no_fault_is_no_news_for_a_single_run(stormproof: Any) -> None:
    assert stormproof("run", TARGET, "--seed", "2").code == 0
    assert stormproof("run", TARGET, "--seed", "2", "--seeds", "1").code == 3


def test_unknown_and_allowed(stormproof: Any) -> None:
    for arguments in (("--seeds", "3"), ("--seed", "3")):
        assert stormproof("run", TARGET, *arguments, fake="bounded").code == 3
        assert stormproof("run", TARGET, *arguments, "--allow-unknown", fake="bounded").code == 0
    assert "every run hit a bound (events)" in stormproof("run", TARGET, "--seeds", "3", fake="bounded").out


def test_show_tells_a_timeline(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seed", "1", "--show", fake="traced")
    assert "!! outage of C" in ended.out
    assert ended.out.index("!! outage of C") < ended.out.index("main, seed 1: HOLDS")


def test_quiet_prints_nothing(stormproof: Any) -> None:
    for arguments in (("--seeds", "9"), ("--seed", "7", "--show")):
        ended = stormproof("run", TARGET, *arguments, "--quiet", fake="fails_at_7")
        assert (ended.code, ended.out, ended.err) == (1, "", "")


def test_json_has_each_run(stormproof: Any, tmp_path: Path) -> None:
    stormproof("run", TARGET, "--seeds", "9", "--json", "a.json", fake="fails_at_7")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    data = json.loads(text)
    assert (data["verdict"], data["exit_code"], data["schema_version"]) == ("violated", 1, 1)
    (scenario,) = data["scenarios"]
    assert scenario["first_failure"]["seed"] == 7
    assert [run["seed"] for run in scenario["runs"]] == list(range(9))
    run = scenario["runs"][7]
    assert (run["status"], run["digest"], run["faults_fired"]) == ("violated", f"{7:032x}", {"outage": 1})
    assert run["verdicts"][1] == {
        "code": "P10",
        "workflow": "Order",
        "result": "false",
        "message": "the order was charged twice",
    }
    stormproof("run", TARGET, "--seeds", "9", "--json", "b.json", fake="fails_at_7")
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == text, "same results, same bytes"


def test_json_on_standard_output_is_alone_there(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seed", "1", "--json", "-")
    assert json.loads(ended.out)["scenarios"][0]["verdict"] == "holds"
    assert "seed 1: HOLDS" in ended.err


def test_every_scenario_of_a_module_is_run(stormproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from stormproof.sim.loading import Target

    targets = [Target(f"campaign_fakes:{name}", name, getattr(campaign_fakes, name)) for name in ("main", "other")]
    monkeypatch.setattr(cli_run, "load_targets", lambda reference: targets)
    ended = stormproof("run", "campaign_fakes", "--seeds", "4")
    assert "main: HOLDS" in ended.out
    assert "other: HOLDS" in ended.out
    ended = stormproof("run", "campaign_fakes", "--seed", "4")
    assert "main, seed 4: HOLDS" in ended.out
    assert "other, seed 4: HOLDS" in ended.out
    ended = stormproof("run", "campaign_fakes", "--seed", "4", "--save-record", "r.json")
    assert ended.code == 2
    assert "name one of campaign_fakes:main, campaign_fakes:other" in ended.err


def test_a_record_makes_its_run_again(stormproof: Any, tmp_path: Path) -> None:
    stormproof("run", TARGET, "--seed", "7", "--evict", "--save-record", "r.json", fake="fails_at_7")
    data = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (data["scenario"], data["seed"], data["options"]["evict_every_task"]) == (TARGET, 7, True)
    ended = stormproof("run", "--record", "r.json", fake="fails_at_7")
    assert ended.code == 1
    assert f"the same run: digest {7:032x}" in ended.out
    data["digest"] = "00"
    data["python_version"] = "3.9.1"
    (tmp_path / "r.json").write_text(json.dumps(data), encoding="utf-8")
    ended = stormproof("run", "--record", "r.json")
    assert ended.code == 1
    assert "not the same run" in ended.out
    assert "another version of Python" in ended.out


def test_a_store_is_kept_and_completed(stormproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_fakes, "INTERRUPT_AT", 5)
    ended = stormproof("run", TARGET, "--seeds", "9", "--results", "r.db", fake="interrupted")
    assert ended.code == 130
    assert "main: UNKNOWN in 5 of 9 runs" in ended.out
    assert "interrupted; complete it with: stormproof run --resume r.db" in ended.out
    monkeypatch.setattr(campaign_fakes, "INTERRUPT_AT", None)
    ended = stormproof("run", "--resume", "r.db", fake="interrupted")
    assert ended.code == 0
    assert "main: HOLDS in 9 runs (seeds 0 to 8, 5 of them from before" in ended.out


def test_an_interrupted_campaign_without_a_store_says_what_would_have_helped(
    stormproof: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_fakes, "INTERRUPT_AT", 5)
    ended = stormproof("run", TARGET, "--seeds", "9", fake="interrupted")
    assert ended.code == 130
    assert "with --results FILE a campaign can be completed later" in ended.out
    assert stormproof("run", TARGET, "--seed", "5", fake="interrupted").code == 130


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "name what to run"),
        (["run", "nope.py"], "there is no file nope.py"),
        (["run", TARGET, "--seed", "-1"], "-1 is not in the range x>=0"),
        (["run", TARGET, "--seeds", "0"], "0 is not in the range x>=1"),
        (["run", TARGET, "--seed", "x"], "'x' is not a valid integer"),
        (["run", TARGET, "--jobs", "0"], "0 is not in the range x>=1"),
        (["run", TARGET, "--real-time-limit", "0"], "0.0 is not in the range x>0"),
        (["run", TARGET, "--show"], "--show tells one run: add --seed N"),
        (["run", TARGET, "--save-record", "r.json"], "--save-record writes one run: add --seed N"),
        (["run", TARGET, "--seed", "1", "--results", "r.db"], "--results is about a campaign"),
        (["run", TARGET, "--seed", "1", "--resume", "r.db"], "--resume is about a campaign"),
        (["run", TARGET, "--results", "a.db", "--resume", "b.db"], "name two files"),
        (["run", TARGET, "--resume", "none.db"], "there is no result store none.db"),
        (["run", "--resume", "none.db"], "there is no result store none.db"),
        (["run", "--record", "none.json"], "the record none.json cannot be read: No such file"),
        (["run", TARGET, "--record", "r.json", "--seed", "3"], "leave out TARGET, --seed"),
        (["run", TARGET, "--seed", "1", "--json", "no/folder.json"], "cannot be written to no/folder.json"),
        (["run", TARGET, "--seed", "1", "--save-record", "no/folder.json"], "cannot be written to no/folder.json"),
        (["run", TARGET, "--colour"], "No such option"),
        (["dance"], "No such command 'dance'"),
        (["run", "campaign_fakes:record_of"], "is a plain function"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(stormproof: Any, arguments: list[str], told: str) -> None:
    ended = stormproof(*arguments)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == "" or "folder.json" in told


def test_a_scenario_that_cannot_work_is_misuse(stormproof: Any) -> None:
    for arguments in (("--seed", "1"), ("--seeds", "4")):
        ended = stormproof("run", TARGET, *arguments, fake="misused")
        assert ended.code == 2
        assert ended.err == "stormproof: error: nobody polls the task queue 'orders': start a worker for it\n"


def test_an_error_of_our_own_asks_for_a_report(stormproof: Any) -> None:
    ended = stormproof("run", TARGET, "--seed", "3", fake="breaks")
    assert ended.code == 4
    assert "error of stormproof's own, not of your code. Please report it" in ended.err
    assert "ValueError: a mistake of ours" in ended.err
    ended = stormproof("run", TARGET, "--seeds", "5", fake="breaks")
    assert ended.code == 4
    assert "main: ERROR in 5 runs" in ended.out
    assert "1 run met an error of stormproof's own (seeds 3); seed 3:" in ended.out


def test_lost_processes_are_told_with_their_seeds(stormproof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*arguments: Any, **options: Any) -> Any:
        result = run_campaign(*arguments, **{**options, "isolate": False, "jobs": 1})
        result.rows[2].status = RunStatus.DIED
        result.rows[2].error = "its process was ended by signal 9\nits last output:\n\x1b[31mred"
        return result

    monkeypatch.setattr(cli_run, "run_campaign", lossy)
    ended = stormproof("run", TARGET, "--seeds", "5")
    assert ended.code == 3
    assert "1 run died with the process (seeds 2); seed 2:" in ended.out
    assert "\\x1b[31mred" in ended.out
    assert "\x1b" not in ended.out


def test_version_and_help(stormproof: Any) -> None:
    assert stormproof("--version").out.startswith("stormproof, version ")
    ended = stormproof("--help")
    assert ended.code == 0
    assert all(command in ended.out for command in ("demo", "replay", "run"))
    assert main([]) == 2


def test_a_process_with_another_hash_seed_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from stormproof import cli_process

    begun: list[Any] = []
    monkeypatch.setattr(cli_process, "_is_command_line", True)
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setattr(os, "execve", lambda *arguments: begun.append(arguments))
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    cli_process.same_process_or_again(hash_seed_of(5))
    ((path, command, environment),) = begun
    assert path == sys.executable
    assert command[1:] == sys.orig_argv[1:]
    assert environment["PYTHONHASHSEED"] == hash_seed_of(5)
    for same in ("1", "random"):
        cli_process.same_process_or_again(same)
    monkeypatch.setattr(cli_process, "_is_command_line", False)
    cli_process.same_process_or_again(hash_seed_of(5))
    assert len(begun) == 1


def test_the_exit_code_of_several_is_the_weightiest() -> None:
    order = [130, 4, 2, 1, 3, 0]
    codes = [cli_run.ExitCode(code) for code in order]
    assert functools.reduce(lambda a, b: cli_run.worst([a, b]), reversed(codes)) == 130
    for position in range(len(codes) - 1):
        assert cli_run.worst(codes[position:]) == codes[position]
    assert cli_run.worst([]) == 0
