"""Retry policies on the wire, durations, and the choice between ``arg`` and ``args``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stormproof.engine.common import (
    UNSET,
    RetryPolicy,
    arg_or_args,
    timedelta_to_us,
    us_to_timedelta,
)
from stormproof.engine.core.events import RetryPolicyData


def test_a_policy_on_the_wire_says_what_is_left_to_defaults() -> None:
    assert RetryPolicy().to_data() == RetryPolicyData(1_000_000, 2.0, 100_000_000, 0, [])
    policy = RetryPolicy(timedelta(milliseconds=1), 3, timedelta(seconds=2), 5, ("A", "B"))
    assert policy.to_data() == RetryPolicyData(1000, 3.0, 2_000_000, 5, ["A", "B"])
    assert RetryPolicy.from_data(policy.to_data()) == RetryPolicy(
        timedelta(milliseconds=1), 3.0, timedelta(seconds=2), 5, ["A", "B"]
    )
    assert RetryPolicy.from_data(RetryPolicyData()) == RetryPolicy()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial_interval": timedelta(seconds=-1)}, "Initial interval cannot be negative"),
        ({"backoff_coefficient": 0.5}, "Backoff coefficient cannot be less than 1"),
        ({"maximum_interval": timedelta(seconds=-1)}, "Maximum interval cannot be negative"),
        ({"maximum_interval": timedelta(milliseconds=1)}, "Maximum interval cannot be less than initial interval"),
        ({"maximum_attempts": -1}, "Maximum attempts cannot be negative"),
    ],
)
def test_a_policy_that_temporal_refuses_is_refused_with_its_words(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        RetryPolicy(**wrong).to_data()
    real = pytest.importorskip("temporalio.common")
    proto = pytest.importorskip("temporalio.api.common.v1").RetryPolicy()
    with pytest.raises(ValueError, match=f"^{message}$"):
        real.RetryPolicy(**wrong).apply_to_proto(proto)


def test_a_policy_without_retries_is_not_looked_at_closely() -> None:
    assert RetryPolicy(maximum_attempts=1, backoff_coefficient=0.1).to_data().backoff_coefficient == 0.1


@given(st.timedeltas())
def test_durations_are_exact(duration: timedelta) -> None:
    microseconds = timedelta_to_us(duration)
    assert timedelta(microseconds=microseconds) == duration
    assert us_to_timedelta(microseconds) == (duration or None)
    assert timedelta_to_us(None) == 0


def test_a_call_has_one_argument_or_several() -> None:
    assert arg_or_args(UNSET, []) == []
    assert arg_or_args(None, []) == [None]
    assert arg_or_args(UNSET, [1, 2]) == [1, 2]
    with pytest.raises(ValueError, match="Cannot have arg and args"):
        arg_or_args(1, [2])
