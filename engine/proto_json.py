"""Protocol buffers' JSON for our dataclasses: codecs built once from annotations, without protocol buffers.

A codec decodes JSON to a value and to a *remainder*: what writing the value again would not give back. That is what the
dataclass has no place for (unknown attributes, nanoseconds, enumeration members that are not ours, defaults written
out). Writing merges the remainder in again, except where the value it belongs to has changed since. A remainder has the
shape of the JSON that it was left over from, with lists as objects of index to remainder.

Reading is as lenient as protocol buffers are (numbers as strings, base64 of either alphabet, with or without padding,
original field names), and no more.
"""

from __future__ import annotations

import binascii
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final


class BadValue(Exception):
    """JSON that can't be what it should be. ``path`` is completed while this goes up.

    Args:
        expected: What was expected, for people.
        found: The JSON found in its place.
    """

    def __init__(self, expected: str, found: Any) -> None:
        super().__init__(expected, found)
        self.path: list[str] = []

    def __str__(self) -> str:
        expected, found = self.args
        where = ".".join(self.path)
        return f"{where + ': ' if where else ''}expected {expected}, found {shorten(found)}"


def shorten(value: Any) -> str:
    """A value for a message, cut to a line."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Nothing:
    """The type of ``NOTHING``."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""No remainder; or nothing to write."""


class Codec(ABC):
    """One kind of value."""

    def new_default(self) -> Any:
        """What an absent field means. It isn't written; all defaults are false."""
        return None

    @abstractmethod
    def decode(self, raw: Any) -> tuple[Any, Any]:
        """A value and its remainder.

        Raises:
            BadValue: The JSON is of another kind.
        """

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """JSON for a value that isn't the default."""

    @abstractmethod
    def merge(self, value: Any, remainder: Any) -> Any:
        """JSON for a value with its remainder, or ``NOTHING``."""


