"""Sums of one-name functions, and the conditions that can be made of them.

In: exact piecewise functions of single variables (`engine.piecewise`), a variable being one name's holding or one
working order's fill. Out: their sums, and trees of conditions `sum ≤ 0` joined by all-of and one-of. Guaranteed:
exact; `max` and `abs` become all-of, `min` one-of, so that a tree holds in a state exactly when the requirement it
was made of does. Refused (`LoweringError`): products of two names, conditions with more than `ALTERNATIVES_MAX`
alternatives. Why trees: a solver and the verifier know sums with a limit, and clauses of such sums, nothing else.
Before: `engine/piecewise.py`. After: `lowering.py`, `rows.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from lexorder.engine.errors import SolverError
from lexorder.engine.intervals import Intervals, Number, Poly, common, complement, joined
from lexorder.engine.piecewise import Piecewise, constant, joined_pieces

ALTERNATIVES_MAX = 256
"""A condition that opens into more alternatives than this is refused."""


class LoweringError(SolverError):
    """A requirement that cannot be written as rows and clauses; the message says which part and why."""

    def __init__(self, message: str) -> None:
        super().__init__("not-lowered", message)


@dataclass(frozen=True, slots=True)
class Sum:
    """`constant + Σ parts[v](x_v)`, exact; the functions are on the interval each variable can reach."""

    constant: Fraction = Fraction(0)
    parts: Mapping[int, Piecewise] = field(default_factory=dict)

    def plus(self, other: Sum) -> Sum:
        """The sum of both."""
        parts = dict(self.parts)
        for v, f in other.parts.items():
            parts[v] = parts[v] + f if v in parts else f
        return Sum(self.constant + other.constant, parts)

    def scaled(self, factor: Number) -> Sum:
        """This times a constant."""
        if factor == 0:
            return Sum()
        return Sum(self.constant * factor, {v: f.scaled(factor) for v, f in self.parts.items()})

    def minus(self, other: Sum) -> Sum:
        """The difference."""
        return self.plus(other.scaled(-1))

    @property
    def fixed(self) -> bool:
        """Whether no variable enters."""
        return not self.parts

    def only(self) -> int | None:
        """The variable when exactly one enters, else None."""
        return next(iter(self.parts)) if len(self.parts) == 1 else None

    def function(self, low: int, high: int) -> Piecewise:
        """All of it as one function on `low..high`; at most one variable may enter."""
        base = constant(self.constant, low, high)
        for part in self.parts.values():
            base = base + part
        return base

    def value(self, x: Mapping[int, int] | Sequence[int]) -> Fraction:
        """The exact value where variable *v* stands at `x[v]`."""
        return self.constant + sum((Fraction(f(x[v])) for v, f in self.parts.items()), Fraction(0))

    def range(self) -> tuple[Fraction, Fraction]:
        """The least and greatest value over everything reachable."""
        low = sum((Fraction(f.least()[0]) for f in self.parts.values()), self.constant)
        high = sum((Fraction(f.greatest()[0]) for f in self.parts.values()), self.constant)
        return low, high


def of_function(variable: int, function: Piecewise) -> Sum:
    """A sum of one function; a constant one is taken into the constant."""
    tidy = plainest(function)
    if tidy.is_constant():
        return Sum(Fraction(tidy.polys[0][0]))
    return Sum(Fraction(0), {variable: tidy})


def plainest(function: Piecewise) -> Piecewise:
    """The same function without pieces of one integer that a neighbour's polynomial describes as well.

    "Absent at 0, else price times shares" is the plain line through 0: solvers care, exactness does not.
    """
    parts = list(function.pieces())
    kept: list[tuple[int, Poly]] = []
    for j, (first, last, poly) in enumerate(parts):
        near = [parts[j + 1][2]] if j + 1 < len(parts) else []
        near += [kept[-1][1]] if kept else []
        same = [p for p in near if first == last and _at(p, first) == _at(poly, first)]
        kept.append((first, same[0] if same else poly))
    return joined_pieces(function.low, function.high, kept)


def _at(poly: Poly, x: int) -> Number:
    return poly[0] + (poly[1] + poly[2] * x) * x


@dataclass(frozen=True, slots=True)
class Known:
    """A condition that does not depend on the trade."""

    value: bool


@dataclass(frozen=True, slots=True)
class Atom:
    """`sum ≤ 0`, or `sum < 0` when strict."""

    sum: Sum
    strict: bool = False

    def holds(self, x: Mapping[int, int] | Sequence[int]) -> bool:
        """Whether it holds at `x`."""
        value = self.sum.value(x)
        return value < 0 if self.strict else value <= 0


@dataclass(frozen=True, slots=True)
class Open:
    """A number still to be compared: the leaf of a tree that stands for a maximum or minimum of sums."""

    sum: Sum


@dataclass(frozen=True, slots=True)
class Every:
    """All items hold; of numbers, the greatest of them."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one item holds; of numbers, the least of them."""

    items: tuple[Tree, ...]


