"""What a transition gives, and the workbench on which one is made.

The workbench appends events (each folded into the state at once), buffers those that must wait for the started
workflow task, and notes what changes in the record and the outbox. Deletes of a transition are applied before its
puts and adds.

Source: ``service/history/historybuilder/event_store.go`` of github.com/temporalio/temporal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import events as ev
from .enums import TimeoutType, WorkflowTaskFailedCause
from .events import HistoryEvent
from .limits import (
    BUFFERED_EVENTS_MAX,
    HISTORY_COUNT_SUGGEST_CONTINUE_AS_NEW,
    HISTORY_SIZE_SUGGEST_CONTINUE_AS_NEW,
    WORKFLOW_TASK_RETRY_ATTEMPTS_WITHOUT_BACKOFF,
    WORKFLOW_TASK_RETRY_INITIAL_INTERVAL_US,
    WORKFLOW_TASK_RETRY_MAXIMUM_INTERVAL_US,
)
from .payloads import Payloads
from .record import PendingWorkflowTask
from .requests import OutboxTask, TimerTask, WorkflowTaskReady
from .state import RUNNING, ActivityState, MutableState, apply, buffer_event

HISTORY_SERVICE = "history-service"
"""The identity under which the server itself acts (``service/history/consts/const.go``)."""

TASK = "workflow_task"
TASK_TIMEOUT = "workflow_task_timeout"
RUN_TIMEOUT = "workflow_run_timeout"
BACKOFF = "workflow_backoff"


@dataclass(slots=True)
class Transition:
    """What one request changes. All of it is committed in one conditional write, or none.

    Args:
        events: To append; ids and times are set.
        record_put: Items to insert or replace.
        record_delete: Keys to delete, before ``record_put``; a key that is not there is no error.
        outbox_add: Tasks to insert or replace.
        outbox_delete: Keys to delete, before ``outbox_add``; a key that is not there is no error.
        response: What to answer once it is committed; a ``ServiceError`` is a refusal that nevertheless changed the
        run. closed: The run closed.
        also: Another run of the same workflow id that must change in the same write, with its state.
    """

    events: list[HistoryEvent] = field(default_factory=list)
    record_put: dict[str, object] = field(default_factory=dict)
    record_delete: list[str] = field(default_factory=list)
    outbox_add: dict[str, OutboxTask] = field(default_factory=dict)
    outbox_delete: list[str] = field(default_factory=list)
    response: object = None
    closed: bool = False
    also: tuple[MutableState, Transition] | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing to commit?"""
        return not (
            self.events or self.record_put or self.record_delete or self.outbox_add or self.outbox_delete or self.also
        )


_CLOSES = (
    ev.ActivityTaskCompleted,
    ev.ActivityTaskFailed,
    ev.ActivityTaskTimedOut,
    ev.ActivityTaskCanceled,
)


