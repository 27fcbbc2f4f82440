"""One writer of one shard: order, durability, reading and reopening, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from lexorder.engine.ledger import ledger as module
from lexorder.engine.ledger import rows, verify_ledger
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import hash_at
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import GENESIS, TEXT_MAX, follows
from lexorder.engine.ledger.tree import EMPTY, consistent, included, leaf_hash
from tests.ledger.entries import AT, WAIT_S, Told, append, fill
from tests.ledger.test_tree import mth


def test_an_empty_ledger(ledger):
    assert (ledger.size, ledger.committed, ledger.failed) == (0, 0, None)
    assert ledger.head_hash == ledger.committed_hash == GENESIS
    assert list(ledger.read()) == []
    assert ledger.find("D1", "decision") is None
    assert ledger.root() == ledger.root(0) == EMPTY
    assert ledger.consistency(0, 0) == []
    assert hash_at(ledger, 0) == GENESIS


def test_what_is_appended_is_read_back_as_a_chain(ledger):
    records = fill(ledger, 700)
    assert [record.seq for record in records] == list(range(700))
    assert list(ledger.read()) == records
    assert all(follows(record, before) for record, before in zip(records, [None, *records[:-1]], strict=True))
    assert (ledger.size, ledger.committed) == (700, 700)
    assert ledger.head_hash == ledger.committed_hash == records[-1].hash == hash_at(ledger, 700)


def test_records_that_do_not_ring_are_written_together_when_somebody_does(ledger):
    """One commit for all of them, by `ring`, by a record that rings, by who waits and by the end."""
    batches = []
    commit = ledger.around_commit

    def counted(records, write):
        batches.append(records)
        commit(records, write)

    ledger.around_commit = counted

    def quiet(count):
        return [ledger.append("decision", f"Q{i}", "A", b"{}", AT, None, False) for i in range(count)][-1].seq

    last = quiet(5)
    threading.Event().wait(0.05)
    assert (batches, ledger.committed) == ([], 0), "nobody has rung"
    ledger.ring()
    ledger.ring()
    ledger.wait(last, WAIT_S)
    quiet(2)
    ledger.wait(append(ledger, Told(), "rings").seq, WAIT_S)
    ledger.wait(quiet(4), WAIT_S)
    quiet(6)
    ledger.close()
    assert batches == [5, 3, 4, 6]
    assert (ledger.size, ledger.committed) == (18, 18)


def test_what_is_too_much_for_one_commit_is_written_in_several_though_the_bell_rang_once(ledger, monkeypatch):
    monkeypatch.setattr(module, "BATCH_MAX", 4)
    for i in range(11):
        ledger.append("decision", f"Q{i}", "A", b"{}", AT, None, False)
    ledger.ring()
    with ledger._changed:
        assert ledger._changed.wait_for(lambda: ledger.committed == 11, WAIT_S)
    assert [record.ref for record in ledger.read()] == [f"Q{i}" for i in range(11)]


def test_every_byte_and_letter_comes_back(ledger):
    told = Told()
    bodies = [
        bytes(range(256)),
        b"",
        b"\0" * 5,
        '{"a":"Ωé🦊"}'.encode(),
        b"\\x00 '; DROP TABLE records;--",
        bytes(300_000),
    ]
    texts = ["", "Ω'\"\\%s\t\n🦊", "{}", "\\N", "x" * (TEXT_MAX - len("decision") - 1)]
    records = [append(ledger, told, ref, body=body) for ref in texts for body in bodies]
    ledger.wait(records[-1].seq, WAIT_S)
    assert list(ledger.read()) == records
    assert [ledger.find(ref, "decision") for ref in texts] == [records[i * 6 + 5] for i in range(5)]


def test_done_is_called_once_for_each_in_order_and_only_when_it_can_be_read(ledger, url, opened):
    told, seen = Told(), []
    other = opened(url, read_only=True)

    def on_batch(waiting, error):
        for done in waiting:
            done(error)
        other.committed = ledger.committed
        seen.append({record.seq for record in other.read()})
        assert {record.seq for record in told.durable} <= seen[-1]

    ledger.on_batch = on_batch
    records = [append(ledger, told, f"R{i}") for i in range(300)]
    ledger.wait(records[-1].seq, WAIT_S)
    ledger.close()
    assert told.durable == records
    assert told.refused == []
    assert seen[-1] == set(range(300))


def test_append_is_faster_than_the_disk_and_the_difference_shows(ledger, monkeypatch):
    gate, write = threading.Event(), ledger._store.write
    monkeypatch.setattr(ledger._store, "write", lambda *given: (gate.wait(WAIT_S), write(*given)))
    told = Told()
    records = [append(ledger, told, f"R{i}") for i in range(50)]
    assert (ledger.size, ledger.committed) == (50, 0)
    assert ledger.head_hash == records[-1].hash
    assert told.answers == []
    assert list(ledger.read()) == []
    assert ledger.find("R0", "decision") is None
    gate.set()
    ledger.wait(49, WAIT_S)
    assert list(ledger.read()) == records


def test_records_that_wait_are_committed_together(ledger, monkeypatch):
    gate, sizes, write = threading.Event(), [], ledger._store.write

    def counting(records, nodes):
        sizes.append(len(records))
        gate.wait(WAIT_S)
        write(records, nodes)

    monkeypatch.setattr(ledger._store, "write", counting)
    monkeypatch.setattr(module, "BATCH_MAX", 100)
    last = [ledger.append("k", "r", "", b"", AT) for _ in range(251)][-1]
    gate.set()
    ledger.wait(last.seq, WAIT_S)
    assert sum(sizes) == 251
    assert sizes[1:-1] == [100] * len(sizes[1:-1])
    assert len(sizes) <= 4


def test_a_commit_takes_no_more_bytes_than_agreed(ledger, monkeypatch):
    gate, sizes, write = threading.Event(), [], ledger._store.write

    def counting(records, nodes):
        sizes.append(sum(len(record.body) for record in records))
        gate.wait(WAIT_S)
        write(records, nodes)

    monkeypatch.setattr(ledger._store, "write", counting)
    monkeypatch.setattr(module, "BATCH_BYTES_MAX", 1000)
    last = [ledger.append("k", "r", "", b"x" * 300, AT) for _ in range(30)][-1]
    gate.set()
    ledger.wait(last.seq, WAIT_S)
    assert max(sizes) <= 1299
    assert sum(sizes) == 9000


def test_too_many_waiting_records_are_refused(ledger, monkeypatch):
    gate, write = threading.Event(), ledger._store.write
    monkeypatch.setattr(ledger._store, "write", lambda *given: (gate.wait(WAIT_S), write(*given)))
    monkeypatch.setattr(module, "WAITING_MAX", 10)
    for _ in range(10):
        ledger.append("k", "r", "", b"", AT)
    with pytest.raises(LedgerError) as caught:
        ledger.append("k", "r", "", b"", AT)
    assert caught.value.code == "ledger-busy"
    gate.set()
    ledger.wait(9, WAIT_S)
    assert ledger.append("k", "r", "", b"", AT).seq == 10


def test_a_record_that_is_refused_leaves_no_gap(ledger):
    fill(ledger, 3)
    with pytest.raises(LedgerError):
        ledger.append("k", "a\0", "", b"", AT)
    fill(ledger, 3)
    assert [record.seq for record in ledger.read()] == list(range(6))


def test_several_threads_may_append(ledger):
    def many(worker):
        return [ledger.append("k", f"{worker}-{i}", "", b"{}", AT) for i in range(200)]

    with ThreadPoolExecutor(8) as pool:
        records = [record for part in pool.map(many, range(8)) for record in part]
    ledger.wait(1599, WAIT_S)
    assert sorted(record.seq for record in records) == list(range(1600))
    assert list(ledger.read()) == sorted(records, key=lambda record: record.seq)


def test_waiting_in_vain_ends(ledger, monkeypatch):
    gate, write = threading.Event(), ledger._store.write
    monkeypatch.setattr(ledger._store, "write", lambda *given: (gate.wait(WAIT_S), write(*given)))
    seq = ledger.append("k", "r", "", b"", AT).seq
    with pytest.raises(LedgerError) as caught:
        ledger.wait(seq, 0.01)
    assert caught.value.code == "ledger-timeout"
    gate.set()
    ledger.wait(seq, WAIT_S)


def test_a_callback_that_fails_does_not_stop_the_writer(ledger, caplog):
    ledger.on_batch = lambda waiting, error: 1 / 0
    ledger.wait(ledger.append("k", "r", "", b"", AT, lambda _: None).seq, WAIT_S)
    fill(ledger, 5)
    assert ledger.committed == 6
    assert "a callback of the ledger failed" in caplog.text


def test_reading_by_range_kind_account_and_reference(ledger):
    records = fill(ledger, 2500)
    assert list(ledger.read(10, 20)) == records[10:20]
    assert list(ledger.read(2490)) == records[2490:]
    assert list(ledger.read(0, 10**9)) == records
    assert list(ledger.read(5, 5)) == list(ledger.read(9, 3)) == list(ledger.read(2500)) == []
    assert list(ledger.read(kind="event")) == records[::3]
    assert list(ledger.read(account="A3")) == records[3::5]
    assert list(ledger.read(100, 200, kind="event", account="A0")) == [r for r in records[100:200] if r.seq % 15 == 0]
    assert list(ledger.read(ref="R7")) == [records[7]]
    assert list(ledger.read(account="a3")) == []


def test_the_newest_record_of_its_kind_is_found(ledger):
    told = Told()
    first = append(ledger, told, "D1")
    override = append(ledger, told, "D1", kind="override")
    second = append(ledger, told, "D1")
    ledger.wait(second.seq, WAIT_S)
    assert ledger.find("D1", "decision") == second
    assert ledger.find("D1", "override") == override
    assert ledger.find("D1", "event") is None
    assert ledger.find("D2", "decision") is None
    assert list(ledger.read(ref="D1")) == [first, override, second]


def test_reading_goes_on_while_records_are_written(ledger):
    fill(ledger, 1500)
    reading = ledger.read()
    first = next(reading)
    fill(ledger, 1500)
    assert [first, *reading] == list(ledger.read(0, 1500))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000, 1001])
def test_a_ledger_goes_on_where_it_ended(url, opened, count):
    first = opened(url)
    records = fill(first, count)
    root = first.root()
    first.close()
    again = opened(url)
    assert (again.size, again.committed, again.head_hash) == (count, count, records[-1].hash)
    assert again.root() == root
    more = fill(again, 300)
    assert list(again.read()) == [*records, *more]
    assert again.root() == mth([record.hash for record in [*records, *more]])


def test_proofs_of_what_is_committed(ledger):
    records = fill(ledger, 600)
    hashes = [record.hash for record in records]
    for size in (1, 2, 255, 256, 257, 512, 599, 600):
        root = ledger.root(size)
        assert root == mth(hashes[:size])
        for seq in {0, size // 2, size - 1}:
            assert included(leaf_hash(hashes[seq]), seq, size, ledger.inclusion(seq, size), root)
        assert consistent(size, 600, root, ledger.root(), ledger.consistency(size, 600))
    assert ledger.inclusion(5) == ledger.inclusion(5, 600)


def test_proofs_of_what_is_not_there_are_refused(ledger):
    fill(ledger, 10)
    sizes = [lambda: ledger.root(11), lambda: ledger.root(-1)]
    paths = [lambda at=at: ledger.inclusion(*at) for at in ((10, 10), (0, 11), (-1, 5), (5, 5))]
    pairs = [lambda at=at: ledger.consistency(*at) for at in ((5, 11), (6, 5), (-1, 5))]
    for call in [*sizes, *paths, *pairs]:
        with pytest.raises(LedgerError) as caught:
            call()
        assert caught.value.code == "ledger-no-record"


def test_a_second_writer_is_refused_until_the_first_is_gone(url, opened):
    first = opened(url)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    assert caught.value.code == "ledger-locked"
    fill(first, 3)
    first.close()
    assert opened(url).size == 3


def test_shards_are_chains_of_their_own(url, opened):
    shards = [opened(url, shard) for shard in range(3)]
    filled = [fill(ledger, 300 + shard) for shard, ledger in enumerate(shards)]
    assert [ledger.committed for ledger in shards] == [300, 301, 302]
    assert [list(ledger.read()) for ledger in shards] == filled
    assert all(ledger.find("R5", "decision") == records[5] for ledger, records in zip(shards, filled, strict=True))
    assert [ledger.root() for ledger in shards] == [mth([r.hash for r in records]) for records in filled]


def test_two_shards_written_at_once(url, opened):
    shards = [opened(url, shard) for shard in range(2)]
    with ThreadPoolExecutor(2) as pool:
        filled = list(pool.map(lambda ledger: [fill(ledger, 40) for _ in range(10)], shards))
    for ledger, parts in zip(shards, filled, strict=True):
        assert list(ledger.read()) == [record for part in parts for record in part]


def test_a_reader_sees_what_is_there_and_writes_nothing(url, opened):
    writer = opened(url)
    records = fill(writer, 20)
    reader = opened(url, read_only=True)
    assert list(reader.read()) == records
    assert reader.root() == writer.root()
    with pytest.raises(LedgerError) as caught:
        reader.append("k", "r", "", b"", AT)
    assert caught.value.code == "ledger-closed"
    assert reader.recover() == []
    fill(writer, 1)
    assert opened(url, read_only=True).committed == 21


def test_reading_where_there_is_no_ledger_is_refused(url):
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url, read_only=True)
    assert caught.value.code == "ledger-unavailable"


def test_closing_commits_what_waits_and_ends_the_writer(url, opened):
    ledger = opened(url)
    told = Told()
    records = [append(ledger, told, f"R{i}") for i in range(500)]
    ledger.close()
    assert told.durable == records
    with pytest.raises(LedgerError) as caught:
        ledger.append("k", "r", "", b"", AT)
    assert caught.value.code == "ledger-closed"
    assert ledger.recover() == []
    ledger.close()
    assert list(opened(url).read()) == records


@pytest.mark.parametrize(
    "statement", ["UPDATE records SET body = 'x'", "DELETE FROM records", "UPDATE records SET seq = 9"]
)
def test_the_database_itself_refuses_to_change_a_record(url, opened, statement):
    ledger = opened(url)
    records = fill(ledger, 3)
    database = Database(url)
    with pytest.raises(LedgerError, match=r"never changed|does not answer"), database.begin() as connection:
        connection.execute(text(statement))
    database.close()
    assert list(ledger.read()) == records


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET body = 'other' WHERE seq = 1499",
        "UPDATE records SET body = 'other' WHERE seq = 600",
        "UPDATE records SET account = '' WHERE seq = 1400",
        "UPDATE records SET prev = hash WHERE seq = 1400",
        "DELETE FROM records WHERE seq = 3",
        "DELETE FROM records WHERE seq = 1490",
        "DELETE FROM records WHERE seq = 0",
        "DELETE FROM tree_nodes WHERE position = 4",
        "UPDATE records SET seq = 1501 WHERE seq = 1499",
    ],
)
def test_a_damaged_end_is_not_continued(url, opened, damage):
    ledger = opened(url)
    fill(ledger, 1500)
    ledger.close()
    harm(url, damage)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    assert caught.value.code == "ledger-broken"
    # The lock was given back: it is the damage that refuses, not a writer that died.
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    assert caught.value.code == "ledger-broken"


def harm(url: str, *statements: str) -> None:
    """Change the tables as somebody could who may do anything with the database."""
    database = Database(url)
    with database.begin() as connection:
        if connection.dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS records_no_{verb}"))
        else:
            connection.execute(text("DROP TRIGGER IF EXISTS records_no_change ON records"))
        for statement in statements:
            connection.execute(text(statement))
    database.close()


def test_the_verifier_agrees_with_the_writer(ledger):
    fill(ledger, 1000)
    entries = [(r.seq, r.kind, r.at, r.ref, r.account, r.body, r.prev, r.hash) for r in ledger.read()]
    assert verify_ledger.check(entries, [], None) == verify_ledger.Result((), 1000, 0)


ADDRESSES = [
    ("sqlite://", "database name"), ("sqlite:///:memory:", "database name"), ("sqlite:////x?mode=ro", "database name"),
    ("nonsense", "sqlite:////folder"), ("", "sqlite:////folder"), ("postgresql://host", "database name"),
    ("mysql://u:secret@h/d", "mysql"), ("postgresql+psycopg://u:secret@h/d", "psycopg"),
    ("postgresql://u:secret@h/d?sslmode=maybe", "sslmode"), ("postgresql://u:secret@h/d?options=x", "sslmode"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "words"), ADDRESSES)
def test_another_address_is_refused_without_repeating_its_password(address, words):
    with pytest.raises(LedgerError, match=words) as caught:
        Ledger.open(address)
    assert caught.value.code == "ledger-url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["sqlite:////nonexistent-folder/x.db", "postgresql://u:secret@127.0.0.1:1/d"])
def test_a_database_out_of_reach_is_said_to_be(address):
    with pytest.raises(LedgerError) as caught:
        Ledger.open(address)
    assert caught.value.code == "ledger-unavailable"
    assert "secret" not in str(caught.value)


def test_the_end_is_read_while_another_writes(ledger, url, monkeypatch):
    """Between two looks at the table records are added: they are not taken for a gap."""
    fill(ledger, 5)
    last = rows.last

    def then_more(connection, shard):
        found = last(connection, shard)
        fill(ledger, 3)
        return found

    monkeypatch.setattr(rows, "last", then_more)
    reading = Ledger.open(url, read_only=True)
    try:
        assert (reading.size, ledger.size) == (5, 8)
        assert reading.head_hash == hash_at(ledger, 5)
    finally:
        reading.close()
