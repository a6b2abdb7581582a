"""Which failures are retried, and after how long.

Sources (github.com/temporalio/temporal): common/retrypolicy/retry_policy.go and its test,
service/history/workflow/retry.go and its test (Test_nextRetry...), common/backoff/retry.go.
"""

from __future__ import annotations

from typing import Any

import pytest
from stormproof.engine.core.enums import RetryState, TimeoutType
from stormproof.engine.core.errors import ServiceError
from stormproof.engine.core.events import RetryPolicyData
from stormproof.engine.core.failures import (
    ActivityFailureInfo,
    ApplicationFailureInfo,
    CanceledFailureInfo,
    Failure,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from stormproof.engine.core.retry import (
    exponential_interval_us,
    is_retryable,
    next_backoff_us,
    validate_policy,
    with_defaults,
)

SECOND_US = 1_000_000
LONGEST_US = (2**63 - 1) // 1000


@pytest.mark.parametrize(
    ("info", "types", "expected"),
    [
        # TestIsRetryableFailure
        (None, [], True),
        (TerminatedFailureInfo(), [], False),
        (CanceledFailureInfo(), [], False),
        (TimeoutFailureInfo(TimeoutType.UNSPECIFIED), [], False),
        (TimeoutFailureInfo(TimeoutType.START_TO_CLOSE), [], True),
        (TimeoutFailureInfo(TimeoutType.START_TO_CLOSE), ["TemporalTimeout:StartToClose"], False),
        (TimeoutFailureInfo(TimeoutType.SCHEDULE_TO_START), [], False),
        (TimeoutFailureInfo(TimeoutType.SCHEDULE_TO_CLOSE), [], False),
        (TimeoutFailureInfo(TimeoutType.HEARTBEAT), [], True),
        (TimeoutFailureInfo(TimeoutType.HEARTBEAT), ["TemporalTimeout:Heartbeat"], False),
        (TimeoutFailureInfo(TimeoutType.HEARTBEAT), ["TemporalTimeout:StartToClose"], True),
        (ServerFailureInfo(), [], True),
        (ServerFailureInfo(non_retryable=True), [], False),
        (ApplicationFailureInfo("T"), [], True),
        (ApplicationFailureInfo("T", non_retryable=True), [], False),
        (ApplicationFailureInfo("T"), ["T"], False),
        (ApplicationFailureInfo("T"), ["U"], True),
        (ActivityFailureInfo(), [], True),
    ],
)
def test_retryable_failures(info: Any, types: list[str], expected: bool) -> None:
    assert is_retryable(Failure("x", info=info), types) is expected


def test_no_failure_is_retryable() -> None:
    assert is_retryable(None, [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RetryPolicyData(0, 0, 0), (SECOND_US, 2.0, 100 * SECOND_US)),
        (RetryPolicyData(5 * SECOND_US, 1.5), (5 * SECOND_US, 1.5, 500 * SECOND_US)),
        (RetryPolicyData(5, 3.0, 7), (5, 3.0, 7)),
        (None, (SECOND_US, 2.0, 100 * SECOND_US)),
    ],
)
def test_what_a_policy_leaves_out_is_filled_in(given: RetryPolicyData | None, expected: Any) -> None:
    policy = with_defaults(given)
    assert (policy.initial_interval_us, policy.backoff_coefficient, policy.maximum_interval_us) == expected


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (RetryPolicyData(-1), "invalid InitialInterval set on retry policy"),
        (RetryPolicyData(backoff_coefficient=0.9), "BackoffCoefficient cannot be less than 1"),
        (RetryPolicyData(maximum_interval_us=-1), "invalid MaximumInterval set on retry policy"),
        (RetryPolicyData(10, 2.0, 9), "MaximumInterval cannot be less than InitialInterval"),
        (RetryPolicyData(maximum_attempts=-1), "MaximumAttempts cannot be negative"),
        (RetryPolicyData(non_retryable_error_types=["TemporalTimeout:Soon"]), "Invalid timeout type value: Soon."),
    ],
)
def test_bad_policies_are_refused(policy: RetryPolicyData, message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        validate_policy(policy)


def test_good_policies_are_not() -> None:
    validate_policy(RetryPolicyData(non_retryable_error_types=["T", "TemporalTimeout:Heartbeat"]))
    # One attempt: "Validating the rest of the arguments is pointless"
    validate_policy(RetryPolicyData(backoff_coefficient=0.1, maximum_attempts=1))


@pytest.mark.parametrize(
    ("coefficient", "attempt", "expected_us"),
    [
        (2.0, 1, SECOND_US),
        (2.0, 4, 8 * SECOND_US),
        (1.0, 1000, SECOND_US),
        (1.5, 3, 2_250_000),
        (1.1, 2, 1_100_000),
        (2.0, 60, LONGEST_US),
        (2.0, 100_000, LONGEST_US),
    ],
)
def test_intervals_grow_exponentially_up_to_the_longest(coefficient: float, attempt: int, expected_us: int) -> None:
    assert exponential_interval_us(RetryPolicyData(SECOND_US, coefficient), attempt) == expected_us


@pytest.mark.parametrize(
    ("attempt", "options", "expected"),
    [
        (1, {}, (SECOND_US, RetryState.IN_PROGRESS)),
        (3, {}, (4 * SECOND_US, RetryState.IN_PROGRESS)),
        (3, {"maximum_interval_us": 3 * SECOND_US}, (3 * SECOND_US, RetryState.IN_PROGRESS)),
        (5, {"maximum_attempts": 5}, (0, RetryState.MAXIMUM_ATTEMPTS_REACHED)),
        (4, {"maximum_attempts": 5}, (8 * SECOND_US, RetryState.IN_PROGRESS)),
        # An attempt may start exactly at the deadline: now.Add(interval).After(expiration)
        (1, {"expiration_us": 101 * SECOND_US}, (SECOND_US, RetryState.IN_PROGRESS)),
        (1, {"expiration_us": 101 * SECOND_US - 1}, (0, RetryState.TIMEOUT)),
        (3, {"delay_us": 7}, (7, RetryState.IN_PROGRESS)),
        (3, {"delay_us": 7, "maximum_interval_us": 5}, (5, RetryState.IN_PROGRESS)),
        (3, {"delay_us": 0, "maximum_interval_us": 5}, (5, RetryState.IN_PROGRESS)),
        (3, {"delay_us": 0, "maximum_interval_us": 0}, (0, RetryState.TIMEOUT)),
    ],
)
def test_the_next_interval(attempt: int, options: dict[str, int], expected: tuple[int, RetryState]) -> None:
    policy = RetryPolicyData(SECOND_US, 2.0, maximum_attempts=options.get("maximum_attempts", 0))
    found = next_backoff_us(
        policy,
        attempt=attempt,
        now_us=100 * SECOND_US,
        expiration_us=options.get("expiration_us", 0),
        delay_us=options.get("delay_us"),
        maximum_interval_us=options.get("maximum_interval_us", 100 * SECOND_US),
    )
    assert found == expected
