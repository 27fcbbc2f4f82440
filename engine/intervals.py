"""Sets of whole numbers as ordered intervals, and where a polynomial of degree two at most is at or below zero.

In: closed integer intervals and polynomials with exact coefficients. Out: canonical interval sets (ascending, apart
by at least one missing number). Guaranteed: exact; roots are found with the integer square root, never by search or
in floating point. Refused: nothing; the empty set is `()`. Why intervals and not predicates: the largest compliant
quantity, the reachable holdings and the pieces of `min` and `if` are all ends of such intervals.
Before: nothing. After: `piecewise.py`, `symbolic.py`, `breakpoints.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import isqrt, lcm

Number = int | Fraction
"""An exact number."""
Poly = tuple[Number, Number, Number]
"""Coefficients (a0, a1, a2) of `a0 + a1·x + a2·x²`."""
Interval = tuple[int, int]
"""Both ends belong to it; the first is not above the second."""
Intervals = tuple[Interval, ...]
"""A set of integers: ascending, disjoint, not touching."""


def joined(parts: Iterable[Interval]) -> Intervals:
    """The union of intervals in any order, touching ones made one; those with ends crossed are empty."""
    found: list[Interval] = []
    for low, high in sorted(p for p in parts if p[0] <= p[1]):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def common(one: Intervals, other: Intervals) -> Intervals:
    """The intersection."""
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low <= high:
            found.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def complement(inside: Intervals, low: int, high: int) -> Intervals:
    """The integers of `low..high` that are not `inside`; `inside` must lie within them."""
    found, start = [], low
    for left, right in inside:
        if start < left:
            found.append((start, left - 1))
        start = right + 1
    if start <= high:
        found.append((start, high))
    return tuple(found)


def contains(inside: Intervals, x: int) -> bool:
    """Whether `x` is in the set."""
    return any(low <= x <= high for low, high in inside)


def whole(poly: Poly) -> tuple[int, int, int]:
    """The polynomial times the least positive number that makes its coefficients integers: same signs everywhere."""
    a0, a1, a2 = poly
    scale = lcm(a0.denominator, a1.denominator, a2.denominator)
    return (
        a0.numerator * (scale // a0.denominator),
        a1.numerator * (scale // a1.denominator),
        a2.numerator * (scale // a2.denominator),
    )


def at_most_zero(poly: Poly, low: int, high: int, *, strict: bool = False) -> Intervals:
    """The integers x of `low..high` with `poly(x) <= 0`, or `< 0` when strict. Exact."""
    a0, a1, a2 = whole(poly)
    if strict:
        a0 += 1  # integer values: below zero is at most minus one
    if a2 < 0:
        return complement(_cup(1 - a0, -a1, -a2, low, high), low, high)
    return _cup(a0, a1, a2, low, high)


def _cup(a0: int, a1: int, a2: int, low: int, high: int) -> Intervals:
    """Where an integer polynomial with `a2 >= 0` is at most zero: one interval at most."""
    if a2 == 0 and a1 == 0:
        left, right = (low, high) if a0 <= 0 else (1, 0)
    elif a2 == 0:
        left, right = (low, -a0 // a1) if a1 > 0 else (-(a0 // a1), high)
    else:
        discriminant = a1 * a1 - 4 * a2 * a0
        if discriminant < 0:
            return ()
        # floor((n + sqrt D) / m) = floor((n + isqrt D) / m) for integers n and m > 0
        root = isqrt(discriminant)
        left, right = -((a1 + root) // (2 * a2)), (root - a1) // (2 * a2)
    left, right = max(left, low), min(right, high)
    return ((left, right),) if left <= right else ()
