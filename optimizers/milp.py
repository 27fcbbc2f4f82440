"""Rows, thresholds and clauses as a mixed-integer linear program for HiGHS.

In: a `RowTable`, bounds, the wanted rows and clauses. Out: whole-unit proposals, or duals of the linear
relaxation. Guaranteed: the model states every wanted row, up to float rounding: hinges for convex
functions, one binary per piece for the others, tangents for quadratics, one binary per alternative for
clauses. Nothing is decided here: the caller checks proposals in exact integers. Refused, by
`ProposalError`: any status but optimal. Before: `rowtable.py`, `conic.py` (shapes), `highs.py`.
After: `lots.py`, `infeasible.py`, `prove.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Function
from lexorder.optimizers.conic import shape_of
from lexorder.optimizers.functiontable import Ints, from_floats
from lexorder.optimizers.highs import Answer, Floats, Indexes, LinearProgram
from lexorder.optimizers.rowtable import RowTable

TANGENTS = 9
"""Tangents of a quadratic piece in the first model; more are added where they are needed."""


class Pieces(NamedTuple):
    """How one name with non-convex functions is cut: ends of each piece, its binary and its share."""

    cuts: tuple[int, ...]
    binary: Indexes
    part: Indexes


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked: bounds (shape (N,), units), limits and wanted rows (shape (R,)), clauses."""

    low: Ints
    high: Ints
    limit: Ints
    wanted: NDArray[np.bool_]
    clauses: tuple[int, ...] = ()


