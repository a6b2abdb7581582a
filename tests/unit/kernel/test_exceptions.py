"""SimPy rebuilds an exception that crosses a process from its ``args``: each of ours must come out as it went in."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
import simpy

import stormproof.engine
import stormproof.faults
import stormproof.properties
import stormproof.reports
import stormproof.sim
from stormproof.sim.choices import Choices
from stormproof.sim.kernel import Kernel


def our_exceptions() -> list[type[BaseException]]:
    found: dict[type[BaseException], None] = {}
    for package in (stormproof.engine, stormproof.sim, stormproof.faults, stormproof.properties, stormproof.reports):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            for value in vars(module).values():
                if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == info.name:
                    found[value] = None
    return list(found)


def sample(kind: type[BaseException]) -> BaseException:
    """An instance, with whatever its constructor asks for."""
    for arguments in (("one",), ("one", "two"), ("one", "two", "three"), ("one", "two", "three", "four")):
        try:
            inspect.signature(kind).bind(*arguments)
        except (TypeError, ValueError):
            continue
        try:
            return kind(*arguments)
        except Exception:
            continue
    return kind(*[None] * len(inspect.signature(kind).parameters))


def test_each_of_our_exceptions_survives_simpy() -> None:
    kinds = our_exceptions()
    assert len(kinds) > 8
    for kind in kinds:
        check_survives(kind)


def check_survives(kind: type[BaseException]) -> None:
    original = sample(kind)
    rebuilt = type(original)(*original.args)
    assert rebuilt.args == original.args
    assert str(rebuilt) == str(original)
    assert vars(rebuilt).keys() == vars(original).keys()
    if not isinstance(original, Exception):
        return
    kernel = Kernel(Choices(1))

    def fails() -> Iterator[simpy.Event]:
        yield kernel.timeout(1)
        raise original

    def waits(process: simpy.Process) -> Iterator[simpy.Event]:
        yield process

    kernel.process(waits(kernel.process(fails())))
    with pytest.raises(kind) as caught:
        kernel.run()
    assert caught.value.args == original.args
