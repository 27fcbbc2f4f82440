"""Recorded decisions, computed again.

In: a ledger, a range of records, and optionally another rule book. Out: for each decision in the range whether the
engine gives the same bytes today, or what it gives instead. Guaranteed: the floor is rebuilt from the ledger exactly as
the service rebuilds it; without another book a decision counts as equal only when every byte of it is; with one, what
is compared is the outcome, the leading reason and the rules that object, since hashes must differ. Refused:
LedgerError, RuleFileError. Why the recorded state and not a recomputed one: an order that was approved counts as
working in the replay because it did then, whatever the other book says about it. Before: `restoring.py`. After:
`cli_replay.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lexorder.api.service.floor import Floor
from lexorder.api.service.restoring import Readable, lasting
from lexorder.api.service.wire import decision_bytes
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.ledger.archive import CUT
from lexorder.engine.ledger.errors import LedgerError
from lexorder.engine.ledger.record import Record
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook


class _Kept(msgspec.Struct):
    """What is read of a recorded decision."""

    order: dict[str, Any]
    decision: msgspec.Raw


class _KeptBatch(msgspec.Struct):
    """What is read of a recorded slice of a batch."""

    mode: str
    reserved: list[int]
    orders: list[dict[str, Any]]
    decisions: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Compared:
    """One decision then and now. `same` says whether it is equal, in the sense the replay asked for."""

    seq: int
    at: str
    account: str
    orders: tuple[str, ...]
    same: bool
    then: Mapping[str, Any]
    now: Mapping[str, Any]


class Replay:
    """Goes through a ledger in order. `book`, when given, decides beside the recorded one."""

    def __init__(self, floor: Floor, ledger: Readable, book: RuleBook | None = None) -> None:
        self.floor = floor
        self.ledger = ledger
        self.book = book
        self._other: Desk | None = None

    def run(self, start: int, stop: int | None = None) -> Iterator[Compared]:
        """The decisions from record `start` up to and without `stop`."""
        base = self._base(start)
        for record in lasting(self.ledger, base):
            self.floor.apply(record.kind, msgspec.json.decode(record.body))
        for record in self.ledger.read(base, stop):
            if record.kind == CUT:
                raise LedgerError("ledger-no-record", f"record {record.seq} was moved to an archive: begin later")
            if record.seq >= start and record.kind in ("decision", "batch"):
                yield from self._again(record)
            else:
                self.floor.apply(record.kind, msgspec.json.decode(record.body))

    def _base(self, start: int) -> int:
        """The latest snapshot at or before `start`: everything after it is applied."""
        found = 0
        for record in self.ledger.read(0, start + 1, kind="snapshot"):
            found = record.seq
        return found

    def _again(self, record: Record) -> Iterator[Compared]:
        """Decide again in the state of then, and then let the state go on as it did."""
        body = msgspec.json.decode(record.body)
        self.floor.move_to(body["now"])
        if record.kind == "decision":
            kept = msgspec.json.decode(record.body, type=_Kept)
            yield self._compared(record, (self.floor.reader.read(kept.order),), bytes(kept.decision))
            self.floor.apply(record.kind, body)
            return
        batch = msgspec.json.decode(record.body, type=_KeptBatch)
        orders = [self.floor.reader.read(order) for order in batch.orders]
        if batch.mode == "basket":
            yield self._compared(record, tuple(orders), bytes(batch.decisions[0]))
            self.floor.apply(record.kind, body)
            return
        for number, (order, then) in enumerate(zip(orders, batch.decisions, strict=True)):
            yield self._compared(record, (order,), bytes(then))
            if number in batch.reserved:
                self.floor.reserve(order)

    def _compared(self, record: Record, orders: tuple[Facts, ...], then: bytes) -> Compared:
        decision = self.floor.decide(orders)
        now = decision_bytes(decision)
        if self.book is not None:
            decision = self._under_other(orders)
            now = decision_bytes(decision)
            same = _gist(msgspec.json.decode(now)) == _gist(msgspec.json.decode(then))
        else:
            same = now == then
        return Compared(
            record.seq,
            record.at,
            decision.account,
            decision.orders,
            same,
            msgspec.json.decode(then),
            msgspec.json.decode(now),
        )

    def _under_other(self, orders: tuple[Facts, ...]) -> Decision:
        """What the other book says, on the facts of the moment."""
        assert self.book is not None
        desk = self.floor.standing
        if self._other is None or self._other.hash != desk.hash:
            self._other = Desk(self.book, desk.snapshot, self.floor.vocabulary, must_cover=True)
        return self._other.check(orders[0]) if len(orders) == 1 else self._other.check_basket(orders)[0]


def _gist(decision: Mapping[str, Any]) -> tuple[Any, ...]:
    """What another book can change: the outcome, its reason, and which rules object."""
    objecting = ((part, f["rule"], f["subject"]) for part in ("violations", "undecided") for f in decision[part])
    return decision["outcome"], decision["reason"], sorted(objecting)
