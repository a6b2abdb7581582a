"""A job: one stretch of seeds of one scenario, carried out in the process that it was sent to.

What crosses the border between processes is plain data: an importable path, seeds and options, never a callable.
"""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...engine.core.errors import MisuseError
from ..garbage import collect_young, collection_paused
from ..http import installed_http
from ..loading import load_target
from ..options import RunOptions
from ..patches import installed_patches
from ..record import RunRecord
from .hash_seeds import current_hash_seed
from .journal import JournalWriter
from .row import RunRow, RunStatus, row_of

Runner = Callable[..., RunRecord]

# By name: what is above this room cannot be imported from here.
DEFAULT_RUNNER = "stormproof.simulation:run_one"

RUNS_PER_COLLECTION = 50

# Simulations patch the time module; our own code keeps the real clock.
_clock_ns = time.perf_counter_ns


@dataclass(slots=True)
class Job:
    """What a process is asked to do.

    Attributes:
        target: The reference of the scenario.
        runner: The reference of the function that makes one run: ``(target, *, seed, options) -> RunRecord``.
        seeds: The seeds, in order.
        options: The options, as plain data.
        journal: The path of the journal.
    """

    target: str
    runner: str
    seeds: list[int]
    options: dict[str, Any]
    journal: str


def load_runner(reference: str) -> Runner:
    """The function that makes one run."""
    module, _, name = reference.partition(":")
    found: Runner = getattr(importlib.import_module(module), name)
    assert callable(found)
    return found


def run_job(job: Job) -> None:
    """Carry out a job; what came of it stands in its journal."""
    target = load_target(job.target).value
    run_seeds(target, job)


def run_seeds(target: object, job: Job) -> None:
    """Run the seeds of a job on an object that is at hand already."""
    runner = load_runner(job.runner)
    options = RunOptions.from_data(job.options)
    journal = JournalWriter(job.journal)
    try:
        # Held around all runs: each of them would install everything anew, and then have its record walked over.
        with collection_paused(), installed_patches(), installed_http():
            for number, seed in enumerate(job.seeds, 1):
                journal.started(seed)
                journal.finished(run_seed(runner, target, seed=seed, options=options, reference=job.target))
                if number % RUNS_PER_COLLECTION == 0:
                    collect_young()
    finally:
        journal.close()


def run_seed(runner: Runner, target: object, *, seed: int, options: RunOptions, reference: str) -> RunRow:
    """One run, whatever comes of it, as a row."""
    began = _clock_ns()
    try:
        record = runner(target, seed=seed, options=options)
        record.scenario = record.scenario or reference
        row = row_of(record, real_us=(_clock_ns() - began) // 1000)
    except KeyboardInterrupt:
        raise
    except MisuseError as error:
        row = RunRow(seed, RunStatus.MISUSE, error=str(error))
    except BaseException as error:
        row = RunRow(seed, RunStatus.ERROR, error=_told(error))
    row.python_hash_seed = row.python_hash_seed or current_hash_seed()
    return row


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-12)).rstrip()
