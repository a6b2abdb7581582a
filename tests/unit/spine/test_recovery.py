"""Crashes at every commit and at every named point: all runs come to their end, whatever was lost in memory."""

from __future__ import annotations

from typing import Any

import pytest
from spine_stories import counter, everything, sends_five, worker
from stormproof.sim.network import Treatment
from stormproof.sim.record import RunRecord
from stormproof.sim.world import World


def ends(record: RunRecord) -> list[tuple[str, str, Any]]:
    assert (record.stopped_by, record.error) == ("", "")
    return sorted((one["workflow"], one["status"], str(one["result"])) for one in record.outcomes)


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[str, str, Any]]:
    return [
        ("Everything", "completed", "104"),
        ("SecondTry", "completed", "3"),
        ("SecondTry", "failed", "None"),
        ("SecondTry", "failed", "None"),
    ]


def test_nothing_disturbs(play: Any, script: Any, undisturbed: Any) -> None:
    assert ends(play(everything, worker, script=script)) == undisturbed
    assert script.reached["engine.after_commit"] > 50


@pytest.mark.parametrize("point", ["engine.before_commit", "engine.after_commit"])
def test_the_engine_crashes_at_each_commit(play: Any, new_script: Any, undisturbed: Any, point: str) -> None:
    first = new_script()
    play(everything, worker, script=first)
    for number in range(1, first.reached[point] + 1):
        script = new_script()
        script.on(point, number, script.crash("engine"))
        assert ends(play(everything, worker, script=script)) == undisturbed, number


POINTS = [
    "workflow_task.received",
    "workflow_task.before_answer",
    "workflow_task.answered",
    "activity.started",
    "activity.before_report",
    "activity.after_report",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("how", ["crash", "shut_down"])
def test_the_worker_ends_at_each_point(play: Any, new_script: Any, undisturbed: Any, point: str, how: str) -> None:
    first = new_script()
    play(everything, worker, script=first)
    for number in range(1, first.reached[point] + 1):
        script = new_script()
        script.on(point, number, getattr(script, how)("worker"))
        assert ends(play(everything, worker, script=script)) == undisturbed, number


@pytest.mark.parametrize("seed", range(3))
def test_a_cache_that_is_emptied_after_every_task_changes_nothing(play: Any, new_script: Any, seed: int) -> None:
    digests = []
    for evict in (False, True):
        script = new_script()
        script.on("workflow_task.answered", 4, script.crash("worker"))
        digests.append(play(everything, worker, script=script, seed=seed, evict=evict).digest)
    assert digests[0] == digests[1] != ""


@pytest.mark.parametrize("point", ["engine.before_commit", "engine.after_commit"])
def test_a_signal_that_is_sent_again_after_a_crash_is_handled_once(play: Any, new_script: Any, point: str) -> None:
    first = new_script()
    play(sends_five, counter, script=first)
    for number in range(1, first.reached[point] + 1):
        script = new_script()
        script.on(point, number, script.crash("engine"))
        record = play(sends_five, counter, script=script)
        assert [one["result"] for one in record.outcomes] == [[0, 1, 2, 3, 4]], number


class Twice:
    """Every request arrives twice."""

    def affects(self, source: str, target: str) -> bool:
        return True

    def treat(self, world: World, source: str, target: str, kind: str) -> Treatment | None:
        return Treatment(copies=2) if kind == "request" else None


@pytest.mark.parametrize("seed", range(5))
def test_a_request_that_arrives_twice_is_done_once(play: Any, seed: int) -> None:
    def watch(world: World) -> None:
        world.network.disturbances.append(Twice())

    record = play(sends_five, counter, watch=watch, seed=seed)
    assert [one["result"] for one in record.outcomes] == [[0, 1, 2, 3, 4]]
    record = play(everything, worker, watch=watch, seed=seed)
    assert ends(record)[0] == ("Everything", "completed", "104")


class LosesReplies:
    """The nth answer of the engine to the worker is lost."""

    def __init__(self, number: int) -> None:
        self.left = number

    def affects(self, source: str, target: str) -> bool:
        return (source, target) == ("engine", "worker")

    def treat(self, world: World, source: str, target: str, kind: str) -> Treatment | None:
        self.left -= 1
        return Treatment(lose=True) if self.left == 0 else None


def test_each_answer_to_the_worker_may_be_lost(play: Any, undisturbed: Any) -> None:
    for number in range(1, 45):
        lose = LosesReplies(number)
        record = play(everything, worker, watch=lambda world, lose=lose: world.network.disturbances.append(lose))
        assert ends(record) == undisturbed, number
