"""The continuous form: hinges that are the function at every holding, rows left out only where they cannot bind."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Function, Name, Objective, Problem, Row
from lexorder.optimizers.conic import Relaxation, shape_of
from lexorder.optimizers.convex import propose
from lexorder.optimizers.functiontable import whole
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable
from tests.optimizers.books import meets, points, small
from tests.optimizers.test_functiontable import a_function, table_of

HIGH = 15


def a_convex_function(random: Random) -> Function:
    """A sum of costs around holdings, hinges between two holdings, and a line; kinks at the same place add up."""
    parts = [Function.around(random.randint(-6, 6), random.randint(0, 4), random.randint(0, 4)) for _ in range(2)]
    slope, at = random.randint(1, 5), random.randint(-6, 6)
    there = random.randint(0, slope)  # its value at the first holding beyond the kink
    parts.append(Function.threshold(at, (0, 0, 0), (there - slope * at, slope, 0)))
    total = Function.linear(random.randint(-5, 5), random.randint(-9, 9))
    for part in parts:
        total = total.plus(part)
    return total.plus(Function.quadratic(random.choice([0, 0, 2])))


@pytest.mark.parametrize("seed", range(60))
def test_a_convex_function_is_its_line_and_its_hinges_at_every_holding(seed):
    random = Random(seed)
    functions = [a_convex_function(random) for _ in range(3)]
    low = [random.randint(-HIGH, 5) for _ in functions]
    high = [random.randint(a, HIGH) for a in low]
    shape = shape_of(table_of(functions), whole(low), whole(high))
    assert shape.convex.all()
    for entry, function in enumerate(functions):
        own = shape.hinge_entry == entry
        for x in range(low[entry], high[entry] + 1):
            a0, a1, a2 = shape.poly[entry]
            hinges = (shape.slope[own] * np.maximum(0.0, x - shape.kink[own])).sum()
            assert a0 + (a1 + a2 * x) * x + hinges == pytest.approx(function.value(x), abs=1e-9)
        assert (shape.slope[own] > 0).all()


@pytest.mark.parametrize("seed", range(60))
def test_a_function_is_called_convex_only_if_its_second_differences_are_not_negative(seed):
    random = Random(500 + seed)
    functions = [a_function(random) for _ in range(4)]
    low, high = [-HIGH] * 4, [HIGH] * 4
    shape = shape_of(table_of(functions), whole(low), whole(high))
    for function, convex in zip(functions, shape.convex.tolist(), strict=True):
        bends = [function.value(x + 1) - 2 * function.value(x) + function.value(x - 1) for x in range(1 - HIGH, HIGH)]
        assert not convex or min(bends) >= 0


def test_breaks_outside_the_bounds_do_not_count():
    jump = Function.threshold(5, (0, 0, 0), (9, 0, 0))
    for low, high, convex in ((0, 4, True), (0, 5, False), (4, 6, False), (5, 9, True), (6, 9, True)):
        assert shape_of(table_of([jump]), whole([low]), whole([high])).convex.tolist() == [convex]


def relaxed(problem: Problem) -> Relaxation:
    rows = RowTable(problem)
    domain = rows.domain(rows.limit, rows.asserted)
    return Relaxation(rows, ObjectiveTable(problem, rows.reach), domain, rows.limit, rows.asserted)


@pytest.mark.parametrize("seed", range(60))
def test_rows_are_left_out_only_where_they_are_curved_folded_or_cannot_be_broken(seed):
    problem = small(Random(seed), names=3, rows=4)
    form = relaxed(problem)
    if form.domain.empty >= 0:
        return
    inside = [
        x
        for x in points(problem)
        if all(a <= v <= b for v, a, b in zip(x, form.domain.low.tolist(), form.domain.high.tolist(), strict=True))
    ]
    for r, row in enumerate(problem.rows):
        breakable = any(problem.worst(row, problem.box(x)) > row.limit for x in inside)
        stated = r in form.kept or r in form.left_out
        assert stated or form.domain.folded[r] or not breakable


@pytest.mark.parametrize("seed", range(40))
def test_the_continuous_optimum_is_no_worse_than_any_whole_holdings(seed):
    problem = small(Random(seed), names=3, rows=3, convex=True)
    feasible = [x for x in points(problem) if meets(problem, x)]
    if not feasible or problem.objective is None:
        return
    form = relaxed(problem)
    try:
        found = propose(form, seconds=5)
    except ProposalError:
        return
    best = min(problem.objective.value(x) for x in feasible)
    assert continuous(problem, found.holdings) <= best + 1e-4 * (1 + abs(best))
    assert (found.duals >= 0).all()
    assert (form.domain.low - 1e-6 <= found.holdings).all()
    assert (found.holdings <= form.domain.high + 1e-6).all()


def continuous(problem: Problem, holdings: np.ndarray) -> float:
    """The objective between whole holdings, where all its pieces are convex and meet."""
    assert problem.objective is not None
    total = 0.0
    for name, function in problem.objective.functions:
        x = float(holdings[name])
        total += max(a0 + (a1 + a2 * x) * x for a0, a1, a2 in function.polys)
    return total


def test_what_cannot_move_is_no_variable():
    names = (Name("A", 3, 3, 3), Name("B", 0, 0, 9))
    row = Row("sum", 8, ((0, Function.linear(1)), (1, Function.linear(1))))
    form = relaxed(Problem(names, (), (row,)))
    assert form.free.tolist() == [1]
    assert propose(form, seconds=5).holdings[0] == 3.0


def test_a_name_that_nothing_can_move_needs_no_solver(monkeypatch):
    monkeypatch.setattr("lexorder.optimizers.convex.ask_clarabel", None)
    form = relaxed(Problem((Name("A", 3, 3, 3),), (), (Row("r", 5, ((0, Function.linear(1)),)),)))
    assert propose(form, seconds=5).holdings.tolist() == [3.0]


def test_the_price_of_a_folded_row_is_told_for_that_row():
    # Each unit is worth 5, and the row allows no more than 4: a unit of its limit is worth 5 / 2.
    problem = Problem((Name("A", 0, 0, 9),), (), (Row("cap", 8, ((0, Function.linear(2)),)),))
    goal = Objective("1", ((0, Function.linear(-5)),))
    form = relaxed(Problem(problem.names, (), problem.rows, (), goal))
    assert form.domain.folded.tolist() == [True]
    found = propose(form, seconds=5)
    assert found.holdings == pytest.approx([4.0], abs=1e-5)
    assert found.duals == pytest.approx([2.5], rel=1e-4)
