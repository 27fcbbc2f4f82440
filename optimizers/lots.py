"""From a continuous proposal to whole units that meet every row exactly.

In: holdings as floats. Out: integer holdings, or None where this file found none (which proves nothing).
Guaranteed: what is returned satisfies every wanted row and clause in exact integers, within the bounds.
Steps: round toward the current holding (no trade grows), repair row by row, polish by single units along
the objective's gradient, and where repair fails ask HiGHS for the nearest whole holdings. Refused:
nothing; a solver's failure counts as "found none". Before: `convex.py`, `milp.py`. After: `solve.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Function
from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.milp import RowProgram, Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable

Floats = NDArray[np.float64]

SNAP = 1e-6
"""A proposal this near to a whole unit means that unit; solvers end within 1e-8 of their answer."""

REPAIR_ROUNDS = 40
POLISH_PASSES = 4
MILP_ROUNDS = 4


class Column(NamedTuple):
    """One row a name is in: its slope per unit (None where it bends) and its function."""

    row: int
    slope: int | None
    function: Function


def accepts(rows: RowTable, scope: Scope, holdings: Ints) -> bool:
    """Return whether whole `holdings` (shape (N,)) meet the wanted rows and clauses, exactly."""
    inside = bool(((scope.low <= holdings) & (holdings <= scope.high)).all())
    within = (rows.totals(holdings) <= scope.limit).astype(bool)
    kept = bool(within[scope.wanted].all())
    clauses = (rows.problem.clauses[c].alternatives for c in scope.clauses)
    return inside and kept and all(any(within[list(a)].all() for a in alts) for alts in clauses)


def round_toward(proposal: Floats, held: Ints, scope: Scope) -> Ints:
    """Return whole holdings between `held` and `proposal` (shape (N,), units), within bounds."""
    start = np.clip(held, scope.low, scope.high)
    move = proposal - start.astype(float)
    whole = np.trunc(move + np.sign(move) * SNAP).astype(np.int64)
    rounded: Ints = np.clip(start + whole, scope.low, scope.high)
    return rounded


class Bench:
    """Holdings being worked on, with the slack of every row kept exact after each move."""

    def __init__(self, rows: RowTable, objective: ObjectiveTable, scope: Scope, holdings: Ints) -> None:
        self.rows, self.objective, self.scope = rows, objective, scope
        can_break = (rows.worst(scope.low, scope.high) > scope.limit).astype(bool)
        self.watched = scope.wanted & can_break
        self.columns: dict[int, list[Column]] = {}
        table = rows.table
        self.entries = np.flatnonzero(self.watched[table.row])
        self.by_name = self.entries[np.argsort(table.name[self.entries], kind="stable")]
        self.first = np.searchsorted(table.name[self.by_name], np.arange(len(rows.held) + 1))
        self.low, self.high = scope.low.tolist(), scope.high.tolist()
        self.weights = objective.weights.astype(float)
        self.loadings = objective.floats
        self.own = self.weights @ self.loadings**2
        self.place(holdings)

    def place(self, holdings: Ints) -> None:
        """Start again from `holdings` (shape (N,), units)."""
        self.x: list[int] = holdings.tolist()
        self.slack: list[int] = (self.scope.limit - self.rows.totals(holdings)).tolist()
        self.exposure = np.array(self.objective.exposures(holdings), dtype=float)

    @property
    def holdings(self) -> Ints:
        """The present holdings, shape (N,), units."""
        return np.array(self.x, dtype=self.rows.held.dtype)

    def broken(self) -> list[int]:
        """Return the watched rows that exceed their limit now."""
        return [r for r in np.flatnonzero(self.watched).tolist() if self.slack[r] < 0]

    def column(self, name: int) -> list[Column]:
        """Return the watched rows `name` is in."""
        if name not in self.columns:
            table = self.rows.table
            own = self.by_name[self.first[name] : self.first[name + 1]].tolist()
            self.columns[name] = [_column(int(table.row[e]), table.functions[e]) for e in own]
        return self.columns[name]

    def changes(self, name: int, step: int) -> list[tuple[int, int]]:
        """Return `(row, change)` for each watched row if `name` moved by `step` units, exact."""
        x = self.x[name]
        return [
            (c.row, c.slope * step if c.slope is not None else c.function.value(x + step) - c.function.value(x))
            for c in self.column(name)
        ]

    def may_move(self, name: int, step: int, changes: list[tuple[int, int]]) -> bool:
        """Return whether the move stays in bounds and breaks no row (nor a broken one further)."""
        if not self.low[name] <= self.x[name] + step <= self.high[name]:
            return False
        return all(change <= 0 or change <= self.slack[row] for row, change in changes)

    def move(self, name: int, step: int, changes: list[tuple[int, int]]) -> None:
        """Move `name` by `step` units."""
        self.x[name] += step
        for row, change in changes:
            self.slack[row] -= change
        self.exposure += self.loadings[:, name] * step

    def gains(self) -> tuple[Floats, Floats]:
        """Return the change of the objective's separable part for one unit down and up; (N,)."""
        table, here = self.objective.table, self.holdings
        value = table.values(here)
        both: list[Floats] = []
        for step in (-1, 1):
            change = (table.values(here + step) - value).astype(float)
            both.append(np.bincount(table.name, weights=change, minlength=len(self.x)).astype(float))
        return both[0], both[1]

    def slope(self) -> Floats:
        """Return the gradient of the factor part, per unit; shape (N,)."""
        gradient: Floats = 2.0 * (self.weights * self.exposure) @ self.loadings
        return gradient

    def slope_of(self, name: int) -> float:
        """Return one entry of `slope`."""
        return 2.0 * float((self.weights * self.exposure) @ self.loadings[:, name])


