"""A whole row for an order: its own slots, what switches a rule off, and what is remembered for the next order.

Each case is judged beside the reference; a row may leave a rule to the exact verdict, but never more than is said here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from lexorder.engine.events import AccountSet, InstrumentChanged, InstrumentSet, SingleChanged, TraderChanged
from lexorder.engine.expert.rows import BLOCKS, Rows
from lexorder.engine.facts import load_order
from lexorder.engine.rule import Facts
from tests.expert.books import NOTHING, Pair, rules, simple
from tests.worlds import VOCABULARY, order, world

WORDS = rules(
    "rule: kind\ntitle: T\nrequire: order.ord_type in {limit, market}",
    "rule: day\ntitle: T\nrequire: order.time_in_force == DAY or order.quantity <= 5",
    "rule: locate\ntitle: T\nwhen: order.side == sell_short\nrequire: order.has_locate",
    "rule: effect\ntitle: T\nrequire: order.position_effect != close or order.quantity <= 5",
    "rule: priced\ntitle: T\nwhen: order.ord_type == limit\nrequire: order.price <= 2 * instrument.mark",
    "rule: stopped\ntitle: T\nwhen: order.ord_type in {stop, stop_limit}\nrequire: order.stop_price >= instrument.mark",
    "rule: fee\ntitle: T\nrequire: order.fee_per_share <= 0.01",
    "rule: value\ntitle: T\nrequire: order.notional <= 900",
)


def loaded(**facts: Any) -> Facts:
    return load_order(order(**facts), VOCABULARY)


def rows_of(pair: Pair) -> Rows:
    found: Rows = pair.expert.rows
    return found


def off_of(pair: Pair, facts: Facts) -> set[str]:
    """The rules an order leaves to the exact verdict, once its scales have settled."""
    pair.expert.check("A", (facts,), NOTHING)
    _, off = rows_of(pair).packed(facts, pair.expert.live.accounts["A"])
    return set(rows_of(pair).off_rules(off))


class TestOwnSlots:
    def test_every_word_a_flag_and_an_enumeration_may_hold(self):
        """All combinations, each beside the reference."""
        pair, asked = Pair(WORDS), 0
        kinds = VOCABULARY.names["order.ord_type"].unit.values
        for side, kind, force, effect, locate in product(
            VOCABULARY.names["order.side"].unit.values,
            kinds,
            ("DAY", "IOC"),
            VOCABULARY.names["order.position_effect"].unit.values,
            ("true", "false"),
        ):
            prices = {"price": "100"} if "limit" in kind else {}
            stops = {"stop_price": "99"} if "stop" in kind else {}
            facts = {k: v for k, v in order(side, 6).items() if k != "price"}
            words = {"ord_type": kind, "time_in_force": force, "position_effect": effect, "has_locate": locate}
            pair.agree({**facts, **words, **prices, **stops, "id": f"O{asked}"})
            asked += 1
        assert asked >= 3 * len(kinds) * 8

    @pytest.mark.parametrize("quantity", [1, 8, 9, 10, 10_000_000])
    @pytest.mark.parametrize("price", ["0.0001", "99.9999", "100", "100.0001", "2000000"])
    def test_numbers_over_all_their_bounds(self, quantity, price):
        Pair(WORDS).agree(order(quantity=quantity, price=price))

    @pytest.mark.parametrize(
        ("name", "number", "off"),
        [
            ("order.quantity", Fraction(1, 3), {"day", "effect", "value"}),
            ("order.price", Fraction(1, 3), {"priced", "value"}),
            ("order.price", Fraction(1, 10**5), {"priced", "value"}),
            ("order.fee_per_share", Fraction(1, 3), {"fee"}),
            ("order.quantity", Fraction(10**19), {"day", "effect", "value"}),
        ],
    )
    def test_a_number_finer_than_its_slot_or_too_large_switches_off_what_reads_it(self, name, number, off):
        pair = Pair(WORDS)
        facts = {**loaded(), name: number}
        assert off_of(pair, facts) >= off
        exact = pair.reference.check("A", (facts,))
        assert pair.expert.check("A", (facts,), exact).keys == exact.keys

    @pytest.mark.parametrize(
        ("kind", "lacks", "off"),
        [
            ("limit", "order.price", {"priced", "value"}),
            ("market", "order.price", set()),
            ("stop", "order.stop_price", {"stopped"}),
            ("limit", "order.stop_price", set()),
            ("stop_limit", "order.stop_price", {"stopped"}),
            ("stop_limit", "order.price", {"value"}),
        ],
    )
    def test_a_lack_switches_off_only_what_would_read_it(self, kind, lacks, off):
        """A market order has no price, and rules that would not read it judge all the same."""
        pair = Pair(WORDS)
        facts = {**loaded(ord_type="stop_limit", stop_price="100"), "order.ord_type": kind}
        del facts[lacks]
        assert off_of(pair, facts) - {"value"} == off - {"value"}
        assert ("value" in off) <= ("value" in off_of(pair, facts))
        exact = pair.reference.check("A", (facts,))
        assert pair.expert.check("A", (facts,), exact).keys == exact.keys

    def test_the_same_lack_is_found_again_for_other_words(self):
        """The answer is remembered by lack and words: another word must not be given the first one's."""
        pair = Pair(WORDS)
        for kind, expected in (("market", False), ("limit", True), ("market", False), ("limit", True)):
            facts = {k: v for k, v in loaded(ord_type=kind).items() if k != "order.price"}
            assert ("priced" in off_of(pair, facts)) is expected


