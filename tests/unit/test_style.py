"""Rules of this repository that no linter knows: sizes, and calls that would break "same seed, same bytes".

Each ban names the replacement. A file that has to do the banned thing stands in ALLOWED, with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

# Where everything that happens must follow from the seed.
SEEDED = ("engine/", "sim/", "faults/", "properties/")
# A campaign runs simulations from outside, in real time.
OUTSIDE = ("sim/campaign/",)
# Where time is integer microseconds and a probability is a ratio of integers.
INTEGERS_ONLY = ("sim/", "faults/")

BANNED_CALLS: dict[str, str] = {
    "time.time": "the host's `now_us()`",
    "time.time_ns": "the host's `now_us()`",
    "time.monotonic": "the kernel's `now_us`",
    "time.monotonic_ns": "the kernel's `now_us`",
    "time.perf_counter": "the kernel's `now_us`",
    "time.perf_counter_ns": "the kernel's `now_us`",
    "time.sleep": "the host's `call_later`",
    "datetime.now": "the host's `now_us()`",
    "datetime.utcnow": "the host's `now_us()`",
    "datetime.today": "the host's `now_us()`",
    "date.today": "the host's `now_us()`",
    "uuid.uuid1": "the host's `new_id()`",
    "uuid.uuid4": "the host's `new_id()`",
    "uuid4": "the host's `new_id()`",
    "os.urandom": "`Choices`",
    "secrets": "`Choices`",
    "random": "`Choices`",
    "hash": "a digest: `hash` of text differs between processes",
    "id": "a number of its own: addresses differ between runs",
    "pickle": "JSON: nothing is ever pickled",
}
# Seeded generators of the standard library's `random` are fine; its global one is not.
SEEDED_NAMES = {"random.Random"}

# (file, banned name): why it may.
ALLOWED: dict[tuple[str, str], str] = {
    ("engine/json_types.py", "id"): "a cache by identity, which keeps its keys alive and is never looped over",
    ("sim/patches.py", "id"): "which object a name is bound to is the question there",
    ("sim/rebind.py", "id"): "which object a name is bound to is the question there",
    ("sim/randomness.py", "random"): "what code on a node finds in its place is made there",
    ("sim/randomness.py", "os.urandom"): "what code on a node finds in its place is made there",
    ("sim/randomness.py", "uuid.uuid1"): "what code on a node finds in its place is made there",
    ("sim/real_clock.py", "time.sleep"): "the one place where the host's own clocks are kept",
}
FLOATS_ALLOWED: dict[str, str] = {
    "sim/options.py": "limits in real time are seconds",
}


def dotted(node: ast.expr) -> str:
    """`time.time` for an attribute chain of names, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def banned_name(name: str) -> str | None:
    """The ban that a dotted name falls under."""
    if name in SEEDED_NAMES:
        return None
    parts = name.split(".")
    for candidate in (name, ".".join(parts[-2:]), parts[0]):
        # A bare builtin is meant by `hash` and `id`, not somebody's method; a module by the others.
        if candidate in BANNED_CALLS and (candidate not in {"hash", "id"} or name == candidate):
            return candidate
    return None


def unseeded(name: str, tree: ast.AST) -> Iterator[str]:
    """Uses of what differs between two runs: called, or taken as a value for later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            uses = [dotted(node)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            uses = [node.func.id]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            uses = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for found in filter(None, map(banned_name, uses)):
            if (name, found) not in ALLOWED:
                yield f"{name}:{node.lineno}: {found}; use {BANNED_CALLS[found]}"


def set_iterations(name: str, tree: ast.AST) -> Iterator[str]:
    """Loops over a set made on the spot; the order of text in it differs between processes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            continue
        source = node.iter
        made_by_call = isinstance(source, ast.Call) and dotted(source.func) in {"set", "frozenset"}
        if made_by_call or isinstance(source, ast.Set | ast.SetComp):
            yield f"{name}:{source.lineno}: a loop over a set; sort it, or use a dict"


def floats(name: str, tree: ast.AST) -> Iterator[str]:
    if name in FLOATS_ALLOWED:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{name}:{node.lineno}: {node.value}; use integer microseconds, or a ratio of integers"


