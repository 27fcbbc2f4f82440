"""Judging a rule by closed forms: what `judge.py` finds by looking at states one by one.

In: a rule prepared once, and a projection. Out: the findings of `judge.py`, equal in status, margin and evidence.
Guaranteed: exact. A linear requirement is greatest where each order that helps is filled; a convex one of holdings at
an end of each name's reachable interval; a sum of single-name functions name by name; a function of one order's fill or
one name's holding by its pieces (`symbolic.py`). Where none of this applies, states are enumerated up to `STATES_MAX`.
Refused: more states than that are undecided. So this decides whatever the reference decides, and some that it cannot.
Why not integers here: only orders that may not simply pass come here, see `compile.py`. Before: `judge.py`,
`symbolic.py`. After: `compile.py`, `breakpoints.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import prod
from typing import Any

from lexorder.engine.classify import classify, peaks_at_corners, separable
from lexorder.engine.evaluate import Fills, Point, value
from lexorder.engine.judge import (
    Derivations,
    Move,
    base_of,
    blocks,
    broken,
    evidence,
    excess,
    is_measured,
    moves,
)
from lexorder.engine.piecewise import InexpressibleError, constant, identity
from lexorder.engine.rule import Rule, TermClass
from lexorder.engine.snapshot import BUY, MissingFactError, Projection
from lexorder.engine.states import states
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.symbolic import Unknown, condition, number
from lexorder.engine.terms import (
    FILL_NAMES,
    Aggregate,
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
from lexorder.engine.units import BOOL
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.weights import Weight

FEW = 8
"""Up to this many states are quicker looked at than worked out."""


@dataclass(frozen=True, slots=True)
class Part:
    """One conjunct of a requirement and what is known about it before any order comes.

    `at_corners`: its worst state is one where each order is filled whole or not at all.
    """

    term: Term
    measured: bool
    depends: bool
    kind: TermClass
    separable: bool
    reads_holdings: bool
    reads_filled: bool
    inputs: tuple[Field, ...]
    at_corners: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A `require` rule taken apart. `guard` is its `when` where that is a matter of facts, else it is in `parts`.

    `compact` says that, once the worst excess over the whole account is known, the finding needs no more than the facts
    of the ordered name: no other term runs over the account's names.
    """

    rule: Rule
    guard: Term | None
    parts: tuple[Part, ...]
    compact: bool = False


Known = Mapping[int, tuple[Fraction, Fraction]]
"""By conjunct: the worst excess over all states, and the worst one without the orders under test."""


def prepared(rule: Rule) -> Prepared:
    """Take a rule apart once. Raises ValueError for a rule that requires nothing."""
    if rule.require is None:
        raise ValueError(f"rule {rule.id} requires nothing")
    if rule.when is not None and depends_on_fills(rule.when):
        whole = Or(BOOL, (Not(BOOL, rule.when), rule.require))
        return Prepared(rule, None, (part_of(whole),))
    parts = tuple(part_of(p) for p in conjuncts(rule.require))
    compact = not _runs_over_names(rule.when) and all(map(_is_compact, parts))
    return Prepared(rule, rule.when, parts, compact)


def _runs_over_names(term: Term | None) -> bool:
    return term is not None and any(
        isinstance(n, Aggregate) and n.collection in ("position", "working_order") for n in term.walk()
    )


def _is_compact(part: Part) -> bool:
    """Whether one side at most runs over names, that side only by what fills, and the limit's base is a plain fact."""
    if not part.depends:
        return not _runs_over_names(part.term)
    if not part.measured or not isinstance(part.term, Compare) or part.kind is TermClass.MIXED_INTEGER:
        return False
    left, right = part.term.left, part.term.right
    still = [n for n in part.term.walk() if _runs_over_names(n) and not depends_on_fills(n)]
    moving = [side for side in (left, right) if depends_on_fills(side)]
    return not still and len(moving) == 1 and (moving[0] is left or base_of(right) is None)


def part_of(term: Term) -> Part:
    """What is known about one conjunct."""
    names = {n.name for n in term.walk() if isinstance(n, Field)}
    return Part(
        term=term,
        measured=is_measured(term),
        depends=depends_on_fills(term),
        kind=classify(term).term_class,
        separable=separable(term),
        reads_holdings="position.after.quantity" in names,
        reads_filled=bool(names & {"order.filled", "working_order.filled"}),
        inputs=tuple(dict.fromkeys(_given(term))),
        at_corners=peaks_at_corners(term),
    )


