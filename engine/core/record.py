"""The small record: what the server must keep of a run and Temporal's event types leave out.

A run is rebuilt from its history and this record, which are committed in one conditional write. Items are keyed
(``"activity/5"``, ``"workflow_task"``) and immutable: a change puts a fresh item, so that a commit writes what
changed and never all that is pending. ``RECORD_FIELDS`` is the one list of what may be in a record; a test refuses
anything else.

The real server keeps the same in its mutable state (``ActivityInfo`` and ``WorkflowExecutionInfo`` in
``proto/internal/temporal/server/api/persistence/v1/executions.proto``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final

from .errors import InternalError
from .events import HistoryEvent, TaskQueue
from .failures import Failure
from .payloads import Payloads


@dataclass(slots=True)
class ActivityAttempt:
    """The current attempt of a pending activity. Times are microseconds since the Unix epoch.

    ``ActivityTaskStarted`` is written to history only when the attempt that closes the activity has ended, so
    everything about attempts lives here. A fresh activity (first attempt, not started) has no item.

    Args:
        attempt: Counts from 1.
        scheduled_time_us: When this attempt is or was due to be handed to a worker; in the future while backing off.
        dispatched: Handed to matching; false while backing off.
        started: A worker has it.
        started_time_us: When it got it.
        request_id: Of the ``RecordActivityTaskStarted`` that started it, so that a retried request is answered alike.
        identity: Of the worker that has or last had it.
        last_failure: Of the attempt before.
        heartbeat_details: The last that were recorded, in this or an earlier attempt.
        heartbeat_time_us: When; 0 if never.
    """

    attempt: int
    scheduled_time_us: int
    dispatched: bool = True
    started: bool = False
    started_time_us: int = 0
    request_id: str = ""
    identity: str = ""
    last_failure: Failure | None = None
    heartbeat_details: Payloads = field(default_factory=list)
    heartbeat_time_us: int = 0


@dataclass(slots=True)
class PendingWorkflowTask:
    """The one workflow task that is scheduled or started.

    In the record only while transient (``attempt`` above 1): the events of such a task are written when it completes,
    with the ids given here. Of a normal task everything is in history.
    """

    scheduled_event_id: int
    scheduled_time_us: int
    attempt: int
    start_to_close_timeout_us: int
    task_queue: TaskQueue
    started_event_id: int = 0
    started_time_us: int = 0
    request_id: str = ""
    identity: str = ""
    suggest_continue_as_new: bool = False
    history_size_bytes: int = 0

    @property
    def is_transient(self) -> bool:
        """Are its events not in history yet?"""
        return self.attempt > 1


@dataclass(slots=True)
class StickyQueue:
    """The queue of the worker process that has the run in its cache."""

    task_queue: TaskQueue
    schedule_to_start_timeout_us: int


@dataclass(slots=True)
class SeenRequest:
    """A request whose id no event holds (the start), and the event that it became."""

    request_id: str
    event_id: int


BufferedEvents = tuple[HistoryEvent, ...]
"""Events that came while a workflow task was started, in order, without ids; they go to history when it ends."""

RECORD_FIELDS: Final[dict[str, tuple[type, tuple[str, ...]]]] = {
    "activity": (
        ActivityAttempt,
        (
            "attempt",
            "scheduled_time_us",
            "dispatched",
            "started",
            "started_time_us",
            "request_id",
            "identity",
            "last_failure",
            "heartbeat_details",
            "heartbeat_time_us",
        ),
    ),
    "workflow_task": (
        PendingWorkflowTask,
        (
            "scheduled_event_id",
            "scheduled_time_us",
            "attempt",
            "start_to_close_timeout_us",
            "task_queue",
            "started_event_id",
            "started_time_us",
            "request_id",
            "identity",
            "suggest_continue_as_new",
            "history_size_bytes",
        ),
    ),
    "buffered": (tuple, ()),
    "sticky": (StickyQueue, ("task_queue", "schedule_to_start_timeout_us")),
    "request": (SeenRequest, ("request_id", "event_id")),
}
"""Kind of item (the key up to its first slash) to the item's type and all of its fields."""


def check_item(key: str, item: object) -> None:
    """Refuse an item that ``RECORD_FIELDS`` does not name.

    Raises:
        InternalError: The kind is unknown, the type is another, or the type has other fields.
    """
    kind = key.partition("/")[0]
    if kind not in RECORD_FIELDS:
        raise InternalError(f"{key!r} is no item of a run's record; known kinds are {sorted(RECORD_FIELDS)}")
    expected, names = RECORD_FIELDS[kind]
    if type(item) is not expected:
        raise InternalError(f"record item {key!r} is a {type(item).__name__}, expected a {expected.__name__}")
    found = tuple(one.name for one in fields(item)) if is_dataclass(item) else ()
    if found != names:
        raise InternalError(f"record item {key!r} has the fields {found}, allowed are {names}")
