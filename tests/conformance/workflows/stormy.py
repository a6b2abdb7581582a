"""Activities that fail, time out, heartbeat and are cancelled; and workflows that live with it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TimedOut

SHORT = timedelta(seconds=2)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=1))
THREE = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=3)


@dataclass
class Trouble:
    """What goes wrong, and until which attempt."""

    kind: str
    until: int = 2


class Odd(Exception):
    """An error of the user's own."""


@activity.defn
async def troubled(trouble: Trouble) -> str:
    attempt = activity.info().attempt
    if attempt >= trouble.until:
        return f"{trouble.kind} {activity.info().heartbeat_details}"
    if trouble.kind == "error":
        raise Odd("no luck")
    if trouble.kind == "final":
        raise ApplicationError("never", {"attempt": attempt}, type="Final", non_retryable=True)
    if trouble.kind == "delay":
        raise ApplicationError("later", next_retry_delay=timedelta(seconds=3))
    if trouble.kind == "slow":
        await asyncio.sleep(10)
    if trouble.kind == "silent":
        activity.heartbeat("last words", attempt)
        await asyncio.sleep(100)
    return "early"


@activity.defn
def blocking(seconds: float) -> float:
    for _ in range(10):
        time.sleep(seconds / 10)
        activity.heartbeat()
    return seconds


@activity.defn
async def patient(name: str) -> str:
    for number in range(50):
        activity.heartbeat(number)
        await asyncio.sleep(0.2)
    return name


@workflow.defn
class Troubles:
    """One trouble after the other, and together."""

    @workflow.run
    async def run(self) -> list[Any]:
        kinds = ["none", "error", "delay", "slow", "silent", "final"]
        found = [await self.one(kind) for kind in kinds]
        found += await asyncio.gather(*(self.one(kind) for kind in kinds))
        return found

    async def one(self, kind: str) -> str:
        try:
            return await workflow.execute_activity(
                troubled, Trouble(kind), start_to_close_timeout=SHORT, heartbeat_timeout=SHORT, retry_policy=QUICK
            )
        except ActivityError as error:
            return f"{kind}: {type(error.cause).__name__} {error.retry_state}"


@workflow.defn
class Hopeless:
    """Its activity never succeeds: the last failure is the workflow's."""

    @workflow.run
    async def run(self, kind: str) -> None:
        await workflow.execute_activity(
            troubled,
            Trouble(kind, until=1_000),
            schedule_to_close_timeout=timedelta(seconds=20),
            start_to_close_timeout=SHORT,
            heartbeat_timeout=timedelta(seconds=1),
            retry_policy=THREE,
        )


@workflow.defn
class Nobody:
    """Its activity's queue is polled by nobody."""

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity(
                patient,
                "nobody",
                task_queue="nobody-polls-this",
                schedule_to_start_timeout=SHORT,
                schedule_to_close_timeout=timedelta(minutes=1),
            )
        except ActivityError as error:
            return str(error.cause.type) if isinstance(error.cause, TimedOut) else "another cause"
        return "somebody"


@workflow.defn
class Stopped:
    """Is cancelled while a patient activity and a blocking one run; it undoes, shielded."""

    def __init__(self) -> None:
        self.progress: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        try:
            await asyncio.gather(self.wait_for("patient"), self.wait_for("blocking"))
        finally:
            await asyncio.shield(self.undo())
        return self.progress

    async def wait_for(self, name: str) -> None:
        kind = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        if name == "patient":
            await workflow.execute_activity(
                patient, name, start_to_close_timeout=SHORT * 10, heartbeat_timeout=SHORT, cancellation_type=kind
            )
        else:
            await workflow.execute_activity(blocking, 1.5, start_to_close_timeout=SHORT * 2, retry_policy=THREE)
        self.progress.append(name)

    async def undo(self) -> None:
        await workflow.execute_activity(troubled, Trouble("error", until=3), start_to_close_timeout=SHORT)
        self.progress.append("undone")

    @workflow.query
    def so_far(self) -> list[str]:
        return self.progress


@workflow.defn
class Told:
    """Signals and timers together, until it was told enough."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        while len(self.notes) < wanted:
            try:
                await workflow.wait_condition(lambda: len(self.notes) >= wanted, timeout=1)
            except TimeoutError:
                self.notes.append("tick")
        return self.notes

    @workflow.signal
    async def note(self, text: str) -> None:
        await workflow.execute_activity(troubled, Trouble("error"), start_to_close_timeout=SHORT, retry_policy=QUICK)
        self.notes.append(text)

    @workflow.query
    def count(self) -> int:
        return len(self.notes)
