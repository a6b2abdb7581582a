"""From what JSON can say to what a type hint asks for: the rules of ``temporalio.converter.value_to_type``.

A hint is compiled once into a function of one value; compiled hints are kept, because taking a dataclass apart costs
more than converting a value. Two rules that look odd are Temporal's and kept on purpose: a union takes its first member
that fits, in the order written, and a ``NamedTuple`` comes back as a list.

Hints are kept by identity, with the hint itself so that the identity stays taken: hints that are equal may convert
differently (``int | str`` equals ``str | int``). The number kept is bounded, since modules that are loaded anew bring
new classes with them.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import inspect
import typing
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, ClassVar, Literal, NewType, TypeVar

from .class_hints import class_hints

JSONTypeConverterUnhandled = NewType("JSONTypeConverterUnhandled", object)
"""The type of ``JSONTypeConverter.Unhandled``."""

_Unhandled = JSONTypeConverterUnhandled
Convert = Callable[[Any], Any]

_HINTS_KEPT_MAX = 1024
_NOTHING = type(None)
_KEY_WORDS: dict[Any, dict[str, Any]] = {bool: {"true": True, "false": False}, _NOTHING: {"null": None}}


class JSONTypeConverter(ABC):
    """Converts a value that was read from JSON to a type of the user's."""

    Unhandled: ClassVar[JSONTypeConverterUnhandled] = _Unhandled(object())
    """What ``to_typed_value`` returns for a hint that it doesn't handle."""

    @abstractmethod
    def to_typed_value(self, hint: type, value: Any) -> Any | JSONTypeConverterUnhandled | None:
        """Convert ``value`` as ``hint`` asks, or return ``Unhandled``."""


def value_to_type(hint: type, value: Any, custom_converters: Sequence[JSONTypeConverter] = ()) -> Any:
    """Convert a value read from JSON to the type that ``hint`` names.

    Args:
        hint: The type wanted.
        value: What ``json.loads`` returned.
        custom_converters: Asked first, in order, for the value and for every part of it.

    Raises:
        TypeError: The value can't be converted to the hint.
    """
    conversions = HintConversions(custom_converters) if custom_converters else PLAIN_CONVERSIONS
    return conversions.of(hint)(value)


class HintConversions:
    """The compiled hints of one payload converter."""

    def __init__(self, custom_converters: Sequence[JSONTypeConverter]) -> None:
        self._custom_converters = custom_converters
        self._compiled: dict[int, tuple[Any, Convert]] = {}

    def of(self, hint: Any) -> Convert:
        """The function that converts a value to ``hint``."""
        found = self._compiled.get(id(hint))
        if found is not None:
            return found[1]
        convert = self._compile(hint)
        if self._custom_converters:
            convert = _with_custom(hint, convert, self._custom_converters)
        if len(self._compiled) >= _HINTS_KEPT_MAX:
            self._compiled.clear()
        self._compiled[id(hint)] = (hint, convert)
        return convert

    def _compile(self, hint: Any) -> Convert:
        if hint is Any:
            return _unchanged
        for simple, convert in _SIMPLE:
            if hint is simple:
                return convert
        if getattr(hint, "__module__", None) == "freezegun.api" and getattr(hint, "__name__", "") == "FakeDatetime":
            # Under a simulated clock the name in the user's module is this stand-in; what is meant is a datetime.
            return _to_datetime
        supertype = getattr(hint, "__supertype__", None)
        if supertype:
            return self.of(supertype)
        origin = getattr(hint, "__origin__", hint)
        arguments: tuple[Any, ...] = getattr(hint, "__args__", ())
        if origin is Literal:
            return _literal(arguments)
        if origin is typing.Union or isinstance(origin, UnionType):
            return _union(self, hint, arguments)
        if inspect.isclass(origin) and issubclass(origin, collections.abc.Mapping):
            return _mapping(self, hint, origin, arguments)
        if dataclasses.is_dataclass(hint):
            return _dataclass(self, hint)
        return _compile_class(self, hint, origin, arguments)


