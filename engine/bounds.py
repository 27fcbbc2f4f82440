"""Which terms fit 64-bit integers, shown by interval analysis over the vocabulary's declared bounds.

In: a typed term and the vocabulary. Out: a `Bound`: whether every intermediate of the term's integer form stays within
±(2^63 - 1), the largest magnitude it can reach, the scale of the result, and the reason in words. Guaranteed: sound:
"fits" holds for all facts within their declared bounds and scales (facts outside are refused when loaded). A sum over
a collection has no static bound, since nothing limits how many members there are: then `fits` is False and `guard` says
what has to be checked when it runs. Refused: nothing is raised; what cannot be bounded says why.
The integer form: each name as an integer of its declared scale, literals as fractions whose denominators are cleared,
sums and comparisons brought to a common scale, a divisor declared positive multiplied to the other side.
Why this matters: CLIPS integers wrap without a word. Python's do not, so `compile.py` needs none of it.
Before: `terms.py`, `names.py`. After: `expert/`, the author's report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from lexorder.engine.names import Vocabulary
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Literal,
    Negate,
    SetOf,
    Term,
)
from lexorder.engine.units import Kind

INT64_MAX = 2**63 - 1
"""The largest magnitude admitted; the one below -2^63 + 1 is left out so that negation is safe too."""
NUMERIC = (Kind.NUMBER, Kind.DURATION)


@dataclass(frozen=True, slots=True)
class Bound:
    """The result of an analysis.

    `magnitude` is the largest absolute value any intermediate integer can have; for a sum that of one member's part;
    None where a name has no bounds. `scale`: an integer stands for itself divided by this. `guard` is empty, or says
    which check at run time makes a term safe that has no static bound.
    """

    fits: bool
    magnitude: int | None
    reason: str
    scale: int = 1
    guard: str = ""


@dataclass(frozen=True, slots=True)
class _Span:
    """Integer values `low..high` at a scale, and the largest magnitude on the way to them."""

    low: int
    high: int
    scale: int
    peak: int

    def times(self, factor: int) -> _Span:
        """The same number over a scale `factor` (at least 1) times as fine."""
        low, high = self.low * factor, self.high * factor
        return _Span(low, high, self.scale * factor, max(self.peak, abs(low), abs(high)))


class _UnboundError(Exception):
    """No bound can be shown; the words say why, `guard` what would help, `part` the peak of one member of a sum."""

    def __init__(self, why: str, guard: str = "", part: int | None = None) -> None:
        super().__init__(why)
        self.guard = guard
        self.part = part


def fits_int64(term: Term, vocabulary: Vocabulary) -> Bound:
    """Whether a number or a condition can be worked out in 64-bit integers.

    A condition is taken apart: each of its numeric comparisons must fit. `scale` is that of the first number.
    """
    try:
        spans = _spans(term, vocabulary)
    except _UnboundError as unbound:
        return Bound(False, unbound.part, str(unbound), guard=unbound.guard)
    peak = max((s.peak for s in spans), default=0)
    scale = spans[0].scale if spans else 1
    if peak <= INT64_MAX:
        return Bound(True, peak, f"no intermediate is above {_short(peak)}, and 64-bit integers reach 9.2e18", scale)
    return Bound(False, peak, f"an intermediate can reach {_short(peak)}, above the 9.2e18 of 64-bit integers", scale)


def _short(number: int) -> str:
    """A whole number rounded up to two digits, for reading."""
    digits = len(str(number))
    if digits <= 6:
        return f"{number:,}"
    leading = -(-number // 10 ** (digits - 2))
    return f"{leading // 10}.{leading % 10}e{digits - 1}" if leading < 100 else f"1.0e{digits}"


def _spans(term: Term, vocabulary: Vocabulary) -> list[_Span]:
    """Each of a term's numbers and comparisons."""
    found = _numbers(term)
    return [_compared(x, vocabulary) if isinstance(x, Compare) else _span(x, vocabulary) for x in found]


def _numbers(term: Term) -> Iterable[Term]:
    """The outermost numbers and numeric comparisons of a term; one looked for in a set is compared with each."""
    if term.unit.kind in NUMERIC or (isinstance(term, Compare) and term.left.unit.kind in NUMERIC):
        yield term
    elif isinstance(term, In) and isinstance(term.container, SetOf) and term.item.unit.kind in NUMERIC:
        yield from (Compare(term.unit, "==", term.item, x) for x in term.container.items)
    elif isinstance(term, Aggregate):
        yield from (n for part in (term.where, term.body) if part is not None for n in _numbers(part))
    else:
        yield from (n for child in term.children() for n in _numbers(child))


def _compared(term: Compare, vocabulary: Vocabulary) -> _Span:
    """Both sides at one scale, divisors multiplied out; the peak also covers the difference of the sides."""
    (left, below), (right, under) = _quotient(term.left, vocabulary), _quotient(term.right, vocabulary)
    left = _product(left, under) if under else left
    right = _product(right, below) if below else right
    return _difference(left, right)


def _quotient(side: Term, vocabulary: Vocabulary) -> tuple[_Span, _Span | None]:
    """A side of a comparison as numerator and divisor."""
    if isinstance(side, Binary) and side.op == "/" and not isinstance(side.right, Literal):
        divisor = _span(side.right, vocabulary)
        if divisor.low <= 0:
            raise _UnboundError("it divides by something not declared positive")
        return _span(side.left, vocabulary), divisor
    return _span(side, vocabulary), None


