"""What a running activity can know, and is told: its info, and the context that its worker sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from .common import RetryPolicy, us_to_timedelta
from .converter import DataConverter, PayloadConverter
from .core.requests import PollActivityTaskQueueResponse
from .exceptions import ApplicationError, CancelledError

if TYPE_CHECKING:
    from .client import Client

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Info:
    """What is known about a running activity. Times are in UTC; a timeout that isn't set is ``None``."""

    activity_id: str
    activity_type: str
    attempt: int
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]
    heartbeat_timeout: timedelta | None
    is_local: bool
    namespace: str
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str | None
    workflow_namespace: str | None
    workflow_run_id: str | None
    workflow_type: str | None
    retry_policy: RetryPolicy | None

    @property
    def in_workflow(self) -> bool:
        """Did a workflow start this activity?"""
        return self.workflow_id is not None

    def _logger_details(self) -> dict[str, Any]:
        return {
            "activity_id": self.activity_id,
            "activity_type": self.activity_type,
            "attempt": self.attempt,
            "namespace": self.namespace,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "workflow_type": self.workflow_type,
        }


def make_info(task: PollActivityTaskQueueResponse, converter: DataConverter) -> Callable[[], Info]:
    """The info of a task's activity, made when it is first asked for: most activities never ask."""

    def make() -> Info:
        execution = task.execution
        token = f"{task.task_token.scheduled_event_id}/{task.attempt}/{execution.run_id}/{execution.workflow_id}"
        policy = task.retry_policy
        return Info(
            activity_id=task.activity_id,
            activity_type=task.activity_type,
            attempt=task.attempt,
            current_attempt_scheduled_time=_time(task.current_attempt_scheduled_time_us),
            heartbeat_details=_heartbeat_details(task, converter),
            heartbeat_timeout=us_to_timedelta(task.heartbeat_timeout_us),
            is_local=False,
            namespace=execution.namespace,
            schedule_to_close_timeout=us_to_timedelta(task.schedule_to_close_timeout_us),
            scheduled_time=_time(task.scheduled_time_us),
            start_to_close_timeout=us_to_timedelta(task.start_to_close_timeout_us),
            started_time=_time(task.started_time_us),
            task_queue=task.task_queue,
            task_token=token.encode(),
            workflow_id=execution.workflow_id,
            workflow_namespace=execution.namespace,
            workflow_run_id=execution.run_id,
            workflow_type=task.workflow_type,
            retry_policy=RetryPolicy.from_data(policy) if policy is not None else None,
        )

    return make


def _time(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)


def _heartbeat_details(task: PollActivityTaskQueueResponse, converter: DataConverter) -> list[Any]:
    if not task.heartbeat_details:
        return []
    try:
        return converter.payload_converter.from_payloads(task.heartbeat_details)
    except Exception as error:
        raise ApplicationError("Failed decoding heartbeat details", non_retryable=True) from error


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """Why an activity was cancelled. Set once."""

    not_found: bool = False
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False


# --- the context that the worker sets -------------------------------------------------------------------------------


