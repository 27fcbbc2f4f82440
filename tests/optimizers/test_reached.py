"""Figures of the objective: exact in its own unit, and of a squared distance the root, rounded away from the bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import sqrt
from types import SimpleNamespace
from typing import Any

import pytest

from lexorder.optimizers.reached import NEARLY, Reached, reached_by


@dataclass
class Ended:
    """What `reached_by` reads of a solution."""

    value: int | None
    bound: int | None
    unit: str | None = "1e-24 of NAV squared"
    uncured: tuple[int, ...] = ()
    certificate: Any = field(init=False)

    def __post_init__(self) -> None:
        objective = None if self.unit is None else SimpleNamespace(unit=self.unit)
        self.certificate = SimpleNamespace(problem=SimpleNamespace(objective=objective))


def found(*arguments: Any, **named: Any) -> Reached:
    return reached_by(Ended(*arguments, **named))  # type: ignore[arg-type]


def test_a_plain_objective_is_told_as_it_is():
    assert found(-30, -41, "1e-4 of NAV") == Reached(Fraction(-30), Fraction(-41), Fraction(11), Fraction(1))


def test_of_a_square_the_root_is_told():
    ended = found(9 * 10**16, 4 * 10**16, "1e-24 of NAV squared")  # 0.0003 and 0.0002 of NAV
    assert ended == Reached(Fraction(3), Fraction(2), Fraction(1), ended.marginal)


@pytest.mark.parametrize("value", [1, 2, 3, 10**7 + 1, 10**15 - 1, 10**22 + 12345])
@pytest.mark.parametrize("less", [0, 1, 10**3])
def test_roots_are_rounded_away_from_each_other(value, less):
    ended = found(value, value - less)
    exactly = sqrt(value * 1e-24) * 1e4
    assert ended.value is not None
    assert ended.bound is not None
    assert (ended.value / 10**4) ** 2 >= Fraction(value, 10**24), "never told too small"
    assert (ended.bound / 10**4) ** 2 <= Fraction(max(value - less, 0), 10**24), "never told too large"
    assert float(ended.value) == pytest.approx(exactly, abs=2e-6)
    assert ended.gap == ended.value - ended.bound >= 0


def test_a_bound_below_nought_is_nought_for_a_distance():
    ended = found(10**16, -(10**9))
    assert ended == Reached(ended.value, Fraction(0), ended.value, ended.marginal)


def test_a_unit_of_the_square_is_worth_less_the_further_away_one_is():
    near, far = found(10**16, 0), found(10**18, 0)
    assert near.marginal == 10 * far.marginal
    # d √x = dx / 2√x, at 1 bp of NAV: 1e-24 / 2e-4, in basis points
    assert near.marginal == Fraction(1, 10**24) / (2 * Fraction(1, 10**4)) * 10**4


def test_at_the_target_nothing_is_gained_by_wider_limits():
    assert found(1, 0).value < NEARLY  # type: ignore[operator]
    assert found(1, 0).marginal == 0


def test_an_old_breach_that_remains_has_no_gap():
    for unit in ("1e-24 of NAV squared", "1e-12 of NAV"):
        ended = found(10**16, 10**15, unit, uncured=(3,))
        assert ended.value is not None
        assert (ended.bound, ended.gap) == (None, None)


@pytest.mark.parametrize(
    "arguments", [(None, None), (1, None, None), (5, 1, "1e-6 of each name's range"), (5, 1, None)]
)
def test_without_an_objective_in_parts_of_nav_there_are_no_figures(arguments):
    assert found(*arguments) == Reached(None, None, None, Fraction(0))


def test_without_a_bound_there_is_a_value_and_no_gap():
    ended = found(9 * 10**16, None)
    assert ended == Reached(Fraction(3), None, None, ended.marginal)
