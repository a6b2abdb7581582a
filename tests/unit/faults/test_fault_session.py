"""A plan at work: moments, ends, healing, and who comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.faults import (
    KINDS,
    At,
    AtPoint,
    EngineCrash,
    Fault,
    LastingFault,
    MessageLoss,
    PlannedFaults,
    ServiceOutage,
    Strike,
    WorkerCrash,
    WorkerShutdown,
    kind_named,
    plan_from_data,
    register,
    register_point,
)
from stormproof.faults.session import heal_time_us
from stormproof.faults.strike import BITES_TRACED_MAX
from stormproof.sim.choices import Choices
from stormproof.sim.process import NodeDead
from stormproof.sim.world import START_TIME_US, World

SECOND = 1_000_000
CHARGED = AtPoint("service.after_effect", "payments.charge")
Told = Callable[..., list[tuple[int, str, str]]]


@register
@dataclass(frozen=True, slots=True)
class Mark(LastingFault):
    """Writes down when it begins and ends."""

    kind: ClassVar[str] = "test_mark"
    name: str = "mark"

    def strike(self, strike: Strike) -> None:
        MARKS.append((strike.world.kernel.now_us - strike.world.start_time_us, f"{self.name} begins"))
        strike.on_end(
            lambda: MARKS.append((strike.world.kernel.now_us - strike.world.start_time_us, f"{self.name} ends"))
        )
        strike.fired(strike.node_name or "nobody", strike.subject)

    def sentence(self) -> str:
        return f"{self.name} {self.for_so_long()}"


MARKS: list[tuple[int, str]] = []


@pytest.fixture(autouse=True)
def _no_marks() -> None:
    MARKS.clear()


@pytest.fixture
def world() -> World:
    return World(Choices(1), tracing=True)


def installed(world: World, *plan: Fault) -> PlannedFaults:
    session = PlannedFaults(plan)
    session.install(world)
    return session


# --- moments --------------------------------------------------------------------------------------------------------


def test_a_timed_fault_begins_and_ends_on_time(world: World) -> None:
    installed(world, Mark(when=At(5 * SECOND), duration_us=2 * SECOND))
    world.kernel.run()
    assert MARKS == [(5 * SECOND, "mark begins"), (7 * SECOND, "mark ends")]


def test_a_point_counts_from_the_first_time_and_by_subject(world: World) -> None:
    installed(
        world,
        Mark("any", when=AtPoint("activity.started", nth=3)),
        Mark("of b", when=AtPoint("activity.started", "b", nth=2)),
        Mark("elsewhere", when=AtPoint("activity.after_report")),
    )
    seen = []
    for subject in ("a", "b", "a", "b", "b"):
        world.reach("activity.started", "worker-2", subject)
        seen.append([text for _, text in MARKS])
    assert seen == [[], [], ["any begins"], ["any begins", "of b begins"], ["any begins", "of b begins"]]
    assert [(fired["target"], fired["point"], fired["detail"]) for fired in world.faults_fired] == [
        ("worker-2", "activity.started", "a"),
        ("worker-2", "activity.started", "b"),
    ]


def test_a_fault_may_come_some_time_after_a_point(world: World) -> None:
    installed(world, Mark(when=AtPoint("activity.started", after_us=3 * SECOND)))
    world.reach("activity.started", "worker", "charge")
    assert MARKS == []
    world.kernel.run(world.start_time_us + 10 * SECOND)
    assert MARKS[0] == (3 * SECOND, "mark begins")
    assert world.faults_fired[0]["target"] == "worker"


def test_nobody_watches_when_nothing_waits_for_a_point(world: World) -> None:
    installed(world, Mark(when=At(0)))
    assert world.observers == []


def test_watching_ends_with_the_last_point_and_others_go_on_watching(world: World) -> None:
    seen: list[str] = []
    installed(world, Mark(when=AtPoint("activity.started")), Mark(when=AtPoint("history.event")))
    world.observers.append(lambda point, node, subject, detail: seen.append(point))
    world.reach("activity.started", "worker", "")
    assert len(world.observers) == 2
    world.reach("history.event", "engine", "")
    assert len(world.observers) == 1
    world.reach("history.event", "engine", "")
    assert seen == ["activity.started", "history.event", "history.event"]


def test_a_session_serves_one_run(world: World) -> None:
    session = installed(world)
    with pytest.raises(AssertionError, match="make another one"):
        session.install(world)


# --- the record -----------------------------------------------------------------------------------------------------


def test_a_fault_that_did_nothing_is_planned_and_not_fired(storm: Any) -> None:
    plan = (
        ServiceOutage("payments", when=At(0), duration_us=1_000),
        WorkerCrash(when=AtPoint("activity.started", "charge", nth=99)),
        ServiceOutage("payments", when=CHARGED, duration_us=1_000),
    )
    record = storm.run(*plan)
    assert record.faults_planned == [fault.to_data() for fault in plan]
    assert record.faults_fired == []
    assert record.fault_counts() == {}
    assert storm.session.not_fired() == [0, 1, 2]


def test_many_bites_are_one_record_with_a_count(storm: Any, told: Told) -> None:
    record = storm.run(ServiceOutage("payments", when=At(0), duration_us=3600 * SECOND), heal_at=3700 * SECOND)
    (fired,) = record.faults_fired
    bites = [text for _, _, text in told(record, "fault")]
    assert fired["count"] == len(bites) > 10
    assert fired["detail"] == "payments.charge from worker"


def test_the_trace_tells_the_first_bites_and_no_more(world: World) -> None:
    strike_of: list[Strike] = []

    @dataclass(frozen=True, slots=True)
    class Keep(Fault):
        kind: ClassVar[str] = "test_keep"

        def strike(self, strike: Strike) -> None:
            strike_of.append(strike)

        def sentence(self) -> str:
            return "kept"

    installed(world, Keep())
    world.kernel.run()
    for _ in range(BITES_TRACED_MAX + 30):
        strike_of[0].fired("somebody")
    assert world.tracer is not None
    assert len(world.tracer.events) == BITES_TRACED_MAX
    assert world.faults_fired[0]["count"] == BITES_TRACED_MAX + 30


def test_a_lasting_fault_is_told_at_its_begin_and_its_end(storm: Any, told: Told) -> None:
    record = storm.run(ServiceOutage("payments", when=At(SECOND), duration_us=2 * SECOND))
    assert told(record, "weather") == [
        (SECOND, "", "begins: payments refuses connections for 2 s"),
        (3 * SECOND, "", "is over: payments refuses connections for 2 s"),
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ServiceOutage("paymnts"), "fault 1 (service_outage) found no service 'paymnts': there is payments, stock"),
        (MessageLoss("worker", "engin"), "fault 1 (message_loss) found no node 'engin': there is "),
        (WorkerCrash("worker-9"), "found no node 'worker-9'"),
    ],
)
def test_a_fault_that_finds_nobody_says_so(fault: Fault, words: str, storm: Any) -> None:
    record = storm.run(fault)
    (note,) = record.notes
    assert words in note
    assert storm.session.not_fired() == [0]


def test_the_same_seed_and_plan_give_the_same_bytes(storm: Any) -> None:
    plan = (MessageLoss(ratio=Fraction(1, 4)), WorkerCrash(when=CHARGED), EngineCrash(when=At(3 * SECOND)))
    first, second, other = (storm.run(*plan, seed=seed).to_json() for seed in (5, 5, 6))
    assert first == second
    assert first != other


# --- healing --------------------------------------------------------------------------------------------------------


def test_when_everything_heals_what_lasts_ends_and_who_is_down_comes_back(storm: Any, told: Told) -> None:
    record = storm.run(
        ServiceOutage("payments", when=At(0), duration_us=None),
        MessageLoss("driver", "engine", ratio=Fraction(1), when=At(2 * SECOND), duration_us=None),
        WorkerCrash("worker", None, when=At(SECOND)),
        EngineCrash(3600 * SECOND, when=At(SECOND)),
        heal_at=100 * SECOND,
    )
    ((healed_us, _, _),) = told(record, "heal")
    back = [(us, node) for us, node, _ in told(record, "start") if us]
    assert healed_us == 100 * SECOND
    assert back == [(healed_us, "engine"), (healed_us, "worker")]
    assert not record.stopped_by
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]


def test_nobody_is_started_twice(storm: Any, told: Told) -> None:
    """The delays of the crashes end after the healing, which has started both nodes already."""
    record = storm.run(
        WorkerCrash("worker", 11 * SECOND, when=At(9 * SECOND)),
        EngineCrash(12 * SECOND, when=At(SECOND)),
        heal_at=10 * SECOND,
    )
    assert [(us, node) for us, node, _ in told(record, "start") if us] == [
        (10 * SECOND, "engine"),
        (10 * SECOND, "worker"),
    ]


def test_after_the_healing_no_fault_begins(world: World) -> None:
    session = installed(
        world,
        Mark("timed", when=At(5 * SECOND)),
        Mark("pointed", when=AtPoint("activity.started")),
        Mark("after", when=AtPoint("history.event", after_us=5 * SECOND)),
    )
    world.reach("history.event", "engine", "order-7")
    world.kernel.run(world.start_time_us + SECOND)
    session.heal(world)
    world.reach("activity.started", "worker", "charge")
    world.kernel.run()
    assert MARKS == []


def test_a_shutdown_that_ends_after_the_healing_is_followed_by_a_start(world: World) -> None:
    stopping: list[Callable[[], None]] = []

    class Slow:
        def start(self) -> None: ...

        def receive(self, call: Any) -> None: ...

        def shutdown(self, on_stopped: Callable[[], None]) -> None:
            stopping.append(on_stopped)

        def abandon(self) -> None: ...

        def connection_lost(self, source: str) -> None: ...

    node = world.add_node("worker", "worker", lambda incarnation: Slow())
    node.start()
    session = installed(world, WorkerShutdown("worker", None, when=At(0)))
    world.kernel.run(world.start_time_us + SECOND)
    session.heal(world)
    assert node.incarnation is not None
    assert node.incarnation.number == 1
    stopping[0]()
    world.kernel.run(world.start_time_us + 2 * SECOND)
    assert node.incarnation is not None
    assert node.incarnation.number == 2


def test_a_retired_node_stays_down(world: World) -> None:
    node = world.add_node("worker", "worker", None)
    node.start()
    session = installed(
        world, WorkerCrash("worker", 10 * SECOND, when=At(SECOND)), WorkerCrash("worker", when=At(20 * SECOND))
    )
    world.kernel.run(world.start_time_us + 5 * SECOND)
    assert node.incarnation is None
    node.retired = True
    world.kernel.run(world.start_time_us + 30 * SECOND)
    assert node.incarnation is None
    session.heal(world)
    world.kernel.run()
    assert node.incarnation is None
    assert session.not_fired() == [1]


@pytest.mark.parametrize("fault", [WorkerShutdown, WorkerCrash])
@pytest.mark.parametrize("at_us", range(0, 5_040_000, 630_000))
def test_a_worker_made_in_main_ends_with_its_block_whatever_happens(fault: Any, at_us: int, storm: Any) -> None:
    record = storm.run(fault("worker-1", 50_000, when=At(at_us)), inline=True)
    assert record.error == ""
    assert not record.stopped_by
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]


def test_a_shutdown_from_main_joins_one_that_a_fault_began(storm: Any, told: Told) -> None:
    """The workflow ends while the worker drains: ``async with Worker`` must not wait for ever."""
    record = storm.run(WorkerShutdown("worker-1", when=AtPoint("activity.after_report", "charge")), inline=True)
    assert not record.stopped_by
    assert record.error == ""


def test_the_driver_is_never_touched(storm: Any, told: Told) -> None:
    record = storm.run(WorkerCrash("worker", None, when=At(0)), heal_at=5 * SECOND)
    assert [us for us, node, _ in told(record, "start") if node == "driver"] == [0]


def test_healing_comes_after_the_last_fault() -> None:
    minute = 60 * SECOND
    assert heal_time_us(()) == 0
    assert heal_time_us([ServiceOutage("a", when=At(10 * SECOND), duration_us=20 * SECOND)]) == 30 * SECOND + minute
    assert heal_time_us([EngineCrash(7 * SECOND, when=At(0))]) == 7 * SECOND + minute
    pointed = [EngineCrash(7 * SECOND, when=AtPoint("history.event", after_us=SECOND))]
    assert heal_time_us(pointed, duration_us=100 * SECOND) == 128 * SECOND + minute
    assert heal_time_us(pointed) == 24 * 60 * minute + 8 * SECOND + minute
    assert heal_time_us([EngineCrash(0)], duration_us=100 * SECOND) == 120 * SECOND + minute
    assert PlannedFaults(()).heal_at_us == 0
    assert PlannedFaults(pointed, 5).heal_at_us == 5


# --- a crash of the very process that reached the point -------------------------------------------------------------


@register
@dataclass(frozen=True, slots=True)
class CrashAtPoint(Fault):
    """Crashes whoever reached the point."""

    kind: ClassVar[str] = "test_crash_here"

    def strike(self, strike: Strike) -> None:
        node = strike.node(strike.node_name)
        assert node is not None
        strike.crash(node, None)

    def sentence(self) -> str:
        return "whoever is here crashes"


@pytest.mark.parametrize("in_thread", [False, True])
def test_code_that_dies_at_a_point_runs_not_one_line_more(in_thread: bool, world: World) -> None:
    register_point("test.inside", "code of a process is here")
    log: list[str] = []
    node = world.add_node("worker", "worker", None)
    incarnation = node.start()

    def work() -> None:
        try:
            log.append("before")
            incarnation.reach("test.inside", "")
            log.append("after")
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            log.append("finally")

    async def other() -> None:
        await asyncio.sleep(5)
        log.append("other")

    async def task() -> None:
        work()

    installed(world, CrashAtPoint(when=AtPoint("test.inside")))
    incarnation.context.run(incarnation.start_coroutine, other(), "other", lambda _: log.append("other done"))
    if in_thread:
        incarnation.start_thread(work, "work", lambda result, error: log.append("done"))
    else:
        incarnation.context.run(incarnation.start_coroutine, task(), "work", lambda _: log.append("done"))
    world.kernel.run()
    assert log == ["before"]
    assert node.incarnation is None
    world.close()
    # Only when the world has ended are the dead buried.
    assert log == ["before", NodeDead.__name__, "finally"]


# --- kinds of one's own ---------------------------------------------------------------------------------------------


def test_a_kind_of_ones_own_is_planned_like_any_other(storm: Any) -> None:
    (fault,) = plan_from_data([{"kind": "test_mark", "name": "mine", "when": "2 s", "duration_us": "1 s"}])
    assert fault == Mark("mine", when=At(2 * SECOND), duration_us=SECOND)
    record = storm.run(fault)
    assert MARKS == [(2 * SECOND, "mine begins"), (3 * SECOND, "mine ends")]
    assert record.faults_fired[0]["kind"] == "test_mark"
    assert record.faults_fired[0]["time_us"] == START_TIME_US + 2 * SECOND


def test_a_kind_without_draw_can_not_be_drawn() -> None:
    with pytest.raises(MisuseError, match=r"define Mark\.draw"):
        Mark.draw(None)  # type: ignore[arg-type]


def test_bad_kinds_are_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Nameless(Fault):
        def strike(self, strike: Strike) -> None: ...

        def sentence(self) -> str:
            return ""

    with pytest.raises(MisuseError, match="Nameless has no name"):
        register(Nameless)

    @dataclass(frozen=True, slots=True)
    class Taken(Nameless):
        kind: ClassVar[str] = "worker_crash"

    with pytest.raises(MisuseError, match="two fault kinds named 'worker_crash': WorkerCrash and Taken"):
        register(Taken)

    class Plain(Nameless):
        kind: ClassVar[str] = "test_plain"

    assert "test_plain" not in KINDS
    with pytest.raises(MisuseError, match="there is no fault kind 'test_plain'"):
        kind_named("test_plain")
