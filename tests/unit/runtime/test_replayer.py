"""The replayer: verdicts, what it refuses, and that it can be called from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import sample_workflows as wf
from stormproof.engine.core import events as ev
from stormproof.engine.core.errors import MisuseError
from stormproof.engine.core.runtime_context import NondeterminismError
from stormproof.engine.replayer import Replayer, WorkflowHistory, last_tasks, replay
from written_history import CONVERTER, RUN_ID, Written, payloads


def closed_history(activity_type: str = "step") -> Written:
    history = Written(wf.Steps, 1)
    history.task()
    history.completed()
    history.activity_completed(history.scheduled("1", activity_type), "a")
    history.task()
    history.completed()
    history.add(ev.WorkflowExecutionCompleted, result=payloads(["a"]))
    return history


def test_a_history_of_the_same_code_replays() -> None:
    history = closed_history()
    assert replay(history.events, history.definition, CONVERTER).ok


def test_a_history_of_other_code_does_not() -> None:
    history = closed_history("another")
    result = replay(history.events, history.definition, CONVERTER)
    assert (result.ok, result.is_nondeterminism, result.event_id) == (False, True, 5)
    assert result.expected == "ActivityTaskScheduled(activity_id='1', activity_type='another')"
    assert result.actual == (
        "asks for ScheduleActivityTask(activity_id='1', activity_type='step', start_to_close_timeout=10s)"
    )


def test_code_that_fails_where_the_history_goes_on_is_told() -> None:
    history = closed_history()
    history.definition = replace(history.definition, run_fn=wf.Buggy.run, arg_types=[])
    history.events[0] = replace(history.events[0], input=[])
    result = replay(history.events, history.definition, CONVERTER)
    assert (result.ok, result.is_nondeterminism, result.event_id) == (False, False, 3)
    assert result.message == "The workflow's code failed: 'bug'"


def test_code_that_fails_past_the_end_of_the_history_contradicts_nothing() -> None:
    history = Written(wf.Buggy)
    history.task()
    assert replay(history.events, history.definition, CONVERTER).ok


@pytest.mark.parametrize("count", range(1, 11))
def test_a_history_cut_anywhere_replays(count: int) -> None:
    history = closed_history()
    assert replay(history.events[:count], history.definition, CONVERTER).ok


def test_what_is_no_history_is_refused() -> None:
    history = closed_history()
    with pytest.raises(MisuseError, match="the history is empty"):
        replay([], history.definition, CONVERTER)
    with pytest.raises(MisuseError, match="begins with event 2, WorkflowTaskScheduled"):
        replay(history.events[1:], history.definition, CONVERTER)
    del history.events[3]
    with pytest.raises(MisuseError, match="event 5, ActivityTaskScheduled, follows the start of a workflow task"):
        replay(history.events, history.definition, CONVERTER)


def test_the_last_tasks_of_a_history() -> None:
    events = closed_history().events
    assert last_tasks(events) == (9, 9)
    assert last_tasks(events[:9]) == (3, 9)
    assert last_tasks(events[:3]) == (0, 3)
    assert last_tasks(events[:2]) == (0, 0)


async def histories(*written: Written) -> AsyncIterator[WorkflowHistory]:
    for history in written:
        yield WorkflowHistory("wf", history.events)


def test_the_replayer_works_within_a_running_loop() -> None:
    async def use() -> None:
        replayer = Replayer(workflows=[wf.Steps])
        good, bad = WorkflowHistory("wf", closed_history().events), WorkflowHistory("wf", closed_history("x").events)
        assert (await replayer.replay_workflow(good)).replay_failure is None
        with pytest.raises(NondeterminismError, match="TMPRL1100"):
            await replayer.replay_workflow(bad)
        result = await replayer.replay_workflow(bad, raise_on_replay_failure=False)
        assert isinstance(result.replay_failure, NondeterminismError)
        many = await replayer.replay_workflows(
            histories(closed_history(), closed_history("x")), raise_on_replay_failure=False
        )
        assert list(many.replay_failures) == [RUN_ID]
        async with replayer.workflow_replay_iterator(histories(closed_history("x"), closed_history())) as results:
            assert [result.replay_failure is None async for result in results] == [False, True]
        # The task that called is current again.
        await asyncio.sleep(0)

    asyncio.run(use())


def test_the_replayer_names_a_workflow_that_it_has_not() -> None:
    with pytest.raises(ValueError, match="At least one workflow must be specified"):
        Replayer(workflows=[])
    history = WorkflowHistory("wf", closed_history().events)
    with pytest.raises(MisuseError, match="Steps is not registered on this replayer, available workflows: Buggy"):
        Replayer(workflows=[wf.Buggy]).replay(history)


def test_a_history_survives_its_json() -> None:
    history = WorkflowHistory("wf", closed_history().events)
    assert history.run_id == RUN_ID
    again = WorkflowHistory.from_json("wf", history.to_json())
    assert again.events == history.events
    assert Replayer(workflows=[wf.Steps]).replay(again).ok


def test_code_that_goes_through_a_set_of_tasks_is_found_out() -> None:
    history = Written(wf.TakesFromASet)
    history.task()
    history.completed()
    history.activity_completed(history.scheduled("1"), 1)
    history.task()
    assert replay(history.events, history.definition, CONVERTER).ok
    result = replay(history.events, history.definition, CONVERTER, reverses_sets=True)
    assert (result.ok, result.event_id) == (False, 5)
    assert result.actual == "asks for StartTimer(timer_id='1', start_to_fire_timeout=1s)"
