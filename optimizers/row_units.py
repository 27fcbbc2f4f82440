"""Rows in whole units: denominators cleared, lots counted, several working orders of a name told apart.

In: an atom `sum ≤ 0` (or `< 0`) over holdings in shares, and its `Board`. Out: integer functions of units,
coefficients of working fills, limit and scale; the certificate's names and working orders. Guaranteed: the integers
hold exactly when the atom does, at every holding whole lots can reach. Refused (`LoweringError`): a piece that bends
downward over three units or more (its worst state lies inside, where the verifier does not look), fills that enter
otherwise than in proportion. Before: `separable.py`, `board.py`. After: `rows.py`, `confirm.py`, `release.py`.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

from lexorder.engine.certificate import Function, Name, Working
from lexorder.engine.piecewise import Piecewise
from lexorder.optimizers.board import Board
from lexorder.optimizers.separable import Atom, LoweringError, plainest

Units = tuple[tuple[tuple[int, Function], ...], tuple[tuple[int, int], ...], int, Fraction, Fraction]


def in_units(atom: Atom, board: Board) -> Units:
    """An atom as integer functions of units, coefficients of working fills, the limit, the scale, and what was spared.

    Row value ≤ limit exactly when the atom holds; row units = scale × the atom's unit. The last is what rounding the
    limit down to a whole row unit took off it, from 0 to below 1. Refused: a concave piece of
    three or more units (LoweringError), and fills that enter otherwise than in proportion.
    """
    count = len(board.candidates)
    named = {v: _units_of(f, board, v) for v, f in atom.sum.parts.items() if v < count}
    fills = {v - count: _slope(f) for v, f in atom.sum.parts.items() if v >= count}
    constant = _fold_working(named, fills, board) + atom.sum.constant
    coefficients = [a for _, polys in named.values() for poly in polys for a in poly] + [*fills.values(), constant]
    scale = lcm(*(Fraction(a).denominator for a in coefficients))
    limit = int(-constant * scale) - (1 if atom.strict else 0)
    size = gcd(*(int(a * scale) for a in coefficients[:-1])) or 1
    functions = tuple((v, _function(breaks, polys, Fraction(scale, size))) for v, (breaks, polys) in named.items())
    working = tuple((k, int(a * scale) // size) for k, a in fills.items() if a)
    return functions, working, limit // size, Fraction(scale, size), Fraction(limit % size, size)


Pieces = tuple[list[int], list[tuple[Fraction, Fraction, Fraction]]]


def _units_of(function: Piecewise, board: Board, name: int) -> Pieces:
    """Breaks and coefficients in lots: `x = lot·u + remainder`."""
    lot, rest = unit_of(board, name)
    breaks: list[int] = []
    polys: list[tuple[Fraction, Fraction, Fraction]] = []
    for first, last, poly in plainest(function).pieces():
        start, end = -((rest - first) // lot), (last - rest) // lot
        if start > end:
            continue
        a0, a1, a2 = (Fraction(a) for a in poly)
        moved = (a0 + (a1 + a2 * rest) * rest, (a1 + 2 * a2 * rest) * lot, a2 * lot * lot)
        moved = _straightened(moved, start, end)
        if polys and polys[-1] == moved:
            continue
        breaks.append(start)
        polys.append(moved)
    return breaks[1:], polys


def _straightened(
    poly: tuple[Fraction, Fraction, Fraction], start: int, end: int
) -> tuple[Fraction, Fraction, Fraction]:
    """A concave piece of one or two integers as the line through them; longer ones are refused."""
    a0, a1, a2 = poly
    if a2 >= 0:
        return poly
    if end - start > 1:
        raise LoweringError("bends downward in a holding, which leaves its worst state inside a range")
    return (a0 - a2 * start * end, a1 + a2 * (start + end), Fraction(0))


def _slope(function: Piecewise) -> Fraction:
    if len(function.polys) > 1 or function.polys[0][2] or function.polys[0][0]:
        raise LoweringError("reads the fill of one of several working orders in a name otherwise than in proportion")
    return Fraction(function.polys[0][1])


def _fold_working(named: dict[int, Pieces], fills: dict[int, Fraction], board: Board) -> Fraction:
    """Where a name with several working orders enters in proportion, write its fills instead: then rows are exact."""
    constant = Fraction(0)
    for name in [n for n in named if len(board.working_of(n)) > 1]:
        breaks, polys = named[name]
        orders = board.working_of(name)
        if breaks or polys[0][2] or not any(k in fills for k in orders):
            continue
        del named[name]
        constant += polys[0][0] + polys[0][1] * board.candidates[name].held
        for k in orders:
            fills[k] = fills.get(k, Fraction(0)) + polys[0][1]
    return constant


def _function(breaks: list[int], polys: list[tuple[Fraction, Fraction, Fraction]], by: Fraction) -> Function:
    scaled = tuple((int(a * by), int(b * by), int(c * by)) for a, b, c in polys)
    return Function(tuple(breaks), scaled)


def unit_of(board: Board, name: int) -> tuple[int, int]:
    """Lot and remainder of a name: shares = lot × units + remainder. Names with working orders count in shares."""
    c = board.candidates[name]
    lot = 1 if board.working_of(name) else c.lot
    return lot, c.held % lot


def names_of(board: Board) -> tuple[Name, ...]:
    """The certificate's names: held, lower and upper in units, bounds taken inward to whole lots."""
    found = []
    for i, c in enumerate(board.candidates):
        lot, rest = unit_of(board, i)
        lower, upper = -((rest - c.lower) // lot), (c.upper - rest) // lot
        found.append(Name(c.symbol, (c.held - rest) // lot, lower, upper))
    return tuple(found)


def working_of(board: Board) -> tuple[Working, ...]:
    """The certificate's working orders, in shares."""
    pairs = zip(board.names_of_working, board.quantities, strict=True)
    return tuple(Working(name, quantity) for name, quantity in pairs)
