"""What is on disk, what pyproject.toml lists, and what the lock and the docs say of it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def project_file(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def packages_on_disk(root: Path) -> set[str]:
    """Each folder of a room that holds a Python file, by the name under which it is imported."""
    found = set()
    for package, room in project_file(root)["tool"]["setuptools"]["package-dir"].items():
        for folder, folders, files in os.walk(root / room):
            folders[:] = sorted(set(folders) - {"__pycache__"})
            if any(name.endswith(".py") for name in files):
                inner = Path(folder).relative_to(root / room).parts
                found.add(".".join((package, *inner)))
    return found


def locked(root: Path) -> dict[str, Requirement]:
    lines = (root / ".ci/requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_each_package_folder_is_listed(repository: Path) -> None:
    listed = project_file(repository)["tool"]["setuptools"]["packages"]
    assert listed == sorted(set(listed))
    assert set(listed) == packages_on_disk(repository), "tool.setuptools.packages in pyproject.toml"


def test_a_package_folder_that_nobody_listed_is_seen(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((repository / "pyproject.toml").read_bytes())
    planted = tmp_path / "engine" / "planted"
    planted.mkdir(parents=True)
    (planted / "module.py").touch()
    assert packages_on_disk(tmp_path) == {"stormproof.engine.planted"}


def test_each_package_folder_has_an_init_file(repository: Path) -> None:
    rooms = project_file(repository)["tool"]["setuptools"]["package-dir"]
    missing = []
    for package in packages_on_disk(repository):
        room = next(name for name in sorted(rooms, key=len, reverse=True) if f"{package}.".startswith(f"{name}."))
        folder = repository / rooms[room] / package.removeprefix(room).lstrip(".").replace(".", "/")
        if not (folder / "__init__.py").is_file():
            missing.append(str(folder.relative_to(repository)))
    assert not missing
    assert not (repository / "__init__.py").exists(), "the root is no package"


def test_every_requirement_is_locked_to_one_version(repository: Path) -> None:
    project = project_file(repository)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = locked(repository)
    for text in wanted:
        requirement = Requirement(text)
        pinned = lock.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in .ci/requirements-dev.txt: run .ci/lock"
        (pin,) = pinned.specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{pinned} does not satisfy {requirement}: run .ci/lock"


def test_each_dependency_earns_its_place_in_one_line(repository: Path) -> None:
    text = (repository / "docs/dependencies.md").read_text(encoding="utf-8")
    explained = [canonicalize_name(name) for name in re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)]
    project = project_file(repository)["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert sorted(explained) == sorted(canonicalize_name(Requirement(text).name) for text in declared)


def test_files_of_the_same_name_do_not_hide_each_other() -> None:
    tests = Path(__file__).resolve().parent.parent
    seen: dict[str, Path] = {}
    for path in sorted(tests.rglob("test_*.py")):
        if path.name in seen:
            pytest.fail(f"{path} and {seen[path.name]} have one name: a copy of tests/ without its settings breaks")
        seen[path.name] = path
