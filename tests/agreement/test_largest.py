"""The largest compliant quantity is the one found by trying every quantity."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.breakpoints import TRIED_MAX
from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.events import after
from lexorder.engine.reference import Reference
from tests.agreement import compare, happenings, worlds


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    compare.quick_classes(monkeypatch.setattr)


def compared(rules, snapshot, book: CompiledBook, order, cap: int) -> bool:
    """Whether a largest quantity was claimed; it and each rule's own must be those of the linear scan."""
    found, by_rule = book.largest(worlds.ACCOUNT, order, cap)
    expected, each = Reference(rules, compare.VOCABULARY, snapshot).largest(worlds.ACCOUNT, order, cap)
    assert by_rule == {rule: each[rule] for rule in by_rule}, order
    if found.note:
        return False
    assert (found.quantity, found.binding) == (expected.quantity, expected.binding), order
    return True


@pytest.mark.parametrize("seed", range(12))
def test_largest_is_that_of_a_linear_scan(seed):
    rules = compare.rules_of(seed, 5, heavy=0.2)
    plan = Plan(rules, compare.VOCABULARY)
    random_ = Random(f"largest {seed}")
    snapshot = worlds.snapshot(random_)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot, plan)
    claims = 0
    for number in range(3):
        order = worlds.order(random_, number, random_.choice((1, 4, 9)))
        claims += compared(rules, snapshot, book, order, random_.choice((5, 9)))
        event = happenings.happening(random_, snapshot, number)
        snapshot = after(snapshot, event)
        book.apply(event)
    assert claims == 3, "small caps are always analysable: what has no function is tried"


def world_and_rules(text: str):
    from lexorder.engine.rulebook import RuleBook

    rules = RuleBook.of(text, compare.VOCABULARY).on(compare.DAY)
    random_ = Random(3)
    snapshot = worlds.snapshot(random_, worlds.Rates(0, 0, 0))
    account = {**snapshot.accounts["A"], "account.nav": Fraction(1_000_000), "account.cash": Fraction(500_000)}
    flat = {"ACME": {**worlds.position(random_, "ACME"), "position.before.quantity": Fraction(0)}}
    instruments = {
        s: {**f, "instrument.mark": Fraction(100), "instrument.bid": Fraction(100), "instrument.ask": Fraction(100)}
        for s, f in snapshot.instruments.items()
    }
    from dataclasses import replace

    return rules, replace(
        snapshot, accounts={"A": account}, positions={"A": flat}, working_orders=(), instruments=instruments
    )


def buy(quantity: int, **facts):
    order = worlds.order(Random(1), 1, quantity)
    plain = {"order.symbol": "ACME", "order.side": "buy", "order.ord_type": "limit", "order.price": Fraction(100)}
    return {**order, **plain, "order.fee_per_share": Fraction(0), **facts}


WEIGHT = """
- rule: weight
  title: At most 5% in one issuer
  for_each: issuer
  require: sum(abs(position.after.value)) <= 5% * account.nav
"""
NOTIONAL = """
- rule: notional
  title: Orders of at most 25,000
  require: order.notional <= 25_000
"""
MINIMUM = """
- rule: minimum
  title: Orders of at least 100 shares
  require: order.quantity >= 100
"""
CUBE = """
- rule: cube
  title: Not analysable
  require: order.quantity * order.quantity * order.quantity <= 1_000 * order.quantity * order.quantity * instrument.lot
"""


@pytest.mark.parametrize(
    ("text", "quantity", "binding"),
    [
        (WEIGHT, 500, ("weight",)),
        (NOTIONAL, 250, ("notional",)),
        (WEIGHT + NOTIONAL, 250, ("notional",)),
        (WEIGHT + MINIMUM, 500, ("weight",)),
    ],
)
def test_breakpoints_are_exact_at_any_size(text, quantity, binding):
    rules, snapshot = world_and_rules(text)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot)
    found, by_rule = book.largest("A", buy(9_999), 1_000_000)
    assert (found.quantity, found.binding, found.note) == (quantity, binding, "")
    assert by_rule[binding[0]] == quantity
    assert not book.check("A", (buy(quantity),)).keys
    assert {key[0] for key in book.check("A", (buy(quantity + 1),)).keys} == set(binding)


def test_the_cap_is_the_answer_when_it_is_admitted():
    rules, snapshot = world_and_rules(WEIGHT)
    found, by_rule = CompiledBook(rules, compare.VOCABULARY, snapshot).largest("A", buy(10), 500)
    assert (found.quantity, found.binding, by_rule) == (500, (), {})


def test_nothing_is_claimed_where_a_rule_is_not_analysable():
    rules, snapshot = world_and_rules(CUBE + NOTIONAL)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot)
    found, by_rule = book.largest("A", buy(2_000), TRIED_MAX + 1)
    assert (found.quantity, found.binding, found.note) == (0, (), "not analysable: cube")
    assert by_rule == {"notional": 250}
    tried, _ = book.largest("A", buy(2_000), TRIED_MAX)
    assert (tried.quantity, tried.binding, tried.note) == (250, ("notional",), "")


def test_a_quantity_refused_below_an_admitted_one_is_seen():
    rules, snapshot = world_and_rules(MINIMUM)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot)
    assert book.largest("A", buy(5), 99)[0].quantity == 0
    assert book.largest("A", buy(5), 100)[0].quantity == 100


def test_headroom_does_not_depend_on_the_quantity_asked_for():
    rules, snapshot = world_and_rules(WEIGHT)
    book = CompiledBook(rules, compare.VOCABULARY, snapshot)
    for quantity in (1, 500, 501, 2_000_000):
        assert (book.headroom("A", buy(quantity)).quantity, book.headroom("A", buy(quantity)).binding) == (
            500,
            ("weight",),
        )
    sell = buy(7, **{"order.side": "sell_short"})
    assert book.headroom("A", sell).quantity == 500


def test_headroom_ends_at_the_vocabulary_bound():
    rules, snapshot = world_and_rules(MINIMUM)
    found = CompiledBook(rules, compare.VOCABULARY, snapshot).headroom("A", buy(7))
    assert (found.quantity, found.binding) == (10_000_000, ())
