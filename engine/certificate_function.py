"""Piecewise quadratic functions of one holding, exact on all integers.

In: breaks and polys. Out: values, sums, multiples, and the greatest and least value over an interval of
integers. Guaranteed: exact for integers of any size. Refused, by `CertificateError`: what is not such a
function, and a concave piece. Why piecewise quadratic and convex in each piece: costs, caps, thresholds and
variances all fit, the greatest value is at the end of a piece, the least beside one vertex.

Unlike the functions of `piecewise.py` (rational, over one interval) these are what a certificate can state.
Before this file: `errors.py`. After it: `certificate.py`, which builds rows and objectives from these.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from lexorder.engine.errors import LexorderError

JsonValue: TypeAlias = "int | str | list[JsonValue] | dict[str, JsonValue] | None"
Json: TypeAlias = dict[str, JsonValue]
Poly: TypeAlias = tuple[int, int, int]


class CertificateError(LexorderError):
    """A part that can stand in no certificate: the message says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__("certificate-malformed", message)


def require(holds: bool, message: str) -> None:
    """Raise `CertificateError` with `message` unless `holds`."""
    if not holds:
        raise CertificateError(message)


@dataclass(frozen=True, slots=True)
class Function:
    """A piecewise quadratic function of one holding, on all integers, exact.

    `polys[0]` holds below `breaks[0]`, `polys[j]` from `breaks[j-1]` up to but not including
    `breaks[j]`, the last from the last break on. A poly `(a0, a1, a2)` is `a0 + a1*x + a2*x*x`.
    Argument: holding in units (shares or lots). Value: the unit of its row or objective.
    Refused: breaks that do not increase, a wrong number of polys, a negative `a2` (the worst
    case of a concave piece lies inside it, where the verifier does not look).
    """

    breaks: tuple[int, ...]
    polys: tuple[Poly, ...]

    def __post_init__(self) -> None:
        require(len(self.polys) == len(self.breaks) + 1, "one more poly than breaks is needed")
        require(all(a < b for a, b in pairwise(self.breaks)), "breaks must increase")
        require(all(a2 >= 0 for _, _, a2 in self.polys), "a2 must not be negative")

    @classmethod
    def constant(cls, value: int) -> Function:
        """Return the function that is `value` everywhere."""
        return cls((), ((value, 0, 0),))

    @classmethod
    def linear(cls, slope: int, intercept: int = 0) -> Function:
        """Return `intercept + slope*x`."""
        return cls((), ((intercept, slope, 0),))

    @classmethod
    def quadratic(cls, curvature: int, slope: int = 0, intercept: int = 0) -> Function:
        """Return `intercept + slope*x + curvature*x*x`; a negative curvature is refused."""
        return cls((), ((intercept, slope, curvature),))

    @classmethod
    def around(cls, held: int, sell: int, buy: int) -> Function:
        """Return `buy*(x - held)` from `held` on and `sell*(held - x)` below it.

        The cost or turnover of moving from `held` to `x`, in row units per unit sold and bought.
        """
        return cls((held,), ((sell * held, -sell, 0), (-buy * held, buy, 0)))

    @classmethod
    def absolute(cls, slope: int = 1, centre: int = 0) -> Function:
        """Return `slope*|x - centre|`."""
        return cls.around(centre, slope, slope)

    @classmethod
    def threshold(cls, at: int, below: Poly, above: Poly) -> Function:
        """Return the poly `below` for `x < at` and `above` from `at` on; it may jump."""
        return cls((at,), (below, above))

    def poly(self, x: int) -> Poly:
        """Return the poly in force at holding `x`."""
        return self.polys[bisect_right(self.breaks, x)]

    def value(self, x: int) -> int:
        """Return the exact value at holding `x`."""
        a0, a1, a2 = self.poly(x)
        return a0 + (a1 + a2 * x) * x

    def plus(self, other: Function) -> Function:
        """Return the exact sum of both functions, equal neighbouring pieces joined."""
        points = sorted({*self.breaks, *other.breaks})
        # Any point of a piece selects its poly; before the first break one step below it does.
        probes = [points[0] - 1 if points else 0, *points]
        sums = [_add(self.poly(x), other.poly(x)) for x in probes]
        return _joined(points, sums)

    def scaled(self, factor: int) -> Function:
        """Return `factor` times this; a negative factor is refused where a piece is curved."""
        return Function(
            self.breaks,
            tuple((factor * a0, factor * a1, factor * a2) for a0, a1, a2 in self.polys),
        )

    def pieces(self, low: int, high: int) -> list[tuple[int, int, Poly]]:
        """Return `(first, last, poly)` for each piece that meets the integers `low..high`.

        Refused: `low > high`.
        """
        require(low <= high, "an interval needs low <= high")
        start, stop = bisect_right(self.breaks, low), bisect_right(self.breaks, high)
        inner = self.breaks[start:stop]
        firsts, lasts = (low, *inner), (*(b - 1 for b in inner), high)
        return list(zip(firsts, lasts, self.polys[start : stop + 1], strict=True))

    def maximum(self, low: int, high: int) -> int:
        """Return the greatest value over the integers `low..high`, exact; needs `low <= high`."""
        # Every piece is convex, so its greatest value is at one of its ends.
        return max(max(_at(poly, first), _at(poly, last)) for first, last, poly in self.pieces(low, high))

    def minimum(self, low: int, high: int) -> int:
        """Return the least value over the integers `low..high`, exact; needs `low <= high`."""
        return self.value(self.argmin(low, high))

    def argmin(self, low: int, high: int) -> int:
        """Return the lowest holding of `low..high` at which the least value is reached."""
        candidates = [x for first, last, poly in self.pieces(low, high) for x in _least_points(poly, first, last)]
        return min(candidates, key=lambda x: (self.value(x), x))

    def to_json(self) -> Json:
        """Return the FUNCTION object of the document."""
        return {"breaks": list(self.breaks), "polys": [list(poly) for poly in self.polys]}


def _at(poly: Poly, x: int) -> int:
    a0, a1, a2 = poly
    return a0 + (a1 + a2 * x) * x


def _add(left: Poly, right: Poly) -> Poly:
    return (left[0] + right[0], left[1] + right[1], left[2] + right[2])


def _least_points(poly: Poly, first: int, last: int) -> list[int]:
    _, a1, a2 = poly
    if a2 == 0:
        return [first, last]
    # The real vertex is -a1/(2*a2); the least integer point is one of its two neighbours.
    vertex = -a1 // (2 * a2)
    return [min(max(x, first), last) for x in (vertex, vertex + 1)]


def _joined(points: Sequence[int], polys: Sequence[Poly]) -> Function:
    breaks, kept = [], [polys[0]]
    for point, poly in zip(points, polys[1:], strict=True):
        if poly != kept[-1]:
            breaks.append(point)
            kept.append(poly)
    return Function(tuple(breaks), tuple(kept))


def total(functions: Iterable[Function]) -> Function:
    """Return the exact sum of all `functions`; of none, the zero function."""
    result = Function.constant(0)
    for function in functions:
        result = result.plus(function)
    return result
