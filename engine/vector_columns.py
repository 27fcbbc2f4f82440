"""Columns of exact integers: one operation for many orders at once, with the proof that none overflowed.

In: numpy arrays of int64, truth values and word codes. Out: `Numbers`, `Truths`, `Words` and the operations on them.
Guaranteed: an integer of a `Numbers` is `data · factor`, exactly; before an operation runs, interval analysis over
`low..high` shows that no result leaves 64 bits; where that cannot be shown each element is worked out in unlimited
integers, and those that do not fit are marked missing. Whatever is made from a missing element is missing, except in a
branch that is not taken. Refused: nothing raises; what is missing clears no rule.
Why a common factor: amounts at declared scales have long tails of noughts (a price in cents at four decimals, an
exchange rate of 1 at eight), and with these 64 bits would not hold a position's value. Before: nothing. After:
`vector_code.py`, `vector_tables.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT64 = 2**63 - 1
"""The largest magnitude admitted; the one below its negative is left out so that negation is safe too."""

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Mask = Flags | None
"""Which elements are missing; None for none of them."""


@dataclass(slots=True, eq=False)
class Numbers:
    """Integers `data · factor`; `data` is one integer where all are alike. All of `data` is within `low..high`."""

    data: Any
    factor: int
    low: int
    high: int
    missing: Mask = None


@dataclass(slots=True, eq=False)
class Truths:
    """Truth values; one where all are alike."""

    data: Any
    missing: Mask = None


@dataclass(slots=True, eq=False)
class Words:
    """Texts by code; equal texts have equal codes."""

    data: Any
    missing: Mask = None


Column = Numbers | Truths | Words


# ---- making ----------------------------------------------------------------------------------------


def constant(value: int) -> Numbers:
    """The same integer everywhere: a sign and a factor, so that multiplying by it costs nothing."""
    sign = (value > 0) - (value < 0)
    return Numbers(sign, abs(value) or 1, sign, sign)


def numbers(data: Ints, factor: int = 1, missing: Mask = None) -> Numbers:
    """A column with the bounds its elements have; alike elements become a constant."""
    if not len(data):
        return Numbers(data, factor, 0, 0, missing)
    low, high = int(data.min()), int(data.max())
    if low == high and missing is None:
        return constant(low * factor)
    return Numbers(data, factor, low, high, missing)


def from_integers(values: Sequence[int | None]) -> Numbers:
    """A column of unlimited integers: their common factor is taken out; None and what is still too wide is missing."""
    whole = [v or 0 for v in values]
    factor = gcd(*whole) or 1
    wide = [v is None or abs(v) // factor > INT64 for v in values]
    data = np.array([0 if w else v // factor for v, w in zip(whole, wide, strict=True)], dtype=np.int64)
    return numbers(data, factor, np.array(wide) if any(wide) else None)


def all_missing(size: int) -> Numbers:
    """A column of which nothing is known."""
    return Numbers(np.zeros(size, dtype=np.int64), 1, 0, 0, np.ones(size, dtype=np.bool_))


def joined(one: Mask, other: Mask) -> Mask:
    """Missing in one or the other."""
    if one is None:
        return other
    return one if other is None else one | other


def taken(column: Column, index: Ints) -> Column:
    """The elements at these places; one value that stands for all stays so."""
    return _with(column, _at(column.data, index), _at(column.missing, index))


def _at(found: Any, index: Ints) -> Any:
    """An array of one element stands for all, as one value does."""
    if not isinstance(found, np.ndarray) or len(found) == 1:
        return found
    return found.take(index) if len(found) else np.zeros(len(index), dtype=found.dtype)


def _with(column: Column, data: Any, missing: Mask) -> Column:
    if isinstance(column, Numbers):
        return Numbers(data, column.factor, column.low, column.high, missing)
    return Truths(data, missing) if isinstance(column, Truths) else Words(data, missing)


def clear(column: Truths, size: int) -> Flags:
    """Where a condition is known and true."""
    held = column.data if column.missing is None else column.data & ~column.missing
    return np.broadcast_to(np.asarray(held, dtype=np.bool_), (size,))


# ---- what could overflow ---------------------------------------------------------------------------


def _fits(low: int, high: int) -> bool:
    return low >= -INT64 and high <= INT64


def _by_element(operate: Callable[[Any, Any], Any], one: Any, other: Any, missing: Mask) -> tuple[Ints, int, int, Mask]:
    """The same operation in unlimited integers: results, their bounds, and what is missing now."""
    left, right = (x.astype(object) if isinstance(x, np.ndarray) else x for x in (one, other))
    found = np.atleast_1d(np.asarray(operate(left, right), dtype=object))
    wide = np.array([abs(v) > INT64 for v in found], dtype=np.bool_)
    found[wide] = 0
    data = found.astype(np.int64)
    low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
    return data, low, high, joined(missing, wide if wide.any() else None)


def stretched(one: Numbers, by: int) -> Numbers:
    """The same integers with a factor `by` times as small."""
    if by == 1:
        return one
    factor, low, high = one.factor // by, one.low * by, one.high * by
    if _fits(low, high):
        return Numbers(one.data * by, factor, low, high, one.missing)
    data, low, high, missing = _by_element(lambda x, y: x * y, one.data, by, one.missing)
    return Numbers(data, factor, low, high, missing)


def _aligned(one: Numbers, other: Numbers) -> tuple[Numbers, Numbers]:
    """Both with one factor."""
    if one.factor == other.factor:
        return one, other
    if one.low == one.high == 0:
        return Numbers(one.data, other.factor, 0, 0, one.missing), other
    if other.low == other.high == 0:
        return one, Numbers(other.data, one.factor, 0, 0, other.missing)
    common = gcd(one.factor, other.factor)
    return stretched(one, one.factor // common), stretched(other, other.factor // common)


# ---- arithmetic ------------------------------------------------------------------------------------


def _is_one(column: Numbers) -> bool:
    """Whether it is a constant with nothing but a sign to multiply by; the greatest of two constants may be none."""
    return isinstance(column.data, int) and column.data in (1, -1) and column.missing is None


def times(one: Numbers, other: Numbers) -> Numbers:
    """The product."""
    if _is_one(one):
        one, other = other, one
    factor = one.factor * other.factor
    if _is_one(other):
        signed = one if other.data > 0 else negated(one)
        return Numbers(signed.data, factor, signed.low, signed.high, signed.missing)
    missing = joined(one.missing, other.missing)
    if 0 in (one.low, other.low) and (one.low == one.high == 0 or other.low == other.high == 0):
        return Numbers(0, 1, 0, 0, missing)
    corners = (one.low * other.low, one.low * other.high, one.high * other.low, one.high * other.high)
    low, high = min(corners), max(corners)
    if _fits(low, high):
        return Numbers(one.data * other.data, factor, low, high, missing)
    data, low, high, missing = _by_element(lambda x, y: x * y, one.data, other.data, missing)
    return Numbers(data, factor, low, high, missing)


def plus(one: Numbers, other: Numbers) -> Numbers:
    """The sum."""
    if isinstance(one.data, int) and isinstance(other.data, int) and one.missing is None and other.missing is None:
        return constant(one.data * one.factor + other.data * other.factor)
    left, right = _aligned(one, other)
    missing = joined(left.missing, right.missing)
    low, high = left.low + right.low, left.high + right.high
    if _fits(low, high):
        return Numbers(left.data + right.data, left.factor, low, high, missing)
    data, low, high, missing = _by_element(lambda x, y: x + y, left.data, right.data, missing)
    return Numbers(data, left.factor, low, high, missing)


def negated(one: Numbers) -> Numbers:
    """Minus a number."""
    return Numbers(-one.data, one.factor, -one.high, -one.low, one.missing)


def absolute(one: Numbers) -> Numbers:
    """The size of a number."""
    if one.low >= 0:
        return one
    least = 0 if one.high >= 0 else -one.high
    return Numbers(abs(one.data), one.factor, least, max(-one.low, one.high), one.missing)


def greatest(one: Numbers, other: Numbers) -> Numbers:
    """The greater of two."""
    if _are_alike(one, other) and one.missing is None and other.missing is None:
        return constant(max(one.data * one.factor, other.data * other.factor))
    left, right = _aligned(one, other)
    data = max(left.data, right.data) if _are_alike(left, right) else np.maximum(left.data, right.data)
    bounds = (max(left.low, right.low), max(left.high, right.high))
    return Numbers(data, left.factor, *bounds, joined(left.missing, right.missing))


def least(one: Numbers, other: Numbers) -> Numbers:
    """The lesser of two."""
    return negated(greatest(negated(one), negated(other)))


def _are_alike(left: Numbers, right: Numbers) -> bool:
    return isinstance(left.data, int) and isinstance(right.data, int)


def whole_part(one: Numbers, divisor: int) -> Numbers:
    """A number divided by a positive constant; missing where that leaves a rest."""
    common = gcd(one.factor, divisor)
    factor, left = one.factor // common, divisor // common
    if left == 1:
        return Numbers(one.data, factor, one.low, one.high, one.missing)
    if isinstance(one.data, int):
        one = Numbers(np.array([one.data], dtype=np.int64), one.factor, one.low, one.high, one.missing)
    data, rest = np.divmod(one.data, left)
    uneven = rest != 0
    missing = joined(one.missing, uneven if uneven.any() else None)
    return Numbers(data, factor, one.low // left, one.high // left, missing)


def evenly(one: Numbers, other: Numbers) -> Numbers:
    """A number divided by one above zero; missing where that leaves a rest."""
    if _is_one(other) and other.data > 0:
        return whole_part(one, other.factor)
    below = np.atleast_1d(np.asarray(other.data, dtype=object)) * other.factor
    above = np.broadcast_to(
        np.atleast_1d(np.asarray(one.data, dtype=object)) * one.factor,
        np.broadcast_shapes(np.shape(np.atleast_1d(one.data)), below.shape),
    )
    found = from_integers(
        [None if b <= 0 or a % b else a // b for a, b in zip(above, np.broadcast_to(below, above.shape), strict=True)]
    )
    return Numbers(
        found.data, found.factor, found.low, found.high, joined(found.missing, joined(one.missing, other.missing))
    )


def positive(one: Numbers) -> Numbers:
    """The same number; missing where it is not above zero, as a divisor must be."""
    if one.low > 0:
        return one
    wrong = np.atleast_1d(np.asarray(one.data <= 0))
    return Numbers(one.data, one.factor, one.low, one.high, joined(one.missing, wrong if wrong.any() else None))


def lacking(column: Column, where: Mask) -> Column:
    """The same column with more of it missing."""
    return column if where is None else _with(column, column.data, joined(column.missing, where))


def given(column: Column, condition: Truths) -> Column:
    """The same column; missing where a condition does not hold."""
    if condition.data is True and condition.missing is None:
        return column
    wrong = np.atleast_1d(np.asarray(~np.asarray(condition.data)))
    return lacking(column, joined(condition.missing, wrong if wrong.any() else None))


# ---- comparing and choosing ------------------------------------------------------------------------

_HOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


def _alike(found: Any) -> Any:
    """Truth values; one where all are alike, so that what follows costs nothing."""
    if not isinstance(found, np.ndarray):
        return bool(found)
    held = int(np.count_nonzero(found))
    return held > 0 if held in (0, found.size) else found


def compared(op: str, one: Numbers, other: Numbers) -> Truths:
    """A comparison of numbers."""
    left, right = _aligned(one, other)
    return Truths(_alike(_HOLDS[op](left.data, right.data)), joined(left.missing, right.missing))


def same(one: Words, other: Words) -> Truths:
    """Whether texts are equal."""
    return Truths(_alike(one.data == other.data), joined(one.missing, other.missing))


def opposite(one: Truths) -> Truths:
    """The contrary."""
    return Truths(~one.data if isinstance(one.data, np.ndarray) else not one.data, one.missing)


def both(one: Truths, other: Truths) -> Truths:
    """The second is looked at only where the first holds, as `and` does."""
    if isinstance(one.data, bool) and one.missing is None:
        return other if one.data else one
    if other.data is True and other.missing is None:
        return one
    return Truths(one.data & other.data, _looked_at(one, one.data, other))


def either(one: Truths, other: Truths) -> Truths:
    """The second is looked at only where the first does not hold, as `or` does."""
    if isinstance(one.data, bool) and one.missing is None:
        return one if one.data else other
    if other.data is False and other.missing is None:
        return one
    return Truths(one.data | other.data, _looked_at(one, opposite(one).data, other))


def _looked_at(one: Truths, where: Any, other: Truths) -> Mask:
    """What is missing once the second was looked at `where` the first leaves it open."""
    if other.missing is None or where is False:
        return one.missing
    return joined(one.missing, other.missing if where is True else where & other.missing)


def picked(condition: Truths, yes: Column, no: Column) -> Column:
    """One or the other; what is missing in the branch not taken does not count."""
    chosen, missing = condition.data, condition.missing
    if not isinstance(chosen, np.ndarray):
        found = yes if chosen else no
        return found if missing is None else _with(found, found.data, joined(missing, found.missing))
    missing = joined(missing, _branch(chosen, yes.missing))
    missing = joined(missing, _branch(~chosen, no.missing))
    if isinstance(yes, Numbers) and isinstance(no, Numbers):
        left, right = _aligned(yes, no)
        missing = joined(missing, joined(_new(left, yes, chosen), _new(right, no, ~chosen)))
        data = np.where(chosen, left.data, right.data)
        return Numbers(data, left.factor, min(left.low, right.low), max(left.high, right.high), missing)
    return _with(yes, np.where(chosen, yes.data, no.data), missing)


def _branch(where: Flags, missing: Mask) -> Mask:
    return None if missing is None else where & missing


def _new(aligned: Numbers, before: Numbers, where: Flags) -> Mask:
    """What bringing a branch to the common factor has made missing."""
    return None if aligned.missing is before.missing else _branch(where, aligned.missing)
