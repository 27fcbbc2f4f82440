"""How a requirement depends on fills, which decides who can enforce it and how its worst state is found.

In: a typed term. Out: a class with the reason for the author, and whether a comparison is separable. Guaranteed:
sound, not complete: what is called linear or convex is (its worst state over any box of fills is at a corner), what
cannot be shown is mixed-integer. Refused: nothing.
Method: composition of curvature with signs (the rules of disciplined convex programming), signs taken from the
vocabulary's bounds that fields carry. Facts are constants here: `if account.kind == cash then …` picks one branch.
Before: `terms.py`, `render.py`. After: `rulefile.py`, `judge.py`, the row builder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lexorder.engine.errors import shown
from lexorder.engine.names import Vocabulary
from lexorder.engine.render import folded, render
from lexorder.engine.rule import Classified, TermClass
from lexorder.engine.signs import signs
from lexorder.engine.terms import (
    FILL_NAMES,
    Absolute,
    Aggregate,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    Negate,
    Term,
    conjuncts,
    depends_on_fills,
)
from lexorder.engine.units import Kind


class Curve(IntEnum):
    """How a number bends as orders fill."""

    CONSTANT = 0
    AFFINE = 1
    CONVEX = 2
    CONCAVE = 3
    OTHER = 4


@dataclass(frozen=True, slots=True)
class Bend:
    """A curve; for OTHER the words that say why, with `{}` where the offending term goes."""

    curve: Curve
    why: str = ""
    about: Term | None = None


_CONSTANT, _AFFINE = Bend(Curve.CONSTANT), Bend(Curve.AFFINE)
_CONVEX, _CONCAVE = Bend(Curve.CONVEX), Bend(Curve.CONCAVE)

_ORDER = (TermClass.FACTS_ONLY, TermClass.LINEAR, TermClass.CONVEX, TermClass.MIXED_INTEGER)


def classify(term: Term, vocabulary: Vocabulary | None = None) -> Classified:
    """The class of a requirement: the hardest of its conjuncts, with the reason.

    With a vocabulary the reason speaks of defined names instead of what they mean.
    """
    found = max((_conjunct(part) for part in conjuncts(term)), key=lambda c: _ORDER.index(c.term_class))
    if found.about is None:
        return Classified(found.term_class, found.why)
    about = folded(found.about, vocabulary) if vocabulary else render(found.about)
    return Classified(found.term_class, found.why.format(shown(about)))


@dataclass(frozen=True, slots=True)
class _Found:
    """A class, and words with `{}` where the term they are about goes."""

    term_class: TermClass
    why: str
    about: Term | None = None


def _conjunct(part: Term) -> _Found:
    if not depends_on_fills(part):
        return _Found(TermClass.FACTS_ONLY, "no name in it depends on fills")
    if not isinstance(part, Compare):
        return _mixed(part, "{} is not a comparison that stands by itself, joined by `and`")
    if part.op == "!=":
        return _mixed(part, "{} leaves out one value in the middle")
    if part.left.unit.kind is not Kind.NUMBER:
        return _mixed(part, "{} compares conditions that depend on fills")
    return _comparison(part)


def _comparison(part: Compare) -> _Found:
    """`lhs - rhs` of `<=` must bend upward; of `>=` the other way round; of `==` not at all."""
    left, right = cleared(part)
    bend = _sum(bend_of(left), _flipped(bend_of(right)))
    if part.op in {">=", ">"}:
        bend = _flipped(bend)
    if bend.curve <= Curve.AFFINE:
        return _Found(TermClass.LINEAR, "each side is a sum of terms linear in fills")
    if bend.curve is Curve.OTHER:
        return _mixed(bend.about, bend.why)
    if part.op == "==":
        return _mixed(part, "{} asks a curved function for one exact value")
    if bend.curve is Curve.CONVEX:
        return _Found(TermClass.CONVEX, "the limited side is a sum of convex functions of fills")
    return _mixed(part, "{} limits a convex function from below, which splits the admissible region")


def cleared(part: Compare) -> tuple[Term, Term]:
    """Both sides with a division by something always positive that depends on fills multiplied out."""
    left, right = _multiplied_out(part.left, part.right)
    right, left = _multiplied_out(right, left)
    return left, right


def _multiplied_out(side: Term, other: Term) -> tuple[Term, Term]:
    """`a / b` and `c` to `a` and `c * b`."""
    if not isinstance(side, Binary) or side.op != "/":
        return side, other
    divisor = side.right
    if not depends_on_fills(divisor) or not signs(divisor).positive:
        return side, other
    return side.left, Binary(other.unit.times(divisor.unit), "*", other, divisor, span=other.span)


def _mixed(about: Term | None, why: str) -> _Found:
    return _Found(TermClass.MIXED_INTEGER, why, about)


# ---- curvature ---------------------------------------------------------------------------------


def bend_of(term: Term) -> Bend:
    """How a number bends as orders fill."""
    if not depends_on_fills(term):
        return _CONSTANT
    match term:
        case Field():
            return _AFFINE
        case Negate(operand=x):
            return _flipped(bend_of(x))
        case Binary():
            return _arithmetic(term)
        case Absolute():
            return _absolute(term)
        case Extreme():
            return _extreme(term)
        case If():
            return _choice(term)
        case Aggregate():
            return _aggregate(term)
    return _other(term, "{} jumps as orders fill")


def _arithmetic(term: Binary) -> Bend:
    match term.op:
        case "+":
            return _sum(bend_of(term.left), bend_of(term.right))
        case "-":
            return _sum(bend_of(term.left), _flipped(bend_of(term.right)))
        case "*":
            return _product(term)
    return _quotient(term)


def _other(about: Term | None, why: str) -> Bend:
    return Bend(Curve.OTHER, why, about)


def _flipped(bend: Bend) -> Bend:
    if bend.curve is Curve.CONVEX:
        return _CONCAVE
    return _CONVEX if bend.curve is Curve.CONCAVE else bend


def _sum(one: Bend, other: Bend) -> Bend:
    low, high = sorted((one, other), key=lambda b: b.curve)
    if high.curve is Curve.CONCAVE and low.curve is Curve.CONVEX:
        return _other(None, "it takes a convex function from another, and the difference bends both ways")
    return high


def _product(term: Binary) -> Bend:
    left, right = term.left, term.right
    if not depends_on_fills(left):
        return _scaled(bend_of(right), left)
    if not depends_on_fills(right):
        return _scaled(bend_of(left), right)
    if left == right and bend_of(left).curve is Curve.AFFINE:
        return _CONVEX
    return _other(term, "{} multiplies two amounts that both depend on fills")


def _quotient(term: Binary) -> Bend:
    if depends_on_fills(term.right):
        return _other(term.right, "{} divides, depends on fills, and is not declared positive")
    return _scaled(bend_of(term.left), term.right)


def _scaled(bend: Bend, factor: Term) -> Bend:
    """A curve times a fact: a straight line stays one whatever the sign, a bent one needs it known."""
    if bend.curve in {Curve.AFFINE, Curve.OTHER}:
        return bend
    known = signs(factor)
    if known.nonnegative:
        return bend
    if known.nonpositive:
        return _flipped(bend)
    return _other(factor, "the sign of {} is not known: give the name a `min` of 0 or more")


def _absolute(term: Absolute) -> Bend:
    inner, known = bend_of(term.operand), signs(term.operand)
    if known.nonnegative:
        return inner
    if known.nonpositive:
        return _flipped(inner)
    if inner.curve is Curve.AFFINE:
        return _CONVEX
    return inner if inner.curve is Curve.OTHER else _other(term, "{} takes the size of a curved amount")


def _extreme(term: Extreme) -> Bend:
    bends = [bend_of(item) for item in term.items]
    worst = max(bends, key=lambda b: b.curve)
    admissible = Curve.CONVEX if term.which == "max" else Curve.CONCAVE
    if all(b.curve <= Curve.AFFINE or b.curve is admissible for b in bends):
        return Bend(admissible)
    return worst if worst.curve is Curve.OTHER else _other(term, "{} bends both ways")


def _choice(term: If) -> Bend:
    if depends_on_fills(term.condition):
        return _other(term, "{} switches as orders fill")
    low, high = sorted((bend_of(term.yes), bend_of(term.no)), key=lambda b: b.curve)
    if low.curve is Curve.CONVEX and high.curve is Curve.CONCAVE:
        return _other(term, "{} bends one way or the other")
    return high


def _aggregate(term: Aggregate) -> Bend:
    if term.kind != "sum" or term.body is None:
        return _other(term, "{} counts names, which jumps as orders fill")
    if term.where is not None and depends_on_fills(term.where):
        return _other(term, "{} selects names by what fills")
    return bend_of(term.body)


def peaks_at_corners(term: Term) -> bool:
    """Whether a comparison's `lhs - rhs` is greatest at a corner of any box of fills.

    Linear and convex ones are. So is a limit on `sum(h where h > c)` over groups with `h` linear or convex in fills and
    `c` a fact of at least 0: what a group adds is 0 up to `c` and `h` beyond, which never falls as `h` rises, and `h`
    is greatest at a corner. A comparison not shown to be so may peak in between.
    """
    if _conjunct(term).term_class is not TermClass.MIXED_INTEGER:
        return True
    if not isinstance(term, Compare) or term.op not in {"<", "<="} or depends_on_fills(term.right):
        return False
    left = term.left
    return isinstance(left, Aggregate) and left.kind == "sum" and _over_groups(left) and _above_a_bar(left)


def _above_a_bar(term: Aggregate) -> bool:
    """Whether a sum takes each member's amount where that same amount is above a fact of at least 0."""
    where, body = term.where, term.body
    if body is None or not isinstance(where, Compare) or where.op not in {">", ">="} or where.left != body:
        return False
    bar = where.right
    return not depends_on_fills(bar) and signs(bar).nonnegative and bend_of(body).curve in {Curve.AFFINE, Curve.CONVEX}


