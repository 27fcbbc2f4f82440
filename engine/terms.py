"""Typed terms: the closed set of nodes that every rule means.

In: what `typecheck.py` builds from syntax. Out: frozen trees that `evaluate`, `compile`, `expert`, the row
builder and the prover each read; none of them sees text. Guaranteed: immutable, hashable, compared without
positions; every node has a unit and a position; vocabulary definitions (`means:`) and `let` names have been
replaced, so only given facts and the fill-dependent names are left. Refused: ill-typed trees cannot be
built by the typechecker. Why closed: five readers must agree on each node, so adding one is a decision record.
Before: `units.py`, `source.py`. After: `typecheck.py`, `evaluate.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time
from fractions import Fraction
from typing import Literal as OneOf

from lexorder.engine.units import BOOL, COUNT, Unit

Value = bool | Fraction | str | date | datetime | time | frozenset[str]
"""A value of the language. Numbers and durations (in seconds) are Fractions; timestamps are aware datetimes."""

Comparison = OneOf["==", "!=", "<", "<=", ">", ">="]
Arithmetic = OneOf["+", "-", "*", "/"]

FILL_NAMES = frozenset({"position.after.quantity", "order.filled", "working_order.filled"})
"""The primitive names whose value depends on the fill state; everything else is a given of the snapshot.

`filled` is the filled part (shares, unsigned, between 0 and the quantity) of an order under test or a working order.
`account.after.cash` and its like are defined through these by `means` in the vocabulary.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node came from: file, 1-based line and column, and its length in characters."""

    file: str = ""
    line: int = 0
    column: int = 0
    length: int = 0


NOWHERE = Span()


@dataclass(frozen=True, slots=True)
class Term:
    """Base of all nodes. `span` takes no part in equality or hash."""

    unit: Unit
    span: Span = field(default=NOWHERE, compare=False, kw_only=True)

    def children(self) -> Iterator[Term]:
        """The direct subterms, left to right."""
        for name in _parts_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, Term):
                yield value
            elif isinstance(value, tuple):
                yield from (part for part in value if isinstance(part, Term))

    def walk(self) -> Iterator[Term]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children():
            yield from child.walk()


_PARTS: dict[str, tuple[str, ...]] = {}


def _parts_of(kind: type[Term]) -> tuple[str, ...]:
    """The fields of a node that can hold subterms; looked up once a class, since terms are walked all the time."""
    found = _PARTS.get(kind.__name__)
    if found is None:
        found = _PARTS[kind.__name__] = tuple(f.name for f in fields(kind) if "Term" in str(f.type))
    return found


@dataclass(frozen=True, slots=True)
class Literal(Term):
    """A constant. Percent and underscores are already resolved: `5%` is Fraction(1, 20)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Field(Term):
    """A name of the vocabulary, read from the innermost subject that can supply it.

    `name` is canonical (`order.quantity`, `instrument.issuer`); `via` is the entity the path starts from when it
    follows a link (`order` in `order.instrument.sector`), or empty for the innermost binding. `minimum` and `maximum`
    repeat the vocabulary's bounds (in the name's unit), so that a term can be analysed by itself.
    """

    name: str
    via: str = ""
    minimum: Fraction | None = field(default=None, compare=False, kw_only=True)
    maximum: Fraction | None = field(default=None, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Key(Term):
    """The identity of the current subject of `for_each`: `issuer` in a rule for each issuer. Text."""

    entity: str


@dataclass(frozen=True, slots=True)
class Negate(Term):
    """Minus `operand`."""

    operand: Term


@dataclass(frozen=True, slots=True)
class Absolute(Term):
    """The absolute value of `operand`."""

    operand: Term


@dataclass(frozen=True, slots=True)
class Binary(Term):
    """Exact arithmetic. Division by zero makes the rule undecided."""

    op: Arithmetic
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Extreme(Term):
    """The least or greatest of two or more numbers."""

    which: OneOf["min", "max"]
    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Compare(Term):
    """A comparison of two values of one unit; order comparisons only of numbers, durations, dates, times."""

    op: Comparison
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Not(Term):
    """Logical negation."""

    operand: Term


@dataclass(frozen=True, slots=True)
class And(Term):
    """True when all items are. A false item decides even when another is missing (Kleene)."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Or(Term):
    """True when any item is. A true item decides even when another is missing (Kleene)."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class In(Term):
    """Membership of a text, enum value or number in a set (a literal `SetOf` or a SET field)."""

    item: Term
    container: Term


@dataclass(frozen=True, slots=True)
class SetOf(Term):
    """A literal set."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class If(Term):
    """`if condition then yes else no`."""

    condition: Term
    yes: Term
    no: Term


@dataclass(frozen=True, slots=True)
class Aggregate(Term):
    """`sum`, `count`, `any` or `all` over the members of `collection` that belong to the current subject.

    `body` is None for `count`. `where` is None when every member counts. An empty sum is 0, an empty any false,
    an empty all true. `owner` is `account` where a definition of an account name brought it: `account.after.cash`
    counts all of the account's orders also in a rule for each issuer. It is a group (`issuer`, `sector`, ...) where the
    members of the innermost such group are meant: the positions of each issuer, in a sum over issuers.
    """

    kind: OneOf["sum", "count", "any", "all"]
    collection: str
    body: Term | None
    where: Term | None
    owner: str = ""


def conjuncts(term: Term) -> tuple[Term, ...]:
    """The parts that must all hold: a conjunction flattened, any other term by itself."""
    if isinstance(term, And):
        return tuple(part for item in term.items for part in conjuncts(item))
    return (term,)


def depends_on_fills(term: Term) -> bool:
    """Whether the value can differ between fill states."""
    return any(isinstance(node, Field) and node.name in FILL_NAMES for node in term.walk())


def both(left: Term | None, right: Term) -> Term:
    """`left and right`, or `right` alone."""
    return right if left is None else And(BOOL, (left, right), span=right.span)


def count_of(collection: str, where: Term | None, span: Span = NOWHERE) -> Aggregate:
    """`count(collection where …)`."""
    return Aggregate(COUNT, "count", collection, None, where, span=span)
