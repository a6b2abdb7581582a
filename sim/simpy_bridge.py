"""SimPy's own events and processes in our kernel.

SimPy rebuilds an exception that crosses from one process to another, from its type and ``args``: one whose constructor
takes anything else (``WorkflowFailureError(cause=...)``) arrives as a ``TypeError``. So a failure travels in an
envelope, ``_Carried``, which can be rebuilt, and whoever waits gets the very exception that was raised.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import simpy


class _Carried(Exception):
    """An exception on its way through SimPy. ``args``: the exception."""


class OpeningGenerator:
    """A process's generator, which gets exceptions out of their envelopes."""

    def __init__(self, generator: Generator[simpy.Event, Any, Any]) -> None:
        self._generator = generator
        self.__name__ = getattr(generator, "__name__", type(generator).__name__)
        self.send = generator.send
        self.close = generator.close

    def throw(self, error: BaseException) -> simpy.Event:
        """As the generator's own."""
        return self._generator.throw(opened(error))


def opened(error: BaseException) -> BaseException:
    """The exception inside an envelope; any other as it is."""
    return cast("BaseException", error.args[0]) if isinstance(error, _Carried) else error


def fire(event: simpy.Event) -> None:
    """What ``simpy.Environment.step`` does with an event whose time has come.

    Raises:
        BaseException: The event has failed, and nobody waited for it.
    """
    if not event.ok and not isinstance(event.value, _Carried):
        event._value = _Carried(event.value)  # noqa: SLF001  # SimPy has no other way to change it
    callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]  # SimPy does the same
    for callback in callbacks:
        callback(event)
    if not event.ok and not event.defused:
        raise opened(cast("BaseException", event.value))
