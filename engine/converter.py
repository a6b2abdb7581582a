"""Data conversion: values to payloads and back, as ``temporalio.converter`` does it, byte for byte.

Nothing is ever pickled: a value is ``None``, bytes, or JSON. One C encoder and one C scanner are kept for the process,
because ``json.dumps`` builds a new encoder for every call, which costs more than encoding.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import json.decoder
import json.encoder
import sys
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, ClassVar, TypeVar, overload

from .common import RawValue
from .core.failures import Failure
from .core.payloads import Payload, Payloads
from .failure_converter import (
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    FailureConverter,
)
from .json_types import (
    PLAIN_CONVERSIONS,
    HintConversions,
    JSONTypeConverter,
    JSONTypeConverterUnhandled,
    value_to_type,
)

AnyType = TypeVar("AnyType")

_ENCODING = "encoding"
_JSON = b"json/plain"
_NULL = b"binary/null"
_PLAIN = b"binary/plain"


class PayloadConverter(ABC):
    """Converts several values to payloads, and payloads to values."""

    default: ClassVar[PayloadConverter]
    """The payload converter of ``DataConverter.default``."""

    @abstractmethod
    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Encode values. A ``RawValue`` is expected to give its payload unchanged."""

    @abstractmethod
    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode payloads. The hint ``RawValue`` is expected to give the payload unchanged, in a ``RawValue``.

        Args:
            payloads: What to decode.
            type_hints: The types wanted, one for each payload, or nothing.
        """

    def to_payloads_wrapper(self, values: Sequence[Any]) -> Payloads:
        """The same as ``to_payloads``."""
        return self.to_payloads(values)

    def from_payloads_wrapper(self, payloads: Payloads | None) -> list[Any]:
        """The same as ``from_payloads`` without hints; nothing gives an empty list."""
        return self.from_payloads(payloads) if payloads else []

    def to_payload(self, value: Any) -> Payload:
        """Encode one value."""
        return self.to_payloads([value])[0]

    @overload
    def from_payload(self, payload: Payload) -> Any: ...

    @overload
    def from_payload(self, payload: Payload, type_hint: type[AnyType]) -> AnyType: ...

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode one payload."""
        return self.from_payloads([payload], [type_hint] if type_hint else None)[0]


class EncodingPayloadConverter(ABC):
    """Converts values of some kind to payloads of one encoding, and back."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The name that the payload's metadata hold."""

    @abstractmethod
    def to_payload(self, value: Any) -> Payload | None:
        """Encode a value, or return ``None`` for one of another kind."""

    @abstractmethod
    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode a payload of this encoding.

        Raises:
            RuntimeError: It can't be decoded.
        """


class CompositePayloadConverter(PayloadConverter):
    """Asks converters in order until one of them takes the value.

    Attributes:
        converters: The converters by encoding, in order.
    """

    converters: Mapping[bytes, EncodingPayloadConverter]

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        self.converters = {converter.encoding.encode(): converter for converter in converters}

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Encode values, one payload for each.

        Raises:
            RuntimeError: No converter takes a value.
        """
        payloads = []
        for index, value in enumerate(values):
            payload = value.payload if isinstance(value, RawValue) else self._first_payload(value)
            if payload is None:
                raise RuntimeError(f"Value at index {index} of type {type(value)} has no known converter")
            payloads.append(payload)
        return payloads

    def _first_payload(self, value: Any) -> Payload | None:
        for converter in self.converters.values():
            payload = converter.to_payload(value)
            if payload is not None:
                return payload
        return None

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode payloads, one value for each.

        Raises:
            KeyError: No converter has the encoding of a payload.
            RuntimeError: A payload can't be decoded.
            TypeError: A value is not of the type wanted.
            ValueError: There are more hints than payloads.
        """
        values = []
        for index, (payload, type_hint) in enumerate(zip_longest(payloads, type_hints or ())):
            if payload is None:
                raise ValueError(f"{len(type_hints or ())} type hints were given for {len(payloads)} payloads")
            if type_hint is RawValue:
                values.append(RawValue(payload))
                continue
            encoding = payload.metadata.get(_ENCODING, b"<unknown>")
            converter = self.converters.get(encoding)
            if converter is None:
                raise KeyError(f"Unknown payload encoding {encoding.decode()}")
            try:
                values.append(converter.from_payload(payload, type_hint))
            except RuntimeError as error:
                raise RuntimeError(
                    f"Payload at index {index} with encoding {encoding.decode()} could not be converted"
                ) from error
        return values


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """``binary/null``: ``None``."""

    @property
    def encoding(self) -> str:
        """``binary/null``."""
        return "binary/null"

    def to_payload(self, value: Any) -> Payload | None:
        """Encode ``None``."""
        return Payload({_ENCODING: _NULL}) if value is None else None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode to ``None``."""
        if payload.data:
            raise RuntimeError("Expected empty data set for binary/null")
        return None


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """``binary/plain``: bytes."""

    @property
    def encoding(self) -> str:
        """``binary/plain``."""
        return "binary/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """Encode bytes."""
        return Payload({_ENCODING: _PLAIN}, bytes(value)) if isinstance(value, bytes) else None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode to bytes."""
        return payload.data


