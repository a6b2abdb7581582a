"""Values to JSON bytes and back, byte for byte as ``temporalio`` has them.

One C encoder and one C scanner are kept for the process, because ``json.dumps`` builds a new encoder for every call,
which costs more than encoding.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import json.decoder
import json.encoder
import sys
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any


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


DUMPS_OPTIONS: dict[str, Any] = {"separators": (",", ":"), "sort_keys": True}


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
        """Bytes equal to those of ``json.dumps(value, cls=AdvancedJSONEncoder, **DUMPS_OPTIONS)``."""
        if self._is_busy or self._encode is None:
            # Encoding runs user code (``dict()``, iterators), which may encode something itself.
            return json.dumps(value, cls=AdvancedJSONEncoder, **DUMPS_OPTIONS).encode()
        self._is_busy = True
        try:
            return "".join(self._encode(value, 0)).encode()
        except BaseException:
            # What was being encoded stays in the table, and would look like a circle later.
            self._markers.clear()
            raise
        finally:
            self._is_busy = False


encode_json = _KeptEncoder().encode
_decoder: Any = json.decoder.JSONDecoder()
_scan_once: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once


def decode_json(data: bytes) -> Any:
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
