"""Columns: every operation equals exact arithmetic element by element, or says that it does not know.

The reference is Python's unlimited integers. Values sit on the ends of 64 bits and one unit beside, where a silent
wrap would show.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine import vector_columns as vc
from lexorder.engine.vector_columns import INT64, Numbers, Truths, Words

EDGES = (0, 1, -1, 2, -2, 10**4, -(10**4), 2**31, 2**32 - 1, 2**62, INT64 - 1, INT64, -INT64, -INT64 + 1, 10**18)
integers = st.one_of(
    st.sampled_from(EDGES),
    st.integers(-INT64, INT64),
    st.integers(-1000, 1000),
    st.integers(-(10**6), 10**6).map(lambda n: n * 10**12),
)
unknown = st.none()


@st.composite
def columns(draw: Any, size: int = 4) -> tuple[Numbers, list[int | None]]:
    """A column and what it stands for; sometimes one value for all, sometimes values beyond 64 bits."""
    if draw(st.booleans()) and draw(st.booleans()):
        value = draw(integers)
        return vc.constant(value), [value] * size
    scale = draw(st.sampled_from((1, 100, 10**10)))
    values = [draw(st.one_of(integers, unknown)) for _ in range(size)]
    whole = [None if v is None else v * scale for v in values]
    return vc.from_integers(whole), whole


def read(column: Numbers, size: int = 4) -> list[int | None]:
    """What a column stands for, None where it is missing."""
    data = np.broadcast_to(np.asarray(column.data, dtype=object), (size,))
    missing = np.broadcast_to(np.asarray(False if column.missing is None else column.missing), (size,))
    return [None if gone else int(v) * column.factor for v, gone in zip(data, missing, strict=True)]


def within_bounds(column: Numbers) -> bool:
    data = np.atleast_1d(np.asarray(column.data, dtype=object))
    return all(column.low <= int(v) <= column.high and abs(int(v)) <= INT64 for v in data)


def agrees(found: Numbers, expected: list[int | None]) -> None:
    """Exact or missing; and missing only for cause: an operand was, or the result does not fit."""
    assert within_bounds(found)
    for got, wanted in zip(read(found), expected, strict=True):
        if wanted is None:
            assert got is None
        else:
            assert got in (wanted, None)


BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "plus": (vc.plus, operator.add),
    "times": (vc.times, operator.mul),
    "greatest": (vc.greatest, max),
    "least": (vc.least, min),
}


@pytest.mark.parametrize("name", BINARY)
@given(one=columns(), other=columns())
@settings(max_examples=150, deadline=None)
def test_binary_operations_are_exact_or_missing(name, one, other):
    operate, exact = BINARY[name]
    expected = [None if a is None or b is None else exact(a, b) for a, b in zip(one[1], other[1], strict=True)]
    agrees(operate(one[0], other[0]), expected)


@given(one=columns(), other=columns())
@settings(max_examples=200, deadline=None)
def test_comparisons_are_those_of_integers(one, other):
    for op, exact in (("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge)):
        found = vc.compared(op, one[0], other[0])
        held = np.broadcast_to(np.asarray(found.data), (4,))
        missing = np.broadcast_to(np.asarray(False if found.missing is None else found.missing), (4,))
        for a, b, got, gone in zip(one[1], other[1], held, missing, strict=True):
            if a is None or b is None:
                assert gone
            elif not gone:
                assert bool(got) == exact(a, b)


@given(one=columns())
@settings(max_examples=150, deadline=None)
def test_sign_and_size(one):
    column, values = one
    agrees(vc.negated(column), [None if v is None else -v for v in values])
    agrees(vc.absolute(column), [None if v is None else abs(v) for v in values])


@given(one=columns(), divisor=st.sampled_from((1, 2, 3, 10, 10**4, 7 * 10**10)))
@settings(max_examples=150, deadline=None)
def test_dividing_is_exact_or_missing(one, divisor):
    column, values = one
    expected = [None if v is None or v % divisor else v // divisor for v in values]
    agrees(vc.whole_part(column, divisor), expected)
    agrees(
        vc.evenly(column, vc.from_integers([divisor, divisor * 2, divisor, divisor])),
        [
            None if v is None or v % d else v // d
            for v, d in zip(values, (divisor, divisor * 2, divisor, divisor), strict=True)
        ],
    )


@given(one=columns(), other=columns(), chosen=st.lists(st.one_of(st.booleans(), unknown), min_size=4, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_branch_not_taken_does_not_count(one, other, chosen):
    gone = np.array([c is None for c in chosen])
    condition = Truths(np.array([bool(c) for c in chosen]), gone if gone.any() else None)
    found = vc.picked(condition, one[0], other[0])
    assert isinstance(found, Numbers)
    expected = [None if c is None else a if c else b for c, a, b in zip(chosen, one[1], other[1], strict=True)]
    agrees(found, expected)


class TestOverflow:
    """Nothing wraps: what does not fit is missing, and only that."""

    def test_one_element_too_large_leaves_the_others(self):
        quantity = vc.from_integers([1, 2**40, 3])
        price = vc.from_integers([7, 2**40, 11])
        assert read(vc.times(quantity, price), 3) == [7, None, 33]

    @pytest.mark.parametrize(("extra", "expected"), [(0, INT64), (1, None)])
    def test_exactly_the_largest_sum_and_one_beyond(self, extra, expected):
        near, step = vc.from_integers([INT64 - 5, 1]), vc.from_integers([5 + extra, 1])
        assert read(vc.plus(near, step), 2) == [expected, 2]

    @pytest.mark.parametrize(("other", "expected"), [(-INT64, -INT64), (-INT64 - 1, None)])
    def test_exactly_the_least_and_one_beyond(self, other, expected):
        near, step = vc.from_integers([-INT64 + 3, 1]), vc.from_integers([other + INT64 - 3, 2])
        assert read(vc.plus(near, step), 2) == [expected, 3]

    def test_common_factors_keep_scaled_amounts_within_64_bits(self):
        """A quarter of a million at eighteen decimals is 2.5e23, far beyond 64 bits."""
        amounts = vc.from_integers([250_000 * 10**18, 125 * 10**18])
        assert amounts.missing is None
        assert read(vc.plus(amounts, vc.constant(-(10**18))), 2) == [249_999 * 10**18, 124 * 10**18]

    def test_a_constant_that_cannot_be_aligned_is_missing_and_not_wrong(self):
        fine = vc.from_integers([1, 3])
        found = vc.compared("<", vc.times(fine, vc.constant(10**30)), vc.plus(fine, vc.constant(1)))
        known = np.broadcast_to(np.asarray(found.missing), (2,))
        assert [bool(d) for d, gone in zip(np.broadcast_to(found.data, (2,)), known, strict=True) if not gone] == []


class TestConstants:
    """What stands for all elements counts in full, however it came about."""

    made = (
        vc.constant(4),
        vc.greatest(vc.constant(4), vc.constant(3)),
        vc.least(vc.constant(4), vc.constant(7)),
        vc.stretched(vc.constant(4), 4),
        vc.plus(vc.constant(1), vc.constant(3)),
        vc.absolute(vc.constant(-4)),
        vc.negated(vc.least(vc.constant(-4), vc.constant(-3))),
        Numbers(4, 1, 4, 4),
    )

    @pytest.mark.parametrize("four", made)
    @pytest.mark.parametrize("sign", [1, -1])
    def test_products(self, four, sign):
        signed = four if sign > 0 else vc.negated(four)
        for other in (vc.from_integers([1, -3, None, 10]), vc.constant(5), vc.constant(0), vc.constant(-1)):
            wanted = [None if v is None else 4 * sign * v for v in read(other)]
            assert read(vc.times(signed, other)) == wanted
            assert read(vc.times(other, signed)) == wanted

    @pytest.mark.parametrize("four", made)
    def test_everything_else(self, four):
        column = vc.from_integers([8, 2, -4, None])
        assert read(vc.plus(column, four)) == [12, 6, 0, None]
        assert read(vc.evenly(column, four)) == [2, None, -1, None]
        assert read(vc.evenly(column, vc.negated(four))) == [None, None, None, None]
        assert read(vc.greatest(column, four)) == [8, 4, 4, None]
        assert read(vc.least(four, column)) == [4, 2, -4, None]
        for op, wanted in (("<", [False, True, True]), (">=", [True, False, False])):
            assert vc.compared(op, column, four).data.tolist()[:3] == wanted

    @given(one=st.integers(-(10**20), 10**20), other=st.integers(-(10**20), 10**20), third=columns())
    @settings(max_examples=150, deadline=None)
    def test_the_greatest_of_two_times_a_column(self, one, other, third):
        column, values = third
        for operate, exact in ((vc.greatest, max), (vc.least, min)):
            chosen = operate(vc.constant(one), vc.constant(other))
            agrees(vc.times(chosen, column), [None if v is None else exact(one, other) * v for v in values])


class TestAlike:
    """A condition that is the same for all is one truth value, and Python's own: what follows tells them apart."""

    @pytest.mark.parametrize("values", [[1, 2, 3], [5, 6, 7], [1, 9, 2]])
    def test_comparisons(self, values):
        found = vc.compared("<", vc.from_integers(values), vc.constant(5))
        wanted = [v < 5 for v in values]
        if len(set(wanted)) == 1:
            assert found.data is wanted[0]
        else:
            assert found.data.tolist() == wanted

    def test_words(self):
        words = Words(np.array([4, 4, 4]))
        assert vc.same(words, Words(4)).data is True
        assert vc.same(words, Words(np.array([1, 2, 3]))).data is False
        assert vc.same(words, Words(np.array([4, 2, 4]))).data.tolist() == [True, False, True]

    def test_what_is_missing_stays_missing(self):
        found = vc.compared("<", vc.from_integers([1, None, 2]), vc.constant(5))
        assert found.data is True
        assert vc.clear(found, 3).tolist() == [True, False, True]
        assert vc.clear(vc.both(found, Truths(True)), 3).tolist() == [True, False, True]
        assert vc.clear(vc.either(Truths(False), found), 3).tolist() == [True, False, True]
        assert vc.clear(vc.either(found, Truths(True)), 3).tolist() == [True, False, True]

    def test_no_elements(self):
        found = vc.compared("<", vc.numbers(np.zeros(0, dtype=np.int64)), vc.constant(5))
        assert vc.clear(found, 0).tolist() == []


