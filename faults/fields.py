"""The fields of fault kinds: checked when a fault is made, turned into plain data, and read back from it.

What a field may hold follows from its annotation and its name: an ``int`` whose name ends in ``_us`` is a duration, a
``Fraction`` called ``ratio`` is a probability. Plain data is JSON: a duration is a whole number of microseconds (read
also as ``"1 h 30 min"``), a ratio is ``"1/5"``, ``None`` is ``null`` (or ``"never"``, since TOML has no null), a moment
is ``{"at_us": 5}`` or ``{"point": ..., "subject": ..., "nth": ..., "after_us": ...}`` (read also as a duration).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from fractions import Fraction
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..engine.core.errors import InternalError, MisuseError
from .units import parse_duration_us, parse_ratio, ratio_text
from .when import At, AtPoint, When

NEVER = "never"


class _Wrong(Exception):
    """A value is not what a field holds; the text says what is expected."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a kind.

    Attributes:
        name: Its name.
        expected: What it holds, for error messages and the catalogue.
        default: Its default; ``MISSING`` where it must be given.
        read: Plain data -> value; raises ``_Wrong``.
        fits: Whether a value may be put into it.
        write: Value -> plain data.
    """

    name: str
    expected: str
    default: Any
    read: Callable[[Any], Any]
    fits: Callable[[Any], bool]
    write: Callable[[Any], Any]


_LAST = {"duration_us": 1, "when": 2}
_SPECS: dict[type, dict[str, FieldSpec]] = {}


def specs_of(cls: type) -> dict[str, FieldSpec]:
    """The fields of a kind, by name, in order; those that every kind has come last."""
    found = _SPECS.get(cls)
    if found is None:
        hints = get_type_hints(cls)
        found = {field.name: _spec(cls, field.name, hints[field.name], _default(field)) for field in fields(cls)}
        found = dict(sorted(found.items(), key=lambda item: _LAST.get(item[0], 0)))
        _SPECS[cls] = found
    return found


def check_values(fault: object, title: str) -> None:
    """Check what a fault was made of.

    Raises:
        MisuseError: A value is not what its field holds.
    """
    for spec in specs_of(type(fault)).values():
        value = getattr(fault, spec.name)
        if not spec.fits(value):
            raise MisuseError(f"{title}: the field {spec.name!r} is {value!r}: expected {spec.expected}")


def values_from_data(cls: type, data: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The values of a fault's fields from plain data (without ``kind``).

    Raises:
        MisuseError: A field is missing, unknown or wrong.
    """
    specs = specs_of(cls)
    values: dict[str, Any] = {}
    for name, item in data.items():
        if name not in specs:
            raise MisuseError(f"{title} has an unknown field {name!r}: expected {', '.join(specs)}")
        try:
            values[name] = specs[name].read(item)
        except _Wrong as wrong:
            raise MisuseError(f"{title}: the field {name!r} is {item!r}: expected {wrong}") from None
    for name, spec in specs.items():
        if name not in values and spec.default is MISSING:
            raise MisuseError(f"{title}: the field {name!r} is missing: expected {spec.expected}")
    return values


def values_to_data(fault: object) -> dict[str, Any]:
    """The values of a fault's fields as plain data."""
    return {name: spec.write(getattr(fault, name)) for name, spec in specs_of(type(fault)).items()}


def _default(found: Field[Any]) -> Any:
    return found.default if found.default_factory is MISSING else found.default_factory()


# --- what a field may hold --------------------------------------------------------------------------------------------


