from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.greenlets import block_us
from stormproof.sim.process import NodeDead, current_process

YEAR_S = 365 * 86_400


def test_time_passes_virtually_and_results_come_in_order(world: Any) -> None:
    async def child(seconds: float) -> float:
        await asyncio.sleep(seconds)
        world.log.append((world.now_us(), seconds))
        return seconds

    async def main() -> list[float]:
        return list(await asyncio.gather(child(3), child(1), child(2.5)))

    assert world.run_main(main()) == [3, 1, 2.5]
    assert world.log == [(1_000_000, 1), (2_500_000, 2.5), (3_000_000, 3)]


def test_ready_callbacks_run_first_in_first_out_and_draw_nothing(world: Any) -> None:
    async def worker(name: str) -> None:
        for step in range(3):
            world.log.append((name, step))
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*[worker(name) for name in "abc"])

    world.run_main(main())
    assert world.log == [(name, step) for step in range(3) for name in "abc"]
    assert world.choices.record() == {}


def test_everything_ready_is_drained_in_one_kernel_entry(world: Any) -> None:
    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    world.run_main(main())
    assert world.kernel.current_cause == 1


def test_the_usual_of_asyncio_works(world: Any) -> None:
    async def main() -> list[Any]:
        results: list[Any] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.sleep(10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 1)
        results.append(world.now_us())
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce() -> None:
            for number in range(3):
                await queue.put(number)

        lock, event = asyncio.Lock(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            results.extend([await queue.get() for _ in range(3)])
            group.create_task(asyncio.sleep(2)).add_done_callback(lambda _: event.set())
            async with lock:
                await event.wait()
        results.append(world.now_us())
        done, pending = await asyncio.wait(
            [asyncio.ensure_future(asyncio.sleep(n)) for n in (1, 9)], return_when=asyncio.FIRST_COMPLETED
        )
        results += [len(done), len(pending)]
        await asyncio.shield(asyncio.sleep(0.25))
        with pytest.raises(ExceptionGroup):
            await fail_in_a_group()
        for task in pending:
            task.cancel()
        results.append(asyncio.get_running_loop().time())
        return results

    async def fail() -> None:
        raise ValueError

    async def fail_in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(100))

    assert world.run_main(main()) == [2_500_000, 0, 1, 2, 4_500_000, 1, 1, 5.75]


def test_a_loop_goes_on_after_centuries_of_virtual_time(world: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for years in (1, 10, 100, 150):
            await asyncio.sleep(years * YEAR_S)
            before = loop.time()
            await asyncio.sleep(0.000_001)
            assert round((loop.time() - before) * 1e6) == 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(1), 0.1)
            deadline = loop.time() + 0.3
            fired = loop.create_future()
            loop.call_at(deadline, fired.set_result, None)
            await fired
            assert abs(loop.time() - deadline) < 0.000_001

    world.run_main(main())
    assert world.now_us() // 1_000_000 // YEAR_S == 261


def test_busy_waiting_comes_to_its_end(world: Any) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        end, turns = loop.time() + 0.5, 0
        while loop.time() < end:
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert 400_000 < world.run_main(main()) < 600_000


def test_endless_yielding_meets_the_budgets_and_is_named(world: Any) -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    world.loop(world.process("hot-node")).create_task(main())
    result = world.run(events=200)
    assert result.reason == "events"
    assert result.busy[0][0] == "hot-node"


