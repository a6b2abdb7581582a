"""How a history falls into workflow tasks: sequences of events that end with the start of a task.

After Temporal's core (``history_update.rs``, ``find_end_index_of_next_wft_seq``; ``arch_docs/workflow_task_chunking.md``
says why). A task that failed or timed out is skipped over, and so is one that did nothing but ask for another one (a
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

_TASK_STARTED, _RUN_STARTED, _COMMAND, _CLOSING, _OTHER = range(1, 6)
_KINDS: dict[type, int] = {
    **dict.fromkeys(COMMAND_EVENTS, _COMMAND),
    **dict.fromkeys(CLOSING_EVENTS, _CLOSING),
    WorkflowTaskStarted: _TASK_STARTED,
    WorkflowExecutionStarted: _RUN_STARTED,
    OtherEvent: _OTHER,
}


def is_command_event(event: HistoryEvent) -> bool:
    """Whether a command of the workflow has caused this event."""
    if event.__class__ is OtherEvent:
        return event.event_type in _OTHER_COMMAND_EVENTS  # type: ignore[attr-defined]  # its class was compared
    return event.__class__ in COMMAND_EVENTS


def is_closing_event(event: HistoryEvent) -> bool:
    """Whether this event ends the run."""
    if event.__class__ is OtherEvent:
        closing: bool = event.event_type == "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"  # type: ignore[attr-defined]
        return closing
    return event.__class__ in CLOSING_EVENTS


def sequence_end(events: Sequence[HistoryEvent], start: int, after_event_id: int) -> tuple[int, bool]:
    """The index of the last event of the sequence that begins at index ``start``.

    Args:
        events: A history, or the end of one, complete up to now.
        start: Where to begin.
        after_event_id: Events up to this id have been handled and don't count.

    Returns:
        The index, and whether the sequence is complete. An incomplete one holds all that there is.
    """
    count = len(events)
    saw_command = saw_anything = False
    for index in range(start, count):
        event = events[index]
        kind = _KINDS.get(event.__class__)
        if kind is None or event.event_id <= after_event_id:
            continue
        if kind == _OTHER:
            kind = _CLOSING if is_closing_event(event) else _COMMAND if is_command_event(event) else 0
        if kind == _CLOSING:
            return index, True
        if kind == _COMMAND:
            saw_command = saw_anything = True
        elif kind == _RUN_STARTED:
            saw_anything = True
        elif kind == _TASK_STARTED:
            following = events[index + 1].__class__ if index + 1 < count else None
            if following in _ENDS_TASK_EARLY:
                continue
            if following is WorkflowTaskCompleted and index + 2 < count:
                if not saw_command and events[index + 2].__class__ is WorkflowTaskScheduled:
                    continue
                return index, True
            if saw_anything:
                return index, True
    return max(count - 1, start), False
