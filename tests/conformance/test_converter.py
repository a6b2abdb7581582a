"""Payloads are byte for byte those of the real SDK, and come back as the same values."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import warnings
from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from converter_samples import (
    HINTS,
    MOMENT,
    REFUSED,
    SCALARS,
    VALUES,
    DictWithFields,
    HoldsAnything,
    Inner,
    Point,
)
from hypothesis import given
from hypothesis import strategies as st

temporal_common = pytest.importorskip("temporalio.common")
temporal_converter = pytest.importorskip("temporalio.converter")

from stormproof.engine import converter as ours  # noqa: E402
from stormproof.engine.common import RawValue  # noqa: E402
from stormproof.engine.core.payloads import Payload  # noqa: E402

REAL = temporal_converter.DataConverter.default.payload_converter
OURS = ours.DataConverter.default.payload_converter


def real_payload(payload: Payload) -> Any:
    from temporalio.api.common.v1 import Payload as RealPayload

    return RealPayload(metadata=payload.metadata, data=payload.data)


def names(value: Any) -> str:
    """An id that is the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:60]


@pytest.mark.parametrize("value", VALUES, ids=names)
def test_a_value_is_encoded_to_the_same_bytes(value: Any) -> None:
    [expected] = REAL.to_payloads([value])
    [found] = OURS.to_payloads([value])
    assert (dict(expected.metadata), expected.data) == (found.metadata, found.data)
    assert OURS.to_payload(value) == found


@pytest.mark.parametrize("value", VALUES, ids=names)
def test_a_converter_made_of_the_public_parts_gives_the_same_bytes_as_the_shortcuts(value: Any) -> None:
    parts = ours.CompositePayloadConverter(*ours.DefaultPayloadConverter.default_encoding_payload_converters)
    assert parts.to_payloads([value]) == OURS.to_payloads([value])


@pytest.mark.parametrize("make", REFUSED)
def test_what_the_real_converter_refuses_is_refused_with_the_same_error(make: Callable[[], Any]) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 (whatever it is)
        REAL.to_payloads([make()])
    with pytest.raises(expected.type) as found:
        OURS.to_payloads([make()])
    assert type(found.value) is type(expected.value)


def test_a_value_that_contains_itself_is_refused_and_the_next_one_is_not() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    for _ in range(3):
        with pytest.raises(ValueError, match="Circular"):
            OURS.to_payload(circle)
    broken = [circle[0], object()]
    with pytest.raises(TypeError):
        OURS.to_payload(broken)
    broken.pop()
    assert OURS.to_payload(broken).data == b"[1]"


def test_a_value_whose_encoding_encodes_another_one_is_encoded() -> None:
    class Nested:
        def dict(self) -> dict[str, Any]:
            with pytest.raises(TypeError):
                OURS.to_payload([object()])
            return {"inner": OURS.to_payload({"a": [1]}).data.decode()}

    assert json.loads(OURS.to_payload([Nested()]).data) == [{"inner": '{"a":[1]}'}]


# --- decoding -------------------------------------------------------------------------------------------------------


def outcome(convert: Callable[[], Any]) -> Any:
    """A value with its type, or the type and text of what was raised, down to its first cause."""
    try:
        value = convert()
    except Exception as error:
        errors = []
        current: BaseException | None = error
        while current is not None:
            errors.append((type(current), str(current)))
            current = current.__cause__
        return errors
    return type(value), value


@pytest.mark.parametrize("hint", HINTS, ids=names)
def test_every_value_is_converted_to_a_hint_as_the_real_converter_does(hint: Any) -> None:
    for value in SCALARS:
        [payload] = REAL.to_payloads([value])
        expected = outcome(lambda: REAL.from_payloads([payload], [hint])[0])  # noqa: B023 (called at once)
        mine = Payload(dict(payload.metadata), payload.data)
        for _ in range(2):
            found = outcome(lambda: OURS.from_payloads([mine], [hint])[0])  # noqa: B023
            assert found == expected, f"{value!r} as {hint!r}"


