"""Shared by the unit tests: a driver that takes runs through the service core and checks every commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stormproof.engine.core import requests as rq
from stormproof.engine.core.commands import Command
from stormproof.engine.core.enums import TaskQueueKind, WorkflowTaskFailedCause
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import HistoryEvent, TaskQueue
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.invariants import check_commit
from stormproof.engine.core.payloads import Payload, Payloads
from stormproof.engine.core.state import MutableState
from stormproof.engine.core.transition import Transition, handle, start
from stormproof.engine.store import Commit, MemoryStore, Store

STICKY = TaskQueue("sticky", TaskQueueKind.STICKY, "queue")
SECOND_US = 1_000_000


class ServiceDriver:
    """One server on a store, one workflow id. Each request is a transition, a commit and a check."""

    def __init__(self, store: Store | None = None) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self.epoch = self.store.acquire()
        self.now_us = 1_700_000_000 * SECOND_US
        self.states: dict[str, MutableState] = {}
        self.versions: dict[str, int] = {}
        self.run_id = ""
        self.polls = 0
        self.last = Transition()

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> MutableState:
        return self.states[self.run_id]

    @property
    def execution(self) -> rq.Execution:
        return self.state.execution

    @property
    def events(self) -> list[HistoryEvent]:
        stored = self.store.load(self.execution)
        assert stored is not None
        return stored.events

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def outbox(self) -> dict[str, rq.OutboxTask]:
        stored = self.store.load(self.execution)
        assert stored is not None
        return stored.outbox

    @property
    def record(self) -> dict[str, object]:
        stored = self.store.load(self.execution)
        assert stored is not None
        return stored.record

    # --- changes ------------------------------------------------------------------------------------------------------

    def start(self, run_id: str = "run-1", request_id: str = "start-1", **options: Any) -> Any:
        request = rq.StartWorkflowExecution(
            rq.Execution("workflow"), "Type", "queue", [], request_id, **{"new_run_id": run_id, **options}
        )
        current = self.store.current_run_id("default", "workflow")
        found = None if current is None else self.states[current]
        state, transition = start(request, now_us=self.now_us, current=found)
        if not transition.is_empty:
            self.run_id = run_id
            self.states[run_id] = state
            self.versions[run_id] = 0
            self._commit(run_id, transition, make_current=True, current=current)
        return transition.response

    def do(self, request: object, advance_us: int = 1000) -> Any:
        """Handle a request some time later; gives the response, raises a refusal."""
        self.now_us += advance_us
        run_id = self.run_id
        transition = handle(self.states[run_id], request, now_us=self.now_us)
        self.last = transition
        if not transition.is_empty:
            self._commit(run_id, transition, current=run_id)
        if isinstance(transition.response, ServiceError):
            raise transition.response
        return transition.response

    def _commit(self, run_id: str, transition: Transition, *, make_current: bool = False, current: str | None) -> None:
        state = self.states[run_id]
        also = None
        if transition.also is not None:
            other, changes = transition.also
            other_id = other.execution.run_id
            new = other_id not in self.states
            self.states[other_id] = other
            version = self.versions.get(other_id, 0)
            also = Commit(other.execution, version, self.epoch, changes, new, current if new else None)
            self.versions[other_id] = version + 1
        commit = Commit(
            state.execution,
            self.versions[run_id],
            self.epoch,
            transition,
            make_current,
            current if make_current else None,
            also,
        )
        self.versions[run_id] = self.store.commit(commit)
        for one in (commit, also):
            if one is not None:
                self.check(one.execution.run_id)

    def check(self, run_id: str) -> None:
        """What was kept and what was stored agree."""
        state = self.states[run_id]
        stored = self.store.load(state.execution)
        assert stored is not None
        assert stored.version == self.versions[run_id]
        check_commit(state, stored.events, stored.record, stored.outbox)

    # --- workers ------------------------------------------------------------------------------------------------------

    def poll(self, *, sticky: bool | None = None, identity: str = "worker", request_id: str = "") -> Any:
        """A worker gets the pending workflow task."""
        task = self.state.workflow_task
        assert task is not None
        self.polls += 1
        on_sticky = self.state.sticky is not None if sticky is None else sticky
        request_id = request_id or f"poll-{self.polls}"
        return self.do(
            rq.RecordWorkflowTaskStarted(
                self.execution, task.scheduled_event_id, task.attempt, request_id, identity, on_sticky
            )
        )

    def complete(self, *commands: Command, token: rq.TaskToken | None = None, **options: Any) -> Any:
        """The worker answers the started workflow task."""
        return self.do(rq.RespondWorkflowTaskCompleted(token or self.token(), list(commands), "worker", **options))

    def complete_sticky(self, *commands: Command) -> Any:
        """Likewise, keeping the run in its cache."""
        return self.complete(*commands, sticky_task_queue=STICKY, sticky_schedule_to_start_timeout_us=5 * SECOND_US)

    def fail_task(self, cause: WorkflowTaskFailedCause = WorkflowTaskFailedCause.NON_DETERMINISTIC_ERROR) -> Any:
        """The worker fails the started workflow task."""
        return self.do(rq.RespondWorkflowTaskFailed(self.token(), cause, Failure("it broke"), "worker"))

    def token(self) -> rq.TaskToken:
        task = self.state.workflow_task
        assert task is not None
        return rq.TaskToken(self.execution, task.scheduled_event_id, task.attempt, task.started_event_id)

    def turn(self, *commands: Command) -> None:
        """A whole workflow task."""
        self.poll()
        self.complete(*commands)

    def activity(self, activity_id: str = "a") -> int:
        """The scheduled event of a pending activity."""
        return self.state.activity_ids[activity_id]

    def poll_activity(self, activity_id: str = "a", *, identity: str = "worker", request_id: str = "") -> Any:
        """A worker gets the current attempt of an activity."""
        event_id = self.activity(activity_id)
        attempt = self.state.activities[event_id].attempt.attempt
        self.polls += 1
        request_id = request_id or f"poll-{self.polls}"
        return self.do(rq.RecordActivityTaskStarted(self.execution, event_id, attempt, request_id, identity))

    def activity_token(self, activity_id: str = "a") -> rq.TaskToken:
        event_id = self.activity(activity_id)
        return rq.TaskToken(self.execution, event_id, self.state.activities[event_id].attempt.attempt, 0, activity_id)

    def complete_activity(self, activity_id: str = "a", result: Payloads | None = None) -> Any:
        return self.do(rq.RespondActivityTaskCompleted(self.activity_token(activity_id), result or [], "worker"))

    def fail_activity(self, activity_id: str = "a", failure: Failure | None = None) -> Any:
        failure = failure or Failure("broken", info=ApplicationFailureInfo("Broken"))
        return self.do(rq.RespondActivityTaskFailed(self.activity_token(activity_id), failure, "worker"))

    def heartbeat(self, activity_id: str = "a", details: str = "beat") -> Any:
        payloads = [Payload({}, details.encode())]
        return self.do(rq.RecordActivityTaskHeartbeat(self.activity_token(activity_id), payloads, "worker"))

    # --- clients and time ---------------------------------------------------------------------------------------------

    def signal(self, name: str = "go", request_id: str = "") -> Any:
        self.polls += 1
        request_id = request_id or f"signal-{self.polls}"
        return self.do(rq.SignalWorkflowExecution(self.execution, name, [], request_id, "client"))

    def cancel(self) -> Any:
        return self.do(rq.RequestCancelWorkflowExecution(self.execution, "cancel", "client", "why"))

    def terminate(self) -> Any:
        return self.do(rq.TerminateWorkflowExecution(self.execution, "enough", [], "client"))

    def fire(self, key: str) -> Any:
        """A timer of the outbox is due."""
        task = self.outbox[key]
        assert isinstance(task, rq.TimerTask)
        return self.do(rq.TimerDue(self.execution, task), max(0, task.due_us - self.now_us))

    def due_in_us(self, key: str) -> int:
        task = self.outbox[key]
        assert isinstance(task, rq.TimerTask)
        return task.due_us - self.now_us


@pytest.fixture
def service() -> ServiceDriver:
    """A service with one run that was just started."""
    driver = ServiceDriver()
    driver.start()
    return driver


@pytest.fixture(scope="session")
def open_service() -> Callable[..., ServiceDriver]:
    """Makes services on which nothing has started yet."""
    return ServiceDriver


def refusal(call: Callable[..., Any], *args: Any, **options: Any) -> ServiceError:
    """The error that a call is refused with."""
    with pytest.raises(ServiceError) as caught:
        call(*args, **options)
    return caught.value


@pytest.fixture
def refused() -> Callable[..., ServiceError]:
    """Calls and gives the refusal."""
    return refusal