class ActivityEvent:
    """Something that happens at most once, and that coroutines and (simulated) threads can wait for."""

    __slots__ = ("_callbacks", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._callbacks: dict[Callable[[], None], None] = {}

    def is_set(self) -> bool:
        """Has it happened?"""
        return self._is_set

    def set(self) -> None:
        """It happens now."""
        if self._is_set:
            return
        self._is_set = True
        for callback in list(self._callbacks):
            callback()
        self._callbacks.clear()

    def on_set(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when it happens; at once if it has."""
        if self._is_set:
            callback()
        else:
            self._callbacks[callback] = None

    def forget(self, callback: Callable[[], None]) -> None:
        """Don't call ``callback`` any more."""
        self._callbacks.pop(callback, None)

    async def wait(self) -> None:
        """Wait until it happens."""
        if self._is_set:
            return
        woken = asyncio.Event()
        self.on_set(woken.set)
        try:
            await woken.wait()
        finally:
            self.forget(woken.set)


class BlockThread(Protocol):
    """Blocks the calling (simulated) thread until an event has happened or the timeout (microseconds) is over."""

    def __call__(self, event: ActivityEvent, timeout_us: int | None) -> None:
        """Block."""


class ActivityContext:
    """What the functions of this module read: one for each attempt, made by the worker.

    Args:
        info: Makes the info; called at most once.
        heartbeat: Takes the details of a heartbeat.
        payload_converter: The worker's.
        is_async: Whether the activity runs on the worker's loop.
        no_thread_cancel_exception: As given to ``defn``.
        block_thread: How a (simulated) thread waits; without it ``wait_for_cancelled_sync`` can't be used.
        client: The worker's client.
    """

    __slots__ = (
        "_info",
        "_is_cancel_pending",
        "_is_done",
        "_logger_details",
        "_make_info",
        "_may_throw",
        "_shield_depth",
        "block_thread",
        "cancellation_details",
        "cancelled_event",
        "client",
        "heartbeat",
        "is_async",
        "payload_converter",
        "worker_shutdown_event",
    )

    def __init__(
        self,
        info: Callable[[], Info],
        heartbeat: Callable[[list[Any]], None],
        payload_converter: PayloadConverter,
        *,
        is_async: bool,
        no_thread_cancel_exception: bool = False,
        block_thread: BlockThread | None = None,
        client: Client | None = None,
    ) -> None:
        self.heartbeat = heartbeat
        self.payload_converter = payload_converter
        self.is_async = is_async
        self.block_thread = block_thread
        self.client = client
        self.cancelled_event = ActivityEvent()
        self.worker_shutdown_event = ActivityEvent()
        self.cancellation_details: ActivityCancellationDetails | None = None
        self._make_info = info
        self._info: Info | None = None
        self._logger_details: Mapping[str, Any] | None = None
        self._is_done = False
        self._may_throw = not is_async and not no_thread_cancel_exception
        self._shield_depth = 0
        self._is_cancel_pending = False

    @property
    def info(self) -> Info:
        """The activity's info."""
        if self._info is None:
            self._info = self._make_info()
        return self._info

    @property
    def logger_details(self) -> Mapping[str, Any]:
        """What the logger adds."""
        if self._logger_details is None:
            self._logger_details = self.info._logger_details()  # noqa: SLF001 (named as in temporalio)
        return self._logger_details

    def cancel(self, *reasons: str) -> bool:
        """Tell the activity that it is cancelled.

        Args:
            reasons: The names of fields of ``ActivityCancellationDetails``; none where a heartbeat could not be made.

        Returns:
            Whether its code still runs, and was not told before: then the task is to be cancelled, or, if
            ``take_thread_exception()`` says so, an exception to be thrown into the thread.
        """
        is_first = not self.cancelled_event.is_set()
        if reasons and self.cancellation_details is None:
            self.cancellation_details = ActivityCancellationDetails(**dict.fromkeys(reasons, True))
        self.cancelled_event.set()
        return is_first and not self._is_done

    def take_thread_exception(self) -> bool:
        """Is ``CancelledError`` to be thrown into the activity's thread now?

        Not where the activity doesn't want it. Inside a shield it is raised at the end of the shield.
        """
        if not self._may_throw or self._is_done:
            return False
        if self._shield_depth:
            self._is_cancel_pending = True
            return False
        return True

    def worker_shutdown(self) -> None:
        """Tell the activity that its worker is about to stop."""
        self.worker_shutdown_event.set()

    def done(self) -> None:
        """The activity's code has ended."""
        self._is_done = True

    @contextmanager
    def shield(self) -> Generator[None, None, None]:
        """Delay the exception of a cancellation."""
        self._shield_depth += 1
        try:
            yield None
        finally:
            self._shield_depth -= 1
            if self._is_cancel_pending and not self._shield_depth:
                self._is_cancel_pending = False
                raise CancelledError("Cancelled")


current_activity: ContextVar[ActivityContext | None] = ContextVar("stormproof_activity", default=None)
