"""Rules in force to the exact integer rows and clauses of a certificate.

In: rules as in force on the date, and a `Board` of names that may be traded. Out: `RowSet`: rows and clauses with the
rule, subject and scale each came from, and what was left to the decision of the single orders. Guaranteed: holdings
that satisfy the rows satisfy the rules, as `engine.evaluate` reads them; denominators are cleared to integers, strict
comparisons become `≤ limit - 1`. Refused (`RowsRefused`, every rule named): a rule for the rebalance that cannot be
written so, or reads a fact that is missing. A rule that only concerns single orders and cannot be written as rows is
listed in `left_to_orders`: no order leaves without its decision. Why integers: the verifier reads nothing else.
Before: `lowering.py`. After: `confirm.py`, `rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lexorder.engine.certificate import ID_LENGTH_MAX, Clause, Row
from lexorder.engine.errors import SolverError
from lexorder.engine.judge import base_of, is_measured
from lexorder.engine.piecewise import InexpressibleError
from lexorder.engine.rule import Phase, Rule, Severity
from lexorder.engine.snapshot import CONSTITUENT, MissingFactError, Subject
from lexorder.engine.subjects import NAMED, belongs, subjects_of
from lexorder.engine.terms import Binary, Compare, Not, Or, Term, conjuncts
from lexorder.engine.units import BOOL
from lexorder.optimizers.board import Board
from lexorder.optimizers.lowering import Lowering
from lexorder.optimizers.row_units import in_units
from lexorder.optimizers.separable import (
    FALSE,
    TRUE,
    Atom,
    Every,
    Known,
    LoweringError,
    Some,
    Sum,
    Tree,
    alternatives,
    every,
    opposite,
    region,
    some,
    variable_of,
    within,
)

_NOT_A_ROW = (LoweringError, InexpressibleError)
_CANNOT = (*_NOT_A_ROW, MissingFactError)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule that could not become rows for a subject, and why."""

    rule: str
    subject: str
    why: str


