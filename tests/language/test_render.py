"""Rendering a term and reading it back gives the same term."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from lexorder.engine.parse import CHARACTERS_MAX, NODES_MAX
from lexorder.engine.render import render
from lexorder.engine.typecheck import term_of
from lexorder.engine.vocabulary import load
from tests.strategies_terms import written

WORDS = load(Path(__file__).parent.parent / "rulefiles" / "vocabulary.yaml", "vocabulary.yaml")
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def there_and_back(text: str, for_each: str) -> None:
    if len(text) > 500:
        return
    term = term_of(text, WORDS, for_each)
    rendered = render(term)
    # With definitions put in, a term may have grown beyond what may be written in one piece.
    if len(rendered) <= CHARACTERS_MAX and len(list(term.walk())) <= NODES_MAX:
        again = term_of(rendered, WORDS, for_each)
        assert again == term
        assert render(again) == rendered


@RELAXED
@given(written(WORDS, "order", depth=2))
def test_conditions_on_an_order(text):
    there_and_back(text, "order")


@RELAXED
@given(written(WORDS, "position", depth=3, kind="number"))
def test_numbers_of_a_position(text):
    there_and_back(text, "position")


@RELAXED
@given(written(WORDS, "issuer", depth=2, kind="comparison"))
def test_comparisons_for_an_issuer(text):
    there_and_back(text, "issuer")


@RELAXED
@given(written(WORDS, "account", depth=3, names=lambda name: name.means is None))
def test_conditions_on_an_account(text):
    there_and_back(text, "account")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("order.quantity<=25000", "order.quantity <= 25_000"),
        ("order.notional <= 25000 USD", None),
        ("(order.quantity + 1) * 2 <= 5", "(order.quantity + 1) * 2 <= 5"),
        ("order.quantity + (1 * 2) <= 5", "order.quantity + 1 * 2 <= 5"),
        ("order.quantity - (1 - 2) <= 5", "order.quantity - (1 - 2) <= 5"),
        ("order.quantity - 1 - 2 <= 5", "order.quantity - 1 - 2 <= 5"),
        ("-(order.quantity * 2) <= - -5", "-(order.quantity * 2) <= --5"),
        ("not (order.side == buy)", "not order.side == buy"),
        ("order.side not in {buy}", "not order.side in {buy}"),
        ("not (order.side == buy and true)", "not (order.side == buy and true)"),
        ("(order.side == buy or true) and false", "(order.side == buy or true) and false"),
        ("order.side == buy or true and false", "order.side == buy or true and false"),
        ("(true and false) and true", "(true and false) and true"),
        ("market.volatility > 0.5%", "market.volatility > 0.5%"),
        ("market.volatility > 100%", "market.volatility > 100%"),
        ("market.quote_age > 90 s", "market.quote_age > 90 s"),
        ("market.quote_age > 120 s", "market.quote_age > 2 min"),
        ("market.quote_age > 48 h", "market.quote_age > 2 days"),
        ("market.quote_age > 24 h", "market.quote_age > 1 day"),
        ("market.quote_age > 1500 ms", "market.quote_age > 1_500 ms"),
        ("market.quote_age > 0.5 s", "market.quote_age > 500 ms"),
        ("market.quote_age > 0 min", "market.quote_age > 0 s"),
        ("clock.time >= 09:30", "clock.time >= 09:30"),
        ("clock.time >= 09:30:15", "clock.time >= 09:30:15"),
        ("clock.date == 2026-06-04", "clock.date == 2026-06-04"),
        (r'order.symbol == "a\"b\\c"', r'order.symbol == "a\"b\\c"'),
        ("count(position) > 3", "count(position) > 3"),
        ("account.sum(order.quantity) > 3", "account.sum(order.quantity) > 3"),
        ("account.count(order where order.side==buy) > 3", "account.count(order where order.side == buy) > 3"),
        ("any(order.has_locate)", "any(order.has_locate)"),
        ("sum(order.quantity where order.side == buy) > 3", "sum(order.quantity where order.side == buy) > 3"),
        ("order.quantity <= (if true then 1 else 2)", "order.quantity <= (if true then 1 else 2)"),
        ("if true then false else if false then true else false", None),
        ("order.instrument.adv > 3", "order.instrument.adv > 3"),
        ("order.account.nav > 3", "account.nav > 3"),
        ("min(order.quantity, 3, 5) > abs(-1)", "min(order.quantity, 3, 5) > abs(-1)"),
    ],
)
def test_text(text, rendered):
    term = term_of(text, WORDS)
    assert rendered is None or render(term) == rendered
    there_and_back(text, "order")


def test_the_subject_is_rendered_by_its_name():
    assert render(term_of('issuer == "ACME"', WORDS, "issuer")) == 'issuer == "ACME"'
