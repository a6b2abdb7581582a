"""Activities: what ``defn`` accepts, and what running code can ask and is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stormproof.engine import activity
from stormproof.engine.activity import ActivityContext, ActivityDefinition, ActivityEvent, current_activity, make_info
from stormproof.engine.converter import DataConverter
from stormproof.engine.core.events import RetryPolicyData
from stormproof.engine.core.payloads import Payload
from stormproof.engine.core.requests import Execution, PollActivityTaskQueueResponse, TaskToken
from stormproof.engine.exceptions import ApplicationError, CancelledError

CONVERTER = DataConverter.default


@activity.defn
async def plain(order: int, note: str = "") -> list[str]:
    return [note] * order


@activity.defn(name="renamed", no_thread_cancel_exception=True)
def blocking() -> None:
    """Without async."""


@activity.defn
async def untyped(*numbers: int) -> int:
    return sum(numbers)


class Group:
    def __init__(self, name: str) -> None:
        self.name = name

    @activity.defn
    async def method(self, order: int) -> str:
        return f"{self.name} {order}"


@activity.defn
class Callable_:  # noqa: N801
    async def __call__(self, order: int) -> str:
        return str(order)


def describe(found: ActivityDefinition) -> tuple[Any, ...]:
    return found.name, found.is_async, found.no_thread_cancel_exception, found.arg_types, found.ret_type


def test_a_definition_says_what_the_annotations_say() -> None:
    assert describe(ActivityDefinition.of(plain)) == ("plain", True, False, [int, str], list[str])
    assert describe(ActivityDefinition.of(blocking)) == ("renamed", False, True, [], type(None))
    assert describe(ActivityDefinition.of(untyped)) == ("untyped", True, False, None, int)


def test_types_are_used_only_where_as_many_arguments_were_sent() -> None:
    definition = ActivityDefinition.of(plain)
    assert definition.types_for(2) == [int, str]
    assert definition.types_for(1) is None
    assert ActivityDefinition.of(untyped).types_for(1) is None


def test_methods_are_bound_and_callable_instances_are_called() -> None:
    group = Group("a")
    definition = ActivityDefinition.of(group.method)
    assert describe(definition) == ("method", True, False, [int], str)
    assert asyncio.run(definition.fn(3)) == "a 3"
    instance = Callable_()
    definition = ActivityDefinition.of(instance)
    assert describe(definition) == ("Callable_", True, False, [int], str)
    assert asyncio.run(definition.fn(3)) == "3"
    assert ActivityDefinition.name_and_result_type(group.method) == ("method", str)
    assert ActivityDefinition.name_and_result_type("by name") == ("by name", None)


def test_what_is_no_activity_is_refused() -> None:
    with pytest.raises(TypeError, match="Activity <lambda> missing attributes, was it decorated"):
        ActivityDefinition.of(lambda: None)
    with pytest.raises(TypeError, match="must be a string or callable"):
        ActivityDefinition.name_and_result_type(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="already contains"):
        activity.defn(plain)
    with pytest.raises(TypeError, match="keyword-only"):

        @activity.defn
        def keyword_only(*, order: int) -> None: ...

    with pytest.raises(TypeError, match="not callable"):
        activity.defn(name="x")(5)  # type: ignore[type-var]


# --- inside an activity ---------------------------------------------------------------------------------------------


def task(**changes: Any) -> PollActivityTaskQueueResponse:
    execution = Execution("order/1", "run", "shop")
    values: dict[str, Any] = {
        "task_token": TaskToken(execution, 5, 2),
        "execution": execution,
        "workflow_type": "Orders",
        "activity_id": "1",
        "activity_type": "charge",
        "input": [],
        "header": {},
        "attempt": 2,
        "scheduled_time_us": 1_700_000_000_000_001,
        "current_attempt_scheduled_time_us": 1_700_000_001_000_000,
        "started_time_us": 1_700_000_002_000_000,
        "schedule_to_close_timeout_us": 0,
        "start_to_close_timeout_us": 5_000_000,
        "heartbeat_timeout_us": 1,
        "heartbeat_details": CONVERTER.payload_converter.to_payloads([1, "two"]),
        "retry_policy": RetryPolicyData(maximum_attempts=3),
        "task_queue": "queue",
    }
    return PollActivityTaskQueueResponse(**{**values, **changes})


class Inside:
    """An activity's surroundings, without a worker."""

    def __init__(self) -> None:
        self.beats: list[list[Any]] = []

    def context(self, *, is_async: bool = True, **options: Any) -> ActivityContext:
        converter = CONVERTER.payload_converter
        context = ActivityContext(
            make_info(task(), CONVERTER), self.beats.append, converter, is_async=is_async, **options
        )
        current_activity.set(context)
        return context