class TestConditions:
    """`and` and `or` look at the second part only where the first leaves it open."""

    known = Truths(np.array([True, False, True, False]))
    doubtful = Truths(np.array([True, True, False, False]), np.array([True, True, False, False]))

    def test_and(self):
        found = vc.both(self.known, self.doubtful)
        assert vc.clear(found, 4).tolist() == [False, False, False, False]
        assert found.missing is not None
        assert found.missing.tolist() == [True, False, False, False]

    def test_or(self):
        found = vc.either(self.known, self.doubtful)
        assert vc.clear(found, 4).tolist() == [True, False, True, False]

    def test_not_leaves_the_unknown_unknown(self):
        assert vc.clear(vc.opposite(self.doubtful), 4).tolist() == [False, False, True, True]

    def test_given_drops_what_does_not_hold(self):
        found = vc.given(vc.from_integers([1, 2, 3, 4]), self.known)
        assert isinstance(found, Numbers)
        assert read(found) == [1, None, 3, None]

    def test_a_divisor_must_be_above_zero(self):
        assert read(vc.positive(vc.from_integers([-1, 0, 1, 2]))) == [None, None, 1, 2]


class TestTaken:
    """Looking elements up."""

    def test_alike_elements_stay_one(self):
        assert vc.taken(vc.constant(5), np.array([0, 0, 0])).data == 1

    def test_missing_goes_along(self):
        found = vc.taken(vc.from_integers([5, None, 7]), np.array([1, 2, 1, 0]))
        assert isinstance(found, Numbers)
        assert read(found) == [None, 7, None, 5]

    def test_words_compare_by_code(self):
        one, two = Words(np.array([1, 2])), Words(np.array([1, 3]))
        assert vc.clear(vc.same(one, two), 2).tolist() == [True, False]

    def test_nothing_at_all(self):
        empty = vc.numbers(np.zeros(0, dtype=np.int64))
        assert len(vc.plus(empty, vc.from_integers([]).__class__(empty.data, 1, 0, 0)).data) == 0
