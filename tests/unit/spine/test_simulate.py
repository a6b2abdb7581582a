"""One run from its start to its record: how it ends, what it says, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.kernel import SpinError
from stormproof.sim.options import RunOptions
from stormproof.sim.patches import installed_patches
from stormproof.sim.scenario import Scenario
from stormproof.sim.simulate import run_scenario
from stormproof.sim.world import World

from stormproof import activity, workflow
from stormproof.client import Client
from stormproof.common import RetryPolicy
from stormproof.exceptions import ApplicationError
from stormproof.worker import Worker

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
LIMIT = timedelta(seconds=20)


@activity.defn
async def step() -> None:
    await asyncio.sleep(1)


@activity.defn
async def fails() -> None:
    raise ApplicationError("the bank is closed")


@activity.defn
async def spins() -> None:
    while True:
        pass


@activity.defn
def spins_in_a_thread() -> None:
    while True:
        pass


@activity.defn
async def busy_for_ever() -> None:
    for _ in range(1_000_000_000):
        await asyncio.sleep(0.001)


@workflow.defn
class Waits:
    """Waits for a signal that never comes, after what it was told to do first."""

    @workflow.run
    async def run(self, what: str) -> None:
        if what == "spin":
            while True:
                pass
        if what == "sleep":
            await asyncio.sleep(1_000_000)
        if what:
            policy = RetryPolicy(maximum_interval=timedelta(seconds=10))
            await workflow.execute_activity(what, start_to_close_timeout=LIMIT, retry_policy=policy)
        await workflow.wait_condition(lambda: False)


def worker(client: Client) -> Worker:
    return Worker(
        client, task_queue="q", workflows=[Waits], activities=[step, fails, spins, spins_in_a_thread, busy_for_ever]
    )


def waiting(what: str = "", task_queue: str = "q") -> Callable[[Client], Any]:
    async def main(client: Client) -> None:
        await client.execute_workflow(Waits.run, what, id="w", task_queue=task_queue)

    return main


async def nothing() -> None:
    pass


# --- how a run ends ---------------------------------------------------------------------------------------------------


def test_a_run_ends_a_minute_after_everything_has(play: Any) -> None:
    record = play(nothing)
    assert (record.stopped_by, record.stopped_detail, record.error) == ("", "", "")
    assert record.statistics["virtual_us"] == MINUTE_US
    assert record.digest


def test_what_is_started_after_main_has_ended_is_waited_for(play: Any, script: Any) -> None:
    async def main(client: Client) -> None:
        async def later() -> None:
            await asyncio.sleep(30)
            await client.execute_workflow("Sleeps", id="late", task_queue="s")

        log.append(asyncio.get_running_loop().create_task(later()))

    log: list[Any] = []
    record = play(main, lambda client: Worker(client, task_queue="s", workflows=[Sleeps]))
    assert [one["status"] for one in record.outcomes] == ["completed"]
    assert record.statistics["virtual_us"] > 10 * MINUTE_US


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(600)


@pytest.mark.parametrize(
    ("what", "detail"),
    [
        ("", "Waits w: waits for a signal that nobody will send, or for a condition that nothing can make true"),
        ("step", "Waits w: waits for a signal that nobody will send, or for a condition that nothing can make true"),
    ],
)
def test_where_nothing_can_happen_any_more_it_says_what_waits(play: Any, what: str, detail: str) -> None:
    record = play(waiting(what), worker, liveness_us=None)
    assert record.stopped_by == "idle"
    assert record.stopped_detail == f"{detail}; main has not returned"
    assert record.digest


def test_main_itself_may_wait_for_nothing(play: Any) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    record = play(main, liveness_us=None)
    assert (record.stopped_by, record.stopped_detail) == ("idle", "main has not returned")


@pytest.mark.parametrize(
    ("what", "detail"),
    [
        ("sleep", "waits for timer 1 (due in 996400 s)"),
        ("fails", "waits for activity fails (attempt 5, for its next attempt"),
        ("busy_for_ever", "waits for activity busy_for_ever (attempt 1"),
    ],
)
def test_a_bound_says_what_was_waited_for(play: Any, what: str, detail: str) -> None:
    record = play(waiting(what), worker, liveness_us={"sleep": HOUR_US}.get(what, 10_000_000))
    assert record.stopped_by == "liveness"
    assert detail in record.stopped_detail
    if what == "fails":
        assert "last failure: the bank is closed" in record.stopped_detail


def test_what_is_down_at_the_end_is_told(play: Any, script: Any) -> None:
    record = play(waiting("step"), worker, script=script.at(0.5, script.crash("worker", -1)), liveness_us=MINUTE_US)
    assert record.stopped_detail.startswith("down: worker; Waits w: waits for activity step")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"events_max": 500}, "events"),
        ({"virtual_time_max_us": 5_000_000}, "virtual_time"),
        ({"real_time_limit_s": 0.05}, "real_time"),
    ],
)
def test_a_budget_says_who_was_busy(play: Any, options: dict[str, Any], reason: str) -> None:
    record = play(waiting("busy_for_ever"), worker, liveness_us=None, **options)
    assert record.stopped_by == reason
    assert "busiest: worker" in record.stopped_detail
    assert bool(record.digest) == (reason != "real_time")


# --- what main raises -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AssertionError("1 != 2"), "AssertionError: 1 != 2"),
        (ValueError("no"), "ValueError: no"),
        (asyncio.CancelledError("x"), "CancelledError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_main_raises_is_in_the_record(play: Any, error: BaseException, text: str) -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise error

    assert text in play(main).error


def test_a_failure_of_a_workflow_that_main_lets_through_is_an_outcome(play: Any) -> None:
    async def main(client: Client) -> None:
        await client.execute_workflow("Fails", id="w", task_queue="q")

    record = play(main, lambda client: Worker(client, task_queue="q", workflows=[Fails]))
    assert (record.error, [one["status"] for one in record.outcomes]) == ("", ["failed"])
    assert record.notes == ["main ended with WorkflowFailureError: Workflow execution failed"]


@workflow.defn
class Fails:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no")


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_a_queue_that_nobody_polls(play: Any) -> None:
    text = r"1 workflow task\(s\) wait on task queue 'typo', which no worker polls for workflows \(polled: 'q'\)"
    with pytest.raises(MisuseError, match=text):
        play(waiting(task_queue="typo"), worker)


def test_a_queue_that_nobody_polls_for_activities(play: Any) -> None:
    text = r"1 activity task\(s\) wait on task queue 'q', which no worker polls for activities \(polled: none\)"
    with pytest.raises(MisuseError, match=text):
        play(waiting("step"), lambda client: Worker(client, task_queue="q", workflows=[Waits]))


def test_a_queue_that_nobody_polls_is_told_even_if_main_does_not_wait(play: Any) -> None:
    async def main(client: Client) -> None:
        await client.start_workflow(Waits.run, "", id="w", task_queue="typo")

    with pytest.raises(MisuseError, match="'typo'"):
        play(main, worker)


def test_a_factory_that_raises_or_makes_no_worker(play: Any) -> None:
    def broken(client: Client) -> Worker:
        raise ValueError("no such thing")

    with pytest.raises(MisuseError, match="the factory of worker group 'worker' raised ValueError: no such thing"):
        play(nothing, broken)
    with pytest.raises(MisuseError, match="gave 7: expected a Worker"):
        play(nothing, lambda client: 7)


def test_misuse_inside_main_is_misuse(play: Any) -> None:
    async def main(client: Client) -> None:
        Worker(client, task_queue="q")

    with pytest.raises(MisuseError, match="at least one activity or workflow"):
        play(main)


def test_no_simulation_inside_another(play: Any) -> None:
    async def main() -> None:
        run_scenario(Scenario(nothing), seed=1, options=RunOptions())

    with pytest.raises(MisuseError, match="a simulation is running here already"):
        play(main)


# --- spinning ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog waits for a fifth of a second."""
    from stormproof.sim import simulate, watchdog

    monkeypatch.setattr(simulate, "watched", lambda kernel: watchdog.watched(kernel, limit_us=200_000))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("what", "label"),
    [
        ("spin", "workflow Waits w spins without yielding in Waits.run, test_simulate.py"),
        ("spins", "spins without yielding in spins, test_simulate.py"),
        ("spins_in_a_thread", "spins without yielding in spins_in_a_thread, test_simulate.py"),
    ],
)
def test_code_that_spins_is_stopped_and_named(play: Any, what: str, label: str) -> None:
    record = play(waiting(what), worker)
    assert (record.stopped_by, record.digest) == ("spinning", "")
    assert label in record.stopped_detail
    if what != "spin":
        assert f"activity {what}" in record.stopped_detail