@pytest.fixture
def inside() -> Iterator[Inside]:
    token = current_activity.set(None)
    yield Inside()
    current_activity.reset(token)


def test_info_tells_the_task(inside: Inside) -> None:
    inside.context()
    info = activity.info()
    assert info is activity.info()
    assert (info.activity_id, info.activity_type, info.attempt, info.task_queue) == ("1", "charge", 2, "queue")
    assert (info.workflow_id, info.workflow_run_id, info.workflow_type) == ("order/1", "run", "Orders")
    assert (info.namespace, info.workflow_namespace, info.in_workflow, info.is_local) == ("shop", "shop", True, False)
    assert info.scheduled_time == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
    assert info.current_attempt_scheduled_time == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    assert info.started_time == datetime(2023, 11, 14, 22, 13, 22, tzinfo=UTC)
    assert info.schedule_to_close_timeout is None
    assert info.start_to_close_timeout == timedelta(seconds=5)
    assert info.heartbeat_timeout == timedelta(microseconds=1)
    assert info.heartbeat_details == [1, "two"]
    assert info.retry_policy is not None
    assert info.retry_policy.maximum_attempts == 3
    assert info.task_token == b"5/2/run/order/1"


def test_heartbeat_details_that_can_not_be_decoded_end_the_activity(inside: Inside) -> None:
    broken = task(heartbeat_details=[Payload({"encoding": b"unknown"})], retry_policy=None)
    with pytest.raises(ApplicationError, match="Failed decoding heartbeat details") as caught:
        make_info(broken, CONVERTER)()
    assert caught.value.non_retryable


