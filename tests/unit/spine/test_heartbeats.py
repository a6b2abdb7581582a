"""Heartbeats on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from spine_bench import Bench, BenchHost
from stormproof.engine.core import requests as rq
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.payloads import Payload
from stormproof.engine.worker.heartbeats import Heartbeats
from stormproof.engine.worker.settings import WorkerSettings

SECOND_US = 1_000_000


class Wire(BenchHost):
    """Keeps the calls that were made."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.calls: list[tuple[float, Any, Callable[[Any], None]]] = []
        self.began_us = bench.now_us

    def call_service(self, request: Any, on_reply: Any, *, timeout_us: int, long_poll: bool = False) -> None:
        self.calls.append(((self.bench.now_us - self.began_us) / SECOND_US, request, on_reply))

    def sent(self) -> list[tuple[float, bytes]]:
        return [(at, request.details[0].data) for at, request, _ in self.calls]

    def answer(self, reply: Any = None) -> None:
        self.calls[-1][2](reply if reply is not None else rq.RecordActivityTaskHeartbeatResponse())


class Attempt:
    def __init__(self, heartbeat_timeout_s: float) -> None:
        self.bench = Bench()
        self.wire = Wire(self.bench)
        task = rq.PollActivityTaskQueueResponse(
            task_token=rq.TaskToken(rq.Execution("w"), 5, 1),
            execution=rq.Execution("w"),
            workflow_type="W",
            activity_id="1",
            activity_type="step",
            input=[],
            header={},
            attempt=1,
            scheduled_time_us=0,
            current_attempt_scheduled_time_us=0,
            started_time_us=0,
            schedule_to_close_timeout_us=0,
            start_to_close_timeout_us=0,
            heartbeat_timeout_us=round(heartbeat_timeout_s * SECOND_US),
            heartbeat_details=[],
            retry_policy=None,
            task_queue="q",
        )
        self.replies: list[Any] = []
        settings = WorkerSettings("q", identity="worker")
        self.beats = Heartbeats(self.wire, settings, task, self.replies.append)  # type: ignore[arg-type]

    def beat(self, text: str) -> None:
        self.beats.record([Payload({}, text.encode())])


@pytest.mark.parametrize(("timeout_s", "interval_s"), [(10, 8), (0, 30), (1000, 60)])
def test_the_first_is_sent_at_once_and_then_the_newest_an_interval_later(timeout_s: float, interval_s: float) -> None:
    attempt = Attempt(timeout_s)
    attempt.beat("a")
    attempt.wire.answer()
    attempt.beat("b")
    attempt.bench.advance(1)
    attempt.beat("c")
    assert attempt.wire.sent() == [(0, b"a")]
    attempt.bench.advance(interval_s)
    assert attempt.wire.sent() == [(0, b"a"), (interval_s, b"c")]


def test_one_is_under_way_at_a_time_and_a_slow_answer_shortens_the_pause() -> None:
    attempt = Attempt(10)
    attempt.beat("a")
    attempt.bench.advance(6)
    attempt.beat("b")
    attempt.wire.answer()
    attempt.bench.advance(1.9)
    assert len(attempt.wire.calls) == 1
    attempt.bench.advance(0.2)
    assert attempt.wire.sent()[1] == (8, b"b")
    attempt.bench.advance(20)
    attempt.beat("c")
    attempt.wire.answer()
    attempt.bench.advance(0)
    assert attempt.wire.sent()[2][1] == b"c"


def test_a_failure_flushes_what_was_held_back_before_it_is_reported() -> None:
    attempt = Attempt(10)
    attempt.beat("a")
    attempt.wire.answer()
    attempt.beat("b")
    ended: list[str] = []
    attempt.beats.end(lambda: ended.append("reported"), flush=True)
    assert (attempt.wire.sent()[-1], ended) == ((0, b"b"), [])
    attempt.wire.answer()
    assert ended == ["reported"]
    attempt.beat("c")
    attempt.bench.advance(60)
    assert len(attempt.wire.calls) == 2


def test_a_success_flushes_nothing_but_waits_for_the_one_under_way() -> None:
    attempt = Attempt(10)
    attempt.beat("a")
    attempt.beat("b")
    ended: list[str] = []
    attempt.beats.end(lambda: ended.append("reported"), flush=False)
    assert ended == []
    attempt.wire.answer(ServiceError("NOT_FOUND", "gone"))
    assert (ended, attempt.replies, len(attempt.wire.calls)) == (["reported"], [], 1)


def test_answers_are_handed_on_and_a_lost_call_is_tried_again() -> None:
    attempt = Attempt(10)
    attempt.beat("a")
    attempt.wire.answer(ServiceError("UNAVAILABLE", "down"))
    attempt.bench.advance(0.2)
    assert len(attempt.wire.calls) == 2
    attempt.wire.answer(rq.RecordActivityTaskHeartbeatResponse(cancel_requested=True))
    assert [reply.cancel_requested for reply in attempt.replies] == [True]
