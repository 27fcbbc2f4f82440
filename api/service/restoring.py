"""A floor from the ledger, and the first records of an empty one.

In: a fresh floor and a ledger; the folder of the first rule book. Out: the floor as the records make it. Guaranteed:
of what came before the latest snapshot only what outlives a snapshot is read (books, limits, trading states,
overrides, breaches); from the snapshot on every record is applied in order; the clock runs on from the last record.
Refused: LedgerError; a record the floor cannot take means a ledger of another version and stops the start. Before:
`floor.py`. After: `service.py`, `replay.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from lexorder.api.service.floor import Floor
from lexorder.api.service.open_breaches import KINDS as BREACHES
from lexorder.api.service.rule_books import read_folder
from lexorder.engine.ledger.record import Record

LASTING = ("rulebook", "limit", "trading-state", "override", *BREACHES)
"""Kinds of records that outlive a snapshot."""

SYSTEM = "system"
"""Who takes the first steps."""


class Readable(Protocol):
    """What is read from."""

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
        kind: str | None = None,
        account: str | None = None,
        ref: str | None = None,
    ) -> Iterator[Record]:
        """Durable records in order."""
        ...

    def find(self, ref: str, kind: str) -> Record | None:
        """The newest one."""
        ...


def restore(floor: Floor, ledger: Readable) -> None:
    """Apply the ledger to a fresh floor. Raises LedgerError."""
    latest = ledger.find("snapshot", "snapshot")
    start = 0 if latest is None else latest.seq
    last: Record | None = None
    for record in lasting(ledger, start):
        floor.apply(record.kind, msgspec.json.decode(record.body))
    for record in ledger.read(start):
        floor.apply(record.kind, msgspec.json.decode(record.body))
        last = record
    if last is not None and floor.desk is not None:
        floor.clock.resume(floor.desk.time, datetime.fromisoformat(last.at))


def lasting(ledger: Readable, stop: int) -> list[Record]:
    """Records before `stop` that outlive a snapshot, in order."""
    found = [record for kind in LASTING for record in ledger.read(0, stop, kind=kind)]
    return sorted(found, key=lambda record: record.seq)


def first_records(rules: Path, floor: Floor) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, reference and body of the records with which an empty ledger begins: the first book, an empty snapshot."""
    files = read_folder(rules)
    book = floor.books.load(files)
    now = floor.clock.now().isoformat()
    plain = {"now": now, "by": SYSTEM, "id": book.hash}
    floor.books.loaded[book.hash] = book
    upload = {"action": "upload", "name": rules.name, "files": files, "rules": len(book.versions)}
    yield "rulebook", book.hash, {**plain, **upload}
    yield "rulebook", book.hash, {**plain, "action": "activate"}
    yield "snapshot", "snapshot", {"now": now, "by": SYSTEM, "document": {"time": now}}
