"""Integer formulas: what is known is worked out, what is proved is true, what could overflow is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.expert import formula as f
from lexorder.engine.expert.session import Session

X, Y = f.Var("x"), f.Var("y")
MAX = 2**63 - 1


class TestPutTogether:
    def test_literals_are_worked_out(self):
        assert f.plus(f.Int(2), f.Int(3)) == f.Int(5)
        assert f.times(f.Int(2), f.Int(3)) == f.Int(6)
        assert f.most(f.Int(2), f.Int(3)) == f.Int(3)
        assert f.test("<=", f.Int(2), f.Int(3)) == f.YES

    def test_zero_and_one_go(self):
        assert f.plus(X, f.Int(0)) == X
        assert f.times(X, f.Int(1)) == X
        assert f.times(f.Int(0), X) == f.Int(0)

    def test_sums_are_flat(self):
        assert f.plus(f.plus(X, f.Int(1)), f.plus(Y, f.Int(2))) == f.Apply("+", (X, Y, f.Int(3)))

    def test_conditions_that_are_known_go(self):
        unknown = f.Same("x", "a")
        assert f.both(f.YES, unknown) == unknown
        assert f.both(f.NO, unknown) == f.NO
        assert f.either(f.NO, unknown) == unknown
        assert f.either(unknown, f.YES) == f.YES
        assert f.both() == f.YES
        assert f.either() == f.NO
        assert f.no(f.no(unknown)) == unknown
        assert f.no(f.YES) == f.NO

    def test_a_choice_that_is_known_is_taken(self):
        assert f.pick(f.YES, X, Y) == X
        assert f.pick(f.NO, X, Y) == Y
        assert f.pick(f.Same("s", "a"), X, X) == X


class TestText:
    def test_the_text_is_clips(self):
        node = f.Logic("and", (f.Test(">", f.Apply("+", (X, f.Int(-3))), f.Int(0)), f.no(f.Same("side", "buy"))))
        assert f.text(node) == "(and (> (+ ?x -3) 0) (not (eq ?side buy)))"

    def test_a_choice(self):
        assert f.text(f.Pick(f.Same("s", "a"), X, f.Int(1))) == "(if (eq ?s a) then ?x else 1)"

    def test_what_is_known(self):
        assert (f.text(f.YES), f.text(f.NO)) == ("TRUE", "FALSE")


class TestVariables:
    def test_all_are_found(self):
        node = f.both(f.test(">", f.pick(f.Same("s", "a"), X, Y), f.Int(1)), f.Same("t", "b"))
        assert list(f.variables(node)) == ["s", "x", "y", "t"]

    def test_branches_not_taken_do_not_count(self):
        node = f.test(">", f.pick(f.Same("s", "a"), X, Y), f.Int(1))
        assert f.read_with(node, {"s": "a"}) == {"x"}
        assert f.read_with(node, {"s": "b"}) == {"y"}
        assert f.read_with(node, {}) == {"s", "x", "y"}

    def test_what_is_decided_is_not_read(self):
        node = f.both(f.Same("s", "a"), f.test(">", X, f.Int(1)))
        assert f.read_with(node, {"s": "b"}) == frozenset()
        assert f.decided(f.either(f.Same("s", "a"), f.Same("t", "b")), {"s": "a"}) is True
        assert f.decided(f.Logic("not", (f.Same("s", "a"),)), {}) is None


class TestReach:
    def test_exactly_64_bits_fit(self):
        assert f.reach(f.plus(X, f.Int(1)), {"x": (0, MAX - 1)}) == (1, MAX)

    def test_one_more_does_not(self):
        with pytest.raises(f.WideError):
            f.reach(f.plus(X, f.Int(1)), {"x": (0, MAX)})

    def test_every_step_counts_not_only_the_end(self):
        sum_then_less = f.Apply("-", (f.Apply("+", (X, Y)), Y))
        with pytest.raises(f.WideError):
            f.reach(sum_then_less, {"x": (0, MAX), "y": (1, 1)})

    def test_steps_from_left_to_right(self):
        items = f.Apply("+", (X, X, f.Apply("*", (f.Int(-1), X))))
        with pytest.raises(f.WideError):
            f.reach(items, {"x": (0, MAX)})

    @pytest.mark.parametrize(
        ("op", "items"),
        [("+", (MAX, 1, -1)), ("-", (-MAX, 1, -1)), ("*", (MAX, 2, 0)), ("+", (1, MAX, -5)), ("-", (0, MAX, 2, -9))],
    )
    def test_a_step_on_the_way_counts_where_the_end_would_fit(self, op, items):
        node = f.Apply(op, tuple(map(f.Int, items)))
        with pytest.raises(f.WideError):
            f.reach(node, {})
        near = f.Apply(op, tuple(f.Int(n // 2 if abs(n) == MAX else n) for n in items))
        low, high = f.reach(near, {})
        assert low == high

    def test_a_product_of_negative_numbers(self):
        assert f.reach(f.times(X, Y), {"x": (-3, 2), "y": (-5, 4)}) == (-12, 15)

    def test_the_size_of_the_least_integer_does_not_fit(self):
        with pytest.raises(f.WideError):
            f.reach(f.Apply("abs", (X,)), {"x": (-(2**63), 0)})

    @pytest.mark.parametrize(("low", "high", "size"), [(-3, 2, (0, 3)), (2, 5, (2, 5)), (-5, -2, (2, 5))])
    def test_sizes(self, low, high, size):
        assert f.reach(f.Apply("abs", (X,)), {"x": (low, high)}) == size

    def test_both_branches_of_a_choice_count(self):
        assert f.reach(f.Pick(f.Same("s", "a"), X, Y), {"x": (1, 2), "y": (5, 6)}) == (1, 6)
        with pytest.raises(f.WideError):
            f.reach(f.Pick(f.Same("s", "a"), X, f.times(Y, Y)), {"x": (1, 2), "y": (0, 2**32)})

    def test_a_condition_inside_is_looked_at(self):
        with pytest.raises(f.WideError):
            f.check(f.no(f.test(">", f.times(X, X), Y)), {"x": (0, 2**32), "y": (0, 0)})

    def test_least_and_greatest(self):
        ranges = {"x": (1, 5), "y": (3, 9)}
        assert f.reach(f.Apply("min", (X, Y)), ranges) == (1, 5)
        assert f.reach(f.Apply("max", (X, Y)), ranges) == (3, 9)


numbers = st.recursive(
    st.one_of(st.builds(f.Int, st.integers(-9, 9)), st.sampled_from([X, Y])),
    lambda inner: st.one_of(
        st.builds(lambda op, a, b: f.Apply(op, (a, b)), st.sampled_from(["+", "-", "*", "min", "max"]), inner, inner),
        st.builds(lambda a: f.Apply("abs", (a,)), inner),
        st.builds(lambda a, b, c: f.Pick(f.Test("<", a, f.Int(0)), b, c), inner, inner, inner),
    ),
    max_leaves=12,
)
_STEPS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "min": min,
    "max": max,
}


def worked_out(node: f.Number, x: int, y: int) -> int:
    match node:
        case f.Int(value=value):
            return value
        case f.Var(name=name):
            return x if name == "x" else y
        case f.Apply(op="abs", items=(one,)):
            return abs(worked_out(one, x, y))
        case f.Apply(op=op, items=(one, two)):
            return _STEPS[op](worked_out(one, x, y), worked_out(two, x, y))
        case f.Pick(condition=f.Test(left=left), yes=yes, no=no):
            return worked_out(yes if worked_out(left, x, y) < 0 else no, x, y)
    raise AssertionError(node)


@given(numbers, st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=200, deadline=None)
def test_the_range_holds_every_value(node, x, y):
    ranges = {"x": (min(x, 0), max(x, 3)), "y": (min(y, -2), max(y, 1))}
    low, high = f.reach(node, ranges)
    assert low <= worked_out(node, x, y) <= high


@given(numbers, st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
@settings(max_examples=60, deadline=None)
def test_clips_works_out_what_the_formula_says(node, x, y):
    try:
        f.reach(node, {"x": (x, x), "y": (y, y)})
    except f.WideError:
        return
    session = Session()
    session.load(
        [
            "(deftemplate given (slot x) (slot y))",
            "(deftemplate found (slot value))",
            f"(defrule work (given (x ?x) (y ?y)) => (assert (found (value {f.text(node)}))))",
        ]
    )
    builder = session.builder("given")
    session.put(builder, b"x", session.integer(x))
    session.put(builder, b"y", session.integer(y))
    session.add(builder)
    session.run()
    (fact,) = session.facts("found")
    assert session.read(fact, b"value") == worked_out(node, x, y)
    session.close()
