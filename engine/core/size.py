"""A cheap estimate of an event's size in a history.

The real server counts the bytes of each batch of events as it stores them (``ExecutionStats.HistorySize``). Here a
constant per event type is added to the bytes of what users bring (payloads, headers, names, failures). It is meant
for limits and for ``suggest_continue_as_new``: right within tens of bytes per event, and never used for anything that
must be exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import events as ev
from .failures import ApplicationFailureInfo, CanceledFailureInfo, Failure, TimeoutFailureInfo
from .payloads import Payload, PayloadMap, Payloads

_PAYLOAD_OVERHEAD = 30
_EVENT_OVERHEAD = 48


def payloads_size(payloads: Payloads) -> int:
    """Bytes of a list of payloads."""
    size = 0
    for payload in payloads:
        size += len(payload.data) + _PAYLOAD_OVERHEAD
    return size


def map_size(payloads: PayloadMap) -> int:
    """Bytes of named payloads (a header, a memo)."""
    size = 0
    for name, payload in payloads.items():
        size += len(name) + len(payload.data) + _PAYLOAD_OVERHEAD
    return size


def failure_size(failure: Failure | None) -> int:
    """Bytes of a failure with all of its causes."""
    size = 0
    while failure is not None:
        size += len(failure.message) + len(failure.stack_trace) + len(failure.source) + 16
        encoded: Payload | None = failure.encoded_attributes
        if encoded is not None:
            size += len(encoded.data)
        info = failure.info
        if isinstance(info, ApplicationFailureInfo | CanceledFailureInfo):
            size += payloads_size(info.details)
        elif isinstance(info, TimeoutFailureInfo):
            size += payloads_size(info.last_heartbeat_details)
        failure = failure.cause
    return size


def _started(event: ev.WorkflowExecutionStarted) -> int:
    names = len(event.workflow_type) + len(event.workflow_id) + len(event.identity) + 200
    return names + payloads_size(event.input) + map_size(event.header) + map_size(event.memo)


def _signaled(event: ev.WorkflowExecutionSignaled) -> int:
    return 80 + len(event.signal_name) + payloads_size(event.input) + map_size(event.header)


def _activity_scheduled(event: ev.ActivityTaskScheduled) -> int:
    return 120 + len(event.activity_type) + payloads_size(event.input) + map_size(event.header)


def _activity_started(event: ev.ActivityTaskStarted) -> int:
    return 100 + failure_size(event.last_failure)


def _result(event: ev.ActivityTaskCompleted | ev.WorkflowExecutionCompleted) -> int:
    return _EVENT_OVERHEAD + payloads_size(event.result)


def _failed(event: ev.ActivityTaskFailed | ev.ActivityTaskTimedOut | ev.WorkflowExecutionFailed) -> int:
    return _EVENT_OVERHEAD + failure_size(event.failure)


def _details(event: ev.ActivityTaskCanceled | ev.WorkflowExecutionCanceled | ev.WorkflowExecutionTerminated) -> int:
    return _EVENT_OVERHEAD + payloads_size(event.details)


def _marker(event: ev.MarkerRecorded) -> int:
    size = _EVENT_OVERHEAD + len(event.marker_name) + failure_size(event.failure)
    for payloads in event.details.values():
        size += payloads_size(payloads)
    return size


def _workflow_task_failed(event: ev.WorkflowTaskFailed) -> int:
    return 100 + failure_size(event.failure)


_SIZES: dict[type[ev.HistoryEvent], Callable[[Any], int]] = {
    ev.WorkflowExecutionStarted: _started,
    ev.WorkflowExecutionSignaled: _signaled,
    ev.WorkflowExecutionCompleted: _result,
    ev.WorkflowExecutionFailed: _failed,
    ev.WorkflowExecutionCanceled: _details,
    ev.WorkflowExecutionTerminated: _details,
    ev.WorkflowTaskFailed: _workflow_task_failed,
    ev.ActivityTaskScheduled: _activity_scheduled,
    ev.ActivityTaskStarted: _activity_started,
    ev.ActivityTaskCompleted: _result,
    ev.ActivityTaskFailed: _failed,
    ev.ActivityTaskTimedOut: _failed,
    ev.ActivityTaskCanceled: _details,
    ev.MarkerRecorded: _marker,
}


def event_size(event: ev.HistoryEvent) -> int:
    """Bytes of an event, estimated."""
    measure = _SIZES.get(type(event))
    return _EVENT_OVERHEAD + 32 if measure is None else measure(event)
