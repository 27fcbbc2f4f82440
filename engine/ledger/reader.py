"""Reading, finding and proving records of one shard.

In: a `Database` and a shard. Out: committed records in order, RFC 6962 roots and paths. Guaranteed: nothing that is not
committed is returned; any thread may read while the writer writes. Refused by `LedgerError`: a record or a tree size
that does not exist (`ledger-no-record`), a shard without any (`ledger-no-shard`), a gap (`ledger-broken`).
Before: `database.py`, `rows.py`, `tree.py`. After: `ledger.py` adds writing; `heads.py` and the commands read.
"""

from __future__ import annotations

from collections.abc import Iterator

from lexorder.engine.ledger import rows
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.tree import Tree


def require_shard(database: Database, shard: int) -> None:
    """Refuse a shard that has no record: what is said of nothing would be taken for something. For commands.

    Raises:
        LedgerError: `ledger-no-shard`.
    """
    with database.connect() as connection:
        there = rows.shards(connection)
    if shard not in there:
        others = f"there are {', '.join(map(str, there))}" if there else "nor under any other"
        raise LedgerError("ledger-no-shard", f"nothing was ever recorded under shard {shard}; {others}")


class Reader:
    """One shard, for reading.

    Attributes:
        shard: Its number.
        committed: How many records are durable.
        committed_hash: The hash of the last one of them.
    """

    def __init__(self, database: Database, shard: int) -> None:
        self.database = database
        self.shard = shard
        self.committed = 0
        self.committed_hash = b""

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
        kind: str | None = None,
        account: str | None = None,
        ref: str | None = None,
    ) -> Iterator[Record]:
        """Committed records from `start` on and before `stop`, in order, those that equal what is given.

        Raises:
            LedgerError: `ledger-unavailable`, while they are read.
        """
        given = {"kind": kind, "account": account, "ref": ref}
        equal = {name: value for name, value in given.items() if value is not None}
        end = self.committed if stop is None else min(stop, self.committed)
        while start < end:
            with self.database.connect() as connection:
                page = rows.page(connection, self.shard, start, end, equal)
            yield from page
            if len(page) < rows.PAGE:
                return
            start = page[-1].seq + 1

    def find(self, ref: str, kind: str) -> Record | None:
        """The newest committed record with this reference and kind, `None` when there is none."""
        with self.database.connect() as connection:
            record = rows.find(connection, self.shard, ref, kind)
        return record if record is not None and record.seq < self.committed else None

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree over the first `size` records; over all committed ones by default.

        Raises:
            LedgerError: `ledger-no-record` when there are not that many.
        """
        wanted = self._size(size)
        with self.database.connect() as connection:
            return Tree(rows.fetcher(connection, self.shard)).root(wanted)

    def inclusion(self, seq: int, size: int | None = None) -> list[bytes]:
        """The path that shows that record `seq` is among the first `size`, lowest first.

        Raises:
            LedgerError: `ledger-no-record`.
        """
        wanted = self._size(size)
        if not 0 <= seq < wanted:
            raise LedgerError("ledger-no-record", f"there is no record {seq} among the first {wanted}")
        with self.database.connect() as connection:
            return Tree(rows.fetcher(connection, self.shard)).inclusion(seq, wanted)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The path that shows that the first `old` records are still those of the tree of size `new`.

        Raises:
            LedgerError: `ledger-no-record`.
        """
        wanted = self._size(new)
        if not 0 <= old <= wanted:
            raise LedgerError("ledger-no-record", f"the older size is {old}, the newer one {wanted}")
        with self.database.connect() as connection:
            return Tree(rows.fetcher(connection, self.shard)).consistency(old, wanted)

    def _size(self, size: int | None) -> int:
        if size is None:
            return self.committed
        if not 0 <= size <= self.committed:
            raise LedgerError("ledger-no-record", f"the shard has {self.committed} records, not {size}")
        return size
