"""The expert's own facts after events: those of `events.after`, and counters that miss no change.

The tables are compared with snapshots made anew by each event; what a counter promises is tested from its sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    QuoteSet,
    SignalSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.expert import live as live_module
from lexorder.engine.expert.live import Live, is_timed
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot, project
from lexorder.engine.typecheck import term_of
from tests.agreement import happenings, worlds
from tests.worlds import VOCABULARY

SOME = Fraction(1)
TABLES = ("accounts", "instruments", "traders", "strategies", "single", "time")
RECORDS = ("fills", "quotes", "signals")


def by_id(orders: Iterable[Any]) -> dict[str, Any]:
    return {str(w["working_order.id"]): dict(w) for w in orders}


def same(live: Live, snapshot: Snapshot) -> None:
    """Every table, and what projections show of it, is that of the snapshot."""
    for name in TABLES:
        assert getattr(live.snapshot, name) == getattr(snapshot, name), name
    for name in RECORDS:
        assert tuple(getattr(live.snapshot, name)) == tuple(getattr(snapshot, name)), name
    order = worlds.order(Random(2), 1, 3)
    there = {(a, s) for a, book in snapshot.positions.items() for s in book}
    there |= {(str(w["working_order.account"]), str(w["working_order.symbol"])) for w in snapshot.working_orders}
    assert {(a, s) for s, accounts in live.holders.items() for a in accounts} == there, "whom a tick of a name reaches"
    assert all(state.working_of.keys() <= state.symbols() for state in live.accounts.values()), "no place is left empty"
    for account in snapshot.accounts:
        for orders in ((), (order,)):
            mine, theirs = live.projection(account, orders), project(snapshot, VOCABULARY, account, orders)
            assert (mine.positions, list(mine.positions)) == (theirs.positions, list(theirs.positions))
            assert by_id(mine.working) == by_id(theirs.working)
            for kind in ("fill", "quote", "signal"):
                assert list(mine.members(kind)) == list(theirs.members(kind))
        for symbol, facts in project(snapshot, VOCABULARY, account, ()).positions.items():
            alone = live.alone(account, symbol)
            assert alone.positions == {symbol: facts}
            worked = [w for w in snapshot.working_orders if w["working_order.account"] == account]
            assert by_id(alone.working) == by_id(tuple(w for w in worked if w["working_order.symbol"] == symbol))


class TestBesideSnapshots:
    @pytest.mark.parametrize("seed", range(25))
    def test_after_any_events_the_facts_are_those_of_the_snapshot(self, seed):
        random = Random(f"expert live {seed}")
        snapshot = worlds.snapshot(random)
        live = Live(snapshot, VOCABULARY)
        for number in range(25):
            event = happenings.anything(random, snapshot, number)
            snapshot = after(snapshot, event)
            live.apply(event)
            same(live, snapshot)

    def test_the_snapshot_it_began_with_is_never_changed(self):
        random = Random("begun with")
        start = worlds.snapshot(random)
        kept = {name: {k: dict(v) for k, v in getattr(start, name).items()} for name in ("accounts", "instruments")}
        works = [dict(w) for w in start.working_orders]
        live, snapshot = Live(start, VOCABULARY), start
        for number in range(60):
            event = happenings.anything(random, snapshot, number)
            snapshot = after(snapshot, event)
            live.apply(event)
        assert {name: dict(getattr(start, name)) for name in kept} == kept
        assert list(start.working_orders) == works

    def test_an_event_told_is_not_kept_by_reference(self):
        """The sender may go on using the facts it sent."""
        live = Live(worlds.snapshot(Random(1)), VOCABULARY)
        facts = {**worlds.working(Random(1), 7, 3), "working_order.id": "NEW", "working_order.quantity": Fraction(3)}
        live.apply(WorkingAdded(facts))
        symbol, side = str(facts["working_order.symbol"]), str(facts["working_order.side"])
        live.apply(Fill("A", symbol, side, Fraction(1), SOME, "NEW"))
        assert facts["working_order.quantity"] == 3
        assert live.accounts["A"].working["NEW"]["working_order.quantity"] == 2


WORK = {**worlds.working(Random(1), 0, 3), "working_order.id": "W0", "working_order.symbol": "ACME"}
REFUSED: dict[str, Event] = {
    "an unknown instrument": InstrumentChanged("NOPE", {"instrument.mark": SOME}),
    "an unknown account": AccountChanged("NOPE", {"account.nav": SOME}),
    "an unknown trader": TraderChanged("NOPE", {"trader.role": "analyst"}),
    "an unknown working order": WorkingRemoved("NOPE"),
    "a working order twice": WorkingAdded(WORK),
    "a fill of an unknown account": Fill("NOPE", "ACME", "buy", SOME, SOME),
    "a fill of an unknown instrument": Fill("A", "NOPE", "buy", SOME, SOME),
    "a fill of an unknown order": Fill("A", "ACME", "buy", SOME, SOME, "NOPE"),
    "a fill larger than its order": Fill("A", "ACME", "buy", Fraction(10_000), SOME, "W0"),
    "the same with a record": Fill("A", "ACME", "buy", Fraction(10_000), SOME, "W0", {"fill.id": "F9"}),
    "a fill recorded already": Fill("A", "ACME", "buy", SOME, SOME, "W0", {"fill.id": "F1"}),
    "a record told twice": FillRecorded({"fill.id": "F1"}),
    "a holding of an unknown account": PositionSet("NOPE", "ACME", {"position.before.quantity": SOME}),
    "a holding of an unknown instrument": PositionSet("A", "NOPE", {"position.before.quantity": SOME}),
}


@pytest.mark.parametrize("event", REFUSED.values(), ids=REFUSED)
def test_what_a_snapshot_refuses_is_refused_with_its_code_and_changes_nothing(event):
    snapshot = worlds.snapshot(Random(1))
    left = tuple(w for w in snapshot.working_orders if w["working_order.id"] != "W0")
    snapshot = after(replace(snapshot, working_orders=(*left, WORK)), FillRecorded({"fill.id": "F1"}))
    live = Live(snapshot, VOCABULARY)
    state = live.accounts["A"]
    before = (state.version, state.facts_version, list(state.log), dict(live.owner_of), live.epoch, live.time_epoch)
    with pytest.raises(SnapshotError) as theirs:
        after(snapshot, event)
    with pytest.raises(SnapshotError) as mine:
        live.apply(event)
    assert mine.value.code == theirs.value.code
    same(live, snapshot)
    assert before == (
        state.version,
        state.facts_version,
        state.log,
        live.owner_of,
        live.epoch,
        live.time_epoch,
    )


class TestCounters:
    """What an event makes stale: a counter moves, or nothing that it stands for can have changed."""

    def live(self) -> Live:
        snapshot = worlds.snapshot(Random(4))
        held: Facts = {"position.account": "A", "position.symbol": "ACME", "position.before.quantity": Fraction(5)}
        other = {**snapshot.accounts["A"], "account.id": "B"}
        return Live(
            replace(
                snapshot,
                accounts={**snapshot.accounts, "B": other},
                positions={"A": {"ACME": held}},
                working_orders=(WORK, {**WORK, "working_order.id": "W1", "working_order.symbol": "BETA"}),
            ),
            VOCABULARY,
        )

    @pytest.mark.parametrize(
        ("event", "moved"),
        [
            (InstrumentChanged("ACME", {"instrument.mark": SOME}), {"instrument ACME", "log ACME"}),
            (InstrumentChanged("BETA", {"instrument.mark": SOME}), {"instrument BETA", "log BETA"}),
            (InstrumentChanged("COCO", {"instrument.mark": SOME}), {"instrument COCO"}),
            (InstrumentSet("COCO", {"instrument.mark": SOME}), {"instrument COCO"}),
            (AccountChanged("A", {"account.nav": SOME}), {"account"}),
            (AccountSet("A", {"account.nav": SOME}), {"account"}),
            (AccountChanged("B", {"account.nav": SOME}), set()),
            (TraderChanged("T", {"trader.role": "analyst"}), {"trader"}),
            (TraderSet("T", {"trader.role": "analyst"}), {"trader"}),
            (StrategySet("S", {}), {"epoch"}),
            (QuoteSet({"quote.id": "Q"}), {"epoch"}),
            (SignalSet({"signal.id": "S"}), {"epoch"}),
            (SingleChanged({"clock.now": worlds.NOW + timedelta(1)}), {"time"}),
            (SingleChanged({"session.open": worlds.NOW}), {"time"}),
            (SingleChanged({"firm.collar": SOME}), {"time", "epoch"}),
            (SingleChanged({"lists.restricted": frozenset[str](), "clock.now": worlds.NOW}), {"time", "epoch"}),
            (WorkingRemoved("W0"), {"log ACME"}),
            (WorkingAdded({**WORK, "working_order.id": "W2", "working_order.symbol": "COCO"}), {"log COCO"}),
            (PositionSet("A", "COCO", {"position.before.quantity": SOME}), {"log COCO"}),
            (PositionSet("A", "ACME", {"position.before.quantity": Fraction(0)}), {"log ACME"}),
            (Fill("A", "ACME", "buy", SOME, SOME), {"log ACME", "account"}),
            (Fill("A", "ACME", str(WORK["working_order.side"]), SOME, SOME, "W0"), {"log ACME", "account"}),
            (Fill("B", "ACME", "buy", SOME, SOME), set()),
            (FillRecorded({"fill.id": "F", "fill.account": "A"}), {"account"}),
            (FillRecorded({"fill.id": "F", "fill.account": "B"}), set()),
            (FillRecorded({"fill.id": "F"}), {"epoch"}),
            (FillRecorded({"fill.id": "F", "fill.account": "NONE"}), {"epoch"}),
        ],
    )
    def test_what_an_event_moves_for_account_a(self, event, moved):
        live = self.live()
        state, counts = live.accounts["A"], self.counts(live)
        seen, version = len(state.log), state.version
        tick = live.tick
        live.apply(event)
        found = {name for name, count in self.counts(live).items() if count != counts.get(name, 0)}
        found |= {f"log {symbol}" for symbol in state.log[seen:]}
        assert found == moved
        assert live.tick == tick + 1
        own = {name for name in moved if name.startswith(("log", "account"))}
        assert bool(own) == (state.version > version)

    def counts(self, live: Live) -> dict[str, int]:
        named = {f"instrument {s}": n for s, n in live.instrument_version.items()}
        of_account = {"account": live.accounts["A"].facts_version, "trader": live.trader_version["T"]}
        return {**named, **of_account, "epoch": live.epoch, "time": live.time_epoch}

    def test_a_log_is_begun_anew_and_counted(self, monkeypatch):
        monkeypatch.setattr(live_module, "LOG_MAX", 2)
        live = self.live()
        state = live.accounts["A"]
        logs, lengths = [], []
        for _ in range(5):
            live.apply(InstrumentChanged("ACME", {"instrument.mark": SOME}))
            logs.append(state.logs)
            lengths.append(len(state.log))
        assert max(lengths) == 2
        assert logs == sorted(logs)
        assert logs[-1] > logs[0]

    def test_an_account_holds_what_it_holds_or_works(self):
        live = self.live()
        state = live.accounts["A"]
        assert state.symbols() == {"ACME", "BETA"}
        live.apply(WorkingRemoved("W1"))
        assert state.symbols() == {"ACME"}
        live.apply(PositionSet("A", "ACME", {}))
        assert state.symbols() == {"ACME"}, "it works an order in the name still"
        live.apply(WorkingRemoved("W0"))
        assert state.symbols() == set()

    def test_a_name_sold_out_is_still_a_member(self):
        live = self.live()
        live.apply(Fill("A", "ACME", "sell", Fraction(5), SOME))
        assert "ACME" in live.accounts["A"].symbols()
        live.apply(InstrumentChanged("ACME", {"instrument.mark": SOME}))
        assert live.accounts["A"].log[-1] == "ACME"

    def test_an_order_may_be_told_before_its_account(self):
        """As `events.after` takes it: the exact side counts the order once the account is there."""
        snapshot = worlds.snapshot(Random(4))
        live = Live(snapshot, VOCABULARY)
        early = {**WORK, "working_order.account": "NEW", "working_order.id": "EARLY"}
        for event in (
            WorkingAdded(early),
            WorkingRemoved("EARLY"),
            WorkingAdded(early),
            AccountSet("NEW", {"account.currency": "USD", "account.cash": Fraction(10)}),
            Fill("NEW", "ACME", str(WORK["working_order.side"]), SOME, SOME, "EARLY"),
        ):
            snapshot = after(snapshot, event)
            live.apply(event)
            same(live, snapshot)

    def test_an_account_that_is_new_can_trade(self):
        live = self.live()
        live.apply(AccountSet("NEW", {"account.currency": "USD", "account.cash": Fraction(10)}))
        live.apply(Fill("NEW", "ACME", "buy", SOME, Fraction(-4)))
        assert live.projection("NEW", ()).positions["ACME"]["position.before.quantity"] == 1
        assert live.account_facts["NEW"]["account.cash"] == 6
        assert live.accounts["NEW"].log == ["ACME"]


class TestAge:
    @pytest.mark.parametrize(
        ("facts", "minutes"),
        [
            ({"instrument.mark_time": worlds.NOW}, 15),
            ({"instrument.mark_time": worlds.NOW - timedelta(minutes=14)}, 1),
            ({"instrument.mark_time": worlds.NOW - timedelta(minutes=16)}, -1),
            ({}, None),
            ({"instrument.mark_time": worlds.NOW, "instrument.mark": None}, 15),
        ],
    )
    def test_the_facts_of_a_name_are_young_until(self, facts, minutes):
        live = Live(worlds.snapshot(Random(1), worlds.Rates(0, 0, 0)), VOCABULARY)
        live.apply(InstrumentChanged("ACME", facts))
        expected = None if minutes is None else worlds.NOW + timedelta(minutes=minutes)
        assert live.expiry("ACME") == expected
        assert live.expiry("NOSUCH") is None

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("account.nav >= 1", "account.nav"),
            ("order.trader.traded_today >= 1", "trader.traded_today"),
            ("order.strategy.repeated_executions >= 1", "strategy.repeated_executions"),
            ("firm.collar >= 1", "firm.collar"),
        ],
    )
    def test_facts_that_grow_old_with_no_instrument_are_looked_at_with_the_clock(self, text, name):
        aging = replace(VOCABULARY.names[name], max_age=Fraction(60), as_of="clock.now")
        vocabulary = replace(VOCABULARY, names={**VOCABULARY.names, name: aging})
        term = term_of(text, VOCABULARY, "order")
        assert is_timed(term, vocabulary)
        assert not is_timed(term, VOCABULARY)

    @pytest.mark.parametrize(
        ("text", "timed"),
        [
            ("clock.now >= session.open", True),
            ("session.close - clock.now > 10 min", True),
            ("instrument.mark > 1", False),
            ("market.volatility > 5%", False),
            ("order.quantity > 1", False),
            ("sum(position.after.value) > account.nav", False),
        ],
    )
    def test_what_the_clock_alone_can_change(self, text, timed):
        assert is_timed(term_of(text, VOCABULARY, "order"), VOCABULARY) is timed
