"""What activities are and what they can call: names, signatures and behaviour of ``temporalio.activity``.

The worker sets ``current_activity`` before it runs an activity; the functions here read it. Code that runs elsewhere (a
thread of its own) isn't in the activity unless the context was carried over.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .activity_context import (
    ActivityCancellationDetails,
    ActivityContext,
    ActivityEvent,
    BlockThread,
    Info,
    current_activity,
    make_info,
)
from .activity_definition import ActivityDefinition, defn
from .common import timedelta_to_us
from .converter import PayloadConverter

if TYPE_CHECKING:
    from .client import Client


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
def shield_thread_cancel_exception() -> Generator[None, None, None]:
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


__all__ = [
    "ActivityCancellationDetails",
    "ActivityContext",
    "ActivityDefinition",
    "ActivityEvent",
    "BlockThread",
    "Info",
    "LoggerAdapter",
    "cancellation_details",
    "client",
    "current_activity",
    "defn",
    "heartbeat",
    "in_activity",
    "info",
    "is_cancelled",
    "is_worker_shutdown",
    "logger",
    "make_info",
    "payload_converter",
    "shield_thread_cancel_exception",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
    "wait_for_worker_shutdown",
    "wait_for_worker_shutdown_sync",
]
