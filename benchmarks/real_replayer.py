"""The reference for replays: the real SDK's ``Replayer`` on the workflow of ``run.py``."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner


@workflow.defn
class ThreeSteps:
    """Three activities, one after the other."""

    @workflow.run
    async def run(self, number: int) -> int:
        """Returns ``number`` + 3."""
        for _ in range(3):
            number = await workflow.execute_activity("step", number, start_to_close_timeout=timedelta(seconds=10))
        return number


async def _replay_all(histories: list[dict[str, Any]]) -> None:
    replayer = Replayer(workflows=[ThreeSteps], workflow_runner=UnsandboxedWorkflowRunner())

    async def each() -> Any:
        for number, history in enumerate(histories):
            yield WorkflowHistory.from_json(f"run-{number}", history)

    results = await replayer.replay_workflows(each(), raise_on_replay_failure=True)
    assert not results.replay_failures


def replay_all(histories: list[dict[str, Any]]) -> None:
    """Replay all histories with one ``Replayer``.

    Raises:
        Exception: The real SDK does not accept one of them.
    """
    asyncio.run(_replay_all(histories))
