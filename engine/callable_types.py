"""Shapes of the callables that users hand to a client or call from a workflow (as in ``temporalio.types``).

Type checkers derive the type of a result, and of the arguments, from these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

AnyType = TypeVar("AnyType")
SelfType = TypeVar("SelfType")
ParamType = TypeVar("ParamType")
ReturnType = TypeVar("ReturnType")
LocalReturnType = TypeVar("LocalReturnType", covariant=True)
CallableType = TypeVar("CallableType", bound=Callable[..., Any])
MultiParamSpec = ParamSpec("MultiParamSpec")

ProtocolParamType = TypeVar("ProtocolParamType", contravariant=True)
ProtocolReturnType = TypeVar("ProtocolReturnType", covariant=True)
ProtocolSelfType = TypeVar("ProtocolSelfType", contravariant=True)


class MethodAsyncNoParam(Protocol[ProtocolSelfType, ProtocolReturnType]):
    """An async method without parameters."""

    def __call__(self, __self: ProtocolSelfType) -> Awaitable[ProtocolReturnType]: ...


class MethodAsyncSingleParam(Protocol[ProtocolSelfType, ProtocolParamType, ProtocolReturnType]):
    """An async method with one parameter."""

    def __call__(self, __self: ProtocolSelfType, __arg: ProtocolParamType) -> Awaitable[ProtocolReturnType]: ...


class MethodSyncOrAsyncNoParam(Protocol[ProtocolSelfType, ProtocolReturnType]):
    """A method without parameters, async or not."""

    def __call__(self, __self: ProtocolSelfType) -> ProtocolReturnType | Awaitable[ProtocolReturnType]: ...


class MethodSyncOrAsyncSingleParam(Protocol[ProtocolSelfType, ProtocolParamType, ProtocolReturnType]):
    """A method with one parameter, async or not."""

    def __call__(
        self, __self: ProtocolSelfType, __param: ProtocolParamType
    ) -> ProtocolReturnType | Awaitable[ProtocolReturnType]: ...


class MethodSyncNoParam(Protocol[ProtocolSelfType, ProtocolReturnType]):
    """A method without parameters that is not async."""

    def __call__(self, __self: ProtocolSelfType) -> ProtocolReturnType: ...


class MethodSyncSingleParam(Protocol[ProtocolSelfType, ProtocolParamType, ProtocolReturnType]):
    """A method with one parameter that is not async."""

    def __call__(self, __self: ProtocolSelfType, __param: ProtocolParamType) -> ProtocolReturnType: ...


AsyncMethod = Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]]
AnyMethod = Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType] | ReturnType]

UNSET: Any = object()
"""Stands for an argument that was not given, where ``None`` is a value."""


def arguments_of(arg: Any, args: Any) -> list[Any]:
    """The argument list of a call that takes either ``arg`` or ``args``.

    Raises:
        ValueError: Both were given.
    """
    if arg is not UNSET:
        if args:
            raise ValueError("Cannot have arg and args")
        return [arg]
    return list(args)
