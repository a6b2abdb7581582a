"""Activities on a worker: outcomes, cancellation, timeouts, slots, shutdown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core import events as ev
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.record import RunRecord
from stormproof.sim.scenario import WorkerGroup

from stormproof import activity, exceptions, workflow
from stormproof.client import Client, WorkflowFailureError
from stormproof.common import RetryPolicy
from stormproof.exceptions import ApplicationError, CancelledError, is_cancelled_exception
from stormproof.worker import Worker

SECONDS = timedelta(seconds=1)
ONCE = RetryPolicy(maximum_attempts=1)
Kind = workflow.ActivityCancellationType

log: list[Any] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


def note(*what: Any) -> None:
    log.append((*what, round(time.monotonic(), 1)))


@workflow.defn
class Calls:
    """Calls one activity by name; cancels it after a while if asked to."""

    @workflow.run
    async def run(self, name: str, options: dict[str, Any], arguments: list[Any]) -> Any:
        handle = workflow.start_activity(
            name,
            args=arguments,
            start_to_close_timeout=timedelta(seconds=options.get("limit_s", 20)),
            heartbeat_timeout=timedelta(seconds=options["heartbeat_s"]) if "heartbeat_s" in options else None,
            retry_policy=RetryPolicy(maximum_attempts=options.get("attempts", 1), initial_interval=SECONDS),
            cancellation_type=Kind[options.get("kind", "TRY_CANCEL")],
        )
        if "cancel_s" in options:
            await asyncio.sleep(options["cancel_s"])
            handle.cancel()
        return await handle


def a_worker(*functions: Callable[..., Any], **settings: Any) -> Callable[[Client], Worker]:
    return lambda client: Worker(client, task_queue="q", workflows=[Calls], activities=functions, **settings)


def calling(name: str, *arguments: Any, **options: Any) -> Callable[[Client], Any]:
    async def main(client: Client) -> None:
        try:
            result = await client.execute_workflow(
                Calls.run, args=[name, options, list(arguments)], id="w", task_queue="q"
            )
            note("result", result)
        except WorkflowFailureError as error:
            log.append(error.cause)

    return main


def end_of(record: RunRecord) -> Any:
    """The event that closed the activity."""
    kinds = (ev.ActivityTaskCompleted, ev.ActivityTaskFailed, ev.ActivityTaskCanceled, ev.ActivityTaskTimedOut)
    (found,) = [event for event in record.histories[0].events if isinstance(event, kinds)]
    return found


# --- outcomes ---------------------------------------------------------------------------------------------------------


@activity.defn
async def adds(number: int) -> int:
    return number + 1


@activity.defn
async def returns_nonsense() -> Any:
    return object()


@activity.defn
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@activity.defn
async def two_arguments(first: int, second: int) -> None:
    pass


@activity.defn
async def leaves() -> None:
    raise SystemExit(3)


def test_what_it_returns_is_the_result(play: Any) -> None:
    play(calling("adds", 1), a_worker(adds))
    assert log[0][:2] == ("result", 2)


@pytest.mark.parametrize(
    ("name", "arguments", "message", "kind"),
    [
        ("adds", ["x"], "Failed decoding arguments", "ApplicationError"),
        ("returns_nonsense", [], "Object of type object is not JSON serializable", "TypeError"),
        ("cancels_itself", [], "", "CancelledError"),
        ("two_arguments", [1], "missing 1 required positional argument: 'second'", "TypeError"),
        ("leaves", [], "3", "SystemExit"),
    ],
)
def test_what_goes_wrong_around_an_activity_is_its_failure(
    play: Any, name: str, arguments: list[Any], message: str, kind: str
) -> None:
    functions = {"returns_nonsense": returns_nonsense, "cancels_itself": cancels_itself, "leaves": leaves}
    functions |= {"adds": adds, "two_arguments": two_arguments}
    record = play(calling(name, *arguments), a_worker(functions[name]))
    failure = end_of(record).failure
    assert message in failure.message
    assert failure.info.type in (kind, "")


@activity.defn
async def describes_itself() -> list[str]:
    handle = activity.client().get_workflow_handle(activity.info().workflow_id or "")
    described = await handle.describe()
    return [pending.activity_type for pending in described.pending_activities]


@activity.defn
def has_no_client() -> str:
    with pytest.raises(RuntimeError, match="No client available"):
        activity.client()
    return "right"


def test_an_activity_may_use_its_workers_client(play: Any) -> None:
    play(calling("describes_itself"), a_worker(describes_itself))
    play(calling("has_no_client"), a_worker(has_no_client))
    assert [one[1] for one in log] == [["describes_itself"], "right"]


# --- cancellation -----------------------------------------------------------------------------------------------------


@activity.defn
async def stubborn() -> str:
    """Heartbeats, and takes a second to clean up."""
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.5)
    except asyncio.CancelledError:
        note("told", activity.cancellation_details())
        await asyncio.sleep(1)
        raise


@activity.defn
async def finishes_anyway() -> str:
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.5)
    except asyncio.CancelledError:
        return "finished anyway"


def test_try_cancel_goes_on_at_once(play: Any) -> None:
    record = play(calling("stubborn", heartbeat_s=2, cancel_s=5, kind="TRY_CANCEL"), a_worker(stubborn))
    assert is_cancelled_exception(log[0])
    assert not any(isinstance(event, ev.ActivityTaskCanceled) for event in record.histories[0].events)


def test_wait_for_cancellation_waits_until_it_has_ended(play: Any) -> None:
    kind = "WAIT_CANCELLATION_COMPLETED"
    record = play(calling("stubborn", heartbeat_s=2, cancel_s=5, kind=kind), a_worker(stubborn))
    (_, details, told_s) = log[0]
    assert details.cancel_requested
    assert 5 <= told_s <= 7
    canceled = end_of(record)
    assert isinstance(canceled, ev.ActivityTaskCanceled)
    assert canceled.time_us - record.histories[0].events[0].time_us >= (told_s + 0.9) * 1_000_000
    assert is_cancelled_exception(log[-1])


def test_abandon_tells_nobody(play: Any) -> None:
    record = play(calling("stubborn", heartbeat_s=2, cancel_s=5, kind="ABANDON"), a_worker(stubborn))
    assert not any(isinstance(event, ev.ActivityTaskCancelRequested) for event in record.histories[0].events)
    # The workflow is over: that is what the next heartbeat learns.
    assert log[-1][1].not_found


def test_an_activity_may_ignore_its_cancellation(play: Any) -> None:
    kind = "WAIT_CANCELLATION_COMPLETED"
    play(calling("finishes_anyway", heartbeat_s=2, cancel_s=5, kind=kind), a_worker(finishes_anyway))
    assert log[0][:2] == ("result", "finished anyway")


@activity.defn
def blocks() -> str:
    try:
        while True:
            activity.heartbeat()
            time.sleep(0.5)
    except CancelledError:
        note("thrown")
        raise


@activity.defn(no_thread_cancel_exception=True)
def looks() -> str:
    while not activity.is_cancelled():
        activity.heartbeat()
        time.sleep(0.5)
    return "saw it"


@activity.defn
def shielded() -> str:
    with activity.shield_thread_cancel_exception():
        for _ in range(20):
            activity.heartbeat()
            time.sleep(0.5)
        note("shield ends")
    return "not reached"


@activity.defn(no_thread_cancel_exception=True)
def waits_for_it() -> str:
    activity.heartbeat()
    activity.wait_for_cancelled_sync(timedelta(seconds=1))
    note("timeout", activity.is_cancelled())
    activity.heartbeat()
    activity.wait_for_cancelled_sync()
    note("woken", activity.is_cancelled())
    return "woken"


@pytest.mark.parametrize(
    ("function", "result"),
    [(blocks, None), (looks, "saw it"), (shielded, None), (waits_for_it, "woken")],
)
def test_a_thread_is_cancelled_as_it_wants(play: Any, function: Callable[[], str], result: str | None) -> None:
    options = {"heartbeat_s": 2, "kind": "WAIT_CANCELLATION_COMPLETED", "cancel_s": 1.0}
    record = play(calling(function.__name__, **options), a_worker(function))
    if result is None:
        assert isinstance(end_of(record), ev.ActivityTaskCanceled)
        assert is_cancelled_exception(log[-1])
    else:
        assert log[-1][:2] == ("result", result)
    seen = {name: at_s for name, *_, at_s in log[:-1]}
    if function is blocks:
        assert seen["thrown"] < 3
    if function is shielded:
        assert seen["shield ends"] > 9.9
    if function is waits_for_it:
        assert log[0][:2] == ("timeout", False)
        assert log[1][:2] == ("woken", True)
        assert seen["woken"] < 3.5


def test_a_sleep_is_not_cut_short_by_the_exception(play: Any) -> None:
    @activity.defn
    def sleeps_long() -> None:
        activity.heartbeat()
        try:
            time.sleep(1.7)
            activity.heartbeat()
            time.sleep(4)
        except CancelledError:
            note("thrown")
            raise

    play(
        calling("sleeps_long", heartbeat_s=5, cancel_s=1, kind="WAIT_CANCELLATION_COMPLETED", limit_s=60),
        a_worker(sleeps_long),
    )
    ((_, at_s), *_) = log
    assert at_s == pytest.approx(5.7, abs=0.15)


# --- timeouts ---------------------------------------------------------------------------------------------------------


@activity.defn
async def hangs() -> None:
    try:
        await asyncio.sleep(10_000)
    except asyncio.CancelledError:
        note("cancelled", activity.cancellation_details())
        raise


def test_a_hanging_attempt_is_cancelled_locally_five_seconds_after_its_timeout(play: Any) -> None:
    play(calling("hangs", limit_s=10), a_worker(hangs))
    (cause, (_, details, at_s)) = log
    assert isinstance(cause.cause, exceptions.TimeoutError)
    assert (details.timed_out, details.not_found) == (True, True)
    assert at_s == pytest.approx(15, abs=0.1)


def test_an_attempt_that_stops_to_heartbeat_times_out(play: Any) -> None:
    @activity.defn
    async def falls_silent() -> None:
        for _ in range(5):
            activity.heartbeat()
            await asyncio.sleep(1)
        await hangs()

    record = play(calling("falls_silent", limit_s=100, heartbeat_s=3), a_worker(falls_silent))
    ended = end_of(record)
    assert ended.failure.info.timeout_type.name == "HEARTBEAT"
    lasted_us = ended.time_us - record.histories[0].events[0].time_us
    assert 5_000_000 < lasted_us < 8_500_000
    assert log[1][1].timed_out


def test_heartbeat_details_reach_the_next_attempt(play: Any) -> None:
    @activity.defn
    async def goes_on() -> list[Any]:
        details = list(activity.info().heartbeat_details)
        for position in range(3):
            activity.heartbeat(activity.info().attempt, position)
        if activity.info().attempt == 1:
            raise ApplicationError("again")
        return details

    play(calling("goes_on", attempts=2, heartbeat_s=60), a_worker(goes_on))
    assert log[0][1] == [1, 2]


def test_a_heartbeat_that_can_not_be_encoded_ends_the_attempt(play: Any) -> None:
    @activity.defn
    async def beats_nonsense() -> None:
        activity.heartbeat(object())
        await asyncio.sleep(100)

    record = play(calling("beats_nonsense", heartbeat_s=5), a_worker(beats_nonsense))
    assert "not JSON serializable" in end_of(record).failure.message


# --- slots and shutdown -----------------------------------------------------------------------------------------------


def test_no_more_run_at_once_than_there_are_slots(play: Any) -> None:
    running = [0]

    @activity.defn
    async def counts() -> int:
        running[0] += 1
        now = running[0]
        await asyncio.sleep(1)
        running[0] -= 1
        return now

    async def main(client: Client) -> None:
        calls = [
            client.execute_workflow(Calls.run, args=["counts", {}, []], id=f"w{number}", task_queue="q")
            for number in range(7)
        ]
        log.append(max(await asyncio.gather(*calls)))

    play(main, a_worker(counts, max_concurrent_activities=3))
    assert log == [3]


def shut_down_at(script: Any, seconds: float) -> Any:
    return script.at(seconds, script.shut_down("worker", 1.0))


@activity.defn
async def takes_five() -> str:
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        note("cancelled", activity.cancellation_details(), activity.is_worker_shutdown())
        raise
    return "done"


def test_a_shutdown_cancels_at_once_without_a_grace_period(play: Any, script: Any) -> None:
    record = play(calling("takes_five", attempts=2), a_worker(takes_five), script=shut_down_at(script, 2))
    (_, details, told, at_s), end = log
    assert (details.worker_shutdown, told, at_s) == (True, True, pytest.approx(2, abs=0.1))
    started = next(event for event in record.histories[0].events if isinstance(event, ev.ActivityTaskStarted))
    assert started.attempt == 2
    assert started.last_failure.info.type == "WorkerShutdown"
    assert end[:2] == ("result", "done")


def test_a_grace_period_lets_activities_end(play: Any, script: Any) -> None:
    workers = a_worker(takes_five, graceful_shutdown_timeout=timedelta(seconds=4))
    record = play(calling("takes_five"), workers, script=shut_down_at(script, 2), trace=True)
    assert log[0][:2] == ("result", "done")
    stops = [(one["time_us"], one["text"]) for one in record.trace if one["kind"] == "stop"]
    assert stops[0][0] - record.histories[0].events[0].time_us == pytest.approx(5_000_000, abs=50_000)


def test_after_the_grace_period_they_are_cancelled(play: Any, script: Any) -> None:
    workers = a_worker(takes_five, graceful_shutdown_timeout=timedelta(seconds=1))
    play(calling("takes_five", attempts=2), workers, script=shut_down_at(script, 2))
    assert log[0][1].worker_shutdown
    assert log[0][-1] == pytest.approx(3, abs=0.1)


def test_a_request_to_cancel_that_came_first_is_what_is_reported(play: Any, script: Any) -> None:
    options: dict[str, Any] = {"heartbeat_s": 3, "cancel_s": 3, "kind": "WAIT_CANCELLATION_COMPLETED"}
    record = play(calling("stubborn", **options), a_worker(stubborn), script=shut_down_at(script, 5.2))
    assert isinstance(end_of(record), ev.ActivityTaskCanceled)


def test_an_activity_that_nobody_has_is_named(play: Any) -> None:
    text = "no worker of task queue 'q' has the activity 'missing' .registered there: adds.: give it to a Worker"
    with pytest.raises(MisuseError, match=text):
        play(calling("missing", attempts=0), a_worker(adds))


def test_an_activity_that_arrives_with_a_later_worker_is_no_mistake(play: Any, script: Any) -> None:
    late = WorkerGroup(a_worker(takes_five), name="late")
    script.at(0, script.crash("late", down_s=300))
    play(calling("takes_five", attempts=0), a_worker(adds), late, script=script)
    assert log[0][:2] == ("result", "done")