FUNCTIONS: list[Callable[[], Any]] = [
    activity.info,
    activity.heartbeat,
    activity.is_cancelled,
    activity.is_worker_shutdown,
    activity.payload_converter,
    activity.client,
    activity.cancellation_details,
    activity.wait_for_cancelled_sync,
    activity.wait_for_worker_shutdown_sync,
    lambda: asyncio.run(activity.wait_for_cancelled()),
    lambda: asyncio.run(activity.wait_for_worker_shutdown()),
    lambda: activity.shield_thread_cancel_exception().__enter__(),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_outside_of_an_activity_nothing_can_be_asked(function: Callable[[], Any], inside: Inside) -> None:
    assert not activity.in_activity()
    with pytest.raises(RuntimeError, match="Not in activity context"):
        function()


def test_heartbeats_reach_the_worker(inside: Inside) -> None:
    inside.context()
    assert activity.in_activity()
    activity.heartbeat()
    activity.heartbeat(1, "two")
    assert inside.beats == [[], [1, "two"]]
    assert activity.payload_converter() is CONVERTER.payload_converter


def test_the_first_reason_of_a_cancellation_counts(inside: Inside) -> None:
    context = inside.context()
    assert not activity.is_cancelled()
    assert activity.cancellation_details() is None
    assert context.cancel("timed_out")
    assert not context.cancel("cancel_requested")
    assert activity.is_cancelled()
    assert activity.cancellation_details() == activity.ActivityCancellationDetails(timed_out=True)


def test_an_activity_that_has_ended_is_not_cancelled_any_more(inside: Inside) -> None:
    context = inside.context(is_async=False)
    context.done()
    assert not context.cancel("cancel_requested")
    assert not context.take_thread_exception()


def test_coroutines_wait_for_cancellation_and_shutdown(inside: Inside) -> None:
    context = inside.context()

    async def waits() -> list[str]:
        seen: list[str] = []

        async def told(name: str, waiting: Any) -> None:
            await waiting
            seen.append(name)

        cancelled = asyncio.create_task(told("cancelled", activity.wait_for_cancelled()))
        shutdown = asyncio.create_task(told("shutdown", activity.wait_for_worker_shutdown()))
        impatient = asyncio.create_task(told("impatient", activity.wait_for_cancelled()))
        await asyncio.sleep(0)
        impatient.cancel()
        context.worker_shutdown()
        await shutdown
        context.cancel("cancel_requested")
        await cancelled
        await activity.wait_for_cancelled()
        return seen

    assert asyncio.run(waits()) == ["shutdown", "cancelled"]
    assert activity.is_worker_shutdown()


def test_a_thread_waits_by_the_means_that_it_was_given(inside: Inside) -> None:
    waited: list[Any] = []

    def block(event: ActivityEvent, timeout_us: int | None) -> None:
        waited.append((event.is_set(), timeout_us))

    inside.context(is_async=False, block_thread=block)
    activity.wait_for_cancelled_sync()
    activity.wait_for_cancelled_sync(1.5)
    activity.wait_for_worker_shutdown_sync(timedelta(milliseconds=2))
    assert waited == [(False, None), (False, 1_500_000), (False, 2000)]


def test_each_kind_waits_in_its_own_way_only(inside: Inside) -> None:
    inside.context(is_async=True)
    with pytest.raises(RuntimeError, match="await the function of the same name without _sync"):
        activity.wait_for_cancelled_sync()
    inside.context(is_async=False)
    with pytest.raises(RuntimeError, match="not in async activity"):
        asyncio.run(activity.wait_for_cancelled())


def test_only_activities_with_async_have_a_client(inside: Inside) -> None:
    inside.context()
    with pytest.raises(RuntimeError, match="No client available"):
        activity.client()
    client: Any = object()
    inside.context(client=client)
    assert activity.client() is client


def test_a_shield_delays_the_exception_to_the_end_of_the_outermost_block(inside: Inside) -> None:
    context = inside.context(is_async=False)
    reached: list[str] = []

    def shielded() -> None:
        with activity.shield_thread_cancel_exception():
            with activity.shield_thread_cancel_exception():
                context.cancel("cancel_requested")
                assert not context.take_thread_exception()
                reached.append("inner")
            reached.append("outer")
            raise ValueError("taken over by the cancellation")

    with pytest.raises(CancelledError) as caught:
        shielded()
    assert reached == ["inner", "outer"]
    assert isinstance(caught.value.__context__, ValueError)
    with activity.shield_thread_cancel_exception():
        pass


def test_a_shield_is_nothing_where_nothing_is_thrown(inside: Inside) -> None:
    for options in ({"is_async": True}, {"is_async": False, "no_thread_cancel_exception": True}):
        context = inside.context(**options)  # type: ignore[arg-type]
        with activity.shield_thread_cancel_exception():
            context.cancel("cancel_requested")
            assert not context.take_thread_exception()
    assert inside.context(is_async=False).take_thread_exception()


def test_an_event_happens_once() -> None:
    event = ActivityEvent()
    seen: list[str] = []

    def forgotten() -> None:
        seen.append("forgotten")

    event.on_set(lambda: seen.append("first"))
    event.on_set(forgotten)
    event.forget(forgotten)
    event.set()
    event.set()
    event.on_set(lambda: seen.append("late"))
    assert seen == ["first", "late"]


def test_log_records_say_which_activity_wrote_them(inside: Inside, caplog: pytest.LogCaptureFixture) -> None:
    activity.logger.warning("outside")
    inside.context()
    adapter = activity.LoggerAdapter(activity.logger.base_logger, None)
    adapter.full_activity_info_on_extra = True
    adapter.warning("inside", extra={"mine": 1})
    adapter.activity_info_on_message = adapter.activity_info_on_extra = adapter.full_activity_info_on_extra = False
    adapter.warning("quiet")
    outside, full, quiet = caplog.records
    assert outside.getMessage() == "outside"
    assert full.getMessage().startswith("inside ({'activity_id': '1', 'activity_type': 'charge', 'attempt': 2")
    assert (full.mine, full.temporal_activity["workflow_id"]) == (1, "order/1")  # type: ignore[attr-defined]
    assert full.activity_info is activity.info()  # type: ignore[attr-defined]
    assert quiet.getMessage() == "quiet"
    assert not hasattr(quiet, "temporal_activity")
    assert full.levelno == logging.WARNING
