"""The workflow half of a worker: its cache, histories that it asks for, tasks that fail, queries end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core import events as ev
from stormproof.engine.core import requests as rq
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.record import RunRecord

from stormproof import activity, workflow
from stormproof.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from stormproof.common import QueryRejectCondition, RawValue
from stormproof.worker import Worker

log: list[Any] = []
broken = {"times": 0}


@pytest.fixture(autouse=True)
def _clean() -> None:
    log.clear()
    broken["times"] = 0


@activity.defn
async def step() -> None:
    await asyncio.sleep(1)


@workflow.defn
class Steps:
    """Takes three steps and notes every new instance of itself."""

    def __init__(self) -> None:
        self.taken = 0
        log.append(("made", workflow.info().workflow_id))

    @workflow.query
    def state(self) -> int:
        return self.taken

    @workflow.query
    def fails(self) -> None:
        raise ValueError("no answer")

    @workflow.signal
    def nothing(self) -> None:
        pass

    @workflow.run
    async def run(self) -> int:
        for _ in range(3):
            await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=10))
            self.taken += 1
        return self.taken


@workflow.defn
class Breaks:
    """Raises what fails its workflow task, as often as it is told to."""

    @workflow.run
    async def run(self) -> str:
        await asyncio.sleep(1)
        if broken["times"] > 0:
            broken["times"] -= 1
            raise RuntimeError("a bug")
        return "repaired"


@workflow.defn(dynamic=True)
class Dynamic:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        return workflow.info().workflow_type


def a_worker(*classes: type, **settings: Any) -> Callable[[Client], Worker]:
    return lambda client: Worker(client, task_queue="q", workflows=classes, activities=[step], **settings)


def running(cls: Any, *ids: str) -> Callable[[Client], Any]:
    async def main(client: Client) -> None:
        calls = [client.execute_workflow(cls.run, id=name, task_queue="q") for name in ids]
        log.append(("results", await asyncio.gather(*calls)))

    return main


class Asked:
    """Counts the requests of each class that reach the engine."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, world: Any) -> None:
        original = world.network.call

        def call(sender: Any, target: str, body: object, *rest: Any, **options: Any) -> Any:
            name = type(body).__name__
            self.counts[name] = self.counts.get(name, 0) + 1
            return original(sender, target, body, *rest, **options)

        world.network.call = call


def made(name: str) -> int:
    return log.count(("made", name))


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_cached_run_is_made_once_and_its_history_never_asked_for(play: Any) -> None:
    asked = Asked()
    play(running(Steps, "a"), a_worker(Steps), watch=asked)
    assert (made("a"), log[-1]) == (1, ("results", [3]))
    assert rq.GetWorkflowExecutionHistoryForWorker.__name__ not in asked.counts


def test_the_run_that_was_used_least_lately_is_evicted(play: Any) -> None:
    async def main(client: Client) -> None:
        handles = [await client.start_workflow(Steps.run, id=name, task_queue="q") for name in "abc"]
        log.append([await handle.result() for handle in handles])

    asked = Asked()
    play(main, a_worker(Steps, max_cached_workflows=2), watch=asked)
    assert log[-1] == [3, 3, 3]
    assert made("a") + made("b") + made("c") > 3
    assert asked.counts[rq.GetWorkflowExecutionHistoryForWorker.__name__] > 0


def test_without_a_cache_every_task_starts_anew(play: Any) -> None:
    asked = Asked()
    play(running(Steps, "a"), a_worker(Steps, max_cached_workflows=0), watch=asked)
    assert (made("a"), log[-1]) == (4, ("results", [3]))
    assert rq.GetWorkflowExecutionHistoryForWorker.__name__ not in asked.counts


def test_evicting_after_every_task_makes_new_instances_and_the_same_run(play: Any) -> None:
    warm = play(running(Steps, "a"), a_worker(Steps))
    assert made("a") == 1
    cold = play(running(Steps, "a"), a_worker(Steps), evict=True)
    assert made("a") == 5
    assert warm.digest == cold.digest != ""


# --- tasks that fail --------------------------------------------------------------------------------------------------


def failures(record: RunRecord) -> list[ev.WorkflowTaskFailed]:
    return [event for event in record.histories[0].events if isinstance(event, ev.WorkflowTaskFailed)]