class RowProgram:
    """The linear program of `scope`; add a goal, then `solve`.

    `whole`: whether holdings are integers (False: the linear relaxation, without clauses).
    `near`: shape (N,), units, a further place for tangents.
    """

    def __init__(self, rows: RowTable, scope: Scope, *, whole: bool, near: Floats | None = None) -> None:
        self.rows, self.scope, self.whole = rows, scope, whole
        self.near = near
        self.program = LinearProgram()
        self.x = self.program.columns(scope.low.astype(float), scope.high.astype(float), integer=whole)
        self.row: list[Indexes] = []
        self.column: list[Indexes] = []
        self.value: list[Floats] = []
        self.needed = self._needed()
        self._fill()
        self._merge()

    def _needed(self) -> NDArray[np.bool_]:
        needed = self.scope.wanted.copy()
        for clause in self.scope.clauses:
            for alternative in self.rows.problem.clauses[clause].alternatives:
                needed[list(alternative)] = True
        return needed

    def _fill(self) -> None:
        table, scope = self.rows.table, self.scope
        shape = shape_of(table, scope.low, scope.high)
        used = self.needed[table.row]
        smooth = used & shape.convex
        self.constant = self.rows.constant.astype(float)
        np.add.at(self.constant, table.row[smooth], shape.poly[smooth, 0])
        self._add(table.row[smooth], self.x[table.name[smooth]], shape.poly[smooth, 1])
        hinge = smooth[shape.hinge_entry]
        self._hinges(shape.hinge_entry[hinge], shape.kink[hinge], shape.slope[hinge])
        for entry in np.flatnonzero(smooth & (shape.poly[:, 2] > 0)).tolist():
            self._quadratic(entry, float(shape.poly[entry, 2]))
        self._jumps(np.flatnonzero(used & ~shape.convex).tolist())

    def _add(self, row: Indexes, column: Indexes, value: Floats) -> None:
        self.row.append(np.atleast_1d(row))
        self.column.append(np.atleast_1d(column))
        self.value.append(np.atleast_1d(np.asarray(value, dtype=float)))

    def _hinges(self, entry: Indexes, kink: Floats, slope: Floats) -> None:
        if not len(entry):
            return
        table = self.rows.table
        names = table.name[entry]
        pairs = np.column_stack([names.astype(float), kink])
        distinct, number = np.unique(pairs, axis=0, return_inverse=True)
        count = len(distinct)
        hinge = self.program.columns(np.zeros(count), np.inf)
        own = np.arange(count)
        name = self.x[distinct[:, 0].astype(np.int64)]
        cells = (np.r_[own, own], np.r_[name, hinge], np.r_[np.ones(count), -np.ones(count)])
        self.program.rows(cells, -np.inf, distinct[:, 1])
        self._add(table.row[entry], hinge[number.reshape(-1)], slope)

    def _tangent_points(self, name: int, first: int, last: int) -> list[int]:
        points = {first + (last - first) * k // (TANGENTS - 1) for k in range(TANGENTS)}
        if self.near is not None:
            middle = int(np.floor(self.near[name]))
            points |= {min(max(p, first), last) for p in (middle, middle + 1)}
        return sorted(points)

    def _quadratic(self, entry: int, curvature: float) -> None:
        """`curvature * x**2` as a column above its tangents."""
        table = self.rows.table
        name = int(table.name[entry])
        points = self._tangent_points(name, int(self.scope.low[name]), int(self.scope.high[name]))
        (column,) = self.program.columns(0.0, np.inf)
        at = np.array(points, dtype=float)
        own = np.arange(len(at))
        # x**2 >= 2 p x - p**2; the column is x**2 divided by the range to keep numbers small.
        size = max(abs(at[0]), abs(at[-1]), 1.0)
        cells = (
            np.r_[own, own],
            np.r_[np.full(len(at), self.x[name]), np.full(len(at), column)],
            np.r_[2 * at / size, -np.ones(len(at))],
        )
        self.program.rows(cells, -np.inf, at**2 / size)
        self._add(table.row[entry], column, np.array([curvature * size]))

    def _jumps(self, entries: list[int]) -> None:
        """Non-convex functions: cut each name once, at all their breaks."""
        table = self.rows.table
        by_name: dict[int, list[int]] = defaultdict(list)
        for entry in entries:
            by_name[int(table.name[entry])].append(entry)
        for name, own in by_name.items():
            pieces = self._cut(name, [table.functions[e] for e in own])
            for entry in own:
                self._choose(int(table.row[entry]), table.functions[entry], name, pieces)

    def _cut(self, name: int, functions: list[Function]) -> Pieces:
        low, high = int(self.scope.low[name]), int(self.scope.high[name])
        inner = sorted({b for f in functions for b in f.breaks if low < b <= high})
        cuts = (low, *inner, high + 1)
        count = len(cuts) - 1
        binary = self.program.columns(np.zeros(count), 1.0, integer=self.whole)
        part = self.program.columns(np.full(count, -np.inf), np.inf)
        own = np.arange(count)
        first = np.array(cuts[:-1], dtype=float)
        last = np.array(cuts[1:], dtype=float) - 1
        cells = (np.r_[own, own], np.r_[part, binary], np.r_[-np.ones(count), first])
        self.program.rows(cells, -np.inf, np.zeros(count))
        cells = (np.r_[own, own], np.r_[part, binary], np.r_[np.ones(count), -last])
        self.program.rows(cells, -np.inf, np.zeros(count))
        self.program.rows((np.zeros(count, dtype=int), binary, np.ones(count)), 1.0, [1.0])
        cells = (np.zeros(count + 1, dtype=int), np.r_[part, self.x[name]], np.r_[np.ones(count), -1.0])
        self.program.rows(cells, 0.0, [0.0])
        return Pieces(cuts, binary, part)

    def _choose(self, row: int, function: Function, name: int, pieces: Pieces) -> None:
        polys = [function.poly(first) for first in pieces.cuts[:-1]]
        flat = all(a2 == 0 for _, _, a2 in polys)
        if flat:
            lines = np.array([[a0, a1] for a0, a1, _ in polys], dtype=float)
            self._add(np.full(len(polys), row), pieces.binary, lines[:, 0])
            self._add(np.full(len(polys), row), pieces.part, lines[:, 1])
            return
        self._choose_curved(row, polys, name, pieces)

    def _choose_curved(self, row: int, polys: list[tuple[int, int, int]], name: int, pieces: Pieces) -> None:
        """A column above one tangent of each piece at a time; only the chosen piece counts."""
        ends = list(pairwise(pieces.cuts))
        tangents = [
            [_tangent(poly, p) for p in self._tangent_points(name, first, after - 1)]
            for poly, (first, after) in zip(polys, ends, strict=True)
        ]
        (column,) = self.program.columns(-np.inf, np.inf)
        size = max(abs(v) for lines in tangents for line in lines for v in line) or 1.0
        count = max(len(lines) for lines in tangents)
        for k in range(count):
            lines = np.array([part[min(k, len(part) - 1)] for part in tangents], dtype=float) / size
            columns = np.r_[pieces.binary, pieces.part, column]
            values = np.r_[lines[:, 0], lines[:, 1], -1.0]
            self.program.rows((np.zeros(len(columns), dtype=int), columns, values), -np.inf, [0.0])
        self._add(np.array([row]), np.array([column]), np.array([float(size)]))

    def _merge(self) -> None:
        """State the rows: asserted ones as they are, clause rows switched by their binaries."""
        row = np.concatenate(self.row).astype(np.int64)
        self.cells = (row, np.concatenate(self.column).astype(np.int64), np.concatenate(self.value))
        scale = np.zeros(self.rows.count)
        np.maximum.at(scale, row, np.abs(self.cells[2]))
        self.scale = np.where(scale > 0, scale, 1.0)
        self.room = (self.scope.limit.astype(float) - self.constant) / self.scale

    def _scaled(self, chosen: Indexes) -> tuple[Indexes, Indexes, Floats]:
        place = np.full(self.rows.count, -1)
        place[chosen] = np.arange(len(chosen))
        row, column, value = self.cells
        on = place[row] >= 0
        return place[row[on]], column[on], value[on] / self.scale[row[on]]

    def assert_rows(self, *, slack: int | None = None, without: int | None = None) -> Indexes:
        """Add the wanted rows (less `without`) at their limits; return their indexes.

        `slack`: a column that, times each row's scale, eases every one of them. The returned indexes
        are those of the program, aligned with the wanted rows in order.
        """
        wanted = self.scope.wanted.copy()
        if without is not None:
            wanted[without] = False
        chosen = np.flatnonzero(wanted)
        row, column, value = self._scaled(chosen)
        if slack is not None:
            row = np.r_[row, np.arange(len(chosen))]
            column = np.r_[column, np.full(len(chosen), slack)]
            value = np.r_[value, -np.ones(len(chosen))]
        return self.program.rows((row, column, value), -np.inf, self.room[chosen])

    def assert_clauses(self) -> None:
        """Add one binary per alternative, at least one of them on, each switching its rows on."""
        most = self.rows.worst(self.scope.low, self.scope.high)
        excess = (most - self.scope.limit).astype(float) / self.scale
        for clause in self.scope.clauses:
            alternatives = self.rows.problem.clauses[clause].alternatives
            count = len(alternatives)
            binary = self.program.columns(np.zeros(count), 1.0, integer=True)
            self.program.rows((np.zeros(count, dtype=int), binary, np.ones(count)), 1.0, [np.inf])
            for switch, alternative in zip(binary.tolist(), alternatives, strict=True):
                self._switched(np.array(alternative), switch, excess)

    def _switched(self, chosen: Indexes, switch: int, excess: Floats) -> None:
        row, column, value = self._scaled(chosen)
        freed = np.maximum(excess[chosen], 0.0)  # what a row may exceed its limit by at most
        row = np.r_[row, np.arange(len(chosen))]
        column = np.r_[column, np.full(len(chosen), switch)]
        value = np.r_[value, freed]
        self.program.rows((row, column, value), -np.inf, self.room[chosen] + freed)

    def aim_near(self, target: Floats, price: Floats) -> None:
        """Minimise `sum price * |x - target|` (shape (N,), per unit and units)."""
        count = len(target)
        up = self.program.columns(np.zeros(count), np.inf, cost=price)
        down = self.program.columns(np.zeros(count), np.inf, cost=price)
        own = np.arange(count)
        cells = (np.tile(own, 3), np.r_[self.x, up, down], np.repeat([1.0, -1.0, 1.0], count))
        self.program.rows(cells, target, target)

    def aim_row(self, row: int) -> None:
        """Minimise the value of `row`, in its scale."""
        (column,) = self.program.columns(-np.inf, np.inf, cost=1.0)
        _, columns, values = self._scaled(np.array([row]))
        cells = (np.zeros(len(columns) + 1, dtype=int), np.r_[columns, column], np.r_[values, -1.0])
        self.program.rows(cells, -np.inf, [0.0])

    def solve(self, *, seconds: float, gap: float = 1e-4, incumbent: bool = False) -> Answer:
        """Return HiGHS's optimum (`incumbent`: or its best point in time); refused: as `highs.py`."""
        return self.program.solve(seconds=seconds, gap=gap, incumbent=incumbent)

    def holdings(self, answer: Answer) -> Ints:
        """Return the nearest whole holdings within the bounds, shape (N,), units."""
        nearest = from_floats(np.rint(answer.values[self.x]))
        inside: Ints = np.clip(nearest.astype(self.scope.low.dtype), self.scope.low, self.scope.high)
        return inside


def _tangent(poly: tuple[int, int, int], at: int) -> tuple[int, int]:
    a0, a1, a2 = poly
    return a0 - a2 * at * at, a1 + 2 * a2 * at
