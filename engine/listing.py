"""Lists on a live desk: what an event changes in them, worked out before the evaluators hear of it.

In: a snapshot and an event, or `ListChanged`. Out: the snapshot with its new entries, and the events to apply: the one
that came, with every list it changes as rules read it. Guaranteed: after a new trade date, a new list, or new reference
data of an instrument the lists are those of a snapshot loaded anew; nothing has changed when an entry is refused.
Refused by SnapshotError: what `covered.py` refuses. Why here: the evaluators compare with plain sets, and each would
have to know dates and hierarchies otherwise. Before: `covered.py`, `events.py`. After: `desk.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from lexorder.engine.covered import REFERENCE, Coverage, Lists, lists_on
from lexorder.engine.dated_lists import Entry
from lexorder.engine.events import Event, InstrumentChanged, InstrumentSet, SingleChanged, applied
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot

PREFIX = "lists."


@dataclass(frozen=True, slots=True)
class ListChanged:
    """A list in full, by its name without `lists.`, with the entries from now on (`dated_lists.entries` reads them)."""

    name: str
    entries: tuple[Entry, ...]


def relisted(snapshot: Snapshot, event: Event | ListChanged) -> tuple[Snapshot, tuple[Event, ...]]:
    """The snapshot with its entries as of the event, and the events to apply to it. Raises SnapshotError."""
    if isinstance(event, ListChanged):
        return _resolved(snapshot, {event.name: event.entries}, {})
    if isinstance(event, SingleChanged) and ("clock.date" in event.facts or _lists_in(event.facts)):
        return _resolved(snapshot, _lists_in(event.facts), event.facts)
    if isinstance(event, InstrumentChanged | InstrumentSet) and snapshot.lists and _moves(snapshot, event):
        fresh = _changed(applied(snapshot, event), snapshot.lists)
        return snapshot, (event, *([SingleChanged(fresh)] if fresh else []))
    return snapshot, (event,)


def _moves(snapshot: Snapshot, event: InstrumentChanged | InstrumentSet) -> bool:
    """Whether an instrument is new, or has another issuer, group or underlying now."""
    old = snapshot.instruments.get(event.symbol)
    if old is None:
        return True
    told = REFERENCE if isinstance(event, InstrumentSet) else REFERENCE & event.facts.keys()
    return any(old.get(name) != event.facts.get(name) for name in told)


def _lists_in(facts: Facts) -> Lists:
    """The lists an event names: bare names, which count from now on and were read elsewhere."""
    return {
        name.removeprefix(PREFIX): tuple(Entry(entry, elsewhere=True) for entry in sorted(value))
        for name, value in facts.items()
        if name.startswith(PREFIX) and isinstance(value, frozenset)
    }


def _resolved(snapshot: Snapshot, lists: Lists, facts: Facts) -> tuple[Snapshot, tuple[Event, ...]]:
    known = replace(snapshot, lists={**snapshot.lists, **lists})
    day = facts.get("clock.date")
    fresh = _on(known, known.lists, day) if isinstance(day, date) else _on(known, lists, None)
    return known, (SingleChanged({**facts, **fresh}),)


def _changed(snapshot: Snapshot, lists: Lists) -> Facts:
    """The lists that read differently now."""
    return {name: value for name, value in _on(snapshot, lists, None).items() if snapshot.single.get(name) != value}


def _on(snapshot: Snapshot, lists: Lists, day: date | None) -> dict[str, frozenset[str]]:
    today = day or snapshot.single.get("clock.date", snapshot.time.date())
    assert isinstance(today, date)
    return lists_on(lists, today, Coverage(snapshot.instruments, snapshot.hierarchy))