class Scalar(Codec):
    """A value without parts: its remainder is the JSON as it was found."""

    def __init__(self, default: Any, read: Callable[[Any], Any], write: Callable[[Any], Any]) -> None:
        self._default = default
        self.read = read
        self._write = write

    def new_default(self) -> Any:
        """See the base class."""
        return self._default

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class."""
        value = self.read(raw)
        if not value:
            return value, raw
        written = self._write(value)
        return value, NOTHING if written == raw and type(written) is type(raw) else raw

    def encode(self, value: Any) -> Any:
        """See the base class."""
        return self._write(value)

    def merge(self, value: Any, remainder: Any) -> Any:
        """See the base class."""
        try:
            if self.read(remainder) == value:
                return remainder
        except BadValue:
            pass
        return self.encode(value) if value else NOTHING


# --- scalars --------------------------------------------------------------------------------------------------------

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (all is in UTC here, and naive datetimes are faster)
_MICROSECOND = timedelta(microseconds=1)


def _read_text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise BadValue("a text", raw)
    return raw


def _read_bool(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise BadValue("true or false", raw)
    return raw


def _integer_reader(bits: int) -> Callable[[Any], int]:
    limit = 1 << (bits - 1)

    def read(raw: Any) -> int:
        is_text = isinstance(raw, str) and _INTEGER.fullmatch(raw)
        if not (type(raw) is int or is_text or (isinstance(raw, float) and raw.is_integer())):
            raise BadValue("an integer", raw)
        value = int(raw)
        if not -limit <= value < limit:
            raise BadValue(f"an integer of {bits} bits", raw)
        return value

    return read


def _read_float(raw: Any) -> float:
    if isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        try:
            value = float(raw)
        except (ValueError, OverflowError):
            raise BadValue("a number", raw) from None
        if value - value == 0:  # Neither infinite nor "not a number".
            return value
    raise BadValue("a number", raw)


def _read_bytes(raw: Any) -> bytes:
    if isinstance(raw, str):
        text = raw.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
        except (binascii.Error, ValueError):
            # Left-over bits that aren't zero are refused by the strict mode, but not by protocol buffers.
            if re.fullmatch(r"[A-Za-z0-9+/]*", text, re.ASCII) and len(text) % 4 != 1:
                return binascii.a2b_base64(text + "=" * (-len(text) % 4))
    raise BadValue("bytes in base64", raw)


def _write_bytes(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _read_duration(raw: Any) -> int:
    match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise BadValue('a duration such as "1.500s"', raw)
    sign, seconds, fraction = match.groups()
    value = int(seconds) * 1_000_000 + _fraction_us(fraction)
    return -value if sign else value


def _fraction_us(fraction: str | None) -> int:
    """Digits after the point as microseconds; finer ones are left to the remainder."""
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _write_duration(value_us: int) -> str:
    seconds, fraction_us = divmod(abs(value_us), 1_000_000)
    return f"{'-' if value_us < 0 else ''}{seconds}{_fraction_text(fraction_us)}s"


def _fraction_text(fraction_us: int) -> str:
    if not fraction_us:
        return ""
    return f".{fraction_us // 1000:03}" if fraction_us % 1000 == 0 else f".{fraction_us:06}"


def _read_timestamp(raw: Any) -> int:
    match = _TIMESTAMP.fullmatch(raw) if isinstance(raw, str) else None
    if match is not None:
        day_and_time, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(day_and_time)
        except ValueError:
            pass
        else:
            value = (moment - _EPOCH) // _MICROSECOND + _fraction_us(fraction)
            return value if zone == "Z" else value - _zone_offset_us(zone)
    raise BadValue('a time such as "2024-05-06T07:08:09.123456Z"', raw)


def _zone_offset_us(zone: str) -> int:
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return minutes * 60_000_000 * (-1 if zone[0] == "-" else 1)


def _write_timestamp(time_us: int) -> str:
    seconds, fraction_us = divmod(time_us, 1_000_000)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise BadValue("a time before the year 10000", time_us) from None
    return f"{moment.isoformat()}{_fraction_text(fraction_us)}Z"


def _unchanged(value: Any) -> Any:
    return value


TEXT = Scalar("", _read_text, _unchanged)
BOOL = Scalar(False, _read_bool, _unchanged)
INT32 = Scalar(0, _integer_reader(32), _unchanged)
INT64 = Scalar(0, _integer_reader(64), str)
FLOAT = Scalar(0.0, _read_float, _unchanged)
BYTES = Scalar(b"", _read_bytes, _write_bytes)
DURATION_US = Scalar(0, _read_duration, _write_duration)
TIMESTAMP_US = Scalar(0, _read_timestamp, _write_timestamp)


def upper_snake(camel: str) -> str:
    """``WorkflowTaskFailed`` as ``WORKFLOW_TASK_FAILED``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).upper()


def camel_of_upper(upper: str) -> str:
    """``WORKFLOW_TASK_FAILED`` as ``WorkflowTaskFailed``."""
    return "".join(part.capitalize() for part in upper.split("_"))


def camel_of_snake(snake: str) -> str:
    """``workflow_task_failed`` as ``workflowTaskFailed``."""
    first, *rest = snake.split("_")
    return first + "".join(part.capitalize() for part in rest)


