"""What a campaign keeps of a run: verdicts, digest, figures. The whole record is made again from its seed on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..record import RunRecord
from ..verdict import Truth


class RunStatus(StrEnum):
    """How a run of a campaign ended."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "unknown"
    ERROR = "error"  # an error of stormproof's own
    MISUSE = "misuse"  # the scenario cannot work: a workflow that nobody registered ...
    DIED = "died"  # its process ended without a word: a signal, os._exit, a segmentation fault
    HUNG = "hung"  # its process was killed after its limit of real time


# These say nothing about the run itself, so a resumed campaign tries their seeds again.
UNFINISHED = (RunStatus.ERROR, RunStatus.MISUSE, RunStatus.DIED, RunStatus.HUNG)

_STATUS_OF_TRUTH = {Truth.TRUE: RunStatus.HOLDS, Truth.FALSE: RunStatus.VIOLATED, Truth.UNKNOWN: RunStatus.UNKNOWN}


@dataclass(slots=True)
class RunRow:
    """One run, in short.

    Attributes:
        seed: Its seed.
        status: How it ended.
        digest: The digest of its record, if it has one.
        python_hash_seed: ``PYTHONHASHSEED`` of its process.
        verdicts: ``(code, workflow, result, message)`` of each verdict, in order.
        faults_fired: How often each kind of fault fired.
        figures: ``events``, ``messages``, ``virtual_us`` ...
        stopped_by: The budget that ended it, or empty.
        error: What went wrong where it did not finish, in plain words.
        real_us: Microseconds of real time; it is in no digest.
    """

    seed: int
    status: RunStatus
    digest: str = ""
    python_hash_seed: str = ""
    verdicts: list[tuple[str, str, Truth, str]] = field(default_factory=list)
    faults_fired: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    stopped_by: str = ""
    error: str = ""
    real_us: int = 0

    def to_data(self) -> dict[str, Any]:
        """Plain data; the enums are strings already."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunRow:
        """A row from what ``to_data`` gave."""
        values = dict(data)
        values["status"] = RunStatus(values["status"])
        values["verdicts"] = [
            (code, workflow, Truth(result), text) for code, workflow, result, text in values["verdicts"]
        ]
        return cls(**values)


_NAMES = tuple(RunRow.__dataclass_fields__)


def row_of(record: RunRecord, *, real_us: int) -> RunRow:
    """The row of a finished run. A message is kept only where a verdict is not true; an exception counts as one."""
    verdicts = [
        (verdict.code, verdict.workflow, verdict.result, "" if verdict.result is Truth.TRUE else verdict.message)
        for verdict in record.verdicts
    ]
    if record.error:
        verdicts.append(("main", "", Truth.FALSE, f"the scenario's function raised {record.error}"))
    return RunRow(
        seed=record.seed,
        status=_STATUS_OF_TRUTH[record.result],
        digest=record.digest,
        python_hash_seed=record.python_hash_seed,
        verdicts=verdicts,
        faults_fired=record.fault_counts(),
        figures=record.statistics,
        stopped_by=record.stopped_by,
        real_us=real_us,
    )
