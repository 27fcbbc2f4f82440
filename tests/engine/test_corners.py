"""Sums over issuers above a bar are worst where orders fill whole or not at all: against every single state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.classify import classify, peaks_at_corners
from lexorder.engine.desk import fast, slow
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import TermClass
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.terms import Term
from tests.worlds import VOCABULARY, book, desk, instrument, order, position, working, world

LARGE = """
    rule: large
    title: Issuers above 5% are together at most 10%
    for_each: account
    let: {holding: 'issuer.sum(max(0, position.after.value))'}
    require: sum(holding where holding > 5% * account.nav) <= 10% * account.nav
"""


def required(text: str, vocabulary: Vocabulary = VOCABULARY) -> Term:
    """The requirement of a rule for each account."""
    rules = RuleBook.of(f"- rule: r\n  title: T\n  for_each: account\n  require: {text}\n", vocabulary)
    term = rules.versions[0].items[-1][1].require
    assert term is not None
    return term


VALUE = "issuer.sum(max(0, position.after.value))"


@pytest.mark.parametrize(
    ("text", "peaks"),
    [
        (f"sum({VALUE} where {VALUE} > 5% * account.nav) <= 40% * account.nav", True),
        (f"sum({VALUE} where {VALUE} >= 5% * account.nav) < 40% * account.nav", True),
        (f"sum({VALUE} where {VALUE} < 5% * account.nav) <= 40% * account.nav", False),
        (f"sum({VALUE} where {VALUE} > -5% * account.nav) <= 40% * account.nav", False),
        (f"sum({VALUE} where {VALUE} > account.cash) <= 40% * account.nav", False),
        (f"sum({VALUE} where {VALUE} > 5% * account.nav) >= 40% * account.nav", False),
        (f"sum({VALUE} where {VALUE} > 5% * account.nav) <= account.after.cash", False),
        (f"sum(2 * {VALUE} where {VALUE} > 5% * account.nav) <= 40% * account.nav", False),
        (
            "sum(issuer.sum(min(position.after.value, 9)) where issuer.sum(min(position.after.value, 9)) > 1) <= 3",
            False,
        ),
        ("sum(abs(position.after.value)) <= 40% * account.nav", True),
        ("sum(position.after.value) == 0", True),
        ("count(position where position.after.quantity > 0) <= 3", False),
    ],
)
def test_what_is_shown_to_peak_at_corners(text: str, peaks: bool) -> None:
    assert peaks_at_corners(required(text)) is peaks


def test_the_class_stays_what_it_is() -> None:
    assert (
        classify(required(f"sum({VALUE} where {VALUE} > 5% * account.nav) <= 1")).term_class is TermClass.MIXED_INTEGER
    )


SYMBOLS = ("AA", "AB", "BA")
NAMES = [instrument(s, "100", issuer=s[0]) for s in SYMBOLS]
moves = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 5)), max_size=2)


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(*(st.integers(0, 8) for _ in SYMBOLS)),
    moves,
    st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 8)),
)
def test_corners_find_what_all_states_find(held: tuple[int, ...], old: list[Any], asked: tuple[str, str, int]) -> None:
    """Net assets of 10,000 and names at 100: the bar lies at 5 shares of an issuer, the limit at 10."""
    found = world(
        account={"nav": "10000"},
        instruments=NAMES,
        positions=[position(s, q) for s, q in zip(SYMBOLS, held, strict=True)],
        working_orders=[working(f"W-{n}", s, side, q) for n, (s, side, q) in enumerate(old)],
    )
    symbol, side, quantity = asked
    sent = order(side, quantity, symbol)
    quick, plain = (desk(book(LARGE), found, make).check(sent) for make in (fast, slow))
    assert quick.outcome is plain.outcome
    kept = [(r.rule, r.subject, r.status, r.observed, r.limit, r.margin) for r in quick.reports]
    assert kept == [(r.rule, r.subject, r.status, r.observed, r.limit, r.margin) for r in plain.reports]
    if plain.largest is not None and quick.largest is not None and not plain.largest.note and not quick.largest.note:
        assert quick.largest.quantity == plain.largest.quantity


def test_a_basket_of_one_issuer_is_decided_however_large() -> None:
    found = world(account={"nav": "100000000"}, instruments=NAMES, positions=[position("BA", 50_001)])
    rules = book(LARGE)
    for quantity, outcome in ((20_000, "approve"), (20_001, "reject")):
        basket = [order("buy", 30_000, "AA", id="1"), order("buy", quantity, "AB", id="2")]
        (decision,) = desk(rules, found, fast).check_basket(basket)
        assert decision.outcome.value == outcome
