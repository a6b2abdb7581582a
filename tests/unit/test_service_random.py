"""Random requests, sensible and not, against one workflow id.

After every commit the driver checks that the state kept equals the state rebuilt, that the outbox is what the state
implies, that ids have no gaps and that the record holds nothing else. Here are added: a refusal leaves the state as it
was, a stale write is refused, and whatever happened, the run can still be brought to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from stormproof.engine.core import commands as cm
from stormproof.engine.core import requests as rq
from stormproof.engine.core.enums import TimeoutType, WorkflowTaskFailedCause
from stormproof.engine.core.enums import WorkflowIdConflictPolicy as Conflict
from stormproof.engine.core.errors import ConditionFailed, OwnershipLost, ServiceError
from stormproof.engine.core.events import RetryPolicyData, TaskQueue
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.invariants import differing_fields
from stormproof.engine.core.payloads import Payload
from stormproof.engine.core.state import rebuild
from stormproof.engine.core.transition import ALREADY_STARTED, Transition
from stormproof.engine.store import Commit

SECOND_US = 1_000_000
NAMES = st.sampled_from("abc")
SECONDS = st.integers(0, 8)


@st.composite
def retry_policies(draw: st.DrawFn) -> RetryPolicyData | None:
    if draw(st.booleans()):
        return None
    return RetryPolicyData(
        draw(st.integers(1, 3)) * SECOND_US,
        draw(st.sampled_from([1.0, 2.0])),
        maximum_attempts=draw(st.integers(0, 3)),
        non_retryable_error_types=draw(st.sampled_from([[], ["Fatal"], ["TemporalTimeout:StartToClose"]])),
    )


def activities() -> st.SearchStrategy[cm.Command]:
    return st.builds(
        lambda name, close, wait, run, beat, retry: cm.ScheduleActivityTask(
            activity_id=name,
            activity_type="act",
            schedule_to_close_timeout_us=close * SECOND_US,
            schedule_to_start_timeout_us=wait * SECOND_US,
            start_to_close_timeout_us=run * SECOND_US,
            heartbeat_timeout_us=beat * SECOND_US,
            retry_policy=retry,
        ),
        NAMES,
        SECONDS,
        SECONDS,
        SECONDS,
        SECONDS,
        retry_policies(),
    )


FAILURES = st.sampled_from(
    [
        Failure("x"),
        Failure("fatal", info=ApplicationFailureInfo("Fatal")),
        Failure("later", info=ApplicationFailureInfo("T", next_retry_delay_us=3 * SECOND_US)),
    ]
)
COMMANDS: st.SearchStrategy[cm.Command] = st.one_of(
    activities(),
    activities(),
    st.builds(lambda name, seconds: cm.StartTimer(name, seconds * SECOND_US), NAMES, SECONDS),
    st.builds(cm.CancelTimer, NAMES),
    st.builds(cm.RequestCancelActivityTask, st.integers(1, 40)),
    st.builds(cm.RecordMarker, NAMES),
)
CLOSING: st.SearchStrategy[cm.Command] = st.one_of(
    st.builds(cm.CompleteWorkflowExecution),
    st.builds(cm.FailWorkflowExecution, FAILURES),
    st.builds(cm.CancelWorkflowExecution),
)


def workflow_token(service: Any, stale: int) -> rq.TaskToken:
    task = service.state.workflow_task
    if task is None:
        return rq.TaskToken(service.execution, stale, 1, stale + 1)
    return rq.TaskToken(service.execution, task.scheduled_event_id, task.attempt + stale, task.started_event_id)


def activity_token(service: Any, pick: int, stale: int) -> rq.TaskToken:
    pending = list(service.state.activities.values())
    if not pending:
        return rq.TaskToken(service.execution, 5, 1)
    activity = pending[pick % len(pending)]
    return rq.TaskToken(service.execution, activity.scheduled.event_id, activity.attempt.attempt + stale)


def step(service: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """One drawn request."""
    kind = draw(st.sampled_from(sorted(STEPS)))
    advance_us = draw(st.integers(0, 3_000_000))
    request = STEPS[kind](service, draw)
    note(f"{kind}: {request}")
    if request is None:
        return
    before = rebuilt(service)
    try:
        service.do(request, advance_us)
    except ServiceError:
        if service.last.is_empty:
            assert service.state == before, differing_fields(service.state, before)


def rebuilt(service: Any) -> Any:
    service.last = Transition()
    return rebuild(service.events, service.record)


def start_workflow_task(service: Any, draw: Any) -> Any:
    token = workflow_token(service, draw(st.sampled_from([0, 0, 0, 1])))
    sticky = (service.state.sticky is not None) is draw(st.sampled_from([True, True, True, False]))
    poll = f"poll-{draw(st.integers(0, 2))}-{service.state.next_event_id}"
    return rq.RecordWorkflowTaskStarted(
        service.execution, token.scheduled_event_id, token.attempt, poll, "worker", sticky
    )


def complete_workflow_task(service: Any, draw: Any) -> Any:
    commands = draw(st.lists(COMMANDS, max_size=4))
    if draw(st.sampled_from([True, *[False] * 9])):
        commands.append(draw(CLOSING))
    queue = draw(st.sampled_from([None, TaskQueue("sticky", normal_name="queue"), TaskQueue("other")]))
    token = workflow_token(service, draw(st.sampled_from([0, 0, 0, 1])))
    force = draw(st.sampled_from([True, *[False] * 9]))
    return rq.RespondWorkflowTaskCompleted(
        token, commands, "worker", queue, 5 * SECOND_US, force_create_new_workflow_task=force
    )


def fail_workflow_task(service: Any, draw: Any) -> Any:
    token = workflow_token(service, draw(st.sampled_from([0, 0, 0, 1])))
    return rq.RespondWorkflowTaskFailed(token, WorkflowTaskFailedCause.NON_DETERMINISTIC_ERROR, Failure("x"), "worker")


def start_activity(service: Any, draw: Any) -> Any:
    token = activity_token(service, draw(st.integers(0, 5)), draw(st.sampled_from([0, 0, 0, 1])))
    poll = f"poll-{draw(st.integers(0, 1))}"
    return rq.RecordActivityTaskStarted(service.execution, token.scheduled_event_id, token.attempt, poll, "worker")


def answer_activity(service: Any, draw: Any) -> Any:
    token = activity_token(service, draw(st.integers(0, 5)), draw(st.sampled_from([0, 0, 0, 1])))
    details = [Payload({}, b"details")]
    answers = [
        rq.RespondActivityTaskCompleted(token, details, "worker"),
        rq.RespondActivityTaskFailed(token, draw(FAILURES), "worker", draw(st.sampled_from([[], details]))),
        rq.RespondActivityTaskCanceled(token, details, "worker"),
        rq.RecordActivityTaskHeartbeat(token, details, "worker"),
    ]
    return draw(st.sampled_from(answers))


def fire_timer(service: Any, draw: Any) -> Any:
    timers = [task for task in service.outbox.values() if isinstance(task, rq.TimerTask)]
    if not timers:
        return None
    timers.sort(key=lambda task: task.due_us)
    task = timers[0] if draw(st.booleans()) else draw(st.sampled_from(timers))
    service.now_us = max(service.now_us, task.due_us)
    return rq.TimerDue(service.execution, task)


def fire_stale_timer(service: Any, draw: Any) -> Any:
    kinds = st.sampled_from(["user_timer", "activity_timeout", "activity_retry", "workflow_task_timeout"])
    timer = rq.TimerTask(
        service.now_us,
        draw(kinds),
        draw(st.integers(0, 30)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from(TimeoutType)),
    )
    return rq.TimerDue(service.execution, timer)


def signal(service: Any, draw: Any) -> Any:
    return rq.SignalWorkflowExecution(service.execution, "go", [], f"signal-{draw(st.integers(0, 30))}")


def cancel(service: Any, draw: Any) -> Any:
    return rq.RequestCancelWorkflowExecution(service.execution, "cancel")


def terminate(service: Any, draw: Any) -> Any:
    if draw(st.sampled_from([True, *[False] * 9])):
        return rq.TerminateWorkflowExecution(service.execution, "enough")
    return None


def start_again(service: Any, draw: Any) -> Any:
    number = len(service.states) + 1
    policy = draw(st.sampled_from([Conflict.FAIL, Conflict.USE_EXISTING, Conflict.TERMINATE_EXISTING]))
    if policy is Conflict.TERMINATE_EXISTING and draw(st.sampled_from([False, *[True] * 9])):
        return None
    try:
        service.start(f"run-{number}", f"start-{draw(st.integers(1, 9))}", workflow_id_conflict_policy=policy)
    except ServiceError as error:
        if error.detail != ALREADY_STARTED:  # the only refusal that is right here
            raise
    return None


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "a start_workflow_task": start_workflow_task,
    "b complete_workflow_task": complete_workflow_task,
    "c start_workflow_task": start_workflow_task,
    "d complete_workflow_task": complete_workflow_task,
    "e fail_workflow_task": fail_workflow_task,
    "f start_activity": start_activity,
    "g answer_activity": answer_activity,
    "h start_activity": start_activity,
    "i answer_activity": answer_activity,
    "j fire_timer": fire_timer,
    "k fire_stale_timer": fire_stale_timer,
    "l signal": signal,
    "m cancel": cancel,
    "n terminate": terminate,
    "o start_again": start_again,
}


def check_stale_writes(service: Any) -> None:
    """Neither an old version nor an old owner changes anything."""
    before = service.store.load(service.execution)
    version = service.versions[service.run_id]
    stale = Transition(outbox_add={"timer/1": rq.TimerTask(1, "user_timer", 1)})
    with pytest.raises(ConditionFailed):
        service.store.commit(Commit(service.execution, version - 1, service.epoch, stale))
    with pytest.raises(OwnershipLost):
        service.store.commit(Commit(service.execution, version, service.epoch - 1, stale))
    assert service.store.load(service.execution) == before


def bring_to_its_end(service: Any) -> None:
    """A good worker closes whatever run is open."""
    if not service.state.is_open:
        return
    if service.state.workflow_task is None:
        service.do(rq.RequestCancelWorkflowExecution(service.execution, "end"))
        if service.state.workflow_task is None:
            service.signal("end", "the end")
    task: Any = service.state.workflow_task
    if not task.started_event_id:
        service.poll()
    try:
        service.complete(cm.CompleteWorkflowExecution())
    except ServiceError as error:
        assert error.message == "UnhandledCommand"  # noqa: PT017 - either way is right
        service.poll()
        service.complete(cm.CompleteWorkflowExecution())
    assert not service.state.is_open
    assert service.outbox == {}


@given(data=st.data())
@settings(max_examples=150)
def test_any_script_keeps_what_must_hold(open_service: Any, data: st.DataObject) -> None:
    service = open_service()
    service.start(
        workflow_run_timeout_us=data.draw(st.sampled_from([0, 0, 40])) * SECOND_US,
        workflow_start_delay_us=data.draw(st.sampled_from([0, 0, 0, 5])) * SECOND_US,
        retry_policy=data.draw(retry_policies()),
    )
    for _ in range(data.draw(st.integers(5, 40))):
        step(service, data.draw)
    check_stale_writes(service)
    bring_to_its_end(service)
