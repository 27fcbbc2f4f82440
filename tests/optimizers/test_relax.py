"""Relaxations of a conflict against enumeration: the least limit, or proof that none would do."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Clause, Function, Name, Problem, Row
from lexorder.optimizers import relax
from lexorder.optimizers.milp import RowProgram
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.relax import Relaxation, relaxations
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import meets, points, small

LINE, BACK = ((0, Function.linear(1)),), ((0, Function.linear(-1)),)


def eased(problem: Problem, *conflict: int) -> tuple[Relaxation, ...]:
    rows = RowTable(problem)
    clauses = tuple(range(len(problem.clauses)))
    chosen = conflict or tuple(r for r, row in enumerate(problem.rows) if row.asserted)
    return relaxations(rows, chosen, rows.limit, rows.asserted, clauses, seconds=5)


def without(problem: Problem, row: int) -> list[int]:
    """What the row comes to wherever everything else is met."""
    rows = tuple(replace(r, asserted=r.asserted and n != row) for n, r in enumerate(problem.rows))
    bare = Problem(problem.names, problem.working, rows, problem.clauses)
    return [problem.worst(problem.rows[row], problem.box(x)) for x in points(bare) if meets(bare, x)]


@pytest.mark.parametrize("seed", range(80))
def test_the_least_limit_is_that_of_enumeration_and_no_limit_is_proved(seed):
    problem = small(Random(seed), names=3, rows=3, clauses=seed % 2, working=seed % 4 == 0)
    if any(meets(problem, x) for x in points(problem)):
        return
    for row, told in zip((r for r, x in enumerate(problem.rows) if x.asserted), eased(problem), strict=True):
        values = without(problem, row)
        assert told.row == row
        if not values:
            assert (told.verdict, told.limit, told.by) == ("not-enough", None, None)
        else:
            assert told.verdict == "enough"
            assert told.limit is not None
            assert told.by == told.limit - problem.rows[row].limit
            assert told.limit in values, "some holdings need exactly this much"
            if all(a2 == 0 for r in problem.rows for _, f in r.functions for _, _, a2 in f.polys):
                assert told.limit == min(values)


def test_conflicts_that_can_and_cannot_be_cured_both_occur():
    verdicts = set()
    for seed in range(80):
        problem = small(Random(seed), names=3, rows=3, clauses=seed % 2, working=seed % 4 == 0)
        if not any(meets(problem, x) for x in points(problem)):
            verdicts |= {told.verdict for told in eased(problem)}
    assert verdicts == {"enough", "not-enough"}


def sandwich(*rows: Row, clauses: tuple[Clause, ...] = ()) -> Problem:
    return Problem((Name("A", 3, 0, 9),), (), rows, clauses)


def test_each_row_is_relaxed_alone_with_the_others_as_they_are():
    problem = sandwich(Row("at-most-2", 2, LINE), Row("at-least-5", -5, BACK))
    assert eased(problem) == (Relaxation(0, "enough", 5, 3), Relaxation(1, "enough", -2, 3))


def test_the_bounds_of_the_names_are_not_relaxed():
    problem = sandwich(Row("at-least-12", -12, BACK))
    assert eased(problem) == (Relaxation(0, "enough", -9, 3),), "nine is all there can be"
    held = Problem((Name("A", 3, 3, 3),), (), (Row("at-least-12", -12, BACK), Row("at-most-1", 1, LINE)))
    assert [e.verdict for e in eased(held)] == ["not-enough", "not-enough"]


def test_clauses_bind_while_a_row_is_relaxed():
    rows = (
        Row("at-least-4", -4, BACK),
        Row("none", 0, LINE, asserted=False),
        Row("nine", -9, BACK, asserted=False),
        Row("at-most-6", 6, LINE),
    )
    problem = sandwich(*rows, clauses=(Clause("none-or-nine", ((1,), (2,))),))
    assert eased(problem, 0, 3) == (Relaxation(0, "enough", 0, 4), Relaxation(3, "enough", 9, 3))


def test_a_limit_far_beyond_64_bits_is_relaxed_exactly():
    far = 10**30
    problem = sandwich(Row("far", -far, LINE))
    assert eased(problem) == (Relaxation(0, "enough", 0, far),)


# ---- when the solver fails -------------------------------------------------------------------------------------------


def failing(*_: object, **__: object) -> object:
    raise ProposalError("HiGHS", "Time limit reached")


def test_without_a_solver_the_search_for_a_proof_may_still_meet_holdings(monkeypatch):
    monkeypatch.setattr(RowProgram, "solve", failing)
    problem = sandwich(Row("at-most-2", 2, LINE), Row("at-least-5", -5, BACK))
    for told in eased(problem):
        assert told.verdict in ("enough", "unknown")
        if told.verdict == "enough":
            assert told.limit is not None
            assert told.limit >= {0: 5, 1: -2}[told.row]


def test_a_breach_that_may_stay_proves_nothing_where_the_solver_fails(monkeypatch):
    # A stands at 3 or more, where at most 2 are allowed: tolerated, since it was so before.
    rows = (Row("at-most-2", 2, LINE, passive=True), Row("at-least-5", -5, BACK))
    table = RowTable(Problem((Name("A", 3, 3, 9),), (), rows))
    assert [table.tolerated[0], table.limit[0]] == [3, 2]
    monkeypatch.setattr(RowProgram, "solve", failing)
    (told,) = relaxations(table, (1,), table.tolerated, table.asserted, (), seconds=5)
    assert told.verdict != "not-enough", "at its own limit the old breach would refute everything"


def test_a_proof_that_does_not_end_leaves_it_unknown(monkeypatch):
    problem = sandwich(Row("at-most-2", 2, LINE), Row("at-least-5", -5, BACK), Row("at-most-1", 1, LINE))
    assert [e.verdict for e in eased(problem)] == ["not-enough", "enough", "not-enough"]
    monkeypatch.setattr(relax, "prove", lambda *_, **__: None)
    assert [e.verdict for e in eased(problem)] == ["unknown", "enough", "unknown"]


def test_holdings_that_the_exact_check_refuses_relax_nothing(monkeypatch):
    problem = sandwich(Row("at-most-2", 2, LINE), Row("at-least-5", -5, BACK))
    monkeypatch.setattr(relax, "accepts", lambda *_: False)
    assert {e.verdict for e in eased(problem)} <= {"unknown", "not-enough"}


def test_a_breach_that_may_stay_is_not_asked_to_be_cured():
    # At 3 of at most 2, passive: with its breach tolerated only the floor of 5 is in the way.
    problem = sandwich(Row("at-most-2", 2, LINE, passive=True), Row("at-least-5", -5, BACK))
    rows = RowTable(problem)
    assert rows.tolerated.tolist() == [3, -5]
    told = relaxations(rows, (0, 1), rows.tolerated, rows.asserted, (), seconds=5)
    assert told == (Relaxation(0, "enough", 5, 3), Relaxation(1, "enough", -3, 2))


def test_every_wanted_row_but_the_one_is_kept_also_those_outside_the_conflict():
    problem = sandwich(Row("at-most-2", 2, LINE), Row("at-least-5", -5, BACK), Row("at-most-4", 4, LINE))
    assert eased(problem, 0, 1) == (Relaxation(0, "not-enough"), Relaxation(1, "enough", -2, 3))
    assert np.array([r.asserted for r in problem.rows]).all()