class Work:
    """One transition in the making."""

    __slots__ = ("_buffered_changed", "_committed", "_stored", "now_us", "state", "transition")

    def __init__(self, state: MutableState, now_us: int) -> None:
        self.state = state
        self.now_us = now_us
        # As Transition() does, in half the time: one is made for every request.
        self.transition = Transition([], {}, [], {}, [])
        self._committed = committed = len(state.buffered)  # so many of the buffered events are in the store
        self._stored = committed > 0  # the record has an item "buffered"
        self._buffered_changed = False

    # --- events -------------------------------------------------------------------------------------------------------

    def append(self, event: HistoryEvent) -> None:
        """Give ``event`` the next id, fold it and add it to history."""
        state = self.state
        event.event_id = state.next_event_id
        apply(state, event)
        self.transition.events.append(event)

    def buffer(self, event: HistoryEvent) -> None:
        """Add an event that goes to history once no workflow task is started: when this transition ends, or later."""
        buffer_event(self.state, event)
        self._buffered_changed = True

    def unbuffer(self, index: int) -> None:
        """Drop a buffered event."""
        del self.state.buffered[index]
        if index < self._committed:
            self._committed -= 1
        self._buffered_changed = True

    def flush(self) -> None:
        """Write the buffered events to history, ends of activities last (``reorderBuffer``, ``wireEventIDs``)."""
        state = self.state
        waiting = state.buffered
        if not waiting:
            return
        if self._committed:
            # What is in the store is never changed in place: the write may fail, and then it is read again.
            waiting[: self._committed] = [replace(event) for event in waiting[: self._committed]]
            self._committed = 0
        state.buffered = []
        self._buffered_changed = True
        started: dict[int, int] = {}
        ends: list[HistoryEvent] = []
        for event in waiting:
            if isinstance(event, _CLOSES):
                ends.append(event)
                continue
            self.append(event)
            if type(event) is ev.ActivityTaskStarted:
                started[event.scheduled_event_id] = event.event_id
        for event in ends:
            assert isinstance(event, _CLOSES)
            event.started_event_id = started.get(event.scheduled_event_id, 0)
            self.append(event)

    # --- outbox and record --------------------------------------------------------------------------------------------

    def set_task(self, key: str, task: OutboxTask) -> None:
        """Insert or replace an outbox task."""
        self.transition.outbox_add[key] = task

    def drop_task(self, key: str) -> None:
        """Delete an outbox task, be it from this transition or an earlier one."""
        self.transition.outbox_add.pop(key, None)
        self.transition.outbox_delete.append(key)

    def put(self, key: str, item: object) -> None:
        """Insert or replace a record item."""
        self.transition.record_put[key] = item

    def drop(self, key: str) -> None:
        """Delete a record item, be it from this transition or an earlier one."""
        self.transition.record_put.pop(key, None)
        self.transition.record_delete.append(key)

    # --- workflow tasks -----------------------------------------------------------------------------------------------

    def schedule_workflow_task(self, attempt: int = 1) -> None:
        """Schedule a workflow task (``AddWorkflowTaskScheduledEvent`` in ``workflow_task_state_machine.go``).

        Args:
            attempt: Above 1, the task is transient: its events are written when it completes. Buffered events make it
                a normal one again.
        """
        state = self.state
        assert state.workflow_task is None
        if state.buffered:
            attempt = 1
            self.flush()
        if not state.previous_started_event_id:
            self.drop_backoff()
        queue = state.current_queue
        timeout_us = workflow_task_timeout_us(state, attempt)
        if attempt == 1:
            self.append(ev.WorkflowTaskScheduled(0, self.now_us, queue, timeout_us, attempt))
            scheduled_event_id = state.next_event_id - 1
        else:
            scheduled_event_id = state.next_event_id
            state.workflow_task = PendingWorkflowTask(scheduled_event_id, self.now_us, attempt, timeout_us, queue)
            self.put(TASK, state.workflow_task)
        sticky = state.sticky
        if sticky is not None:
            due_us = self.now_us + sticky.schedule_to_start_timeout_us
            self.set_task(
                TASK_TIMEOUT,
                TimerTask(due_us, TASK_TIMEOUT, scheduled_event_id, attempt, TimeoutType.SCHEDULE_TO_START),
            )
        self.set_task(TASK, WorkflowTaskReady(scheduled_event_id, attempt, queue.name, sticky is not None))

    def need_workflow_task(self) -> None:
        """Schedule a workflow task unless one is pending."""
        if self.state.workflow_task is None:
            self.schedule_workflow_task()

    def end_workflow_task(self) -> None:
        """Drop what the record and the outbox hold of the pending workflow task."""
        task = self.state.workflow_task
        if task is None:
            return
        if task.is_transient:
            self.drop(TASK)
        if not task.started_event_id:
            self.drop_task(TASK)
        if task.started_event_id or self.state.sticky is not None:
            self.drop_task(TASK_TIMEOUT)

    def clear_sticky(self) -> None:
        """Forget the sticky queue."""
        if self.state.sticky is not None:
            self.state.sticky = None
            self.drop("sticky")

    def fail_workflow_task(self, event: HistoryEvent, *, count: bool = True) -> int:
        """End the pending workflow task without success (``failWorkflowTask``).

        Args:
            event: Written unless the task is transient.
            count: Whether this counts as a failed attempt; it never does when the task was on a sticky queue, which is
                cleared first and tried without.

        Returns:
            The attempt of the next workflow task.
        """
        state = self.state
        task = state.workflow_task
        assert task is not None
        self.end_workflow_task()
        if task.is_transient:
            state.workflow_task = None
            state.close_attempted = False
        else:
            self.append(event)
        if state.sticky is not None:
            self.clear_sticky()
            count = False
        return task.attempt + 1 if count else 1

    def force_close_workflow_task(self) -> int:
        """Fail the workflow task, if one is started, for a reason of the server's own, and flush (``util.go``).

        Returns:
            The attempt of the next workflow task.
        """
        task = self.state.workflow_task
        if task is None or not task.started_event_id:
            return 1
        attempt = self.fail_workflow_task(
            ev.WorkflowTaskFailed(
                0,
                self.now_us,
                task.scheduled_event_id,
                task.started_event_id,
                WorkflowTaskFailedCause.FORCE_CLOSE_COMMAND,
                None,
                HISTORY_SERVICE,
            )
        )
        self.flush()
        return attempt

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, event: HistoryEvent) -> None:
        """Close the run with ``event``: nothing of it is due any more."""
        state = self.state
        for activity in state.activities.values():
            self.drop_activity(activity)
        for timer in state.timers.values():
            if not timer.closing:
                self.drop_task(f"timer/{timer.started_event_id}")
        if state.run_expiration_time_us:
            self.drop_task(RUN_TIMEOUT)
        if not state.had_workflow_task:
            self.drop_backoff()
        self.end_workflow_task()
        self.clear_sticky()
        assert not state.buffered, "a run closes by command only with nothing buffered, and by force after a flush"
        self.append(event)
        self.transition.closed = True

    def terminate(self, reason: str, details: Payloads, identity: str) -> None:
        """Terminate the run (``TerminateWorkflow`` in ``service/history/workflow/util.go``)."""
        self.force_close_workflow_task()
        self.close(ev.WorkflowExecutionTerminated(0, self.now_us, reason, details, identity))

    def drop_backoff(self) -> None:
        """Forget the timer of a delayed start."""
        started = self.state.started
        if started is not None and started.first_workflow_task_backoff_us:
            self.drop_task(BACKOFF)

    def drop_activity(self, activity: ActivityState) -> None:
        """Forget the outbox tasks and the record item of an activity that ends."""
        if activity.closing:
            return
        event_id = activity.scheduled.event_id
        attempt = activity.attempt
        if not attempt.started:
            if attempt.dispatched:
                self.drop_task(f"activity/{event_id}/{attempt.attempt}")
            else:
                self.drop_task(f"activity_retry/{event_id}")
        if activity.timer is not None:
            self.drop_task(f"activity_timeout/{event_id}")
        if attempt.started or attempt.attempt > 1:
            self.drop(f"activity/{event_id}")

    def finish(self) -> Transition:
        """End the transaction: flush unless a workflow task is started (``closeTransaction``)."""
        state = self.state
        if state.buffered and state.status is RUNNING:
            self._limit_buffer()
            task = state.workflow_task
            if task is None or not task.started_event_id:
                self.flush()
        if self._buffered_changed:
            if state.buffered:
                self.put("buffered", tuple(state.buffered))
            elif self._stored:
                self.drop("buffered")
        return self.transition

    def _limit_buffer(self) -> None:
        """Too many buffered events end the workflow task (``closeTransactionHandleBufferedEventsLimit``)."""
        task = self.state.workflow_task
        if task is None or not task.started_event_id or len(self.state.buffered) <= BUFFERED_EVENTS_MAX:
            return
        self.schedule_workflow_task(self.force_close_workflow_task())


def workflow_task_timeout_us(state: MutableState, attempt: int) -> int:
    """Start-to-close timeout of a workflow task; it grows from the fourth attempt on (``getStartToCloseTimeout``).

    The server adds an interval with a jitter between 80 and 100 %; this core draws nothing and takes 90 %.
    """
    started = state.started
    assert started is not None
    timeout_us = started.workflow_task_timeout_us
    retries = attempt - WORKFLOW_TASK_RETRY_ATTEMPTS_WITHOUT_BACKOFF
    if retries <= 0:
        return timeout_us
    interval_us = WORKFLOW_TASK_RETRY_INITIAL_INTERVAL_US << min(retries - 1, 20)
    return timeout_us + min(interval_us, WORKFLOW_TASK_RETRY_MAXIMUM_INTERVAL_US) * 9 // 10


def suggests_continue_as_new(state: MutableState) -> bool:
    """Is the history so long that the run should continue as new? (``getHistorySizeInfo``)."""
    return (
        state.next_event_id >= HISTORY_COUNT_SUGGEST_CONTINUE_AS_NEW
        or state.history_size_bytes >= HISTORY_SIZE_SUGGEST_CONTINUE_AS_NEW
    )
