"""What an activity is made of: its name, what is called, and its types; checked when it is decorated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from .core.type_hints import function_types

CallableType = TypeVar("CallableType", bound=Callable[..., Any])

_DEFINITION = "__stormproof_activity_definition__"


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
