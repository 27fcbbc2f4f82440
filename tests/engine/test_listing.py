"""Lists on a live desk: after any event they are those of a snapshot loaded anew."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from lexorder.engine.dated_lists import entries
from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import Event, InstrumentChanged, SingleChanged
from lexorder.engine.listing import ListChanged
from tests.worlds import book, desk, instrument, order, world

RULES = book("rule: listed\ntitle: T\nrequire: order.symbol not in lists.restricted")
ENTRY = {"name": "ACME", "from": "2026-06-16", "until": "2026-06-17", "reason": "x"}
CALL = instrument("ACME.C", issuer="CLEARER", group="CLEARER", underlying="ACME.C")


def made(*listed: Any, make: Any = fast) -> Desk:
    """A desk that has already checked an order, so that its evaluators stand."""
    document = world(instruments=[instrument("ACME"), instrument("BETA"), CALL], lists={"restricted": list(listed)})
    found = desk(RULES, document, make)
    found.check(order(symbol="BETA"))
    return found


def stopped(on: Desk) -> set[str]:
    """The symbols the desk stops, by its decisions."""
    return {s for s in ("ACME", "BETA", "ACME.C") if not on.check(order(symbol=s)).approved}


def on_day(day: int) -> SingleChanged:
    """A new trade date."""
    moment = datetime.fromisoformat(f"2026-06-{day}T12:00:00-04:00")
    return SingleChanged({"clock.date": date(2026, 6, day), "clock.now": moment})


@pytest.mark.parametrize("make", [fast, slow])
def test_entries_begin_and_end_while_the_desk_runs(make: Any) -> None:
    live = made(ENTRY, make=make)
    for day, expected in ((15, set()), (16, {"ACME"}), (17, {"ACME"}), (18, set())):
        live.apply(on_day(day))
        assert stopped(live) == expected, day


@pytest.mark.parametrize("make", [fast, slow])
def test_a_new_list_counts_from_the_next_order(make: Any) -> None:
    live = made(make=make)
    assert stopped(live) == set()
    live.apply(ListChanged("restricted", entries([{"name": "ACME", "kind": "issuer"}], "lists.restricted")))
    assert stopped(live) == {"ACME"}
    live.apply(SingleChanged({"lists.restricted": frozenset({"CLEARER"})}))
    assert stopped(live) == {"ACME.C"}
    live.apply(ListChanged("restricted", ()))
    assert stopped(live) == set()


def test_bare_names_of_an_event_outlast_the_day() -> None:
    live = made(ENTRY)
    live.apply(SingleChanged({"lists.restricted": frozenset({"BETA"})}))
    live.apply(on_day(16))
    assert stopped(live) == {"BETA"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"instrument.underlying": "ACME"}, {"ACME", "ACME.C"}),
        ({"instrument.issuer": "ACME"}, {"ACME", "ACME.C"}),
        ({"instrument.group": "ACME"}, {"ACME", "ACME.C"}),
        ({"instrument.sector": "ACME"}, {"ACME"}),
    ],
)
def test_new_reference_data_moves_an_instrument_on_and_off(change: dict[str, Any], expected: set[str]) -> None:
    live = made("ACME")
    live.apply(InstrumentChanged("ACME.C", change))
    assert stopped(live) == expected
    back = {name: "CLEARER" if name != "instrument.underlying" else "ACME.C" for name in change}
    live.apply(InstrumentChanged("ACME.C", back))
    assert stopped(live) == {"ACME"}


def test_an_unknown_entry_is_refused_and_changes_nothing() -> None:
    live = made("ACME")
    before = live.snapshot
    with pytest.raises(SnapshotError, match="unknown-thing"):
        live.apply(ListChanged("restricted", entries(["BETE"], "lists.restricted")))
    assert live.snapshot is before
    assert stopped(live) == {"ACME"}


@pytest.mark.parametrize(
    "event",
    [
        on_day(16),
        SingleChanged({"lists.restricted": frozenset({"BETA"})}),
        InstrumentChanged("ACME.C", {"instrument.underlying": "ACME"}),
    ],
)
def test_both_evaluators_hear_the_same(event: Event) -> None:
    live = made("ACME", ENTRY)
    live.apply(event)
    for symbol in ("ACME", "BETA", "ACME.C"):
        assert live.check(order(symbol=symbol)).reason in ("", "RULE_BREACHED")
