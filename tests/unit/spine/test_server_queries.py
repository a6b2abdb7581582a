"""Queries in the server machine: with a workflow task, directly, in vain."""

from __future__ import annotations

from typing import Any

import pytest
from spine_bench import EXECUTION, SECOND_US, Bench
from stormproof.engine.core import commands as cm
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import QueryRejectCondition, WorkflowExecutionStatus
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.failures import Failure
from stormproof.engine.core.payloads import Payload

ANSWER = [Payload({"encoding": b"json/plain"}, b"42")]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.start()
    return made


def idle(bench: Bench, *, sticky: bool = False) -> None:
    bench.work(cm.StartTimer(timer_id="1", start_to_fire_timeout_us=3600 * SECOND_US), sticky=sticky)


def answer(bench: Bench, task: Any, failure: Failure | None = None) -> Any:
    result = rq.WorkflowQueryResult([] if failure else ANSWER, failure)
    return bench.ask(rq.RespondQueryTaskCompleted(task.query_token, result))


def test_an_idle_run_is_asked_directly(bench: Bench) -> None:
    idle(bench)
    reply = bench.query()
    (task,) = bench.poll_workflow()
    assert task.query.query_type == "state"
    assert [event.event_id for event in task.events] == [1, 2, 3, 4, 5]
    assert task.started_event_id == task.previous_started_event_id == 3
    assert answer(bench, task) is None
    assert reply[0].query_result == ANSWER


def test_the_sticky_worker_is_asked_first_and_gets_no_events(bench: Bench) -> None:
    idle(bench, sticky=True)
    normal, sticky = bench.poll_workflow(), bench.poll_workflow(sticky=True)
    reply = bench.query()
    assert (normal, sticky[0].events) == ([], [])
    answer(bench, sticky[0])
    assert len(reply) == 1


def test_anybody_is_asked_when_the_sticky_worker_does_not_answer(bench: Bench) -> None:
    idle(bench, sticky=True)
    normal, sticky = bench.poll_workflow(), bench.poll_workflow(sticky=True)
    reply = bench.query()
    bench.advance(9)
    assert normal == []
    bench.advance(1)
    assert answer(bench, normal[0]) is None
    assert reply[0].query_result == ANSWER
    assert answer(bench, sticky[0]).status == "NOT_FOUND"


def test_a_query_waits_for_the_workflow_task_that_is_pending(bench: Bench) -> None:
    reply = bench.query()
    (task,) = bench.poll_workflow()
    ((query_id, query),) = task.queries.items()
    assert query.query_type == "state"
    results = {query_id: rq.WorkflowQueryResult(ANSWER)}
    bench.complete(task, cm.StartTimer(timer_id="1", start_to_fire_timeout_us=SECOND_US), query_results=results)
    assert reply[0].query_result == ANSWER


def test_a_query_that_came_after_the_task_was_given_out_is_asked_directly_afterwards(bench: Bench) -> None:
    (task,) = bench.poll_workflow()
    reply = bench.query()
    bench.complete(task, cm.StartTimer(timer_id="1", start_to_fire_timeout_us=SECOND_US))
    (asked,) = bench.poll_workflow()
    answer(bench, asked)
    assert reply[0].query_result == ANSWER


def test_a_query_stays_with_the_next_workflow_task_where_one_follows_at_once(bench: Bench) -> None:
    (task,) = bench.poll_workflow()
    reply = bench.query()
    bench.signal()
    bench.complete(task)
    (following,) = bench.poll_workflow()
    assert len(following.queries) == 1
    results = {query_id: rq.WorkflowQueryResult(ANSWER) for query_id in following.queries}
    bench.complete(following, query_results=results)
    assert reply[0].query_result == ANSWER


def test_a_query_goes_with_the_task_again_when_the_task_was_lost(bench: Bench) -> None:
    bench.query()
    first = bench.poll_workflow()[0]
    bench.advance(11)
    second = bench.poll_workflow()[0]
    assert list(first.queries) == list(second.queries)
    assert second.attempt == 2