BOOK = rules(
    "rule: weight\ntitle: T\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: hours\ntitle: T\nrequire: clock.now >= session.open",
    "rule: role\ntitle: T\nfor_each: trader\nrequire: trader.traded_today + sum(order.notional) <= 9_000",
    "rule: listed\ntitle: T\nrequire: order.symbol not in lists.restricted",
    "rule: seat\ntitle: T\nrequire: order.strategy.repeated_executions <= 3",
    "rule: rich\ntitle: T\nrequire: account.nav >= 10",
    "rule: near\ntitle: T\nrequire: order.price <= 2 * instrument.mark",
)


class TestBlocks:
    def pair(self) -> Pair:
        return Pair(
            BOOK,
            world(
                session={"open": "2026-06-15T12:00:00-04:00"},
                strategies=[{"id": "S", "repeated_executions": "3"}],
            ),
        )

    def made(self, pair: Pair, *asked: dict[str, Any]) -> Iterator[str]:
        """The places whose blocks are made anew for these orders."""
        before = {place: dict(found) for place, found in rows_of(pair)._blocks.items()}
        for each in asked:
            pair.agree(each)
        for place in BLOCKS:
            for key, block in rows_of(pair)._blocks[place].items():
                if before[place].get(key) is not block:
                    yield place

    @pytest.mark.parametrize(
        ("event", "places"),
        [
            (InstrumentChanged("ACME", {"instrument.mark": Fraction(120)}), {"instrument"}),
            (InstrumentChanged("BETA", {"instrument.mark": Fraction(101)}), set()),
            (TraderChanged("T", {"trader.traded_today": Fraction(5)}), {"trader"}),
            (SingleChanged({"lists.restricted": frozenset({"BETA"})}), {"instrument"}),
            (SingleChanged({"lists.watch": frozenset({"BETA"})}), set()),
            (AccountSet("A", {"account.currency": "USD", "account.nav": Fraction(5)}), {"account"}),
        ],
        ids=str,
    )
    def test_an_event_makes_only_its_own_place_anew(self, event, places):
        pair, asked = self.pair(), order(trader="T", strategy="S")
        pair.agree(asked)
        pair.apply(event)
        found = set(self.made(pair, asked))
        assert places <= found <= places | {"single"}

    def test_one_thing_is_not_told_for_another(self):
        """Two traders, two strategies, two names and two accounts' currencies, in every order of asking."""
        pair = self.pair()
        pair.apply(TraderChanged("T", {"trader.traded_today": Fraction(8_950)}))
        for number, (trader, strategy, symbol) in enumerate(product((None, "T"), (None, "S"), ("ACME", "BETA"))):
            named = {k: v for k, v in (("trader", trader), ("strategy", strategy)) if v}
            found = {rule for rule, _, _ in pair.agree(order(symbol=symbol, id=f"O{number}", **named)).keys}
            assert ("role" in found) is (trader == "T")

    def test_blocks_that_go_give_their_integers_back(self, monkeypatch):
        """Every integer kept for a block is dropped once when the block is made anew."""
        pair = self.pair()
        pair.agree(order())
        rows, dropped = rows_of(pair), list[int]()
        real = rows.memory.drop

        def noting(kept: list[int]) -> None:
            dropped.extend(kept)
            real(kept)

        monkeypatch.setattr(rows.memory, "drop", noting)
        for mark in range(120, 1_320, 20):
            (block,) = rows._blocks["instrument"].values()
            kept = list(block.kept)
            dropped.clear()
            pair.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(mark)}))
            pair.agree(order())
            assert dropped == kept
        assert rows_of(pair) is rows

    def test_a_price_that_has_grown_old_and_a_new_one(self):
        pair = self.pair()
        now = pair.reference.snapshot.time
        pair.apply(InstrumentChanged("ACME", {"instrument.mark_time": now}))
        for minutes, fresh in ((0, False), (15, False), (16, False), (16, True), (31, False), (32, False)):
            if fresh:
                moment = now + timedelta(minutes=minutes)
                pair.apply(InstrumentChanged("ACME", {"instrument.mark_time": moment}))
            pair.apply(SingleChanged({"clock.now": now + timedelta(minutes=minutes)}))
            keys = pair.agree(order()).keys
            unknown = {"weight", "near"} if minutes in (16, 32) and not fresh else set()
            assert {rule for rule, _, _ in keys} == unknown


