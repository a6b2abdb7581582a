from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim import services as kit
from stormproof.sim.services import (
    CallTimedOut,
    Latency,
    NoSuchService,
    RateLimit,
    Service,
    ServiceFailed,
    ServiceRefused,
    ServiceUnavailable,
    as_async,
    as_blocking,
    no_effect,
    operation,
)


class CardDeclined(Exception):
    def __init__(self, card: str, *, reason: str) -> None:
        super().__init__(f"{card}: {reason}")
        self.reason = reason


class Payments(Service):
    latency = Latency.fixed_us(10_000)

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.lines: list[list[str]] = []
        self._calls = 0

    @operation(effect_key="order_id", idempotent_by="key", raises=[CardDeclined])
    async def charge(self, order_id: str, amount: int, *, key: str | None = None) -> str:
        self._calls += 1
        if amount < 0:
            raise ServiceRefused("a negative amount", status=402)
        if amount == 13:
            raise CardDeclined("4711", reason="superstition")
        if amount == 14:
            raise KeyError("oops")
        self.charged[order_id] = self.charged.get(order_id, 0) + amount
        return f"receipt-{order_id}-{self._calls}"

    @operation(effect_key="order_id", undoes="charge")
    async def refund(self, order_id: str) -> None:
        if order_id not in self.charged:
            return no_effect(None)
        del self.charged[order_id]
        return None

    @operation(latency=Latency.none())
    def balance(self, order_id: str) -> int:
        return self.charged.get(order_id, 0)

    @operation(effect_key="{order_id}/{count}")
    async def slow(self, order_id: str, count: int = 1) -> int:
        await asyncio.sleep(2)
        self.charged[order_id] = count
        return count

    @operation(effect_key=lambda lines, **_: lines[0])
    async def keep(self, lines: list[str], note: str = "") -> list[list[str]]:
        self.lines.append(lines)
        return self.lines


# --- calls ------------------------------------------------------------------------------------------------------------


