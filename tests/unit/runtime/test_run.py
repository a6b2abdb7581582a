"""A run in a worker's cache: tasks, queries, failures, flags, closing."""

from __future__ import annotations

import gc
import json

import pytest
import sample_workflows as wf
from stormproof.engine.core import commands as cm
from stormproof.engine.core import events as ev
from stormproof.engine.core.enums import ActivityCancellationType, WorkflowTaskFailedCause
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.requests import WorkflowQuery
from stormproof.engine.core.runtime_context import NondeterminismError
from written_history import RUN_ID, Worker, Written, kinds, payloads, value_of


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    # Runs of other tests that were never closed.
    gc.collect()
    wf.LOG.clear()


def two_steps() -> Written:
    history = Written(wf.Steps, 2)
    history.task()
    history.completed()
    history.activity_completed(history.scheduled("1"), "a")
    history.task()
    history.completed()
    history.activity_completed(history.scheduled("2"), "b")
    history.task()
    return history


# --- tasks ----------------------------------------------------------------------------------------------------------


def test_a_run_is_worked_on_task_by_task() -> None:
    history = Written(wf.Steps, 2)
    worker = Worker(history)
    history.task()
    first = worker.work()
    assert kinds(first) == ["ScheduleActivityTask"]
    command = first.commands[0]
    assert isinstance(command, cm.ScheduleActivityTask)
    assert (command.activity_id, command.activity_type, command.input) == ("1", "step", payloads(0))
    assert (command.start_to_close_timeout_us, command.task_queue) == (10_000_000, ev.TaskQueue("queue"))
    history.completed()
    history.activity_completed(history.scheduled("1"), "a")
    history.task()
    assert kinds(worker.work()) == ["ScheduleActivityTask"]
    history.completed()
    history.activity_completed(history.scheduled("2"), "b")
    history.task()
    last = worker.work()
    assert kinds(last) == ["CompleteWorkflowExecution"]
    assert isinstance(last.commands[0], cm.CompleteWorkflowExecution)
    assert value_of(last.commands[0].result[0]) == ["a", "b"]
    assert worker.run.completed
    assert [activation.is_replaying for activation, _ in worker.activations] == [False, False, False]


def test_a_cold_run_replays_up_to_its_task() -> None:
    worker = Worker(two_steps())
    worker.previous = 9
    assert kinds(worker.work()) == ["CompleteWorkflowExecution"]
    assert [activation.is_replaying for activation, _ in worker.activations] == [True, True, False]
    assert [activation.history_length for activation, _ in worker.activations] == [3, 9, 15]


def test_events_that_are_known_are_skipped() -> None:
    history = Written(wf.Steps, 1)
    worker = Worker(history)
    history.task()
    worker.work()
    history.completed()
    history.activity_completed(history.scheduled("1"), "a")
    history.task()
    worker.given = 0
    assert kinds(worker.work()) == ["CompleteWorkflowExecution"]
    assert worker.run.last_event_id == history.starts[-1]


def test_tasks_that_came_to_nothing_are_passed_over() -> None:
    history = Written(wf.Steps, 1)
    history.task_failed()
    history.task()
    worker = Worker(history)
    assert kinds(worker.work()) == ["ScheduleActivityTask"]
    (activation, _), *_ = worker.activations
    assert activation.history_length == 6
    assert activation.timestamp_us == history.events[-1].time_us


def test_an_event_out_of_order_is_refused() -> None:
    history = two_steps()
    history.events[5].event_id = 60
    worker = Worker(history)
    worker.previous = 9
    outcome = worker.work()
    assert outcome.failure is not None
    assert "History is out of order. Last processed event: 5, event id: 60" in outcome.failure.message
    assert outcome.failure_cause is WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE


def test_timers_are_durable() -> None:
    history = Written(wf.Sleeps)
    worker = Worker(history)
    history.task()
    first = worker.work()
    assert first.commands == [cm.StartTimer(timer_id="1", start_to_fire_timeout_us=1_500_000)]
    history.completed()
    history.fired("1", history.timer("1"))
    history.task()
    second = worker.work()
    summary = ev.UserMetadata(summary=payloads("nap")[0])
    assert second.commands == [cm.StartTimer(timer_id="2", start_to_fire_timeout_us=2_000_000, user_metadata=summary)]