@pytest.mark.parametrize("value", VALUES, ids=names)
def test_a_value_comes_back_as_it_does_from_the_real_converter(value: Any) -> None:
    hints: list[Any] = [None, type(value)]
    for hint in hints:
        [payload] = REAL.to_payloads([value])
        expected = outcome(lambda: REAL.from_payloads([payload], [hint])[0])  # noqa: B023
        mine = Payload(dict(payload.metadata), payload.data)
        found = outcome(lambda: OURS.from_payloads([mine], [hint])[0])  # noqa: B023
        assert repr(found) == repr(expected)


def test_equal_unions_of_different_order_convert_differently() -> None:
    payload = OURS.to_payload(1)
    for hint, wanted in ((int | float, int), (float | int, float), (int | float, int)):
        hints: list[Any] = [hint]
        assert type(OURS.from_payloads([payload], hints)[0]) is wanted


DATA = [b"", b"{", b"[1,]", b" 1 ", b"1 2", b"\xff\xfe1\x00", b"\xef\xbb\xbf1", b'"\xff"', "2".encode("utf-16"), b"nul"]
DATA += [
    b"NaN",
    b"Infinity",
    b'"\\ud800"',
    b"\xc5\xbe",
    b'{"a":1,"a":2}',
    b"\0",
    b"1\n",
    b'"\t"',
    "[3]".encode("utf-32-le"),
]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("encoding", [b"json/plain", b"binary/null", b"binary/plain", b"unknown/kind", None])
def test_odd_payloads_are_read_or_refused_alike(data: bytes, encoding: bytes | None) -> None:
    from temporalio.api.common.v1 import Payload as RealPayload

    metadata = {} if encoding is None else {"encoding": encoding}
    for hints in (None, [int], [str]):
        expected = outcome(lambda: REAL.from_payloads([RealPayload(metadata=metadata, data=data)], hints))  # noqa: B023
        found = outcome(lambda: OURS.from_payloads([Payload(dict(metadata), data)], hints))  # noqa: B023
        assert repr(found) == repr(expected)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=3))
def test_arbitrary_values_agree(values: list[Any]) -> None:
    expected = outcome(lambda: [(dict(p.metadata), p.data) for p in REAL.to_payloads(values)])
    found = outcome(lambda: [(p.metadata, p.data) for p in OURS.to_payloads(values)])
    assert found == expected
    if isinstance(expected, tuple):
        payloads = OURS.to_payloads(values)
        again = OURS.from_payloads(payloads)
        assert repr(again) == repr(REAL.from_payloads([real_payload(payload) for payload in payloads]))


# --- raw values, several values, converters of the user's -----------------------------------------------------------


def test_raw_values_pass_through() -> None:
    raw = Payload({"encoding": b"mine"}, b"\1\2")
    assert OURS.to_payloads([RawValue(raw), 1])[0] is raw
    [value] = OURS.from_payloads([raw], [RawValue])
    assert value == RawValue(raw)


def test_hints_are_taken_one_for_each_payload() -> None:
    payloads = OURS.to_payloads([1, "two", {"number": 3}])
    assert OURS.from_payloads(payloads, [float, str, Inner]) == [1.0, "two", Inner(3)]
    assert OURS.from_payloads(payloads) == [1, "two", {"number": 3}]
    assert OURS.from_payloads([]) == []
    with pytest.raises(ValueError, match="4 type hints were given for 3 payloads"):
        OURS.from_payloads(payloads, [float, str, Inner, int])


class Reversed(str):
    __slots__ = ()


