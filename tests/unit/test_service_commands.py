"""Commands of a workflow task: which events they become, and how bad ones fail the task.

Sources (github.com/temporalio/temporal): workflow_task_completed_handler.go and api.go in
service/history/api/respondworkflowtaskcompleted, service/history/api/command_attr_validator.go,
chasm/lib/activity/validator.go, service/history/workflow/mutable_state_impl.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core import commands as cm
from stormproof.engine.core import events as ev
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import RetryState, TaskQueueKind, WorkflowExecutionStatus
from stormproof.engine.core.enums import WorkflowTaskFailedCause as Cause
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import RetryPolicyData, TaskQueue, UserMetadata
from stormproof.engine.core.failures import Failure
from stormproof.engine.core.payloads import Payload
from stormproof.engine.core.retry import DEFAULT_RETRY_POLICY

SECOND_US = 1_000_000
Refused = Callable[..., ServiceError]


def activity(activity_id: str = "a", **options: Any) -> cm.ScheduleActivityTask:
    given = {"activity_type": "act", "start_to_close_timeout_us": 10 * SECOND_US, **options}
    return cm.ScheduleActivityTask(activity_id=activity_id, **given)


def timer(timer_id: str = "t", seconds: int = 60) -> cm.StartTimer:
    return cm.StartTimer(timer_id, seconds * SECOND_US)


# --- events -----------------------------------------------------------------------------------------------------------


def test_commands_become_events_in_order_and_name_their_task(service: Any) -> None:
    metadata = UserMetadata(Payload({}, b"why"))
    service.turn(activity(), cm.StartTimer("t", 5, user_metadata=metadata), cm.RecordMarker("mark"))
    assert service.names[3:] == [
        "WorkflowTaskCompleted",
        "ActivityTaskScheduled",
        "TimerStarted",
        "MarkerRecorded",
    ]
    assert [event.workflow_task_completed_event_id for event in service.events[4:]] == [4, 4, 4]
    assert service.events[5].user_metadata is metadata
    assert service.state.workflow_task is None


def test_an_activity_gets_the_default_retry_policy_and_the_workflows_queue(service: Any) -> None:
    service.turn(activity())
    scheduled = service.events[-1]
    assert scheduled.retry_policy == DEFAULT_RETRY_POLICY
    assert scheduled.retry_policy == RetryPolicyData(SECOND_US, 2.0, 100 * SECOND_US, 0, [])
    assert scheduled.task_queue == TaskQueue("queue", TaskQueueKind.NORMAL)
    assert service.outbox == {"activity/5/1": rq.ActivityTaskReady(5, 1, "queue")}


def test_an_activity_may_have_a_queue_of_its_own(service: Any) -> None:
    service.turn(activity(task_queue=TaskQueue("other")))
    assert service.outbox["activity/5/1"].task_queue == "other"


@pytest.mark.parametrize(
    ("run_timeout", "given", "expected"),
    [
        # schedule-to-close, schedule-to-start, start-to-close, heartbeat, in seconds (validateAndNormalizeTimeouts)
        (0, (0, 0, 10, 0), (0, 0, 10, 0)),
        (0, (30, 0, 0, 0), (30, 30, 30, 0)),
        (0, (30, 40, 50, 60), (30, 30, 30, 30)),
        (0, (30, 5, 10, 20), (30, 5, 10, 10)),
        (0, (0, 7, 10, 3), (0, 7, 10, 3)),
        (20, (0, 0, 10, 0), (20, 20, 10, 0)),
        (20, (0, 0, 60, 50), (20, 20, 20, 20)),
        (20, (100, 90, 80, 70), (20, 20, 20, 20)),
    ],
)
def test_activity_timeouts_are_filled_in_and_capped(
    open_service: Any, run_timeout: int, given: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    service = open_service()
    service.start(workflow_run_timeout_us=run_timeout * SECOND_US)
    names = (
        "schedule_to_close_timeout_us",
        "schedule_to_start_timeout_us",
        "start_to_close_timeout_us",
        "heartbeat_timeout_us",
    )
    options: dict[str, Any] = {name: value * SECOND_US for name, value in zip(names, given, strict=True)}
    service.turn(activity(**options))
    scheduled = service.events[-1]
    assert tuple(getattr(scheduled, name) // SECOND_US for name in names) == expected


@pytest.mark.parametrize(
    ("command", "event", "status"),
    [
        (cm.CompleteWorkflowExecution([Payload({}, b"1")]), "WorkflowExecutionCompleted", "COMPLETED"),
        (cm.FailWorkflowExecution(Failure("no")), "WorkflowExecutionFailed", "FAILED"),
        (cm.CancelWorkflowExecution([]), "WorkflowExecutionCanceled", "CANCELED"),
    ],
)
def test_a_closing_command_closes_the_run_and_leaves_nothing_due(
    service: Any, command: cm.Command, event: str, status: str
) -> None:
    service.turn(activity(schedule_to_close_timeout_us=60 * SECOND_US), timer())
    service.signal()
    service.poll()
    service.complete(activity("b"), command)
    assert service.names[-2:] == ["ActivityTaskScheduled", event]
    assert service.state.status is WorkflowExecutionStatus[status]
    assert service.last.closed
    assert service.outbox == {}
    assert list(service.record) == ["request/start-1"]
    state = service.state
    assert state.close_time_us == service.now_us
    pending = (state.activities, state.activity_ids, state.timers, state.timer_ids, state.timer_queue)
    assert not any(pending)


def test_failing_without_a_retry_policy_says_so(service: Any) -> None:
    # GetRetryBackoffDuration
    service.turn(cm.FailWorkflowExecution(Failure("no")))
    assert service.events[-1].retry_state is RetryState.RETRY_POLICY_NOT_SET
    assert service.events[-1].new_execution_run_id == ""


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_an_activity_that_nobody_has_is_cancelled_at_once_after_all_other_events(service: Any) -> None:
    # handleCommandRequestCancelActivity; ActivityTaskCanceled is a buffered type and flushed before the next task
    service.turn(activity(), activity("b"))
    service.signal()
    service.poll()
    service.complete(cm.RequestCancelActivityTask(5), timer())
    assert service.names[9:] == [
        "WorkflowTaskCompleted",
        "ActivityTaskCancelRequested",
        "TimerStarted",
        "ActivityTaskCanceled",
        "WorkflowTaskScheduled",
    ]
    canceled = service.events[12]
    assert (canceled.latest_cancel_requested_event_id, canceled.started_event_id, canceled.identity) == (
        11,
        0,
        "worker",
    )
    assert canceled.details == [Payload({"encoding": b"json/plain"}, b'"ACTIVITY_ID_NOT_STARTED"')]
    assert "activity/5/1" not in service.outbox


def test_an_activity_that_backs_off_is_cancelled_at_once(service: Any) -> None:
    service.turn(activity())
    service.poll_activity()
    service.fail_activity()
    service.signal()
    service.poll()
    service.complete(cm.RequestCancelActivityTask(5))
    assert service.names[-2:] == ["ActivityTaskCanceled", "WorkflowTaskScheduled"]
    assert list(service.outbox) == ["workflow_task"]


def test_a_close_in_the_same_task_drops_the_cancellation(service: Any) -> None:
    # See FlushBufferToCurrentBatch: workflowFinished
    service.turn(activity())
    service.signal()
    service.poll()
    service.complete(cm.RequestCancelActivityTask(5), cm.CompleteWorkflowExecution())
    assert service.names[-2:] == ["ActivityTaskCancelRequested", "WorkflowExecutionCompleted"]


def test_a_started_activity_is_asked_to_cancel_and_learns_it_by_heartbeat(service: Any) -> None:
    service.turn(activity())
    service.poll_activity()
    service.signal()
    service.poll()
    assert service.heartbeat() == rq.RecordActivityTaskHeartbeatResponse(cancel_requested=False)
    service.complete(cm.RequestCancelActivityTask(5))
    assert service.names[-1] == "ActivityTaskCancelRequested"
    assert service.state.workflow_task is None
    assert service.heartbeat().cancel_requested


def test_cancelling_an_activity_whose_end_is_buffered_is_recorded_only(service: Any) -> None:
    # See AddActivityTaskCancelRequestedEvent: HasActivityFinishEvent
    service.turn(activity())
    service.poll_activity()
    service.signal()
    service.poll()
    service.complete_activity()
    service.complete(cm.RequestCancelActivityTask(5))
    assert service.names[-4:] == [
        "ActivityTaskCancelRequested",
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "WorkflowTaskScheduled",
    ]


def test_an_activity_may_be_scheduled_and_cancelled_in_one_task(service: Any) -> None:
    service.turn(activity(), cm.RequestCancelActivityTask(5), activity())
    assert service.names[4:] == [
        "ActivityTaskScheduled",
        "ActivityTaskCancelRequested",
        "ActivityTaskScheduled",
        "ActivityTaskCanceled",
        "WorkflowTaskScheduled",
    ]
    assert service.activity("a") == 7
    assert sorted(service.outbox) == ["activity/7/1", "workflow_task"]


def test_a_timer_is_cancelled(service: Any) -> None:
    service.turn(timer())
    service.signal()
    service.poll()
    service.complete(cm.CancelTimer("t"))
    assert service.names[-1] == "TimerCanceled"
    assert (service.events[-1].started_event_id, service.events[-1].identity) == (5, "worker")
    assert service.outbox == {}


def test_cancelling_a_timer_drops_its_buffered_fire(service: Any) -> None:
    # GetAndRemoveTimerFireEvent: and the run may close, since nothing is buffered any more
    service.turn(timer())
    service.signal()
    service.poll()
    service.fire("timer/5")
    assert [type(event) for event in service.state.buffered] == [ev.TimerFired]
    service.complete(cm.CancelTimer("t"), cm.CompleteWorkflowExecution())
    assert service.names[-3:] == ["WorkflowTaskCompleted", "TimerCanceled", "WorkflowExecutionCompleted"]


def test_an_activity_that_is_cancelled_at_once_counts_as_buffered(service: Any, refused: Refused) -> None:
    # handleCommandCancelTimer asks HasBufferedEvents anew, and finds the ActivityTaskCanceled of this very task
    service.turn(timer(), activity())
    service.signal()
    service.poll()
    service.fire("timer/5")
    commands = [cm.RequestCancelActivityTask(6), cm.CancelTimer("t"), cm.CompleteWorkflowExecution()]
    assert refused(service.complete, *commands).message == "UnhandledCommand"


def test_a_timer_may_be_due_at_once(service: Any) -> None:
    service.turn(timer(seconds=0))
    assert service.due_in_us("timer/5") == 0
    service.fire("timer/5")
    assert service.names[-2:] == ["TimerFired", "WorkflowTaskScheduled"]


def test_a_timer_whose_fire_was_dropped_needs_no_other_task(service: Any) -> None:
    service.turn(timer(), timer("u"))
    service.signal()
    service.poll()
    service.fire("timer/5")
    service.complete(cm.CancelTimer("u"))
    # "u" was due as well and fired in the same transaction; "t" is still buffered
    assert service.names[-3:] == ["TimerCanceled", "TimerFired", "WorkflowTaskScheduled"]
    assert (service.events[-3].timer_id, service.events[-2].timer_id) == ("u", "t")


def test_a_timer_id_is_free_again_once_its_fire_is_buffered(service: Any) -> None:
    service.turn(timer())
    service.signal()
    service.poll()
    service.fire("timer/5")
    service.complete(timer())
    assert service.names[-3:] == ["TimerStarted", "TimerFired", "WorkflowTaskScheduled"]
    assert service.events[-2].started_event_id == 5
    assert list(service.state.timers) == [service.events[-3].event_id]


# --- bad commands -----------------------------------------------------------------------------------------------------

LONG = "x" * 1001
BAD: list[tuple[list[cm.Command], Cause, str]] = [
    ([activity("")], Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, "activityId is not set"),
    ([activity(activity_type="")], Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES, "activityType is not set"),
    (
        [activity(LONG)],
        Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
        "activityId exceeds length limit. Length=1001 Limit=1000",
    ),
    (
        [activity(start_to_close_timeout_us=0)],
        Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
        (
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. "
            "ActivityId=a ActivityType=act"
        ),
    ),
    (
        [activity(heartbeat_timeout_us=-1)],
        Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
        "invalid HeartbeatTimeout: negative duration",
    ),
    (
        [activity(retry_policy=RetryPolicyData(backoff_coefficient=0.5))],
        Cause.BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
        "BackoffCoefficient cannot be less than 1 on retry policy.",
    ),
    (
        [activity(), activity()],
        Cause.SCHEDULE_ACTIVITY_DUPLICATE_ID,
        "invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: a",
    ),
    (
        [cm.RequestCancelActivityTask(0)],
        Cause.BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
        "ScheduledEventId is not set on RequestCancelActivityTaskCommand.",
    ),
    (
        [cm.RequestCancelActivityTask(77)],
        Cause.BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES,
        "invalid history builder state for action: add-activitytask-cancel-requested-event, ScheduledEventID: 77",
    ),
    ([timer("")], Cause.BAD_START_TIMER_ATTRIBUTES, "TimerId is not set on StartTimerCommand."),
    (
        [cm.StartTimer("t", -1)],
        Cause.BAD_START_TIMER_ATTRIBUTES,
        "An invalid StartToFireTimeout is set on StartTimerCommand: negative duration. TimerId=t",
    ),
    (
        [timer(), timer()],
        Cause.START_TIMER_DUPLICATE_ID,
        "invalid history builder state for action: add-timer-started-event, TimerID: t",
    ),
    (
        [cm.CancelTimer("t")],
        Cause.BAD_CANCEL_TIMER_ATTRIBUTES,
        "invalid history builder state for action: add-timer-canceled-event, TimerID: t",
    ),
    (
        [timer(), cm.CancelTimer("t"), cm.CancelTimer("t")],
        Cause.BAD_CANCEL_TIMER_ATTRIBUTES,
        "invalid history builder state for action: add-timer-canceled-event, TimerID: t",
    ),
    ([cm.RecordMarker("")], Cause.BAD_RECORD_MARKER_ATTRIBUTES, "MarkerName is not set on RecordMarkerCommand."),
    (
        [cm.FailWorkflowExecution()],
        Cause.BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES,
        "Failure is not set on FailWorkflowExecutionCommand.",
    ),
]


@pytest.mark.parametrize(("commands", "cause", "detail"), BAD, ids=[detail[:40] for _, _, detail in BAD])
def test_a_bad_command_fails_the_task_and_undoes_the_others(
    service: Any, refused: Refused, commands: list[cm.Command], cause: Cause, detail: str
) -> None:
    # failWorkflowTask in api.go: the state is reloaded, WorkflowTaskFailed written, and the worker gets an error
    service.poll()
    error = refused(service.complete, timer("other"), *commands)
    assert error.status == "INVALID_ARGUMENT"
    name = "".join(part.capitalize() for part in cause.name.split("_"))
    assert error.message == f"{name}: {detail}"
    assert service.names[3:] == ["WorkflowTaskFailed"]
    failed = service.events[3]
    assert (failed.cause, failed.failure.message) == (cause, error.message)
    assert service.state.timers == {}
    assert service.state.workflow_task.attempt == 2


def test_bad_commands_of_a_transient_task_are_left_to_its_timeout(service: Any, refused: Refused) -> None:
    # See api.go: "drop this workflow task if it keeps failing"
    service.poll()
    refused(service.complete, timer(""))
    service.poll()
    error = refused(service.complete, timer(""))
    assert error.status == "INVALID_ARGUMENT"
    assert service.state.workflow_task.started_event_id
    service.fire("workflow_task_timeout")
    assert service.state.workflow_task.attempt == 3


def test_an_activity_id_can_not_be_used_twice_at_a_time(service: Any, refused: Refused) -> None:
    service.turn(activity())
    service.signal()
    service.poll()
    assert "ScheduleActivityDuplicateId" in refused(service.complete, activity()).message


def test_asking_twice_to_cancel_a_started_activity_is_bad(service: Any, refused: Refused) -> None:
    service.turn(activity())
    service.poll_activity()
    service.signal()
    service.poll()
    cancel = cm.RequestCancelActivityTask(5)
    assert "BadRequestCancelActivityAttributes" in refused(service.complete, cancel, cancel).message


def test_a_command_after_a_closing_one_refuses_the_whole_answer(service: Any, refused: Refused) -> None:
    # ValidateCommandSequence: the task goes on
    service.poll()
    error = refused(service.complete, cm.CompleteWorkflowExecution(), timer())
    assert error.status == "INVALID_ARGUMENT"
    assert error.message.endswith("command CompleteWorkflowExecution must be the last command.")
    assert len(service.events) == 3
    service.complete(cm.CompleteWorkflowExecution())


def test_too_big_an_input_ends_the_run(service: Any, refused: Refused) -> None:
    # terminateWorkflow in workflow_task_completed_handler.go
    service.poll()
    big = [Payload({}, b"x" * (2 * 1024 * 1024 + 1))]
    refused(service.complete, activity(input=big))
    assert service.names[3:] == ["WorkflowTaskFailed", "WorkflowExecutionTerminated"]
    assert service.events[-1].identity == "history-service"
    assert "exceeds size limit" in service.events[-1].reason


def test_no_more_than_2000_activities_at_a_time(service: Any, refused: Refused) -> None:
    # See workflow_size_checker.go: checkIfNumPendingActivitiesExceedsLimit
    service.turn(*(activity(str(number)) for number in range(2000)))
    service.signal()
    service.poll()
    error = refused(service.complete, activity("one more"))
    assert error.message == (
        "PendingActivitiesLimitExceeded: the number of pending activities, 2000, has reached the per-workflow limit "
        "of 2000"
    )
    assert service.events[-1].cause is Cause.PENDING_ACTIVITIES_LIMIT_EXCEEDED
    # one that ends in the same task makes room for another, and for one only
    free = cm.RequestCancelActivityTask(service.activity("7"))
    service.poll()
    service.complete(free, activity("room"))
    service.poll()
    another = cm.RequestCancelActivityTask(service.activity("8"))
    assert (
        "has reached the per-workflow limit"
        in refused(service.complete, another, activity("9a"), activity("9b")).message
    )


def test_the_limit_counts_the_activities_of_the_same_task(service: Any, refused: Refused) -> None:
    service.poll()
    commands = [activity(str(number)) for number in range(2001)]
    assert refused(service.complete, *commands).message.startswith("PendingActivitiesLimitExceeded")