def test_a_coroutine_awaits_an_operation_and_gets_its_reply(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    client = Payments.client()
    assert small.run(lambda: client.charge("order-1", 5)) == "receipt-order-1-1"
    assert payments.charged == {"order-1": 5}
    # 10 ms at the service, and two messages of 0.1 to 1 ms.
    assert 10_200 <= small.elapsed_us <= 12_000


def test_a_thread_blocks_on_an_operation(world: Any) -> None:
    small = world(Payments())
    client = Payments.client()

    def activity() -> int:
        as_blocking(client.charge)("order-1", 5)
        return client.balance(order_id="order-1")

    assert small.run_thread(activity) == 5


def test_a_blocking_operation_can_be_awaited(world: Any) -> None:
    small = world(Payments())
    assert small.run(lambda: as_async(Payments.client().balance)("order-1")) == 0


def test_an_operation_that_suspends_takes_its_time_and_the_service_serves_others_meanwhile(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    client = Payments.client()

    async def main() -> tuple[int, str, int]:
        slow = asyncio.create_task(client.slow("order-1", 7))
        receipt = await client.charge("order-2", 1)
        at_us = small.elapsed_us
        return await slow, receipt, at_us

    count, _, at_us = small.run(main)
    assert count == 7
    assert at_us < 20_000
    assert small.elapsed_us > 2_000_000
    assert [effect.key for effect in small.services.host("payments").ledger.effects] == ["order-2", "order-1/7"]


def test_arguments_are_bound_as_python_binds_them(world: Any) -> None:
    small = world(Payments())
    client = Payments.client()
    with pytest.raises(TypeError, match=r"Payments\.charge\(\): missing a required argument: 'amount'"):
        client.charge("order-1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        client.charge("order-1", 5, colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="too many positional"):
        client.charge("order-1", 5, "key")  # type: ignore[misc]
    with pytest.raises(TypeError, match="multiple values"):
        client.charge("order-1", 5, order_id="order-1")  # type: ignore[misc]
    small.run(lambda: client.charge(amount=5, order_id="order-1", key="k"))
    small.run(lambda: client.slow("order-1"))
    effects = small.services.host("payments").ledger.effects
    assert effects[0].arguments == {"order_id": "order-1", "amount": 5, "key": "k"}
    assert effects[1].arguments == {"order_id": "order-1", "count": 1}


def test_nothing_mutable_is_shared_between_caller_service_and_ledger(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    lines = ["a"]

    async def main() -> list[list[str]]:
        client = Payments.client()
        pending = asyncio.create_task(client.keep(lines))
        await asyncio.sleep(0)
        lines.append("changed after sending")
        reply = await pending
        reply[0].append("changed by the caller")
        payments.lines[0].append("changed by the service")
        return await client.keep(["b"])

    assert small.run(main) == [["a", "changed by the service"], ["b"]]
    assert small.services.host("payments").ledger.effects[0].arguments == {"lines": ["a"], "note": ""}


def test_the_client_is_of_the_service_type_but_reaches_only_operations(world: Any) -> None:
    client = Payments.client()
    assert isinstance(client, Payments)
    assert repr(client) == "<client of payments>"
    with pytest.raises(AttributeError, match="'charged': a client reaches the operations of payments"):
        _ = client.charged


def test_outside_a_simulation_a_call_says_so() -> None:
    client = Payments.client()
    with pytest.raises(MisuseError, match="no simulation is running here"):
        client.balance("order-1")
    coroutine = client.charge("order-1", 5)
    with pytest.raises(MisuseError, match="no simulation is running here"):
        coroutine.send(None)


def test_a_service_that_the_scenario_lacks_ends_the_run(world: Any) -> None:
    class Stock(Service):
        @operation
        async def count(self) -> int:
            return 0

    small = world(Payments())
    with pytest.raises(
        NoSuchService, match=r"no service 'stock' .it has: payments.: add it to the scenario's services"
    ):
        small.run(Stock.client().count)
    assert isinstance(small.misuse, NoSuchService)


def test_a_driver_starts_a_service(world: Any) -> None:
    small = world()

    async def main() -> Payments:
        payments = kit.start_service(Payments)
        await Payments.client().charge("order-1", 5)
        return payments

    assert small.run(main).snapshot() == {"charged": {"order-1": 5}, "lines": []}


def test_several_objects_of_a_class_have_names(world: Any) -> None:
    here, there = Payments(), Payments()
    there.name = "payments-eu"
    small = world(here, there)
    small.run(lambda: Payments.client(name="payments-eu").charge("order-1", 5))
    assert (here.charged, there.charged) == ({}, {"order-1": 5})
    assert small.services.get(Payments, "payments-eu") is there


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_refusal_reaches_the_caller_as_what_it_is(world: Any) -> None:
    small = world(Payments())
    with pytest.raises(ServiceRefused, match="402: a negative amount") as caught:
        small.run(lambda: Payments.client().charge("order-1", -1))
    assert (caught.value.service, caught.value.operation, caught.value.status) == ("payments", "charge", 402)
    assert not caught.value.ambiguous


def test_a_declared_exception_reaches_the_caller_with_its_attributes(world: Any) -> None:
    small = world(Payments())
    with pytest.raises(CardDeclined, match="4711: superstition") as caught:
        small.run(lambda: Payments.client().charge("order-1", 13))
    assert caught.value.reason == "superstition"


def test_an_undeclared_exception_is_a_failure_of_the_service(world: Any) -> None:
    small = world(Payments())
    with pytest.raises(ServiceFailed, match=r"payments.charge raised KeyError: 'oops' .*raises=\[KeyError\]"):
        small.run(lambda: Payments.client().charge("order-1", 14))
    assert small.services.host("payments").broken == ["payments.charge raised KeyError: 'oops'"]


def test_a_refused_call_has_no_effect_in_the_ledger(world: Any) -> None:
    small = world(Payments())
    with pytest.raises(ServiceRefused):
        small.run(lambda: Payments.client().charge("order-1", -1))
    assert small.services.host("payments").ledger.effects == []


def test_a_timeout_is_ambiguous_and_the_effect_comes_late(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    client = Payments.client(timeout=timedelta(milliseconds=5))
    with pytest.raises(TimeoutError) as caught:
        small.run(lambda: client.charge("order-1", 5))
    assert type(caught.value) is CallTimedOut
    assert caught.value.ambiguous
    assert payments.charged == {"order-1": 5}
    assert small.run(lambda: client.with_timeout(None).charge("order-2", 5))


def test_a_caller_that_dies_leaves_its_request_on_its_way(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    small.begin(lambda: Payments.client().charge("order-1", 5))
    small.kernel.run(small.kernel.now_us + 5_000)
    small.nodes["client"].crash()
    small.kernel.run()
    assert payments.charged == {"order-1": 5}


def test_a_service_that_crashes_loses_calls_in_flight_and_keeps_its_state(world: Any) -> None:
    payments = Payments()
    small = world(payments)
    client = Payments.client()
    small.run(lambda: client.charge("order-1", 5))
    done = small.begin(lambda: client.charge("order-2", 5))
    small.kernel.run(small.kernel.now_us + 5_000)
    small.nodes["payments"].crash()
    small.kernel.run()
    assert isinstance(done[0].exception(), kit.ConnectionLost)
    assert payments.charged == {"order-1": 5}
    with pytest.raises(ServiceUnavailable, match="connection refused"):
        small.run(lambda: client.charge("order-2", 5))
    small.nodes["payments"].start()
    assert small.run(lambda: as_async(client.balance)("order-1")) == 5


@pytest.mark.parametrize(
    "error",
    [
        kit.CallFailed("text", "payments", "charge"),
        kit.ServiceUnavailable("text", "payments", "charge"),
        kit.ConnectionLost("text", "payments", "charge"),
        kit.CallTimedOut("text", "payments", "charge"),
        kit.ServiceRefused("text", "payments", "charge", 402),
        kit.RateLimited("text", "payments", "charge", 429, 1_500),
        kit.IdempotencyConflict("text", "payments", "charge", 409),
        kit.ServiceFailed("text", "payments", "charge"),
    ],
)
def test_errors_survive_being_rebuilt_from_their_args(error: kit.CallFailed) -> None:
    again = type(error)(*error.args)
    assert again.args == error.args
    assert (again.message, again.service, again.operation) == ("text", "payments", "charge")
    assert str(again) == str(error)


# --- what a user can get wrong ----------------------------------------------------------------------------------------


def test_mistakes_in_a_service_class_are_named_when_it_is_defined() -> None:
    def define(**members: Any) -> None:
        type("Wrong", (Service,), members)

    def takes_anything(self: Any, *args: Any) -> None: ...

    def takes_order(self: Any, order: str) -> None: ...

    with pytest.raises(MisuseError, match=r"Wrong.call takes \*args"):
        define(call=operation(takes_anything))
    with pytest.raises(MisuseError, match="effect_key='ordr', but no parameter of that name: expected one of order"):
        define(call=operation(effect_key="ordr")(takes_order))
    with pytest.raises(MisuseError, match="idempotent_by='key'"):
        define(call=operation(idempotent_by="key")(takes_order))
    with pytest.raises(MisuseError, match="undoes='charge': expected one of call"):
        define(call=operation(undoes="charge")(takes_order))
    with pytest.raises(MisuseError, match="operations cannot be called 'client'"):
        define(client=operation(takes_order))


def test_other_mistakes_are_named(world: Any) -> None:
    payments = Payments()
    world(payments)
    with pytest.raises(MisuseError, match="has run in a simulation already"):
        world(payments)
    with pytest.raises(MisuseError, match="is no outside system"):
        world(Payments)
    with pytest.raises(MisuseError, match="timeout"):
        Payments.client(timeout=timedelta(0) - timedelta(seconds=1))
    with pytest.raises(MisuseError, match="runs in no simulation"):
        Payments().now_us()
    with pytest.raises(MisuseError, match="this is the outside system itself"):
        payments.with_timeout(None)
    with pytest.raises(MisuseError, match="is no operation of a client"):
        as_blocking(payments.charge)
    with pytest.raises(MisuseError, match="microseconds"):
        Latency.between_us(5, 4)
    with pytest.raises(MisuseError, match="RateLimit"):
        RateLimit(0)


def test_workflow_code_that_calls_a_service_is_told_so(world: Any) -> None:
    small = world(Payments())
    machine = small.client_node()
    coroutine = Payments.client().charge("order-1", 5)

    async def on_a_foreign_loop() -> None:
        with pytest.raises(MisuseError, match="workflow code can't call outside systems"):
            await coroutine

    def workflow() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(on_a_foreign_loop())
        loop.close()

    machine.context.run(workflow)


def test_an_overriding_method_is_an_operation_with_the_same_options(world: Any) -> None:
    class Generous(Payments):
        async def charge(self, order_id: str, amount: int, *, key: str | None = None) -> str:
            return await super().charge(order_id, 0, key=key)

    generous = Generous()
    small = world(generous)
    small.run(lambda: Generous.client().charge("order-1", 5, key="k"))
    assert generous.charged == {"order-1": 0}
    assert small.services.host("generous").ledger.effects[0].idempotency_key == "k"


def test_operations_draw_from_the_seed(world: Any) -> None:
    class Dice(Service):
        @operation
        async def roll(self) -> int:
            return self.draws.integer(1, 6)

    rolled = [world(Dice(), seed=seed).run(Dice.client().roll) for seed in (1, 1, 2, 3, 4, 5)]
    assert rolled[0] == rolled[1]
    assert len(set(rolled)) > 1


def test_the_decorator_keeps_the_method(world: Any) -> None:
    assert inspect.iscoroutinefunction(Payments.charge)
    assert asyncio.run(Payments().charge("order-1", 5)) == "receipt-order-1-1"


def test_an_operation_may_start_something_that_goes_on_by_itself(world: Any) -> None:
    class Bank(Service):
        def __init__(self) -> None:
            self.settled = False

        @operation
        async def transfer(self) -> bool:
            self._task = asyncio.create_task(self._settle())
            return self.settled

        async def _settle(self) -> None:
            await asyncio.sleep(3600)
            self.settled = True

    bank = Bank()
    assert world(bank).run(Bank.client().transfer) is False
    assert bank.settled
