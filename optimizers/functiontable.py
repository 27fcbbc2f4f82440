"""Many piecewise functions as arrays: exact values, worst cases and shapes, one numpy pass each.

In: `Function`s of the certificate, each with the row it belongs to and the name it reads. Out: exact
integers per entry. Guaranteed: int64 is used only after the sum of the absolute values of all pieces,
over every holding that may be asked about, was shown to stay below 2**61; otherwise the arrays hold
Python integers (slower, as exact). Refused: nothing. Why: a loop over names times rows in Python costs
more than the solver itself. Before: `engine/certificate.py`. After: `rowtable.py`, `convex.py`, `lots.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Function

Ints = NDArray[Any]
"""Whole numbers: dtype int64 where shown to fit, Python integers (dtype object) otherwise."""

INT64_SAFE = float(2**61)
"""Row totals stay below this, so that a limit, a constant and a total can be added in int64."""

WHOLE_MAX = 2**60


def whole(values: Sequence[Any]) -> Ints:
    """Return `values` (nested integers) as int64, or as Python integers where one reaches 2**60."""
    try:
        result: Ints = np.array(values, dtype=np.int64)
    except OverflowError:
        return np.array(values, dtype=object)
    small = not result.size or (result.min() > -WHOLE_MAX and result.max() < WHOLE_MAX)
    return result if small else np.array(values, dtype=object)


def from_floats(values: NDArray[np.float64]) -> Ints:
    """Return whole-valued floats as integers, exactly; beyond 2**60 as Python integers."""
    if not values.size or np.abs(values).max() < WHOLE_MAX:
        return values.astype(np.int64)
    return np.array([int(v) for v in values.tolist()], dtype=object)


@dataclass(frozen=True, slots=True)
class Kinks:
    """The j-th break of every entry that has one: entry index, place, and the change of poly there.

    `at_value`, `before_value`: the entry's value at the break and one unit below it.
    """

    entry: NDArray[np.int64]
    at: Ints
    delta: Ints
    at_value: Ints
    before_value: Ints

    @property
    def convex(self) -> NDArray[np.bool_]:
        """Whether the lines on both sides meet here without a jump and bend upward; exact."""
        d0, d1, d2 = self.delta[:, 0], self.delta[:, 1], self.delta[:, 2]
        crosses = (d0 + d1 * self.at >= 0) & (d0 + d1 * (self.at - 1) <= 0)
        upward: NDArray[np.bool_] = ((d1 >= 0) & (d2 == 0) & crosses).astype(bool)
        return upward


class FunctionTable:
    """Entries `(row, name, function)`, sorted by row.

    `row`, `name`: shape (E,). `base`: shape (E, 3), the poly below the first break. `reach`: shape
    (N,), the greatest absolute holding of each name that will be asked about. `dtype`: int64 or object.
    `curved`: the entries that have a quadratic piece.
    """

    def __init__(
        self,
        row: Sequence[int],
        name: Sequence[int],
        functions: Sequence[Function],
        reach: Ints,
    ) -> None:
        self.functions = functions
        self.row = np.array(row, dtype=np.int64)
        self.name = np.array(name, dtype=np.int64)
        base = whole([f.polys[0] for f in functions]).reshape(len(functions), 3)
        raw = [_gather(functions, rank) for rank in range(_most_breaks(functions))]
        self.exact64 = self._fits(base, raw, reach)
        self.dtype: Any = np.int64 if self.exact64 else object
        self.base = base.astype(self.dtype)
        self.kinks: list[Kinks] = []
        self._add_kinks(raw)
        bent = self.base[:, 2] != 0
        for kink in self.kinks:
            bent[kink.entry] |= kink.delta[:, 2] != 0
        self.curved: list[int] = np.flatnonzero(bent.astype(bool)).tolist()

    def _fits(self, base: Ints, raw: list[tuple[Any, Ints, Ints]], reach: Ints) -> bool:
        if not len(self.row):
            return True
        far = reach[self.name].astype(float) + 2.0
        for entry, at, _ in raw:  # values at the breaks are taken too, however far out these are
            far[entry] = np.maximum(far[entry], np.abs(at.astype(float)) + 2.0)
        size = _magnitude(base, far)
        for entry, _, delta in raw:
            size[entry] += _magnitude(delta, far[entry])
        return bool(np.bincount(self.row, weights=size).max() < INT64_SAFE)

    def _add_kinks(self, raw: list[tuple[Any, Ints, Ints]]) -> None:
        # The values at a break depend on all earlier ranks only: later breaks lie further right.
        for entry, place, change in raw:
            at, delta = place.astype(self.dtype), change.astype(self.dtype)
            before = self._partial(entry, at - 1)
            here = self._partial(entry, at) + _poly(delta, at)
            self.kinks.append(Kinks(entry, at, delta, here, before))

    def _partial(self, entry: NDArray[np.int64], x: Ints) -> Ints:
        """Value of chosen entries at chosen holdings, with the ranks added so far."""
        value = _poly(self.base[entry], x)
        for kink in self.kinks:
            known = np.searchsorted(kink.entry, entry)
            known = np.minimum(known, len(kink.entry) - 1)
            on = (kink.entry[known] == entry) & (x >= kink.at[known])
            value = value + np.where(on, _poly(kink.delta[known], x), 0)
        return value

    def values(self, holdings: Ints) -> Ints:
        """Return each entry's exact value at `holdings` (shape (N,), units); shape (E,)."""
        x = holdings[self.name].astype(self.dtype)
        value = _poly(self.base, x)
        for kink in self.kinks:
            there = x[kink.entry]
            value[kink.entry] += np.where(there >= kink.at, _poly(kink.delta, there), 0)
        return value

    def maxima(self, low: Ints, high: Ints) -> Ints:
        """Return each entry's exact greatest value over `low..high` (shape (N,)); shape (E,).

        A piece is convex, so its greatest value is at one of its ends.
        """
        worst = np.maximum(self.values(low), self.values(high))
        for kink in self.kinks:
            names = self.name[kink.entry]
            inside = (low[names] < kink.at) & (kink.at <= high[names])
            ends = np.maximum(kink.at_value, kink.before_value)
            at = worst[kink.entry]
            worst[kink.entry] = np.where(inside, np.maximum(at, ends), at)
        return worst

    def minima(self, low: Ints, high: Ints) -> Ints:
        """Return each entry's exact least value over `low..high` (shape (N,)); shape (E,)."""
        best = np.minimum(self.values(low), self.values(high))
        for kink in self.kinks:
            names = self.name[kink.entry]
            inside = (low[names] < kink.at) & (kink.at <= high[names])
            ends = np.minimum(kink.at_value, kink.before_value)
            at = best[kink.entry]
            best[kink.entry] = np.where(inside, np.minimum(at, ends), at)
        for entry in self.curved:  # the vertex of a quadratic lies inside: ask those one by one
            name = self.name[entry]
            best[entry] = self.functions[entry].minimum(int(low[name]), int(high[name]))
        return best

    def sums(self, values: Ints, rows: int) -> Ints:
        """Return the sum of `values` (shape (E,)) per row; shape (rows,), exact."""
        total = np.zeros(rows, dtype=self.dtype)
        if len(self.row):
            starts = np.flatnonzero(np.r_[True, self.row[1:] != self.row[:-1]])
            total[self.row[starts]] = np.add.reduceat(values, starts)
        return total

    def active(self, low: Ints) -> tuple[Ints, list[tuple[Ints, Kinks]]]:
        """Return the poly in force at `low` (shape (E, 3)) and, per rank, where breaks lie above it.

        The masks are aligned with `kinks[j].entry`.
        """
        poly, above = self.base.copy(), []
        for kink in self.kinks:
            beyond = kink.at > low[self.name[kink.entry]]
            poly[kink.entry] += np.where(beyond[:, None], 0, kink.delta)
            above.append((beyond, kink))
        return poly, above


def _most_breaks(functions: Sequence[Function]) -> int:
    return max((len(f.breaks) for f in functions), default=0)


def _gather(functions: Sequence[Function], rank: int) -> tuple[NDArray[np.int64], Ints, Ints]:
    entry = [e for e, f in enumerate(functions) if len(f.breaks) > rank]
    chosen = [functions[e] for e in entry]
    after = np.array([f.polys[rank + 1] for f in chosen], dtype=object)
    before = np.array([f.polys[rank] for f in chosen], dtype=object)
    delta = whole((after - before).tolist())
    return np.array(entry, dtype=np.int64), whole([f.breaks[rank] for f in chosen]), delta


def _poly(poly: Ints, x: Ints) -> Ints:
    value: Ints = poly[:, 0] + (poly[:, 1] + poly[:, 2] * x) * x
    return value


def _magnitude(poly: Ints, far: NDArray[np.float64]) -> NDArray[np.float64]:
    a = np.abs(poly.astype(float))
    size: NDArray[np.float64] = a[:, 0] + (a[:, 1] + a[:, 2] * far) * far
    return size
