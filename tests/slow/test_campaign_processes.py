"""Campaigns on processes: deaths, hangs, hash seeds, interruption. One process pool a test; runs are fakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stormproof.engine.core.errors import InternalError, MisuseError
from stormproof.sim import loading
from stormproof.sim.campaign import CampaignInterrupted, ExitCode, Progress, RunStatus, run_campaign
from stormproof.sim.campaign.hash_seeds import hash_seed_of
from stormproof.sim.campaign.job import Job
from stormproof.sim.campaign.journal import JournalReader
from stormproof.sim.campaign.processes import Slot
from stormproof.sim.campaign.store import open_store
from stormproof.sim.options import RunOptions

FAKES = str(Path(__file__).parent.parent / "unit" / "campaign")
if FAKES not in sys.path:
    sys.path.append(FAKES)

MAIN = "campaign_fakes:main"
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folders = list(loading.users_folders)
    yield
    loading.users_folders[:] = folders


def fake(name: str) -> str:
    return f"campaign_fakes:{name}"


def test_every_seed_runs_once_under_the_hash_seed_of_its_group() -> None:
    result = run_campaign(MAIN, seeds=24, jobs=2, runner=fake("prints_hash"))
    assert [row.seed for row in result.rows] == list(range(24))
    assert result.jobs == 2
    assert [row.python_hash_seed for row in result.rows] == [hash_seed_of(seed) for seed in range(24)]
    hashes = [row.figures["hash"] for row in result.rows]
    assert hashes[:4] * 6 == hashes
    assert len(set(hashes)) == 4
    source = "print(hash('text') & 0xFFFFFFFF)"
    alone = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONHASHSEED": hash_seed_of(1)},
        capture_output=True,
        check=True,
    )
    assert int(alone.stdout) == hashes[1]


@POSIX
def test_a_process_that_dies_or_hangs_costs_its_own_run_alone() -> None:
    # On one process, so that all of it happens in the middle of somebody's chunk.
    result = run_campaign(MAIN, seeds=12, jobs=1, isolate=True, kill_after_s=0.4, runner=fake("dies"))
    lost = {row.seed: row for row in result.rows if row.status is not RunStatus.HOLDS}
    assert {seed: row.status for seed, row in lost.items()} == {
        3: RunStatus.DIED,
        5: RunStatus.DIED,
        6: RunStatus.DIED,
        10: RunStatus.HUNG,
    }
    assert "exit code 7" in lost[3].error
    assert "SIGKILL" in lost[5].error
    assert "the last words of seed 5" in lost[5].error
    assert "SIGSEGV" in lost[6].error
    assert "had not ended after 0.4 s" in lost[10].error
    assert "campaign_fakes.py" in lost[10].error, "it says where it was stuck"
    assert "run_seed" not in lost[10].error, "and nothing of ours"
    assert [row.seed for row in result.rows] == list(range(12))
    assert lost[3].python_hash_seed == hash_seed_of(3)
    assert result.exit_code() is ExitCode.UNKNOWN
    assert "4 of 12 runs lost their process (seeds 3, 5, 6, 10)" in result.unknown_reasons


def test_a_lost_run_is_tried_again_by_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FLAG", str(tmp_path / "flag"))
    path = tmp_path / "results.db"
    first = run_campaign(MAIN, seeds=6, jobs=2, results=path, runner=fake("dies_once"))
    assert [row.seed for row in first.with_status(RunStatus.DIED)] == [4]
    second = run_campaign(MAIN, jobs=2, results=path, resume=True, runner=fake("dies_once"))
    assert second.runs_now == 1
    assert second.exit_code() is ExitCode.HOLDS


@POSIX
def test_a_process_that_is_killed_while_it_is_idle_is_replaced(tmp_path: Path) -> None:
    def job(number: int) -> Job:
        return Job(MAIN, fake("holds"), [number], RunOptions().to_data(), str(tmp_path / f"{number}.journal"))

    slot = Slot(1, tmp_path)
    try:
        slot.bind(1)
        for seed in (1, 5, 9):
            wake = threading.Event()
            slot.submit(job(seed), wake)
            assert wake.wait(30)
            assert slot.outcome() is None
            reader = JournalReader(str(tmp_path / f"{seed}.journal"))
            assert [row.seed for row in reader.read()] == [seed]
            assert reader.pid is not None
            os.kill(reader.pid, signal.SIGKILL)
            time.sleep(0.5)  # long enough for the pool to notice
    finally:
        slot.stop()


def test_processes_that_cannot_begin_end_the_campaign() -> None:
    with pytest.raises(InternalError, match="end before their first run") as caught:
        run_campaign("campaign_stillborn:main", seeds=8, jobs=2, runner=fake("holds"))
    assert "born dead" in str(caught.value)


def test_misuse_ends_the_campaign_and_keeps_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with pytest.raises(MisuseError, match="nobody polls"):
        run_campaign(MAIN, seeds=8, jobs=2, results=path, runner=fake("misused"))
    store = open_store(path)
    assert [row.status for row in store.rows(1)][:1] == [RunStatus.MISUSE]
    store.close()


def test_a_campaign_that_a_simulation_process_begins_is_refused() -> None:
    with pytest.raises(MisuseError, match="guard that call"):
        run_campaign("campaign_unguarded:main", seeds=4, jobs=2, runner=fake("holds"))


@POSIX
def test_an_interrupted_campaign_keeps_what_is_done_and_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "results.db"

    def interrupt(progress: Progress) -> None:
        if progress.done > 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(CampaignInterrupted) as caught:
        run_campaign(MAIN, seeds=5000, jobs=2, results=path, runner=fake("slow"), on_progress=interrupt)
    done = caught.value.result.rows
    assert 10 < len(done) < 5000
    assert children() == []
    store = open_store(path)
    assert list(store.rows(1)) == done
    store.close()


@POSIX
def test_kill_9_of_the_whole_campaign_loses_no_finished_run(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    source = (
        "from stormproof.sim.campaign import run_campaign\n"
        f"run_campaign({MAIN!r}, seeds=400, jobs=2, results={str(path)!r}, runner={fake('noted')!r})\n"
    )
    script = tmp_path / "campaign.py"
    script.write_text(source, encoding="utf-8")
    notes = tmp_path / "notes"
    environment = {**os.environ, "PYTHONPATH": FAKES, "FAKE_NOTES": str(notes)}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, cwd=tmp_path)
    try:
        wait_for(lambda: notes.exists() and len(notes.read_text().split()) >= 60)
    finally:
        process.kill()
        process.wait()
    # The processes of the campaign notice that their parent is gone, and end.
    wait_for(lambda: settled(notes))
    before = [int(seed) for seed in notes.read_text().split()]
    os.environ["FAKE_NOTES"] = str(notes)
    try:
        result = run_campaign(MAIN, jobs=2, results=path, resume=True, runner=fake("noted"))
    finally:
        del os.environ["FAKE_NOTES"]
    after = [int(seed) for seed in notes.read_text().split()][len(before) :]
    assert len(before) < 400
    assert not set(before) & set(after), "a finished run was made again"
    assert [row.seed for row in result.rows] == list(range(400))
    assert result.exit_code() is ExitCode.HOLDS
    assert result.resumed


def test_the_cost_of_a_run_is_small() -> None:
    began = time.perf_counter()
    run_campaign(MAIN, seeds=5000, jobs=1, options=RunOptions(faults=False), runner=fake("holds"))
    # About 45 us a run here; the bound is wide, since machines are shared.
    assert time.perf_counter() - began < 5


def wait_for(condition: object, limit_s: float = 30) -> None:
    assert callable(condition)
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def settled(file: Path) -> bool:
    size = file.stat().st_size
    time.sleep(0.3)
    return file.stat().st_size == size


def children() -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, check=False)
    lines = [line.split() for line in found.stdout.decode().splitlines()]
    return [int(pid) for pid, name in lines if name.startswith("python") and process_command(pid).count("spawn_main")]


def process_command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
