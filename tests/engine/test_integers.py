"""Source of integer arithmetic stands for the exact rational value."""

from __future__ import annotations

import operator
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import integers
from lexorder.engine.integers import NotFastError, Num
from lexorder.engine.snapshot import MissingFactError

VALUES = {"a": 30_000, "b": -7, "c": 12_345, "p": 16}


def positive(number: int) -> int:
    if number <= 0:
        raise MissingFactError("the divisor", "")
    return number


def run(code: str) -> object:
    return eval(code, {"positive": positive}, dict(VALUES))


def exact(num: Num) -> Fraction:
    below = run(num.den) if num.den else 1
    value = run(num.code)
    assert isinstance(value, int)
    assert isinstance(below, int)
    return Fraction(value, num.scale * below)


LEAVES = (
    Num("a", 10_000),
    Num("b"),
    Num("c", 100),
    Num("a", 1, "p"),
    integers.constant(Fraction(-3, 20)),
    integers.constant(Fraction(0)),
    integers.constant(Fraction(5)),
)
COMBINED = {
    integers.added: operator.add,
    integers.multiplied: operator.mul,
}


@pytest.mark.parametrize("seed", range(60))
def test_any_expression_has_its_exact_value(seed):
    random_ = Random(seed)
    num = random_.choice(LEAVES)
    value = exact(num)
    for _ in range(5):
        other = random_.choice(LEAVES)
        if random_.random() < 0.2:
            num, value = integers.negated(num), -value
        elif random_.random() < 0.2:
            num, value = integers.absolute(num), abs(value)
        else:
            join = random_.choice(list(COMBINED))
            value = COMBINED[join](value, exact(other))
            num = join(num, other)
        assert exact(num) == value


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("seed", range(20))
def test_comparisons_are_those_of_the_values(op, seed):
    one, other = Random(seed).choices(LEAVES, k=2)
    words = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
    assert run(integers.compared(op, one, other)) == getattr(operator, words[op])(exact(one), exact(other))


def test_constants_leave_no_division_and_no_needless_factor():
    half = integers.multiplied(Num("a", 10_000), integers.constant(Fraction(1, 2)))
    assert (half.code, half.scale) == ("a", 20_000)
    double = integers.multiplied(Num("a", 10_000), integers.constant(Fraction(2)))
    assert (double.code, double.scale) == ("a", 5_000)
    assert integers.added(Num("0"), Num("a", 4)).code == "a"
    assert integers.times("0", "x") == "0"


def test_a_missing_fact_times_nought_is_still_missing():
    assert "a" in integers.multiplied(Num("a"), integers.constant(Fraction(0))).code


def test_divisors_are_multiplied_out_and_checked():
    quotient = integers.divided(Num("a", 10_000), Num("p", 2))
    assert exact(quotient) == Fraction(3, 1) / Fraction(16, 2)
    with pytest.raises(MissingFactError):
        exact(integers.divided(Num("a"), Num("b")))
    assert exact(integers.divided(Num("a"), integers.constant(Fraction(3, 2)))) == 20_000


def test_division_by_a_literal_nought_is_refused():
    with pytest.raises(NotFastError):
        integers.divided(Num("a"), integers.constant(Fraction(0)))


def test_choices_and_extremes_share_a_scale():
    assert exact(integers.extreme("max", [Num("a", 10_000), Num("b")])) == 3
    assert exact(integers.extreme("min", [Num("a", 10_000), Num("b")])) == -7
    assert integers.extreme("max", [Num("a")]) == Num("a")
    assert exact(integers.choice("(b > 0)", Num("a", 10_000), Num("c", 100))) == Fraction(12_345, 100)
    assert integers.choice("True", Num("a"), Num("c")) == Num("a")
    assert integers.choice("False", Num("a"), Num("c")) == Num("c")


def test_alternatives_with_different_run_time_divisors_are_refused():
    with pytest.raises(NotFastError):
        integers.extreme("max", [Num("a", 1, "p"), Num("b")])