def _span(term: Term, vocabulary: Vocabulary) -> _Span:
    match term:
        case Literal(value=Fraction() as value):
            return _Span(value.numerator, value.numerator, value.denominator, abs(value.numerator))
        case Field():
            return _name(term, vocabulary)
        case Negate(operand=x):
            inner = _span(x, vocabulary)
            return _Span(-inner.high, -inner.low, inner.scale, inner.peak)
        case Absolute(operand=x):
            inner = _span(x, vocabulary)
            least = 0 if inner.low <= 0 <= inner.high else min(abs(inner.low), abs(inner.high))
            return _Span(least, max(abs(inner.low), abs(inner.high)), inner.scale, inner.peak)
        case Binary():
            return _arithmetic(term, vocabulary)
        case Extreme(items=items):
            return _hull([_span(x, vocabulary) for x in items], term.which)
        case If(condition=condition, yes=yes, no=no):
            inside = [span.peak for span in _spans(condition, vocabulary)]
            found = _hull([_span(yes, vocabulary), _span(no, vocabulary)], "")
            return _Span(found.low, found.high, found.scale, max([found.peak, *inside]))
        case Aggregate():
            return _aggregate(term, vocabulary)
    raise _UnboundError(f"{type(term).__name__.lower()} is not a number")


def _name(term: Field, vocabulary: Vocabulary) -> _Span:
    declared = vocabulary.names[term.name]
    if declared.minimum is None or declared.maximum is None:
        missing = "`min`" if declared.minimum is None else "`max`"
        raise _UnboundError(f"`{term.name}` has no {missing} in the vocabulary")
    scale = int(10**declared.scale)
    low, high = (int(end * scale) for end in (declared.minimum, declared.maximum))
    return _Span(low, high, scale, max(abs(low), abs(high)))


def _arithmetic(term: Binary, vocabulary: Vocabulary) -> _Span:
    if term.left.unit.kind not in NUMERIC or term.right.unit.kind not in NUMERIC:
        raise _UnboundError("times are not kept as integers")
    left = _span(term.left, vocabulary)
    if term.op == "/":
        if not isinstance(term.right, Literal) or not isinstance(term.right.value, Fraction) or not term.right.value:
            raise _UnboundError("it divides in the middle of an expression")
        return _product(left, _span(Literal(term.right.unit, 1 / term.right.value), vocabulary))
    right = _span(term.right, vocabulary)
    if term.op == "*":
        return _product(left, right)
    if term.op == "-":
        right = _Span(-right.high, -right.low, right.scale, right.peak)
    return _sum(left, right)


def _sum(one: _Span, other: _Span) -> _Span:
    scale = lcm(one.scale, other.scale)
    left, right = one.times(scale // one.scale), other.times(scale // other.scale)
    low, high = left.low + right.low, left.high + right.high
    return _Span(low, high, scale, max(left.peak, right.peak, abs(low), abs(high)))


def _difference(one: _Span, other: _Span) -> _Span:
    return _sum(one, _Span(-other.high, -other.low, other.scale, other.peak))


def _product(one: _Span, other: _Span) -> _Span:
    corners = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    low, high = min(corners), max(corners)
    return _Span(low, high, one.scale * other.scale, max(one.peak, other.peak, abs(low), abs(high)))


def _hull(spans: list[_Span], which: str) -> _Span:
    """Alternatives at one scale. For `max` the least value is the greatest of the least values, and so on."""
    scale = lcm(*(s.scale for s in spans))
    level = [s.times(scale // s.scale) for s in spans]
    low = max(s.low for s in level) if which == "max" else min(s.low for s in level)
    high = min(s.high for s in level) if which == "min" else max(s.high for s in level)
    return _Span(low, high, scale, max(s.peak for s in level))


def _aggregate(term: Aggregate, vocabulary: Vocabulary) -> _Span:
    if term.kind == "count" or term.body is None:
        raise _UnboundError(
            f"nothing limits how many there are of {term.collection}", "refuse to count beyond 2^63 - 1 members", 1
        )
    body = _span(term.body, vocabulary)
    if body.peak > INT64_MAX:
        raise _UnboundError(f"one member of the sum can reach {_short(body.peak)}", part=body.peak)
    room = INT64_MAX // body.peak if body.peak else INT64_MAX
    raise _UnboundError(
        f"nothing limits how many there are of {term.collection}; one adds at most {_short(body.peak)}",
        f"keep the total in unlimited integers and hand it over only if it is within ±9.2e18, which is certain up to "
        f"{_short(room)} members",
        body.peak,
    )


@dataclass(frozen=True, slots=True)
class Resource:
    """A limit on what one input may cost, and why it is enough."""

    what: str
    limit: int
    reason: str


def resource_bounds() -> tuple[Resource, ...]:
    """Every limit of the exact evaluators, for the documentation and its test."""
    from lexorder.engine import breakpoints, piecewise, resolve, states, totals

    return (
        Resource("parts of one expression", resolve.NODES_MAX, "definitions put in; evaluation is linear in it"),
        Resource("levels of one expression", resolve.DEPTH_MAX, "keeps walks far from Python's recursion limit"),
        Resource("fill states looked at one by one", states.STATES_MAX, "beyond it a requirement is undecided"),
        Resource("pieces of a one-number function", piecewise.PIECES_MAX, "more would cost more than the states"),
        Resource("quantities tried one by one", breakpoints.TRIED_MAX, "else no largest quantity is claimed"),
        Resource("corner states of a breakpoint", breakpoints.CORNERS_MAX, "each is one function to be compared"),
        Resource("working orders of one name combined", totals.CORNERS_MAX, "more go to the general path"),
    )
