"""Judges records of simulated runs by the real SDK: the same verdict, the same activations, the same answers to them.

A user's module is written against ``stormproof``; the real Replayer needs its workflows written against ``temporalio``.
The two differ in their imports only, so the module's source is executed a second time with those imports swapped.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from real_core import Seen, replay_ours, replay_real
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.sim.record import RunHistory, RunRecord

SHARED = ("activity", "client", "common", "converter", "exceptions", "service", "worker", "workflow")


class _Swap(ast.NodeTransformer):
    """Imports of what both packages have come from ``temporalio``; fakes and scenarios stay ours."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        if node.level or node.module is None:
            return [node]
        package, _, rest = node.module.partition(".")
        if package != "stormproof":
            return [node]
        if rest:
            return [ast.ImportFrom(f"temporalio.{rest}", node.names, 0)] if rest in SHARED else [node]
        swapped = [alias for alias in node.names if alias.name in SHARED]
        kept = [alias for alias in node.names if alias.name not in SHARED]
        parts = [("temporalio", swapped), ("stormproof", kept)]
        return [ast.ImportFrom(module, names, 0) for module, names in parts if names]


def for_temporalio(module: ModuleType) -> ModuleType:
    """The same module with ``temporalio`` in place of ``stormproof``; made once."""
    assert module.__file__ is not None
    name = f"{module.__name__}_for_temporalio"
    if name not in sys.modules:
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        swapped = ast.fix_missing_locations(_Swap().visit(tree))
        made = ModuleType(name)
        made.__file__ = module.__file__
        made.__package__ = module.__package__
        sys.modules[name] = made
        exec(compile(swapped, module.__file__, "exec"), made.__dict__)
    return sys.modules[name]


def workflow_classes(modules: Iterable[ModuleType]) -> dict[str, type]:
    """Our workflow classes by workflow name."""
    found = {}
    for module in modules:
        for value in vars(module).values():
            definition = WorkflowDefinition.find(value) if isinstance(value, type) else None
            if definition is not None:
                found[str(definition.name)] = value
    return found


class Judge:
    """Judges histories of the workflows in some modules.

    Args:
        pairs: Modules written against stormproof, each with the same one for temporalio.
    """

    def __init__(self, *pairs: tuple[ModuleType, ModuleType]) -> None:
        self._ours = workflow_classes(ours for ours, _ in pairs)
        by_name = {name: value for _, real in pairs for name, value in vars(real).items()}
        self._real = [by_name[cls.__name__] for cls in self._ours.values()]

    @classmethod
    def of(cls, *modules: ModuleType) -> Judge:
        """For modules that are written against stormproof."""
        return cls(*((module, for_temporalio(module)) for module in modules))

    def check(self, records: Sequence[RunRecord], *, accepted: bool = True) -> int:
        """Compare every history; returns how many there were.

        Args:
            records: Records of simulated runs.
            accepted: The verdict must be "accepted" too. Off for workflows that are wrong.

        Raises:
            AssertionError: A difference, with seed and workflow.
        """
        histories = [(record, history) for record in records for history in record.histories]
        real = replay_real([(history.workflow_id, history.data) for _, history in histories], self._real)
        for (record, history), seen in zip(histories, real, strict=True):
            where = f"seed {record.seed}, workflow {history.workflow_id} ({history.workflow_type})"
            self._compare(history, seen, where, accepted=accepted)
        return len(histories)

    def _compare(self, history: RunHistory, real: Seen, where: str, *, accepted: bool) -> None:
        definition = WorkflowDefinition.of(self._ours[history.workflow_type])
        ours = replay_ours(history.workflow_id, history.data, definition)
        for number, (our_one, real_one) in enumerate(zip(ours.activations, real.activations, strict=False)):
            assert our_one == real_one, f"{where}: activation {number}"
            assert ours.answers[number] == real.answers[number], f"{where}: answer to activation {number}"
        assert ours.verdict == real.verdict, f"{where}: ours {ours.message!r}, real {real.message!r}"
        assert len(ours.activations) == len(real.activations), f"{where}: number of activations"
        if accepted:
            assert real.verdict == "accepted", f"{where}: {real.message}"
