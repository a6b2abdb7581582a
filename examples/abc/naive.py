"""The same story with the mistakes that people make. It passes every test without faults."""

from __future__ import annotations

from datetime import datetime, timedelta

from stormproof import activity, workflow
from stormproof.common import RetryPolicy
from stormproof.exceptions import ActivityError

from .correct import Order
from .systems import Courier, Payments, Stock

stock, payments, courier = Stock.client(), Payments.client(), Courier.client()


@activity.defn
async def reserve_stock(order: Order) -> str:
    """A."""
    return await stock.reserve(order.id, order.item)


@activity.defn
async def take_payment(order: Order) -> str:
    """B. Mistake 1: no idempotency key, so an attempt whose answer was lost is charged again."""
    return await payments.charge(order.id, order.amount)


@activity.defn
async def book_courier(order: Order) -> str:
    """C."""
    return await courier.book(order.id, order.address)


@activity.defn
async def apologise(order: Order) -> None:
    """Tell the customer that it takes longer."""


ACTIVITIES = [reserve_stock, take_payment, book_courier, apologise]


@workflow.defn
class NaiveFulfil:
    """A, then B, then C, as it is written in an afternoon."""

    @workflow.run
    async def run(self, order: Order) -> str:
        """Returns ``shipped`` or ``failed``."""
        # Mistake 2: the wall clock decides a branch. A replay at another time takes the other one.
        began = datetime.now()  # noqa: DTZ005 (the mistake)
        await workflow.execute_activity(reserve_stock, order, start_to_close_timeout=timedelta(seconds=10))
        await workflow.execute_activity(take_payment, order, start_to_close_timeout=timedelta(seconds=10))
        if datetime.now() - began > timedelta(seconds=20):  # noqa: DTZ005 (the mistake)
            await workflow.execute_activity(apologise, order, start_to_close_timeout=timedelta(seconds=10))
        try:
            # Mistake 3: a handful of quick attempts, against a system that is down for hours.
            await workflow.execute_activity(
                book_courier,
                order,
                start_to_close_timeout=timedelta(seconds=15),
                retry_policy=RetryPolicy(maximum_attempts=3),
            )
        except ActivityError:
            # Mistake 4: nothing is undone. The customer has paid and gets nothing.
            return "failed"
        return "shipped"
