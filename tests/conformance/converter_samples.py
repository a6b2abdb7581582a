"""Types of all kinds, values of them, and hints: what the payload converters are compared over."""

from __future__ import annotations

import collections
import enum
import threading
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, Union


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
