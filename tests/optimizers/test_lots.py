"""Whole units: exactly on a limit and one unit beside it, against enumeration."""

import random

import highspy
import numpy as np
import pytest

from lexorder.engine.certificate import Function, Name, Objective, Problem, Row
from lexorder.optimizers.lots import (
    Bench,
    accepts,
    nearest_whole,
    polish,
    repair,
    round_toward,
    whole_units,
)
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import conditional, meets, points, realistic, small


def parts(problem: Problem) -> tuple[RowTable, ObjectiveTable, Scope]:
    rows = RowTable(problem)
    clauses = tuple(range(len(problem.clauses)))
    scope = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, clauses)
    return rows, ObjectiveTable(problem, rows.reach), scope


def one_row(limit: int, held: int = 0) -> Problem:
    names = (Name("A", held, 0, 100), Name("B", 0, 0, 100))
    row = Row("sum", limit, ((0, Function.linear(3)), (1, Function.linear(7))))
    goal = Objective("1", ((0, Function.linear(-3)), (1, Function.linear(-8))))
    return Problem(names, (), (row,), (), goal)


def test_rounding_goes_toward_the_holding_and_forgives_solver_noise() -> None:
    _, _, scope = parts(one_row(10**6, held=50))
    held = np.array([50, 50])
    assert round_toward(np.array([60.9, 40.1]), held, scope).tolist() == [60, 41]
    assert round_toward(np.array([59.9999999, 40.0000001]), held, scope).tolist() == [60, 40]
    assert round_toward(np.array([500.0, -7.0]), held, scope).tolist() == [100, 0]


@pytest.mark.parametrize("limit", range(20, 60))
def test_acceptance_is_exact_at_the_limit(limit: int) -> None:
    problem = one_row(limit)
    rows, _, scope = parts(problem)
    for x in ((limit // 3, 0), (limit // 3 + 1, 0), (0, limit // 7), (0, limit // 7 + 1)):
        assert accepts(rows, scope, np.array(x)) is meets(problem, x)


@pytest.mark.parametrize("over", [1, 2, 3, 50, 10**6])
def test_repair_ends_exactly_inside(over: int) -> None:
    problem = one_row(7 * 100 + 300 - over)
    rows, goal, scope = parts(problem)
    bench = Bench(rows, goal, scope, np.array([100, 100]))
    done = repair(bench)
    assert done is accepts(rows, scope, bench.holdings) or over == 10**6


def test_slack_stays_exact_through_moves() -> None:
    for seed in range(50):
        problem = small(random.Random(seed), names=3, rows=3)
        rows, goal, scope = parts(problem)
        bench = Bench(rows, goal, scope, rows.held)
        polish(bench)
        kept = (scope.limit - rows.totals(bench.holdings)).tolist()
        assert [bench.slack[r] for r in np.flatnonzero(bench.watched)] == [
            kept[r] for r in np.flatnonzero(bench.watched)
        ]
        assert goal.value(bench.holdings) <= goal.value(rows.held)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_returned_is_accepted_and_something_is_found_where_anything_is(seed: int) -> None:
    problem = small(random.Random(seed), names=3, rows=3, clauses=seed % 2, working=seed % 3 == 0)
    rows, goal, scope = parts(problem)
    found = whole_units(rows, goal, scope, rows.held.astype(float), seconds=5)
    feasible = [x for x in points(problem) if meets(problem, x)]
    assert (found is not None) == bool(feasible)
    assert found is None or tuple(found.tolist()) in feasible


@pytest.mark.parametrize("seed", range(3))
def test_the_mixed_integer_program_states_thresholds_and_clauses(seed: int) -> None:
    problem = conditional(20, seed)
    rows, _, scope = parts(problem)
    target = rows.held.astype(float)
    found = nearest_whole(rows, scope, target, seconds=20)
    assert found is not None
    assert meets(problem, tuple(found.tolist()))


def test_an_equality_is_met_to_the_unit() -> None:
    names = tuple(Name(f"n{i}", 0, 0, 50) for i in range(3))
    up = tuple((i, Function.linear(a)) for i, a in enumerate((6, 10, 15)))
    down = tuple((i, Function.linear(-a)) for i, a in enumerate((6, 10, 15)))
    goal = Objective("1", tuple((i, Function.quadratic(1)) for i in range(3)))
    problem = Problem(names, (), (Row("most", 89, up), Row("least", -89, down)), (), goal)
    rows, table, scope = parts(problem)
    found = whole_units(rows, table, scope, np.array([4.9, 3.1, 1.9]), seconds=5)
    assert found is not None
    assert int(rows.totals(found)[0]) == 89


@pytest.mark.parametrize("status", ["kInfeasible", "kUnknown", "kTimeLimit", "kUnbounded"])
def test_a_failing_solver_finds_nothing(status: str, monkeypatch) -> None:
    other = getattr(highspy.HighsModelStatus, status)
    monkeypatch.setattr(highspy.Highs, "getModelStatus", lambda _: other)
    problem = realistic(20, 1)
    rows, _, scope = parts(problem)
    monkeypatch.setattr(highspy.Highs, "getInfo", lambda _: type("Info", (), {"primal_solution_status": None})())
    assert nearest_whole(rows, scope, rows.held.astype(float), seconds=5) is None
