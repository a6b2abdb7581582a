"""Rate limits: a token bucket in integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine.core.errors import MisuseError


@dataclass(slots=True, frozen=True)
class RateLimit:
    """So many calls in so much time, over all callers.

    Args:
        calls: How many calls are let through ...
        per_us: ... in this many microseconds.
        burst: How many may come at once after a pause. Default: ``calls``.
    """

    calls: int
    per_us: int = 1_000_000
    burst: int = 0

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per_us < 1 or self.burst < 0:
            raise MisuseError(
                f"{self!r}: expected at least 1 call in at least 1 microsecond, and a burst of at least 1 "
                "(0: as many as `calls`); a service that lets nothing through is down"
            )

    @classmethod
    def per_second(cls, calls: int, *, burst: int = 0) -> RateLimit:
        """``calls`` in each second."""
        return cls(calls, 1_000_000, burst)

    @classmethod
    def per_minute(cls, calls: int, *, burst: int = 0) -> RateLimit:
        """``calls`` in each minute."""
        return cls(calls, 60_000_000, burst)


class TokenBucket:
    """The state of one rate limit.

    A token is ``per_us`` units, and each microsecond brings ``calls`` units, so that no fraction is ever lost.
    """

    __slots__ = ("_calls", "_capacity", "_level", "_per_us", "_time_us", "limit")

    def __init__(self, limit: RateLimit, now_us: int) -> None:
        self.limit = limit
        self._calls = limit.calls
        self._per_us = limit.per_us
        self._capacity = (limit.burst or limit.calls) * limit.per_us
        self._level = self._capacity
        self._time_us = now_us

    def take(self, now_us: int) -> int:
        """Take a token. Returns 0, or in how many microseconds there will be one (and takes none)."""
        level = self._level + (now_us - self._time_us) * self._calls
        self._level = level = min(level, self._capacity)
        self._time_us = now_us
        missing = self._per_us - level
        if missing <= 0:
            self._level = -missing
            return 0
        return -(-missing // self._calls)


__all__ = ["RateLimit", "TokenBucket"]