def test_a_blocking_sleep_in_a_coroutine_blocks_its_process_only(world: Any) -> None:
    def log(text: str) -> None:
        world.log.append((world.now_us() // 1_000_000, text))

    async def blocks() -> None:
        task = asyncio.current_task()
        await asyncio.sleep(1)
        block_us(5_000_000)
        assert asyncio.current_task() is task
        assert asyncio.get_running_loop() is first
        log("blocked")

    async def ticks(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(1.5)
            log(name)

    first, second = world.loop(), world.loop()
    first.create_task(blocks())
    first.create_task(ticks("same"))
    second.create_task(ticks("other"))
    world.run()
    assert world.log == [
        *((1, "other"), (3, "other"), (4, "other")),
        *((6, "blocked"), (6, "same"), (7, "same"), (9, "same")),
    ]


def test_threads_run_beside_the_loop(world: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    def work(seconds: int) -> str:
        assert asyncio._get_running_loop() is None
        block_us(seconds * 1_000_000)
        return f"{variable.get()} {seconds}"

    async def main() -> list[str]:
        variable.set("inherited")
        results = list(await asyncio.gather(asyncio.to_thread(work, 3), asyncio.to_thread(work, 2)))
        loop = asyncio.get_running_loop()
        results.append(await loop.run_in_executor(None, work, 1))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(next, iter(()))
        await loop.shutdown_default_executor()
        return results

    assert world.run_main(main()) == ["inherited 3", "inherited 2", "none 1"]
    assert world.now_us() == 4_000_000


def test_the_order_in_which_threads_complete_is_drawn(new_world: Callable[..., Any]) -> None:
    def order(seed: int) -> tuple[str, ...]:
        world = new_world(seed)
        process = world.process()

        def work(name: str) -> str:
            block_us(10)
            return name

        for name in ("a", "b", "c"):
            world.thread(process, partial(work, name))
        world.run()
        world.close()
        return tuple(world.log)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(60)}) == 6


def test_contexts_of_tasks_are_their_own(world: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    async def child(number: int) -> int:
        variable.set(number)
        block_us(10)
        await asyncio.sleep(1)
        return variable.get()

    async def main() -> None:
        assert await asyncio.gather(*[child(number) for number in range(1, 4)]) == [1, 2, 3]
        assert variable.get() == 0

    world.run_main(main())
    assert current_process.get() is None


def test_code_started_from_a_kernel_callback_knows_its_process(world: Any) -> None:
    process = world.process("n1")
    loop = world.loop(process)

    async def who() -> None:
        world.log.append(current_process.get())

    world.kernel.schedule(5, lambda: loop.create_task(who()))
    world.kernel.schedule(6, lambda: loop.call_later(1, lambda: world.log.append(current_process.get())))
    world.run()
    assert world.log == [process, process]


def test_sets_of_tasks_do_not_depend_on_addresses(new_world: Callable[..., Any]) -> None:
    def order() -> list[str]:
        world = new_world()
        keep: list[Any] = []

        async def main() -> list[str]:
            keep.append([object() for _ in range(len(keep) * 7 + 3)])
            tasks = {asyncio.ensure_future(asyncio.sleep(1, n)) for n in range(40)}
            done, _ = await asyncio.wait(tasks)
            futures = {asyncio.get_running_loop().run_in_executor(None, int) for _ in range(40)}
            await asyncio.wait(futures)
            return [task.get_name() for task in done] + [str(hash(future)) for future in futures]

        result: list[str] = world.run_main(main())
        world.close()
        return result

    assert order() == order()
    assert "Task-2" in order()


def test_asynchronous_generators_are_closed_by_the_loop(world: Any) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            world.log.append(("closed", world.now_us()))

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(5)
        kept = numbers()
        await anext(kept)
        await asyncio.get_running_loop().shutdown_asyncgens()

    world.run_main(main())
    assert world.log == [("closed", 1_000_000), ("closed", 6_000_000)]


def test_unhandled_errors_are_reported(world: Any) -> None:
    loop = world.loop()

    async def fail() -> None:
        raise ValueError("lost")

    loop.create_task(fail())
    loop.call_soon(lambda: 1 // 0)
    world.run()
    loop.create_task(asyncio.sleep(0))
    world.kernel.schedule(1, world.log.append, None)
    world.run()
    loop._sweep_tasks()
    kinds = [type(context["exception"]) for context in loop.unhandled]
    assert kinds == [ZeroDivisionError, ValueError]
    loop.unhandled.clear()
    loop.set_exception_handler(lambda _, context: world.log.append(context["message"]))
    loop.call_soon(lambda: 1 // 0)
    world.run()
    assert "Exception in callback" in world.log[-1]
    assert loop.unhandled == []


def test_signals_are_the_processes_own(world: Any) -> None:
    loop = world.loop()
    before = signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, world.log.append, "terminated")
    assert signal.getsignal(signal.SIGTERM) is before
    assert loop.deliver_signal(signal.SIGTERM)
    assert not loop.deliver_signal(signal.SIGINT)
    world.run()
    assert world.log == ["terminated"]
    assert loop.remove_signal_handler(signal.SIGTERM)


def test_sockets_and_child_processes_are_refused_by_name(world: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(MisuseError, match="create_connection"):
            await loop.create_connection(asyncio.Protocol, "localhost", 80)
        with pytest.raises(MisuseError, match="subprocess_exec"):
            await asyncio.create_subprocess_exec("ls")

    world.run_main(main())


def test_a_closed_loop_refuses(world: Any) -> None:
    loop = world.loop()
    loop.close()
    assert loop.is_closed()
    for door in (loop.call_soon, lambda f: loop.call_later(1, f)):
        with pytest.raises(RuntimeError, match="closed"):
            door(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.create_task(asyncio.sleep(0))
    with pytest.raises(MisuseError, match="run by the simulation"):
        loop.run_forever()


def test_a_simulation_runs_inside_a_real_loop(new_world: Callable[..., Any]) -> None:
    async def outer() -> str:
        task = asyncio.current_task()
        world = new_world()
        result: str = world.run_main(asyncio.sleep(3600, "slept"))
        world.close()
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        return result

    started = time.monotonic()
    assert asyncio.run(outer()) == "slept"
    assert time.monotonic() - started < 5


def test_doors_of_a_dead_process_are_closed(world: Any) -> None:
    loop = world.loop()
    loop.kill()
    with pytest.raises(NodeDead):
        loop.call_soon(print)
    with pytest.raises(NodeDead):
        loop.call_later(1, print)
    with pytest.raises(NodeDead):
        loop.create_task(asyncio.sleep(1))
    with pytest.raises(NodeDead):
        loop.run_in_executor(None, print)
