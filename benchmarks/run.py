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
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import simpy
from real_replayer import replay_all
from stormproof.engine.converter import DataConverter
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.engine.replayer import replay
from stormproof.sim.choices import Choices
from stormproof.sim.garbage import collection_paused
from stormproof.sim.http import installed_http
from stormproof.sim.network import Call
from stormproof.sim.node import Incarnation
from stormproof.sim.options import RunOptions
from stormproof.sim.patches import installed_patches
from stormproof.sim.record import RunRecord
from stormproof.sim.simulate import run_scenario
from stormproof.sim.world import World

from stormproof import Scenario, WorkerGroup, activity, workflow
from stormproof.client import Client
from stormproof.simulation import Simulator
from stormproof.worker import Worker

SIMPY_REFERENCE = 1_300_000
"""Bare SimPy timeouts a second on the machine for which the wanted figures were given."""

EVENTS_PER_STEP = 6
"""Of an activity in a history: scheduled, started, completed, and the workflow task that follows."""


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


@workflow.defn
class ManySteps:
    """As many activities as it is told, one after the other."""

    @workflow.run
    async def run(self, count: int) -> int:
        """Returns ``count``."""
        number = 0
        for _ in range(count):
            number = await workflow.execute_activity(step, number, start_to_close_timeout=timedelta(seconds=10))
        return number


def worker(client: Client) -> Worker:
    """One worker process."""
    return Worker(client, task_queue="bench", workflows=[ThreeSteps, ManySteps], activities=[step])


def scenario(executions: int, at_once: int) -> Scenario:
    """So many executions in one world."""

    async def workload(client: Client) -> None:
        async def lane(first: int) -> None:
            for number in range(first, executions, at_once):
                await client.execute_workflow(ThreeSteps.run, number, id=f"run-{number}", task_queue="bench")

        await asyncio.gather(*(lane(first) for first in range(at_once)))

    return Scenario(workload, workers=[WorkerGroup(worker, count=2)])


