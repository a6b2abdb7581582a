"""The story done right: keys, timeouts, retries that fit, and compensation that covers what may have happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from stormproof import activity, workflow
from stormproof.common import RetryPolicy
from stormproof.exceptions import ActivityError, ApplicationError
from stormproof.services import RateLimited

from .systems import Courier, Payments, Stock

stock, payments, courier = Stock.client(), Payments.client(), Courier.client()


@dataclass
class Order:
    """What a customer wants."""

    id: str
    item: str = "lamp"
    amount: int = 4_200
    address: str = "Storm Street 7"


@activity.defn
async def reserve_stock(order: Order) -> str:
    """A."""
    return await stock.reserve(order.id, order.item)


@activity.defn
async def take_payment(order: Order) -> str:
    """B. The key is the order's: every attempt is the same charge. B says when to come back."""
    try:
        return await payments.charge(order.id, order.amount, key=f"charge-{order.id}")
    except RateLimited as refused:
        delay = timedelta(microseconds=refused.retry_after_us)
        raise ApplicationError(str(refused), type="RateLimited", next_retry_delay=delay) from refused


@activity.defn
async def book_courier(order: Order) -> str:
    """C. Nothing but the activity's timeout ends a call that is never answered."""
    return await courier.book(order.id, order.address)


@activity.defn
async def release_stock(order: Order) -> None:
    """Undo A."""
    await stock.release(order.id)


@activity.defn
async def refund_payment(order: Order) -> None:
    """Undo B. It is rate-limited too; the retry policy sees to that."""
    await payments.refund(order.id)


@activity.defn
async def cancel_courier(order: Order) -> None:
    """Undo C."""
    await courier.cancel(order.id)


ACTIVITIES = [reserve_stock, take_payment, book_courier, release_stock, refund_payment, cancel_courier]


@workflow.defn
class Fulfil:
    """A, then B, then C; if C can't be done within five minutes, everything is undone, in reverse."""

    @workflow.run
    async def run(self, order: Order) -> str:
        """Returns ``shipped`` or ``undone``."""
        undo = []
        try:
            # Each undo is registered before its step: a step that fails may have happened nevertheless.
            undo.append(release_stock)
            await workflow.execute_activity(reserve_stock, order, start_to_close_timeout=timedelta(seconds=10))
            undo.append(refund_payment)
            await workflow.execute_activity(take_payment, order, start_to_close_timeout=timedelta(seconds=10))
            undo.append(cancel_courier)
            await workflow.execute_activity(
                book_courier,
                order,
                start_to_close_timeout=timedelta(seconds=15),
                schedule_to_close_timeout=timedelta(minutes=5),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
            )
        except ActivityError:
            for step in reversed(undo):
                await workflow.execute_activity(step, order, start_to_close_timeout=timedelta(seconds=10))
            return "undone"
        return "shipped"
