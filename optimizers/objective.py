"""The objective, stated in integers: mean-variance with costs, or distance to target weights.

In: expected returns, a factor model, marks, NAV, costs (floats and integers). Out: the certificate's
`Objective`. Guaranteed: from here on the objective *is* its integers; solver arrays are derived from
them (`ObjectiveTable`), so what is optimised is what is certified. Each coefficient is rounded half to
even, at a scale that keeps six digits or more of a typical loading. Refused, by `ModelError`: shapes
that do not fit, values that are not finite, a negative cost or risk aversion, marks or NAV not above 0.
Before: `risk_models.py`, `signals.py`. After: `convex.py`, `bound.py`, `solve.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor, log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexorder.engine.certificate import Factor, Function, Objective, Problem
from lexorder.optimizers.functiontable import INT64_SAFE, FunctionTable, Ints, whole
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import FactorModel, Floats

LOADING_DIGITS = 6
"""A typical loading keeps at least this many digits after rounding."""

TRACKING_DIGITS = (9, 16)
"""Fewest and most decimal digits of a weight that is tracked; more would not fit a certificate's numbers."""

SQUARED = " of NAV squared"
"""Ends the unit of a squared distance."""


@dataclass(frozen=True, slots=True)
class Book:
    """What weights are made of: marks and NAV in one price unit, holdings in units; shape (N,)."""

    marks: Sequence[int]
    nav: int
    held: Sequence[int]

    def __post_init__(self) -> None:
        if self.nav <= 0 or min(self.marks, default=1) <= 0:
            raise ModelError("marks and NAV must be above 0")
        if len(self.marks) != len(self.held):
            raise ModelError("one mark is needed for each name")

    @property
    def unit_weights(self) -> Floats:
        """Share of NAV that one unit of each name is; shape (N,)."""
        return np.array([mark / self.nav for mark in self.marks], dtype=float)


def mean_variance(
    book: Book,
    expected: ArrayLike,
    model: FactorModel,
    *,
    risk_aversion: float,
    buy_cost: ArrayLike = 0.0,
    sell_cost: ArrayLike = 0.0,
    turnover_penalty: float = 0.0,
) -> Objective:
    """Return `-expected'w + risk_aversion/2 * w'Cov w + costs`, w the weights in NAV, as integers.

    `expected`: shape (N,), return of each name over the model's period. `buy_cost`, `sell_cost`:
    fraction of the traded value, one for all or shape (N,). `turnover_penalty`: the same, on both sides.
    Source: Markowitz (1952) with linear costs. Refused: see the module.
    """
    unit, count = book.unit_weights, len(book.marks)
    mu = _vector(expected, count, "expected returns")
    if model.loadings.shape[1] != count:
        raise ModelError(f"the risk model has {model.loadings.shape[1]} names, not {count}")
    half = _not_negative(risk_aversion, "risk aversion") / 2
    penalty = _not_negative(turnover_penalty, "turnover penalty")
    loadings = np.sqrt(half) * model.loadings * unit
    return _stated(
        book.held,
        slope=-mu * unit,
        curvature=half * model.idiosyncratic * unit**2,
        buy=(_costs(buy_cost, count) + penalty) * unit,
        sell=(_costs(sell_cost, count) + penalty) * unit,
        loadings=loadings,
        constants=np.zeros(len(loadings)),
    )


def track_weights(book: Book, target: Sequence[Fraction | float]) -> Objective:
    """Return the squared distance to `target` (shape (N,), weights in NAV), `sum (w - t)**2`, as integers.

    Each name gives the square of a whole number, `(a x - c)**2`, with `a` one unit's weight and `c` the target, both at
    one scale: so the value is a distance to the last digit, never below 0, and its root is one too. Refused: see the
    module. Why not tracking variance: it would buy one name in place of another that a rule keeps out.
    """
    count, exactly = len(book.marks), [_finite(weight) for weight in target]
    if len(exactly) != count:
        raise ModelError(f"target weights must be {count} finite numbers")
    units = [Fraction(mark, book.nav) for mark in book.marks]
    root = _tracking_digits(units)
    scaled = ((round(u * 10**root), round(t * 10**root)) for u, t in zip(units, exactly, strict=True))
    functions = tuple((n, Function((), ((c * c, -2 * a * c, a * a),))) for n, (a, c) in enumerate(scaled))
    return Objective(f"1e-{2 * root}{SQUARED}", functions, ())


def _finite(weight: Fraction | float) -> Fraction:
    """A weight, exact. Raises ModelError."""
    try:
        return Fraction(weight)
    except (OverflowError, ValueError):
        raise ModelError("target weights must be finite numbers") from None


