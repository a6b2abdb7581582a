"""Writes histories by hand, and hands them to a run task by task."""

from __future__ import annotations

from typing import Any

from stormproof.engine.converter import DataConverter
from stormproof.engine.core import events as ev
from stormproof.engine.core.activation import Activation, ActivationCompletion
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.engine.core.failures import ApplicationFailureInfo, Failure
from stormproof.engine.core.machines import WorkflowRun, WorkflowTaskOutcome
from stormproof.engine.core.requests import Execution, WorkflowQuery

CONVERTER = DataConverter.default
START_US = 1_700_000_000_000_000
RUN_ID = "11111111-2222-4333-8444-555555555555"


def payloads(*values: Any) -> Any:
    return CONVERTER.payload_converter.to_payloads(values)


def value_of(payload: Any) -> Any:
    return CONVERTER.payload_converter.from_payload(payload)


class Written:
    """A history in the making. Events are a second apart."""

    def __init__(self, workflow: type, *arguments: Any, **attributes: Any) -> None:
        self.definition = WorkflowDefinition.of(workflow)
        self.events: list[ev.HistoryEvent] = []
        self.starts: list[int] = []
        self.add(
            ev.WorkflowExecutionStarted,
            workflow_type=self.definition.name,
            input=payloads(*arguments),
            original_execution_run_id=RUN_ID,
            **attributes,
        )

    def add(self, kind: type[Any], **attributes: Any) -> Any:
        event = kind(event_id=len(self.events) + 1, time_us=START_US + 1_000_000 * len(self.events), **attributes)
        self.events.append(event)
        return event

    def task(self, **attributes: Any) -> Any:
        """A workflow task up to its start."""
        scheduled = self.add(ev.WorkflowTaskScheduled)
        started = self.add(ev.WorkflowTaskStarted, scheduled_event_id=scheduled.event_id, **attributes)
        self.starts.append(started.event_id)
        return started

    def task_failed(self) -> None:
        """A workflow task that came to nothing."""
        scheduled = self.add(ev.WorkflowTaskScheduled)
        started = self.add(ev.WorkflowTaskStarted, scheduled_event_id=scheduled.event_id)
        self.add(ev.WorkflowTaskFailed, scheduled_event_id=scheduled.event_id, started_event_id=started.event_id)

    def completed(self, *core_flags: int, lang_flags: tuple[int, ...] = ()) -> None:
        """The completion of the last workflow task."""
        started = self.events[self.starts[-1] - 1]
        assert isinstance(started, ev.WorkflowTaskStarted)
        self.add(
            ev.WorkflowTaskCompleted,
            scheduled_event_id=started.scheduled_event_id,
            started_event_id=started.event_id,
            sdk_metadata=ev.WorkflowTaskCompletedMetadata(list(core_flags or (1, 3, 4)), list(lang_flags)),
        )

    def scheduled(self, activity_id: str, activity_type: str = "step") -> int:
        event_id: int = self.add(
            ev.ActivityTaskScheduled, activity_id=activity_id, activity_type=activity_type
        ).event_id
        return event_id

    def activity_completed(self, scheduled_id: int, *result: Any) -> None:
        started = self.add(ev.ActivityTaskStarted, scheduled_event_id=scheduled_id)
        self.add(
            ev.ActivityTaskCompleted,
            scheduled_event_id=scheduled_id,
            started_event_id=started.event_id,
            result=payloads(*result),
        )

    def activity_failed(self, scheduled_id: int, kind: str = "Oops") -> None:
        started = self.add(ev.ActivityTaskStarted, scheduled_event_id=scheduled_id)
        self.add(
            ev.ActivityTaskFailed,
            scheduled_event_id=scheduled_id,
            started_event_id=started.event_id,
            failure=Failure(message="it broke", info=ApplicationFailureInfo(type=kind)),
        )

    def timer(self, timer_id: str) -> int:
        event_id: int = self.add(ev.TimerStarted, timer_id=timer_id, start_to_fire_timeout_us=1_000_000).event_id
        return event_id

    def fired(self, timer_id: str, started_id: int) -> None:
        self.add(ev.TimerFired, timer_id=timer_id, started_event_id=started_id)

    def signal(self, name: str, *arguments: Any) -> None:
        self.add(ev.WorkflowExecutionSignaled, signal_name=name, input=payloads(*arguments))

    def cancel(self, cause: str = "enough") -> None:
        self.add(ev.WorkflowExecutionCancelRequested, cause=cause)


class Worker:
    """One cached run, given a history task by task."""

    def __init__(self, history: Written, **options: Any) -> None:
        self.history = history
        self.run = WorkflowRun(history.definition, Execution("wf", RUN_ID), CONVERTER, task_queue="queue", **options)
        self.given = 0
        self.previous = 0
        self.activations: list[tuple[Activation, ActivationCompletion]] = []

    def work(
        self, queries: dict[str, WorkflowQuery] | None = None, query: WorkflowQuery | None = None
    ) -> WorkflowTaskOutcome:
        """Handle what the history has had added to it."""
        events = self.history.events[self.given :]
        self.given = len(self.history.events)
        started = 0 if query else self.history.starts[-1]
        outcome = self.run.handle_task(
            events,
            previous_started_event_id=self.previous,
            started_event_id=started,
            queries=queries,
            query=query,
            on_activation=lambda activation, completion: self.activations.append((activation, completion)),
        )
        self.previous = started or self.previous
        return outcome


def kinds(outcome: WorkflowTaskOutcome) -> list[str]:
    assert outcome.failure is None, outcome.failure.message
    return [type(command).__name__ for command in outcome.commands]
