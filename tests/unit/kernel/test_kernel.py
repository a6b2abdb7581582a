from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest
import simpy
from stormproof.engine.core.errors import InternalError, MisuseError
from stormproof.sim.choices import Choices
from stormproof.sim.digest import Digest, first_divergence, name_divergence
from stormproof.sim.kernel import Kernel
from stormproof.sim.process import NodeDead


def made(seed: int = 1, **options: Any) -> tuple[Kernel, list[Any]]:
    return Kernel(Choices(seed), **options), []


def test_entries_happen_in_order_of_time_then_priority() -> None:
    kernel, log = made(start_time_us=100)
    kernel.schedule(20, log.append, "late")
    kernel.schedule(10, log.append, "second", priority=1)
    kernel.schedule(10, log.append, "first")
    kernel.schedule(10, lambda: log.append(kernel.now_us), priority=-1)
    result = kernel.run()
    assert log == [110, "first", "second", "late"]
    assert (result.reason, result.events, result.now_us) == ("idle", 4, 120)


def test_one_lane_is_first_in_first_out_and_draws_nothing() -> None:
    kernel, log = made()
    lane = kernel.new_lane("connection")
    for number in range(50):
        kernel.schedule(5, log.append, number, lane=lane)
    kernel.run()
    assert log == list(range(50))
    assert kernel.choices.record() == {}


def test_a_lone_entry_draws_nothing() -> None:
    kernel, log = made()
    for number in range(50):
        kernel.schedule(number, log.append, number)
    kernel.run()
    assert kernel.choices.record() == {}


def interleaving(seed: int) -> tuple[str, ...]:
    kernel, log = made(seed)
    for name in ("a1", "a2", "a3"):
        kernel.schedule(5, log.append, name, lane=kernel_lane(kernel, "a"))
    for name in ("b1", "b2"):
        kernel.schedule(5, log.append, name, lane=kernel_lane(kernel, "b"))
    kernel.run()
    return tuple(log)


def kernel_lane(kernel: Kernel, name: str) -> int:
    names = [kernel.lane_name(lane) for lane in range(3)]
    return names.index(name) if name in names else kernel.new_lane(name)


def test_between_lanes_every_interleaving_comes_and_none_breaks_a_lane() -> None:
    seen = Counter(interleaving(seed) for seed in range(400))
    assert len(seen) == 10, "five things of which three and two are in order"
    for order in seen:
        assert [name for name in order if name[0] == "a"] == ["a1", "a2", "a3"]
        assert [name for name in order if name[0] == "b"] == ["b1", "b2"]


def test_lane_0_is_a_lane_each_and_all_orders_are_equally_likely() -> None:
    seen: Counter[tuple[int, ...]] = Counter()
    for seed in range(1200):
        kernel, log = made(seed)
        for number in range(3):
            kernel.schedule(5, log.append, number)
        kernel.run()
        seen[tuple(log)] += 1
    assert len(seen) == 6
    assert min(seen.values()) > 150


def test_what_becomes_ready_at_the_same_instant_joins_the_contest() -> None:
    orders = set()
    for seed in range(60):
        kernel, log = made(seed)
        kernel.schedule(5, lambda k=kernel, g=log: (g.append("first"), k.schedule(0, g.append, "child")))
        kernel.schedule(5, log.append, "other")
        kernel.run()
        orders.add(tuple(log))
    assert orders == {("first", "child", "other"), ("first", "other", "child"), ("other", "first", "child")}


def test_a_more_urgent_entry_overtakes_a_contest_and_the_contest_goes_on() -> None:
    for seed in range(20):
        kernel, log = made(seed)

        def ordinary(k: Kernel = kernel, g: list[Any] = log) -> None:
            g.append("ordinary")
            for _ in range(2):
                k.schedule(0, g.append, "urgent", priority=-1)

        for _ in range(3):
            kernel.schedule(5, ordinary)
        kernel.run()
        assert log == ["ordinary", "urgent", "urgent"] * 3


