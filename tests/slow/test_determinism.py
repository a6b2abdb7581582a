"""One seed, one digest: twice in a process, under other hash seeds, with eviction, under other Pythons."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stormproof.sim.divergence import find_divergence, in_process

E = "stormproof.examples"
RUNS = [
    f"{E}.abc.scenario:correct:8",
    f"{E}.abc.scenario:naive:8",
    f"{E}.order.scenario:correct:6",
    f"{E}.batch.scenario:correct:1",
]
CORRECT = [f"{E}.abc.scenario:correct:8", f"{E}.order.scenario:correct:6", f"{E}.batch.scenario:correct:1"]
HASH_SEEDS = ("0", "1", "987654321")
PROGRAM = Path(__file__).with_name("print_digests.py")


def digests(runs: list[str], *, python: str = sys.executable, hash_seed: str = "0", folder: Path) -> list[str]:
    """What a fresh process prints."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, str(PROGRAM), *runs],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_fresh_processes_under_other_hash_seeds_agree(tmp_path: Path) -> None:
    first, *others = [digests(RUNS, hash_seed=hash_seed, folder=tmp_path) for hash_seed in HASH_SEEDS]
    assert len(first) == 23
    assert len({line.split()[3] for line in first}) >= 20, "many runs have one digest: it says too little"
    for other in others:
        assert other == first


def test_twice_in_one_process(tmp_path: Path) -> None:
    once = digests(CORRECT, folder=tmp_path)
    twice = digests([*CORRECT, *CORRECT], folder=tmp_path)
    assert twice == once + once


def test_eviction_after_every_task_changes_nothing(tmp_path: Path) -> None:
    cached = digests(CORRECT, folder=tmp_path)
    evicted = digests([f"{run}:evict" for run in CORRECT], folder=tmp_path)
    assert evicted == cached


def other_pythons() -> list[str]:
    """Interpreters of other versions that stormproof supports, found on the path and under pyenv."""
    found: dict[str, str] = {}
    for minor in (11, 12, 13, 14):
        if minor == sys.version_info.minor:
            continue
        on_path = shutil.which(f"python3.{minor}")
        pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        for candidate in [*map(str, pyenv[-1:]), *([on_path] if on_path else [])]:
            if (
                subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
                == 0
            ):
                found.setdefault(f"3.{minor}", candidate)
    return list(found.values())


@pytest.mark.parametrize("python", other_pythons() or [""])
def test_other_versions_of_python_agree(python: str, tmp_path: Path, repository: Path) -> None:
    if not python:
        pytest.skip("no other Python is installed here")
    constraints = repository / ".ci" / "requirements-dev.txt"
    if not constraints.is_file():
        pytest.skip("the tests run without the repository")
    copy = tmp_path / "repository"
    shutil.copytree(
        repository, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__")
    )
    environment = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    inside = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [
        inside,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        str(constraints),
    ]
    subprocess.run([*install, str(copy)], check=True, timeout=300)
    assert digests(RUNS, python=inside, folder=tmp_path) == digests(RUNS, folder=tmp_path)


# --- a planted iteration over a set ---------------------------------------------------------------------------------

PLANTED = """
from datetime import timedelta

from stormproof import Scenario, activity, workflow
from stormproof.sim.options import RunOptions
from stormproof.sim.simulate import run_scenario
from stormproof.worker import Worker


@activity.defn
async def send(name: str) -> str:
    return name


@workflow.defn
class SendAll:
    @workflow.run
    async def run(self) -> None:
        for name in {"anna", "bert", "carla", "dora", "emil"}:  # the planted mistake
            await workflow.execute_activity(send, name, start_to_close_timeout=timedelta(seconds=5))


async def main(client) -> None:
    await client.execute_workflow(SendAll.run, id="all", task_queue="q")


def worker(client):
    return Worker(client, task_queue="q", workflows=[SendAll], activities=[send])


def run():
    return run_scenario(Scenario(main, workers=[worker]), seed=1, options=RunOptions(faults=False, checks=False))
"""


def test_a_planted_iteration_over_a_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    program = "import sys; sys.path.insert(0, '.'); from planted import run"
    found = find_divergence(
        in_process(program, hash_seed="1", cwd=str(tmp_path)), in_process(program, hash_seed="2", cwd=str(tmp_path))
    )
    assert found is not None
    print(found.message)
    assert found.first != found.second
    assert "ActivityTaskScheduled" in found.message


def test_the_planted_scenario_without_its_mistake_does_not_diverge(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(
        PLANTED.replace("in {", "in [").replace('"emil"}', '"emil"]'), encoding="utf-8"
    )
    program = "import sys; sys.path.insert(0, '.'); from planted import run"
    assert (
        find_divergence(
            in_process(program, hash_seed="1", cwd=str(tmp_path)), in_process(program, hash_seed="2", cwd=str(tmp_path))
        )
        is None
    )