# ---- separability ------------------------------------------------------------------------------


def separable(term: Term) -> bool:
    """Whether a comparison's `lhs - rhs` is a sum of functions of a single block's fills each.

    A block is one name, or one issuer (sector, ...) where sums over issuers stand in it: see `grouping`. Then its
    greatest value over all fill states is the sum of each block's greatest. A conjunction is separable when all its
    parts are. Anything not shown to be so is not.
    """
    parts = conjuncts(term)
    alike = len({n.collection for n in term.walk() if isinstance(n, Aggregate) and _over_groups(n)}) <= 1
    return alike and all(isinstance(p, Compare) and _splits(p.left) and _splits(p.right) for p in parts)


def grouping(term: Term) -> str:
    """The group whose names fill together in a separable comparison, such as `issuer`; empty when each does alone."""
    return next((n.collection for n in term.walk() if _over_groups(n) and isinstance(n, Aggregate)), "")


def _over_groups(term: Term) -> bool:
    """Whether it runs over groups: the body or the condition counts the fills of each one's own members."""
    return isinstance(term, Aggregate) and any(_own_sum(n, term) for child in term.children() for n in child.walk())


def _own_sum(term: Term, of: Aggregate) -> bool:
    """Whether a term is an aggregate over the members of one group of `of`."""
    return isinstance(term, Aggregate) and term.owner == of.collection and depends_on_fills(term)


