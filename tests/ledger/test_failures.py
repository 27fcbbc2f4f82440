"""When a commit fails: nobody is told that his record is durable, and afterwards the chain goes on from what is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lexorder.engine.ledger import database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record, follows
from lexorder.engine.ledger.store import Store
from tests.ledger.entries import AT, WAIT_S, Told, append, fill
from tests.ledger.test_ledger import harm


@dataclass
class Faulty:
    """A store that fails as told: `plan` gives the fate of the next commits, `fine` afterwards.

    `refused`: certainly not committed. `lost` and `landed`: the connection broke during the commit, before or after it.
    """

    store: Store
    plan: list[str] = field(default_factory=list)
    gate: threading.Event | None = None

    def write(self, records, nodes):
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        fate = self.plan.pop(0) if self.plan else "fine"
        if fate == "refused":
            raise LedgerError("ledger-full", "no room")
        if fate == "defect":
            raise ZeroDivisionError
        if fate != "lost":
            self.store.write(records, nodes)
        if fate != "fine":
            raise LedgerError("ledger-unknown", "the connection broke")

    def close(self):
        self.store.close()


def faulty(ledger: Ledger, *plan: str, gate: threading.Event | None = None) -> None:
    """Let the next commits of an open ledger fail as planned."""
    assert ledger._store is not None
    ledger._store = Faulty(ledger._store, list(plan), gate)


def failing(ledger: Ledger, told: Told, *plan: str, count: int = 1, behind: int = 0) -> list[Record]:
    """Append records whose commit fails, and others that wait behind it; return when all were answered."""
    gate = threading.Event()
    faulty(ledger, *plan, gate=gate)
    records = [append(ledger, told, f"F{i}") for i in range(count)]
    gate_passed = threading.Event()
    while ledger._queue.qsize():  # the writer has taken them
        gate_passed.wait(0.001)
    records += [append(ledger, told, f"B{i}") for i in range(behind)]
    expected = len(told.answers) + len(records)
    gate.set()
    while len(told.answers) < expected:
        gate_passed.wait(0.001)
    return records


@pytest.mark.parametrize("fate", ["refused", "lost", "defect"])
def test_a_failed_commit_and_all_behind_it_are_not_in_the_ledger(ledger, fate):
    kept, told = fill(ledger, 5), Told()
    records = failing(ledger, told, fate, count=1, behind=4)
    assert told.durable == []
    assert [record for record, _ in told.refused] == records
    assert {code for _, code in told.refused[1:]} == {"ledger-unavailable"}
    assert told.refused[0][1] == ("ledger-full" if fate == "refused" else "ledger-unknown")
    assert (ledger.size, ledger.committed, ledger.head_hash) == (5, 5, kept[-1].hash)
    assert list(ledger.read()) == kept
    assert ledger.recover() == []
    assert list(ledger.read()) == kept
    assert fill(ledger, 3)[0].seq == 5


def test_nothing_is_taken_until_the_ledger_has_recovered(ledger):
    failing(ledger, Told(), "refused")
    assert ledger.failed is not None
    for _ in range(2):
        with pytest.raises(LedgerError) as caught:
            ledger.append("k", "r", "", b"", AT)
        assert caught.value.code == "ledger-full"
    with pytest.raises(LedgerError) as caught:
        ledger.wait(0, WAIT_S)
    assert caught.value.code == "ledger-full"
    ledger.recover()
    assert ledger.failed is None
    assert ledger.append("k", "r", "", b"", AT).seq == 0


def test_after_an_unknown_outcome_appending_says_unavailable(ledger):
    failing(ledger, Told(), "lost")
    with pytest.raises(LedgerError) as caught:
        ledger.append("k", "r", "", b"", AT)
    assert caught.value.code == "ledger-unavailable"


@pytest.mark.parametrize("kept", [0, 1, 255, 300])
def test_a_commit_that_landed_after_all_is_found_and_stays(ledger, kept):
    before, told = fill(ledger, kept), Told()
    records = failing(ledger, told, "landed", count=1, behind=3)
    assert told.durable == []
    assert ledger.committed == kept
    surprises = ledger.recover()
    assert surprises == records[: len(surprises)]
    assert len(surprises) == 1
    assert (ledger.size, ledger.committed, ledger.head_hash) == (kept + 1, kept + 1, surprises[-1].hash)
    after = fill(ledger, 300)
    assert list(ledger.read()) == [*before, *surprises, *after]
    assert told.durable == []


def test_a_large_commit_that_landed_is_found_whole(ledger):
    fill(ledger, 10)
    gate, told = threading.Event(), Told()
    faulty(ledger, "fine", "landed", gate=gate)
    records = [append(ledger, told, f"F{i}") for i in range(3000)]  # more than one commit takes
    gate.set()
    with pytest.raises(LedgerError):
        ledger.wait(records[-1].seq, WAIT_S)
    surprises = ledger.recover()
    assert told.durable + surprises == records
    assert len(surprises) > 900
    assert [record.seq for record in ledger.read()] == list(range(3010))


def test_waiting_ends_when_the_commit_fails(ledger):
    gate = threading.Event()
    faulty(ledger, "refused", gate=gate)
    seq = ledger.append("k", "r", "", b"", AT).seq
    errors = []

    def wait():
        try:
            ledger.wait(seq, WAIT_S)
        except LedgerError as error:
            errors.append(error.code)

    waiter = threading.Thread(target=wait)
    waiter.start()
    gate.set()
    waiter.join(WAIT_S)
    assert errors == ["ledger-full"]


def test_a_record_that_does_not_fit_the_chain_is_never_written(ledger):
    kept = fill(ledger, 3)
    ledger.head_hash = bytes(32)  # a defect of ours, or memory that went bad
    told = Told()
    append(ledger, told, "R")
    with pytest.raises(LedgerError) as caught:
        ledger.wait(3, WAIT_S)
    assert caught.value.code == "ledger-broken"
    assert list(ledger.read()) == kept
    ledger.recover()
    assert fill(ledger, 1)[0].prev == kept[-1].hash


@pytest.mark.parametrize("damage", ["DELETE FROM records WHERE seq = 9", "UPDATE records SET ref = 'x' WHERE seq = 9"])
def test_recovery_refuses_a_ledger_that_lost_what_was_durable(ledger, url, damage):
    fill(ledger, 10)
    failing(ledger, Told(), "refused")
    harm(url, damage)
    with pytest.raises(LedgerError) as caught:
        ledger.recover()
    assert caught.value.code == "ledger-broken"
    assert ledger.failed is not None
    with pytest.raises(LedgerError):
        ledger.append("k", "r", "", b"", AT)


def test_recovery_can_be_tried_again(ledger, url, opened):
    kept = fill(ledger, 3)
    failing(ledger, Told(), "refused")
    ledger._close_store()
    thief = opened(url)  # somebody else took the shard meanwhile
    with pytest.raises(LedgerError) as caught:
        ledger.recover()
    assert caught.value.code == "ledger-locked"
    added = fill(thief, 2)
    thief.close()
    assert ledger.recover() == added
    assert list(ledger.read()) == [*kept, *added]


def test_recovering_a_ledger_that_works_changes_nothing(ledger):
    kept = fill(ledger, 3)
    assert ledger.recover() == []
    assert [*kept, *fill(ledger, 2)] == list(ledger.read())


def test_a_ledger_can_be_closed_after_a_failure(ledger, url, opened):
    kept = fill(ledger, 3)
    failing(ledger, Told(), "lost", behind=2)
    ledger.close()
    assert list(opened(url).read()) == kept


class Machine(RuleBasedStateMachine):
    """Any sequence of appends, failures and recoveries, against what the database really holds."""

    make: Callable[[], str]

    @initialize()
    def begin(self):
        self.url = type(self).make()
        self.ledger = Ledger.open(self.url)
        self.told = Told()
        self.appended: list[Record] = []

    @rule(
        count=st.integers(1, 5),
        plan=st.lists(st.sampled_from(["fine", "refused", "lost", "landed", "defect"]), max_size=3),
    )
    def append_some(self, count, plan):
        if self.ledger.failed is not None:
            with pytest.raises(LedgerError):
                self.ledger.append("k", "r", "", b"", AT)
            return
        if isinstance(self.ledger._store, Faulty):
            self.ledger._store.plan[:] = plan
        else:
            faulty(self.ledger, *plan)
        for _ in range(count):
            try:
                self.appended.append(append(self.ledger, self.told, f"R{len(self.appended)}"))
            except LedgerError:
                break
        while len(self.told.answers) < len(self.appended):
            threading.Event().wait(0.001)

    @rule()
    def recover(self):
        self.ledger.recover()

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = Ledger.open(self.url)

    @invariant()
    def the_ledger_holds_what_was_called_durable_and_nothing_that_was_certainly_refused(self):
        if not hasattr(self, "url"):
            return
        other = Ledger.open(self.url, read_only=True)
        held = list(other.read())
        other.close()
        assert all(follows(record, before) for record, before in zip(held, [None, *held[:-1]], strict=False))
        hashes = [record.hash for record in held]
        durable = [record.hash for record in self.told.durable]
        assert [digest for digest in hashes if digest in set(durable)] == durable
        certain = {record.hash for record, code in self.told.refused if code != "ledger-unknown"}
        assert not certain & set(hashes)
        if self.ledger.failed is None:
            assert self.ledger.committed == len(held)
            assert self.ledger.size == len(held)

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()


def test_any_sequence_of_failures(tmp_path_factory):
    class OnSqlite(Machine):
        @staticmethod
        def make():
            return f"sqlite:///{tmp_path_factory.mktemp('machine') / 'ledger.db'}"

    case = OnSqlite.TestCase
    case.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
    case("runTest").runTest()


# What a disk does to SQLite.


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


# What a server does.


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