class RowsRefused(SolverError):  # noqa: N818  (names what happened, like a FIX reject)
    """Rules for the rebalance that cannot be written as rows; nothing is traded. `refusals` has all of them."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        by_rule: dict[str, list[Refusal]] = {}
        for refusal in refusals:
            by_rule.setdefault(refusal.rule, []).append(refusal)
        super().__init__("rows-refused", "; ".join(_told(found) for found in by_rule.values()))
        self.refusals = refusals


def _told(found: list[Refusal]) -> str:
    """One rule's refusals: the first in full, the others counted."""
    first, more = found[0], len(found) - 1
    others = f" (and {more} more)" if more else ""
    return f"`{first.rule}` for {first.subject or 'an unknown subject'}{others} {first.why}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row came from. `scale`: row units in one unit of the comparison (money, shares, a ratio).

    `part` is the comparison or condition; `atom` the exact row before rounding to integers, on shares. `base` and
    `limit` are set where the limit is `ratio * base`: base in the comparison's unit, limit as the ratio. `direct`: the
    row's excess is that of the comparison itself. `spared`: what rounding took off the row's limit, in row units.
    """

    rule: Rule
    subject: Subject
    part: Term
    atom: Atom
    scale: Fraction
    base: Fraction | None = None
    limit: Fraction | None = None
    direct: bool = False
    spared: Fraction = Fraction(0)


@dataclass(slots=True)
class RowSet:
    """Rows and clauses under construction; `sources` has one entry for each row, `clause_sources` for each clause.

    `judged` lists every (rule, subject) that was lowered, also where no row was needed; `stopped` the pre-trade rules
    that cannot be decided for want of a fact, so that nothing they cover is traded.
    """

    rows: list[Row] = field(default_factory=list)
    clauses: list[Clause] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    clause_sources: list[tuple[Rule, Subject]] = field(default_factory=list)
    judged: list[tuple[Rule, Subject]] = field(default_factory=list)
    left_to_orders: list[Refusal] = field(default_factory=list)
    stopped: list[Refusal] = field(default_factory=list)


def relevant(rules: Sequence[Rule], account: str, tags: frozenset[str]) -> list[Rule]:
    """The requirements that bind a rebalance of an account: in phase rebalance or pre-trade, not merely warnings."""
    phases = {Phase.REBALANCE, Phase.PRE_TRADE}
    return [
        r
        for r in rules
        if r.require is not None
        and r.severity is not Severity.WARN
        and phases & r.phases
        and r.scope.covers(account, tags)
    ]


def rows_of(rules: Sequence[Rule], board: Board) -> RowSet:
    """Lower every rule for every subject. Raises RowsRefused with all rules that cannot be lowered."""
    builder = _Builder(board)
    for rule in rules:
        for subject in subjects_under(rule, board):
            builder.add(rule, subject)
    if builder.refusals:
        raise RowsRefused(tuple(builder.refusals))
    return builder.found


def subjects_under(rule: Rule, board: Board) -> list[Subject]:
    """Everything a rule must hold for: what candidate orders touch and, for a rebalance, whatever else is held.

    What is held and cannot be traded (a working order, no mark) must still be judged: its rule may be undecided.
    """
    touched = {s.key: s for s in subjects_of(rule, board.projection)}
    groups = board.projection.vocabulary.entities[rule.for_each].groups
    if Phase.REBALANCE in rule.phases and (groups or rule.for_each in (*NAMED, "pair", CONSTITUENT)):
        for subject in subjects_of(rule, replace(board.projection, orders=())):
            if rule.for_each not in ("instrument", "market") or subject.key in board.projection.positions:
                touched.setdefault(subject.key, subject)
    return [touched[key] for key in sorted(touched)]


Part = tuple[Term, Tree, bool]
"""A conjunct, its tree, and whether the tree is the comparison itself."""


class _Builder:
    """Collects rows and clauses of one board."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.lowering = Lowering(board)
        self.found = RowSet()
        self.refusals: list[Refusal] = []

    def add(self, rule: Rule, subject: Subject) -> None:
        """Lower one rule for one subject."""
        try:
            if not subject.key:
                raise MissingFactError(rule.for_each, "", "of an instrument is missing")
            parts = list(self._parts(rule, subject))
        except _CANNOT as error:
            parts = self._without(rule, subject, error)
        self.found.judged.append((rule, subject))
        for part, tree, own in parts:
            self._emit(tree, rule, subject, part, direct=own and not self._cleared(part))

    def _cleared(self, part: Term) -> bool:
        """Whether a moving divisor was multiplied out: then the row's excess is not the ratio's."""
        sides = (part.left, part.right) if isinstance(part, Compare) else ()
        return any(isinstance(s, Binary) and s.op == "/" and self.lowering.moving(s.right) for s in sides)

    def _without(self, rule: Rule, subject: Subject, error: Exception) -> list[Part]:
        """What is left of a rule that cannot be lowered: a refusal, names that stay, or the order's own decision."""
        assert rule.require is not None
        missing = isinstance(error, MissingFactError)
        why = getattr(error, "message", None) or str(error)
        if missing and (rule.fail_if_missing or Phase.REBALANCE not in rule.phases):
            refusal = Refusal(rule.id, subject.key, f"cannot be decided: {why}; what it covers is not traded")
            self.found.stopped.append(refusal)
            return [(rule.require, some([self.untouched(subject), self._not_guarded(rule, subject)]), False)]
        self._refuse(rule, subject, f"cannot be decided: {why}" if missing else why)
        return []

    def _not_guarded(self, rule: Rule, subject: Subject) -> Tree:
        """When a rule does not apply; never, where that cannot be said."""
        try:
            return (
                FALSE if rule.when is None else opposite(self.lowering.condition(rule.when, self.lowering.at(subject)))
            )
        except _CANNOT:
            return FALSE

    def _refuse(self, rule: Rule, subject: Subject, why: str) -> None:
        """A rule for the rebalance is refused; one for single orders is left to their decision."""
        place = self.refusals if Phase.REBALANCE in rule.phases else self.found.left_to_orders
        place.append(Refusal(rule.id, subject.key, why))

    def _parts(self, rule: Rule, subject: Subject) -> Iterator[Part]:
        """Each conjunct of the requirement with its tree, guards included."""
        assert rule.require is not None
        at, parts = self.lowering.at(subject), conjuncts(rule.require)
        if rule.when is not None and self.lowering.moving(rule.when):
            parts = (Or(BOOL, (Not(BOOL, rule.when), rule.require)),)
        elif rule.when is not None and self.lowering.condition(rule.when, at) == FALSE:
            return
        for part in parts:
            own = self.lowering.condition(part, at)
            tree = self._guarded(rule, subject, part, own)
            if tree != TRUE:
                yield part, tree, isinstance(own, Atom) and tree is own

    def _guarded(self, rule: Rule, subject: Subject, part: Term, tree: Tree) -> Tree:
        """A rule for a thing that is not there, or a pre-trade rule for what is not traded, does not apply."""
        if tree == TRUE:
            return TRUE
        if subject.entity in ("order", "position"):
            tree = some([opposite(self.lowering.presence(subject)), tree])
        if Phase.REBALANCE in rule.phases or subject.entity == "order":
            return tree
        # What holds now, or may stay broken as long as it gets no worse, needs no exception for standing still.
        if not isinstance(tree, Known) and ((rule.may_improve and is_measured(part)) or holds(tree, self.board.held())):
            return tree
        return some([self.untouched(subject), tree])

    def untouched(self, subject: Subject) -> Tree:
        """The condition that no name of a subject is traded."""
        if subject.entity == "order":
            return opposite(self.lowering.presence(subject))
        return every([self.lowering.still(i) for i in names_under(subject, self.board)])

    # ---- trees to rows -----------------------------------------------------------------------------------------

    def _emit(self, tree: Tree, rule: Rule, subject: Subject, part: Term, *, direct: bool = False) -> None:
        if isinstance(tree, Some):
            tree = self._collapsed(tree)
        match tree:
            case Every(items=items):
                for item in items:
                    self._emit(item, rule, subject, part)
            case Atom():
                self._assert(tree, rule, subject, part, direct=direct)
            case Some():
                self._clause(tree, rule, subject, part)
            case Known(value=False):
                self._assert(Atom(Sum(Fraction(1))), rule, subject, part, direct=False)

    def _collapsed(self, tree: Some) -> Tree:
        """One-of that reads a single name, as the set of its holdings."""
        v = variable_of(tree)
        if v is None:
            return tree
        domain = self.board.domains[v]
        return within(v, region(tree, *domain), *domain)

    def _clause(self, tree: Some, rule: Rule, subject: Subject, part: Term) -> None:
        if subject.entity == "order":
            # Partial fills pass through sizes the order itself never has: its own decision is the exact check.
            self.found.left_to_orders.append(Refusal(rule.id, subject.key, "admits separate ranges of sizes"))
            return
        try:
            options = alternatives(tree)
            indexes = []
            for option in options:
                first = len(self.found.rows)
                for atom in option:
                    self._row(atom, rule, subject, part, asserted=False)
                indexes.append(tuple(range(first, len(self.found.rows))))
        except _NOT_A_ROW as error:
            self._refuse(rule, subject, error.message)
            return
        self.found.clauses.append(Clause(row_id(rule.id, subject.key), tuple(indexes)))
        self.found.clause_sources.append((rule, subject))

    def _assert(self, atom: Atom, rule: Rule, subject: Subject, part: Term, *, direct: bool) -> None:
        try:
            self._row(atom, rule, subject, part, asserted=True, direct=direct)
        except _NOT_A_ROW as error:
            self._refuse(rule, subject, error.message)

    def _row(
        self, atom: Atom, rule: Rule, subject: Subject, part: Term, *, asserted: bool, direct: bool = False
    ) -> None:
        functions, working, limit, scale, spared = in_units(atom, self.board)
        passive = asserted and rule.may_improve and is_measured(part) and not self._cleared(part)
        row = Row(row_id(rule.id, subject.key), limit, functions, working, asserted, passive)
        base, ratio = self._ratio(part, subject)
        self.found.rows.append(row)
        self.found.sources.append(Source(rule, subject, part, atom, scale, base, ratio, direct, spared))

    def _ratio(self, part: Term, subject: Subject) -> tuple[Fraction | None, Fraction | None]:
        """Base and limit where the limit is a ratio of something the trade does not change."""
        if not isinstance(part, Compare) or not is_measured(part) or self.lowering.moving(part.right):
            return None, None
        at, base = self.lowering.at(subject), base_of(part.right)
        try:
            limit = self.lowering.number(part.right, at).constant
            size = self.lowering.number(base, at).constant if base is not None else Fraction(1)
        except MissingFactError:
            return None, None
        return (size, limit / size) if size else (None, None)


