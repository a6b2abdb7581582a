"""What the dead do in their ``finally`` blocks opens no real event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def undo() -> None:
    """Never awaited: its task can't be made any more."""


@pytest.mark.filterwarnings("ignore:coroutine 'undo' was never awaited:RuntimeWarning")
def test_a_shield_in_a_finally_block_meets_the_dead_loop(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a real event loop was opened")

    async def shielded() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            world.log.append(asyncio.get_running_loop() is loop)
            await asyncio.shield(undo())

    monkeypatch.setattr(asyncio.SelectorEventLoop, "__init__", refuse)
    process = world.process()
    loop = world.loop(process)
    loop.create_task(shielded())
    world.kernel.schedule(5_000_000, loop.kill)
    world.run()
    assert world.close() == []
    assert world.log == [True]
    assert asyncio._get_running_loop() is None
