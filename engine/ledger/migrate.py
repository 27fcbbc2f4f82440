"""Brings the tables of a ledger to the version this code needs, by Alembic.

In: an open connection inside a transaction. Out: the tables. Guaranteed: all or nothing, once, even when several
processes start together (SQLite's write lock and an advisory lock of PostgreSQL see to it). Refused: a database written
by a newer lexorder (`ledger-unavailable`), because an older one would not know what it breaks.
Before: `migrations/`. After: `database.py`.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from lexorder.engine.ledger.errors import LedgerError

HEAD = "0001"
"""The newest version; a test compares it with the files in `migrations/versions/`."""

MIGRATION_LOCK = 0x6C65786F_72646572
"""Any number that nothing else in the database uses: the letters `lexorder`."""


def version_of(connection: Connection) -> str | None:
    """The version of the tables if it is the one this code knows, else `None`."""
    if not inspect(connection).has_table("ledger_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM ledger_version")).scalar()
    return found if found == HEAD else None


def bring_up_to_date(connection: Connection) -> None:
    """Run what is missing.

    Raises:
        LedgerError: `ledger-unavailable` when the database is of a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    if version_of(connection) is not None:
        return
    # Imported here because a service that finds its tables in order never needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "lexorder.engine.ledger:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError:
        raise LedgerError("ledger-unavailable", "the database was written by a newer lexorder") from None
