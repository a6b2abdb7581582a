"""The server machine on a store: matching, dispatch, retries of runs, recovery, fencing."""

from __future__ import annotations

from typing import Any

import pytest
from spine_bench import EXECUTION, SECOND_US, STICKY, Bench, Died
from stormproof.engine.core import commands as cm
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import WorkflowExecutionStatus, WorkflowIdConflictPolicy
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import RetryPolicyData, TaskQueue
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.server.server import Server


@pytest.fixture
def bench() -> Bench:
    return Bench()


def activity(number: int = 1, **options: Any) -> cm.ScheduleActivityTask:
    return cm.ScheduleActivityTask(
        activity_id=str(number), activity_type="step", start_to_close_timeout_us=60 * SECOND_US, **options
    )


def failing() -> cm.FailWorkflowExecution:
    return cm.FailWorkflowExecution(failure=Failure("no", info=ApplicationFailureInfo(type="No")))


# --- the ordinary way -------------------------------------------------------------------------------------------------


def test_a_run_goes_its_way_and_its_end_is_told_to_who_waits(bench: Bench) -> None:
    waiting_poll = bench.poll_workflow()
    run_id = bench.start().run_id
    result = bench.result()
    (task,) = waiting_poll
    assert [event.event_id for event in task.events] == [1, 2, 3]
    bench.complete(task, activity())
    (step,) = bench.poll_activity()
    assert bench.ask(rq.RespondActivityTaskCompleted(step.task_token, [], "worker#1")) is None
    assert result == []
    bench.work(cm.CompleteWorkflowExecution())
    (reply,) = result
    assert reply.run_id == run_id
    assert [type(event).__name__ for event in reply.events] == ["WorkflowExecutionCompleted"]
    assert bench.result() == [reply]


def test_a_sticky_poll_gets_only_what_is_new(bench: Bench) -> None:
    bench.start()
    bench.work(activity(), sticky=True)
    sticky = bench.poll_workflow(sticky=True)
    bench.signal()
    (task,) = sticky
    assert [event.event_id for event in task.events] == [4, 5, 6, 7, 8]
    assert task.previous_started_event_id == 3


def test_a_workflow_task_waits_ten_seconds_for_a_sticky_worker_then_anybody_gets_it(bench: Bench) -> None:
    bench.start()
    bench.poll_workflow(sticky=True)
    bench.work(activity(), sticky=True)
    bench.server.connection_lost("worker#1")
    bench.signal()
    normal = bench.poll_workflow(source="other#1")
    bench.advance(9.9)
    assert normal == []
    bench.advance(0.2)
    assert normal[0].events[0].event_id == 1


def test_a_sticky_queue_that_nobody_polled_lately_is_passed_over(bench: Bench) -> None:
    bench.start()
    bench.work(activity(), sticky=True)
    normal = bench.poll_workflow(source="other#1")
    bench.signal()
    assert len(normal) == 1


def test_tasks_leave_in_order_and_the_poller_is_chosen(bench: Bench) -> None:
    bench.start()
    bench.work(activity(1), activity(2))
    assert [bench.poll_activity()[0].activity_id for _ in range(2)] == ["1", "2"]
    first, second = bench.poll_activity("a#1"), bench.poll_activity("b#1")
    bench.signal()
    bench.host.picks = [1]
    bench.work(activity(3))
    assert (first, second[0].activity_id) == ([], "3")


def test_a_lost_connection_takes_its_polls_along(bench: Bench) -> None:
    gone, there = bench.poll_workflow(source="gone#1"), bench.poll_workflow(source="there#1")
    bench.server.connection_lost("gone#1")
    bench.start()
    assert (gone, len(there)) == ([], 1)


def test_tasks_that_are_out_of_date_are_skipped_however_many(bench: Bench) -> None:
    bench.start()
    bench.work(*[activity(number) for number in range(1, 1900)])
    bench.ask(rq.TerminateWorkflowExecution(EXECUTION))
    poll = bench.poll_activity()
    assert poll == []
    bench.start("again")
    bench.work(activity())
    assert len(poll) == 1


