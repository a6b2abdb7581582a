"""Which room may import what. An arrow that is not listed here is a mistake, or a decision to be written down here.

Read from the syntax tree of the installed package, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Lowest first: a room imports itself and the rooms before it. The face is the package's own top level.
ROOMS = ("engine", "sim", "faults", "properties", "reports")
FACE = "stormproof"
# Examples are written as a user's code is, so they see the face alone, by its absolute name.
EXAMPLES = "examples"

# What beyond the standard library each room may import.
THIRD_PARTY: dict[str, frozenset[str]] = {
    "engine": frozenset(),
    "sim": frozenset({"simpy", "greenlet", "freezegun", "pebble", "networkx", "httpx", "requests", "urllib3"}),
    "faults": frozenset({"networkx"}),
    "properties": frozenset({"hypothesis", "networkx"}),
    "reports": frozenset({"jinja2", "rich"}),
    FACE: frozenset({"click", "rich", "pytest"}),
    EXAMPLES: frozenset({"httpx", "requests"}),
}

# The core is a function of its arguments: no clock, randomness, input, output, threads or processes.
BANNED_IN_CORE = frozenset(
    {
        "concurrent",
        "io",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "simpy",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
    }
)
# Modules of the authoring API that the core needs: data and exceptions. They keep to the core's rules themselves.
CORE_BESIDES = frozenset({"common", "exceptions"})
# `random.Random(seed)`, whose seed is an argument, is as pure as a hash function.
PURE_NAMES = {"random": {"Random"}}


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is the path inside the package for our own modules, else the absolute name."""

    line: int
    ours: bool
    target: tuple[str, ...]
    names: frozenset[str]


def imports_of(name: str, source: str) -> Iterator[Import]:
    here = name.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, ours=False, target=tuple(alias.name.split(".")), names=frozenset())
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            names = frozenset(alias.name for alias in node.names)
            if node.level == 0:
                yield Import(node.lineno, ours=False, target=tuple(module), names=names)
                continue
            base = here[: len(here) - (node.level - 1)] + module
            if base:
                yield Import(node.lineno, ours=True, target=tuple(base), names=names)
            else:  # `from .. import engine`: each name is a module of the top level
                for only in sorted(names):
                    yield Import(node.lineno, ours=True, target=(only,), names=frozenset())


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0] if parts[0] in ROOMS or parts[0] == EXAMPLES else FACE


def in_core(parts: tuple[str, ...]) -> bool:
    return parts[0] == "engine" and len(parts) > 1 and parts[1] in {"core", *CORE_BESIDES}


def may_see(room: str) -> set[str]:
    """The rooms that a room may import."""
    if room == EXAMPLES:
        return {EXAMPLES}
    if room == FACE:
        return {FACE, *ROOMS}
    return set(ROOMS[: ROOMS.index(room) + 1])


def complaint(name: str, found: Import) -> str | None:
    """Why the file `name` may not have this import, or None."""
    parts = tuple(name.removesuffix(".py").split("/"))
    room = room_of(parts)
    first = found.target[0]
    if found.ours:
        target = room_of(found.target)
        if target not in may_see(room):
            return f"{room} may not import {target}"
        if in_core(parts) and not in_core(found.target):
            return "engine/core imports engine/core alone"
        return None
    if first in (*ROOMS, EXAMPLES):
        return f"`{first}` is a user's name; ours is imported relatively"
    if first == "stormproof":
        return None if room == EXAMPLES and len(found.target) <= 2 else "our own modules are imported relatively"
    if in_core(parts) and first in BANNED_IN_CORE and not (found.names and found.names <= PURE_NAMES.get(first, set())):
        return f"engine/core is pure: no {first}"
    if first not in sys.stdlib_module_names and first not in THIRD_PARTY[room]:
        return f"{room} may not import {first} (see THIRD_PARTY in {Path(__file__).name})"
    return None


def complaints(files: dict[str, Path]) -> list[str]:
    found = []
    for name, path in files.items():
        for item in imports_of(name, path.read_text(encoding="utf-8")):
            why = complaint(name, item)
            if why:
                found.append(f"{name}:{item.line}: imports {'.'.join(item.target)}: {why}")
    return found


def test_rooms_import_only_what_lies_below_them(package: Path, python_files: Callable[[Path], dict[str, Path]]) -> None:
    files = python_files(package)
    assert {room_of(tuple(name.split("/"))) for name in files} == {*ROOMS, FACE, EXAMPLES}
    found = complaints(files)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "source", "why"),
    [
        ("engine/client.py", "from ..sim.world import World", "engine may not import sim"),
        ("sim/world.py", "from .. import faults", "sim may not import faults"),
        ("sim/http/app.py", "from ...reports.html import page", "sim may not import reports"),
        ("reports/html.py", "from ..cli import main", "reports may not import stormproof"),
        ("reports/html.py", "from .. import simulate", "reports may not import stormproof"),
        ("sim/world.py", "from ..examples.abc import scenario", "sim may not import examples"),
        ("cli.py", "from .examples.abc import scenario", "stormproof may not import examples"),
        ("examples/abc/scenario.py", "from ...engine.core import state", "examples may not import engine"),
        ("examples/abc/scenario.py", "import stormproof.engine.core", "imported relatively"),
        ("engine/core/state.py", "from ..store import Store", "engine/core alone"),
        ("engine/common.py", "from .client import Client", "engine/core alone"),
        ("engine/core/state.py", "def f():\n    import time", "no time"),
        ("engine/core/state.py", "from os.path import join", "no os"),
        ("engine/core/state.py", "from random import Random, random", "no random"),
        ("engine/core/state.py", "import simpy", "no simpy"),
        ("engine/core/state.py", "from concurrent.futures import Future", "no concurrent"),
        ("engine/store.py", "import simpy", "engine may not import simpy"),
        ("sim/world.py", "import engine.core.state", "imported relatively"),
        ("sim/world.py", "from stormproof.engine import host", "imported relatively"),
        ("faults/plan.py", "if TYPE_CHECKING:\n    from ..properties import base", "faults may not import properties"),
    ],
)
def test_a_planted_violation_is_seen(tmp_path: Path, name: str, source: str, why: str) -> None:
    planted = tmp_path / "module.py"
    planted.write_text(source, encoding="utf-8")
    (found,) = complaints({name: planted})
    assert why in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "engine/core/state.py",
            "from .events import HistoryEvent\nfrom ..exceptions import X\nfrom random import Random\nimport json",
        ),
        ("engine/server/server.py", "from ..core.state import MutableState\nfrom .. import store"),
        ("sim/http/app.py", "from ...engine.host import Host\nfrom ..network import Network\nimport httpx"),
        ("__init__.py", "from .engine import workflow\nfrom . import workflow\nfrom .reports import html"),
        (
            "examples/abc/scenario.py",
            "from stormproof import workflow\nfrom stormproof.client import Client\nfrom . import x",
        ),
    ],
)
def test_allowed_imports_are_left_alone(tmp_path: Path, name: str, source: str) -> None:
    allowed = tmp_path / "module.py"
    allowed.write_text(source, encoding="utf-8")
    assert not complaints({name: allowed})
