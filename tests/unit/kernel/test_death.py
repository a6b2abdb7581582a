"""Crashes run no code of the process; what they leave behind is buried when the world ends."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import pytest
from stormproof.engine.core.errors import InternalError, MisuseError
from stormproof.sim.greenlets import Thread, Waiter, block_until, block_us, current_thread
from stormproof.sim.process import NodeDead, current_process


def guarded(log: list[Any], name: str) -> Callable[[], None]:
    def work() -> None:
        try:
            log.append(f"{name} begins")
            block_us(10_000_000)
            log.append(f"{name} goes on")
        finally:
            log.append(f"{name} ends")

    return work


async def guarded_task(log: list[Any], name: str) -> None:
    try:
        await asyncio.sleep(10)
        log.append(f"{name} goes on")
    finally:
        log.append(f"{name} ends")


def test_a_crash_runs_nothing_and_burial_comes_in_order(world: Any) -> None:
    process = world.process("victim")
    loop = world.loop(process)
    loop.create_task(guarded_task(world.log, "first task"))
    loop.create_task(guarded_task(world.log, "second task"))
    world.thread(process, guarded(world.log, "thread"))
    world.kernel.schedule(5_000_000, lambda: world.threads.kill(process))
    world.run()
    assert not process.alive
    assert world.log == ["thread begins"], "no finally block at the crash, no timer after it"
    assert len(world.graveyard) == 3
    assert world.close() == []
    assert world.log == ["thread begins", "thread ends", "first task ends", "second task ends"]


def test_a_crash_in_a_blocking_coroutine_runs_nothing(world: Any) -> None:
    process = world.process()
    loop = world.loop(process)

    async def blocks() -> None:
        try:
            block_us(10_000_000)
        finally:
            world.log.append((asyncio.get_running_loop() is loop, current_process.get() is process))

    loop.create_task(blocks())
    loop.call_later(1, world.log.append, "timer")
    world.kernel.schedule(5_000_000, loop.kill)
    world.run()
    assert world.log == []
    assert world.close() == []
    assert world.log == [(True, True)]


def test_a_process_that_crashes_itself_stops_on_the_spot(world: Any) -> None:
    process = world.process()
    loop = world.loop(process)

    def crash() -> None:
        world.threads.kill(process)
        world.log.append("crashed")
        world.threads.leave_if_dead()
        world.log.append("never")

    async def task() -> None:
        try:
            await asyncio.sleep(1)
            crash()
        finally:
            world.log.append("finally")

    loop.create_task(task())
    loop.create_task(guarded_task(world.log, "other"))
    other = world.loop()
    other.create_task(guarded_task(world.log, "elsewhere"))
    world.run()
    assert world.log == ["crashed", "elsewhere goes on", "elsewhere ends"]
    assert world.close() == []
    assert world.log[3:] == ["finally", "other ends"]


def test_a_thread_that_crashes_its_process_stops_on_the_spot(world: Any) -> None:
    process = world.process()

    def work() -> None:
        try:
            world.threads.kill(process)
            world.threads.leave_if_dead()
        finally:
            world.log.append("finally")

    world.thread(process, work)
    world.run()
    assert world.log == []
    assert world.close() == []
    assert world.log == ["finally"]


def test_leaving_is_for_the_dead(world: Any) -> None:
    world.threads.leave_if_dead()
    world.thread(world.process(), lambda: (world.threads.leave_if_dead(), "lives")[1])
    world.run()
    assert world.log == ["lives"]


def test_a_thread_whose_process_died_before_it_began_never_begins(world: Any) -> None:
    process = world.process()
    world.thread(process, lambda: world.log.append("no"))
    world.threads.kill(process)
    world.run()
    with pytest.raises(NodeDead):
        world.thread(process, lambda: None)
    assert world.log == []


def test_burial_meets_closed_doors_and_swallows_everything(world: Any) -> None:
    process = world.process()
    loop = world.loop(process)

    async def stubborn() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            doors: list[Callable[[], Any]] = [
                lambda: block_us(1),
                lambda: loop.create_task(guarded_task([], "x")),
                lambda: loop.call_soon(print),
            ]
            for door in doors:
                try:
                    door()
                    world.log.append("open")
                except NodeDead:
                    world.log.append("closed")
            raise ValueError("swallowed")

    async def asks_for_more() -> None:
        try:
            await asyncio.sleep(10)
        except BaseException:
            await asyncio.sleep(1)
            world.log.append("no")

    for body in (stubborn, asks_for_more):
        loop.create_task(body())
    world.kernel.schedule(1, loop.kill)
    world.run()
    assert world.close() == []
    assert world.log == ["closed", "closed", "open"], "callbacks are ignored while the dead are buried"
    assert loop.unhandled == []


def test_what_will_not_end_is_reported(world: Any) -> None:
    process = world.process("zombie")
    loop = world.loop(process)

    class Never:
        def __await__(self) -> Generator[None, None, None]:
            while True:
                try:
                    yield
                except BaseException:
                    world.log.append("thrown")

    async def immortal() -> None:
        await Never()

    loop.create_task(immortal(), name="immortal")
    world.kernel.schedule(1, loop.kill)
    world.run()
    assert world.close() == ["task immortal goes on after 10 throws"]
    assert len(world.log) == 10


def test_generators_of_the_dead_are_not_closed_at_the_crash(world: Any) -> None:
    process = world.process()
    loop = world.loop(process)

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            world.log.append("generator ends")

    async def main() -> None:
        async for _ in numbers():
            await asyncio.sleep(10)

    loop.create_task(main())
    world.kernel.schedule(1, loop.kill)
    world.run()
    assert world.log == []
    world.close()


def test_a_crashed_thread_never_returns_to_the_pool(world: Any) -> None:
    seen: list[weakref.ref[Thread]] = []

    def work() -> None:
        thread = current_thread()
        assert thread is not None
        seen.append(weakref.ref(thread))
        block_us(10)

    process = world.process()
    world.thread(process, work)
    world.run(events=1)
    world.threads.kill(process)
    others = world.process()
    for _ in range(3):
        world.thread(others, work)
    world.run()
    assert seen[0]() not in [reference() for reference in seen[1:]]
    assert world.close() == []
    assert seen[0]() is None


def test_threads_are_pooled(world: Any) -> None:
    seen = []
    process = world.process()
    for delay in range(5):
        world.kernel.schedule(delay * 100, world.thread, process, lambda: seen.append(id(current_thread())))
    world.run()
    assert len(set(seen)) == 1


def test_blocking_until_a_value_comes(world: Any) -> None:
    process = world.process()

    def waits() -> list[Any]:
        first = block_until(lambda wake: world.kernel.schedule(2_000_000, wake, "value"))
        at_once = block_until(lambda wake: wake("at once"))
        waiter = Waiter()
        world.kernel.schedule(3_000_000, waiter.wake)
        late = waiter.wait(timeout_us=1_000_000)
        then = waiter.wait(timeout_us=5_000_000)
        again = waiter.wait()
        return [first, at_once, late, then, again, world.now_us()]

    world.thread(process, waits)
    world.run()
    assert world.log == [["value", "at once", False, True, True, 5_000_000]]


def test_a_wait_that_ended_does_not_end_the_next(world: Any) -> None:
    process = world.process()

    def waits() -> int:
        waiter = Waiter()
        world.kernel.schedule(1000, waiter.wake)
        waiter.wait(timeout_us=1000)
        block_us(5000)
        return int(world.now_us())

    for _ in range(10):
        world.thread(process, waits)
    world.run()
    assert world.log == [6000] * 10


def test_blocking_outside_a_thread_is_refused(world: Any) -> None:
    with pytest.raises(MisuseError, match="outside any simulated thread"):
        block_us(1)
    world.thread(world.process(), lambda: world.threads.start(world.process(), lambda: None))
    world.run()
    assert isinstance(world.log[0], InternalError)


def test_ctrl_c_in_a_thread_comes_out_of_the_run(world: Any) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    world.thread(world.process(), interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    world.loop().call_soon(interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run()


def busy_world(new_world: Callable[..., Any]) -> None:
    world = new_world()
    processes = [world.process(name) for name in "abc"]

    async def child(number: int) -> None:
        await asyncio.sleep(number)

    async def main() -> None:
        await asyncio.gather(child(1), child(2), asyncio.to_thread(block_us, 1000))
        async with asyncio.TaskGroup() as group:
            group.create_task(child(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(child(100), child(200))
        queue: asyncio.Queue[int] = asyncio.Queue()
        await asyncio.wait([asyncio.ensure_future(queue.get()), asyncio.ensure_future(asyncio.shield(child(9999)))])

    loops = [world.loop(process) for process in processes]
    for loop in loops:
        loop.create_task(main())
        loop.create_task(main())
    world.kernel.schedule(2_500_000, loops[0].kill)
    world.run(events=10_000)
    assert world.close() == []
    assert all(loop.unhandled == [] for loop in loops)


def test_a_closed_world_leaves_no_cyclic_garbage(new_world: Callable[..., Any]) -> None:
    busy_world(new_world)
    gc.collect()
    gc.disable()
    try:
        busy_world(new_world)
        gc.set_debug(gc.DEBUG_SAVEALL)
        found = gc.collect()
        kinds = sorted({type(thing).__name__ for thing in gc.garbage})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert (found, kinds) == (0, [])