def test_timers_of_a_transition_are_not_replaced_by_what_its_tasks_cause(bench: Bench) -> None:
    """The waiting poll starts the activity at once, which sets another timeout than the one before the start."""
    bench.start()
    poll = bench.poll_activity()
    bench.work(activity(schedule_to_start_timeout_us=5 * SECOND_US, retry_policy=RetryPolicyData(maximum_attempts=1)))
    assert len(poll) == 1
    bench.advance(59)
    assert "ActivityTaskTimedOut" not in bench.names()
    bench.advance(2)
    assert "ActivityTaskTimedOut" in bench.names()


def test_a_refused_completion_may_have_changed_the_run(bench: Bench) -> None:
    bench.start()
    (task,) = bench.poll_workflow()
    poll = bench.poll_workflow()
    refused = bench.complete(task, cm.ScheduleActivityTask())
    assert isinstance(refused, ServiceError)
    assert refused.status == "INVALID_ARGUMENT"
    assert bench.names()[-1] == "WorkflowTaskFailed"
    assert poll[0].attempt == 2


def test_history_for_a_worker_ends_where_it_asks(bench: Bench) -> None:
    bench.start()
    bench.work(activity())
    some = bench.ask(rq.GetWorkflowExecutionHistoryForWorker(EXECUTION, 3))
    assert [event.event_id for event in some.events] == [1, 2, 3]
    assert len(bench.ask(rq.GetWorkflowExecutionHistoryForWorker(EXECUTION, 0)).events) == 5


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda run_id: rq.DescribeWorkflowExecution(rq.Execution("nobody", run_id)), id="describe"),
        pytest.param(lambda run_id: rq.SignalWorkflowExecution(rq.Execution("nobody", run_id), "go", [], "1"), id="go"),
        pytest.param(lambda run_id: rq.GetWorkflowExecutionHistory(rq.Execution("nobody", run_id)), id="history"),
        pytest.param(
            lambda run_id: rq.GetWorkflowExecutionHistoryForWorker(rq.Execution("nobody", run_id), 0), id="worker"
        ),
        pytest.param(lambda run_id: rq.QueryWorkflow(rq.Execution("nobody", run_id), "state", []), id="query"),
    ],
)
@pytest.mark.parametrize("run_id", ["", "run"])
def test_an_unknown_run_is_not_found(bench: Bench, run: Any, run_id: str) -> None:
    reply = bench.ask(run(run_id))
    assert (reply.status, "nobody" in reply.message, "run" in reply.message.split()) == (
        "NOT_FOUND",
        True,
        bool(run_id),
    )


# --- two runs in one write --------------------------------------------------------------------------------------------


def test_a_run_that_is_retried_starts_the_next_in_the_same_write(bench: Bench) -> None:
    first = bench.start(retry_policy=RetryPolicyData(initial_interval_us=5 * SECOND_US)).run_id
    result = bench.result(first)
    bench.work(failing())
    (reply,) = result
    second = reply.events[0].new_execution_run_id
    assert bench.store.current_run_id("default", "workflow") == second
    assert bench.names(second) == ["WorkflowExecutionStarted"]
    follower = bench.result(second)
    poll = bench.poll_workflow()
    bench.advance(5)
    (task,) = poll
    assert task.execution.run_id == second
    bench.complete(task, cm.CompleteWorkflowExecution())
    assert follower[0].run_id == second


@pytest.mark.parametrize("point", ["engine.before_commit", "engine.after_commit"])
def test_a_crash_beside_the_write_of_a_retry_loses_neither_run(bench: Bench, point: str) -> None:
    bench.start(retry_policy=RetryPolicyData(initial_interval_us=5 * SECOND_US))
    (task,) = bench.poll_workflow()
    bench.host.dies_at = point
    with pytest.raises(Died):
        bench.complete(task, failing())
    bench.restart()
    if point == "engine.before_commit":
        assert bench.names()[-1] == "WorkflowTaskStarted"
        bench.complete(task, failing())
    poll = bench.poll_workflow()
    bench.advance(5)
    assert poll[0].execution.run_id == bench.store.current_run_id("default", "workflow")
    assert poll[0].events[0].attempt == 2


