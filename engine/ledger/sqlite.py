"""Writing a shard to an SQLite file.

In: records that follow each other. Out: nothing, once they are on disk. Guaranteed: `synchronous=FULL` unless asked
otherwise, so that a commit returns after the log is synced; a file that was moved away or replaced under our feet is
noticed before anything in it is called durable. Refused: a second writer of the shard (`ledger-locked`).
Why one statement per commit: the interpreter's lock is given up once and not once per row, and a busy event loop in the
same process would take it for milliseconds each time.
Before: `store.py`, `database.py`, `checkpoints.py`. After: `ledger.py`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from lexorder.engine.ledger.checkpoints import Checkpoints
from lexorder.engine.ledger.database import open_file, wrapped
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.tree import Node

ROWS_MAX = 128
"""Records per statement: each number of rows is a statement of its own, kept prepared."""

CACHE_KIB = 16_384
"""Memory for pages, of the indexes mostly: names of orders come in no order."""

COPY_TRIES, COPY_PAUSE_MS = 20, 50
"""How often the first copy is tried while another shard of the same file makes one, and the milliseconds between."""

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}

CERTAIN: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("ledger-full", "the disk or the database has no room"),
    sqlite3.SQLITE_BUSY: ("ledger-locked", "another process holds the database for too long"),
    sqlite3.SQLITE_LOCKED: ("ledger-locked", "another process holds the database for too long"),
    sqlite3.SQLITE_CONSTRAINT: ("ledger-broken", "another record already has this number"),
    sqlite3.SQLITE_READONLY: ("ledger-unavailable", "the database may not be written"),
    sqlite3.SQLITE_CORRUPT: ("ledger-broken", "the database file is damaged"),
    sqlite3.SQLITE_NOTADB: ("ledger-broken", "the file is no database"),
}
"""Failures after which SQLite has certainly not committed, by primary result code."""


class SqliteStore:
    """The only writer of one shard of an SQLite file."""

    def __init__(self, path: Path, shard: int, durability: str) -> None:
        self._path, self._shard = path, shard
        self._lock = _take_lock(Path(f"{path}.shard-{shard}.lock"))
        try:
            with wrapped():
                self._connection = self._opened(durability)
        except LedgerError:
            os.close(self._lock)
            raise
        self._file = _identity(path)
        self._checkpoints = Checkpoints(path)
        self._log: tuple[int, int] | None = None

    def _opened(self, durability: str) -> sqlite3.Connection:
        connection = open_file(self._path)
        connection.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        # After a failed sync the kernel may hold pages of the log that are not on disk and never will be, although
        # later syncs succeed. Copying the whole log into the database writes and syncs them anew, so that what is
        # read from here on is what is there. `40-41` in tests/ledger/test_power_cut.py loses records without it.
        for _ in range(COPY_TRIES):
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return connection
            threading.Event().wait(COPY_PAUSE_MS / 1000)  # SQLite waits for readers by itself, but not for who copies
        connection.close()
        raise LedgerError("ledger-locked", "another process reads the database for too long")

    def write(self, records: Sequence[Record], nodes: Sequence[Node]) -> None:
        """See `Store.write`."""
        self._check_files()
        try:
            self._checkpoints.finish(self._connection)
            if len(records) <= ROWS_MAX and not nodes:
                self._insert(records)
            else:
                self._transaction(records, nodes)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from None
        self._check_files(after=True)
        if self._checkpoints.error is not None:  # the disk began to fail while this was written to it
            raise self._failed(self._checkpoints.error)
        self._checkpoints.wrote(len(records), sum(len(r.body) for r in records))

    def _transaction(self, records: Sequence[Record], nodes: Sequence[Node]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for start in range(0, len(records), ROWS_MAX):
            self._insert(records[start : start + ROWS_MAX])
        rows = [(self._shard, *node) for node in nodes]
        self._connection.executemany("INSERT INTO tree_nodes VALUES (?,?,?,?)", rows)
        self._connection.execute("COMMIT")

    def _insert(self, records: Sequence[Record]) -> None:
        values: list[int | str | bytes] = []
        for r in records:
            values += (r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash)
        self._connection.execute(_statement(self._shard, len(records)), values)

    def _failed(self, error: Exception) -> LedgerError:
        """The error to report; a transaction left open is rolled back."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            code = sqlite3.SQLITE_IOERR
        if code in CERTAIN:
            return LedgerError(*CERTAIN[code])
        return LedgerError("ledger-unknown", f"the disk failed during the commit: {error}")

    def _check_files(self, *, after: bool = False) -> None:
        """The names must still lead to the files that are open: SQLite itself would go on writing to a deleted one."""
        log = _identity(Path(f"{self._path}-wal"))
        if _identity(self._path) != self._file or (self._log is not None and log != self._log):
            code = "ledger-unknown" if after else "ledger-unavailable"
            raise LedgerError(code, "the database file was moved, deleted or replaced while it was open")
        if after:
            if log is None:
                raise LedgerError("ledger-unknown", "the log beside the database file was deleted while it was open")
            self._log = log

    def close(self) -> None:
        """See `Store.close`."""
        try:
            self._checkpoints.close()
            self._connection.close()
        except sqlite3.Error:
            pass  # what was called durable is; the rest was never acknowledged
        finally:
            os.close(self._lock)


def _statement(shard: int, rows: int) -> str:
    return f"INSERT INTO records VALUES {','.join([f'({shard:d},?,?,?,?,?,?,?,?)'] * rows)}"  # noqa: S608 (integers)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and file number behind a name, `None` when there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as fast as it gets: twice per commit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError("ledger-unavailable", f"the database file cannot be looked at: {error.strerror}") from None
    return status.st_dev, status.st_ino


def _take_lock(path: Path) -> int:
    """An exclusive lock that ends with the process, as an open file.

    Raises:
        LedgerError: `ledger-locked`, or `ledger-unavailable` when the lock file cannot be made.
    """
    with wrapped():
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise LedgerError("ledger-locked", "another process writes this shard") from None
    return lock
