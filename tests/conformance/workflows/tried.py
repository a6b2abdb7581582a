"""Workflows for the comparison with the real SDK: what people write, and what is hard to get right."""

# ruff: noqa: ASYNC110, RUF006, TRY300 (written as people write it)
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

SOON = timedelta(seconds=10)


@activity.defn
async def step(value: Any) -> Any:
    return value


@activity.defn(name="renamed")
def other_step() -> None:
    return None


@workflow.defn
class Sequential:
    """Steps one after the other; an activity's failure is the workflow's."""

    @workflow.run
    async def run(self, name: str) -> list[Any]:
        found = [await workflow.execute_activity(step, name, start_to_close_timeout=SOON)]
        await asyncio.sleep(1.5)
        found.append(
            await workflow.execute_activity(
                other_step,
                schedule_to_close_timeout=SOON,
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary="the other one",
            )
        )
        await workflow.sleep(timedelta(milliseconds=250), summary="a nap")
        return [*found, str(workflow.uuid4()), workflow.random().random(), workflow.time_ns()]


@workflow.defn
class Parallel:
    """Branches that race: which one goes on first decides the order of commands."""

    def __init__(self) -> None:
        self.order: list[Any] = []

    async def branch(self, number: int) -> Any:
        if number % 3 == 0:
            await asyncio.sleep(number + 1)
        try:
            found = await workflow.execute_activity(step, number, start_to_close_timeout=SOON)
        except ActivityError as error:
            found = str(error.cause)
        self.order.append(number)
        if number % 2:
            await workflow.execute_activity(step, f"after {number}", start_to_close_timeout=SOON)
        else:
            await workflow.sleep(number)
        return found

    @workflow.run
    async def run(self) -> Any:
        found = await asyncio.gather(*(self.branch(number) for number in range(5)), return_exceptions=True)
        return [str(item) for item in found], self.order


@workflow.defn
class Groups:
    """Task groups and timeouts of the standard library.

    No more than one task is ever left to be cancelled: a group cancels them in the order of a set.
    """

    @workflow.run
    async def run(self) -> Any:
        found: list[Any] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.one(number)) for number in range(2)]
            found.append([task.result() for task in tasks])
        except* ActivityError as errors:
            found.append(len(errors.exceptions))
        try:
            async with asyncio.timeout(3):
                found.append(await self.one("in time"))
        except (TimeoutError, ActivityError) as error:
            found.append(type(error).__name__)
        try:
            found.append(await asyncio.wait_for(self.one("waited for"), 2.5))
        except (TimeoutError, ActivityError) as error:
            found.append(type(error).__name__)
        return found

    async def one(self, name: Any) -> Any:
        return await workflow.execute_activity(step, name, start_to_close_timeout=SOON)


@workflow.defn
class Talkative:
    """Signals, some of which come before there is a handler, with a queue, a lock and an event."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.lock = asyncio.Lock()
        self.event = asyncio.Event()
        self.seen: list[Any] = []

    @workflow.run
    async def run(self) -> Any:
        workflow.set_signal_handler("late", self.late)
        consumer = asyncio.create_task(self.consume())
        try:
            await workflow.wait_condition(lambda: len(self.seen) >= 2, timeout=20, timeout_summary="patience")
        except TimeoutError:
            self.seen.append("timeout")
        await self.event.wait()
        await workflow.wait_condition(workflow.all_handlers_finished)
        consumer.cancel()
        return [self.seen, workflow.info().get_current_history_length(), workflow.info().is_continue_as_new_suggested()]

    async def consume(self) -> None:
        while True:
            item = await self.queue.get()
            async with self.lock:
                self.seen.append(item)
                await asyncio.sleep(0.5)

    @workflow.signal
    async def put(self, value: Any) -> None:
        async with self.lock:
            try:
                found = await workflow.execute_activity(step, value, start_to_close_timeout=SOON)
            except ActivityError:
                found = "failed"
        await self.queue.put([value, found])

    @workflow.signal(name="go")
    def release(self) -> None:
        self.event.set()

    async def late(self, value: Any) -> None:
        self.seen.append(["late", value])
        await asyncio.sleep(0)
        self.seen.append("later")


@workflow.defn
class Dynamic:
    """A dynamic signal handler, set late."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @workflow.run
    async def run(self) -> Any:
        await asyncio.sleep(1)
        workflow.set_dynamic_signal_handler(self.anything)
        await workflow.wait_condition(lambda: len(self.seen) >= 3)
        return self.seen

    def anything(self, name: str, args: Sequence[RawValue]) -> None:
        self.seen.append([name, [arg.payload.data.decode() for arg in args]])


