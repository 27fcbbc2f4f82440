"""Runs the migrations on the connection that `migrate.py` hands over.

In: `config.attributes["connection"]`, an open SQLAlchemy connection. Out: the tables of the newest version.
Why no offline mode: nobody writes these statements out by hand.
Before: `tables.py`. After: `migrate.py`, through Alembic, which loads this file by its place.
"""

from __future__ import annotations

from alembic import context

from lexorder.engine.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="ledger_version",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
