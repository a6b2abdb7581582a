"""Workers and the replayer: what ``temporalio.worker`` has."""

from __future__ import annotations

from .engine.replayer import Replayer, WorkflowReplayResult, WorkflowReplayResults
from .engine.worker import Worker

__all__ = ["Replayer", "Worker", "WorkflowReplayResult", "WorkflowReplayResults"]
