"""Terms as functions: the reference meaning, with everything settled beforehand that no fact changes.

In: a term and the entities of the subjects it will be read under, outermost first. Out: a function of a `Point`.
Guaranteed: the value, or the MissingFactError, that `evaluate.value` has at every point with such subjects and without
derived facts. Refused: nothing; what is rarely read goes to `evaluate.value` itself. Why not the reference alone: which
subject supplies a name, and whether it grows old, is the same at every point, and finding it out costs more than
reading it. Why not `engine/readers.py`, which does the same for the exact evaluator: one fault in a shared reader would
mislead both evaluators alike, and their comparison would not show it. Before: `evaluate.py`. After: `live.py`,
`worst.py`, `rowlook.py`, `rowsums.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from lexorder.engine.evaluate import OPS, Point, value
from lexorder.engine.names import Name, Vocabulary
from lexorder.engine.snapshot import WEIGHT, MissingFactError, Subject, exchange_rate, read
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
    Key,
    Literal,
    Negate,
    Not,
    Or,
    SetOf,
    Term,
    Value,
)
from lexorder.engine.units import Kind

Read = Callable[[Point], Any]
Found = Callable[[Point], Any]
"""The facts that supply a name at a point, or None."""
Kinds = tuple[str, ...]


class Readers:
    """Functions of terms, each written once. Terms are told apart by identity and kept alive."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._known: dict[tuple[int, Kinds], tuple[Term, Read]] = {}

    def value(self, term: Term, at: Point) -> Value:
        """As `evaluate.value`. Raises MissingFactError."""
        found: Value = self.of(term, tuple(s.entity for s in at.stack))(at)
        return found

    def of(self, term: Term, kinds: Kinds) -> Read:
        """The function of a term under subjects of these kinds."""
        known = self._known.get((id(term), kinds))
        if known is None:
            known = self._known[id(term), kinds] = (term, self._written(term, kinds))
        return known[1]

    def _written(self, term: Term, kinds: Kinds) -> Read:  # noqa: C901  one case for each node
        match term:
            case Literal(value=constant):
                return lambda _: constant
            case Field():
                return self._field(term, kinds)
            case Key(entity=entity) if entity in kinds:
                place = len(kinds) - 1 - kinds[::-1].index(entity)
                return lambda at: at.stack[place].key
            case Negate(operand=x):
                operand = self.of(x, kinds)
                return lambda at: -operand(at)
            case Absolute(operand=x):
                operand = self.of(x, kinds)
                return lambda at: abs(operand(at))
            case Binary() | Compare():
                return self._pair(term, kinds)
            case Extreme(which=which, items=items):
                choose = min if which == "min" else max
                parts = [self.of(x, kinds) for x in items]
                return lambda at: choose([part(at) for part in parts])
            case Not(operand=x):
                operand = self.of(x, kinds)
                return lambda at: not operand(at)
            case And(items=items) | Or(items=items):
                return _kleene(isinstance(term, Or), [self.of(x, kinds) for x in items])
            case In():
                return self._in(term, kinds)
            case If(condition=condition, yes=yes, no=no):
                test, one, other = self.of(condition, kinds), self.of(yes, kinds), self.of(no, kinds)
                return lambda at: one(at) if test(at) else other(at)
            case Aggregate():
                return self._aggregate(term, kinds)
        return lambda at: value(term, at)

    # ---- names -------------------------------------------------------------------------------------

    def _field(self, term: Field, kinds: Kinds) -> Read:
        name, via, entity = term.name, term.via, term.name.split(".", 1)[0]
        declared = self.vocabulary.name(name)
        if declared is None or name in FILL_NAMES or name == WEIGHT:
            return self._moving(term, kinds)
        found = self._supplier(entity, via, kinds)
        fresh = _fresh(declared)
        default = declared.default

        def by_reference(at: Point) -> Value:
            return read(at.projection, at.stack, name, via)

        def plain(at: Point) -> Any:
            facts = found(at)
            known = None if facts is None else facts.get(name)
            if known is None:
                return by_reference(at)
            if fresh is not None and not fresh(facts, at.projection.snapshot.time):
                return by_reference(at)
            return known

        if name == "instrument.fx" and fresh is None:
            return _rate(found, plain)
        if default is None or fresh is not None or entity == "fx":
            return plain

        def defaulted(at: Point) -> Any:
            facts = found(at)
            known = None if facts is None else facts.get(name)
            return default if known is None else known

        return defaulted

    def _moving(self, term: Field, kinds: Kinds) -> Read:
        """Names whose value fills change: without any fill, what is held is what will be."""
        if term.name != "position.after.quantity":
            return lambda at: value(term, at)
        before = self._field(Field(term.unit, "position.before.quantity", term.via), kinds)
        return lambda at: value(term, at) if at.fills else before(at)

    def _supplier(self, entity: str, via: str, kinds: Kinds) -> Found:
        """What supplies the names of an entity, as `snapshot.find` looks for it: from within outwards."""
        steps: list[tuple[int, str]] = []
        for place in reversed(range(len(kinds))):
            kind = kinds[place]
            if via and kind != via:
                continue
            if kind == entity:
                return _linked(steps, entity, _own(place, entity))
            if {kind, entity} == {"instrument", "market"}:
                return _linked(steps, entity, _traded(place))
            links = self.vocabulary.entities[kind].links
            link = links.get(entity) or (links.get("instrument") if entity == "market" else None)
            if link:
                steps.append((place, f"{kind}.{link}"))
        single = self.vocabulary.entities[entity].single
        return _linked(steps, entity, lambda at: at.projection.snapshot.single if single else None)

    # ---- the other nodes ---------------------------------------------------------------------------

    def _pair(self, term: Binary | Compare, kinds: Kinds) -> Read:
        """Arithmetic and comparisons of two terms."""
        if isinstance(term, Binary) and not (term.left.unit.kind is term.right.unit.kind is Kind.NUMBER):
            return lambda at: value(term, at)  # dates and durations: rare, and the reference knows how
        left, right, work = self.of(term.left, kinds), self.of(term.right, kinds), OPS[term.op]
        if term.op != "/":
            return lambda at: work(left(at), right(at))

        def quotient(at: Point) -> Any:
            above, below = left(at), right(at)
            if not below:
                raise MissingFactError("the divisor", "", "is zero")
            return above / below

        return quotient

    def _in(self, term: In, kinds: Kinds) -> Read:
        item = self.of(term.item, kinds)
        if isinstance(term.container, SetOf):
            parts = [self.of(x, kinds) for x in term.container.items]

            def listed(at: Point) -> bool:
                sought = item(at)
                return sought in [part(at) for part in parts]

            return listed
        container = self.of(term.container, kinds)
        return lambda at: item(at) in container(at)

    def _aggregate(self, term: Aggregate, kinds: Kinds) -> Read:
        collection = term.collection
        inner = (*kinds, collection)
        where = None if term.where is None else self.of(term.where, inner)
        body = None if term.body is None or term.kind == "count" else self.of(term.body, inner)
        key = "position.symbol" if collection == "position" else f"{collection}.id"

        def chosen(at: Point) -> list[Point]:
            owner = counted_for(term, at.stack)
            points = [
                Point(at.projection, (*at.stack, Subject(collection, str(m.get(key)), m)), at.fills, at.derivations)
                for m in at.projection.members(collection)
                if belongs(at.projection, owner, collection, m)
            ]
            return points if where is None else [p for p in points if where(p)]

        if body is None:
            return lambda at: Fraction(len(chosen(at)))
        if term.kind == "sum":
            return lambda at: sum([body(p) for p in chosen(at)], _NOTHING)
        return lambda at: _decided(term.kind == "any", body, chosen(at))


