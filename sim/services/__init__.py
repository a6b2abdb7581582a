"""Fakes of outside systems: operations, state, latency, idempotency keys, rate limits, weather, effect ledgers."""

from __future__ import annotations

from .client import as_async, as_blocking
from .conditions import (
    Condition,
    Down,
    DuplicateRequest,
    Errors,
    ErrorsAfterEffect,
    Hang,
    LateEffect,
    ReplyLost,
    ServiceConditions,
    Slow,
    Throttled,
)
from .errors import (
    CallFailed,
    CallTimedOut,
    ConnectionLost,
    IdempotencyConflict,
    NoSuchService,
    RateLimited,
    ServiceFailed,
    ServiceRefused,
    ServiceUnavailable,
)
from .host import ServiceCall, ServiceHost, no_effect
from .latency import Latency
from .ledger import Caller, Effect, EffectLedger
from .operation import operation
from .rate_limit import RateLimit
from .registry import Services, start_service
from .service import Service

__all__ = [
    "CallFailed",
    "CallTimedOut",
    "Caller",
    "Condition",
    "ConnectionLost",
    "Down",
    "DuplicateRequest",
    "Effect",
    "EffectLedger",
    "Errors",
    "ErrorsAfterEffect",
    "Hang",
    "IdempotencyConflict",
    "LateEffect",
    "Latency",
    "NoSuchService",
    "RateLimit",
    "RateLimited",
    "ReplyLost",
    "Service",
    "ServiceCall",
    "ServiceConditions",
    "ServiceFailed",
    "ServiceHost",
    "ServiceRefused",
    "ServiceUnavailable",
    "Services",
    "Slow",
    "Throttled",
    "as_async",
    "as_blocking",
    "no_effect",
    "operation",
    "start_service",
]
