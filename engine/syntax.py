"""The untyped tree of an expression: what was written, where, and nothing about what it means.

In: built by `parse.py`. Out: read by `typecheck.py`. Guaranteed: every node keeps its text and its position in
the file; at most 200 nodes. Refused: nothing here; the parser refuses. Why a second tree beside `terms.py`:
names, enumeration words and `let` can only be resolved against a vocabulary, and errors must speak of the text
as written. Before: `source.py`. After: `parse.py`, `typecheck.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, time
from fractions import Fraction

from lexorder.engine.terms import NOWHERE, Span


@dataclass(frozen=True, slots=True)
class Syntax:
    """Base of all nodes: the text as written and its position."""

    text: str = field(kw_only=True, compare=False, default="")
    span: Span = field(kw_only=True, compare=False, default=NOWHERE)

    def children(self) -> Iterator[Syntax]:
        """The direct parts, left to right."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Syntax):
                yield value
            elif isinstance(value, tuple):
                yield from (part for part in value if isinstance(part, Syntax))


@dataclass(frozen=True, slots=True)
class Number(Syntax):
    """`25_000`, `0.5` or, with `percent`, `5%` (whose value is already 1/20)."""

    value: Fraction
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Duration(Syntax):
    """`15 min`, in seconds."""

    seconds: Fraction


@dataclass(frozen=True, slots=True)
class Money(Syntax):
    """`25_000 USD`."""

    amount: Fraction
    currency: str


@dataclass(frozen=True, slots=True)
class Moment(Syntax):
    """A date `2026-06-04` or a time of day `09:30`."""

    value: date | time


@dataclass(frozen=True, slots=True)
class Quoted(Syntax):
    """A text in double quotes, without them."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth(Syntax):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True)
class Name(Syntax):
    """A word or a dotted path, not yet resolved."""

    path: str


@dataclass(frozen=True, slots=True)
class Prefix(Syntax):
    """`-x` or `not x`."""

    op: str
    operand: Syntax


@dataclass(frozen=True, slots=True)
class Infix(Syntax):
    """Arithmetic `+ - * /`, a comparison, `in` or `not in`."""

    op: str
    left: Syntax
    right: Syntax


@dataclass(frozen=True, slots=True)
class Chain(Syntax):
    """`a and b and …` or `a or b or …`, two or more parts."""

    op: str
    items: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class Choice(Syntax):
    """`if condition then yes else no`."""

    condition: Syntax
    yes: Syntax
    no: Syntax


@dataclass(frozen=True, slots=True)
class Call(Syntax):
    """`f(a, b)` or `f(a where c)`; `name` is the function's word and position, `owner` what stands before its dot."""

    name: Name
    arguments: tuple[Syntax, ...]
    where: Syntax | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Braces(Syntax):
    """`{a, b}`: a set."""

    items: tuple[Syntax, ...]
