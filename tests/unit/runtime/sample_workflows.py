"""Workflows of the runtime tests: workflow classes can't be local to a test."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from stormproof.engine import activity, workflow
from stormproof.engine.exceptions import ApplicationError

SOON = timedelta(seconds=10)
LOG: list[Any] = []


@activity.defn
async def step(value: Any) -> Any:
    return value


@workflow.defn
class Steps:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @workflow.run
    async def run(self, count: int) -> list[Any]:
        for number in range(count):
            self.seen.append(await workflow.execute_activity(step, number, start_to_close_timeout=SOON))
        return self.seen

    @workflow.signal
    def note(self, value: Any) -> None:
        self.seen.append(value)

    @workflow.query
    def look(self) -> list[Any]:
        return self.seen

    @workflow.query
    def meddle(self) -> None:
        asyncio.get_running_loop().call_soon(self.seen.clear)

    @workflow.query
    def complain(self, text: str) -> None:
        raise ValueError(text)


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self) -> str:
        await asyncio.sleep(1.5)
        await workflow.sleep(2, summary="nap")
        return "rested"


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.go = False
        self.woken: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        try:
            await workflow.wait_condition(lambda: self.go)
            return self.woken
        finally:
            LOG.append("finally")

    @workflow.signal
    def start(self) -> None:
        self.go = True


@workflow.defn
class CancelsActivity:
    @workflow.run
    async def run(self, kind: int) -> Any:
        handle = workflow.start_activity(
            step,
            "x",
            start_to_close_timeout=SOON,
            cancellation_type=workflow.ActivityCancellationType(kind),
        )
        await asyncio.sleep(1)
        handle.cancel()
        try:
            return await handle
        except Exception as error:
            return type(error.__cause__).__name__


@workflow.defn
class CancelsTimer:
    @workflow.run
    async def run(self) -> Any:
        never = asyncio.create_task(asyncio.sleep(5))
        await asyncio.sleep(0)
        never.cancel()
        started = asyncio.create_task(asyncio.sleep(7))
        await asyncio.sleep(1)
        started.cancel()
        await asyncio.gather(never, started, return_exceptions=True)
        return "done"


@workflow.defn
class Cancelled:
    @workflow.run
    async def run(self) -> None:
        await asyncio.sleep(100)


@workflow.defn
class Buggy:
    @workflow.run
    async def run(self) -> None:
        raise KeyError("bug")


@workflow.defn
class Fails:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no", 7, type="No", non_retryable=True)


@workflow.defn
class Groups:
    """A task group with many tasks to cancel at once."""

    @workflow.run
    async def run(self) -> str:
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for number in range(30):
                    group.create_task(self.one(number))
                await asyncio.sleep(1)
                raise ApplicationError("stop")
        return "stopped"

    async def one(self, number: int) -> None:
        await workflow.execute_activity(step, number, start_to_close_timeout=SOON)


@workflow.defn
class Stops:
    """Raises what isn't meant for the workflow."""

    @workflow.run
    async def run(self, where: str) -> None:
        if where == "task":
            await asyncio.create_task(self.stop())
        try:
            await self.stop()
        except Exception:
            LOG.append("caught")

    async def stop(self) -> None:
        raise Spin


class Spin(BaseException):
    """As the watchdog raises it."""


@workflow.defn
class Facts:
    @workflow.run
    async def run(self, name: str) -> list[Any]:
        info = workflow.info()
        return [
            info.workflow_id,
            info.run_id,
            info.task_queue,
            info.attempt,
            info.start_time.isoformat(),
            workflow.now().isoformat(),
            workflow.time_ns(),
            workflow.random_seed(),
            str(workflow.uuid4()),
            workflow.memo(),
            workflow.memo_value("number", type_hint=int),
            workflow.memo_value("none", "default"),
            workflow.in_workflow(),
            workflow.unsafe.is_replaying(),
            info.get_current_history_length(),
            name,
        ]


@workflow.defn
class Threads:
    @workflow.run
    async def run(self) -> None:
        await asyncio.to_thread(print)


@workflow.defn
class LateHandler:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @workflow.run
    async def run(self) -> list[Any]:
        await asyncio.sleep(1)
        workflow.set_signal_handler("late", self.seen.append)
        await workflow.wait_condition(lambda: len(self.seen) == 2)
        return self.seen


@workflow.defn
class Patched:
    @workflow.run
    async def run(self) -> str:
        if workflow.patched("change"):
            await asyncio.sleep(1)
            return "new"
        await workflow.execute_activity(step, 1, start_to_close_timeout=SOON)
        return "old"


@workflow.defn
class Ignores:
    """Doesn't end when it is torn down."""

    @workflow.run
    async def run(self) -> None:
        while True:
            try:
                await workflow.wait_condition(lambda: False)
            except BaseException:
                LOG.append("ignored")
                if len(LOG) > 3:
                    return


@workflow.defn
class TakesFromASet:
    """Goes through a set of tasks: its order is another one in each process."""

    @workflow.run
    async def run(self) -> None:
        tasks = [asyncio.create_task(self.one(number)) for number in range(5)]
        done, _ = await asyncio.wait(tasks)
        for task in done:
            if task.result():
                await workflow.execute_activity(step, 1, start_to_close_timeout=SOON)
            else:
                await asyncio.sleep(1)

    async def one(self, number: int) -> bool:
        return number < 2


@workflow.defn
class Chained:
    """Knows of the run before it, and has random numbers of its own."""

    @workflow.run
    async def run(self) -> list[Any]:
        mine, yours = workflow.new_random("mine"), workflow.new_random("yours")
        plain = workflow.new_random()
        return [
            workflow.has_last_completion_result(),
            workflow.get_last_completion_result(list[int]),
            str(workflow.get_last_failure()),
            plain.random() == workflow.random().random(),
            mine.random() == yours.random(),
            workflow.uuid7().version,
            workflow.uuid7().int >> 80,
        ]
