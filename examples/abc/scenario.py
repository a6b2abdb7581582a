"""The scenarios: ``correct`` and ``naive``, each with two workers and three orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from stormproof import Scenario, WorkerGroup
from stormproof.client import Client
from stormproof.worker import Worker

from . import correct as right
from . import naive as wrong
from .systems import Courier, Payments, Stock

QUEUE = "orders"
ORDERS = [right.Order("order-1"), right.Order("order-2", item="chair"), right.Order("order-3", amount=99)]


def right_worker(client: Client) -> Worker:
    """A worker process of the correct version."""
    return Worker(client, task_queue=QUEUE, workflows=[right.Fulfil], activities=right.ACTIVITIES)


def wrong_worker(client: Client) -> Worker:
    """A worker process of the naive version."""
    return Worker(client, task_queue=QUEUE, workflows=[wrong.NaiveFulfil], activities=wrong.ACTIVITIES)


def workload(run: Callable[..., Any]) -> Callable[[Client], Coroutine[Any, Any, None]]:
    """Three orders at a time; each must come to an end."""

    async def order_all(client: Client) -> None:
        await asyncio.gather(
            *(client.execute_workflow(run, order, id=order.id, task_queue=QUEUE) for order in ORDERS),
            return_exceptions=True,
        )

    return order_all


SYSTEMS = [Stock, Payments, Courier]

correct = Scenario(
    workload(right.Fulfil.run),
    name="A-B-C, correct",
    workers=[WorkerGroup(right_worker, count=2)],
    services=SYSTEMS,
    outcomes=["shipped", "undone"],
)

naive = Scenario(
    workload(wrong.NaiveFulfil.run),
    name="A-B-C, naive",
    workers=[WorkerGroup(wrong_worker, count=2)],
    services=SYSTEMS,
)
