"""From a continuous proposal to whole units that meet every row exactly.

In: holdings as floats. Out: integer holdings, or None where this file found none (which proves nothing).
Guaranteed: what is returned satisfies every wanted row and clause in exact integers, within the bounds.
Steps: round toward the current holding (no trade grows), repair row by row, polish by single units along
the objective's gradient, and where repair fails ask HiGHS for the nearest whole holdings. Refused:
nothing; a solver's failure counts as "found none". Before: `convex.py`, `milp.py`. After: `solve.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexorder.optimizers.functiontable import Ints, from_floats
from lexorder.optimizers.milp import RowProgram, Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable

Floats = NDArray[np.float64]

SNAP = 1e-6
"""A proposal this near to a whole unit means that unit; solvers end within 1e-8 of their answer."""

REPAIR_ROUNDS = 40
POLISH_PASSES = 20
MILP_ROUNDS = 4


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
    whole = from_floats(np.trunc(move + np.sign(move) * SNAP))
    rounded: Ints = np.clip(start + whole, scope.low, scope.high)
    return rounded


class Bench:
    """Holdings being worked on; the slack of every row is kept exact after each move.

    A pass begins with `look`, which computes what one unit up or down would do to every watched row,
    exactly and for all names at once. Within a pass a name moves at most once, so these stay true.
    """

    def __init__(self, rows: RowTable, objective: ObjectiveTable, scope: Scope, holdings: Ints) -> None:
        self.rows, self.objective, self.scope = rows, objective, scope
        can_break = (rows.worst(scope.low, scope.high) > scope.limit).astype(bool)
        self.watched = scope.wanted & can_break
        table = rows.table
        entries = np.flatnonzero(self.watched[table.row])
        self.by_name = entries[np.argsort(table.name[entries], kind="stable")]
        names = np.arange(len(rows.held) + 1)
        self.first: list[int] = np.searchsorted(table.name[self.by_name], names).tolist()
        self.row_of: list[int] = table.row[self.by_name].tolist()
        self.low, self.high = scope.low.tolist(), scope.high.tolist()
        self.weights = objective.weights.astype(float)
        self.loadings = np.ascontiguousarray(objective.floats.T)
        self.own = self.loadings**2 @ self.weights
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

    def look(self) -> None:
        """Begin a pass: what one unit down (0) or up (1) does to rows, exactly, and to the goal."""
        here, table, goal = self.holdings, self.rows.table, self.objective.table
        now, value = table.values(here), goal.values(here)
        slope = 2.0 * self.loadings @ (self.weights * self.exposure)
        self.moved: set[int] = set()
        self.change: list[list[int]] = []
        self.separable: list[Floats] = []
        worth: list[Floats] = []
        for step in (-1, 1):
            there = here + step
            self.change.append((table.values(there) - now)[self.by_name].tolist())
            gain = (goal.values(there) - value).astype(float)
            part = np.bincount(goal.name, weights=gain, minlength=len(self.x)).astype(float)
            self.separable.append(part)
            worth.append(self.separable[-1] + step * slope + self.own)
        self.worth = worth

    def may_move(self, name: int, up: int) -> bool:
        """Return whether one unit stays in bounds and breaks no row (nor a broken one further)."""
        inside = self.x[name] < self.high[name] if up else self.x[name] > self.low[name]
        if not inside or name in self.moved:
            return False
        first, last = self.first[name], self.first[name + 1]
        slack = self.slack
        for row, change in zip(self.row_of[first:last], self.change[up][first:last], strict=True):
            if change > 0 and change > slack[row]:
                return False
        return True

    def move(self, name: int, up: int) -> None:
        """Move `name` by one unit; it will not move again in this pass."""
        first, last = self.first[name], self.first[name + 1]
        for row, change in zip(self.row_of[first:last], self.change[up][first:last], strict=True):
            self.slack[row] -= change
        step = 1 if up else -1
        self.x[name] += step
        self.exposure += self.loadings[name] * step
        self.moved.add(name)

    def worth_now(self, name: int, up: int) -> float:
        """Return the change of the objective for one unit, after the moves of this pass."""
        step = 1.0 if up else -1.0
        slope = 2.0 * float(self.loadings[name] @ (self.weights * self.exposure))
        return float(self.separable[up][name]) + step * slope + float(self.own[name])


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
    bench.look()
    own = np.flatnonzero(np.array(bench.row_of) == row)
    names = bench.rows.table.name[bench.by_name[own]]
    candidates: list[tuple[float, int, int]] = []
    for up in (0, 1):
        eased = -np.array([bench.change[up][e] for e in own.tolist()], dtype=float)
        useful = eased > 0
        price = bench.worth[up][names[useful]] / eased[useful]
        candidates += zip(price.tolist(), names[useful].tolist(), [up] * int(useful.sum()), strict=True)
    moved = False
    for _, name, up in sorted(candidates):
        if bench.slack[row] >= 0:
            break
        if bench.may_move(name, up):
            bench.move(name, up)
            moved = True
    return moved


def polish(bench: Bench) -> None:
    """Take single-unit moves that improve the objective and keep every watched row, best first."""
    for _ in range(POLISH_PASSES):
        bench.look()
        both = np.r_[bench.worth[0], bench.worth[1]]
        useful = np.flatnonzero(both < 0)
        order = useful[np.argsort(both[useful], kind="stable")].tolist()
        if not _polish_pass(bench, order):
            return


def _polish_pass(bench: Bench, order: list[int]) -> bool:
    count = len(bench.x)
    for index in order:
        up, name = divmod(index, count)
        # Earlier moves changed the exposures: ask again before moving.
        if bench.may_move(name, up) and bench.worth_now(name, up) < 0:
            bench.move(name, up)
    return bool(bench.moved)


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
