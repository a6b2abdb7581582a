"""P1: every history replays to the commands that are recorded in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from ..engine.converter import DataConverter
from ..engine.core.definition import WorkflowDefinition
from ..engine.replayer import ReplayResult, replay
from ..sim.process import current_process
from ..sim.record import RunHistory, RunRecord
from ..sim.verdict import Truth, Verdict
from ..sim.watchdog import CodeSpins, stopping_spins

ANOTHER_WALL_CLOCK_US = 1_931_000_000_123_456
"""The wall clock under which histories are replayed: a day in March 2031."""


class ReplayProcess:
    """The process in whose name a history is replayed. Code that reads its wall clock is found out."""

    name = "replay"
    lane = 0
    alive = True
    zone: tzinfo | None = None

    def wall_clock_us(self) -> int:
        """Always the same moment."""
        return ANOTHER_WALL_CLOCK_US

    def monotonic_us(self) -> int:
        """Always the same moment."""
        return ANOTHER_WALL_CLOCK_US

    def true_delay_us(self, delay_us: int) -> int:
        """Nothing is delayed here."""
        return delay_us


class ReplayDeterminism:
    """P1. A cold replay of each history gives the recorded commands, checked at every workflow task.

    Differences that the SDK would accept (a timer's length, an input) are none. Evidence: the event at which replay
    took another way, with the command that was recorded and the one that came.

    Args:
        definitions: The workflow classes, by name.
        converter: The workers' data converter.
    """

    code = "P1"

    def __init__(self, definitions: Mapping[str, WorkflowDefinition], converter: DataConverter) -> None:
        self._definitions = definitions
        self._converter = converter

    def check(self, record: RunRecord) -> list[Verdict]:
        """One verdict for each history."""
        token = current_process.set(ReplayProcess())
        try:
            return [self._judge(history) for history in record.histories]
        finally:
            current_process.reset(token)

    def _judge(self, history: RunHistory) -> Verdict:
        workflow, workflow_id = history.workflow_type, history.workflow_id
        definition = self._definitions.get(workflow)
        if definition is None:
            text = f"{workflow_id} was not replayed: no worker of this run had the code of {workflow}"
            return Verdict("P1", workflow, Truth.UNKNOWN, text, workflow_id=workflow_id)
        try:
            with stopping_spins(f"workflow {workflow} {workflow_id}"):
                result = replay(history.events, definition, self._converter)
        except CodeSpins as error:
            text = f"{workflow_id} was not replayed to its end: {error}"
            return Verdict("P1", workflow, Truth.UNKNOWN, text, workflow_id=workflow_id)
        if result.ok:
            return Verdict("P1", workflow, Truth.TRUE, workflow_id=workflow_id)
        return Verdict("P1", workflow, Truth.FALSE, told(workflow_id, result), [evidence(result)], workflow_id)


def told(workflow_id: str, result: ReplayResult) -> str:
    """The divergence in plain words."""
    return f"the history of {workflow_id} does not replay: {result.message}"


def evidence(result: ReplayResult) -> dict[str, object]:
    """The event at which replay diverged, expected and actual."""
    return {
        "event_id": result.event_id,
        "expected": result.expected,
        "actual": result.actual,
        "text": result.message,
    }
