"""How a history falls into workflow tasks: sequences of events that end with the start of a task.

After Temporal's core (``history_update.rs``, ``find_end_index_of_next_wft_seq``; its ``workflow_task_chunking.md`` says
why). A task that failed or timed out is skipped over, and so is one that did nothing but ask for another one (a
heartbeat): the worker that went on from it saw the events before it and after it as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from .events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    HistoryEvent,
    MarkerRecorded,
    OtherEvent,
    TimerCanceled,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)

COMMAND_EVENTS: frozenset[type] = frozenset(
    {
        ActivityTaskScheduled,
        ActivityTaskCancelRequested,
        MarkerRecorded,
        TimerStarted,
        TimerCanceled,
        WorkflowExecutionCanceled,
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
    }
)
"""Events that a command of the workflow has caused."""

CLOSING_EVENTS: frozenset[type] = frozenset(
    {
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionCanceled,
        WorkflowExecutionTimedOut,
        WorkflowExecutionTerminated,
    }
)
"""Events that end a run."""

_OTHER_COMMAND_EVENTS = frozenset(
    {
        "EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        "EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED",
        "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        "EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED",
        "EVENT_TYPE_NEXUS_OPERATION_SCHEDULED",
        "EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED",
        "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
        "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
        "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_REJECTED",
        "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED",
    }
)

_ENDS_TASK_EARLY = frozenset(
    {
        WorkflowTaskFailed,
        WorkflowTaskTimedOut,
        WorkflowExecutionTimedOut,
        WorkflowExecutionTerminated,
        WorkflowExecutionCanceled,
    }
)

_TASK_STARTED, _RUN_STARTED, _COMMAND, _CLOSING, _OTHER, _COMPLETION, _MARKER = range(1, 8)
_KINDS: dict[type, int] = {
    **dict.fromkeys(COMMAND_EVENTS, _COMMAND),
    **dict.fromkeys(CLOSING_EVENTS, _CLOSING),
    WorkflowTaskStarted: _TASK_STARTED,
    WorkflowTaskCompleted: _COMPLETION,
    WorkflowExecutionStarted: _RUN_STARTED,
    MarkerRecorded: _MARKER,
    OtherEvent: _OTHER,
}


def is_command_event(event: HistoryEvent) -> bool:
    """Whether a command of the workflow has caused this event."""
    if isinstance(event, OtherEvent):
        return event.event_type in _OTHER_COMMAND_EVENTS
    return event.__class__ in COMMAND_EVENTS


def is_closing_event(event: HistoryEvent) -> bool:
    """Whether this event ends the run."""
    if isinstance(event, OtherEvent):
        closing: bool = event.event_type == "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"
        return closing
    return event.__class__ in CLOSING_EVENTS


def find_sequences(events: Sequence[HistoryEvent], start: int) -> tuple[list[int], list[WorkflowTaskCompleted], bool]:
    """Cut events, complete up to now, into sequences, and look for what must be known ahead of its time.

    Args:
        events: A history, or the end of one.
        start: The index of the first event that belongs to no sequence yet.

    Returns:
        The index of the last event of each complete sequence, the completions of workflow tasks, and whether there are
        markers.
    """
    ends: list[int] = []
    completions: list[WorkflowTaskCompleted] = []
    has_markers = False
    count = len(events)
    kind_of = _KINDS.get
    saw_command = saw_anything = False
    for index in range(start, count):
        event = events[index]
        kind = kind_of(event.__class__)
        if kind is None:
            continue
        if kind == _COMPLETION:
            completions.append(event)  # type: ignore[arg-type]  # its class was compared
            continue
        is_end = False
        if kind == _TASK_STARTED:
            is_end = _ends_at_start(events, index, count, saw_command=saw_command, saw_anything=saw_anything)
        elif kind == _COMMAND:
            saw_command = saw_anything = True
        elif kind == _CLOSING:
            is_end = True
        elif kind == _RUN_STARTED:
            saw_anything = True
        elif kind == _MARKER:
            saw_command = saw_anything = has_markers = True
        elif is_closing_event(event):
            is_end = True
        elif is_command_event(event):
            saw_command = saw_anything = True
        if is_end:
            ends.append(index)
            saw_command = saw_anything = False
    return ends, completions, has_markers


def _ends_at_start(
    events: Sequence[HistoryEvent], index: int, count: int, *, saw_command: bool, saw_anything: bool
) -> bool:
    """Whether the start of a workflow task ends a sequence."""
    if index + 1 == count:
        return saw_anything
    following = events[index + 1].__class__
    if following is WorkflowTaskCompleted and index + 2 < count:
        return saw_command or events[index + 2].__class__ is not WorkflowTaskScheduled
    return saw_anything and following not in _ENDS_TASK_EARLY
