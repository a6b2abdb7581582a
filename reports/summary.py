"""The answer on one screen: what holds, what failed first and why, which faults fired, how to see it again."""

from __future__ import annotations

from ..sim.campaign import CampaignResult, RunRow, RunStatus, VerdictCount
from ..sim.record import RunRecord
from ..sim.verdict import Truth, Verdict
from .console import Line, line, styled
from .text import counted, duration, one_line, plain_text
from .titles import title_of

WORDS: dict[Truth, str] = {Truth.TRUE: "HOLDS", Truth.FALSE: "VIOLATED", Truth.UNKNOWN: "UNKNOWN"}

MESSAGE_WIDTH_MAX = 500
ERROR_LINES_MAX = 12
VERDICT_LINES_MAX = 12


def verdict_word(result: Truth) -> Line:
    """The result as a word in its colour."""
    return styled(WORDS[result], result.value)


def run_summary(record: RunRecord, name: str) -> list[Line]:
    """One run. The same seed gives the same text wherever it runs: no path, no time, no version is in it."""
    lines: list[Line] = [line(f"{plain_text(name)}, seed {record.seed}: ", verdict_word(record.result))]
    lines += _verdict_lines(record.verdicts)
    if record.error:
        lines.append(line("  ", styled("raised", "false"), f"   {one_line(record.error, width_max=MESSAGE_WIDTH_MAX)}"))
    if record.stopped_by:
        why = f" ({one_line(record.stopped_detail, width_max=MESSAGE_WIDTH_MAX)})" if record.stopped_detail else ""
        lines.append(line("  ", styled("stopped", "unknown"), f"  by its bound of {record.stopped_by}{why}"))
    lines += [f"  note     {one_line(note)}" for note in record.notes]
    lines.append(f"outcomes: {_outcomes(record)}")
    lines.append(f"faults fired: {counted(record.fault_counts())}")
    virtual_us = record.statistics.get("virtual_us")
    if virtual_us is not None:
        lines.append(f"virtual time: {duration(virtual_us)}")
    lines.append(f"digest: {record.digest or 'none, since real time ended the run'}")
    return lines


def _verdict_lines(verdicts: list[Verdict]) -> list[Line]:
    """What is wrong, one by one; what could not be judged; what holds, counted."""
    lines: list[Line] = []
    for result in (Truth.FALSE, Truth.UNKNOWN):
        found = [verdict for verdict in verdicts if verdict.result is result]
        lines += [_verdict_line(verdict) for verdict in found[:VERDICT_LINES_MAX]]
        if len(found) > VERDICT_LINES_MAX:
            lines.append(f"  and {len(found) - VERDICT_LINES_MAX} more")
    counts: dict[tuple[str, str], int] = {}
    for verdict in verdicts:
        if verdict.result is Truth.TRUE:
            key = (verdict.code, verdict.workflow)
            counts[key] = counts.get(key, 0) + 1
    for (code, workflow), count in counts.items():
        lines.append(_told(Truth.TRUE, code, workflow, f"({count})" if count > 1 else ""))
    return lines


def _verdict_line(verdict: Verdict) -> Line:
    message = one_line(verdict.message, width_max=MESSAGE_WIDTH_MAX)
    return _told(verdict.result, verdict.code, verdict.workflow, f": {message}" if message else "")


def _told(result: Truth, code: str, workflow: str, rest: str) -> Line:
    about = f", {one_line(workflow)}" if workflow else ""
    gap = " " if rest and not rest.startswith(":") else ""
    return line("  ", styled(WORDS[result].lower().ljust(8), result.value), f" {title_of(code)}{about}{gap}{rest}")


def _outcomes(record: RunRecord) -> str:
    counts: dict[str, int] = {}
    for outcome in record.outcomes:
        key = f"{outcome['workflow']} {outcome['status']}"
        counts[key] = counts.get(key, 0) + 1
    return counted(dict(sorted(counts.items())), none="no workflow ran")


def campaign_summary(result: CampaignResult) -> list[Line]:
    """A campaign."""
    lines: list[Line] = [_campaign_head(result), *_verdict_table(result.verdict_counts())]
    lines.append(f"faults fired: {counted(result.fault_counts())}")
    lines += _first_failure(result)
    lines += _troubles(result)
    lines += [line("  ", styled("unknown", "unknown"), f"  {reason}") for reason in _reasons(result)]
    return lines


