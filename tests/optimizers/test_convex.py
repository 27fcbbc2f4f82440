"""The continuous proposal: two ways to solve agree, and only the best status counts."""

import clarabel
import cvxpy
import numpy as np
import pytest

from lexorder.engine.certificate import Function, Name, Objective, Problem, Row
from lexorder.optimizers import convex
from lexorder.optimizers.conic import Relaxation
from lexorder.optimizers.convex import propose
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import conditional, realistic


def relaxation(problem: Problem) -> Relaxation:
    rows = RowTable(problem)
    goal = ObjectiveTable(problem, rows.reach)
    return Relaxation(rows, goal, rows.domain(rows.limit, rows.asserted), rows.limit, rows.asserted)


def quadratic_row() -> Problem:
    """Minimise -(x + y) with x**2 + y**2 <= 5000: both at 50."""
    names = (Name("A", 0, -90, 90), Name("B", 0, -90, 90))
    goal = Objective("1", ((0, Function.linear(-1)), (1, Function.linear(-1))))
    circle = Row("circle", 5000, ((0, Function.quadratic(1)), (1, Function.quadratic(1))))
    return Problem(names, (), (circle,), (), goal)


@pytest.mark.parametrize("solver", ["clarabel", "cvxpy"])
def test_a_convex_quadratic_row_is_a_cone(solver: str) -> None:
    found = propose(relaxation(quadratic_row()), seconds=5, solver=solver)
    assert found.holdings == pytest.approx([50, 50], abs=1e-3)
    # One more unit of room lets each of the two grow by 1/200.
    assert found.duals == pytest.approx([0.01], rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_both_ways_agree_on_holdings_and_prices(seed: int) -> None:
    built = relaxation(realistic(30, seed))
    raw, modelled = propose(built, seconds=5), propose(built, seconds=5, solver="cvxpy")
    span = (built.rows.upper - built.rows.lower).astype(float)
    assert np.abs(raw.holdings - modelled.holdings).max() < 1e-3 * span.max()
    assert raw.duals == pytest.approx(modelled.duals, rel=1e-3, abs=1e-4 * raw.duals.max())


def test_a_structure_is_compiled_once() -> None:
    convex._compiled.clear()
    for _ in range(2):
        propose(relaxation(realistic(20, 1)), seconds=5, solver="cvxpy")
    assert len(convex._compiled) == 1


def test_rows_that_are_not_convex_are_left_out_and_said_so() -> None:
    problem = conditional(20, 1)
    left_out = relaxation(problem).left_out.tolist()
    assert [problem.rows[r].id for r in left_out] == ["5/10/40"]


def test_prices_say_what_a_little_more_room_is_worth() -> None:
    problem = realistic(30, 3, turnover=10)
    found = propose(relaxation(problem), seconds=5)
    (row,) = [r for r, row in enumerate(problem.rows) if row.id == "turnover"]
    more = problem.rows[row].limit // 1000
    eased = list(problem.rows)
    eased[row] = Row("turnover", problem.rows[row].limit + more, problem.rows[row].functions)
    again = propose(relaxation(Problem(problem.names, (), tuple(eased), (), problem.objective)), seconds=5)
    gain = _value(problem, found.holdings) - _value(problem, again.holdings)
    assert gain == pytest.approx(found.duals[row] * more, rel=0.05)


def _value(problem: Problem, holdings: np.ndarray) -> float:
    assert problem.objective is not None
    parts = [poly_at(f, x) for (_, f), x in zip(problem.objective.functions, holdings, strict=True)]
    exposures = [
        f.constant + sum(loading * holdings[n] for n, loading in f.loadings) for f in problem.objective.factors
    ]
    return float(sum(parts) + sum(y * y for y in exposures))


def poly_at(function: Function, x: float) -> float:
    a0, a1, a2 = function.poly(int(np.ceil(x)))
    return float(a0 + (a1 + a2 * x) * x)


STATUSES = [s for s in dir(clarabel.SolverStatus) if s[0].isupper() and s != "Solved"]


@pytest.mark.parametrize("status", STATUSES)
def test_any_other_clarabel_status_is_refused(status: str, monkeypatch) -> None:
    class Solver:
        def __init__(self, *_) -> None: ...

        def solve(self):
            answer = type("Answer", (), {})()
            answer.status, answer.x, answer.z = getattr(clarabel.SolverStatus, status), [0.0], [0.0]
            return answer

    monkeypatch.setattr(clarabel, "DefaultSolver", Solver)
    with pytest.raises(ProposalError, match=status):
        propose(relaxation(realistic(20, 1)), seconds=5)


@pytest.mark.parametrize("status", ["optimal_inaccurate", "infeasible", "user_limit", "unbounded"])
def test_any_other_cvxpy_status_is_refused(status: str, monkeypatch) -> None:
    monkeypatch.setattr(cvxpy.Problem, "solve", lambda *_, **__: None)
    monkeypatch.setattr(cvxpy.Problem, "status", property(lambda _: status))
    with pytest.raises(ProposalError, match=status):
        propose(relaxation(realistic(20, 1)), seconds=5, solver="cvxpy")


def test_values_that_are_not_finite_are_refused(monkeypatch) -> None:
    built = relaxation(realistic(20, 1))
    spoilt = np.full(built.width, np.nan), np.zeros(len(built.form.rhs))
    monkeypatch.setattr(convex, "ask_clarabel", lambda *_: spoilt)
    with pytest.raises(ProposalError, match="finite"):
        propose(built, seconds=5)
