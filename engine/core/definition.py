"""What a workflow class is made of: its name, run method, handlers and their types; checked when it is decorated.

The checks and the wording of their messages follow ``temporalio.workflow`` (``workflow/_definition.py`` and
``workflow/_handlers.py``), so that code which the real SDK refuses is refused here, in the same words.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from ..common import RawValue
from .type_hints import function_types

DEFINITION_ATTRIBUTE = "__stormproof_workflow_definition"
RUN_ATTRIBUTE = "__stormproof_workflow_run"
INIT_ATTRIBUTE = "__stormproof_workflow_init"
SIGNAL_ATTRIBUTE = "__stormproof_signal_definition"
QUERY_ATTRIBUTE = "__stormproof_query_definition"


class HandlerUnfinishedPolicy(Enum):
    """What happens when a workflow ends while a handler of this kind is still running."""

    WARN_AND_ABANDON = 1
    """Warn, and let go of the handler."""
    ABANDON = 2
    """Let go of the handler."""


@dataclass(slots=True, frozen=True)
class HandlerDefinition:
    """What signal and query handlers have in common. ``name`` is ``None`` for the dynamic one."""

    name: str | None
    fn: Callable[..., Any]
    is_method: bool
    is_async: bool
    arg_types: list[Any] | None
    dynamic_vararg: bool
    description: str | None = None

    def bind(self, instance: Any) -> Callable[..., Any]:
        """The function to call; a method bound to the workflow's object."""
        if not self.is_method:
            return self.fn
        if not self.is_async:
            return partial(self.fn, instance)
        fn = self.fn

        async def with_instance(*args: Any, **kwargs: Any) -> Any:
            return await fn(instance, *args, **kwargs)

        return with_instance


@dataclass(slots=True, frozen=True)
class SignalDefinition(HandlerDefinition):
    """A signal handler."""

    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON


@dataclass(slots=True, frozen=True)
class QueryDefinition(HandlerDefinition):
    """A query handler."""

    ret_type: Any = None