def _spec(cls: type, name: str, hint: Any, default: Any) -> FieldSpec:
    options = get_args(hint)
    optional = get_origin(hint) in (types.UnionType, Union) and type(None) in options
    if optional:
        rest = [option for option in options if option is not type(None)]
        hint = rest[0] if len(rest) == 1 else hint
    expected, read, write = _plain_type(cls, name, hint)
    if optional:
        expected = f'{expected}, or "{NEVER}" (None)' if name.endswith("_us") else f"{expected}, or null (None)"
        inner_read, inner_write = read, write
        read = lambda item: None if item is None or item == NEVER else inner_read(item)  # noqa: E731
        write = lambda value: None if value is None else inner_write(value)  # noqa: E731

    def told(item: Any) -> Any:
        try:
            return read(item)
        except _Wrong as wrong:
            raise _Wrong(str(wrong) or expected) from None

    def fits(value: Any) -> bool:
        try:
            return bool(told(write(value)) == value)
        except (_Wrong, AttributeError, TypeError):
            return False

    return FieldSpec(name, expected, default, told, fits, write)


_Codec = tuple[str, Callable[[Any], Any], Callable[[Any], Any]]


def _plain_type(cls: type, name: str, hint: Any) -> _Codec:
    if hint == When:
        return "a moment: At(...) or AtPoint(...)", _read_when, _write_when
    if get_origin(hint) is Literal:
        names = get_args(hint)
        return "one of " + ", ".join(repr(item) for item in names), _reader_of_literal(names), _same
    if hint is int and name.endswith("_us"):
        return 'a duration: whole microseconds, 0 or more (or a text such as "1.5 s")', _read_duration, _same
    if hint is int:
        return "a whole number, 0 or more", _read_number, _same
    if hint is Fraction and name.endswith("ratio"):
        return 'a ratio from Fraction(0) to Fraction(1), written "1/5"', _read_share, ratio_text
    if hint is Fraction:
        return 'a fraction, 0 or more, written "5/2"', _read_fraction, ratio_text
    if hint is bool:
        return "true or false", _reader_of_type(bool), _same
    if hint is str:
        return "a string", _reader_of_type(str), _same
    if hint == tuple[str, ...]:
        return "a list of strings", _read_strings, list
    raise InternalError(f"{cls.__name__}.{name} is of type {hint!r}, which no plan can hold")


def _same(value: Any) -> Any:
    return value


def _reader_of_type(kind: type) -> Callable[[Any], Any]:
    def read(item: Any) -> Any:
        if type(item) is not kind:
            raise _Wrong
        return item

    return read


def _reader_of_literal(names: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(item: Any) -> Any:
        if item not in names:
            raise _Wrong
        return item

    return read


def _read_strings(item: Any) -> tuple[str, ...]:
    if not isinstance(item, list) or not all(type(part) is str for part in item):
        raise _Wrong
    return tuple(item)


def _read_number(item: Any) -> int:
    if item.__class__ is not int or item < 0:
        raise _Wrong
    number: int = item
    return number


def _read_duration(item: Any) -> int:
    if isinstance(item, str):
        parsed = parse_duration_us(item)
        if parsed is None:
            raise _Wrong
        return parsed
    return _read_number(item)


def _read_fraction(item: Any) -> Fraction:
    ratio = parse_ratio(item) if isinstance(item, str) else None
    if ratio is None:
        raise _Wrong
    return ratio


def _read_share(item: Any) -> Fraction:
    ratio = _read_fraction(item)
    if ratio > 1:
        raise _Wrong
    return ratio


def _write_when(when: Any) -> dict[str, Any]:
    if isinstance(when, At):
        return {"at_us": when.us}
    if not isinstance(when, AtPoint):
        raise TypeError
    return {"point": when.point, "subject": when.subject, "nth": when.nth, "after_us": when.after_us}


def _read_when(item: Any) -> When:
    if not isinstance(item, Mapping):
        return At(_read_duration(item))
    rest = dict(item)
    try:
        if "point" in rest:
            point, subject, nth = rest.pop("point"), rest.pop("subject", ""), rest.pop("nth", 1)
            after_us = _read_duration(rest.pop("after_us", 0))
            when: When = AtPoint(point, subject, nth, after_us)
        else:
            when = At(_read_duration(rest.pop("at_us", None)))
    except MisuseError as error:
        raise _Wrong(f"a moment ({error})") from None
    if rest:
        raise _Wrong
    return when


__all__ = ["NEVER", "FieldSpec", "check_values", "specs_of", "values_from_data", "values_to_data"]
