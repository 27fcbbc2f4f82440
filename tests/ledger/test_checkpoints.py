"""The log of an SQLite ledger is copied into the database beside the writer."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from lexorder.engine.ledger import checkpoints
from lexorder.engine.ledger.checkpoints import COPY, Checkpoints
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.sqlite import SqliteStore
from tests.ledger.entries import WAIT_S, Told, append, fill

FOREVER = 10**9


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def on_disk(path, opened):
    return opened(f"sqlite:///{path}")


def write(ledger: Ledger, commits: int, size: int = 2000) -> None:
    for number in range(commits):
        record = append(ledger, Told(), f"R{number}", body=b"x" * size)
        ledger.wait(record.seq, WAIT_S)


def copies_of(ledger: Ledger) -> Checkpoints:
    assert isinstance(ledger._store, SqliteStore)
    return ledger._store._checkpoints


def copied(ledger: Ledger) -> bool:
    """Wait until no copy is being made; the writer may have finished it already."""
    copies = copies_of(ledger)
    return not copies._copying or copies._copied.wait(WAIT_S)


@pytest.mark.parametrize(("records", "most"), [(20, 1_000_000), (FOREVER, FOREVER)])
def test_the_log_stays_short_because_it_is_copied(on_disk, path, monkeypatch, records, most):
    monkeypatch.setattr(checkpoints, "RECORDS", records)
    for _ in range(20):
        write(on_disk, 21)
        if records < FOREVER:
            assert copied(on_disk)
    size = path.with_name("ledger.db-wal").stat().st_size
    assert size < most
    assert (size > 3_000_000) is (most == FOREVER)  # the control: without copies it grows with every commit


@pytest.mark.parametrize(
    ("records", "size", "begins"), [(3999, 0, False), (4000, 0, True), (1, 2**24 - 1, False), (1, 2**24, True)]
)
def test_a_copy_begins_at_the_limit_and_not_one_before(on_disk, path, records, size, begins):
    fill(on_disk, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        copies = Checkpoints(path)
        copies.wrote(records, size)
        assert copies._copying is begins
        assert copies._copied.wait(WAIT_S if begins else 0) is begins
        copies.wrote(4000, 2**24)
        copies.finish(connection)
        copies.close()


def test_what_was_written_during_a_copy_is_counted_for_the_next(on_disk, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        copies = Checkpoints(path)
        copies.wrote(4000, 0)
        copies.wrote(4000, 0)
        assert copies._copied.wait(WAIT_S)
        assert copies._asked.empty()  # one copy at a time
        copies.finish(connection)
        copies.wrote(1, 0)
        assert copies._copying
        copies.close()


def test_no_commit_copies_but_the_one_that_finishes(on_disk, monkeypatch):
    monkeypatch.setattr(checkpoints, "RECORDS", 50)
    said: list[str] = []
    on_disk._store._connection.set_trace_callback(said.append)
    write(on_disk, 50)
    assert COPY not in said
    assert copied(on_disk)
    write(on_disk, 3)
    assert said.count(COPY) == 1


def test_a_reader_that_stays_keeps_the_log_and_nothing_else(on_disk, path, monkeypatch):
    monkeypatch.setattr(checkpoints, "RECORDS", 20)
    kept = fill(on_disk, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (5,)
        for _ in range(5):
            write(on_disk, 25)
            assert copied(on_disk)
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (5,)
    assert list(on_disk.read())[:5] == kept
    assert on_disk.committed == 130


@pytest.mark.parametrize(
    ("number", "code"), [(sqlite3.SQLITE_FULL, "ledger-full"), (sqlite3.SQLITE_IOERR, "ledger-unknown")]
)
def test_nothing_is_durable_once_a_copy_has_failed(on_disk, number, code):
    kept = fill(on_disk, 5)
    error = sqlite3.OperationalError("disk")
    error.sqlite_errorcode = number
    on_disk._store._checkpoints.error = error
    told = Told()
    record = append(on_disk, told, "R")
    with pytest.raises(LedgerError) as found:
        on_disk.wait(record.seq, WAIT_S)
    assert found.value.code == code
    assert told.durable == []
    assert on_disk.recover() == []
    assert [*kept, *fill(on_disk, 5)] == list(on_disk.read())


def test_a_commit_during_which_a_copy_fails_is_not_acknowledged(on_disk, monkeypatch):
    fill(on_disk, 5)
    store = on_disk._store
    error = sqlite3.OperationalError("disk")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    insert = store._insert

    def failing(records):
        insert(records)
        store._checkpoints.error = error

    monkeypatch.setattr(store, "_insert", failing)
    told = Told()
    record = append(on_disk, told, "R")
    with pytest.raises(LedgerError) as found:
        on_disk.wait(record.seq, WAIT_S)
    assert found.value.code == "ledger-unknown"  # it is in the file, but nobody may say that it will stay
    assert told.durable == []
    assert [r.ref for r in on_disk.recover()] == ["R"]


def test_a_copy_of_a_file_that_is_gone_fails_the_next_commit(on_disk, path):
    fill(on_disk, 5)
    copies = Checkpoints(path.with_name("gone.db"))
    copies.wrote(4000, 0)
    assert copies._thread is not None
    copies._thread.join(WAIT_S)
    with pytest.raises((sqlite3.Error, OSError)):
        copies.finish(on_disk._store._connection)
    copies.close()


def fails_its_next_commit(on_disk):
    """Once the thread beside the writer has ended, the next record is not durable and its writer is told so."""
    copies = copies_of(on_disk)
    assert copies._thread is not None
    copies._thread.join(WAIT_S)
    told = Told()
    record = append(on_disk, told, "R")
    with pytest.raises(LedgerError) as found:
        on_disk.wait(record.seq, WAIT_S)
    assert found.value.code == "ledger-unknown"
    assert told.durable == []


def test_a_sync_of_the_database_that_fails_fails_the_next_commit(on_disk, monkeypatch):
    monkeypatch.setattr(checkpoints, "RECORDS", 5)
    fill(on_disk, 1)

    def failing(_file):
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fsync", failing)
    write(on_disk, 4)  # the last of them begins the copy; one more could meet its failure already
    fails_its_next_commit(on_disk)
    monkeypatch.undo()
    on_disk.recover()
    assert len(list(on_disk.read())) == on_disk.committed >= 5


def test_a_file_is_opened_once_and_stays_open(on_disk, path):
    """Closing it would take the locks of every connection of this process away."""
    fill(on_disk, 1)
    file = checkpoints._opened(path)
    copies = Checkpoints(path)
    copies.wrote(4000, 0)
    assert copies._copied.wait(WAIT_S)
    copies.close()
    assert checkpoints._opened(path) == file
    assert os.fstat(file).st_ino == path.stat().st_ino


def test_closing_ends_the_thread_and_leaves_one_file(on_disk, path, monkeypatch):
    monkeypatch.setattr(checkpoints, "RECORDS", 5)
    write(on_disk, 10)
    on_disk.close()
    assert not any(thread.name == "checkpoints" for thread in threading.enumerate())
    assert not path.with_name("ledger.db-wal").exists()  # the last connection copies all and takes it away
    shutil.copy(path, path.with_name("copy.db"))
    with closing(sqlite3.connect(path.with_name("copy.db"))) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (10,)


def test_a_defect_beside_the_writer_fails_the_next_commit_too(on_disk, path, monkeypatch):
    """Without copies the log would grow, and nobody would know."""
    fill(on_disk, 1)

    def defective(_path):
        raise KeyError("a defect")

    monkeypatch.setattr(checkpoints, "open_file", defective)
    monkeypatch.setattr(checkpoints, "RECORDS", 1)
    write(on_disk, 1)
    fails_its_next_commit(on_disk)
