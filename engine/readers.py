"""Terms as closures, for what is read again and again: names are looked up along paths that are settled once.

In: a term, the entities that will be bound around it, the vocabulary, the derive rules. Out: a function of a `Point`.
Guaranteed: the value of `evaluate.value` there, and MissingFactError where that raises it; whatever is out of the
ordinary (a fact that is absent, aged, derived, worked out from rates, after fills; a sum) is asked of `evaluate.value`
itself. Refused: nothing. Why beside the specification: walking a term and finding whose fact a name is cost more than
the arithmetic, and the same few terms are read for every name of every account and for every order that is stopped.
Before: `evaluate.py`. After: `totals.py`, `worst.py`, `wording.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lexorder.engine.evaluate import OPS, Point, value
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.records import Records
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import WEIGHT, MissingFactError, exchange_rate
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    And,
    Binary,
    Compare,
    Extreme,
    Field,
    If,
    In,
    Key,
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
)
from lexorder.engine.units import Kind

Reader = Callable[[Point], Any]
"""The value of a term at a point. Raises MissingFactError."""
Finder = Callable[[Point], Facts | None]
"""The facts a name is read from; None where it takes more than one look to find them."""

NOTHING = Fraction(0)
_FILLED = ("order.filled", "working_order.filled")
_NUMBERS = (Kind.NUMBER, Kind.DURATION)
_RECORDS = {"fill": "fills", "quote": "quotes", "signal": "signals"}
_TABLES = {
    "account": "accounts",
    "instrument": "instruments",
    "market": "instruments",
    "trader": "traders",
    "strategy": "strategies",
}


class Readers:
    """Makes readers for one vocabulary and one set of derive rules."""

    def __init__(self, vocabulary: Vocabulary, derived: Mapping[str, Sequence[Rule]]) -> None:
        self.vocabulary = vocabulary
        self.derived = derived

    def of(self, term: Term, kinds: Sequence[str]) -> Reader:
        """The reader of a term at points whose stack has subjects of these kinds, outermost first."""
        write = _WRITTEN.get(type(term))
        return write(self, term, kinds) if write else lambda at: value(term, at)

    # ---- names -------------------------------------------------------------------------------------

    def field(self, term: Field, kinds: Sequence[str]) -> Reader:
        """A name: the fact itself where it is simply there."""
        name, entity = term.name, term.name.split(".", 1)[0]
        find = self.finder(entity, term.via, kinds)
        if find is None or name in self.derived or name == "position.after.quantity":
            return lambda at: value(term, at)
        if name in _FILLED:
            return _filled(term, entity, find)
        declared = self.vocabulary.name(name)
        if declared is None:
            return lambda at: value(term, at)
        if name == "instrument.fx" and declared.max_age is None:
            return _rate(term, find)
        kind = _aged if declared.max_age is not None and declared.as_of else _plain
        return kind(term, find, declared)

    def finder(self, entity: str, via: str, kinds: Sequence[str]) -> Finder | None:
        """Where `snapshot.find` looks first; None when that is nowhere."""
        for place in reversed(range(len(kinds))):
            kind = kinds[place]
            if via and kind != via:
                continue
            if kind == entity:
                return lambda at: at.stack[place].facts or None
            if {kind, entity} == {"instrument", "market"}:
                return lambda at: at.projection.snapshot.instruments.get(at.stack[place].key)
            links = self.vocabulary.entities[kind].links
            link = links.get(entity) or (links.get("instrument") if entity == "market" else None)
            if link:
                return _linked(place, f"{kind}.{link}", _TABLES.get(entity))
        return (lambda at: at.projection.snapshot.single) if self.vocabulary.entities[entity].single else None

    # ---- the rest ----------------------------------------------------------------------------------

    def arithmetic(self, term: Binary, kinds: Sequence[str]) -> Reader:
        """Sums, products and differences of numbers; anything else by the specification."""
        if term.op == "/" or any(t.unit.kind not in _NUMBERS for t in (term, term.left, term.right)):
            return self.quotient(term, kinds)
        left, right, join = self.of(term.left, kinds), self.of(term.right, kinds), OPS[term.op]
        return lambda at: join(left(at), right(at))

    def quotient(self, term: Binary, kinds: Sequence[str]) -> Reader:
        """Division of numbers, which must not be by zero."""
        if term.op != "/":
            return lambda at: value(term, at)
        left, right = self.of(term.left, kinds), self.of(term.right, kinds)

        def divided(at: Point) -> Any:
            over, under = left(at), right(at)
            if under == 0:
                raise MissingFactError("the divisor", "", "is zero")
            return over / under

        return divided

    def extreme(self, term: Extreme, kinds: Sequence[str]) -> Reader:
        """The least or greatest."""
        items, pick = [self.of(x, kinds) for x in term.items], min if term.which == "min" else max
        return lambda at: pick([read(at) for read in items])

    def comparison(self, term: Compare, kinds: Sequence[str]) -> Reader:
        """A comparison."""
        left, right, holds = self.of(term.left, kinds), self.of(term.right, kinds), OPS[term.op]
        return lambda at: bool(holds(left(at), right(at)))

    def membership(self, term: In, kinds: Sequence[str]) -> Reader:
        """Whether something is in a set."""
        item = self.of(term.item, kinds)
        if isinstance(term.container, SetOf):
            items = [self.of(x, kinds) for x in term.container.items]
            return lambda at: item(at) in [read(at) for read in items]
        container = self.of(term.container, kinds)
        return lambda at: item(at) in container(at)

    def joined(self, term: And | Or, kinds: Sequence[str]) -> Reader:
        """A decisive part decides even when another is missing (Kleene)."""
        items, decisive = [self.of(x, kinds) for x in term.items], isinstance(term, Or)

        def read(at: Point) -> bool:
            missing: MissingFactError | None = None
            for item in items:
                try:
                    if item(at) == decisive:
                        return decisive
                except MissingFactError as error:
                    missing = missing or error
            if missing:
                raise missing
            return not decisive

        return read

    def choice(self, term: If, kinds: Sequence[str]) -> Reader:
        """One branch only."""
        condition, yes, no = (self.of(t, kinds) for t in (term.condition, term.yes, term.no))
        return lambda at: yes(at) if condition(at) else no(at)

    def turned(self, term: Negate | Absolute | Not, kinds: Sequence[str]) -> Reader:
        """Minus, the absolute value, not."""
        inner = self.of(term.operand, kinds)
        if isinstance(term, Not):
            return lambda at: not inner(at)
        return (lambda at: -inner(at)) if isinstance(term, Negate) else lambda at: abs(inner(at))

    def sum(self, term: Aggregate, _kinds: Sequence[str]) -> Reader:
        """A sum or count over records of which the account has none is nothing; any other is the specification's."""
        if term.kind not in ("sum", "count") or term.collection not in _RECORDS:
            return lambda at: value(term, at)
        table = _RECORDS[term.collection]

        def read(at: Point) -> Any:
            rows = getattr(at.projection.snapshot, table)
            if isinstance(rows, Records) and not rows.any_of(at.projection.account):
                return NOTHING
            return value(term, at)

        return read

    def key(self, term: Key, kinds: Sequence[str]) -> Reader:
        """The key of a subject."""
        places = [place for place in range(len(kinds)) if kinds[place] == term.entity]
        return (lambda at: at.stack[places[-1]].key) if places else lambda at: value(term, at)


