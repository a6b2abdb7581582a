"""Data conversion: values to payloads and back, as ``temporalio.converter`` does it, byte for byte.

Nothing is ever pickled: a value is ``None``, bytes, or JSON.
"""

from __future__ import annotations

import dataclasses
import json
import json.encoder
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from .json_bytes import DUMPS_OPTIONS, AdvancedJSONEncoder, decode_json, encode_json
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
            data = encode_json(value)
        else:
            data = json.dumps(value, cls=self._encoder, **DUMPS_OPTIONS).encode()
        return Payload({_ENCODING: self._encoding.encode()}, data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Decode, and convert to the type wanted.

        Raises:
            RuntimeError: It is not JSON.
            TypeError: The value is not of the type wanted.
        """
        try:
            value = decode_json(payload.data) if self._decoder is None else json.loads(payload.data, cls=self._decoder)
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
            return Payload({_ENCODING: _JSON}, encode_json(value))
        return super().to_payloads((value,))[0]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        if len(payloads) == 1 and (not type_hints or len(type_hints) == 1):
            payload = payloads[0]
            type_hint = type_hints[0] if type_hints else None
            if type_hint is not RawValue and payload.metadata.get(_ENCODING) == _JSON:
                try:
                    value = decode_json(payload.data)
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
