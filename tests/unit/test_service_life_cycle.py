"""Starts, signals, cancel requests, terminations, timers and timeouts of runs, as the real server handles them.

Sources (github.com/temporalio/temporal): service/history/api/startworkflow/api.go, workflow_id_dedup.go and
create_workflow_util.go beside it, service/history/api/signalworkflow, requestcancelworkflow, terminateworkflow,
util.go and retry.go in service/history/workflow, service/history/timer_queue_active_task_executor.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core import commands as cm
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import (
    ContinueAsNewInitiator,
    RetryState,
    WorkflowExecutionStatus,
    WorkflowTaskFailedCause,
)
from stormproof.engine.core.enums import WorkflowIdConflictPolicy as Conflict
from stormproof.engine.core.enums import WorkflowIdReusePolicy as Reuse
from stormproof.engine.core.errors import IllegalTransition, ServiceError
from stormproof.engine.core.events import RetryPolicyData
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.payloads import Payload
from stormproof.engine.core.transition import ALREADY_STARTED, handle

SECOND_US = 1_000_000
Refused = Callable[..., ServiceError]
ENDS: dict[str, list[cm.Command]] = {
    "completed": [cm.CompleteWorkflowExecution()],
    "failed": [cm.FailWorkflowExecution(Failure("no"))],
    "canceled": [cm.CancelWorkflowExecution()],
}


# --- start ------------------------------------------------------------------------------------------------------------


def test_the_first_event_says_what_was_asked_for(open_service: Any) -> None:
    service = open_service()
    response = service.start(
        "run-1",
        identity="client",
        memo={"m": Payload({}, b"1")},
        header={"h": Payload({}, b"2")},
        retry_policy=RetryPolicyData(maximum_attempts=3),
    )
    assert response == rq.StartWorkflowExecutionResponse("run-1", started=True)
    started = service.events[0]
    assert (started.workflow_type, started.workflow_id, started.task_queue.name) == ("Type", "workflow", "queue")
    assert started.original_execution_run_id == started.first_execution_run_id == "run-1"
    assert (started.attempt, started.identity, started.memo) == (1, "client", {"m": Payload({}, b"1")})
    assert started.retry_policy == RetryPolicyData(SECOND_US, 2.0, 100 * SECOND_US, 3, [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # execution, run, task timeout in seconds (overrideWorkflowRunTimeout, overrideWorkflowTaskTimeout)
        ((0, 0, 0), (0, 0, 10)),
        ((0, 0, 300), (0, 0, 120)),
        ((60, 0, 0), (60, 60, 10)),
        ((60, 100, 0), (60, 60, 10)),
        ((60, 5, 0), (60, 5, 5)),
        ((0, 5, 30), (0, 5, 5)),
        ((10**12, 0, 0), (3_153_600_000, 3_153_600_000, 10)),
    ],
)
def test_timeouts_are_filled_in_and_capped(open_service: Any, given: Any, expected: Any) -> None:
    service = open_service()
    service.start(
        workflow_execution_timeout_us=given[0] * SECOND_US,
        workflow_run_timeout_us=given[1] * SECOND_US,
        workflow_task_timeout_us=given[2] * SECOND_US,
    )
    started = service.events[0]
    found = (
        started.workflow_execution_timeout_us,
        started.workflow_run_timeout_us,
        started.workflow_task_timeout_us,
    )
    assert tuple(value // SECOND_US for value in found) == expected


def test_the_execution_deadline_is_rounded_to_milliseconds(open_service: Any) -> None:
    # common/util.go: deadline.Round(time.Millisecond)
    service = open_service()
    service.now_us += 1_501
    service.start(workflow_execution_timeout_us=60 * SECOND_US)
    assert service.events[0].workflow_execution_expiration_time_us == service.now_us + 60 * SECOND_US + 499
    # ... and the run's deadline is the earlier of the two
    assert service.due_in_us("workflow_run_timeout") == 60 * SECOND_US


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"request_id": ""}, "RequestId is not set on request."),
        ({"workflow_start_delay_us": -1}, "An invalid WorkflowStartDelay is set"),
        ({"workflow_run_timeout_us": -1}, "An invalid WorkflowRunTimeout is set"),
        ({"retry_policy": RetryPolicyData(maximum_attempts=-1)}, "MaximumAttempts cannot be negative"),
        ({"request_id": "x" * 1001}, "RequestId length exceeds limit."),
        ({"new_run_id": "r", "memo": {}, "request_id": ""}, "RequestId is not set"),
        (
            {
                "workflow_id_conflict_policy": Conflict.TERMINATE_EXISTING,
                "workflow_id_reuse_policy": Reuse.REJECT_DUPLICATE,
            },
            "Invalid WorkflowIDReusePolicy",
        ),
    ],
)
def test_bad_starts_are_refused(open_service: Any, refused: Refused, options: dict[str, Any], message: str) -> None:
    error = refused(open_service().start, **options)
    assert error.status == "INVALID_ARGUMENT"
    assert error.message.startswith(message)


@pytest.mark.parametrize("end", [None, "completed"])
def test_a_repeated_start_is_answered_with_the_run_that_it_made(service: Any, end: str | None) -> None:
    # handleConflict: the request id is one of the current run's, open or closed
    if end:
        service.turn(*ENDS[end])
    assert service.start("run-2") == rq.StartWorkflowExecutionResponse("run-1", started=True)
    assert service.run_id == "run-1"


def test_a_start_while_a_run_is_open_is_refused_by_default(service: Any, refused: Refused) -> None:
    error = refused(service.start, "run-2", "start-2")
    assert (error.status, error.detail, error.run_id) == ("ALREADY_EXISTS", ALREADY_STARTED, "run-1")
    assert error.message == "Workflow execution is already running. WorkflowId: workflow, RunId: run-1."


def test_a_start_may_use_the_open_run(service: Any) -> None:
    response = service.start("run-2", "start-2", workflow_id_conflict_policy=Conflict.USE_EXISTING)
    assert response == rq.StartWorkflowExecutionResponse("run-1", started=False)


@pytest.mark.parametrize(
    "policy",
    [
        {"workflow_id_conflict_policy": Conflict.TERMINATE_EXISTING},
        {"workflow_id_reuse_policy": Reuse.TERMINATE_IF_RUNNING},
    ],
)
def test_a_start_may_terminate_the_open_run_in_the_same_write(service: Any, policy: dict[str, Any]) -> None:
    service.poll()
    response = service.start("run-2", "start-2", **policy)
    assert response == rq.StartWorkflowExecutionResponse("run-2", started=True)
    assert service.store.current_run_id("default", "workflow") == "run-2"
    assert len(service.events) == 2
    old = service.store.load(service.states["run-1"].execution)
    assert [type(event).__name__ for event in old.events[-2:]] == ["WorkflowTaskFailed", "WorkflowExecutionTerminated"]
    terminated = old.events[-1]
    assert (terminated.reason, terminated.identity) == ("TerminateIfRunning WorkflowIdReusePolicy", "history-service")
    assert terminated.details[0].data == b'"terminated by new runID: run-2"'


@pytest.mark.parametrize(
    ("policy", "end", "allowed"),
    [
        (Reuse.ALLOW_DUPLICATE, "completed", True),
        (Reuse.TERMINATE_IF_RUNNING, "completed", True),
        (Reuse.ALLOW_DUPLICATE_FAILED_ONLY, "completed", False),
        (Reuse.ALLOW_DUPLICATE_FAILED_ONLY, "failed", True),
        (Reuse.ALLOW_DUPLICATE_FAILED_ONLY, "canceled", True),
        (Reuse.REJECT_DUPLICATE, "failed", False),
    ],
)
def test_the_id_of_a_closed_run_is_used_again_as_the_policy_says(
    service: Any, refused: Refused, policy: Reuse, end: str, allowed: bool
) -> None:
    service.turn(*ENDS[end])
    if allowed:
        assert service.start("run-2", "start-2", workflow_id_reuse_policy=policy).run_id == "run-2"
    else:
        error = refused(service.start, "run-2", "start-2", workflow_id_reuse_policy=policy)
        assert (error.detail, error.run_id) == (ALREADY_STARTED, "run-1")


def test_a_delayed_start_schedules_its_first_task_later(open_service: Any) -> None:
    # GenerateDelayedWorkflowTasks; the run timeout counts from the end of the delay
    service = open_service()
    service.start(workflow_start_delay_us=30 * SECOND_US, workflow_run_timeout_us=60 * SECOND_US)
    assert service.names == ["WorkflowExecutionStarted"]
    assert service.events[0].first_workflow_task_backoff_us == 30 * SECOND_US
    assert service.due_in_us("workflow_run_timeout") == 90 * SECOND_US
    service.signal()  # IsWorkflowPendingOnWorkflowTaskBackoff: it waits
    assert service.names[-1] == "WorkflowExecutionSignaled"
    service.fire("workflow_backoff")
    assert service.names[-1] == "WorkflowTaskScheduled"
    assert "workflow_backoff" not in service.outbox
    service.turn()
    service.signal()
    assert service.names[-1] == "WorkflowTaskScheduled"


def test_a_cancel_request_does_not_wait_for_a_delayed_start(open_service: Any) -> None:
    service = open_service()
    service.start(workflow_start_delay_us=30 * SECOND_US)
    timer = service.outbox["workflow_backoff"]
    service.cancel()
    assert service.names[1:] == ["WorkflowExecutionCancelRequested", "WorkflowTaskScheduled"]
    service.do(rq.TimerDue(service.execution, timer), 30 * SECOND_US)
    assert service.last.is_empty


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_signal_is_recorded_once_per_request(service: Any) -> None:
    service.turn()
    service.signal("go", "request")
    service.signal("go", "request")
    assert service.names[-2:] == ["WorkflowExecutionSignaled", "WorkflowTaskScheduled"]
    assert service.last.is_empty
    signaled = service.events[-2]
    assert (signaled.signal_name, signaled.identity, signaled.request_id) == ("go", "client", "request")


def test_a_buffered_signal_is_recorded_once_per_request(service: Any) -> None:
    service.poll()
    service.signal("go", "request")
    service.signal("go", "request")
    service.complete()
    assert service.names.count("WorkflowExecutionSignaled") == 1


def test_a_closed_run_refuses_signals_but_answers_repeated_ones(service: Any, refused: Refused) -> None:
    service.signal("go", "request")
    service.turn(*ENDS["completed"])
    service.signal("go", "request")
    error = refused(service.signal, "go", "another")
    assert (error.status, error.message) == ("NOT_FOUND", "workflow execution already completed")


def test_there_is_a_limit_to_signals(service: Any, refused: Refused) -> None:
    service.state.signal_count = 10_000
    assert refused(service.signal).message == "exceeded workflow execution limit for signal events"


def test_a_cancel_request_is_recorded_once(service: Any) -> None:
    service.turn()
    service.cancel()
    service.cancel()
    assert service.last.is_empty
    assert service.names[-2:] == ["WorkflowExecutionCancelRequested", "WorkflowTaskScheduled"]
    assert (service.events[-2].cause, service.events[-2].identity) == ("why", "client")


def test_a_buffered_cancel_request_is_recorded_once(service: Any) -> None:
    service.poll()
    service.cancel()
    service.cancel()
    service.complete()
    assert service.names.count("WorkflowExecutionCancelRequested") == 1


def test_cancelling_a_closed_run_is_a_success_and_terminating_it_is_not(service: Any, refused: Refused) -> None:
    service.turn(*ENDS["completed"])
    service.cancel()
    assert service.last.is_empty
    assert refused(service.terminate).message == "workflow execution already completed"


def test_a_termination_fails_the_started_task_and_flushes(service: Any) -> None:
    # workflow/util.go: TerminateWorkflow
    service.poll()
    service.signal()
    service.terminate()
    assert service.names[3:] == ["WorkflowTaskFailed", "WorkflowExecutionSignaled", "WorkflowExecutionTerminated"]
    failed, terminated = service.events[3], service.events[5]
    assert (failed.cause, failed.identity) == (WorkflowTaskFailedCause.FORCE_CLOSE_COMMAND, "history-service")
    assert (terminated.reason, terminated.identity) == ("enough", "client")
    assert service.outbox == {}


def test_a_termination_does_not_care_about_a_task_that_nobody_has(service: Any) -> None:
    service.terminate()
    assert service.names[2:] == ["WorkflowExecutionTerminated"]
    assert service.state.workflow_task is None


def test_requests_to_another_chain_are_not_found(service: Any, refused: Refused) -> None:
    for request in (
        rq.TerminateWorkflowExecution(service.execution, "r", first_execution_run_id="other"),
        rq.RequestCancelWorkflowExecution(service.execution, "r", first_execution_run_id="other"),
    ):
        assert refused(service.do, request).message == "workflow execution not found"


def test_workers_of_a_closed_run_are_not_found(service: Any, refused: Refused) -> None:
    service.poll()
    token = service.token()
    service.terminate()
    assert refused(service.complete, token=token).message == "workflow execution already completed"


def test_what_is_no_request_to_a_run_is_our_mistake(service: Any) -> None:
    with pytest.raises(IllegalTransition):
        handle(service.state, object(), now_us=1)
    with pytest.raises(IllegalTransition):
        handle(service.state, rq.TimerDue(service.execution, rq.TimerTask(1, "egg_timer")), now_us=1)


# --- timers -----------------------------------------------------------------------------------------------------------


def test_timers_fire_at_their_time(service: Any) -> None:
    service.turn(cm.StartTimer("t", 60 * SECOND_US))
    assert service.outbox == {"timer/5": rq.TimerTask(service.now_us + 60 * SECOND_US, "user_timer", 5)}
    service.fire("timer/5")
    assert service.names[-2:] == ["TimerFired", "WorkflowTaskScheduled"]
    assert (service.events[-2].timer_id, service.events[-2].started_event_id) == ("t", 5)


def test_timers_that_are_due_fire_together_and_in_order(service: Any) -> None:
    # executeUserTimerTimeoutTask
    service.turn(
        cm.StartTimer("late", 90 * SECOND_US), cm.StartTimer("b", 60 * SECOND_US), cm.StartTimer("a", 60 * SECOND_US)
    )
    service.fire("timer/7")
    assert service.names[-3:] == ["TimerFired", "TimerFired", "WorkflowTaskScheduled"]
    assert [event.timer_id for event in service.events[-3:-1]] == ["b", "a"]
    assert sorted(service.outbox) == ["timer/5", "workflow_task"]


def test_a_timer_that_is_gone_fires_nothing(service: Any) -> None:
    service.turn(cm.StartTimer("t", SECOND_US))
    stale = service.outbox["timer/5"]
    service.signal()
    service.turn(cm.CancelTimer("t"))
    service.do(rq.TimerDue(service.execution, stale), 60 * SECOND_US)
    assert service.last.is_empty


def test_a_timer_is_due_by_its_own_time_even_if_the_clock_lags(service: Any) -> None:
    # queues.IsTimeExpired takes the later of the two
    service.turn(cm.StartTimer("t", 60 * SECOND_US))
    service.do(rq.TimerDue(service.execution, service.outbox["timer/5"]), 30 * SECOND_US)
    assert service.names[-2] == "TimerFired"


def test_a_run_times_out(open_service: Any) -> None:
    # workflow/util.go: TimeoutWorkflow; RETRY_POLICY_NOT_SET while the execution itself has time left
    service = open_service()
    service.start(workflow_run_timeout_us=60 * SECOND_US)
    service.poll()
    service.fire("workflow_run_timeout")
    assert service.names[-2:] == ["WorkflowTaskFailed", "WorkflowExecutionTimedOut"]
    assert service.events[-1].retry_state is RetryState.RETRY_POLICY_NOT_SET
    assert service.state.status is WorkflowExecutionStatus.TIMED_OUT


def test_an_execution_times_out(open_service: Any) -> None:
    service = open_service()
    service.start(workflow_execution_timeout_us=60 * SECOND_US, retry_policy=RetryPolicyData())
    service.fire("workflow_run_timeout")
    assert service.events[-1].retry_state is RetryState.TIMEOUT
    assert service.events[-1].new_execution_run_id == ""


# --- workflow retries -------------------------------------------------------------------------------------------------


def test_a_failed_workflow_with_a_retry_policy_goes_on_in_a_new_run(open_service: Any) -> None:
    # handleRetry, SetupNewWorkflowForRetryOrCron: both runs in one write
    service = open_service()
    service.start(retry_policy=RetryPolicyData(maximum_attempts=2), workflow_execution_timeout_us=600 * SECOND_US)
    service.now_us += 5 * SECOND_US
    failure = Failure("no", info=ApplicationFailureInfo("Broken"))
    service.turn(cm.FailWorkflowExecution(failure))
    failed = service.events[-1]
    assert failed.retry_state is RetryState.IN_PROGRESS
    first = service.events[0]
    service.run_id = failed.new_execution_run_id
    assert service.store.current_run_id("default", "workflow") == service.run_id
    second = service.events[0]
    assert (second.attempt, second.initiator, second.continued_failure) == (2, ContinueAsNewInitiator.RETRY, failure)
    assert (second.continued_execution_run_id, second.first_execution_run_id) == ("run-1", "run-1")
    assert second.original_execution_run_id == service.run_id
    assert second.first_workflow_task_backoff_us == SECOND_US
    assert second.workflow_execution_expiration_time_us == first.workflow_execution_expiration_time_us
    service.fire("workflow_backoff")
    service.turn(cm.FailWorkflowExecution(failure))
    assert service.events[-1].retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED


def test_a_run_that_timed_out_is_retried(open_service: Any) -> None:
    service = open_service()
    service.start(retry_policy=RetryPolicyData(), workflow_run_timeout_us=60 * SECOND_US)
    service.fire("workflow_run_timeout")
    timed_out = service.events[-1]
    assert timed_out.retry_state is RetryState.IN_PROGRESS
    service.run_id = timed_out.new_execution_run_id
    assert service.events[0].continued_failure.message == "workflow timeout"


def test_runs_of_a_chain_are_at_least_a_second_apart(open_service: Any) -> None:
    # ContinueAsNewMinBackoff
    service = open_service()
    service.start(retry_policy=RetryPolicyData(initial_interval_us=1000))
    service.turn(cm.FailWorkflowExecution(Failure("no")))
    lifetime_us = service.now_us - service.events[0].time_us
    service.run_id = service.events[-1].new_execution_run_id
    assert service.events[0].first_workflow_task_backoff_us == SECOND_US - lifetime_us


def test_a_backoff_that_is_long_enough_stays_as_it_is(open_service: Any) -> None:
    service = open_service()
    service.start(retry_policy=RetryPolicyData(initial_interval_us=600_000))
    service.now_us += 500_000
    service.turn(cm.FailWorkflowExecution(Failure("no")))
    service.run_id = service.events[-1].new_execution_run_id
    assert service.events[0].first_workflow_task_backoff_us == 600_000


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_history_that_is_too_long_ends_the_run(
    service: Any, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    # workflow/context.go: enforceHistoryCountCheck
    from stormproof.engine.core import transition

    monkeypatch.setattr(transition, "HISTORY_COUNT_MAX", 3)
    service.signal()
    service.signal()
    assert refused(service.signal).message == "Workflow history count exceeds limit."
    assert service.names[-1] == "WorkflowExecutionTerminated"
    assert service.events[-1].reason == "Workflow history count exceeds limit."
