"""The effect ledger of an outside system: what was really done there, when, and for whom.

It is what the properties about effects read (at most once, none lost, all compensated). An entry is written at the
instant at which the effect is applied, whether or not its caller ever hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .values import plain


@dataclass(slots=True)
class Caller:
    """Who made a call: the node, and the attempt of an activity where one was running."""

    node: str
    workflow_id: str = ""
    run_id: str = ""
    activity_id: str = ""
    activity_type: str = ""
    attempt: int = 0


@dataclass(slots=True)
class Effect:
    """One effect.

    Attributes:
        number: Its position in the ledger of its service, from 1.
        time_us: When it was applied: true time, microseconds since the Unix epoch.
        service: The outside system.
        operation: The operation that applied it (``POST /charges`` for HTTP).
        key: The logical effect: what must happen at most once. Empty where the operation could not tell.
        arguments: The arguments of the call, by name.
        idempotency_key: The idempotency key of the call, if it had one.
        undoes: The operation whose effect (of the same key) this one undoes, or empty.
        result: What the operation returned.
        caller: Who called.
        call_id: Numbers the calls of a run; a request that was doubled on its way has one number.
        sent_us: When the call was sent.
    """

    number: int
    time_us: int
    service: str
    operation: str
    key: str
    arguments: dict[str, Any]
    idempotency_key: str | None
    undoes: str
    result: Any
    caller: Caller
    call_id: int
    sent_us: int

    def to_data(self) -> dict[str, Any]:
        """Plain data, for the record of the run."""
        caller = self.caller
        return {
            "number": self.number,
            "time_us": self.time_us,
            "operation": self.operation,
            "key": self.key,
            "arguments": plain(self.arguments),
            "idempotency_key": self.idempotency_key,
            "undoes": self.undoes,
            "result": plain(self.result),
            "node": caller.node,
            "workflow_id": caller.workflow_id,
            "run_id": caller.run_id,
            "activity_id": caller.activity_id,
            "activity_type": caller.activity_type,
            "attempt": caller.attempt,
            "call_id": self.call_id,
            "sent_us": self.sent_us,
        }


@dataclass(slots=True)
class EffectLedger:
    """The effects of one service, in the order in which they were applied.

    ``repeats`` counts calls that an idempotency key turned into the stored reply of an earlier one.
    """

    service: str
    effects: list[Effect] = field(default_factory=list)
    repeats: int = 0
    _by_key: dict[tuple[str, str], list[Effect]] = field(default_factory=dict)

    def add(self, effect: Effect) -> None:
        """Write an effect down."""
        assert effect.number == len(self.effects) + 1
        self.effects.append(effect)
        self._by_key.setdefault((effect.operation, effect.key), []).append(effect)

    def of(self, operation: str, key: str) -> list[Effect]:
        """The effects of one operation under one effect key."""
        return list(self._by_key.get((operation, key), ()))

    def by_key(self) -> dict[tuple[str, str], list[Effect]]:
        """(operation, effect key) -> its effects, in the order of their first ones."""
        return {key: list(effects) for key, effects in self._by_key.items()}

    def to_data(self) -> dict[str, Any]:
        """Plain data, for the record of the run."""
        return {"service": self.service, "effects": [effect.to_data() for effect in self.effects]}


__all__ = ["Caller", "Effect", "EffectLedger"]