def test_a_closed_run_is_asked_directly(bench: Bench) -> None:
    bench.work(cm.CompleteWorkflowExecution())
    reply = bench.query()
    answer(bench, bench.poll_workflow()[0])
    assert len(reply) == 1


def test_a_query_that_waits_is_asked_directly_when_the_run_is_terminated(bench: Bench) -> None:
    idle(bench)
    bench.signal()
    reply = bench.query()
    bench.ask(rq.TerminateWorkflowExecution(EXECUTION))
    answer(bench, bench.poll_workflow()[0])
    assert len(reply) == 1


def test_a_handler_that_fails_is_told(bench: Bench) -> None:
    idle(bench)
    reply = bench.query()
    answer(bench, bench.poll_workflow()[0], Failure("no such query"))
    assert (reply[0].status, reply[0].message, reply[0].detail) == (
        "INVALID_ARGUMENT",
        "no such query",
        "QueryFailedFailure",
    )


def test_a_reject_condition_is_looked_at_first(bench: Bench) -> None:
    bench.work(cm.CompleteWorkflowExecution())
    (rejected,) = bench.query(query_reject_condition=QueryRejectCondition.NOT_OPEN)
    assert rejected.rejected_status == WorkflowExecutionStatus.COMPLETED
    assert bench.query(query_reject_condition=QueryRejectCondition.NOT_COMPLETED_CLEANLY) == []


def refusal(replies: list[Any]) -> tuple[str, str]:
    (reply,) = replies
    assert isinstance(reply, ServiceError)
    return reply.status, reply.message


def test_nobody_polls_is_told_a_second_before_the_end(bench: Bench) -> None:
    idle(bench)
    bench.advance(60)
    reply = bench.query()
    bench.advance(28)
    assert reply == []
    bench.advance(2)
    assert refusal(reply) == (
        "FAILED_PRECONDITION",
        "no poller seen for task queue recently, worker may be down",
    )
    assert bench.poll_workflow() == []


def test_a_worker_that_takes_a_query_and_never_answers_lets_it_run_out_of_time(bench: Bench) -> None:
    idle(bench)
    reply = bench.query(timeout_us=5 * SECOND_US)
    bench.poll_workflow()
    bench.advance(4.9)
    assert reply == []
    bench.advance(0.2)
    assert refusal(reply)[0] == "DEADLINE_EXCEEDED"


def test_a_buffered_query_runs_out_of_time(bench: Bench) -> None:
    reply = bench.query(timeout_us=5 * SECOND_US)
    bench.advance(6)
    assert refusal(reply)[0] == "DEADLINE_EXCEEDED"
    assert not bench.poll_workflow()[0].queries


def test_only_one_query_waits_at_a_time(bench: Bench) -> None:
    bench.query()
    assert refusal(bench.query())[0] == "RESOURCE_EXHAUSTED"


def test_a_run_that_never_got_to_work_can_not_be_asked(bench: Bench) -> None:
    reply = bench.query()
    bench.ask(rq.TerminateWorkflowExecution(EXECUTION))
    closed = ("FAILED_PRECONDITION", "Workflow execution closed before WorkflowTaskStarted event")
    assert refusal(reply) == closed
    assert refusal(bench.query()) == closed


def test_a_run_that_starts_too_late_can_not_be_asked() -> None:
    bench = Bench()
    bench.start(workflow_start_delay_us=3600 * SECOND_US)
    assert refusal(bench.query()) == ("FAILED_PRECONDITION", "Workflow task is not scheduled yet.")
    bench.advance(3590)
    assert bench.query() == []
    bench.advance(11)
    assert len(bench.poll_workflow()[0].queries) == 1


def test_a_run_whose_workflow_task_fails_again_and_again_can_not_be_asked(bench: Bench) -> None:
    idle(bench)
    bench.signal()
    for _ in range(2):
        bench.fail(bench.poll_workflow()[0])
    assert refusal(bench.query())[1] == "Unable to query workflow due to Workflow Task in failed state."


def test_no_query_outlives_the_server(bench: Bench) -> None:
    idle(bench)
    bench.query()
    (task,) = bench.poll_workflow()
    bench.restart()
    assert answer(bench, task).status == "NOT_FOUND"
