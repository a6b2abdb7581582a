"""Prints one table of speed, with the references measured in the same run.

    python benchmarks/run.py [--executions N] [--rounds R]

Each row is the median of the rounds, with the least and the greatest. The machine's speed drifts, so the ratio to the
reference of the same run says more than the figure: *wanted* is scaled by bare SimPy's rate on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import simpy

from stormproof import Scenario, WorkerGroup, activity, workflow
from stormproof.client import Client
from stormproof.engine.converter import DataConverter
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.engine.replayer import replay
from stormproof.sim.options import RunOptions
from stormproof.sim.patches import installed_patches
from stormproof.sim.record import RunRecord
from stormproof.sim.simulate import run_scenario
from stormproof.simulation import Simulator
from stormproof.worker import Worker

SIMPY_REFERENCE = 1_300_000
"""Bare SimPy timeouts a second on the machine for which the wanted figures were given."""


@activity.defn
async def step(number: int) -> int:
    """Does nothing."""
    return number + 1


@workflow.defn
class ThreeSteps:
    """Three activities, one after the other: 23 events."""

    @workflow.run
    async def run(self, number: int) -> int:
        """Returns ``number`` + 3."""
        for _ in range(3):
            number = await workflow.execute_activity(step, number, start_to_close_timeout=timedelta(seconds=10))
        return number


def worker(client: Client) -> Worker:
    """One worker process."""
    return Worker(client, task_queue="bench", workflows=[ThreeSteps], activities=[step])


def scenario(executions: int, at_once: int) -> Scenario:
    """So many executions in one world."""

    async def workload(client: Client) -> None:
        async def lane(first: int) -> None:
            for number in range(first, executions, at_once):
                await client.execute_workflow(ThreeSteps.run, number, id=f"run-{number}", task_queue="bench")

        await asyncio.gather(*(lane(first) for first in range(at_once)))

    return Scenario(workload, workers=[WorkerGroup(worker, count=2)])


def simpy_timeouts(count: int) -> None:
    """The reference: one SimPy process that waits for timeouts."""
    environment = simpy.Environment()

    def ticking() -> object:
        for _ in range(count):
            yield environment.timeout(1)

    environment.process(ticking())
    environment.run()


def simpy_messages(count: int) -> None:
    """The reference for messages: a SimPy process for each, which waits for its latency and puts it into a store."""
    environment = simpy.Environment()
    store = simpy.Store(environment)

    def message(number: int) -> object:
        yield environment.timeout(1 + number % 7)
        yield store.put(number)

    def receiver() -> object:
        for _ in range(count):
            yield store.get()

    for number in range(count):
        environment.process(message(number))
    environment.run(environment.process(receiver()))


@dataclass
class Row:
    """One measured figure, in units a second."""

    name: str
    rates: list[float]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)


def measure(name: str, count: int, rounds: int, work: Callable[[], object]) -> Row:
    """``count`` units of work in each round."""
    rates = []
    for _ in range(rounds):
        gc.collect()
        began = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - began))
    return Row(name, rates)


def one_world(executions: int) -> RunRecord:
    """All executions in one world, without faults and without checks."""
    return run_scenario(scenario(executions, 8), seed=1, options=RunOptions(faults=False, checks=False))


def fresh_worlds(executions: int) -> None:
    """A world for each execution."""
    single = scenario(1, 1)
    for seed in range(executions):
        run_scenario(single, seed=seed, options=RunOptions(faults=False, checks=False))


def faulty_worlds(executions: int) -> None:
    """A world for each execution, with default faults and all checks."""
    simulator = Simulator(scenario(1, 1))
    for seed in range(executions):
        simulator.run(seed, RunOptions())


def replays(record: RunRecord) -> None:
    """Cold replays of every history of a record."""
    definition = WorkflowDefinition.of(ThreeSteps)
    for history in record.histories:
        assert replay(history.events, definition, DataConverter.default).ok
