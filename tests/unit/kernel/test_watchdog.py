from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from stormproof.sim.real_clock import real_monotonic
from stormproof.sim.watchdog import CodeSpins, stopping_spins, watched


def spin() -> None:
    while True:
        pass


def watch(world: Any, limit_us: int = 100_000) -> Any:
    began = real_monotonic()
    with watched(world.kernel, limit_us=limit_us):
        result = world.run()
    assert real_monotonic() - began < 20
    return result


def test_a_spinning_callback_is_stopped_and_named(world: Any) -> None:
    def callback() -> None:
        world.kernel.busy_with = "workflow Order"
        spin()

    world.kernel.schedule(5, callback)
    world.kernel.schedule(6, world.log.append, "later")
    result = watch(world)
    assert result.reason == "spinning"
    assert result.detail.startswith("workflow Order spins without yielding in spin, test_watchdog.py line ")
    assert world.log == []


def test_a_spinning_task_is_named_even_if_another_ran_before(world: Any) -> None:
    async def activity() -> None:
        await asyncio.sleep(1)
        spin()

    loop = world.loop(world.process("worker-1"))
    loop.create_task(asyncio.sleep(1), name="innocent")
    loop.create_task(activity(), name="activity charge")
    result = watch(world)
    assert (result.reason, result.detail.split(" in ")[0]) == (
        "spinning",
        "activity charge (worker-1) spins without yielding",
    )


def test_a_spinning_thread_is_named(world: Any) -> None:
    world.threads.spawn(world.process("worker-1"), spin, lambda *_: None, name="activity ship")
    result = watch(world)
    assert (result.reason, result.detail.split(" in ")[0]) == ("spinning", "activity ship spins without yielding")


def test_code_that_swallows_the_first_stop_is_stopped_again(world: Any) -> None:
    def stubborn() -> None:
        for _ in range(2):
            try:
                spin()
            except BaseException:
                world.log.append("swallowed")
        spin()

    world.kernel.schedule(5, stubborn)
    assert watch(world).reason == "spinning"
    assert world.log == ["swallowed"] * 2


def test_work_that_yields_is_not_stopped(world: Any) -> None:
    def work(left: int) -> None:
        end = real_monotonic() + 0.02
        while real_monotonic() < end:
            pass
        if left:
            world.kernel.schedule(1, work, left - 1)

    world.kernel.schedule(1, work, 15)
    assert watch(world).reason == "idle"


def test_waiting_costs_no_processor_time_and_is_not_stopped(world: Any) -> None:
    if not hasattr(time, "pthread_getcpuclockid"):
        return
    world.kernel.schedule(1, time.sleep, 0.3)
    assert watch(world).reason == "idle"


def test_work_outside_the_kernel_is_not_stopped(world: Any) -> None:
    with watched(world.kernel, limit_us=50_000):
        end = real_monotonic() + 0.2
        while real_monotonic() < end:
            pass


def test_kernels_can_be_watched_one_after_the_other(new_world: Any) -> None:
    for _ in range(3):
        world = new_world()
        world.kernel.schedule(1, spin)
        assert watch(world, 50_000).reason == "spinning"
        world.close()


def test_code_outside_a_kernel_is_stopped_too() -> None:
    told = r"^replay of Order spins without yielding in spin, test_watchdog.py line \d+$"
    with pytest.raises(CodeSpins, match=told), stopping_spins("replay of Order", limit_us=50_000):
        spin()


def test_code_that_moves_on_is_not_stopped() -> None:
    with stopping_spins("replay", limit_us=100_000) as block:
        for number in range(10):
            block.next(f"replay {number}")
            end = real_monotonic() + 0.03
            while real_monotonic() < end:
                pass
