"""What people read on a terminal: text made harmless, durations, timelines, progress."""

from __future__ import annotations

import io
from typing import Any

import pytest
from stormproof.reports import progress as progress_module
from stormproof.reports.console import as_plain, print_lines, styled
from stormproof.reports.progress import TerminalProgress
from stormproof.reports.summary import campaign_summary, run_summary
from stormproof.reports.text import duration, one_line, plain_text
from stormproof.reports.timeline import timeline
from stormproof.sim.campaign import CampaignResult, Progress, RunRow, RunStatus
from stormproof.sim.options import RunOptions
from stormproof.sim.record import RunRecord
from stormproof.sim.verdict import Truth, Verdict

EVIL = "a\x1b[2Jb\rc\x07\u202ed\x9b31m\ud800"


def test_what_a_terminal_would_act_upon_is_escaped() -> None:
    assert plain_text(EVIL) == "a\\x1b[2Jb\\x0dc\\x07\\u202ed\\x9b31m\\ud800"
    assert plain_text("ä 漢 🙂\ttab\nline") == "ä 漢 🙂\ttab\nline"
    assert one_line("a\n  b\t c") == "a b c"
    assert one_line("abcdefgh", width_max=6) == "abc..."


@pytest.mark.parametrize(
    ("us", "told"),
    [
        (0, "0 us"),
        (999, "999 us"),
        (1_000, "1 ms"),
        (12_345, "12.345 ms"),
        (1_500_000, "1.5 s"),
        (59_999_999, "59.999 s"),
        (60_000_000, "1 min"),
        (185_000_000, "3 min 5 s"),
        (3_600_000_000, "1 h"),
        (100_800_000_000, "1 d 4 h"),
        (86_400_000_000 + 5_000_000, "1 d"),
        (-1_500, "-1.5 ms"),
    ],
)
def test_durations_are_told_in_units_that_say_something(us: int, told: str) -> None:
    assert duration(us) == told


def event(time_us: int, node: str, kind: str, text: str, **data: Any) -> Any:
    return {"id": 1, "cause": 0, "time_us": time_us, "node": node, "kind": kind, "text": text, "data": data}


START_US = 1_767_603_600_000_000


def test_a_timeline_tells_times_nodes_and_what_struck() -> None:
    record = RunRecord(
        seed=1,
        trace=[
            event(START_US, "engine", "start", "engine starts"),
            event(START_US + 2_500, "engine", "history", "1 WorkflowExecutionStarted", workflow_id="o", event_id=1),
            event(START_US + 9_000_000, "worker-1", "crash", "worker-1 crashes", point="activity.started"),
            event(START_US + 200_000_000_000, "engine", "history", "2 WorkflowExecutionCompleted"),
        ],
    )
    assert as_plain(timeline(record)).splitlines() == [
        "virtual time since the start; !! fault   xx crash   ~~ weather   ! failure   * effect",
        "    00:00:00.000  engine    -> engine starts",
        "    00:00:00.002  engine       1 WorkflowExecutionStarted",
        "    00:00:09.000  worker-1  xx worker-1 crashes (point=activity.started)",
        "                  ... 2 d 7 h ...",
        "2 d 07:33:20.000  engine       2 WorkflowExecutionCompleted",
    ]


def test_repetitions_are_told_once() -> None:
    trace = [event(START_US + n * 1000, "C", "service", "503") for n in range(4)]
    lines = as_plain(timeline(RunRecord(seed=1, trace=trace))).splitlines()
    assert lines[1:] == ["00:00:00.000  C     503  (4 times in 3 ms)"]


def test_a_run_that_was_not_traced_has_its_faults_to_tell() -> None:
    fired: Any = [{"kind": "outage", "target": "C", "time_us": START_US, "point": "", "detail": "for 3 s"}]
    assert as_plain(timeline(RunRecord(seed=1, faults_fired=fired))).splitlines()[1] == (
        "00:00:00.000  C  !! outage for 3 s"
    )
    assert as_plain(timeline(RunRecord(seed=1))) == "nothing was traced in this run"


def test_nothing_from_users_reaches_the_terminal_unescaped() -> None:
    record = RunRecord(
        seed=1,
        trace=[event(1, EVIL, EVIL, EVIL, key=EVIL, workflow_id=EVIL)],
        verdicts=[Verdict(EVIL, EVIL, Truth.FALSE, EVIL)],
        outcomes=[
            {"workflow": EVIL, "workflow_id": EVIL, "run_id": "", "status": EVIL, "result": None, "failure": None}
        ],
        error=EVIL,
        notes=[EVIL],
        stopped_by="events",
        stopped_detail=EVIL,
    )
    row = RunRow(1, RunStatus.VIOLATED, verdicts=[(EVIL, EVIL, Truth.FALSE, EVIL)], faults_fired={EVIL: 1}, error=EVIL)
    lost = RunRow(2, RunStatus.DIED, error=EVIL)
    result = CampaignResult("a.py:x", EVIL, RunOptions(), 0, 2, rows=[row, lost])
    stream = io.StringIO()
    print_lines([*timeline(record), *run_summary(record, EVIL), *campaign_summary(result)], stream)
    assert not set(stream.getvalue()) & set("\x1b\r\x07\u202e\x9b\ud800")


def test_a_summary_fits_a_screen_whatever_happened() -> None:
    verdicts = [(f"P{n}", f"Workflow{n}", Truth.FALSE, "why " * 500) for n in range(1, 40)]
    rows = [
        RunRow(seed, status, verdicts=verdicts, error="line\n" * 100)
        for seed, status in enumerate((RunStatus.VIOLATED, RunStatus.ERROR, RunStatus.DIED, RunStatus.HUNG))
    ]
    lines = campaign_summary(CampaignResult("a.py:x", "x", RunOptions(), 0, 4, rows=rows, real_s=1.0, runs_now=4))
    assert len(lines) < 100
    assert all(len(line.plain if hasattr(line, "plain") else line) < 1000 for line in lines)


def test_a_pipe_gets_whole_lines_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    print_lines([styled("x" * 300, "false"), "[bold]no markup[/bold] :smile:"], stream)
    assert stream.getvalue() == "x" * 300 + "\n[bold]no markup[/bold] :smile:\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    coloured, plain = Terminal(), Terminal()
    print_lines([styled("VIOLATED", "false")], coloured)
    assert "\x1b[" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    print_lines([styled("VIOLATED", "fault")], plain)
    assert "\x1b[31m" not in plain.getvalue()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress_module, "_clock", found)
    return found


def progress(done: int) -> Progress:
    return Progress("naive", done, 500, failures=2, troubles=1, rate=123.4, left_s=65.0)


def test_progress_is_silent_for_a_second_then_speaks_now_and_then(clock: Clock) -> None:
    stream = io.StringIO()
    with TerminalProgress(stream) as show:
        for second in range(25):
            clock.now_s = 100.5 + second
            show(progress(second))
    assert stream.getvalue().splitlines() == [
        f"naive: {done}/500 runs, 123/s, 1 min 5 s left, 2 failed, 1 lost" for done in (1, 11, 21)
    ]


def test_progress_is_redrawn_on_a_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with TerminalProgress(stream) as show:
        clock.now_s += 2
        show(progress(250))
        clock.now_s += 1
        show(progress(300))
    assert "250/500" in stream.getvalue()
    assert "300/500" in stream.getvalue()
    assert "2 failed" in stream.getvalue()


def test_quiet_progress_says_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with TerminalProgress(stream, quiet=True) as show:
        clock.now_s += 20
        show(progress(1))
    assert stream.getvalue() == ""
