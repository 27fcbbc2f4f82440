"""Closed forms against the reference, and where they decide what it cannot."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import worst
from lexorder.engine.judge import derivations, judge
from lexorder.engine.rule import TermClass
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import project
from lexorder.engine.verdict import Status
from tests.agreement import compare, worlds


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    compare.quick_classes(monkeypatch.setattr)


def rule_of(text: str, for_each: str = "account", **more: str):
    lines = "".join(f"  {key}: {value}\n" for key, value in more.items())
    book = f"- rule: tested\n  title: t\n  for_each: {for_each}\n{lines}  require: {text}\n"
    (rule,) = RuleBook.of(book, compare.VOCABULARY).on(compare.DAY)
    return rule


def plain_world(quantity: int = 0, orders: int = 0, side: str = "buy", size: int = 1):
    """One holding of ACME at 10, some working orders in it, 1,000 of net assets."""
    random_ = Random(1)
    base = worlds.snapshot(random_, worlds.Rates(0, 0, 0))
    instruments = {s: {**f, "instrument.mark": Fraction(10)} for s, f in base.instruments.items()}
    account = {**base.accounts["A"], "account.nav": Fraction(1000), "account.cash": Fraction(1000)}
    held = {**worlds.position(random_, "ACME"), "position.before.quantity": Fraction(quantity)}
    working = tuple(
        {
            **worlds.working(random_, n, 1),
            "working_order.symbol": "ACME",
            "working_order.side": side,
            "working_order.quantity": Fraction(size),
            "working_order.price": Fraction(10),
        }
        for n in range(orders)
    )
    return replace(
        base, accounts={"A": account}, instruments=instruments, positions={"A": {"ACME": held}}, working_orders=working
    )


def order(side: str, quantity: int):
    facts = worlds.order(Random(1), 1, quantity)
    return {
        **facts,
        "order.symbol": "ACME",
        "order.side": side,
        "order.ord_type": "limit",
        "order.price": Fraction(10),
        "order.fee_per_share": Fraction(0),
    }


def found(rule, snapshot, *orders):
    seen = project(snapshot, compare.VOCABULARY, "A", orders)
    (closed,) = worst.judge(worst.prepared(rule), seen, derivations([rule]))
    (plain,) = judge(rule, seen, derivations([rule]))
    return closed, plain


@pytest.mark.parametrize("seed", range(25))
def test_every_finding_is_that_of_the_reference(seed):
    rules = compare.rules_of(500 + seed, 4)
    random_ = Random(seed)
    snapshot = worlds.snapshot(random_)
    orders = (worlds.order(random_, 1, 3), worlds.order(random_, 2, 2))[: random_.choice((1, 1, 2))]
    seen = project(snapshot, compare.VOCABULARY, "A", orders)
    for rule in rules:
        if rule.require is not None:
            expected = judge(rule, seen, derivations(rules))
            closed = worst.judge(worst.prepared(rule), seen, derivations(rules))
            for one, two in zip(expected, closed, strict=True):
                assert one.why.startswith(compare.TOO_MANY) or compare.same(one, two)


def test_convex_holdings_are_decided_however_many_orders_work():
    gross = rule_of("sum(abs(position.after.value)) <= 20% * account.nav")
    closed, plain = found(gross, plain_world(orders=14), order("buy", 6))
    assert plain.status is Status.UNDECIDED
    assert (closed.status, closed.margin) == (Status.PASS, 0)
    closed, _ = found(gross, plain_world(orders=14), order("buy", 7))
    assert (closed.status, closed.observed, closed.limit) == (Status.BREACH, Fraction(21, 100), Fraction(1, 5))


def test_linear_sums_count_each_order_alone_in_the_reference_too():
    cash = rule_of("account.after.cash >= 80% * account.nav")
    closed, plain = found(cash, plain_world(orders=15), order("buy", 5))
    assert closed == plain
    assert (plain.status, plain.margin) == (Status.PASS, 0)


def test_thresholds_are_maximised_name_by_name_over_millions_of_states():
    concentrated = rule_of(
        "sum(position.after.value where position.after.value > 5% * account.nav) <= 40% * account.nav"
    )
    snapshot = plain_world(orders=1, size=10_000)
    closed, plain = found(concentrated, snapshot, order("buy", 10_000))
    assert plain.status is Status.UNDECIDED
    assert (closed.status, closed.observed) == (Status.BREACH, Fraction(200))


@pytest.mark.parametrize(("held", "status"), [(4_000, Status.PASS), (3_999, Status.BREACH)])
def test_a_condition_on_the_way_is_seen_without_looking_at_each_state(held, status):
    never = rule_of("position.after.quantity != 3_999", "position")
    closed, _ = found(never, plain_world(quantity=held), order("buy", 5_000))
    assert closed.status is status
    closed, _ = found(never, plain_world(quantity=0), order("buy", 5_000))
    assert closed.status is Status.BREACH


def test_fractional_fills_are_not_looked_at_one_by_one():
    never = rule_of("position.after.quantity != 3", "position")
    closed, plain = found(never, plain_world(), {**order("buy", 2), "order.quantity": Fraction(5, 2)})
    assert closed.status is plain.status is Status.UNDECIDED


def test_a_sum_that_scales_another_keeps_its_value_when_names_are_judged_alone():
    scaled = rule_of("sum(abs(position.after.value)) * count(position) <= 60% * account.nav")
    snapshot = plain_world(quantity=10)
    more = {**snapshot.positions["A"], "BETA": {**worlds.position(Random(2), "BETA")}}
    snapshot = replace(
        snapshot, positions={"A": {**more, "BETA": {**more["BETA"], "position.before.quantity": Fraction(10)}}}
    )
    closed, plain = found(scaled, snapshot, order("buy", 10))
    assert closed == plain
    assert (closed.status, closed.margin) == (Status.PASS, 0)


class TestPassive:
    GROSS = "sum(abs(position.after.value)) <= 5% * account.nav"

    @pytest.mark.parametrize(
        ("side", "quantity", "status"),
        [
            ("sell", 4, Status.PASSIVE),
            ("sell", 10, Status.PASSIVE),
            ("sell", 11, Status.BREACH),
            ("buy", 1, Status.BREACH),
        ],
    )
    def test_getting_better_is_allowed_but_not_through_zero(self, side, quantity, status):
        closed, plain = found(rule_of(self.GROSS), plain_world(quantity=10), order(side, quantity))
        assert closed == plain
        assert closed.status is status

    def test_unless_the_rule_blocks(self):
        rule = rule_of(self.GROSS, if_already_breached="block")
        closed, plain = found(rule, plain_world(quantity=10), order("sell", 4))
        assert closed == plain
        assert closed.status is Status.BREACH

    def test_a_working_sale_does_not_make_room(self):
        snapshot = plain_world(quantity=10, orders=1, side="sell", size=10)
        closed, plain = found(rule_of(self.GROSS), snapshot, order("sell", 1))
        assert closed == plain
        assert closed.status is Status.BREACH


@pytest.mark.parametrize(
    ("text", "for_each", "compact"),
    [
        ("sum(abs(position.after.value)) <= 5% * account.nav", "issuer", True),
        ("account.after.cash >= 2% * account.nav", "account", True),
        ("order.quantity <= 5", "order", True),
        ("sum(abs(position.after.value)) <= 5% * account.after.nav", "account", False),
        ("sum(position.after.value) <= sum(position.before.value)", "account", False),
        ("count(position where position.after.quantity > 0) <= 5", "account", False),
    ],
)
def test_compact_rules_need_no_other_name(text, for_each, compact):
    assert worst.prepared(rule_of(text, for_each)).compact is compact


def test_a_rule_is_taken_apart_once():
    taken = worst.prepared(rule_of("order.quantity <= 5 and order.notional <= 70", "order", when="order.side == buy"))
    assert taken.guard is not None
    assert [p.kind for p in taken.parts] == [TermClass.FACTS_ONLY] * 2
    moving = worst.prepared(rule_of("account.nav > 0", when="sum(position.after.value) > 5"))
    assert moving.guard is None
    assert len(moving.parts) == 1
