"""Classes of requirements: the table, and their soundness against values worked out state by state."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lexorder.engine.classify import bend_of, classify, cleared, separable
from lexorder.engine.evaluate import Fills, Point
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.judge import excess
from lexorder.engine.names import Name
from lexorder.engine.render import render
from lexorder.engine.rule import TermClass
from lexorder.engine.signs import Signs, signs
from lexorder.engine.snapshot import MissingFactError, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Compare, depends_on_fills
from lexorder.engine.typecheck import term_of
from tests.strategies_terms import written
from tests.worlds import VOCABULARY, order, position, working, world

FACTS, LINEAR, CONVEX, MIXED = TermClass

VALUE = "position.after.value"


@pytest.mark.parametrize(
    ("text", "for_each", "expected", "splits"),
    [
        ("order.quantity <= 5", "order", FACTS, True),
        ("order.quantity <= 5 or order.has_locate", "order", FACTS, False),
        ("position.after.quantity >= 0", "position", LINEAR, True),
        ("position.after.quantity <= 5 and position.after.quantity >= -5", "position", LINEAR, True),
        ("position.after.quantity == 0", "position", LINEAR, True),
        ("position.after.quantity != 0", "position", MIXED, True),
        ("not position.after.quantity > 5", "position", MIXED, False),
        ("position.after.quantity > 5 or account.kind == cash", "position", MIXED, False),
        ("account.after.cash >= 0", "account", LINEAR, True),
        (f"sum({VALUE}) <= account.nav", "account", LINEAR, True),
        (f"sum({VALUE}) / account.nav <= 2", "account", LINEAR, True),
        (f"sum({VALUE}) / account.equity <= 2", "account", LINEAR, True),
        (f"-sum({VALUE}) <= account.nav", "account", LINEAR, True),
        (f"sum({VALUE} where position.before.quantity > 0) <= account.nav", "account", LINEAR, True),
        (f'sum(if instrument.sector == "X" then {VALUE} else 0) <= account.nav', "account", LINEAR, True),
        (f"(if account.kind == cash then sum({VALUE}) else 0) <= account.nav", "account", LINEAR, True),
        (f"abs({VALUE}) <= 5% * account.nav", "position", CONVEX, True),
        (f"abs({VALUE}) / account.nav <= 5%", "position", CONVEX, True),
        (f"abs({VALUE}) / account.equity <= 5%", "position", MIXED, True),
        (f"5% * account.nav >= abs({VALUE})", "position", CONVEX, True),
        (f"abs({VALUE}) >= 5", "position", MIXED, True),
        (f"-abs({VALUE}) >= -5", "position", CONVEX, True),
        (f"abs({VALUE}) == 5", "position", MIXED, True),
        (f"abs({VALUE}) < 5 and {VALUE} > -3", "position", CONVEX, True),
        (f"sum(abs({VALUE})) <= account.nav", "account", CONVEX, True),
        (f"abs(sum({VALUE})) <= account.nav", "account", CONVEX, False),
        (f"sum(max({VALUE} - 5, 0)) <= account.nav", "account", CONVEX, True),
        (f"sum(min({VALUE} - 5, 0)) <= account.nav", "account", MIXED, True),
        (f"sum(min({VALUE} - 5, 0)) >= -account.nav", "account", CONVEX, True),
        (f"max(sum({VALUE}), 0) <= account.nav", "account", CONVEX, False),
        (f"min(sum({VALUE}), 0) <= account.nav", "account", MIXED, False),
        (f"max(abs({VALUE}), min({VALUE}, 3)) <= 9", "position", MIXED, True),
        (f"abs(abs({VALUE})) <= 9", "position", CONVEX, True),
        (f"abs(-abs({VALUE})) <= 9", "position", CONVEX, True),
        (f"abs(abs({VALUE}) - 5) <= 9", "position", MIXED, True),
        (f"sum({VALUE} * {VALUE}) <= account.nav * account.nav", "account", CONVEX, True),
        (f"sum({VALUE}) * sum({VALUE}) <= account.nav * account.nav", "account", CONVEX, False),
        (f"sum({VALUE}) * account.after.cash <= account.nav * account.nav", "account", MIXED, False),
        (f"sum(-2 * abs({VALUE})) <= 9", "account", MIXED, True),
        (f"sum(2 * abs({VALUE})) <= 9", "account", CONVEX, True),
        (f"sum(abs({VALUE})) - sum({VALUE}) <= 9", "account", CONVEX, True),
        (f"sum(abs({VALUE})) <= sum(abs({VALUE})) + 9", "account", MIXED, True),
        (f"sum({VALUE}) / account.after.nav <= 2", "account", MIXED, False),
        (f"sum(abs({VALUE})) / (1 + order.filled) <= account.nav / order.quantity", "order", CONVEX, False),
        ("order.quantity / (1 + order.filled) <= 2", "order", LINEAR, True),
        ("2 >= order.quantity / (1 + order.filled)", "order", LINEAR, True),
        ("count(position where position.after.quantity != 0) <= 30", "account", MIXED, True),
        ("count(position where position.before.quantity != 0) <= 30", "account", FACTS, True),
        (f"sum(if {VALUE} > 5 then {VALUE} else 0) <= account.nav", "account", MIXED, True),
        (f"sum({VALUE} where {VALUE} > 5) <= account.nav", "account", MIXED, True),
        (f"any({VALUE} > 5)", "account", MIXED, False),
        (f"all({VALUE} <= 5)", "account", MIXED, False),
        ("sum(order.filled) <= 5_000", "account", LINEAR, True),
        ("order.filled + sum(order.filled) <= 9", "order", LINEAR, True),
        ("abs(order.filled - 5) <= 9", "order", CONVEX, True),
        ("(order.filled > 5) == order.has_locate", "order", MIXED, True),
    ],
)
def test_classes(text, for_each, expected, splits, words):
    term = term_of(text, words, for_each)
    found = classify(term, words)
    assert found.term_class is expected, found.reason
    assert found.reason
    if expected is not FACTS:
        assert separable(term) is splits


def test_the_hardest_part_gives_class_and_reason(words):
    term = term_of("position.after.quantity >= 0 and position.after.quantity != 5", words, "position")
    assert "`position.after.quantity != 5` leaves out one value" in classify(term, words).reason


def test_reasons_speak_of_defined_names(words):
    text = f"sum(if {VALUE} > 5% * account.nav then {VALUE} else 0) <= account.nav"
    term = term_of(text, words, "account")
    assert classify(term, words).reason.startswith(f"`if {VALUE} > 5% * account.nav then")
    assert "position.after.quantity" in classify(term).reason


def test_an_unknown_sign_is_named(words):
    term = term_of(f"abs({VALUE}) / account.equity <= 5%", words, "position")
    assert "the sign of `account.equity` is not known" in classify(term, words).reason


def test_a_positive_divisor_that_fills_is_multiplied_out(words):
    part = term_of("order.quantity / (1 + order.filled) <= 2", words, "order")
    assert isinstance(part, Compare)
    left, right = cleared(part)
    assert (render(left), render(right)) == ("order.quantity", "2 * (1 + order.filled)")


# ---- signs ---------------------------------------------------------------------------------------

UP, DOWN, NONE = Signs(nonnegative=True), Signs(nonpositive=True), Signs()
ABOVE, BELOW = Signs(True, False, True), Signs(False, True, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", ABOVE),
        ("-5", BELOW),
        ("0", Signs(True, True, False)),
        ("account.nav", ABOVE),
        ("account.equity", NONE),
        ("order.filled", UP),
        ("-order.filled", DOWN),
        ("account.nav + order.filled * order.price * instrument.fx", ABOVE),
        ("account.nav - order.notional", NONE),
        ("-account.nav - account.peak_nav", BELOW),
        ("account.nav * account.equity", NONE),
        ("account.nav / account.peak_nav", ABOVE),
        ("-2 * account.nav", BELOW),
        ("-2 * -account.nav", ABOVE),
        ("account.equity * account.equity", UP),
        ("abs(account.equity)", UP),
        ("abs(account.nav)", ABOVE),
        ("max(account.equity, 0)", UP),
        ("max(account.equity, 1)", ABOVE),
        ("max(account.equity, account.cash)", NONE),
        ("min(account.equity, 0)", DOWN),
        ("min(account.nav, 5)", ABOVE),
        ("max(-1, -account.nav)", BELOW),
        ("if order.has_locate then account.nav else 5", ABOVE),
        ("if order.has_locate then account.nav else -5", Signs(nonzero=True)),
        ("sum(order.quantity)", UP),
        ("order.notional", NONE),
        ("sum(order.filled * order.price)", UP),
        ("count(order)", UP),
    ],
)
def test_signs(text, expected, words):
    assert signs(term_of(text, words)) == expected


# ---- soundness -----------------------------------------------------------------------------------

DOCUMENT = world(
    positions=[position("ACME", 3), position("BETA", -2)],
    working_orders=[working("W-1", "BETA", "buy", 4)],
)
ORDERS = tuple(
    load_order(o, VOCABULARY)
    for o in (order("buy", 2, "ACME", id="O-1"), order("sell", 4, "ACME", id="O-2"), order("sell", 2, "BETA", id="O-3"))
)
SNAPSHOT = load_snapshot(DOCUMENT, VOCABULARY)
SEEN = project(SNAPSHOT, VOCABULARY, "A", ORDERS)
AT = Point(SEEN, (account_subject(SEEN), account_subject(SEEN)), {}, {})
KEYS = (("order", "O-1"), ("order", "O-2"), ("order", "O-3"), ("working_order", "W-1"))
SIZES = (2, 4, 2, 4)
SYMBOLS = ("ACME", "ACME", "BETA", "BETA")
CORNERS = [tuple(Fraction(c) for c in corner) for corner in product(*((0, size) for size in SIZES))]

State = tuple[Fraction, ...]


def supplied(name: Name) -> bool:
    """Names whose facts the small world has."""
    given = (
        name.means is not None or name.entity in {"position", "order", "working_order"} or name.name == "account.nav"
    )
    absent = {"order.stop_price", "position.average_price", "order.price", "working_order.price"}
    return (given and name.name not in absent) or name.name in {"account.cash", "account.equity", "account.kind"}


def at_state(part: Compare, state: State) -> Fraction:
    fills: Fills = dict(zip(KEYS, state, strict=True))
    return excess(part, Point(SEEN, AT.stack, fills, {}))


def compared(text: str) -> Compare:
    term = term_of(text, VOCABULARY, "account")
    assert isinstance(term, Compare)
    assume(depends_on_fills(term) and term.op in {"<", "<=", ">", ">="})
    return term


SEARCHED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = written(VOCABULARY, "account", depth=3, names=supplied, kind="comparison").filter(lambda t: len(t) < 400)


@SEARCHED
@given(TEXTS, st.data())
def test_linear_and_convex_ones_bend_as_claimed(text, data):
    """Half-way between two corners a linear excess is the mean of both, a convex one at most that.

    Divided by something positive, both are at most the greater of the two ends, which is what corners rely on.
    """
    part = compared(text)
    kind = classify(part).term_class
    assume(kind in {LINEAR, CONVEX})
    one, other = data.draw(st.sampled_from(list(combinations(CORNERS, 2))))
    half = tuple((a + b) / 2 for a, b in zip(one, other, strict=True))
    try:
        ends, middle = (at_state(part, one), at_state(part, other)), at_state(part, half)
    except MissingFactError:
        assume(False)
    assert middle <= max(ends)
    if cleared(part) == (part.left, part.right):
        assert middle <= sum(ends) / 2
        assert kind is CONVEX or middle == sum(ends) / 2


@SEARCHED
@given(TEXTS, st.data())
def test_separable_ones_add_up_over_names(text, data):
    part = compared(text)
    assume(separable(part))
    draw = [data.draw(st.integers(0, size)) for size in SIZES]
    one = tuple(Fraction(f if s == "ACME" else 0) for f, s in zip(draw, SYMBOLS, strict=True))
    other = tuple(Fraction(f if s == "BETA" else 0) for f, s in zip(draw, SYMBOLS, strict=True))
    together = tuple(a + b for a, b in zip(one, other, strict=True))
    nothing = (Fraction(0),) * 4
    try:
        parts = at_state(part, one) + at_state(part, other) - at_state(part, nothing)
        assert at_state(part, together) == parts
    except MissingFactError:
        assume(False)


@SEARCHED
@given(TEXTS)
def test_the_worst_state_of_linear_and_convex_ones_is_a_corner(text):
    part = compared(text)
    assume(classify(part).term_class is not MIXED)
    inner = [tuple(Fraction(n) for n in s) for s in product((0, 1, 2), (0, 2, 4), (0, 1), (0, 3, 4))]
    try:
        assert max(at_state(part, s) for s in inner) <= max(at_state(part, s) for s in CORNERS)
    except MissingFactError:
        assume(False)


def test_bends_of_facts_are_constant(words):
    assert bend_of(term_of("account.nav", words)).curve == 0
