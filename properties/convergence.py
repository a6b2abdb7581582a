"""P10: under faults a run ends as some run without faults ends, or fails honestly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..sim.record import Outcome, RunRecord
from ..sim.verdict import Truth, Verdict
from .canonical import canonical_outcome, failure_types, net_effects, outcome_by_id

AllowedOutcomes = Callable[[Any], bool] | Sequence[Any] | None


@dataclass
class Reachable:
    """What runs without faults reach: outcomes and standing effects, by workflow id.

    ``more(seed)`` makes further fault-free runs for one seed; it is asked only when what is known does not suffice.
    """

    outcomes: dict[str, dict[str, bool]] = field(default_factory=dict)
    effects: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    more: Callable[[int], Sequence[RunRecord]] | None = None
    asked: dict[int, bool] = field(default_factory=dict)

    def add(self, record: RunRecord) -> None:
        """Learn from a run without faults."""
        for workflow_id, outcome in outcome_by_id(record).items():
            self.outcomes.setdefault(workflow_id, {})[canonical_outcome(outcome)] = True
            effects = net_effects(record.ledgers, workflow_id)
            known = self.effects.setdefault(workflow_id, [])
            if effects not in known:
                known.append(effects)

    def ask(self, seed: int) -> bool:
        """Make more fault-free runs for this seed, once; False if that was done before."""
        if self.more is None or seed in self.asked:
            return False
        self.asked[seed] = True
        for record in self.more(seed):
            self.add(record)
        return True


class Convergence:
    """P10. Status, result, failure type and standing effects are ones that are reachable without faults.

    An honest failure that names its fault (a timeout, an error of the service that was faulty) is allowed. Where the
    user declared the allowed outcomes, those decide. Ids and times are compared by position. Unknown where it can't
    tell: a workflow that no fault-free run started.

    Args:
        reachable: What fault-free runs reach.
        allowed: Declared outcomes: a predicate on an ``Outcome``, or a list of allowed results.
    """

    code = "P10"

    def __init__(self, reachable: Reachable, allowed: AllowedOutcomes = None) -> None:
        self._reachable = reachable
        self._allowed = allowed

    def check(self, record: RunRecord) -> list[Verdict]:
        """One verdict for each workflow id that has closed, and one for ``main`` if it raised."""
        verdicts = []
        if record.error:
            verdicts.append(Verdict("P10", "", Truth.FALSE, f"main raised {record.error}"))
        closed = [outcome for outcome in outcome_by_id(record).values() if outcome["status"] != "running"]
        return verdicts + [self._judge(record, outcome) for outcome in closed]

    def _judge(self, record: RunRecord, outcome: Outcome) -> Verdict:
        workflow, workflow_id = outcome["workflow"], outcome["workflow_id"]
        truth, text = self._declared(outcome) if self._allowed is not None else self._compare(record, outcome)
        evidence = [] if truth is Truth.TRUE else [{"text": text, "outcome": dict(outcome)}]
        return Verdict("P10", workflow, truth, text, evidence, workflow_id)

    def _declared(self, outcome: Outcome) -> tuple[Truth, str]:
        allowed = self._allowed
        if callable(allowed):
            held = bool(allowed(outcome))
        else:
            assert allowed is not None
            held = outcome["status"] == "completed" and outcome["result"] in list(allowed)
        if held:
            return Truth.TRUE, ""
        return Truth.FALSE, f"{outcome['workflow_id']} ended {told(outcome)}, which is no declared outcome"

    def _compare(self, record: RunRecord, outcome: Outcome) -> tuple[Truth, str]:
        while True:
            truth, text = self._compare_once(record, outcome)
            if truth is Truth.TRUE or not self._reachable.ask(record.seed):
                return truth, text

    def _compare_once(self, record: RunRecord, outcome: Outcome) -> tuple[Truth, str]:
        workflow_id = outcome["workflow_id"]
        known = self._reachable.outcomes.get(workflow_id)
        if known is None:
            return Truth.UNKNOWN, f"no run without faults started {workflow_id}, so there is nothing to compare with"
        effects = net_effects(record.ledgers, workflow_id)
        if canonical_outcome(outcome) in known:
            if effects in self._reachable.effects[workflow_id] or outcome["status"] != "completed":
                return Truth.TRUE, ""
            return Truth.FALSE, (
                f"{workflow_id} ended {told(outcome)}, as without faults, but the services differ: "
                f"{difference(self._reachable.effects[workflow_id][0], effects)}"
            )
        if is_honest(record, outcome):
            return Truth.TRUE, f"{workflow_id} failed honestly: {told(outcome)}"
        expected = next(iter(known))
        return (
            Truth.FALSE,
            f"{workflow_id} ended {told(outcome)}, which no run without faults does (they end {expected})",
        )


def is_honest(record: RunRecord, outcome: Outcome) -> bool:
    """Does this failure name a fault? A timeout, or an error that a faulty service gave, after a fault has fired."""
    if outcome["status"] == "timed_out":
        return bool(record.faults_fired)
    if outcome["status"] != "failed" or not record.faults_fired or outcome["failure"] is None:
        return False
    return any(
        name.startswith("Timeout:") or name.partition(":")[2] in FAULT_ERRORS
        for name in failure_types(outcome["failure"])
    )


FAULT_ERRORS = {
    "ServiceUnavailable": True,
    "ServiceRefused": True,
    "ServiceError": True,
    "RateLimited": True,
    "ConnectionLost": True,
    "CallTimeout": True,
    "ServiceTimeout": True,
    "TimeoutError": True,
    "WorkerShutdown": True,
    "ConnectError": True,
    "ConnectTimeout": True,
    "ReadTimeout": True,
    "ReadError": True,
    "RemoteProtocolError": True,
    "ConnectionError": True,
    "HTTPStatusError": True,
    "HTTPError": True,
}
"""Types of application failures that name a fault of an outside system or of the network."""


def told(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome["status"] == "completed":
        return f"completed with {outcome['result']!r}"
    failure = outcome["failure"]
    if failure is None:
        return outcome["status"].replace("_", " ")
    messages = []
    step: dict[str, Any] | None = failure
    while step is not None:
        messages.append(str(step["message"]))
        step = step.get("cause")
    return f"{outcome['status']} ({': '.join(messages)})"


def difference(expected: dict[str, int], actual: dict[str, int]) -> str:
    """Which effects stand more or less often than they should."""
    parts = [
        f"{key} stands {actual.get(key, 0)} time(s) instead of {expected.get(key, 0)}"
        for key in sorted({**expected, **actual})
        if expected.get(key, 0) != actual.get(key, 0)
    ]
    return ", ".join(parts) or "the order differs"
