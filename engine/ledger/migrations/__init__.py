"""Schema changes, in order, run by Alembic when a ledger is opened."""
