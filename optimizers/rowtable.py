"""The rows of a problem as arrays, with working orders already at their worst.

In: a `Problem`. Out: exact row totals, worst cases over boxes and the single-name rows folded into
bounds. Guaranteed: equal to `Problem.worst` for every row (tested), because the names that have a
working order are frozen and everything they and the working orders add is one constant per row.
Refused: nothing. Before: `functiontable.py`. After: `convex.py`, `lots.py`, `waves.py`, `infeasible.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Function, Problem
from lexorder.optimizers.functiontable import FunctionTable, Ints, whole


@dataclass(frozen=True, slots=True)
class Domain:
    """Bounds of each name after single-name rows were folded in; units, shape (N,).

    `low_row`, `high_row`: index of the row a bound comes from, or -1 for the name's own bound.
    `empty`: -1, or the index of a row that no holding of its name satisfies together with the
    name's bounds and its other single-name rows.
    `folded`: shape (R,), the rows that the bounds now express completely.
    """

    low: Ints
    high: Ints
    low_row: NDArray[np.int64]
    high_row: NDArray[np.int64]
    folded: NDArray[np.bool_]
    empty: int


class RowTable:
    """All rows of `problem`; names that have a working order count at their worst, as constants.

    `limit`, `constant`: shape (R,), Python integers or int64. `asserted`, `passive`: shape (R,).
    `held`, `lower`, `upper`: shape (N,), units.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # One array, so that all three have one type: holdings move between them.
        ends = [[n.held, n.lower, n.upper] for n in problem.names]
        self.held, self.lower, self.upper = whole(ends).reshape(-1, 3).T.copy()
        rows = problem.rows
        frozen = problem.frozen
        pairs = [(r, n, f) for r, row in enumerate(rows) for n, f in row.functions if n not in frozen]
        reach = np.maximum(np.maximum(abs(self.lower), abs(self.upper)), abs(self.held))
        self.reach: Ints = reach
        row, name, functions = zip(*pairs, strict=True) if pairs else ((), (), ())
        self.table = FunctionTable(row, name, functions, reach)
        self.constant = whole([self._constant(r, frozen) for r in range(len(rows))])
        self.limit = whole([row.limit for row in rows])
        self.asserted = np.array([row.asserted for row in rows], dtype=bool)
        self.passive = np.array([row.passive for row in rows], dtype=bool)

    def _constant(self, r: int, frozen: frozenset[int]) -> int:
        row = self.problem.rows[r]
        if not frozen and not row.working:
            return 0
        box = self.resting
        still = sum(f.maximum(*box[n]) for n, f in row.functions if n in frozen)
        orders = self.problem.working
        return still + sum(max(0, c * orders[k].quantity) for k, c in row.working)

    @cached_property
    def resting(self) -> list[tuple[int, int]]:
        """The reachable interval of each name while only the working orders may fill (units)."""
        return self.problem.box([n.held for n in self.problem.names])

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.problem.rows)

    def totals(self, holdings: Ints) -> Ints:
        """Return each row's exact value at `holdings`, working orders at their worst; shape (R,)."""
        return self.constant + self.table.sums(self.table.values(holdings), self.count)

    def worst(self, low: Ints, high: Ints) -> Ints:
        """Return each row's exact worst value while each name stands in `low..high`; shape (R,)."""
        return self.constant + self.table.sums(self.table.maxima(low, high), self.count)

    @cached_property
    def start(self) -> Ints:
        """Each row's worst value before any wave; shape (R,)."""
        return self.totals(self.held)

    @cached_property
    def tolerated(self) -> Ints:
        """Each row's limit, or its value at the start where a passive breach may remain; (R,)."""
        return np.where(self.passive, np.maximum(self.limit, self.start), self.limit)

    def entries_of(self, row: int) -> list[tuple[int, Function]]:
        """Return `(name, function)` of the row without frozen names."""
        frozen = self.problem.frozen
        return [(n, f) for n, f in self.problem.rows[row].functions if n not in frozen]

    def domain(self, limit: Ints, wanted: NDArray[np.bool_], box: tuple[Ints, Ints] | None = None) -> Domain:
        """Return the bounds with every `wanted` single-name row folded in, exactly.

        `limit`: shape (R,). `box`: bounds to start from (shape (N,) each), the names' own by
        default. A row whose holdings form no interval stays outside (`folded` False).
        """
        return _Folding(self, limit, wanted, box or (self.lower, self.upper)).result()


