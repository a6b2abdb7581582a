"""The fault kinds that stormproof brings along."""

from __future__ import annotations

from .effects import ActivityHang, EffectLate, EffectReplyLost, EffectThenError, RequestDuplicated
from .engine import EngineCrash
from .network import MessageDelay, MessageDuplication, MessageLoss, Partition
from .services import ServiceErrors, ServiceOutage, ServiceRateLimit, ServiceSlowness
from .workers import WorkerCrash, WorkerShutdown

__all__ = [
    "ActivityHang",
    "EffectLate",
    "EffectReplyLost",
    "EffectThenError",
    "EngineCrash",
    "MessageDelay",
    "MessageDuplication",
    "MessageLoss",
    "Partition",
    "RequestDuplicated",
    "ServiceErrors",
    "ServiceOutage",
    "ServiceRateLimit",
    "ServiceSlowness",
    "WorkerCrash",
    "WorkerShutdown",
]
