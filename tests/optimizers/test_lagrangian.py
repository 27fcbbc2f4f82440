"""The exact least value of weighted rows over a box, against enumeration and against the stand-alone verifier."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Certificate, Function, Infeasible, Leaf, Name, Problem, Row, Working
from lexorder.engine.verify import verify
from lexorder.optimizers.functiontable import FunctionTable, whole
from lexorder.optimizers.lagrangian import WeightedSum, refutes
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.solve import NO_HASH
from tests.optimizers.test_functiontable import a_function

SPAN = range(-6, 7)


def a_problem(random: Random, *, working: bool = False) -> Problem:
    names = [Name(f"n{i}", 0, -6, 6) for i in range(2)]
    orders: tuple[Working, ...] = ()
    if working:
        names.append(Name("busy", 3, 3, 3))
        orders = (Working(2, random.choice([-2, 1, 4])),)
    rows = []
    for index in range(3):
        chosen = sorted(random.sample(range(len(names)), random.randint(1, len(names))))
        fills = ((0, random.randint(-4, 4)),) if working and 2 not in chosen else ()
        terms = tuple((n, a_function(random)) for n in chosen)
        rows.append(Row(f"r{index}", random.randint(-30, 60), terms, fills))
    return Problem(tuple(names), orders, tuple(rows))


def excess(problem: Problem, weights: dict[int, int], x: tuple[int, ...]) -> int:
    """The weighted excess where the names stand at x, by the certificate's own meaning."""
    box = problem.box((*x, *(n.held for n in problem.names[len(x) :])))
    return sum(w * (problem.worst(problem.rows[r], box) - problem.rows[r].limit) for r, w in weights.items())


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("size", [1, 10**40])
def test_the_least_value_is_that_of_enumeration(seed, size):
    random = Random(seed)
    problem = a_problem(random, working=seed % 2 == 1)
    weights = {r: random.randint(1, 9) * size for r in random.sample(range(3), random.randint(1, 3))}
    low = [random.choice(SPAN) for _ in range(2)]
    high = [random.randint(a, 6) for a in low]
    rows, total = RowTable(problem), WeightedSum(len(problem.names))
    for row, weight in weights.items():
        total.add_row(rows, row, weight)
    rest = [n.held for n in problem.names[2:]]
    found = total.minimum(whole([*low, *rest]), whole([*high, *rest]))
    assert found == min(
        excess(problem, weights, x) for x in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_refutes_is_what_the_verifier_accepts(seed):
    random = Random(1000 + seed)
    problem = a_problem(random, working=seed % 2 == 1)
    rows = RowTable(problem)
    weights = {r: random.randint(1, 9) for r in sorted(random.sample(range(3), random.randint(1, 3)))}
    claim = Infeasible(tuple(weights), (), Leaf(tuple(weights.items())))
    verdict = verify(Certificate(NO_HASH, NO_HASH, problem, (), (claim,)).text())
    assert refutes(rows, weights, rows.lower, rows.upper) is verdict.valid
    assert verdict.valid or verdict.code == "not-refuted"


def test_both_answers_occur():
    answers = set()
    for seed in range(60):
        random = Random(1000 + seed)
        problem = a_problem(random, working=seed % 2 == 1)
        rows = RowTable(problem)
        weights = {r: random.randint(1, 9) for r in sorted(random.sample(range(3), random.randint(1, 3)))}
        answers.add(refutes(rows, weights, rows.lower, rows.upper))
    assert answers == {True, False}


@pytest.mark.parametrize(("limit", "refuted"), [(6, False), (5, True)])
def test_meeting_a_limit_exactly_refutes_nothing(limit, refuted):
    problem = Problem((Name("A", 0, 2, 9),), (), (Row("r", limit, ((0, Function.linear(3)),)),))
    rows = RowTable(problem)
    assert refutes(rows, {0: 1}, rows.lower, rows.upper) is refuted
    assert refutes(rows, {0: 10**60}, rows.lower, rows.upper) is refuted, "a weight changes no sign"


@pytest.mark.parametrize("seed", range(40))
def test_slopes_and_entries_add_to_the_sum(seed):
    random = Random(2000 + seed)
    functions = [a_function(random), a_function(random)]
    table = FunctionTable([0, 0], [0, 1], functions, whole([6, 6]))
    slopes = [random.randint(-20, 20) for _ in range(2)]
    total = WeightedSum(2)
    total.add_entries(table, 0, 2, 3)
    total.add_slopes(np.array(slopes, dtype=object))
    total.constant += 11
    found = total.minimum(whole([-6, -6]), whole([6, 6]))
    separate = [min(3 * f.value(x) + s * x for x in SPAN) for f, s in zip(functions, slopes, strict=True)]
    assert found == 11 + sum(separate)


def test_only_the_entries_asked_for_are_added():
    functions = [Function.linear(5), Function.absolute(7, 2)]
    table = FunctionTable([0, 1], [0, 0], functions, whole([6]))
    total = WeightedSum(1)
    total.add_entries(table, 1, 2, 1)
    assert total.minimum(whole([-1]), whole([1])) == 7, "7·|x - 2| is least at 1; the line is left out"


@pytest.mark.parametrize("x", range(-4, 5))
def test_at_a_point_the_least_value_is_the_value(x):
    function = Function((-1, 2), ((1, 2, 1), (9, -3, 0), (0, 0, 2)))
    table = FunctionTable([0], [0], [function], whole([6]))
    total = WeightedSum(1)
    total.add_entries(table, 0, 1, 1)
    assert total.minimum(whole([x]), whole([x])) == function.value(x)