def _given(term: Term) -> Iterator[Field]:
    """The given facts a part reads outside its sums, in the order `judge.inputs_of` meets them."""
    pending = [term]
    while pending:
        node = pending.pop()
        if isinstance(node, Field) and node.name not in FILL_NAMES:
            yield node
        elif not isinstance(node, Aggregate):
            pending.extend(node.children())


def _inputs(part: Part, at: Point) -> dict[str, Value]:
    """The values of these facts by name; see `judge.inputs_of`."""
    found: dict[str, Value] = {}
    for given in part.inputs:
        with suppress(MissingFactError):  # in the branch of an `if` that was not taken
            found[given.name] = value(given, at)
    return dict(sorted(found.items()))


def judge(rule: Prepared, projection: Projection, derived: Derivations) -> tuple[Finding, ...]:
    """What a rule says about each of its subjects."""
    account = account_subject(projection)
    return tuple(
        judge_subject(rule, Point(projection, (account, subject), {}, derived))
        for subject in subjects_of(rule.rule, projection)
    )


def judge_compact(rule: Prepared, narrow: Projection, derived: Derivations, known: Known) -> Finding:
    """The finding of a compact rule for its one subject, from a projection of only the ordered name.

    `known` must hold every conjunct that depends on fills.
    """
    (subject,) = subjects_of(rule.rule, narrow)
    return judge_subject(rule, Point(narrow, (account_subject(narrow), subject), {}, derived), known)


def judge_subject(prepared: Prepared, at: Point, known: Known | None = None) -> Finding:
    """The finding for the innermost subject of `at`."""
    rule, subject = prepared.rule, at.stack[-1].key
    try:
        if not subject:
            raise MissingFactError(rule.for_each, "", "of an instrument is missing")
        if prepared.guard is not None and not value(prepared.guard, at):
            return Finding(rule.id, subject, Status.NOT_APPLICABLE)
        return _most_serious(prepared, at, known or {})
    except MissingFactError as error:
        status = Status.BREACH if rule.fail_if_missing else Status.UNDECIDED
        return Finding(rule.id, subject, status, why=str(error))


def _most_serious(prepared: Prepared, at: Point, known: Known) -> Finding:
    findings, missing = [], None
    for place, part in enumerate(prepared.parts):
        try:
            findings.append(_judge_part(prepared.rule, part, at, known.get(place)))
        except MissingFactError as error:
            missing = missing or error
    breached = [f for f in findings if f.status is Status.BREACH]
    if breached:
        return breached[0]
    if missing:
        raise missing
    passive = [f for f in findings if f.status is Status.PASSIVE]
    return (passive or findings)[0]


def _judge_part(rule: Rule, part: Part, at: Point, known: tuple[Fraction, Fraction] | None) -> Finding:
    subject, able = at.stack[-1].key, moves(at.projection)
    if not part.measured:
        status = Status.PASS if holds_everywhere(part, at, able) else Status.BREACH
        return Finding(rule.id, subject, status, inputs=_inputs(part, at))
    worst, where = (known[0], None) if known else worst_excess(part, at, able)
    status = Status.PASS
    if broken(part.term, worst):
        before = known[1] if known else None
        status = Status.PASSIVE if _is_passive(rule, part, at, (worst, before)) else Status.BREACH
    observed, limit = (
        evidence(part.term, replace(at, fills=where)) if where is not None else _sides(part.term, at, worst)
    )
    return Finding(rule.id, subject, status, observed, limit, -worst, inputs=_inputs(part, at))


def standing(prepared: Prepared, weights: Sequence[Weight], flips: Callable[[], bool]) -> tuple[Status, int] | None:
    """The status of a rule that is broken by these weights and the conjunct that decides it; None where it is not.

    `flips` says whether the order can take its position through zero; it is asked only where that matters.
    """
    found = []
    for part, weight in zip(prepared.parts, weights, strict=True):
        status = _standing(prepared.rule, part, weight, flips)
        if status is None:
            return None
        found.append(status)
    for serious in (Status.BREACH, Status.PASSIVE):
        if serious in found:
            return serious, found.index(serious)
    return None


def _standing(rule: Rule, part: Part, weight: Weight, flips: Callable[[], bool]) -> Status | None:
    if weight is None or isinstance(weight, bool):
        return None if weight is None else Status.PASS if weight else Status.BREACH
    over, old, below, under = weight
    if not broken(part.term, over):
        return Status.PASS
    if old is None:
        return Status.PASSIVE if rule.may_improve else Status.BREACH  # no fill changes it: it was as broken before
    better = rule.may_improve and broken(part.term, old) and over * under <= old * below
    return Status.PASSIVE if better and not (part.reads_holdings and flips()) else Status.BREACH


