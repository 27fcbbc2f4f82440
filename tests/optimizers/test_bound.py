"""The certified bound: below every allowed value, near the optimum, whatever the duals."""

import random

import numpy as np
import pytest

from lexorder.optimizers.bound import bound
from lexorder.optimizers.conic import Proposal, Relaxation
from lexorder.optimizers.convex import propose
from lexorder.optimizers.lagrangian import WeightedSum
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import meets, points, realistic, small


@pytest.mark.parametrize("seed", range(80))
def test_any_duals_give_a_true_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = small(random.Random(seed), names=3, rows=3, working=seed % 3 == 0)
    feasible = [x for x in points(problem) if meets(problem, x)]
    if not feasible or problem.objective is None:
        return
    rows = RowTable(problem)
    goal = ObjectiveTable(problem, rows.reach)
    nonsense = Proposal(rng.normal(size=3) * 5, np.abs(rng.normal(size=rows.count)) * 3, ())
    best = min(feasible, key=problem.objective.value)
    claim = bound(rows, goal, nonsense, np.array(best))
    assert claim.objective == problem.objective.value(best)
    assert claim.value <= claim.objective


@pytest.mark.parametrize("seed", range(60))
def test_good_duals_give_a_bound_near_the_convex_optimum(seed: int) -> None:
    problem = small(random.Random(seed), names=3, rows=3, convex=True)
    feasible = [x for x in points(problem) if meets(problem, x)]
    if not feasible or problem.objective is None:
        return
    rows = RowTable(problem)
    goal = ObjectiveTable(problem, rows.reach)
    domain = rows.domain(rows.limit, rows.asserted)
    try:
        found = propose(Relaxation(rows, goal, domain, rows.limit, rows.asserted), seconds=5)
    except ProposalError:
        return
    best = min(problem.objective.value(x) for x in feasible)
    claim = bound(rows, goal, found, np.array(feasible[0]))
    assert best - 60 <= claim.value <= best


@pytest.mark.parametrize("count", [20, 60])
def test_the_gap_of_a_realistic_book_is_below_a_tenth_of_a_basis_point(count: int) -> None:
    from lexorder.optimizers.solve import Solution, solve

    answer = solve(realistic(count, 3))
    assert isinstance(answer, Solution)
    assert answer.gap is not None
    assert answer.certificate.problem.objective is not None
    digits = int(answer.certificate.problem.objective.unit[3:].split()[0])
    assert 0 <= answer.gap < 10 ** (digits - 5)


@pytest.mark.parametrize("seed", range(60))
def test_the_minimum_is_that_of_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    problem = small(rng, names=2, rows=3)
    rows = RowTable(problem)
    total, weights = WeightedSum(2), [rng.randint(0, 10**20) for _ in problem.rows]
    for row, weight in enumerate(weights):
        total.add_row(rows, row, weight)
    expected = min(
        sum(w * (problem.worst(row, problem.box(x)) - row.limit) for w, row in zip(weights, problem.rows, strict=True))
        for x in points(problem)
    )
    assert total.minimum(rows.lower, rows.upper) == expected
