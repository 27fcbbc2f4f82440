"""What a disk, or somebody who moves files, does to SQLite."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from lexorder.engine.ledger import database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from tests.ledger.entries import WAIT_S, Told, append, fill
from tests.ledger.test_ledger import harm


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def on_disk(path, opened):
    return opened(f"sqlite:///{path}")


def fill_until_it_fails(ledger: Ledger) -> tuple[Told, LedgerError]:
    told = Told()
    while True:
        try:
            append(ledger, told, "R", body=os.urandom(3000))
            if ledger.size % 50 == 0:
                ledger.wait(ledger.size - 1, WAIT_S)
        except LedgerError:
            assert ledger.failed is not None
            return told, ledger.failed


def test_a_full_database_is_refused_and_recovers_when_there_is_room(on_disk):
    kept = fill(on_disk, 5)
    connection = on_disk._store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 50}")
    told, error = fill_until_it_fails(on_disk)
    assert error.code == "ledger-full"
    assert {code for _, code in told.refused} <= {"ledger-full", "ledger-unavailable"}
    assert list(on_disk.read()) == [*kept, *told.durable]
    assert on_disk.recover() == []
    fill(on_disk, 100)
    assert [record.seq for record in on_disk.read()] == list(range(on_disk.size))


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved", "log deleted"])
def test_files_that_are_not_where_they_were_are_noticed(on_disk, path, how):
    kept = fill(on_disk, 5)
    log = path.with_name("ledger.db-wal")
    copies = [path.with_name("copy.db"), path.with_name("copy.db-wal")]
    if how == "deleted":
        path.unlink()
    elif how == "log deleted":
        shutil.copy(log, copies[1])
        log.unlink()
    elif how == "replaced":
        shutil.copy(path, copies[0])
        copies[0].replace(path)
    else:
        path.rename(copies[0])
    told = Told()
    record = append(on_disk, told, "R")
    with pytest.raises(LedgerError):
        on_disk.wait(record.seq, WAIT_S)
    assert told.durable == []
    assert [code for _, code in told.refused] == ["ledger-unavailable"]
    if how in {"deleted", "moved"}:
        with pytest.raises(LedgerError):
            on_disk.recover()
        assert not path.exists()  # recovery never makes an empty ledger in its place
    if how == "moved":
        copies[0].rename(path)
        assert on_disk.recover() == []
        assert [*kept, *fill(on_disk, 2)] == list(on_disk.read())


def test_a_database_locked_by_somebody_else_is_refused_and_recovers(on_disk, path, monkeypatch):
    kept = fill(on_disk, 5)
    on_disk._store._connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = Told()
        record = append(on_disk, told, "R")
        with pytest.raises(LedgerError) as caught:
            on_disk.wait(record.seq, WAIT_S)
        assert caught.value.code == "ledger-locked"
        other.execute("ROLLBACK")
    assert told.durable == []
    assert on_disk.recover() == []
    assert [*kept, *fill(on_disk, 2)] == list(on_disk.read())


def test_a_lock_that_is_given_back_in_time_delays_and_nothing_else(on_disk, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = Told()
        record = append(on_disk, told, "R")
        with pytest.raises(LedgerError) as caught:
            on_disk.wait(record.seq, 0.05)
        assert caught.value.code == "ledger-timeout"
        other.execute("ROLLBACK")
    on_disk.wait(record.seq, WAIT_S)
    assert told.durable == [record]


def test_a_file_that_is_no_database_is_refused(path, opened):
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(f"sqlite:///{path}")
    assert caught.value.code == "ledger-unavailable"
    assert path.read_bytes() == b"not a database" * 1000


def test_a_ledger_of_a_newer_lexorder_is_refused(url, opened):
    opened(url).close()
    harm(url, "UPDATE ledger_version SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(LedgerError) as caught:
            Ledger.open(url, read_only=read_only)
        assert caught.value.code == "ledger-unavailable"


def test_after_files_were_replaced_the_new_ones_are_read(on_disk, path):
    fill(on_disk, 5)
    list(on_disk.read())  # leaves connections open
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(path)
    for end in ("-wal", "-shm"):
        path.with_name(f"ledger.db{end}").unlink()
    record = append(on_disk, Told(), "R")
    with pytest.raises(LedgerError):
        on_disk.wait(record.seq, WAIT_S)
    assert on_disk.recover() == []
    kept = fill(on_disk, 3)
    assert list(on_disk.read(5)) == kept
    with closing(sqlite3.connect(path)) as fresh:
        assert fresh.execute("SELECT count(*) FROM records").fetchone() == (8,)


def test_a_log_that_cannot_be_copied_is_not_continued(path, opened, monkeypatch):
    ledger = opened(f"sqlite:///{path}")
    fill(ledger, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM records").fetchone()
        fill(ledger, 5)
        ledger.close()
        monkeypatch.setattr(database, "BUSY_S", 0.1)
        with pytest.raises(LedgerError, match="reads the database") as caught:
            Ledger.open(f"sqlite:///{path}")
        assert caught.value.code == "ledger-locked"
    assert opened(f"sqlite:///{path}").committed == 10
