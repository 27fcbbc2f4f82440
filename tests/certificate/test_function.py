"""The exact arithmetic of piecewise quadratic functions, against evaluation point by point."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from lexorder.engine.certificate import CertificateError, Function, total
from tests.certificate.strategies import BIG, SMALL, functions, given, intervals

WINDOW = range(-15, 16)


def by_definition(function: Function, x: int) -> int:
    piece = sum(x >= point for point in function.breaks)
    a0, a1, a2 = function.polys[piece]
    return a0 + a1 * x + a2 * x**2


@given(functions(), SMALL)
def test_value_follows_the_definition(function, x):
    assert function.value(x) == by_definition(function, x)


@given(functions(numbers=BIG, breaks=BIG), BIG)
def test_value_is_exact_for_numbers_of_any_size(function, x):
    assert function.value(x) == by_definition(function, x)


@given(functions(), functions())
def test_plus_adds_the_values(left, right):
    both = left.plus(right)
    assert [both.value(x) for x in WINDOW] == [left.value(x) + right.value(x) for x in WINDOW]


@given(functions(), functions())
def test_plus_leaves_no_break_between_equal_pieces(left, right):
    both = left.plus(right)
    assert all(a != b for a, b in zip(both.polys, both.polys[1:], strict=False))


@given(functions())
def test_plus_is_commutative_and_the_zero_function_changes_nothing(function):
    other = Function.absolute(2, 1)
    assert function.plus(other) == other.plus(function)
    same = function.plus(Function.constant(0))
    assert [same.value(x) for x in WINDOW] == [function.value(x) for x in WINDOW]


@given(functions(), st.integers(0, 9))
def test_scaled_multiplies_the_values(function, factor):
    assert [function.scaled(factor).value(x) for x in WINDOW] == [factor * function.value(x) for x in WINDOW]


@given(SMALL, SMALL)
def test_a_straight_function_may_be_scaled_by_a_negative_factor(slope, intercept):
    assert Function.linear(slope, intercept).scaled(-2) == Function.linear(-2 * slope, -2 * intercept)


@given(functions(), intervals())
def test_maximum_and_minimum_are_those_of_all_integers_between(function, interval):
    low, high = interval
    values = [function.value(x) for x in range(low, high + 1)]
    assert function.maximum(low, high) == max(values)
    assert function.minimum(low, high) == min(values)


@given(functions(), intervals())
def test_argmin_is_the_lowest_holding_with_the_least_value(function, interval):
    low, high = interval
    least = min(function.value(x) for x in range(low, high + 1))
    first = next(x for x in range(low, high + 1) if function.value(x) == least)
    assert function.argmin(low, high) == first


@given(functions(numbers=BIG, breaks=SMALL), SMALL)
def test_at_a_point_maximum_and_minimum_are_the_value(function, x):
    assert function.maximum(x, x) == function.minimum(x, x) == function.value(x)


@given(functions(), intervals())
def test_pieces_cover_the_interval_once_with_the_polys_in_force(function, interval):
    low, high = interval
    pieces = function.pieces(low, high)
    covered = [x for first, last, _ in pieces for x in range(first, last + 1)]
    assert covered == list(range(low, high + 1))
    assert all(function.poly(x) == poly for first, last, poly in pieces for x in range(first, last + 1))


@given(st.lists(functions(), max_size=4))
def test_total_is_the_sum(parts):
    assert [total(parts).value(x) for x in WINDOW] == [sum(p.value(x) for p in parts) for x in WINDOW]


@pytest.mark.parametrize("held", [-7, 0, 5])
def test_cost_around_a_holding_counts_sales_and_purchases_from_there(held):
    cost = Function.around(held, sell=3, buy=5)
    assert [cost.value(held + d) for d in (-2, -1, 0, 1, 2)] == [6, 3, 0, 5, 10]


def test_the_constructors_mean_what_they_say():
    assert Function.constant(4).value(99) == 4
    assert Function.linear(3, 1).value(-2) == -5
    assert Function.quadratic(2, -3, 1).value(4) == 21
    assert Function.absolute(2, centre=5).value(1) == 8
    step = Function.threshold(10, (0, 0, 0), (0, 7, 0))
    assert [step.value(x) for x in (9, 10)] == [0, 70]


def test_the_minimum_of_a_curved_piece_lies_at_the_integers_beside_the_vertex():
    # The real vertex is at 5/4, where the value would be below that of any integer.
    function = Function.quadratic(2, -5)
    assert function.minimum(-10, 10) == -3 == function.value(1)
    # And where the vertex is outside the interval, at its nearer end.
    assert function.minimum(4, 10) == function.value(4)
    assert function.minimum(-10, -2) == function.value(-2)


def test_a_jump_is_seen_from_both_sides():
    spike = Function((0, 1), ((0, 0, 0), (100, 0, 0), (0, 0, 0)))
    assert spike.maximum(-5, 5) == 100
    assert spike.maximum(-5, -1) == spike.maximum(1, 5) == 0
    assert spike.scaled(1).minimum(0, 0) == 100


@pytest.mark.parametrize(
    ("breaks", "polys", "words"),
    [
        ((), (), "one more poly"),
        ((1,), ((0, 0, 0),), "one more poly"),
        ((2, 1), ((0, 0, 0),) * 3, "breaks must increase"),
        ((1, 1), ((0, 0, 0),) * 3, "breaks must increase"),
        ((), ((0, 0, -1),), "a2 must not be negative"),
    ],
)
def test_a_malformed_function_is_refused(breaks, polys, words):
    with pytest.raises(CertificateError, match=words):
        Function(breaks, polys)


def test_a_curved_function_is_not_scaled_by_a_negative_factor():
    with pytest.raises(CertificateError, match="a2 must not be negative"):
        Function.quadratic(1).scaled(-1)


@pytest.mark.parametrize("ask", [Function.maximum, Function.minimum, Function.pieces, Function.argmin])
def test_an_empty_interval_is_refused(ask):
    with pytest.raises(CertificateError, match="low <= high"):
        ask(Function.linear(1), 2, 1)


def test_the_json_form_is_the_documented_one():
    assert Function.around(2, 1, 3).to_json() == {"breaks": [2], "polys": [[2, -1, 0], [-6, 3, 0]]}
