"""The tables of the ledger's database, as SQLAlchemy sees them.

In: nothing. Out: `records`, `tree_nodes`, `api_keys`. Guaranteed: they say what the migrations create (a test compares
both on both databases). Why keys stand beside the records: one file to back up, one place to lock, and a key that was
revoked stays revoked when the service moves.
Before: nothing. After: `rows.py`, `migrations/`, and the service's access checks.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

records = Table(
    "records",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("prev", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("records_by_ref", "shard", "ref", "seq"),
    Index("records_by_account", "shard", "account", "seq"),
)
"""One row per record; the database itself refuses to update or delete one."""

tree_nodes = Table(
    "tree_nodes",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
"""Roots of complete subtrees of 256, 65,536, … records: `level` 8, 16, …"""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("accounts", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("expires", Text, nullable=True),
    Column("created", Text, nullable=False),
    Column("revoked", Text, nullable=True),
)
"""Keys of callers: the hash of the key, never the key; `owner` is the human who answers for it,
`accounts` and `scopes` are JSON lists or `null` for all, times as in records."""
