"""What activities are and what they can call: names, signatures and behaviour of ``temporalio.activity``.

The worker sets ``current_activity`` before it runs an activity; the functions here read it. Code that runs elsewhere (a
thread of its own) isn't in the activity unless the context was carried over.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from .common import RetryPolicy, timedelta_to_us, us_to_timedelta
from .converter import DataConverter, PayloadConverter
from .core.requests import PollActivityTaskQueueResponse
from .core.type_hints import function_types
from .exceptions import ApplicationError, CancelledError

if TYPE_CHECKING:
    from .client import Client

CallableType = TypeVar("CallableType", bound=Callable[..., Any])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEFINITION = "__stormproof_activity_definition__"


# --- definitions ----------------------------------------------------------------------------------------------------


@overload
def defn(fn: CallableType) -> CallableType: ...


@overload
def defn(
    *, name: str | None = None, no_thread_cancel_exception: bool = False
) -> Callable[[CallableType], CallableType]: ...


def defn(
    fn: CallableType | None = None,
    *,
    name: str | None = None,
    no_thread_cancel_exception: bool = False,
) -> CallableType | Callable[[CallableType], CallableType]:
    """Make a function, method or callable class an activity.

    Args:
        fn: A function, with or without ``async``; or a class whose instances can be called.
        name: The activity's name; the function's by default.
        no_thread_cancel_exception: No exception is raised in an activity without ``async`` when it is cancelled.

    Raises:
        TypeError: It can't be called, or has keyword-only arguments.
        ValueError: It is an activity already.
    """

    def decorate(function: CallableType) -> CallableType:
        _define(function, name or function.__name__, no_thread_cancel_exception=no_thread_cancel_exception)
        return function

    return decorate if fn is None else decorate(fn)


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """An activity: its name, what is called, and what its annotations say.

    ``arg_types`` is ``None`` where arguments can't be given by position, ``ret_type`` where there is no annotation.
    """

    name: str
    fn: Callable[..., Any]
    is_async: bool
    no_thread_cancel_exception: bool = False
    arg_types: list[Any] | None = None
    ret_type: Any = None

    @staticmethod
    def of(fn: Callable[..., Any]) -> ActivityDefinition:
        """The definition of a decorated function, bound method, or instance of a decorated class.

        Raises:
            TypeError: It was not decorated with ``@activity.defn``.
        """
        definition = _definition_of(fn)
        return definition if definition.fn is fn else replace(definition, fn=fn)

    @staticmethod
    def name_and_result_type(activity: str | Callable[..., Any]) -> tuple[str, Any]:
        """The name of an activity given by name or as a callable, and its result's type as far as it is known.

        Raises:
            TypeError: It is neither a name nor a decorated callable.
        """
        if isinstance(activity, str):
            return activity, None
        if not callable(activity):
            raise TypeError("Activity must be a string or callable")
        definition = _definition_of(activity)
        return definition.name, definition.ret_type

    def types_for(self, argument_count: int) -> list[Any] | None:
        """The argument types, if there are as many as arguments were sent."""
        return self.arg_types if self.arg_types is not None and len(self.arg_types) == argument_count else None


def _definition_of(fn: Callable[..., Any]) -> ActivityDefinition:
    definition = getattr(fn, _DEFINITION, None)
    if not isinstance(definition, ActivityDefinition):
        name = getattr(fn, "__name__", "<unknown>")
        raise TypeError(f"Activity {name} missing attributes, was it decorated with @activity.defn?")
    return definition


def _define(fn: Callable[..., Any], name: str, *, no_thread_cancel_exception: bool) -> None:
    if hasattr(fn, _DEFINITION):
        raise ValueError("Function already contains activity definition")
    if not callable(fn):
        raise TypeError("Activity is not callable")
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            raise TypeError("Activity cannot have keyword-only arguments")
    # A class with ``async def __call__`` is asynchronous too.
    call = getattr(fn, "__call__", None)  # noqa: B004 (the method itself is wanted)
    is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(call)
    arg_types, ret_type = function_types(fn)
    definition = ActivityDefinition(name, fn, is_async, no_thread_cancel_exception, arg_types, ret_type)
    setattr(fn, _DEFINITION, definition)


# --- what an activity can know --------------------------------------------------------------------------------------


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
    def shield(self) -> Iterator[None]:
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


# --- functions ------------------------------------------------------------------------------------------------------


def _context() -> ActivityContext:
    context = current_activity.get()
    if context is None:
        raise RuntimeError("Not in activity context")
    return context


def in_activity() -> bool:
    """Is the calling code inside an activity?"""
    return current_activity.get() is not None


def info() -> Info:
    """The info of the current activity.

    Raises:
        RuntimeError: Not in an activity.
    """
    return _context().info


def client() -> Client:
    """The worker's client, in activities with ``async``.

    Raises:
        RuntimeError: Not in an activity, or in one without ``async``.
    """
    found = _context().client
    if found is None:
        raise RuntimeError("No client available. The client is only available in `async def` activities")
    return found


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the current activity was cancelled, if it was."""
    return _context().cancellation_details


