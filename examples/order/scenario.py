"""An order saga: stock is held, a person approves (after weeks, or never), money is taken, or everything is undone.

Signals may come twice, late, or before the workflow looks. The approval has a timeout, because people forget.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from stormproof import Scenario, WorkerGroup, activity, workflow
from stormproof.client import Client
from stormproof.common import RetryPolicy
from stormproof.exceptions import ActivityError
from stormproof.services import Latency, Service, no_effect, operation
from stormproof.worker import Worker

QUEUE = "approvals"


class Warehouse(Service):
    """Holds goods for an order."""

    latency = Latency.between_us(5_000, 80_000)

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.let_go: dict[str, bool] = {}

    @operation(effect_key="order_id")
    async def hold(self, order_id: str, pieces: int) -> None:
        """Set pieces aside, once for each order."""
        if order_id in self.held or order_id in self.let_go:
            no_effect(None)
        else:
            self.held[order_id] = pieces

    @operation(effect_key="order_id", undoes="hold")
    async def let_go_of(self, order_id: str) -> None:
        """Put them back."""
        self.let_go[order_id] = True
        if self.held.pop(order_id, None) is None:
            no_effect(None)


class Bank(Service):
    """Takes money; the same key is the same transfer."""

    latency = Latency.long_tail_us(typical_us=150_000, worst_us=3_000_000)

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}

    @operation(effect_key="order_id", idempotent_by="key")
    async def take(self, order_id: str, amount: int, key: str) -> str:
        """Take money."""
        self.taken[order_id] = self.taken.get(order_id, 0) + amount
        return f"transfer-{order_id}"


warehouse, bank = Warehouse.client(timeout=timedelta(seconds=5)), Bank.client(timeout=timedelta(seconds=8))


@dataclass
class Order:
    """Something that a person must approve."""

    id: str
    pieces: int
    amount: int


@dataclass
class Decision:
    """What the approver says. ``number`` tells doubled messages apart."""

    number: int
    approved: bool
    by: str


@activity.defn
async def hold_goods(order: Order) -> None:
    """Hold the goods."""
    await warehouse.hold(order.id, order.pieces)


@activity.defn
async def let_go_of_goods(order: Order) -> None:
    """Put the goods back."""
    await warehouse.let_go_of(order.id)


@activity.defn
async def take_money(order: Order) -> str:
    """Take the money, once."""
    return await bank.take(order.id, order.amount, key=f"take-{order.id}")


@activity.defn
def send_letter(order: Order, text: str) -> None:
    """Write to the customer: a synchronous activity."""
    activity.logger.info("to the customer of %s: %s", order.id, text)


STEP = timedelta(seconds=10)


@workflow.defn
class OrderSaga:
    """Hold, wait for a decision, then take the money or put everything back."""

    def __init__(self) -> None:
        self.decision: Decision | None = None
        self.state = "new"

    @workflow.signal
    def decide(self, decision: Decision) -> None:
        """The first decision counts; a doubled or second one changes nothing."""
        if self.decision is None:
            self.decision = decision

    @workflow.query
    def status(self) -> str:
        """Where the order is."""
        return self.state

    @workflow.run
    async def run(self, order: Order, patience_days: int) -> str:
        """Returns ``sold``, ``rejected`` or ``forgotten``."""
        self.state = "holding"
        await workflow.execute_activity(hold_goods, order, start_to_close_timeout=STEP)
        self.state = "waiting"
        try:
            await workflow.wait_condition(lambda: self.decision is not None, timeout=timedelta(days=patience_days))
        except TimeoutError:
            return await self.give_up(order, "forgotten")
        assert self.decision is not None
        if not self.decision.approved:
            return await self.give_up(order, "rejected")
        self.state = "paying"
        await workflow.execute_activity(
            take_money,
            order,
            start_to_close_timeout=STEP,
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
        )
        return await self.end(order, "sold")

    async def give_up(self, order: Order, state: str) -> str:
        """Undo, and say why."""
        await workflow.execute_activity(let_go_of_goods, order, start_to_close_timeout=STEP)
        return await self.end(order, state)

    async def end(self, order: Order, state: str) -> str:
        """Write a letter, which may fail without harm."""
        self.state = state
        try:
            await workflow.execute_activity(
                send_letter,
                args=[order, state],
                start_to_close_timeout=STEP,
                retry_policy=RetryPolicy(maximum_attempts=3),
            )
        except ActivityError:
            workflow.logger.warning("no letter for %s", order.id)
        return state


ORDERS = [
    (Order("desk", 1, 30_000), True, 9),
    (Order("sofa", 2, 90_000), False, 16),
    (Order("lamp", 5, 4_000), None, 0),
]


async def customers_and_approvers(client: Client) -> None:
    """Three orders: one approved after nine days, one rejected after sixteen, one forgotten."""

    async def one(order: Order, approved: bool | None, after_days: int) -> None:
        handle = await client.start_workflow(OrderSaga.run, args=[order, 21], id=f"order-{order.id}", task_queue=QUEUE)
        if approved is not None:
            await asyncio.sleep(after_days * 86_400)
            await handle.query(OrderSaga.status)
            await handle.signal(OrderSaga.decide, Decision(1, approved, "the boss"))
            await handle.signal(OrderSaga.decide, Decision(1, approved, "the boss"))
        await handle.result()

    await asyncio.gather(*(one(*order) for order in ORDERS), return_exceptions=True)


def worker(client: Client) -> Worker:
    """A worker process."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[OrderSaga],
        activities=[hold_goods, let_go_of_goods, take_money, send_letter],
    )


correct = Scenario(
    customers_and_approvers,
    name="order saga",
    workers=[WorkerGroup(worker, count=2)],
    services=[Warehouse, Bank],
    outcomes=["sold", "rejected", "forgotten"],
)
