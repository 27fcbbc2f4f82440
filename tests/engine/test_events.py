"""Events on a live desk: the exact new snapshot, chained hashes, refusals."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    SingleChanged,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.facts import load_snapshot, record
from lexorder.engine.snapshot import Snapshot
from tests.worlds import VOCABULARY, position, working, world


@pytest.fixture
def start() -> Snapshot:
    document = world(positions=[position("ACME", 10)], working_orders=[working("W", "ACME", "buy", 20)])
    return load_snapshot(document, VOCABULARY)


def fill(quantity: int, side: str = "buy", order: str = "", symbol: str = "ACME", account: str = "A") -> Fill:
    cash = Fraction(-100 * quantity if side == "buy" else 100 * quantity)
    return Fill(account, symbol, side, Fraction(quantity), cash, order)


def held(snapshot: Snapshot, symbol: str = "ACME") -> object:
    return snapshot.positions["A"][symbol]["position.before.quantity"]


def test_a_fill_moves_position_cash_and_working_order(start: Snapshot) -> None:
    partial = after(start, fill(5, order="W"))
    assert held(partial) == 15
    assert partial.accounts["A"]["account.cash"] == 99_500
    assert partial.working_orders[0]["working_order.quantity"] == 15
    whole = after(partial, fill(15, order="W"))
    assert whole.working_orders == ()
    assert held(whole) == 30


def test_a_fill_in_a_new_name_opens_a_position(start: Snapshot) -> None:
    assert held(after(start, fill(3, "sell_short", symbol="BETA")), "BETA") == -3


def test_the_old_snapshot_stays(start: Snapshot) -> None:
    before = (start.hash, held(start))
    after(start, fill(5, order="W"))
    assert (start.hash, held(start)) == before


@pytest.mark.parametrize(
    "event",
    [
        fill(21, order="W"),
        fill(1, order="NOPE"),
        fill(1, symbol="NOPE"),
        fill(1, account="NOPE"),
        InstrumentChanged("NOPE", {}),
        AccountChanged("NOPE", {}),
        TraderChanged("NOPE", {}),
        WorkingRemoved("NOPE"),
        WorkingAdded(record(VOCABULARY, "working_order", working("W", "ACME", "buy", 1), "w")),
    ],
)
def test_what_does_not_fit_is_refused(start: Snapshot, event: Event) -> None:
    with pytest.raises(SnapshotError):
        after(start, event)


def test_hashes_chain_and_replay(start: Snapshot) -> None:
    events: list[Event] = [
        fill(5, order="W"),
        InstrumentChanged("ACME", {"instrument.mark": Fraction(101)}),
        AccountChanged("A", {"account.nav": Fraction(99_999)}),
        WorkingRemoved("W"),
        SingleChanged({"lists.restricted": frozenset({"BETA"})}),
        TraderChanged("T", {"trader.traded_today": Fraction(5)}),
    ]
    one = two = start
    seen = {start.hash}
    for event in events:
        one, two = after(one, event), after(two, event)
        assert one.hash == two.hash
        seen.add(one.hash)
    assert len(seen) == len(events) + 1
    turned = after(after(start, events[1]), events[0])
    assert turned.hash != after(after(start, events[0]), events[1]).hash


def test_a_new_time_moves_the_snapshot(start: Snapshot) -> None:
    later = load_snapshot(world(time="2026-06-15T12:05:00-04:00"), VOCABULARY)
    assert after(start, SingleChanged({"clock.now": later.time})).time == later.time
