"""A thin, strict door to HiGHS: columns and rows in, a status-checked answer out.

In: blocks of columns and rows, floats. Out: an `Answer` with values and row duals. Guaranteed: one thread, a
time limit, a fixed seed, and only the status `kOptimal` answers (or, where a
caller wants a mere proposal, the best feasible point at the time limit). Refused, by `ProposalError`: every
other status, by name (infeasible too: a float's word is no proof). Before: `milp.py` builds the blocks.
After: `milp.py`, `infeasible.py` read the answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexorder.optimizers.refusals import ProposalError

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]


class Answer(NamedTuple):
    """`values`: shape (columns,). `duals`: shape (rows,), of a linear program; zeros otherwise."""

    values: Floats
    duals: Floats


class LinearProgram:
    """Collects columns and rows block by block, then solves once."""

    def __init__(self) -> None:
        self.width = 0
        self.height = 0
        self._columns: list[tuple[Floats, Floats, Floats, NDArray[np.bool_]]] = []
        self._sides: list[tuple[Floats, Floats]] = []
        self._cells: list[tuple[Any, Any, Any]] = []

    def columns(
        self, low: ArrayLike, high: ArrayLike, *, cost: ArrayLike = 0.0, integer: bool = False
    ) -> NDArray[np.int64]:
        """Add columns with bounds (shape (C,)) and costs; return their indexes."""
        lower = np.atleast_1d(np.asarray(low, dtype=float))
        upper = np.broadcast_to(np.asarray(high, dtype=float), lower.shape)
        costs = np.broadcast_to(np.asarray(cost, dtype=float), lower.shape)
        self._columns.append((lower, upper, costs, np.full(len(lower), integer)))
        first, self.width = self.width, self.width + len(lower)
        return np.arange(first, self.width)

    def rows(self, cells: tuple[Any, Any, Any], low: ArrayLike, high: ArrayLike) -> NDArray[np.int64]:
        """Add rows `low <= cells <= high`; return their indexes.

        `cells`: row numbers within this block, column indexes, values. `high` (shape (R,)) fixes
        how many rows there are.
        """
        upper = np.atleast_1d(np.asarray(high, dtype=float))
        lower = np.broadcast_to(np.asarray(low, dtype=float), upper.shape)
        row, column, value = (np.asarray(part) for part in cells)
        self._cells.append((row + self.height, column, value.astype(float)))
        self._sides.append((lower, upper))
        first, self.height = self.height, self.height + len(upper)
        return np.arange(first, self.height)

    def solve(self, *, seconds: float, gap: float = 1e-4, incumbent: bool = False) -> Answer:
        """Return the optimum, one thread, presolve on; `gap`: relative, for integer columns.

        `incumbent`: take the best feasible point when the time ends, for callers that only want
        a proposal. Refused by `ProposalError`: any other status than optimal.
        """
        import highspy

        solver = highspy.Highs()
        for name, value in _OPTIONS:
            solver.setOptionValue(name, value)
        solver.setOptionValue("time_limit", float(seconds))
        solver.setOptionValue("mip_rel_gap", gap)
        if solver.passModel(self._model(highspy)) == highspy.HighsStatus.kError:
            raise ProposalError("HiGHS", "model refused")
        solver.run()
        status = solver.getModelStatus()
        late = status == highspy.HighsModelStatus.kTimeLimit and incumbent
        feasible = solver.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if status != highspy.HighsModelStatus.kOptimal and not (late and feasible):
            raise ProposalError("HiGHS", solver.modelStatusToString(status))
        solution = solver.getSolution()
        duals = np.array(solution.row_dual) if solution.dual_valid else np.zeros(self.height)
        return Answer(np.array(solution.col_value), duals)

    def _model(self, highspy: Any) -> Any:
        from scipy import sparse

        lower, upper, cost, integer = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        row, column, value = (np.concatenate(part) for part in zip(*self._cells, strict=True))
        matrix = sparse.csr_array((value, (row, column)), shape=(self.height, self.width))
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self.width, self.height
        model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
        model.row_lower_ = np.concatenate([low for low, _ in self._sides])
        model.row_upper_ = np.concatenate([high for _, high in self._sides])
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = matrix.indptr
        model.a_matrix_.index_ = matrix.indices
        model.a_matrix_.value_ = matrix.data
        if integer.any():
            kinds = highspy.HighsVarType
            model.integrality_ = [kinds.kInteger if i else kinds.kContinuous for i in integer]
        return model


_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("output_flag", False),
    ("threads", 1),
    ("random_seed", 0),
    ("mip_feasibility_tolerance", 1e-9),  # the exact check follows; this only saves repairs
    ("primal_feasibility_tolerance", 1e-9),
    ("dual_feasibility_tolerance", 1e-9),
)
