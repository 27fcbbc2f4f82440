"""What was prepared follows the facts: every kind of event, and the age of every fact, reach the next order.

Both ways of judging live through the same; the reference beside them is made anew by each event.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.expert import live as live_module
from lexorder.engine.rule import Facts
from lexorder.engine.verdict import Status
from tests.expert.books import Leaves, Pair, rules, simple
from tests.worlds import order, position, working, world

Make = Callable[..., Pair]
NET = "sum(position.after.value) <= account.nav"
BOOK = rules(
    "rule: weight\ntitle: T\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: held\ntitle: T\nfor_each: account\nrequire: sum(position.before.value) <= 9% * account.nav",
    "rule: cash\ntitle: T\nfor_each: account\nrequire: account.after.cash >= 2% * account.nav",
    "rule: listed\ntitle: T\nrequire: order.symbol not in lists.restricted and not instrument.halted",
    "rule: filled\ntitle: T\nfor_each: instrument\nrequire: sum(order.filled) + sum(fill.quantity) <= 50",
    "rule: daily\ntitle: T\nfor_each: trader\nrequire: trader.traded_today + sum(order.notional) <= 9_000",
    "rule: hours\ntitle: T\nrequire: clock.now >= session.open",
    "rule: seat\ntitle: T\nrequire: order.strategy.repeated_executions <= 3",
)
NOW_OPEN = {"session": {"open": "2026-06-15T12:00:00-04:00"}}
RECORD: Facts = {
    "fill.id": "F1",
    "fill.account": "A",
    "fill.symbol": "ACME",
    "fill.side": "buy",
    "fill.quantity": Fraction(50),
    "fill.price": Fraction(100),
}
WORK: Facts = {
    "working_order.id": "W9",
    "working_order.account": "A",
    "working_order.symbol": "ACME",
    "working_order.side": "buy",
    "working_order.quantity": Fraction(50),
    "working_order.price": Fraction(100),
}
CHANGES: dict[str, tuple[Event, str]] = {
    "a mark": (InstrumentChanged("ACME", {"instrument.mark": Fraction(6_000)}), "weight"),
    "a mark of another holding": (InstrumentChanged("BETA", {"instrument.mark": Fraction(200)}), "held"),
    "a halt": (InstrumentChanged("ACME", {"instrument.halted": True}), "listed"),
    "net assets": (AccountChanged("A", {"account.nav": Fraction(1_000)}), "weight"),
    "cash": (AccountChanged("A", {"account.cash": Fraction(2_050)}), "cash"),
    "a fill": (Fill("A", "ACME", "buy", Fraction(50), Fraction(0)), "weight"),
    "a fill of another name": (Fill("A", "BETA", "buy", Fraction(11), Fraction(0)), "held"),
    "a recorded fill": (FillRecorded(RECORD), "filled"),
    "a working order": (WorkingAdded(WORK), "weight"),
    "the end of one": (WorkingRemoved("W0"), ""),
    "a list": (SingleChanged({"lists.restricted": frozenset({"ACME"})}), "listed"),
    "the session": (SingleChanged({"session.open": None}), "hours"),  # type: ignore[dict-item]
    "a trader's day": (TraderChanged("T", {"trader.traded_today": Fraction(8_950)}), "daily"),
    "a strategy": (StrategySet("S", {"strategy.repeated_executions": Fraction(4)}), "seat"),
    "a holding told": (PositionSet("A", "ACME", {"position.before.quantity": Fraction(60)}), "weight"),
    "an account told": (AccountSet("A", {"account.currency": "USD", "account.nav": Fraction(10)}), "weight"),
    "an instrument told": (InstrumentSet("ACME", {"instrument.issuer": "ACME"}), "weight"),
}


@pytest.fixture(params=[Pair, Leaves], ids=["row", "leaves"])
def make(request: pytest.FixtureRequest) -> Make:
    """Both ways, one after the other."""
    found: Make = request.param
    return found


class TestLookedAtAgain:
    """Every kind of event reaches what was prepared before it."""

    def pair(self, make: Make) -> Pair:
        document = world(
            positions=[position("BETA", 80)],
            working_orders=[working("W0", "BETA", "buy", 1)],
            strategies=[{"id": "S", "repeated_executions": "3"}],
            **NOW_OPEN,
        )
        return make(BOOK, document)

    @pytest.mark.parametrize(("event", "rule"), CHANGES.values(), ids=CHANGES)
    def test_an_event_reaches_what_was_prepared(self, make, event, rule):
        pair, asked = self.pair(make), order(trader="T", strategy="S")
        before = {r for r, _, _ in pair.agree(asked).keys}
        assert rule not in before
        pair.apply(event)
        after = {r for r, _, _ in pair.agree(asked).keys}
        assert rule in after if rule else after == before

    @pytest.mark.parametrize("seed", range(4))
    def test_events_in_any_order(self, make, seed):
        random, pair = Random(f"contexts {seed}"), self.pair(make)
        events = [event for event, _ in CHANGES.values() if not isinstance(event, AccountSet | InstrumentSet)]
        random.shuffle(events)
        for number, event in enumerate(events):
            pair.apply(event)
            symbol, side = random.choice(("ACME", "BETA")), random.choice(("buy", "sell", "sell_short"))
            pair.agree(order(side, random.choice((1, 10, 50)), symbol, trader="T", strategy="S", id=f"O{number}"))

    def test_a_log_begun_anew_is_noticed(self, make, monkeypatch):
        monkeypatch.setattr(live_module, "LOG_MAX", 2)
        pair = self.pair(make)
        for mark in (100, 90, 80, 2_000, 70, 60, 3_000):
            pair.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction(mark)}))
            pair.agree(order(trader="T", strategy="S"))


AGING = {
    "a holding": ("sum(position.after.value) <= account.nav", "account", "", 5),
    "a holding sold out": ("sum(position.after.value) <= account.nav", "account", "", 0),
    "sizes of holdings sold out": ("sum(abs(position.after.value)) <= account.nav", "account", "", 0),
    "a sum no order changes": ("sum(position.before.value) <= account.nav", "account", "", 5),
    "the same, sold out": ("sum(position.before.value) <= account.nav", "account", "", 0),
    "a condition": ("order.quantity <= 5", "order", "when: sum(position.before.value) <= account.nav", 5),
}


class TestAge:
    """BETA's price is ten minutes old when ACME is ordered; it may be fifteen."""

    @pytest.mark.parametrize(("text", "for_each", "extra", "held"), AGING.values(), ids=AGING)
    def test_a_price_of_another_name_grows_too_old_by_the_clock_alone(self, make, text, for_each, extra, held):
        document = world(positions=[position("BETA", 5)])
        document["instruments"][1]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = make(simple(text, for_each, extra), document)
        if not held:
            pair.apply(Fill("A", "BETA", "sell", Fraction(5), Fraction(500)))
        now = pair.reference.snapshot.time
        for seconds, known in ((0, True), (299, True), (300, True), (301, False), (900, False)):
            pair.apply(SingleChanged({"clock.now": now + timedelta(seconds=seconds)}))
            assert {status for _, _, status in pair.agree(order()).keys} == (set() if known else {Status.UNDECIDED})
        pair.apply(InstrumentChanged("BETA", {"instrument.mark_time": now + timedelta(seconds=900)}))
        assert pair.agree(order()).keys == frozenset()

    def test_a_clock_that_goes_back_is_followed(self, make):
        document = world(positions=[position("BETA", 5)])
        document["instruments"][1]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = make((*simple(NET, "account"), *simple("order.notional <= 100", name="s")), document)
        now = pair.reference.snapshot.time
        for seconds in (301, 300, 1_000, 0, 301, -600):
            pair.apply(SingleChanged({"clock.now": now + timedelta(seconds=seconds)}))
            pair.agree(order())


