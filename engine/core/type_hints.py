"""What a function's annotations say about its arguments and its result (rules of ``temporalio``)."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, get_type_hints

_BUILTIN_CALLABLES = (
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.BuiltinFunctionType,
)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def function_types(function: Callable[..., Any]) -> tuple[list[Any] | None, Any]:
    """Argument types in order, and the result's type.

    A leading ``self`` without annotation is left out. The argument types are ``None`` where a parameter can't be given
    by position; a type is ``None`` where there is no annotation.

    Raises:
        NameError: An annotation names what doesn't exist.
    """
    target = _call_method(function)
    signature = inspect.signature(target)
    hints = get_type_hints(target)
    result = hints.get("return")
    arguments: list[Any] = []
    for index, parameter in enumerate(signature.parameters.values()):
        if index == 0 and parameter.name == "self" and _is_untyped_self(parameter):
            continue
        if parameter.kind not in _POSITIONAL:
            return None, result
        arguments.append(hints.get(parameter.name))
    return arguments, result


def _call_method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The ``__call__`` of an instance of a user's class; anything else is returned as it is."""
    if inspect.isfunction(function) or isinstance(function, (*_BUILTIN_CALLABLES, types.MethodType)):
        return function
    owner = function if isinstance(function, type) else type(function)
    call: Callable[..., Any] | None = getattr(owner, "__call__", None)  # noqa: B004 (the method itself is wanted)
    return function if call is None else call


def _is_untyped_self(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is inspect.Parameter.empty or str(parameter.annotation) == "typing.Self"
