from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.locks import SimulatedLock
from stormproof.sim.patches import installed_patches


@pytest.fixture(autouse=True)
def patched(world: Any) -> Any:
    with installed_patches():
        yield
        world.close()


def seconds(world: Any) -> float:
    return float(world.now_us() / 1e6)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_held_over_a_sleep_makes_others_wait(world: Any, kind: str) -> None:
    shared: dict[str, Any] = {}
    process = world.process()

    def work() -> float:
        lock = shared.setdefault("lock", getattr(threading, kind)())
        assert type(lock).__name__ == f"Simulated{kind}"
        with lock:
            time.sleep(2)
            return seconds(world)

    for _ in range(3):
        world.thread(process, work)
    assert world.run().reason == "idle"
    assert world.log == [2, 4, 6]


def test_locks_time_out(world: Any) -> None:
    process, lock = world.process(), SimulatedLock()

    def holds() -> None:
        with lock:
            time.sleep(10)

    def tries() -> list[Any]:
        time.sleep(1)
        results = [lock.acquire(blocking=False), lock.acquire(timeout=2), seconds(world), lock.locked()]
        results += [lock.acquire(), seconds(world)]
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()
        return results

    world.thread(process, holds)
    world.thread(process, tries)
    world.run()
    assert None in world.log
    assert [False, False, 3, True, True, 10] in world.log


def test_what_is_built_on_locks_works_in_virtual_time(world: Any) -> None:
    process = world.process()
    things: dict[str, Any] = {}

    def makes() -> None:
        things.update(queue=queue.Queue(1), event=threading.Event(), semaphore=threading.Semaphore(1))
        things.update(condition=threading.Condition(), barrier=threading.Barrier(2))

    def gives() -> list[Any]:
        for number in range(3):
            time.sleep(1)
            things["queue"].put(number)
        things["event"].set()
        with things["condition"]:
            things["condition"].notify()
        things["barrier"].wait()
        return ["gave", seconds(world)]

    def takes() -> list[Any]:
        got = [things["queue"].get() for _ in range(3)]
        with pytest.raises(queue.Empty):
            things["queue"].get(timeout=0.5)
        got += [threading.Event().wait(5), seconds(world), things["event"].wait(5), seconds(world)]
        with things["semaphore"]:
            got.append(things["semaphore"].acquire(timeout=2))
        time.sleep(1)
        got.append(seconds(world))
        things["barrier"].wait()
        return got

    world.thread(process, makes)
    world.run()
    world.log.clear()
    world.thread(process, takes)
    world.thread(process, gives)
    world.run()
    assert sorted(world.log, key=len) == [["gave", 11.5], [0, 1, 2, False, 8.5, True, 8.5, False, 11.5]]


def test_conditions_wait_and_wake(world: Any) -> None:
    process = world.process()
    state: dict[str, Any] = {"items": 0}

    def consumer() -> float:
        condition = state.setdefault("condition", threading.Condition())
        with condition:
            assert condition.wait_for(lambda: state["items"] > 1, timeout=100)
            assert not condition.wait(timeout=1)
        return seconds(world)

    def producer() -> None:
        for _ in range(3):
            time.sleep(3)
            with state["condition"]:
                state["items"] += 1
                state["condition"].notify_all()

    world.thread(process, consumer)
    world.run(events=1)
    world.thread(process, producer)
    world.run()
    assert world.log == [7, None]


def test_a_thread_pool_keeps_its_limit(world: Any) -> None:
    def job(number: int) -> int:
        time.sleep(1)
        return number * number

    def work() -> list[Any]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            mapped = list(pool.map(job, range(5)))
            at = seconds(world)
            futures = [pool.submit(job, number) for number in (7, 8)]
            done = [future.result() for future in concurrent.futures.as_completed(futures)]
            failing = pool.submit(lambda: 1 // 0)
            pool.submit(time.sleep, 10)
        with pytest.raises(ZeroDivisionError):
            failing.result()
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(job, 1)
        return [mapped, at, sorted(done), seconds(world)]

    world.thread(world.process(), work)
    world.run()
    assert world.log == [[[0, 1, 4, 9, 16], 3, [49, 64], 14]]


def test_a_loop_keeps_the_limit_of_a_thread_pool(world: Any) -> None:
    pool = ThreadPoolExecutor(max_workers=1)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*[loop.run_in_executor(pool, time.sleep, 1) for _ in range(3)])
        return seconds(world)

    assert world.run_main(main()) == 3
    assert not pool._threads


def test_a_contended_lock_outside_any_thread_is_refused(world: Any) -> None:
    lock = SimulatedLock()
    assert lock.acquire()
    with pytest.raises(MisuseError, match="outside any simulated thread"):
        lock.acquire()


def test_outside_any_process_locks_and_pools_are_real(world: Any) -> None:
    assert type(threading.Lock()).__module__ == "_thread"
    assert not isinstance(threading.Condition()._lock, SimulatedLock)  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threading.get_ident).result() != threading.get_ident()


def test_a_crash_while_waiting_for_a_lock_gives_it_to_no_dead_thread(world: Any) -> None:
    lock, first, second = SimulatedLock(), world.process("first"), world.process("second")

    def work(name: str, hold_s: float) -> None:
        with lock:
            world.log.append((name, seconds(world)))
            time.sleep(hold_s)

    world.thread(first, lambda: work("holds", 5))
    world.kernel.schedule(1_000_000, world.thread, second, lambda: work("dies", 1))
    world.kernel.schedule(2_000_000, world.thread, first, lambda: work("next", 1))
    world.kernel.schedule(3_000_000, world.threads.kill, second)
    world.run()
    assert [entry for entry in world.log if entry] == [("holds", 0), ("next", 5)]
