"""What is wrong between a workflow's code and its history, in words."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from .commands import Command
from .events import HistoryEvent, OtherEvent

_UNTOLD = frozenset(
    {
        *("event_id", "time_us", "user_metadata", "extra", "workflow_task_completed_event_id", "header", "input"),
        *("retry_policy", "result", "failure", "details", "task_queue", "attributes", "identity"),
    }
)


class MachinesError(Exception):
    """A workflow task can't go on. ``args``: the message."""

    @property
    def message(self) -> str:
        """The message."""
        return str(self.args[0])


class FatalMachinesError(MachinesError):
    """The history is not one that a server could have written, or a mistake of ours."""

    def __str__(self) -> str:
        return f"Fatal error in workflow machines: {self.message}"


class Nondeterminism(MachinesError):
    """The code does something else than the history says.

    Args:
        message: As Temporal's core words it.
        event_id: The event that doesn't fit, 0 if there is none.
        expected: What the history says.
        actual: What the code does.
    """

    def __init__(self, message: str, event_id: int = 0, expected: str = "", actual: str = "") -> None:
        super().__init__(message, event_id, expected, actual)

    @property
    def event_id(self) -> int:
        """The event that doesn't fit."""
        return int(self.args[1])

    @property
    def expected(self) -> str:
        """What the history says."""
        return str(self.args[2])

    @property
    def actual(self) -> str:
        """What the code does."""
        return str(self.args[3])

    def __str__(self) -> str:
        text = f"[TMPRL1100] Nondeterminism error: {self.message}"
        if self.expected or self.actual:
            text += f". At event {self.event_id} the history has {self.expected}, the workflow's code {self.actual}"
        return text


def event_name(event: HistoryEvent) -> str:
    """The event's type, as Temporal names it in code."""
    if isinstance(event, OtherEvent):
        words = event.event_type.removeprefix("EVENT_TYPE_").split("_")
        return "".join(word.capitalize() for word in words)
    return type(event).__name__


def short_event(event: HistoryEvent) -> str:
    """The event as Temporal's core writes it in messages."""
    return f"HistoryEvent(id: {event.event_id}, {event_name(event)})"


def describe_event(event: HistoryEvent) -> str:
    """The event with what tells it from others of its type."""
    return _describe(event_name(event), event)


def describe_command(command: Command | None) -> str:
    """The command with what tells it from others of its type."""
    return "asks for nothing" if command is None else f"asks for {_describe(type(command).__name__, command)}"


def _describe(name: str, value: Any) -> str:
    told = []
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name in _UNTOLD or not item:
            continue
        told.append(f"{re.sub('_us$', '', field.name)}={_seconds(item) if field.name.endswith('_us') else repr(item)}")
    return f"{name}({', '.join(told)})" if told else name


def _seconds(duration_us: int) -> str:
    seconds, rest = divmod(duration_us, 1_000_000)
    return f"{seconds}.{rest:06d}".rstrip("0").rstrip(".") + "s"