def test_a_timer_cancelled_before_it_was_sent_is_never_sent() -> None:
    history = Written(wf.CancelsTimer)
    worker = Worker(history)
    history.task()
    first = worker.work()
    assert [(type(command), command.timer_id) for command in first.commands if isinstance(command, cm.StartTimer)] == [
        (cm.StartTimer, "2"),
        (cm.StartTimer, "3"),
    ]
    history.completed()
    second_id = history.timer("2")
    history.timer("3")
    history.fired("2", second_id)
    history.task()
    second = worker.work()
    assert second.commands[0] == cm.CancelTimer(timer_id="3")
    assert kinds(second) == ["CancelTimer", "CompleteWorkflowExecution"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ActivityCancellationType.TRY_CANCEL, ["RequestCancelActivityTask", "CompleteWorkflowExecution"]),
        (ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, ["RequestCancelActivityTask"]),
        (ActivityCancellationType.ABANDON, ["CompleteWorkflowExecution"]),
    ],
)
def test_what_cancelling_an_activity_asks_for(kind: ActivityCancellationType, expected: list[str]) -> None:
    history = Written(wf.CancelsActivity, int(kind))
    worker = Worker(history)
    history.task()
    assert kinds(worker.work()) == ["ScheduleActivityTask", "StartTimer"]
    history.completed()
    scheduled = history.scheduled("1")
    history.fired("1", history.timer("1"))
    history.task()
    outcome = worker.work()
    assert kinds(outcome) == expected
    if kind is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
        history.completed()
        requested = history.add(ev.ActivityTaskCancelRequested, scheduled_event_id=scheduled)
        started = history.add(ev.ActivityTaskStarted, scheduled_event_id=scheduled)
        history.add(
            ev.ActivityTaskCanceled,
            scheduled_event_id=scheduled,
            started_event_id=started.event_id,
            latest_cancel_requested_event_id=requested.event_id,
        )
        history.task()
        outcome = worker.work()
    last = outcome.commands[-1]
    assert isinstance(last, cm.CompleteWorkflowExecution)
    assert value_of(last.result[0]) == "CancelledError"


def test_try_cancel_needs_a_second_activation_but_no_second_task() -> None:
    history = Written(wf.CancelsActivity, int(ActivityCancellationType.TRY_CANCEL))
    worker = Worker(history)
    history.task()
    worker.work()
    history.completed()
    history.scheduled("1")
    history.fired("1", history.timer("1"))
    history.task()
    worker.work()
    jobs = [[type(job).__name__ for job in activation.jobs] for activation, _ in worker.activations]
    assert jobs == [["InitializeWorkflow"], ["FireTimer"], ["ResolveActivity"]]


def test_a_cancelled_workflow_ends_as_cancelled() -> None:
    history = Written(wf.Cancelled)
    worker = Worker(history)
    history.task()
    worker.work()
    history.completed()
    history.timer("1")
    history.cancel()
    history.task()
    assert kinds(worker.work()) == ["CancelTimer", "CancelWorkflowExecution"]


def test_signals_come_before_what_else_a_task_has() -> None:
    history = Written(wf.Steps, 1)
    worker = Worker(history)
    history.task()
    worker.work()
    history.completed()
    history.activity_completed(history.scheduled("1"), "result")
    history.signal("note", "signal")
    history.task()
    last = worker.work().commands[-1]
    assert isinstance(last, cm.CompleteWorkflowExecution)
    assert value_of(last.result[0]) == ["signal", "result"]


def test_signals_wait_for_their_handler() -> None:
    history = Written(wf.LateHandler)
    worker = Worker(history)
    history.signal("late", 1)
    history.task()
    worker.work()
    history.completed()
    history.fired("1", history.timer("1"))
    history.signal("late", 2)
    history.signal("late", "not decodable as two arguments", "but taken")
    history.task()
    outcome = worker.work()
    assert outcome.failure is not None  # append() takes one argument: the handler's error is a bug of the code
    assert "exactly one argument" in outcome.failure.message


# --- failures -------------------------------------------------------------------------------------------------------


def test_an_application_error_fails_the_workflow() -> None:
    history = Written(wf.Fails)
    history.task()
    outcome = Worker(history).work()
    assert kinds(outcome) == ["FailWorkflowExecution"]
    command = outcome.commands[0]
    assert isinstance(command, cm.FailWorkflowExecution)
    assert command.failure is not None
    assert command.failure.message == "no"


