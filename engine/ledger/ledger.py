"""The ledger: one writer of one shard, which calls a record durable only when it is.

In: records to append, from one thread or several. Out: each record at once, with its number and hash; word that it is
durable later, by `on_batch`, `wait` or `committed`. Guaranteed: the durable records are always a chain without gaps
that begins at 0; `done(None)` is called for a record only after its commit returned; after a failure nothing is taken
until `recover` has read what is really there. Refused by `LedgerError`: see `errors.py`.
Why a thread and no lock around the database: a disk sync takes as long as dozens of decisions, so all records that wait
are committed together while the next ones are decided.
Before: `reader.py`, `tail.py`, `sqlite.py`, `postgres.py`. After: the service, `heads.py`, the commands.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

from lexorder.engine.ledger import rows
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.reader import Reader
from lexorder.engine.ledger.record import Record, chained
from lexorder.engine.ledger.store import DURABILITIES, Store
from lexorder.engine.ledger.tail import Tail, check, tail
from lexorder.engine.ledger.tree import Node, Tiles, leaf_hash

__all__ = ["Done", "Ledger", "LedgerError", "Record"]

Done = Callable[[BaseException | None], None]
"""Called once for a record: with `None` when it is durable, with the reason when it is not."""

BATCH_MAX = 2048
"""Records per commit, at most."""

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of bodies per commit: the last record taken may exceed it."""

WAITING_MAX = 100_000
"""Records that may wait for their commit; beyond that `append` refuses."""

log = logging.getLogger("lexorder.ledger")

_Entry = tuple[Record, Done | None]


