"""The state changed in place equals the snapshot after the same events."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    Fill,
    FillRecorded,
    InstrumentChanged,
    PositionSet,
    SingleChanged,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.freshness import Freshness, duration
from lexorder.engine.live import Live
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project, read
from tests.agreement import happenings, worlds
from tests.agreement.compare import VOCABULARY


def same(live: Live, snapshot) -> None:
    """Projections are what evaluators read; they must be equal with and without orders, in order too."""
    order = worlds.order(Random(2), 1, 3)
    for orders in ((), (order,)):
        mine = live.projection(worlds.ACCOUNT, orders)
        theirs = project(snapshot, VOCABULARY, worlds.ACCOUNT, orders)
        assert (mine.positions, list(mine.positions)) == (theirs.positions, list(theirs.positions))
        assert mine.working == theirs.working
        assert mine.orders == theirs.orders
    for name in ("accounts", "instruments", "traders", "strategies", "single", "time"):
        assert getattr(live.snapshot, name) == getattr(snapshot, name)
    for name in ("working_orders", "fills", "quotes", "signals"):
        assert tuple(getattr(live.snapshot, name)) == tuple(getattr(snapshot, name))
    for account in (worlds.ACCOUNT, "B", "C"):
        mine, theirs = live.projection(account, ()), project(snapshot, VOCABULARY, account, ())
        for kind in ("fill", "quote", "signal"):
            assert list(mine.members(kind)) == list(theirs.members(kind))
    assert live.frozen(snapshot.hash) == snapshot


@pytest.mark.parametrize("seed", range(30))
def test_events_in_place_are_events_on_snapshots(seed):
    random_ = Random(f"live {seed}")
    snapshot = worlds.snapshot(random_)
    live = Live(VOCABULARY, snapshot)
    kept = []
    for number in range(25):
        event = happenings.anything(random_, snapshot, number)
        snapshot = after(snapshot, event)
        live.apply(event)
        same(live, snapshot)
        kept.append((live.frozen(snapshot.hash), snapshot))
    assert all(mine == theirs for mine, theirs in kept), "a later event changed an earlier snapshot"


@pytest.mark.parametrize("seed", range(10))
def test_a_narrow_view_has_one_name(seed):
    snapshot = worlds.snapshot(Random(seed))
    live = Live(VOCABULARY, snapshot)
    whole = live.projection(worlds.ACCOUNT, ())
    for symbol in worlds.SYMBOLS:
        narrow = live.narrow(worlds.ACCOUNT, symbol, ())
        assert list(narrow.positions) == [symbol]
        assert narrow.working == tuple(w for w in whole.working if w["working_order.symbol"] == symbol)
        assert live.is_member(worlds.ACCOUNT, symbol) == (symbol in whole.positions)


UNKNOWN = (
    InstrumentChanged("NOPE", {"instrument.mark": Fraction(1)}),
    AccountChanged("NOPE", {"account.nav": Fraction(1)}),
    TraderChanged("NOPE", {"trader.role": "analyst"}),
    WorkingRemoved("NOPE"),
    Fill("NOPE", "ACME", "buy", Fraction(1), Fraction(0)),
    Fill("A", "NOPE", "buy", Fraction(1), Fraction(0)),
    Fill("A", "ACME", "buy", Fraction(1), Fraction(0), "NOPE"),
    Fill("A", "ACME", "buy", Fraction(10_000), Fraction(0), "W0"),
    Fill("A", "ACME", "buy", Fraction(1), Fraction(0), "NOPE", {"fill.id": "F0"}),
    Fill("A", "ACME", "buy", Fraction(1), Fraction(0), "W0", {"fill.id": "F1"}),
    FillRecorded({"fill.id": "F1"}),
    PositionSet("NOPE", "ACME", {"position.before.quantity": Fraction(1)}),
    PositionSet("A", "NOPE", {"position.before.quantity": Fraction(1)}),
)


@pytest.mark.parametrize("event", UNKNOWN)
def test_what_a_snapshot_refuses_is_refused_and_changes_nothing(event):
    snapshot = worlds.snapshot(Random(1))
    working = {**worlds.working(Random(1), 0, 3), "working_order.id": "W0", "working_order.symbol": "ACME"}
    if not any(w["working_order.id"] == "W0" for w in snapshot.working_orders):
        snapshot = after(snapshot, WorkingAdded(working))
    snapshot = after(snapshot, FillRecorded({"fill.id": "F1"}))
    live = Live(VOCABULARY, snapshot)
    with pytest.raises(SnapshotError):
        after(snapshot, event)
    with pytest.raises(SnapshotError):
        live.apply(event)
    same(live, snapshot)


def test_an_order_cannot_work_twice():
    live = Live(VOCABULARY, worlds.snapshot(Random(1)))
    facts = {**worlds.working(Random(1), 0, 3), "working_order.id": "NEW"}
    live.apply(WorkingAdded(facts))
    with pytest.raises(SnapshotError, match="duplicate-thing"):
        live.apply(WorkingAdded(facts))


# ---- age -----------------------------------------------------------------------------------------


def readable(live: Live, symbol: str) -> bool:
    seen = Projection(live.snapshot, VOCABULARY, worlds.ACCOUNT, (), (), {})
    stack = (Subject("instrument", symbol, live.instruments[symbol]),)
    try:
        read(seen, stack, "instrument.mark", "")
    except MissingFactError:
        return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_every_change_of_freshness_is_reported(seed):
    random_ = Random(f"fresh {seed}")
    live = Live(VOCABULARY, worlds.snapshot(random_, worlds.Rates(0, 60, 0)))
    fresh = Freshness(VOCABULARY)
    fresh.watch(live)
    states = {s: readable(live, s) for s in worlds.SYMBOLS}
    for _ in range(30):
        if random_.random() < 0.3:
            symbol = random_.choice(worlds.SYMBOLS)
            taken = live.snapshot.time - timedelta(minutes=random_.randint(0, 15))
            live.apply(InstrumentChanged(symbol, {"instrument.mark_time": taken}))
            fresh.note(live, symbol)
            states[symbol] = readable(live, symbol)
        minutes = random_.choice((-3, -1, 0, 1, 1, 2, 5))
        live.apply(SingleChanged({"clock.now": live.snapshot.time + timedelta(minutes=minutes)}))
        turned = set(fresh.turned(live))
        now = {s: readable(live, s) for s in worlds.SYMBOLS}
        assert {s for s in now if now[s] != states[s]} <= turned
        states = now


def test_nothing_is_reported_while_nothing_ages():
    live = Live(VOCABULARY, worlds.snapshot(Random(3), worlds.Rates(0, 0, 0)))
    fresh = Freshness(VOCABULARY)
    fresh.watch(live)
    live.apply(SingleChanged({"clock.now": live.snapshot.time + timedelta(days=30)}))
    assert fresh.turned(live) == []


def test_an_age_limit_is_cut_to_the_resolution_of_times():
    assert duration(Fraction(900)) == timedelta(minutes=15)
    assert duration(Fraction(1, 3)) == timedelta(microseconds=333_333)