@pytest.mark.parametrize(("times", "reported", "waits_s"), [(1, 1, 0), (2, 2, 0), (3, 2, 10), (4, 2, 20)])
def test_a_failing_task_is_reported_while_it_is_a_first_attempt(
    play: Any, times: int, reported: int, waits_s: int
) -> None:
    """The failure on a sticky queue does not count; what is not reported is left to its timeout of ten seconds."""
    broken["times"] = times
    record = play(running(Breaks, "a"), a_worker(Breaks))
    assert log[-1] == ("results", ["repaired"])
    failed = failures(record)
    assert [event.failure.message for event in failed if event.failure is not None] == ["a bug"] * reported
    completed = [event for event in record.histories[0].events if isinstance(event, ev.WorkflowTaskCompleted)][-1]
    assert (completed.time_us - failed[0].time_us) // 1_000_000 == waits_s


def test_a_task_that_fails_for_ever_is_what_the_run_waits_for(play: Any) -> None:
    broken["times"] = 1_000_000
    record = play(running(Breaks, "a"), a_worker(Breaks), liveness_us=3_600_000_000)
    assert record.stopped_by == "liveness"
    assert "its workflow task fails again and again" in record.stopped_detail
    assert "a bug" in record.stopped_detail


def test_a_workflow_that_nobody_has_is_named(play: Any) -> None:
    text = "no worker of task queue 'q' has the workflow 'Steps' .registered there: Breaks.: give its class"
    with pytest.raises(MisuseError, match=text):
        play(running(Steps, "a"), a_worker(Breaks))


def test_a_dynamic_workflow_takes_what_has_no_name_of_its_own(play: Any) -> None:
    async def main(client: Client) -> None:
        log.append(await client.execute_workflow("whatever", id="a", task_queue="q"))

    play(main, a_worker(Steps, Dynamic))
    assert log == ["whatever"]


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evict", [False, True])
@pytest.mark.parametrize("cached", [1000, 0])
def test_queries_at_any_time_see_the_state_of_their_moment(play: Any, evict: bool, cached: int) -> None:
    async def main(client: Client) -> None:
        handle = await client.start_workflow(Steps.run, id="a", task_queue="q")
        for _ in range(8):
            log.append(await handle.query(Steps.state))
            await asyncio.sleep(0.5)
        log.append(await handle.result())
        log.append(await handle.query(Steps.state))

    asked = Asked()
    play(main, a_worker(Steps, max_cached_workflows=cached), evict=evict, watch=asked)
    seen = [one for one in log if isinstance(one, int)]
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-2:] == [3, 3]
    if cached and not evict:
        assert asked.counts.get(rq.GetWorkflowExecutionHistoryForWorker.__name__, 0) <= 1


def test_queries_change_nothing(play: Any) -> None:
    def main(ask: bool) -> Any:
        async def run(client: Client) -> None:
            handle = await client.start_workflow(Steps.run, id="a", task_queue="q")
            await asyncio.sleep(1.5)
            if ask:
                await handle.query(Steps.state)
            log.append(await handle.result())

        return run

    histories = [
        [type(event).__name__ for event in play(main(ask), a_worker(Steps)).histories[0].events]
        for ask in (True, False)
    ]
    assert histories[0] == histories[1]


def test_a_query_that_fails_or_is_refused_is_told(play: Any) -> None:
    async def main(client: Client) -> None:
        handle = await client.start_workflow(Steps.run, id="a", task_queue="q")
        with pytest.raises(WorkflowQueryFailedError, match="no answer"):
            await handle.query(Steps.fails)
        with pytest.raises(WorkflowQueryFailedError, match="Query handler for 'unknown' expected but not found"):
            await handle.query("unknown")
        await handle.result()
        with pytest.raises(WorkflowQueryRejectedError):
            await handle.query(Steps.state, reject_condition=QueryRejectCondition.NOT_OPEN)
        log.append("told")

    record = play(main, a_worker(Steps))
    assert (record.error, log[-1]) == ("", "told")


def test_a_query_survives_the_worker_it_was_sent_to(play: Any, script: Any) -> None:
    async def main(client: Client) -> None:
        handle = await client.start_workflow(Steps.run, id="a", task_queue="q")
        await asyncio.sleep(1.5)
        await handle.signal(Steps.nothing)
        await asyncio.sleep(0.2)
        script.crash("worker")()
        log.append(await handle.query(Steps.state))

    play(main, a_worker(Steps), script=script)
    assert log[-1] == 1