def _sides(term: Term, at: Point, worst: Fraction) -> tuple[Value, Value]:
    """Both sides in the worst state, from the side that no fill changes and the excess; see `judge.evidence`."""
    assert isinstance(term, Compare)
    difference = worst if term.op in ("<", "<=") else -worst
    left: Any
    right: Any
    if depends_on_fills(term.left):
        right = value(term.right, at)
        left = right + difference
    else:
        left = value(term.left, at)
        right = left - difference
    base = base_of(term.right)
    size: Any = Fraction(1) if base is None else value(base, at)
    return (left, right) if size == 0 else (left / size, right / size)


def _is_passive(rule: Rule, part: Part, at: Point, excesses: tuple[Fraction, Fraction | None]) -> bool:
    """Broken before and no further from the limit in any state, with no position taken through zero."""
    if not rule.may_improve:
        return False
    worst, before = excesses
    if before is None:
        before, _ = worst_excess(part, at, [m for m in moves(at.projection) if not m.new])
    return broken(part.term, before) and worst <= before and not (part.reads_holdings and flips(at))


def flips(at: Point) -> bool:
    """Whether an order under test can take its position through zero, working orders filling too."""
    able = moves(at.projection)
    for symbol in {m.symbol for m in able if m.new}:
        now = at.projection.positions[symbol].get("position.before.quantity", Fraction(0))
        low, high = reach(at, symbol, able)
        if (now > 0 and now + low < 0) or (now < 0 and now + high > 0):  # type: ignore[operator]
            return True
    return False


def reach(at: Point, symbol: str, able: Sequence[Move]) -> tuple[Fraction, Fraction]:
    """The greatest fall (at most 0) and rise of a holding that these orders can bring."""
    own = [m.quantity * sign_of(at, m) for m in able if m.symbol == symbol]
    return sum((q for q in own if q < 0), Fraction(0)), sum((q for q in own if q > 0), Fraction(0))


def sign_of(at: Point, move: Move) -> int:
    """1 for an order that raises the holding when it fills, -1 for one that lowers it."""
    collection, order = move.key
    everyone = at.projection.orders if collection == "order" else at.projection.working
    facts = next(o for o in everyone if o[f"{collection}.id"] == order)
    return 1 if facts[f"{collection}.side"] == BUY else -1


# ---- the worst state -----------------------------------------------------------------------------


def worst_excess(part: Part, at: Point, able: Sequence[Move]) -> tuple[Fraction, Fills]:
    """The greatest excess over the states these orders can reach, and one state that has it."""
    assert isinstance(part.term, Compare)
    start = excess(part.term, replace(at, fills={}))
    if not part.depends:
        return start, {}
    linear = part.kind is TermClass.LINEAR
    if not linear and not part.separable:
        return greatest_excess(part, part.term, at, able)
    total, where = start, dict[tuple[str, str], Fraction]()
    term = settled(part.term, at)
    narrow = not nested(term)
    for block in [[move] for move in able] if linear else blocks(part.term, at.projection, able):
        alone = narrowed(at, block[0].symbol) if narrow else at
        best, filled = greatest_excess(part, term, alone, block)
        total += best - excess(term, replace(alone, fills={}))
        where.update(filled)
    return total, where


def settled(term: Compare, at: Point) -> Compare:
    """The comparison with every sum that no fill can change replaced by its value.

    As a factor or a condition it must keep the value it has for the whole account when the point is narrowed.
    """
    found = _settled(term, at)
    assert isinstance(found, Compare)
    return found


def _settled(term: Term, at: Point) -> Term:
    depends = depends_on_fills(term)
    if (depends and isinstance(term, Aggregate)) or not any(isinstance(n, Aggregate) for n in term.walk()):
        return term
    if not depends:
        try:
            return Literal(term.unit, value(term, at))
        except MissingFactError:
            return term  # in a branch that is not taken
    return rebuilt(term, lambda part: _settled(part, at))


def rebuilt(term: Term, change: Callable[[Term], Term]) -> Term:
    """The node with each direct subterm changed."""
    changes: dict[str, Any] = {}
    for item in fields(term):
        inner = getattr(term, item.name)
        if isinstance(inner, Term):
            changes[item.name] = change(inner)
        elif isinstance(inner, tuple) and inner and isinstance(inner[0], Term):
            changes[item.name] = tuple(change(part) for part in inner)
    return replace(term, **changes)


