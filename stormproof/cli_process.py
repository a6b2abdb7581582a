"""Beginning again in a process with another ``PYTHONHASHSEED``, which only a new process can have."""

from __future__ import annotations

import os
import subprocess
import sys

from .sim.campaign.hash_seeds import VARIABLE, current_hash_seed

__all__ = ["note_command_line", "same_process_or_again"]

_is_command_line = False


def note_command_line() -> None:
    """Say that this process was started for the command line, so that its own command line may be run again."""
    global _is_command_line  # noqa: PLW0603
    _is_command_line = True


def same_process_or_again(hash_seed: str) -> None:
    """Go on if this process has that hash seed; else run the same command line in one that has, and end as it ends."""
    if current_hash_seed() == hash_seed or not hash_seed.isdigit() or not _is_command_line:
        return
    if sys.flags.ignore_environment:
        return  # `python -E`: no process started like this one would ever heed the variable
    command = [sys.executable, *sys.orig_argv[1:]]
    environment = {**os.environ, VARIABLE: hash_seed}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        # os.execve there returns to the shell at once, with no exit code.
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603
    os.execve(sys.executable, command, environment)  # noqa: S606
