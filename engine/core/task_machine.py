"""The state machine of a workflow task in a history (``workflow_task_state_machine.rs`` of Temporal's core)."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from .command_machines import CommandMachine, rows_of
from .events import (
    HistoryEvent,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from .nondeterminism import Nondeterminism, describe_event, short_event


class TaskMachine(CommandMachine):
    """One workflow task.

    Args:
        awaited_event_id: The start of the task that is being applied; those of tasks that led to nothing lie before.
    """

    __slots__ = ("awaited_event_id", "started_event_id", "started_time_us")
    name = "WorkflowTask"

    def __init__(self, awaited_event_id: int) -> None:
        self.row = _SCHEDULED
        self.cancelled_before_sent = False
        self.awaited_event_id = awaited_event_id
        self.started_event_id = 0
        self.started_time_us = 0

    def _started(self, run: Any, event: WorkflowTaskStarted, _is_last_task: bool) -> None:
        self.started_event_id = event.event_id
        self.started_time_us = event.time_us
        run.history_size_bytes = event.history_size_bytes
        run.continue_as_new_suggested = event.suggest_continue_as_new
        if event.event_id >= self.awaited_event_id:
            run.task_has_started(self.awaited_event_id, event.time_us)

    def _completed(self, run: Any, _event: WorkflowTaskCompleted, _is_last_task: bool) -> None:
        run.task_has_started(self.started_event_id, self.started_time_us)

    def _failed(self, run: Any, event: WorkflowTaskFailed, _is_last_task: bool) -> None:
        # Only a reset names a new run.
        if event.new_run_id:
            run.reset_to(event.new_run_id)

    def refuse(self, event: HistoryEvent) -> NoReturn:
        """Refuse an event for which the table has nothing."""
        if event.__class__ not in self.handled:
            raise Nondeterminism(
                f"Event does not apply to a wf task machine: {short_event(event)}",
                event.event_id,
                describe_event(event),
                "has not asked for what it refers to",
            )
        super().refuse(event)

    table: ClassVar = {
        ("Scheduled", WorkflowTaskStarted): ("Started", _started),
        ("Scheduled", WorkflowTaskTimedOut): ("TimedOut", None),
        ("Started", WorkflowTaskCompleted): ("Completed", _completed),
        ("Started", WorkflowTaskFailed): ("Failed", _failed),
        ("Started", WorkflowTaskTimedOut): ("TimedOut", None),
    }
    rows = rows_of(table)
    handled = frozenset({WorkflowTaskStarted, WorkflowTaskCompleted, WorkflowTaskFailed, WorkflowTaskTimedOut})


_SCHEDULED = TaskMachine.rows["Scheduled"]
