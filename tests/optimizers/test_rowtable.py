"""Arrays against the plain meaning of the certificate: equal on random functions of every shape."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.certificate import Function, Name, Problem, Row, Working
from lexorder.optimizers.functiontable import FunctionTable, whole
from lexorder.optimizers.rowtable import RowTable, interval_within

SEEDS = st.integers(0, 10**9)


def a_function(rng: random.Random, size: int) -> Function:
    count = rng.randint(0, 3)
    breaks = tuple(sorted(rng.sample(range(-12, 13), count)))
    polys = tuple(
        (rng.randint(-50, 50) * size, rng.randint(-9, 9) * size, rng.choice([0, 0, 1, 2]) * size)
        for _ in range(count + 1)
    )
    return Function(breaks, polys)


def a_problem(rng: random.Random) -> Problem:
    size = rng.choice([1, 1, 10**25])
    names, working = [], []
    for index in range(rng.randint(1, 4)):
        low = rng.randint(-8, 8)
        high, held = rng.randint(low, 9), rng.randint(-9, 9)
        if rng.random() < 0.3:
            low = high = held
            working += [Working(index, rng.choice([-3, -1, 2, 4])) for _ in range(rng.randint(1, 2))]
        names.append(Name(f"n{index}", held, low, high))
    rows = []
    for index in range(rng.randint(1, 5)):
        chosen = rng.sample(range(len(names)), rng.randint(1, len(names)))
        fills = tuple((k, rng.randint(-5, 5)) for k in range(len(working)) if rng.random() < 0.3)
        terms = tuple((n, a_function(rng, size)) for n in chosen)
        rows.append(Row(f"r{index}", rng.randint(-40, 60) * size, terms, fills, passive=rng.random() < 0.5))
    return Problem(tuple(names), tuple(working), tuple(rows))


def a_box(rng: random.Random, problem: Problem) -> tuple[list[int], list[int]]:
    low, high = [], []
    for name in problem.names:
        low.append(rng.randint(min(name.held, name.lower), max(name.held, name.upper)))
        high.append(rng.randint(low[-1], max(low[-1], name.upper)))
    return low, high


def reachable(table: RowTable, low: list[int], high: list[int]) -> list[tuple[int, int]]:
    frozen = table.problem.frozen
    return [table.resting[n] if n in frozen else (low[n], high[n]) for n in range(len(low))]


@given(SEEDS)
def test_worst_over_a_box_equals_the_certificate(seed: int) -> None:
    rng = random.Random(seed)
    problem = a_problem(rng)
    table = RowTable(problem)
    low, high = a_box(rng, problem)
    box = reachable(table, low, high)
    expected = [problem.worst(row, box) for row in problem.rows]
    assert table.worst(np.array(low), np.array(high)).tolist() == expected


@given(SEEDS)
def test_totals_equal_the_certificate(seed: int) -> None:
    rng = random.Random(seed)
    problem = a_problem(rng)
    table = RowTable(problem)
    low, _ = a_box(rng, problem)
    expected = [problem.worst(row, reachable(table, low, low)) for row in problem.rows]
    assert table.totals(np.array(low)).tolist() == expected


@given(SEEDS)
def test_minima_equal_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    functions = [a_function(rng, rng.choice([1, 10**20])) for _ in range(4)]
    table = FunctionTable([0, 0, 1, 2], [0, 1, 0, 1], functions, whole([15, 15]))
    low = [rng.randint(-14, 14) for _ in range(2)]
    high = [rng.randint(lo, 15) for lo in low]
    expected = [
        min(f.value(x) for x in range(low[n], high[n] + 1)) for f, n in zip(functions, [0, 1, 0, 1], strict=True)
    ]
    assert table.minima(np.array(low), np.array(high)).tolist() == expected


@given(SEEDS)
def test_folding_keeps_exactly_the_allowed_holdings(seed: int) -> None:
    problem = a_problem(random.Random(seed))
    table = RowTable(problem)
    domain = table.domain(table.limit, np.ones(table.count, dtype=bool))
    for index, name in enumerate(problem.names):
        if index in problem.frozen:
            continue
        allowed = set(range(name.lower, name.upper + 1))
        for row in np.flatnonzero(domain.folded).tolist():
            for other, function in table.entries_of(row):
                if other == index:
                    room = int(table.limit[row]) - int(table.constant[row])
                    allowed = {x for x in allowed if function.value(x) <= room}
        kept = set(range(int(domain.low[index]), int(domain.high[index]) + 1))
        assert kept == allowed if domain.empty < 0 else True
        assert domain.empty >= 0 or allowed


def test_a_row_that_nothing_satisfies_is_named() -> None:
    names = (Name("A", 0, 0, 5),)
    rows = (Row("fine", 9, ((0, Function.linear(1)),)), Row("never", -1, ((0, Function.linear(1)),)))
    table = RowTable(Problem(names, (), rows))
    assert table.domain(table.limit, table.asserted).empty == 1


def test_holdings_that_are_no_interval_stay_outside() -> None:
    hill = Function((0, 5), ((0, 0, 0), (9, 0, 0), (0, 0, 0)))
    assert interval_within(hill, -3, 9, 5) is None
    assert interval_within(hill, 0, 4, 5) == (5, -1)
    assert interval_within(Function.quadratic(1), -9, 9, 16) == (-4, 4)


@pytest.mark.parametrize(("size", "small"), [(10**6, True), (10**15, False)])
def test_int64_is_used_only_where_the_sum_fits(size: int, small: bool) -> None:
    names = tuple(Name(f"n{i}", 0, 0, 10**4) for i in range(3))
    rows = (Row("sum", 1, tuple((i, Function.linear(size)) for i in range(3))),)
    table = RowTable(Problem(names, (), rows))
    assert table.table.exact64 is small
    assert table.totals(table.upper).tolist() == [3 * 10**4 * size]


def test_passive_breaches_are_tolerated_at_their_present_value_only() -> None:
    names = (Name("A", 7, 0, 9),)
    line = ((0, Function.linear(1)),)
    rows = (Row("old", 5, line, passive=True), Row("firm", 5, line), Row("loose", 8, line, passive=True))
    assert RowTable(Problem(names, (), rows)).tolerated.tolist() == [7, 5, 8]


FAR = (2**63 - 1, 2**63, 10**30)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("slope", [1, -1])
def test_a_limit_far_beyond_64_bits_leaves_nothing_and_says_which_row(far: int, slope: int) -> None:
    rows = (Row("fine", 9, ((0, Function.linear(1)),)), Row("never", -far, ((0, Function.linear(slope)),)))
    table = RowTable(Problem((Name("A", 0, 0, 5),), (), rows))
    domain = table.domain(table.limit, table.asserted)
    assert domain.empty == 1
    assert domain.low[0] > domain.high[0]


@pytest.mark.parametrize("far", FAR)
def test_a_limit_far_out_of_reach_changes_no_bound(far: int) -> None:
    rows = tuple(Row(f"r{slope}", far, ((0, Function.linear(slope)),)) for slope in (1, -1, 3))
    table = RowTable(Problem((Name("A", 0, -5, 5),), (), rows))
    domain = table.domain(table.limit, table.asserted)
    assert (domain.low.tolist(), domain.high.tolist(), domain.empty) == ([-5], [5], -1)
    assert (domain.low_row.tolist(), domain.high_row.tolist()) == ([-1], [-1])


def test_of_several_rows_the_tightest_is_named_as_the_source_of_a_bound() -> None:
    line, back = ((0, Function.linear(2)),), ((0, Function.linear(-3)),)
    rows = (Row("wide", 9, line), Row("tight", 7, line), Row("floor", -4, back), Row("low", 0, back))
    table = RowTable(Problem((Name("A", 2, -9, 9),), (), rows))
    domain = table.domain(table.limit, table.asserted)
    # 2x <= 7 leaves x <= 3; -3x <= -4 leaves x >= 2
    assert (domain.low.tolist(), domain.high.tolist()) == ([2], [3])
    assert (domain.low_row.tolist(), domain.high_row.tolist()) == ([2], [1])
    assert domain.folded.all()