def test_a_start_may_terminate_the_run_before(bench: Bench) -> None:
    first = bench.start().run_id
    result = bench.result(first)
    second = bench.start("other", workflow_id_conflict_policy=WorkflowIdConflictPolicy.TERMINATE_EXISTING).run_id
    assert bench.names(first)[-1] == "WorkflowExecutionTerminated"
    assert type(result[0].events[0]).__name__ == "WorkflowExecutionTerminated"
    assert bench.store.current_run_id("default", "workflow") == second
    described = bench.ask(rq.DescribeWorkflowExecution(EXECUTION))
    assert (described.execution.run_id, described.status) == (second, WorkflowExecutionStatus.RUNNING)


def test_a_repeated_start_is_answered_with_the_run_that_there_is(bench: Bench) -> None:
    first = bench.start()
    assert bench.start().run_id == first.run_id
    refused = bench.start("other")
    assert (refused.status, refused.run_id) == ("ALREADY_EXISTS", first.run_id)


# --- crashes ----------------------------------------------------------------------------------------------------------


def test_what_was_committed_and_not_dispatched_is_dispatched_by_the_next_server(bench: Bench) -> None:
    bench.host.dies_at = "engine.after_commit"
    with pytest.raises(Died):
        bench.start()
    bench.restart()
    bench.host.dies_at = ""
    assert len(bench.poll_workflow()) == 1


def test_timers_outlive_the_server(bench: Bench) -> None:
    bench.start()
    bench.work(cm.StartTimer(timer_id="1", start_to_fire_timeout_us=10 * SECOND_US))
    bench.restart()
    poll = bench.poll_workflow()
    bench.advance(9)
    assert poll == []
    bench.advance(2)
    assert poll[0].events[-3].timer_id == "1"


def test_a_timer_that_came_due_while_the_server_was_down_fires_at_once(bench: Bench) -> None:
    bench.start()
    bench.work(cm.StartTimer(timer_id="1", start_to_fire_timeout_us=10 * SECOND_US))
    bench.timers.clear()
    bench.advance(60)
    bench.restart()
    poll = bench.poll_workflow()
    bench.advance(0)
    assert len(poll) == 1


def test_a_started_task_is_given_out_again_only_after_its_timeout(bench: Bench) -> None:
    bench.start()
    assert len(bench.poll_workflow()) == 1
    bench.restart()
    poll = bench.poll_workflow()
    bench.advance(9)
    assert poll == []
    bench.advance(2)
    assert poll[0].attempt == 2


def test_a_server_that_lost_its_store_changes_nothing_any_more(bench: Bench) -> None:
    bench.start()
    old = bench.server
    bench.server = Server(bench.host, bench.store)  # type: ignore[arg-type]
    bench.signal()
    replies: list[Any] = []
    old.handle(rq.SignalWorkflowExecution(EXECUTION, "go", [], "late"), replies.append, "client#1")
    old.handle(rq.PollWorkflowTaskQueue(TaskQueue("queue"), "worker#1"), replies.append, "worker#1")
    old.handle(rq.StartWorkflowExecution(rq.Execution("b"), "T", "queue", [], "1"), replies.append, "client#1")
    assert [(type(reply), reply.status) for reply in replies[:1]] == [(ServiceError, "UNAVAILABLE")]
    assert replies[-1].status == "UNAVAILABLE"
    assert bench.names().count("WorkflowExecutionSignaled") == 1


def test_a_server_that_lost_its_store_tells_who_waits_for_a_run_that_has_closed(bench: Bench) -> None:
    bench.start()
    old = bench.server
    waiting = bench.result()
    bench.server = Server(bench.host, bench.store)  # type: ignore[arg-type]
    bench.ask(rq.TerminateWorkflowExecution(EXECUTION))
    replies: list[Any] = []
    old.handle(rq.SignalWorkflowExecution(EXECUTION, "go", [], "late"), replies.append, "client#1")
    assert replies[0].status == "UNAVAILABLE"
    assert type(waiting[0].events[0]).__name__ == "WorkflowExecutionTerminated"


def test_sticky_queues_are_not_remembered(bench: Bench) -> None:
    bench.start()
    bench.work(activity(), sticky=True)
    bench.poll_workflow(sticky=True)
    bench.restart()
    bench.signal()
    (task,) = bench.poll_workflow()
    assert task.events[0].event_id == 1
    assert STICKY.name not in [key[2] for key in bench.server.dispatcher.matching.backlog()]
