"""Codecs of messages: dataclasses whose fields are named as in Temporal's protocol buffers.

Annotations are read as texts, since ``Int32`` and ``Int64`` are both ``int`` but are written differently. A field that
may be ``None`` is written whenever it isn't; any other field is left out while it is false.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

from .core.failures import (
    ActivityFailureInfo,
    ApplicationFailureInfo,
    CanceledFailureInfo,
    ChildWorkflowExecutionFailureInfo,
    Failure,
    ResetWorkflowFailureInfo,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from .core.payloads import Payload
from .proto_json import (
    BOOL,
    BYTES,
    DURATION_US,
    FLOAT,
    INT32,
    INT64,
    NOTHING,
    TEXT,
    TIMESTAMP_US,
    BadValue,
    Codec,
    EnumCodec,
    ListOf,
    MapOf,
    Wrapped,
    camel_of_snake,
)


class Field:
    """One attribute of a message under one key."""

    def __init__(self, attribute: str, key: str, codec: Codec, *, has_presence: bool) -> None:
        self.attribute = attribute
        self.key = key
        self.codec = codec
        self._has_presence = has_presence

    def read(self, raw: Any, values: dict[str, Any]) -> Any:
        """Put the value into ``values``; returns the remainder."""
        if raw is None:
            return None
        values[self.attribute], remainder = self.codec.decode(raw)
        return remainder

    def absent(self, values: dict[str, Any]) -> None:
        """Put the default into ``values``."""
        values[self.attribute] = None if self._has_presence else self.codec.new_default()

    def write(self, message: Any, out: dict[str, Any], remainder: Any = NOTHING) -> None:
        """Put the JSON into ``out``."""
        value = getattr(message, self.attribute)
        is_written = value is not None if self._has_presence else bool(value)
        if remainder is NOTHING:
            if is_written:
                out[self.key] = self.codec.encode(value)
            return
        if remainder is None:
            merged = self.codec.encode(value) if is_written else None
        elif value is None:
            return
        else:
            merged = self.codec.merge(value, remainder)
            if merged is NOTHING and is_written:
                merged = self.codec.encode(value)
        if merged is not NOTHING:
            out[self.key] = merged


class OneOfField(Field):
    """An attribute whose class says under which key it is written."""

    def __init__(self, attribute: str, key: str, codec: Codec, cls: type) -> None:
        super().__init__(attribute, key, codec, has_presence=True)
        self._cls = cls

    def absent(self, values: dict[str, Any]) -> None:
        """Another key may have given the value."""
        values.setdefault(self.attribute, None)

    def write(self, message: Any, out: dict[str, Any], remainder: Any = NOTHING) -> None:
        """See the base class."""
        if type(getattr(message, self.attribute)) is self._cls:
            super().write(message, out, remainder)


class GroupField(Field):
    """Several attributes that are fields of one inner message."""

    def __init__(self, key: str, fields: list[Field]) -> None:
        super().__init__("", key, MessageCodec(dict, fields), has_presence=True)
        self._fields = fields

    def read(self, raw: Any, values: dict[str, Any]) -> Any:
        """See the base class."""
        if raw is None:
            return None
        inner, remainder = self.codec.decode(raw)
        values.update(inner)
        return remainder if remainder is not NOTHING else NOTHING if any(inner.values()) else {}

    def absent(self, values: dict[str, Any]) -> None:
        """See the base class."""
        for field in self._fields:
            if field.attribute not in values:
                field.absent(values)

    def write(self, message: Any, out: dict[str, Any], remainder: Any = NOTHING) -> None:
        """See the base class."""
        if remainder is not NOTHING and remainder is not None:
            out[self.key] = self.codec.merge(message, remainder)
        elif any(getattr(message, field.attribute) for field in self._fields):
            out[self.key] = self.codec.encode(message)


class MessageCodec(Codec):
    """A message. Its remainder has the remainders of its fields by key, and the keys that it doesn't know."""

    def __init__(self, cls: Callable[..., Any], fields: Iterable[Field] = ()) -> None:
        self._cls = cls
        self._fields: list[Field] = []
        self._by_key: dict[str, Field] = {}
        for field in fields:
            self.add(field)

    def add(self, field: Field) -> None:
        """Add a field; under its original name it can be read too."""
        self._fields.append(field)
        self._by_key[field.key] = field
        if field.attribute:
            self._by_key.setdefault(field.attribute.removesuffix("_us"), field)

    def decode(self, raw: Any) -> tuple[Any, Any]:
        """See the base class."""
        if not isinstance(raw, dict):
            raise BadValue("an object", raw)
        values: dict[str, Any] = {}
        remainder: dict[str, Any] = {}
        for key, raw_value in raw.items():
            field = self._by_key.get(key)
            if field is None:
                remainder[key] = raw_value
                continue
            try:
                left = field.read(raw_value, values)
            except BadValue as bad:
                bad.path.insert(0, key)
                raise
            if left is not NOTHING:
                remainder[field.key] = left
        for field in self._fields:
            if field.attribute not in values:
                field.absent(values)
        return self._cls(**values), remainder or NOTHING

    def encode(self, value: Any) -> Any:
        """See the base class."""
        out: dict[str, Any] = {}
        for field in self._fields:
            field.write(value, out)
        return out

    def merge(self, value: Any, remainder: Any) -> Any:
        """See the base class."""
        out: dict[str, Any] = {}
        for field in self._fields:
            field.write(value, out, remainder.get(field.key, NOTHING))
        out.update({key: raw for key, raw in remainder.items() if key not in self._by_key})
        return out


