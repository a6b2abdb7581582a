"""What can go wrong: fault kinds, plans, mixes, and the session that lets a plan strike in a world."""

from __future__ import annotations

from .draw import PlanDraw
from .kind import KINDS, Fault, LastingFault, fault_from_data, kind_named, register
from .kinds import (
    ActivityHang,
    EffectLate,
    EffectReplyLost,
    EffectThenError,
    EngineCrash,
    MessageDelay,
    MessageDuplication,
    MessageLoss,
    Partition,
    RequestDuplicated,
    ServiceErrors,
    ServiceOutage,
    ServiceRateLimit,
    ServiceSlowness,
    WorkerCrash,
    WorkerShutdown,
)
from .mix import FaultMix, draw_plan, heal_at_us, mix_of
from .plan import (
    Plan,
    check_plan,
    fired_text,
    load_plan,
    plan_from_data,
    plan_from_json,
    plan_from_toml,
    plan_text,
    plan_to_data,
    plan_to_json,
    plan_to_toml,
    save_plan,
)
from .profile import Profile
from .session import PlannedFaults
from .strike import Strike
from .topology import PointCount, ServiceShape, Topology
from .when import POINTS, At, AtPoint, When, register_point

__all__ = [
    "KINDS",
    "POINTS",
    "ActivityHang",
    "At",
    "AtPoint",
    "EffectLate",
    "EffectReplyLost",
    "EffectThenError",
    "EngineCrash",
    "Fault",
    "FaultMix",
    "LastingFault",
    "MessageDelay",
    "MessageDuplication",
    "MessageLoss",
    "Partition",
    "Plan",
    "PlanDraw",
    "PlannedFaults",
    "PointCount",
    "Profile",
    "RequestDuplicated",
    "ServiceErrors",
    "ServiceOutage",
    "ServiceRateLimit",
    "ServiceShape",
    "ServiceSlowness",
    "Strike",
    "Topology",
    "When",
    "WorkerCrash",
    "WorkerShutdown",
    "check_plan",
    "draw_plan",
    "fault_from_data",
    "fired_text",
    "heal_at_us",
    "kind_named",
    "load_plan",
    "mix_of",
    "plan_from_data",
    "plan_from_json",
    "plan_from_toml",
    "plan_text",
    "plan_to_data",
    "plan_to_json",
    "plan_to_toml",
    "register",
    "register_point",
    "save_plan",
]
