"""What a working order adds to a sum, unfilled and filled, is what the specification says."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.evaluate import Point, value
from lexorder.engine.readers import Readers
from lexorder.engine.rule import Facts
from lexorder.engine.slots import ABSENT, whole_at
from lexorder.engine.snapshot import MissingFactError, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Aggregate
from lexorder.engine.totals import Share, Total
from lexorder.engine.typecheck import term_of
from lexorder.engine.working import Amounts, times_filled
from tests.agreement import compare, worlds

SCALE = 10**24
BODIES = (
    ("sum(working_order.filled)", True),
    ("sum(working_order.quantity)", False),
    ("sum(working_order.filled * working_order.price)", True),
    ("sum(-working_order.filled * working_order.instrument.mark)", True),
    ("sum(working_order.filled + working_order.quantity)", False),
    ("sum(working_order.filled where working_order.side == buy)", True),
    ("sum(working_order.notional where working_order.side != buy)", False),
)


def sum_of(text: str) -> Aggregate:
    term = next(term_of(f"{text} >= 0", compare.VOCABULARY, "account").children())
    assert isinstance(term, Aggregate)
    return term


def expected(term: Aggregate, at: Point, filled: Fraction, order: str) -> object:
    """By the specification, or the words about what is missing."""
    there = Point(at.projection, at.stack, {("working_order", order): filled}, {})
    try:
        counts = term.where is None or value(term.where, there)
        assert term.body is not None
        whole = whole_at(value(term.body, there) if counts else Fraction(0), SCALE)
    except MissingFactError as error:
        return str(error)
    return "a fact is missing" if whole is ABSENT else whole


def both(amounts: Amounts, outer: Point, order: str, facts: Facts) -> object:
    """The two ends, or the words about what is missing."""
    try:
        return list(amounts.of(outer, order, facts))
    except MissingFactError as error:
        return str(error)


@pytest.mark.parametrize(("text", "nothing_unfilled"), BODIES)
def test_both_ends_are_those_of_the_specification(text, nothing_unfilled):
    term = sum_of(text)
    assert term.body is not None
    assert times_filled(term.body) == nothing_unfilled
    share = (Share(Fraction(1), term.body, term.where),)
    total = Total("all", "linear", SCALE, lambda *_: 0, share, ("account",), frozenset(), 0, 1)
    amounts = Amounts(total, Readers(compare.VOCABULARY, {}))
    told = 0
    for seed in range(40):
        random_ = Random(f"working {seed}")
        seen = project(worlds.snapshot(random_), compare.VOCABULARY, worlds.ACCOUNT, ())
        outer = Point(seen, (account_subject(seen),), {}, {})
        for facts in seen.working:
            order, quantity = str(facts["working_order.id"]), facts["working_order.quantity"]
            assert isinstance(quantity, Fraction)
            at = Point(seen, (*outer.stack, Subject("working_order", order, facts)), {}, {})
            ends = [expected(term, at, filled, order) for filled in (Fraction(0), quantity)]
            found = both(amounts, outer, order, facts)
            assert found == ends or found in ends
            told += isinstance(found, list)
    assert told > 10
