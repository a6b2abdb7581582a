"""One run told as a timeline: what happened when, on which node, what struck it, and what came of it.

Times are virtual and count from the first event. A long silence is told as such, since that is where timers, timeouts
and people wait; what repeats itself without a break is told once, with a count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..sim.record import FaultFired, RunRecord, TraceEvent
from .console import Line, line, styled
from .text import duration, one_line

SILENCE_US = 60_000_000
NODE_WIDTH_MAX = 24
TEXT_WIDTH_MAX = 400
DAY_US = 86_400_000_000

# For each kind of event a mark, and its style: what struck stands out, what was done can be found.
_MARKS: dict[str, tuple[str, str]] = {
    "fault": ("!!", "false"),
    "crash": ("xx", "false"),
    "workflow task failed": ("!", "unknown"),
    "activity cancelled": ("!", "unknown"),
    "kill": ("xx", "false"),
    "weather": ("~~", "unknown"),
    "activity failed": ("!", "unknown"),
    "effect": ("*", "true"),
    "heal": ("==", "true"),
    "start": ("->", "node"),
    "shutdown": ("<-", "unknown"),
    "stop": ("<-", "unknown"),
}
_NO_MARK = ("", "time")
_LEGEND = (
    ("!!", "fault", "false"),
    ("xx", "crash", "false"),
    ("~~", "weather", "unknown"),
    ("!", "failure", "unknown"),
    ("*", "effect", "true"),
)
# Events of a history: how a run ends and what goes wrong stands out, the bookkeeping of workflow tasks steps back.
_EVENT_STYLES: tuple[tuple[str, str], ...] = (
    ("WorkflowTaskFailed", "unknown"),
    ("WorkflowTaskTimedOut", "unknown"),
    ("WorkflowTask", "time"),
    ("WorkflowExecutionCompleted", "true"),
    ("WorkflowExecutionFailed", "false"),
    ("WorkflowExecutionTimedOut", "false"),
    ("WorkflowExecutionTerminated", "false"),
    ("ActivityTaskFailed", "unknown"),
    ("ActivityTaskTimedOut", "unknown"),
)


@dataclass(slots=True)
class _Entry:
    """One line of the timeline before it is drawn."""

    time_us: int
    node: str
    kind: str
    text: str
    style: str = ""
    count: int = 1
    last_us: int = 0


def timeline(record: RunRecord) -> list[Line]:
    """The lines of a record's timeline; a record that was not traced has only its faults to tell."""
    entries = list(_merged(_entries(record)))
    if not entries:
        return ["nothing was traced in this run"]
    start_us = entries[0].time_us
    node_width = min(max(len(entry.node) for entry in entries), NODE_WIDTH_MAX)
    clock_width = len(_clock(max(entry.time_us for entry in entries) - start_us))
    lines: list[Line] = [_legend()]
    before_us = start_us
    for entry in entries:
        silence_us = entry.time_us - before_us
        if silence_us >= SILENCE_US:
            lines.append(styled(f"{'':{clock_width}}  ... {duration(silence_us)} ...", "time"))
        lines.append(_drawn(entry, start_us=start_us, clock_width=clock_width, node_width=node_width))
        before_us = max(entry.time_us, entry.last_us)
    return lines


def _legend() -> Line:
    parts: list[Line] = []
    for mark, meaning, style in _LEGEND:
        parts += [styled(mark, style), f" {meaning}   "]
    return line("virtual time since the start; ", *parts[:-1], parts[-1].rstrip() if isinstance(parts[-1], str) else "")


def _entries(record: RunRecord) -> Iterator[_Entry]:
    if not record.trace:
        for fault in record.faults_fired:
            yield _of_fault(fault)
        return
    many = len({history.workflow_id for history in record.histories}) > 1
    for event in record.trace:
        yield _of_event(event, name_workflow=many)


def _of_event(event: TraceEvent, *, name_workflow: bool) -> _Entry:
    text = event["text"]
    workflow_id = event["data"].get("workflow_id")
    if name_workflow and workflow_id:
        text = f"[{workflow_id}] {text}"
    text += _details(event["data"])
    node = one_line(event["node"], width_max=NODE_WIDTH_MAX)
    style = _event_style(str(event["data"].get("event", ""))) if event["kind"] == "history" else ""
    return _Entry(event["time_us"], node, event["kind"], _cut(text), style)


def _event_style(name: str) -> str:
    return next((style for start, style in _EVENT_STYLES if name.startswith(start)), "")


def _of_fault(fault: FaultFired) -> _Entry:
    text = " ".join(part for part in (fault.get("kind", ""), fault.get("point", ""), fault.get("detail", "")) if part)
    node = one_line(fault.get("target", ""), width_max=NODE_WIDTH_MAX)
    return _Entry(fault.get("time_us", 0), node, "fault", _cut(text))


# What is in the text already, or says nothing to a reader.
_SILENT = frozenset({"workflow_id", "event_id", "event", "call", "index", "incarnation"})


def _details(data: dict[str, Any]) -> str:
    parts = [f"{key}={value}" for key, value in data.items() if key not in _SILENT and value not in ("", None)]
    return f" ({', '.join(parts)})" if parts else ""


def _cut(text: str) -> str:
    return one_line(text, width_max=TEXT_WIDTH_MAX)


def _merged(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """Entries with immediate repetitions told once."""
    held: _Entry | None = None
    for entry in entries:
        if held is not None and (entry.node, entry.kind, entry.text) == (held.node, held.kind, held.text):
            held.count += 1
            held.last_us = entry.time_us
            continue
        if held is not None:
            yield held
        held = entry
    if held is not None:
        yield held


def _drawn(entry: _Entry, *, start_us: int, clock_width: int, node_width: int) -> Line:
    mark, style = _MARKS.get(entry.kind, _NO_MARK)
    times = ""
    if entry.count > 1:
        times = f"  ({entry.count} times in {duration(entry.last_us - entry.time_us)})"
    text: Line = styled(entry.text, style) if mark else styled(entry.text, entry.style) if entry.style else entry.text
    return line(
        styled(_clock(entry.time_us - start_us).rjust(clock_width), "time"),
        "  ",
        styled(entry.node.ljust(node_width), "node"),
        "  ",
        styled(mark.ljust(2), style),
        " ",
        text,
        styled(times, "time"),
    )


def _clock(us: int) -> str:
    """``[3 d ]04:05:06.007``; virtual time never runs backwards, but a fault may be told late."""
    sign, us = ("-", -us) if us < 0 else ("", us)
    days, rest = divmod(us, DAY_US)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds, rest = divmod(rest, 1_000_000)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}.{rest // 1000:03d}"
    return f"{sign}{days} d {text}" if days else sign + text
