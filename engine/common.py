"""Values that workflows, activities, clients and workers share: names and behaviour of ``temporalio.common``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any

from .core.events import RetryPolicyData
from .core.payloads import Payload


def timedelta_to_us(duration: timedelta | None) -> int:
    """A duration in whole microseconds, exactly; ``None`` is 0."""
    if duration is None:
        return 0
    return (duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds


def us_to_timedelta(duration_us: int) -> timedelta | None:
    """A duration in microseconds as a ``timedelta``; 0 is ``None``, as Temporal leaves out a timeout that isn't set."""
    return timedelta(microseconds=duration_us) if duration_us else None


@dataclass
class RetryPolicy:
    """How an activity or workflow is retried."""

    initial_interval: timedelta = timedelta(seconds=1)
    """The interval before the first retry. Default 1 s."""

    backoff_coefficient: float = 2.0
    """What the interval is multiplied by before each further retry. Default 2.0."""

    maximum_interval: timedelta | None = None
    """The longest interval. Default 100 times ``initial_interval``."""

    maximum_attempts: int = 0
    """How many attempts there are in all. The default 0 means without limit."""

    non_retryable_error_types: Sequence[str] | None = None
    """Types of ``ApplicationError`` that are never retried."""

    def to_data(self) -> RetryPolicyData:
        """The policy as it goes over the wire.

        Raises:
            ValueError: A field has a value that Temporal refuses.
        """
        self._validate()
        return RetryPolicyData(
            initial_interval_us=timedelta_to_us(self.initial_interval),
            backoff_coefficient=float(self.backoff_coefficient),
            maximum_interval_us=timedelta_to_us(self.maximum_interval or self.initial_interval * 100),
            maximum_attempts=self.maximum_attempts,
            non_retryable_error_types=list(self.non_retryable_error_types or ()),
        )

    @staticmethod
    def from_data(data: RetryPolicyData) -> RetryPolicy:
        """The policy that came over the wire."""
        return RetryPolicy(
            initial_interval=timedelta(microseconds=data.initial_interval_us),
            backoff_coefficient=data.backoff_coefficient,
            maximum_interval=us_to_timedelta(data.maximum_interval_us),
            maximum_attempts=data.maximum_attempts,
            non_retryable_error_types=list(data.non_retryable_error_types) or None,
        )

    def _validate(self) -> None:
        """The checks of Temporal's SDKs, with their messages."""
        if self.maximum_attempts == 1:
            return
        if self.initial_interval < timedelta(0):
            raise ValueError("Initial interval cannot be negative")
        if self.backoff_coefficient < 1:
            raise ValueError("Backoff coefficient cannot be less than 1")
        if self.maximum_interval:
            if self.maximum_interval < timedelta(0):
                raise ValueError("Maximum interval cannot be negative")
            if self.maximum_interval < self.initial_interval:
                raise ValueError("Maximum interval cannot be less than initial interval")
        if self.maximum_attempts < 0:
            raise ValueError("Maximum attempts cannot be negative")


class WorkflowIDReusePolicy(IntEnum):
    """May the id of a closed workflow be used again?"""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIDConflictPolicy(IntEnum):
    """What happens to a start while a workflow with this id is running?"""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class QueryRejectCondition(IntEnum):
    """When a query is refused."""

    NONE = 1
    NOT_OPEN = 2
    NOT_COMPLETED_CLEANLY = 3


@dataclass(frozen=True)
class RawValue:
    """A payload that is not converted, as a parameter or result of workflows, activities, signals and queries."""

    payload: Payload


UNSET: Any = object()
"""The default of an ``arg`` parameter: ``None`` is an argument."""


def arg_or_args(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call that takes either one ``arg`` or ``args``.

    Raises:
        ValueError: Both were given.
    """
    if arg is UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args")
    return [arg]
