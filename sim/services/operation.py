"""Operations of an outside system: the decorator, and what is worked out of each operation once per class.

Everything that costs (signatures, whether a coroutine ever suspends, how the effect key is made) is worked out when the
class is defined, so that a call costs a few dictionary look-ups.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ...engine.core.errors import MisuseError
from .latency import Latency
from .rate_limit import RateLimit

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__stormproof_operation__"

EffectKey = str | Sequence[str] | Callable[..., object]


@dataclass(slots=True, frozen=True)
class OperationOptions:
    """What ``@operation`` was told."""

    effect_key: EffectKey | None = None
    idempotent_by: str | None = None
    undoes: str = ""
    latency: Latency | None = None
    rate_limit: RateLimit | None = None
    raises: tuple[type[Exception], ...] = ()


@overload
def operation(function: F, /) -> F: ...


@overload
def operation(
    *,
    effect_key: EffectKey | None = None,
    idempotent_by: str | None = None,
    undoes: str = "",
    latency: Latency | None = None,
    rate_limit: RateLimit | None = None,
    raises: Sequence[type[Exception]] = (),
) -> Callable[[F], F]: ...


def operation(
    function: F | None = None,
    /,
    *,
    effect_key: EffectKey | None = None,
    idempotent_by: str | None = None,
    undoes: str = "",
    latency: Latency | None = None,
    rate_limit: RateLimit | None = None,
    raises: Sequence[type[Exception]] = (),
) -> F | Callable[[F], F]:
    """Make a method of a ``Service`` an operation that activities can call.

    An ``async def`` operation is awaited by its callers, a ``def`` operation blocks them, as the real client would
    (``as_async`` and ``as_blocking`` turn one into the other). The method runs at the service, at one instant of
    virtual time; an ``async def`` that really suspends (it awaits a sleep, or another service) takes its time.

    Args:
        function: The method, where the decorator is used without parentheses.
        effect_key: What makes the effect of a call the same logical effect as another call's: the name of a parameter,
            several names, a format string (``"{order_id}/{item}"``), or a function of the arguments by name. Without it
            the operation has no effect that matters, and nothing is written into the ledger.
        idempotent_by: The parameter that carries an idempotency key. A second call with the same key gets the stored
            reply of the first and has no effect; with other arguments it is refused (``IdempotencyConflict``); with
            ``None`` it has no key. A call that fails leaves no reply behind.
        undoes: The operation whose effect, of the same key, this one undoes (a refund of a charge).
        latency: How long it takes. Default: the service's.
        rate_limit: A limit for this operation alone, beside the service's.
        raises: Exceptions that its callers get as they are. ``CallFailed`` and its subclasses always are; anything else
            is a failure of the service (``ServiceFailed``), as it would be of a real one.
    """
    options = OperationOptions(effect_key, idempotent_by, undoes, latency, rate_limit, tuple(raises))

    def mark(marked: F) -> F:
        setattr(marked, _MARK, options)
        return marked

    return mark if function is None else mark(function)


class Operation:
    """One operation of one service class, worked out."""

    __slots__ = (
        "_defaults",
        "_positional",
        "_signature",
        "function",
        "idempotency_index",
        "is_async",
        "key_of",
        "latency",
        "name",
        "parameters",
        "raises",
        "rate_limit",
        "suspends",
        "title",
        "undoes",
    )

    def __init__(self, owner: str, name: str, function: Callable[..., Any], options: OperationOptions) -> None:
        self.name = name
        self.title = f"{owner}.{name}"
        self.function = function
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise MisuseError(f"the operation {self.title} takes *args or **kwargs: give each parameter a name")
        self._signature = signature.replace(parameters=parameters)
        self.parameters = tuple(parameter.name for parameter in parameters)
        self._positional = sum(parameter.kind != parameter.KEYWORD_ONLY for parameter in parameters)
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.is_async = inspect.iscoroutinefunction(function)
        self.suspends = self.is_async and _awaits(function)
        self.key_of = self._key_function(options.effect_key)
        self.idempotency_index = (
            -1 if options.idempotent_by is None else self._index(options.idempotent_by, "idempotent_by")
        )
        self.undoes = options.undoes
        self.latency = options.latency
        self.rate_limit = options.rate_limit
        self.raises = options.raises

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of a call, one for each parameter, in order.

        Raises:
            TypeError: As calling the method would.
        """
        given = len(args)
        parameters = self.parameters
        if given == len(parameters) == self._positional and not kwargs:
            return args
        if given <= self._positional:
            values = list(args)
            used = 0
            for name in parameters[given:]:
                if name in kwargs:
                    values.append(kwargs[name])
                    used += 1
                elif name in self._defaults:
                    values.append(self._defaults[name])
                else:
                    break
            if used == len(kwargs) and len(values) == len(parameters):
                return tuple(values)
        # Something is wrong with it (or positional-only names are reused): Python's own words are the best.
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.title}(): {error}") from None
        bound.apply_defaults()
        return tuple(bound.arguments[name] for name in parameters)

    def call(self, target: object, values: tuple[Any, ...]) -> Any:
        """Run the method with bound arguments."""
        positional = self._positional
        if positional == len(values):
            return self.function(target, *values)
        return self.function(
            target, *values[:positional], **dict(zip(self.parameters[positional:], values[positional:], strict=True))
        )

    def _index(self, parameter: str, purpose: str) -> int:
        if parameter not in self.parameters:
            raise MisuseError(
                f"the operation {self.title} has {purpose}={parameter!r}, but no parameter of that name: expected "
                f"one of {', '.join(self.parameters) or 'none (it takes nothing)'}"
            )
        return self.parameters.index(parameter)

    def _key_function(self, effect_key: EffectKey | None) -> Callable[[tuple[Any, ...]], str] | None:
        """Arguments -> effect key; empty where the key is ``None``, which says that there is none."""
        if effect_key is None:
            return None
        if callable(effect_key):
            function = effect_key
            return lambda values: _text(function(**dict(zip(self.parameters, values, strict=True))))
        if isinstance(effect_key, str):
            if "{" in effect_key:
                template = effect_key
                return lambda values: template.format(**dict(zip(self.parameters, values, strict=True)))
            index = self._index(effect_key, "effect_key")
            return lambda values: _text(values[index])
        indexes = [self._index(name, "effect_key") for name in effect_key]
        return lambda values: "/".join([_text(values[index]) for index in indexes])


def options_of(function: object) -> OperationOptions | None:
    """What the decorator was told; ``None``: it is no operation."""
    found = getattr(function, _MARK, None)
    assert found is None or isinstance(found, OperationOptions)
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _awaits(function: Callable[..., Any]) -> bool:
    """Whether a coroutine function can suspend, or needs a loop: one that never does needs no task of its own."""
    if inspect.unwrap(function) is not function:
        return True  # decorated by somebody: what runs is unknown
    code = function.__code__
    if "asyncio" in code.co_names or "create_task" in code.co_names:
        return True
    waiting = ("GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SEND")
    return any(instruction.opname in waiting for instruction in dis.get_instructions(code))


__all__ = ["Operation", "OperationOptions", "operation", "options_of"]
