"""A certified lower bound on the objective, from the duals of the continuous solution.

In: an `ObjectiveTable`, a `RowTable`, a `Proposal`. Out: the certificate's `Bound` claim. Guaranteed: the
value is exact arithmetic on the rounded duals, so it holds whatever the solver did; bad duals only make
it weaker. Refused: nothing. Why: every variable is bounded, so a Lagrangian with rounded multipliers has
a finite minimum, name by name. Before: `conic.py`, `lagrangian.py`. After: `solve.py`.
"""

from __future__ import annotations

import numpy as np

from lexorder.engine.certificate import Bound
from lexorder.optimizers.conic import Proposal
from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.lagrangian import WeightedSum
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.risk_models import Floats
from lexorder.optimizers.rowtable import RowTable

MULTIPLIER_DIGITS = 10
"""The least multiplier that matters is written with this many digits."""

SCALE_DIGITS_MAX = 24
"""Longer scales could push a number over the 80 digits a certificate may have."""

NEGLIGIBLE = 1e-11
"""A multiplier whose row can move the bound by less than this part of the objective is dropped."""


def bound(rows: RowTable, objective: ObjectiveTable, proposal: Proposal, holdings: Ints) -> Bound:
    """Return the bound claim for the final `holdings` (shape (N,), units).

    Multipliers are the proposal's duals of asserted rows, rounded at a common `scale`; tangent
    points are the proposal's factor exposures, rounded. Exact from there on. A row that `holdings`
    leave above its limit (an old breach) gets no multiplier: so the bound also holds with that
    breach tolerated, and stays a bound for what was solved.
    """
    usable = rows.asserted & (rows.totals(holdings) <= rows.limit).astype(bool)
    chosen, scale = _rounded_duals(rows, objective, np.where(usable, proposal.duals, 0.0))
    points = _points(objective, proposal)
    total = WeightedSum(len(rows.held))
    total.add_entries(objective.table, 0, len(objective.table.row), scale)
    weights = [2 * scale * int(w) * y for w, y in zip(objective.weights, points, strict=True)]
    if weights:
        total.add_slopes(np.array(weights, dtype=object) @ objective.loadings.astype(object))
    for w, y, c in zip(objective.weights, points, objective.constants, strict=True):
        total.constant += scale * int(w) * (2 * y * int(c) - y * y)
    for row, multiplier in chosen:
        total.add_row(rows, row, multiplier)
    value = total.minimum(rows.lower, rows.upper) // scale
    return Bound(scale, chosen, tuple(points), value, objective.value(holdings))


def _points(objective: ObjectiveTable, proposal: Proposal) -> list[int]:
    exposure = objective.constants.astype(float) + objective.floats @ proposal.holdings
    return [int(y) for y in np.rint(exposure).tolist()]


def _size(rows: RowTable, objective: ObjectiveTable) -> float:
    """How large the objective's terms get in the box; what is small beside it does not matter."""
    table = objective.table
    ends = (table.values(rows.lower), table.values(rows.upper))
    return float(sum(np.abs(e.astype(float)).sum() for e in ends))


def _rounded_duals(rows: RowTable, objective: ObjectiveTable, duals: Floats) -> tuple[tuple[tuple[int, int], ...], int]:
    # What a row can contribute is its dual times how far it can be from its limit.
    reach = np.abs((rows.worst(rows.lower, rows.upper) - rows.limit).astype(float)) + 1.0
    matter = duals * reach
    chosen = np.flatnonzero(matter > NEGLIGIBLE * _size(rows, objective))
    if not len(chosen):
        return (), 1
    least = float(duals[chosen].min())
    digits = min(max(0, MULTIPLIER_DIGITS - int(np.floor(np.log10(least)))), SCALE_DIGITS_MAX)
    scale = 10**digits
    mixed = rows.problem.mixed
    rounded = ((r, round(float(duals[r]) * scale)) for r in chosen.tolist())
    return tuple((r, m) for r, m in rounded if m >= 1 and not mixed(rows.problem.rows[r])), scale
