"""A batch: one workflow reads a list of pages, works on all of them at a time with a bound, and adds up what it got."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from stormproof import Scenario, WorkerGroup, activity, workflow
from stormproof.client import Client
from stormproof.services import Latency, Service, no_effect, operation
from stormproof.worker import Worker

QUEUE = "batch"
PAGES = 300


class Archive(Service):
    """Keeps what was filed: one entry for each page."""

    latency = Latency.between_us(1_000, 30_000)

    def __init__(self) -> None:
        self.filed: dict[str, int] = {}

    @operation(effect_key="page")
    async def file(self, page: int, words: int) -> None:
        """File a page; doing it again changes nothing."""
        if str(page) in self.filed:
            no_effect(None)
        else:
            self.filed[str(page)] = words


archive = Archive.client(timeout=timedelta(seconds=5))


@activity.defn
async def work_on(page: int) -> int:
    """Count the words of a page, and file them."""
    words = 100 + page * 7 % 13
    activity.heartbeat(page)
    await archive.file(page, words)
    return words


@workflow.defn
class Batch:
    """Fans out over all pages, at most ``width`` at a time."""

    def __init__(self) -> None:
        self.done = 0

    @workflow.query
    def progress(self) -> int:
        """How many pages are done."""
        return self.done

    @workflow.run
    async def run(self, pages: int, width: int) -> int:
        """Returns the number of words."""
        slots = asyncio.Semaphore(width)

        async def one(page: int) -> int:
            async with slots:
                words = await workflow.execute_activity(
                    work_on,
                    page,
                    start_to_close_timeout=timedelta(seconds=10),
                    heartbeat_timeout=timedelta(seconds=8),
                )
            self.done += 1
            return words

        return sum(await asyncio.gather(*(one(page) for page in range(pages))))


async def one_batch(client: Client) -> None:
    """Start the batch, look at it now and then, and wait for it."""
    handle = await client.start_workflow(Batch.run, args=[PAGES, 25], id="batch", task_queue=QUEUE)
    await asyncio.sleep(1)
    await handle.query(Batch.progress)
    await handle.result()


def worker(client: Client) -> Worker:
    """A worker process with room for twenty activities."""
    return Worker(client, task_queue=QUEUE, workflows=[Batch], activities=[work_on], max_concurrent_activities=20)


correct = Scenario(one_batch, name="batch", workers=[WorkerGroup(worker, count=3)], services=[Archive])