class _Cancelling:
    kind = workflow.ActivityCancellationType.TRY_CANCEL

    async def body(self) -> Any:
        found: list[Any] = []
        handle = workflow.start_activity(
            step, "one", start_to_close_timeout=SOON, heartbeat_timeout=SOON, cancellation_type=self.kind
        )
        other = workflow.start_activity(step, "two", start_to_close_timeout=SOON, cancellation_type=self.kind)
        at_once = workflow.start_activity(step, "never", start_to_close_timeout=SOON, cancellation_type=self.kind)
        at_once.cancel()
        try:
            await at_once
        except (ActivityError, asyncio.CancelledError) as error:
            found.append(type(error).__name__)
        done, _ = await workflow.wait([handle, other], timeout=3, return_when=asyncio.FIRST_COMPLETED)
        found.append(len(done))
        for one in (handle, other):
            one.cancel()
        for one in (other, handle):
            try:
                found.append(await one)
            except ActivityError as error:
                found.append(type(error.cause).__name__)
            except asyncio.CancelledError:
                found.append("cancelled")
        await asyncio.sleep(1)
        return found


@workflow.defn
class TryCancel(_Cancelling):
    @workflow.run
    async def run(self) -> Any:
        return await self.body()


@workflow.defn
class WaitCancelled(_Cancelling):
    kind = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED

    @workflow.run
    async def run(self) -> Any:
        return await self.body()


@workflow.defn
class Abandon(_Cancelling):
    kind = workflow.ActivityCancellationType.ABANDON

    @workflow.run
    async def run(self) -> Any:
        return await self.body()


