"""What the core asks of a data converter. ``engine/converter.py`` has the real one; the core imports none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .failures import Failure
from .payloads import Payload


class PayloadConversion(Protocol):
    """Values to payloads and back."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Encode values."""
        ...

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[Any] | None = None) -> list[Any]:
        """Decode payloads; ``type_hints`` are the types wanted, one for each payload, or nothing."""
        ...

    def to_payload(self, value: Any) -> Payload:
        """Encode one value."""
        ...


class Conversion(Protocol):
    """Values and exceptions to data and back."""

    @property
    def payload_converter(self) -> PayloadConversion:
        """The converter of values."""
        ...

    def to_failure(self, exception: BaseException) -> Failure:
        """An exception as a failure."""
        ...

    def from_failure(self, failure: Failure) -> BaseException:
        """A failure as an exception."""
        ...