class _Folding:
    """Folds rows with one name into bounds, linear ones by arrays and the rest one by one."""

    def __init__(self, rows: RowTable, limit: Ints, wanted: NDArray[np.bool_], box: tuple[Ints, Ints]) -> None:
        self.rows, self.limit = rows, limit
        table = rows.table
        alone = np.bincount(table.row, minlength=rows.count)[table.row] == 1
        self.entry = np.flatnonzero(alone & wanted[table.row])
        self.low, self.high = box[0].copy(), box[1].copy()
        self.low_row = np.full(len(rows.held), -1, dtype=np.int64)
        self.high_row = np.full(len(rows.held), -1, dtype=np.int64)
        self.folded = np.zeros(rows.count, dtype=bool)
        self.empty = -1

    def result(self) -> Domain:
        table = self.rows.table
        curved = table.base[:, 2] != 0
        for kink in table.kinks:
            curved[kink.entry] = True
        for e in self.entry[curved[self.entry]].tolist():
            self._fold(e)
        self._fold_linear(self.entry[~curved[self.entry]])
        return Domain(self.low, self.high, self.low_row, self.high_row, self.folded, self.empty)

    def _fold(self, e: int) -> None:
        table = self.rows.table
        row, name = int(table.row[e]), int(table.name[e])
        room = int(self.limit[row]) - int(self.rows.constant[row])
        box = int(self.low[name]), int(self.high[name])
        if box[0] > box[1]:
            return
        found = interval_within(table.functions[e], *box, room)
        if found is None:
            return
        self._tighten(row, name, *found)
        self.folded[row] = True

    def _tighten(self, row: int, name: int, low: int, high: int) -> None:
        if low > self.low[name]:
            self.low[name], self.low_row[name] = low, row
        if high < self.high[name]:
            self.high[name], self.high_row[name] = high, row
        if self.low[name] > self.high[name]:
            self.empty = row

    def _fold_linear(self, entry: NDArray[np.int64]) -> None:
        table = self.rows.table
        rows, names = table.row[entry], table.name[entry]
        room = self.limit[rows] - self.rows.constant[rows] - table.base[entry, 0]
        slope = table.base[entry, 1]
        # Whole units: round a ceiling down and a floor up, both by floor division.
        sign = slope != 0
        edge = np.where(sign, room // np.where(sign, slope, 1), 0)
        edge_up = np.where(sign, -((-room) // np.where(sign, slope, 1)), 0)
        self.folded[rows] = True
        self._cap(rows, names, edge, slope > 0)
        self._floor(rows, names, edge_up, slope < 0)
        never = rows[(slope == 0) & (room < 0)]
        clash = np.flatnonzero(self.low[names] > self.high[names])
        self.empty = int(never[0]) if len(never) else self.empty
        if len(clash):
            name = int(names[clash[0]])
            self.empty = int(max(self.high_row[name], self.low_row[name]))

    def _cap(self, rows: NDArray[np.int64], names: NDArray[np.int64], edge: Ints, on: NDArray[np.bool_]) -> None:
        order = np.argsort(-edge[on], kind="stable")  # the tightest is written last and stays
        r, n, v = rows[on][order], names[on][order], edge[on][order]
        v = np.maximum(v, self.low[n] - 1)  # far below is as empty as just below, and fits the type of the bounds
        tighter = v < self.high[n]
        self.high[n[tighter]] = v[tighter]
        self.high_row[n[tighter]] = r[tighter]

    def _floor(self, rows: NDArray[np.int64], names: NDArray[np.int64], edge: Ints, on: NDArray[np.bool_]) -> None:
        order = np.argsort(edge[on], kind="stable")
        r, n, v = rows[on][order], names[on][order], edge[on][order]
        v = np.minimum(v, self.high[n] + 1)
        tighter = v > self.low[n]
        self.low[n[tighter]] = v[tighter]
        self.low_row[n[tighter]] = r[tighter]


def interval_within(function: Function, low: int, high: int, room: int) -> tuple[int, int] | None:
    """Return the least and greatest `x` of `low..high` with `function(x) <= room`.

    None where these holdings are not one interval; `(high + 1, low - 1)`, an empty interval, where
    there are none. Exact; needs `low <= high`.
    """
    found: list[tuple[int, int]] = []
    for first, last, poly in function.pieces(low, high):
        part = _piece_within(poly, first, last, room)
        if part is None:
            continue
        if found and found[-1][1] + 1 == part[0]:
            found[-1] = (found[-1][0], part[1])
        else:
            found.append(part)
    if len(found) > 1:
        return None
    return found[0] if found else (high + 1, low - 1)


def _piece_within(poly: tuple[int, int, int], first: int, last: int, room: int) -> tuple[int, int] | None:
    piece = Function((), (poly,))
    bottom = piece.argmin(first, last)
    if piece.value(bottom) > room:
        return None
    return _edge(piece, bottom, first, room), _edge(piece, bottom, last, room)


def _edge(piece: Function, inside: int, outside: int, room: int) -> int:
    """The holding nearest `outside` that is still within room; bisection on a convex piece."""
    if piece.value(outside) <= room:
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if piece.value(middle) <= room:
            inside = middle
        else:
            outside = middle
    return inside
