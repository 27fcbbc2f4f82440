"""Records whose content has moved to an archive: emptied in the database, whole in a file, one chain still.

In: a database and a number up to which records were archived; archives to read beside the ledger. Out: rows of kind
`cut` that keep number, time and both hashes; or the entries of a cut ledger with the archives' content put back.
Guaranteed: nothing but the content is touched, so tree, roots, proofs and signed heads stay what they were; a verifier
finds a cut ledger sound only together with all its archives, and needs no rule of its own for it; the database
refuses changes of records again when the transaction ends, however it ends. Refused by `LedgerError`: what the database
refuses. Why rows stay: a prefix that is gone could not be told from one that was stolen.
Before: `database.py`, `verify_ledger.py`. After: `audit.py`, the service's retention.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, text, update

from lexorder.engine.ledger.database import Database
from lexorder.engine.ledger.tables import records
from lexorder.engine.ledger.verify_ledger import Entry, entries_of_lines

CUT = "cut"
"""Kind of a record whose content is in an archive."""

SQLITE_GUARD = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'records'"


def cut(database: Database, shard: int, stop: int, kinds: Collection[str]) -> int:
    """Empty the records of these kinds before `stop`; returns how many. May be repeated.

    The caller holds the shard's lock and has made sure that an archive holds every one of them.
    """
    c = records.c
    emptied = (
        update(records)
        .where(c.shard == shard, c.seq < stop, c.kind.in_(list(kinds)))
        .values(kind=CUT, ref="", account="", body=b"")
    )
    with database.begin() as connection:
        if database.path is not None:
            connection.execute(text("PRAGMA secure_delete = ON"))  # or the content stays readable in free pages
        guard = _lift(connection)
        count = connection.execute(emptied).rowcount
        for statement in guard:
            connection.execute(text(statement))
    if database.path is not None:
        _compact(database)
    return int(count)


def _lift(connection: Connection) -> list[str]:
    """Let records be changed until the statements that are returned are run, or the transaction is rolled back."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("ALTER TABLE records DISABLE TRIGGER records_no_change"))
        return ["ALTER TABLE records ENABLE TRIGGER records_no_change"]
    guard = connection.execute(text(SQLITE_GUARD)).all()
    for name, _ in guard:
        connection.execute(text(f'DROP TRIGGER "{name}"'))
    return [statement for _, statement in guard]


def _compact(database: Database) -> None:
    """Give the room back, also that of the log beside the file, which still holds the old pages."""
    with database.connect() as connection:
        connection.execute(text("VACUUM"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def with_archives(entries: Iterable[Entry], archives: Sequence[Path]) -> Iterator[Entry]:
    """The entries of a ledger, cut ones with their content from the archives, which are in the order of the records.

    What no archive holds, or holds with other hashes, stays as it is: the verifier will say so.
    """
    archived = (entry for path in archives for entry in entries_of_lines(path))
    at: Entry | None = next(archived, None)
    for entry in entries:
        while at is not None and _number(at) < _number(entry):
            at = next(archived, None)
        whole = at is not None and at[0] == entry[0] and entry[1] == CUT and at[6:] == entry[6:]
        yield at if whole and at is not None else entry


def _number(entry: Entry) -> int:
    """The number of an entry; before all others when it is damaged."""
    return entry[0] if type(entry[0]) is int else -1
