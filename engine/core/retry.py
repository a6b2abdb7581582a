"""Retries as the real server decides them: is a failure retried, and when.

Sources: ``common/retrypolicy/retry_policy.go`` (defaults, validation, retryable failures),
``service/history/workflow/retry.go`` and ``common/backoff/retry.go`` (intervals) of github.com/temporalio/temporal.
"""

from __future__ import annotations

from collections.abc import Sequence

from .enums import RetryState, TimeoutType
from .errors import ServiceError
from .events import RetryPolicyData
from .failures import (
    ApplicationFailureInfo,
    CanceledFailureInfo,
    Failure,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from .limits import DURATION_MAX_US

_INITIAL_INTERVAL_US = 1_000_000
_BACKOFF_COEFFICIENT = 2.0
_MAXIMUM_INTERVAL_COEFFICIENT = 100
_INTERVAL_MAX_US = (2**63 - 1) // 1000
_TIMEOUT_TYPE_PREFIX = "TemporalTimeout:"

TIMEOUT_TYPE_NAMES = {
    TimeoutType.UNSPECIFIED: "Unspecified",
    TimeoutType.START_TO_CLOSE: "StartToClose",
    TimeoutType.SCHEDULE_TO_START: "ScheduleToStart",
    TimeoutType.SCHEDULE_TO_CLOSE: "ScheduleToClose",
    TimeoutType.HEARTBEAT: "Heartbeat",
}
"""Timeout types as the server writes them in messages."""

DEFAULT_RETRY_POLICY = RetryPolicyData(
    initial_interval_us=_INITIAL_INTERVAL_US,
    backoff_coefficient=_BACKOFF_COEFFICIENT,
    maximum_interval_us=_INITIAL_INTERVAL_US * _MAXIMUM_INTERVAL_COEFFICIENT,
)
"""What an activity gets that has no policy: 1 s, doubled each time, at most 100 s, for ever."""

_RETRIED_TIMEOUTS = (TimeoutType.START_TO_CLOSE, TimeoutType.HEARTBEAT)


def with_defaults(policy: RetryPolicyData | None) -> RetryPolicyData:
    """The policy with what it leaves out (``EnsureDefaults``), durations capped at 100 years."""
    if policy is None:
        return DEFAULT_RETRY_POLICY
    initial_us = policy.initial_interval_us or _INITIAL_INTERVAL_US
    maximum_us = policy.maximum_interval_us or initial_us * _MAXIMUM_INTERVAL_COEFFICIENT
    return RetryPolicyData(
        initial_interval_us=min(initial_us, DURATION_MAX_US),
        backoff_coefficient=policy.backoff_coefficient or _BACKOFF_COEFFICIENT,
        maximum_interval_us=min(maximum_us, DURATION_MAX_US),
        maximum_attempts=policy.maximum_attempts,
        non_retryable_error_types=policy.non_retryable_error_types,
    )


def validate_policy(policy: RetryPolicyData) -> None:
    """Check a policy that has its defaults (``Validate``).

    Raises:
        ServiceError: ``INVALID_ARGUMENT`` with the server's message.
    """
    if policy.maximum_attempts == 1:
        return  # no retries at all: the server looks no further
    problem = _policy_problem(policy)
    if problem:
        raise ServiceError("INVALID_ARGUMENT", problem)


def _policy_problem(policy: RetryPolicyData) -> str:
    if policy.initial_interval_us < 0:
        return "invalid InitialInterval set on retry policy: negative duration"
    if policy.backoff_coefficient < 1:
        return "BackoffCoefficient cannot be less than 1 on retry policy."
    if policy.maximum_interval_us < 0:
        return "invalid MaximumInterval set on retry policy: negative duration"
    if 0 < policy.maximum_interval_us < policy.initial_interval_us:
        return "MaximumInterval cannot be less than InitialInterval on retry policy."
    if policy.maximum_attempts < 0:
        return "MaximumAttempts cannot be negative on retry policy."
    known = list(TIMEOUT_TYPE_NAMES.values())[1:]
    for name in policy.non_retryable_error_types:
        if name.startswith(_TIMEOUT_TYPE_PREFIX) and name[len(_TIMEOUT_TYPE_PREFIX) :] not in known:
            return f"Invalid timeout type value: {name[len(_TIMEOUT_TYPE_PREFIX) :]}."
    return ""


def is_retryable(failure: Failure | None, non_retryable_error_types: Sequence[str]) -> bool:
    """May this failure be retried? (``IsRetryableFailure``)."""
    info = None if failure is None else failure.info
    if isinstance(info, ApplicationFailureInfo):
        return not info.non_retryable and info.type not in non_retryable_error_types
    if isinstance(info, TimeoutFailureInfo):
        name = _TIMEOUT_TYPE_PREFIX + TIMEOUT_TYPE_NAMES[info.timeout_type]
        return info.timeout_type in _RETRIED_TIMEOUTS and name not in non_retryable_error_types
    if isinstance(info, ServerFailureInfo):
        return not info.non_retryable
    return not isinstance(info, TerminatedFailureInfo | CanceledFailureInfo)


def requested_delay_us(failure: Failure | None) -> int | None:
    """The delay that an application error asks for, if it does."""
    info = None if failure is None else failure.info
    return info.next_retry_delay_us if isinstance(info, ApplicationFailureInfo) else None


def exponential_interval_us(policy: RetryPolicyData, attempt: int) -> int:
    """``initial * coefficient ** (attempt - 1)``, at most 292 years as in the server. ``attempt`` counts from 1."""
    try:
        interval = policy.initial_interval_us * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        return _INTERVAL_MAX_US
    return _INTERVAL_MAX_US if interval >= _INTERVAL_MAX_US else int(interval)


def next_backoff_us(
    policy: RetryPolicyData,
    *,
    attempt: int,
    now_us: int,
    expiration_us: int,
    delay_us: int | None,
    maximum_interval_us: int,
) -> tuple[int, RetryState]:
    """How long to wait before the attempt after ``attempt`` (``nextBackoffInterval``).

    Args:
        policy: With its defaults.
        attempt: The attempt that failed; counts from 1.
        now_us: When it failed.
        expiration_us: No attempt may start after this; 0 is never.
        delay_us: What the failure asked for, instead of the exponential interval.
        maximum_interval_us: Caps the interval; 0 is no cap.

    Returns:
        The interval and ``IN_PROGRESS``, or 0 and the reason why there is no further attempt.
    """
    if 0 < policy.maximum_attempts <= attempt:
        return 0, RetryState.MAXIMUM_ATTEMPTS_REACHED
    interval_us = exponential_interval_us(policy, attempt) if delay_us is None else delay_us
    if maximum_interval_us == 0 and interval_us <= 0:
        return 0, RetryState.TIMEOUT
    if maximum_interval_us != 0 and not 0 < interval_us <= maximum_interval_us:
        interval_us = maximum_interval_us
    if expiration_us and now_us + interval_us > expiration_us:
        return 0, RetryState.TIMEOUT
    return interval_us, RetryState.IN_PROGRESS
