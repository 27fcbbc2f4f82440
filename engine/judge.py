"""Judging a rule: the pointwise meaning of `evaluate.py` taken over every reachable fill state.

In: a rule, a projection, the derive rules. Out: one `Finding` per subject. Guaranteed: a comparison is judged at its
worst reachable state; a sum over names of single-name functions is maximised name by name, linear and convex ones at
the corners (each order filled whole or not at all), anything else over all states up to `STATES_MAX`. Refused: what is
beyond that is undecided. Part of the reference meaning, so no cleverness. Before: `evaluate.py`. After: `decide.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from lexorder.engine.classify import classify, grouping, separable
from lexorder.engine.evaluate import Fills, Point, number, value
from lexorder.engine.rule import Rule, TermClass
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.states import states
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import (
    Aggregate,
    Binary,
    Compare,
    Field,
    Literal,
    Not,
    Or,
    Term,
    Value,
    conjuncts,
    depends_on_fills,
)
from lexorder.engine.units import BOOL, SHARES, Kind
from lexorder.engine.verdict import Finding, Status

Derivations = Mapping[str, Sequence[Rule]]


@dataclass(frozen=True, slots=True)
class Move:
    """An order that may fill: its key among the fills, its symbol, its quantity, whether it is under test."""

    key: tuple[str, str]
    symbol: str
    quantity: Fraction
    new: bool


def moves(projection: Projection) -> tuple[Move, ...]:
    """Every order that may yet fill: those under test, then the working ones."""
    both = (("order", projection.orders), ("working_order", projection.working))
    return tuple(
        Move((c, str(o[f"{c}.id"])), str(o[f"{c}.symbol"]), o[f"{c}.quantity"], c == "order")  # type: ignore[arg-type]
        for c, orders in both
        for o in orders
    )


def derivations(rules: Iterable[Rule]) -> Derivations:
    """The derive rules by the name they set."""
    table: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        for name in dict.fromkeys(name for name, _ in rule.derive):
            table[name].append(rule)
    return table


def judge(rule: Rule, projection: Projection, derived: Derivations) -> tuple[Finding, ...]:
    """What a `require` rule says about each of its subjects."""
    account = account_subject(projection)
    return tuple(
        judge_subject(rule, Point(projection, (account, subject), {}, derived))
        for subject in subjects_of(rule, projection)
    )


def judge_subject(rule: Rule, at: Point) -> Finding:
    """The finding of a `require` rule for the innermost subject of `at`."""
    if rule.require is None:
        raise ValueError(f"rule {rule.id} requires nothing")
    subject = at.stack[-1].key
    try:
        if not subject:
            raise MissingFactError(rule.for_each, "", "of an instrument is missing")
        guard = rule.when
        if guard is not None and not depends_on_fills(guard):
            if not value(guard, at):
                return Finding(rule.id, subject, Status.NOT_APPLICABLE)
            guard = None
        return _judge_parts(rule, guard, rule.require, at)
    except MissingFactError as error:
        status = Status.BREACH if rule.fail_if_missing else Status.UNDECIDED
        return Finding(rule.id, subject, status, why=str(error))


def _judge_parts(rule: Rule, guard: Term | None, require: Term, at: Point) -> Finding:
    """The most serious part decides; a breach outranks an unknown part, since it is certain."""
    parts = conjuncts(require) if guard is None else (Or(BOOL, (Not(BOOL, guard), require)),)
    findings, missing = [], None
    for part in parts:
        try:
            findings.append(_judge_part(rule, part, at))
        except MissingFactError as error:
            missing = missing or error
    breached = [f for f in findings if f.status is Status.BREACH]
    if breached:
        return breached[0]
    if missing:
        raise missing
    passive = [f for f in findings if f.status is Status.PASSIVE]
    return (passive or findings)[0]


def _judge_part(rule: Rule, part: Term, at: Point) -> Finding:
    subject = at.stack[-1].key
    if not is_measured(part):
        held = all(value(part, replace(at, fills=f)) for f in _all_states(part, at))
        status = Status.PASS if held else Status.BREACH
        return Finding(rule.id, subject, status, inputs=inputs_of(part, at))
    worst, where = worst_excess(part, at, moves(at.projection))
    status = Status.PASS
    if broken(part, worst):
        old = [m for m in moves(at.projection) if not m.new]
        before, _ = worst_excess(part, at, old)
        allowed = rule.may_improve and broken(part, before) and worst <= before
        status = Status.PASSIVE if allowed and not _flips(part, at) else Status.BREACH
    observed, limit = evidence(part, replace(at, fills=where))
    return Finding(rule.id, subject, status, observed, limit, -worst, inputs=inputs_of(part, at))


def is_measured(part: Term) -> bool:
    """Whether a part is an order comparison of numbers, so that distance to the limit has a meaning."""
    return isinstance(part, Compare) and part.op in ("<", "<=", ">", ">=") and part.left.unit.kind is Kind.NUMBER


def broken(part: Term, excess: Fraction) -> bool:
    """Whether this excess breaks the comparison: above 0, or at 0 for a strict one."""
    return excess > 0 or (excess == 0 and isinstance(part, Compare) and part.op in ("<", ">"))


def excess(part: Compare, at: Point) -> Fraction:
    """How far the comparison is beyond its limit in one state; at most 0 when it holds (below 0 if strict)."""
    difference = number(part.left, at) - number(part.right, at)
    return difference if part.op in ("<", "<=") else -difference


def worst_excess(part: Term, at: Point, able: Sequence[Move]) -> tuple[Fraction, Fills]:
    """The greatest excess over the states that `able` orders can reach, and one state that has it."""
    if not isinstance(part, Compare):
        raise TypeError("only comparisons have an excess")
    nothing: Fills = {}
    start = excess(part, replace(at, fills=nothing))
    if not depends_on_fills(part):
        return start, nothing
    kind = classify(part).term_class
    corners = kind is not TermClass.MIXED_INTEGER
    linear = kind is TermClass.LINEAR  # then each order counts by itself
    if not linear and not separable(part):
        return _greatest(part, at, able, corners)
    total, where = start, dict(nothing)
    for block in [[move] for move in able] if linear else blocks(part, at.projection, able):
        best, filled = _greatest(part, at, block, corners)
        total += best - start
        where.update(filled)
    return total, where


def _greatest(part: Compare, at: Point, able: Sequence[Move], corners: bool) -> tuple[Fraction, Fills]:
    candidates = states([(m.key, m.quantity) for m in able], corners)
    return max(((excess(part, replace(at, fills=f)), f) for f in candidates), key=lambda pair: pair[0])


def blocks(part: Term, projection: Projection, able: Sequence[Move]) -> list[list[Move]]:
    """Orders whose fills act together: those of one name, or of one issuer where the part sums over issuers."""
    group = grouping(part)
    found: dict[str, list[Move]] = defaultdict(list)
    for move in able:
        found[projection.group_of(group, move.symbol) if group else move.symbol].append(move)
    return list(found.values())


def _all_states(part: Term, at: Point) -> Iterable[Fills]:
    if not depends_on_fills(part):
        return [{}]
    return states([(m.key, m.quantity) for m in moves(at.projection)], corners=False)


def _flips(part: Term, at: Point) -> bool:
    """Whether an order under test can take a position this part reads through zero."""
    if not any(isinstance(n, Field) and n.name == "position.after.quantity" for n in part.walk()):
        return False
    for symbol in {m.symbol for m in moves(at.projection) if m.new}:
        facts = at.projection.positions[symbol]
        here = replace(at, stack=(at.stack[0], Subject("position", symbol, facts)))
        now = facts.get("position.before.quantity", Fraction(0))
        for filled in states(_quantities(at, symbol), corners=True):
            after = value(_AFTER, replace(here, fills=filled))
            if now * after < 0:  # type: ignore[operator]
                return True
    return False


def _quantities(at: Point, symbol: str) -> list[tuple[tuple[str, str], Fraction]]:
    return [(m.key, m.quantity) for m in moves(at.projection) if m.symbol == symbol]


def evidence(part: Term, at: Point) -> tuple[Value, Value]:
    """Both sides of a comparison; where the limit is `ratio * base`, both as ratios of the base."""
    if not isinstance(part, Compare):
        raise TypeError("only comparisons have two sides")
    base = base_of(part.right)
    left, right = number(part.left, at), number(part.right, at)
    size = number(base, at) if base is not None else Fraction(1)
    return (left / size, right / size) if size else (left, right)


def base_of(limit: Term) -> Term | None:
    """The base of a limit written as a constant ratio times something with a unit, else None."""
    if isinstance(limit, Binary) and limit.op == "*":
        for ratio, base in ((limit.left, limit.right), (limit.right, limit.left)):
            if isinstance(ratio, Literal) and any(base.unit.dimensions):
                return base
    return None


def inputs_of(part: Term, at: Point) -> dict[str, Value]:
    """The given facts a part reads outside its aggregates, by name."""
    found: dict[str, Value] = {}
    pending: list[Term] = [part]
    while pending:
        term = pending.pop()
        if isinstance(term, Field) and not depends_on_fills(term):
            with suppress(MissingFactError):  # in the branch of an `if` that was not taken
                found[term.name] = value(term, at)
        elif not isinstance(term, Aggregate):
            pending.extend(term.children())
    return dict(sorted(found.items()))


_AFTER = Field(SHARES, "position.after.quantity")
