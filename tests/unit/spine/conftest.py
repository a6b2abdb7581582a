"""Whole simulations, with things that happen at chosen moments, each commit checked against the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stormproof.sim.options import RunOptions
from stormproof.sim.rebuild_check import RebuildCheck
from stormproof.sim.record import RunRecord
from stormproof.sim.scenario import Scenario, WorkerGroup
from stormproof.sim.simulate import run_scenario
from stormproof.sim.world import World

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


class Script:
    """Things that happen at a time, or when a point is reached for the nth time; nothing is drawn."""

    def __init__(self) -> None:
        self.world: Any = None
        self.reached: dict[str, int] = {}
        self._timed: list[tuple[float, Callable[[], Any]]] = []
        self._pointed: dict[tuple[str, int], Callable[[], Any]] = {}
        self._seen: list[Callable[[str, str, str, str], Any]] = []

    # --- what is to happen --------------------------------------------------------------------------------------------

    def at(self, seconds: float, action: Callable[[], Any]) -> Script:
        self._timed.append((seconds, action))
        return self

    def on(self, point: str, number: int, action: Callable[[], Any]) -> Script:
        self._pointed[point, number] = action
        return self

    def seen(self, look: Callable[[str, str, str, str], Any]) -> Script:
        self._seen.append(look)
        return self

    def crash(self, node: str = "worker", down_s: float = 0.5) -> Callable[[], None]:
        return lambda: self._end(node, down_s, lambda found: found.crash())

    def shut_down(self, node: str = "worker", down_s: float = 0.5) -> Callable[[], None]:
        def stop() -> None:
            self.world.nodes[node].shutdown(lambda: self._restart(node, down_s))

        return stop

    def _end(self, node: str, down_s: float, how: Callable[[Any], None]) -> None:
        if self.world.nodes[node].incarnation is not None:
            how(self.world.nodes[node])
            self._restart(node, down_s)

    def _restart(self, node: str, down_s: float) -> None:
        if down_s >= 0:
            self.world.kernel.schedule(round(down_s * SECOND_US), self._start, node)

    def _start(self, node: str) -> None:
        if self.world.nodes[node].incarnation is None:
            self.world.nodes[node].start()

    # --- a fault session ----------------------------------------------------------------------------------------------

    heal_at_us = 0

    def planned(self) -> list[Any]:
        return []

    def install(self, world: World) -> None:
        self.world = world
        for seconds, action in self._timed:
            world.kernel.schedule(round(seconds * SECOND_US), action)
        world.observers.append(self._reach)

    def heal(self, world: World) -> None:
        pass

    def _reach(self, point: str, node: str, subject: str, detail: str) -> None:
        self.reached[point] = number = self.reached.get(point, 0) + 1
        action = self._pointed.get((point, number))
        if action is not None:
            action()
        for look in self._seen:
            look(point, node, subject, detail)


Play = Callable[..., RunRecord]


def play_scenario(
    workload: Callable[..., Any],
    *workers: Any,
    seed: int = 1,
    script: Script | None = None,
    evict: bool = False,
    trace: bool = False,
    liveness_us: int | None = 30 * DAY_US,
    services: Sequence[Any] = (),
    watch: Callable[[World], None] | None = None,
    checked: bool = True,
    **options: Any,
) -> RunRecord:
    """Run a workload once; every commit is checked."""
    check = RebuildCheck()

    def watch_all(world: World) -> None:
        if checked:
            check.watch(world)
        if watch is not None:
            watch(world)

    groups = [worker if isinstance(worker, WorkerGroup) else WorkerGroup(worker) for worker in workers]
    return run_scenario(
        Scenario(workload, workers=groups, services=services),
        seed=seed,
        options=RunOptions(checks=False, trace=trace, evict_every_task=evict, **options),
        faults=script,
        liveness_us=liveness_us,
        watch=watch_all,
    )


@pytest.fixture
def play() -> Play:
    return play_scenario


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def new_script() -> type[Script]:
    return Script