# --- JSON -----------------------------------------------------------------------------------------------------------


class AdvancedJSONEncoder(json.JSONEncoder):
    """JSON for datetimes, dataclasses, objects with ``dict()``, iterables and UUIDs as well."""

    def default(self, o: Any) -> Any:
        """What is encoded in place of an object that JSON doesn't know.

        Raises:
            TypeError: There is nothing.
        """
        if isinstance(o, datetime):
            return o.isoformat()
        if dataclasses.is_dataclass(o) and not isinstance(o, type):
            return _as_plain(o)
        to_dict = getattr(o, "dict", None)
        if callable(to_dict):
            return to_dict()
        if not isinstance(o, list) and isinstance(o, collections.abc.Iterable):
            return list(o)
        if isinstance(o, uuid.UUID):
            return str(o)
        return super().default(o)


_ASDICT_KNOWS_DEFAULTDICT = sys.version_info >= (3, 12)
_ATOMS = frozenset({str, int, float, bool, type(None), bytes})


def _as_plain(value: Any) -> Any:
    """What ``dataclasses.asdict`` does, without its detours for the usual types (it is most of an encoding)."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return [_as_plain(item) for item in value]
    if kind is dict:
        return {_as_plain(key): _as_plain(item) for key, item in value.items()}
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return {field.name: _as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        items = (_as_plain(item) for item in value)
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if isinstance(value, dict):
        return _as_plain_mapping(value)
    return deepcopy(value)


def _as_plain_mapping(value: dict[Any, Any]) -> Any:
    pairs = ((_as_plain(key), _as_plain(item)) for key, item in value.items())
    if _ASDICT_KNOWS_DEFAULTDICT and hasattr(type(value), "default_factory"):
        result = type(value)(value.default_factory)  # type: ignore[attr-defined]
        result.update(pairs)
        return result
    return type(value)(pairs)


_DUMPS_OPTIONS: dict[str, Any] = {"separators": (",", ":"), "sort_keys": True}


class _KeptEncoder:
    """The C encoder that ``json.dumps`` would build for ``AdvancedJSONEncoder``, built once."""

    def __init__(self) -> None:
        # By this table the C encoder sees that a value contains itself.
        self._markers: dict[int, Any] = {}
        self._is_busy = False
        default = AdvancedJSONEncoder().default
        make: Any = getattr(json.encoder, "c_make_encoder", None)
        self._encode: Callable[[Any, int], Sequence[str]] | None = make and make(
            self._markers, default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, True
        )

    def encode(self, value: Any) -> bytes:
        """Bytes equal to those of ``json.dumps(value, cls=AdvancedJSONEncoder, **_DUMPS_OPTIONS)``."""
        if self._is_busy or self._encode is None:
            # Encoding runs user code (``dict()``, iterators), which may encode something itself.
            return json.dumps(value, cls=AdvancedJSONEncoder, **_DUMPS_OPTIONS).encode()
        self._is_busy = True
        try:
            return "".join(self._encode(value, 0)).encode()
        except BaseException:
            # What was being encoded stays in the table, and would look like a circle later.
            self._markers.clear()
            raise
        finally:
            self._is_busy = False


_encode_json = _KeptEncoder().encode
_decoder: Any = json.decoder.JSONDecoder()
_scan_once: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once


def _decode_json(data: bytes) -> Any:
    """The same as ``json.loads``; text that is surely UTF-8, and has no white space around it, is scanned at once."""
    if data.isascii() and b"\0" not in data:
        text = data.decode("ascii")
        try:
            value, end = _scan_once(text, 0)
        except StopIteration:
            return json.loads(data)
        if end == len(text):
            return value
    return json.loads(data)


class JSONPlainPayloadConverter(EncodingPayloadConverter):
    """``json/plain``: everything that JSON can hold, and what ``AdvancedJSONEncoder`` adds.

    Args:
        encoder: The encoder's class.
        decoder: The decoder's class.
        encoding: The encoding's name.
        custom_type_converters: Asked first when a value is converted to the type wanted.
    """

    def __init__(
        self,
        *,
        encoder: type[json.JSONEncoder] | None = AdvancedJSONEncoder,
        decoder: type[json.JSONDecoder] | None = None,
        encoding: str = "json/plain",
        custom_type_converters: Sequence[JSONTypeConverter] = (),
    ) -> None:
        super().__init__()
        self._encoder = encoder
        self._decoder = decoder
        self._encoding = encoding
        self._conversions = HintConversions(custom_type_converters) if custom_type_converters else PLAIN_CONVERSIONS

    @property
    def encoding(self) -> str:
        """The name given."""
        return self._encoding

    def to_payload(self, value: Any) -> Payload | None:
        """Encode any value.

        Raises:
            TypeError: JSON can't hold it.
            ValueError: It contains itself.
        """
        if hasattr(value, "parse_obj"):
            _warn_pydantic_1()
        if self._encoder is AdvancedJSONEncoder:
            data = _encode_json(value)
        else:
            data = json.dumps(value, cls=self._encoder, **_DUMPS_OPTIONS).encode()
        return Payload({_ENCODING: self._encoding.encode()}, data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode, and convert to the type wanted.

        Raises:
            RuntimeError: It is not JSON.
            TypeError: The value is not of the type wanted.
        """
        try:
            value = _decode_json(payload.data) if self._decoder is None else json.loads(payload.data, cls=self._decoder)
        except json.JSONDecodeError as error:
            raise RuntimeError("Failed parsing") from error
        return self._conversions.of(type_hint)(value) if type_hint else value