def _compile_class(conversions: HintConversions, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Convert:
    """Classes that are neither mappings nor dataclasses, and iterables last, since much else is iterable too."""
    if isinstance(inspect.getattr_static(hint, "parse_obj", None), (classmethod, staticmethod)):
        return _pydantic_1(hint)
    if inspect.isclass(hint):
        if issubclass(hint, Enum) and issubclass(hint, int):
            return _enum(hint, int, "an integer")
        if issubclass(hint, Enum) and issubclass(hint, str):
            return _enum(hint, str, "a string")
        if issubclass(hint, uuid.UUID):
            return hint
    if inspect.isclass(origin) and issubclass(origin, collections.abc.Iterable):
        return _iterable(conversions, hint, origin, arguments)
    return _impossible(hint)


def _with_custom(hint: Any, convert: Convert, custom_converters: Sequence[JSONTypeConverter]) -> Convert:
    def convert_custom(value: Any) -> Any:
        for custom in custom_converters:
            typed = custom.to_typed_value(hint, value)
            if typed is not JSONTypeConverter.Unhandled:
                return typed
        return convert(value)

    return convert_custom


# --- values without parts -------------------------------------------------------------------------------------------


def _unchanged(value: Any) -> Any:
    return value


def _to_datetime(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise TypeError(f"Failed parsing datetime string: {value}") from error
    if isinstance(value, datetime):
        return value
    raise TypeError(f"Expected datetime or ISO8601 string, got {type(value)}")


def _to_int(value: Any) -> Any:
    if type(value) is int:
        return value
    if not isinstance(value, (int, float)):
        raise TypeError(f"Expected value to be int|float, was {type(value)}")
    return int(value)


def _to_float(value: Any) -> Any:
    if not isinstance(value, (int, float)):
        raise TypeError(f"Expected value to be int|float, was {type(value)}")
    return float(value)


def _to_bool(value: Any) -> Any:
    if not isinstance(value, bool):
        raise TypeError(f"Expected value to be bool, was {type(value)}")
    return value


def _to_str(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"Expected value to be str, was {type(value)}")
    return str(value)


def _to_bytes(value: Any) -> Any:
    # JSON holds bytes as a list of numbers here; other SDKs write base64, which this one does not read either.
    if not isinstance(value, (str, bytes, list)):
        raise TypeError(f"Expected value to be bytes, was {type(value)}")
    return bytes(value)  # type: ignore[arg-type]


def _to_none(value: Any) -> Any:
    if value is not None:
        raise TypeError(f"Expected None, got value of type {type(value)}")
    return None


_SIMPLE: tuple[tuple[Any, Convert], ...] = (
    (str, _to_str),
    (int, _to_int),
    (float, _to_float),
    (bool, _to_bool),
    (datetime, _to_datetime),
    (bytes, _to_bytes),
    (_NOTHING, _to_none),
)


def _literal(arguments: tuple[Any, ...]) -> Convert:
    def to_literal(value: Any) -> Any:
        if value not in arguments:
            raise TypeError(f"Value {value} not in literal values {arguments}")
        return value

    return to_literal


def _enum(hint: Any, base: type, wanted: str) -> Convert:
    def to_enum(value: Any) -> Any:
        if not isinstance(value, base):
            raise TypeError(f"Cannot convert to enum {hint}, value not {wanted}, value is {type(value)}")
        return hint(value)

    return to_enum


def _pydantic_1(hint: Any) -> Convert:
    def to_model(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"Cannot convert to {hint}, value is {type(value)} not dict")
        return hint.parse_obj(value)

    return to_model


def _impossible(hint: Any) -> Convert:
    def refuse(value: Any) -> Any:
        raise TypeError(f"Unserializable type during conversion: {hint}")

    return refuse


# --- values with parts ----------------------------------------------------------------------------------------------
# Their parts are compiled when the first value comes: a class may refer to itself, and a wrong annotation must raise
# where a value is converted, not before.


def _union(conversions: HintConversions, hint: Any, arguments: tuple[Any, ...]) -> Convert:
    def to_union(value: Any) -> Any:
        for argument in arguments:
            try:
                return conversions.of(argument)(value)
            except Exception:  # noqa: S112 (the next member is tried, whatever this one raised)
                continue
        raise TypeError(f"Failed converting to {hint} from {value}")

    return to_union


def _type_argument(arguments: tuple[Any, ...], index: int) -> Any:
    """A type argument that says something, or ``None``."""
    if len(arguments) <= index or arguments[index] is Any or isinstance(arguments[index], TypeVar):
        return None
    return arguments[index]


def _mapping(conversions: HintConversions, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Convert:
    is_typed_dict = bool(getattr(origin, "__required_keys__", None) or getattr(origin, "__optional_keys__", None))
    key_type = _type_argument(arguments, 0)
    value_type = _type_argument(arguments, 1)

    def to_mapping(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"Expected {hint}, value was {type(value)}")
        types_by_key = class_hints(origin) if is_typed_dict else None
        converted: dict[Any, Any] = {}
        for key, item in value.items():
            item_type = types_by_key.get(key) if types_by_key else value_type
            typed_key = _convert_key(conversions, hint, key_type, key) if key_type else key
            try:
                converted[typed_key] = conversions.of(item_type)(item) if item_type else item
            except Exception as error:
                raise TypeError(f"Failed converting value for key {typed_key!r} in mapping {hint}") from error
        return hint(**converted) if types_by_key else converted

    return to_mapping


def _convert_key(conversions: HintConversions, hint: Any, key_type: Any, key: Any) -> Any:
    """JSON has only texts as keys; the hint says what was meant."""
    original = key
    try:
        if isinstance(key, str):
            if key_type is int or key_type is float:
                key = key_type(key)
            elif inspect.isclass(key_type) and issubclass(key_type, Enum) and issubclass(key_type, int):
                key = int(key)
            elif key_type is bool or key_type is _NOTHING:
                key = _KEY_WORDS[key_type][key]
        if not isinstance(key_type, type) or not isinstance(key, key_type):
            key = conversions.of(key_type)(key)
    except Exception as error:
        raise TypeError(f"Failed converting key {original!r} to type {key_type} in mapping {hint}") from error
    return key


def _dataclass(conversions: HintConversions, hint: Any) -> Convert:
    plan: list[tuple[str, bool, Convert]] = []

    def to_dataclass(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"Cannot convert to dataclass {hint}, value is {type(value)} not dict")
        if not plan:
            hints = class_hints(hint)
            plan.extend(
                (field.name, field.init, conversions.of(hints[field.name])) for field in dataclasses.fields(hint)
            )
        given: dict[str, Any] = {}
        set_later: dict[str, Any] = {}
        for name, in_constructor, convert in plan:
            if name not in value:
                continue
            try:
                converted = convert(value[name])
            except Exception as error:
                raise TypeError(f"Failed converting field {name} on dataclass {hint}") from error
            if in_constructor:
                given[name] = converted
            else:
                set_later[name] = converted
        # A required field that is missing makes the constructor raise; fields that the class hasn't are left out.
        made = hint(**given)
        for name, converted in set_later.items():
            object.__setattr__(made, name, converted)
        return made

    return to_dataclass


_COLLECTIONS: dict[Any, Convert] = {
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.deque: collections.deque,
}


def _iterable(conversions: HintConversions, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Convert:
    collect: Convert = _COLLECTIONS.get(origin, _unchanged)
    is_untyped = not arguments or (
        len(arguments) == 1 and (isinstance(arguments[0], TypeVar) or arguments[0] is Ellipsis)
    )

    def to_iterable(value: Any) -> Any:
        if not isinstance(value, collections.abc.Iterable):
            raise TypeError(f"Expected {hint}, value was {type(value)}")
        if is_untyped:
            return collect(list(value))
        converted = []
        for index, item in enumerate(value):
            item_type = _item_type(hint, origin, arguments, index)
            try:
                converted.append(conversions.of(item_type)(item))
            except Exception as error:
                raise TypeError(f"Failed converting {hint} index {index}") from error
        return collect(converted)

    return to_iterable


def _item_type(hint: Any, origin: Any, arguments: tuple[Any, ...], index: int) -> Any:
    if origin is not tuple:
        return arguments[0]
    if len(arguments) > index and arguments[index] is not Ellipsis:
        return arguments[index]
    if arguments[-1] is Ellipsis:
        return arguments[-2]
    raise TypeError(f"Type {hint} only expecting {len(arguments)} values, got at least {index + 1}")


PLAIN_CONVERSIONS = HintConversions(())
"""The compiled hints of converters that have no custom type converters."""
