"""Activities: starts, retries, timeouts, heartbeats, as the real server handles them.

Sources (github.com/temporalio/temporal): mutable_state_impl.go (RetryActivity, AddActivityTask...), retry.go and
timer_sequence.go in service/history/workflow, service/history/api/respondactivitytask...,
service/history/api/recordactivitytaskstarted, service/history/timer_queue_active_task_executor.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core import commands as cm
from stormproof.engine.core import events as ev
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import PendingActivityState, RetryState, TimeoutType
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import RetryPolicyData
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.payloads import Payload
from stormproof.engine.core.transition import read

SECOND_US = 1_000_000
Refused = Callable[..., ServiceError]
TIMEOUTS = {
    "close": "schedule_to_close_timeout_us",
    "wait": "schedule_to_start_timeout_us",
    "run": "start_to_close_timeout_us",
    "beat": "heartbeat_timeout_us",
}


def schedule(service: Any, activity_id: str = "a", retry: RetryPolicyData | None = None, **seconds: float) -> None:
    """Have a run schedule an activity; timeouts in seconds by their short names."""
    timeouts: dict[str, Any] = {
        TIMEOUTS[name]: int(value * SECOND_US) for name, value in {"run": 10, **seconds}.items()
    }
    command = cm.ScheduleActivityTask(
        activity_id=activity_id, activity_type="act", input=[Payload({}, b"in")], retry_policy=retry, **timeouts
    )
    if service.state.workflow_task is None:
        service.signal()
    service.turn(command)


# --- happy path -------------------------------------------------------------------------------------------------------


def test_a_start_leaves_nothing_in_history_until_the_activity_ends(service: Any) -> None:
    # addStartedEventForTransientActivity
    schedule(service, close=40, beat=2)
    task = service.poll_activity(identity="w1", request_id="p")
    started_us = service.now_us
    assert service.names[-1] == "ActivityTaskScheduled"
    scheduled = service.events[4]
    assert task == rq.PollActivityTaskQueueResponse(
        task_token=rq.TaskToken(service.execution, 5, 1, 0, "a"),
        execution=service.execution,
        workflow_type="Type",
        activity_id="a",
        activity_type="act",
        input=[Payload({}, b"in")],
        header={},
        attempt=1,
        scheduled_time_us=scheduled.time_us,
        current_attempt_scheduled_time_us=scheduled.time_us,
        started_time_us=started_us,
        schedule_to_close_timeout_us=40 * SECOND_US,
        start_to_close_timeout_us=10 * SECOND_US,
        heartbeat_timeout_us=2 * SECOND_US,
        heartbeat_details=[],
        retry_policy=scheduled.retry_policy,
        task_queue="queue",
    )
    assert list(service.outbox) == ["activity_timeout/5"]
    service.do(rq.RespondActivityTaskCompleted(task.task_token, [Payload({}, b"out")], "w2"), SECOND_US)
    assert service.names[-3:] == ["ActivityTaskStarted", "ActivityTaskCompleted", "WorkflowTaskScheduled"]
    started, completed = service.events[-3:-1]
    assert started == ev.ActivityTaskStarted(6, started_us, 5, "w1", "p", 1, None)
    assert completed == ev.ActivityTaskCompleted(7, service.now_us, [Payload({}, b"out")], 5, 6, "w2")
    assert list(service.outbox) == ["workflow_task"]
    assert "activity/5" not in service.record


def test_a_repeated_start_gets_the_same_answer_and_another_poller_none(service: Any, refused: Refused) -> None:
    schedule(service)
    first = service.poll_activity(request_id="one")
    assert service.poll_activity(request_id="one") == first
    assert service.last.is_empty
    error = refused(service.poll_activity, request_id="two")
    assert (error.status, error.detail) == ("NOT_FOUND", "TaskAlreadyStarted")


def test_answers_that_come_too_late_are_not_found(service: Any, refused: Refused) -> None:
    # IsActivityTaskNotFoundForToken
    schedule(service)
    service.poll_activity()
    token = service.activity_token()
    service.fail_activity()
    late = [
        rq.RespondActivityTaskCompleted(token, [], "w"),
        rq.RespondActivityTaskFailed(token, Failure("x"), "w"),
        rq.RespondActivityTaskCanceled(token, [], "w"),
        rq.RecordActivityTaskHeartbeat(token, [], "w"),
    ]
    for answer in late:  # the activity backs off
        assert refused(service.do, answer).status == "NOT_FOUND"
    service.fire("activity_retry/5")
    service.poll_activity()
    for answer in late:  # another attempt runs
        assert "invalid activityID" in refused(service.do, answer).message
    service.complete_activity()
    for answer in late:  # it has ended
        assert refused(service.do, answer).status == "NOT_FOUND"


def test_an_attempt_that_is_not_due_yet_can_not_be_started(service: Any, refused: Refused) -> None:
    schedule(service)
    service.poll_activity()
    service.fail_activity()
    assert refused(service.poll_activity).status == "NOT_FOUND"


# --- retries ----------------------------------------------------------------------------------------------------------


def test_a_failed_attempt_is_retried_after_its_backoff(service: Any) -> None:
    # RetryActivity: default policy 1 s, doubled, at most 100 s
    schedule(service)
    for attempt, seconds in enumerate([1, 2, 4, 8, 16, 32, 64, 100, 100], start=1):
        assert service.poll_activity().attempt == attempt
        service.fail_activity(failure=Failure(f"failure {attempt}", info=ApplicationFailureInfo("Broken")))
        assert service.outbox == {
            "activity_retry/5": rq.TimerTask(service.now_us + seconds * SECOND_US, "activity_retry", 5, attempt + 1)
        }
        service.fire("activity_retry/5")
        assert service.outbox == {f"activity/5/{attempt + 1}": rq.ActivityTaskReady(5, attempt + 1, "queue")}
    service.poll_activity()
    service.complete_activity()
    started = service.events[-3]
    assert (started.attempt, started.last_failure.message) == (10, "failure 9")


def test_a_retry_timer_that_comes_twice_dispatches_once(service: Any) -> None:
    schedule(service)
    service.poll_activity()
    service.fail_activity()
    timer = service.outbox["activity_retry/5"]
    service.fire("activity_retry/5")
    service.do(rq.TimerDue(service.execution, timer))
    assert service.last.is_empty


@pytest.mark.parametrize(
    ("retry", "failure", "expected"),
    [
        (RetryPolicyData(maximum_attempts=1), Failure("x"), RetryState.MAXIMUM_ATTEMPTS_REACHED),
        (
            RetryPolicyData(non_retryable_error_types=["Bad"]),
            Failure("x", info=ApplicationFailureInfo("Bad")),
            RetryState.NON_RETRYABLE_FAILURE,
        ),
        (None, Failure("x", info=ApplicationFailureInfo("T", non_retryable=True)), RetryState.NON_RETRYABLE_FAILURE),
        # The next attempt would start after schedule-to-close (nextBackoffInterval): a failure, not a timeout.
        (RetryPolicyData(initial_interval_us=60 * SECOND_US), Failure("x"), RetryState.TIMEOUT),
    ],
)
def test_a_failure_that_is_not_retried_closes_the_activity(
    service: Any, retry: RetryPolicyData | None, failure: Failure, expected: RetryState
) -> None:
    schedule(service, retry=retry, close=30)
    service.poll_activity()
    service.fail_activity(failure=failure)
    assert service.names[-3:] == ["ActivityTaskStarted", "ActivityTaskFailed", "WorkflowTaskScheduled"]
    failed = service.events[-2]
    assert (failed.retry_state, failed.failure, failed.started_event_id) == (expected, failure, 6)


@pytest.mark.parametrize("delay_us", [250_000, 500 * SECOND_US])
def test_a_failure_may_ask_for_its_own_delay(service: Any, delay_us: int) -> None:
    # "if a delay is specified by the application it should override the maximum interval set by the retry policy"
    schedule(service)
    service.poll_activity()
    service.fail_activity(failure=Failure("x", info=ApplicationFailureInfo("T", next_retry_delay_us=delay_us)))
    assert service.due_in_us("activity_retry/5") == delay_us


def test_a_failure_after_a_cancel_request_is_not_retried(service: Any) -> None:
    schedule(service)
    service.poll_activity()
    service.signal()
    service.turn(cm.RequestCancelActivityTask(5))
    service.fail_activity()
    assert service.events[-2].retry_state is RetryState.CANCEL_REQUESTED


def test_a_worker_may_confirm_only_a_cancellation_that_was_asked_for(service: Any, refused: Refused) -> None:
    schedule(service)
    service.poll_activity()
    confirm = rq.RespondActivityTaskCanceled(service.activity_token(), [Payload({}, b"bye")], "w")
    assert refused(service.do, confirm).status == "INVALID_ARGUMENT"
    service.signal()
    service.turn(cm.RequestCancelActivityTask(5))
    requested_event_id = service.events[-1].event_id
    service.do(confirm)
    canceled = service.events[-2]
    assert (canceled.latest_cancel_requested_event_id, canceled.details) == (requested_event_id, [Payload({}, b"bye")])


# --- timeouts ---------------------------------------------------------------------------------------------------------


def test_start_to_close_is_retried_and_carries_the_cause(service: Any) -> None:
    # processSingleActivityTimeoutTask, AddActivityTaskTimedOutEvent
    schedule(service, retry=RetryPolicyData(maximum_attempts=2), run=3)
    service.poll_activity()
    assert service.due_in_us("activity_timeout/5") == 3 * SECOND_US
    service.fire("activity_timeout/5")
    attempt = service.record["activity/5"]
    assert (attempt.attempt, attempt.last_failure.message) == (2, "activity StartToClose timeout")
    service.fire("activity_retry/5")
    service.poll_activity()
    service.fire("activity_timeout/5")
    started, timed_out = service.events[-3:-1]
    assert (started.attempt, started.last_failure.info.timeout_type) == (2, TimeoutType.START_TO_CLOSE)
    assert timed_out.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    failure = timed_out.failure
    assert (failure.message, failure.source) == ("activity StartToClose timeout", "Server")
    assert failure.info.timeout_type is TimeoutType.START_TO_CLOSE
    assert failure.cause == started.last_failure


def test_schedule_to_start_is_never_retried(service: Any) -> None:
    schedule(service, wait=5)
    service.fire("activity_timeout/5")
    assert service.names[-2:] == ["ActivityTaskTimedOut", "WorkflowTaskScheduled"]
    timed_out = service.events[-2]
    assert (timed_out.started_event_id, timed_out.retry_state) == (0, RetryState.TIMEOUT)
    assert timed_out.failure.message == "activity ScheduleToStart timeout"


def test_schedule_to_start_counts_anew_for_each_attempt(service: Any) -> None:
    # getActivityScheduleToStartTimeout: from the time at which the attempt is due
    schedule(service, wait=5)
    service.poll_activity()
    service.fail_activity()
    assert service.due_in_us("activity_timeout/5") == 6 * SECOND_US
    service.fire("activity_retry/5")
    service.fire("activity_timeout/5")
    failure = service.events[-2].failure
    assert failure.info.timeout_type is TimeoutType.SCHEDULE_TO_START
    assert failure.cause.message == "broken"


def test_schedule_to_close_ends_the_activity_whatever_it_is_doing(service: Any) -> None:
    schedule(service, close=5, run=4)
    service.poll_activity()
    service.fail_activity(failure=Failure("first"))
    service.fire("activity_retry/5")
    service.poll_activity()
    service.fire("activity_timeout/5")
    started, timed_out = service.events[-3:-1]
    assert started.attempt == 2
    assert timed_out.retry_state is RetryState.TIMEOUT
    assert timed_out.failure.info.timeout_type is TimeoutType.SCHEDULE_TO_CLOSE
    assert timed_out.failure.cause.message == "first"


def test_no_time_for_another_attempt_is_a_schedule_to_close_timeout(service: Any) -> None:
    # "Convert the timeout type to schedule to close for historical reasons"
    schedule(service, close=10, run=9.5)
    service.poll_activity()
    service.fire("activity_timeout/5")
    timed_out = service.events[-2]
    assert timed_out.retry_state is RetryState.TIMEOUT
    assert timed_out.failure.info.timeout_type is TimeoutType.SCHEDULE_TO_CLOSE
    assert timed_out.failure.message == (
        "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying"
    )


def test_heartbeats_put_off_the_heartbeat_timeout_and_their_details_go_on(service: Any) -> None:
    schedule(service, beat=2, retry=RetryPolicyData(maximum_attempts=2))
    service.poll_activity()
    assert service.due_in_us("activity_timeout/5") == 2 * SECOND_US
    service.now_us += SECOND_US
    service.heartbeat(details="half")
    assert service.due_in_us("activity_timeout/5") == 2 * SECOND_US
    service.fire("activity_timeout/5")
    service.fire("activity_retry/5")
    assert service.poll_activity().heartbeat_details == [Payload({}, b"half")]
    assert service.due_in_us("activity_timeout/5") == 2 * SECOND_US
    service.fire("activity_timeout/5")
    info = service.events[-2].failure.info
    assert info.timeout_type is TimeoutType.HEARTBEAT
    assert info.last_heartbeat_details == [Payload({}, b"half")]


def test_details_given_with_a_failure_are_kept_for_the_next_attempt(service: Any) -> None:
    schedule(service)
    service.poll_activity()
    details = [Payload({}, b"last words")]
    service.do(rq.RespondActivityTaskFailed(service.activity_token(), Failure("x"), "w", details))
    service.fire("activity_retry/5")
    assert service.poll_activity().heartbeat_details == details


def test_a_timeout_that_is_in_non_retryable_types_is_not_retried(service: Any) -> None:
    # See retry_policy.go: TimeoutFailureTypePrefix
    schedule(service, retry=RetryPolicyData(non_retryable_error_types=["TemporalTimeout:StartToClose"]))
    service.poll_activity()
    service.fire("activity_timeout/5")
    assert service.events[-2].retry_state is RetryState.NON_RETRYABLE_FAILURE


def test_activities_that_are_due_time_out_together(service: Any) -> None:
    # executeActivityTimeoutTask loops over all that is due; the flush puts ends last
    commands = [
        cm.ScheduleActivityTask(activity_id=name, activity_type="act", schedule_to_close_timeout_us=SECOND_US)
        for name in "ab"
    ]
    service.turn(*commands)
    service.poll_activity("a")
    service.fire("activity_timeout/6")
    assert service.names[-4:] == [
        "ActivityTaskStarted",
        "ActivityTaskTimedOut",
        "ActivityTaskTimedOut",
        "WorkflowTaskScheduled",
    ]
    assert [event.scheduled_event_id for event in service.events[-3:-1]] == [5, 6]


def test_a_timeout_of_an_attempt_that_is_over_changes_nothing(service: Any) -> None:
    schedule(service)
    service.poll_activity()
    stale = service.outbox["activity_timeout/5"]
    service.fail_activity()
    service.do(rq.TimerDue(service.execution, stale), 60 * SECOND_US)
    assert service.last.is_empty


def test_a_completion_while_a_workflow_task_runs_is_buffered(service: Any) -> None:
    schedule(service)
    service.poll_activity()
    service.signal()
    service.poll()
    service.complete_activity()
    assert service.names[-1] == "WorkflowTaskStarted"
    assert [type(event).__name__ for event in service.state.buffered] == [
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
    ]
    assert list(service.outbox) == ["workflow_task_timeout"]


# --- describing -------------------------------------------------------------------------------------------------------


def test_pending_activities_are_described(service: Any) -> None:
    # GetPendingActivityInfo
    def described() -> Any:
        answer = read(service.state, rq.DescribeWorkflowExecution(service.execution), now_us=service.now_us)
        return answer.pending_activities[0]

    schedule(service)
    assert described().state is PendingActivityState.SCHEDULED
    service.poll_activity(identity="w7")
    service.heartbeat()
    info = described()
    assert (info.state, info.attempt, info.last_worker_identity) == (PendingActivityState.STARTED, 1, "w7")
    assert (info.last_heartbeat_time_us, info.heartbeat_details) == (service.now_us, [Payload({}, b"beat")])
    service.fail_activity()
    info = described()
    assert (info.state, info.attempt, info.last_started_time_us) == (PendingActivityState.SCHEDULED, 2, None)
    assert info.next_attempt_schedule_time_us == service.now_us + SECOND_US
    assert info.last_failure.message == "broken"
    service.fire("activity_retry/5")
    assert described().next_attempt_schedule_time_us is None
    service.poll_activity()
    service.signal()
    service.turn(cm.RequestCancelActivityTask(5))
    assert described().state is PendingActivityState.CANCEL_REQUESTED
