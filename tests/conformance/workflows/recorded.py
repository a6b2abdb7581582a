"""Workflows that ask for what recorded histories of real servers have in them, written anew after those."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow


@dataclass
class Greeting:
    name: str
    should_wait: bool = False
    should_error: bool = False
    should_cause_nondeterminism: bool = False


@activity.defn
async def say_hello(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
async def short_activity_async() -> int:
    return 1


@workflow.defn
class SayHelloWorkflow:
    """One activity; on replay perhaps a timer that the history hasn't."""

    @workflow.run
    async def run(self, greeting: Greeting) -> str:
        found = await workflow.execute_activity(
            say_hello, greeting.name, schedule_to_close_timeout=timedelta(seconds=60)
        )
        if greeting.should_cause_nondeterminism and workflow.unsafe.is_replaying():
            await asyncio.sleep(0.1)
        return found


@workflow.defn
class QuickActivityWorkflow:
    """Activities, until time is up. Its cancellation came together with the end of an activity."""

    @workflow.run
    async def run(self, total_seconds: float) -> None:
        end = workflow.now() + timedelta(seconds=total_seconds)
        while workflow.now() <= end:
            await workflow.execute_activity(short_activity_async, schedule_to_close_timeout=timedelta(seconds=10))


@workflow.defn
class ActivityAndSignalsWhileWorkflowDown:
    """An activity's end and two signals in one workflow task: what is seen first?"""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.counter = 0

    @workflow.run
    async def run(self, _queue: Any) -> list[str]:
        self.events.append("act-start")
        await workflow.execute_activity(say_hello, "Enchi", start_to_close_timeout=timedelta(seconds=30))
        self.events += [f"counter-{self.counter}", "act-done"]
        return self.events

    @workflow.signal
    async def dosig(self, name: str) -> None:
        self.counter += 1
        self.events.append(f"sig-{name}")
