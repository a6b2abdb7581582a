"""Fakes of outside systems: the kit."""

from __future__ import annotations

from .sim.services import (
    CallFailed,
    CallTimedOut,
    ConnectionLost,
    IdempotencyConflict,
    Latency,
    RateLimit,
    RateLimited,
    Service,
    ServiceFailed,
    ServiceRefused,
    ServiceUnavailable,
    as_async,
    as_blocking,
    no_effect,
    operation,
    start_service,
)

__all__ = [
    "CallFailed",
    "CallTimedOut",
    "ConnectionLost",
    "IdempotencyConflict",
    "Latency",
    "RateLimit",
    "RateLimited",
    "Service",
    "ServiceFailed",
    "ServiceRefused",
    "ServiceUnavailable",
    "as_async",
    "as_blocking",
    "no_effect",
    "operation",
    "start_service",
]
