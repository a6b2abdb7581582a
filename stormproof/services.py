"""Fakes of outside systems: the kit, and HTTP services that httpx and requests reach."""

from __future__ import annotations

from .sim.http import HttpEffect, HttpRequest, HttpService, SocketRefused
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
    "HttpEffect",
    "HttpRequest",
    "HttpService",
    "IdempotencyConflict",
    "Latency",
    "RateLimit",
    "RateLimited",
    "Service",
    "ServiceFailed",
    "ServiceRefused",
    "ServiceUnavailable",
    "SocketRefused",
    "as_async",
    "as_blocking",
    "no_effect",
    "operation",
    "start_service",
]