def signal_definition(
    fn: Callable[..., Any],
    name: str | None,
    *,
    is_method: bool,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> SignalDefinition:
    """Read a signal handler's types.

    Raises:
        RuntimeError: A dynamic handler's parameters are not what they must be.
    """
    arg_types, _ = function_types(fn)
    vararg = name is None and not _takes_raw_values(fn, arg_types, is_method=is_method)
    is_async = inspect.iscoroutinefunction(fn)
    return SignalDefinition(name, fn, is_method, is_async, arg_types, vararg, description, unfinished_policy)


def query_definition(
    fn: Callable[..., Any], name: str | None, *, is_method: bool, description: str | None = None
) -> QueryDefinition:
    """Read a query handler's types.

    Raises:
        RuntimeError: A dynamic handler's parameters are not what they must be.
    """
    arg_types, ret_type = function_types(fn)
    vararg = name is None and not _takes_raw_values(fn, arg_types, is_method=is_method)
    is_async = inspect.iscoroutinefunction(fn)
    return QueryDefinition(name, fn, is_method, is_async, arg_types, vararg, description, ret_type)


def _takes_raw_values(fn: Callable[..., Any], arg_types: list[Any] | None, *, is_method: bool) -> bool:
    """Whether a dynamic handler takes a name and ``Sequence[RawValue]``; False for the older form, ``*args``."""
    parameters = list(inspect.signature(fn).parameters.values())
    if (
        len(parameters) == (3 if is_method else 2)
        and parameters[-2].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
    ):
        return False
    if not arg_types or len(arg_types) != 2 or arg_types[0] is not str or not _is_raw_sequence(arg_types[1]):
        raise RuntimeError("Dynamic handler must have 3 arguments: self, str, and Sequence[RawValue]")
    return True


def _is_raw_sequence(hint: Any) -> bool:
    # typing.Sequence[RawValue] and collections.abc.Sequence[RawValue] are not equal.
    return getattr(hint, "__origin__", None) is Sequence and getattr(hint, "__args__", None) == (RawValue,)


@dataclass(slots=True, frozen=True)
class WorkflowDefinition:
    """A workflow class, read. ``name`` is ``None`` for a dynamic workflow."""

    name: str | None
    cls: type
    run_fn: Callable[..., Awaitable[Any]]
    signals: Mapping[str | None, SignalDefinition]
    queries: Mapping[str | None, QueryDefinition]
    failure_exception_types: tuple[type[BaseException], ...]
    arg_types: list[Any] | None
    ret_type: Any
    init_takes_input: bool

    @staticmethod
    def find(workflow: type) -> WorkflowDefinition | None:
        """The definition made for this very class (not for a base of it), if there is one."""
        found: WorkflowDefinition | None = getattr(workflow, DEFINITION_ATTRIBUTE, None)
        return found if found is not None and found.cls is workflow else None

    @staticmethod
    def of(workflow: type) -> WorkflowDefinition:
        """The definition of a workflow class.

        Raises:
            ValueError: The class is not decorated with ``@workflow.defn``.
        """
        found = WorkflowDefinition.find(workflow)
        if found is None:
            name = getattr(workflow, "__name__", "<unknown>")
            raise ValueError(f"Workflow {name} missing attributes, was it decorated with @workflow.defn?")
        return found

    @staticmethod
    def of_run_fn(fn: Callable[..., Awaitable[Any]]) -> WorkflowDefinition:
        """The definition of the workflow whose run method this is.

        Raises:
            ValueError: It is no run method of a workflow class.
        """
        found: WorkflowDefinition | None = getattr(fn, DEFINITION_ATTRIBUTE, None)
        if found is None:
            name = getattr(fn, "__qualname__", "<unknown>")
            raise ValueError(
                f"Function {name} missing attributes, was it decorated with @workflow.run and was its class decorated "
                "with @workflow.defn?"
            )
        return found

    @staticmethod
    def name_and_result_type(name_or_run_fn: str | Callable[..., Awaitable[Any]]) -> tuple[str, Any]:
        """The workflow's name, and what its run method returns where that is known.

        Raises:
            ValueError: It is no run method of a workflow class, or that of a dynamic one.
            TypeError: It is neither a string nor callable.
        """
        if isinstance(name_or_run_fn, str):
            return name_or_run_fn, None
        if not callable(name_or_run_fn):
            raise TypeError("Workflow must be a string or callable")
        definition = WorkflowDefinition.of_run_fn(name_or_run_fn)
        if not definition.name:
            raise ValueError("Cannot invoke dynamic workflow explicitly")
        return definition.name, definition.ret_type


def define_workflow(
    cls: type, *, name: str | None, failure_exception_types: Sequence[type[BaseException]] = ()
) -> WorkflowDefinition:
    """Check a workflow class, read it, and leave its definition on it and on its run method.

    Raises:
        ValueError: The class is not a valid workflow; the message lists every reason.
        TypeError: A dynamic workflow's run method takes something else than a ``Sequence[RawValue]``.
    """
    if WorkflowDefinition.find(cls) is not None:
        raise ValueError("Class already contains workflow definition")
    reading = _Reading(cls)
    reading.read_members()
    reading.check_bases()
    run_fn = reading.checked_run_fn()
    arg_types, ret_type = function_types(run_fn)
    if name is None and (not arg_types or len(arg_types) != 1 or not _is_raw_sequence(arg_types[0])):
        raise TypeError("Dynamic workflow must accept a single Sequence[stormproof.common.RawValue]")
    definition = WorkflowDefinition(
        name=name,
        cls=cls,
        run_fn=run_fn,
        signals=reading.signals,
        queries=reading.queries,
        failure_exception_types=tuple(failure_exception_types),
        arg_types=arg_types,
        ret_type=ret_type,
        init_takes_input=hasattr(cls.__init__, INIT_ATTRIBUTE),  # type: ignore[misc]  # read, never called
    )
    setattr(cls, DEFINITION_ATTRIBUTE, definition)
    setattr(run_fn, DEFINITION_ATTRIBUTE, definition)
    return definition


class _Reading:
    """Collects what a workflow class has, and what is wrong with it."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.issues: list[str] = []
        self.run_fn: Callable[..., Awaitable[Any]] | None = None
        self.init_fn: Callable[..., None] | None = None
        self.saw_run = False
        self.signals: dict[str | None, SignalDefinition] = {}
        self.queries: dict[str | None, QueryDefinition] = {}

    def read_members(self) -> None:
        for name, member in inspect.getmembers(self.cls):
            if hasattr(member, RUN_ATTRIBUTE):
                self._read_run(name, member)
            elif hasattr(member, SIGNAL_ATTRIBUTE):
                self._read_handler("signal", name, getattr(member, SIGNAL_ATTRIBUTE), self.signals)
            elif hasattr(member, QUERY_ATTRIBUTE):
                self._read_handler("query", name, getattr(member, QUERY_ATTRIBUTE), self.queries)
            elif name == "__init__" and hasattr(member, INIT_ATTRIBUTE):
                self.init_fn = member

    def _read_run(self, name: str, member: Any) -> None:
        self.saw_run = True
        if not _is_defined_on(member, self.cls):
            self.issues.append(f"@workflow.run method {name} must be defined on {self.cls.__qualname__}")
        elif self.run_fn is not None:
            first = self.run_fn.__name__
            self.issues.append(f"Multiple @workflow.run methods found (at least on {name} and {first})")
        else:
            self.run_fn = member

    def _read_handler(self, kind: str, name: str, definition: Any, into: dict[str | None, Any]) -> None:
        first = into.get(definition.name)
        if first is None:
            into[definition.name] = definition
            return
        self.issues.append(
            f"Multiple {kind} methods found for {definition.name or '<dynamic>'} "
            f"(at least on {name} and {first.fn.__name__})"
        )

    def check_bases(self) -> None:
        """What a base class decorates, the overriding method must decorate too."""
        for base in inspect.getmro(self.cls)[1:]:
            for _, member in inspect.getmembers(base, inspect.isfunction):
                if _is_defined_on(member, base):
                    self._check_base_member(member)

    def _check_base_member(self, member: Any) -> None:
        kind = ""
        if hasattr(member, RUN_ATTRIBUTE):
            self.saw_run = True
            if self.run_fn is None or member.__name__ != self.run_fn.__name__:
                kind = "run"
        elif hasattr(member, SIGNAL_ATTRIBUTE):
            if getattr(member, SIGNAL_ATTRIBUTE).name not in self.signals:
                kind = "signal"
        elif hasattr(member, QUERY_ATTRIBUTE) and getattr(member, QUERY_ATTRIBUTE).name not in self.queries:
            kind = "query"
        if kind:
            self.issues.append(f"@workflow.{kind} defined on {member.__qualname__} but not on the override")

    def checked_run_fn(self) -> Callable[..., Awaitable[Any]]:
        if not self.saw_run:
            self.issues.append("Missing @workflow.run method")
        if self.init_fn and self.run_fn and not _have_same_parameters(self.init_fn, self.run_fn):
            self.issues.append("@workflow.init and @workflow.run method parameters do not match")
        if len(self.issues) == 1:
            raise ValueError(f"Invalid workflow class: {self.issues[0]}")
        if self.issues:
            raise ValueError(f"Invalid workflow class for {len(self.issues)} reasons: {', '.join(self.issues)}")
        assert self.run_fn is not None
        return self.run_fn


def _have_same_parameters(first: Callable[..., Any], second: Callable[..., Any]) -> bool:
    def parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
        return [parameter.replace(name="x") for parameter in inspect.signature(fn).parameters.values()]

    return parameters(first) == parameters(second)


def _is_defined_on(fn: Any, cls: type) -> bool:
    return (
        inspect.isfunction(fn) and fn.__module__ == cls.__module__ and fn.__qualname__.rsplit(".", 1)[0] == cls.__name__
    )
