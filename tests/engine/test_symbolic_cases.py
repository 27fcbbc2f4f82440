"""Terms as functions of one number, whatever varies with it: holdings, fills, ordered quantities, several at once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.intervals import contains
from lexorder.engine.judge import derivations
from lexorder.engine.piecewise import InexpressibleError, constant, identity
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.symbolic import Unknown, condition, number
from lexorder.engine.terms import Term
from lexorder.engine.typecheck import term_of
from tests.optimizers.test_rows import DAY
from tests.worlds import VOCABULARY, book, order, position, working, world

HIGH = 9
X = identity(0, HIGH)
HELD = {"ACME": 4, "BETA": -2}


def seen(quantity: int = 6, side: str = "buy", **changes: Any) -> Projection:
    document = world(
        positions=[position(s, q) for s, q in HELD.items()], working_orders=[working("W1", "BETA", "buy", 5)], **changes
    )
    asked = load_order(order(side, quantity, id="O"), VOCABULARY)
    return project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", (asked,))


def point(projection: Projection, *inner: Subject) -> Point:
    return Point(projection, (account_subject(projection), *inner), {}, {})


def term(text: str, for_each: str = "account") -> Term:
    return term_of(text, VOCABULARY, for_each)


# What varies, and the point of the reference that has x put in.


def filled(projection: Projection) -> tuple[Unknown, Any]:
    """The order under test filled up to x."""
    unknown = Unknown(0, HIGH, {"ACME": X + constant(HELD["ACME"], 0, HIGH)}, {("order", "O"): X})
    return unknown, lambda at, x: replace(at, fills={("order", "O"): Fraction(x)})


def worked(projection: Projection) -> tuple[Unknown, Any]:
    """The working order filled up to x, of ten."""
    unknown = Unknown(0, HIGH, {"BETA": X + constant(HELD["BETA"], 0, HIGH)}, {("working_order", "W1"): X})
    return unknown, lambda at, x: replace(at, fills={("working_order", "W1"): Fraction(x)})


def both(projection: Projection) -> tuple[Unknown, Any]:
    """Both at once, at the same pace."""
    holdings = {s: X + constant(q, 0, HIGH) for s, q in HELD.items()}
    unknown = Unknown(0, HIGH, holdings, {("order", "O"): X, ("working_order", "W1"): X})
    return unknown, lambda at, x: replace(at, fills={k: Fraction(x) for k in (("order", "O"), ("working_order", "W1"))})


def ordered(projection: Projection) -> tuple[Unknown, Any]:
    """The quantity of the order, with nothing filled."""

    def put(at: Point, x: int) -> Point:
        orders = ({**at.projection.orders[0], "order.quantity": Fraction(x)},)
        return replace(at, projection=replace(at.projection, orders=orders))

    return Unknown(0, HIGH, quantities={"O": X}), put


VARYING = {"filled": filled, "worked": worked, "both": both, "ordered": ordered}
NUMBERS = [
    "sum(position.after.quantity)",
    "sum(position.after.value) / 7 - 3",
    "sum(abs(position.after.value))",
    "sum(position.after.quantity * position.after.quantity)",
    "sum(position.after.quantity where position.after.quantity > 0)",
    "count(position where position.after.quantity >= 3)",
    "sum(order.quantity) * 2 + sum(order.filled)",
    "sum(working_order.filled * working_order.price)",
    "account.after.cash",
    "account.after.nav - account.nav",
    "max(sum(order.filled), sum(working_order.filled), 3)",
    "min(sum(order.quantity), 4) * 1.5",
    "(if sum(order.filled) + sum(order.quantity) > 8 then sum(position.after.quantity) else 2 * sum(order.quantity))",
    "-abs(-sum(position.after.quantity) + 5)",
    "issuer.sum(position.after.value)",
]


@pytest.mark.parametrize("what", VARYING)
@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_the_reference_s_at_every_x(text, what):
    for_each = "issuer" if text.startswith("issuer") else "account"
    projection = seen()
    at = point(projection, *([Subject("issuer", "ACME", {})] if for_each == "issuer" else []))
    unknown, put = VARYING[what](projection)
    found = number(term(text, for_each), at, unknown)
    assert [found(x) for x in range(HIGH + 1)] == [value(term(text, for_each), put(at, x)) for x in range(HIGH + 1)]


CONDITIONS = [
    "sum(position.after.quantity) == 7",
    "sum(position.after.quantity) != 7 and sum(order.quantity) < 8",
    "any(position.after.quantity == 6) or any(working_order.filled > 7)",
    "all(position.after.quantity > 0 where position.after.quantity != -2)",
    "not (sum(order.filled) in {0, 3, 4})",
    "sum(order.quantity) / 2 >= 2.5",
    "(if sum(order.filled) > 4 then sum(order.filled) != 6 else sum(working_order.filled) <= 2)",
    "abs(sum(position.after.quantity) - 5) > 2",
    "count(position where position.after.quantity > 0) == 2",
    "sum(position.after.quantity) * sum(position.after.quantity) <= 49",
    "account.after.cash >= 99_600 and account.after.cash <= 99_900",
]


@pytest.mark.parametrize("what", VARYING)
@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_holds_where_the_reference_says(text, what):
    projection = seen()
    at = point(projection)
    unknown, put = VARYING[what](projection)
    where = condition(term(text), at, unknown)
    assert [contains(where, x) for x in range(HIGH + 1)] == [value(term(text), put(at, x)) for x in range(HIGH + 1)]


def test_sets_of_integers_are_in_their_plainest_form():
    at = point(seen())
    unknown, _ = filled(at.projection)
    assert condition(term("sum(order.filled) in {1, 2, 3, 7}"), at, unknown) == ((1, 3), (7, 7))
    assert condition(term("sum(order.filled) >= 0"), at, unknown) == ((0, HIGH),)
    assert condition(term("sum(order.filled) > 9"), at, unknown) == ()


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_an_x_on_one_point_only_is_a_function_too(side):
    at = point(seen(side=side))
    unknown = Unknown(3, 3, filled={("order", "O"): identity(3, 3)})
    assert number(term("sum(order.filled) * 2"), at, unknown)(3) == 6
    assert condition(term("sum(order.filled) == 3"), at, unknown) == ((3, 3),)


def test_what_is_not_listed_is_as_the_point_has_it():
    at = replace(point(seen()), fills={("working_order", "W1"): Fraction(2)})
    unknown, _ = filled(at.projection)
    found = number(term("sum(working_order.filled) + sum(order.filled)"), at, unknown)
    assert [found(x) for x in (0, 4, HIGH)] == [2, 6, HIGH + 2]


def test_numbers_far_beyond_64_bits_stay_exact():
    at = point(seen())
    high = 10**30
    unknown = Unknown(0, high, quantities={"O": identity(0, high)})
    assert condition(term("sum(order.quantity * order.quantity) <= 4"), at, unknown) == ((0, 2),)
    big = term(f"sum(order.quantity) * {10**9} * {10**9} <= {10**9}")
    assert condition(big, at, unknown) == ((0, 0),)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 / (1 + sum(order.filled)) <= 1", "not-a-constant-divisor"),
        ("sum(order.filled) * sum(order.filled) * sum(order.filled) <= 1", "degree-above-two"),
        ("sum(order.filled * order.filled) * sum(order.filled) <= 1", "degree-above-two"),
    ],
)
def test_what_is_no_function_of_degree_two_is_refused_by_its_code(text, code):
    at = point(seen())
    with pytest.raises(InexpressibleError) as refused:
        condition(term(text), at, filled(at.projection)[0])
    assert refused.value.code == code


@pytest.mark.parametrize(("read", "text"), [(number, "sum(order.filled) > 3"), (condition, "sum(order.filled)")])
def test_a_condition_is_no_number_and_a_number_no_condition(read, text):
    at = point(seen())
    with pytest.raises(InexpressibleError, match="not-a-number"):
        read(term(text), at, filled(at.projection)[0])


def test_a_fact_derived_from_what_varies_is_refused_and_any_other_is_read():
    derive = "rule: d\ntitle: D\nphases: [signal]\nfor_each: account\nwhen: {when}\nderive: {{account.stance: BOLD}}\n"
    names = [n for n in VOCABULARY.names if VOCABULARY.names[n].unit.values and n.startswith("market.regime")]
    assert names == ["market.regime"]
    for when, refused in (("account.sum(order.filled) > 3", True), ("market.volatility > 5%", False)):
        text = derive.format(when=when).replace("for_each: account", "for_each: market")
        text = text.replace("account.stance: BOLD", "market.regime: VOLATILE")
        table = derivations(book(text).on(DAY))
        projection = seen(market=[{"symbol": "ACME", "volatility": "0.06"}])
        market = Subject("market", "ACME", projection.snapshot.records("market", "ACME") or {})
        at = replace(point(projection, market), derivations=table)
        wanted = term("market.regime == VOLATILE", "market")
        if refused:
            with pytest.raises(InexpressibleError, match="derived-from-the-unknown"):
                condition(wanted, at, filled(projection)[0])
        else:
            assert condition(wanted, at, filled(projection)[0]) == ((0, HIGH),)


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("instrument.adv > 5 and sum(order.filled) > 3", False),
        ("sum(order.filled) > 3 and instrument.adv > 5", False),
        ("sum(order.filled) >= 0 or instrument.adv > 5", True),
        ("instrument.adv > 5 or sum(order.filled) >= 0", True),
        ("sum(order.filled) < 0 and instrument.adv > 5", True),
    ],
)
def test_a_missing_fact_is_raised_unless_the_rest_decides_for_every_x(text, decided):
    document: dict[str, Any] = world(positions=[position("ACME", 4)])
    del document["instruments"][0]["adv"]
    asked = load_order(order(id="O"), VOCABULARY)
    projection = project(load_snapshot(document, VOCABULARY), VOCABULARY, "A", (asked,))
    at = point(projection, Subject("instrument", "ACME", projection.snapshot.instruments["ACME"]))
    wanted = term(text, "instrument")
    if decided:
        assert condition(wanted, at, filled(projection)[0]) in (((0, HIGH),), ())
    else:
        with pytest.raises(MissingFactError, match=r"instrument\.adv"):
            condition(wanted, at, filled(projection)[0])


def test_a_divisor_that_is_nought_everywhere_is_missing_and_not_a_crash():
    at = point(seen())
    for text in ("sum(order.filled) / (account.nav - account.nav)", "sum(order.filled) / (0 * sum(order.filled))"):
        with pytest.raises(MissingFactError, match="is zero"):
            number(term(text), at, filled(at.projection)[0])
