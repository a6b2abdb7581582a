"""The journal of a job: which seed it began, and what came of each, written before anything can go wrong.

One append-only file per job, written by the process that runs it and read by the campaign while it grows. ``P <pid>``
names the process, ``S <seed>``
stands before a run begins, ``R <json>`` after it ended, so whatever happens to the process the campaign knows the seed
that was running, and no finished run is lost: what is written survives the death of its writer and of the campaign.
Each line is written by one ``os.write``; a line that was cut short is not counted.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..plain import encode
from .row import RunRow

SUFFIX = ".journal"


class JournalWriter:
    """The writing end, in the process of the job."""

    __slots__ = ("_file",)

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)
        os.write(self._file, b"P %d\n" % os.getpid())

    def started(self, seed: int) -> None:
        """Write down that the run of a seed begins now."""
        os.write(self._file, b"S %d\n" % seed)

    def finished(self, row: RunRow) -> None:
        """Write down what came of it."""
        os.write(self._file, f"R {encode(row.to_data())}\n".encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class JournalReader:
    """The reading end: each call of ``read`` gives the rows that are new.

    Attributes:
        running: The seed that was begun and has not ended, or ``None``.
        begun: How many runs were begun.
        pid: The process that writes it, once it does.
    """

    __slots__ = ("_offset", "_path", "_rest", "begun", "pid", "running")

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._offset = 0
        self._rest = b""
        self.running: int | None = None
        self.begun = 0
        self.pid: int | None = None

    def read(self) -> list[RunRow]:
        """The rows written since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return []
        if not new:
            return []
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        rows: list[RunRow] = []
        for line in lines:
            if line.startswith(b"S "):
                self.running = int(line[2:])
                self.begun += 1
            elif line.startswith(b"R "):
                rows.append(RunRow.from_data(json.loads(line[2:])))
                self.running = None
            elif line.startswith(b"P "):
                self.pid = int(line[2:])
        return rows

    def remove(self) -> None:
        """Delete the file. Where it is still held open (on Windows, by a process that is dying) it stays."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return
