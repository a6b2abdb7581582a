"""P2: each logical effect key is applied at most once."""

from __future__ import annotations

from typing import Any

from ..sim.record import RunRecord
from ..sim.verdict import Truth, Verdict


class EffectAtMostOnce:
    """P2. Judged for every service operation that declares an effect key (``@operation(effect_key=...)``).

    An effect that was undone in between (by an operation with ``undoes=``) may be applied again. Evidence: each
    application of the key, with the attempt that caused it.
    """

    code = "P2"

    def check(self, record: RunRecord) -> list[Verdict]:
        """One verdict for each operation with effect keys that was used."""
        verdicts: list[Verdict] = []
        for ledger in record.ledgers:
            for operation, keys in _applications(ledger["effects"]).items():
                verdicts.append(_verdict(record, ledger["service"], operation, keys))
        return verdicts


def _applications(effects: list[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Operation -> key -> applications that stood at the same time (the longest such list)."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    standing: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for effect in effects:
        key = effect["key"]
        if not key:
            continue
        if effect["undoes"]:
            undone = standing.get((effect["undoes"], key))
            if undone:
                undone.pop()
            continue
        operation = effect["operation"]
        stands = standing.setdefault((operation, key), [])
        stands.append(effect)
        worst = found.setdefault(operation, {}).setdefault(key, [])
        if len(stands) > len(worst):
            found[operation][key] = list(stands)
    return found


def _verdict(record: RunRecord, service: str, operation: str, keys: dict[str, list[dict[str, Any]]]) -> Verdict:
    doubled = {key: effects for key, effects in keys.items() if len(effects) > 1}
    name = f"{service}.{operation}"
    workflows = {outcome["workflow_id"]: outcome["workflow"] for outcome in record.outcomes}
    if not doubled:
        first = next(iter(keys.values()))[0]
        return Verdict(
            "P2", workflows.get(first["workflow_id"], ""), Truth.TRUE, f"{name}: {len(keys)} key(s), each once"
        )
    key, effects = next(iter(doubled.items()))
    attempts = ", ".join(_caller(effect) for effect in effects)
    more = f" (and {len(doubled) - 1} more keys)" if len(doubled) > 1 else ""
    workflow_id = effects[0]["workflow_id"]
    return Verdict(
        "P2",
        workflows.get(workflow_id, ""),
        Truth.FALSE,
        f"{name} was applied {len(effects)} times for key {key}: by {attempts}{more}",
        [
            {
                "time_us": effect["time_us"],
                "text": f"{name} applied for key {key} by {_caller(effect)}",
                "effect": effect,
            }
            for effect in effects
        ],
        workflow_id,
    )


def _caller(effect: dict[str, Any]) -> str:
    if not effect["activity_type"]:
        return str(effect["node"])
    return f"{effect['activity_type']} attempt {effect['attempt']} on {effect['node']}"
