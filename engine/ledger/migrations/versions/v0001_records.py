"""Records, nodes of the tree, keys of callers; records can be added, not changed.

In: an empty database. Out: the three tables and the triggers that refuse UPDATE and DELETE on records. Why triggers,
when a hash chain shows every change: a mistaken statement should fail when it is made, not at the next audit.
Before: nothing. After: the next version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

SQLITE_REFUSAL = """
CREATE TRIGGER records_no_{verb} BEFORE {verb} ON records
BEGIN SELECT RAISE(ABORT, 'records of the ledger are never changed'); END
"""
POSTGRES_REFUSAL = (
    """
CREATE FUNCTION records_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'records of the ledger are never changed'; END $$
""",
    """
CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON records
FOR EACH STATEMENT EXECUTE FUNCTION records_refuse()
""",
)


def upgrade() -> None:
    """Create everything."""
    _create_records()
    _create_api_keys()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE_REFUSAL.format(verb=verb))
    else:
        for statement in POSTGRES_REFUSAL:
            op.execute(statement)


def _create_records() -> None:
    op.create_table(
        "records",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("prev", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("records_by_ref", "records", ["shard", "ref", "seq"])
    op.create_index("records_by_account", "records", ["shard", "account", "seq"])
    op.create_table(
        "tree_nodes",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("accounts", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("expires", sa.Text, nullable=True),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("revoked", sa.Text, nullable=True),
    )
