"""Values that cross the boundary between two processes are copied: no simulated process may hold another's objects."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Any

# Immutable: shared without anybody noticing.
_ATOMS: dict[type, bool] = dict.fromkeys(
    (
        str,
        int,
        float,
        bool,
        bytes,
        complex,
        type(None),
        decimal.Decimal,
        uuid.UUID,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
    ),
    True,
)


def copied(value: Any) -> Any:
    """A value that shares nothing mutable with the given one."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is list:
        return [copied(item) for item in value]
    if kind is tuple:
        return copied_tuple(value)
    if isinstance(value, enum.Enum):
        return value
    return copy.deepcopy(value)


def copied_tuple(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same for a tuple; the tuple itself where all of it is immutable."""
    for value in values:
        if type(value) not in _ATOMS:
            return tuple([copied(item) for item in values])
    return values


def plain(value: Any) -> Any:
    """A value as JSON can hold it, the same on every machine: what has no such form is told by the name of its type."""
    if value is None or isinstance(value, str | bool | int | float):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    if type(value) in _ATOMS or isinstance(value, dt.date):
        return str(value)
    return f"<{type(value).__qualname__}>"


__all__ = ["copied", "copied_tuple", "plain"]
