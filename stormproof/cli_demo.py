"""``stormproof demo``: the A-B-C story, told by two versions of the same workflow."""

from __future__ import annotations

import sys

import click

from .cli_run import processors
from .reports.console import Line, line, print_lines, styled
from .reports.progress import TerminalProgress
from .reports.summary import campaign_summary
from .reports.text import one_line, plain_text
from .sim.campaign import CampaignInterrupted, CampaignResult, ExitCode, run_campaign
from .sim.campaign.job import DEFAULT_RUNNER
from .sim.verdict import Truth

__all__ = ["demo"]

EXAMPLE = "stormproof.examples.abc.scenario"
SEEDS = 200

_STORY = (
    "Business logic calls System A, then B, then C. B is rate-limited: it refuses, and must be asked again later.",
    "C goes down without saying so: only a timeout tells. The process that does the asking may crash at any point.",
)


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="How many seeds each.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="How many processes. Default: one for each processor.")
@click.option("--runner", hidden=True, default="")
@click.option("--example", hidden=True, default=EXAMPLE)
def demo(seeds: int, jobs: int | None, runner: str, example: str) -> int:
    """Show a workflow that fails in bad weather, and one that holds."""
    print_lines([*_STORY, ""])
    runner = runner or DEFAULT_RUNNER
    results: dict[str, CampaignResult] = {}
    for name in ("naive", "correct"):
        result = _campaign(f"{example}:{name}", seeds=seeds, jobs=jobs or processors(), runner=runner)
        print_lines([*campaign_summary(result), ""])
        if result.interrupted:
            return ExitCode.INTERRUPTED
        results[name] = result
    lines, code = _ending(results["naive"], results["correct"])
    print_lines(lines)
    return code


def _campaign(reference: str, *, seeds: int, jobs: int, runner: str) -> CampaignResult:
    with TerminalProgress(sys.stderr) as progress:
        try:
            return run_campaign(reference, seeds=seeds, jobs=jobs, isolate=True, runner=runner, on_progress=progress)
        except CampaignInterrupted as interrupted:
            return interrupted.result


def _ending(naive: CampaignResult, correct: CampaignResult) -> tuple[list[Line], ExitCode]:
    """What it showed, what to do next, and whether it showed what it should."""
    failure = naive.first_failure
    if naive.errors or correct.errors:
        return [line(styled("stormproof itself met an error: please report what stands above", "error"))], (
            ExitCode.INTERNAL_ERROR
        )
    if correct.result is Truth.FALSE:
        return ["The correct version failed, which it should not: please report the seed above."], ExitCode.VIOLATED
    if failure is None or correct.result is Truth.UNKNOWN:
        return ["These seeds show too little: give more with --seeds."], ExitCode.UNKNOWN
    reason = next(message for _, _, result, message in failure.verdicts if result is Truth.FALSE)
    return [
        line(styled("What it showed", "heading")),
        f"  naive    fails under {_share(naive)} seeds; with seed {failure.seed}: {one_line(reason)}",
        f"  correct  holds under all {len(correct.rows)}, with {sum(correct.fault_counts().values())} faults fired",
        line(styled("What to do next", "heading")),
        line("  see that run as a timeline       ", styled(plain_text(naive.command(failure.seed)), "command")),
        line(
            "  run the correct one longer       ", styled(f"stormproof run {correct.scenario} --seeds 5000", "command")
        ),
        line("  try it on your own workflow      ", styled("stormproof run my_module.py:main", "command")),
    ], ExitCode.HOLDS


def _share(result: CampaignResult) -> str:
    failed = sum(1 for row in result.rows if row.status == "violated")
    return f"{failed} of {len(result.rows)}"
