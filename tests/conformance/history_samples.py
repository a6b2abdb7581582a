"""Recorded histories of real servers, and the least that a history is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

RECORDED = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("histories/*.json")}
assert len(RECORDED) == 9

STARTED: dict[str, Any] = {
    "eventId": "1",
    "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
    "workflowExecutionStartedEventAttributes": {"workflowType": {"name": "W"}},
}


def started(**attributes: Any) -> dict[str, Any]:
    """A history of one event, its attributes given by their JSON names."""
    raw = copy.deepcopy(STARTED)
    raw["workflowExecutionStartedEventAttributes"].update(attributes)
    return {"events": [raw]}
