"""Stores that fail as told, for an open ledger."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.ledger import Ledger
from lexorder.engine.ledger.record import Record
from lexorder.engine.ledger.store import Store
from tests.ledger.entries import WAIT_S, Told, append


@dataclass
class Faulty:
    """A store that fails as told: `plan` gives the fate of the next commits, `fine` afterwards.

    `refused`: certainly not committed. `lost` and `landed`: the connection broke during the commit, before or after it.
    """

    store: Store
    plan: list[str] = field(default_factory=list)
    gate: threading.Event | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    def write(self, records, nodes):
        self.begun.set()
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        fate = self.plan.pop(0) if self.plan else "fine"
        if fate == "refused":
            raise LedgerError("ledger-full", "no room")
        if fate == "defect":
            raise ZeroDivisionError
        if fate != "lost":
            self.store.write(records, nodes)
        if fate != "fine":
            raise LedgerError("ledger-unknown", "the connection broke")

    def close(self):
        self.store.close()


def faulty(ledger: Ledger, *plan: str, gate: threading.Event | None = None) -> Faulty:
    """Let the next commits of an open ledger fail as planned."""
    assert ledger._store is not None
    store = ledger._store = Faulty(ledger._store, list(plan), gate)
    return store


def failing(ledger: Ledger, told: Told, *plan: str, behind: int = 0) -> list[Record]:
    """Append a record whose commit fails, and others that wait behind it; return when all were answered."""
    gate = threading.Event()
    store = faulty(ledger, *plan, gate=gate)
    records = [append(ledger, told, "F0")]
    assert store.begun.wait(WAIT_S)  # from here on the writer takes no more into this commit
    gate_passed = threading.Event()
    records += [append(ledger, told, f"B{i}") for i in range(behind)]
    expected = len(told.answers) + len(records)
    gate.set()
    while len(told.answers) < expected:
        gate_passed.wait(0.001)
    return records
