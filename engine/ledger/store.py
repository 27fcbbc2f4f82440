"""What the ledger needs from a database that it writes to.

In: records that follow each other. Out: nothing, once they are durable. Why a protocol: the ledger's order of steps,
which is what keeps an answer from leaving too early, is written and tested once for both databases.
Before: `record.py`, `tree.py`. After: `sqlite.py` and `postgres.py` fulfil it, `ledger.py` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.tree import Node

DURABILITIES = ("full", "normal")
"""`full`: a commit returns when the disk has it. `normal`: a power cut may take the last ones; for measuring only."""


class Store(Protocol):
    """The only writer of one shard; holds a lock that its process loses by ending, however it ends."""

    def write(self, records: Sequence[Record], nodes: Sequence[Node]) -> None:
        """Commit all or nothing; returns when they are durable.

        Raises:
            LedgerError: `ledger-unknown` when nobody can tell whether they were committed, another code when they
                were not.
        """

    def close(self) -> None:
        """Give the connection and the lock back."""
