"""The figures of a breach, worked out by hand: both sides in the worst state, the room that is lacking, what was read.

Account A has net assets of 100,000 and 90,000 in cash, holds 100 ACME at 100 and works a purchase of 20 more and a sale
of 30; the order buys another 10 at 100. The worst state of a sum bounded from above has every purchase filled and no
sale (130 shares, 13,000), of one bounded from below every sale and no purchase (70 shares, 7,000).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.decision import Report
from lexorder.engine.desk import Desk, fast, slow
from lexorder.engine.events import AccountChanged
from tests.worlds import VOCABULARY, book, order, position, working, world

Figures = tuple[str, str, str]
"""Observed, limit, margin."""

BREACHES: dict[str, tuple[str, str, Figures, dict[str, Any]]] = {
    "a share of a base": (
        "issuer", "sum(position.after.value) <= 12% * account.nav",
        ("13/100", "12/100", "-1000"), {"account.nav": 100_000}),
    "the same divided": (
        "issuer", "sum(position.after.value) / account.nav <= 12%",
        ("13/100", "12/100", "-1/100"), {"account.nav": 100_000}),
    "written the other way round": (
        "issuer", "12_000 USD >= sum(position.after.value)",
        ("12000", "13000", "-1000"), {}),
    "a plain amount": (
        "issuer", "sum(position.after.value) <= 12_999 USD",
        ("13000", "12999", "-1"), {}),
    "exactly at a strict limit": (
        "issuer", "sum(position.after.value) < 13_000 USD",
        ("13000", "13000", "0"), {}),
    "beyond a strict limit": (
        "issuer", "sum(position.after.value) < 12_000 USD",
        ("13000", "12000", "-1000"), {}),
    "a limit from below": (
        "issuer", "sum(position.after.value) >= 8% * account.nav",
        ("7/100", "8/100", "-1000"), {"account.nav": 100_000}),
    "strictly from below": (
        "position", "position.after.quantity > 70",
        ("70", "70", "0"), {}),
    "shares": (
        "position", "position.after.quantity <= 125",
        ("130", "125", "-5"), {}),
    "cash after all": (
        "account", "account.after.cash >= 88_000 USD",
        ("87000", "88000", "-1000"), {"account.cash": 90_000}),
    "a base that moves with fills, here from cash into shares": (
        "account", "sum(position.after.value) <= 12% * account.after.nav",
        ("13/100", "12/100", "-1000"), {}),
    "of two broken parts the first": (
        "issuer", "sum(position.after.value) <= 12_900 USD and sum(position.after.value) <= 12_500 USD",
        ("13000", "12900", "-100"), {}),
    "only one of two parts": (
        "issuer", "sum(position.after.value) <= 50_000 USD and sum(position.after.value) <= 12_500 USD",
        ("13000", "12500", "-500"), {}),
    "a fact alone": (
        "order", "order.quantity <= 9",
        ("10", "9", "-1"), {"order.quantity": 10}),
    "a fact against a share of another": (
        "order", "order.quantity <= 0.0009% * instrument.adv",
        ("1/100000", "9/1000000", "-1"), {"order.quantity": 10, "instrument.adv": 1_000_000}),
    "a third": (
        "order", "order.notional <= account.nav / 300",
        ("1000", "1000/3", "-2000/3"), {"account.nav": 100_000}),
}  # fmt: skip
UNMEASURED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a list": ("order", "order.symbol not in lists.restricted", {"order.symbol": "ACME"}),
    "a word": ("order", "order.side != buy", {"order.side": "buy"}),
    "a flag": ("order", "instrument.halted", {"instrument.halted": False}),
    "one of two": ("order", "order.side == sell or instrument.halted", {"order.side": "buy"}),
}


def desk(for_each: str, require: str, make: Any) -> Desk:
    rule = f"rule: r\ntitle: R\nfor_each: {for_each}\nif_already_breached: block\nrequire: {require}\n"
    if "must" in require or not any(word in require for word in ("after", "filled")):
        rule = rule.replace("if_already_breached: block\n", "")
    plain = world(account={"cash": "90000"}, positions=[position("ACME", 100)], lists={"restricted": ["ACME"]})
    listed = [{**i, "halted": "false"} for i in plain["instruments"]]
    works = [working("W1", "ACME", "buy", 20), working("W2", "ACME", "sell", 30)]
    return Desk(book(rule), {**plain, "instruments": listed, "working_orders": works}, VOCABULARY, make)


def found(for_each: str, require: str, make: Any) -> Report:
    """The only breach; asked twice, so that what is kept for speed is asked too."""
    asked = desk(for_each, require, make)
    first, again = asked.check(order("buy", 10)), asked.check(order("buy", 10))
    assert first.reports == again.reports
    (report,) = first.reports
    assert report.status.value == "breach"
    return report


@pytest.mark.parametrize("make", [slow, fast], ids=["slow", "fast"])
@pytest.mark.parametrize(("for_each", "require", "figures", "inputs"), BREACHES.values(), ids=BREACHES)
def test_a_breach_tells_both_sides_the_room_and_what_was_read(for_each, require, figures, inputs, make):
    report = found(for_each, require, make)
    assert (report.observed, report.limit, report.margin) == tuple(map(Fraction, figures))
    told = dict(report.inputs)
    assert {name: told.get(name) for name in inputs} == inputs


@pytest.mark.parametrize("make", [slow, fast], ids=["slow", "fast"])
@pytest.mark.parametrize(("for_each", "require", "inputs"), UNMEASURED.values(), ids=UNMEASURED)
def test_what_has_no_figures_tells_what_was_read_alone(for_each, require, inputs, make):
    report = found(for_each, require, make)
    assert (report.observed, report.limit, report.margin) == (None, None, None)
    told = dict(report.inputs)
    assert {name: told.get(name) for name in inputs} == inputs


@pytest.mark.parametrize("make", [slow, fast], ids=["slow", "fast"])
def test_figures_are_those_of_the_facts_as_they_are_now(make):
    """What was worked out for one account of facts is not told of another."""
    asked = desk("issuer", "sum(position.after.value) <= 12% * account.nav", make)
    for nav, observed in ((100_000, "13/100"), (50_000, "26/100"), (105_000, "13000/105000")):
        asked.apply(AccountChanged("A", {"account.nav": Fraction(nav)}))
        (report,) = asked.check(order("buy", 10)).reports
        assert (report.observed, report.limit) == (Fraction(observed), Fraction(12, 100))
        assert dict(report.inputs)["account.nav"] == nav


@pytest.mark.parametrize("make", [slow, fast], ids=["slow", "fast"])
def test_without_a_base_to_divide_by_the_sides_are_told_as_they_are(make):
    """A share of nothing is no figure: at net assets of zero both sides are amounts."""
    asked = desk("issuer", "sum(position.after.value) <= 12% * account.nav", make)
    asked.apply(AccountChanged("A", {"account.nav": Fraction(0)}))
    (report,) = asked.check(order("buy", 10)).reports
    assert (report.observed, report.limit, report.margin) == tuple(map(Fraction, (13_000, 0, -13_000)))
