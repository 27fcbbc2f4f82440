"""The integer objective is the stated formula to six digits, and its arrays are its integers."""

import random
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np
import pytest

from lexorder.engine.certificate import Name, Problem
from lexorder.optimizers.objective import (
    SQUARED,
    TRACKING_DIGITS,
    Book,
    ObjectiveTable,
    fewest_units,
    mean_variance,
    track_weights,
)
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import FactorModel
from tests.optimizers.books import small

RNG = np.random.default_rng(2)
COUNT = 15
BOOK = Book([int(m) for m in RNG.integers(10**4, 10**7, COUNT)], 10**12, [int(h) for h in RNG.integers(0, 999, COUNT)])
MODEL = FactorModel(RNG.normal(size=(3, COUNT)) * 0.1, RNG.uniform(0.01, 0.1, COUNT))
MU = RNG.normal(size=COUNT) * 0.05


def unit_of(objective) -> float:
    return 10.0 ** -int(objective.unit[3:].split()[0])


def test_mean_variance_is_the_formula() -> None:
    goal = mean_variance(BOOK, MU, MODEL, risk_aversion=4.0, buy_cost=0.001, sell_cost=0.002, turnover_penalty=0.0005)
    held = np.array(BOOK.held)
    for seed in range(20):
        x = np.random.default_rng(seed).integers(0, 2000, COUNT)
        w, move = x * BOOK.unit_weights, (x - held) * BOOK.unit_weights
        cost = 0.0015 * np.maximum(move, 0).sum() + 0.0025 * np.maximum(-move, 0).sum()
        formula = -MU @ w + 2.0 * w @ MODEL.covariance() @ w + cost
        assert goal.value(x.tolist()) * unit_of(goal) == pytest.approx(formula, rel=1e-6, abs=1e-12)


def test_tracking_is_the_distance_to_the_target() -> None:
    target = [Fraction(n, 300) for n in range(COUNT)]
    goal = track_weights(BOOK, target)
    nav, unit = Fraction(BOOK.nav), Fraction(goal.unit.removesuffix(SQUARED))
    for seed in range(20):
        x = np.random.default_rng(seed).integers(0, 2000, COUNT).tolist()
        exact = sum((q * mark / nav - t) ** 2 for q, mark, t in zip(x, BOOK.marks, target, strict=True))
        found = goal.value(x) * unit
        assert abs(found - exact) < Fraction(1, 10**9) * max(exact, Fraction(1, 10**6))


def test_what_is_exactly_reached_is_no_distance_at_all() -> None:
    goal = track_weights(Book([1, 2, 4], 2**10, [0, 0, 0]), [Fraction(5, 2**10), Fraction(6, 2**10), 0])
    assert goal.value([5, 3, 0]) == 0
    assert goal.value([5, 3, 1]) > 0
    assert min(goal.value([x, y, 0]) for x in range(9) for y in range(9)) == 0


@pytest.mark.parametrize("mark", [1, 10**3, 10**9, 10**14, 10**17])
def test_the_value_is_a_square_whatever_a_unit_weighs_so_that_its_root_is_a_distance(mark) -> None:
    goal = track_weights(Book([mark], 10**16, [0]), [Fraction(1, 7)])
    digits = int(goal.unit.removesuffix(SQUARED)[3:])
    assert digits % 2 == 0
    assert 2 * TRACKING_DIGITS[0] <= digits <= 2 * TRACKING_DIGITS[1]
    for x in range(5):
        assert isqrt(goal.value([x])) ** 2 == goal.value([x])


def test_arrays_give_the_exact_value() -> None:
    goal = mean_variance(BOOK, MU, MODEL, risk_aversion=4.0, buy_cost=0.001)
    names = tuple(Name(f"n{i}", h, 0, 5000) for i, h in enumerate(BOOK.held))
    table = ObjectiveTable(Problem(names, objective=goal), np.full(COUNT, 5000))
    for seed in range(20):
        x = np.random.default_rng(seed).integers(0, 5000, COUNT)
        assert table.value(x) == goal.value(x.tolist())
        assert table.exposures(x) == [f.exposure(x.tolist()) for f in goal.factors]


def test_without_objective_the_fewest_units_move() -> None:
    problem = small(random.Random(1))
    goal = fewest_units(problem)
    held = [n.held for n in problem.names]
    assert goal.value(held) == 0
    assert goal.value([h + 1 for h in held]) > 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"risk_aversion": -1.0}, "risk aversion"),
        ({"buy_cost": -0.1}, "costs"),
        ({"sell_cost": float("nan")}, "costs"),
        ({"turnover_penalty": float("inf")}, "turnover penalty"),
        ({"expected": [0.1]}, "15 finite numbers"),
        ({"expected": [float("nan")] * COUNT}, "15 finite numbers"),
        ({"model": FactorModel(np.ones((1, 2)), np.ones(2))}, "2 names, not 15"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(change: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"expected": MU, "model": MODEL, "risk_aversion": 1.0} | change
    with pytest.raises(ModelError, match=text):
        mean_variance(BOOK, arguments.pop("expected"), arguments.pop("model"), **arguments)


@pytest.mark.parametrize("book", [([1], 0, [1]), ([0], 1, [1]), ([1, 2], 9, [1])])
def test_a_book_needs_marks_and_nav(book) -> None:
    with pytest.raises(ModelError):
        Book(*book)
