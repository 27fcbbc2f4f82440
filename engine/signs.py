"""What is known of a number's sign, from the declared bounds of the names in it.

In: a typed term. Out: `Signs`. Guaranteed: sound (what is claimed holds for all admissible facts and fills), not
complete. Refused: nothing. Before: `terms.py`. After: `classify.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.terms import Absolute, Aggregate, Binary, Extreme, Field, If, Literal, Negate, Term


@dataclass(frozen=True, slots=True)
class Signs:
    """Facts about a sign; several can hold: zero is both nonnegative and nonpositive."""

    nonnegative: bool = False
    nonpositive: bool = False
    nonzero: bool = False

    @property
    def positive(self) -> bool:
        """Always above zero."""
        return self.nonnegative and self.nonzero

    def negated(self) -> Signs:
        """The signs of minus the number."""
        return Signs(self.nonpositive, self.nonnegative, self.nonzero)

    def plus(self, other: Signs) -> Signs:
        """The signs of a sum."""
        up = self.nonnegative and other.nonnegative
        down = self.nonpositive and other.nonpositive
        return Signs(up, down, (up or down) and (self.nonzero or other.nonzero))

    def times(self, other: Signs) -> Signs:
        """The signs of a product."""
        up = (self.nonnegative and other.nonnegative) or (self.nonpositive and other.nonpositive)
        down = (self.nonnegative and other.nonpositive) or (self.nonpositive and other.nonnegative)
        return Signs(up, down, self.nonzero and other.nonzero)

    def either(self, other: Signs) -> Signs:
        """What holds for both of two alternatives."""
        return Signs(
            self.nonnegative and other.nonnegative,
            self.nonpositive and other.nonpositive,
            self.nonzero and other.nonzero,
        )


_ZERO = Signs(nonnegative=True, nonpositive=True)


def signs(term: Term) -> Signs:
    """What is known of the sign of a number."""
    match term:
        case Literal(value=Fraction() as value):
            return _between(value, value)
        case Field():
            return _between(term.minimum, term.maximum)
        case Negate(operand=x):
            return signs(x).negated()
        case Absolute(operand=x):
            return Signs(nonnegative=True, nonzero=signs(x).nonzero)
        case Binary():
            return _binary(term)
        case Extreme():
            return _extreme(term)
        case If(yes=yes, no=no):
            return signs(yes).either(signs(no))
        case Aggregate(kind="sum", body=body) if body is not None:
            # An empty sum is zero, so nothing is known to be nonzero.
            return signs(body).either(_ZERO)
        case Aggregate(kind="count"):
            return Signs(nonnegative=True)
    return Signs()


def _between(low: Fraction | None, high: Fraction | None) -> Signs:
    above = low is not None and low > 0
    below = high is not None and high < 0
    return Signs(low is not None and low >= 0, high is not None and high <= 0, above or below)


def _binary(term: Binary) -> Signs:
    left, right = signs(term.left), signs(term.right)
    if term.op == "+":
        return left.plus(right)
    if term.op == "-":
        return left.plus(right.negated())
    if term.op == "*" and term.left == term.right:
        return Signs(nonnegative=True, nonzero=left.nonzero)
    return left.times(right)


def _extreme(term: Extreme) -> Signs:
    items = [signs(item) for item in term.items]
    joined = items[0]
    for item in items[1:]:
        joined = joined.either(item)
    up = any(s.nonnegative for s in items) if term.which == "max" else joined.nonnegative
    down = any(s.nonpositive for s in items) if term.which == "min" else joined.nonpositive
    strict = any(s.positive for s in items) if term.which == "max" else any(s.negated().positive for s in items)
    return Signs(up, down, joined.nonzero or strict)
