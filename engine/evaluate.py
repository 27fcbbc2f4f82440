"""The meaning of a rule, as plainly as it can be said. This file is the specification.

In: a term, a projection (one account, the orders under test), the subjects, one fill state. Out: the term's value.
Guaranteed: exact rational arithmetic; what cannot be known is undecided (Kleene: a false half decides a conjunction).
Refused: nothing is guessed; MissingFactError says which fact is absent. Why so slow: `compile.py` and the expert do the
same fast and are tested against this; the worst over fill states is taken in `judge.py`. Before: `snapshot.py`.
After: `states.py`, `judge.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any

from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, find, read, signed
from lexorder.engine.subjects import belongs, counted_for
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
    Value,
)

OPS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
NUMBERS = (Fraction, int)
Fills = Mapping[tuple[str, str], Fraction]
"""Filled shares by (collection, order id); what is not listed is not filled."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a term is read: the projection, subjects from account to innermost, one fill state, the derive rules."""

    projection: Projection
    stack: tuple[Subject, ...]
    fills: Fills
    derivations: Mapping[str, Sequence[Rule]]


def value(term: Term, at: Point) -> Value:  # noqa: C901, PLR0912  one case for each node, nothing else
    """The value of `term` in one state. Raises MissingFactError when it cannot be known."""
    match term:
        case Literal(value=constant):
            return constant
        case Field():
            return _field(term, at)
        case Key(entity=entity):
            return next(s.key for s in reversed(at.stack) if s.entity == entity)
        case Negate(operand=x):
            return -number(x, at)
        case Absolute(operand=x):
            return abs(number(x, at))
        case Binary(op=op, left=left, right=right):
            return _arithmetic(op, value(left, at), value(right, at))
        case Extreme(which=which, items=items):
            return (min if which == "min" else max)(number(x, at) for x in items)
        case Compare(op=op, left=left, right=right):
            return bool(OPS[op](value(left, at), value(right, at)))
        case Not(operand=x):
            return not value(x, at)
        case And(items=items):
            return _kleene(False, (partial(value, x, at) for x in items))
        case Or(items=items):
            return _kleene(True, (partial(value, x, at) for x in items))
        case In(item=item, container=SetOf(items=items)):
            return value(item, at) in [value(x, at) for x in items]
        case In(item=item, container=container):
            return value(item, at) in value(container, at)  # type: ignore[operator]
        case If(condition=condition, yes=yes, no=no):
            return value(yes if value(condition, at) else no, at)
        case Aggregate():
            return _aggregate(term, at)
    raise TypeError(f"not a term: {type(term).__name__}")


def number(term: Term, at: Point) -> Fraction:
    """The value of a term known to be a number or a duration. Raises MissingFactError."""
    return _checked(value(term, at))


def _checked(found: Value) -> Fraction:
    if not isinstance(found, Fraction):
        raise TypeError("the typechecker lets only numbers come here")
    return found


def _field(term: Field, at: Point) -> Value:
    name = term.name
    if name in ("order.filled", "working_order.filled"):
        facts, _ = find(at.projection, at.stack, name.split(".")[0], term.via)
        collection = name.split(".")[0]
        return at.fills.get((collection, str((facts or {})[f"{collection}.id"])), Fraction(0))
    if name == "position.after.quantity":
        facts, symbol = find(at.projection, at.stack, "position", term.via)
        before = _checked(read(at.projection, at.stack, "position.before.quantity", term.via))
        return before + sum((net for of, net in _moves(at) if of == symbol), Fraction(0))
    if name in at.derivations:
        found = _derived(name, term.via, at)
        if found is not None:
            return found
    return read(at.projection, at.stack, name, term.via)


def _moves(at: Point) -> Iterator[tuple[str, Fraction]]:
    for collection, orders in (("order", at.projection.orders), ("working_order", at.projection.working)):
        for o in orders:
            filled = at.fills.get((collection, str(o[f"{collection}.id"])), Fraction(0))
            yield str(o[f"{collection}.symbol"]), signed(str(o[f"{collection}.side"]), filled)


def _derived(name: str, via: str, at: Point) -> Value | None:
    entity = name.split(".", 1)[0]
    facts, key = find(at.projection, at.stack, entity, via)
    values: list[Value] = []
    for rule in at.derivations[name]:
        subject = Subject(rule.for_each, key, facts or {})
        inner = replace(at, stack=(at.stack[0], subject))
        if rule.when is None or value(rule.when, inner):
            values += [value(term, inner) for derived, term in rule.derive if derived == name]
    if any(v != values[0] for v in values):
        raise MissingFactError(name, key, "is derived with different values by different rules")
    return values[0] if values else None


def _arithmetic(op: str, left: Any, right: Any) -> Value:
    if op == "/" and right == 0:
        raise MissingFactError("the divisor", "", "is zero")
    if isinstance(left, date | datetime) and isinstance(right, Fraction):
        step = timedelta(microseconds=int(right * 10**6))
        return left + step if op == "+" else left - step
    answer = OPS[op](left, right)
    if isinstance(answer, timedelta):
        return Fraction(answer.days * 86_400 + answer.seconds) + Fraction(answer.microseconds, 10**6)
    return answer  # type: ignore[no-any-return]


def _kleene(decisive: bool, parts: Iterator[Callable[[], Value]]) -> bool:
    missing: MissingFactError | None = None
    for part in parts:
        try:
            if part() == decisive:
                return decisive
        except MissingFactError as error:
            missing = missing or error
    if missing:
        raise missing
    return not decisive


def _aggregate(term: Aggregate, at: Point) -> Value:
    subject = counted_for(term, at.stack)
    key = "position.symbol" if term.collection == "position" else f"{term.collection}.id"
    inside = [
        replace(at, stack=(*at.stack, Subject(term.collection, str(m.get(key)), m)))
        for m in at.projection.members(term.collection)
        if belongs(at.projection, subject, term.collection, m)
    ]
    chosen = inside if term.where is None else [p for p in inside if value(term.where, p)]
    if term.kind == "count" or term.body is None:
        return Fraction(len(chosen))
    if term.kind == "sum":
        return sum((number(term.body, p) for p in chosen), Fraction(0))
    return _kleene(term.kind == "any", (partial(value, term.body, p) for p in chosen))
