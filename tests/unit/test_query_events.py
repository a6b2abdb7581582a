"""A query's task that was overtaken by events shows the run as it was after its last workflow task."""

from __future__ import annotations

import pytest
from stormproof.engine.core import events as ev
from stormproof.engine.core.requests import Execution, PollWorkflowTaskQueueResponse, TaskToken
from stormproof.engine.worker.workflow_tasks import _before_next_task

WHOLE: list[ev.HistoryEvent] = [
    ev.WorkflowExecutionStarted(1),
    ev.WorkflowTaskScheduled(2),
    ev.WorkflowTaskStarted(3, scheduled_event_id=2),
    ev.WorkflowTaskCompleted(4, scheduled_event_id=2, started_event_id=3),
    ev.TimerStarted(5, timer_id="1", workflow_task_completed_event_id=4),
    ev.ActivityTaskScheduled(6, activity_id="1", workflow_task_completed_event_id=4),
]
CAME_LATER: list[ev.HistoryEvent] = [
    ev.ActivityTaskStarted(7, scheduled_event_id=6),
    ev.ActivityTaskCompleted(8, scheduled_event_id=6, started_event_id=7),
    ev.WorkflowTaskScheduled(9),
    ev.WorkflowExecutionCancelRequested(10),
]


def shown(events: list[ev.HistoryEvent], previous_started_event_id: int = 3) -> list[int]:
    execution = Execution("w", "r")
    token = TaskToken(execution, 0, 1)
    task = PollWorkflowTaskQueueResponse(token, execution, "W", previous_started_event_id, 0, 1, events)
    return [event.event_id for event in _before_next_task(task)]


def test_without_a_task_that_came_later_everything_is_shown() -> None:
    assert shown(WHOLE) == [1, 2, 3, 4, 5, 6]
    closed = [*WHOLE, ev.WorkflowExecutionCompleted(7, workflow_task_completed_event_id=4)]
    assert shown(closed) == [1, 2, 3, 4, 5, 6, 7]
    timed_out = [*WHOLE, ev.WorkflowExecutionTimedOut(7)]
    assert shown(timed_out) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("count", [3, 4])
def test_what_a_later_task_is_for_is_not_shown(count: int) -> None:
    assert shown([*WHOLE, *CAME_LATER[:count]]) == [1, 2, 3, 4, 5, 6]
    on_sticky_queue = [*WHOLE[3:], *CAME_LATER[:count]]
    assert shown(on_sticky_queue) == [4, 5, 6]
