"""A fill-dependent comparison as a sum of atoms, and what is fixed for one kind of order.

In: typed terms. Out: `Atom`s whose signed sum is the excess `judge.py` speaks of; `is_static`. Guaranteed: the sum of
the atoms, each times its factor, is exactly left minus right (the other way round for `>` and `>=`). Refused:
`NotLoweredError`. Static means: the same for every order of one account, symbol, trader and strategy, so that it can be
worked out before the order comes. Before: `terms.py`. After: `lower.py`, `leaves.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal as OneOf

from lexorder.engine.signs import signs
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    Binary,
    Compare,
    Extreme,
    Field,
    Literal,
    Negate,
    Term,
    depends_on_fills,
)
from lexorder.engine.units import RATIO

FIXED = frozenset({"order.symbol", "order.account", "order.trader", "order.strategy"})
"""The names of an order that its leaves are prepared for; all others come with the order itself."""

Frame = OneOf["subject", "order", "position"]
"""Where a term is read: at the rule's subject, or inside it at the order under test or at the ordered name."""


class NotLoweredError(Exception):
    """CLIPS is not asked to work this out; the text says why. Never reaches users as an error."""


@dataclass(frozen=True, slots=True)
class Times:
    """A factor: an exact ratio, and a static term read in `frame` or None."""

    ratio: Fraction = Fraction(1)
    term: Term | None = None
    frame: Frame = "subject"

    def scaled(self, by: Fraction) -> Times:
        """Times a number."""
        return replace(self, ratio=self.ratio * by)

    def and_term(self, factor: Term, frame: Frame) -> Times:
        """Times a static term."""
        if isinstance(factor, Literal) and isinstance(factor.value, Fraction):
            return self.scaled(factor.value)
        return Times(self.ratio, times_term(factor, self, frame), frame)

    def over(self, divisor: Term, frame: Frame) -> Times:
        """Divided by a static term; raises NotLoweredError for any other."""
        if isinstance(divisor, Literal) and isinstance(divisor.value, Fraction) and divisor.value:
            return self.scaled(1 / divisor.value)
        if not is_static(divisor):
            raise NotLoweredError("it divides by an amount of the order")
        return self.and_term(Binary(RATIO, "/", Literal(RATIO, Fraction(1)), divisor), frame)

    def magnitude(self) -> Times:
        """The factor without its sign; raises NotLoweredError when the term's sign is not known."""
        if self.term is not None and not signs(self.term).nonnegative:
            raise NotLoweredError("the sign of a factor of a bent function is not known")
        return replace(self, ratio=abs(self.ratio))

    def sign(self) -> Times:
        """The sign alone, as a factor."""
        return Times(Fraction(-1 if self.ratio < 0 else 1))


def times_term(term: Term, by: Times, frame: Frame) -> Term:
    """`term` times the factor's term. Raises NotLoweredError when the two are read in different places."""
    if by.term is None:
        return term
    if by.frame != frame:
        raise NotLoweredError("a factor outside an aggregate meets an amount inside it")
    return Binary(term.unit.times(by.term.unit), "*", term, by.term)


def is_static(term: Term) -> bool:
    """Whether a term is the same for every order of one account, symbol, trader and strategy."""
    return not any(
        isinstance(n, Field) and n.name.startswith("order.") and n.name not in FIXED for n in term.walk()
    ) and not depends_on_fills(term)


@dataclass(frozen=True, slots=True)
class Atom:
    """One summand of an excess: `term` times a factor.

    `static` does not depend on fills; `position` is a sum over holdings, `direct` a function of the holding the rule is
    about; `order` and `working` read what fills of an order under test or a working one.
    """

    kind: OneOf["static", "position", "direct", "order", "working"]
    term: Term
    times: Times


def atoms_of(part: Compare) -> tuple[Atom, ...]:
    """The excess of a comparison as atoms. Raises NotLoweredError for what is no such sum."""
    sign = Fraction(1 if part.op in ("<", "<=") else -1)
    found: list[Atom] = []
    _collect(part.left, Times(sign), found)
    _collect(part.right, Times(-sign), found)
    return tuple(found)


def _collect(term: Term, by: Times, found: list[Atom]) -> None:
    if not depends_on_fills(term):
        found.append(Atom("static", term, by))
        return
    match term:
        case Negate(operand=x):
            _collect(x, by.scaled(Fraction(-1)), found)
        case Binary(op="+" | "-" as op, left=left, right=right):
            _collect(left, by, found)
            _collect(right, by.scaled(Fraction(1 if op == "+" else -1)), found)
        case Binary(op="*", left=left, right=right):
            factor, rest = (left, right) if not depends_on_fills(left) else (right, left)
            _collect(rest, by.and_term(_static(factor), "subject"), found)
        case Binary(op="/", left=left, right=right):
            _collect(left, by.over(right, "subject"), found)
        case _:
            found.append(Atom(_kind(term), term, by))


def _static(factor: Term) -> Term:
    if not is_static(factor):
        raise NotLoweredError("fills are multiplied by an amount of the order outside a sum over orders")
    return factor


_COLLECTIONS: dict[str, OneOf["position", "order", "working"]] = {
    "position": "position",
    "order": "order",
    "working_order": "working",
}


def _kind(term: Term) -> OneOf["position", "direct", "order", "working"]:
    if isinstance(term, Aggregate) and term.kind == "sum" and term.body is not None:
        if term.collection != "order" and not (is_settled(term.where) and all(map(is_settled, _facts_in(term.body)))):
            raise NotLoweredError("a sum over holdings reads the order under test")
        if any(isinstance(n, Aggregate) and n is not term for n in term.walk()):
            raise NotLoweredError("a sum inside a sum")
        own = _FILLS.get(term.collection, "")
        if any(isinstance(n, Field) and depends_on_fills(n) and n.name != own for n in term.walk()):
            raise NotLoweredError("a sum reads fills of something else than it runs over")
        return _COLLECTIONS[term.collection]
    names = {n.name for n in term.walk() if isinstance(n, Field) and depends_on_fills(n)}
    if isinstance(term, Field | Absolute | Extreme) and names == {"position.after.quantity"}:
        if any(isinstance(n, Aggregate) and depends_on_fills(n) for n in term.walk()):
            raise NotLoweredError("a bent function of a sum")
        return "direct"
    raise NotLoweredError("fills inside something that is no sum over holdings or orders")


_FILLS = {"position": "position.after.quantity", "order": "order.filled", "working_order": "working_order.filled"}


def is_settled(term: Term | None) -> bool:
    """Whether there is no term, or one that is static."""
    return term is None or is_static(term)


def _facts_in(term: Term) -> list[Term]:
    """The fields a body reads besides what fills."""
    return [n for n in term.walk() if isinstance(n, Field) and not depends_on_fills(n)]
