"""When a commit fails: nobody is told that his record is durable, and afterwards the chain goes on from what is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record, follows
from tests.ledger.entries import AT, WAIT_S, Told, append, fill
from tests.ledger.faults import Faulty, failing, faulty
from tests.ledger.test_ledger import harm


@pytest.mark.parametrize("fate", ["refused", "lost", "defect"])
def test_a_failed_commit_and_all_behind_it_are_not_in_the_ledger(ledger, fate):
    kept, told = fill(ledger, 5), Told()
    records = failing(ledger, told, fate, behind=4)
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
    records = failing(ledger, told, "landed", behind=3)
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
    assert len(surprises) > 900
    assert told.durable + surprises == records[: len(told.durable) + len(surprises)]
    assert [record.seq for record in ledger.read()] == list(range(10 + len(told.durable) + len(surprises)))


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


@pytest.mark.parametrize("count", [10, 12])
def test_recovery_refuses_another_ledger_however_sound(ledger, url, opened, count):
    fill(ledger, 10)
    failing(ledger, Told(), "refused")
    ledger._close_store()
    harm(url, "DELETE FROM records", "DELETE FROM tree_nodes")
    other = opened(url)
    fill(other, count, size=99)
    other.close()
    with pytest.raises(LedgerError) as caught:
        ledger.recover()
    assert caught.value.code == "ledger-broken"


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


@pytest.mark.parametrize("around", [lambda _n, _commit: None, lambda _n, commit: [commit(), commit()]])
def test_whoever_stands_around_a_commit_is_not_believed(ledger, around):
    kept, told = fill(ledger, 3), Told()
    ledger.around_commit = around
    record = append(ledger, told, "R")
    with pytest.raises(LedgerError) as caught:
        ledger.wait(record.seq, WAIT_S)
    assert caught.value.code in {"ledger-unknown", "ledger-broken"}
    assert told.durable == []
    ledger.around_commit = lambda _n, commit: commit()
    surprises = ledger.recover()
    assert [*kept, *surprises, *fill(ledger, 2)] == list(ledger.read())


def test_an_error_that_is_swallowed_around_a_commit_still_counts(ledger):
    def swallowing(_count, commit):
        with suppress(LedgerError):
            commit()

    ledger.around_commit = swallowing
    told = Told()
    failing(ledger, told, "refused")
    assert told.durable == []
    assert told.refused[0][1] == "ledger-unknown"
    assert list(ledger.read()) == []


def test_a_closed_ledger_does_not_recover(ledger, url, opened):
    failing(ledger, Told(), "refused")
    ledger.close()
    assert ledger.recover() == []
    with pytest.raises(LedgerError) as caught:
        ledger.append("k", "r", "", b"", AT)
    assert caught.value.code == "ledger-closed"
    opened(url)  # nobody holds the shard


def test_a_ledger_closed_while_it_recovers_stays_closed(ledger, url, opened, monkeypatch):
    failing(ledger, Told(), "refused")
    since = ledger._since
    monkeypatch.setattr(ledger, "_since", lambda end: (ledger.close(), since(end))[1])
    assert ledger.recover() == []
    assert ledger.failed.code == "ledger-closed"
    opened(url)


def test_two_threads_that_recover_at_once(ledger):
    kept = fill(ledger, 3)
    failing(ledger, Told(), "landed")
    with ThreadPoolExecutor(4) as pool:
        found = [record for part in pool.map(lambda _: ledger.recover(), range(4)) for record in part]
    assert len(found) == 1
    assert [*kept, *found, *fill(ledger, 2)] == list(ledger.read())


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
