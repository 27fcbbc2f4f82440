"""A term as a function of one number has at every number the value of the reference."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.evaluate import Point, value
from lexorder.engine.intervals import contains
from lexorder.engine.piecewise import InexpressibleError, constant, identity
from lexorder.engine.snapshot import MissingFactError, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.symbolic import Unknown, condition, number
from lexorder.engine.typecheck import term_of
from tests.agreement import compare, rules, worlds

HIGH = 12
KEY = ("order", "O1")


def point(seed: int) -> Point:
    random_ = Random(seed)
    snapshot = worlds.snapshot(random_, worlds.Rates(0, 0, 0))
    seen = project(snapshot, compare.VOCABULARY, worlds.ACCOUNT, (worlds.order(random_, 1, HIGH),))
    return Point(seen, (account_subject(seen),), {}, {})


def filling(at: Point) -> Unknown:
    """The order under test filled up to x shares."""
    (order,) = at.projection.orders
    symbol, sign = str(order["order.symbol"]), 1 if order["order.side"] == "buy" else -1
    before = at.projection.positions[symbol].get("position.before.quantity")
    assert isinstance(before, Fraction)
    x = identity(0, HIGH)
    return Unknown(0, HIGH, {symbol: x.scaled(sign) + constant(before, 0, HIGH)}, {KEY: x})


@pytest.mark.parametrize("seed", range(120))
def test_random_amounts_as_functions_of_a_fill(seed):
    random_ = Random(seed)
    term = term_of(f"{rules.amount(random_, 3)} <= 0", compare.VOCABULARY, "account")
    at = point(seed)
    left = next(term.children())
    try:
        function, where = number(left, at, filling(at)), condition(term, at, filling(at))
    except InexpressibleError:
        pytest.skip("of higher degree")
    for x in range(HIGH + 1):
        there = replace(at, fills={KEY: Fraction(x)})
        assert function(x) == value(left, there)
        assert contains(where, x) == value(term, there)


CONDITIONS = (
    "any(position.after.quantity > 3 where position.before.quantity >= 0)",
    "all(position.after.quantity >= -2)",
    "all(position.after.quantity >= -2 where position.after.quantity != 1)",
    "any(order.filled == 3 where order.filled > 1)",
    "count(position where position.after.quantity > 2) >= 1",
    "not (sum(position.after.quantity) in {3, 5, 7})",
    "sum(position.after.quantity) > 4 and not (sum(position.after.quantity) > 6) or sum(position.after.quantity) == 1",
    "(if sum(order.filled) > 3 then sum(order.filled) < 9 else sum(order.filled) != 2)",
    "sum(order.filled / 4 + 1 - -order.filled) <= 9",
    "max(sum(order.filled), 4) - min(sum(order.filled), 7) >= 0",
)


@pytest.mark.parametrize("text", CONDITIONS)
@pytest.mark.parametrize("seed", range(4))
def test_conditions_hold_where_the_reference_says(text, seed):
    at = point(seed)
    term = term_of(text, compare.VOCABULARY, "account")
    where = condition(term, at, filling(at))
    for x in range(HIGH + 1):
        assert contains(where, x) == value(term, replace(at, fills={KEY: Fraction(x)})), x


def test_the_ordered_quantity_can_vary_too():
    at = point(3)
    term = term_of("sum(order.quantity * order.quantity)", compare.VOCABULARY, "account")
    found = number(term, at, Unknown(0, HIGH, quantities={"O1": identity(0, HIGH)}))
    assert [found(x) for x in range(HIGH + 1)] == [x * x for x in range(HIGH + 1)]


def test_what_does_not_vary_is_a_constant():
    at = point(4)
    term = term_of("account.total_assets / 3", compare.VOCABULARY, "account")
    found = number(term, at, filling(at))
    assert found.is_constant()
    assert found(0) == value(term, at)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 / (1 + sum(order.filled) / 5) <= 1", "not-a-constant-divisor"),
        ("sum(order.filled) * sum(order.filled) * sum(order.filled) * 0 <= 0", "degree-above-two"),
    ],
)
def test_what_is_not_piecewise_of_degree_two_is_refused(text, code):
    at = point(5)
    parts = text.split(" <= ")
    term = term_of(parts[0], compare.VOCABULARY, "account")
    with pytest.raises(InexpressibleError, match=code):
        number(term, at, filling(at))


def test_a_missing_fact_is_raised_unless_another_part_decides():
    at = point(6)
    bare = {k: v for k, v in at.projection.snapshot.accounts["A"].items() if k != "account.nav"}
    snapshot = replace(at.projection.snapshot, accounts={"A": bare})
    seen = replace(at.projection, snapshot=snapshot)
    at = Point(seen, (account_subject(seen),), {}, {})
    missing = "sum(order.filled * order.cash_per_share) <= account.nav"
    with pytest.raises(MissingFactError, match=r"account\.nav"):
        condition(term_of(missing, compare.VOCABULARY, "account"), at, filling(at))
    decided = term_of(f"({missing}) or sum(order.filled) >= 0", compare.VOCABULARY, "account")
    assert condition(decided, at, filling(at)) == ((0, HIGH),)
    undecided = term_of(f"({missing}) or sum(order.filled) >= 1", compare.VOCABULARY, "account")
    with pytest.raises(MissingFactError):
        condition(undecided, at, filling(at))
    assert condition(term_of(f"({missing}) and 1 > 2", compare.VOCABULARY, "account"), at, filling(at)) == ()


def test_division_by_nought_is_missing():
    at = point(7)
    term = term_of("sum(order.filled) / (account.total_assets - account.total_assets)", compare.VOCABULARY, "account")
    with pytest.raises(MissingFactError, match="is zero"):
        number(term, at, filling(at))
