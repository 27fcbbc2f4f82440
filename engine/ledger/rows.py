"""Reading the tables of the ledger: records, hashes and nodes, on a connection given.

In: an SQLAlchemy connection and a shard. Out: `Record`s and hashes. Guaranteed: nothing is missing from a range of
hashes; a gap is `ledger-broken`. Why pages and no open cursor: a reader that stays in one transaction would keep
SQLite's log from being emptied for as long as it reads.
Before: `tables.py`, `record.py`. After: `reader.py`, `sqlite.py`, `postgres.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.tables import records, tree_nodes
from lexorder.engine.ledger.tree import Fetch, leaf_hash

PAGE = 1000
"""Records read at a time."""

c = records.c
TYPES = (int, str, str, str, str, bytes, bytes, bytes)
COLUMNS = (c.seq, c.kind, c.at, c.ref, c.account, c.body, c.prev, c.hash)


def last(connection: Connection, shard: int) -> Record | None:
    """The newest record, `None` when there is none."""
    query = _of(shard).order_by(c.seq.desc()).limit(1)
    return _record(connection.execute(query).first())


def page(connection: Connection, shard: int, start: int, stop: int, equal: Mapping[str, str]) -> list[Record]:
    """At most `PAGE` records from `start` on and before `stop` whose fields equal those in `equal`, in order."""
    query = _of(shard).where(c.seq >= start, c.seq < stop).order_by(c.seq).limit(PAGE)
    for name, value in equal.items():
        query = query.where(c[name] == value)
    return [record for row in connection.execute(query) if (record := _record(row))]


def find(connection: Connection, shard: int, ref: str, kind: str) -> Record | None:
    """The newest record with this reference and kind."""
    query = _of(shard).where(c.ref == ref, c.kind == kind).order_by(c.seq.desc()).limit(1)
    return _record(connection.execute(query).first())


def count(connection: Connection, shard: int, stop: int) -> int:
    """How many records there are before `stop`; a writer may add others at any time."""
    wanted = select(func.count()).select_from(records).where(c.shard == shard, c.seq < stop)
    return int(connection.execute(wanted).scalar_one())


def shards(connection: Connection) -> list[int]:
    """The shards that have a record, in order; each is one look into the index, however many records there are."""
    found: list[int] = []
    while True:
        later = select(func.min(c.shard)).where(c.shard > (found[-1] if found else -1))
        shard = connection.execute(later).scalar_one()
        if not isinstance(shard, int):  # none is left, or a damaged row holds something else
            return found
        found.append(shard)


def hashes(connection: Connection, shard: int, start: int, stop: int) -> list[bytes]:
    """Hashes of the records from `start` on and before `stop`.

    Raises:
        LedgerError: `ledger-broken` when one is missing.
    """
    query = select(c.hash).where(c.shard == shard, c.seq >= start, c.seq < stop).order_by(c.seq)
    return _complete(connection.execute(query).all(), stop - start, f"records {start} to {stop - 1}")


def nodes(connection: Connection, shard: int, level: int, start: int, stop: int) -> list[bytes]:
    """Hashes of the stored nodes of one level from `start` on and before `stop`.

    Raises:
        LedgerError: `ledger-broken` when one is missing.
    """
    n = tree_nodes.c
    query = select(n.hash).where(n.shard == shard, n.level == level, n.position >= start, n.position < stop)
    found = connection.execute(query.order_by(n.position)).all()
    return _complete(found, stop - start, f"nodes {start} to {stop - 1} of level {level}")


def fetcher(connection: Connection, shard: int) -> Fetch:
    """What a `Tree` asks for the hashes of this shard."""

    def fetch(level: int, start: int, stop: int) -> Sequence[bytes]:
        if level:
            return nodes(connection, shard, level, start, stop)
        return [leaf_hash(digest) for digest in hashes(connection, shard, start, stop)]

    return fetch


def _of(shard: int) -> Select[Any]:
    return select(*COLUMNS).where(c.shard == shard)


def _complete(found: Sequence[Row[Any]], expected: int, what: str) -> list[bytes]:
    if len(found) != expected:
        raise LedgerError("ledger-broken", f"{what}: {expected} were written, {len(found)} are there")
    if not all(type(digest) is bytes and len(digest) == 32 for (digest,) in found):
        raise LedgerError("ledger-broken", f"{what}: one of them is no hash")
    return [digest for (digest,) in found]


def _record(row: Any) -> Record | None:
    if row is None:
        return None
    # SQLite keeps a value of any type in any column, so a damaged row may hold anything.
    if tuple(map(type, row)) != TYPES:
        raise LedgerError("ledger-broken", f"record {row[0]!r:.20} holds values of the wrong type")
    return Record(*row)
