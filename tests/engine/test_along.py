"""Code run over functions of the quantity has at every quantity the value it has for that quantity."""

from __future__ import annotations

import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.along import Along, fewest, lifted, most
from lexorder.engine.piecewise import InexpressibleError
from lexorder.engine.slots import ABSENT
from lexorder.engine.snapshot import MissingFactError

CAP = 12
UNIT = 10
numbers = st.integers(-50, 50)


@st.composite
def sources(draw: st.DrawFn, depth: int = 3) -> str:
    """An expression as generated code writes it, over the quantity `n` and constants, of degree one."""
    if depth == 0:
        return draw(st.sampled_from(["n", str(draw(numbers))]))
    one, two = draw(sources(depth - 1)), draw(sources(depth - 1))
    return draw(
        st.sampled_from(
            [
                f"({one} + {two})",
                f"({one} + (-{two}))",
                f"({one} * {draw(numbers)})",
                f"({draw(numbers)} * {one})",
                f"abs({one})",
                f"max({one}, {two})",
                f"max(0, {one}, {two})",
                f"min({one}, {two})",
            ]
        )
    )


@given(sources())
def test_every_expression_at_every_quantity(source):
    code = compile(source, "<test>", "eval")
    function = eval(code, {"n": Along.quantity(CAP, UNIT), "max": most, "min": fewest})
    for x in range(CAP + 1):
        assert lifted(function, 0, CAP)(x) == eval(code, {"n": x * UNIT})


@given(numbers, numbers, numbers)
def test_a_product_of_two_is_of_degree_two_and_not_more(a, b, c):
    n = Along.quantity(CAP, 1)
    square = (n + a) * (n * b + c)
    for x in range(CAP + 1):
        assert square.over(x) == (x + a) * (x * b + c)
    if b:
        with pytest.raises(InexpressibleError):
            square * n


ORDERS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
LEFT_OUT = (operator.sub, operator.truediv, operator.floordiv)


@pytest.mark.parametrize("ask", [*ORDERS, *LEFT_OUT], ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [0, Along.quantity(CAP, 1)], ids=["number", "varying"])
def test_whatever_would_need_one_quantity_is_refused(ask, other):
    n = Along.quantity(CAP, 1)
    with pytest.raises(InexpressibleError):
        ask(n, other)


def test_so_are_choices_and_sets():
    n = Along.quantity(CAP, 1)
    for ask in (bool, hash, lambda x: 1 if x else 0, lambda x: x in (1, 2), lambda x: not x, lambda x: [0][x]):
        with pytest.raises(InexpressibleError):
            ask(n)


@pytest.mark.parametrize(
    "use",
    [lambda n: n + ABSENT, lambda n: ABSENT + n, lambda n: n * ABSENT, lambda n: ABSENT * n, lambda n: most(n, ABSENT)],
)
def test_a_fact_that_is_not_known_stays_so(use):
    with pytest.raises(MissingFactError):
        use(Along.quantity(CAP, 1))


def test_extremes_of_plain_numbers_are_plain():
    assert (most(1, 3, 2), fewest(1, 3, 2)) == (3, 1)


def test_quotients_are_exact():
    half = lifted(Fraction(1, 2), 0, CAP) + Along.quantity(CAP, 1).over
    assert half(3) == Fraction(7, 2)