def test_any_other_error_fails_the_task() -> None:
    history = Written(wf.Buggy)
    history.task()
    outcome = Worker(history).work()
    assert outcome.failure is not None
    assert outcome.failure.message == "'bug'"
    assert outcome.failure_cause is WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
    assert outcome.commands == []


def test_errors_that_the_worker_names_fail_the_workflow() -> None:
    history = Written(wf.Buggy)
    history.task()
    assert kinds(Worker(history, failure_exception_types=[KeyError]).work()) == ["FailWorkflowExecution"]


@pytest.mark.parametrize("where", ["run", "task"])
def test_what_is_not_meant_for_the_workflow_leaves_the_activation(where: str) -> None:
    history = Written(wf.Stops, where)
    history.task()
    with pytest.raises(wf.Spin):
        Worker(history).work()
    assert wf.LOG == []


# --- nondeterminism -------------------------------------------------------------------------------------------------


def test_nondeterminism_shows_both_sides() -> None:
    history = two_steps()
    scheduled = history.events[10]
    assert isinstance(scheduled, ev.ActivityTaskScheduled)
    scheduled.activity_type = "another"
    worker = Worker(history)
    worker.previous = 9
    outcome = worker.work()
    assert outcome.failure_cause is WorkflowTaskFailedCause.NON_DETERMINISTIC_ERROR
    assert outcome.failure is not None
    assert outcome.failure.message == (
        "[TMPRL1100] Nondeterminism error: Activity type of scheduled event 'another' does not match activity type of "
        "activity command 'step'. At event 11 the history has "
        "ActivityTaskScheduled(activity_id='2', activity_type='another'), the workflow's code asks for "
        "ScheduleActivityTask(activity_id='2', activity_type='step', start_to_close_timeout=10s)"
    )


def test_ids_and_types_are_not_compared_where_the_history_does_not_say_so() -> None:
    history = two_steps()
    for event in history.events:
        if isinstance(event, ev.WorkflowTaskCompleted):
            event.sdk_metadata = None
    assert isinstance(history.events[4], ev.ActivityTaskScheduled)
    history.events[4].activity_type = "another"
    worker = Worker(history)
    worker.previous = 9
    assert kinds(worker.work()) == ["CompleteWorkflowExecution"]


def test_nondeterminism_fails_the_workflow_where_the_worker_wants_it() -> None:
    history = two_steps()
    assert isinstance(history.events[10], ev.ActivityTaskScheduled)
    history.events[10].activity_id = "77"
    worker = Worker(history, failure_exception_types=[NondeterminismError])
    worker.previous = 9
    outcome = worker.work()
    assert kinds(outcome) == ["FailWorkflowExecution"]
    assert outcome.error is not None


# --- queries --------------------------------------------------------------------------------------------------------


def test_queries_are_answered_with_their_task() -> None:
    history = Written(wf.Steps, 1)
    worker = Worker(history)
    history.signal("note", 5)
    history.task()
    outcome = worker.work(
        {"a": WorkflowQuery("look", []), "b": WorkflowQuery("complain", payloads("x")), "c": WorkflowQuery("no", [])}
    )
    assert kinds(outcome) == ["ScheduleActivityTask"]
    assert value_of(outcome.query_results["a"].answer[0]) == [5]
    assert outcome.query_results["b"].failure is not None
    assert outcome.query_results["b"].failure.message == "x"
    failure = outcome.query_results["c"].failure
    assert failure is not None
    assert failure.message == (
        "Query handler for 'no' expected but not found, known queries: [__stack_trace complain look meddle]"
    )
    assert worker.activations[-1][0].is_replaying


def test_a_query_alone_is_answered_alone() -> None:
    history = Written(wf.Steps, 1)
    worker = Worker(history)
    history.task()
    worker.work()
    outcome = worker.work(query=WorkflowQuery("look", []))
    assert outcome.query_result is not None
    assert value_of(outcome.query_result.answer[0]) == []
    assert outcome.commands == []