_NOTHING = Fraction(0)


def _own(place: int, entity: str) -> Found:
    """The facts a subject carries itself, or its record where it carries none."""

    def found(at: Point) -> Any:
        subject = at.stack[place]
        return subject.facts or at.projection.snapshot.records(entity, subject.key)

    return found


def _traded(place: int) -> Found:
    """The facts of the instrument that is the subject, under its other name."""
    return lambda at: at.projection.snapshot.instruments.get(at.stack[place].key)


def _linked(steps: Sequence[tuple[int, str]], entity: str, last: Found) -> Found:
    """What the first subject whose link is known points to; otherwise what `last` finds."""
    if not steps:
        return last

    def found(at: Point) -> Any:
        for place, link in steps:
            key = at.stack[place].facts.get(link)
            if isinstance(key, str):
                return at.projection.snapshot.records(entity, key)
        return last(at)

    return found


def _fresh(declared: Name) -> Callable[[Any, datetime], bool] | None:
    """Whether facts are certainly young enough; None for a name that does not grow old."""
    if declared.max_age is None or not declared.as_of:
        return None
    # rounded down: what lies between is left to the reference
    limit, taken_at = timedelta(microseconds=int(declared.max_age * 10**6)), declared.as_of

    def fresh(facts: Any, now: datetime) -> bool:
        taken = facts.get(taken_at)
        return taken is None or now - taken <= limit

    return fresh


def _rate(found: Found, plain: Read) -> Read:
    """The exchange rate of an instrument: given, or worked out from the currencies."""

    def rate(at: Point) -> Any:
        facts = found(at)
        if facts is None or facts.get("instrument.fx") is not None:
            return plain(at)
        known = exchange_rate(at.projection, str(facts.get("instrument.currency", "")))
        return plain(at) if known is None else known

    return rate


def _kleene(decisive: bool, parts: Sequence[Read]) -> Read:
    """`and` (False decides) or `or` (True decides)."""

    def held(at: Point) -> bool:
        missing: MissingFactError | None = None
        for part in parts:
            try:
                if part(at) == decisive:
                    return decisive
            except MissingFactError as error:
                missing = missing or error
        if missing:
            raise missing
        return not decisive

    return held


def _decided(decisive: bool, body: Read, points: Sequence[Point]) -> bool:
    """`any` or `all` over the members of a collection."""
    missing: MissingFactError | None = None
    for point in points:
        try:
            if body(point) == decisive:
                return decisive
        except MissingFactError as error:
            missing = missing or error
    if missing:
        raise missing
    return not decisive