def _column(row: int, function: Function) -> Column:
    linear = not function.breaks and function.polys[0][2] == 0
    return Column(row, function.polys[0][1] if linear else None, function)


def repair(bench: Bench) -> bool:
    """Move single units until no watched row is broken; return whether that succeeded."""
    for _ in range(REPAIR_ROUNDS):
        broken = bench.broken()
        if not broken:
            return True
        moves = sum(_repair_row(bench, row) for row in broken)  # every row gets its turn
        if not moves:
            return False
    return not bench.broken()


def _repair_row(bench: Bench, row: int) -> bool:
    """Ease one broken row by the units that cost the objective least; return whether any moved."""
    down, up = bench.gains()
    slope = bench.slope()
    table = bench.rows.table
    candidates = []
    for name in table.name[table.row == row].tolist():
        for step, change in ((-1, down[name] - slope[name]), (1, up[name] + slope[name])):
            eased = -dict(bench.changes(name, step)).get(row, 0)
            if eased > 0:
                candidates.append(((change + bench.own[name]) / eased, name, step))
    moved = False
    for _, name, step in sorted(candidates):
        if bench.slack[row] >= 0:
            break
        changes = bench.changes(name, step)
        if bench.may_move(name, step, changes):
            bench.move(name, step, changes)
            moved = True
    return moved


def polish(bench: Bench) -> None:
    """Take single-unit moves that improve the objective and keep every watched row, best first."""
    for _ in range(POLISH_PASSES):
        down, up = bench.gains()
        slope = bench.slope()
        one = np.r_[down - slope + bench.own, up + slope + bench.own]
        worth = np.flatnonzero(one < 0)
        order = worth[np.argsort(one[worth], kind="stable")].tolist()
        if not _polish_pass(bench, order, np.r_[down, up]):
            return


def _polish_pass(bench: Bench, order: list[int], separable: Floats) -> bool:
    count, moved = len(bench.x), False
    for index in order:
        name, step = index % count, -1 if index < count else 1
        changes = bench.changes(name, step)
        if not bench.may_move(name, step, changes):
            continue
        # Earlier moves changed the exposures: ask again before moving.
        if separable[index] + step * bench.slope_of(name) + bench.own[name] < 0:
            bench.move(name, step, changes)
            moved = True
    return moved


def whole_units(
    rows: RowTable, objective: ObjectiveTable, scope: Scope, proposal: Floats, *, seconds: float
) -> Ints | None:
    """Return accepted whole holdings near `proposal` (shape (N,), units), or None if none was found.

    `seconds`: for each HiGHS call, which is made only where repair fails. Clauses are not looked at
    by repair; a result that misses one is given to HiGHS as well.
    """
    bench = Bench(rows, objective, scope, round_toward(proposal, rows.held, scope))
    if not repair(bench) or not accepts(rows, scope, bench.holdings):
        nearest = nearest_whole(rows, scope, proposal, seconds=seconds)
        if nearest is None:
            return None
        bench.place(nearest)
    before = bench.holdings
    polish(bench)
    after = bench.holdings
    return after if accepts(rows, scope, after) else before


def nearest_whole(rows: RowTable, scope: Scope, proposal: Floats, *, seconds: float, gap: float = 0.02) -> Ints | None:
    """Return accepted holdings with (nearly) the least sum of distances, in ranges; None if not found.

    HiGHS may miss a limit by its tolerance: the row is then asked for with that much more room, a
    few times.
    """
    span = np.maximum((scope.high - scope.low).astype(float), 1.0)
    limit, near = scope.limit.copy(), proposal
    for _ in range(MILP_ROUNDS):
        tightened = Scope(scope.low, scope.high, limit, scope.wanted, scope.clauses)
        program = RowProgram(rows, tightened, whole=True, near=near)
        program.assert_rows()
        program.assert_clauses()
        program.aim_near(proposal, 1.0 / span)
        try:
            answer = program.solve(seconds=seconds, gap=gap, incumbent=True)
        except ProposalError:
            return None
        found = program.holdings(answer)
        if accepts(rows, scope, found):
            return found
        excess = rows.totals(found) - scope.limit
        limit = np.where(program.needed & (excess > 0), limit - excess, limit)
        near = found.astype(float)
    return None