def _campaign_head(result: CampaignResult) -> Line:
    last = result.base_seed + result.seed_count - 1
    word = styled("ERROR", "error") if result.errors else verdict_word(result.result)
    runs = f"{len(result.rows)} of {result.seed_count}" if result.interrupted else str(len(result.rows))
    resumed = f", {len(result.rows) - result.runs_now} of them from before" if result.resumed else ""
    rate = f", {result.runs_now / result.real_s:.0f} runs/s" if result.real_s > 0 and result.runs_now else ""
    where = f"{result.jobs} processes" if result.jobs > 1 else "1 process"
    return line(
        f"{plain_text(result.name)}: ",
        word,
        f" in {runs} runs (seeds {result.base_seed} to {last}{resumed}; {where}{rate})",
    )


def _verdict_table(counts: list[VerdictCount]) -> list[Line]:
    if not counts:
        return []
    worst = sorted(counts, key=lambda count: (count.result is Truth.TRUE, count.result is Truth.UNKNOWN))
    shown = worst[:VERDICT_LINES_MAX]
    named = [(title_of(count.code), one_line(count.workflow, width_max=32), count) for count in shown]
    title_width = max(len(title) for title, _, _ in named)
    name_width = max(len(name) for _, name, _ in named)
    lines: list[Line] = []
    for title, name, count in named:
        word = WORDS[count.result].lower().ljust(8)
        parts = [
            f"{number} {said}"
            for number, said in ((count.violated, "violated"), (count.holds, "hold"), (count.unknown, "unknown"))
            if number
        ]
        lines.append(
            line(
                "  ",
                styled(word, count.result.value),
                f"  {title.ljust(title_width)}  {name.ljust(name_width)}  {', '.join(parts)}",
            )
        )
    if len(counts) > len(shown):
        lines.append(f"  and {len(counts) - len(shown)} more")
    return lines


def _first_failure(result: CampaignResult) -> list[Line]:
    row = result.first_failure
    if row is None:
        return []
    count = len(result.with_status(RunStatus.VIOLATED))
    lines: list[Line] = [
        line(styled(f"first failure: seed {row.seed}", "heading"), f" ({count} of {len(result.rows)} runs failed)"),
        *(f"  {told}" for told in _messages(row)),
        line("see it: ", styled(plain_text(result.command(row.seed)), "command")),
    ]
    return lines


def _messages(row: RunRow) -> list[str]:
    messages: list[str] = []
    for code, workflow, result, message in row.verdicts:
        if result is Truth.FALSE:
            about = f", {one_line(workflow)}" if workflow else ""
            told = one_line(message, width_max=MESSAGE_WIDTH_MAX) or "no reason was given"
            messages.append(f"{title_of(code)}{about}: {told}")
    return messages


def _troubles(result: CampaignResult) -> list[Line]:
    lines: list[Line] = []
    for status, told in (
        (RunStatus.ERROR, "met an error of stormproof's own"),
        (RunStatus.DIED, "died with the process"),
        (RunStatus.HUNG, "hung until the process was killed"),
    ):
        rows = result.with_status(status)
        if not rows:
            continue
        seeds = ", ".join(str(row.seed) for row in rows[:10]) + (" ..." if len(rows) > 10 else "")
        runs = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
        lines.append(line(styled(f"{runs} {told}", "error"), f" (seeds {seeds}); seed {rows[0].seed}:"))
        told_lines = plain_text(rows[0].error).splitlines()
        lines += [f"  {text}" for text in _ends(told_lines)]
    return lines


def _ends(lines: list[str]) -> list[str]:
    """The head and the tail of a long text: what happened, and where."""
    if len(lines) <= ERROR_LINES_MAX:
        return lines
    head = ERROR_LINES_MAX // 3
    return [*lines[:head], "...", *lines[head - ERROR_LINES_MAX + 1 :]]


def _reasons(result: CampaignResult) -> list[str]:
    """Why it says nothing; an error or a failure has been told already."""
    return [] if result.errors or result.first_failure is not None else result.unknown_reasons
