"""A world of kernel, loops and threads, without network, nodes or engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import tzinfo
from typing import Any

import pytest
from stormproof.sim.choices import Choices
from stormproof.sim.graveyard import Graveyard
from stormproof.sim.greenlets import Greenlets
from stormproof.sim.kernel import Kernel, RunResult
from stormproof.sim.loop import VirtualLoop

START_US = 1_700_000_000_000_000


class SmallProcess:
    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.lane = kernel.new_lane(name)
        self.alive = True
        self.zone: tzinfo | None = None
        self.skew_us = 0

    def wall_clock_us(self) -> int:
        return self.kernel.now_us + self.skew_us

    def monotonic_us(self) -> int:
        return self.kernel.now_us - START_US

    def true_delay_us(self, delay_us: int) -> int:
        return delay_us


class SmallWorld:
    def __init__(self, seed: int = 1, **choices: Any) -> None:
        self.choices = Choices(seed, **choices)
        self.kernel = Kernel(self.choices, start_time_us=START_US)
        self.graveyard = Graveyard()
        self.threads = Greenlets(self.kernel, self.graveyard)
        self.log: list[Any] = []

    def process(self, name: str = "node") -> SmallProcess:
        return SmallProcess(self.kernel, name)

    def loop(self, process: SmallProcess | None = None) -> VirtualLoop:
        return VirtualLoop(self.kernel, process or self.process(), self.threads)

    def now_us(self) -> int:
        return self.kernel.now_us - START_US

    def run(self, **budget: Any) -> RunResult:
        return self.kernel.run(**budget)

    def run_main(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine on one process until nothing is left to do; its result."""
        task = self.loop().create_task(main)
        self.run()
        return task.result()

    def thread(self, process: SmallProcess, function: Callable[[], Any]) -> None:
        """Run a function in a simulated thread; its result or error goes to the log."""
        self.threads.spawn(process, function, lambda result, error: self.log.append(error or result))

    def close(self) -> list[str]:
        leaks = self.threads.close()
        self.kernel.close()
        return leaks


@pytest.fixture
def world() -> Iterator[SmallWorld]:
    made = SmallWorld()
    yield made
    made.close()
    assert asyncio._get_running_loop() is None


@pytest.fixture
def new_world() -> Callable[..., SmallWorld]:
    return SmallWorld
