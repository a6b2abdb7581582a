"""The command line in processes of its own, with real simulations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ABC = "stormproof.examples.abc.scenario"


def stormproof(*arguments: str, cwd: Path, hash_seed: str = "random") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "stormproof", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=False,
    )


def test_the_demo_shows_what_it_should_in_under_a_minute(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = stormproof("demo", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout.decode() + ended.stderr.decode()
    assert time.monotonic() - began < 60
    out = ended.stdout.decode()
    assert "naive: VIOLATED" in out
    assert "correct: HOLDS" in out
    command = next(line for line in out.splitlines() if "see that run as a timeline" in line)
    words = command.split("stormproof run ")[1].split()
    again = stormproof("run", *words, cwd=tmp_path)
    assert again.returncode == 1
    assert b"VIOLATED" in again.stdout


def test_a_seed_prints_the_same_bytes_wherever_it_runs(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    printed = {
        stormproof("run", f"{ABC}:naive", "--seed", "5", "--show", cwd=folder, hash_seed=hash_seed).stdout
        for folder, hash_seed in zip([*folders, *folders], ["random", "0", "1", "4711"], strict=True)
    }
    assert len(printed) == 1
    (text,) = printed
    assert b"digest: " in text
    assert str(tmp_path).encode() not in text


def test_a_campaign_and_a_single_run_have_one_digest(tmp_path: Path) -> None:
    ended = stormproof("run", f"{ABC}:correct", "--seeds", "6", "--jobs", "2", "--json", "r.json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout.decode() + ended.stderr.decode()
    runs = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["scenarios"][0]["runs"]
    for run in runs[1:4]:
        alone = stormproof("run", f"{ABC}:correct", "--seed", str(run["seed"]), "--evict", cwd=tmp_path)
        assert f"digest: {run['digest']}\n".encode() in alone.stdout


def test_a_record_is_the_same_run_again(tmp_path: Path) -> None:
    stormproof("run", f"{ABC}:naive", "--seed", "2", "--save-record", "r.json", cwd=tmp_path)
    ended = stormproof("run", "--record", "r.json", cwd=tmp_path)
    assert b"the same run: digest " in ended.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_ends_with_130_and_is_completed(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stormproof", "run", f"{ABC}:correct", "--seeds", "800", "-j", "2", "--results", "r.db"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    journals = tmp_path / "r.db.running"
    end = time.monotonic() + 30
    while not any(journals.glob("*.journal")) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out.decode() + err.decode()
    assert b"complete it with: stormproof run --resume r.db" in out
    ended = stormproof("run", "--resume", "r.db", "--quiet", "--json", "r.json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr.decode()
    (scenario,) = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["scenarios"]
    assert len(scenario["runs"]) == 800
    assert scenario["resumed"]


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_reader_that_has_gone_is_no_error_of_ours(tmp_path: Path) -> None:
    command = f"{sys.executable} -m stormproof run {ABC}:naive --seed 1 --show | head -2"
    ended = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert ended.stderr == b""
    assert len(ended.stdout.splitlines()) == 2