def _warn_pydantic_1() -> None:
    warnings.warn(
        "this value looks like a Pydantic model: it is encoded by its dict() method; "
        "give your DataConverter a payload converter of your own for Pydantic",
        stacklevel=4,
    )


# --- defaults -------------------------------------------------------------------------------------------------------


class DefaultPayloadConverter(CompositePayloadConverter):
    """``None``, bytes, and JSON for everything else; as other SDKs read and write them.

    Protocol buffer messages are not supported.
    """

    default_encoding_payload_converters: tuple[EncodingPayloadConverter, ...] = (
        BinaryNullPayloadConverter(),
        BinaryPlainPayloadConverter(),
        JSONPlainPayloadConverter(),  # Last, since it takes or refuses whatever is left.
    )
    """The converters asked, in order."""

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter.default_encoding_payload_converters)


class _FastPayloadConverter(DefaultPayloadConverter):
    """The default payload converter, with shortcuts for what travels most. The bytes are the same."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        return [self.to_payload(value) for value in values]

    def to_payload(self, value: Any) -> Payload:
        kind = type(value)
        if kind is str:
            return Payload({_ENCODING: _JSON}, json.encoder.encode_basestring_ascii(value).encode())
        if value is None:
            return Payload({_ENCODING: _NULL})
        if kind is int:
            return Payload({_ENCODING: _JSON}, b"%d" % value)
        if kind is dict or kind is list:
            return Payload({_ENCODING: _JSON}, _encode_json(value))
        return super().to_payloads((value,))[0]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        if len(payloads) == 1 and (not type_hints or len(type_hints) == 1):
            payload = payloads[0]
            type_hint = type_hints[0] if type_hints else None
            if type_hint is not RawValue and payload.metadata.get(_ENCODING) == _JSON:
                try:
                    value = _decode_json(payload.data)
                except ValueError:
                    return super().from_payloads(payloads, type_hints)
                return [PLAIN_CONVERSIONS.of(type_hint)(value) if type_hint else value]
        return super().from_payloads(payloads, type_hints)


def _new_payload_converter(converter_class: type[PayloadConverter]) -> PayloadConverter:
    return _FastPayloadConverter() if converter_class is DefaultPayloadConverter else converter_class()


@dataclass(frozen=True)
class DataConverter:
    """A payload converter and a failure converter."""

    payload_converter_class: type[PayloadConverter] = DefaultPayloadConverter
    """Made without arguments."""

    failure_converter_class: type[FailureConverter] = DefaultFailureConverter
    """Made without arguments."""

    payload_converter: PayloadConverter = dataclasses.field(init=False)
    """Made from ``payload_converter_class``."""

    failure_converter: FailureConverter = dataclasses.field(init=False)
    """Made from ``failure_converter_class``."""

    default: ClassVar[DataConverter]
    """The one that is used where none is given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_converter", _new_payload_converter(self.payload_converter_class))
        object.__setattr__(self, "failure_converter", self.failure_converter_class())

    def to_failure(self, exception: BaseException) -> Failure:
        """An exception as a failure."""
        failure = Failure()
        self.failure_converter.to_failure(exception, self.payload_converter, failure)
        return failure

    def from_failure(self, failure: Failure) -> BaseException:
        """A failure as an exception."""
        return self.failure_converter.from_failure(failure, self.payload_converter)

    async def encode(self, values: Sequence[Any]) -> list[Payload]:
        """Encode values."""
        return self.payload_converter.to_payloads(values)

    async def decode(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode payloads."""
        return self.payload_converter.from_payloads(payloads, type_hints)

    async def encode_failure(self, exception: BaseException, failure: Failure) -> None:
        """Write an exception into ``failure``."""
        self.failure_converter.to_failure(exception, self.payload_converter, failure)

    async def decode_failure(self, failure: Failure) -> BaseException:
        """A failure as an exception."""
        return self.from_failure(failure)


DataConverter.default = DataConverter()
PayloadConverter.default = DataConverter.default.payload_converter
FailureConverter.default = DataConverter.default.failure_converter


def default() -> DataConverter:
    """The same as ``DataConverter.default``."""
    return DataConverter.default


__all__ = [
    "AdvancedJSONEncoder",
    "BinaryNullPayloadConverter",
    "BinaryPlainPayloadConverter",
    "CompositePayloadConverter",
    "DataConverter",
    "DefaultFailureConverter",
    "DefaultFailureConverterWithEncodedAttributes",
    "DefaultPayloadConverter",
    "EncodingPayloadConverter",
    "FailureConverter",
    "JSONPlainPayloadConverter",
    "JSONTypeConverter",
    "JSONTypeConverterUnhandled",
    "Payload",
    "PayloadConverter",
    "default",
    "value_to_type",
]
