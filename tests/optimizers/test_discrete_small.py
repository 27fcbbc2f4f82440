"""Improvement with fixed choices on books small enough to be enumerated."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Clause, Function, Name, Objective, Problem, Row
from lexorder.optimizers import discrete
from lexorder.optimizers.discrete import improved
from lexorder.optimizers.lots import Bench, accepts
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import meets, points, small

LINE, BACK = Function.linear(1), Function.linear(-1)


def better(problem: Problem, start: tuple[int, ...]) -> tuple[int, ...]:
    rows = RowTable(problem)
    scope = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, tuple(range(len(problem.clauses))))
    goal = ObjectiveTable(problem, rows.reach)
    assert accepts(rows, scope, np.array(start))
    found = improved(rows, goal, scope, np.array(start), seconds=5, solver="clarabel")
    assert accepts(rows, scope, found)
    return tuple(found.tolist())


@pytest.mark.parametrize("seed", range(60))
def test_from_any_accepted_holdings_to_accepted_ones_that_are_no_worse(seed):
    random = Random(seed)
    problem = small(random, names=3, rows=4, clauses=1 + seed % 2)
    feasible = [x for x in points(problem) if meets(problem, x)]
    if not feasible or problem.objective is None:
        return
    for start in random.sample(feasible, min(3, len(feasible))):
        found = better(problem, start)
        assert found in feasible
        assert problem.objective.value(found) <= problem.objective.value(start)


def either(*, gain: int = 1) -> Problem:
    """At most three, or at least seven; each unit is worth something."""
    rows = (Row("few", 3, ((0, LINE),), asserted=False), Row("many", -7, ((0, BACK),), asserted=False))
    goal = Objective("1", ((0, Function.linear(-gain)),))
    return Problem((Name("A", 0, 0, 9),), (), rows, (Clause("either", ((0,), (1,))),), goal)


@pytest.mark.parametrize(("start", "end"), [((0,), (3,)), ((2,), (3,)), ((7,), (9,)), ((9,), (9,))])
def test_the_alternative_that_holds_is_kept(start, end):
    assert better(either(), start) == end


@pytest.mark.parametrize(("start", "end"), [((1,), (4,)), ((6,), (9,))])
def test_the_side_of_a_threshold_is_kept(start, end):
    # From five on a fee of a hundred is due, of which the row allows it; below there is none.
    fee = Function.threshold(5, (0, 0, 0), (100, 0, 0))
    goal = Objective("1", ((0, Function.linear(-1)),))
    problem = Problem((Name("A", 0, 0, 9),), (), (Row("fee", 100, ((0, fee),)), Row("nine", 9, ((0, LINE),))), (), goal)
    found = better(problem, start)
    assert found in (end, (9,)), "a unit step may cross where the row allows it"
    assert found[0] >= end[0]


@pytest.mark.parametrize("failure", ["propose", "whole_units"])
def test_where_a_step_finds_nothing_the_holdings_come_back_polished(failure, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        if failure == "propose":
            raise ProposalError("X", "y")

    monkeypatch.setattr(discrete, failure, fail)
    assert better(either(), (1,)) == (3,), "single units still improve"


def test_polishing_that_ends_outside_is_undone(monkeypatch):
    def astray(bench: Bench) -> None:
        bench.x = [5]

    monkeypatch.setattr(discrete, "polish", astray)
    monkeypatch.setattr(discrete, "whole_units", lambda *_, **__: None)
    assert better(either(), (1,)) == (1,), "five is between the alternatives"


def test_a_proposal_the_exact_check_refuses_is_not_taken(monkeypatch):
    monkeypatch.setattr(discrete, "whole_units", lambda *_, **__: np.array([5]))
    assert better(either(), (1,)) == (3,)
