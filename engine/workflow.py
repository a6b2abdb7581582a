"""What workflows are and what they can call: names, signatures and behaviour of ``temporalio.workflow``.

Workflow code is ordinary asyncio on a loop of its own (``core/workflow_loop.py``): ``asyncio.sleep`` in a workflow is a
durable timer.
"""

from __future__ import annotations

import uuid as _uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, overload

from .callable_types import AnyType, ParamType
from .common import UNSET, timedelta_to_us
from .converter import PayloadConverter
from .core.definition import HandlerUnfinishedPolicy
from .core.enums import ActivityCancellationType
from .core.runtime_context import (
    NondeterminismError,
    ReadOnlyContextError,
    current_instance,
    current_instance_or_none,
)
from .core.workflow_activity import ActivityHandle
from .core.workflow_handlers import UnfinishedSignalHandlersWarning
from .core.workflow_info import Info, datetime_of
from .workflow_activities import (
    ActivityConfig,
    execute_activity,
    execute_activity_class,
    execute_activity_method,
    start_activity,
    start_activity_class,
    start_activity_method,
)
from .workflow_decorators import defn, init, query, run, signal
from .workflow_log import LoggerAdapter, logger, unsafe
from .workflow_waiting import as_completed, wait

# --- what a workflow can know ---------------------------------------------------------------------------------------


def in_workflow() -> bool:
    """Whether this code runs in a workflow."""
    return current_instance_or_none() is not None


def info() -> Info:
    """Information about the running workflow."""
    return current_instance().info()


def instance() -> Any:
    """The running workflow's object."""
    return current_instance().object


def cancellation_reason() -> str | None:
    """The reason given with the request to cancel this workflow; ``None`` if there was no such request."""
    return current_instance().cancel_reason


def is_failure_exception(err: BaseException) -> bool:
    """Whether this exception would fail the workflow; any other fails the workflow task only."""
    return current_instance().is_failure_exception(err)


def memo() -> Mapping[str, Any]:
    """The memo's values, converted without type hints."""
    return current_instance().memo()


@overload
def memo_value(key: str, default: Any = UNSET) -> Any: ...


@overload
def memo_value(key: str, *, type_hint: type[ParamType]) -> ParamType: ...


@overload
def memo_value(key: str, default: AnyType, *, type_hint: type[ParamType]) -> AnyType | ParamType: ...


def memo_value(key: str, default: Any = UNSET, *, type_hint: type | None = None) -> Any:
    """One value of the memo.

    Args:
        key: Its key.
        default: Returned if there is no such key.
        type_hint: The type wanted.

    Raises:
        KeyError: There is no such key, and no default was given.
    """
    running = current_instance()
    payload = running.info().raw_memo.get(key)
    if payload is not None:
        return running.converter.payload_converter.from_payloads([payload], [type_hint] if type_hint else None)[0]
    if default is UNSET:
        raise KeyError(f"Memo does not have a value for key {key}")
    return default


def has_last_completion_result() -> bool:
    """Whether the run before this one in its chain has returned something."""
    return bool(current_instance().last_completion_result())


@overload
def get_last_completion_result() -> Any | None: ...


@overload
def get_last_completion_result(type_hint: type[ParamType]) -> ParamType | None: ...


def get_last_completion_result(type_hint: type | None = None) -> Any | None:
    """What the run before this one in its chain has returned; ``None`` too if there is none.

    Args:
        type_hint: The type wanted.
    """
    running = current_instance()
    payloads = running.last_completion_result()
    if len(payloads) != 1:
        return None
    return running.converter.payload_converter.from_payloads(payloads, [type_hint] if type_hint else None)[0]


def get_last_failure() -> BaseException | None:
    """What has failed the run before this one in its chain, if it has failed."""
    return current_instance().last_failure()


def payload_converter() -> PayloadConverter:
    """The payload converter of the running workflow."""
    converter: Any = current_instance().converter.payload_converter
    assert isinstance(converter, PayloadConverter)
    return converter


# --- time and random numbers, the same on every replay --------------------------------------------------------------


def now() -> datetime:
    """Workflow time, in UTC: when the current workflow task started."""
    return datetime_of(current_instance().time_us)


def time() -> float:
    """Workflow time in seconds since the Unix epoch."""
    return time_ns() / 1e9


def time_ns() -> int:
    """Workflow time in nanoseconds since the Unix epoch."""
    return current_instance().time_us * 1000


def random() -> Random:
    """Random numbers that are the same on every replay, and in each run other ones."""
    return current_instance().random()


def random_seed() -> int:
    """The seed of ``random()``."""
    return current_instance().random_seed()


def register_random_seed_callback(callback: Callable[[int], None]) -> None:
    """Have a function called with each new seed. There is a new one when a history is reset."""
    current_instance().on_reseed(callback)


