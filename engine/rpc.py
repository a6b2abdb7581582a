"""Calls to the service that are retried as the SDK's core retries them.

Intervals, codes and limits are those of ``RetryOptions`` in ``crates/client/src/retry.rs`` of temporalio/sdk-core: a
call that got no definite answer is sent again, with the same request id, so that the service can apply it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .core.errors import ServiceError
from .host import Host

CALL_TIMEOUT_US = 30_000_000
LONG_POLL_TIMEOUT_US = 70_000_000
THROTTLED_INTERVAL_US = 1_000_000
THROTTLED_INTERVAL_MAX_US = 10_000_000
"""How a call waits that was refused for want of resources (``throttle_retry_policy``)."""

RETRYABLE_STATUSES = {
    "DATA_LOSS": True,
    "INTERNAL": True,
    "UNKNOWN": True,
    "RESOURCE_EXHAUSTED": True,
    "ABORTED": True,
    "OUT_OF_RANGE": True,
    "UNAVAILABLE": True,
}
"""A dict, not a set: nothing here may depend on an order that changes between processes."""


@dataclass(slots=True, frozen=True)
class RetryOptions:
    """How a call is retried. ``multiplier_percent`` 170 makes each interval 1.7 times the last.

    ``elapsed_max_us`` and ``retries_max`` of 0 mean without limit.
    """

    initial_interval_us: int = 100_000
    multiplier_percent: int = 170
    jitter_percent: int = 20
    interval_max_us: int = 5_000_000
    elapsed_max_us: int = 10_000_000
    retries_max: int = 10


CALL_RETRY = RetryOptions()
POLL_RETRY = RetryOptions(
    initial_interval_us=200_000, multiplier_percent=200, interval_max_us=10_000_000, elapsed_max_us=0, retries_max=0
)


class RetriedCall:
    """One call with its retries; ``on_reply`` gets the response or the last ``ServiceError``, exactly once.

    ``timeout_us`` is that of each attempt; 0 is the core's own, 30 seconds, and 70 for a long poll.
    """

    __slots__ = (
        "_attempt",
        "_host",
        "_interval_us",
        "_long_poll",
        "_on_reply",
        "_options",
        "_request",
        "_started_us",
        "_timeout_us",
    )

    def __init__(
        self,
        host: Host,
        request: object,
        on_reply: Callable[[Any], None],
        *,
        options: RetryOptions = CALL_RETRY,
        long_poll: bool = False,
        timeout_us: int = 0,
    ) -> None:
        self._host = host
        self._request = request
        self._on_reply = on_reply
        self._options = options
        self._long_poll = long_poll
        self._attempt = 1
        self._interval_us = options.initial_interval_us
        self._started_us = host.now_us()
        if not timeout_us:
            timeout_us = LONG_POLL_TIMEOUT_US if long_poll else CALL_TIMEOUT_US
        self._timeout_us = timeout_us
        # The first sending, as _again does it: nearly all calls need no other.
        host.call_service(request, self._replied, timeout_us=timeout_us, long_poll=long_poll)

    def abandon(self) -> None:
        """Nobody waits for the answer any more: nothing is sent again."""
        self._attempt = -1

    def _again(self) -> None:
        if self._attempt < 0:
            return
        self._attempt += 1
        self._host.call_service(self._request, self._replied, timeout_us=self._timeout_us, long_poll=self._long_poll)

    def _replied(self, reply: Any) -> None:
        if self._attempt < 0:
            return
        if isinstance(reply, ServiceError) and self._may_retry(reply):
            delay_us = self._next_delay_us(reply.status)
            elapsed_max_us = self._options.elapsed_max_us
            if not elapsed_max_us or self._host.now_us() - self._started_us + delay_us <= elapsed_max_us:
                self._host.call_later(delay_us, self._again)
                return
        self._on_reply(reply)

    def _may_retry(self, error: ServiceError) -> bool:
        retries_max = self._options.retries_max
        if retries_max and self._attempt >= retries_max:
            return False
        if error.status in RETRYABLE_STATUSES:
            return True
        return self._long_poll and error.status in ("CANCELLED", "DEADLINE_EXCEEDED")

    def _next_delay_us(self, status: str) -> int:
        interval_us = self._interval_us
        options = self._options
        self._interval_us = min(interval_us * options.multiplier_percent // 100, options.interval_max_us)
        delay_us = self._jittered(interval_us)
        if status == "RESOURCE_EXHAUSTED":
            # The core keeps a second, slower backoff for this and takes the longer of the two.
            slow_us = min(THROTTLED_INTERVAL_US << (self._attempt - 1), THROTTLED_INTERVAL_MAX_US)
            delay_us = max(delay_us, self._jittered(slow_us))
        return delay_us

    def _jittered(self, interval_us: int) -> int:
        spread_us = interval_us * self._options.jitter_percent // 100
        return interval_us - spread_us + self._host.choose("rpc.jitter", 2 * spread_us + 1)