def unfinished(name: str, source: str, tree: ast.AST) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), start=1):
        if any(f"# {word}" in line for word in ("TODO", "FIXME", "XXX", "HACK")):
            yield f"{name}:{number}: finish it, or write an issue"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise):
            continue
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
            yield f"{name}:{node.lineno}: NotImplementedError; finish it, or make it a Protocol"


def too_long(name: str, source: str, tree: ast.AST) -> Iterator[str]:
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{name}: {lines} lines, at most {FILE_LINES_MAX}; one job a file"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"


def complaints(name: str, source: str) -> list[str]:
    """All that is wrong with one file, named by its path inside the package."""
    tree = ast.parse(source)
    found = [*too_long(name, source, tree), *unfinished(name, source, tree)]
    if name.startswith(OUTSIDE):
        return found
    if name.startswith(SEEDED):
        found += [*unseeded(name, tree), *set_iterations(name, tree)]
    if name.startswith(INTEGERS_ONLY):
        found += floats(name, tree)
    return found


def test_the_package_keeps_the_rules(package: Path, python_files: Callable[[Path], dict[str, Path]]) -> None:
    found = []
    for name, path in python_files(package).items():
        found += complaints(name, path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_the_tests_keep_to_the_sizes(python_files: Callable[[Path], dict[str, Path]]) -> None:
    found = []
    for name, path in python_files(Path(__file__).resolve().parent.parent).items():
        source = path.read_text(encoding="utf-8")
        found += too_long(f"tests/{name}", source, ast.parse(source))
    assert not found


def test_no_exception_is_left_over(package: Path, python_files: Callable[[Path], dict[str, Path]]) -> None:
    files = python_files(package)
    sources = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    for name, ban in ALLOWED:
        assert ban.rpartition(".")[2] in sources.get(name, ""), f"ALLOWED: {name} no longer needs {ban}"
    for name in FLOATS_ALLOWED:
        tree = ast.parse(sources.get(name, ""))
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert any(isinstance(value, float) for value in constants), f"FLOATS_ALLOWED: {name} has none"


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX


@pytest.mark.parametrize(
    ("name", "source", "why"),
    [
        ("reports/a.py", LONG_FUNCTION, "f has 71 lines"),
        ("cli.py", "x = 1\n" * (FILE_LINES_MAX + 1), "501 lines"),
        ("cli.py", "x = 1  # TODO: later", "finish it"),
        ("cli.py", "def f():\n    raise NotImplementedError", "NotImplementedError"),
        ("cli.py", "def f():\n    raise NotImplementedError('later')", "NotImplementedError"),
        ("engine/a.py", "import time\nx = time.time()", "time.time"),
        ("engine/a.py", "import time\nclock = time.monotonic", "time.monotonic"),
        ("engine/a.py", "from time import sleep", "time.sleep"),
        ("engine/a.py", "import datetime\nx = datetime.datetime.now()", "datetime.now"),
        ("sim/a.py", "import random\nx = random.random()", "random"),
        ("sim/a.py", "from random import choice", "random"),
        ("sim/a.py", "import uuid\nx = str(uuid.uuid4())", "uuid.uuid4"),
        ("sim/a.py", "import pickle\nx = pickle.dumps(1)", "pickle"),
        ("sim/a.py", "x = hash('a') % 2", "hash"),
        ("faults/a.py", "x = sorted(y, key=lambda z: id(z))", "id"),
        ("properties/a.py", "import secrets\nx = secrets.token_hex()", "secrets"),
        ("sim/a.py", "for x in {'a', 'b'}:\n    pass", "loop over a set"),
        ("sim/a.py", "y = [x for x in set(names)]", "loop over a set"),
        ("sim/a.py", "loss = 0.1", "0.1"),
    ],
)
def test_a_planted_breach_is_seen(name: str, source: str, why: str) -> None:
    (found,) = complaints(name, source)
    assert why in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("engine/a.py", "from random import Random\nx = Random(seed).random()"),
        ("engine/a.py", "self.id(); event.id; workflow.time(); hash_of(x)"),
        ("sim/a.py", "for x in sorted({'a', 'b'}):\n    pass"),
        ("sim/campaign/a.py", "import time\nstarted = time.monotonic()"),
        ("reports/a.py", "import time\nstarted = time.time()\nshare = 0.1"),
    ],
)
def test_what_is_allowed_is_left_alone(name: str, source: str) -> None:
    assert not complaints(name, source)
