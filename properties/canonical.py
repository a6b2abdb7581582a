"""Outcomes in a canonical form, in which two runs can be compared: ids and times count by position, not by value."""

from __future__ import annotations

import json
import re
from typing import Any

from ..sim.record import Ledger, Outcome, RunRecord

_VARIABLE = re.compile(
    r"(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
)
_EPOCH_SECONDS_LEAST = 1_000_000_000


class Canonical:
    """Replaces each id and each time by its kind and the position at which it was first seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], str] = {}

    def _name(self, kind: str, value: str) -> str:
        name = self._seen.get((kind, value))
        if name is None:
            count = sum(1 for known, _ in self._seen if known == kind)
            name = self._seen[(kind, value)] = f"<{kind} {count + 1}>"
        return name

    def text(self, value: str) -> str:
        """A string with its ids and times replaced."""
        if len(value) < 19:
            return value
        return _VARIABLE.sub(lambda match: self._name(match.lastgroup or "", match.group()), value)

    def value(self, value: Any) -> Any:
        """JSON data with ids and times replaced; numbers that look like a Unix time count as times."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, float) and value >= _EPOCH_SECONDS_LEAST:
            return self._name("time", repr(value))
        return value


def canonical_outcome(outcome: Outcome) -> str:
    """Status, result and failure types of one execution, as comparable text."""
    failure = outcome["failure"]
    data = {
        "status": outcome["status"],
        "result": Canonical().value(outcome["result"]),
        "failure": None if failure is None else failure_types(failure),
    }
    return json.dumps(data, sort_keys=True, default=str)


def failure_types(failure: dict[str, Any]) -> list[str]:
    """The kinds and types of a failure and its causes, outermost first."""
    types: list[str] = []
    step: dict[str, Any] | None = failure
    while step is not None:
        types.append(f"{step['kind']}:{step.get('type') or step.get('timeout') or step.get('activity') or ''}")
        step = step.get("cause")
    return types


def net_effects(ledgers: list[Ledger], workflow_id: str | None = None) -> dict[str, int]:
    """How often each effect stands in the services at the end: applied minus undone, by ``service.operation key``.

    Args:
        ledgers: The effects of each service.
        workflow_id: Only effects of this workflow's activities; all where ``None``.
    """
    net: dict[str, int] = {}
    canonical = Canonical()
    for ledger in ledgers:
        for effect in ledger["effects"]:
            if workflow_id is not None and effect.get("workflow_id") != workflow_id:
                continue
            operation = effect.get("undoes") or effect["operation"]
            key = f"{ledger['service']}.{operation} {canonical.text(str(effect['key']))}"
            net[key] = net.get(key, 0) + (-1 if effect.get("undoes") else 1)
    return {key: count for key, count in sorted(net.items()) if count}


def outcome_by_id(record: RunRecord) -> dict[str, Outcome]:
    """The last outcome of each workflow id (a chain of runs has the outcome of its last run)."""
    return {outcome["workflow_id"]: outcome for outcome in record.outcomes}
