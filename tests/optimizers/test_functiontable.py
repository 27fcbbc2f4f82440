"""Arrays of functions against the functions themselves, one entry at a time, also where 64 bits end."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lexorder.engine.certificate import Function
from lexorder.optimizers.functiontable import FunctionTable, Ints, from_floats, whole

REACH = 15


def a_function(random: Random, size: int = 1) -> Function:
    breaks = tuple(sorted(random.sample(range(-12, 13), random.randint(0, 4))))
    polys = tuple(
        (random.randint(-50, 50) * size, random.randint(-9, 9) * size, random.choice([0, 0, 0, 2]) * size)
        for _ in range(len(breaks) + 1)
    )
    return Function(breaks, polys)


def table_of(functions: list[Function], names: list[int] | None = None, reach: int = REACH) -> FunctionTable:
    """Each function in a row of its own, of names 0, 1, … unless told."""
    order = names or list(range(len(functions)))
    return FunctionTable(list(range(len(functions))), order, functions, whole([reach] * (max(order, default=0) + 1)))


# ---- whole numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "small"),
    [(2**60 - 1, True), (2**60, False), (-(2**60) + 1, True), (-(2**60), False), (2**63, False), (10**80, False)],
)
def test_numbers_are_kept_exact_and_in_64_bits_only_below_two_to_the_sixtieth(value, small):
    kept = whole([1, value])
    assert (kept.dtype == np.int64) is small
    assert kept.tolist() == [1, value]


def test_no_numbers_are_an_empty_array():
    assert whole([]).tolist() == []
    assert from_floats(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("value", [0.0, -3.0, 2.0**53, 2.0**60, -(2.0**62), 1e30])
def test_whole_floats_become_the_integers_they_are(value):
    assert from_floats(np.array([value, 1.0])).tolist() == [int(value), 1]


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("size", [1, 10**25])
def test_values_at_every_holding_are_those_of_the_functions(seed, size):
    random = Random(seed)
    functions = [a_function(random, size) for _ in range(4)]
    table = table_of(functions)
    assert table.exact64 is (size == 1)
    for x in range(-REACH, REACH + 1):
        assert table.values(whole([x] * 4)).tolist() == [f.value(x) for f in functions]


@pytest.mark.parametrize("seed", range(25))
def test_extremes_over_every_interval_are_those_of_the_functions(seed):
    random = Random(100 + seed)
    functions = [a_function(random) for _ in range(3)]
    table = table_of(functions)
    for _ in range(40):
        low = [random.randint(-REACH, REACH) for _ in functions]
        high = [random.randint(a, REACH) for a in low]
        inside = [[f.value(x) for x in range(a, b + 1)] for f, a, b in zip(functions, low, high, strict=True)]
        assert table.maxima(whole(low), whole(high)).tolist() == [max(v) for v in inside]
        assert table.minima(whole(low), whole(high)).tolist() == [min(v) for v in inside]


def test_one_name_may_have_several_entries_and_one_row_several_names():
    line, hill = Function.linear(2), Function.absolute(3, 1)
    table = FunctionTable([0, 0, 1], [0, 1, 0], [line, hill, hill], whole([REACH, REACH]))
    values = table.values(whole([4, -1]))
    assert values.tolist() == [8, 6, 9]
    assert table.sums(values, 3).tolist() == [14, 9, 0], "a row without entries adds up to nothing"


def test_no_entries_at_all():
    table = FunctionTable([], [], [], whole([5]))
    assert table.values(whole([3])).tolist() == []
    assert table.sums(table.values(whole([3])), 2).tolist() == [0, 0]
    assert table.curved == []


def test_curved_entries_are_those_with_a_square_anywhere():
    functions = [
        Function.linear(1),
        Function.quadratic(1),
        Function.threshold(3, (0, 0, 0), (0, 0, 2)),
        Function.threshold(3, (0, 0, 2), (0, 0, 0)),
        Function.threshold(3, (0, 0, 2), (1, 0, 2)),
    ]
    assert table_of(functions).curved == [1, 2, 3, 4]


# ---- where 64 bits end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_unit", [2**57, 2**58, 2**59, 2**60, 2**63, 2**70])
def test_a_row_that_adds_up_near_the_end_of_64_bits_is_still_exact(per_unit):
    functions = [Function.linear(per_unit), Function.around(0, per_unit, per_unit)]
    table = FunctionTable([0, 0], [0, 1], functions, whole([2, 2]))
    for x in (-2, -1, 0, 1, 2):
        values = table.values(whole([x, x]))
        assert table.sums(values, 1).tolist() == [sum(f.value(x) for f in functions)]


def test_a_break_far_outside_the_holdings_counts_when_the_type_is_chosen():
    far = Function.threshold(2**40, (0, 2**30, 0), (5, 2**30, 0))
    table = table_of([far], reach=3)
    assert not table.exact64, "the value at the break is taken too: 2**70"
    assert table.kinks[0].before_value.tolist() == [2**30 * (2**40 - 1)]
    assert table.values(whole([3])).tolist() == [3 * 2**30]


# ---- shapes --------------------------------------------------------------------------------------------------------


def is_convex_at(function: Function, at: int) -> bool:
    """Whether the second differences at the break and just below it are at least nought."""
    f = function.value
    return all(f(x + 1) - 2 * f(x) + f(x - 1) >= 0 for x in (at - 1, at))


@pytest.mark.parametrize("seed", range(300))
def test_a_break_between_lines_is_convex_exactly_when_second_differences_say_so(seed):
    random = Random(seed)
    at, slope = random.randint(-5, 5), random.randint(-3, 3)
    left = (random.randint(-9, 9), slope, 0)
    # Half of the breaks meet without a jump, the others miss by a unit or two.
    right_slope = slope + random.randint(-3, 3)
    meets = left[0] + (slope - right_slope) * at
    right = (meets + random.choice([0, 0, 0, 1, -1, 2, right_slope - slope]), right_slope, 0)
    if left == right:
        return
    function = Function((at,), (left, right))
    (kink,) = table_of([function]).kinks
    assert kink.convex.tolist() == [is_convex_at(function, at)]


def test_a_change_of_curvature_is_not_called_convex():
    (kink,) = table_of([Function.threshold(0, (0, 0, 1), (0, 0, 2))]).kinks
    assert kink.convex.tolist() == [False]


@pytest.mark.parametrize("seed", range(30))
def test_the_poly_in_force_at_a_bound_and_the_breaks_above_it(seed):
    random = Random(900 + seed)
    functions = [a_function(random) for _ in range(3)]
    table, low = table_of(functions), [random.randint(-REACH, REACH) for _ in range(3)]
    poly, above = table.active(whole(low))
    assert [tuple(p) for p in poly.tolist()] == [f.poly(x) for f, x in zip(functions, low, strict=True)]
    found: dict[int, list[int]] = {e: [] for e in range(3)}
    for beyond, kink in above:
        chosen: Ints = kink.entry[beyond]
        for entry, at in zip(chosen.tolist(), kink.at[beyond].tolist(), strict=True):
            found[entry].append(at)
    assert found == {e: [b for b in f.breaks if b > low[e]] for e, f in enumerate(functions)}
