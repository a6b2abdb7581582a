"""Workflow tasks as the real server handles them.

Sources (github.com/temporalio/temporal): service/history/workflow/workflow_task_state_machine.go,
service/history/historybuilder/event_store.go, service/history/api/recordworkflowtaskstarted,
service/history/api/respondworkflowtaskcompleted, service/history/api/respondworkflowtaskfailed,
service/history/timer_queue_active_task_executor.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core import commands as cm
from stormproof.engine.core import events as ev
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import TaskQueueKind, TimeoutType, WorkflowTaskFailedCause
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import TaskQueue
from stormproof.engine.core.failures import Failure

SECOND_US = 1_000_000
Refused = Callable[..., ServiceError]

ACTIVITY = cm.ScheduleActivityTask(activity_id="a", activity_type="act", start_to_close_timeout_us=10 * SECOND_US)


def test_the_first_workflow_task_is_scheduled_with_the_start(service: Any) -> None:
    # api/create_workflow_util.go: NewWorkflowWithSignal
    assert service.names == ["WorkflowExecutionStarted", "WorkflowTaskScheduled"]
    scheduled = service.events[1]
    assert scheduled.start_to_close_timeout_us == 10 * SECOND_US
    assert scheduled.task_queue == TaskQueue("queue", TaskQueueKind.NORMAL)
    assert service.outbox == {"workflow_task": rq.WorkflowTaskReady(2, 1, "queue", sticky=False)}


def test_starting_a_workflow_task_writes_history_and_sets_its_timeout(service: Any) -> None:
    response = service.poll()
    assert response.task_token == rq.TaskToken(service.execution, 2, 1, 3)
    assert (response.previous_started_event_id, response.started_event_id, response.attempt) == (0, 3, 1)
    assert response.events == []  # everything is stored history
    assert service.events[2].history_size_bytes > 0
    assert list(service.outbox) == ["workflow_task_timeout"]
    assert service.due_in_us("workflow_task_timeout") == 10 * SECOND_US


def test_a_repeated_poll_gets_the_same_answer_and_another_poller_none(service: Any, refused: Refused) -> None:
    # recordworkflowtaskstarted/api.go: "started as part of the current request scope"
    first = service.poll(request_id="one")
    again = service.poll(request_id="one")
    assert again == first
    assert service.last.is_empty
    assert refused(service.poll, request_id="two").detail == "TaskAlreadyStarted"


def test_previous_started_event_is_that_of_the_last_completed_task(service: Any) -> None:
    service.turn(ACTIVITY)
    service.signal()
    assert service.poll().previous_started_event_id == 3


def test_only_one_workflow_task_at_a_time(service: Any) -> None:
    service.signal()
    service.signal()
    assert service.names.count("WorkflowTaskScheduled") == 1
    assert service.names[2:] == ["WorkflowExecutionSignaled", "WorkflowExecutionSignaled"]


def test_events_are_buffered_while_a_workflow_task_is_started(service: Any) -> None:
    # event_store.go: bufferEvent; api.go: hasBufferedEventsOrMessages schedules another task
    service.poll()
    service.signal("first")
    assert service.names == ["WorkflowExecutionStarted", "WorkflowTaskScheduled", "WorkflowTaskStarted"]
    assert len(service.record["buffered"]) == 1
    service.complete()
    assert service.names[3:] == ["WorkflowTaskCompleted", "WorkflowExecutionSignaled", "WorkflowTaskScheduled"]
    assert "buffered" not in service.record


def test_buffered_ends_of_activities_come_last_and_are_wired(service: Any) -> None:
    # event_store.go: reorderBuffer, wireEventIDs
    other = cm.ScheduleActivityTask(activity_id="b", activity_type="act", start_to_close_timeout_us=SECOND_US)
    service.turn(ACTIVITY, other)
    service.poll_activity("a")
    service.poll_activity("b")
    service.signal()
    service.poll()
    service.complete_activity("a")
    service.signal("second")
    service.complete_activity("b")
    before = len(service.events)
    service.complete()
    assert service.names[before:] == [
        "WorkflowTaskCompleted",
        "ActivityTaskStarted",
        "WorkflowExecutionSignaled",
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "ActivityTaskCompleted",
        "WorkflowTaskScheduled",
    ]
    starts = [event.event_id for event in service.events if type(event) is ev.ActivityTaskStarted]
    ends = [event.started_event_id for event in service.events if type(event) is ev.ActivityTaskCompleted]
    assert starts == ends


def test_buffered_events_in_the_store_are_never_changed_in_place(service: Any) -> None:
    # A write may fail after the flush: what is read again must be what was written.
    service.poll()
    service.signal()
    (buffered,) = service.record["buffered"]
    service.complete()
    assert buffered.event_id == 0


def test_closing_over_buffered_events_fails_the_task(service: Any, refused: Refused) -> None:
    # handleCommandCompleteWorkflow fails the task; AddWorkflowTaskScheduledEvent flushes and resets
    service.poll()
    service.signal()
    error = refused(service.complete, cm.CompleteWorkflowExecution())
    assert (error.status, error.message) == ("INVALID_ARGUMENT", "UnhandledCommand")
    assert service.names[3:] == ["WorkflowTaskFailed", "WorkflowExecutionSignaled", "WorkflowTaskScheduled"]
    failed = service.events[3]
    assert failed.cause is WorkflowTaskFailedCause.UNHANDLED_COMMAND
    assert (failed.failure.message, failed.identity) == ("UnhandledCommand", "worker")
    assert service.state.workflow_task.attempt == 1
    service.turn(cm.CompleteWorkflowExecution())
    assert service.names[-1] == "WorkflowExecutionCompleted"


def test_a_signal_is_refused_while_the_run_tries_again_to_close(service: Any, refused: Refused) -> None:
    # See signal_workflow_util.go: ErrWorkflowClosing
    service.poll()
    service.signal()
    refused(service.complete, cm.CompleteWorkflowExecution())
    service.signal()  # the next task is not started yet
    service.poll()
    assert refused(service.signal).status == "RESOURCE_EXHAUSTED"
    service.complete()
    service.signal()


# --- failures and timeouts --------------------------------------------------------------------------------------------


def test_a_failed_task_is_tried_again_as_a_transient_one(service: Any) -> None:
    # AddWorkflowTaskFailedEvent, AddWorkflowTaskScheduledEventAsHeartbeat: no events while attempt > 1
    service.poll()
    service.fail_task()
    assert service.names[3:] == ["WorkflowTaskFailed"]
    task = service.state.workflow_task
    assert (task.attempt, task.scheduled_event_id, task.started_event_id) == (2, 5, 0)
    assert service.outbox == {"workflow_task": rq.WorkflowTaskReady(5, 2, "queue", sticky=False)}
    response = service.poll()
    assert len(service.events) == 4
    assert [(type(event), event.event_id) for event in response.events] == [
        (ev.WorkflowTaskScheduled, 5),
        (ev.WorkflowTaskStarted, 6),
    ]
    assert (response.started_event_id, response.attempt) == (6, 2)
    service.complete(ACTIVITY)
    assert service.names[4:] == [
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "ActivityTaskScheduled",
    ]
    assert service.events[4:6] == response.events
    assert service.events[4].attempt == 2
    assert service.events[-1].workflow_task_completed_event_id == service.events[-2].event_id
    assert service.record == {"request/start-1": service.record["request/start-1"]}


def test_a_transient_task_that_fails_leaves_nothing_in_history(service: Any) -> None:
    service.poll()
    service.fail_task()
    for attempt in (2, 3, 4):
        assert service.poll().attempt == attempt
        service.fail_task()
    assert len(service.events) == 4
    assert service.state.workflow_task.attempt == 5


def test_a_repeated_poll_for_a_transient_task_gets_the_same_answer(service: Any) -> None:
    service.poll()
    service.fail_task()
    assert service.poll(request_id="one") == service.poll(request_id="one")


@pytest.mark.parametrize(
    ("attempt", "timeout_us"),
    [
        # getStartToCloseTimeout: the default up to attempt 3, then + 5 s, 10 s ... up to 10 min (here 90 % of each)
        (2, 10_000_000),
        (3, 10_000_000),
        (4, 10_000_000 + 4_500_000),
        (5, 10_000_000 + 9_000_000),
        (6, 10_000_000 + 18_000_000),
        (40, 10_000_000 + 540_000_000),
    ],
)
def test_the_timeout_of_a_failing_task_grows(service: Any, attempt: int, timeout_us: int) -> None:
    service.poll()
    for _ in range(attempt - 1):
        service.fail_task()
        service.poll()
    assert service.due_in_us("workflow_task_timeout") == timeout_us


def test_events_that_come_before_a_transient_task_starts_make_it_normal(service: Any) -> None:
    # See AddWorkflowTaskStartedEvent: "transient WT needs to be converted to normal WT"
    service.poll()
    service.fail_task()
    service.signal()
    assert service.state.workflow_task.attempt == 2
    response = service.poll()
    assert (response.attempt, response.events) == (1, [])
    assert service.names[3:] == [
        "WorkflowTaskFailed",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
    ]
    assert service.events[5].time_us == service.events[6].time_us == service.now_us
    service.complete()


def test_events_that_come_while_a_transient_task_is_started_make_the_next_one_normal(service: Any) -> None:
    # See AddWorkflowTaskScheduledEventAsHeartbeat: "If while scheduling a workflow task and new events has come"
    service.poll()
    service.fail_task()
    service.poll()
    service.signal()
    service.fail_task()
    assert service.names[3:] == ["WorkflowTaskFailed", "WorkflowExecutionSignaled", "WorkflowTaskScheduled"]
    assert service.state.workflow_task.attempt == 1


def test_a_task_times_out_and_is_tried_again(service: Any) -> None:
    # executeWorkflowTaskTimeoutTask, AddWorkflowTaskTimedOutEvent
    service.poll()
    service.fire("workflow_task_timeout")
    assert service.names[3:] == ["WorkflowTaskTimedOut"]
    timed_out = service.events[3]
    assert (timed_out.scheduled_event_id, timed_out.started_event_id) == (2, 3)
    assert timed_out.timeout_type is TimeoutType.START_TO_CLOSE
    assert service.state.workflow_task.attempt == 2
    service.poll()
    service.fire("workflow_task_timeout")
    assert len(service.events) == 4
    assert service.state.workflow_task.attempt == 3


def test_an_answer_after_the_timeout_is_not_found(service: Any, refused: Refused) -> None:
    service.poll()
    token = service.token()
    service.fire("workflow_task_timeout")
    service.poll()
    for answer in (
        rq.RespondWorkflowTaskCompleted(token, [], "worker"),
        rq.RespondWorkflowTaskFailed(token, WorkflowTaskFailedCause.UNSPECIFIED, Failure("x"), "worker"),
    ):
        assert refused(service.do, answer).message == "Workflow task not found."


def test_a_task_that_was_never_started_can_not_be_answered(service: Any, refused: Refused) -> None:
    assert refused(service.complete).status == "NOT_FOUND"


def test_a_stale_timeout_changes_nothing(service: Any) -> None:
    service.poll()
    stale = service.outbox["workflow_task_timeout"]
    service.complete()
    service.signal()
    service.poll()
    service.do(rq.TimerDue(service.execution, stale), 20 * SECOND_US)
    assert service.last.is_empty


# --- the sticky queue -------------------------------------------------------------------------------------------------


def test_the_next_task_goes_to_the_sticky_queue_with_a_timeout(service: Any) -> None:
    # GenerateScheduleWorkflowTaskTasks
    service.poll()
    service.complete_sticky()
    service.signal()
    assert service.events[-1].task_queue == TaskQueue("sticky", TaskQueueKind.STICKY, "queue")
    assert service.outbox["workflow_task"].task_queue == "sticky"
    assert service.outbox["workflow_task"].sticky
    assert service.due_in_us("workflow_task_timeout") == 5 * SECOND_US
    service.poll()
    assert service.due_in_us("workflow_task_timeout") == 10 * SECOND_US
    service.complete()  # without a sticky queue
    assert service.state.sticky_task_queue is None


def test_a_sticky_task_that_nobody_takes_goes_to_the_normal_queue(service: Any) -> None:
    # AddWorkflowTaskScheduleToStartTimeoutEvent, failWorkflowTask
    service.poll()
    service.complete_sticky()
    service.signal()
    service.fire("workflow_task_timeout")
    assert service.names[-2:] == ["WorkflowTaskTimedOut", "WorkflowTaskScheduled"]
    timed_out, scheduled = service.events[-2:]
    assert (timed_out.started_event_id, timed_out.timeout_type) == (0, TimeoutType.SCHEDULE_TO_START)
    assert (scheduled.attempt, scheduled.task_queue.name) == (1, "queue")
    assert list(service.outbox) == ["workflow_task"]


@pytest.mark.parametrize("how", ["fail", "time out"])
def test_a_failure_on_the_sticky_queue_clears_it_and_does_not_count(service: Any, how: str) -> None:
    # See failWorkflowTask: "clear sticky task queue first and try again before creating transient workflow task"
    service.poll()
    service.complete_sticky()
    service.signal()
    service.poll()
    if how == "fail":
        service.fail_task()
    else:
        service.fire("workflow_task_timeout")
    assert service.names[-1] == "WorkflowTaskScheduled"
    task = service.state.workflow_task
    assert (task.attempt, task.task_queue.name) == (1, "queue")
    service.poll()
    service.fail_task()
    assert service.state.workflow_task.attempt == 2


def test_a_sticky_task_taken_from_the_normal_queue_clears_the_sticky_queue(service: Any) -> None:
    # recordworkflowtaskstarted/api.go: the fallback after StickyWorkerUnavailable
    service.poll()
    service.complete_sticky()
    service.signal()
    service.poll(sticky=False)
    assert service.state.sticky_task_queue is None
    assert "sticky" not in service.record


def test_a_sticky_poller_is_refused_once_the_run_moved_to_the_normal_queue(service: Any, refused: Refused) -> None:
    assert refused(service.poll, sticky=True).status == "NOT_FOUND"


def test_the_same_sticky_queue_is_not_written_again(service: Any) -> None:
    service.poll()
    service.complete_sticky()
    service.signal()
    service.poll()
    service.complete_sticky()
    assert "sticky" not in service.last.record_put


# --- buffer limit and forced tasks ------------------------------------------------------------------------------------


def test_too_many_buffered_events_end_the_task(service: Any) -> None:
    # closeTransactionHandleBufferedEventsLimit: more than 100
    service.poll()
    for _ in range(100):
        service.signal()
    assert len(service.events) == 3
    service.signal()
    assert service.names[3] == "WorkflowTaskFailed"
    failed = service.events[3]
    assert (failed.cause, failed.identity) == (WorkflowTaskFailedCause.FORCE_CLOSE_COMMAND, "history-service")
    assert service.names[4:] == ["WorkflowExecutionSignaled"] * 101
    assert service.state.workflow_task.attempt == 2


def test_a_worker_may_force_another_task(service: Any) -> None:
    service.poll()
    service.complete(force_create_new_workflow_task=True)
    assert service.names[3:] == ["WorkflowTaskCompleted", "WorkflowTaskScheduled"]


def test_a_long_history_suggests_to_continue_as_new(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # getHistorySizeInfo: from 4,096 events on
    from stormproof.engine.core import transition_work

    monkeypatch.setattr(transition_work, "HISTORY_COUNT_SUGGEST_CONTINUE_AS_NEW", 8)
    service.poll()
    service.complete()
    assert not service.events[2].suggest_continue_as_new
    for _ in range(2):
        service.signal()
    service.poll()
    assert service.events[-1].event_id == 8
    assert service.events[-1].suggest_continue_as_new
