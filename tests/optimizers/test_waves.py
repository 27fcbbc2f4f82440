"""Waves: every fill state of every wave is enumerated and held against the plain meaning."""

import random
from itertools import product

import numpy as np
import pytest

from lexorder.engine.certificate import Clause, Function, Name, Problem, Row
from lexorder.optimizers.refusals import UnsafePathError, UnsafeStartError
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.waves import plan
from tests.optimizers.books import points, small


def states(problem: Problem, start: list[int], wave) -> list[list[int]]:
    """All holdings a wave can stand at, working orders left aside (they are in `Problem.worst`)."""
    ranges = [[x] for x in start]
    for order in wave:
        step = 1 if order.quantity > 0 else -1
        first = start[order.name]
        ranges[order.name] = list(range(first, first + order.quantity + step, step))
    return [list(x) for x in product(*ranges)]


def holds(problem: Problem, holdings: list[int], start: list[int]) -> bool:
    """Asserted rows at their limit, or no worse than at the start where passive."""
    now, before = problem.box(holdings), problem.box(start)
    for row in (r for r in problem.rows if r.asserted):
        allowed = max(row.limit, problem.worst(row, before)) if row.passive else row.limit
        if problem.worst(row, now) > allowed:
            return False
    return True


@pytest.mark.parametrize("seed", range(150))
def test_every_fill_state_of_every_wave_is_safe(seed: int) -> None:
    rng = random.Random(seed)
    problem = small(rng, names=3, rows=3, span=3, working=seed % 3 == 0)
    held = [n.held for n in problem.names]
    ends = [list(x) for x in points(problem) if holds(problem, list(x), held)]
    if not ends:
        return
    target = rng.choice(ends)
    try:
        found = plan(RowTable(problem), np.array(target), waves_max=8)
    except (UnsafeStartError, UnsafePathError):
        return
    here = held
    for wave in found.waves:
        assert all(holds(problem, state, held) for state in states(problem, here, wave))
        here = [x + sum(o.quantity for o in wave if o.name == n) for n, x in enumerate(here)]
    assert here == found.holdings.tolist()
    assert found.trimmed or here == target


def cash_book(cash: int) -> Problem:
    """Sell 10 A to buy 10 B, each worth 1, with `cash` to spare."""
    names = (Name("A", 10, 0, 10), Name("B", 0, 0, 10))
    rows = (Row("cash", 10 + cash, ((0, Function.linear(1)), (1, Function.linear(1)))),)
    return Problem(names, (), rows)


@pytest.mark.parametrize(("cash", "waves"), [(10, 1), (9, 2), (0, 2)])
def test_one_wave_where_it_is_safe_else_sells_first(cash: int, waves: int) -> None:
    found = plan(RowTable(cash_book(cash)), np.array([0, 10]), waves_max=8)
    assert len(found.waves) == waves
    assert found.waves[0][0].quantity == -10


def test_a_floor_and_a_ceiling_take_more_waves() -> None:
    bare = cash_book(3)
    floor = Row("invested", -7, ((0, Function.linear(-1)), (1, Function.linear(-1))))
    problem = Problem(bare.names, (), (*bare.rows, floor))
    found = plan(RowTable(problem), np.array([0, 10]), waves_max=8)
    # Each wave can sell 3 and buy 3: ten units take four.
    assert (len(found.waves), found.trimmed) == (4, ())


def test_what_does_not_fit_into_the_waves_is_trimmed_and_named() -> None:
    bare = cash_book(3)
    floor = Row("invested", -7, ((0, Function.linear(-1)), (1, Function.linear(-1))))
    problem = Problem(bare.names, (), (*bare.rows, floor))
    found = plan(RowTable(problem), np.array([0, 10]), waves_max=2)
    assert found.trimmed == (0, 1)
    assert found.holdings.tolist() == [4, 6]


def test_no_way_at_all_is_refused_with_the_rows_in_the_way() -> None:
    bare = cash_book(0)
    floor = Row("invested", -10, ((0, Function.linear(-1)), (1, Function.linear(-1))))
    problem = Problem(bare.names, (), (*bare.rows, floor))
    with pytest.raises(UnsafePathError) as refusal:
        plan(RowTable(problem), np.array([0, 10]), waves_max=8)
    assert refusal.value.rows == ("cash", "invested")
    assert refusal.value.names == ("A", "B")


def test_a_start_that_is_broken_and_not_passive_is_refused() -> None:
    with pytest.raises(UnsafeStartError) as refusal:
        plan(RowTable(cash_book(-1)), np.array([0, 5]), waves_max=8)
    assert refusal.value.rows == ("cash",)


def test_a_clause_keeps_one_alternative_through_each_wave() -> None:
    names = (Name("A", 5, 0, 5), Name("B", 0, 0, 5))
    rows = tuple(Row(f"no-{n}", 0, ((i, Function.linear(1)),), asserted=False) for i, n in enumerate("AB"))
    problem = Problem(names, (), rows, (Clause("not-both", ((0,), (1,))),))
    found = plan(RowTable(problem), np.array([0, 5]), waves_max=8)
    assert [[(o.name, o.quantity) for o in w] for w in found.waves] == [[(0, -5)], [(1, 5)]]
