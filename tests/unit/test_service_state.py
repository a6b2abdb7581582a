"""The fold refuses what a history can't hold, and the record refuses what it may not hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from stormproof.engine.core import events as ev
from stormproof.engine.core.enums import TimeoutType, WorkflowExecutionStatus
from stormproof.engine.core.errors import IllegalTransition, InternalError
from stormproof.engine.core.events import HistoryEvent, TaskQueue
from stormproof.engine.core.record import (
    RECORD_FIELDS,
    ActivityAttempt,
    PendingWorkflowTask,
    SeenRequest,
    StickyQueue,
    check_item,
)
from stormproof.engine.core.size import event_size
from stormproof.engine.core.state import APPLY, BUFFERABLE, MutableState, apply, buffer_event, rebuild

STARTED = ev.WorkflowExecutionStarted(1, 5, "Type", "workflow", TaskQueue("queue"), original_execution_run_id="run")
SCHEDULED = ev.WorkflowTaskScheduled(2, 5, TaskQueue("queue"), 10)
TASK = [STARTED, SCHEDULED, ev.WorkflowTaskStarted(3, 6, 2), ev.WorkflowTaskCompleted(4, 7, 2, 3)]
ACTIVITY = [*TASK, ev.ActivityTaskScheduled(5, 7, "a", "act", TaskQueue("queue"))]


@pytest.mark.parametrize(
    ("history", "event"),
    [
        ([], ev.WorkflowTaskScheduled(1)),
        ([STARTED], ev.WorkflowExecutionStarted(2, task_queue=TaskQueue("q"))),
        ([STARTED], ev.WorkflowTaskScheduled(3)),
        ([STARTED], ev.WorkflowTaskStarted(2, 0, 1)),
        ([STARTED, SCHEDULED], ev.WorkflowTaskScheduled(3)),
        ([STARTED, SCHEDULED], ev.WorkflowTaskStarted(3, 0, 1)),
        ([STARTED, SCHEDULED], ev.WorkflowTaskCompleted(3, 0, 2, 3)),
        (TASK[:3], ev.WorkflowTaskStarted(4, 0, 2)),
        (TASK[:3], ev.WorkflowTaskFailed(4, 0, 2, 9)),
        (TASK[:3], ev.WorkflowTaskTimedOut(4, 0, 9, 3, TimeoutType.START_TO_CLOSE)),
        (TASK, ev.ActivityTaskStarted(5, 0, 4)),
        (TASK, ev.ActivityTaskCompleted(5, 0, [], 4)),
        (TASK, ev.TimerFired(5, 0, "t", 4)),
        (TASK, ev.TimerCanceled(5, 0, "t", 4)),
        ([*TASK, ev.WorkflowExecutionCompleted(5)], ev.WorkflowExecutionSignaled(6)),
        ([*TASK, ev.WorkflowExecutionCompleted(5)], ev.WorkflowExecutionTerminated(6)),
        (TASK, ev.OtherEvent(5, event_type="EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED")),
    ],
)
def test_what_the_table_does_not_allow_is_illegal(history: list[HistoryEvent], event: HistoryEvent) -> None:
    state = rebuild(history, {}) if history else MutableState(rebuild([STARTED], {}).execution)
    before = state.next_event_id
    with pytest.raises(IllegalTransition):
        apply(state, event)
    assert state.next_event_id == before


def test_the_first_event_names_a_task_queue() -> None:
    with pytest.raises(IllegalTransition):
        rebuild([ev.WorkflowExecutionStarted(1)], {})


@pytest.mark.parametrize("history", [[], [SCHEDULED]])
def test_a_history_begins_with_its_start(history: list[HistoryEvent]) -> None:
    with pytest.raises(IllegalTransition):
        rebuild(history, {})


def test_a_closed_run_allows_no_event() -> None:
    for status in WorkflowExecutionStatus:
        if status not in (WorkflowExecutionStatus.UNSPECIFIED, WorkflowExecutionStatus.RUNNING):
            assert APPLY[status] == {}


def test_events_of_commands_and_workflow_tasks_are_never_buffered() -> None:
    # bufferEvent in service/history/historybuilder/event_store.go
    names = sorted(kind.__name__ for kind in BUFFERABLE)
    assert names == [
        "ActivityTaskCanceled",
        "ActivityTaskCompleted",
        "ActivityTaskFailed",
        "ActivityTaskStarted",
        "ActivityTaskTimedOut",
        "TimerFired",
        "WorkflowExecutionCancelRequested",
        "WorkflowExecutionSignaled",
    ]
    with pytest.raises(IllegalTransition):
        buffer_event(rebuild(TASK, {}), ev.TimerStarted(0))


def test_a_record_of_another_run_is_illegal() -> None:
    with pytest.raises(IllegalTransition):
        rebuild(ACTIVITY, {"activity/9": ActivityAttempt(1, 0)})
    with pytest.raises(IllegalTransition):
        rebuild(ACTIVITY, {"weather": 1})


def test_a_namespace_is_given() -> None:
    assert rebuild(TASK, {}, namespace="elsewhere").execution.namespace == "elsewhere"


@pytest.mark.parametrize("kind", list(RECORD_FIELDS))
def test_the_list_of_record_fields_is_that_of_the_types(kind: str) -> None:
    item_type, names = RECORD_FIELDS[kind]
    if item_type is not tuple:
        assert names == tuple(one.name for one in fields(item_type))


@pytest.mark.parametrize(
    ("key", "item"),
    [
        ("activity/5", ActivityAttempt(1, 0)),
        ("workflow_task", PendingWorkflowTask(1, 0, 2, 0, TaskQueue())),
        ("sticky", StickyQueue(TaskQueue(), 1)),
        ("request/x", SeenRequest("x", 1)),
        ("buffered", ()),
    ],
)
def test_items_of_the_list_are_allowed(key: str, item: object) -> None:
    check_item(key, item)


def test_other_items_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InternalError, match="no item of a run's record"):
        check_item("weather/1", 1)
    with pytest.raises(InternalError, match="expected a ActivityAttempt"):
        check_item("activity/5", {"attempt": 1})

    @dataclass(slots=True)
    class Grown(ActivityAttempt):
        mood: str = ""

    with pytest.raises(InternalError, match="expected a ActivityAttempt"):
        check_item("activity/5", Grown(1, 0))
    monkeypatch.setitem(RECORD_FIELDS, "activity", (Grown, RECORD_FIELDS["activity"][1]))
    with pytest.raises(InternalError, match="mood"):
        check_item("activity/5", Grown(1, 0))


def test_sizes_grow_with_what_users_bring() -> None:
    from stormproof.engine.core.failures import Failure
    from stormproof.engine.core.payloads import Payload

    big = [Payload({}, b"x" * 1000)]
    failure = Failure("m" * 1000)
    pairs: list[tuple[Any, Any]] = [
        (ev.WorkflowExecutionStarted(), ev.WorkflowExecutionStarted(input=big)),
        (ev.WorkflowExecutionSignaled(), ev.WorkflowExecutionSignaled(input=big)),
        (ev.WorkflowExecutionCompleted(), ev.WorkflowExecutionCompleted(result=big)),
        (ev.WorkflowExecutionFailed(), ev.WorkflowExecutionFailed(failure=failure)),
        (ev.WorkflowExecutionTerminated(), ev.WorkflowExecutionTerminated(details=big)),
        (ev.ActivityTaskScheduled(), ev.ActivityTaskScheduled(header={"h": big[0]})),
        (ev.ActivityTaskStarted(), ev.ActivityTaskStarted(last_failure=Failure(cause=failure))),
        (ev.ActivityTaskFailed(), ev.ActivityTaskFailed(failure=failure)),
        (ev.WorkflowTaskFailed(), ev.WorkflowTaskFailed(failure=failure)),
        (ev.MarkerRecorded(), ev.MarkerRecorded(details={"d": big})),
    ]
    for small, large in pairs:
        assert 1000 <= event_size(large) - event_size(small) < 1100
