"""Piecewise functions against plain evaluation at every integer of their interval."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from lexorder.engine.intervals import at_most_zero, common, complement, contains, joined, whole
from lexorder.engine.piecewise import (
    PIECES_MAX,
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

LOW, HIGH = -9, 14
INSIDE = range(LOW, HIGH + 1)


def number(random_: random.Random) -> Fraction | int:
    if random_.random() < 0.5:
        return random_.randint(-6, 6)
    return Fraction(random_.randint(-12, 12), random_.randint(1, 5))


def function(random_: random.Random, degree: int = 2) -> Piecewise:
    starts = sorted({LOW, *random_.choices(INSIDE, k=random_.randint(0, 4))})
    a = [[number(random_) if i <= degree else 0 for i in range(3)] for _ in starts]
    polys = [(one, two, three) for one, two, three in a]
    return joined_pieces(LOW, HIGH, zip(starts, polys, strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_sums_products_and_extremes_are_those_of_the_values(seed):
    random_ = random.Random(seed)
    f, g = function(random_), function(random_)
    linear, other = function(random_, 1), function(random_, 1)
    c = number(random_)
    for x in INSIDE:
        assert (f + g)(x) == f(x) + g(x)
        assert (f - g)(x) == f(x) - g(x)
        assert (-f)(x) == -f(x)
        assert abs(f)(x) == abs(f(x))
        assert f.scaled(c)(x) == c * f(x)
        assert (linear * other)(x) == linear(x) * other(x)
        assert (f * constant(c, LOW, HIGH))(x) == c * f(x)
        assert greatest(f, g)(x) == max(f(x), g(x))
        assert least(f, g)(x) == min(f(x), g(x))


@pytest.mark.parametrize("seed", range(60))
def test_a_comparison_gives_the_integers_where_it_holds(seed):
    random_ = random.Random(1000 + seed)
    f, g = function(random_), function(random_)
    holds = {
        "<=": lambda x: f(x) <= g(x),
        "<": lambda x: f(x) < g(x),
        ">=": lambda x: f(x) >= g(x),
        ">": lambda x: f(x) > g(x),
        "==": lambda x: f(x) == g(x),
        "!=": lambda x: f(x) != g(x),
    }
    for op, held in holds.items():
        where = compared(op, f, g)
        assert [x for x in INSIDE if contains(where, x)] == [x for x in INSIDE if held(x)]
        picked = chosen(where, f, g)
        assert all(picked(x) == (f(x) if held(x) else g(x)) for x in INSIDE)


@pytest.mark.parametrize("seed", range(60))
def test_greatest_and_least_are_found_with_the_first_place_that_has_them(seed):
    random_ = random.Random(2000 + seed)
    f = function(random_)
    low = random_.randint(LOW, HIGH)
    high = random_.randint(low, HIGH)
    values = [f(x) for x in range(low, high + 1)]
    assert f.greatest(low, high) == (max(values), low + values.index(max(values)))
    assert f.least(low, high) == (min(values), low + values.index(min(values)))


@pytest.mark.parametrize("seed", range(80))
def test_running_greatest_looks_at_every_state_on_the_way(seed):
    random_ = random.Random(3000 + seed)
    f = function(random_)
    running = f.running_greatest()
    for x in INSIDE:
        assert running(x) == max(f(t) for t in range(LOW, x + 1))


def test_a_constant_is_known_and_a_line_is_none():
    assert constant(3, LOW, HIGH).is_constant()
    assert not identity(LOW, HIGH).is_constant()
    assert not joined_pieces(LOW, HIGH, [(LOW, (0, 0, 0)), (2, (1, 0, 0))]).is_constant()


@pytest.mark.parametrize("seed", range(200))
def test_roots_are_exact_also_beside_perfect_squares(seed):
    random_ = random.Random(6000 + seed)
    r, s, a = random_.randint(-40, 40), random_.randint(-40, 40), random_.choice([-3, -1, 1, 2])
    nudge = random_.choice([-1, 0, 1])
    poly = (a * r * s + nudge, -a * (r + s), a)
    for strict in (False, True):
        found = at_most_zero(poly, -50, 50, strict=strict)
        values = {x: poly[0] + poly[1] * x + poly[2] * x * x for x in range(-50, 51)}
        assert [x for x in values if contains(found, x)] == [
            x for x, v in values.items() if (v < 0 if strict else v <= 0)
        ]


def test_roots_of_large_coefficients_do_not_round():
    root = 10**25 + 7
    square = (-(root * root), 0, 1)
    assert at_most_zero(square, 0, 10**30) == ((0, root),)
    assert at_most_zero(square, 0, 10**30, strict=True) == ((0, root - 1),)
    assert at_most_zero((-(root * root) - 1, 0, 1), 0, 10**30) == ((0, root),)
    assert at_most_zero((1 - root * root, 0, 1), 0, 10**30) == ((0, root - 1),)


def test_denominators_are_cleared_without_changing_signs():
    assert whole((Fraction(1, 6), Fraction(-3, 4), 2)) == (2, -9, 24)


def test_interval_sets_keep_their_canonical_form():
    assert joined([(5, 7), (1, 2), (3, 3), (9, 8)]) == ((1, 3), (5, 7))
    assert common(((1, 3), (5, 7)), ((2, 6),)) == ((2, 3), (5, 6))
    assert complement(((1, 3), (5, 7)), 0, 9) == ((0, 0), (4, 4), (8, 9))
    assert complement((), 0, 9) == ((0, 9),)
    assert common((), ((0, 9),)) == ()


@pytest.mark.parametrize("seed", range(40))
def test_interval_sets_behave_as_sets(seed):
    random_ = random.Random(7000 + seed)
    one = joined([(random_.randint(0, 20), random_.randint(0, 20)) for _ in range(4)])
    two = joined([(random_.randint(0, 20), random_.randint(0, 20)) for _ in range(4)])
    first = {x for x in range(21) if contains(one, x)}
    second = {x for x in range(21) if contains(two, x)}
    assert {x for x in range(21) if contains(common(one, two), x)} == first & second
    assert {x for x in range(21) if contains(joined((*one, *two)), x)} == first | second
    assert {x for x in range(21) if contains(complement(one, 0, 20), x)} == set(range(21)) - first


def test_what_is_not_of_degree_two_is_refused():
    x = identity(LOW, HIGH)
    with pytest.raises(InexpressibleError, match="degree-above-two"):
        x * x * x
    with pytest.raises(InexpressibleError, match="not-a-constant-divisor"):
        x.divided(x)
    with pytest.raises(InexpressibleError, match="not-a-constant-divisor"):
        x.divided(constant(0, LOW, HIGH))
    with pytest.raises(InexpressibleError, match="different-domains"):
        x + identity(0, 1)
    with pytest.raises(InexpressibleError, match="different-domains"):
        x(HIGH + 1)
    assert x.divided(constant(4, LOW, HIGH))(3) == Fraction(3, 4)


def test_too_many_pieces_are_refused():
    with pytest.raises(InexpressibleError, match="too-many-pieces"):
        joined_pieces(0, PIECES_MAX + 1, ((i, (i, 0, 0)) for i in range(PIECES_MAX + 1)))
