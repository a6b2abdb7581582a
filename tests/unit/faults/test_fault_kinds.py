"""Each kind of fault, made to strike in a real run: it fires, is recorded, and does what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from stormproof.faults import (
    KINDS,
    ActivityHang,
    At,
    AtPoint,
    EffectLate,
    EffectReplyLost,
    EffectThenError,
    EngineCrash,
    Fault,
    MessageDelay,
    MessageDuplication,
    MessageLoss,
    Partition,
    RequestDuplicated,
    ServiceErrors,
    ServiceOutage,
    ServiceRateLimit,
    ServiceSlowness,
    Strike,
    WorkerCrash,
    WorkerShutdown,
)
from stormproof.sim.record import RunRecord

SECOND = 1_000_000
CHARGING = AtPoint("activity.started", "charge")
CHARGED = AtPoint("service.after_effect", "payments.charge")
WORK_TIMEOUT_US = 30 * SECOND

Told = Callable[..., list[tuple[int, str, str]]]
Effects = Callable[[RunRecord, str], list[dict[str, Any]]]

# One of each kind, placed so that it must bite; what it hits; words that the trace must tell.
CERTAIN: list[tuple[Fault, str, str]] = [
    (ServiceOutage("payments", when=CHARGING, duration_us=SECOND // 2), "payments", "refuses connections"),
    (ServiceErrors("payments", ratio=Fraction(1), when=CHARGING, duration_us=SECOND // 2), "payments", "503"),
    (ServiceSlowness("payments", extra_us=SECOND, when=CHARGING), "payments", "service_slowness payments.charge"),
    (ServiceRateLimit("payments", per_us=60 * SECOND, when=At(0)), "payments", "429"),
    (EffectReplyLost("payments", when=CHARGED), "payments", "the reply is lost"),
    (EffectThenError("payments", when=CHARGED), "payments", "500"),
    (EffectLate("payments", when=CHARGING), "payments", "504"),
    (RequestDuplicated("payments", when=CHARGING), "payments", "request_duplicated payments.charge from worker"),
    (ActivityHang("payments", when=CHARGING), "payments", "hangs, and never answers"),
    (WorkerCrash(when=CHARGED), "worker", "worker crashes"),
    (WorkerShutdown(when=CHARGED), "worker", "worker has shut down"),
    (EngineCrash(when=AtPoint("engine.after_commit", nth=3)), "engine", "engine crashes"),
    (MessageLoss("worker", "engine", ratio=Fraction(1), duration_us=SECOND), "engine to worker", "reply lost"),
    (MessageDelay("worker", "engine", ratio=Fraction(1)), "engine to worker", "reply delayed"),
    (MessageDuplication(ratio=Fraction(1)), "driver to engine", "request doubled"),
    (Partition("worker", "engine", duration_us=SECOND), "engine to worker", "reply cut off"),
]


def test_every_kind_is_shown_here() -> None:
    ours = [name for name, kind in KINDS.items() if kind.__module__.startswith("stormproof.faults")]
    assert sorted({fault.kind for fault, _, _ in CERTAIN}) == sorted(ours)


@pytest.mark.parametrize(("fault", "target", "words"), CERTAIN, ids=[fault.kind for fault, _, _ in CERTAIN])
def test_a_fault_fires_and_is_recorded_with_place_and_moment(
    fault: Fault, target: str, words: str, storm: Any, told: Told
) -> None:
    # A rate limit bites only who comes again.
    more = [EffectReplyLost("payments", reset=True, when=CHARGED)] if fault.kind == "service_rate_limit" else []
    record = storm.run(fault, *more)
    (fired,) = [fired for fired in record.faults_fired if fired["kind"] == fault.kind]
    assert (fired["index"], fired["kind"], fired["target"]) == (0, fault.kind, target)
    assert fired["point"] == (fault.when.point if isinstance(fault.when, AtPoint) else "")
    assert fired["count"] >= 1
    assert (fired["time_us"], target, fault.kind) in [
        (event["time_us"], event["node"], event["text"].split()[0])
        for event in record.trace
        if event["kind"] == "fault"
    ]
    assert any(words in text for _, _, text in told(record, "fault", "service", "crash", "stop")), told(
        record, "service"
    )
    assert record.faults_planned[0] == fault.to_data()
    assert not record.stopped_by
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]
    assert not storm.session.not_fired()


@dataclass(frozen=True, slots=True)
class ServiceNodeDown(Fault):
    """The machine of the payments service is down for half a second."""

    kind: ClassVar[str] = "test_service_node_down"

    def strike(self, strike: Strike) -> None:
        node = strike.node("payments")
        assert node is not None
        strike.crash(node, SECOND // 2)

    def sentence(self) -> str:
        return "payments is down"


# --- services -------------------------------------------------------------------------------------------------------


def test_a_refused_call_has_no_effect_and_is_made_again(storm: Any, effects: Effects) -> None:
    record = storm.run(ServiceOutage("payments", when=CHARGING, duration_us=3 * SECOND))
    (charge,) = effects(record, "payments")
    assert charge["attempt"] == 3  # refused at once, and a second later; then two seconds later
    assert record.faults_fired[0]["count"] == 2


def test_an_outage_of_one_operation_leaves_the_others_alone(storm: Any) -> None:
    record = storm.run(ServiceOutage("payments", "refund", when=At(0)))
    assert record.faults_fired == []
    assert storm.session.not_fired() == [0]


def test_a_service_that_hangs_says_nothing_until_the_timeout(storm: Any, effects: Effects) -> None:
    refused = storm.run(ServiceOutage("payments", when=CHARGING, duration_us=SECOND // 2))
    hanging = storm.run(ServiceOutage("payments", mode="hang", when=CHARGING, duration_us=SECOND // 2))
    assert effects(refused, "payments")[0]["attempt"] == effects(hanging, "payments")[0]["attempt"] == 2
    assert (
        effects(hanging, "payments")[0]["time_us"] - effects(refused, "payments")[0]["time_us"]
        > WORK_TIMEOUT_US - SECOND
    )


def test_a_share_of_the_calls_fails(storm: Any, effects: Effects) -> None:
    half = ServiceErrors("payments", ratio=Fraction(1, 2), when=At(0), duration_us=None)
    attempts = [effects(storm.run(half, seed=seed), "payments")[0]["attempt"] for seed in range(8)]
    assert min(attempts) == 1
    assert max(attempts) > 1


def test_a_slow_service_takes_so_many_times_as_long(storm: Any, effects: Effects) -> None:
    usual = effects(storm.run(), "payments")[0]
    slow = effects(storm.run(ServiceSlowness("payments", factor=Fraction(50), when=CHARGING)), "payments")[0]
    assert usual["time_us"] - usual["sent_us"] < 2_000 + 2_001  # latencies of the service and of one message
    assert 50 * 2_000 < slow["time_us"] - slow["sent_us"] < 50 * 2_000 + 2_001


def test_a_rate_limit_refuses_what_comes_too_soon(storm: Any, effects: Effects) -> None:
    record = storm.run(
        ServiceRateLimit("payments", per_us=20 * SECOND, when=At(0)), EffectReplyLost("payments", when=CHARGED)
    )
    first, second = effects(record, "payments")
    assert (
        second["time_us"] - first["time_us"] >= WORK_TIMEOUT_US
    )  # the reply was lost: a timeout, then the next attempt
    tight = storm.run(
        ServiceRateLimit("payments", per_us=60 * SECOND, when=At(0)), EffectReplyLost("payments", when=CHARGED)
    )
    first, second = effects(tight, "payments")
    assert second["time_us"] - first["time_us"] >= 60 * SECOND
    assert second["attempt"] > 2


def test_a_lost_reply_leaves_the_effect_and_the_next_attempt_repeats_it(storm: Any, effects: Effects) -> None:
    record = storm.run(EffectReplyLost("payments", when=CHARGED))
    assert [(effect["key"], effect["attempt"]) for effect in effects(record, "payments")] == [("7", 1), ("7", 2)]
    assert effects(record, "payments")[1]["time_us"] - effects(record, "payments")[0]["time_us"] > WORK_TIMEOUT_US
    assert record.faults_fired[0]["count"] == 1


def test_a_reset_connection_tells_the_caller_at_once(storm: Any, effects: Effects) -> None:
    first, second = effects(storm.run(EffectReplyLost("payments", reset=True, when=CHARGED)), "payments")
    assert second["time_us"] - first["time_us"] < 2 * SECOND


def test_an_error_after_the_effect_makes_the_next_attempt_repeat_it(storm: Any, effects: Effects) -> None:
    record = storm.run(EffectThenError("payments", calls=2, when=At(0)))
    assert [effect["attempt"] for effect in effects(record, "payments")] == [1, 2, 3]
    assert record.faults_fired[0]["count"] == 2


def test_a_late_effect_comes_after_the_caller_has_given_up(storm: Any, effects: Effects) -> None:
    record = storm.run(EffectLate("payments", delay_us=20 * SECOND, when=CHARGING))
    again, late = effects(record, "payments")
    assert (again["attempt"], late["attempt"]) == (2, 1)
    assert late["time_us"] - late["sent_us"] > 20 * SECOND
    assert again["time_us"] < late["time_us"]


def test_a_doubled_request_has_its_effect_twice_under_one_number(storm: Any, effects: Effects) -> None:
    first, second = effects(storm.run(RequestDuplicated("payments", after_us=5_000, when=CHARGING)), "payments")
    assert first["call_id"] == second["call_id"]
    assert first["attempt"] == second["attempt"] == 1
    assert second["time_us"] - first["time_us"] == 5_000


def test_a_hanging_activity_ends_by_its_timeout_and_runs_again(storm: Any, effects: Effects) -> None:
    record = storm.run(ActivityHang("payments", when=CHARGING))
    (charge,) = effects(record, "payments")
    assert charge["attempt"] == 2
    assert charge["time_us"] - record.faults_fired[0]["time_us"] > WORK_TIMEOUT_US


# --- workers --------------------------------------------------------------------------------------------------------

POINTS_OF_WORKERS = [
    "service.before_effect",
    "service.after_effect",
    "activity.started",
    "activity.before_report",
    "activity.after_report",
    "workflow_task.received",
    "workflow_task.before_answer",
    "workflow_task.answered",
]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS_OF_WORKERS)
def test_a_worker_dies_exactly_at_its_point_and_comes_back(point: str, nth: int, storm: Any, told: Told) -> None:
    record = storm.run(WorkerCrash(restart_after_us=2 * SECOND, when=AtPoint(point, nth=nth)))
    ((crashed_us, node, _),) = told(record, "crash")
    starts = [(us, name) for us, name, _ in told(record, "start") if name == "worker"]
    assert node == "worker"
    assert starts == [(0, "worker"), (crashed_us + 2 * SECOND, "worker")]
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]


@pytest.mark.parametrize("point", ["activity.before_report", "service.after_effect"])
def test_an_effect_that_was_not_reported_is_repeated(point: str, storm: Any, effects: Effects) -> None:
    subject = "charge" if point.startswith("activity") else "payments.charge"
    record = storm.run(WorkerCrash(when=AtPoint(point, subject)))
    assert [effect["attempt"] for effect in effects(record, "payments")] == [1, 2]


def test_a_report_that_was_sent_before_the_crash_counts(storm: Any, effects: Effects) -> None:
    record = storm.run(WorkerCrash(when=AtPoint("activity.after_report", "charge")))
    assert [effect["attempt"] for effect in effects(record, "payments")] == [1]


def test_finally_blocks_run_at_a_shutdown_and_not_at_a_crash(storm: Any) -> None:
    at_work = AtPoint("service.before_effect", "payments.charge")
    storm.run(WorkerCrash(when=at_work))
    assert storm.finally_ran == ["charge 7"]  # that of the second attempt
    storm.run(WorkerShutdown(when=at_work))
    assert storm.finally_ran[:2] == ["cancelled", "charge 7"]


def test_of_several_workers_the_one_that_was_at_it_dies(storm: Any, told: Told, effects: Effects) -> None:
    hit = []
    for seed in range(6):
        record = storm.run(WorkerCrash(when=CHARGED), seed=seed, workers=3)
        ((_, crashed, _),) = told(record, "crash")
        assert crashed == effects(record, "payments")[0]["node"]
        hit.append(crashed)
    assert len(set(hit)) > 1


def test_a_worker_that_is_down_can_not_crash(storm: Any, told: Told) -> None:
    record = storm.run(
        WorkerCrash("worker", 10 * SECOND, when=At(SECOND)), WorkerCrash("worker", 1, when=At(2 * SECOND))
    )
    assert len(told(record, "crash")) == 1
    assert storm.session.not_fired() == [1]
    assert [us for us, node, _ in told(record, "start") if node == "worker"] == [0, 11 * SECOND]


def test_a_worker_that_takes_too_long_to_end_is_killed(storm: Any, told: Told) -> None:
    # Nothing cancels a thread: the synchronous activity waits on for an answer that was lost.
    record = storm.run(
        EffectReplyLost("stock", when=At(0)),
        WorkerShutdown(kill_after_us=3 * SECOND, when=AtPoint("service.after_effect", "stock.reserve")),
    )
    ((asked_us, _, _),) = told(record, "shutdown")
    ((killed_us, _, _),) = told(record, "kill")
    assert killed_us - asked_us == 3 * SECOND
    assert [us for us, node, _ in told(record, "start") if node == "worker"] == [0, killed_us + SECOND]
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]


def test_a_crash_in_the_middle_of_a_shutdown_ends_it(storm: Any, told: Told) -> None:
    record = storm.run(
        EffectReplyLost("stock", when=At(0)),
        WorkerShutdown(when=AtPoint("service.after_effect", "stock.reserve")),
        WorkerCrash("worker", 5 * SECOND, when=AtPoint("service.after_effect", "stock.reserve", after_us=SECOND)),
    )
    ((crashed_us, _, _),) = told(record, "crash")
    assert not told(record, "kill")
    assert [us for us, node, _ in told(record, "start") if node == "worker"] == [0, crashed_us + 5 * SECOND]


# --- the engine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", range(1, 15))
@pytest.mark.parametrize("point", ["engine.before_commit", "engine.after_commit"])
def test_an_engine_crash_beside_any_commit_loses_and_doubles_nothing(
    point: str, nth: int, storm: Any, told: Told
) -> None:
    record = storm.run(EngineCrash(when=AtPoint(point, nth=nth)))
    assert len(told(record, "crash")) == 1
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]
    (history,) = record.histories
    assert [event.event_id for event in history.events] == list(range(1, len(history.events) + 1))


def test_before_the_commit_nothing_is_written_and_after_it_everything(storm: Any, told: Told) -> None:
    written = {}
    for point in ("engine.before_commit", "engine.after_commit"):
        record = storm.run(EngineCrash(when=AtPoint(point, nth=1)))
        ((crashed_us, _, _),) = told(record, "crash")
        written[point] = [text for us, _, text in told(record, "history") if us <= crashed_us]
    assert written["engine.before_commit"] == []
    assert written["engine.after_commit"] == ["1 WorkflowExecutionStarted (Order)", "2 WorkflowTaskScheduled"]


# --- the network ----------------------------------------------------------------------------------------------------


def test_a_lost_reply_of_a_service_call_is_not_told_to_the_caller(storm: Any, effects: Effects) -> None:
    record = storm.run(MessageLoss("payments", "worker", ratio=Fraction(1), when=CHARGED, duration_us=SECOND))
    assert [effect["attempt"] for effect in effects(record, "payments")] == [1, 2]
    assert record.faults_fired[0]["target"] == "payments to worker"
    assert record.faults_fired[0]["detail"] == "reply lost"


def test_a_lost_request_has_no_effect(storm: Any, effects: Effects) -> None:
    record = storm.run(MessageLoss("payments", "worker", ratio=Fraction(1), when=CHARGING, duration_us=SECOND))
    assert [effect["attempt"] for effect in effects(record, "payments")] == [2]


def test_loss_between_two_nodes_leaves_the_others_alone(storm: Any, told: Told) -> None:
    record = storm.run(MessageLoss("worker", "payments", ratio=Fraction(1, 2), duration_us=None, when=At(0)), seed=3)
    assert {node for _, node, text in told(record, "fault")} <= {"worker to payments", "payments to worker"}


def test_delayed_messages_come_later(storm: Any, effects: Effects) -> None:
    record = storm.run(MessageDelay("worker", "payments", ratio=Fraction(1), delay_us=3 * SECOND))
    (charge,) = effects(record, "payments")
    assert charge["time_us"] - charge["sent_us"] > 3 * SECOND


def test_a_doubled_request_to_the_engine_is_carried_out_once(storm: Any, told: Told) -> None:
    record = storm.run(MessageDuplication("driver", "engine", ratio=Fraction(1), duration_us=None))
    assert any(text == "message_duplication request doubled" for _, _, text in told(record, "fault"))
    assert len(record.histories) == 1
    assert sum(text.startswith("1 ") for _, _, text in told(record, "history")) == 1


def test_one_direction_of_a_partition_cuts_replies_and_not_requests(storm: Any, effects: Effects) -> None:
    us = 10 * SECOND
    replies = storm.run(Partition("payments", "worker", symmetric=False, when=CHARGING, duration_us=us))
    requests = storm.run(Partition("worker", "payments", symmetric=False, when=CHARGING, duration_us=us))
    assert [effect["attempt"] for effect in effects(replies, "payments")] == [1, 2]
    assert [effect["attempt"] for effect in effects(requests, "payments")] == [2]


def test_a_refused_connection_is_no_news_to_who_is_cut_off(storm: Any, effects: Effects) -> None:
    """The machine of a crashed service refuses connections, but its refusals are lost as all else is."""
    cut = Partition("payments", "worker", symmetric=False, when=CHARGING, duration_us=10 * SECOND)
    down = ServiceNodeDown(when=CHARGING)
    told = effects(storm.run(down), "payments")[0]
    silent = effects(storm.run(cut, down), "payments")[0]
    assert told["attempt"] == silent["attempt"] == 2
    assert silent["time_us"] - told["time_us"] > WORK_TIMEOUT_US - 2 * SECOND


def test_a_node_can_be_cut_off_from_everybody(storm: Any, told: Told) -> None:
    record = storm.run(Partition("worker", duration_us=SECOND, when=CHARGING))
    ends = {end for _, node, _ in told(record, "fault") for end in node.split(" to ")}
    assert "worker" in ends
    assert [outcome["status"] for outcome in record.outcomes] == ["completed"]


def test_shares_are_drawn_apart_from_everything_else(storm: Any) -> None:
    """A fault that never happens to bite changes nothing."""
    none = storm.run()
    never = storm.run(MessageLoss(ratio=Fraction(0), duration_us=None))
    assert [history.data for history in none.histories] == [history.data for history in never.histories]
