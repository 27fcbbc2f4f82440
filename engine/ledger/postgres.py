"""Writing a shard to PostgreSQL.

In: records that follow each other. Out: nothing, once the server has them on disk. Guaranteed: the lock of the shard
and the records use one session, so a writer that lost its lock has lost its way to write; `synchronous_commit=on`
unless asked otherwise. Refused: a second writer (`ledger-locked`), a server that runs with `fsync` or
`full_page_writes` off (`ledger-not-durable`). Why COPY in binary: one round trip for any number of records, and no
quoting to get wrong.
Before: `store.py`, `database.py`. After: `ledger.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pg8000 import dbapi
from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy import URL

from lexorder.engine.ledger.database import connect_server
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.tree import Node

LOCK_CLASS = 0x6C6578
"""First half of the advisory lock's key, the letters `lex`; the second half is the shard."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
RECORD_HEAD = struct.Struct(">hiiiqi")
NODE_ROW = struct.Struct(">hiiiiiqi")
LENGTH = struct.Struct(">i")

SYNCHRONOUS = {"full": "on", "normal": "off"}
SERVER_SETTINGS = ("fsync", "full_page_writes")
FULL_DISK = "53100"
CUT_OFF = ("08", "57P")
"""First characters of SQLSTATE when the connection failed or the server shuts down."""

Lost = (InterfaceError, OSError, struct.error)
"""What pg8000 raises when the connection breaks, also in the middle of an answer."""


class PostgresStore:
    """The only writer of one shard of a PostgreSQL database."""

    def __init__(self, url: URL, shard: int, durability: str) -> None:
        self._shard = shard
        self._connection = _connected(url)
        try:
            self._prepare(durability)
        except (DatabaseError, *Lost) as error:
            self.close()
            raise _error(error, "ledger-unavailable") from None
        except LedgerError:
            self.close()
            raise

    def _prepare(self, durability: str) -> None:
        cursor = self._connection.cursor()
        self._connection.autocommit = True
        cursor.execute(f"SET synchronous_commit = {SYNCHRONOUS[durability]}")
        for name in SERVER_SETTINGS if durability == "full" else ():
            if _scalar(cursor, f"SHOW {name}") != "on":
                raise LedgerError("ledger-not-durable", f"the server runs with `{name}` off: a power cut loses commits")
        if not _scalar(cursor, f"SELECT pg_try_advisory_lock({LOCK_CLASS}, {self._shard:d})"):
            raise LedgerError("ledger-locked", "another process writes this shard")

    def write(self, records: Sequence[Record], nodes: Sequence[Node]) -> None:
        """See `Store.write`."""
        # One statement is one transaction by itself; with nodes there are two, which need one around them.
        self._connection.autocommit = not nodes
        outcome = "ledger-unavailable" if nodes else "ledger-unknown"
        try:
            cursor = self._connection.cursor()
            _copy(cursor, "records", _record_rows(self._shard, records))
            if nodes:
                _copy(cursor, "tree_nodes", _node_rows(self._shard, nodes))
                outcome = "ledger-unknown"
                self._connection.commit()
        except (DatabaseError, *Lost) as error:
            raise _error(error, outcome) from None

    def close(self) -> None:
        """See `Store.close`."""
        try:
            self._connection.close()
        except (DatabaseError, *Lost):
            pass  # the server is gone, and the lock with it


def _connected(url: URL) -> dbapi.Connection:
    try:
        return connect_server(url)
    except (DatabaseError, *Lost) as error:
        raise _error(error, "ledger-unavailable") from None


def _error(error: BaseException, outcome: str) -> LedgerError:
    """The error to report; `outcome` is the code when the connection broke."""
    facts = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    state = str(facts.get("C", ""))
    if state == FULL_DISK:
        return LedgerError("ledger-full", "the database server has no room")
    if state == "23505":
        return LedgerError("ledger-broken", "another record already has this number")
    if not facts or state.startswith(CUT_OFF):
        return LedgerError(outcome, "the connection to the database server broke")
    return LedgerError("ledger-unavailable", f"the database server refused with SQLSTATE {state}")


def _scalar(cursor: dbapi.Cursor, statement: str) -> Any:
    cursor.execute(statement)
    row = cursor.fetchone()
    return row[0] if row else None


def _copy(cursor: dbapi.Cursor, table: str, rows: bytes) -> None:
    cursor.execute(f"COPY {table} FROM STDIN WITH (FORMAT binary)", stream=[rows])


def _record_rows(shard: int, records: Sequence[Record]) -> bytes:
    parts = [SIGNATURE]
    for r in records:
        parts.append(RECORD_HEAD.pack(9, 4, shard, 8, r.seq, len(r.kind.encode())))
        parts.append(r.kind.encode())
        for value in (r.at.encode(), r.ref.encode(), r.account.encode(), r.body, r.prev, r.hash):
            parts += (LENGTH.pack(len(value)), value)
    return b"".join((*parts, TRAILER))


def _node_rows(shard: int, nodes: Sequence[Node]) -> bytes:
    rows = [NODE_ROW.pack(4, 4, shard, 4, level, 8, at, len(digest)) + digest for level, at, digest in nodes]
    return b"".join((SIGNATURE, *rows, TRAILER))
