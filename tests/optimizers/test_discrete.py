"""With choices fixed, holdings only get better, and stay accepted."""

import pytest

from lexorder.optimizers.discrete import improved
from lexorder.optimizers.lots import accepts, nearest_whole
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import conditional


@pytest.mark.parametrize("seed", range(4))
def test_improvement_is_accepted_and_no_worse(seed: int) -> None:
    problem = conditional(25, seed)
    rows = RowTable(problem)
    goal = ObjectiveTable(problem, rows.reach)
    clauses = tuple(range(len(problem.clauses)))
    scope = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, clauses)
    start = nearest_whole(rows, scope, rows.held.astype(float), seconds=10)
    assert start is not None
    better = improved(rows, goal, scope, start, seconds=5, solver="clarabel")
    assert accepts(rows, scope, better)
    assert goal.value(better) < goal.value(start)