def test_a_query_of_a_closed_run_replays_it() -> None:
    history = two_steps()
    history.completed()
    history.add(ev.WorkflowExecutionCompleted, result=payloads(["a", "b"]))
    worker = Worker(history)
    worker.previous = history.starts[-1]
    outcome = worker.work(query=WorkflowQuery("look", []))
    assert outcome.query_result is not None
    assert value_of(outcome.query_result.answer[0]) == ["a", "b"]


def test_a_query_must_change_nothing() -> None:
    history = Written(wf.Steps, 1)
    history.task()
    outcome = Worker(history).work({"a": WorkflowQuery("meddle", [])})
    failure = outcome.query_results["a"].failure
    assert failure is not None
    assert failure.message == "While in read-only function, action attempted: schedule task"


def test_the_stack_trace_query_tells_where_a_workflow_waits() -> None:
    history = Written(wf.Waits)
    history.task()
    outcome = Worker(history).work({"a": WorkflowQuery("__stack_trace", [])})
    assert "in run" in value_of(outcome.query_results["a"].answer[0])


def test_a_query_fails_if_the_history_does_not_replay() -> None:
    history = two_steps()
    assert isinstance(history.events[4], ev.ActivityTaskScheduled)
    history.events[4].activity_id = "77"
    worker = Worker(history)
    worker.previous = 9
    outcome = worker.work(query=WorkflowQuery("look", []))
    assert outcome.query_result is not None
    assert outcome.query_result.failure is not None


# --- flags and facts ------------------------------------------------------------------------------------------------


def test_flags_are_recorded_once() -> None:
    history = Written(wf.Steps, 1)
    worker = Worker(history)
    history.task()
    first = worker.work().sdk_metadata
    assert first == ev.WorkflowTaskCompletedMetadata([1, 3, 4], [], "stormproof")
    history.completed()
    history.events[-1].sdk_metadata = first
    history.activity_completed(history.scheduled("1"), "a")
    history.task()
    assert worker.work().sdk_metadata == ev.WorkflowTaskCompletedMetadata()


def test_what_a_workflow_can_know() -> None:
    history = Written(wf.Facts, "me", memo={"number": payloads(7)[0]}, attempt=2)
    history.task()
    first, second = Worker(history).work(), Worker(history).work()
    assert first.commands == second.commands
    command = first.commands[0]
    assert isinstance(command, cm.CompleteWorkflowExecution)
    found = value_of(command.result[0])
    assert found[:5] == ["wf", RUN_ID, "queue", 2, "2023-11-14T22:13:22+00:00"]
    assert found[5:7] == ["2023-11-14T22:13:22+00:00", 1_700_000_002_000_000_000]
    assert found[7] == 12626895849182683132
    assert found[9:] == [{"number": 7}, 7, "default", True, False, 3, "me"]


def test_what_a_workflow_knows_of_the_run_before_it() -> None:
    failure = Failure(message="before", info=ApplicationFailureInfo(type="Oops"))
    history = Written(wf.Chained, continued_failure=failure, last_completion_result=payloads([1, 2]))
    history.task()
    command = Worker(history).work().commands[0]
    assert isinstance(command, cm.CompleteWorkflowExecution)
    assert value_of(command.result[0]) == [True, [1, 2], "Oops: before", True, False, 7, 1_700_000_002_000]


def test_what_can_not_be_replayed_says_so() -> None:
    history = Written(wf.Threads)
    history.task()
    outcome = Worker(history).work()
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("run_in_executor() can't be used in workflow code")


# --- patches --------------------------------------------------------------------------------------------------------


def test_new_runs_take_the_newer_path_and_record_it() -> None:
    history = Written(wf.Patched)
    history.task()
    outcome = Worker(history).work()
    assert kinds(outcome) == ["RecordMarker", "StartTimer"]
    marker = outcome.commands[0]
    assert isinstance(marker, cm.RecordMarker)
    assert marker.marker_name == "core_patch"
    assert json.loads(marker.details["patch-data"][0].data) == {"id": "change", "deprecated": False}


def test_old_runs_keep_to_the_older_path() -> None:
    history = Written(wf.Patched)
    history.task()
    history.completed()
    history.activity_completed(history.scheduled("1"), 1)
    history.task()
    worker = Worker(history)
    worker.previous = 3
    last = worker.work().commands[-1]
    assert isinstance(last, cm.CompleteWorkflowExecution)
    assert value_of(last.result[0]) == "old"