def names_under(subject: Subject, board: Board) -> list[int]:
    """The names whose trades touch a subject, as `subjects_of` sees it; every name for an account or a trader."""
    projection, candidates = board.projection, board.candidates
    groups = projection.vocabulary.entities[subject.entity].groups
    if subject.entity == "order":
        return [board.orders[subject.key][0]] if subject.key in board.orders else []
    if groups:
        instruments = projection.snapshot.instruments
        of = [instruments.get(c.symbol, {}).get(groups, "") for c in candidates]
        return [i for i, group in enumerate(of) if group == subject.key]
    if subject.entity == CONSTITUENT:
        facts = [{"position.symbol": c.symbol} for c in candidates]
        return [i for i, one in enumerate(facts) if belongs(projection, subject, "position", one)]
    wanted = {subject.key} if subject.entity in (*NAMED, "position") else set()
    if subject.entity == "pair":
        wanted = {str(subject.facts.get("pair.first")), str(subject.facts.get("pair.second"))}
    return [i for i, c in enumerate(candidates) if not wanted or c.symbol in wanted]


def holds(tree: Tree, x: Sequence[int]) -> bool:
    """Whether a condition holds where every variable stands at `x`."""
    match tree:
        case Known(value=known):
            return known
        case Atom():
            return tree.holds(x)
        case Every(items=items):
            return all(holds(i, x) for i in items)
        case Some(items=items):
            return any(holds(i, x) for i in items)
    raise LoweringError("a number stands where a condition is needed")


def row_id(rule: str, subject: str) -> str:
    """A row's name for people: rule and subject, in printable ASCII of admissible length."""
    text = f"{rule}/{subject}".encode("unicode_escape").decode("ascii")
    return text[:ID_LENGTH_MAX]
