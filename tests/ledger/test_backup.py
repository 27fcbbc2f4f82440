"""Copies as docs/ledger.md makes them: whole when made in the right way, and known to be short when not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import HeadLog, signing_key
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.verify_ledger import check_file, heads_of, signature_check
from tests.ledger.entries import AT, fill


@pytest.fixture
def signed(tmp_path):
    """A file with 500 signed records, its writer, and what checks a copy against the heads."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    fill(ledger, 500)
    log = HeadLog(tmp_path / "heads", 0, signing_key(tmp_path / "key.pem"))
    log.write(ledger, AT)

    def findings(path):
        key = signature_check(tmp_path / "heads" / "heads.pub.pem")
        return check_file(path, 0, heads_of(log.path), key).findings

    yield ledger, tmp_path, findings
    ledger.close()


def test_a_backup_while_the_ledger_is_written(signed):
    ledger, place, findings = signed
    stop = threading.Event()

    def write():
        while not stop.is_set():
            fill(ledger, 20)

    writer = threading.Thread(target=write)
    writer.start()
    with closing(sqlite3.connect(place / "ledger.db")) as source, closing(sqlite3.connect(place / "copy.db")) as copy:
        source.backup(copy)
    stop.set()
    writer.join()
    assert findings(place / "copy.db") == ()
    restored = Ledger.open(f"sqlite:///{place / 'copy.db'}")
    assert restored.committed >= 500
    assert list(restored.read()) == list(ledger.read(0, restored.committed))
    fill(restored, 10)
    restored.close()
    assert findings(place / "copy.db") == ()


def test_a_copy_of_the_main_file_alone_is_known_to_be_short(signed):
    _, place, findings = signed
    shutil.copy(place / "ledger.db", place / "copy.db")
    assert any("missing" in finding or "no such table" in finding for finding in findings(place / "copy.db"))


def test_a_copy_with_its_log_after_the_service_has_stopped(signed):
    ledger, place, findings = signed
    ledger.close()
    for path in place.glob("ledger.db*"):
        shutil.copy(path, place / path.name.replace("ledger", "copy"))
    assert findings(place / "copy.db") == ()


def test_an_older_copy_put_in_place_is_not_signed(signed):
    ledger, place, findings = signed
    with closing(sqlite3.connect(place / "ledger.db")) as source, closing(sqlite3.connect(place / "old.db")) as copy:
        source.backup(copy)
    fill(ledger, 100)
    key = signing_key(place / "key.pem")
    HeadLog(place / "heads", 0, key).write(ledger, AT)
    old = Ledger.open(f"sqlite:///{place / 'old.db'}")
    fill(old, 200, size=50)
    with pytest.raises(LedgerError) as caught:
        HeadLog(place / "heads", 0, key).write(old, AT)
    assert caught.value.code == "ledger-broken"
    old.close()
    assert findings(place / "old.db") != ()


def test_a_dump_of_postgresql_restores_a_sound_ledger(server, opened):
    url, other = server.url(), server.url()
    ledger = opened(url)
    records = fill(ledger, 600)
    names = [address.rpartition("/")[2] for address in (url, other)]
    login = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "lexorder"]
    programs = server.programs
    if not (programs / "pg_dump").is_file():
        pytest.skip("no pg_dump beside the server")
    dump = subprocess.run([programs / "pg_dump", *login, names[0]], check=True, capture_output=True, timeout=120)
    restore = [programs / "psql", *login, "-v", "ON_ERROR_STOP=1", "-q", names[1]]
    server.execute("DROP SCHEMA IF EXISTS public CASCADE", names[1])
    server.execute("CREATE SCHEMA public", names[1])
    subprocess.run(restore, input=dump.stdout, check=True, capture_output=True, timeout=120)
    copy = opened(other)
    assert list(copy.read()) == records
    assert copy.root() == ledger.root()
    fill(copy, 10)
