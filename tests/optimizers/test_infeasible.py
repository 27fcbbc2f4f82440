"""Proofs of conflict: never for a feasible problem, always checked, minimal, with relaxations."""

import random

import numpy as np
import pytest

from lexorder.engine.certificate import Clause, Function, Name, Problem, Row
from lexorder.optimizers.infeasible import FoundHoldings, minimal, prove
from lexorder.optimizers.lagrangian import refutes
from lexorder.optimizers.relax import relaxations
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.solve import Conflict, solve
from tests.optimizers.books import meets, points, realistic, small


def sums(limits: tuple[int, int], *, span: int = 50) -> Problem:
    """6a + 10b + 15c at most the first limit and at least the second."""
    names = tuple(Name(f"n{i}", 0, 0, span) for i in range(3))
    up = tuple((i, Function.linear(a)) for i, a in enumerate((6, 10, 15)))
    down = tuple((i, Function.linear(-a)) for i, a in enumerate((6, 10, 15)))
    return Problem(names, (), (Row("most", limits[0], up), Row("least", -limits[1], down)))


def proof(problem: Problem):
    rows = RowTable(problem)
    clauses = tuple(range(len(problem.clauses)))
    try:
        return prove(rows, rows.asserted, clauses, seconds=5)
    except FoundHoldings as search:
        found = tuple(search.holdings.tolist())
    assert meets(problem, found)
    return None


@pytest.mark.parametrize("seed", range(150))
def test_proved_exactly_where_enumeration_finds_nothing(seed: int) -> None:
    problem = small(random.Random(seed), names=3, rows=3, clauses=seed % 3, working=seed % 5 == 0)
    feasible = any(meets(problem, x) for x in points(problem))
    assert (proof(problem) is None) == feasible


@pytest.mark.parametrize(("low", "conflict"), [(1000, False), (1001, True)])
def test_two_rows_that_miss_by_one_unit_in_a_million_millions(low: int, conflict: bool) -> None:
    big = 10**12
    names = tuple(Name(f"n{i}", 0, 0, 10**6) for i in range(2))
    up = ((0, Function.linear(big + 1)), (1, Function.linear(big - 1)))
    down = ((0, Function.linear(-big - 1)), (1, Function.linear(-big + 1)))
    rows = (Row("most", 1000 * big, up), Row("least", -low * big, down))
    found = proof(Problem(names, (), rows))
    assert (found is not None) is conflict


@pytest.mark.parametrize(("limit", "conflict"), [(29, True), (30, False)])
def test_whole_units_can_exclude_what_the_continuous_relaxation_allows(limit: int, conflict: bool) -> None:
    # 29 is no sum of sixes, tens and fifteens.
    found = proof(sums((limit, limit), span=5))
    assert (found is not None) is conflict


def test_a_minimal_set_is_named_among_many_rows() -> None:
    bare = realistic(40, 2)
    floor = Row("floor", -(10**12) * 99, tuple((i, Function.linear(-1)) for i in range(40)))
    problem = Problem(bare.names, (), (*bare.rows, floor), (), bare.objective)
    rows = RowTable(problem)
    claim = prove(rows, rows.asserted, (), seconds=5)
    assert claim is not None
    least = minimal(rows, claim, seconds=5)
    assert "floor" in {problem.rows[r].id for r in least.rows}
    for left_out in least.rows:
        wanted = np.zeros(rows.count, dtype=bool)
        wanted[[r for r in least.rows if r != left_out]] = True
        if wanted.any():
            with pytest.raises(FoundHoldings):
                prove(rows, wanted, (), seconds=5)


def test_clause_cases_are_used_where_they_are_needed() -> None:
    names = (Name("A", 0, 0, 9),)
    line, back = ((0, Function.linear(1)),), ((0, Function.linear(-1)),)
    rows = (
        Row("middle-low", -4, back), Row("middle-high", 6, line),
        Row("small", 2, line, asserted=False), Row("large", -8, back, asserted=False),
    )  # fmt: skip
    problem = Problem(names, (), rows, (Clause("either", ((2,), (3,))),))
    found = proof(problem)
    assert found is not None
    assert (found.rows, found.clauses) == ((0, 1), (0,))


def test_relaxations_are_the_least_that_work() -> None:
    problem = sums((90, 100))
    rows = RowTable(problem)
    eased = relaxations(rows, (0, 1), rows.limit, rows.asserted, (), seconds=5)
    assert [(e.verdict, e.limit, e.by) for e in eased] == [("enough", 100, 10), ("enough", -90, 10)]


def test_a_relaxation_that_is_not_enough_is_said_to_be() -> None:
    names = (Name("A", 0, 0, 9),)
    line, back = ((0, Function.linear(1)),), ((0, Function.linear(-1)),)
    rows = (Row("at-most-2", 2, line), Row("at-least-5", -5, back), Row("at-most-1", 1, line))
    table = RowTable(Problem(names, (), rows))
    eased = relaxations(table, (0, 1), table.limit, table.asserted, (), seconds=5)
    assert [(e.verdict, e.by) for e in eased] == [("not-enough", None), ("enough", 4)]


@pytest.mark.parametrize("seed", range(60))
def test_a_stated_relaxation_makes_the_problem_feasible_and_one_unit_less_does_not(seed: int) -> None:
    problem = small(random.Random(seed), names=3, rows=3)
    if any(meets(problem, x) for x in points(problem)):
        return
    answer = None
    try:
        answer = solve(problem)
    except Exception:
        return
    if not isinstance(answer, Conflict):
        return
    for eased in answer.relaxations:
        if eased.verdict != "enough" or any(r.passive for r in problem.rows):
            continue
        assert eased.limit is not None
        for limit, feasible in ((eased.limit, True), (eased.limit - 1, False)):
            rows = list(problem.rows)
            old = rows[eased.row]
            rows[eased.row] = Row(old.id, limit, old.functions, old.working)
            other = Problem(problem.names, problem.working, tuple(rows), problem.clauses)
            assert any(meets(other, x) for x in points(other)) is feasible


def test_a_refutation_is_exact() -> None:
    rows = RowTable(sums((99, 100)))
    assert refutes(rows, {0: 1, 1: 1}, rows.lower, rows.upper)
    assert not refutes(rows, {0: 1, 1: 2}, rows.lower, rows.upper)
    level = RowTable(sums((100, 100)))
    assert not refutes(level, {0: 1, 1: 1}, level.lower, level.upper)