def test_a_contest_is_not_quadratic() -> None:
    kernel, log = made()
    for _ in range(2000):
        kernel.schedule(5, log.append, 1)
    kernel.run()
    assert len(kernel.choices.record()["kernel.order"]) == 1999, "one draw each, and none for the last"


def test_a_cancelled_entry_does_not_happen_and_does_not_compete() -> None:
    kernel, log = made()
    kept = kernel.schedule(5, log.append, "kept")
    for _ in range(3):
        kernel.schedule(5, log.append, "cancelled").cancel()
    assert kept.pending
    kernel.run()
    assert log == ["kept"]
    assert kernel.choices.record() == {}
    assert not kept.pending
    kept.cancel()


def test_an_entry_cancelled_inside_a_contest_does_not_happen() -> None:
    for seed in range(30):
        kernel, log = made(seed)
        entries: list[Any] = []

        def happen(number: int, g: list[Any] = log, all_of_them: list[Any] = entries) -> None:
            g.append(number)
            all_of_them[1 - number].cancel()

        entries += [kernel.schedule(5, happen, number) for number in (0, 1)]
        kernel.run()
        assert len(log) == 1


def test_cancelled_entries_do_not_pile_up() -> None:
    kernel, log = made()
    keep = kernel.schedule(10**9, log.append, "end")
    for _ in range(10_000):
        kernel.schedule(10**6, log.append, "no").cancel()
    assert len(kernel.heap) < 300
    assert keep.pending
    kernel.run()
    assert log == ["end"]


def test_causes_chain() -> None:
    kernel, log = made()

    def happen(depth: int) -> None:
        log.append((kernel.current_cause, cause_of.get(depth)))
        if depth < 3:
            entry = kernel.schedule(1, happen, depth + 1)
            cause_of[depth + 1] = entry.cause

    cause_of: dict[int, int] = {}
    kernel.schedule(10, lambda: None)
    kernel.schedule(1, happen, 0)
    kernel.run()
    assert log == [(1, None), (2, 1), (3, 2), (4, 3)]


def test_a_tracers_cause_flows_along() -> None:
    kernel, log = made(tracing=True)

    def end(name: str) -> None:
        log.append((name, kernel.trace_cause))

    def begin(number: int) -> None:
        kernel.trace_cause = number
        kernel.schedule(5, end, f"caused by {number}")

    kernel.schedule(1, begin, 10)
    kernel.schedule(2, begin, 20)
    kernel.run()
    assert log == [("caused by 10", 10), ("caused by 20", 20)]


def test_budgets_end_a_run_and_it_can_go_on() -> None:
    kernel, log = made()

    def tick() -> None:
        log.append(kernel.now_us)
        kernel.schedule(10, tick, lane=busy)

    busy = kernel.new_lane("ticker")
    kernel.schedule(10, tick)
    assert kernel.run(events=1000).reason == "events"
    assert len(log) == 1000
    result = kernel.run(10_055)
    assert (result.reason, result.now_us, kernel.now_us, log[-1]) == ("virtual_time", 10_055, 10_055, 10_050)
    assert kernel.run(events=1).reason == "events"
    assert log[-1] == 10_060
    result = kernel.run(real_time_us=10_000)
    assert result.reason == "real_time"
    assert result.busy[0][0] == "ticker"


def test_stop_ends_a_run_after_the_current_entry() -> None:
    kernel, log = made()
    kernel.schedule(1, lambda: (log.append("stop"), kernel.stop()))
    kernel.schedule(1, log.append, "later", priority=1)
    assert kernel.run().reason == "stopped"
    assert log == ["stop"]
    assert kernel.run().reason == "idle"
    assert log == ["stop", "later"]


def test_a_callbacks_error_comes_out_and_the_kernel_can_go_on() -> None:
    kernel, log = made()

    def fail() -> None:
        raise MisuseError("no")

    kernel.schedule(1, fail)
    kernel.schedule(1, log.append, "other", priority=1)
    with pytest.raises(MisuseError, match="no"):
        kernel.run()
    assert kernel.run().reason == "idle"
    assert log == ["other"]


