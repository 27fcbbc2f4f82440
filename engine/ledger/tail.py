"""What the end of a shard says when it is opened: how many records, which hash, and whether it is sound.

In: a `Database`. Out: `Tail`. Guaranteed: the last `CHECKED` records are intact and follow each other, none is missing
below them, the stored nodes are those of that many records. Refused with `ledger-broken`: anything else; a service does
not go on writing behind a damaged end. The whole chain is the verifier's task: it takes minutes, not milliseconds.
Before: `rows.py`. After: `ledger.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lexorder.engine.ledger import rows
from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import GENESIS, Record, follows, intact
from lexorder.engine.ledger.tree import Tiles, tiles_at

CHECKED = 1000
"""Records at the end whose hashes are recomputed."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How many records there are, the hash of the last one, and the hashes that wait for their tile to fill."""

    size: int
    hash: bytes
    tiles: Tiles


def tail(database: Database, shard: int) -> Tail:
    """The end of a shard.

    Raises:
        LedgerError: `ledger-broken`, or `ledger-unavailable` when it cannot be read.
    """
    with database.connect() as connection:
        newest = rows.last(connection, shard)
        size = newest.seq + 1 if newest else 0
        found = rows.count(connection, shard, size)
        if found != size:
            raise LedgerError("ledger-broken", f"record {size - 1} is the last, but {found} records are there")
        end = rows.page(connection, shard, max(0, size - CHECKED), size, {})
        check(end)
        tiles = tiles_at(size, rows.fetcher(connection, shard))
    return Tail(size, newest.hash if newest else GENESIS, tiles)


def check(records: list[Record]) -> None:
    """Raises `ledger-broken` at the first record that is not intact or does not follow the one before it."""
    before: Record | None = None
    for record in records:
        fits = intact(record) if before is None and record.seq else follows(record, before)
        if not fits:
            raise LedgerError("ledger-broken", f"record {record.seq} was changed, or the one before it")
        before = record
