"""What a PostgreSQL server that stops, hangs or ends a session does to the ledger."""

from __future__ import annotations

import threading
from contextlib import closing, suppress

import pytest

from lexorder.engine.ledger import database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record
from tests.ledger.entries import WAIT_S, Told, append, fill


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_stops_in_the_middle(server, opened, mode):
    ledger = opened(server.url())
    told = Told()
    stop = threading.Thread(target=server.stop, args=[mode])
    while ledger.failed is None:
        with suppress(LedgerError):
            records = [append(ledger, told, f"R{ledger.size}") for _ in range(20)]
            ledger.wait(records[0].seq, WAIT_S)
        if ledger.committed > 500 and not stop.is_alive() and stop.ident is None:
            stop.start()
    stop.join()
    assert ledger.failed is not None
    with pytest.raises(LedgerError):
        ledger.recover()
    durable = told.durable
    assert durable
    server.start()
    surprises = ledger.recover()
    assert list(ledger.read()) == [*durable, *surprises]
    unknown = [record for record, code in told.refused if code == "ledger-unknown"]
    assert surprises == unknown[: len(surprises)]
    assert len(surprises) in {0, len(unknown)}
    more = fill(ledger, 10)
    assert list(ledger.read()) == [*durable, *surprises, *more]


def test_a_session_that_is_ended_by_an_administrator(server, opened):
    url = server.url()
    ledger = opened(url)
    kept = fill(ledger, 5)
    name = url.rpartition("/")[2]
    server.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{name}'")
    told = Told()
    record = append(ledger, told, "R")
    with pytest.raises(LedgerError):
        ledger.wait(record.seq, WAIT_S)
    assert told.durable == []
    assert ledger.recover() == []
    assert [*kept, *fill(ledger, 2)] == list(ledger.read())


def test_a_writer_that_lost_its_session_cannot_write_behind_the_next_one(server, opened):
    url = server.url()
    first = opened(url)
    kept = fill(first, 5)
    name = url.rpartition("/")[2]
    server.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{name}'")
    second = opened(url)
    more = fill(second, 5)
    told = Told()
    record = append(first, told, "R")
    with pytest.raises(LedgerError):
        first.wait(record.seq, WAIT_S)
    with pytest.raises(LedgerError) as caught:
        first.recover()
    assert caught.value.code == "ledger-locked"
    assert told.durable == []
    assert list(second.read()) == [*kept, *more]


def test_a_server_that_does_not_answer_counts_as_gone(server, opened, monkeypatch):
    monkeypatch.setattr(database, "NETWORK_S", 1)
    url = server.url()
    ledger = opened(url)
    kept = fill(ledger, 5)
    with closing(server.connect(url.rpartition("/")[2])) as other:
        other.autocommit = False
        other.cursor().execute("LOCK TABLE records IN EXCLUSIVE MODE")
        told = Told()
        record = append(ledger, told, "R")
        with pytest.raises(LedgerError) as caught:
            ledger.wait(record.seq, WAIT_S)
        assert caught.value.code == "ledger-unknown"
        # The session that may yet commit still holds the shard: nobody goes on before it has ended.
        with pytest.raises(LedgerError) as caught:
            ledger.recover()
        assert caught.value.code == "ledger-locked"
        other.rollback()
    surprises = recovered(ledger)
    assert told.durable == []
    assert surprises in ([], [record])
    assert [*kept, *surprises, *fill(ledger, 2)] == list(ledger.read())


def recovered(ledger: Ledger) -> list[Record]:
    """Try until it works: the server needs a moment to notice that a session has ended."""
    for _ in range(600):
        try:
            return ledger.recover()
        except LedgerError:
            threading.Event().wait(0.1)
    raise AssertionError("it never recovered")


def test_a_server_that_may_lose_commits_is_refused(server, opened):
    server.execute("ALTER SYSTEM SET full_page_writes = off")
    server.execute("SELECT pg_reload_conf()")
    try:
        while server.execute("SHOW full_page_writes") != [["off"]]:
            threading.Event().wait(0.05)
        url = server.url()
        with pytest.raises(LedgerError, match="full_page_writes") as caught:
            Ledger.open(url)
        assert caught.value.code == "ledger-not-durable"
        fill(opened(url, durability="normal"), 3)
    finally:
        server.execute("ALTER SYSTEM RESET full_page_writes")
        server.execute("SELECT pg_reload_conf()")
        while server.execute("SHOW full_page_writes") != [["on"]]:
            threading.Event().wait(0.05)
