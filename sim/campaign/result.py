"""What a campaign found out, as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ..options import RunOptions
from ..record import reproduce_command, shell_can_express
from ..verdict import Truth, combine
from .row import RunRow, RunStatus


class ExitCode(IntEnum):
    """How a command ends."""

    HOLDS = 0
    VIOLATED = 1
    MISUSE = 2
    UNKNOWN = 3
    INTERNAL_ERROR = 4
    INTERRUPTED = 130


@dataclass(slots=True)
class VerdictCount:
    """In how many runs a property was judged how for one workflow.

    A run may have many executions of it: it is violated if one is, and unknown only if nothing was found out about any.
    """

    code: str
    workflow: str
    holds: int = 0
    violated: int = 0
    unknown: int = 0

    def add(self, result: Truth) -> None:
        """Count one run."""
        if result is Truth.TRUE:
            self.holds += 1
        elif result is Truth.FALSE:
            self.violated += 1
        else:
            self.unknown += 1

    @property
    def result(self) -> Truth:
        """False if it was violated once; unknown if it could never be judged; else true."""
        if self.violated:
            return Truth.FALSE
        return Truth.TRUE if self.holds else Truth.UNKNOWN


@dataclass(slots=True)
class CampaignResult:
    """The runs of a campaign and what they say together.

    Attributes:
        scenario: The reference of the scenario; empty for a local function.
        name: Its name, for people.
        options: The options of every run.
        base_seed: The first seed.
        seed_count: How many seeds were asked for.
        rows: The runs that ended, by seed.
        jobs: How many processes worked on it; 0 where it ran in this one.
        interrupted: Whether it was stopped before its end.
        resumed: Whether some of the runs were made by an earlier campaign.
        real_s: Seconds of real time that it took, this time.
        runs_now: How many runs were made this time.
    """

    scenario: str
    name: str
    options: RunOptions
    base_seed: int
    seed_count: int
    rows: list[RunRow] = field(default_factory=list)
    jobs: int = 0
    interrupted: bool = False
    resumed: bool = False
    real_s: float = 0.0
    runs_now: int = 0

    def with_status(self, *statuses: RunStatus) -> list[RunRow]:
        """The runs that ended so, by seed."""
        return [row for row in self.rows if row.status in statuses]

    @property
    def first_failure(self) -> RunRow | None:
        """The violated run with the lowest seed."""
        return next(iter(self.with_status(RunStatus.VIOLATED)), None)

    def fault_counts(self) -> dict[str, int]:
        """How often each kind of fault fired, in all runs."""
        counts: dict[str, int] = {}
        for row in self.rows:
            for kind, count in row.faults_fired.items():
                counts[kind] = counts.get(kind, 0) + count
        return dict(sorted(counts.items()))

    def verdict_counts(self) -> list[VerdictCount]:
        """A count for each property and workflow, in the order of their names."""
        counts: dict[tuple[str, str], VerdictCount] = {}
        for row in self.rows:
            judged: dict[tuple[str, str], list[Truth]] = {}
            for code, workflow, result, _ in row.verdicts:
                judged.setdefault((code, workflow), []).append(result)
            for key, results in judged.items():
                count = counts.get(key)
                if count is None:
                    count = counts[key] = VerdictCount(*key)
                count.add(combine(results))
        return sorted(counts.values(), key=lambda count: (_natural(count.code), count.workflow))

    @property
    def unknown_reasons(self) -> list[str]:
        """Why the campaign says nothing although nothing was violated, in plain words; empty where it does."""
        reasons: list[str] = []
        if not self.rows:
            return ["no run has ended"]
        lost = self.with_status(RunStatus.DIED, RunStatus.HUNG)
        if lost:
            seeds = ", ".join(str(row.seed) for row in lost[:5]) + (" ..." if len(lost) > 5 else "")
            reasons.append(f"{len(lost)} of {len(self.rows)} runs lost their process (seeds {seeds})")
        if self.options.faults and not any(row.faults_fired for row in self.rows):
            reasons.append(
                "no fault ever fired (give more seeds or a stronger fault mix, or --no-faults if that is meant)"
            )
        if all(row.status is not RunStatus.HOLDS for row in self.rows) and not lost:
            bounds = sorted({row.stopped_by for row in self.rows if row.stopped_by})
            why = f"hit a bound ({', '.join(bounds)})" if bounds else "could not be judged"
            reasons.append(f"every run {why}")
        elif not any(row.verdicts for row in self.rows) and self.options.checks:
            reasons.append("no property was checked")
        if self.interrupted:
            reasons.append(f"it was stopped after {len(self.rows)} of {self.seed_count} runs")
        never = [count for count in self.verdict_counts() if count.result is Truth.UNKNOWN]
        reasons.extend(
            f"{count.code} could not be judged for {count.workflow or 'the scenario'} in any run" for count in never
        )
        return reasons

    @property
    def result(self) -> Truth:
        """False if any run is violated; unknown as ``unknown_reasons`` says; else true."""
        if self.first_failure is not None:
            return Truth.FALSE
        return Truth.UNKNOWN if self.unknown_reasons or self.errors else Truth.TRUE

    @property
    def errors(self) -> list[RunRow]:
        """The runs that met an error of stormproof's own."""
        return self.with_status(RunStatus.ERROR)

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return self.result is Truth.TRUE

    def exit_code(self, *, allow_unknown: bool = False) -> ExitCode:
        """How a command that ran this campaign ends.

        An error of our own outweighs a violation: what a broken simulator says is worth nothing.
        """
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.errors:
            return ExitCode.INTERNAL_ERROR
        result = self.result
        if result is Truth.FALSE:
            return ExitCode.VIOLATED
        if result is Truth.UNKNOWN:
            return ExitCode.HOLDS if allow_unknown else ExitCode.UNKNOWN
        return ExitCode.HOLDS

    def command(self, seed: int, *, show: bool = True) -> str:
        """The command that makes the run of one seed again."""
        if self.scenario and shell_can_express(self.options):
            return reproduce_command(self.scenario, seed, self.options, show=show)
        return f"stormproof.simulate({self.name}, seed={seed}), with the same options"

    def check(self, *, allow_unknown: bool = False) -> None:
        """Raise ``AssertionError`` unless it holds.

        Raises:
            AssertionError: A run is violated, or met an error, or (unless allowed) nothing was found out.
        """
        if self.exit_code(allow_unknown=allow_unknown) is ExitCode.HOLDS:
            return
        raise AssertionError(self.explain())

    def explain(self) -> str:
        """The outcome in plain words."""
        lines: list[str] = []
        failure = self.first_failure
        if self.errors:
            row = self.errors[0]
            lines.append(f"{len(self.errors)} runs met an error of stormproof's own; the first, seed {row.seed}:")
            lines.append(row.error)
        if failure is not None:
            count = len(self.with_status(RunStatus.VIOLATED))
            lines.append(f"{count} of {len(self.rows)} runs violate a property; the first is seed {failure.seed}:")
            lines += [
                f"{code}{f' ({workflow})' if workflow else ''}: {message}"
                for code, workflow, result, message in failure.verdicts
                if result is Truth.FALSE
            ]
            lines.append(f"see it again: {self.command(failure.seed)}")
        elif self.unknown_reasons:
            lines.append("unknown: " + "; ".join(self.unknown_reasons))
        if not lines:
            lines.append(f"{len(self.rows)} runs: every property holds")
        return "\n".join(lines)


def _natural(code: str) -> tuple[str, int, str]:
    """P2 comes before P10."""
    head = code.rstrip("0123456789")
    tail = code[len(head) :]
    return (head, int(tail) if tail else -1, code)
