"""The decorators of ``workflow``: names, signatures and checks of ``temporalio.workflow``."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar, overload

from .callable_types import CallableType
from .core.definition import (
    INIT_ATTRIBUTE,
    QUERY_ATTRIBUTE,
    RUN_ATTRIBUTE,
    SIGNAL_ATTRIBUTE,
    HandlerUnfinishedPolicy,
    define_workflow,
    query_definition,
    signal_definition,
)

ClassType = TypeVar("ClassType", bound=type)
CallableAsyncType = TypeVar("CallableAsyncType", bound=Callable[..., Awaitable[Any]])
SignalFunction = TypeVar("SignalFunction", bound=Callable[..., Awaitable[None] | None])

_WARN = HandlerUnfinishedPolicy.WARN_AND_ABANDON


@overload
def defn(cls: ClassType) -> ClassType: ...


@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Callable[[ClassType], ClassType]: ...


@overload
def defn(*, sandboxed: bool = True, dynamic: bool = False) -> Callable[[ClassType], ClassType]: ...


def defn(
    cls: ClassType | None = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> ClassType | Callable[[ClassType], ClassType]:
    """Make a class a workflow.

    Args:
        cls: The class.
        name: The workflow's name; the class's by default.
        sandboxed: Taken so that code moves over unchanged. There is no sandbox: what it guards against, the replay of
            every history finds.
        dynamic: It runs whenever no other workflow has the name wanted. Its run method takes a ``Sequence[RawValue]``.
        failure_exception_types: Exceptions of these types fail the workflow; any others that aren't Temporal's fail
            the workflow task, which is tried again until the code is mended.

    Raises:
        ValueError: The class is not a valid workflow; the message lists every reason.
    """

    def decorate(workflow_class: ClassType) -> ClassType:
        workflow_name = None if dynamic else name or workflow_class.__name__
        define_workflow(workflow_class, name=workflow_name, failure_exception_types=failure_exception_types)
        return workflow_class

    return decorate if cls is None else decorate(cls)


def init(init_fn: CallableType) -> CallableType:
    """Have ``__init__`` take the arguments of the run method. Both must have the same parameters.

    Raises:
        ValueError: It is another method.
    """
    if init_fn.__name__ != "__init__":
        raise ValueError("@workflow.init may only be used on the __init__ method")
    setattr(init_fn, INIT_ATTRIBUTE, True)
    return init_fn


def run(fn: CallableAsyncType) -> CallableAsyncType:
    """Make a method the workflow's run method: each workflow class has exactly one, and it is ``async``.

    Raises:
        ValueError: It is not ``async``, or its class is a local one.
    """
    if not inspect.iscoroutinefunction(fn):
        raise ValueError("Workflow run method must be an async function")
    if "<locals>" in fn.__qualname__:
        raise ValueError("Local classes unsupported, @workflow.run cannot be on a local class")
    setattr(fn, RUN_ATTRIBUTE, True)
    return fn  # type: ignore[return-value]  # mypy narrows it to what iscoroutinefunction() found


@overload
def signal(fn: SignalFunction) -> SignalFunction: ...


@overload
def signal(
    *, unfinished_policy: HandlerUnfinishedPolicy = _WARN, description: str | None = None
) -> Callable[[SignalFunction], SignalFunction]: ...


@overload
def signal(
    *, name: str, unfinished_policy: HandlerUnfinishedPolicy = _WARN, description: str | None = None
) -> Callable[[SignalFunction], SignalFunction]: ...


@overload
def signal(
    *, dynamic: Literal[True], unfinished_policy: HandlerUnfinishedPolicy = _WARN, description: str | None = None
) -> Callable[[SignalFunction], SignalFunction]: ...


def signal(
    fn: SignalFunction | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = _WARN,
    description: str | None = None,
) -> SignalFunction | Callable[[SignalFunction], SignalFunction]:
    """Make a method, ``async`` or not, a signal handler.

    Args:
        fn: The method. Only positional parameters; what it returns is ignored.
        name: The signal's name; the method's by default.
        dynamic: It handles all signals that have no handler. It takes a name and a ``Sequence[RawValue]``.
        unfinished_policy: What happens if the workflow ends while the handler is running.
        description: For people.

    Raises:
        RuntimeError: Both ``name`` and ``dynamic`` were given, or a dynamic handler takes something else.
    """
    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")

    def decorate(function: SignalFunction) -> SignalFunction:
        definition = signal_definition(
            function,
            None if dynamic else name or function.__name__,
            is_method=True,
            unfinished_policy=unfinished_policy,
            description=description,
        )
        if definition.dynamic_vararg:
            _warn_vararg("signals")
        setattr(function, SIGNAL_ATTRIBUTE, definition)
        return function

    return decorate if fn is None else decorate(fn)


@overload
def query(fn: CallableType) -> CallableType: ...


@overload
def query(*, name: str, description: str | None = None) -> Callable[[CallableType], CallableType]: ...


@overload
def query(*, dynamic: Literal[True], description: str | None = None) -> Callable[[CallableType], CallableType]: ...


@overload
def query(*, description: str) -> Callable[[CallableType], CallableType]: ...


def query(
    fn: CallableType | None = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    description: str | None = None,
) -> CallableType | Callable[[CallableType], CallableType]:
    """Make a method a query handler. It must change nothing.

    Args:
        fn: The method. Only positional parameters; what it returns is the answer.
        name: The query's name; the method's by default.
        dynamic: It handles all queries that have no handler. It takes a name and a ``Sequence[RawValue]``.
        description: For people.

    Raises:
        RuntimeError: Both ``name`` and ``dynamic`` were given, or none of the arguments, or a dynamic handler takes
            something else.
    """
    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    if fn is None and name is None and not dynamic and not description:
        raise RuntimeError("Cannot create query without function or name or dynamic")

    def decorate(function: CallableType) -> CallableType:
        definition = query_definition(
            function, None if dynamic else name or function.__name__, is_method=True, description=description
        )
        if definition.is_async:
            warnings.warn("Queries as async def functions are deprecated", DeprecationWarning, stacklevel=3)
        if definition.dynamic_vararg:
            _warn_vararg("queries")
        setattr(function, QUERY_ATTRIBUTE, definition)
        return function

    return decorate if fn is None else decorate(fn)


def _warn_vararg(what: str) -> None:
    message = f"Dynamic {what} with vararg third param is deprecated, use Sequence[RawValue]"
    warnings.warn(message, DeprecationWarning, stacklevel=4)
