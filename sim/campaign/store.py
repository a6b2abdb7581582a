"""The result store: one SQLite file that holds any number of campaigns, one row for each run.

Written by the campaign's parent alone, in WAL mode, so that others may read while it grows. Beside the file lies a
folder ``<file>.running`` with the journals of jobs under way; a campaign that was killed leaves it, and the next that
opens the store takes in what the journals hold. A lock in that folder keeps two campaigns from writing to one store: it
is an SQLite transaction, since the system releases that one when a process dies, on every platform.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engine.core.errors import MisuseError
from ..plain import encode
from ..verdict import Truth
from .journal import SUFFIX, JournalReader
from .row import RunRow, RunStatus

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE stormproof_schema (version INTEGER NOT NULL);
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY,
    scenario TEXT NOT NULL,
    options TEXT NOT NULL,
    runner TEXT NOT NULL,
    base_seed INTEGER NOT NULL,
    seed_count INTEGER NOT NULL,
    stormproof_version TEXT NOT NULL,
    python_version TEXT NOT NULL,
    code_digest TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0,
    resumed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scenario)
);
CREATE TABLE run (
    campaign_id INTEGER NOT NULL REFERENCES campaign (id),
    seed INTEGER NOT NULL,
    status TEXT NOT NULL,
    digest TEXT NOT NULL,
    python_hash_seed TEXT NOT NULL,
    verdicts TEXT NOT NULL,
    faults_fired TEXT NOT NULL,
    figures TEXT NOT NULL,
    stopped_by TEXT NOT NULL,
    error TEXT NOT NULL,
    real_us INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, seed)
) WITHOUT ROWID;
"""

_RUN_COLUMNS = "seed, status, digest, python_hash_seed, verdicts, faults_fired, figures, stopped_by, error, real_us"


@dataclass(slots=True)
class CampaignRow:
    """What makes a campaign the one it is: a store is only ever completed by the same.

    Attributes:
        scenario: The reference of the scenario.
        options: The options of its runs, as plain data.
        runner: The function that makes a run.
        base_seed: The first seed.
        seed_count: How many seeds from there.
        stormproof_version: The version that runs it.
        python_version: Python's, without the patch level: digests may differ between minor versions.
        code_digest: Of the scenario's file.
    """

    scenario: str
    options: dict[str, Any]
    runner: str
    base_seed: int
    seed_count: int
    stormproof_version: str
    python_version: str
    code_digest: str


