"""How near a solution came to the optimum of its stated objective, in basis points of NAV.

In: a `Solution`, whose objective's unit is `1e-12 of NAV`, or `1e-24 of NAV squared`, of which roots are told. Out:
`Reached`. Guaranteed: exact; roots are rounded away from each other, so that a gap is never told too small. Refused:
nothing; where there is no objective, or none of these units, there are no figures. Before: `solve.py`,
`objective.py`. After: `explain.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt

from lexorder.optimizers.objective import SQUARED
from lexorder.optimizers.solve import Solution

BASIS_POINTS = 10_000

ROOT_STEPS = 10**10
"""Roots are told in steps of this part of NAV, a millionth of a basis point."""

NEARLY = Fraction(1, 100)
"""A distance below this many basis points is a matter of whole shares, and no rule's doing."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What was reached of the stated objective, in basis points of NAV: value, certified bound, their difference.

    None where there is none. `marginal`: basis points that one unit of the objective is worth at the end.
    """

    value: Fraction | None
    bound: Fraction | None
    gap: Fraction | None
    marginal: Fraction


def reached_by(solution: Solution) -> Reached:
    """The figures. An old breach that remains has no bound or gap, since the bound speaks of holdings without any."""
    objective = solution.certificate.problem.objective
    if objective is None or solution.value is None or not objective.unit.endswith((" of NAV", SQUARED)):
        return Reached(None, None, None, Fraction(0))
    unit, value, bound = Fraction(objective.unit.split()[0]), solution.value, solution.bound
    if not objective.unit.endswith(SQUARED):
        step = unit * BASIS_POINTS
        found, least, marginal = value * step, None if bound is None else bound * step, step
    else:
        found, least = _root(value * unit, up=True), None if bound is None else _root(bound * unit, up=False)
        marginal = unit * BASIS_POINTS**2 / (2 * found) if found > NEARLY else Fraction(0)
    if solution.uncured or least is None:
        return Reached(found, None, None, marginal)
    return Reached(found, least, found - least, marginal)


def _root(square: Fraction, *, up: bool) -> Fraction:
    """The root of a squared weight in basis points, to a millionth of one; 0 for what is below 0."""
    whole = max(0, ceil(square * ROOT_STEPS**2) if up else floor(square * ROOT_STEPS**2))
    root = isqrt(whole)
    return Fraction(root + (1 if up and root * root < whole else 0), ROOT_STEPS) * BASIS_POINTS
