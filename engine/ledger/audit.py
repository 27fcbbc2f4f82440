"""Verifies a shard where it lies, and writes the proof of one record.

In: the address of a ledger, its signed heads, the public key. Out: what `verify_ledger.py` finds, or documents that it
accepts. Guaranteed: nothing is written to the ledger, and one that is damaged is read as it is instead of refused.
Refused by `LedgerError`: no ledger there, no such record.
Before: `verify_ledger.py`, `heads.py`, `lines.py`. After: `api/cli_ledger.py`, the service's ledger routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lexorder.engine.errors import shown
from lexorder.engine.ledger import verify_ledger
from lexorder.engine.ledger.archive import with_archives
from lexorder.engine.ledger.database import Database, wrapped
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.heads import PUBLIC_KEY, Head, public_key, read_heads, verified
from lexorder.engine.ledger.lines import line_of
from lexorder.engine.ledger.reader import Reader
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.rows import PAGE
from lexorder.engine.ledger.tables import records, tree_nodes
from lexorder.engine.ledger.tree import consistent
from lexorder.engine.ledger.verify_ledger import Entry, Nodes, Result

PROOF_FORMAT = "lexorder-proof-1"
CONSISTENCY_FORMAT = "lexorder-consistency-1"


def audit(
    database: Database, shard: int, heads: Sequence[Head], key: Path | None, archives: Sequence[Path] = ()
) -> Result:
    """Everything about a shard: chain, tree, stored nodes, signed heads.

    `archives` hold the content of records that were cut, in the order of the records.

    Raises:
        LedgerError: `ledger-unavailable`, `ledger-key`.
    """
    database.require()
    signed = None
    if key is not None:
        public_key(key)  # for the better error
        signed = verify_ledger.signature_check(key)
    listed = [asdict(head) for head in heads]
    if database.path is None:
        nodes, top = _nodes(database, shard)
        entries = _entries(database, shard, top)
    elif archives:
        nodes, top = verify_ledger.nodes_of_sqlite(database.path, shard)
        entries = verify_ledger.entries_of_sqlite(database.path, shard, top)
    else:
        return verify_ledger.check_file(database.path, shard, listed, signed)
    with wrapped():
        return verify_ledger.check(with_archives(entries, archives), listed, signed, nodes, shard)


def _entries(database: Database, shard: int, top: int) -> Iterator[Entry]:
    """Records of a PostgreSQL ledger up to number `top`, by number, however wrong the numbers are."""
    c = records.c
    after: int | None = None
    while True:
        query = select(c.seq, c.kind, c.at, c.ref, c.account, c.body, c.prev, c.hash).where(
            c.shard == shard, c.seq <= top
        )
        if after is not None:
            query = query.where(c.seq > after)
        with database.connect() as connection:
            page = connection.execute(query.order_by(c.seq).limit(PAGE)).all()
        yield from (tuple(row) for row in page)
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _nodes(database: Database, shard: int) -> tuple[Nodes, int]:
    """Stored nodes, and the newest record at the same moment: one statement sees one state, and the service goes on."""
    n = tree_nodes.c
    last = select(func.coalesce(func.max(records.c.seq), -1).label("top")).where(records.c.shard == shard).subquery()
    joined = last.outerjoin(tree_nodes, n.shard == shard)
    with database.connect() as connection:
        rows = connection.execute(select(last.c.top, n.level, n.position, n.hash).select_from(joined)).all()
    return {(row[1], row[2]): bytes(row[3]) for row in rows if row[1] is not None}, rows[0][0]


def trusted_heads(folder: Path, shard: int) -> tuple[list[Head], Path | None]:
    """The signed heads in a folder with the public key beside them; none and `None` where nothing was signed yet.

    Raises:
        LedgerError: `ledger-broken` when a line is not a head.
    """
    heads = read_heads(folder / f"heads-{shard}.jsonl")
    key = folder / PUBLIC_KEY
    return heads, key if heads or key.exists() else None


def proof(reader: Reader, record: Record, heads: Sequence[Head]) -> str:
    """A document that shows that the record is in the ledger, for someone who has the public key and nothing else.

    The newest signed head that counts the record names the root; without one the root is the present one, unsigned.
    """
    covering = [head for head in heads if record.seq < head.size <= reader.committed]
    head = covering[-1] if covering else None
    size = head.size if head else reader.committed
    document: dict[str, Any] = {
        "format": PROOF_FORMAT,
        "record": json.loads(line_of(record)),
        "size": size,
        "root": reader.root(size).hex(),
        "path": [node.hex() for node in reader.inclusion(record.seq, size)],
        "head": asdict(head) if head else None,
    }
    return json.dumps(document, separators=(",", ":"))


def consistency(reader: Reader, old: int, new: int) -> str:
    """A document that shows that the first `old` records were unchanged when there were `new`.

    Raises:
        LedgerError: `ledger-no-record`, or `ledger-broken` when the stored hashes do not show it.
    """
    path, old_root, new_root = reader.consistency(old, new), reader.root(old), reader.root(new)
    if not consistent(old, new, old_root, new_root, path):
        raise LedgerError("ledger-broken", f"the tree of {new} records does not continue the tree of {old}")
    document = {
        "format": CONSISTENCY_FORMAT,
        "old": old,
        "old_root": old_root.hex(),
        "new": new,
        "new_root": new_root.hex(),
        "path": [node.hex() for node in path],
    }
    return json.dumps(document, separators=(",", ":"))


def record_about(reader: Reader, ref: str, kind: str | None) -> Record:
    """The newest record with this reference, of this kind or of any.

    Raises:
        LedgerError: `ledger-no-record`.
    """
    found = list(reader.read(kind=kind, ref=ref))
    if not found:
        raise LedgerError("ledger-no-record", f"the ledger has no record about {shown(ref)}")
    return found[-1]


def signatures(heads: Sequence[Head], key: Path) -> list[bool]:
    """Which of the heads were signed with the key.

    Raises:
        LedgerError: `ledger-key`.
    """
    public = public_key(key)
    return [verified(head, public) for head in heads]
