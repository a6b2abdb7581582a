"""Workers that main makes itself: they run on nodes of their own, and end with their block."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError

from stormproof import activity, workflow
from stormproof.client import Client
from stormproof.common import RetryPolicy
from stormproof.worker import Worker

LIMIT = timedelta(seconds=3)
log: list[Any] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


class Counter:
    """An object whose method is an activity."""

    def __init__(self) -> None:
        self.count = 0

    @activity.defn
    async def count_up(self) -> int:
        self.count += 1
        await asyncio.sleep(1)
        return self.count


@workflow.defn
class CountsTwice:
    @workflow.run
    async def run(self) -> list[int]:
        found = []
        for _ in range(2):
            counted = await workflow.execute_activity(
                "count_up", start_to_close_timeout=LIMIT, retry_policy=RetryPolicy(initial_interval=LIMIT)
            )
            found.append(counted)
        return found


def a_worker(client: Client, counter: Counter | None = None, **options: Any) -> Worker:
    activities = [(counter or Counter()).count_up]
    return Worker(client, task_queue="q", workflows=[CountsTwice], activities=activities, **options)


async def counts(client: Client, id: str = "w") -> Any:
    return await client.execute_workflow(CountsTwice.run, id=id, task_queue="q")


def test_it_runs_while_its_block_runs(play: Any) -> None:
    async def main(client: Client) -> None:
        worker = a_worker(client)
        assert (worker.is_running, worker.is_shutdown, worker.task_queue) == (False, False, "q")
        async with worker:
            assert worker.is_running
            log.append(await counts(client))
        assert (worker.is_running, worker.is_shutdown) == (False, True)

    record = play(main)
    assert (record.error, log) == ("", [[1, 2]])
    assert record.stopped_by == ""
    assert record.notes == ["worker-1 was made inline: it keeps its activity objects over a restart"]


@pytest.mark.parametrize("how", ["shutdown", "cancel"])
def test_run_ends_in_an_orderly_way(play: Any, how: str) -> None:
    async def main(client: Client) -> None:
        worker = a_worker(client, graceful_shutdown_timeout=timedelta(seconds=5))
        running = asyncio.get_running_loop().create_task(worker.run())
        handle = await client.start_workflow(CountsTwice.run, id="w", task_queue="q")
        await asyncio.sleep(0.5)
        if how == "shutdown":
            await worker.shutdown()
            await running
        else:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        log.append(asyncio.get_running_loop().time())
        await handle.terminate()

    record = play(main)
    assert record.error == ""
    # The activity that was running took its second, and was reported.
    assert 1.0 < log[0] < 1.1
    names = [type(event).__name__ for event in record.histories[0].events]
    assert "ActivityTaskCompleted" in names


def test_it_runs_once_only(play: Any) -> None:
    async def main(client: Client) -> None:
        async with a_worker(client) as worker:
            with pytest.raises(MisuseError, match="already run"):
                await worker.run()

    assert play(main).error == ""


def test_an_error_of_the_block_is_not_hidden_by_the_shutdown(play: Any) -> None:
    async def main(client: Client) -> None:
        async with a_worker(client):
            raise ValueError("mine")

    assert play(main).error == "ValueError: mine"


def test_after_a_crash_it_has_the_same_objects(play: Any, script: Any) -> None:
    counter = Counter()

    async def main(client: Client) -> None:
        async with a_worker(client, counter):
            log.append(await counts(client))

    record = play(main, script=script.at(0.5, script.crash("worker-1")))
    # The attempt that the crash ended had counted too.
    assert (record.error, log) == ("", [[2, 3]])


def test_two_share_the_work_of_a_queue(play: Any) -> None:
    first, second = Counter(), Counter()

    async def main(client: Client) -> None:
        async with a_worker(client, first), a_worker(client, second):
            await asyncio.gather(*[counts(client, f"w{number}") for number in range(10)])

    assert play(main).error == ""
    assert first.count + second.count == 20
    assert first.count > 0
    assert second.count > 0


def test_work_goes_on_with_the_next_worker(play: Any) -> None:
    async def main(client: Client) -> None:
        async with a_worker(client):
            handle = await client.start_workflow(CountsTwice.run, id="w", task_queue="q")
            await asyncio.sleep(1.5)
        await asyncio.sleep(100)
        async with a_worker(client):
            log.append(await handle.result())

    assert play(main).error == ""
    assert log[0][0] == 1
