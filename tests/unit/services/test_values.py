from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from stormproof.sim.services.values import copied, copied_tuple, plain


class Colour(enum.Enum):
    RED = 1


class Word(enum.StrEnum):
    HI = "hi"


@dataclass
class Order:
    lines: list[str] = field(default_factory=lambda: ["a"])


MUTABLE = [{"a": [1]}, [[1]], ([1],), Order(), {1, 2}]
IMMUTABLE = ["a", 1, 1.5, True, None, b"a", decimal.Decimal(1), dt.date(2026, 1, 1), Colour.RED, uuid.UUID(int=1)]


@pytest.mark.parametrize("value", MUTABLE)
def test_mutable_values_are_copied_all_the_way_down(value: Any) -> None:
    twin = copied(value)
    assert twin == value
    assert twin is not value
    if isinstance(value, Order):
        assert twin.lines is not value.lines
    if isinstance(value, tuple | list):
        assert twin[0] is not value[0]
    assert copied_tuple((1, value))[1] is not value


@pytest.mark.parametrize("value", IMMUTABLE)
def test_immutable_values_are_shared(value: Any) -> None:
    assert copied(value) is value
    values = (value,)
    assert copied_tuple(values) == values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (1, 1),
        (None, None),
        (Word.HI, "hi"),
        (Colour.RED, "RED"),
        ({1: (2, [3])}, {"1": [2, [3]]}),
        ({"b", "a"}, ["a", "b"]),
        (Order(), {"lines": ["a"]}),
        (b"a\xff", "a\\xff"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01 00:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (object(), "<object>"),
        (Order, "<type>"),
    ],
)
def test_the_ledger_holds_plain_values_that_are_the_same_everywhere(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.dumps(plain(value))