def _tracking_digits(units: Sequence[Fraction]) -> int:
    """Decimal digits that leave `LOADING_DIGITS` and one more of a typical unit's weight, within what is sensible."""
    if not units:
        return TRACKING_DIGITS[0]
    typical = sorted(units)[len(units) // 2]
    least, most = TRACKING_DIGITS
    return min(max(LOADING_DIGITS + 1 - floor(log10(typical)), least), most)


def _vector(values: ArrayLike, count: int, what: str) -> Floats:
    vector = np.asarray(values, dtype=float)
    if vector.shape != (count,) or not np.isfinite(vector).all():
        raise ModelError(f"{what} must be {count} finite numbers")
    return vector


def _costs(values: ArrayLike, count: int) -> Floats:
    cost = np.broadcast_to(np.asarray(values, dtype=float), (count,))
    if not np.isfinite(cost).all() or (cost < 0).any():
        raise ModelError("costs must be finite and not negative")
    return cost


def _not_negative(value: float, what: str) -> float:
    if not (np.isfinite(value) and value >= 0):
        raise ModelError(f"{what} must be finite and not negative")
    return float(value)


def _stated(
    held: Sequence[int],
    *,
    slope: Floats,
    curvature: Floats,
    buy: Floats,
    sell: Floats,
    loadings: Floats,
    constants: Floats,
) -> Objective:
    """Round everything to integers at one scale, 10**(2*root) to 1; a factor's root gets 10**root."""
    root = _root_digits(slope, curvature, loadings)
    scale = 10.0 ** (2 * root)
    # `rint` rounds half to even; a float beyond 2**53 is whole already, so `int` loses nothing.
    a1, a2, up, down = (_rounded(v * scale) for v in (slope, curvature, buy, sell))
    functions = tuple(
        (n, _holding_function(h, *coefficients))
        for n, (h, *coefficients) in enumerate(zip(held, a1, a2, up, down, strict=True))
    )
    factors = tuple(
        Factor(1, _rounded(np.array([c]))[0], tuple(enumerate(_rounded(row))))
        for row, c in zip(loadings * 10.0**root, constants * 10.0**root, strict=True)
    )
    return Objective(f"1e-{2 * root} of NAV", functions, factors)


def _root_digits(slope: Floats, curvature: Floats, loadings: Floats) -> int:
    """Decimal digits that leave `LOADING_DIGITS` of a typical loading, and of slope and curvature."""
    needed = [6]
    for values, root in ((loadings, 1), (slope, 2), (curvature, 2)):
        sizes = np.abs(values[values != 0])
        if sizes.size:
            digits = LOADING_DIGITS - np.log10(np.median(sizes))
            needed.append(int(np.ceil(digits / root)))
    return min(max(needed), 20)


def _rounded(values: Floats) -> list[int]:
    return [int(v) for v in np.rint(values).tolist()]


def _holding_function(held: int, a1: int, a2: int, buy: int, sell: int) -> Function:
    if buy == 0 and sell == 0:
        return Function((), ((0, a1, a2),))
    below, above = (sell * held, a1 - sell, a2), (-buy * held, a1 + buy, a2)
    return Function((held,), (below, above))


class ObjectiveTable:
    """An exact `Objective` as arrays.

    `table`: its functions, all in row 0. `loadings`: shape (K, N), `constants`, `weights`: shape
    (K,), exact. `curved`: True where there is anything to minimise.
    """

    def __init__(self, problem: Problem, reach: Ints) -> None:
        objective = problem.objective or fewest_units(problem)
        self.objective = objective
        names = [n for n, _ in objective.functions]
        functions = [f for _, f in objective.functions]
        self.table = FunctionTable([0] * len(names), names, functions, reach)
        self.weights = whole([f.weight for f in objective.factors])
        self.constants = whole([f.constant for f in objective.factors])
        self.loadings = _dense(objective.factors, len(problem.names))
        self.reach = reach

    @cached_property
    def floats(self) -> NDArray[np.float64]:
        """Loadings as floats, shape (K, N); for solvers and greedy choices only."""
        return self.loadings.astype(float)

    @cached_property
    def _exposure_table(self) -> Ints:
        bound = np.abs(self.floats) @ (self.reach.astype(float) + 2)
        bound = bound + np.abs(self.constants.astype(float))
        small = object not in (self.reach.dtype, self.loadings.dtype)
        fits = small and (bound < INT64_SAFE).all()
        return self.loadings if fits else self.loadings.astype(object)

    def exposures(self, holdings: Ints) -> list[int]:
        """Return each factor's exact `constant + F x` at `holdings` (shape (N,)); K integers."""
        loadings = self._exposure_table
        sums = loadings @ holdings.astype(loadings.dtype)
        return [int(c) + int(s) for c, s in zip(self.constants, sums, strict=True)]

    def value(self, holdings: Ints) -> int:
        """Return the exact objective at `holdings` (shape (N,), units)."""
        separable = sum(int(v) for v in self.table.values(holdings).tolist())
        exposures = self.exposures(holdings)
        return separable + sum(int(w) * y * y for w, y in zip(self.weights, exposures, strict=True))


def _dense(factors: Sequence[Factor], names: int) -> Ints:
    rows: list[Any] = []
    for factor in factors:
        row = [0] * names
        for name, loading in factor.loadings:
            row[name] = loading
        rows.append(row)
    return whole(rows).reshape(len(factors), names)


def fewest_units(problem: Problem) -> Objective:
    """Return the objective used where a problem has none: units traded, relative to holdings.

    Each name's units count `1e6 / max(|held|, |lower|, |upper|, 1)`, rounded up, so that names with
    many units are not preferred.
    """
    functions = []
    for index, name in enumerate(problem.names):
        size = max(abs(name.held), abs(name.lower), abs(name.upper), 1)
        functions.append((index, Function.absolute(-(-(10**6) // size), name.held)))
    return Objective("1e-6 of each name's range", tuple(functions))