class ResultStore:
    """An open result store. Use ``open_store`` to get one."""

    def __init__(self, connection: sqlite3.Connection, lock: sqlite3.Connection, path: Path, folder: Path) -> None:
        self._connection = connection
        self._lock = lock
        self.path = path
        self.folder = folder

    def campaigns(self) -> list[tuple[int, CampaignRow]]:
        """Every campaign in the store, with its id."""
        cursor = self._connection.execute(
            "SELECT id, scenario, options, runner, base_seed, seed_count, stormproof_version, python_version, "
            "code_digest FROM campaign ORDER BY id"
        )
        return [(row[0], CampaignRow(row[1], json.loads(row[2]), *row[3:])) for row in cursor]

    def find(self, scenario: str) -> tuple[int, CampaignRow] | None:
        """The campaign of a scenario."""
        for campaign_id, row in self.campaigns():
            if row.scenario == scenario:
                return campaign_id, row
        return None

    def add(self, row: CampaignRow) -> int:
        """Begin a campaign; returns its id."""
        values = asdict(row)
        values["options"] = encode(row.options)
        with self._connection:
            cursor = self._connection.execute(
                f"INSERT INTO campaign ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608
                tuple(values.values()),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def resume(self, campaign_id: int, *, seed_count: int) -> None:
        """Note that a campaign goes on, perhaps with more seeds than before."""
        with self._connection:
            self._connection.execute(
                "UPDATE campaign SET seed_count = ?, finished = 0, resumed = resumed + 1 WHERE id = ?",
                (seed_count, campaign_id),
            )

    def finish(self, campaign_id: int) -> None:
        """Note that every seed of a campaign was run."""
        with self._connection:
            self._connection.execute("UPDATE campaign SET finished = 1 WHERE id = ?", (campaign_id,))

    def put(self, campaign_id: int, rows: Iterable[RunRow]) -> None:
        """Keep runs; one of the same seed is replaced."""
        with self._connection:
            self._connection.executemany(
                f"INSERT OR REPLACE INTO run (campaign_id, {_RUN_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                [(campaign_id, *_columns(row)) for row in rows],
            )

    def rows(self, campaign_id: int) -> Iterator[RunRow]:
        """The runs of a campaign, by seed."""
        cursor = self._connection.execute(
            f"SELECT {_RUN_COLUMNS} FROM run WHERE campaign_id = ? ORDER BY seed",  # noqa: S608
            (campaign_id,),
        )
        for row in cursor:
            yield _row(row)

    def was_resumed(self, campaign_id: int) -> bool:
        """Whether a campaign was stopped and went on later."""
        (count,) = self._connection.execute("SELECT resumed FROM campaign WHERE id = ?", (campaign_id,)).fetchone()
        return bool(count)

    def take_in(self, campaign_id: int) -> None:
        """Keep what the journals of a campaign that was killed hold, and delete them."""
        for path in sorted(self.folder.glob(f"{campaign_id}-*{SUFFIX}")):
            reader = JournalReader(str(path))
            self.put(campaign_id, reader.read())
            reader.remove()

    def journal_path(self, campaign_id: int, name: str) -> str:
        """Where a job of a campaign writes its journal."""
        return str(self.folder / f"{campaign_id}-{name}{SUFFIX}")

    def close(self) -> None:
        """Close the store. The folder of journals goes, unless a job left something in it."""
        self._connection.close()
        self._lock.close()
        if not any(self.folder.glob(f"*{SUFFIX}")):
            shutil.rmtree(self.folder, ignore_errors=True)


def open_store(path: str | Path, *, must_exist: bool = False) -> ResultStore:
    """Open a result store for writing, or make one.

    Args:
        path: The file.
        must_exist: Whether a missing file is an error (it is when a campaign is resumed).

    Raises:
        MisuseError: It is missing, is no result store, is of another schema, or is written to by another campaign.
    """
    path = Path(path)
    if must_exist and not path.is_file():
        raise MisuseError(f"there is no result store {path}: --resume takes the file that --results wrote")
    if not path.parent.is_dir():
        raise MisuseError(f"the folder {path.parent} for the result store does not exist: make it first")
    folder = path.with_name(path.name + ".running")
    lock = _take_lock(path, folder)
    try:
        connection = _connect(path)
    except BaseException:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return ResultStore(connection, lock, path, folder)


def _take_lock(path: Path, folder: Path) -> sqlite3.Connection:
    try:
        folder.mkdir(exist_ok=True)
        lock = sqlite3.connect(folder / "lock", timeout=0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise MisuseError(f"the result store {path} cannot be written: {error}") from None
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        raise MisuseError(
            f"the result store {path} is in use by another campaign: wait for it, or name another file"
        ) from None
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                for statement in filter(None, map(str.strip, _SCHEMA.split(";"))):
                    connection.execute(statement)
                connection.execute("INSERT INTO stormproof_schema VALUES (?)", (SCHEMA_VERSION,))
        elif "stormproof_schema" not in tables:
            raise MisuseError(  # noqa: TRY301
                f"{path} is an SQLite file, but no result store of stormproof: name another file"
            )
        (version,) = connection.execute("SELECT version FROM stormproof_schema").fetchone()
        # What is committed survives the death of the process; only a power failure may cost the last commits.
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise MisuseError(f"{path} is no result store: {error}") from None
    except BaseException:
        connection.close()
        raise
    if version != SCHEMA_VERSION:
        connection.close()
        raise MisuseError(
            f"{path} has schema version {version}, this stormproof reads {SCHEMA_VERSION}: name another file"
        )
    return connection


def _columns(row: RunRow) -> tuple[Any, ...]:
    return (
        row.seed,
        row.status.value,
        row.digest,
        row.python_hash_seed,
        encode(row.verdicts),
        encode(row.faults_fired),
        encode(row.figures),
        row.stopped_by,
        row.error.encode("utf-8", "backslashreplace").decode(),
        row.real_us,
    )


def _row(columns: tuple[Any, ...]) -> RunRow:
    seed, status, digest, hash_seed, verdicts, faults_fired, figures, stopped_by, error, real_us = columns
    return RunRow(
        seed=seed,
        status=RunStatus(status),
        digest=digest,
        python_hash_seed=hash_seed,
        verdicts=[(code, workflow, Truth(result), text) for code, workflow, result, text in json.loads(verdicts)],
        faults_fired=json.loads(faults_fired),
        figures=json.loads(figures),
        stopped_by=stopped_by,
        error=error,
        real_us=real_us,
    )