def _linked(place: int, link: str, table: str | None) -> Finder | None:
    """The facts of the thing a subject names."""
    if table is None:
        return None

    def find(at: Point) -> Facts | None:
        key = at.stack[place].facts.get(link)
        if not isinstance(key, str):
            return None
        found: Facts | None = getattr(at.projection.snapshot, table).get(key)
        return found

    return find


def _plain(term: Field, find: Finder, declared: Name) -> Reader:
    """A fact without an age; its default where that is all there is to it."""
    name = term.name
    worked_out = name in (WEIGHT, "instrument.fx") or name.startswith("fx.")
    default = None if worked_out else declared.default

    def read(at: Point) -> Any:
        facts = find(at)
        if facts is None:
            return value(term, at)
        found = facts.get(name)
        if found is None:
            found = default
        return value(term, at) if found is None else found

    return read


def _rate(term: Field, find: Finder) -> Reader:
    """The rate of an instrument's currency: as given, else worked out."""

    def read(at: Point) -> Any:
        facts = find(at)
        found = None if facts is None else facts.get("instrument.fx")
        if found is None and facts is not None:
            found = exchange_rate(at.projection, str(facts.get("instrument.currency", "")))
        return value(term, at) if found is None else found

    return read


def _aged(term: Field, find: Finder, declared: Name) -> Reader:
    """A fact that may be too old; one that is told without a time of its own is not."""
    name, as_of = term.name, declared.as_of

    def read(at: Point) -> Any:
        facts = find(at)
        if facts is None:
            return value(term, at)
        found = facts.get(name)
        return value(term, at) if found is None or facts.get(as_of) is not None else found

    return read


def _filled(term: Field, collection: str, find: Finder) -> Reader:
    """The filled part of an order."""
    identifier = f"{collection}.id"

    def read(at: Point) -> Any:
        facts = find(at)
        if facts is None:
            return value(term, at)
        return at.fills.get((collection, str(facts[identifier])), NOTHING)

    return read


def _literal(_readers: Readers, term: Literal, _kinds: Sequence[str]) -> Reader:
    constant = term.value
    return lambda _at: constant


_WRITTEN: dict[type[Term], Callable[[Readers, Any, Sequence[str]], Reader]] = {
    Literal: _literal,
    Aggregate: Readers.sum,
    Field: Readers.field,
    Key: Readers.key,
    Binary: Readers.arithmetic,
    Extreme: Readers.extreme,
    Compare: Readers.comparison,
    In: Readers.membership,
    And: Readers.joined,
    Or: Readers.joined,
    If: Readers.choice,
    Not: Readers.turned,
    Negate: Readers.turned,
    Absolute: Readers.turned,
}
