"""``stormproof run``: one seed or many, of a scenario or of an async function."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click

from .cli_process import same_process_or_again
from .engine.core.errors import MisuseError
from .reports.console import Line, print_lines
from .reports.progress import TerminalProgress
from .reports.result_json import result_json
from .reports.summary import campaign_summary, run_summary
from .reports.timeline import timeline
from .sim.campaign import CampaignInterrupted, CampaignResult, ExitCode, run_campaign
from .sim.campaign.hash_seeds import hash_seed_of
from .sim.campaign.job import DEFAULT_RUNNER, load_runner
from .sim.campaign.row import row_of
from .sim.campaign.run import SEEDS_DEFAULT, stored_campaigns
from .sim.loading import Target, load_targets
from .sim.options import REAL_TIME_LIMIT_S_DEFAULT, RunOptions
from .sim.record import RunRecord
from .sim.rerun import compare_records, hash_seed_wanted, run_again
from .sim.verdict import Truth

__all__ = ["run"]


@dataclass(slots=True)
class Settings:
    """What the options of the command say."""

    target: str | None
    seeds: int | None
    seed: int | None
    jobs: int | None
    no_faults: bool
    evict: bool
    show: bool
    json: str | None
    results: str | None
    resume: str | None
    record: str | None
    save_record: str | None
    real_time_limit: float
    allow_unknown: bool
    quiet: bool
    runner: str

    @property
    def options(self) -> RunOptions:
        """The options of each run."""
        return RunOptions(
            faults=not self.no_faults, evict_every_task=self.evict, real_time_limit_s=self.real_time_limit
        )

    @property
    def single(self) -> bool:
        """Whether one seed is run, not a campaign."""
        return self.seed is not None and self.seeds is None


@click.command()
@click.argument("target", required=False)
@click.option("--seeds", type=click.IntRange(min=1), help=f"How many seeds to run. Default {SEEDS_DEFAULT}.")
@click.option("--seed", type=click.IntRange(min=0), help="Run this seed alone; with --seeds, the first of them.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many processes. Default: one for each processor.")
@click.option("--no-faults", is_flag=True, help="Fair weather: inject nothing.")
@click.option("--evict", is_flag=True, help="Evict each workflow from the cache after every workflow task.")
@click.option("--show", is_flag=True, help="Tell the run as a timeline (with --seed or --record).")
@click.option(
    "--json", type=click.Path(dir_okay=False), help="Write the result as JSON to a file; - is standard output."
)
@click.option("--results", type=click.Path(dir_okay=False), help="Keep every run in this SQLite file.")
@click.option("--resume", type=click.Path(dir_okay=False), help="Complete the campaign that this file holds.")
@click.option("--record", type=click.Path(dir_okay=False), help="Make the run of this record again, and compare.")
@click.option("--save-record", type=click.Path(dir_okay=False), help="Write the whole record of the run to a file.")
@click.option(
    "--real-time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=REAL_TIME_LIMIT_S_DEFAULT,
    show_default=True,
    help="Seconds of real time after which a run is stopped as unknown.",
)
@click.option("--allow-unknown", is_flag=True, help="End with 0 where the verdict is unknown.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing: the exit code says it.")
@click.option("--runner", hidden=True, default="")
def run(**options: object) -> int:
    """Run TARGET under faults: path/to/file.py[:name] or package.module[:name].

    TARGET names a Scenario, or an async function that uses Client and Worker as against a real server. Without a name
    every Scenario of the module is run, else its function `main`.
    """
    settings = Settings(**options)  # type: ignore[arg-type]
    settings.runner = settings.runner or DEFAULT_RUNNER
    _check_together(settings)
    if settings.record is not None:
        return _run_record(settings, settings.record)
    if settings.single:
        assert settings.seed is not None
        return _run_seed(settings, settings.seed)
    return _run_campaigns(settings)


def _check_together(settings: Settings) -> None:
    """Refuse options that contradict one another."""
    if settings.record is not None:
        given = [
            name
            for name, value in {
                "TARGET": settings.target,
                "--seeds": settings.seeds,
                "--seed": settings.seed,
                "--results": settings.results,
                "--resume": settings.resume,
            }.items()
            if value is not None
        ]
        if given:
            raise MisuseError(f"--record says what to run: leave out {', '.join(given)}")
        return
    if settings.target is None and settings.resume is None:
        raise MisuseError("name what to run: path/to/file.py[:name] or package.module[:name]")
    if settings.single:
        for name, value in (("--results", settings.results), ("--resume", settings.resume)):
            if value is not None:
                raise MisuseError(f"{name} is about a campaign: add --seeds, or leave it out")
        return
    if settings.show:
        raise MisuseError("--show tells one run: add --seed N")
    if settings.save_record is not None:
        raise MisuseError("--save-record writes one run: add --seed N")
    if settings.results is not None and settings.resume is not None and settings.results != settings.resume:
        raise MisuseError("--results and --resume name two files: --resume FILE alone completes FILE")


# --- one run ----------------------------------------------------------------------------------------------------------


def _run_seed(settings: Settings, seed: int) -> int:
    same_process_or_again(hash_seed_of(seed))
    assert settings.target is not None
    targets = load_targets(settings.target)
    if settings.save_record is not None and len(targets) > 1:
        raise MisuseError(f"--save-record writes one run: name one of {', '.join(item.reference for item in targets)}")
    results: list[CampaignResult] = []
    codes: list[ExitCode] = []
    for target in targets:
        record = _record(settings, target, seed)
        _save(settings, record)
        _print(settings, [*(timeline(record) if settings.show else []), *run_summary(record, target.name)])
        results.append(_as_result(record, target, settings.options))
        codes.append(_code_of(record, allow_unknown=settings.allow_unknown))
    code = worst(codes)
    _write_json(settings, results, code, campaign=False)
    return code


def _record(settings: Settings, target: Target, seed: int) -> RunRecord:
    options = replace(settings.options, trace=settings.show or settings.save_record is not None)
    record = load_runner(settings.runner)(target.value, seed=seed, options=options)
    record.scenario = record.scenario or target.reference
    return record


def _run_record(settings: Settings, path: str) -> int:
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise MisuseError(f"the record {path} cannot be read: {error.strerror}") from None
    recorded = RunRecord.from_json(text)
    same_process_or_again(hash_seed_wanted(recorded))
    again = run_again(recorded, trace=settings.show or settings.save_record is not None, runner=settings.runner)
    _save(settings, again)
    name = recorded.scenario.rpartition(":")[2]
    comparison = compare_records(recorded, again)
    lines: list[Line] = [*(timeline(again) if settings.show else []), *run_summary(again, name)]
    _print(settings, [*lines, *comparison.message.splitlines()])
    code = _code_of(again, allow_unknown=settings.allow_unknown)
    if comparison.same is False:
        code = ExitCode.VIOLATED
    target = Target(recorded.scenario, name, None)
    _write_json(settings, [_as_result(again, target, recorded.options)], code, campaign=False)
    return code


def _code_of(record: RunRecord, *, allow_unknown: bool) -> ExitCode:
    result = record.result
    if result is Truth.FALSE:
        return ExitCode.VIOLATED
    if result is Truth.UNKNOWN and not allow_unknown:
        return ExitCode.UNKNOWN
    return ExitCode.HOLDS


def _as_result(record: RunRecord, target: Target, options: RunOptions) -> CampaignResult:
    return CampaignResult(
        scenario=target.reference,
        name=target.name,
        options=options,
        base_seed=record.seed,
        seed_count=1,
        rows=[row_of(record, real_us=0)],
        runs_now=1,
    )


def _save(settings: Settings, record: RunRecord) -> None:
    if settings.save_record is None:
        return
    try:
        record.save(settings.save_record)
    except OSError as error:
        raise MisuseError(f"the record cannot be written to {settings.save_record}: {error.strerror}") from None


# --- many runs --------------------------------------------------------------------------------------------------------


def _run_campaigns(settings: Settings) -> int:
    references = _references(settings)
    results: list[CampaignResult] = []
    codes: list[ExitCode] = []
    for reference in references:
        result = _run_campaign(settings, reference)
        if results:
            _print(settings, [""])
        _print(settings, campaign_summary(result))
        results.append(result)
        codes.append(result.exit_code(allow_unknown=settings.allow_unknown))
        if result.interrupted:
            _print(settings, [f"interrupted; {_how_to_go_on(settings)}"])
            break
    code = worst(codes)
    _write_json(settings, results, code, campaign=True)
    return code


def _references(settings: Settings) -> list[str]:
    if settings.target is not None:
        return [target.reference for target in load_targets(settings.target)]
    assert settings.resume is not None
    return stored_campaigns(settings.resume)


def _run_campaign(settings: Settings, reference: str) -> CampaignResult:
    with TerminalProgress(sys.stderr, quiet=settings.quiet) as progress:
        try:
            return run_campaign(
                reference,
                seeds=settings.seeds,
                base_seed=settings.seed,
                jobs=settings.jobs or processors(),
                options=_chosen_options(settings),
                results=settings.resume or settings.results,
                resume=settings.resume is not None,
                isolate=True,
                runner=settings.runner,
                on_progress=progress,
            )
        except CampaignInterrupted as interrupted:
            return interrupted.result


def _chosen_options(settings: Settings) -> RunOptions | None:
    """The options that the user gave; ``None`` where a campaign is completed and nothing else was said."""
    if settings.resume is not None and settings.options == RunOptions():
        return None
    return settings.options


def _how_to_go_on(settings: Settings) -> str:
    file = settings.resume or settings.results
    if file is None:
        return "with --results FILE a campaign can be completed later"
    return f"complete it with: stormproof run --resume {file}"


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def worst(codes: list[ExitCode]) -> ExitCode:
    """The exit code of several together: what outweighs comes first."""
    order = (
        ExitCode.INTERRUPTED,
        ExitCode.INTERNAL_ERROR,
        ExitCode.MISUSE,
        ExitCode.VIOLATED,
        ExitCode.UNKNOWN,
        ExitCode.HOLDS,
    )
    return min(codes, key=order.index, default=ExitCode.HOLDS)


def _print(settings: Settings, lines: list[Line]) -> None:
    """Print for people: on standard error where standard output is for the JSON."""
    if not settings.quiet:
        print_lines(lines, sys.stderr if settings.json == "-" else sys.stdout)


def _write_json(settings: Settings, results: list[CampaignResult], code: ExitCode, *, campaign: bool) -> None:
    if settings.json is None:
        return
    text = result_json(results, exit_code=code, campaign=campaign)
    if settings.json == "-":
        sys.stdout.write(text)
        return
    try:
        Path(settings.json).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MisuseError(f"the result cannot be written to {settings.json}: {error.strerror}") from None
