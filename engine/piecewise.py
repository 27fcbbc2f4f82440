"""Exact functions of one whole number: polynomials of degree two at most, piece by piece.

In: an interval of integers and, for each piece, exact coefficients. Out: sums, products, extremes, comparisons and
choices of such functions, their greatest and least values with where they are taken, and thresholds. Guaranteed:
everything is exact over the integers of the interval (a vertex between two integers counts at its neighbours).
Refused (InexpressibleError): degree above two, division by anything but a constant, more than `PIECES_MAX` pieces,
functions over different intervals. Why pieces: a holding or an order's quantity enters most requirements one name at
a time, and one-name functions are always of this kind, so breakpoints need no search.
Before: `intervals.py`. After: `symbolic.py`, `breakpoints.py`, `compile.py`, the row builder.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.errors import LexorderError
from lexorder.engine.intervals import Intervals, Number, Poly, at_most_zero, common, complement, joined

PIECES_MAX = 10_000
"""A function of more pieces than this is refused: it would cost more than looking at every state."""
ZERO: Poly = (0, 0, 0)


class InexpressibleError(LexorderError):
    """A term that is not a piecewise polynomial of degree two in one whole number. Never reaches users by itself.

    Codes: `degree-above-two`, `not-a-constant-divisor`, `too-many-pieces`, `different-domains`, and those of
    `symbolic.py`.
    """


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A function on the integers `low..high`.

    Piece *j* starts at `starts[j]` (the first at `low`) and ends before the next one; `polys[j]` are its exact
    coefficients. Neighbouring pieces differ.
    """

    low: int
    high: int
    starts: tuple[int, ...]
    polys: tuple[Poly, ...]

    def pieces(self) -> Iterator[tuple[int, int, Poly]]:
        """(first, last, coefficients) of each piece, ascending."""
        ends = (*(s - 1 for s in self.starts[1:]), self.high)
        return zip(self.starts, ends, self.polys, strict=True)

    def __call__(self, x: int) -> Number:
        """The exact value at `x`, which must be in `low..high`."""
        if not self.low <= x <= self.high:
            raise InexpressibleError("different-domains", f"{x} is outside {self.low}..{self.high}")
        a0, a1, a2 = self.polys[bisect_right(self.starts, x) - 1]
        return a0 + (a1 + a2 * x) * x

    def __add__(self, other: Piecewise) -> Piecewise:
        """The sum."""
        return _paired(self, other, lambda p, q: (p[0] + q[0], p[1] + q[1], p[2] + q[2]))

    def __sub__(self, other: Piecewise) -> Piecewise:
        """The difference."""
        return _paired(self, other, lambda p, q: (p[0] - q[0], p[1] - q[1], p[2] - q[2]))

    def __neg__(self) -> Piecewise:
        """Minus the function."""
        return self.scaled(-1)

    def __mul__(self, other: Piecewise) -> Piecewise:
        """The product. Raises InexpressibleError `degree-above-two`."""
        return _paired(self, other, _product)

    def __abs__(self) -> Piecewise:
        """The absolute value."""
        return greatest(self, -self)

    def scaled(self, factor: Number) -> Piecewise:
        """The function times a constant."""
        return joined_pieces(self.low, self.high, ((s, _times(p, factor)) for s, p in self._starting()))

    def divided(self, other: Piecewise) -> Piecewise:
        """The quotient by a function that is constant and not zero; others are refused."""
        a0, a1, a2 = other.polys[0]
        if len(other.polys) > 1 or a1 or a2 or not a0:
            raise InexpressibleError("not-a-constant-divisor", "division by what depends on the quantity")
        return self.scaled(1 / Fraction(a0))

    def restricted(self, low: int, high: int) -> Piecewise:
        """The same function on a smaller interval."""
        if not self.low <= low <= high <= self.high:
            raise InexpressibleError("different-domains", f"{low}..{high} is not within {self.low}..{self.high}")
        kept = [(max(s, low), p) for s, end, p in self.pieces() if end >= low and s <= high]
        return joined_pieces(low, high, kept)

    def at_most(self, bound: Number = 0, *, strict: bool = False) -> Intervals:
        """The integers where the function is at most `bound` (below it when strict)."""
        return joined(
            part
            for first, last, (a0, a1, a2) in self.pieces()
            for part in at_most_zero((a0 - bound, a1, a2), first, last, strict=strict)
        )

    def greatest(self, low: int | None = None, high: int | None = None) -> tuple[Number, int]:
        """The greatest value on `low..high` (default: everywhere) and the least integer that has it."""
        left, right = self.low if low is None else low, self.high if high is None else high
        points = self.restricted(left, right)._candidates()
        return max(((self(x), x) for x in points), key=lambda pair: (pair[0], -pair[1]))

    def least(self, low: int | None = None, high: int | None = None) -> tuple[Number, int]:
        """The least value on `low..high` (default: everywhere) and the least integer that has it."""
        value, where = (-self).greatest(low, high)
        return -value, where

    def running_greatest(self) -> Piecewise:
        """`x ↦ max over low ≤ t ≤ x of f(t)`: the worst state while an order fills up to x."""
        parts: list[tuple[int, Poly]] = []
        best: Number | None = None
        for first, last, poly in self._monotone():
            best = _climb(first, last, poly, best, parts)
        return joined_pieces(self.low, self.high, parts)

    def is_constant(self) -> bool:
        """Whether there is one piece without slope."""
        return len(self.polys) == 1 and self.polys[0][1:] == (0, 0)

    def _starting(self) -> Iterator[tuple[int, Poly]]:
        return zip(self.starts, self.polys, strict=True)

    def _candidates(self) -> Iterator[int]:
        """Where a greatest value can be: ends of pieces and the integers beside a cap's vertex."""
        for first, last, poly in self.pieces():
            yield first
            yield last
            if poly[2] < 0:
                vertex = _vertex(poly)
                yield from (x for x in (vertex, vertex + 1) if first < x < last)

    def _monotone(self) -> Iterator[tuple[int, int, Poly]]:
        """The pieces, cut so that each is monotone over its integers."""
        for first, last, poly in self.pieces():
            cut = _vertex(poly) if poly[2] else last
            if first <= cut < last:
                yield first, cut, poly
                yield cut + 1, last, poly
            else:
                yield first, last, poly


