"""Reading plain data (what JSON can hold) back into objects, with errors that say which field is wrong and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..engine.core.errors import MisuseError

# The compact form, with sorted keys: the same data is always the same bytes. ASCII, since user text may hold what no
# encoding can write (lone surrogates).
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
encode = _ENCODER.encode

Types = tuple[type, ...]


def decode_object(text: str | bytes, *, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        MisuseError: The text is no JSON, is cut short, or is no object.
    """
    try:
        data = json.loads(text)
    except UnicodeDecodeError as error:
        raise MisuseError(f"this is no {what}: it is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise MisuseError(f"this is no {what}: it is not valid JSON, or was cut short ({error})") from None
    if not isinstance(data, dict):
        raise MisuseError(f"this is no {what}: expected a JSON object, found {_type_name(data)}")
    return data


def check_fields(
    data: Mapping[str, Any], expected: Mapping[str, Types], *, what: str, required: tuple[str, ...]
) -> None:
    """Check the names and types of the fields of an object.

    Raises:
        MisuseError: A field is missing, unknown, or of a wrong type.
    """
    for name in required:
        if name not in data:
            raise MisuseError(f"this is no {what}: the field {name!r} is missing")
    for name, value in data.items():
        types = expected.get(name)
        if types is None:
            raise MisuseError(f"the {what} has an unknown field {name!r}: expected {', '.join(expected)}")
        # bool is an int in Python, but never where a number is meant.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(_TYPE_NAMES.get(kind, kind.__name__) for kind in types)
            raise MisuseError(f"the field {name!r} of the {what} is {_type_name(value)}: expected {wanted}")


_TYPE_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)