def test_a_dead_nodes_callback_just_ends() -> None:
    kernel, _ = made()

    def door() -> None:
        raise NodeDead("n1")

    kernel.schedule(1, door)
    assert kernel.run().reason == "idle"


def test_delays_are_whole_and_not_negative() -> None:
    kernel, log = made()
    for delay in (-1, 1.5, "1"):
        with pytest.raises(InternalError, match="delay"):
            kernel.schedule(delay, log.append, 1)  # type: ignore[call-overload]


def test_a_century_is_exact() -> None:
    kernel, log = made(start_time_us=1_700_000_000_000_000)
    century_us = 100 * 365 * 86_400_000_000
    kernel.schedule(century_us + 1, lambda: log.append(kernel.now_us))
    kernel.schedule(century_us, lambda: log.append(kernel.now_us))
    kernel.run()
    assert log == [1_700_000_000_000_000 + century_us, 1_700_000_000_000_001 + century_us]


# --- determinism


def storm(seed: int, keep: tuple[int, int] | None = None, planted: Callable[[list[str]], Any] = list) -> Kernel:
    """Lanes, contests and children; ``planted`` decides in which order names are scheduled."""
    kernel = Kernel(Choices(seed, digest=Digest(keep=keep)))
    lanes = {name: kernel.new_lane(name) for name in ("anna", "berta", "clara", "doris")}

    def work(name: str, depth: int) -> None:
        if depth < 8:
            for other in planted([f"{name}", *lanes][:3]):
                kernel.schedule(kernel.choices.draw("work.delay", 3), work, other, depth + 1, lane=lanes[other])

    for name, lane in lanes.items():
        kernel.schedule(0, work, name, 3, lane=lane)
    kernel.run()
    return kernel


def test_the_same_seed_gives_the_same_run_and_seeds_differ() -> None:
    assert storm(1).digest.checkpoints == storm(1).digest.checkpoints
    assert storm(1).digest.hexdigest() != storm(2).digest.hexdigest()


def test_looking_at_a_run_does_not_change_it() -> None:
    assert storm(1, keep=(0, 10**6)).digest.checkpoints == storm(1).digest.checkpoints


def test_an_order_that_does_not_come_from_the_seed_is_named() -> None:
    def turned(names: list[str]) -> list[str]:  # as a set of strings does under another hash seed
        return names[::-1]

    window = first_divergence(storm(1).digest.checkpoints, storm(1, planted=turned).digest.checkpoints)
    assert window is not None
    a, b = storm(1, keep=window), storm(1, keep=window, planted=turned)
    named = name_divergence(a.digest.kept(), b.digest.kept())
    assert named is not None
    assert "work(" in named[0] or "draw" in named[0]
    assert named[0] != named[1]


# --- SimPy


def test_simpy_processes_and_resources_work_in_it() -> None:
    kernel, log = made(start_time_us=1000)
    assert isinstance(kernel, simpy.Environment)
    desk = simpy.Resource(kernel, capacity=1)

    def customer(name: str) -> Generator[simpy.Event, Any, None]:
        with desk.request() as turn:
            yield turn
            yield kernel.timeout(10)
            log.append((name, kernel.now))

    kernel.process(customer("first"))
    kernel.process(customer("second"))
    kernel.schedule(10, log.append, "ours")
    assert kernel.run().reason == "idle"
    assert {entry if isinstance(entry, str) else entry[0] for entry in log[:2]} <= {"ours", "first", "second"}
    assert sorted(entry[1] for entry in log if isinstance(entry, tuple)) == [1010, 1020]


def test_a_run_can_end_with_a_simpy_event() -> None:
    kernel, log = made()
    kernel.schedule(100, log.append, "late")
    assert kernel.run(kernel.timeout(10)).reason == "stopped"
    assert log == []
    assert kernel.peek() == 100
    kernel.step()
    assert log == ["late"]
    with pytest.raises(simpy.core.EmptySchedule):
        kernel.step()


def test_simpy_time_is_whole() -> None:
    kernel, _ = made()
    with pytest.raises(MisuseError, match="whole microseconds"):
        kernel.timeout(0.5)
