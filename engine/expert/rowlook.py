"""Reading one order's surroundings for a row: exact values by the reference meaning, and ends by unit values.

In: the live facts, an account, a name, the order. Out: exact values of cells that depend on one thing, what a name is
now and can become by its working orders, and what one share more or less of it is worth to a sum. Guaranteed: equal to
`evaluate.value` and `worst.py`. Refused: MissingFactError for what is missing or too old. Why unit values: a sum of
positively homogeneous functions of a holding is known everywhere once it is known at one share long and one short.
Before: `prepare.py`, `worst.py`, `rowplan.py`. After: `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple, cast

from lexorder.engine.evaluate import Point
from lexorder.engine.expert.atoms import Atom, is_static
from lexorder.engine.expert.live import Account, Live
from lexorder.engine.expert.rowplan import Cell, places
from lexorder.engine.expert.worst import Reading, contribution
from lexorder.engine.judge import Derivations
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import (
    Absolute,
    Aggregate,
    Binary,
    Extreme,
    Field,
    If,
    Literal,
    Negate,
    Term,
    Value,
    depends_on_fills,
)

NOTHING = Fraction(0)
DERIVED: Derivations = {}
"""Rules in a row read no derived facts."""


@dataclass(slots=True)
class Look:
    """One order's surroundings; subjects and points are made when asked for. `valued` keeps the name's unit values."""

    live: Live
    state: Account
    symbol: str
    order: Facts
    valued: Any = None
    worked: dict[tuple[str, int, str], tuple[Fraction, Fraction]] = field(default_factory=dict)
    _seen: Projection | None = None
    _subjects: dict[str, Subject] = field(default_factory=dict)
    _points: dict[tuple[str, str], Point] = field(default_factory=dict)

    @property
    def seen(self) -> Projection:
        """The account as if the ordered name were all there is."""
        if self._seen is None:
            self._seen = self.live.alone(self.state.id, self.symbol, (self.order,))
        return self._seen

    def subject(self, entity: str) -> Subject:
        """The one subject of a kind. Raises MissingFactError when its key is not known."""
        if entity not in self._subjects:
            self._subjects[entity] = self._subject(entity)
        return self._subjects[entity]

    def _subject(self, entity: str) -> Subject:
        facts = self.live.instruments.get(self.symbol, {})
        match entity:
            case "order":
                return Subject(entity, str(self.order.get("order.id", "")), self.order)
            case "account":
                return account_subject(self.seen)
            case "trader":
                key = str(self.order.get("order.trader", "NONE"))
                return Subject(entity, key, self.live.traders.get(key, {}))
            case "position":
                return Subject(entity, self.symbol, self.seen.positions[self.symbol])
            case "instrument" | "market":
                return Subject(entity, self.symbol, facts)
        groups = self.live.vocabulary.entities[entity].groups
        group = facts.get(groups)
        if not isinstance(group, str) or not group:
            raise MissingFactError(groups, self.symbol)
        return Subject(entity, group)

    def value(self, cell: Cell) -> Value:
        """The exact value of a cell that is one term. Raises MissingFactError."""
        leaf = cell.leaf
        key = (cell.entity, leaf.frame)
        at = self._points.get(key) or self._point(key)
        found = self.live.readers.value(cast(Term, leaf.term), at)
        return Fraction(bool(found)) if leaf.what == "counted" else found

    def _point(self, key: tuple[str, str]) -> Point:
        """Where terms of a rule's subject are read, or inside it at the order or the ordered name."""
        entity, frame = key
        stack: tuple[Subject, ...] = (account_subject(self.seen), self.subject(entity))
        if frame != "subject":
            stack = (*stack, self.subject(frame))
        made = self._points[key] = Point(self.seen, stack, {}, DERIVED)
        return made

    def reading(self, entity: str) -> Reading:
        """Where sums are read for a rule's subject."""
        return Reading(self.live, self.state, self.subject(entity), DERIVED)


class Ends(NamedTuple):
    """A holding now, and the least and the most its working orders can make of it, in shares."""

    held: int
    low: int
    high: int
    working: bool


def ends_of(state: Account, symbol: str) -> Ends | None:
    """The ends of a name; None where shares are no whole numbers."""
    facts: Any = state.positions.get(symbol)
    held = NOTHING if facts is None else facts.get("position.before.quantity", NOTHING)
    orders = state.working_of.get(symbol)
    if held.denominator != 1:
        return None
    now = low = high = held.numerator
    if not orders:
        return Ends(now, now, now, False)
    for order in orders:
        quantity: Any = order["working_order.quantity"]
        if quantity.denominator != 1:
            return None
        if order["working_order.side"] == BUY:
            high += quantity.numerator
        else:
            low -= quantity.numerator
    return Ends(now, low, high, True)