class EnumCodec(Scalar):
    """An enumeration: read by full name (``TIMEOUT_TYPE_HEARTBEAT``), old name (``Heartbeat``) or number.

    A member that isn't ours is read as unspecified, and kept as a remainder.
    """

    _NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}", re.ASCII)

    def __init__(self, members: Mapping[str, Any], prefix: str, unspecified: Any) -> None:
        self._by_name: dict[Any, Any] = {}
        self._names: dict[Any, str] = {}
        for name, member in members.items():
            full = f"{prefix}_{name}"
            self._names[member] = full
            self._by_name[full] = self._by_name[camel_of_upper(name)] = self._by_name[int(member)] = member
        super().__init__(unspecified, self._read, self._names.__getitem__)

    @classmethod
    def of(cls, enum: type[IntEnum]) -> EnumCodec:
        """The codec of an enumeration whose first member is UNSPECIFIED."""
        return cls({member.name: member for member in enum}, upper_snake(enum.__name__), enum(0))

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class. How a member is spelt is not worth a remainder."""
        value = self._read(raw)
        return value, NOTHING if value else raw

    def _read(self, raw: Any) -> Any:
        if type(raw) is int or (isinstance(raw, str) and self._NAME.fullmatch(raw)):
            return self._by_name.get(raw, self._default)
        raise BadValue("the name of an enumeration's member", raw)


# --- containers -----------------------------------------------------------------------------------------------------


class ListOf(Codec):
    """A list; its remainder has the remainders of its items by index. An empty one means: a list was there."""

    def __init__(self, item: Codec) -> None:
        self._item = item

    def new_default(self) -> Any:
        """See the base class."""
        return []

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class."""
        if not isinstance(raw, list):
            raise BadValue("a list", raw)
        values = []
        remainders: dict[str, Any] = {}
        for index, raw_item in enumerate(raw):
            try:
                value, remainder = self._item.decode(raw_item)
            except BadValue as bad:
                bad.path.insert(0, str(index))
                raise
            values.append(value)
            # A default inside a list is always written.
            if remainder is not NOTHING and self._item.encode(value) != raw_item:
                remainders[str(index)] = remainder
        return values, remainders if remainders or not values else NOTHING

    def encode(self, value: Any) -> Any:
        """See the base class."""
        encode = self._item.encode
        return [encode(item) for item in value]

    def merge(self, value: Any, remainder: Any) -> Any:
        """See the base class."""
        written = []
        for index, item in enumerate(value):
            left = remainder.get(str(index), NOTHING)
            merged = NOTHING if left is NOTHING else self._item.merge(item, left)
            written.append(self._item.encode(item) if merged is NOTHING else merged)
        return written


class MapOf(Codec):
    """An object with arbitrary keys; its remainder has the remainders of its values by key."""

    def __init__(self, item: Codec) -> None:
        self._item = item

    def new_default(self) -> Any:
        """See the base class."""
        return {}

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class."""
        if not isinstance(raw, dict):
            raise BadValue("an object", raw)
        values: dict[str, Any] = {}
        remainders: dict[str, Any] = {}
        for key, raw_item in raw.items():
            try:
                values[key], remainder = self._item.decode(raw_item)
            except BadValue as bad:
                bad.path.insert(0, str(key))
                raise
            if remainder is not NOTHING and self._item.encode(values[key]) != raw_item:
                remainders[key] = remainder
        return values, remainders if remainders or not values else NOTHING

    def encode(self, value: Any) -> Any:
        """See the base class."""
        encode = self._item.encode
        return {key: encode(item) for key, item in value.items()}

    def merge(self, value: Any, remainder: Any) -> Any:
        """See the base class."""
        written = {}
        for key, item in value.items():
            left = remainder.get(key, NOTHING)
            merged = NOTHING if left is NOTHING else self._item.merge(item, left)
            written[key] = self._item.encode(item) if merged is NOTHING else merged
        return written


class Wrapped(Codec):
    """A message of one field that is kept as that field: ``{"payloads": [...]}`` as a list."""

    def __init__(self, key: str, inner: Codec) -> None:
        self._key = key
        self._inner = inner

    def new_default(self) -> Any:
        """See the base class."""
        return self._inner.new_default()

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class."""
        if not isinstance(raw, dict):
            raise BadValue(f'an object with "{self._key}"', raw)
        left = {key: value for key, value in raw.items() if key != self._key}
        raw_inner = raw.get(self._key)
        if raw_inner is None:
            return self._inner.new_default(), raw
        try:
            value, remainder = self._inner.decode(raw_inner)
        except BadValue as bad:
            bad.path.insert(0, self._key)
            raise
        if remainder is not NOTHING:
            left[self._key] = remainder
        return value, left or NOTHING

    def encode(self, value: Any) -> Any:
        """See the base class."""
        return {self._key: self._inner.encode(value)} if value else {}

    def merge(self, value: Any, remainder: Any) -> Any:
        """See the base class."""
        written = dict(remainder)
        left = written.pop(self._key, NOTHING)
        inner: Any = NOTHING
        if left is not NOTHING and left is not None:
            inner = self._inner.merge(value, left)
        elif value:
            inner = self._inner.encode(value)
        elif left is None:
            inner = None
        if inner is not NOTHING:
            written[self._key] = inner
        return written
