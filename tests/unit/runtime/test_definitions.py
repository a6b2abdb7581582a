"""What is refused when a workflow is defined, in the real SDK's words."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from stormproof.engine import workflow
from stormproof.engine.core.definition import WorkflowDefinition

HEAD = """
from __future__ import annotations
from collections.abc import Sequence
from {package} import workflow
from {package}.common import RawValue
"""


def load(source: str, package: str, folder: Path) -> ModuleType:
    """Workflow classes can't be local to a test: each is the only thing in a module."""
    name = f"defined_{package.replace('.', '_')}"
    path = folder / f"{name}.py"
    path.write_text(HEAD.format(package=package) + source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("defined_")]:
        del sys.modules[name]


RUN = "    @workflow.run\n    async def run(self) -> None: ...\n"
BASE = (
    "class Base:\n    @workflow.signal\n    def told(self) -> None: ...\n"
    "    @workflow.query\n    def ask(self) -> int: ...\n"
)
WRONG = {
    "no run method": "@workflow.defn\nclass W:\n    pass\n",
    "two run methods": f"@workflow.defn\nclass W:\n{RUN}    @workflow.run\n    async def walk(self) -> None: ...\n",
    "two signals of one name": (
        f'@workflow.defn\nclass W:\n{RUN}    @workflow.signal(name="s")\n    def a(self) -> None: ...\n'
        '    @workflow.signal(name="s")\n    def b(self) -> None: ...\n'
    ),
    "two dynamic queries": (
        f"@workflow.defn\nclass W:\n{RUN}"
        "    @workflow.query(dynamic=True)\n    def a(self, name: str, args: Sequence[RawValue]) -> None: ...\n"
        "    @workflow.query(dynamic=True)\n    def b(self, name: str, args: Sequence[RawValue]) -> None: ...\n"
    ),
    "an override without decorator": (
        f"{BASE}@workflow.defn\nclass W(Base):\n{RUN}    def told(self) -> None: ...\n    def ask(self) -> int: ...\n"
    ),
    "a run method of the base": f"class Base:\n{RUN}@workflow.defn\nclass W(Base):\n    pass\n",
    "other parameters of init": (
        f"@workflow.defn\nclass W:\n    @workflow.init\n    def __init__(self, x: int) -> None: ...\n{RUN}"
    ),
    "init elsewhere": "@workflow.defn\nclass W:\n    @workflow.init\n    def setup(self) -> None: ...\n",
    "a run method that is not async": "@workflow.defn\nclass W:\n    @workflow.run\n    def run(self) -> None: ...\n",
    "twice": f"@workflow.defn\n@workflow.defn\nclass W:\n{RUN}",
    "a local class": (
        "def make():\n    @workflow.defn\n    class W:\n"
        "        @workflow.run\n        async def run(self) -> None: ...\nmake()\n"
    ),
    "a dynamic signal of the wrong kind": (
        f"@workflow.defn\nclass W:\n{RUN}    @workflow.signal(dynamic=True)\n    def a(self, name: str) -> None: ...\n"
    ),
    "a name and dynamic": (
        f'@workflow.defn\nclass W:\n{RUN}    @workflow.query(name="a", dynamic=True)\n    def a(self) -> None: ...\n'
    ),
}


@pytest.mark.parametrize("source", WRONG.values(), ids=WRONG.keys())
def test_what_the_real_sdk_refuses_is_refused_in_its_words(source: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, RuntimeError, TypeError)) as ours:
        load(source, "stormproof.engine", tmp_path)
    pytest.importorskip("temporalio")
    with pytest.raises(ours.type) as real:
        load(source, "temporalio", tmp_path)
    assert str(ours.value) == str(real.value)


def test_a_dynamic_workflow_takes_raw_values(tmp_path: Path) -> None:
    source = "@workflow.defn(dynamic=True)\nclass W:\n    @workflow.run\n    async def run(self, {}) -> None: ...\n"
    module = load(source.format("args: Sequence[RawValue]"), "stormproof.engine", tmp_path)
    assert WorkflowDefinition.of(module.W).name is None
    with pytest.raises(TypeError, match="must accept a single Sequence"):
        load(source.format("arg: int"), "stormproof.engine", tmp_path)


def test_a_class_without_decorator_is_no_workflow() -> None:
    with pytest.raises(ValueError, match=r"Workflow int missing attributes, was it decorated with @workflow\.defn"):
        WorkflowDefinition.of(int)


def test_functions_of_workflows_are_for_workflows() -> None:
    with pytest.raises(Exception, match="Not in workflow event loop"):
        workflow.now()
    assert not workflow.in_workflow()