def joined_pieces(low: int, high: int, parts: Iterable[tuple[int, Poly]]) -> Piecewise:
    """The function with these (start, coefficients), ascending, the first at `low`; equal neighbours are merged."""
    starts: list[int] = []
    polys: list[Poly] = []
    for start, poly in parts:
        if not polys or polys[-1] != poly:
            starts.append(start)
            polys.append(poly)
    if len(polys) > PIECES_MAX:
        raise InexpressibleError("too-many-pieces", f"more than {PIECES_MAX} pieces")
    return Piecewise(low, high, tuple(starts), tuple(polys))


def constant(value: Number, low: int, high: int) -> Piecewise:
    """The function that is `value` everywhere on `low..high`."""
    return Piecewise(low, high, (low,), ((value, 0, 0),))


def identity(low: int, high: int) -> Piecewise:
    """`x ↦ x` on `low..high`."""
    return Piecewise(low, high, (low,), ((0, 1, 0),))


def greatest(one: Piecewise, other: Piecewise) -> Piecewise:
    """The pointwise maximum."""
    return chosen((other - one).at_most(), one, other)


def least(one: Piecewise, other: Piecewise) -> Piecewise:
    """The pointwise minimum."""
    return chosen((one - other).at_most(), one, other)


def chosen(where: Intervals, yes: Piecewise, no: Piecewise) -> Piecewise:
    """`if x in where then yes(x) else no(x)`; `where` must lie within the functions' interval."""
    _same_domain(yes, no)
    rest = complement(where, yes.low, yes.high)
    parts = [*_cut(yes, where), *_cut(no, rest)]
    return joined_pieces(yes.low, yes.high, sorted(parts, key=lambda part: part[0]))


_ORDERS: dict[str, Callable[[Piecewise], Intervals]] = {
    "<=": lambda d: d.at_most(),
    "<": lambda d: d.at_most(strict=True),
    ">=": lambda d: (-d).at_most(),
    ">": lambda d: (-d).at_most(strict=True),
    "==": lambda d: common(d.at_most(), (-d).at_most()),
    "!=": lambda d: joined((*d.at_most(strict=True), *(-d).at_most(strict=True))),
}


def compared(op: str, one: Piecewise, other: Piecewise) -> Intervals:
    """The integers where `one op other` holds; `op` is one of == != < <= > >=."""
    return _ORDERS[op](one - other)


def _same_domain(one: Piecewise, other: Piecewise) -> None:
    if (one.low, one.high) != (other.low, other.high):
        raise InexpressibleError("different-domains", "functions over different intervals")


def _paired(one: Piecewise, other: Piecewise, join: Callable[[Poly, Poly], Poly]) -> Piecewise:
    _same_domain(one, other)
    if len(one.polys) == 1 == len(other.polys):
        return Piecewise(one.low, one.high, one.starts, (join(one.polys[0], other.polys[0]),))
    parts: list[tuple[int, Poly]] = []
    for start in sorted({*one.starts, *other.starts}):
        left = one.polys[bisect_right(one.starts, start) - 1]
        right = other.polys[bisect_right(other.starts, start) - 1]
        parts.append((start, join(left, right)))
    return joined_pieces(one.low, one.high, parts)


def _product(p: Poly, q: Poly) -> Poly:
    if p[2] * q[1] + p[1] * q[2] or p[2] * q[2]:
        raise InexpressibleError("degree-above-two", "a product of degree above two")
    return (p[0] * q[0], p[0] * q[1] + p[1] * q[0], p[0] * q[2] + p[1] * q[1] + p[2] * q[0])


def _times(poly: Poly, factor: Number) -> Poly:
    return (poly[0] * factor, poly[1] * factor, poly[2] * factor)


def _cut(function: Piecewise, where: Intervals) -> list[tuple[int, Poly]]:
    """(start, coefficients) of the function's pieces inside a set."""
    parts: list[tuple[int, Poly]] = []
    for low, high in where:
        inside = function.restricted(low, high)
        parts.extend(inside._starting())
    return parts


def _vertex(poly: Poly) -> int:
    """The integer at or just below the vertex of a polynomial with `a2` not zero."""
    return (-Fraction(poly[1]) / (2 * Fraction(poly[2]))).__floor__()


def _value(poly: Poly, x: int) -> Number:
    return poly[0] + (poly[1] + poly[2] * x) * x


def _climb(first: int, last: int, poly: Poly, best: Number | None, parts: list[tuple[int, Poly]]) -> Number:
    """Add the running maximum over one monotone piece to `parts`; returns the greatest value so far."""
    start, end = _value(poly, first), _value(poly, last)
    best = start if best is None else best
    if end <= max(best, start):
        parts.append((first, (max(best, start), 0, 0)))
        return max(best, start)
    flat = at_most_zero((poly[0] - best, poly[1], poly[2]), first, last)
    if flat and flat[0][0] == first:
        parts.append((first, (best, 0, 0)))
        first = flat[0][1] + 1
    parts.append((first, poly))
    return end
