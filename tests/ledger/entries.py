"""Records to append in tests, and what became of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.ledger import Ledger, Record

AT = "2026-11-21T09:30:00.000000Z"
WAIT_S = 60
"""Nothing here takes as long; a test that waits in vain must still end."""


@dataclass
class Told:
    """What the ledger said about each record, in the order in which it said it."""

    answers: list[tuple[Record, BaseException | None]] = field(default_factory=list)
    event: threading.Event = field(default_factory=threading.Event)

    def about(self, holder: list[Record]) -> Callable[[BaseException | None], None]:
        """A `done` for the record that will be put in `holder`."""

        def done(error: BaseException | None) -> None:
            # The writer can be faster than `append` returns; the holder is then filled a moment later.
            while not holder:
                threading.Event().wait(0.001)
            self.answers.append((holder[0], error))

        return done

    @property
    def durable(self) -> list[Record]:
        """Records that were called durable."""
        return [record for record, error in self.answers if error is None]

    @property
    def refused(self) -> list[tuple[Record, str]]:
        """The others, with the code they got."""
        return [(record, error.code) for record, error in self.answers if isinstance(error, LexorderError)]


def append(ledger: Ledger, told: Told, ref: str, *, kind: str = "decision", account: str = "A", body: bytes = b"{}") -> Record:  # fmt: skip # noqa: E501
    """One record, about which `told` will hear."""
    holder: list[Record] = []
    holder.append(ledger.append(kind, ref, account, body, AT, told.about(holder)))
    return holder[0]


def fill(ledger: Ledger, count: int, *, size: int = 20) -> list[Record]:
    """That many records, durable when this returns."""
    records = [
        ledger.append("decision" if i % 3 else "event", f"R{i}", f"A{i % 5}", b"x" * (size + i % 7), AT)
        for i in range(ledger.size, ledger.size + count)
    ]
    if records:
        ledger.wait(records[-1].seq, WAIT_S)
    return records