class Ledger(Reader):
    """One writer of one shard; make it with `open`.

    Attributes:
        size: How many records were taken, those that still wait included.
        head_hash: The hash of the last one taken.
        failed: Why nothing is taken at present, or `None`.
        on_batch: Called by the writer after every commit and every failure with the `done` callables of its records and
            the error; by default it calls each. A service sets it to hop to its event loop once per batch.
        around_commit: Called by the writer with the number of records and the commit, which it must call once and whose
            errors it must pass on. A service sets it to time commits; there is no clock here.
    """

    def __init__(self, database: Database, shard: int, durability: str) -> None:
        super().__init__(database, shard)
        self.size = 0
        self.head_hash = b""
        self.failed: LedgerError | None = None
        self.on_batch: Callable[[list[Done], BaseException | None], None] = _call_each
        self.around_commit: Callable[[int, Callable[[], None]], None] = lambda _records, commit: commit()
        self._durability = durability
        self._store: Store | None = None
        self._tiles = Tiles()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._recovery = threading.Lock()
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._writer: threading.Thread | None = None

    @classmethod
    def open(cls, url: str, shard: int = 0, *, durability: str = "full", read_only: bool = False) -> Ledger:
        """Open a shard, creating the database's tables and an SQLite file where there are none.

        Args:
            url: `sqlite:////folder/ledger.db` or `postgresql://user:password@host/database`.
            shard: Which chain; each has one writer.
            durability: `full`, or `normal` for measuring what that would lose.
            read_only: No lock, no writer, no migration.

        Raises:
            LedgerError: `ledger-locked`, `ledger-broken`, `ledger-unavailable`, `ledger-url`, `ledger-not-durable`.
        """
        assert durability in DURABILITIES, durability
        ledger = cls(Database(url, read_only=read_only), shard, durability)
        try:
            if read_only:
                ledger.failed = LedgerError("ledger-closed", "the ledger was opened for reading only")
                ledger.database.require()
            else:
                ledger.database.create()
                ledger._store = ledger._opened_store()
            ledger._adopt(tail(ledger.database, shard))
        except LedgerError:
            ledger.close()
            raise
        if not read_only:
            ledger._start()
        return ledger

    def append(  # noqa: PLR0917 (called per decision: keywords would cost a tenth of it)
        self, kind: str, ref: str, account: str, body: bytes, at: str, done: Done | None = None, ring: bool = True
    ) -> Record:
        """Take a record and return it at once; it is durable only when `done(None)` is called. Never waits.

        Waking the writer costs more than a record: who has several of them passes `ring=False` and calls `ring` once.

        Args:
            kind: What it is, such as `decision`.
            ref: What it is about.
            account: The account it concerns, or empty.
            body: JSON; kept byte for byte.
            at: Wall time as `record.instant` writes it.
            done: Called by `on_batch`, in the order of the records.
            ring: Whether to wake the writer for it.

        Raises:
            LedgerError: `ledger-unavailable` and the like while `failed`, `ledger-busy`, `ledger-refused`.
        """
        with self._lock:
            seq = self.size
            if self.failed is not None or seq - self.committed >= WAITING_MAX:
                raise self._refusal()
            record = chained(seq, self.head_hash, kind, at, ref, account, body)
            self._queue.put((record, done))
            self.size = seq + 1
            self.head_hash = record.hash
            if ring:
                self._ring()
        return record

    def ring(self) -> None:
        """Wake the writer for what was appended with `ring=False`."""
        with self._lock:
            self._ring()

    def _ring(self) -> None:
        """The same, under the lock; a writer that was woken and has not looked yet is left alone."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def _refusal(self) -> LedgerError:
        if self.failed is None:
            return LedgerError("ledger-busy", f"{WAITING_MAX} records wait for their commit")
        code = "ledger-unavailable" if self.failed.code == "ledger-unknown" else self.failed.code
        return LedgerError(code, f"nothing is recorded at present: {self.failed.message}")

    def wait(self, seq: int, timeout_s: float) -> None:
        """Return when the record `seq`, which was just appended, is durable.

        Raises:
            LedgerError: the reason why it is not, or `ledger-timeout`.
        """
        with self._changed:
            self._ring()
            settled = self._changed.wait_for(lambda: self.committed > seq or self.failed is not None, timeout_s)
            if self.committed > seq:
                return
            if self.failed is not None:
                raise LedgerError(self.failed.code, self.failed.message)
        assert not settled
        raise LedgerError("ledger-timeout", f"record {seq} was not committed in time")

    def recover(self) -> list[Record]:
        """Go on after a failure, from what is really in the database.

        Returns:
            Records that turned out to be durable although their `done` was called with an error. They stay: the caller
            decides what follows from them.

        Raises:
            LedgerError: when it still fails; `ledger-broken` when records are missing that were called durable.
        """
        with self._recovery:
            if self.failed is None or self.failed.code == "ledger-closed":
                return []
            self._close_store()
            self.database.close()  # idle connections may still hold a file that is no longer the one of that name
            store = self._opened_store()
            try:
                end = tail(self.database, self.shard)
                surprises = self._since(end)
            except LedgerError:
                store.close()
                raise
            return surprises if self._resumed(store, end) else []

    def _resumed(self, store: Store, end: Tail) -> bool:
        """Take records again, unless the ledger was closed meanwhile."""
        with self._changed:
            assert self.failed is not None
            closed = self.failed.code == "ledger-closed"
            if not closed:
                self._store, self.failed = store, None
                self._adopt(end)
                self._start()
        if closed:
            store.close()
        return not closed

    def _since(self, end: Tail) -> list[Record]:
        """The records after those we called durable, which must still be there."""
        known = self.committed
        if end.size < known:
            raise LedgerError("ledger-broken", f"{known} records were durable, {end.size} are there")
        found: list[Record] = []
        with self.database.connect() as connection:
            while (start := known - 1 + len(found) if known else len(found)) < end.size:
                page = rows.page(connection, self.shard, start, end.size, {})
                if not page:
                    raise LedgerError("ledger-broken", f"record {start} is missing")
                found += page
        check(found)
        if known and (not found or found[0].hash != self.committed_hash):
            raise LedgerError("ledger-broken", f"record {known - 1} is not the one that was durable")
        return found[1:] if known else found

    def close(self) -> None:
        """Commit what waits, then give connection and lock back. Appending afterwards is refused."""
        with self._lock:
            writer, self._writer = self._writer, None
            if self.failed is None:
                self._queue.put(None)
                self._ring()
            self.failed = LedgerError("ledger-closed", "the ledger was closed")
        if writer is not None and writer is not threading.current_thread():
            writer.join()
        self._close_store()
        self.database.close()

    def _opened_store(self) -> Store:
        # Each driver is imported by those who use it.
        if self.database.path is not None:
            from lexorder.engine.ledger.sqlite import SqliteStore

            return SqliteStore(self.database.path, self.shard, self._durability)
        from lexorder.engine.ledger.postgres import PostgresStore

        return PostgresStore(self.database.url, self.shard, self._durability)

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _adopt(self, end: Tail) -> None:
        self.committed = self.size = end.size
        self.committed_hash = self.head_hash = end.hash
        self._tiles = end.tiles

    def _start(self) -> None:
        self._writer = threading.Thread(target=self._write_batches, name=f"ledger-{self.shard}", daemon=True)
        self._writer.start()

    def _write_batches(self) -> None:
        """The writer thread: ends when the ledger is closed or a commit fails."""
        more = True
        while more:
            batch, more = self._taken()
            try:
                self._commit(batch)
            except LedgerError as error:
                self._fail(batch, error)
                return
            except Exception as error:  # a defect: nothing of this batch may be called durable
                log.exception("the ledger's writer failed")
                self._fail(batch, LedgerError("ledger-unknown", f"the writer failed: {type(error).__name__}"))
                return

    def _taken(self) -> tuple[list[_Entry], bool]:
        """What waits, once the bell has rung; whether more may come."""
        self._bell.get()
        with self._lock:
            self._rung = False  # from here on an append rings anew
        batch: list[_Entry] = []
        size = 0
        while self._queue.qsize():  # nobody else takes from it while the writer lives
            if len(batch) >= BATCH_MAX or size >= BATCH_BYTES_MAX:
                self.ring()
                break
            entry = self._queue.get()
            if entry is None:
                return batch, False
            batch.append(entry)
            size += len(entry[0].body)
        return batch, True

    def _commit(self, batch: list[_Entry]) -> None:
        records = [record for record, _ in batch]
        if not records:
            return
        self._check_links(records)
        nodes = self._completed_nodes(records)
        made: list[bool] = []
        self.around_commit(len(records), partial(self._write, records, nodes, made))
        if made != [True]:  # whoever stands around the commit must not be believed when it was not made
            raise LedgerError("ledger-unknown", "it cannot be told whether the commit was made")
        with self._changed:
            self.committed = records[-1].seq + 1
            self.committed_hash = records[-1].hash
            self._changed.notify_all()
        self._tell(batch, None)

    def _write(self, records: Sequence[Record], nodes: Sequence[Node], made: list[bool]) -> None:
        assert self._store is not None
        self._store.write(records, nodes)
        made.append(True)

    def _check_links(self, records: Sequence[Record]) -> None:
        """The last look before they are written: each follows the one before, the first the last durable one."""
        seq, before = self.committed, self.committed_hash
        for record in records:
            if record.seq != seq or record.prev != before:
                raise LedgerError("ledger-broken", f"record {record.seq} does not follow the chain")
            seq, before = seq + 1, record.hash

    def _completed_nodes(self, records: Sequence[Record]) -> list[Node]:
        nodes: list[Node] = []
        for record in records:
            nodes += self._tiles.add(leaf_hash(record.hash), record.seq)
        return nodes

    def _fail(self, batch: list[_Entry], error: LedgerError) -> None:
        """Nothing of the batch, and nothing that waits behind it, is durable as far as we know."""
        behind: list[_Entry] = []
        with self._changed:
            if self.failed is None:  # otherwise it is being closed, and stays so
                self.failed = error
            while not self._queue.empty():
                entry = self._queue.get()
                if entry is not None:
                    behind.append(entry)
            while not self._bell.empty():  # or the next writer would look before there is anything
                self._bell.get()
            self._rung = False
            self.size, self.head_hash = self.committed, self.committed_hash
            self._changed.notify_all()
        self._tell(batch, error)
        if behind:
            self._tell(behind, LedgerError("ledger-unavailable", f"a commit before it failed: {error.message}"))

    def _tell(self, batch: list[_Entry], error: LedgerError | None) -> None:
        waiting = [done for _, done in batch if done is not None]
        if not waiting:
            return
        try:
            self.on_batch(waiting, error)
        except Exception:  # the records stay as they are; who was not told has no answer to send
            log.exception("a callback of the ledger failed")


def _call_each(waiting: list[Done], error: BaseException | None) -> None:
    for done in waiting:
        done(error)
