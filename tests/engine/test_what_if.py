"""What an order would do, against every fill state of small worlds counted one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.desk import fast
from lexorder.engine.facts import load_order
from lexorder.engine.what_if import what_if
from tests.worlds import VOCABULARY, book, desk, order, position, working, world

RULES = book(
    """
    rule: quantity
    title: At most 10 shares an order
    require: order.quantity <= 10
    """,
    """
    rule: weight
    title: At most 3% in one issuer
    for_each: issuer
    require: sum(abs(position.after.value)) <= 3% * account.nav
    """,
)
SMALL = st.integers(0, 3)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ACME", "BETA"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 3),
        st.sampled_from(["99.5", "100", "101"]),
    ),
    max_size=3,
)


def facts(**given):
    return load_order(order(**given), VOCABULARY)


def made(held, rows):
    orders = [working(f"w{n}", *row) for n, row in enumerate(rows)]
    return desk(RULES, world(positions=[position("ACME", held)] if held else [], working_orders=orders), fast)


def states(rows):
    """Every way the orders can fill: how many shares of each."""
    return product(*(range(quantity + 1) for _, _, quantity, _ in rows))


def signed(side, quantity):
    return quantity if side == "buy" else -quantity


@settings(max_examples=10, deadline=None)
@given(held=SMALL, rows=ROWS, side=st.sampled_from(["buy", "sell"]), quantity=st.integers(1, 3))
def test_holdings_are_the_least_and_the_most_of_all_fill_states(held, rows, side, quantity):
    found = what_if(made(held, rows), facts(side=side, quantity=quantity))
    everything = [*rows, ("ACME", side, quantity, "100")]
    for symbol, span in found.positions.items():
        start = held if symbol == "ACME" else 0
        ends = [
            start
            + sum(signed(s, done) for (name, s, *_), done in zip(everything, fills, strict=True) if name == symbol)
            for fills in states(everything)
        ]
        assert (span.before, span.low, span.high) == (start, min(ends), max(ends))
    assert {name for name, *_ in everything} <= set(found.positions)


@settings(max_examples=10, deadline=None)
@given(rows=ROWS, side=st.sampled_from(["buy", "sell"]), quantity=st.integers(1, 3))
def test_cash_is_the_least_and_the_most_of_all_fill_states(rows, side, quantity):
    found = what_if(made(0, rows), facts(side=side, quantity=quantity))
    everything = [*rows, ("ACME", side, quantity, "100")]
    ends = [
        100_000
        - sum(signed(s, done) * Fraction(price) for (_, s, _, price), done in zip(everything, fills, strict=True))
        for fills in states(everything)
    ]
    assert found.cash is not None
    assert found.cash.before == 100_000
    assert (found.cash.low, found.cash.high) == (min(ends), max(ends))


def test_a_rule_that_passes_is_shown_with_its_figures():
    found: Any = what_if(made(0, []), facts(quantity=10)).to_json()
    assert found["rules"][0] == {
        "rule": "quantity",
        "title": "At most 10 shares an order",
        "subject": found["rules"][0]["subject"],
        "status": "pass",
        "observed": "10",
        "limit": "10",
        "margin": "0",
    }


def test_a_hidden_rule_is_in_nothing_that_is_shown():
    shown: Any = what_if(made(30, []), facts(quantity=11)).to_json(frozenset({"quantity", "weight"}))
    assert shown["rules"] == []
    assert shown["headroom"]["binding"] == []


@pytest.mark.parametrize("changed", [{"account": "NOBODY"}, {"symbol": "NOTHING"}])
def test_what_is_not_known_has_a_decision_and_no_figures(changed):
    found = what_if(made(0, []), facts(**changed))
    assert not found.decision.approved
    assert (found.findings, dict(found.positions), found.cash, found.headroom) == ((), {}, None, None)


def test_nothing_of_the_desk_changes():
    live = made(3, [("ACME", "buy", 2, "100")])
    before = live.hash, dict(live.working), live.time, live.check(facts(id="p")).to_json()
    what_if(live, facts(quantity=11))
    assert (live.hash, dict(live.working), live.time, live.check(facts(id="p")).to_json()) == before
