"""The continuous relaxation of an exact problem, in the standard form of a conic solver.

    minimise  sum(quadratic * z**2) + linear'z    subject to  A z + s = b,  s in zero x nonnegative x cones

In: `RowTable`, `ObjectiveTable`, `Domain`. Out: a `ConicForm` and, once solved, a `Proposal` in units.
The variables z are the scaled holdings of the names that can move, one per factor exposure (factor form)
and one per hinge `max(0, x - kink)`; rows with the same kink of the same name share the hinge. Guaranteed:
a row is left out only when it is not convex, when it is folded into the bounds, or when it cannot be
broken within the bounds (shown exactly). Floats: this only proposes. Refused: nothing.
Before: `rowtable.py`, `objective.py`. After: `convex.py` solves, `bound.py` uses the duals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lexorder.optimizers.functiontable import FunctionTable, Ints
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.rowtable import Domain, RowTable

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the functions of a table look like between bounds; aligned with its entries.

    `poly`: shape (E, 3), floats, in force at the lower bound. `hinge_entry`, `kink`, `slope`: the hinges
    `slope * max(0, x - kink)` that follow. `convex`: shape (E,), whether the entry is their sum exactly.
    """

    poly: Floats
    hinge_entry: Indexes
    kink: Floats
    slope: Floats
    convex: NDArray[np.bool_]