Tree = Known | Atom | Open | Every | Some
TRUE, FALSE = Known(True), Known(False)


def every(items: Iterator[Tree] | Sequence[Tree]) -> Tree:
    """All of the items, simplified."""
    return _gathered(Every, False, items)


def some(items: Iterator[Tree] | Sequence[Tree]) -> Tree:
    """One of the items, simplified."""
    return _gathered(Some, True, items)


def _gathered(kind: type[Every] | type[Some], decisive: bool, items: Iterator[Tree] | Sequence[Tree]) -> Tree:
    kept: list[Tree] = []
    for item in items:
        if isinstance(item, Known):
            if item.value is decisive:
                return item
        elif isinstance(item, kind):
            kept.extend(item.items)
        else:
            kept.append(item)
    if not kept:
        return Known(not decisive)
    return kept[0] if len(kept) == 1 else kind(tuple(kept))


def leaves(tree: Tree, change: Callable[[Open], Tree]) -> Tree:
    """The tree with every open number replaced."""
    match tree:
        case Open():
            return change(tree)
        case Every(items=items):
            return every([leaves(i, change) for i in items])
        case Some(items=items):
            return some([leaves(i, change) for i in items])
    return tree


def added(one: Tree, other: Tree) -> Tree:
    """The sum of two numbers: greatest(a, b) + c is greatest(a + c, b + c)."""
    return leaves(one, lambda a: leaves(other, lambda b: Open(a.sum.plus(b.sum))))


def closed(tree: Tree, *, strict: bool) -> Tree:
    """The condition that the number is at most zero, or below it."""
    return leaves(tree, lambda leaf: settled(Atom(leaf.sum, strict)))


def settled(atom: Atom) -> Tree:
    """The atom, or what is known of it when no variable enters."""
    return Known(atom.holds({})) if atom.sum.fixed else atom


def variable_of(tree: Tree) -> int | None:
    """The one variable all atoms of a condition read, or None when there are several."""
    found = set().union(*(a.sum.parts for a in atoms(tree)))
    return next(iter(found)) if len(found) == 1 else None


def atoms(tree: Tree) -> Iterator[Atom]:
    """All atoms of a condition, left to right."""
    match tree:
        case Atom():
            yield tree
        case Every(items=items) | Some(items=items):
            for item in items:
                yield from atoms(item)


def region(tree: Tree, low: int, high: int) -> Intervals:
    """Where on `low..high` a condition of one variable holds."""
    match tree:
        case Known(value=known):
            return ((low, high),) if known else ()
        case Atom(sum=total, strict=strict):
            return total.function(low, high).at_most(strict=strict)
        case Some(items=items):
            return joined(part for i in items for part in region(i, low, high))
        case Every(items=items):
            inside: Intervals = ((low, high),)
            for item in items:
                inside = common(inside, region(item, low, high))
            return inside
    raise LoweringError("a number stands where a condition is needed")


def within(variable: int, inside: Intervals, low: int, high: int) -> Tree:
    """The condition that a variable of `low..high` lies in a set, as linear atoms."""
    if not complement(inside, low, high):
        return TRUE
    return some([_between(variable, a, b, low, high) for a, b in inside])


def _between(variable: int, first: int, last: int, low: int, high: int) -> Tree:
    up = Piecewise(low, high, (low,), ((-last, 1, 0),))
    down = Piecewise(low, high, (low,), ((first, -1, 0),))
    ends = [Atom(Sum(Fraction(0), {variable: up}))] if last < high else []
    ends += [Atom(Sum(Fraction(0), {variable: down}))] if first > low else []
    return every(ends)


def opposite(tree: Tree) -> Tree:
    """The negation of a condition."""
    match tree:
        case Known(value=known):
            return Known(not known)
        case Atom(sum=total, strict=strict):
            return Atom(total.scaled(-1), not strict)
        case Every(items=items):
            return some([opposite(i) for i in items])
        case Some(items=items):
            return every([opposite(i) for i in items])
    raise LoweringError("a number stands where a condition is needed")


def alternatives(tree: Tree) -> list[tuple[Atom, ...]]:
    """A condition as alternatives, each a list of atoms that must all hold."""
    match tree:
        case Known(value=known):
            return [()] if known else []
        case Atom():
            return [(tree,)]
        case Some(items=items):
            return _bounded([a for i in items for a in alternatives(i)])
        case Every(items=items):
            each = [alternatives(i) for i in items]
            size = 1
            for options in each:
                size *= len(options)
                if size > ALTERNATIVES_MAX:
                    raise LoweringError(f"opens into more than {ALTERNATIVES_MAX} alternatives")
            return [tuple(a for part in parts for a in part) for parts in product(*each)]
    raise LoweringError("a number stands where a condition is needed")


def _bounded(found: list[tuple[Atom, ...]]) -> list[tuple[Atom, ...]]:
    if len(found) > ALTERNATIVES_MAX:
        raise LoweringError(f"opens into more than {ALTERNATIVES_MAX} alternatives")
    return found
