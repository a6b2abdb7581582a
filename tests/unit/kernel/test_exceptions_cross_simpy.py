"""SimPy rebuilds an exception that crosses a process from its ``args``: each of ours must come out as it went in."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Generator
from typing import Any

import pytest
import simpy
from stormproof.engine.core.errors import StormproofError
from stormproof.sim.choices import Choices
from stormproof.sim.kernel import Kernel

import stormproof

SKIPPED = ("stormproof.examples", "stormproof.sim.simpy_bridge")


def our_exceptions() -> list[type[BaseException]]:
    found: dict[type[BaseException], None] = {}
    for info in pkgutil.walk_packages(stormproof.__path__, "stormproof."):
        if info.name.startswith(SKIPPED) or info.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == info.name:
                found[value] = None
    return list(found)


class Text(str):
    """Goes for a text and for a member of an enum."""

    __slots__ = ()
    name = "NAME"


def sample(kind: type[BaseException]) -> BaseException:
    """An instance, with something for whatever its constructor asks for."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    positional = [Text(p.name) for p in required if p.kind is not p.KEYWORD_ONLY and p.kind is not p.VAR_KEYWORD]
    named = {p.name: Text(p.name) for p in required if p.kind is p.KEYWORD_ONLY}
    try:
        return kind(*positional, **named)
    except (TypeError, AttributeError, ValueError):
        return kind(*[None] * len(positional), **dict.fromkeys(named))


def crossed(error: BaseException, *, fails_by_event: bool = False) -> BaseException:
    """The exception as it arrives from one SimPy process through another at the caller of ``run``."""
    kernel = Kernel(Choices(1))

    def fails() -> Generator[simpy.Event, Any, None]:
        yield kernel.timeout(1)
        if fails_by_event:
            assert isinstance(error, Exception)
            yield kernel.event().fail(error)
        raise error

    def waits(process: simpy.Process) -> Generator[simpy.Event, Any, None]:
        yield process | kernel.timeout(100)

    kernel.process(waits(kernel.process(waits(kernel.process(fails())))))
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # it is the very exception that is compared
        kernel.run()
    return caught.value


def test_each_of_our_exceptions_survives_simpy() -> None:
    kinds = our_exceptions()
    assert len(kinds) > 20
    for kind in kinds:
        original = sample(kind)
        if isinstance(original, Exception):
            assert crossed(original) is original
            assert crossed(original, fails_by_event=True) is original


def test_our_own_errors_can_be_rebuilt_from_their_args() -> None:
    kinds = [
        kind
        for kind in our_exceptions()
        if issubclass(kind, StormproofError) or kind.__module__.startswith("stormproof.sim.")
    ]
    assert len(kinds) > 8
    for kind in kinds:
        original = sample(kind)
        rebuilt = kind(*original.args)
        assert (rebuilt.args, str(rebuilt)) == (original.args, str(original)), kind
        assert vars(rebuilt) == vars(original), kind
