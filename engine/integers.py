"""Numbers as integer source code: the algebra of the generated check.

In: Python source of integer expressions with their scales. Out: source of sums, products, comparisons. Guaranteed: a
`Num` stands for exactly `code / (scale · den)`; scales are fixed when the code is written, so nothing is divided, and
Python's integers do not overflow. `den`, where present, is source of an integer that the code checks to be above zero.
Refused (NotFastError): a common denominator that is only known at run time. Why source and not closures: twelve
rules are a few dozen integer operations, and a call for each would cost more than the operation. Before: nothing.
After: `lowering.py`, `fastpath.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm


class NotFastError(Exception):
    """The term has no place in the generated check; the general path judges its rule. Never reaches users."""


@dataclass(frozen=True, slots=True)
class Num:
    """Source of a number: `code / (scale · den)`. `code` is an atom or in parentheses."""

    code: str
    scale: int = 1
    den: str = ""

    @property
    def literal(self) -> int | None:
        """The integer that `code` is, where it is a constant."""
        digits = self.code.removeprefix("(").removesuffix(")")
        return int(digits) if digits.lstrip("-").isdigit() else None


def constant(value: Fraction) -> Num:
    """Source of a constant."""
    return Num(str(value.numerator) if value >= 0 else f"({value.numerator})", value.denominator)


def times(code: str, factor: int | str) -> str:
    """Source of `code · factor`."""
    if factor in (1, ""):
        return code
    if code == "0":
        return "0"
    return f"({code} * {factor})"


def rescaled(num: Num, scale: int, den: str = "") -> str:
    """The code of the same number over `scale · den`; `scale` must be a multiple of the number's own."""
    return times(times(num.code, scale // num.scale), "" if num.den == den else den)


def negated(num: Num) -> Num:
    """Source of minus a number."""
    known = num.literal
    if known is not None:
        return constant(Fraction(-known, num.scale)) if not num.den else Num(f"({-known})", num.scale, num.den)
    return Num(f"(-{num.code})", num.scale, num.den)


def added(one: Num, other: Num) -> Num:
    """Source of a sum. Different run-time divisors are multiplied out."""
    scale = lcm(one.scale, other.scale)
    if one.den and other.den and one.den != other.den:
        left, right = times(rescaled(one, scale, one.den), other.den), times(rescaled(other, scale, other.den), one.den)
        return Num(f"({left} + {right})", scale, f"({one.den} * {other.den})")
    den = one.den or other.den
    left, right = rescaled(one, scale, den), rescaled(other, scale, den)
    if "0" in (left, right):
        return Num(right if left == "0" else left, scale, den)
    return Num(f"({left} + {right})", scale, den)


def multiplied(one: Num, other: Num) -> Num:
    """Source of a product; a constant's common factors with the scale are cancelled."""
    den = f"({one.den} * {other.den})" if one.den and other.den else one.den or other.den
    if one.literal is not None:
        one, other = other, one
    known = other.literal
    if known is not None:
        factor = Fraction(known, other.scale)
        reduced = Fraction(factor.numerator, one.scale * factor.denominator)
        if one.literal is not None:
            product = one.literal * factor.numerator
            return Num(str(product) if product >= 0 else f"({product})", one.scale * factor.denominator, den)
        common = one.scale * factor.denominator // reduced.denominator
        return Num(times(one.code, factor.numerator // common), reduced.denominator, den)
    return Num(f"({one.code} * {other.code})", one.scale * other.scale, den)


def divided(one: Num, other: Num) -> Num:
    """Source of a quotient; the divisor is a constant, or is checked to be above zero when it runs."""
    if other.literal is not None and not other.den:
        if other.literal == 0:
            raise NotFastError("division by zero")
        return multiplied(one, constant(Fraction(other.scale, other.literal)))
    checked = f"positive({other.code})"
    code = times(times(one.code, other.scale), other.den)
    return Num(code, one.scale, f"({one.den} * {checked})" if one.den else checked)


def absolute(num: Num) -> Num:
    """Source of the absolute value; divisors are positive."""
    return Num(f"abs({num.code})", num.scale, num.den)


def extreme(which: str, items: Sequence[Num]) -> Num:
    """Source of the least or greatest. Refuses run-time divisors that differ."""
    if len(items) == 1:
        return items[0]
    scale, codes, den = _aligned(items)
    return Num(f"{which}({', '.join(codes)})", scale, den)


def quotient(ends: Sequence[Num], divisor: Num) -> tuple[str, str]:
    """Source of the greatest of some numbers of one scale over what was multiplied out, as two integers."""
    code = ends[0].code if len(ends) == 1 else f"max({', '.join(e.code for e in ends)})"
    below = times(times(str(ends[0].scale), ends[0].den), divisor.code)
    return times(times(code, divisor.scale), divisor.den), below


def choice(condition: str, yes: Num, no: Num) -> Num:
    """Source of `if condition then yes else no`."""
    if condition in ("True", "False"):
        return yes if condition == "True" else no
    scale, codes, den = _aligned((yes, no))
    return Num(f"({codes[0]} if {condition} else {codes[1]})", scale, den)


def _aligned(items: Sequence[Num]) -> tuple[int, list[str], str]:
    dens = {i.den for i in items}
    if len(dens) > 1:
        raise NotFastError("alternatives have different run-time divisors")
    scale = lcm(*(i.scale for i in items))
    return scale, [times(i.code, scale // i.scale) for i in items], dens.pop()


def compared(op: str, one: Num, other: Num) -> str:
    """Source of a comparison, both sides multiplied by what is positive."""
    scale = lcm(one.scale, other.scale)
    left, right = times(one.code, scale // one.scale), times(other.code, scale // other.scale)
    if one.den != other.den:
        left, right = times(left, other.den), times(right, one.den)
    return f"({left} {op} {right})"
