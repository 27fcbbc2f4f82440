"""From floats to the integers that are certified: rounding, digits kept, symmetries, and numbers beyond 64 bits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lexorder.engine.certificate import Factor, Function, Name, Objective, Problem
from lexorder.optimizers.objective import Book, ObjectiveTable, fewest_units, mean_variance, track_weights
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import FactorModel

NAV = 10**10


def alone(volatility: float, names: int = 1) -> FactorModel:
    """Names that move by themselves."""
    return FactorModel(np.zeros((1, names)), np.full(names, volatility**2))


def digits(goal: Objective) -> int:
    return -int(goal.unit.split("e")[1].split()[0])


def exact_unit(goal: Objective) -> Fraction:
    return Fraction(1, 10 ** digits(goal))


# ---- the stated formula, in exact arithmetic -------------------------------------------------------------------------


@pytest.mark.parametrize("held", [0, 7, -4])
@pytest.mark.parametrize("x", [-9, 0, 3, 7, 50])
def test_one_name_is_the_formula_in_fractions(held, x):
    # Every figure is a sum of few powers of two, so that the floats are the fractions.
    mark, mu, volatility, aversion, buy, sell = 2**20, 0.125, 0.25, 4.0, 2**-10, 2**-9
    nav = 2**30
    goal = mean_variance(
        Book([mark], nav, [held]), [mu], alone(volatility), risk_aversion=aversion, buy_cost=buy, sell_cost=sell
    )
    w, moved = Fraction(x * mark, nav), Fraction((x - held) * mark, nav)
    cost = Fraction(buy) * moved if moved > 0 else -Fraction(sell) * moved
    wanted = -Fraction(mu) * w + Fraction(aversion) / 2 * Fraction(volatility) ** 2 * w * w + cost
    told = goal.value([x]) * exact_unit(goal)
    # Each of three coefficients is rounded to the nearest unit.
    assert abs(told - wanted) <= exact_unit(goal) * (abs(x) + x * x + abs(x - held) + 1)


def test_equal_names_get_equal_functions():
    goal = mean_variance(Book([5, 5], NAV, [3, 3]), [0.01, 0.01], alone(0.2, 2), risk_aversion=3.0, buy_cost=0.001)
    (_, one), (_, other) = goal.functions
    assert one == other


def test_without_costs_the_functions_have_no_break():
    book = Book([5], NAV, [3])
    free = mean_variance(book, [0.01], alone(0.2), risk_aversion=3.0)
    dear = mean_variance(book, [0.01], alone(0.2), risk_aversion=3.0, turnover_penalty=0.001)
    assert [f.breaks for _, f in free.functions] == [()]
    assert [f.breaks for _, f in dear.functions] == [(3,)]
    assert free.value([3]) == dear.value([3]), "at the holding nothing is traded"
    assert dear.value([2]) - free.value([2]) == dear.value([4]) - free.value([4]) > 0


def test_a_penalty_is_a_cost_on_both_sides():
    book = Book([1000], NAV, [3])
    costs = mean_variance(book, [0.0], alone(0.0), risk_aversion=1.0, buy_cost=0.003, sell_cost=0.003)
    penalty = mean_variance(book, [0.0], alone(0.0), risk_aversion=1.0, turnover_penalty=0.003)
    assert costs == penalty


def test_risk_aversion_of_nought_leaves_returns_and_costs():
    goal = mean_variance(Book([1000], NAV, [0]), [0.5], alone(0.3), risk_aversion=0.0)
    assert goal.value([2]) == 2 * goal.value([1]) < 0


# ---- digits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nav", [10**6, 10**10, 10**15, 10**18])
@pytest.mark.parametrize("expected", [0.02, 1e-5, 3e-7])
def test_a_typical_coefficient_keeps_six_digits_whatever_the_size_of_the_book(nav, expected):
    marks = [nav // 10**4 + 7 * i for i in range(9)]
    goal = mean_variance(Book(marks, nav, [0] * 9), np.full(9, expected), alone(0.2, 9), risk_aversion=2.0)
    slopes = sorted(abs(f.polys[0][1]) for _, f in goal.functions)
    assert slopes[4] >= 10**6
    assert digits(goal) % 2 == 0, "a factor is written at the root of the unit"


def test_the_unit_is_never_finer_than_forty_digits():
    goal = mean_variance(Book([1], 10**30, [0]), [1e-12], alone(1e-9), risk_aversion=1e-6)
    assert digits(goal) <= 40


def test_an_objective_of_noughts_is_nought():
    goal = mean_variance(Book([5, 6], NAV, [1, 2]), [0.0, 0.0], alone(0.0, 2), risk_aversion=0.0)
    assert goal.value([100, -100]) == 0


# ---- following weights -----------------------------------------------------------------------------------------------


def test_the_least_distance_is_at_the_target():
    book = Book([10**6, 10**6], 10**9, [0, 0])
    goal = track_weights(book, [0.3, 0.5])
    best = min(((x, y) for x in range(0, 1001, 50) for y in range(0, 1001, 50)), key=goal.value)
    assert best == (300, 500)


@pytest.mark.parametrize("weights", [[0.1], [0.1, float("nan")], [0.1, 0.2, 0.3], [float("inf"), 0.0], []])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ModelError, match=r"target weights must be (2 )?finite numbers"):
        track_weights(Book([1, 1], NAV, [0, 0]), weights)


def test_no_names_are_tracked_by_nothing():
    assert track_weights(Book([], NAV, []), []).value([]) == 0


# ---- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10**9, 10**20, 10**35])
def test_exposures_and_values_are_exact_at_any_size(size):
    factors = (Factor(3, 5 * size, ((0, 2 * size), (2, -size))), Factor(1, -size, ((1, 7),)))
    goal = Objective("1", ((0, Function.quadratic(size)), (1, Function.absolute(size, 2))), factors)
    names = tuple(Name(f"n{i}", 0, -9, 9) for i in range(3))
    table = ObjectiveTable(Problem(names, objective=goal), np.full(3, 9))
    for x in ([0, 0, 0], [9, -9, 4], [-1, 2, -9]):
        assert table.exposures(np.array(x)) == [f.exposure(x) for f in factors]
        assert table.value(np.array(x)) == goal.value(x)


@pytest.mark.parametrize("reach", [2**12, 2**13, 2**20, 2**40])
def test_a_product_beyond_64_bits_of_numbers_within_is_exact(reach):
    factors = (Factor(1, 3, ((0, 2**50), (1, 2**50))),)
    names = tuple(Name(f"n{i}", 0, 0, reach) for i in range(2))
    table = ObjectiveTable(Problem(names, objective=Objective("1", (), factors)), np.full(2, reach))
    assert table.exposures(np.full(2, reach)) == [3 + 2 * 2**50 * reach]


def test_an_objective_without_factors_has_no_exposures():
    table = ObjectiveTable(
        Problem((Name("A", 0, 0, 9),), objective=Objective("1", ((0, Function.linear(2)),))), np.full(1, 9)
    )
    assert table.exposures(np.array([4])) == []
    assert table.value(np.array([4])) == 8


# ---- without an objective --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        (Name("A", 0, 0, 1000), 1000),
        (Name("A", -5, -2000, 3), 500),
        (Name("A", 3000, 0, 10), 334),
        (Name("A", 0, 0, 0), 10**6),
        (Name("A", 0, 0, 10**7), 1),
    ],
)
def test_units_traded_count_in_parts_of_the_range_rounded_up(name, unit):
    goal = fewest_units(Problem((name,)))
    assert goal.value([name.held]) == 0
    assert goal.value([name.held + 1]) == goal.value([name.held - 1]) == unit
