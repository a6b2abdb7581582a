"""Workflows that use everything at once, for sweeps over the moments at which something can break."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from stormproof import activity, workflow
from stormproof.client import Client, RPCError, WorkflowFailureError, WorkflowHandle
from stormproof.common import RetryPolicy
from stormproof.exceptions import ActivityError, ApplicationError
from stormproof.worker import Worker

SECONDS = timedelta(seconds=1)
QUICK = RetryPolicy(initial_interval=SECONDS, maximum_interval=SECONDS)


@activity.defn
async def step(number: int) -> int:
    await asyncio.sleep(0.3)
    return number + 1


@activity.defn
def sync_step(number: int) -> int:
    time.sleep(0.3)
    return number + 1


@activity.defn
async def fails_once(number: int) -> int:
    if activity.info().attempt == 1:
        raise ApplicationError("not yet")
    return number + 1


@activity.defn
async def beats(number: int) -> int:
    """Goes on where the last attempt was."""
    done = activity.info().heartbeat_details[0] if activity.info().heartbeat_details else 0
    for position in range(done, 4):
        activity.heartbeat(position)
        await asyncio.sleep(0.7)
    return number + 1


@activity.defn
async def waits() -> str:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.5)


ACTIVITIES = [step, sync_step, fails_once, beats, waits]


@workflow.defn
class Everything:
    """Activities of all kinds, at once and one after another, a timer, signals, a query, a cancellation."""

    def __init__(self) -> None:
        self.released: list[str] = []

    @workflow.signal
    def release(self, who: str) -> None:
        self.released.append(who)

    @workflow.query
    def who(self) -> list[str]:
        return self.released

    @workflow.run
    async def run(self, number: int) -> int:
        limit = timedelta(seconds=20)
        options: Any = {"start_to_close_timeout": limit, "retry_policy": QUICK}
        both = await asyncio.gather(
            workflow.execute_activity(step, number, **options),
            workflow.execute_activity(sync_step, number, **options),
        )
        number = max(both)
        number = await workflow.execute_activity(fails_once, number, **options)
        number = await workflow.execute_activity(beats, number, heartbeat_timeout=3 * SECONDS, **options)
        waiting = workflow.start_activity(
            waits,
            heartbeat_timeout=3 * SECONDS,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            **options,
        )
        await asyncio.sleep(2)
        waiting.cancel()
        try:
            await waiting
        except ActivityError:
            number += 100
        await workflow.wait_condition(lambda: len(self.released) >= 2)
        return number


@workflow.defn
class SecondTry:
    """Fails at first, and is retried as a whole."""

    @workflow.run
    async def run(self) -> int:
        await asyncio.sleep(1)
        if workflow.info().attempt < 3:
            raise ApplicationError("again")
        return workflow.info().attempt


def worker(client: Client) -> Worker:
    return Worker(client, task_queue="q", workflows=[Everything, SecondTry], activities=ACTIVITIES)


async def send(handle: WorkflowHandle[Everything, int], who: str) -> None:
    """Signal until somebody listens: clients give up when the service is away for more than ten seconds."""
    while True:
        try:
            await handle.signal(Everything.release, who)
        except RPCError:
            await asyncio.sleep(5)
        else:
            return


async def everything(client: Client) -> list[Any]:
    """Start both, signal and ask one of them, and wait for both results."""
    first: WorkflowHandle[Everything, int] = await client.start_workflow(
        Everything.run, 1, id="everything", task_queue="q"
    )
    second = await client.start_workflow(SecondTry.run, id="second-try", task_queue="q", retry_policy=QUICK)
    await send(first, "a")
    await asyncio.sleep(3)
    await send(first, "b")
    try:
        return [await first.result(), await second.result()]
    except WorkflowFailureError as error:
        return [error.cause]


@workflow.defn
class Counts:
    """Counts signals until it is told how many there are."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.total = -1

    @workflow.signal
    def one(self, number: int) -> None:
        self.seen.append(number)

    @workflow.signal
    def those_were_all(self, total: int) -> None:
        self.total = total

    @workflow.run
    async def run(self) -> list[int]:
        await workflow.wait_condition(lambda: 0 <= self.total <= len(self.seen))
        await asyncio.sleep(60)
        return self.seen


def counter(client: Client) -> Worker:
    return Worker(client, task_queue="q", workflows=[Counts])


async def sends_five(client: Client) -> list[int]:
    """Each call is sent once; what is sent again is the client's business."""
    handle = await client.start_workflow(Counts.run, id="counts", task_queue="q")
    for number in range(5):
        await handle.signal(Counts.one, number)
    await handle.signal(Counts.those_were_all, 5)
    return await handle.result()
