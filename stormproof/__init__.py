"""stormproof: does your durable workflow survive outages, timeouts and crashes?

    record = stormproof.simulate(main, seed=1)
    record.check()

``workflow``, ``activity``, ``client``, ``worker``, ``common`` and ``exceptions`` have the names of ``temporalio``'s
modules.
"""

from __future__ import annotations

from . import activity, workflow
from .engine.core.errors import InternalError, MisuseError, StormproofError
from .sim.campaign import CampaignResult, run_campaign
from .sim.code import CodeVersion
from .sim.options import RunOptions
from .sim.record import PropertyViolated, RunInconclusive, RunRecord
from .sim.scenario import Scenario, WorkerGroup
from .sim.verdict import Property, Truth, Verdict
from .sim.version import VERSION
from .simulation import simulate

__version__ = VERSION

__all__ = [
    "CampaignResult",
    "CodeVersion",
    "InternalError",
    "MisuseError",
    "Property",
    "PropertyViolated",
    "RunInconclusive",
    "RunOptions",
    "RunRecord",
    "Scenario",
    "StormproofError",
    "Truth",
    "Verdict",
    "WorkerGroup",
    "activity",
    "run_campaign",
    "simulate",
    "workflow",
]
