"""Sweeps: engine and worker crash, or shut down, at every point of several seeds, for a moment and for long."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPINE = Path(__file__).parent.parent / "unit" / "spine"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"slow_{name}", SPINE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scenes, stories = _load("conftest"), _load("spine_stories")
WANTED = [
    ("Everything", "completed", "104"),
    ("SecondTry", "completed", "3"),
    ("SecondTry", "failed", "None"),
    ("SecondTry", "failed", "None"),
]


def once(script: Any, seed: int, *, evict: bool) -> str:
    record = scenes.play_scenario(stories.everything, stories.worker, script=script, seed=seed, evict=evict)
    assert (record.stopped_by, record.error) == ("", "")
    assert sorted((one["workflow"], one["status"], str(one["result"])) for one in record.outcomes) == WANTED
    digest: str = record.digest
    return digest


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("node", "how", "down_s"),
    [
        ("engine", "crash", 0.5),
        ("engine", "crash", 4.0),
        ("worker", "crash", 0.5),
        ("worker", "crash", 30.0),
        ("worker", "shut_down", 0.0),
        ("worker", "shut_down", 30.0),
    ],
)
def test_all_runs_end_and_a_cold_cache_changes_nothing(seed: int, node: str, how: str, down_s: float) -> None:
    first = scenes.Script()
    once(first, seed, evict=False)
    for point, count in first.reached.items():
        for number in range(1, count + 1):
            digests = []
            for evict in (False, True):
                script = scenes.Script()
                script.on(point, number, getattr(script, how)(node, down_s))
                digests.append(once(script, seed, evict=evict))
            assert digests[0] == digests[1], (point, number)