@pytest.mark.usefixtures("impatient")
def test_main_may_spin_too(play: Any) -> None:
    async def main() -> None:
        while True:
            pass

    record = play(main)
    assert record.stopped_by == "spinning"
    assert "main" in record.stopped_detail
    assert play(nothing).stopped_by == ""
    with pytest.raises(SpinError):
        raise SpinError


# --- same seed, same run ----------------------------------------------------------------------------------------------


async def work(client: Client) -> None:
    handle = await client.start_workflow(Waits.run, "step", id="w", task_queue="q")
    await asyncio.sleep(5)
    await handle.terminate()


def test_the_same_seed_gives_the_same_run(play: Any) -> None:
    records = [play(work, worker, seed=seed, trace=trace) for seed in (1, 2) for trace in (False, True)]
    digests = [record.digest for record in records]
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert digests[0] != digests[2]


def test_inside_a_running_loop_it_is_the_same_run(play: Any) -> None:
    outside = play(work, worker)

    async def notebook() -> Any:
        task = asyncio.current_task()
        record = play(work, worker)
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        return record

    assert asyncio.run(notebook()).digest == outside.digest


# --- what it leaves behind --------------------------------------------------------------------------------------------


def test_a_closed_world_leaves_no_garbage_and_no_patch(play: Any) -> None:
    real = time.sleep, time.time, asyncio.new_event_loop

    def crash(world: World, node: str) -> None:
        world.nodes[node].crash()
        world.kernel.schedule(500_000, world.nodes[node].start)

    def watch(world: World) -> None:
        world.kernel.schedule(1_500_000, crash, world, "worker")
        world.kernel.schedule(1_700_000, crash, world, "engine")

    def once() -> None:
        assert play(work, worker, watch=watch).stopped_by == ""
        assert play(waiting(""), worker, liveness_us=None).stopped_by == "idle"
        assert play(waiting("fails"), worker, liveness_us=MINUTE_US).stopped_by == "liveness"

    once()
    gc.collect()
    gc.disable()
    try:
        with installed_patches():
            once()
        found = gc.collect()
    finally:
        gc.enable()
    assert (time.sleep, time.time, asyncio.new_event_loop) == real
    assert found == 0