def _splits(term: Term) -> bool:
    """Whether a number is a sum over names."""
    if not depends_on_fills(term) or _one_name(term):
        return True
    match term:
        case Negate(operand=x):
            return _splits(x)
        case Binary(op="+" | "-", left=left, right=right):
            return _splits(left) and _splits(right)
        case Binary(op="*", left=left, right=right):
            return _fixed_factor(left, right) or _fixed_factor(right, left)
        case Binary(op="/", left=left, right=right):
            return _fixed_factor(right, left)
        case If(condition=condition, yes=yes, no=no):
            return not depends_on_fills(condition) and _splits(yes) and _splits(no)
        case Aggregate(kind="sum" | "count"):
            return _members_alone(term)
    return False


def _fixed_factor(factor: Term, rest: Term) -> bool:
    return not depends_on_fills(factor) and _splits(rest)


def _one_name(term: Term) -> bool:
    """Whether all fills in it are those of the subject: no aggregate of it depends on fills, and one entity is read."""
    if any(isinstance(n, Aggregate) and depends_on_fills(n) for n in term.walk()):
        return False
    return (
        len({(n.via, n.name.split(".")[0]) for n in term.walk() if isinstance(n, Field) and n.name in FILL_NAMES}) == 1
    )


def _members_alone(term: Aggregate) -> bool:
    """Whether each member's part reads the fills of that member only; of a group, those of its members."""
    return all(_alone(part, term) for part in (term.body, term.where) if part is not None)


def _alone(part: Term, of: Aggregate) -> bool:
    if not depends_on_fills(part):
        return True
    if isinstance(part, Aggregate):
        return _own_sum(part, of) and _members_alone(part)
    if isinstance(part, Field):
        return part.name.split(".")[0] == of.collection and part.via in {"", of.collection}
    return all(_alone(child, of) for child in part.children())
