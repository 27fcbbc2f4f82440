"""Rules judged from prepared leaf facts: what is kept, when it is looked at again, and what is beyond it.

What this way and the row have in common stands in `test_judging.py`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.errors import ExpertError
from lexorder.engine.events import (
    AccountChanged,
    InstrumentChanged,
)
from lexorder.engine.expert import contexts as contexts_module
from lexorder.engine.expert.clipslib import lib
from lexorder.engine.facts import load_order
from lexorder.engine.ports import ExactAnswer
from lexorder.engine.verdict import Status
from tests.expert.books import Leaves, simple
from tests.worlds import VOCABULARY, order, position, world

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

    def test_numbers_are_used_again_so_that_memory_stays_flat(self, monkeypatch):
        """CLIPS keeps each number for good: thousands of names must not make thousands of them."""
        monkeypatch.setattr(contexts_module, "CONTEXTS_MAX", 2)
        pair, made = Leaves(simple(WEIGHT, "issuer")), list[int]()
        session = pair.expert.session
        real = session.kept_integer

        def noting(number: int) -> Any:
            made.append(number)
            return real(number)

        monkeypatch.setattr(session, "kept_integer", noting)
        for turn in range(12):
            pair.agree(order(symbol=("ACME", "BETA", "COCO")[turn % 3], quantity=50 + turn % 2))
            numbers = [session.read(fact, b"ctx") for fact in session.facts("context")]
            assert len(set(numbers)) == len(numbers) <= 2
        assert made == [1, 2]

    def test_a_number_is_never_given_twice(self, monkeypatch):
        """Also when the context it was given to could not be told to CLIPS."""
        monkeypatch.setattr(contexts_module, "CONTEXTS_MAX", 2)
        pair = Leaves(simple(WEIGHT, "issuer"))
        session, real = pair.expert.session, pair.expert.session.add
        for turn in range(12):
            if turn % 4 == 3:
                monkeypatch.setattr(session, "add", self.failing)
                with pytest.raises(ExpertError, match="expert-deadline"):
                    pair.both(order(symbol=("ACME", "BETA", "COCO")[turn % 3]))
                monkeypatch.setattr(session, "add", real)
            pair.agree(order(symbol=("ACME", "BETA", "COCO")[turn % 3], quantity=50 + turn % 2))
            numbers = [session.read(fact, b"ctx") for fact in session.facts("context")]
            assert len(set(numbers)) == len(numbers) <= 2

    @staticmethod
    def failing(builder: Any) -> Any:
        lib.FBAbort(builder.handle)
        raise ExpertError("expert-deadline", "CLIPS took too long")

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
