"""Campaigns: the same scenario under many seeds, on processes, with results that survive whatever happens."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.core.errors import MisuseError
from ..loading import (
    check_arguments,
    find_reference,
    is_file_reference,
    is_scenario,
    load_module,
    load_target,
    split_reference,
)
from ..options import RunOptions
from ..version import VERSION
from .hash_seeds import current_hash_seed
from .job import DEFAULT_RUNNER
from .journal import SUFFIX
from .processes import in_simulation_process
from .result import CampaignResult
from .row import UNFINISHED, RunRow, RunStatus
from .scheduler import Scheduler, Work, run_inline
from .store import CampaignRow, ResultStore, open_store

SEEDS_DEFAULT = 100

_clock = time.monotonic


@dataclass(slots=True)
class Progress:
    """How far a campaign is.

    Attributes:
        name: The name of the scenario.
        done: Runs that have ended, those of an earlier campaign included.
        total: Runs that were asked for.
        failures: Runs that are violated, so far.
        troubles: Runs that met an error or lost their process, so far.
        rate: Runs a second, this time.
        left_s: Seconds until the end at that rate; ``None`` while nothing is known.
    """

    name: str
    done: int
    total: int
    failures: int
    troubles: int
    rate: float
    left_s: float | None


class CampaignInterrupted(KeyboardInterrupt):
    """Ctrl-C during a campaign. ``result`` holds what was finished; a result store has it too."""

    def __init__(self, result: CampaignResult) -> None:
        super().__init__(result)

    @property
    def result(self) -> CampaignResult:
        """What was finished."""
        found = self.args[0]
        assert isinstance(found, CampaignResult)
        return found


def run_campaign(
    target: object,
    *,
    seeds: int | None = None,
    base_seed: int | None = None,
    jobs: int = 1,
    options: RunOptions | None = None,
    results: str | Path | None = None,
    resume: bool = False,
    isolate: bool | None = None,
    kill_after_s: float | None = None,
    runner: str = DEFAULT_RUNNER,
    on_progress: Callable[[Progress], None] | None = None,
) -> CampaignResult:
    """Run a scenario under many seeds.

    Args:
        target: A ``Scenario``, an async function without arguments, or the reference of one
            (``path/to/file.py:name``, ``package.module:name``).
        seeds: How many seeds. Default 100, or what the campaign that is resumed had.
        base_seed: The first seed. Default 0.
        jobs: How many processes. With 1 everything runs in this process; so does what no other process can import (a
            function local to a test). Default 1.
        options: How each run is carried out. Default ``RunOptions()``, or those of the campaign that is resumed.
        results: The file of a result store. Default none.
        resume: Complete the campaign of this scenario that the store holds. Default no.
        isolate: Whether to use processes even with one job: a run that dies or hangs then costs nothing but itself.
            Default: with more than one job.
        kill_after_s: Seconds of real time after which the process of a run is killed. Default a little more than
            ``options.real_time_limit_s``, by which a run should have ended by itself.
        runner: The reference of the function that makes one run; for tests and extensions.
        on_progress: Called whenever runs have ended.

    Returns:
        The runs, and what they say together.

    Raises:
        MisuseError: The scenario cannot be loaded or cannot work, a number is out of range, or the store belongs to
            another campaign.
        CampaignInterrupted: Ctrl-C; what was finished is kept.
    """
    if in_simulation_process():
        raise MisuseError(
            "a campaign was begun by a module that a simulation process imports: guard that call by "
            "`if __name__ == '__main__':`"
        )
    _check_numbers(seeds=seeds, base_seed=base_seed, jobs=jobs)
    reference, name, value = _resolve(target)
    if isolate and not reference:
        raise MisuseError(f"{name} cannot run in a process of its own: move it to the top level of a module")
    isolated = bool(reference) and (jobs > 1 if isolate is None else isolate)
    campaign = _Campaign(reference, name, value, options, runner, jobs if isolated else 0, on_progress)
    campaign.kill_after_s = kill_after_s
    if results is None:
        if resume:
            raise MisuseError("resume needs results=FILE, the result store to complete")
        return campaign.run_without_store(seeds, base_seed)
    store = open_store(results, must_exist=resume)
    try:
        return campaign.run_with_store(store, seeds, base_seed, resume=resume)
    finally:
        store.close()


def stored_campaigns(path: str | Path) -> list[str]:
    """The scenarios of the campaigns that a result store holds; raises ``MisuseError`` as ``run_campaign`` does."""
    store = open_store(path, must_exist=True)
    try:
        scenarios = [row.scenario for _, row in store.campaigns()]
    finally:
        store.close()
    if not scenarios:
        raise MisuseError(f"{path} holds no campaign: name what to run")
    return scenarios


class _Campaign:
    """One campaign under way."""

    def __init__(  # noqa: PLR0917
        self,
        reference: str,
        name: str,
        value: object,
        options: RunOptions | None,
        runner: str,
        jobs: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.kill_after_s: float | None = None
        self._reference = reference
        self._name = name
        self._value = value
        self._options = options or RunOptions()
        self._options_given = options is not None
        self._runner = runner
        self._jobs = jobs
        self._on_progress = on_progress
        self._rows: dict[int, RunRow] = {}
        self._failures = self._troubles = self._now = 0
        self._total = 0
        self._began = _clock()

    def run_without_store(self, seeds: int | None, base_seed: int | None) -> CampaignResult:
        """Keep the results in memory alone."""
        count, base = _or(seeds, SEEDS_DEFAULT), _or(base_seed, 0)
        with tempfile.TemporaryDirectory(prefix="stormproof-", ignore_cleanup_errors=True) as folder:
            return self._run(
                count, base, Path(folder), lambda name: str(Path(folder) / f"{name}{SUFFIX}"), lambda _: None
            )

    def run_with_store(
        self, store: ResultStore, seeds: int | None, base_seed: int | None, *, resume: bool
    ) -> CampaignResult:
        """Keep the results in a store."""
        if not self._reference:
            raise MisuseError(f"{self._name} cannot be named in a result store: move it to the top level of a module")
        wanted = self._campaign_row(_or(seeds, SEEDS_DEFAULT), _or(base_seed, 0))
        found = store.find(self._reference)
        if found is None:
            self._check_not_foreign(store, resume=resume)
            campaign_id = store.add(wanted)
        else:
            campaign_id, kept = found
            if not resume:
                raise MisuseError(
                    f"{store.path} holds results of {self._reference} already: complete them with "
                    f"--resume {store.path}, or name another file"
                )
            if not self._options_given:
                self._options = RunOptions.from_data(kept.options)
                wanted.options = kept.options
            if seeds is None:
                wanted.seed_count = kept.seed_count
            if base_seed is None:
                wanted.base_seed = kept.base_seed
            _check_same(kept, wanted, store.path)
            store.take_in(campaign_id)
            store.resume(campaign_id, seed_count=max(wanted.seed_count, kept.seed_count))
            wanted.seed_count = max(wanted.seed_count, kept.seed_count)
            self._rows = {row.seed: row for row in store.rows(campaign_id) if row.status not in UNFINISHED}
        result = self._run(
            wanted.seed_count,
            wanted.base_seed,
            store.folder,
            lambda name: store.journal_path(campaign_id, name),
            lambda rows: store.put(campaign_id, rows),
        )
        store.finish(campaign_id)
        result.resumed = store.was_resumed(campaign_id)
        return result

    def _check_not_foreign(self, store: ResultStore, *, resume: bool) -> None:
        others = [row.scenario for _, row in store.campaigns()]
        if resume and others:
            raise MisuseError(f"{store.path} holds no results of {self._reference}, only of {', '.join(others)}")

    def _campaign_row(self, count: int, base: int) -> CampaignRow:
        return CampaignRow(
            scenario=self._reference,
            options=self._options.to_data(),
            runner=self._runner,
            base_seed=base,
            seed_count=count,
            stormproof_version=VERSION,
            python_version=".".join(platform.python_version_tuple()[:2]),
            code_digest=_code_digest(self._reference),
        )

    def _run(
        self,
        count: int,
        base: int,
        folder: Path,
        journal_path: Callable[[str], str],
        keep: Callable[[list[RunRow]], None],
    ) -> CampaignResult:
        self._total = count
        for row in self._rows.values():
            self._count(row)
        already = len(self._rows)
        self._began = _clock()

        def on_rows(rows: list[RunRow]) -> None:
            keep(rows)
            self._take(rows, already)

        work = Work(
            target=self._reference,
            value=self._value,
            runner=self._runner,
            options=self._options.to_data(),
            seeds=[seed for seed in range(base, base + count) if seed not in self._rows],
            kill_after_s=self._kill_after_s(),
            folder=folder,
            journal_path=journal_path,
            on_rows=on_rows,
        )
        try:
            if work.seeds and self._jobs:
                Scheduler(work, jobs=self._jobs).run()
            elif work.seeds:
                run_inline(work)
        except KeyboardInterrupt:
            result = self._result(count, base, already)
            result.interrupted = True
            raise CampaignInterrupted(result) from None
        return self._result(count, base, already)

    def _kill_after_s(self) -> float:
        """By default a little after the run should have ended by itself."""
        return self.kill_after_s if self.kill_after_s is not None else self._options.real_time_limit_s * 1.25 + 1.0

    def _take(self, rows: list[RunRow], already: int) -> None:
        for row in rows:
            if row.seed not in self._rows:
                self._count(row)
            self._rows[row.seed] = row
        if self._on_progress is None or not rows:
            return
        seconds = _clock() - self._began
        now = len(self._rows) - already
        rate = now / seconds if seconds > 0 else 0.0
        left = (self._total - len(self._rows)) / rate if rate else None
        self._on_progress(
            Progress(self._name, len(self._rows), self._total, self._failures, self._troubles, rate, left),
        )

    def _count(self, row: RunRow) -> None:
        self._failures += row.status is RunStatus.VIOLATED
        self._troubles += row.status in UNFINISHED

    def _result(self, count: int, base: int, already: int) -> CampaignResult:
        return CampaignResult(
            scenario=self._reference,
            name=self._name,
            options=self._options,
            base_seed=base,
            seed_count=count,
            rows=[self._rows[seed] for seed in sorted(self._rows)],
            jobs=self._jobs,
            resumed=already > 0,
            real_s=_clock() - self._began,
            runs_now=len(self._rows) - already,
        )


def environment() -> dict[str, str]:
    """What a record says about the process that made it."""
    return {
        "stormproof_version": VERSION,
        "python_version": platform.python_version(),
        "python_hash_seed": current_hash_seed(),
    }


def _resolve(target: object) -> tuple[str, str, Any]:
    """``(reference, name, object)`` of what the caller gave."""
    if isinstance(target, str):
        found = load_target(target)
        return found.reference, found.name, found.value
    name = str(getattr(target, "__name__", "") or getattr(target, "name", "") or type(target).__name__)
    if not is_scenario(target):
        if not callable(target):
            raise MisuseError(f"{target!r} cannot be run: give a Scenario, an async function, or the reference of one")
        check_arguments(target, name)
    return find_reference(target), name, target


def _check_numbers(*, seeds: int | None, base_seed: int | None, jobs: int) -> None:
    if seeds is not None and seeds < 1:
        raise MisuseError(f"the number of seeds is {seeds}: expected 1 or more")
    if base_seed is not None and base_seed < 0:
        raise MisuseError(f"the seed is {base_seed}: expected 0 or more")
    if jobs < 1:
        raise MisuseError(f"the number of jobs is {jobs}: expected 1 or more")


def _check_same(kept: CampaignRow, wanted: CampaignRow, path: Path) -> None:
    """Raise where completing a campaign would mix runs that are not alike."""
    names = {
        "options": "options",
        "runner": "runner",
        "base_seed": "first seed",
        "stormproof_version": "version of stormproof",
        "python_version": "version of Python",
        "code_digest": "code of the scenario",
    }
    for field, told in names.items():
        was, now = getattr(kept, field), getattr(wanted, field)
        if was == now:
            continue
        if field == "options":
            changed = [key for key in now if now[key] != was.get(key)]
            detail = "options " + ", ".join(f"{key} ({was.get(key)!r}, now {now[key]!r})" for key in changed)
        elif field == "code_digest":
            detail = f"{told} (its file was changed)"
        else:
            detail = f"{told} ({was}, now {now})"
        raise MisuseError(
            f"{path} cannot be completed, since the campaign has another {detail}: its runs would not be alike. "
            "Begin a new one with --results and another file"
        )


def _code_digest(reference: str) -> str:
    where, _ = split_reference(reference)
    path = Path(where) if is_file_reference(where) else Path(str(load_module(where).__file__))
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
