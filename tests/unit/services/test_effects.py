from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from stormproof.engine.activity import current_activity
from stormproof.sim import services as kit
from stormproof.sim.services import (
    IdempotencyConflict,
    Latency,
    Service,
    ServiceRefused,
    no_effect,
    operation,
)


class Payments(Service):
    latency = Latency.fixed_us(10_000)

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self._calls = 0

    @operation(effect_key="order_id", idempotent_by="key")
    async def charge(self, order_id: str, amount: int, *, key: str | None = None) -> str:
        self._calls += 1
        if amount < 0:
            raise ServiceRefused("a negative amount", status=402)
        self.charged[order_id] = self.charged.get(order_id, 0) + amount
        return f"receipt-{order_id}-{self._calls}"

    @operation(effect_key="order_id", undoes="charge")
    async def refund(self, order_id: str) -> None:
        if self.charged.pop(order_id, None) is None:
            no_effect(None)

    @operation
    def balance(self, order_id: str) -> int:
        return self.charged.get(order_id, 0)


# --- idempotency ------------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_reply_and_one_effect(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    client = Payments.client()
    first = small.run(lambda: client.charge("order-1", 5, key="k"))
    assert small.run(lambda: client.charge("order-1", 5, key="k")) == first
    assert payments.charged == {"order-1": 5}
    ledger = small.services.host("payments").ledger
    assert [effect.idempotency_key for effect in ledger.effects] == ["k"]
    assert ledger.repeats == 1


def test_the_same_key_with_other_arguments_is_refused(world: Any) -> None:
    small = world(Payments())
    client = Payments.client()
    small.run(lambda: client.charge("order-1", 5, key="k"))
    with pytest.raises(IdempotencyConflict, match="422: the idempotency key 'k' was used before with other arguments"):
        small.run(lambda: client.charge("order-1", 6, key="k"))


def test_no_key_is_no_key(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    for _ in range(2):
        small.run(lambda: Payments.client().charge("order-1", 5))
    assert payments.charged == {"order-1": 10}
    assert len(small.services.host("payments").ledger.of("charge", "order-1")) == 2


def test_a_failed_call_leaves_no_reply_behind(world: Any) -> None:
    small = world(Payments())
    client = Payments.client()
    with pytest.raises(ServiceRefused):
        small.run(lambda: client.charge("order-1", -1, key="k"))
    assert small.run(lambda: client.charge("order-1", 1, key="k")) == "receipt-order-1-2"


class Slow(Service):
    latency = Latency.none()

    @operation(effect_key="item", idempotent_by="key")
    async def make(self, item: str, key: str) -> str:
        await asyncio.sleep(1)
        return item


def test_a_key_whose_first_call_goes_on_is_refused_until_it_ends(world: Any) -> None:
    small = world(Slow())

    async def main() -> list[Any]:
        client = Slow.client()
        first = asyncio.create_task(client.make("a", "k"))
        await asyncio.sleep(0.5)
        with pytest.raises(IdempotencyConflict, match="409"):
            await client.make("a", "k")
        return [await first, await client.make("a", "k")]

    assert small.run(main) == ["a", "a"]
    assert len(small.services.host("slow").ledger.effects) == 1


def test_a_key_whose_first_call_died_with_its_process_can_be_used_again(world: Any) -> None:
    small = world(Slow())
    small.begin(lambda: Slow.client().make("a", "k"))
    small.kernel.run(small.kernel.now_us + 500_000)
    small.nodes["slow"].crash()
    small.nodes["slow"].start()
    assert small.run(lambda: Slow.client().make("a", "k"), "other") == "a"


# --- ledger -----------------------------------------------------------------------------------------------------------


def test_the_ledger_knows_which_attempt_of_which_activity_called(world: Any) -> None:
    small = world(Payments())
    info = SimpleNamespace(
        workflow_id="order-1", workflow_run_id="run-1", activity_id="5", activity_type="charge", attempt=3
    )

    async def main() -> None:
        current_activity.set(SimpleNamespace(info=info))  # type: ignore[arg-type]
        await Payments.client().charge("order-1", 5)

    sent_from_us = small.kernel.now_us
    small.run(main, "worker-1")
    (data,) = small.services.ledgers()[0]["effects"]
    assert sent_from_us == data.pop("sent_us")
    assert sent_from_us + 10_000 < data.pop("time_us") < small.kernel.now_us
    assert data == {
        "number": 1,
        "operation": "charge",
        "key": "order-1",
        "arguments": {"order_id": "order-1", "amount": 5, "key": None},
        "idempotency_key": None,
        "undoes": "",
        "result": "receipt-order-1-1",
        "node": "worker-1",
        "workflow_id": "order-1",
        "run_id": "run-1",
        "activity_id": "5",
        "activity_type": "charge",
        "attempt": 3,
        "call_id": 1,
    }


def test_an_undoing_operation_names_what_it_undoes_and_may_say_that_there_was_nothing(world: Any) -> None:
    small = world(Payments())
    client = Payments.client()
    small.run(lambda: client.charge("order-1", 5))
    small.run(lambda: client.refund("order-1"))
    small.run(lambda: client.refund("order-1"))
    effects = small.services.host("payments").ledger.effects
    assert [(effect.operation, effect.undoes, effect.key) for effect in effects] == [
        ("charge", "", "order-1"),
        ("refund", "charge", "order-1"),
    ]
    assert list(small.services.host("payments").ledger.by_key()) == [("charge", "order-1"), ("refund", "order-1")]


def test_reads_are_not_in_the_ledger(world: Any) -> None:
    small = world(Payments())
    small.run_thread(lambda: Payments.client().balance("order-1"))
    assert small.services.ledgers() == [{"service": "payments", "effects": []}]


def test_points_are_reached_before_and_after_the_effect(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    seen: list[tuple[str, str, str, str, bool, str]] = []

    def observe(point: str, node: str, subject: str, detail: str) -> None:
        call = small.services.current_call
        seen.append((point, node, subject, detail, bool(payments.charged), call.source))

    small.observers.append(observe)
    small.run(lambda: Payments.client().charge("order-1", 5))
    small.run_thread(lambda: Payments.client().balance("order-1"))
    assert seen == [
        ("service.before_effect", "payments", "payments.charge", "order-1", False, "client"),
        ("service.after_effect", "payments", "payments.charge", "order-1", True, "client"),
    ]
    assert small.services.current_call is None


def test_a_caller_crashed_after_the_effect_never_hears_of_it(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    small.observers.append(lambda point, *_: small.nodes["client"].crash() if point == "service.after_effect" else None)
    done = small.begin(lambda: Payments.client().charge("order-1", 5))
    small.kernel.run()
    assert not done
    assert payments.charged == {"order-1": 5}


def test_a_service_crashed_before_the_effect_has_none(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    small.observers.append(lambda *_: small.nodes["payments"].crash())
    with pytest.raises(kit.ConnectionLost, match="reset"):
        small.run(lambda: Payments.client().charge("order-1", 5))
    assert payments.charged == {}
