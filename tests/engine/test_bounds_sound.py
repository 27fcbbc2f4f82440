"""Interval analysis is sound: at the extremes of the declared bounds no integer is larger than it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm

import pytest

from lexorder.engine.bounds import INT64_MAX, fits_int64
from lexorder.engine.names import Vocabulary
from lexorder.engine.terms import Absolute, Binary, Compare, Extreme, Field, If, In, Literal, Negate, SetOf, Term
from lexorder.engine.typecheck import term_of
from tests.agreement.compare import VOCABULARY

Facts = Mapping[str, Fraction]


class Reach:
    """The largest integer met when terms are worked out in integers, one operation after the other.

    A number is an integer and the scale it is to be divided by, as CLIPS would hold it.
    """

    def __init__(self, facts: Facts, vocabulary: Vocabulary) -> None:
        self.facts, self.vocabulary, self.most = facts, vocabulary, 0

    def met(self, value: int, scale: int) -> tuple[int, int]:
        self.most = max(self.most, abs(value))
        return value, scale

    def level(self, one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int, int]:
        """Both at the least common scale."""
        scale = lcm(one[1], other[1])
        left, right = one[0] * (scale // one[1]), other[0] * (scale // other[1])
        return self.met(left, scale)[0], self.met(right, scale)[0], scale

    def number(self, term: Term) -> tuple[int, int]:
        match term:
            case Literal(value=Fraction() as written):
                return self.met(written.numerator, written.denominator)
            case Field(name=name):
                scale = 10 ** self.vocabulary.names[name].scale
                held = self.facts[name] * scale
                assert held.denominator == 1
                return self.met(held.numerator, scale)
            case Negate(operand=x):
                value, scale = self.number(x)
                return self.met(-value, scale)
            case Absolute(operand=x):
                value, scale = self.number(x)
                return self.met(abs(value), scale)
            case Binary():
                return self.arithmetic(term)
            case Extreme(which=which, items=items):
                best = self.number(items[0])
                for item in items[1:]:
                    v, w, scale = self.level(best, self.number(item))
                    best = (max(v, w) if which == "max" else min(v, w), scale)
                return best
            case If(condition=condition, yes=yes, no=no):
                self.condition(condition)
                v, w, scale = self.level(self.number(yes), self.number(no))
                return self.met(v, scale) if v > w else self.met(w, scale)
        raise AssertionError(term)

    def arithmetic(self, term: Binary) -> tuple[int, int]:
        v, s = self.number(term.left)
        if term.op == "/":
            assert isinstance(term.right, Literal)
            by = Fraction(term.right.value)  # type: ignore[arg-type]
            return self.met(v * by.denominator, s * by.numerator)
        w, t = self.number(term.right)
        if term.op == "*":
            return self.met(v * w, s * t)
        v, w, scale = self.level((v, s), (w, t))
        return self.met(v + w if term.op == "+" else v - w, scale)

    def condition(self, term: Term) -> None:
        match term:
            case Compare(left=left, right=right):
                v, w, scale = self.level(self.number(left), self.number(right))
                self.met(v - w, scale)
            case In(item=item, container=SetOf(items=items)):
                for other in items:
                    self.condition(Compare(term.unit, "==", item, other))
            case _:
                for child in term.children():
                    self.condition(child)


def fields(term: Term) -> list[str]:
    return sorted({node.name for node in term.walk() if isinstance(node, Field)})


def corners(term: Term, vocabulary: Vocabulary) -> list[dict[str, Fraction]]:
    """Every name at its least, at its greatest, and at nought where it may be."""
    choices = []
    for name in fields(term):
        declared = vocabulary.names[name]
        assert declared.minimum is not None
        assert declared.maximum is not None
        nought = [Fraction(0)] if declared.minimum < 0 < declared.maximum else []
        choices.append([(name, v) for v in (Fraction(declared.minimum), Fraction(declared.maximum), *nought)])
    return [dict(facts) for facts in product(*choices)]


CONDITIONS = [
    "order.quantity <= 5000",
    "order.price <= instrument.ask * 110%",
    "order.price * 3 - instrument.bid / 7 <= 12.5",
    "abs(order.price - instrument.mark) <= 5 * instrument.mark",
    "-(order.quantity) * 0.125 + order.quantity >= -3",
    "max(order.price, instrument.ask, 7) - min(instrument.bid, 0.5) <= 3",
    "(if order.quantity > 5 then order.price * 1000 else instrument.ask) <= 3",
    "(if order.price * 1000000 > 5 then 1 else 2) <= 3",
    "(if order.quantity * 1000 in {0.5, 7} then 1 else 2) <= 3",
    "order.quantity in {0.001, 3}",
    "order.quantity <= 5 or order.price <= 3 and not (instrument.ask > 2)",
    "order.quantity * order.price <= 5000 * order.quantity * instrument.ask",
    "instrument.adv * 1% + order.quantity <= 10% * instrument.adv",
]


@pytest.mark.parametrize("text", CONDITIONS)
def test_no_integer_on_the_way_is_above_the_magnitude(text):
    term = term_of(text, VOCABULARY, "order")
    found = fits_int64(term, VOCABULARY)
    assert found.magnitude is not None
    met = 0
    for facts in corners(term, VOCABULARY):
        reach = Reach(facts, VOCABULARY)
        reach.condition(term)
        met = max(met, reach.most)
    assert met <= found.magnitude
    assert found.magnitude <= 64 * met, "and the magnitude is no wild guess"
    assert found.fits is (found.magnitude <= INT64_MAX)


# ---- exactly at the end of 64 bits -----------------------------------------------------------------------------------


def bounded(**most: int) -> Vocabulary:
    """The vocabulary with other greatest values; scales as they are."""
    changed = {name.replace("__", "."): Fraction(value) for name, value in most.items()}
    names = {
        n: replace(d, minimum=Fraction(0), maximum=changed[n]) if n in changed else d
        for n, d in VOCABULARY.names.items()
    }
    return replace(VOCABULARY, names=names)


@pytest.mark.parametrize(
    ("text", "most", "fits"),
    [
        ("order.quantity <= 1", 2**63 - 1, True),
        ("order.quantity <= 1", 2**63, False),
        ("order.quantity >= -1", 2**63 - 2, True),
        ("order.quantity >= -1", 2**63 - 1, False),  # the difference of the sides is one more
        ("order.quantity * 2 <= 1", 2**62 - 1, True),
        ("order.quantity * 2 <= 1", 2**62, False),
        ("order.quantity <= 0.5", 2**62 - 1, True),  # brought to halves
        ("order.quantity <= 0.5", 2**62, False),
        ("order.quantity + order.quantity <= 1", 2**62 - 1, True),
        ("order.quantity + order.quantity <= 1", 2**62, False),
        ("(if order.quantity * 2 in {7} then 1 else 2) <= 3", 2**62 - 1, True),
        ("(if order.quantity * 2 in {7} then 1 else 2) <= 3", 2**62, False),
        ("order.quantity in {7, 0.5}", 2**62 - 1, True),
        ("order.quantity in {7, 0.5}", 2**62, False),
    ],
)
def test_one_unit_decides_at_the_end_of_64_bits(text, most, fits):
    vocabulary = bounded(order__quantity=most)
    found = fits_int64(term_of(text, vocabulary, "order"), vocabulary)
    assert found.fits is fits, found


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_a_name_without_a_bound_is_told(name):
    declared = VOCABULARY.names["order.quantity"]
    open_ended = replace(declared, minimum=None) if name == "minimum" else replace(declared, maximum=None)
    names = {**VOCABULARY.names, "order.quantity": open_ended}
    found = fits_int64(term_of("order.quantity <= 1", VOCABULARY, "order"), replace(VOCABULARY, names=names))
    word = {"minimum": "`min`", "maximum": "`max`"}[name]
    assert (found.fits, found.magnitude) == (False, None)
    assert found.reason == f"`order.quantity` has no {word} in the vocabulary"
