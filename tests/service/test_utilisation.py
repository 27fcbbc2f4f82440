"""How much of each limit is used: against fractions worked out from all fill states by hand.

Small books of positions and working orders; the worst state is found by filling every subset of the working orders,
which is what `utilisation.py` leaves to the engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lexorder.api.service.utilisation import PLACES, Use, covering, today, uses
from lexorder.engine.facts import load_snapshot
from lexorder.engine.quantity import exact
from lexorder.engine.rule import Rule, Severity
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.verdict import Finding, Status
from tests.worlds import VOCABULARY, book, instrument, position, working, world

DAY = date(2026, 6, 15)
NAV = 100_000


def rules(*texts: str) -> list[Rule]:
    """Rules in force on the day of `worlds.world`."""
    return list(book(*texts).on(DAY))


def snapshot(**sections: Any) -> Snapshot:
    return load_snapshot(world(**sections), VOCABULARY)


def shown(text: str, **sections: Any) -> list[dict[str, Any]]:
    """What a rule finds in account A."""
    return [use.shown() for use in uses(snapshot(**sections), VOCABULARY, "A", rules(text))]


def subsets(orders: list[dict[str, Any]]) -> Iterable[tuple[dict[str, Any], ...]]:
    """Every way the working orders may fill: each wholly or not at all."""
    return chain.from_iterable(combinations(orders, n) for n in range(len(orders) + 1))


def after(symbol: str, held: dict[str, int], filled: Iterable[dict[str, Any]]) -> int:
    """Shares of a symbol once these orders are filled."""
    signs = {"buy": 1, "sell": -1, "sell_short": -1}
    moved = (signs[o["side"]] * int(o["quantity"]) for o in filled if o["symbol"] == symbol)
    return held.get(symbol, 0) + sum(moved)


# ---- against every fill state ----------------------------------------------------------------------------

SYMBOLS = ("ACME", "BETA", "COCO")
MARKS = {"ACME": Fraction(100), "BETA": Fraction("0.01"), "COCO": Fraction("33.3333")}
QUANTITIES = st.sampled_from([-500, -1, 0, 1, 7, 499, 500, 501])
HELD = st.dictionaries(st.sampled_from(SYMBOLS), QUANTITIES, max_size=3)
ORDERS = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.sampled_from([1, 2, 499, 500])),
    max_size=4,
)

WEIGHT = """
rule: weight
title: At most half
phases: [pre_trade, monitor]
for_each: position
require: abs(position.after.value) <= 50% * account.nav
"""
GROSS = """
rule: gross
title: At most twice
phases: [pre_trade, monitor]
for_each: account
require: sum(abs(position.after.value)) <= 100% * account.nav
"""


def furnished(held: dict[str, int], wanted: list[tuple[str, str, int]]) -> tuple[Snapshot, list[dict[str, Any]]]:
    """A world with these holdings and working orders, and the orders."""
    orders = [working(f"W{n}", symbol, side, quantity) for n, (symbol, side, quantity) in enumerate(wanted)]
    instruments = [instrument(s, f"{float(mark):.4f}") for s, mark in MARKS.items()]
    positions = [position(s, q) for s, q in held.items()]
    return snapshot(instruments=instruments, positions=positions, working_orders=orders), orders


@settings(max_examples=50, deadline=None)
@given(held=HELD, wanted=ORDERS)
def test_the_use_of_a_position_is_its_largest_worth_in_any_fill_state(
    held: dict[str, int], wanted: list[tuple[str, str, int]]
):
    known, orders = furnished(held, wanted)
    found = {use.finding.subject: use for use in uses(known, VOCABULARY, "A", rules(WEIGHT))}
    named = {s for s, q in held.items() if q} | {s for s, _, _ in wanted}
    assert named <= set(found) <= named | set(held)
    for symbol, use in found.items():
        largest = max(abs(after(symbol, held, filled)) * MARKS[symbol] for filled in subsets(orders))
        told, broken = use.shown(), largest > NAV / 2
        assert (use.broken, told["status"]) == (broken, "breach" if broken else "pass")
        assert Fraction(told["observed"]) == largest / NAV
        assert Fraction(told["headroom"]) == Fraction(1, 2) - largest / NAV


@settings(max_examples=40, deadline=None)
@given(held=HELD, wanted=ORDERS)
def test_the_use_of_a_sum_is_its_largest_in_any_fill_state(held: dict[str, int], wanted: list[tuple[str, str, int]]):
    known, orders = furnished(held, wanted)
    (use,) = uses(known, VOCABULARY, "A", rules(GROSS))
    largest = max(
        sum((abs(after(s, held, filled)) * MARKS[s] for s in SYMBOLS), Fraction(0)) for filled in subsets(orders)
    )
    assert use.broken == (largest > NAV)
    assert Fraction(use.shown()["observed"] or "0") == largest / NAV


@settings(max_examples=40, deadline=None)
@given(held=HELD, wanted=ORDERS)
def test_each_rule_is_measured_as_if_it_were_alone(held: dict[str, int], wanted: list[tuple[str, str, int]]):
    known, _ = furnished(held, wanted)
    both = [use.shown() for use in uses(known, VOCABULARY, "A", rules(WEIGHT, GROSS))]
    singly = [use.shown() for text in (WEIGHT, GROSS) for use in uses(known, VOCABULARY, "A", rules(text))]
    assert sorted(both, key=str) == sorted(singly, key=str)


# ---- what is told ----------------------------------------------------------------------------------------

STANDS = rules(WEIGHT)[0]


def told(observed: Any, limit: Any, margin: Fraction | None, status: Status = Status.PASS) -> dict[str, Any]:
    """A finding with these figures as it is shown."""
    return Use("A", STANDS, Finding("weight", "ACME", status, observed, limit, margin)).shown()


NUMBERS = st.fractions(min_value=-1000, max_value=1000, max_denominator=997)


@settings(max_examples=150, deadline=None)
@given(observed=NUMBERS, limit=NUMBERS)
def test_used_is_rounded_to_the_nearest_and_a_tie_goes_up(observed: Fraction, limit: Fraction):
    assume(limit != 0)
    used = Fraction(told(observed, limit, limit - observed)["used"])
    exactly = observed / limit
    assert (used * 10**PLACES).denominator == 1
    assert -Fraction(1, 2 * 10**PLACES) < used - exactly <= Fraction(1, 2 * 10**PLACES)


@pytest.mark.parametrize(
    ("observed", "limit", "used"),
    [("0.5", "1", "0.5"), ("1", "3", "0.3333"), ("2", "3", "0.6667"), ("0.00005", "1", "0.0001"),
     ("0.00004999", "1", "0"), ("-0.00005", "1", "0"), ("-0.00015", "1", "-0.0001"), ("3", "2", "1.5"), ("0", "7", "0"),
     ("1", "-3", "-0.3333")],
)  # fmt: skip
def test_used_of_figures_of_a_book(observed: str, limit: str, used: str):
    assert Fraction(told(Fraction(observed), Fraction(limit), Fraction(1))["used"]) == Fraction(used)


@settings(max_examples=100, deadline=None)
@given(observed=NUMBERS, limit=NUMBERS, margin=NUMBERS)
def test_headroom_is_how_far_it_is_with_the_sign_of_the_margin(observed: Fraction, limit: Fraction, margin: Fraction):
    """Also for a floor, where the limit is below what is observed."""
    headroom = Fraction(_read(told(observed, limit, margin)["headroom"]))
    assert abs(headroom) == abs(limit - observed)
    assert headroom == 0 or (headroom < 0) == (margin < 0)


def _read(text: str) -> Fraction:
    return Fraction(text)


@pytest.mark.parametrize(
    ("observed", "limit", "margin", "missing"),
    [
        (None, None, None, {"observed", "limit", "margin", "headroom", "used"}),
        (Fraction(1), None, None, {"limit", "margin", "headroom", "used"}),
        (None, Fraction(1), None, {"observed", "margin", "headroom", "used"}),
        (Fraction(1), Fraction(0), Fraction(-1), {"used"}),
        (Fraction(1), Fraction(2), None, {"margin", "headroom"}),
        ("ACME", frozenset({"BETA"}), None, {"margin", "headroom", "used"}),
        (True, False, None, {"margin", "headroom", "used"}),
    ],
)
def test_what_there_is_no_figure_for_is_left_open(
    observed: Any, limit: Any, margin: Fraction | None, missing: set[str]
):
    shown_ = told(observed, limit, margin)
    assert {key for key in ("observed", "limit", "margin", "headroom", "used") if shown_[key] is None} == missing


@pytest.mark.parametrize(
    ("status", "broken", "word"),
    [
        (Status.PASS, False, "pass"),
        (Status.NOT_APPLICABLE, False, "not_applicable"),
        (Status.BREACH, True, "breach"),
        (Status.PASSIVE, True, "breach"),
        (Status.UNDECIDED, True, "undecided"),
    ],
)
def test_whatever_does_not_hold_or_cannot_be_told_is_broken(status: Status, word: str, *, broken: bool):
    use = Use("A", STANDS, Finding("weight", "ACME", status))
    assert use.broken == broken
    assert use.shown()["status"] == word
    assert (use.shown()["reason"] == "MISSING_FACT") == (status is Status.UNDECIDED)


@pytest.mark.parametrize("severity", [s.value for s in Severity])
def test_the_rule_is_told_with_its_words(severity: str):
    (use,) = shown(GROSS.replace("title: At most twice", f"title: Ours\nseverity: {severity}"))
    assert (use["account"], use["rule"], use["title"], use["severity"], use["subject"]) == (
        "A", "gross", "Ours", severity, "A",
    )  # fmt: skip


# ---- what is missing, derived, covered -------------------------------------------------------------------


def test_a_position_without_a_price_is_undecided_and_hides_no_other():
    instruments = [instrument("ACME"), instrument("BETA")]
    del instruments[1]["mark"]
    found = shown(WEIGHT, instruments=instruments, positions=[position("ACME", 501), position("BETA", 1)])
    assert {use["subject"]: use["status"] for use in found} == {"ACME": "breach", "BETA": "undecided"}
    (undecided,) = [use for use in found if use["status"] == "undecided"]
    assert "mark" in undecided["why"]
    assert undecided["observed"] is None or undecided["used"] is None


def test_a_sum_with_a_missing_part_is_undecided():
    instruments = [instrument("ACME"), instrument("BETA")]
    del instruments[1]["mark"]
    (use,) = shown(GROSS, instruments=instruments, positions=[position("ACME", 1), position("BETA", 1)])
    assert use["status"] == "undecided"


def test_a_rule_that_requires_nothing_has_no_use():
    deriving = "rule: d\ntitle: d\nfor_each: market\nwhen: account.nav > 0\nderive: {market.regime: VOLATILE}"
    assert shown(deriving, positions=[position("ACME", 1)]) == []


@pytest.mark.parametrize(("nav", "status"), [("100", "breach"), ("99.99", "pass")])
def test_facts_that_other_rules_derive_are_worked_out_first(nav: str, status: str):
    """The limit by itself does not say where the regime comes from; the active book does."""
    deriving = "rule: d\ntitle: d\nfor_each: market\nwhen: account.nav >= 100\nderive: {market.regime: VOLATILE}"
    reading = (
        "rule: calm\ntitle: t\nphases: [pre_trade, monitor]\nfor_each: position\n"
        "require: position.market.regime != VOLATILE or abs(position.after.quantity) <= 0"
    )
    known = snapshot(account={"nav": nav}, positions=[position("ACME", 1)])
    limit, more = rules(reading), rules(deriving, reading)
    (with_it,) = uses(known, VOCABULARY, "A", limit, more)
    assert with_it.shown()["status"] == status
    (without,) = uses(known, VOCABULARY, "A", limit)
    assert without.shown()["status"] in ("pass", "undecided")


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        ("", ["A", "B"]),
        ("scope: {accounts: [A]}", ["A"]),
        ("scope: {accounts: [B, Z]}", ["B"]),
        ("scope: {accounts: [Z]}", []),
        ("scope: {except: [A]}", ["B"]),
    ],
)
def test_a_rule_covers_the_accounts_of_its_scope_that_are_known(scope: str, covered: list[str]):
    document = world()
    document["accounts"].append({**document["accounts"][0], "id": "B", "tags": ["ucits"]})
    known = load_snapshot(document, VOCABULARY)
    (rule,) = rules(f"{GROSS}\n{scope}\n")
    assert covering(rule, known, ["A", "B", "Z"]) == covered
    assert covering(rule, known, ["Z", "B"]) == [a for a in ("B",) if a in covered]


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-06-15T12:00:00-04:00", "2026-06-15"),
        ("2026-06-15T23:59:59-04:00", "2026-06-15"),
        ("2026-06-16T03:59:59Z", "2026-06-15"),
        ("2026-06-16T04:00:00Z", "2026-06-16"),
    ],
)
def test_today_is_the_day_at_the_exchange(time: str, day: str):
    assert str(today(snapshot(time=time))) == day


@pytest.mark.parametrize(("figure", "text"), [(Fraction(1, 3), "1/3"), (Fraction(1, 8), "0.125"), (Fraction(5), "5")])
def test_figures_are_told_exactly(figure: Fraction, text: str):
    assert told(figure, figure, Fraction(0))["observed"] == text == exact(figure)
