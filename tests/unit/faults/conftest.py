"""A small scenario in the real world: two activities of one workflow, a timer between them, two outside systems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine import activity, workflow
from stormproof.engine.client import Client
from stormproof.engine.worker import Worker
from stormproof.faults import Fault, PlannedFaults, Profile, Topology, heal_at_us
from stormproof.sim.options import RunOptions
from stormproof.sim.record import RunRecord, TraceEvent
from stormproof.sim.scenario import Scenario, WorkerGroup
from stormproof.sim.services import Latency, Service, operation
from stormproof.sim.simulate import run_scenario
from stormproof.sim.world import START_TIME_US, World

BETWEEN_S = 5
WORK_TIMEOUT_S = 30


class Payments(Service):
    latency = Latency.fixed_us(2_000)

    @operation(effect_key="order")
    async def charge(self, order: str) -> str:
        return f"receipt of {order}"


class Stock(Service):
    latency = Latency.fixed_us(1_000)

    @operation(effect_key="order")
    def reserve(self, order: str) -> str:
        return f"parts of {order}"


payments = Payments.client()
stock = Stock.client()
FINALLY: list[str] = []
"""What ``finally`` blocks of activities did while the run went on."""


@activity.defn
async def charge(order: str) -> str:
    try:
        return await payments.charge(order)
    except asyncio.CancelledError:
        FINALLY.append("cancelled")
        raise
    finally:
        FINALLY.append(f"charge {order}")


@activity.defn
def reserve(order: str) -> str:
    return stock.reserve(order)


@workflow.defn
class Order:
    @workflow.run
    async def run(self, order: str) -> list[str]:
        timeout = timedelta(seconds=WORK_TIMEOUT_S)
        parts = await workflow.execute_activity(reserve, order, start_to_close_timeout=timeout)
        await asyncio.sleep(BETWEEN_S)
        receipt = await workflow.execute_activity(charge, order, start_to_close_timeout=timeout)
        return [parts, receipt]


async def one_order(client: Client) -> Any:
    await asyncio.sleep(0.1)  # so that faults may come before it all
    return await client.execute_workflow(Order.run, "7", id="order-7", task_queue="orders")


async def inline_worker() -> Any:
    """As against a real server: ``main`` makes its own worker."""
    client = await Client.connect("localhost:7233")
    async with Worker(client, task_queue="orders", workflows=[Order], activities=[charge, reserve]):
        return await one_order(client)


def worker(client: Client) -> Worker:
    return Worker(client, task_queue="orders", workflows=[Order], activities=[charge, reserve])


@dataclass
class Storm:
    """Runs the scenario under plans."""

    sessions: list[PlannedFaults] = field(default_factory=list)
    topology: Topology = field(default_factory=Topology)

    @property
    def session(self) -> PlannedFaults:
        """That of the last run."""
        return self.sessions[-1]

    @property
    def finally_ran(self) -> list[str]:
        """What ``finally`` blocks of activities did in the last run, before it was over."""
        return self._finally

    def run(
        self,
        *plan: Fault,
        seed: int = 1,
        workers: int = 1,
        inline: bool = False,
        heal_at: int | None = None,
        watch: Callable[[World], None] | None = None,
    ) -> RunRecord:
        FINALLY.clear()
        self._finally: list[str] = []
        groups: Sequence[WorkerGroup] = () if inline else (WorkerGroup(worker, count=workers),)
        workload: Any = inline_worker if inline else one_order
        scenario = Scenario(workload, workers=groups, services=[Payments, Stock])
        session = PlannedFaults(plan, heal_at_us(plan, self.topology) if heal_at is None else heal_at)
        self.sessions.append(session)

        def watching(world: World) -> None:
            self._close(world)
            if watch is not None:
                watch(world)

        return run_scenario(
            scenario,
            seed=seed,
            options=RunOptions(trace=True),
            faults=session if plan else None,
            liveness_us=3_600_000_000,
            watch=watching,
        )

    def _close(self, world: World) -> None:
        """Note what ran before the dead are buried."""
        close = world.close

        def noting() -> None:
            self._finally = list(FINALLY)
            close()

        world.close = noting  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def topology() -> Topology:
    """The shape of the scenario, seen in a run without faults."""
    profile = Profile()
    Storm().run(watch=profile.watch)
    return profile.topology()


@pytest.fixture
def storm(topology: Topology) -> Storm:
    return Storm(topology=topology)


@pytest.fixture
def told() -> Callable[..., list[tuple[int, str, str]]]:
    """``told(record, "crash", "start")``: (microseconds since the start, node, text) of trace events of these kinds."""

    def find(record: RunRecord, *kinds: str) -> list[tuple[int, str, str]]:
        found: list[TraceEvent] = [event for event in record.trace if event["kind"] in kinds]
        return [(event["time_us"] - START_TIME_US, event["node"], event["text"]) for event in found]

    return find


@pytest.fixture
def effects() -> Callable[[RunRecord, str], list[dict[str, Any]]]:
    """The effects of a service, in order."""

    def find(record: RunRecord, service: str) -> list[dict[str, Any]]:
        (ledger,) = [ledger for ledger in record.ledgers if ledger["service"] == service]
        return ledger["effects"]

    return find
