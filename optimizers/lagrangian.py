"""The exact least value of a weighted sum of rows (and of the objective) over a box of holdings.

In: integer multipliers per row. Out: one integer. Guaranteed: exact over whole holdings, name by name over
the merged pieces, the same quantity that `engine/verify.py` computes for `infeasible` and `bound`.
Refused: nothing. Why a second implementation: this one searches (it is called many times, on arrays), the
verifier's is meant to be read. Before: `rowtable.py`. After: `bound.py`, `infeasible.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexorder.optimizers.functiontable import FunctionTable, Ints
from lexorder.optimizers.rowtable import RowTable

Kink = tuple[int, int, int, int]
"""A change of poly at a holding: `(at, d0, d1, d2)`."""


class WeightedSum:
    """A sum of piecewise quadratics per name; add parts, then ask for the least value over a box.

    Python integers throughout: multipliers are long.
    """

    def __init__(self, names: int) -> None:
        self.base = np.zeros((names, 3), dtype=object)
        self.kinks: dict[int, list[Kink]] = {}
        self.constant = 0

    def add_row(self, rows: RowTable, row: int, multiplier: int) -> None:
        """Add `multiplier * (row - limit)`, working orders at their worst."""
        table = rows.table
        first, last = np.searchsorted(table.row, [row, row + 1]).tolist()
        self.constant += multiplier * (int(rows.constant[row]) - int(rows.limit[row]))
        self.add_entries(table, first, last, multiplier)

    def add_entries(self, table: FunctionTable, first: int, last: int, multiplier: int) -> None:
        """Add `multiplier` times the entries `first..last-1`; no name twice among them."""
        names = table.name[first:last]
        self.base[names] += multiplier * table.base[first:last].astype(object)
        for kink in table.kinks:
            here = np.flatnonzero((kink.entry >= first) & (kink.entry < last))
            delta = (multiplier * kink.delta[here].astype(object)).tolist()
            places = zip(table.name[kink.entry[here]].tolist(), kink.at[here].tolist(), delta, strict=True)
            for name, at, (d0, d1, d2) in places:
                self.kinks.setdefault(name, []).append((at, d0, d1, d2))

    def add_slopes(self, slopes: NDArray[Any]) -> None:
        """Add a linear part: `slopes` (shape (N,)) per unit."""
        self.base[:, 1] += slopes

    def minimum(self, low: Ints, high: Ints) -> int:
        """Return the exact least value over whole holdings `low..high` (shape (N,), low <= high)."""
        total = self.constant
        for name, (poly, first, last) in enumerate(zip(self.base.tolist(), low.tolist(), high.tolist(), strict=True)):
            kinks = self.kinks.get(name)
            if kinks is None:
                total += _least(poly[0], poly[1], poly[2], first, last)
            else:
                total += _least_of_pieces(poly, kinks, first, last)
        return int(total)


def _least(a0: int, a1: int, a2: int, first: int, last: int) -> int:
    if a2 > 0:
        # A convex quadratic is least, over integers, at a neighbour of its real vertex.
        vertex = -a1 // (2 * a2)
        near = min(max(vertex, first), last)
        beside = min(max(vertex + 1, first), last)
        return min(a0 + (a1 + a2 * near) * near, a0 + (a1 + a2 * beside) * beside)
    return a0 + a1 * (first if a1 >= 0 else last)


def _least_of_pieces(poly: list[int], kinks: list[Kink], low: int, high: int) -> int:
    a0, a1, a2 = poly
    best: int | None = None
    first = low
    for at, d0, d1, d2 in sorted(kinks):
        if at > first:
            last = min(at - 1, high)
            if last >= first:
                value = _least(a0, a1, a2, first, last)
                best = value if best is None or value < best else best
            first = at
        a0, a1, a2 = a0 + d0, a1 + d1, a2 + d2
    if first <= high:
        value = _least(a0, a1, a2, first, high)
        best = value if best is None or value < best else best
    assert best is not None  # low <= high: at least one piece meets the box
    return best


def refutes(rows: RowTable, multipliers: Mapping[int, int], low: Ints, high: Ints) -> bool:
    """Return whether the weighted rows (multipliers >= 1) exceed their limits all over the box.

    If so, no whole holdings of `low..high` satisfy these rows together. Exact.
    """
    total = WeightedSum(len(rows.held))
    for row, multiplier in multipliers.items():
        total.add_row(rows, row, multiplier)
    return total.minimum(low, high) > 0
