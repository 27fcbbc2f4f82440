"""What would have to give: the smallest relaxation of each row of a conflict.

In: a `RowTable` and the rows of a conflict. Out: one `Relaxation` per row. Guaranteed: a stated limit was
verified by exact whole holdings that meet every other row and clause; "not enough" was proved. Between
the two, `unknown`. Not guaranteed: that no smaller relaxation exists (the solver's word, to its gap).
Refused: nothing. Before: `infeasible.py`. After: `solve.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.infeasible import FoundHoldings, prove
from lexorder.optimizers.lots import accepts
from lexorder.optimizers.milp import RowProgram, Scope
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable

GAP = 1e-6
"""How near to the least relaxation, in parts of the row's value, HiGHS has to come."""

SECONDS_MAX = 2.0
"""For one row: a conflict may have a dozen, and the best point in time is verified like any other."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The smallest limit of one row of a conflict that alone makes the problem feasible.

    `row`: index. `verdict`: `enough` (then `limit` is the relaxed limit in row units, met by
    exact holdings, and `by` what it adds to the present limit), `not-enough` (proved: some
    other conflict remains) or `unknown` (the budget ended).
    """

    row: int
    verdict: str
    limit: int | None = None
    by: int | None = None


def relaxations(
    rows: RowTable,
    conflict: tuple[int, ...],
    limit: Ints,
    wanted: NDArray[np.bool_],
    clauses: tuple[int, ...],
    *,
    seconds: float,
) -> tuple[Relaxation, ...]:
    """Return one `Relaxation` per row of `conflict`, in order.

    `limit`, `wanted` (shape (R,)) and `clauses` are what the problem asks for besides.
    """
    whole = Scope(rows.lower, rows.upper, limit, wanted, clauses)
    return tuple(_one(rows, row, whole, seconds) for row in conflict)


def _one(rows: RowTable, row: int, whole: Scope, seconds: float) -> Relaxation:
    others = whole.wanted.copy()
    others[row] = False
    scope = replace(whole, wanted=others)
    found = _least(rows, row, scope, seconds)
    return _without(rows, row, scope, seconds) if found is None else _enough(rows, row, found)


def _enough(rows: RowTable, row: int, holdings: Ints) -> Relaxation:
    needed = int(rows.totals(holdings)[row])
    return Relaxation(row, "enough", needed, needed - int(rows.limit[row]))


def _least(rows: RowTable, row: int, scope: Scope, seconds: float) -> Ints | None:
    """Holdings that meet `scope` with `row` (nearly) least, or None."""
    asked = scope.wanted.copy()
    asked[row] = True  # so that the program states the row; it is minimised, not limited
    program = RowProgram(rows, Scope(scope.low, scope.high, scope.limit, asked, scope.clauses), whole=True)
    program.assert_rows(without=row)
    program.assert_clauses()
    program.aim_row(row)
    try:
        answer = program.solve(seconds=min(seconds, SECONDS_MAX), gap=GAP, incumbent=True)
    except ProposalError:
        return None
    found = program.holdings(answer)
    return found if accepts(rows, scope, found) else None


def _without(rows: RowTable, row: int, others: Scope, seconds: float) -> Relaxation:
    # A passive breach that may stay proves nothing: only rows asked for at their own limit do.
    firm = others.wanted & (others.limit == rows.limit).astype(bool)
    try:
        claim = prove(rows, firm, others.clauses, seconds=seconds)
    except FoundHoldings as found:
        if accepts(rows, others, found.holdings):
            return _enough(rows, row, found.holdings)
        claim = None
    return Relaxation(row, "not-enough" if claim else "unknown")
