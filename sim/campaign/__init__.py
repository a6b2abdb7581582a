"""Campaigns over many seeds."""

from .result import CampaignResult, ExitCode, VerdictCount
from .row import RunRow, RunStatus
from .run import CampaignInterrupted, Progress, environment, run_campaign

__all__ = [
    "CampaignInterrupted",
    "CampaignResult",
    "ExitCode",
    "Progress",
    "RunRow",
    "RunStatus",
    "VerdictCount",
    "environment",
    "run_campaign",
]
