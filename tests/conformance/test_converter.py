"""Payloads are byte for byte those of the real SDK, and come back as the same values."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import threading
import typing
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

temporal_common = pytest.importorskip("temporalio.common")
temporal_converter = pytest.importorskip("temporalio.converter")

from stormproof.engine import converter as ours  # noqa: E402
from stormproof.engine.common import RawValue  # noqa: E402
from stormproof.engine.core.payloads import Payload  # noqa: E402

REAL = temporal_converter.DataConverter.default.payload_converter
OURS = ours.DataConverter.default.payload_converter


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


class Shade(enum.StrEnum):
    LIGHT = "light"
    DARK = "dark"


class PlainEnum(enum.Enum):
    ONE = 1


class OldStrEnum(str, enum.Enum):  # noqa: UP042 (the older spelling is still common)
    A = "a"


@dataclass
class Inner:
    number: int
    text: str = "x"


@dataclass
class Outer:
    inner: Inner
    inners: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)
    maybe: Inner | None = None
    pair: tuple[int, str] = (1, "one")
    when: datetime = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Frozen:
    numbers: tuple[int, ...]
    colour: Colour = Colour.RED


@dataclass
class NotInConstructor:
    base: int
    doubled: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.doubled = self.base * 2


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    parent_name: Optional[str] = None  # noqa: UP045 (both spellings are to be read)


@dataclass
class Wrong:
    value: list[NoSuchName]  # type: ignore[name-defined]  # noqa: F821


class Movie(TypedDict):
    title: str
    year: int
    actors: NotRequired[list[Inner]]


class Point(NamedTuple):
    x: int
    y: int


class HasDict:
    def __init__(self, value: Any) -> None:
        self.value = value

    def dict(self) -> dict[str, Any]:
        return {"value": self.value}


class IterableOnly:
    def __iter__(self) -> Iterator[int]:
        return iter((1, 2, 3))


class MyDict(dict[str, Any]):
    pass


class MyStr(str):
    __slots__ = ()


class MyList(list[Any]):
    pass


@dataclass
class DictWithFields(MyDict):
    extra: int = 1


@dataclass
class HoldsAnything:
    value: Any


UserId = NewType("UserId", int)
SOME_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
MOMENT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**70, -(2**31), 0.0, -0.0, 0.1, 1e300, 5e-324, 1e16, float("inf"), float("nan")),
    *("", "text", 'a "quoted"\n\\ line', "žluťoučký 🐎", "\ud800", "\u2028", "\0\x7f", MyStr("sub")),
    *(b"", b"bytes", bytes(range(256)), bytearray(b"mutable"), memoryview(b"view")),
    *(
        [],
        [1, [2, [3]]],
        (1, "a"),
        {},
        {"b": 1, "a": {"d": 2, "c": [None]}},
        {1: "one", 2: "two"},
        {True: 1, False: 2},
        {None: 1},
    ),
    *(
        {1.5: "x"},
        {"z": 1, "é": 2, "a": 3},
        MyDict(b=1, a=2),
        collections.OrderedDict(b=1, a=2),
        MyList([1, MyStr("a")]),
    ),
    *({1, 2, 3}, frozenset({7}), collections.deque([1, 2]), range(4), IterableOnly(), {"k": {5}}),
    *(SOME_UUID, [SOME_UUID], MOMENT, datetime(2024, 1, 1), [MOMENT, {"at": MOMENT}]),  # noqa: DTZ001
    *(Colour.BLUE, [Colour.RED], {"c": Colour.RED}, {Colour.RED: 1}, Shade.DARK, {Shade.DARK: 1}, OldStrEnum.A),
    *(Inner(1), Outer(Inner(2)), [Inner(3)], {"i": Inner(4, "ž")}, Frozen((1, 2)), NotInConstructor(4)),
    Outer(Inner(1), [Inner(2)], {"a": Inner(3)}, Inner(4), (5, "six")),
    Tree(1, [Tree(2, [Tree(3)], "one"), Tree(4)]),
    *(Point(1, 2), [Point(3, 4)], {"p": Point(5, 6)}, Movie(title="t", year=1999), Movie(title="t", year=1, actors=[])),
    *(HasDict(1), [HasDict([HasDict(2)])], HoldsAnything([Point(1, 2), (3,), {4}, MyList([5]), SOME_UUID])),
    *(
        HoldsAnything({"a": Inner(1), "b": {2: "x"}}),
        HoldsAnything(HasDict(Inner(1))),
        HoldsAnything(collections.OrderedDict(z=1)),
    ),
    *(HoldsAnything(DictWithFields()), DictWithFields(), collections.defaultdict(list, a=[Inner(1)])),
    *(HoldsAnything(b"bytes"), HoldsAnything(MOMENT), HoldsAnything(HoldsAnything(Colour.RED))),
]

REFUSED: list[Callable[[], Any]] = [
    object,
    lambda: {("a", 1): 2},
    lambda: {"a": 1, 2: "b"},
    lambda: {True: 1, None: 2},
    lambda: Decimal("1.5"),
    lambda: date(2024, 1, 1),
    lambda: timedelta(seconds=1),
    lambda: PlainEnum.ONE,
    lambda: [1, object()],
    lambda: Inner,
    lambda: HoldsAnything(Inner),
    lambda: lambda: 1,
    lambda: 1j,
    lambda: HoldsAnything(threading.Lock()),
    lambda: HoldsAnything({"a": 1}.keys()),
    lambda: HoldsAnything({Frozen((1,)): 2}),
    lambda: HoldsAnything(object()),
]


def real_payload(payload: Payload) -> Any:
    from temporalio.api.common.v1 import Payload as RealPayload

    return RealPayload(metadata=payload.metadata, data=payload.data)


def names(value: Any) -> str:
    return repr(value)[:60]


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

SCALARS: list[Any] = [
    *(None, True, False, 0, 3, -1.5, "", "text", "3", "light", "a", str(SOME_UUID), MOMENT.isoformat(), "2024-01-01"),
    *("not a date", [], [1, 2], ["1", "2"], [["a", 1]], [1, "one"], {}, {"1": 2}, {"true": 1, "false": 0}, {"null": 1}),
    *({"x": 1, "y": 2}, {"number": 1}, {"number": 1, "text": "t", "unknown": 5}, {"number": "one"}, {"text": "t"}),
    *(
        {"title": "t", "year": 1},
        {"title": "t"},
        {"title": 1, "year": 1},
        {"title": "t", "year": 1, "actors": [{"number": 1}]},
    ),
    *({"numbers": [1, 2], "colour": 2}, {"numbers": [1], "colour": 3}, {"base": 4, "doubled": 9}, {"a": {"number": 1}}),
    {
        "inner": {"number": 1},
        "inners": [{"number": 2}],
        "by_name": {"a": {"number": 3}},
        "pair": [1, "a"],
        "maybe": None,
    },
    {"inner": {"number": 1}, "when": "2024-05-06T07:08:09+00:00", "maybe": {"number": 2}, "pair": [1]},
    {"value": 1, "children": [{"value": 2, "children": []}], "parent_name": "p"},
    {"value": [1], "children": {}},
]

HINTS: list[Any] = [
    *(None, Any, int, float, bool, str, bytes, type(None), datetime, uuid.UUID, object, date, Decimal, complex),
    *(Colour, Shade, PlainEnum, OldStrEnum, UserId, MyStr, MyDict, MyList, IterableOnly, HasDict),
    *(list, dict, tuple, set, frozenset, Sequence, Mapping, collections.deque, collections.OrderedDict, typing.List),  # noqa: UP006
    *(list[int], list[str], list[Any], list[Inner], list[list[str]], list[Colour], list[int | str], Sequence[Inner]),
    *(tuple[int, str], tuple[int, ...], tuple[()], tuple[Any, ...], set[int], frozenset[str], collections.deque[int]),
    *(
        dict[str, int],
        dict[int, int],
        dict[float, Any],
        dict[bool, int],
        dict[None, int],
        dict[Colour, int],
        dict[str, Inner],
    ),
    *(
        dict[UserId, int],
        dict[Literal["x", "y"], int],
        dict[int | str, int],
        Mapping[str, Any],
        dict[str, dict[str, int]],
    ),
    *(Optional[int], int | None, int | str, str | int, Union[int, str, None], Inner | int, Inner | Tree | None),  # noqa: UP007, UP045
    *(int | float, float | int, bool | int, list[int] | list[str], UserId | str, datetime | str, str | datetime),
    *(
        Literal["a", "text", 3],
        Literal[True],
        Inner,
        Outer,
        Frozen,
        NotInConstructor,
        Tree,
        Movie,
        Point,
        HoldsAnything,
    ),
    *(list[Movie], dict[str, Tree], typing.TypeVar("T"), typing.Annotated[int, "note"], type[int], Callable[[], int]),
    *("ForwardReference", 5, list["Inner"], Wrong, list[Wrong], Wrong | int, typing.Dict[str, int], typing.List[Inner]),  # noqa: UP006
]


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
    for hint in (None, type(value)):
        [payload] = REAL.to_payloads([value])
        expected = outcome(lambda: REAL.from_payloads([payload], [hint])[0])  # noqa: B023
        mine = Payload(dict(payload.metadata), payload.data)
        found = outcome(lambda: OURS.from_payloads([mine], [hint])[0])  # noqa: B023
        assert repr(found) == repr(expected)


def test_equal_unions_of_different_order_convert_differently() -> None:
    payload = OURS.to_payload(1)
    assert OURS.from_payloads([payload], [int | float]) == [1]
    assert isinstance(OURS.from_payloads([payload], [float | int])[0], float)  # type: ignore[list-item]
    assert isinstance(OURS.from_payloads([payload], [int | float])[0], int)  # type: ignore[list-item]


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
