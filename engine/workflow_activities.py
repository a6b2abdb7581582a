"""Activities as workflow code calls them: names, signatures and typing of ``temporalio.workflow``.

The options are spelled out once, in ``ActivityConfig``; type checkers read each function's keyword arguments there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Protocol, TypedDict, Unpack, overload

from .activity import ActivityDefinition
from .callable_types import (
    MethodAsyncNoParam,
    MethodAsyncSingleParam,
    MethodSyncNoParam,
    MethodSyncSingleParam,
    MultiParamSpec,
    ParamType,
    ProtocolParamType,
    ProtocolReturnType,
    ReturnType,
    SelfType,
)
from .common import UNSET, RetryPolicy, arg_or_args, timedelta_to_us
from .core.activation import ScheduleActivityCommand
from .core.enums import ActivityCancellationType
from .core.events import UserMetadata
from .core.runtime_context import current_instance
from .core.workflow_activity import ActivityHandle
from .core.workflow_calls import WorkflowCalls


class CallableAsyncNoParam(Protocol[ProtocolReturnType]):
    """An activity class whose instances are async and take nothing."""

    def __call__(self) -> Awaitable[ProtocolReturnType]:
        """Do it."""
        ...


class CallableSyncNoParam(Protocol[ProtocolReturnType]):
    """An activity class whose instances take nothing."""

    def __call__(self) -> ProtocolReturnType:
        """Do it."""
        ...


class CallableAsyncSingleParam(Protocol[ProtocolParamType, ProtocolReturnType]):
    """An activity class whose instances are async and take one argument."""

    def __call__(self, arg: ProtocolParamType, /) -> Awaitable[ProtocolReturnType]:
        """Do it."""
        ...


class CallableSyncSingleParam(Protocol[ProtocolParamType, ProtocolReturnType]):
    """An activity class whose instances take one argument."""

    def __call__(self, arg: ProtocolParamType, /) -> ProtocolReturnType:
        """Do it."""
        ...


class CallableAsync(Protocol[ProtocolReturnType]):
    """An activity class whose instances are async."""

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[ProtocolReturnType]:
        """Do it."""
        ...


class CallableSync(Protocol[ProtocolReturnType]):
    """An activity class."""

    def __call__(self, *args: Any, **kwargs: Any) -> ProtocolReturnType:
        """Do it."""
        ...


class ActivityConfig(TypedDict, total=False):
    """Options of ``start_activity`` and ``execute_activity``.

    Attributes:
        task_queue: The workflow's own by default.
        schedule_to_close_timeout: From being scheduled to the end, with all retries.
        schedule_to_start_timeout: From being scheduled to the start of an attempt.
        start_to_close_timeout: For each attempt. This or ``schedule_to_close_timeout`` must be given.
        heartbeat_timeout: The longest time between two heartbeats of an attempt.
        retry_policy: The server's default retries without end.
        cancellation_type: What the workflow waits for when it cancels the activity.
        activity_id: Unique in the run; a number by default.
        summary: One line for people.
    """

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None


@overload
def start_activity(
    activity: Callable[[], Awaitable[ReturnType]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: Callable[[], ReturnType], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: Callable[[ParamType], Awaitable[ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: Callable[[ParamType], ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: Callable[..., Awaitable[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: Callable[..., ReturnType], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity(
    activity: str,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[Any]: ...


def start_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[Any]:
    """Start an activity.

    Args:
        activity: The activity: a decorated function or method, or its name.
        arg: Its only argument.
        args: Its arguments, if there are more.
        result_type: The type of the result, where the activity is given by name.
        **options: See ``ActivityConfig``.

    Returns:
        A task whose result is the activity's.

    Raises:
        TypeError: It is neither a name nor an activity, or an option is unknown.
        ValueError: No timeout was given, or both ``arg`` and ``args`` were.
    """
    return _start(activity, arg, args, result_type, options)


@overload
async def execute_activity(
    activity: Callable[[], Awaitable[ReturnType]], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity(activity: Callable[[], ReturnType], **options: Unpack[ActivityConfig]) -> ReturnType: ...


@overload
async def execute_activity(
    activity: Callable[[ParamType], Awaitable[ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity(
    activity: Callable[[ParamType], ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity(
    activity: Callable[..., Awaitable[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity(
    activity: Callable[..., ReturnType], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity(
    activity: str,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    **options: Unpack[ActivityConfig],
) -> Any: ...


async def execute_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    **options: Unpack[ActivityConfig],
) -> Any:
    """Start an activity and wait for its result. See ``start_activity``."""
    return await _start(activity, arg, args, result_type, options)


@overload
def start_activity_class(
    activity: type[CallableAsyncNoParam[ReturnType]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_class(
    activity: type[CallableSyncNoParam[ReturnType]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_class(
    activity: type[CallableAsyncSingleParam[ParamType, ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_class(
    activity: type[CallableSyncSingleParam[ParamType, ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_class(
    activity: type[CallableAsync[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_class(
    activity: type[CallableSync[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


def start_activity_class(
    activity: Any, arg: Any = UNSET, *, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> ActivityHandle[Any]:
    """Start an activity that is a decorated class with ``__call__``. See ``start_activity``."""
    return _start(activity, arg, args, None, options)


@overload
async def execute_activity_class(
    activity: type[CallableAsyncNoParam[ReturnType]], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_class(
    activity: type[CallableSyncNoParam[ReturnType]], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_class(
    activity: type[CallableAsyncSingleParam[ParamType, ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_class(
    activity: type[CallableSyncSingleParam[ParamType, ReturnType]], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_class(
    activity: type[CallableAsync[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_class(
    activity: type[CallableSync[ReturnType]], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


async def execute_activity_class(
    activity: Any, arg: Any = UNSET, *, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> Any:
    """Start an activity that is a decorated class with ``__call__`` and wait for its result. See ``start_activity``."""
    return await _start(activity, arg, args, None, options)


@overload
def start_activity_method(
    activity: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_method(
    activity: MethodSyncNoParam[SelfType, ReturnType], **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_method(
    activity: MethodAsyncSingleParam[SelfType, ParamType, ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_method(
    activity: MethodSyncSingleParam[SelfType, ParamType, ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_method(
    activity: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[ReturnType]: ...


@overload
def start_activity_method(
    activity: Callable[Concatenate[SelfType, MultiParamSpec], ReturnType],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[ReturnType]: ...


def start_activity_method(
    activity: Any, arg: Any = UNSET, *, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> ActivityHandle[Any]:
    """Start an activity that is a decorated method. See ``start_activity``."""
    return _start(activity, arg, args, None, options)


@overload
async def execute_activity_method(
    activity: MethodAsyncNoParam[SelfType, ReturnType], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_method(
    activity: MethodSyncNoParam[SelfType, ReturnType], **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_method(
    activity: MethodAsyncSingleParam[SelfType, ParamType, ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_method(
    activity: MethodSyncSingleParam[SelfType, ParamType, ReturnType], arg: ParamType, **options: Unpack[ActivityConfig]
) -> ReturnType: ...


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ReturnType: ...


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[SelfType, MultiParamSpec], ReturnType],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ReturnType: ...


async def execute_activity_method(
    activity: Any, arg: Any = UNSET, *, args: Sequence[Any] = (), **options: Unpack[ActivityConfig]
) -> Any:
    """Start an activity that is a decorated method and wait for its result. See ``start_activity``."""
    return await _start(activity, arg, args, None, options)


# --- options to a command -------------------------------------------------------------------------------------------


def _start(
    activity: Any, arg: Any, args: Sequence[Any], result_type: Any, options: ActivityConfig
) -> ActivityHandle[Any]:
    instance = current_instance()
    name, ret_type = ActivityDefinition.name_and_result_type(activity)
    command = ScheduleActivityCommand(0, "", name, "", {}, [])
    for option, value in options.items():
        if value is not None:
            set_option = _OPTIONS.get(option)
            if set_option is None:
                raise TypeError(f"unknown option {option!r} of an activity: there are {', '.join(_OPTIONS)}")
            set_option(instance, command, value)
    return instance.start_activity(command, arg_or_args(arg, args), result_type or ret_type)


def _set_task_queue(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.task_queue = value


def _set_schedule_to_close(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.schedule_to_close_timeout_us = timedelta_to_us(value)


def _set_schedule_to_start(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.schedule_to_start_timeout_us = timedelta_to_us(value)


def _set_start_to_close(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.start_to_close_timeout_us = timedelta_to_us(value)


def _set_heartbeat(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.heartbeat_timeout_us = timedelta_to_us(value)


def _set_retry_policy(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.retry_policy = value.to_data()


def _set_cancellation_type(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.cancellation_type = value


def _set_activity_id(_instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    command.activity_id = value


def _set_summary(instance: WorkflowCalls, command: ScheduleActivityCommand, value: Any) -> None:
    if value:
        command.user_metadata = UserMetadata(summary=instance.to_payload(value))


_OPTIONS: dict[str, Callable[[WorkflowCalls, ScheduleActivityCommand, Any], None]] = {
    "task_queue": _set_task_queue,
    "schedule_to_close_timeout": _set_schedule_to_close,
    "schedule_to_start_timeout": _set_schedule_to_start,
    "start_to_close_timeout": _set_start_to_close,
    "heartbeat_timeout": _set_heartbeat,
    "retry_policy": _set_retry_policy,
    "cancellation_type": _set_cancellation_type,
    "activity_id": _set_activity_id,
    "summary": _set_summary,
}
