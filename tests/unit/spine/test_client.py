"""The client's API against a simulated service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError

from stormproof import exceptions, workflow
from stormproof.client import (
    Client,
    RPCError,
    RPCStatusCode,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from stormproof.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from stormproof.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from stormproof.worker import Worker

SECOND = timedelta(seconds=1)


@dataclass
class Order:
    name: str
    count: int


@workflow.defn
class Sleeps:
    """Sleeps, and gives back what it was given; fails if that is negative."""

    @workflow.signal
    def ignored(self) -> None:
        pass

    @workflow.run
    async def run(self, seconds: float, order: Order | None = None) -> Order | None:
        await asyncio.sleep(abs(seconds))
        if seconds < 0:
            raise ApplicationError("negative", 1, type="Negative")
        return order


def worker(client: Client) -> Worker:
    return Worker(client, task_queue="q", workflows=[Sleeps])


async def start(client: Client, id: str = "a", seconds: float = 10, **options: Any) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(Sleeps.run, args=[seconds, Order("x", 2)], id=id, task_queue="q", **options)


Test = Callable[[Client], Any]


@pytest.fixture
def inside(play: Any) -> Callable[[Test], None]:
    """Runs a test as main of a simulation with a worker."""

    def run(test: Test, **options: Any) -> None:
        errors: list[BaseException] = []

        async def main(client: Client) -> None:
            try:
                await test(client)
            except BaseException as error:
                errors.append(error)
                raise

        record = play(main, worker, **options)
        if errors:
            raise errors[0]
        assert record.error == ""

    return run


# --- results ----------------------------------------------------------------------------------------------------------


def test_a_result_has_the_type_of_the_run_method(inside: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client)
        assert handle.result_run_id == handle.first_execution_run_id
        assert handle.run_id is None
        assert await handle.result() == Order("x", 2)
        assert await client.get_workflow_handle("a").result() == {"name": "x", "count": 2}
        assert await client.get_workflow_handle_for(Sleeps.run, "a").result() == Order("x", 2)
        assert await client.get_workflow_handle("a", result_type=Order).result() == Order("x", 2)
        assert await client.execute_workflow("Sleeps", 0, id="b", task_queue="q") is None

    inside(test)


def test_failures_tell_how_it_ended(inside: Any) -> None:
    async def test(client: Client) -> None:
        failing = await start(client, "failing", -1)
        cancelled, terminated = await start(client, "cancelled"), await start(client, "terminated")
        late = await start(client, "late", run_timeout=2 * SECOND)
        await cancelled.cancel(reason="enough")
        await terminated.terminate("detail", 5, reason="away")
        causes: list[Any] = []
        for handle in (failing, cancelled, terminated, late):
            with pytest.raises(WorkflowFailureError) as raised:
                await handle.result()
            causes.append(raised.value.cause)
        assert (causes[0].type, causes[0].message, list(causes[0].details)) == ("Negative", "negative", [1])
        assert isinstance(causes[1], CancelledError)
        assert is_cancelled_exception(causes[1])
        assert isinstance(causes[2], TerminatedError)
        assert (causes[2].message, list(causes[2].details)) == ("away", ["detail", 5])
        assert isinstance(causes[3], exceptions.TimeoutError)

    inside(test)


def test_a_retried_run_is_followed_unless_that_is_not_wanted(inside: Any) -> None:
    async def test(client: Client) -> None:
        policy = RetryPolicy(initial_interval=SECOND, maximum_attempts=3)
        handle = await start(client, "a", -1, retry_policy=policy)
        with pytest.raises(WorkflowFailureError):
            await handle.result(follow_runs=False)
        first_s = asyncio.get_running_loop().time()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert asyncio.get_running_loop().time() - first_s > 3
        described = await handle.describe()
        assert described.run_id != handle.first_execution_run_id

    inside(test)


# --- ids --------------------------------------------------------------------------------------------------------------


def test_an_id_is_taken_while_its_run_is_open(inside: Any) -> None:
    async def test(client: Client) -> None:
        first = await start(client)
        with pytest.raises(WorkflowAlreadyStartedError) as raised:
            await start(client)
        error = raised.value
        assert (error.workflow_id, error.workflow_type, error.run_id) == ("a", "Sleeps", first.result_run_id)
        same = await start(client, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)
        assert same.result_run_id == first.result_run_id
        other = await start(client, id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING)
        assert other.result_run_id != first.result_run_id
        with pytest.raises(WorkflowFailureError):
            await first.result()
        await other.result()

    inside(test)


def test_the_id_of_a_closed_run_may_be_taken_again_as_the_policy_says(inside: Any) -> None:
    async def test(client: Client) -> None:
        await (await start(client, seconds=0)).result()
        for policy in (WorkflowIDReusePolicy.REJECT_DUPLICATE, WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY):
            with pytest.raises(WorkflowAlreadyStartedError):
                await start(client, seconds=0, id_reuse_policy=policy)
        again = await start(client, seconds=-0.1, id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE)
        with pytest.raises(WorkflowFailureError):
            await again.result()
        await (await start(client, id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY)).result()

    inside(test)


# --- what is known of a run -------------------------------------------------------------------------------------------


def test_a_description(inside: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client, memo={"who": "me", "order": Order("y", 3)}, start_delay=30 * SECOND)
        open_ = await handle.describe()
        assert (open_.id, open_.workflow_type, open_.task_queue) == ("a", "Sleeps", "q")
        assert (open_.status, open_.close_time, open_.history_length) == (WorkflowExecutionStatus.RUNNING, None, 1)
        assert await open_.memo() == {"who": "me", "order": {"name": "y", "count": 3}}
        assert await open_.memo_value("order", type_hint=Order) == Order("y", 3)
        assert await open_.memo_value("nothing", 7) == 7
        with pytest.raises(KeyError, match="nothing"):
            await open_.memo_value("nothing")
        await handle.result()
        closed = await handle.describe()
        assert closed.status is WorkflowExecutionStatus.COMPLETED
        assert closed.close_time is not None
        # A delayed start, then ten seconds of sleep.
        assert closed.close_time - closed.start_time == pytest.approx(40 * SECOND, abs=0.1 * SECOND)
        assert closed.start_time.replace(microsecond=0) == datetime(2026, 1, 5, 9, tzinfo=UTC)

    inside(test)


def test_a_history(inside: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client, seconds=1)
        await handle.result()
        history = await handle.fetch_history()
        assert history.workflow_id == "a"
        names = [event["eventType"] for event in json.loads(history.to_json())["events"]]
        assert (names[0], names[-1]) == (
            "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
            "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
        )

    inside(test)


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def status_of(call: Any) -> RPCStatusCode:
    with pytest.raises(RPCError) as raised:
        await call
    return raised.value.status


def test_unknown_and_closed_runs(inside: Any) -> None:
    async def test(client: Client) -> None:
        nobody = client.get_workflow_handle("nobody")
        calls = [nobody.result(), nobody.cancel(), nobody.terminate(), nobody.describe(), nobody.fetch_history()]
        calls += [nobody.signal("ignored"), nobody.query("state")]
        assert [await status_of(call) for call in calls] == [RPCStatusCode.NOT_FOUND] * len(calls)
        handle = await start(client, seconds=0)
        await handle.result()
        assert await status_of(handle.signal(Sleeps.ignored)) is RPCStatusCode.NOT_FOUND
        assert await status_of(handle.terminate()) is RPCStatusCode.NOT_FOUND
        await handle.cancel()

    inside(test)


def test_a_call_that_nobody_answers(inside: Any, script: Any) -> None:
    """Refused calls are tried again for ten seconds; one that is simply not answered ends with its timeout."""

    async def test(client: Client) -> None:
        loop = asyncio.get_running_loop()
        handle = await start(client, seconds=1000)
        script.world.network.disturbances.append(Hole())
        for rpc_timeout, waits_s in ((None, 30), (2 * SECOND, 2)):
            before_s = loop.time()
            assert await status_of(handle.describe(rpc_timeout=rpc_timeout)) is RPCStatusCode.DEADLINE_EXCEEDED
            assert loop.time() - before_s == pytest.approx(waits_s, abs=0.01)
        script.world.network.disturbances.clear()
        script.world.nodes["engine"].crash()
        before_s = loop.time()
        assert await status_of(handle.describe()) is RPCStatusCode.UNAVAILABLE
        assert 5 < loop.time() - before_s <= 10
        script.world.nodes["engine"].start()
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        await handle.terminate()

    inside(test, script=script)


class Hole:
    def affects(self, source: str, target: str) -> bool:
        return source == "driver"

    def treat(self, world: Any, source: str, target: str, kind: str) -> Any:
        from stormproof.sim.network import Treatment

        return Treatment(lose=True)


def test_who_waits_for_a_result_waits_through_a_crash(inside: Any, script: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client, seconds=100)
        assert await handle.result() == Order("x", 2)

    inside(test, script=script.at(50, script.crash("engine", 60)))


def test_a_timeout_of_the_call_ends_the_wait_for_a_result_if_it_is_short(inside: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client, seconds=100)
        assert await status_of(handle.result(rpc_timeout=5 * SECOND)) is RPCStatusCode.DEADLINE_EXCEEDED
        assert await handle.result(rpc_timeout=30 * SECOND) == Order("x", 2)

    inside(test)


def test_a_wait_that_was_given_up_sends_nothing_any_more(inside: Any, script: Any) -> None:
    async def test(client: Client) -> None:
        handle = await start(client, seconds=100)
        script.crash("engine", 3)()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.signal(Sleeps.ignored), 1)
        await asyncio.sleep(20)
        names = [type(event).__name__ for event in (await handle.fetch_history()).events]
        assert "WorkflowExecutionSignaled" not in names

    inside(test, script=script)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workflow": "Sleeps", "id": "", "task_queue": "q"}, "WorkflowId is not set on request."),
        ({"workflow": "Sleeps", "id": "a", "task_queue": ""}, "TaskQueue is not set on request."),
        ({"workflow": "Sleeps", "id": "a", "task_queue": "q", "run_timeout": -SECOND}, "An invalid WorkflowRunTimeout"),
    ],
)
def test_a_start_that_makes_no_sense(inside: Any, options: dict[str, Any], message: str) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(RPCError, match=message) as raised:
            await client.start_workflow(**options)
        assert raised.value.status is RPCStatusCode.INVALID_ARGUMENT

    inside(test)


def test_outside_of_a_simulation_there_is_no_client() -> None:
    with pytest.raises(MisuseError, match="no simulation is running here"):
        asyncio.run(Client.connect("localhost:7233"))


def wrong_workers() -> Sequence[tuple[dict[str, Any], str]]:
    return [
        ({}, "at least one activity or workflow"),
        ({"workflows": [Sleeps, Sleeps]}, "more than one workflow named 'Sleeps'"),
    ]


@pytest.mark.parametrize(("options", "message"), wrong_workers())
def test_a_worker_that_makes_no_sense_is_refused(inside: Any, options: dict[str, Any], message: str) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(MisuseError, match=message):
            Worker(client, task_queue="q", **options)

    inside(test)