class TestSubjects:
    @pytest.mark.parametrize(
        ("for_each", "require", "subject"),
        [
            ("order", "order.quantity <= 0", "O"),
            ("account", "sum(order.quantity) <= 0", "A"),
            ("trader", "sum(order.quantity) <= 0", "T"),
            ("instrument", "sum(order.filled) <= 0", "ACME"),
            ("position", "position.after.quantity <= 0", "ACME"),
            ("issuer", "sum(position.after.quantity) <= 0", "ACME"),
            ("sector", "sum(position.after.quantity) <= 0", "Tech"),
        ],
    )
    def test_a_finding_names_its_subject(self, for_each, require, subject):
        pair = Pair(simple(require, for_each))
        assert [r.id for r in rows_of(pair).plan.rules] == ["r"]
        assert {s for _, s, _ in pair.agree(order(id="O", trader="T")).keys} == {subject}

    def test_an_order_without_a_trader_is_nobodys(self):
        pair = Pair(simple("sum(order.quantity) <= 0", "trader"))
        assert {s for _, s, _ in pair.agree(order()).keys} == {"NONE"}

    @pytest.mark.parametrize(
        "event",
        [InstrumentChanged("ACME", {"instrument.issuer": ""}), InstrumentSet("ACME", {"instrument.mark": Fraction(9)})],
        ids=["empty", "gone"],
    )
    @pytest.mark.parametrize("text", ["sum(position.after.quantity) <= 0", "sum(order.quantity) <= 50"])
    def test_a_name_without_a_group_is_undecided_for_nobody(self, event, text):
        """Also when the rule reads nothing but the order."""
        pair = Pair(simple(text, "issuer"))
        pair.agree(order())
        pair.apply(event)
        assert {(s, status.value) for _, s, status in pair.agree(order()).keys} == {("", "undecided")}
        assert pair.alone() == set(), "by itself CLIPS says nothing of it"