def nested(term: Term) -> bool:
    """Whether a sum stands inside another one, where narrowing would change it."""
    inside = [n for n in term.walk() if isinstance(n, Aggregate)]
    return any(isinstance(n, Aggregate) for outer in inside for child in outer.children() for n in child.walk())


def narrowed(at: Point, symbol: str) -> Point:
    """The same point with only one name's positions and orders: a sum over names changes there by the same amounts."""
    seen = at.projection
    mine = replace(
        seen,
        orders=tuple(o for o in seen.orders if o["order.symbol"] == symbol),
        working=tuple(w for w in seen.working if w["working_order.symbol"] == symbol),
        positions={symbol: seen.positions[symbol]},
    )
    return replace(at, projection=mine)


def greatest_excess(part: Part, term: Compare, at: Point, able: Sequence[Move]) -> tuple[Fraction, Fills]:
    """The greatest excess over a block of orders."""
    corners = part.at_corners
    count = prod(2 if corners else int(m.quantity) + 1 for m in able)
    if corners and not part.reads_filled and count > FEW and len({m.symbol for m in able}) == 1:
        return _at_ends(term, at, able)
    if not corners and count > FEW and one_variable(part, able):
        try:
            return _by_pieces(term, at, able)
        except InexpressibleError:
            pass  # then state by state, if they are few enough
    candidates = states([(m.key, m.quantity) for m in able], corners)
    return max(((excess(term, replace(at, fills=f)), f) for f in candidates), key=lambda pair: pair[0])


def _at_ends(term: Compare, at: Point, able: Sequence[Move]) -> tuple[Fraction, Fills]:
    """A convex function of one holding: greatest with all sales filled and no purchase, or the other way round."""
    low = {m.key: m.quantity if sign_of(at, m) < 0 else Fraction(0) for m in able}
    high = {m.key: m.quantity - low[m.key] for m in able}
    return max(((excess(term, replace(at, fills=f)), f) for f in (low, high)), key=lambda pair: pair[0])


def one_variable(part: Part, able: Sequence[Move]) -> bool:
    """Whether the block's states are one whole number: one order's fill, or one holding when only that is read."""
    if any(m.quantity.denominator != 1 for m in able):
        return False
    return len(able) == 1 or (not part.reads_filled and len({m.symbol for m in able}) == 1)


def _by_pieces(term: Compare, at: Point, able: Sequence[Move]) -> tuple[Fraction, Fills]:
    unknown = unknown_of(at, able)
    difference = number(term.left, at, unknown) - number(term.right, at, unknown)
    if term.op in (">", ">="):
        difference = -difference
    best, x = difference.greatest()
    return Fraction(best), filled_at(x, at, able)


def unknown_of(at: Point, able: Sequence[Move]) -> Unknown:
    """The one number a block's states are: the fill of its only order, or else the change of the holding."""
    symbol = able[0].symbol
    now: Any = at.projection.positions[symbol].get("position.before.quantity", Fraction(0))
    if len(able) == 1:
        fill = identity(0, int(able[0].quantity))
        held = fill.scaled(sign_of(at, able[0])) + constant(now, 0, fill.high)
        return Unknown(0, fill.high, {symbol: held}, {able[0].key: fill})
    low, high = (int(end) for end in reach(at, symbol, able))
    return Unknown(low, high, {symbol: identity(low, high) + constant(now, low, high)})


def filled_at(x: int, at: Point, able: Sequence[Move]) -> Fills:
    """A fill state in which the block's number is x."""
    if len(able) == 1:
        return {able[0].key: Fraction(x)}
    left, found = Fraction(abs(x)), {}
    for move in able:
        helps = sign_of(at, move) * x > 0
        found[move.key] = min(move.quantity, left) if helps else Fraction(0)
        left -= found[move.key]
    return found


def holds_everywhere(part: Part, at: Point, able: Sequence[Move]) -> bool:
    """Whether a condition holds in every state. Raises MissingFactError when there are too many to look at."""
    if not part.depends or not able:
        return bool(value(part.term, replace(at, fills={})))
    count = prod(int(m.quantity) + 1 for m in able)
    if count > FEW and one_variable(part, able):
        try:
            unknown = unknown_of(at, able)
            return condition(part.term, at, unknown) == ((unknown.low, unknown.high),)
        except InexpressibleError:
            pass  # then state by state, if they are few enough
    found = states([(m.key, m.quantity) for m in able], corners=False)
    return all(value(part.term, replace(at, fills=f)) for f in found)
