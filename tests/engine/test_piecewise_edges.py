"""Piecewise functions at their edges: one point, ends of pieces, numbers beyond 64 bits, and their canonical form."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from lexorder.engine.intervals import contains
from lexorder.engine.piecewise import (
    InexpressibleError,
    Piecewise,
    chosen,
    compared,
    constant,
    greatest,
    identity,
    joined_pieces,
    least,
)

LOW, HIGH = -5, 6
INSIDE = range(LOW, HIGH + 1)
QUICK = settings(deadline=None, max_examples=60)
EDGES = (2**53, 2**63 - 1, 2**63, 2**64 + 1, 10**40)

numbers = st.one_of(st.integers(-4, 4), st.fractions(-3, 3, max_denominator=4))


@st.composite
def functions(draw, degree: int = 2, low: int = LOW, high: int = HIGH) -> Piecewise:
    starts = sorted({low, *draw(st.lists(st.integers(low, high), max_size=4))})
    polys = [tuple(draw(numbers) if i <= degree else 0 for i in range(3)) for _ in starts]
    return joined_pieces(low, high, zip(starts, polys, strict=True))  # type: ignore[arg-type]


def is_canonical(f: Piecewise) -> bool:
    """Pieces ascend from the low end, and no two neighbours are alike."""
    inside = f.starts[0] == f.low and f.starts[-1] <= f.high and all(a < b for a, b in pairwise(f.starts))
    return inside and len(f.starts) == len(f.polys) and all(a != b for a, b in pairwise(f.polys))


@QUICK
@given(functions(), functions(), functions(1), functions(1))
def test_whatever_is_made_is_in_canonical_form(f, g, one, other):
    for made in (
        f + g,
        f - g,
        -f,
        abs(one),
        one * other,
        greatest(f, g),
        least(f, g),
        f.scaled(3),
        f.running_greatest(),
    ):
        assert is_canonical(made)


@QUICK
@given(functions(), functions())
def test_extremes_and_their_opposites_mirror_each_other(f, g):
    up, down = greatest(-f, -g), least(f, g)
    assert all(up(x) == -down(x) for x in INSIDE)
    assert f.least()[0] == -(-f).greatest()[0]


@QUICK
@given(functions())
def test_the_running_greatest_never_falls_and_ends_at_the_greatest(f):
    running = f.running_greatest()
    values = [running(x) for x in INSIDE]
    assert values == sorted(values)
    assert values[-1] == f.greatest()[0]
    assert values[0] == f(LOW)


@QUICK
@given(functions(), st.sampled_from(INSIDE), st.booleans())
def test_a_bound_that_a_value_has_exactly_separates_strict_from_lenient(f, at, strict):
    where = f.at_most(f(at), strict=strict)
    assert contains(where, at) is not strict
    assert [contains(where, x) for x in INSIDE] == [f(x) < f(at) if strict else f(x) <= f(at) for x in INSIDE]


@QUICK
@given(functions(), functions())
def test_the_six_comparisons_are_three_pairs_of_opposites(f, g):
    everywhere = set(INSIDE)
    for one, other in (("<", ">="), (">", "<="), ("==", "!=")):
        first = {x for x in INSIDE if contains(compared(one, f, g), x)}
        second = {x for x in INSIDE if contains(compared(other, f, g), x)}
        assert first | second == everywhere
        assert not first & second


@QUICK
@given(functions(), functions(), st.sets(st.sampled_from(INSIDE)))
def test_a_choice_takes_one_inside_and_the_other_outside(f, g, inside):
    where = tuple((x, x) for x in sorted(inside) if x - 1 not in inside and x + 1 not in inside)
    made = chosen(where, f, g)
    assert all(made(x) == (f(x) if contains(where, x) else g(x)) for x in INSIDE)


# ---- one point -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0, -7, *EDGES, *(-e for e in EDGES)])
def test_on_a_single_point_everything_is_its_value(x):
    point = identity(x, x)
    square = point * point
    assert square.greatest() == square.least() == (x * x, x)
    assert square.at_most(x * x) == ((x, x),)
    assert square.at_most(x * x, strict=True) == ()
    assert square.running_greatest()(x) == x * x
    assert abs(point)(x) == abs(x)


# ---- beyond 64 bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edge", EDGES)
def test_limits_far_out_are_met_to_the_unit(edge):
    line = identity(0, 2 * edge)
    assert line.at_most(edge) == ((0, edge),)
    assert line.at_most(edge, strict=True) == ((0, edge - 1),)
    assert line.scaled(Fraction(1, 3)).at_most(Fraction(edge, 3)) == ((0, edge),)
    assert compared("==", line, constant(edge, 0, 2 * edge)) == ((edge, edge),)
    assert compared("!=", line, constant(edge, 0, 2 * edge)) == ((0, edge - 1), (edge + 1, 2 * edge))


@pytest.mark.parametrize("edge", EDGES)
def test_vertices_far_out_are_found_between_two_integers(edge):
    x = identity(0, 2 * edge)
    # (x - edge)(x - edge - 1) is least, and nought, at edge and edge + 1.
    valley = (x - constant(edge, 0, 2 * edge)) * (x - constant(edge + 1, 0, 2 * edge))
    assert valley.least() == (0, edge)
    assert (-valley).greatest() == (0, edge)
    assert valley.at_most(0) == ((edge, edge + 1),)
    assert (-valley).running_greatest()(2 * edge) == 0
    assert (-valley).running_greatest()(edge - 1) == -2


# ---- where several have the extreme ----------------------------------------------------------------------------------


def test_of_several_places_the_least_is_told():
    flat = constant(3, LOW, HIGH)
    assert flat.greatest() == flat.least() == (3, LOW)
    assert abs(identity(LOW, HIGH)).least() == (0, 0)
    assert abs(identity(-4, 4)).greatest() == (4, -4)


def test_an_interval_outside_the_function_is_refused():
    f = identity(LOW, HIGH)
    for low, high in ((LOW - 1, HIGH), (LOW, HIGH + 1), (3, 2)):
        with pytest.raises(InexpressibleError) as refused:
            f.greatest(low, high)
        assert refused.value.code == "different-domains"
    with pytest.raises(InexpressibleError):
        chosen((), f, identity(LOW, HIGH + 1))
