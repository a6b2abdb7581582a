"""Shared by all tests: fixed seeds, folders as purposes, and the repository where there is one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

# `python -m pytest` puts the root first, where `stormproof` is only the face and not the installed package.
sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != ROOT]

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds; everything in tests/slow has it")


def pytest_report_header() -> str:
    hash_seed = os.environ.get("PYTHONHASHSEED", "random")
    return f"seeds: written in each test, Hypothesis derandomized; PYTHONHASHSEED: {hash_seed}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TESTS / "slow" in item.path.parents:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository; skips the test where `tests/` was copied without it."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("tests/ stands alone here, and this test is about the repository around it")
    return ROOT


def files_below(folder: Path) -> dict[str, Path]:
    """Python files by their path inside `folder`; links are followed, as a development install is made of them."""
    found = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(parent) / name
                found[path.relative_to(folder).as_posix()] = path
    return found


@pytest.fixture(scope="session")
def python_files() -> Callable[[Path], dict[str, Path]]:
    return files_below


@pytest.fixture(scope="session")
def package() -> Path:
    """The installed package's folder; rooms lie in it as `engine`, `sim` and so on, the face beside them."""
    import stormproof

    assert stormproof.__file__ is not None
    return Path(stormproof.__file__).parent
