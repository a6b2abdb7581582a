"""Scenarios over the workflows of this folder, each module loaded for both packages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from both import load
from judge import Judge, workflow_classes
from stormproof.sim.choices import Workload

from stormproof import Scenario, WorkerGroup
from stormproof.client import Client
from stormproof.worker import Worker

HERE = Path(__file__).parent
QUEUE = "weather"
LONG = timedelta(minutes=5)


def pair(name: str) -> tuple[ModuleType, ModuleType]:
    """A module of workflows for stormproof, and for temporalio."""
    path = HERE / "workflows" / f"{name}.py"
    return load(path, "stormproof"), load(path, "temporalio")


def worker_of(module: ModuleType, activities: list[str]) -> WorkerGroup:
    """Two workers that have all workflows of a module."""

    def make(client: Client) -> Worker:
        return Worker(
            client,
            task_queue=QUEUE,
            workflows=list(workflow_classes([module]).values()),
            activities=[getattr(module, name) for name in activities],
        )

    return WorkerGroup(make, count=2)


STORMY = pair("stormy")
TRIED = pair("tried")


async def stormy_workload(client: Client, draw: Workload) -> None:
    """All of ``stormy.py`` at once: signals, queries and a cancellation at drawn moments."""
    module = STORMY[0]

    async def start(cls: str, *args: Any, id: str) -> Any:
        return await client.start_workflow(cls, args=args, id=id, task_queue=QUEUE, run_timeout=LONG)

    async def stop() -> Any:
        handle = await start("Stopped", id="stopped")
        await asyncio.sleep(draw.integer(0, 60, "stop") / 10)
        await handle.query(module.Stopped.so_far)
        await handle.cancel()
        return await handle.result()

    async def tell() -> Any:
        handle = await start("Told", 7, id="told")
        for number in range(4):
            await asyncio.sleep(draw.integer(0, 30, "tell") / 20)
            await handle.signal(module.Told.note, f"note {number}")
        return await handle.result()

    async def run(cls: str, *args: Any, id: str) -> Any:
        return await (await start(cls, *args, id=id)).result()

    await asyncio.gather(
        *(run("Hopeless", kind, id=f"hopeless-{kind}") for kind in ("error", "final", "slow", "silent", "delay")),
        run("Troubles", id="troubles"),
        run("Nobody", id="nobody"),
        stop(),
        tell(),
        return_exceptions=True,
    )


SENT: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "Talkative": [("late", (0,)), ("put", ("a",)), ("put", ("b",)), ("go", ()), ("late", (1,)), ("put", ("c",))],
    "Dynamic": [("one", (1,)), ("two", ()), ("one", (1, "x")), ("three", (3,))],
    "Untidy": [("poke", (1,)), ("poke", (0,))],
    "SignalFails": [("unknown", ()), ("boom", (0,)), ("boom", (1,))],
}
STARTED_WITH: dict[str, tuple[Any, ...]] = {"Sequential": ("it",), "Strict": ("told",)}
CANCELLED = ("Cleanup", "Deaf", "TryCancel", "WaitCancelled", "Abandon", "Parallel", "Talkative")


async def tried_workload(client: Client, draw: Workload) -> None:
    """Every workflow of ``tried.py``, some cancelled at a drawn moment."""

    async def one(name: str, number: int) -> Any:
        handle = await client.start_workflow(
            name, args=STARTED_WITH.get(name, ()), id=f"{name}-{number}", task_queue=QUEUE, run_timeout=LONG
        )
        for signal, args in SENT.get(name, ()):
            await asyncio.sleep(draw.integer(0, 20, "signal") / 10)
            await handle.signal(signal, args=args)
        if name in CANCELLED and number:
            await asyncio.sleep(draw.integer(0, 40, "cancel") / 10)
            await handle.cancel(reason="enough")
        return await handle.result()

    names = [name for name in workflow_classes([TRIED[0]]) if name != "Buggy"]
    await asyncio.gather(*(one(name, number) for name in names for number in range(2)), return_exceptions=True)


stormy = Scenario(stormy_workload, name="stormy", workers=[worker_of(STORMY[0], ["troubled", "blocking", "patient"])])
tried = Scenario(tried_workload, name="tried", workers=[worker_of(TRIED[0], ["step", "other_step"])])

SCENARIOS: dict[str, tuple[Scenario, Judge]] = {"stormy": (stormy, Judge(STORMY)), "tried": (tried, Judge(TRIED))}