def shape_of(table: FunctionTable, low: Ints, high: Ints) -> Shape:
    """Return the shape of all functions of `table` on `low..high` (shape (N,), units).

    Convexity is decided exactly on the integers; slopes and kinks are floats.
    """
    poly, above = table.active(low)
    convex = np.ones(len(table.row), dtype=bool)
    entries, kinks, slopes = [], [], []
    for beyond, kink in above:
        inside = beyond & (kink.at <= high[table.name[kink.entry]])
        entry, delta = kink.entry[inside], kink.delta[inside]
        d0, d1 = delta[:, 0], delta[:, 1]
        convex[entry] &= kink.convex[inside]
        bend = (d1 != 0).astype(bool)
        entries.append(entry[bend])
        kinks.append(-d0[bend].astype(float) / d1[bend].astype(float))
        slopes.append(d1[bend].astype(float))
    none = [np.zeros(0)]
    hinge_entry = np.concatenate(entries or none).astype(np.int64)
    return Shape(
        poly.astype(float), hinge_entry, np.concatenate(kinks or none),
        np.concatenate(slopes or none), convex,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """A continuous solution: where it stands and what each limit costs there.

    `holdings`: shape (N,), units, floats. `duals`: shape (R,), objective units per row unit, at
    least 0. `left_out`: indexes of wanted rows that are not convex and were not looked at.
    """

    holdings: Floats
    duals: Floats
    left_out: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConicForm:
    """See the module. `cones`: sizes of the second-order cones, after `zeros` and `nonnegatives`."""

    quadratic: Floats
    linear: Floats
    matrix: Any
    rhs: Floats
    zeros: int
    nonnegatives: int
    cones: tuple[int, ...]


class Relaxation:
    """Builds the form for the `wanted` rows at `limit` (both shape (R,)) and reads its solution."""

    def __init__(
        self,
        rows: RowTable,
        objective: ObjectiveTable,
        domain: Domain,
        limit: Ints,
        wanted: NDArray[np.bool_],
    ) -> None:
        self.rows, self.objective, self.domain = rows, objective, domain
        low, high = domain.low, domain.high
        self.free = np.flatnonzero((high > low).astype(bool))
        self.place = np.full(len(low), -1, dtype=np.int64)
        self.place[self.free] = np.arange(len(self.free))
        self.shape = shape_of(rows.table, low, high)
        self.goal = shape_of(objective.table, low, high)
        self.kept, self.left_out = self._choose_rows(limit, wanted)
        self.room = (limit - rows.constant).astype(float)
        self.unit = self._units()
        self._share_hinges()
        self.form = self._assemble()

    def _choose_rows(self, limit: Ints, wanted: NDArray[np.bool_]) -> tuple[Indexes, Indexes]:
        rows, domain = self.rows, self.domain
        can_break = (rows.worst(domain.low, domain.high) > limit).astype(bool)
        bent = np.zeros(rows.count, dtype=bool)
        bent[rows.table.row[~self.shape.convex]] = True
        needed = wanted & ~domain.folded & can_break
        return np.flatnonzero(needed & ~bent), np.flatnonzero(needed & bent)

    def _units(self) -> Floats:
        """Units of each free name in one unit of its variable: weights of the widest row, or range."""
        low, high = self.domain.low[self.free], self.domain.high[self.free]
        unit = (high - low).astype(float)
        table = self.rows.table
        usable = np.isin(table.row, self.kept) & (self.place[table.name] >= 0)
        usable &= self.shape.poly[:, 1] != 0
        if usable.any():
            widest = np.bincount(table.row[usable]).argmax()
            chosen = usable & (table.row == widest)
            at, slope = self.place[table.name[chosen]], np.abs(self.shape.poly[chosen, 1])
            unit[at] = (slope * unit[at]).max() / slope
        return unit

    def _share_hinges(self) -> None:
        """Number the hinges: one variable per (name, kink), wherever it is used."""
        table, goal = self.rows.table, self.objective.table
        used = np.isin(table.row[self.shape.hinge_entry], self.kept)
        self.row_hinges = np.flatnonzero(used)
        names = np.r_[table.name[self.shape.hinge_entry[used]], goal.name[self.goal.hinge_entry]].astype(np.int64)
        kinks = np.r_[self.shape.kink[used], self.goal.kink]
        pairs = np.column_stack([names.astype(float), kinks])
        distinct, number = np.unique(pairs, axis=0, return_inverse=True)
        self.hinge_name = self.place[distinct[:, 0].astype(np.int64)]
        self.hinge_kink = distinct[:, 1]
        self.row_hinge, self.goal_hinge = np.split(number.reshape(-1), [int(used.sum())])

    def _assemble(self) -> ConicForm:
        free, factors, hinges = len(self.free), len(self.objective.weights), len(self.hinge_kink)
        self.first_factor, self.first_hinge = free, free + factors
        self.width = free + factors + hinges
        quadratic, linear = self._goal_terms()
        parts = [self._exposures(), self._bounds(), self._hinges(), self._row_parts()]
        cones = [self._cone(int(r)) for r in self.kept[self.curved]]
        matrix = sparse.vstack([m for m, _ in (*parts, *cones)], format="csc")
        rhs = np.concatenate([b for _, b in (*parts, *cones)])
        nonnegatives = sum(len(b) for _, b in parts[1:])
        sizes = tuple(len(b) for _, b in cones)
        return ConicForm(quadratic, linear, matrix, rhs, factors, nonnegatives, sizes)

    def _goal_terms(self) -> tuple[Floats, Floats]:
        table, goal = self.objective.table, self.goal
        at = self.place[table.name]
        movable = at >= 0
        quadratic, linear = np.zeros(self.width), np.zeros(self.width)
        unit = self.unit[at[movable]]
        np.add.at(quadratic, at[movable], goal.poly[movable, 2] * unit**2)
        np.add.at(linear, at[movable], goal.poly[movable, 1] * unit)
        # A concave kink would make the program unbounded or non-convex; it is proposed without.
        hinge_unit = self.unit[self.hinge_name[self.goal_hinge]]
        bends = np.maximum(goal.slope, 0.0) * hinge_unit
        np.add.at(linear, self.first_hinge + self.goal_hinge, bends)
        loadings = self._unit_loadings()
        size = max(np.abs(linear).max(initial=0), np.abs(quadratic).max(initial=0))
        self.goal_scale = max(size, (loadings**2).max(initial=0.0)) or 1.0
        quadratic[self.first_factor : self.first_hinge] = self.goal_scale
        return quadratic / self.goal_scale, linear / self.goal_scale

    def _unit_loadings(self) -> Floats:
        weights = np.sqrt(self.objective.weights.astype(float))
        loadings: Floats = weights[:, None] * self.objective.floats[:, self.free] * self.unit
        return loadings

    def _exposures(self) -> tuple[Any, Floats]:
        factors = len(self.objective.weights)
        root = 1.0 / np.sqrt(self.goal_scale)
        still = np.where(self.place >= 0, 0, self.domain.low).astype(float)
        constants = self.objective.constants.astype(float) + self.objective.floats @ still
        weights = np.sqrt(self.objective.weights.astype(float))
        block = sparse.csc_array(-root * self._unit_loadings())
        rest = sparse.csc_array((factors, len(self.hinge_kink)))
        return sparse.hstack([block, sparse.eye_array(factors), rest]), root * weights * constants

    def _bounds(self) -> tuple[Any, Floats]:
        count = len(self.free)
        eye = sparse.eye_array(count, self.width)
        low = self.domain.low[self.free].astype(float) / self.unit
        high = self.domain.high[self.free].astype(float) / self.unit
        return sparse.vstack([eye, -eye]), np.r_[high, -low]

    def _hinges(self) -> tuple[Any, Floats]:
        count = len(self.hinge_kink)
        own = np.arange(count)
        hinge = self.first_hinge + own
        row = np.r_[own, own, count + own]
        column = np.r_[self.hinge_name, hinge, hinge]
        value = np.r_[np.ones(count), -np.ones(2 * count)]
        kink = self.hinge_kink / self.unit[self.hinge_name]
        matrix = sparse.csc_array((value, (row, column)), shape=(2 * count, self.width))
        return matrix, np.r_[kink, np.zeros(count)]

    def _row_parts(self) -> tuple[Any, Floats]:
        """The linear part of every kept row, scaled to a largest coefficient of 1."""
        table, count = self.rows.table, self.rows.count
        at = self.place[table.name]
        movable = at >= 0
        fixed = np.where(movable, self.shape.poly[:, 0], _fixed(self.rows, self.domain))
        rhs = self.room - np.bincount(table.row, weights=fixed, minlength=count)
        hinge_row = table.row[self.shape.hinge_entry[self.row_hinges]]
        row = np.r_[table.row[movable], hinge_row]
        column = np.r_[at[movable], self.first_hinge + self.row_hinge]
        hinge_unit = self.unit[self.hinge_name[self.row_hinge]]
        value = np.r_[
            self.shape.poly[movable, 1] * self.unit[at[movable]],
            self.shape.slope[self.row_hinges] * hinge_unit,
        ]
        size = np.zeros(count)
        np.maximum.at(size, row, np.abs(value))
        self.row_scale = np.where(size > 0, size, 1.0)
        bent = np.bincount(table.row, weights=(self.shape.poly[:, 2] > 0) & movable, minlength=count)
        self.curved = bent[self.kept] > 0
        matrix = sparse.csr_array((value / self.row_scale[row], (row, column)), shape=(count, self.width))
        self.row_matrix, self.row_rhs = matrix, rhs / self.row_scale
        straight = self.kept[~self.curved]
        return matrix[straight], self.row_rhs[straight]

    def _cone(self, row: int) -> tuple[Any, Floats]:
        """`sum q u**2 <= t` as `||(2 sqrt(q) u, 1 - t)|| <= 1 + t`, t the room the linear part leaves."""
        table = self.rows.table
        at = self.place[table.name]
        entry = np.flatnonzero((table.row == row) & (self.shape.poly[:, 2] > 0) & (at >= 0))
        q = self.shape.poly[entry, 2] * self.unit[at[entry]] ** 2 / self.row_scale[row]
        line, room = self.row_matrix[[row]], self.row_rhs[row]
        roots = sparse.csr_array((-2 * np.sqrt(q), (np.arange(len(q)), at[entry])), shape=(len(q), self.width))
        rhs = np.r_[1 + room, 1 - room, np.zeros(len(q))]
        return sparse.vstack([line, -line, roots]), rhs

    def read(self, z: Floats, duals: Floats) -> Proposal:
        """Return the proposal for a solution `z` with `duals` (aligned with the form's rows)."""
        holdings = self.domain.low.astype(float)
        holdings[self.free] = z[: len(self.free)] * self.unit
        low, high = self.domain.low.astype(float), self.domain.high.astype(float)
        form, count = self.form, len(self.free)
        bounds = duals[form.zeros : form.zeros + 2 * count].reshape(2, count)
        first = form.zeros + form.nonnegatives
        straight, price = self.kept[~self.curved], np.zeros(self.rows.count)
        price[straight] = duals[first - len(straight) : first]
        for row, size in zip(self.kept[self.curved].tolist(), form.cones, strict=True):
            price[row] = duals[first] - duals[first + 1]
            first += size
        price *= self.goal_scale / self.row_scale
        self._price_folded(price, np.maximum(bounds, 0.0))
        left_out = tuple(self.left_out.tolist())
        return Proposal(np.clip(holdings, low, high), np.maximum(price, 0.0), left_out)

    def _price_folded(self, price: Floats, bounds: Floats) -> None:
        """Hand the price of a bound to the row it was folded from, by that row's slope there."""
        domain = self.domain
        sides = ((0, domain.high_row, domain.high + 1), (1, domain.low_row, domain.low - 1))
        for side, source, outside in sides:
            from_row = np.flatnonzero(source[self.free] >= 0)
            names = self.free[from_row]
            slope = self._slopes(source[names], names, outside)
            cost = bounds[side, from_row] * self.goal_scale / self.unit[from_row]
            np.add.at(price, source[names], cost / slope)

    def _slopes(self, rows: Indexes, names: Indexes, outside: Ints) -> Floats:
        """How fast each folded row rises from its bound to the next unit, which breaks it."""
        table = self.rows.table
        inside = np.where(outside > self.domain.high, self.domain.high, self.domain.low)
        change = table.values(outside) - table.values(inside)
        # A folded row has one entry, so its first entry is the one.
        entry = np.searchsorted(table.row, rows)
        slopes: Floats = np.abs(change[entry].astype(float))
        return np.where((table.name[entry] == names) & (slopes > 0), slopes, np.inf)


def _fixed(rows: RowTable, domain: Domain) -> Floats:
    """Each entry's value with its name at its lower bound, as floats (exact before rounding)."""
    return rows.table.values(domain.low).astype(float)