def long_scenario(events: int) -> Scenario:
    """One execution with a history of about so many events."""

    async def workload(client: Client) -> None:
        await client.execute_workflow(ManySteps.run, events // EVENTS_PER_STEP, id="long", task_queue="bench")

    return Scenario(workload, workers=[WorkerGroup(worker, count=2)])


def long_history(events: int) -> None:
    """An execution that reaches so many events, checked by one replay of all of them."""
    record = run_scenario(long_scenario(events), seed=1, options=RunOptions(faults=False, checks=False))
    assert replay(record.histories[0].events, WorkflowDefinition.of(ManySteps), DataConverter.default).ok


def closed_footprint_kb(executions: int) -> float:
    """What a closed execution holds in memory until its world ends, in KB: server, store, record and choices together.

    Taken between two moments of one run, so that what a world costs without any execution is not in it.
    """
    held: list[int] = []

    async def workload(client: Client) -> None:
        for number in range(2 * executions + 1):
            if number % executions == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            await client.execute_workflow(ThreeSteps.run, number, id=f"run-{number}", task_queue="bench")

    tracemalloc.start()
    try:
        options = RunOptions(faults=False, checks=False)
        run_scenario(Scenario(workload, workers=[WorkerGroup(worker, count=2)]), seed=1, options=options)
    finally:
        tracemalloc.stop()
    return (held[2] - held[1]) / executions / 1024


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
    with collection_paused():  # as a campaign's processes do it
        for seed in range(executions):
            run_scenario(single, seed=seed, options=RunOptions(faults=False, checks=False))


def faulty_worlds(executions: int) -> None:
    """A world for each execution, with default faults and all checks."""
    simulator = Simulator(scenario(1, 1))
    with collection_paused():  # as a campaign's processes do it
        for seed in range(executions):
            simulator.run(seed, RunOptions())


def replays(record: RunRecord) -> None:
    """Cold replays of every history of a record."""
    definition = WorkflowDefinition.of(ThreeSteps)
    for history in record.histories:
        assert replay(history.events, definition, DataConverter.default).ok


def real_replays(record: RunRecord, count: int) -> None:
    """The reference for replays: the real SDK's ``Replayer``, without its sandbox, on the same histories."""
    replay_all([history.data for history in record.histories[:count]])


def kernel_messages(count: int) -> None:
    """Our messages alone: calls between two nodes that are answered at once."""
    world = World(Choices(1))
    context = world.base_context.copy()

    def exchange() -> None:
        node = world.add_node("echo", "service", Echo)
        node.start()
        sender = world.add_node("driver", "driver").start()
        for _ in range(count // 2):
            world.network.call(sender, "echo", None, lambda reply: None, timeout_us=None)
        world.kernel.run()

    context.run(exchange)
    world.close()


class Echo:
    """A program that answers every call with nothing."""

    def __init__(self, incarnation: Incarnation) -> None:
        """Needs nothing of its process."""

    def start(self) -> None:
        """Nothing to begin."""

    def receive(self, call: Call) -> None:
        """Answer at once."""
        call.reply(None)

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """Nothing to end."""
        on_stopped()

    def abandon(self) -> None:
        """Nothing to lose."""

    def connection_lost(self, source: str) -> None:
        """Nobody is missed."""


def measure_all(executions: int, rounds: int) -> dict[str, Row]:
    """All rows. The order alternates references and our own, so that a drift of the machine hits both."""
    rows: dict[str, Row] = {}

    def add(key: str, name: str, count: int, work: Callable[[], object]) -> None:
        print(f"measuring {name} ...", file=sys.stderr)
        rows[key] = measure(name, count, rounds, work)

    with installed_patches(), installed_http():
        record = one_world(200)
        add("simpy", "bare SimPy timeouts (reference)", 300_000, lambda: simpy_timeouts(300_000))
        add("one", "3-activity executions, one world, no faults", executions, lambda: one_world(executions))
        add(
            "fresh",
            "3-activity executions, a world each, no faults",
            executions // 2,
            lambda: fresh_worlds(executions // 2),
        )
        add(
            "faults",
            "3-activity executions, a world each, faults and checks",
            executions // 2,
            lambda: faulty_worlds(executions // 2),
        )
        add("replay", "cold replays of 23 events, every workflow task checked", 200, lambda: replays(record))
        add(
            "events_500",
            "events of a history of 500, run and replayed",
            5_000,
            lambda: [long_history(500) for _ in range(10)],
        )
        add("events_5000", "events of a history of 5,000, run and replayed", 5_000, lambda: long_history(5_000))
        add("messages", "messages between nodes", 50_000, lambda: kernel_messages(50_000))
        add("simpy_messages", "SimPy process and Store per message (reference)", 50_000, lambda: simpy_messages(50_000))
    add("real", "the real SDK's Replayer, same histories (reference)", 50, lambda: real_replays(record, 50))
    return rows


def table(rows: dict[str, Row]) -> str:
    """The table as text, with what is wanted on this machine."""
    scale = rows["simpy"].median / SIMPY_REFERENCE
    wanted = {"one": 1_500 * scale, "fresh": 1_500 * scale, "faults": 800 * scale}
    lines = [f"{'a second, on one core':56} {'median':>10} {'least':>10} {'greatest':>10} {'wanted':>8}"]
    for key, row in rows.items():
        goal = f"{wanted[key]:8.0f}" if key in wanted else " " * 8
        lines.append(f"{row.name:56} {row.median:10.0f} {min(row.rates):10.0f} {max(row.rates):10.0f} {goal}")
    lines.append("")
    lines.append(
        f"wanted = 1,500 and 800 where bare SimPy makes {SIMPY_REFERENCE:,} timeouts a second, scaled by {scale:.2f}"
    )
    lines.append(f"replays: {rows['replay'].median / rows['real'].median:.0f} times the real Replayer")
    lines.append(
        f"cost of an event at 5,000 events: {rows['events_500'].median / rows['events_5000'].median:.2f} of that at 500"
    )
    lines.append(f"memory of a closed execution of 23 events: {closed_footprint_kb(200):.1f} KB")
    lines.append(
        f"messages: {rows['messages'].median / rows['simpy_messages'].median:.1f} times a SimPy process and Store each"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.collect()
    gc.freeze()
    print(table(measure_all(options.executions, options.rounds)))


if __name__ == "__main__":
    main()