def new_random(name: str | None = None) -> Random:
    """Random numbers of one's own, the same on every replay.

    Args:
        name: Gives other numbers than ``random()``, and other ones for each name.
    """

    def seed_of(seed: int) -> int | str:
        return seed if name is None else f"{seed}:{name}"

    made = Random(seed_of(random_seed()))  # noqa: S311 (must be reproducible)
    register_random_seed_callback(lambda seed: made.seed(seed_of(seed)))
    return made


def uuid4() -> _uuid.UUID:
    """A UUID made from ``random()``."""
    return _uuid.UUID(bytes=current_instance().random().getrandbits(16 * 8).to_bytes(16, "big"), version=4)


def uuid7() -> _uuid.UUID:
    """A UUID made from workflow time and ``random()``: those of later workflow tasks sort after earlier ones."""
    milliseconds = (time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    numbers = current_instance().random()
    first, second = numbers.getrandbits(12), numbers.getrandbits(62)
    return _uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | first << 64 | 0b10 << 62 | second)


# --- waiting --------------------------------------------------------------------------------------------------------


async def sleep(duration: float | timedelta, *, summary: str | None = None) -> None:
    """Wait for a durable timer.

    Args:
        duration: A number is seconds.
        summary: One line for people.
    """
    delay_us = timedelta_to_us(duration) if isinstance(duration, timedelta) else round(duration * 1_000_000)
    await current_instance().sleep(delay_us, summary)


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 (its parameter in temporalio)
    timeout_summary: str | None = None,
) -> None:
    """Wait until ``fn()`` is true. It is called whenever the workflow's code has run, and must change nothing.

    Args:
        fn: The condition.
        timeout: A number is seconds. There is no timer without one, so that adding or removing it is a change that
            runs under way don't survive.
        timeout_summary: One line for people about the timer.

    Raises:
        asyncio.TimeoutError: The timeout has passed.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    await current_instance().wait_condition(fn, seconds, timeout_summary)


# --- versions -------------------------------------------------------------------------------------------------------


def patched(id: str) -> bool:
    """Whether the code takes the newer path: it does in new runs, and in those that have taken it before.

    Args:
        id: The change's name. It may be asked for at several places.
    """
    return current_instance().patched(id, deprecated=False)


def deprecate_patch(id: str) -> None:
    """Mark a patch as deprecated: no run is left that hasn't taken the newer path."""
    current_instance().patched(id, deprecated=True)


# --- handlers -------------------------------------------------------------------------------------------------------


def all_handlers_finished() -> bool:
    """Whether no signal handler is running."""
    return current_instance().handlers.all_finished()


def get_signal_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a signal; not the dynamic one."""
    return current_instance().handlers.signal_handler(name)


def set_signal_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set or remove the handler of a signal; signals that have come before are handled at once."""
    current_instance().handlers.set_signal_handler(name, handler)


def get_dynamic_signal_handler() -> Callable[..., Any] | None:
    """The handler of all signals that have no other."""
    return current_instance().handlers.signal_handler(None)


def set_dynamic_signal_handler(handler: Callable[..., Any] | None) -> None:
    """Set or remove the handler of all signals that have no other; those that have come before are handled at once."""
    current_instance().handlers.set_signal_handler(None, handler)


def get_query_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a query; not the dynamic one."""
    return current_instance().handlers.query_handler(name)


def set_query_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set or remove the handler of a query."""
    current_instance().handlers.set_query_handler(name, handler)


def get_dynamic_query_handler() -> Callable[..., Any] | None:
    """The handler of all queries that have no other."""
    return current_instance().handlers.query_handler(None)


def set_dynamic_query_handler(handler: Callable[..., Any] | None) -> None:
    """Set or remove the handler of all queries that have no other."""
    current_instance().handlers.set_query_handler(None, handler)


__all__ = [
    "ActivityCancellationType",
    "ActivityConfig",
    "ActivityHandle",
    "HandlerUnfinishedPolicy",
    "Info",
    "LoggerAdapter",
    "NondeterminismError",
    "ReadOnlyContextError",
    "UnfinishedSignalHandlersWarning",
    "all_handlers_finished",
    "as_completed",
    "cancellation_reason",
    "defn",
    "deprecate_patch",
    "execute_activity",
    "execute_activity_class",
    "execute_activity_method",
    "get_dynamic_query_handler",
    "get_dynamic_signal_handler",
    "get_last_completion_result",
    "get_last_failure",
    "get_query_handler",
    "get_signal_handler",
    "has_last_completion_result",
    "in_workflow",
    "info",
    "init",
    "instance",
    "is_failure_exception",
    "logger",
    "memo",
    "memo_value",
    "new_random",
    "now",
    "patched",
    "payload_converter",
    "query",
    "random",
    "random_seed",
    "register_random_seed_callback",
    "run",
    "set_dynamic_query_handler",
    "set_dynamic_signal_handler",
    "set_query_handler",
    "set_signal_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_class",
    "start_activity_method",
    "time",
    "time_ns",
    "unsafe",
    "uuid4",
    "uuid7",
    "wait",
    "wait_condition",
]
