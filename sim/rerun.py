"""Making a run again from its record alone, and saying whether it was the same run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..engine.core.errors import MisuseError
from .campaign.hash_seeds import current_hash_seed
from .campaign.job import DEFAULT_RUNNER, load_runner
from .digest import first_divergence
from .loading import load_target
from .record import RunRecord


@dataclass(slots=True)
class Comparison:
    """Whether two records are of the same run.

    Attributes:
        same: Whether they are; ``None`` where one has no digest, because real time ended it.
        message: In plain words.
    """

    same: bool | None
    message: str


def run_again(record: RunRecord, *, trace: bool = False, runner: str = DEFAULT_RUNNER) -> RunRecord:
    """Make the run of a record again.

    Args:
        record: The record; its scenario, seed, options and overrides decide the run.
        trace: Whether to keep the whole trace this time.
        runner: The reference of the function that makes one run.

    Raises:
        MisuseError: The record names no scenario, or one that cannot be loaded.
    """
    if not record.scenario:
        raise MisuseError(
            "the record names no scenario that can be imported (it was a local function): move it to the top level "
            "of a module and record it again"
        )
    options = replace(record.options, trace=trace)
    if record.choices_overrides:
        options.overrides = dict(record.choices_overrides)
    target = load_target(record.scenario)
    again = load_runner(runner)(target.value, seed=record.seed, options=options)
    again.scenario = again.scenario or record.scenario
    return again


def compare_records(recorded: RunRecord, again: RunRecord) -> Comparison:
    """Whether the second record is of the same run as the first."""
    if not recorded.digest or not again.digest:
        which = "recorded run" if not recorded.digest else "run made again"
        return Comparison(None, f"the {which} has no digest, because real time ended it: there is nothing to compare")
    if recorded.digest == again.digest:
        return Comparison(True, f"the same run: digest {again.digest}")
    lines = [f"not the same run: digest {again.digest}, recorded was {recorded.digest}"]
    where = first_divergence(
        [(count, digest) for count, digest in recorded.checkpoints],
        [(count, digest) for count, digest in again.checkpoints],
    )
    if where is not None:
        lines.append(f"they part between entry {where[0]} and entry {where[1]} of what happened")
    lines.extend(_other_circumstances(recorded, again))
    if len(lines) == (1 if where is None else 2):
        lines.append(
            "version, options and hash seed are the same: the scenario's code was changed, or something in it differs "
            "from run to run (a real clock, random numbers, a set, an address)"
        )
    return Comparison(False, "\n".join(lines))


def _other_circumstances(recorded: RunRecord, again: RunRecord) -> list[str]:
    told = {
        "stormproof_version": "version of stormproof",
        "python_version": "version of Python",
        "python_hash_seed": "PYTHONHASHSEED",
    }
    lines: list[str] = []
    for name, words in told.items():
        was, now = getattr(recorded, name), getattr(again, name)
        if was and now and was != now:
            lines.append(f"another {words}: {now}, recorded was {was}")
    return lines


def hash_seed_wanted(record: RunRecord) -> str:
    """The ``PYTHONHASHSEED`` that making the run again needs; the present one where the record does not know."""
    recorded = record.python_hash_seed
    return recorded if recorded.isdigit() else current_hash_seed()