# --- codecs from annotations ----------------------------------------------------------------------------------------

_FAILURE_INFOS = (
    ApplicationFailureInfo,
    TimeoutFailureInfo,
    CanceledFailureInfo,
    TerminatedFailureInfo,
    ServerFailureInfo,
    ResetWorkflowFailureInfo,
    ActivityFailureInfo,
    ChildWorkflowExecutionFailureInfo,
)

_messages: dict[type, MessageCodec] = {}
_enums: dict[type, EnumCodec] = {}

_PAYLOAD = MessageCodec(
    Payload,
    [
        Field("metadata", "metadata", MapOf(BYTES), has_presence=False),
        Field("data", "data", BYTES, has_presence=False),
    ],
)
_PAYLOADS = Wrapped("payloads", ListOf(_PAYLOAD))
_NAME = Wrapped("name", TEXT)
_CATEGORY = EnumCodec({"UNSPECIFIED": 0, "BENIGN": 1}, "APPLICATION_ERROR_CATEGORY", 0)

_BY_ANNOTATION: Mapping[str, Codec] = {
    "str": TEXT,
    "bool": BOOL,
    "int": INT64,
    "float": FLOAT,
    "Int32": INT32,
    "Int64": INT64,
    "DurationUs": DURATION_US,
    "TimestampUs": TIMESTAMP_US,
    "Payload": _PAYLOAD,
    "Payloads": _PAYLOADS,
    "list[str]": ListOf(TEXT),
    "list[Int32]": ListOf(INT32),
    "dict[str, Payloads]": MapOf(_PAYLOADS),
}

_BY_ATTRIBUTE: Mapping[str, Codec] = {
    "workflow_type": _NAME,
    "activity_type": _NAME,
    "category": _CATEGORY,
    "header": Wrapped("fields", MapOf(_PAYLOAD)),
    "memo": Wrapped("fields", MapOf(_PAYLOAD)),
    "search_attributes": Wrapped("indexedFields", MapOf(_PAYLOAD)),
    "next_retry_delay_us": DURATION_US,
}


def message_codec(cls: type) -> MessageCodec:
    """The codec of a dataclass; made once."""
    codec = _messages.get(cls)
    if codec is None:
        codec = _messages[cls] = MessageCodec(cls)
        for field in message_fields(cls):
            codec.add(field)
    return codec


def message_fields(cls: type, *, without: Iterable[str] = ()) -> list[Field]:
    """The fields of a dataclass, in order."""
    if cls is ChildWorkflowExecutionFailureInfo:
        execution = [_field(cls, field) for field in dataclasses.fields(cls) if field.name in ("workflow_id", "run_id")]
        others = message_fields_of(cls, without=("workflow_id", "run_id"))
        return [*others, GroupField("workflowExecution", execution)]
    fields = message_fields_of(cls, without=("info", *without))
    if cls is Failure:
        fields.extend(
            OneOfField("info", info.__name__[0].lower() + info.__name__[1:], message_codec(info), info)
            for info in _FAILURE_INFOS
        )
    return fields


def message_fields_of(cls: type, *, without: Iterable[str]) -> list[Field]:
    """The fields of a dataclass that have a key of their own."""
    names = tuple(without)
    return [_field(cls, field) for field in dataclasses.fields(cls) if field.name not in names]


def _field(cls: type, field: dataclasses.Field[Any]) -> Field:
    annotation = str(field.type)
    plain = annotation.removesuffix(" | None")
    codec = _BY_ATTRIBUTE.get(field.name) or _BY_ANNOTATION.get(plain) or _named_codec(cls, plain)
    return Field(field.name, camel_of_snake(field.name.removesuffix("_us")), codec, has_presence=plain != annotation)


def _named_codec(cls: type, name: str) -> Codec:
    found = next(vars(sys.modules[base.__module__])[name] for base in cls.__mro__ if _has_name(base, name))
    if issubclass(found, IntEnum):
        return _enums.setdefault(found, EnumCodec.of(found))
    return message_codec(found)


def _has_name(base: type, name: str) -> bool:
    return name in vars(sys.modules[base.__module__])
