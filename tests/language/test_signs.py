"""Signs: what is claimed of a number holds at every admissible value of what is in it.

Random terms over facts with declared bounds; each fact is put on its bounds, beside them, at zero and far away, and the
term is worked out by `evaluate.value`. A claim that one of these breaks would let a curve be taken for its opposite.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.evaluate import Point, value
from lexorder.engine.signs import Signs, signs
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    Literal,
    Negate,
    Term,
)
from lexorder.engine.units import BOOL, RATIO

BOUNDS: dict[str, tuple[Fraction | None, Fraction | None]] = {
    "any": (None, None),
    "up": (Fraction(0), None),
    "above": (Fraction(1, 3), None),
    "down": (None, Fraction(0)),
    "below": (None, Fraction(-1, 3)),
    "small": (Fraction(-1), Fraction(1)),
    "nought": (Fraction(0), Fraction(0)),
}
FIELDS = {name: Field(RATIO, name, minimum=low, maximum=high) for name, (low, high) in BOUNDS.items()}
FAR = (Fraction(-5), Fraction(-1, 2), Fraction(0), Fraction(1, 2), Fraction(5))


def admissible(name: str) -> list[Fraction]:
    """A fact on its bounds and within them."""
    low, high = BOUNDS[name]
    ends = [x for x in (low, high) if x is not None]
    return sorted({x for x in (*FAR, *ends) if (low is None or x >= low) and (high is None or x <= high)})


leaves: st.SearchStrategy[Term] = st.one_of(
    st.sampled_from(list(FIELDS.values())), st.sampled_from((-2, 0, 1)).map(lambda n: Literal(RATIO, Fraction(n)))
)


def grown(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    """One node around others."""
    return st.one_of(
        st.builds(lambda x: Negate(RATIO, x), inner),
        st.builds(lambda x: Absolute(RATIO, x), inner),
        st.builds(lambda op, a, b: Binary(RATIO, op, a, b), st.sampled_from("+-*/"), inner, inner),
        st.builds(lambda x: Binary(RATIO, "*", x, x), inner),
        st.builds(lambda which, a, b: Extreme(RATIO, which, (a, b)), st.sampled_from(("min", "max")), inner, inner),
        st.builds(lambda a, b, c: If(RATIO, Compare(BOOL, "<", a, b), b, c), inner, inner, inner),
    )


TERMS = st.recursive(leaves, grown, max_leaves=5)


def holds(claimed: Signs, found: Fraction) -> bool:
    return not (
        (claimed.nonnegative and found < 0)
        or (claimed.nonpositive and found > 0)
        or (claimed.nonzero and found == 0)
        or (claimed.positive and found <= 0)
    )


def worked_out(term: Term, facts: Mapping[str, Fraction]) -> Fraction | None:
    """The term with these facts; None where it divides by zero."""
    vocabulary = SimpleNamespace(
        entities=dict.fromkeys(facts, SimpleNamespace(single=True, links={})),
        name=lambda _: SimpleNamespace(default=None, max_age=None, as_of=""),
    )
    seen: Any = SimpleNamespace(snapshot=SimpleNamespace(single=facts), vocabulary=vocabulary)
    try:
        found: Any = value(term, Point(seen, (), {}, {}))
    except MissingFactError:
        return None
    return found  # type: ignore[no-any-return]


@given(term=TERMS)
@settings(max_examples=150, deadline=None)
def test_what_is_claimed_holds_for_every_admissible_fact(term):
    claimed = signs(term)
    names = sorted({n.name for n in term.walk() if isinstance(n, Field)})[:4]
    for values in product(*(admissible(name) for name in names)):
        found = worked_out(term, {**dict.fromkeys(BOUNDS, Fraction(0)), **dict(zip(names, values, strict=True))})
        others = {n.name for n in term.walk() if isinstance(n, Field)} - set(names)
        if found is not None and not others:
            assert holds(claimed, found), (claimed, values, found)


SURE: tuple[tuple[Term, Signs], ...] = (
    (Literal(RATIO, Fraction(0)), Signs(True, True, False)),
    (Literal(RATIO, Fraction(2)), Signs(True, False, True)),
    (FIELDS["above"], Signs(True, False, True)),
    (FIELDS["below"], Signs(False, True, True)),
    (FIELDS["small"], Signs()),
    (FIELDS["nought"], Signs(True, True, False)),
    (Negate(RATIO, FIELDS["above"]), Signs(False, True, True)),
    (Absolute(RATIO, FIELDS["below"]), Signs(True, False, True)),
    (Binary(RATIO, "+", FIELDS["up"], FIELDS["above"]), Signs(True, False, True)),
    (Binary(RATIO, "-", FIELDS["up"], FIELDS["below"]), Signs(True, False, True)),
    (Binary(RATIO, "*", FIELDS["below"], FIELDS["below"]), Signs(True, False, True)),
    (Binary(RATIO, "*", FIELDS["any"], FIELDS["any"]), Signs(True, False, False)),
    (Binary(RATIO, "/", FIELDS["down"], FIELDS["below"]), Signs(True, False, False)),
    (Extreme(RATIO, "max", (FIELDS["any"], FIELDS["above"])), Signs(True, False, True)),
    (Extreme(RATIO, "min", (FIELDS["any"], FIELDS["below"])), Signs(False, True, True)),
    (Extreme(RATIO, "max", (FIELDS["any"], FIELDS["any"])), Signs()),
    (Aggregate(RATIO, "sum", "position", FIELDS["above"], None), Signs(True, False, False)),
    (Aggregate(RATIO, "sum", "position", FIELDS["below"], None), Signs(False, True, False)),
    (Aggregate(RATIO, "count", "position", None, None), Signs(True, False, False)),
)


@pytest.mark.parametrize(("term", "known"), SURE, ids=[str(n) for n in range(len(SURE))])
def test_what_can_be_known_is_known(term, known):
    """Soundness alone could claim nothing; an empty sum is nought, so no sum is known not to be."""
    assert signs(term) == known
