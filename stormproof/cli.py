"""The command line: ``stormproof demo``, ``run``, ``replay``.

Whatever a user can get wrong ends in one message on standard error and exit code 2. An error of our own ends in exit
code 4, a request to report it, and the traceback.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import click

from .cli_demo import demo
from .cli_process import note_command_line
from .cli_replay import replay_histories
from .cli_run import run
from .engine.core.errors import MisuseError
from .reports.text import plain_text
from .sim.campaign import ExitCode
from .sim.version import VERSION

__all__ = ["cli", "main"]

BROKEN_PIPE = 141  # as a shell tells the death by SIGPIPE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="stormproof")
def cli() -> None:
    """Does your durable workflow survive the weather?

    Exit codes: 0 holds, 1 violated, 2 misuse, 3 unknown, 4 an error of stormproof's own, 130 interrupted.
    """


cli.add_command(demo)
cli.add_command(run)
cli.add_command(replay_histories)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. The console script hands it to ``sys.exit``."""
    if arguments is None:
        note_command_line()
    _prepare_streams()
    previous = _interrupt_on_termination()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`); what is still buffered must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = cli.main(args=arguments, prog_name="stormproof", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.MISUSE
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except MisuseError as error:
        _say(f"error: {error}")
        return ExitCode.MISUSE
    except BrokenPipeError:
        raise
    except Exception as error:
        _say_internal(error)
        return ExitCode.INTERNAL_ERROR
    return int(result) if isinstance(result, int) else 0


def _say(message: str) -> None:
    click.echo(f"stormproof: {plain_text(message)}", err=True)


def _say_internal(error: Exception) -> None:
    _say(
        "this is an error of stormproof's own, not of your code. Please report it with the command and what follows "
        f"(stormproof {VERSION}, Python {sys.version.split()[0]}, {sys.platform}):"
    )
    click.echo(plain_text("".join(traceback.format_exception(error)).rstrip()), err=True)


def _prepare_streams() -> None:
    """Text that the terminal's encoding cannot write is escaped, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _interrupt_on_termination() -> Callable[[int, FrameType | None], Any] | int | None:
    """A polite kill ends a campaign as Ctrl-C does: what was finished is kept."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        return None  # not the main thread
