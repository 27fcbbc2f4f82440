"""Improves holdings of a problem with clauses or thresholds while its yes-or-no choices stay as they are.

In: accepted holdings. Out: accepted holdings that are no worse in the objective. Guaranteed: accepted by exact
integers in the full scope. How: which side of each threshold a name is on, and which alternative of each
clause holds, is read off the holdings and fixed; what is left is convex and goes the usual way, continuous
optimum, whole units, polish. Refused: nothing; where a step finds nothing, the holdings come back.
Why: the mixed-integer program only looks for holdings near the proposal, not for good ones.
Before: `lots.py`, `prove.py`. After: `solve.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lexorder.optimizers.conic import Relaxation
from lexorder.optimizers.convex import propose
from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.lots import Bench, accepts, polish, whole_units
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable


def improved(
    rows: RowTable,
    objective: ObjectiveTable,
    scope: Scope,
    holdings: Ints,
    *,
    seconds: float,
    solver: str,
) -> Ints:
    """Return accepted holdings with an objective no worse than that of `holdings` (shape (N,), units).

    `seconds`, `solver`: for the continuous program. Exact acceptance in `scope`.
    """
    best = _polished(rows, objective, scope, holdings)
    fixed = _fixed(rows, scope, best)
    domain = rows.domain(fixed.limit, fixed.wanted, box=(fixed.low, fixed.high))
    if domain.empty >= 0:
        return best
    inner = replace(fixed, low=domain.low, high=domain.high)
    try:
        continuous = Relaxation(rows, objective, domain, fixed.limit, fixed.wanted)
        target = propose(continuous, seconds=seconds, solver=solver).holdings
    except ProposalError:
        return best
    found = whole_units(rows, objective, inner, target, seconds=seconds)
    if found is None or not accepts(rows, scope, found):
        return best
    found = _polished(rows, objective, scope, found)
    return min((best, found), key=objective.value)


def _polished(rows: RowTable, objective: ObjectiveTable, scope: Scope, holdings: Ints) -> Ints:
    wanted = scope.wanted | _held_rows(rows, scope, holdings)
    bench = Bench(rows, objective, replace(scope, wanted=wanted), holdings)
    polish(bench)
    return bench.holdings if accepts(rows, scope, bench.holdings) else holdings


def _held_rows(rows: RowTable, scope: Scope, holdings: Ints) -> NDArray[np.bool_]:
    """The rows of one alternative that holds, for each clause; shape (R,)."""
    within = (rows.totals(holdings) <= scope.limit).astype(bool)
    held = np.zeros(rows.count, dtype=bool)
    for clause in scope.clauses:
        for alternative in rows.problem.clauses[clause].alternatives:
            if within[list(alternative)].all():
                held[list(alternative)] = True
                break
    return held


def _fixed(rows: RowTable, scope: Scope, holdings: Ints) -> Scope:
    """The scope with one alternative per clause asserted and each name kept to its present pieces."""
    wanted = scope.wanted | _held_rows(rows, scope, holdings)
    low, high = scope.low.copy(), scope.high.copy()
    for kink in rows.table.kinks:
        jumps = wanted[rows.table.row[kink.entry]] & ~kink.convex
        names, at = rows.table.name[kink.entry][jumps], kink.at[jumps]
        above = holdings[names] >= at
        np.maximum.at(low, names[above], at[above])
        np.minimum.at(high, names[~above], at[~above] - 1)
    return replace(scope, low=low, high=high, wanted=wanted, clauses=())
