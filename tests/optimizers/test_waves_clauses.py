"""Waves with clauses, old breaches and working orders: held against brute force over every fill state."""

from __future__ import annotations

import json
from itertools import product
from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Certificate, Clause, Function, Name, Problem, Row, Safe, Wave, Working
from lexorder.engine.verify import verify
from lexorder.optimizers.refusals import UnsafePathError, UnsafeStartError
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.solve import NO_HASH
from lexorder.optimizers.waves import check_start, plan, safe
from tests.certificate.truth import Truth
from tests.optimizers.books import points, small

LINE = Function.linear(1)


def document(problem: Problem, waves: tuple[Wave, ...]) -> str:
    return Certificate(NO_HASH, NO_HASH, problem, waves, (Safe(),)).text()


def truly_safe(problem: Problem, waves: tuple[Wave, ...]) -> bool:
    """By brute force over every partial fill, and by the stand-alone verifier, which must agree."""
    text = document(problem, waves)
    true = Truth(json.loads(text)).safe()
    assert verify(text).valid is true
    return true


@pytest.mark.parametrize("seed", range(150))
def test_a_plan_is_safe_in_every_fill_state_by_brute_force(seed):
    random = Random(seed)
    problem = small(random, names=3, rows=4, span=3, clauses=seed % 3, working=seed % 2 == 0)
    table, held = RowTable(problem), [n.held for n in problem.names]
    target = np.array(random.choice(points(problem)))
    try:
        found = plan(table, target, waves_max=6)
    except UnsafeStartError:
        assert not truly_safe(problem, ()), "a start is refused only where it is not safe"
        return
    except UnsafePathError:
        return  # what is refused, and with which names, is stated below
    assert truly_safe(problem, found.waves)
    after = list(held)
    for order in (o for wave in found.waves for o in wave):
        after[order.name] += order.quantity
    assert after == found.holdings.tolist()
    assert set(found.trimmed) == {n for n in range(3) if after[n] != target[n]}
    for n in range(3):  # never past the target, never away from it
        low, high = sorted((held[n], int(target[n])))
        assert low <= after[n] <= high


def test_all_four_ends_occur():
    ends = set()
    for seed in range(150):
        random = Random(seed)
        problem = small(random, names=3, rows=4, span=3, clauses=seed % 3, working=seed % 2 == 0)
        target = np.array(random.choice(points(problem)))
        try:
            found = plan(RowTable(problem), target, waves_max=6)
        except (UnsafeStartError, UnsafePathError) as refused:
            ends.add(refused.code)
        else:
            ends.add("trimmed" if found.trimmed else f"{min(len(found.waves), 2)} waves")
    assert {"unsafe-start", "unsafe-path", "trimmed", "1 waves", "2 waves"} <= ends


@pytest.mark.parametrize("seed", range(60))
def test_a_box_is_called_safe_exactly_when_every_state_in_it_is(seed):
    random = Random(500 + seed)
    problem = small(random, names=3, rows=3, span=3)
    table = RowTable(problem)
    ends = [random.choice(points(problem)) for _ in range(2)]
    low, high = np.minimum(*map(np.array, ends)), np.maximum(*map(np.array, ends))
    worst = [
        max(
            problem.worst(row, problem.box(x))
            for x in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
        )
        for row in problem.rows
    ]
    start = [problem.worst(row, problem.box([n.held for n in problem.names])) for row in problem.rows]
    expected = all(
        value <= row.limit or (row.passive and value <= before)
        for row, value, before in zip(problem.rows, worst, start, strict=True)
    )
    assert safe(table, low, high) is expected


# ---- old breaches ----------------------------------------------------------------------------------------------------


def breached(*, passive: bool) -> Problem:
    """Twelve of A where eight are allowed, and a floor of ten for A and B together."""
    names = (Name("A", 12, 0, 20), Name("B", 0, 0, 20))
    floor = Row("floor", -10, ((0, Function.linear(-1)), (1, Function.linear(-1))))
    return Problem(names, (), (Row("cap", 8, ((0, LINE),), passive=passive), floor))


def test_an_old_breach_may_shrink_over_waves_and_stay():
    problem = breached(passive=True)
    found = plan(RowTable(problem), np.array([5, 5]), waves_max=8)
    assert found.holdings.tolist() == [5, 5]
    assert truly_safe(problem, found.waves)
    kept = plan(RowTable(problem), np.array([11, 0]), waves_max=8)
    assert truly_safe(problem, kept.waves)


