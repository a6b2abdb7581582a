"""One line that says how far a campaign is: redrawn on a terminal, now and then a plain line elsewhere.

Nothing is shown for what takes less than a second. The line is redrawn by the campaign's own calls, never by a thread:
runs may be under way in this process, whose clocks are simulated then.
"""

from __future__ import annotations

import time
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

from ..sim.campaign import Progress
from .console import console_for
from .text import duration, one_line

SILENT_S = 1.0
REDRAW_S = 0.1
PLAIN_LINE_S = 10.0

_clock = time.monotonic


class TerminalProgress:
    """Shows the progress of one campaign. Use as a context manager, and call it with each ``Progress``.

    Args:
        stream: Where to, standard error as a rule.
        quiet: Show nothing. Default no.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._console: Console = console_for(stream)
        self._quiet = quiet
        self._began = _clock()
        self._shown = 0.0
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time to."""
        now = _clock()
        terminal = self._console.is_terminal
        pause = REDRAW_S if terminal else PLAIN_LINE_S
        if self._quiet or now - self._began < SILENT_S or (self._shown and now - self._shown < pause):
            return
        self._shown = now
        if terminal:
            self._redraw(progress)
        else:
            self._console.print(f"{one_line(progress.name)}: {progress.done}/{progress.total} runs, {_told(progress)}")

    def _redraw(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}", markup=False),
                console=self._console,
                auto_refresh=False,
                transient=True,
                get_time=_clock,
            )
            self._bar.start()
            self._bar.add_task(one_line(progress.name, width_max=24), total=progress.total, told="")
        self._bar.update(self._bar.task_ids[0], completed=progress.done, told=_told(progress))
        self._bar.refresh()


def _told(progress: Progress) -> str:
    parts = [f"{progress.rate:.0f}/s" if progress.rate >= 1 else f"{progress.rate:.2f}/s"]
    if progress.left_s is not None:
        parts.append(f"{duration(round(progress.left_s) * 1_000_000) if progress.left_s >= 1 else '0 s'} left")
    parts.append(f"{progress.failures} failed")
    if progress.troubles:
        parts.append(f"{progress.troubles} lost")
    return ", ".join(parts)
