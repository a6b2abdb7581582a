"""P5: after healing each run closes in time; what waits for ever is named."""

from __future__ import annotations

from ..sim.record import Outcome, RunRecord
from ..sim.stuck import ABANDONED
from ..sim.verdict import Truth, Verdict

STOPPED_UNJUDGED = {"events": True, "real_time": True}
"""Budgets that say nothing about the workflow: the run was cut off before it could show what it does."""


class Liveness:
    """P5. Every run that was started is closed when the run ends.

    The simulation goes on after healing for k times the slowest fault-free run plus the declared timeouts; what is
    still open then will not close by itself. A run that was cut off by a budget of events or real time is unknown. The
    evidence is what the run waits for.

    Args:
        perpetual: Names of workflow types that are meant never to end.
    """

    code = "P5"

    def __init__(self, perpetual: tuple[str, ...] = ()) -> None:
        self._perpetual = perpetual

    def check(self, record: RunRecord) -> list[Verdict]:
        """One verdict for each execution, and one for ``main`` if it did not return."""
        verdicts = [
            self._judge(record, outcome) for outcome in record.outcomes if outcome["workflow"] not in self._perpetual
        ]
        if record.stopped_by and all(verdict.result is Truth.TRUE for verdict in verdicts):
            verdicts.append(self._main(record))
        return verdicts

    def _judge(self, record: RunRecord, outcome: Outcome) -> Verdict:
        workflow, workflow_id = outcome["workflow"], outcome["workflow_id"]
        if outcome["status"] != "running":
            return Verdict("P5", workflow, Truth.TRUE, workflow_id=workflow_id)
        if record.stopped_by in STOPPED_UNJUDGED:
            text = f"{workflow_id} was open when the run was cut off by its budget of {record.stopped_by}"
            return Verdict("P5", workflow, Truth.UNKNOWN, text, workflow_id=workflow_id)
        why = _waits(record, workflow, workflow_id)
        if why.startswith(ABANDONED):
            return Verdict("P5", workflow, Truth.UNKNOWN, f"{workflow_id} is open: {why}", workflow_id=workflow_id)
        text = f"{workflow_id} never closes: {why}"
        evidence = [{"time_us": record.statistics.get("virtual_us", 0), "text": why}]
        return Verdict("P5", workflow, Truth.FALSE, text, evidence, workflow_id)

    def _main(self, record: RunRecord) -> Verdict:
        result = Truth.UNKNOWN if record.stopped_by in STOPPED_UNJUDGED else Truth.FALSE
        return Verdict("P5", "", result, f"all workflows have closed, but the run did not end: {record.stopped_detail}")


def _waits(record: RunRecord, workflow: str, workflow_id: str) -> str:
    """What the run waits for, as the simulator told it when it stopped."""
    prefix = f"{workflow} {workflow_id}: "
    for line in record.stopped_detail.split("; "):
        if line.startswith(prefix):
            return line.removeprefix(prefix)
    return record.stopped_detail or "it was still open when everything had ended"
