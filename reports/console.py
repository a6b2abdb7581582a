"""Where text goes: colours on a terminal, the same text without them in a pipe."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

# Colours mean something, and the text says the same without them.
STYLES: dict[str, str] = {
    "true": "green",
    "false": "bold red",
    "unknown": "yellow",
    "error": "bold magenta",
    "fault": "red",
    "time": "dim",
    "node": "cyan",
    "command": "bold",
    "heading": "bold",
}

Line = Text | str


def console_for(stream: TextIO) -> Console:
    """A console on a stream. ``NO_COLOR`` and ``TERM=dumb`` are respected."""
    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def styled(text: str, style: str) -> Text:
    """A piece of text with one of ``STYLES``."""
    return Text(text, STYLES[style])


def line(*parts: Line) -> Text:
    """One line made of pieces."""
    return Text.assemble(*parts)


def print_lines(lines: list[Line], stream: TextIO | None = None) -> None:
    """Print lines; to standard output by default. Long ones are never broken: a pipe must get them whole."""
    console = console_for(stream if stream is not None else sys.stdout)
    for item in lines:
        console.print(item, soft_wrap=True)


def as_plain(lines: list[Line]) -> str:
    """The lines as text without colours."""
    return "\n".join(item.plain if isinstance(item, Text) else item for item in lines)