@workflow.defn
class Cleanup:
    """Cancelled from outside: it cleans up, shielded, and ends as cancelled."""

    @workflow.run
    async def run(self) -> Any:
        try:
            await workflow.execute_activity(
                step,
                "work",
                start_to_close_timeout=SOON,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
            await asyncio.sleep(100)
            return "undisturbed"
        except (asyncio.CancelledError, ActivityError) as error:
            reason = workflow.cancellation_reason()
            await asyncio.shield(self.clean(reason))
            if isinstance(error, ActivityError) and not isinstance(error.cause, CancelledError):
                raise ApplicationError("no luck", "detail", type="NoLuck", non_retryable=True) from error
            raise

    async def clean(self, reason: str | None) -> None:
        await workflow.execute_activity(step, f"clean {reason}", start_to_close_timeout=SOON)


@workflow.defn
class Deaf:
    """Swallows its cancellation and goes on."""

    @workflow.run
    async def run(self) -> Any:
        found: list[Any] = []
        for number in range(3):
            try:
                await asyncio.sleep(number + 1)
                found.append(await workflow.execute_activity(step, number, start_to_close_timeout=SOON))
            except asyncio.CancelledError:
                found.append("cancelled")
            except ActivityError as error:
                found.append(type(error.cause).__name__)
        return found


@workflow.defn
class Patched:
    """Takes the newer path."""

    @workflow.run
    async def run(self) -> Any:
        found: list[Any] = []
        if workflow.patched("first"):
            found.append(await self.one("new"))
        else:
            await asyncio.sleep(1)
        for _ in range(2):
            if workflow.patched("second"):
                await asyncio.sleep(2)
        workflow.deprecate_patch("third")
        found.append(await self.one("end"))
        return found

    async def one(self, name: Any) -> Any:
        try:
            return await workflow.execute_activity(step, name, start_to_close_timeout=SOON)
        except ActivityError:
            return "failed"


@workflow.defn
class Completing:
    """Takes results as they come."""

    @workflow.run
    async def run(self) -> Any:
        handles = [workflow.start_activity(step, number, start_to_close_timeout=SOON) for number in range(4)]
        found: list[Any] = []
        try:
            for next_one in workflow.as_completed(handles, timeout=6):
                try:
                    found.append(await next_one)
                except ActivityError:
                    found.append("failed")
                await asyncio.sleep(0)
                await workflow.execute_activity(step, len(found), start_to_close_timeout=SOON)
        except (TimeoutError, ActivityError) as error:
            found.append(type(error).__name__)
        return found


@workflow.defn
class Untidy:
    """Ends while tasks, timers, activities and handlers are still running, and asks for more after its end."""

    @workflow.run
    async def run(self) -> Any:
        asyncio.create_task(self.forever())
        workflow.start_activity(step, "left behind", start_to_close_timeout=SOON)
        await asyncio.sleep(2)
        asyncio.create_task(self.forever())
        return "done"

    async def forever(self) -> None:
        while True:
            await asyncio.sleep(1)

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def poke(self, value: Any) -> None:
        await asyncio.sleep(value)
        await workflow.execute_activity(step, value, start_to_close_timeout=SOON)


@workflow.defn
class SignalFails:
    """A signal's handler fails the workflow."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    async def boom(self, value: Any) -> None:
        await asyncio.sleep(value)
        raise ApplicationError("boom", value)


@workflow.defn
class TimesOut:
    """A timeout that nobody catches fails the workflow."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False, timeout=timedelta(seconds=3))


@workflow.defn
class Buggy:
    """Raises what is no failure: the workflow task fails."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(step, 1, start_to_close_timeout=SOON)
        raise ValueError("a bug")


@workflow.defn(failure_exception_types=[ValueError])
class Strict:
    """The same, but declared as a failure."""

    @workflow.init
    def __init__(self, name: str) -> None:
        self.name = name

    @workflow.run
    async def run(self, name: str) -> None:
        await asyncio.sleep(0.001)
        raise ValueError(self.name)


@workflow.defn
class Timers:
    """Timers that are cancelled, before and after they were started, and again."""

    @workflow.run
    async def run(self) -> Any:
        found: list[Any] = []
        never = asyncio.create_task(asyncio.sleep(5))
        await asyncio.sleep(0)
        never.cancel()
        first = asyncio.create_task(asyncio.sleep(7, "first"))
        second = asyncio.create_task(asyncio.sleep(8, "second"))
        handle = asyncio.get_running_loop().call_later(1, found.append, "called")
        await asyncio.sleep(2)
        handle.cancel()
        done, left = await workflow.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        found += [task.result() for task in done]
        for task in left:
            task.cancel()
        found += await asyncio.gather(*left, return_exceptions=True)
        return [str(item) for item in found]


@workflow.defn(name="Versioned")
class VersionedBefore:
    """The code before a change."""

    @workflow.run
    async def run(self) -> Any:
        await asyncio.sleep(1)
        return await either(workflow.execute_activity(step, "old", start_to_close_timeout=SOON))


@workflow.defn(name="Versioned")
class VersionedPatched:
    """Old runs keep to the old path."""

    @workflow.run
    async def run(self) -> Any:
        await asyncio.sleep(1)
        if workflow.patched("change"):
            await asyncio.sleep(2)
            if workflow.patched("change"):
                return await either(workflow.execute_activity(other_step, start_to_close_timeout=SOON))
        return await either(workflow.execute_activity(step, "old", start_to_close_timeout=SOON))


@workflow.defn(name="Versioned")
class VersionedTwice:
    """A second change, before the first."""

    @workflow.run
    async def run(self) -> Any:
        if workflow.patched("second"):
            await asyncio.sleep(3)
        await asyncio.sleep(1)
        if workflow.patched("change"):
            await asyncio.sleep(2)
            return await either(workflow.execute_activity(other_step, start_to_close_timeout=SOON))
        return await either(workflow.execute_activity(step, "old", start_to_close_timeout=SOON))


@workflow.defn(name="Versioned")
class VersionedDeprecated:
    """No run is left on the old path."""

    @workflow.run
    async def run(self) -> Any:
        await asyncio.sleep(1)
        workflow.deprecate_patch("change")
        await asyncio.sleep(2)
        return await either(workflow.execute_activity(other_step, start_to_close_timeout=SOON))


@workflow.defn(name="Versioned")
class VersionedAfter:
    """The change has always been there."""

    @workflow.run
    async def run(self) -> Any:
        await asyncio.sleep(1)
        await asyncio.sleep(2)
        return await either(workflow.execute_activity(other_step, start_to_close_timeout=SOON))


async def either(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except ActivityError:
        return "failed"
