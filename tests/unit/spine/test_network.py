"""The network between nodes: order, loss, delay, duplication, deadlines, refused and broken connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core.errors import ServiceError
from stormproof.sim.choices import Choices
from stormproof.sim.network import SILENCE_MAX_US, Call, Treatment
from stormproof.sim.node import Incarnation
from stormproof.sim.world import World

SECOND_US = 1_000_000


class Server:
    """Answers what it is asked at once, or keeps it."""

    def __init__(self, incarnation: Incarnation) -> None:
        self.received: list[Any] = []
        self.kept: list[Call] = []
        self.lost: list[str] = []
        self.keeps = False

    def start(self) -> None: ...

    def receive(self, call: Call) -> None:
        self.received.append(call.body)
        if self.keeps:
            self.kept.append(call)
        else:
            call.reply(("answer", call.body))

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        on_stopped()

    def abandon(self) -> None: ...

    def connection_lost(self, source: str) -> None:
        self.lost.append(source)


class Disturb:
    """Treats the messages of one kind, and notes when they were sent."""

    def __init__(self, kind: str, **treatment: Any) -> None:
        self.kind = kind
        self.treatment = treatment

    def affects(self, source: str, target: str) -> bool:
        return "client" in (source, target)

    def treat(self, world: World, source: str, target: str, kind: str) -> Treatment | None:
        return Treatment(**self.treatment) if kind == self.kind else None


class Net:
    """A client and a server."""

    def __init__(self, seed: int = 1, latency_us: tuple[int, int] = (200, 2_000)) -> None:
        self.world = World(Choices(seed), latency_us=latency_us)
        self.kernel = self.world.kernel
        self.client = self.world.add_node("client", "client").start()
        self.node = self.world.add_node("server", "service", Server)
        self.node.start()
        self.replies: list[tuple[int, Any]] = []

    @property
    def server(self) -> Any:
        assert self.node.incarnation is not None
        return self.node.incarnation.program

    def call(self, body: Any, timeout_us: int | None = 30 * SECOND_US, *, long_poll: bool = False) -> None:
        self.world.network.call(self.client, "server", body, self._replied, timeout_us=timeout_us, long_poll=long_poll)

    def _replied(self, value: Any) -> None:
        self.replies.append((self.now_us, value))

    @property
    def now_us(self) -> int:
        return self.kernel.now_us - self.world.start_time_us

    def run(self, seconds: float | None = None) -> None:
        """Until that moment, or until nothing happens any more."""
        if seconds is None:
            self.kernel.run()
            return
        delay_us = round(seconds * SECOND_US) - self.now_us
        self.kernel.schedule(delay_us, self.kernel.stop, priority=1)
        self.kernel.run()

    def disturb(self, kind: str, **treatment: Any) -> Disturb:
        disturbance = Disturb(kind, **treatment)
        self.world.network.disturbances.append(disturbance)
        return disturbance

    def statuses(self) -> list[str]:
        return [value.status for _, value in self.replies]


@pytest.fixture
def net() -> Net:
    return Net()


# --- the ordinary way -------------------------------------------------------------------------------------------------


def test_an_answer_comes_after_two_latencies(net: Net) -> None:
    net.call("hello")
    net.run()
    ((at_us, value),) = net.replies
    assert value == ("answer", "hello")
    assert 400 <= at_us <= 4_000


@pytest.mark.parametrize("seed", range(5))
def test_messages_of_one_connection_keep_their_order(seed: int) -> None:
    net = Net(seed)
    for number in range(50):
        net.call(number)
    net.run()
    assert net.server.received == list(range(50))
    assert [value[1] for _, value in net.replies] == list(range(50))


def test_messages_of_two_connections_may_overtake_each_other() -> None:
    orders = []
    for seed in range(20):
        net = Net(seed)
        other = net.world.add_node("other", "client").start()
        net.call("first")
        net.world.network.call(other, "server", "second", lambda value: None, timeout_us=None)
        net.run()
        orders.append(tuple(net.server.received))
    assert {("first", "second"), ("second", "first")} == set(orders)


def test_an_exception_as_answer_reaches_the_caller(net: Net) -> None:
    net.server.keeps = True
    net.call("hello")
    net.run(0.1)
    net.server.kept[0].reply(ServiceError("NOT_FOUND", "no"))
    net.run(1)
    assert net.statuses() == ["NOT_FOUND"]


def test_only_the_first_answer_counts(net: Net) -> None:
    net.server.keeps = True
    net.call("hello")
    net.run(0.1)
    net.server.kept[0].reply(1)
    net.server.kept[0].reply(2)
    net.run(1)
    assert [value for _, value in net.replies] == [1]


# --- deadlines --------------------------------------------------------------------------------------------------------


def test_silence_ends_with_the_deadline_of_each_call(net: Net) -> None:
    net.server.keeps = True
    net.call("a", 3 * SECOND_US)
    net.call("b", 2 * SECOND_US)
    net.run(1)
    net.call("c", 2 * SECOND_US)
    net.run(10)
    assert [at_us for at_us, _ in net.replies] == [2 * SECOND_US, 3 * SECOND_US, 3 * SECOND_US]
    assert net.statuses() == ["DEADLINE_EXCEEDED"] * 3
    net.server.kept[0].reply("too late")
    net.run(20)
    assert len(net.replies) == 3


def test_calls_that_were_answered_cost_no_more_than_one_sweep(net: Net) -> None:
    for number in range(100):
        net.call(number)
    events = net.kernel.run(None).events
    assert events == 201


def test_a_waiting_poll_costs_nothing_and_never_ends(net: Net) -> None:
    net.server.keeps = True
    net.call("poll", 70 * SECOND_US, long_poll=True)
    assert net.kernel.run(None).events == 1
    assert net.replies == []


def test_without_a_deadline_a_call_waits_for_ever(net: Net) -> None:
    net.disturb("request", lose=True)
    net.call("hello", None)
    net.run()
    assert net.replies == []


# --- disturbances -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "arrives"), [("request", False), ("reply", True)])
def test_a_lost_message_is_a_deadline_and_nobody_knows_whether_it_was_done(net: Net, kind: str, arrives: bool) -> None:
    net.disturb(kind, lose=True)
    net.call("hello")
    net.run()
    assert net.server.received == ["hello"] * arrives
    assert net.statuses() == ["DEADLINE_EXCEEDED"]


@pytest.mark.parametrize("waits_s", [0, 75, 1000])
def test_a_poll_whose_answer_was_lost_ends_with_its_period(net: Net, waits_s: int) -> None:
    net.server.keeps = True
    net.call("poll", 70 * SECOND_US, long_poll=True)
    net.run(waits_s + 0.1)
    net.disturb("reply", lose=True)
    net.server.kept[0].reply("a task")
    net.run()
    ((at_us, error),) = net.replies
    assert error.status == "DEADLINE_EXCEEDED"
    assert at_us % (70 * SECOND_US) == 0
    assert 0 < at_us - waits_s * SECOND_US <= 70 * SECOND_US


def test_a_poll_that_was_lost_ends_with_its_first_period(net: Net) -> None:
    net.disturb("poll", lose=True)
    net.call("poll", 70 * SECOND_US, long_poll=True)
    net.run()
    assert [at_us for at_us, _ in net.replies] == [70 * SECOND_US]


def test_a_delay_holds_up_what_comes_after_it(net: Net) -> None:
    disturbance = net.disturb("request", delay_us=5 * SECOND_US)
    net.call("slow")
    net.world.network.disturbances.remove(disturbance)
    net.call("after")
    net.run()
    assert net.server.received == ["slow", "after"]
    assert net.replies[0][0] > 5 * SECOND_US


def test_a_doubled_request_arrives_twice_and_is_answered_once(net: Net) -> None:
    net.disturb("request", copies=2)
    net.call("hello")
    net.run()
    assert net.server.received == ["hello", "hello"]
    assert [value for _, value in net.replies] == [("answer", "hello")]


# --- processes that end -----------------------------------------------------------------------------------------------


def test_where_nobody_listens_the_call_is_refused(net: Net) -> None:
    net.node.crash()
    net.call("hello")
    net.world.network.call(
        net.client, "nowhere", "hello", lambda value: net.replies.append((0, value)), timeout_us=None
    )
    net.run(1)
    assert net.statuses() == ["UNAVAILABLE", "UNAVAILABLE"]


def test_a_crash_resets_the_connections_of_those_who_wait(net: Net) -> None:
    net.server.keeps = True
    net.call("a")
    net.call("poll", 70 * SECOND_US, long_poll=True)
    net.run(0.1)
    net.node.crash()
    net.run(1)
    assert net.statuses() == ["UNAVAILABLE", "UNAVAILABLE"]


def test_in_a_partition_a_crash_is_learnt_by_silence(net: Net) -> None:
    net.server.keeps = True
    net.call("a")
    net.run(0.1)
    net.disturb("reply", lose=True)
    net.node.crash()
    net.run()
    assert net.replies[0][0] == 30 * SECOND_US
    assert net.statuses() == ["DEADLINE_EXCEEDED"]


def test_what_a_dead_process_answers_or_is_answered_goes_nowhere(net: Net) -> None:
    net.server.keeps = True
    net.call("a")
    net.run(0.1)
    (kept,) = net.server.kept
    net.node.crash()
    kept.reply("from the grave")
    net.run(1)
    assert net.statuses() == ["UNAVAILABLE"]
    net.node.start()
    net.call("b")
    net.client.node.crash()
    net.run(2)
    assert net.server.received == ["b"]
    assert len(net.replies) == 1


def test_a_server_learns_of_a_lost_connection_after_what_was_sent_on_it(net: Net) -> None:
    net.server.keeps = True
    net.client.callees["server"] = True
    for number in range(20):
        net.call(number)
    net.client.node.crash()
    seen: list[int] = []
    net.server.connection_lost = lambda source: seen.append(len(net.server.received))
    net.run()
    assert seen == [20]


def test_a_goodbye_that_was_lost_is_noticed_after_a_long_silence(net: Net) -> None:
    net.client.callees["server"] = True
    net.call("hello")
    net.run(1)
    net.disturb("close", lose=True)
    net.client.node.crash()
    net.run(70)
    assert net.server.lost == []
    net.run(80)
    assert net.server.lost == ["client#1"]
    assert SILENCE_MAX_US == 70 * SECOND_US