PRODUCTS = rules(
    "rule: both\ntitle: T\nfor_each: account\n"
    "require: sum(position.before.value) <= 2 * sum(abs(position.before.value)) + account.nav",
    "rule: pairs\ntitle: T\nfor_each: pair\nrequire: sum(abs(position.after.value)) <= 10% * account.nav",
    "rule: chained\ntitle: T\nwhen: market.regime == VOLATILE\nrequire: order.quantity <= 5",
    "rule: regime\ntitle: T\nfor_each: market\nwhen: market.volatility > 5%\nderive: {market.regime: VOLATILE}",
    "rule: row\ntitle: T\nrequire: order.notional <= 20% * account.nav",
)


@pytest.mark.parametrize("seed", range(4))
def test_rules_of_both_ways_in_one_book(make, seed):
    """Some from the row, some from leaves, some by exact verdicts, over random events."""
    random = Random(f"both ways {seed}")
    pairs = [{"id": f"ACME/{s}", "first": "ACME", "second": s, "correlation": "0.9"} for s in ("BETA", "COCO")]
    document = world(pairs=pairs, positions=[position("BETA", 40)], market=[{"symbol": "ACME", "volatility": "6%"}])
    pair = make(PRODUCTS, document)
    for number in range(16):
        symbol = random.choice(("ACME", "BETA", "COCO"))
        pair.apply(
            random.choice(
                (
                    Fill("A", symbol, random.choice(("buy", "sell")), Fraction(random.choice((1, 40))), Fraction(-9)),
                    InstrumentChanged(symbol, {"instrument.mark": Fraction(random.choice((50, 100, 125)))}),
                    InstrumentChanged("ACME", {"market.volatility": Fraction(random.choice((4, 5, 6)), 100)}),
                    AccountChanged("A", {"account.nav": Fraction(random.choice((40_000, 100_000)))}),
                    SingleChanged({"clock.now": pair.reference.snapshot.time + timedelta(minutes=1)}),
                )
            )
        )
        side = random.choice(("buy", "sell"))
        pair.agree(order(side, random.choice((1, 5, 6, 60)), random.choice(("ACME", "BETA")), id=f"O{number}"))
