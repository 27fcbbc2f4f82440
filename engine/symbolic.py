"""A term as an exact function of one whole number, everything else given.

In: a term, a point of `evaluate.py`, and `Unknown`: which holdings, fills and order quantities vary with the number x.
Out: a `Piecewise` for a number, a set of integers for a condition; plain values where nothing varies. Guaranteed: at
every x the value is that of `evaluate.value` with x put in (tested against it). Refused: MissingFactError where a fact
is absent for some x; InexpressibleError (`not-a-constant-divisor`, `degree-above-two`, `not-a-number`,
`derived-from-the-unknown`) where the function is not piecewise of degree two. Before: `evaluate.py`, `piecewise.py`.
After: `worst.py`, `breakpoints.py`, the row builder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial, reduce
from typing import Any

from lexorder.engine.evaluate import OPS, Point, value
from lexorder.engine.intervals import Intervals, Number, common, complement, joined
from lexorder.engine.piecewise import InexpressibleError, Piecewise, chosen, compared, constant, greatest, least
from lexorder.engine.snapshot import MissingFactError, Subject, find
from lexorder.engine.subjects import belongs, counted_for
from lexorder.engine.terms import (
    FILL_NAMES,
    Absolute,
    Aggregate,
    And,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
    Value,
)

VARYING = FILL_NAMES | {"order.quantity"}
"""The names that can vary with x."""
_KEYS = {"position": "position.symbol"}


@dataclass(frozen=True, slots=True)
class Unknown:
    """What varies with x on the integers `low..high`.

    `holdings` gives `position.after.quantity` by symbol, `filled` the filled shares by (collection, order id),
    `quantities` the `order.quantity` by order id; what is not listed is as the point has it.
    """

    low: int
    high: int
    holdings: Mapping[str, Piecewise] = field(default_factory=dict)
    filled: Mapping[tuple[str, str], Piecewise] = field(default_factory=dict)
    quantities: Mapping[str, Piecewise] = field(default_factory=dict)


Answer = Value | Piecewise | Intervals
"""A number or a condition that may vary; plain where it does not."""


def number(term: Term, at: Point, unknown: Unknown) -> Piecewise:
    """A number as a function of x. Raises MissingFactError and InexpressibleError."""
    return _Reader(unknown).number(term, at)


def condition(term: Term, at: Point, unknown: Unknown) -> Intervals:
    """The integers x for which a condition holds. Raises MissingFactError and InexpressibleError."""
    return _Reader(unknown).condition(term, at)


class _Reader:
    """Walks terms for one unknown."""

    def __init__(self, unknown: Unknown) -> None:
        self.unknown = unknown
        self.everywhere: Intervals = ((unknown.low, unknown.high),)
        self.varying: dict[int, bool] = {}

    def number(self, term: Term, at: Point) -> Piecewise:
        return self.lifted(self.read(term, at))

    def lifted(self, found: Answer) -> Piecewise:
        if isinstance(found, Piecewise):
            return found
        if isinstance(found, Fraction):
            return constant(found, self.unknown.low, self.unknown.high)
        raise InexpressibleError("not-a-number", "what varies is not a number")

    def condition(self, term: Term, at: Point) -> Intervals:
        found = self.read(term, at)
        if isinstance(found, bool):
            return self.everywhere if found else ()
        if isinstance(found, tuple):
            return found
        raise InexpressibleError("not-a-number", "what varies is not a condition")

    def read(self, term: Term, at: Point) -> Answer:
        """The answer for any term; plain where no name in it varies."""
        varies = self.varying.get(id(term))
        if varies is None:
            varies = any(isinstance(n, Field) and self.may_vary(n.name, at) for n in term.walk())
            self.varying[id(term)] = varies
        if not varies:
            return value(term, at)
        handler: Callable[[Any, Point], Answer] = _HANDLERS[type(term)].__get__(self)
        return handler(term, at)

    def may_vary(self, name: str, at: Point) -> bool:
        return name in VARYING or name in at.derivations

    # ---- names -----------------------------------------------------------------------------------

    def field(self, term: Field, at: Point) -> Answer:
        if term.name in at.derivations:
            return self.derived(term, at)
        entity = term.name.split(".", 1)[0]
        facts, key = find(at.projection, at.stack, entity, term.via)
        own = str((facts or {}).get(f"{entity}.id", key))
        if term.name == "position.after.quantity":
            return self.unknown.holdings.get(key) or value(term, at)
        if term.name == "order.quantity":
            return self.unknown.quantities.get(own) or value(term, at)
        return self.unknown.filled.get((entity, own)) or value(term, at)

    def derived(self, term: Field, at: Point) -> Answer:
        for rule in at.derivations[term.name]:
            parts = [t for t in (rule.when, *(v for _, v in rule.derive)) if t is not None]
            if any(isinstance(n, Field) and n.name in VARYING for t in parts for n in t.walk()):
                raise InexpressibleError("derived-from-the-unknown", f"{term.name} is derived from what varies")
        return value(term, at)

    # ---- numbers ---------------------------------------------------------------------------------

    def negated(self, term: Negate, at: Point) -> Answer:
        return -self.number(term.operand, at)

    def absolute(self, term: Absolute, at: Point) -> Answer:
        return abs(self.number(term.operand, at))

    def arithmetic(self, term: Binary, at: Point) -> Answer:
        left, right = self.read(term.left, at), self.read(term.right, at)
        if not isinstance(left, Piecewise) and not isinstance(right, Piecewise):
            return _plain(term.op, left, right)
        one, other = self.lifted(left), self.lifted(right)
        if term.op != "/":
            return OPS[term.op](one, other)  # type: ignore[no-any-return]
        if other.is_constant() and other.polys[0][0] == 0:
            raise MissingFactError("the divisor", "", "is zero")
        return one.divided(other)

    def extreme(self, term: Extreme, at: Point) -> Answer:
        pick = greatest if term.which == "max" else least
        return reduce(pick, (self.number(item, at) for item in term.items))

    def choice(self, term: If, at: Point) -> Answer:
        where = self.condition(term.condition, at)
        if where in (self.everywhere, ()):
            return self.read(term.yes if where else term.no, at)
        if term.yes.unit == term.condition.unit:
            rest = complement(where, self.unknown.low, self.unknown.high)
            return joined((*common(where, self.condition(term.yes, at)), *common(rest, self.condition(term.no, at))))
        return chosen(where, self.number(term.yes, at), self.number(term.no, at))

    # ---- conditions ------------------------------------------------------------------------------

    def comparison(self, term: Compare, at: Point) -> Answer:
        left, right = self.read(term.left, at), self.read(term.right, at)
        if not isinstance(left, Piecewise | tuple) and not isinstance(right, Piecewise | tuple):
            return bool(OPS[term.op](left, right))
        return compared(term.op, self.lifted(left), self.lifted(right))

    def opposite(self, term: Not, at: Point) -> Answer:
        return self.rest(self.condition(term.operand, at))

    def conjunction(self, term: And, at: Point) -> Answer:
        return self.all_of([partial(self.condition, x, at) for x in term.items])

    def disjunction(self, term: Or, at: Point) -> Answer:
        return self.any_of([partial(self.condition, x, at) for x in term.items])

    def all_of(self, parts: Iterable[Callable[[], Intervals]]) -> Intervals:
        """Where all hold; a false part decides where another is missing (Kleene)."""
        return self.rest(self.any_of([partial(self.not_within, part) for part in parts]))

    def rest(self, where: Intervals) -> Intervals:
        return complement(where, self.unknown.low, self.unknown.high)

    def not_within(self, part: Callable[[], Intervals]) -> Intervals:
        return self.rest(part())

    def any_of(self, parts: Iterable[Callable[[], Intervals]]) -> Intervals:
        """Where any holds; a true part decides where another is missing (Kleene)."""
        found: Intervals = ()
        missing: MissingFactError | None = None
        for part in parts:
            try:
                found = joined((*found, *part()))
            except MissingFactError as error:
                missing = missing or error
        if missing and found != self.everywhere:
            raise missing
        return found

    def membership(self, term: In, at: Point) -> Answer:
        item = self.number(term.item, at)
        if not isinstance(term.container, SetOf):
            raise InexpressibleError("not-a-number", "an amount that varies is looked for in a list")
        return joined(p for x in term.container.items for p in compared("==", item, self.number(x, at)))

    # ---- aggregates ------------------------------------------------------------------------------

    def aggregate(self, term: Aggregate, at: Point) -> Answer:
        members = self.members(term, at)
        body = term.body
        if term.kind in ("any", "all") and body is not None:
            return self.quantified(term, body, members)
        total = constant(0, self.unknown.low, self.unknown.high)
        plain: Number = 0
        for where, member in members:
            part = self.read(body, member) if term.kind == "sum" and body is not None else Fraction(1)
            if where != self.everywhere:
                total += chosen(where, self.lifted(part), constant(0, self.unknown.low, self.unknown.high))
            elif isinstance(part, Fraction):
                plain += part
            else:
                total += self.lifted(part)
        return total + constant(plain, self.unknown.low, self.unknown.high)

    def quantified(self, term: Aggregate, body: Term, members: list[tuple[Intervals, Point]]) -> Answer:
        """A member outside its `where` is false for `any`, true for `all`."""
        if term.kind == "any":
            return self.any_of([partial(self.within, where, body, member) for where, member in members])
        return self.all_of([partial(self.beyond, where, body, member) for where, member in members])

    def within(self, where: Intervals, body: Term, at: Point) -> Intervals:
        return common(where, self.condition(body, at))

    def beyond(self, where: Intervals, body: Term, at: Point) -> Intervals:
        return joined((*self.rest(where), *self.condition(body, at)))

    def members(self, term: Aggregate, at: Point) -> list[tuple[Intervals, Point]]:
        """Each member that counts for some x: where it does, and the point to read it at."""
        subject = counted_for(term, at.stack)
        name = _KEYS.get(term.collection, f"{term.collection}.id")
        found = []
        for facts in at.projection.members(term.collection):
            if belongs(at.projection, subject, term.collection, facts):
                inner = replace(at, stack=(*at.stack, Subject(term.collection, str(facts.get(name)), facts)))
                where = self.everywhere if term.where is None else self.condition(term.where, inner)
                if where:
                    found.append((where, inner))
        return found


def _plain(op: str, left: Any, right: Any) -> Value:
    if op == "/" and right == 0:
        raise MissingFactError("the divisor", "", "is zero")
    return OPS[op](left, right)  # type: ignore[no-any-return]


_HANDLERS: dict[type[Term], Any] = {
    Field: _Reader.field,
    Negate: _Reader.negated,
    Absolute: _Reader.absolute,
    Binary: _Reader.arithmetic,
    Extreme: _Reader.extreme,
    If: _Reader.choice,
    Compare: _Reader.comparison,
    Not: _Reader.opposite,
    And: _Reader.conjunction,
    Or: _Reader.disjunction,
    In: _Reader.membership,
    Aggregate: _Reader.aggregate,
}