def held_code(term: Term | None) -> str | None:
    """A term of what is held now alone, such as `max(0, position.before.quantity)`, as code of `held`; None for others.

    Whole numbers in, whole numbers out: other constants have no code.
    """
    match term:
        case Field(name="position.before.quantity"):
            return "held"
        case Literal(value=Fraction() as constant) if constant.denominator == 1:
            return str(constant.numerator)
        case Extreme(which=which, items=items):
            parts = [code for code in map(held_code, items) if code is not None]
            return f"{which}({', '.join(parts)})" if len(parts) == len(items) else None
    return None


# ---- unit values -----------------------------------------------------------------------------------


def unit_places(atoms: tuple[Atom, ...], vocabulary: Vocabulary) -> frozenset[str] | None:
    """What unit values of the atoms over holdings depend on; None when the atoms are not homogeneous in a holding."""
    found: set[str] = set()
    for atom in atoms:
        if atom.kind not in ("position", "direct"):
            continue
        body = atom.term
        if atom.kind == "position":
            if not isinstance(body, Aggregate) or body.body is None:
                return None
            if body.where is not None:
                found |= places(body.where, vocabulary)
            body = body.body
        if not is_homogeneous(body):
            return None
        facts = [n for n in body.walk() if isinstance(n, Field) and not depends_on_fills(n)]
        for term in (*facts, atom.times.term):
            found |= places(term, vocabulary) if term is not None else set()
    return frozenset(found)


def is_homogeneous(term: Term) -> bool:
    """Whether a term of the holding grows with it in proportion: f(k·x) = k·f(x) for every k above zero."""
    match term:
        case Field():
            return term.name == "position.after.quantity"
        case Literal(value=constant):
            return constant == 0
        case Negate(operand=x) | Absolute(operand=x):
            return is_homogeneous(x)
        case Binary(op="+" | "-", left=left, right=right):
            return is_homogeneous(left) and is_homogeneous(right)
        case Binary(op="*", left=left, right=right):
            one, other = (right, left) if is_static(left) else (left, right)
            return is_homogeneous(one) and is_static(other)
        case Binary(op="/", left=left, right=right):
            return is_homogeneous(left) and is_static(right)
        case Extreme(items=items):
            return all(map(is_homogeneous, items))
        case If(condition=condition, yes=yes, no=no):
            return is_static(condition) and is_homogeneous(yes) and is_homogeneous(no)
    return False


def unit_values(atoms: tuple[Atom, ...], look: Look, entity: str) -> tuple[Fraction, Fraction]:
    """What one share held, and one share short, adds to the sum of the atoms. Raises MissingFactError."""
    return _at(1, atoms, look, entity), _at(-1, atoms, look, entity)


def _at(shares: int, atoms: tuple[Atom, ...], look: Look, entity: str) -> Fraction:
    symbol = look.symbol
    held: Facts = {
        "position.before.quantity": Fraction(shares),
        "position.account": look.state.id,
        "position.symbol": symbol,
    }
    seen = Projection(look.live.snapshot, look.live.vocabulary, look.state.id, (), (), {symbol: held})
    reading = look.reading(entity)
    if entity == "position":  # the rule is about the holding itself
        reading = replace(reading, subject=Subject(entity, symbol, held))
    over = [a for a in atoms if a.kind in ("position", "direct")]
    return sum((contribution(a, symbol, reading, seen, {}) for a in over), NOTHING)


def working_values(
    atoms: tuple[Atom, ...], order: Facts, look: Look, entity: str, *, flat: bool = False
) -> tuple[Fraction, Fraction]:
    """What a working order adds to the atoms that read fills: unfilled, and for each filled share. MissingFactError.

    `flat` says that it adds nothing unfilled (`times_filled`).
    """
    over = [a for a in atoms if a.kind == "working"]
    if not over:
        return NOTHING, NOTHING
    seen = Projection(look.live.snapshot, look.live.vocabulary, look.state.id, (), (order,), {})
    one = {("working_order", str(order["working_order.id"])): Fraction(1)}
    reading = look.reading(entity)
    none = NOTHING if flat else sum((contribution(a, look.symbol, reading, seen, {}) for a in over), NOTHING)
    return none, sum((contribution(a, look.symbol, reading, seen, one) for a in over), NOTHING) - none


def times_filled(term: Term) -> bool:
    """Whether a sum over working orders is of filled shares times what no fill changes: nothing filled, nothing added.

    What such a product lacks of facts it lacks as well for one share.
    """
    match term:
        case Aggregate(
            kind="sum", body=Binary(op="*", left=Field(name="working_order.filled"), right=rest), where=where
        ):
            return not depends_on_fills(rest) and (where is None or not depends_on_fills(where))
        case Aggregate(kind="sum", body=Field(name="working_order.filled"), where=where):
            return where is None or not depends_on_fills(where)
    return False