def heartbeat(*details: Any) -> None:
    """Tell the service that the current activity is alive, and how far it is.

    Heartbeats are throttled by the worker. A cancellation reaches an activity only if it heartbeats.

    Args:
        details: What the next attempt finds in ``info().heartbeat_details``.

    Raises:
        RuntimeError: Not in an activity.
    """
    _context().heartbeat(list(details))


def is_cancelled() -> bool:
    """Was the current activity ever asked to cancel?

    Raises:
        RuntimeError: Not in an activity.
    """
    return _context().cancelled_event.is_set()


@contextmanager
def shield_thread_cancel_exception() -> Iterator[None]:
    """Delay the exception of a cancellation, in an activity without ``async``, to the end of the block.

    It is then raised in place of what the block raised. Shields may be nested; the outermost one counts. Nothing
    happens in activities with ``async``.

    Raises:
        CancelledError: The activity was cancelled during the block.
        RuntimeError: Not in an activity.
    """
    context = _context()
    if context.is_async:
        yield None
    else:
        with context.shield():
            yield None


async def wait_for_cancelled() -> None:
    """Wait until the current activity is asked to cancel.

    Raises:
        RuntimeError: Not in an activity with ``async``.
    """
    await _wait_async("cancelled_event")


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Block until the current activity is asked to cancel, or the timeout (a duration, or seconds) is over.

    Raises:
        RuntimeError: Not in an activity without ``async``.
    """
    _wait_blocking("cancelled_event", timeout)


def is_worker_shutdown() -> bool:
    """Is the worker about to stop?

    Raises:
        RuntimeError: Not in an activity.
    """
    return _context().worker_shutdown_event.is_set()


async def wait_for_worker_shutdown() -> None:
    """Wait until the worker is about to stop.

    Raises:
        RuntimeError: Not in an activity with ``async``.
    """
    await _wait_async("worker_shutdown_event")


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Block until the worker is about to stop, or the timeout (a duration, or seconds) is over.

    Raises:
        RuntimeError: Not in an activity without ``async``.
    """
    _wait_blocking("worker_shutdown_event", timeout)


async def _wait_async(event: str) -> None:
    context = _context()
    if not context.is_async:
        raise RuntimeError("not in async activity")
    await getattr(context, event).wait()


def _wait_blocking(event: str, timeout: timedelta | float | None) -> None:
    context = _context()
    if context.block_thread is None:
        # Blocking the loop would stop the very worker that has to tell.
        raise RuntimeError("not in an activity without `async`: await the function of the same name without _sync")
    if timeout is None:
        timeout_us = None
    else:
        timeout_us = timedelta_to_us(timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout))
    context.block_thread(getattr(context, event), timeout_us)


def payload_converter() -> PayloadConverter:
    """The worker's payload converter.

    Raises:
        RuntimeError: Not in an activity.
    """
    return _context().payload_converter


# --- logging --------------------------------------------------------------------------------------------------------


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds to log records which activity wrote them.

    Attributes:
        activity_info_on_message: Append it to the message. Default true.
        activity_info_on_extra: Put it into the record, as ``temporal_activity``. Default true.
        full_activity_info_on_extra: Put the whole ``Info`` into the record, as ``activity_info``. Default false.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = True
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the details."""
        context = current_activity.get()
        if context is None:
            return msg, kwargs
        if self.activity_info_on_message:
            msg = f"{msg} ({context.logger_details})"
        if self.activity_info_on_extra or self.full_activity_info_on_extra:
            extra = dict(kwargs.get("extra") or {})
            if self.activity_info_on_extra:
                extra["temporal_activity"] = context.logger_details
            if self.full_activity_info_on_extra:
                extra["activity_info"] = context.info
            kwargs["extra"] = extra
        return msg, kwargs

    @property
    def base_logger(self) -> logging.Logger:
        """The logger underneath, to add handlers and formatters to."""
        return self.logger


logger = LoggerAdapter(logging.getLogger("stormproof.activity"), None)
"""A logger that says which activity wrote a record."""
