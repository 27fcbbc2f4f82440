"""Messages of rules: what they may name, how numbers are shown."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.errors import RuleFileError
from lexorder.engine.message import fill, formatted, slots
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.source import Scalar
from lexorder.engine.terms import Value


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (Fraction(1_234_567), "", "1234567"),
        (Fraction(1_234_567), ",", "1,234,567"),
        (Fraction(1, 20), ".2%", "5.00%"),
        (Fraction(51, 1000), ".1%", "5.1%"),
        (Fraction(5001, 100_000), ".2%", "5.00%"),
        (Fraction(1, 3), ".2f", "0.33"),
        (Fraction(2, 3), ".2f", "0.67"),
        (Fraction(1, 8), ".2f", "0.13"),
        (Fraction(-1, 8), ".2f", "-0.13"),
        (Fraction(-1, 1000), ".2f", "0.00"),
        (Fraction(12_345_678, 100), ",.2f", "123,456.78"),
        (Fraction(1, 3), "", "0.333333"),
        (Fraction(1, 4), "", "0.25"),
        (Fraction(5), ".0f", "5"),
        (Fraction(1, 2), ".0f", "1"),
        (Fraction(0), "", "0"),
        (True, "", "true"),
        (False, "", "false"),
        ("ACME", "", "ACME"),
        (date(2026, 6, 4), "", "2026-06-04"),
        (frozenset({"B", "A"}), "", "A, B"),
        (None, "", "?"),
    ],
)
def test_formatted(value, form, text):
    assert formatted(value, form) == text


@given(st.fractions(max_denominator=10**6), st.integers(0, 6))
def test_rounding_is_at_most_half_a_unit(value, places):
    shown = Fraction(formatted(value, f".{places}f"))
    assert abs(shown - value) <= Fraction(1, 2 * 10**places)


def test_fill():
    values: dict[str, Value | None] = {"issuer": "ACME", "observed": Fraction(51, 1000), "max_order": Fraction(1_250)}
    text = "{issuer} would be {observed:.2%}; at most {max_order:,} shares {{sic}} {gone}"
    assert fill(text, values) == "ACME would be 5.10%; at most 1,250 shares {sic} ?"


def test_values_are_never_templates_themselves():
    assert fill("{a}", {"a": "{b:.2f}", "b": Fraction(1)}) == "{b:.2f}"


def test_slots():
    found = slots(Scalar("a {x} {{no}} {y.z:,.2f}"))
    assert [(s.name, s.format, s.offset) for s in found] == [("x", "", 2), ("y.z", ",.2f", 13)]


@pytest.mark.parametrize(
    ("template", "column"),
    [
        ("{", 1),
        ("a } b", 3),
        ("{}", 1),
        ("{:,}", 1),
        ("{a b}", 1),
        ("{a!r}", 1),
        ("{a[0]}", 1),
        ("{a:x}", 1),
        ("{a:.10f}", 1),
        ("{a:{b}}", 1),
        ("ok {a:.2}", 4),
    ],
)
def test_refused(template, column):
    with pytest.raises(RuleFileError) as caught:
        slots(Scalar(template))
    assert caught.value.code == "bad-message"
    assert caught.value.problems[0].column == column


def rule(message: str, words, for_each: str = "order", let: str = "") -> None:
    text = f"- rule: r\n  title: R\n  for_each: {for_each}\n{let}  require: account.nav > 5\n  message: '{message}'\n"
    RuleBook.of(text, words)


@pytest.mark.parametrize(
    "message",
    [
        "{order.quantity:,}",
        "{instrument.issuer}",
        "{order.instrument.mark:.4f}",
        "{account.nav:,.2f}",
        "{observed:.2%} {limit:.2%} {margin:,} {max_order:,}",
        "{order}",
        "{clock.now}",
        "{lists.restricted}",
        "nothing",
    ],
)
def test_names_a_message_may_use(message, words):
    rule(message, words)


@pytest.mark.parametrize(
    ("message", "for_each"),
    [
        ("{quantity}", "order"),
        ("{issuer}", "order"),
        ("{order.quantity}", "issuer"),
        ("{position.after.value}", "order"),
        ("{order.symbol:,}", "order"),
        ("{order:,}", "order"),
        ("{order.nothing}", "order"),
    ],
)
def test_names_a_message_may_not_use(message, for_each, words):
    with pytest.raises(RuleFileError, match="bad-message"):
        rule(message, words, for_each)


def test_let_names_in_messages(words):
    text = "- rule: r\n  title: R\n  let: {least: 5}\n  require: account.nav > least\n  message: '{least:,}'\n"
    RuleBook.of(text, words)
    with pytest.raises(RuleFileError, match="bad-message"):
        RuleBook.of(text.replace("'{least:", "'{lest:"), words)
