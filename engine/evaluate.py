"""The meaning of a rule, as plainly as it can be said. This file is the specification.

In: a rule as in force on a date, a subject, and a projection (one account, the orders under test). Out: a `Finding`.
Guaranteed: exact rational arithmetic; a requirement holds only if it holds in every reachable fill state; what cannot
be known is undecided. Refused: states beyond `STATES_MAX` where no theorem narrows them down: undecided too. Why so
slow: `compile.py` and the expert do the same fast and are tested against this. Before: `snapshot.py`, `classify.py`.
After: `judge.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, find, read, signed
from lexorder.engine.subjects import belongs
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

STATES_MAX = 4_096
"""At most this many fill states are looked at one by one."""

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


def value(term: Term, at: Point) -> Value:
    """The value of `term` in one state. Raises MissingFactError when it cannot be known."""
    match term:
        case Literal(value=constant):
            return constant
        case Field():
            return _field(term, at)
        case Key(entity=entity):
            return next(s.key for s in reversed(at.stack) if s.entity == entity)
        case Negate(operand=x):
            return -value(x, at)  # type: ignore[operator]
        case Absolute(operand=x):
            return abs(value(x, at))  # type: ignore[arg-type]
        case Binary(op=op, left=left, right=right):
            return _arithmetic(op, value(left, at), value(right, at))
        case Extreme(which=which, items=items):
            return (min if which == "min" else max)(value(x, at) for x in items)  # type: ignore[type-var]
        case Compare(op=op, left=left, right=right):
            return bool(OPS[op](value(left, at), value(right, at)))
        case Not(operand=x):
            return not value(x, at)
        case And(items=items):
            return _kleene(False, (lambda x=x: value(x, at) for x in items))
        case Or(items=items):
            return _kleene(True, (lambda x=x: value(x, at) for x in items))
        case In(item=item, container=SetOf(items=items)):
            return value(item, at) in [value(x, at) for x in items]
        case In(item=item, container=container):
            return value(item, at) in value(container, at)  # type: ignore[operator]
        case If(condition=condition, yes=yes, no=no):
            return value(yes if value(condition, at) else no, at)
        case Aggregate():
            return _aggregate(term, at)
    raise TypeError(f"not a term: {type(term).__name__}")


def _field(term: Field, at: Point) -> Value:
    name = term.name
    if name in ("order.filled", "working_order.filled"):
        facts, _ = find(at.projection, at.stack, name.split(".")[0], term.via)
        collection = name.split(".")[0]
        return at.fills.get((collection, str((facts or {})[f"{collection}.id"])), Fraction(0))
    if name == "position.after.quantity":
        facts, symbol = find(at.projection, at.stack, "position", term.via)
        before = read(at.projection, at.stack, "position.before.quantity", term.via)
        return before + sum(net for of, net in _moves(at) if of == symbol)  # type: ignore[operator]
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
    subject = at.stack[0] if term.owner == "account" else at.stack[min(1, len(at.stack) - 1)]
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
        return sum((value(term.body, p) for p in chosen), Fraction(0))  # type: ignore[misc]
    body = term.body
    return _kleene(term.kind == "any", (lambda p=p: value(body, p) for p in chosen))


def states(orders: Sequence[tuple[tuple[str, str], Fraction]], corners: bool) -> Iterator[Fills]:
    """Every fill state of these (order key, quantity) pairs, or only those where each is filled whole or not at all.

    Raises MissingFactError when there are more than `STATES_MAX`, or when fills are not of whole shares.
    """
    choices: list[Any] = [(0, q) if corners else range(int(q) + 1) for _, q in orders]
    if prod(len(c) for c in choices) > STATES_MAX or not (corners or all(q.denominator == 1 for _, q in orders)):
        raise MissingFactError("the set of fill states", "", f"is larger than {STATES_MAX}")
    for filled in product(*choices):
        yield {key: Fraction(f) for (key, _), f in zip(orders, filled, strict=True)}
