"""Whether a batch of events can be taken whole, found out before any of it is.

In: the events of one batch, what the desk knows now. Out: nothing. Guaranteed: a batch that passes is taken by the desk
to its last event, so that a refused batch has changed nothing, and nothing has changed without a record. Refused by
SnapshotError, naming the row where there is one: holdings of unknown accounts or instruments, working orders to be
removed that are not there, fills told before, larger than their working order or of another one than they name; lists
that would name what is no longer known. Why a rehearsal and no undoing: a desk keeps sums and evaluators that cannot be
turned back. Before: `engine/events.py`, `engine/listing.py`. After: `feed_events.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lexorder.api.service.shards import ALONE, Part
from lexorder.engine import events as e
from lexorder.engine.covered import REFERENCE
from lexorder.engine.errors import SnapshotError
from lexorder.engine.listing import ListChanged, relisted
from lexorder.engine.names import Vocabulary
from lexorder.engine.records import Records
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot, signed

ONE = Fraction(1)

Told = e.Event | ListChanged
"""What a desk can be told."""


@dataclass(frozen=True, slots=True)
class Known:
    """What rows are read against: the vocabulary, the desk's facts, its working orders by id, its recorded fills.

    `part` says whose working orders these are, where there are several workers.
    """

    vocabulary: Vocabulary
    snapshot: Snapshot
    working: Mapping[str, Facts]
    fills: Records
    part: Part = ALONE

    def owns(self, account: str) -> bool:
        """Whether the working orders of an account are kept here."""
        return self.part.owns(self.snapshot.accounts, account)


@dataclass(slots=True)
class _Rehearsal:
    """A batch so far: working orders as it leaves them (None: gone), ids of its fills."""

    known: Known
    working: dict[str, Facts | None] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)

    def order(self, key: str) -> Facts | None:
        """A working order as it is by now."""
        return self.working[key] if key in self.working else self.known.working.get(key)

    def take(self, event: Told, where: str) -> None:
        """One event more. Raises SnapshotError."""
        if isinstance(event, e.PositionSet):
            self._position(event, where)
        elif isinstance(event, e.WorkingRemoved):
            if self.order(event.id) is None:
                raise SnapshotError("unknown-thing", where, "is no working order")
            self.working[event.id] = None
        elif isinstance(event, e.WorkingAdded):
            self.working[str(event.facts["working_order.id"])] = event.facts
        elif isinstance(event, e.Fill):
            self._fill(event, where)

    def _position(self, event: e.PositionSet, where: str) -> None:
        if event.account not in self.known.snapshot.accounts or event.symbol not in self.known.snapshot.instruments:
            raise SnapshotError("unknown-thing", where, "names an account or instrument that is not known")

    def _fill(self, event: e.Fill, where: str) -> None:
        key = str(event.facts["fill.id"])
        if key in self.filled or self.known.fills.knows(key):
            raise SnapshotError("duplicate-thing", f"{where}.id", "was told before")
        self.filled.add(key)
        if event.working_order:
            self.working[event.working_order] = self._rest(event, where)

    def _rest(self, event: e.Fill, where: str) -> Facts | None:
        """What a fill leaves of its working order."""
        facts = self.order(event.working_order)
        rest = -event.quantity if facts is None else facts["working_order.quantity"] - event.quantity  # type: ignore[operator]
        if facts is None or rest < 0:
            raise SnapshotError("out-of-bounds", f"{where}.quantity", "is more than its working order has left")
        mine = (event.account, event.symbol, signed(event.side, ONE))
        sided = signed(str(facts["working_order.side"]), ONE)
        if mine != (facts["working_order.account"], facts["working_order.symbol"], sided):
            raise SnapshotError("bad-value", f"{where}.order", "is a working order of another account, symbol or side")
        return {**facts, "working_order.quantity": rest} if rest else None


def admit(events: Sequence[Told], known: Known) -> None:
    """Nothing when the desk will take all of these events. Raises SnapshotError."""
    rehearsal = _Rehearsal(known)
    for n, event in enumerate(events):
        rehearsal.take(event, f"items[{n}]")
    _rehearse_lists(events, known.snapshot)


def _rehearse_lists(events: Sequence[Told], snapshot: Snapshot) -> None:
    """Refuse the batch when a list would name what is not known after one of its events."""
    concerned = [event for event in events if _moves_lists(event)]
    if not concerned:  # nearly always: prices move none
        return
    instruments = dict(snapshot.instruments)
    seen = replace(snapshot, instruments=instruments)
    for event in concerned:
        if isinstance(event, ListChanged):
            seen, _ = relisted(seen, event)
        elif isinstance(event, e.InstrumentSet | e.InstrumentChanged):
            relisted(seen, event)
            instruments[event.symbol] = {**instruments.get(event.symbol, {}), **event.facts}


def _moves_lists(event: Told) -> bool:
    """Whether an event may change what a list covers."""
    if isinstance(event, e.InstrumentChanged):
        return not REFERENCE.isdisjoint(event.facts)
    return isinstance(event, ListChanged | e.InstrumentSet)