def define_custom(module: Any) -> Any:
    """The same converters of a user's, written against either package."""

    class ReversedConverter(module.JSONTypeConverter):  # type: ignore[misc]
        def to_typed_value(self, hint: Any, value: Any) -> Any:
            return Reversed(value[::-1]) if hint is Reversed else module.JSONTypeConverter.Unhandled

    class Encoder(module.AdvancedJSONEncoder):  # type: ignore[misc]
        def default(self, o: Any) -> Any:
            return f"decimal {o}" if isinstance(o, Decimal) else super().default(o)

    class Custom(module.CompositePayloadConverter):  # type: ignore[misc]
        def __init__(self) -> None:
            plain = module.JSONPlainPayloadConverter(
                encoder=Encoder, encoding="json/mine", custom_type_converters=[ReversedConverter()]
            )
            super().__init__(module.BinaryNullPayloadConverter(), plain)

    return module.DataConverter(payload_converter_class=Custom).payload_converter


def test_converters_of_the_users_behave_the_same() -> None:
    real, mine = define_custom(temporal_converter), define_custom(ours)
    for value in (None, "abc", [Decimal("1.50")], {"k": ["abc"]}):
        [expected] = real.to_payloads([value])
        [found] = mine.to_payloads([value])
        assert (dict(expected.metadata), expected.data) == (found.metadata, found.data)
        for hint in (None, Reversed, list[Reversed], dict[str, list[Reversed]], Reversed | None):
            assert outcome(lambda: mine.from_payloads([found], [hint])) == outcome(  # noqa: B023
                lambda: real.from_payloads([expected], [hint])  # noqa: B023
            )


def test_value_to_type_is_the_real_one() -> None:
    class Doubling(ours.JSONTypeConverter):
        def to_typed_value(self, hint: Any, value: Any) -> Any:
            return value * 2 if hint is int else ours.JSONTypeConverter.Unhandled

    assert ours.value_to_type(list[int], [1, 2]) == temporal_converter.value_to_type(list[int], [1, 2])
    assert ours.value_to_type(list[int], [1, 2], [Doubling()]) == [2, 4]


def test_a_value_that_no_converter_takes_is_refused_with_its_position() -> None:
    only_null = ours.CompositePayloadConverter(ours.BinaryNullPayloadConverter())
    with pytest.raises(RuntimeError, match="Value at index 1 of type <class 'int'> has no known converter"):
        only_null.to_payloads([None, 1])


def test_a_pydantic_model_of_version_1_brings_a_warning() -> None:
    class Model:
        def __init__(self, **fields: Any) -> None:
            self.fields = fields

        @classmethod
        def parse_obj(cls, value: dict[str, Any]) -> Model:
            return cls(**value)

        def dict(self) -> dict[str, Any]:
            return self.fields

    with pytest.warns(UserWarning, match="Pydantic"):
        payload = OURS.to_payload(Model(a=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [expected] = REAL.to_payloads([Model(a=1)])
    assert payload.data == expected.data
    assert OURS.from_payload(payload, Model).fields == {"a": 1}


def test_what_asdict_would_give_is_encoded_not_what_the_object_is() -> None:
    holder = HoldsAnything([Point(1, 2), DictWithFields()])
    assert dataclasses.asdict(holder) == {"value": [Point(1, 2), {"extra": 1}]}
    assert json.loads(OURS.to_payload(holder).data) == {"value": [[1, 2], {"extra": 1}]}
    assert json.loads(OURS.to_payload(DictWithFields()).data) == {}


def test_a_defaultdict_inside_a_dataclass_is_encoded_where_this_python_can() -> None:
    holder = HoldsAnything(collections.defaultdict(list, a=[Inner(1)]))
    expected = outcome(lambda: REAL.to_payloads([holder])[0].data)
    assert outcome(lambda: OURS.to_payloads([holder])[0].data) == expected


def test_under_a_simulated_clock_datetimes_are_still_datetimes() -> None:
    freezegun = pytest.importorskip("freezegun")
    payload = OURS.to_payload(MOMENT)
    with freezegun.freeze_time("2030-01-01"):
        import datetime as dt

        [found] = OURS.from_payloads([payload], [dt.datetime])
        assert OURS.to_payload(dt.datetime.now(UTC)).data == b'"2030-01-01T00:00:00+00:00"'
    assert found == MOMENT
