"""Rules without generated source, lowered from their terms: each against its meaning on paper, at the limit and beside.

These are the rules whose alternatives have divisors known only at run time; they are asked for here of the compiled
form alone, because the other form leaves them to it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.compile import Plan
from lexorder.engine.vector_code import Code, NotVectorError
from lexorder.engine.vector_slow import failing
from lexorder.engine.vector_terms import Terms
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import compiled, desk_of, plainly
from tests.worlds import VOCABULARY, instrument, order, position, working

ADV = 3
NAV, CASH = 100_000, 100_000


def cleared(rule: str, orders: list[dict[str, Any]], **sections: Any) -> list[bool]:
    """What the compiled form alone clears under one rule that has no generated check; never what does not pass."""
    live, vector = desk_of(rule, **{"instruments": [instrument("ACME", adv=str(ADV))], **sections})
    found, first = compiled(live, vector, orders)
    assert all(check.slow == (0,) for check in first.plan.checks.values())
    assert all(want or not got for got, want in zip(found, plainly(live, orders), strict=True))
    return found


def test_it_is_asked_only_for_rules_without_source():
    """Else the table below would try the generated check."""
    live, _ = desk_of(cases.rule("r", "order", "", "order.quantity / instrument.adv <= 5"))
    assert Plan(live.rules_of("A"), VOCABULARY).check("buy", "limit").slow == ()


Exact = Callable[[int], bool]
ORDERS: tuple[tuple[str, str, int, Exact], ...] = (
    ("", "max(order.quantity / instrument.adv, 2) <= 5", 15, lambda q: max(Fraction(q, ADV), Fraction(2)) <= 5),
    ("", "max(order.quantity / instrument.adv, 2) < 5", 15, lambda q: Fraction(q, ADV) < 5),
    ("", "min(order.quantity / instrument.adv, 9) >= 5", 15, lambda q: min(Fraction(q, ADV), Fraction(9)) >= 5),
    ("", "max(order.quantity / instrument.adv, 2) != 5", 15, lambda q: Fraction(q, ADV) != 5),
    ("", "not (max(order.quantity / instrument.adv, 2) > 5)", 15, lambda q: Fraction(q, ADV) <= 5),
    ("", "max(order.quantity / instrument.adv, account.cash / account.nav) <= 1", 3, lambda q: q <= ADV),
    ("", "(if order.quantity > 6 then order.quantity / instrument.adv else account.cash / account.nav) <= 4", 12,
     lambda q: q <= 6 or Fraction(q, ADV) <= 4),
    ("", "max(order.quantity / instrument.adv, 2) <= 5 and order.quantity != 14", 14,
     lambda q: q != 14 and q <= 15),
    ("max(order.quantity / instrument.adv, 2) > 5", "order.quantity >= 18", 17, lambda q: q <= 15 or q >= 18),
)  # fmt: skip
"""Condition, requirement, the quantity at its limit, and what it says of a purchase of that many."""


@pytest.mark.parametrize(("when", "require", "limit", "exact"), ORDERS, ids=[f"{c[0]} {c[1]}" for c in ORDERS])
def test_facts_of_an_order_at_the_limit_and_beside(when, require, limit, exact):
    quantities = [1, limit - 1, limit, limit + 1, limit + 2]
    found = cleared(cases.rule("r", "order", when, require), [order("buy", q) for q in quantities])
    assert found == [exact(q) for q in quantities]


HOLDINGS: tuple[tuple[str, Callable[[Fraction], bool]], ...] = (
    ("max(position.after.quantity / instrument.adv, 0) <= 5", lambda x: max(x / ADV, Fraction(0)) <= 5),
    ("max(position.after.quantity / instrument.adv, 0) < 5", lambda x: x / ADV < 5),
    ("min(position.after.quantity / instrument.adv, 0) >= -5", lambda x: x / ADV >= -5),
    ("max(abs(position.after.quantity) / instrument.adv, 1) <= 5", lambda x: abs(x) / ADV <= 5),
    ("5 >= max(abs(position.after.quantity) / instrument.adv, account.cash / account.nav)",
     lambda x: abs(x) / ADV <= 5),
)  # fmt: skip
"""Requirements on what is held of one name, and their meaning for a holding of three a day."""


@pytest.mark.parametrize(("require", "exact"), HOLDINGS, ids=[h[0] for h in HOLDINGS])
@given(
    held=st.sampled_from((-15, -14, -1, 0, 1, 14, 15)),
    moves=st.lists(st.tuples(st.sampled_from(("buy", "sell")), st.integers(1, 3)), max_size=2),
    asked=st.lists(st.tuples(st.sampled_from(("buy", "sell")), st.integers(1, 31)), min_size=4, max_size=4),
)
@settings(max_examples=12, deadline=None)
def test_every_state_of_a_holding_counts(require, exact, held, moves, asked):
    """Each state between the ends is tried: a form that looked at one end only would clear too much."""
    found = cleared(
        cases.rule("r", "position", "", require),
        [order(side, q) for side, q in asked],
        positions=[position("ACME", held)] if held else [],
        working_orders=[working(f"W{n}", "ACME", s, q) for n, (s, q) in enumerate(moves)],
    )
    for (side, quantity), got in zip(asked, found, strict=True):
        every = [*moves, (side, quantity)]
        low = held - sum(q for s, q in every if s == "sell")
        high = held + sum(q for s, q in every if s == "buy")
        wanted = all(exact(Fraction(x)) for x in range(low, high + 1))
        assert got == wanted, (side, quantity)


def test_both_sides_are_told_apart_though_their_source_is_the_same():
    """A step kept for purchases and used for sales would stop a reduction and let a purchase through."""
    rule = cases.rule("r", "position", "", "max(position.after.quantity / instrument.adv, 0) <= 5")
    orders = [order("buy", 2), order("sell", 2), order("sell_short", 2), order("buy", 1)]
    assert cleared(rule, orders, positions=[position("ACME", 14)]) == [False, True, True, True]
    assert cleared(rule, orders[::-1], positions=[position("ACME", 14)]) == [True, True, True, False]


@pytest.mark.parametrize("adv", [None, "0"])
def test_a_divisor_that_is_missing_or_nought_clears_nothing(adv):
    facts = {k: v for k, v in instrument("ACME", adv=adv).items() if v is not None}
    rule = cases.rule("r", "order", "", "max(order.quantity / instrument.adv, 2) <= 5")
    assert cleared(rule, [order("buy", 1)], instruments=[facts]) == [False]


def test_a_branch_that_is_not_taken_spares_the_missing_fact():
    bare = {k: v for k, v in instrument("ACME").items() if k != "adv"}
    rule = "order.quantity <= 5 or max(order.quantity / instrument.adv, 2) <= 5"
    found = cleared(cases.rule("r", "order", "", rule), [order("buy", 5), order("buy", 6)], instruments=[bare])
    assert found == [True, False]


REFUSED = (
    ("position", "", "position.after.quantity != 0", "no limit on what is held"),
    ("position", "", "position.after.quantity == 5", "no limit on what is held"),
    ("position", "", "not (position.after.quantity > 5)", "no limit on what is held"),
    ("position", "", "instrument.adv / position.after.quantity <= 5", "no limit on what is held"),
    ("account", "", "count(position where position.after.quantity != 0) <= 5", "no limit on what is held"),
    ("issuer", "", "count(position where position.after.quantity != 0) <= 5", "for each issuer"),
    ("order", "", "count(signal where signal.symbol == order.symbol) >= 0", "a sum"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "when", "require", "why"), REFUSED, ids=[f"{r[0]}: {r[2]}" for r in REFUSED])
def test_what_is_no_limit_on_one_name_is_refused_with_the_rule_s_name(kind, when, require, why):
    """Both ends of a holding say nothing about `!=` between them: such rules are the single path's."""
    live, vector = desk_of(cases.rule("named", kind, when, require))
    (prepared,) = Plan(live.rules_of("A"), VOCABULARY).prepared
    with pytest.raises(NotVectorError, match=f"named.*{why}"):
        failing(prepared, "buy", Terms(Code(vector.book.words), vector.book.words))
