"""Makes histories of all kinds: a server of a few lines, whose whims are drawn, drives our runtime through a run.

It writes events in the order in which a real server does: what happens during a workflow task comes after the events of
that task's commands. It knows nothing of retries, ids or limits.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from stormproof.engine.converter import DataConverter
from stormproof.engine.core import commands as cm
from stormproof.engine.core import events as ev
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.engine.core.enums import RetryState, TimeoutType, WorkflowTaskFailedCause
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure, TimeoutFailureInfo
from stormproof.engine.core.machines import WorkflowRun, WorkflowTaskOutcome
from stormproof.engine.core.requests import Execution

CONVERTER = DataConverter.default
START_US = 1_700_000_000_000_000


def payloads(*values: Any) -> Any:
    return CONVERTER.payload_converter.to_payloads(values)


class ToyServer:
    """One run.

    Args:
        definition: The workflow.
        seed: Of its whims.
        arguments: Of the workflow.
        signals: Names and arguments of signals that may come.
        cancels: The run may be asked to cancel.
        lang_flags: Flags that the worker switches on.
        evicts: Whether runs leave the worker's cache after a task: "never", "always" or "sometimes".
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        seed: int,
        *,
        arguments: tuple[Any, ...] = (),
        signals: tuple[tuple[str, tuple[Any, ...]], ...] = (),
        cancels: bool = False,
        lang_flags: frozenset[int] = frozenset(),
        evicts: str = "sometimes",
    ) -> None:
        self.random = random.Random(seed)
        self.definition = definition
        self.run_id = f"00000000-0000-4000-8000-{seed:012d}"
        self.events: list[ev.HistoryEvent] = []
        self.buffer: list[Callable[[], None]] = []
        self.signals = list(signals)
        self.cancels = cancels
        self.lang_flags = lang_flags
        self.evicts = evicts
        self.time_us = START_US
        self.activities: dict[int, ev.ActivityTaskScheduled] = {}
        self.cancel_requested: dict[int, int] = {}
        self.timers: dict[str, ev.TimerStarted] = {}
        self.task_pending = False
        self.previous_started_id = 0
        self.closed = False
        self.failure: Failure | None = None
        self.outcomes: list[WorkflowTaskOutcome] = []
        self.run: WorkflowRun | None = None
        self.given = 0
        self._add(
            ev.WorkflowExecutionStarted,
            workflow_type=definition.name,
            workflow_id="wf",
            task_queue=ev.TaskQueue("queue"),
            input=payloads(*arguments),
            original_execution_run_id=self.run_id,
            first_execution_run_id=self.run_id,
            workflow_task_timeout_us=10_000_000,
            identity="toy",
        )
        self.task_pending = True

    def _add(self, kind: type[Any], **attributes: Any) -> Any:
        self.time_us += self.random.randrange(1, 2_000_000)
        event = kind(event_id=len(self.events) + 1, time_us=self.time_us, **attributes)
        self.events.append(event)
        return event

    def _chance(self, numerator: int, denominator: int) -> bool:
        return self.random.randrange(denominator) < numerator

    # --- the run ----------------------------------------------------------------------------------------------------

    def play(self, steps: int = 60) -> list[ev.HistoryEvent]:
        """Go on until the run is closed or stuck, or for some steps."""
        for _ in range(steps):
            if self.closed or self.failure is not None:
                break
            if self.task_pending:
                self._task()
            elif not self._happen():
                break
        self._evict()
        return self.events

    def _task(self) -> None:
        self.task_pending = False
        scheduled = self._add(ev.WorkflowTaskScheduled, attempt=1)
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            self._happen(schedules=False)
        if self._chance(1, 12):
            # Nobody took it in time: a sticky queue's timeout.
            self._add(
                ev.WorkflowTaskTimedOut,
                scheduled_event_id=scheduled.event_id,
                timeout_type=TimeoutType.SCHEDULE_TO_START,
            )
            self._evict()
            self.task_pending = True
            return
        started = self._add(
            ev.WorkflowTaskStarted,
            scheduled_event_id=scheduled.event_id,
            history_size_bytes=len(self.events) * 100,
            suggest_continue_as_new=len(self.events) > 40,
        )
        ids = {"scheduled_event_id": scheduled.event_id, "started_event_id": started.event_id}
        if self._chance(1, 12):
            self._add(ev.WorkflowTaskTimedOut, timeout_type=TimeoutType.START_TO_CLOSE, **ids)
            self._evict()
            self.task_pending = True
            return
        if self._chance(1, 15):
            self._add(
                ev.WorkflowTaskFailed,
                cause=WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE,
                failure=Failure(message="a bug"),
                **ids,
            )
            self._evict()
            self.task_pending = True
            return
        outcome = self._work(started.event_id)
        self.outcomes.append(outcome)
        if outcome.failure is not None:
            self.failure = outcome.failure
            return
        # What happens while the worker works.
        held: list[tuple[Any, ...]] = []
        if self._chance(1, 3):
            held = self._hold()
        ends = any(_closes(command) for command in outcome.commands)
        if held and ends:
            # Unhandled command: the task fails, and a new one sees what came.
            self._add(ev.WorkflowTaskFailed, cause=WorkflowTaskFailedCause.UNHANDLED_COMMAND, **ids)
            self._release(held)
            self._evict()
            self.task_pending = True
            return
        self.previous_started_id = started.event_id
        completed = self._add(ev.WorkflowTaskCompleted, sdk_metadata=outcome.sdk_metadata, **ids)
        for command in outcome.commands:
            self._apply(command, completed.event_id)
        self._release(held)
        if held and not self.closed:
            self.task_pending = True
        elif not self.closed and self._chance(1, 10):
            # A heartbeat, or a task forced by an update that came to nothing.
            self.task_pending = True
        is_evicted = self._chance(1, 6)
        if self.evicts == "always" or (self.evicts == "sometimes" and is_evicted):
            self._evict()

    def _evict(self) -> None:
        if self.run is not None:
            self.run.close()
            self.run = None

    def _work(self, started_id: int) -> WorkflowTaskOutcome:
        if self.run is None:
            execution = Execution("wf", self.run_id)
            self.run = WorkflowRun(
                self.definition, execution, CONVERTER, task_queue="queue", lang_flags=self.lang_flags
            )
            self.given = 0
        events = self.events[self.given :]
        self.given = len(self.events)
        return self.run.handle_task(
            events, previous_started_event_id=self.previous_started_id, started_event_id=started_id
        )

    # --- what happens -----------------------------------------------------------------------------------------------

    def _choices(self) -> list[tuple[Any, ...]]:
        choices: list[tuple[Any, ...]] = []
        for scheduled_id in self.activities:
            choices.append(("activity", scheduled_id))
            if scheduled_id in self.cancel_requested:
                choices.append(("activity_cancelled", scheduled_id))
        choices += [("timer", timer_id) for timer_id in self.timers]
        if self.signals:
            choices.append(("signal",))
        if self.cancels and self._chance(1, 4):
            choices.append(("cancel",))
        return choices

    def _happen(self, *, schedules: bool = True) -> bool:
        choices = self._choices()
        if not choices:
            return False
        count = 1 if self._chance(2, 3) else 2
        for _ in range(count):
            choices = self._choices()
            if choices:
                self._release([self._take(self.random.choice(choices))])
        if schedules:
            self.task_pending = True
        return True

    def _take(self, choice: tuple[Any, ...]) -> tuple[Any, ...]:
        kind = choice[0]
        if kind in ("activity", "activity_cancelled"):
            return (kind, self.activities.pop(choice[1]))
        if kind == "timer":
            return (kind, self.timers.pop(choice[1]))
        if kind == "signal":
            return (kind, self.signals.pop(0))
        self.cancels = False
        return choice

    def _hold(self) -> list[tuple[Any, ...]]:
        """Take what happens now, to be written after the task."""
        choices = [choice for choice in self._choices() if choice[0] in ("activity", "signal", "cancel")]
        return [self._take(self.random.choice(choices))] if choices else []

    def _release(self, held: list[tuple[Any, ...]]) -> None:
        for kind, *rest in held:
            if kind == "signal":
                name, arguments = rest[0]
                self._add(ev.WorkflowExecutionSignaled, signal_name=name, input=payloads(*arguments), identity="toy")
            elif kind == "cancel":
                self._add(ev.WorkflowExecutionCancelRequested, cause="because", identity="toy")
            elif kind == "timer":
                timer = rest[0]
                self._add(ev.TimerFired, timer_id=timer.timer_id, started_event_id=timer.event_id)
            else:
                self._end_activity(rest[0], is_cancelled=kind == "activity_cancelled")

    def _end_activity(self, scheduled: ev.ActivityTaskScheduled, *, is_cancelled: bool) -> None:
        scheduled_id = scheduled.event_id
        if not is_cancelled and self._chance(1, 10):
            self._add(
                ev.ActivityTaskTimedOut,
                scheduled_event_id=scheduled_id,
                failure=_timeout(TimeoutType.SCHEDULE_TO_START),
                retry_state=RetryState.TIMEOUT,
            )
            return
        started = self._add(ev.ActivityTaskStarted, scheduled_event_id=scheduled_id, attempt=1, identity="toy")
        ids = {"scheduled_event_id": scheduled_id, "started_event_id": started.event_id}
        whim = self.random.randrange(10)
        if is_cancelled:
            requested = self.cancel_requested[scheduled_id]
            self._add(
                ev.ActivityTaskCanceled,
                details=payloads("bye") if whim < 3 else [],
                latest_cancel_requested_event_id=requested,
                identity="toy",
                **ids,
            )
        elif whim < 7:
            result = payloads(None if scheduled.activity_type == "renamed" and whim else scheduled_id)
            self._add(ev.ActivityTaskCompleted, result=result, identity="toy", **ids)
        elif whim < 9:
            info = ApplicationFailureInfo(type="Oops", non_retryable=whim == 8)
            failure = Failure(message="it broke", info=info)
            state = RetryState.MAXIMUM_ATTEMPTS_REACHED
            self._add(ev.ActivityTaskFailed, failure=failure, retry_state=state, identity="toy", **ids)
        else:
            failure = _timeout(TimeoutType.START_TO_CLOSE)
            self._add(ev.ActivityTaskTimedOut, failure=failure, retry_state=RetryState.TIMEOUT, **ids)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _apply(self, command: cm.Command, completed_id: int) -> None:
        ids = {"workflow_task_completed_event_id": completed_id}
        if isinstance(command, cm.ScheduleActivityTask):
            scheduled = self._add(
                ev.ActivityTaskScheduled,
                activity_id=command.activity_id,
                activity_type=command.activity_type,
                task_queue=command.task_queue,
                input=command.input,
                start_to_close_timeout_us=command.start_to_close_timeout_us,
                **ids,
            )
            self.activities[scheduled.event_id] = scheduled
        elif isinstance(command, cm.RequestCancelActivityTask):
            requested = self._add(ev.ActivityTaskCancelRequested, scheduled_event_id=command.scheduled_event_id, **ids)
            self.cancel_requested[command.scheduled_event_id] = requested.event_id
        elif isinstance(command, cm.StartTimer):
            timer = self._add(
                ev.TimerStarted,
                timer_id=command.timer_id,
                start_to_fire_timeout_us=command.start_to_fire_timeout_us,
                **ids,
            )
            self.timers[timer.timer_id] = timer
        elif isinstance(command, cm.CancelTimer):
            timer = self.timers.pop(command.timer_id)
            self._add(ev.TimerCanceled, timer_id=command.timer_id, started_event_id=timer.event_id, **ids)
        elif isinstance(command, cm.RecordMarker):
            self._add(ev.MarkerRecorded, marker_name=command.marker_name, details=command.details, **ids)
        else:
            self.closed = True
            if isinstance(command, cm.CompleteWorkflowExecution):
                self._add(ev.WorkflowExecutionCompleted, result=command.result, **ids)
            elif isinstance(command, cm.FailWorkflowExecution):
                self._add(ev.WorkflowExecutionFailed, failure=command.failure, **ids)
            else:
                assert isinstance(command, cm.CancelWorkflowExecution), command
                self._add(ev.WorkflowExecutionCanceled, **ids)


def _closes(command: cm.Command) -> bool:
    return isinstance(command, (cm.CompleteWorkflowExecution, cm.FailWorkflowExecution, cm.CancelWorkflowExecution))


def _timeout(kind: TimeoutType) -> Failure:
    return Failure(message="activity timeout", info=TimeoutFailureInfo(kind))
