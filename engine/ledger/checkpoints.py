"""Copying an SQLite log into its database, beside the writer.

In: word from the writer of how much it has written. Out: a log that stays short. Guaranteed: the copy is made on a
connection and in a thread of its own, so that a commit never waits for it; what failed is raised to the writer before
and after its next commit, so that nothing is called durable on a disk that has begun to fail. Refused: nothing.
Why not SQLite's own automatic copy: it happens within a commit, which then takes as long as a hundred others, and with
every million records longer, since the pages of an index are spread ever wider. Why the writer finishes it: a log is
begun anew only when all of it was copied, and while others copy the writer goes on; the rest that is left is small.
Why the database is synced here too: SQLite syncs it with the last copy alone, which is the writer's.
Before: `database.py`. After: `sqlite.py`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from queue import SimpleQueue

from lexorder.engine.ledger.database import open_file

RECORDS = 4_000
"""Records written before a copy begins."""

BYTES = 16 * 1024 * 1024
"""Bytes of bodies written before a copy begins, if these are reached sooner."""

ROUNDS = 3
"""Copies one after the other: each leaves only what was written while it was made, and the writer finishes the last."""

COPY = "PRAGMA wal_checkpoint(PASSIVE)"
"""Copies what can be copied without waiting for anybody."""

_files: dict[tuple[int, int], int] = {}
"""Open database files by device and number. They stay open: closing one would give up every lock that SQLite holds on
that file in this process (POSIX)."""


class Checkpoints:
    """The copies of one database file. `wrote` and `finish` are for its writer alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._copied = threading.Event()
        self._records = self._bytes = 0
        self._copying = False
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    def wrote(self, records: int, size: int) -> None:
        """So many records with so many bytes were committed; begins a copy when it is time to."""
        self._records += records
        self._bytes += size
        if self._copying or (self._records < RECORDS and self._bytes < BYTES):
            return
        self._records = self._bytes = 0
        self._copying = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._copy, name="checkpoints", daemon=True)
            self._thread.start()
        self._asked.put(True)

    def finish(self, connection: sqlite3.Connection) -> None:
        """Copy on the writer's connection what was written while a copy was made. Raises what failed beside it."""
        if self.error is not None:
            raise self.error
        if self._copied.is_set():
            self._copied.clear()
            self._copying = False
            connection.execute(COPY).fetchone()

    def close(self) -> None:
        """Wait for a copy that is being made, and end."""
        if self._thread is not None:
            self._asked.put(False)
            self._thread.join()
            self._thread = None

    def _copy(self) -> None:
        """The thread."""
        try:
            connection = open_file(self._path)
            try:
                file = _opened(self._path)
                while self._asked.get():
                    for _ in range(ROUNDS):
                        connection.execute(COPY).fetchone()
                        os.fsync(file)
                    self._copied.set()
            finally:
                connection.close()
        except Exception as error:  # whatever it is: without copies the log would grow and nobody would know
            self.error = error


def _opened(path: Path) -> int:
    """The file as this process has it open, for as long as it lives."""
    status = path.stat()
    identity = status.st_dev, status.st_ino
    if identity not in _files:
        _files[identity] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    return _files[identity]
