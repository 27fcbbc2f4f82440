"""Messages: figures of the subject, names looked up, precision added where rounding would hide a breach."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.engine.wording import telling
from tests.worlds import book, desk, order, position, world

WEIGHT = """
rule: weight
title: Weight
for_each: issuer
let: {limit: 5%}
require: sum(abs(position.after.value)) <= limit * account.nav
message: "{issuer} would be {observed:.2%} of {account.nav:,}; limit {limit:.2%}; at most {max_order:,}."
"""


def test_all_figures_are_filled_in() -> None:
    answer = desk(book(WEIGHT), world(positions=[position("ACME", 20)])).check(order(quantity=40))
    assert answer.violations[0].message == "ACME would be 6.00% of 100,000; limit 5.00%; at most 30."


def test_a_breach_by_one_cent_shows() -> None:
    document = world(account={"nav": "99999.99"})
    answer = desk(book(WEIGHT), document).check(order(quantity=50))
    assert answer.violations[0].message.startswith("ACME would be 5.000001% of 99,999.99; limit 5.00%;")


def test_names_defined_by_means_and_pairs_are_looked_up() -> None:
    rule = """
    rule: pairs
    title: Pairs
    for_each: pair
    when: pair.correlation > 80%
    require: sum(position.after.value) <= 1% * account.nav
    message: "{pair} at {pair.correlation:.2f}, cash after {account.after.cash:,.2f}"
    """
    pairs = [{"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": "0.83"}]
    answer = desk(book(rule), world(pairs=pairs)).check(order(quantity=40))
    assert answer.violations[0].message == "ACME/BETA at 0.83, cash after 100,000.00"


def test_what_is_not_known_shows_as_a_question_mark() -> None:
    rule = """
    rule: size
    title: Size
    require: order.quantity <= 1
    message: "trader {trader.role} asked {order.quantity:,}"
    """
    assert desk(book(rule), world()).check(order(quantity=1_000)).violations[0].message == "trader ? asked 1,000"


def test_without_a_message_the_title_stands() -> None:
    plain = "rule: size\ntitle: At most one share\nrequire: order.quantity <= 1"
    assert desk(book(plain), world()).check(order(quantity=2)).violations[0].message == "At most one share"


@pytest.mark.parametrize(
    ("template", "observed", "limit", "expected"),
    [
        ("{observed:.2%}", Fraction(50001, 10**6), Fraction(1, 20), "{observed:.4%}"),
        ("{observed:,.0f}", Fraction(10001, 10), Fraction(1000), "{observed:,.1f}"),
        ("{observed:.2%}", Fraction(6, 100), Fraction(5, 100), "{observed:.2%}"),
        ("{observed:.2%}", Fraction(1, 20), Fraction(1, 20), "{observed:.2%}"),
        ("{observed}", Fraction(1, 3), Fraction(1, 4), "{observed}"),
    ],
)
def test_precision_that_tells(template: str, observed: Fraction, limit: Fraction, expected: str) -> None:
    assert telling(template, observed, limit) == expected


@pytest.mark.parametrize("places", [7, 8, 9])
def test_a_message_may_ask_for_more_decimals_than_are_ever_added(places: int) -> None:
    template = f"{{observed:.{places}f}} of {{limit}}"
    assert telling(template, Fraction(10**12 + 1, 10**12), Fraction(1)) == template
