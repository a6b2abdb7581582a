"""Histories of simulated runs, faulty ones, judged by the real SDK.

For each: the real Replayer (without its sandbox) accepts what our runs recorded, its core makes the activations that
our runtime makes, and its workflow code answers them with the same commands. ``tests/slow`` does so over more seeds.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("temporalio")

from judge import Judge, for_temporalio
from stormproof.engine.core import events as ev
from stormproof.examples.abc import correct, naive
from stormproof.examples.abc import scenario as abc
from stormproof.examples.batch import scenario as batch
from stormproof.examples.order import scenario as order
from stormy_scenario import SCENARIOS

from stormproof import RunOptions, RunRecord, Scenario, simulate

# The naive version reads the clock in its workflow: there the two only have to agree, on refusals too.
WRONG = ("abc, naive",)
EXAMPLES: dict[str, tuple[Scenario, Judge, range]] = {
    "abc, correct": (abc.correct, Judge.of(correct), range(12)),
    "abc, naive": (abc.naive, Judge.of(naive), range(12)),
    "order": (order.correct, Judge.of(order), range(12)),
    "batch": (batch.correct, Judge.of(batch), range(3)),
}
UNJUDGED = RunOptions(checks=False)


def run(scenario: Scenario, seeds: range, options: RunOptions = UNJUDGED) -> list[RunRecord]:
    return [simulate(scenario, seed=seed, options=options) for seed in seeds]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_real_sdk_agrees_on_every_history_of_the_examples(name: str) -> None:
    scenario, judge, seeds = EXAMPLES[name]
    records = run(scenario, seeds)
    assert judge.check(records, accepted=name not in WRONG) >= len(seeds)
    assert any(record.faults_fired for record in records)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.filterwarnings("ignore:.TMPRL1102.", "ignore:coroutine .* was never awaited:RuntimeWarning")
def test_the_real_sdk_agrees_on_histories_full_of_trouble(name: str) -> None:
    scenario, judge = SCENARIOS[name]
    records = run(scenario, range(12))
    judge.check(records)
    kinds = Counter(type(event) for record in records for history in record.histories for event in history.events)
    wanted: tuple[type[ev.HistoryEvent], ...] = (ev.WorkflowExecutionSignaled, ev.WorkflowExecutionCancelRequested)
    wanted += (ev.TimerFired, ev.WorkflowExecutionFailed, ev.WorkflowExecutionCanceled, ev.WorkflowTaskTimedOut)
    if name == "stormy":
        wanted += (ev.ActivityTaskFailed, ev.ActivityTaskTimedOut, ev.ActivityTaskCancelRequested)
    missing = [kind.__name__ for kind in wanted if not kinds[kind]]
    assert not missing, "these runs were meant to see such events"


@pytest.mark.parametrize("name", ["stormy", "tried"])
@pytest.mark.filterwarnings("ignore:.TMPRL1102.", "ignore:coroutine .* was never awaited:RuntimeWarning")
def test_the_real_sdk_agrees_where_every_workflow_is_evicted_after_every_task(name: str) -> None:
    scenario, judge = SCENARIOS[name]
    judge.check(run(scenario, range(3), RunOptions(checks=False, evict_every_task=True)))


def test_a_history_that_was_tampered_with_is_refused_by_both() -> None:
    [record] = run(abc.correct, range(1))
    scheduled = next(event for event in record.histories[0].events if isinstance(event, ev.ActivityTaskScheduled))
    scheduled.activity_type = "something_else"
    with pytest.raises(AssertionError, match="Activity type of scheduled event 'something_else' does not match"):
        Judge.of(correct).check([record])
    Judge.of(correct).check([record], accepted=False)


def test_a_difference_between_the_two_is_reported_with_its_place(tmp_path: Path) -> None:
    assert correct.__file__ is not None
    source = Path(correct.__file__).read_text(encoding="utf-8")
    other = ModuleType("another_version_of_correct")
    other.__package__ = correct.__package__
    other.__file__ = str(tmp_path / "correct.py")
    changed = re.sub(r"timedelta\(seconds=\d+\)", "timedelta(seconds=99)", source)
    Path(other.__file__).write_text(changed, encoding="utf-8")
    [record] = run(abc.correct, range(1))
    judge = Judge((correct, for_temporalio(other)))
    with pytest.raises(AssertionError, match=r"seed 0, workflow order-1 \(Fulfil\): answer to activation 0"):
        judge.check([record])
