"""The mixed-integer program states rows, thresholds and clauses: its optimum is that of enumeration."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Clause, Function, Name, Problem, Row
from lexorder.optimizers.highs import Answer
from lexorder.optimizers.milp import RowProgram, Scope
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import meets, points, small


def scope_of(rows: RowTable) -> Scope:
    clauses = tuple(range(len(rows.problem.clauses)))
    return Scope(rows.lower, rows.upper, rows.limit, rows.asserted, clauses)


def stated(problem: Problem, *, near: list[int] | None = None) -> RowProgram:
    rows = RowTable(problem)
    at = None if near is None else np.array(near, dtype=float)
    program = RowProgram(rows, scope_of(rows), whole=True, near=at)
    program.assert_rows()
    program.assert_clauses()
    return program


def linear_or_jumping(seed: int, *, clauses: int = 0) -> Problem:
    """A small random problem without squares, which the program states only by tangents."""
    for attempt in range(100):
        problem = small(Random(f"{seed} {attempt}"), names=3, rows=4, clauses=clauses)
        if all(a2 == 0 for row in problem.rows for _, f in row.functions for _, _, a2 in f.polys):
            return problem
    raise AssertionError("no such problem")


@pytest.mark.parametrize("seed", range(40))
def test_the_nearest_holdings_are_those_of_enumeration(seed):
    problem = linear_or_jumping(seed, clauses=seed % 3)
    feasible = [x for x in points(problem) if meets(problem, x)]
    target = [n.held for n in problem.names]
    program = stated(problem)
    program.aim_near(np.array(target, dtype=float), np.ones(3))
    if not feasible:
        with pytest.raises(ProposalError, match="Infeasible"):
            program.solve(seconds=5, gap=0.0)
        return
    found = program.holdings(program.solve(seconds=5, gap=0.0)).tolist()
    assert tuple(found) in feasible
    distances = [sum(abs(a - b) for a, b in zip(x, target, strict=True)) for x in feasible]
    assert sum(abs(a - b) for a, b in zip(found, target, strict=True)) == min(distances)


@pytest.mark.parametrize("seed", range(40))
def test_the_least_value_of_a_row_is_that_of_enumeration(seed):
    problem = linear_or_jumping(100 + seed)
    rows = RowTable(problem)
    others = rows.asserted.copy()
    others[0] = False
    feasible = [x for x in points(problem) if all(np.array(within(problem, x))[others])]
    program = RowProgram(rows, scope_of(rows), whole=True)
    program.assert_rows(without=0)
    program.aim_row(0)
    if not feasible:
        with pytest.raises(ProposalError):
            program.solve(seconds=5, gap=0.0)
        return
    found = program.holdings(program.solve(seconds=5, gap=0.0))
    assert int(rows.totals(found)[0]) == min(int(rows.totals(np.array(x))[0]) for x in feasible)


def within(problem: Problem, x: tuple[int, ...]) -> list[bool]:
    box = problem.box(x)
    return [problem.worst(row, box) <= row.limit for row in problem.rows]


def test_answers_with_and_without_feasible_holdings_both_occur():
    answers = {any(meets(p, x) for x in points(p)) for p in (linear_or_jumping(s, clauses=s % 3) for s in range(40))}
    assert answers == {True, False}


# ---- squares ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 24, 25, 26, 99, 100])
def test_squares_are_kept_from_below_by_tangents_exact_at_what_is_near(limit):
    problem = Problem((Name("A", 0, -10, 10),), (), (Row("square", limit, ((0, Function.quadratic(1)),)),))
    root = int(limit**0.5)
    for near in (root, -root):
        program = stated(problem, near=[near])
        program.aim_near(np.array([float(10 if near >= 0 else -10)]), np.ones(1))
        found = int(program.holdings(program.solve(seconds=5, gap=0.0))[0])
        assert abs(found) >= abs(root), "tangents admit everything that the square admits"
        assert found**2 <= limit or abs(found) <= abs(root) + 2, "and not much more near a tangent"


def test_a_curved_piece_counts_only_where_it_is_chosen():
    # Nought below 4, from there x².
    step = Function.threshold(4, (0, 0, 0), (0, 0, 1))
    for limit, best in ((15, 3), (16, 4), (36, 6)):
        problem = Problem((Name("A", 0, 0, 9),), (), (Row("r", limit, ((0, step),)),))
        program = stated(problem, near=[best])
        program.aim_near(np.array([9.0]), np.ones(1))
        assert program.holdings(program.solve(seconds=5, gap=0.0)).tolist() == [best]


@pytest.mark.parametrize(("at", "best"), [(9, 8), (8, 7), (1, 0), (0, None), (10, 9)])
def test_a_jump_at_the_very_end_of_the_bounds_counts(at, best):
    # Free below, five from there on, where at most four are allowed.
    jump = Function.threshold(at, (0, 0, 0), (5, 0, 0))
    program = stated(Problem((Name("A", 0, 0, 9),), (), (Row("r", 4, ((0, jump),)),)))
    program.aim_near(np.array([9.0]), np.ones(1))
    if best is None:
        with pytest.raises(ProposalError, match="Infeasible"):
            program.solve(seconds=5, gap=0.0)
    else:
        assert program.holdings(program.solve(seconds=5, gap=0.0)).tolist() == [best]


# ---- clauses ---------------------------------------------------------------------------------------------------------


def either(*limits: int) -> Problem:
    rows = tuple(Row(f"at-most-{n}", n, ((0, Function.linear(1)),), asserted=False) for n in limits)
    return Problem((Name("A", 0, 0, 9),), (), rows, (Clause("one", tuple((r,) for r in range(len(rows)))),))


def test_one_alternative_is_enough_and_none_is_not():
    program = stated(either(3, 5))
    program.aim_near(np.array([9.0]), np.ones(1))
    assert program.holdings(program.solve(seconds=5, gap=0.0)).tolist() == [5]
    with pytest.raises(ProposalError, match="Infeasible"):
        stated(either(-1, -2)).solve(seconds=5)


def test_all_rows_of_an_alternative_must_hold():
    problem = either(3, 5)
    both = Problem(problem.names, (), problem.rows, (Clause("both", ((0, 1),)),))
    program = stated(both)
    program.aim_near(np.array([9.0]), np.ones(1))
    assert program.holdings(program.solve(seconds=5, gap=0.0)).tolist() == [3]


def test_rows_that_are_neither_wanted_nor_in_a_clause_are_not_stated():
    problem = either(3, 5)
    alone = Problem(problem.names, (), problem.rows)
    program = stated(alone)
    program.aim_near(np.array([9.0]), np.ones(1))
    assert program.holdings(program.solve(seconds=5)).tolist() == [9]


# ---- the linear relaxation -------------------------------------------------------------------------------------------


def possible(seed: int) -> bool:
    problem = small(Random(seed), names=3, rows=3)
    return any(meets(problem, x) for x in points(problem))


@pytest.mark.parametrize("seed", [seed for seed in range(40) if possible(seed)])
def test_the_relaxation_is_never_worse_than_any_whole_holdings(seed):
    problem = small(Random(seed), names=3, rows=3)
    rows = RowTable(problem)
    program = RowProgram(rows, Scope(rows.lower, rows.upper, rows.limit, rows.asserted), whole=False)
    (slack,) = program.program.columns(-1.0, np.inf, cost=1.0)
    program.assert_rows(slack=int(slack))
    violation = program.solve(seconds=5).values[slack]
    assert violation <= 1e-7, "what whole holdings meet, the relaxation meets"


def test_holdings_are_brought_back_into_bounds():
    problem = Problem((Name("A", 0, 0, 3),), (), ())
    program = RowProgram(RowTable(problem), scope_of(RowTable(problem)), whole=True)
    found = [program.holdings(Answer(np.array([v]), np.zeros(0))).tolist()[0] for v in (-0.4, 1.5000001, 2.4999, 3.6)]
    assert found == [0, 2, 2, 3]