def test_an_old_breach_may_not_grow_by_a_single_unit():
    problem = breached(passive=True)
    with pytest.raises(UnsafePathError) as refused:
        plan(RowTable(problem), np.array([13, 0]), waves_max=8)
    assert (refused.value.names, refused.value.rows) == (("A",), ("cap",))


def test_a_breach_that_is_not_passive_cannot_even_begin():
    with pytest.raises(UnsafeStartError) as refused:
        check_start(RowTable(breached(passive=False)))
    assert refused.value.rows == ("cap",)


# ---- clauses ---------------------------------------------------------------------------------------------------------


def either(held: tuple[int, int]) -> Problem:
    """At most two of A, or at most two of B."""
    names = (Name("A", held[0], 0, 9), Name("B", held[1], 0, 9))
    rows = tuple(Row(f"few-{n}", 2, ((i, LINE),), asserted=False, passive=True) for i, n in enumerate("AB"))
    return Problem(names, (), rows, (Clause("either", ((0,), (1,))),))


def test_changing_sides_takes_a_wave_in_which_both_sides_hold():
    problem = either((7, 2))
    found = plan(RowTable(problem), np.array([1, 8]), waves_max=8)
    assert [[(o.name, o.quantity) for o in wave] for wave in found.waves] == [[(0, -6)], [(1, 6)]]
    assert truly_safe(problem, found.waves)
    assert not truly_safe(problem, (tuple(o for wave in found.waves for o in wave),)), "not in one wave"


def test_a_clause_broken_from_before_may_stay_but_none_of_its_rows_gets_worse():
    problem = either((7, 8))
    table = RowTable(problem)
    found = plan(table, np.array([6, 8]), waves_max=8)
    assert found.holdings.tolist() == [6, 8]
    with pytest.raises(UnsafePathError) as refused:
        plan(table, np.array([8, 8]), waves_max=8)
    assert refused.value.rows == ("either",)


def test_a_broken_clause_without_tolerance_cannot_begin():
    problem = either((7, 8))
    firm = tuple(Row(r.id, r.limit, r.functions, asserted=False) for r in problem.rows)
    with pytest.raises(UnsafeStartError) as refused:
        check_start(RowTable(Problem(problem.names, (), firm, problem.clauses)))
    assert refused.value.rows == ("either",)


# ---- limits of the search --------------------------------------------------------------------------------------------


def test_working_orders_take_up_room_in_every_wave():
    names = (Name("A", 4, 4, 4), Name("B", 0, 0, 9))
    rows = (Row("sum", 9, ((0, LINE), (1, LINE))),)
    problem = Problem(names, (Working(0, 3), Working(0, -4)), rows)
    found = plan(RowTable(problem), np.array([4, 9]), waves_max=8)
    assert found.holdings.tolist() == [4, 2], "four and three at most in A leave room for two"
    assert found.trimmed == (1,)


@pytest.mark.parametrize("waves", [1, 2, 3, 5])
def test_no_more_waves_are_planned_than_are_allowed(waves):
    names = (Name("A", 10, 0, 10), Name("B", 0, 0, 10))
    both = ((0, LINE), (1, LINE))
    down = ((0, Function.linear(-1)), (1, Function.linear(-1)))
    problem = Problem(names, (), (Row("most", 12, both), Row("least", -9, down)))
    found = plan(RowTable(problem), np.array([0, 10]), waves_max=waves)
    assert len(found.waves) <= waves
    assert truly_safe(problem, found.waves)


def test_with_a_single_wave_what_needs_two_is_cut_short():
    names = (Name("A", 10, 0, 10), Name("B", 0, 0, 10))
    table = RowTable(Problem(names, (), (Row("cash", 10, ((0, LINE), (1, LINE))),)))
    target = np.array([0, 10])
    assert plan(table, target, waves_max=2).trimmed == ()
    short = plan(table, target, waves_max=1)
    assert (len(short.waves), short.holdings.tolist(), short.trimmed) == (1, [0, 0], (1,))


def test_numbers_beyond_64_bits_are_planned_exactly():
    big = 10**25
    names = (Name("A", 10, 0, 10), Name("B", 0, 0, 10))
    rows = (Row("cash", 10 * big, ((0, Function.linear(big)), (1, Function.linear(big)))),)
    found = plan(RowTable(Problem(names, (), rows)), np.array([0, 10]), waves_max=8)
    assert [[(o.name, o.quantity) for o in wave] for wave in found.waves] == [[(0, -10)], [(1, 10)]]
