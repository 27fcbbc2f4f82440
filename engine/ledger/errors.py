"""The one error of the ledger and the closed table of its codes.

In: nothing. Out: `CODES`, code → one line for the manual, and `LedgerError`. Guaranteed: a code outside the table
cannot be raised; `docs/ledger.md` lists exactly these (a test compares them). Every one of them means that a record is
not known to be durable or sound, hence that no answer may leave.
Before: `lexorder.engine.errors`. After: every module here.
"""

from __future__ import annotations

from lexorder.engine.errors import LexorderError

CODES: dict[str, str] = {
    "ledger-unavailable": "the database cannot be reached, read or written; nothing is taken until `recover` succeeds",
    "ledger-full": "the disk or the database has no room; nothing is taken until `recover` succeeds",
    "ledger-broken": "the chain, the tree or the signed head does not fit the records: something changed them",
    "ledger-locked": "another process writes this shard, or holds the database for too long",
    "ledger-busy": "too many records wait to be committed; this one was not taken",
    "ledger-closed": "the ledger was closed, or was opened for reading only",
    "ledger-unknown": "the connection broke during the commit: whether the record is durable shows after `recover`",
    "ledger-timeout": "the record was not committed within the time given",
    "ledger-refused": "a field of the record cannot be stored: too long, not Unicode, a NUL character, a wrong time",
    "ledger-not-durable": "the database server is set up so that a commit can be lost",
    "ledger-url": "the address of the ledger is neither `sqlite:///file` nor `postgresql://user@host/database`",
    "ledger-no-record": "there is no such record, or the tree is not that large",
    "ledger-no-shard": "nothing was ever recorded under that shard: there is nothing to verify, prove or export",
    "ledger-key": "the signing key cannot be read, or others may read it",
}


class LedgerError(LexorderError):
    """A record could not be made durable, read or proved; `code` is one of `CODES`."""

    def __init__(self, code: str, message: str) -> None:
        assert code in CODES, code
        super().__init__(code, message)
