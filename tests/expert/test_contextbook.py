"""Rules judged from prepared leaf facts: what is kept, when it is looked at again, and what is beyond it.

What this way and the row have in common stands in `test_judging.py`.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.errors import ExpertError
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
from lexorder.engine.expert import contexts as contexts_module
from lexorder.engine.expert import live as live_module
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.facts import load_order
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.rule import Facts
from lexorder.engine.verdict import Status
from tests.expert.books import NOTHING, Leaves, rules, simple
from tests.worlds import VOCABULARY, order, position, working, world

WEIGHT = "sum(abs(position.after.value)) <= 5% * account.nav"
NET = "sum(position.after.value) <= account.nav"


def contexts(pair: Leaves) -> Any:
    return pair.expert.contexts


def facts_kept(pair: Leaves) -> list[int]:
    """The leaf facts CLIPS holds, by index: no two facts have one."""
    return [lib.FactIndex(leaf.fact) for c in contexts(pair).kept.values() for leaf in c.leaves.values()]


class TestKept:
    def test_they_are_bounded_and_the_oldest_goes(self, monkeypatch):
        monkeypatch.setattr(contexts_module, "CONTEXTS_MAX", 2)
        pair = Leaves(simple(WEIGHT, "issuer"))
        for symbol in ("ACME", "BETA", "COCO", "ACME"):
            pair.agree(order(symbol=symbol, quantity=51))
        assert [key[1] for key in contexts(pair).kept] == ["COCO", "ACME"]
        assert len(list(pair.expert.session.facts("context"))) == 2
        assert len(list(pair.expert.session.facts("leaves-r-1-buy"))) == 2

    def test_a_second_order_in_a_name_prepares_nothing(self):
        pair = Leaves(simple(WEIGHT, "issuer"))
        pair.agree(order(quantity=51))
        facts = facts_kept(pair)
        pair.agree(order(quantity=52))
        assert facts == facts_kept(pair)

    @pytest.mark.parametrize("part", ["symbol", "trader", "strategy", "side"])
    def test_each_name_trader_strategy_and_side_is_prepared_for_itself(self, part):
        pair = Leaves(simple(WEIGHT, "issuer"), world(strategies=[{"id": "S"}]))
        other = {"symbol": "BETA", "trader": "T", "strategy": "S", "side": "sell"}[part]
        pair.agree(order(quantity=51))
        pair.agree(order(quantity=51, **{part: other}))
        assert len(contexts(pair).kept) == 2

    def test_a_value_that_did_not_change_keeps_its_fact(self):
        pair = Leaves(simple(WEIGHT, "issuer"))
        pair.agree(order())
        facts = facts_kept(pair)
        pair.apply(AccountChanged("A", {"account.nav": Fraction(100_000)}))
        pair.agree(order())
        assert facts == facts_kept(pair)
        pair.apply(AccountChanged("A", {"account.nav": Fraction(99_999)}))
        pair.agree(order())
        assert facts != facts_kept(pair)
        assert len(list(pair.expert.session.facts("leaves-r-1-buy"))) == 1

    def test_a_subject_that_goes_takes_its_fact_along(self):
        """The issuer changes: nothing of the old one may stay in CLIPS."""
        pair = Leaves(simple(WEIGHT, "issuer"), world(positions=[position("ACME", 80)]))
        assert pair.agree(order()).keys == {("r", "ACME", Status.BREACH)}
        pair.apply(InstrumentChanged("ACME", {"instrument.issuer": "OTHER"}))
        assert pair.agree(order()).keys == {("r", "OTHER", Status.BREACH)}
        assert len(list(pair.expert.session.facts("leaves-r-1-buy"))) == 1


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


class TestLookedAtAgain:
    """Every kind of event reaches what was prepared before it."""

    def pair(self) -> Leaves:
        document = world(
            positions=[position("BETA", 80)],
            working_orders=[working("W0", "BETA", "buy", 1)],
            strategies=[{"id": "S", "repeated_executions": "3"}],
            **NOW_OPEN,
        )
        return Leaves(BOOK, document)

    @pytest.mark.parametrize(("event", "rule"), CHANGES.values(), ids=CHANGES)
    def test_an_event_reaches_what_was_prepared(self, event, rule):
        pair, asked = self.pair(), order(trader="T", strategy="S")
        before = {r for r, _, _ in pair.agree(asked).keys}
        assert rule not in before
        pair.apply(event)
        after = {r for r, _, _ in pair.agree(asked).keys}
        assert rule in after if rule else after == before

    @pytest.mark.parametrize("seed", range(4))
    def test_events_in_any_order(self, seed):
        random, pair = Random(f"contexts {seed}"), self.pair()
        events = [event for event, _ in CHANGES.values() if not isinstance(event, AccountSet | InstrumentSet)]
        random.shuffle(events)
        for number, event in enumerate(events):
            pair.apply(event)
            symbol, side = random.choice(("ACME", "BETA")), random.choice(("buy", "sell", "sell_short"))
            pair.agree(order(side, random.choice((1, 10, 50)), symbol, trader="T", strategy="S", id=f"O{number}"))

    def test_a_log_begun_anew_is_noticed(self, monkeypatch):
        monkeypatch.setattr(live_module, "LOG_MAX", 2)
        pair = self.pair()
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
    def test_a_price_of_another_name_grows_too_old_by_the_clock_alone(self, text, for_each, extra, held):
        document = world(positions=[position("BETA", 5)])
        document["instruments"][1]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = Leaves(simple(text, for_each, extra), document)
        if not held:
            pair.apply(Fill("A", "BETA", "sell", Fraction(5), Fraction(500)))
        now = pair.reference.snapshot.time
        for seconds, known in ((0, True), (299, True), (300, True), (301, False), (900, False)):
            pair.apply(SingleChanged({"clock.now": now + timedelta(seconds=seconds)}))
            assert {status for _, _, status in pair.agree(order()).keys} == (set() if known else {Status.UNDECIDED})
        pair.apply(InstrumentChanged("BETA", {"instrument.mark_time": now + timedelta(seconds=900)}))
        assert pair.agree(order()).keys == frozenset()

    def test_a_clock_that_goes_back_is_followed(self):
        document = world(positions=[position("BETA", 5)])
        document["instruments"][1]["mark_time"] = "2026-06-15T11:50:00-04:00"
        pair = Leaves((*simple(NET, "account"), *simple("order.notional <= 100", name="s")), document)
        now = pair.reference.snapshot.time
        for seconds in (301, 300, 1_000, 0, 301, -600):
            pair.apply(SingleChanged({"clock.now": now + timedelta(seconds=seconds)}))
            pair.agree(order())


class TestCaps:
    """Leaves are proved for orders up to caps; an order at the cap is judged by CLIPS, one beyond by exact verdict."""

    def told(self, pair: Leaves, **facts: Any) -> bool:
        """Whether the answer follows a lie in the exact verdicts: then CLIPS did not judge by itself."""
        loaded = load_order(order(**facts), VOCABULARY)
        lie = ExactAnswer(frozenset({("r", str(loaded["order.id"]), Status.PASSIVE)}), 1, lambda: ())
        return ("r", str(loaded["order.id"]), Status.PASSIVE) in pair.expert.check("A", (loaded,), lie).keys

    @pytest.mark.parametrize(("quantity", "beyond"), [(1_000_000, False), (1_000_001, True)])
    def test_quantity(self, quantity, beyond):
        pair = Leaves(simple("order.quantity <= 1_000_000"))
        assert self.told(pair, quantity=quantity) is beyond
        assert bool(pair.agree(order(quantity=quantity)).keys) is beyond

    @pytest.mark.parametrize(("price", "beyond"), [("400", False), ("400.0001", True)])
    def test_price(self, price, beyond):
        pair = Leaves(simple("order.price <= 4 * instrument.mark"))
        assert self.told(pair, price=price) is beyond
        assert bool(pair.agree(order(price=price)).keys) is beyond

    def test_a_number_finer_than_its_slot(self):
        pair = Leaves(simple("order.quantity <= 5"))
        loaded = {**load_order(order(), VOCABULARY), "order.quantity": Fraction(1, 3)}
        exact = pair.reference.check("A", (loaded,))
        assert pair.expert.check("A", (loaded,), exact).keys == exact.keys

    def test_a_new_mark_moves_the_caps(self):
        pair = Leaves(simple("order.price <= 4 * instrument.mark"))
        assert self.told(pair, price="400.0001")
        pair.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(101)}))
        assert not self.told(pair, price="400.0001")

    @pytest.mark.parametrize("name", ["order.quantity", "order.price", "order.fee_per_share"])
    def test_a_number_that_is_nothing_approves_nothing(self, name):
        """An order can not be loaded so; if one came all the same it must not count as nought."""
        text = {
            "order.quantity": "order.quantity >= 1",
            "order.price": "order.price >= 1",
            "order.fee_per_share": "order.fee_per_share >= 0.0001",
        }[name]
        pair = Leaves(simple(text))
        loaded = {**load_order(order(fee_per_share="0.01"), VOCABULARY), name: None}
        found = pair.expert.check("A", (loaded,), NOTHING)
        assert found.keys == {("r", "buy-ACME-1", Status.BREACH)} or name == "order.fee_per_share"


class TestNames:
    """Subjects that look like the engine's own words."""

    @pytest.mark.parametrize("identifier", ["ACME", "A", "r", "nil", "TRUE", "x" * 60])
    def test_an_order_named_like_something_else(self, identifier):
        book = (*simple(WEIGHT, "issuer"), *simple("order.quantity <= 5", name="s"), *simple(NET, "account", name="t"))
        pair = Leaves(book, world(positions=[position("BETA", 2_000)]))
        found = pair.agree(order(quantity=51, id=identifier)).keys
        assert {(rule, subject) for rule, subject, _ in found} == {("r", "ACME"), ("s", identifier), ("t", "A")}

    def test_rules_left_to_verdicts_under_such_a_name(self):
        text = "count(position where position.after.quantity != 0) <= 0"
        book = (*simple(text, "account"), *simple('order.id != "A"', name="s"))
        assert len(Leaves(book).agree(order(id="A")).keys) == 2


class TestLeftOver:
    def test_slots_of_an_order_that_failed_are_not_the_next_orders(self, monkeypatch):
        """The failed order had a locate; the next one has none and says nothing of it."""
        text = "count(position where position.after.quantity != 0) <= 0"
        pair = Leaves((*simple(text, "account"), *simple("order.has_locate or order.quantity <= 5", name="s")))
        real = pair.expert.session.add

        def failing(builder: Any) -> Any:
            if builder.template == "verdict":
                lib.FBAbort(builder.handle)
                raise ExpertError("expert-deadline", "CLIPS took too long")
            return real(builder)

        monkeypatch.setattr(pair.expert.session, "add", failing)
        with pytest.raises(ExpertError, match="expert-deadline"):
            pair.both(order(quantity=9, has_locate="true"))
        monkeypatch.undo()
        assert len(pair.agree(order(quantity=9)).keys) == 2

    def test_a_rule_clips_cannot_have_says_why(self):
        pair = Leaves((*simple("order.quantity <= 5"), *simple("100 / order.price <= 2", name="s")))
        assert pair.expert.shares() == {"r": "clips", "s": "it divides by an amount of the order"}
