"""Rows against the evaluator: the check that rule and row say the same, made at every release.

In: a `RowSet`, the `Board` it was made on, a seed. Out: nothing, or `RowsMismatch`. Guaranteed: every row is compared
at its own worst vertex, and all rules at random vertices of the reachable box (each name at an end or at its holding,
each working order whole or not at all): the integer rows and clauses of a rule and subject hold exactly when
`evaluate` says that the requirement does, a measured row's excess is the evaluator's to the last digit, and each row
is its exact condition in whole units, limit included. Refused: any difference, which stops the rebalance. Why again at
release, though tests cover it: lowering is the one step between the rules and what the certificate proves. Before:
`rows.py`. After: `rebalance.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from random import Random

from lexorder.engine.errors import SolverError
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import excess, is_measured
from lexorder.engine.rule import Facts, Phase, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Compare
from lexorder.optimizers.board import Board
from lexorder.optimizers.row_units import unit_of
from lexorder.optimizers.rows import RowSet, Source, names_under

FEW = 8
_NOT_EXACT = "the row is not its exact condition in whole units"
Vertex = list[int]
"""Every variable of a board, in shares."""


class RowsMismatch(SolverError):  # noqa: N818  (names what happened, like a FIX reject)
    """A row and its rule disagree in a state: a mistake in the lowering, so nothing is traded."""

    def __init__(self, rule: str, subject: str, what: str) -> None:
        super().__init__("rows-mismatch", f"rule `{rule}` for {subject}: {what}")
        self.rule = rule
        self.subject = subject


@dataclass(frozen=True, slots=True)
class _Group:
    """All rows and clauses of one rule and subject."""

    rule: Rule
    subject: Subject
    rows: tuple[int, ...]
    clauses: tuple[int, ...]


def confirm(found: RowSet, board: Board, *, vertices: int = 4, seed: int = 0, also: Sequence[Vertex] = ()) -> int:
    """Compare rows with the evaluator; returns the number of comparisons. Raises RowsMismatch.

    `vertices`: random vertices at which everything is compared, besides those in `also` and each row at its worst.
    """
    check = _Check(found, board)
    groups = list(_groups(found))
    by_row = {r: g for g in groups for r in g.rows}
    random = Random(seed)  # noqa: S311  (vertices, not secrets)
    for r, source in enumerate(found.sources):
        check.turns(by_row[r], r)
        check.group(by_row[r], worst_vertex(source, board, random))
    for x in (*also, *(random_vertex(board, random) for _ in range(vertices))):
        for group in groups:
            check.group(group, x)
    return check.count


def _groups(found: RowSet) -> Iterator[_Group]:
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    clauses: dict[tuple[str, str], list[int]] = defaultdict(list)
    for r, source in enumerate(found.sources):
        rows[source.rule.id, source.subject.key].append(r)
    for c, (rule, subject) in enumerate(found.clause_sources):
        clauses[rule.id, subject.key].append(c)
    left = {(r.rule, r.subject) for r in found.left_to_orders}
    for rule, subject in found.judged:
        key = (rule.id, subject.key)
        if key not in left and subject.key:
            yield _Group(rule, subject, tuple(rows[key]), tuple(clauses[key]))


class _Check:
    """Evaluates states; keeps the projection of the last vertex."""

    def __init__(self, found: RowSet, board: Board) -> None:
        self.found, self.board, self.count = found, board, 0
        self._seen: tuple[Vertex, Projection, dict[tuple[str, str], Fraction]] | None = None

    def group(self, group: _Group, x: Vertex) -> None:
        """Compare one rule and subject at one vertex."""
        self.count += 1
        at = self._at(group.subject, x)
        by_rows = self._by_rows(group, x)
        by_rule = True if at is None else self._by_rule(group, at, x)
        if by_rule is not None and by_rows != by_rule:
            raise RowsMismatch(group.rule.id, group.subject.key, _words(by_rows, by_rule))
        for r in group.rows:
            self._limit(group, r, x)
            if at is not None:
                self._excess(group, self.found.sources[r], at, x)

    def turns(self, group: _Group, r: int) -> None:
        """Compare each name's part of a row by itself where pieces begin and end: a late break shows nowhere else."""
        source = self.found.sources[r]
        for name, function in self.found.rows[r].functions:
            part, (low, high) = source.atom.sum.parts[name], self.board.domains[name]
            lot, rest = unit_of(self.board, name)
            held = self.board.candidates[name].held
            starts = {*function.breaks, *(-((rest - first) // lot) for first in part.starts)}
            for u in (u for start in starts for u in (start - 1, start) if low <= lot * u + rest <= high):
                change = part(lot * u + rest) - part(held)
                if function.value(u) - function.value((held - rest) // lot) != source.scale * change:
                    raise RowsMismatch(group.rule.id, group.subject.key, _NOT_EXACT)

    def _state(self, x: Vertex) -> tuple[Projection, dict[tuple[str, str], Fraction]]:
        if self._seen is None or self._seen[0] != x:
            orders = self.board.orders_at(x)
            old = self.board.projection
            seen = project(old.snapshot, old.vocabulary, old.account, orders)
            self._seen = (x, seen, fills_at(self.board, orders, x))
        return self._seen[1], self._seen[2]

    def _at(self, subject: Subject, x: Vertex) -> Point | None:
        """Where the rule is read in this state; None when its subject does not exist in it."""
        projection, fills = self._state(x)
        here = {
            "position": lambda: projection.positions.get(subject.key),
            "order": lambda: next((o for o in projection.orders if o["order.id"] == subject.key), None),
        }
        if subject.entity in here:
            facts = here[subject.entity]()
            if facts is None:
                return None
            subject = Subject(subject.entity, subject.key, facts)
        return Point(projection, (account_subject(projection), subject), fills, self.board.derived)

    def _by_rows(self, group: _Group, x: Vertex) -> bool:
        rows, clauses = self.found.rows, self.found.clauses
        held = {r: self._row_holds(r, x) for r in group.rows}
        return all(held[r] for r in group.rows if rows[r].asserted) and all(
            any(all(held[r] for r in option) for option in clauses[c].alternatives) for c in group.clauses
        )

    def _row_holds(self, r: int, x: Vertex) -> bool:
        return self._total(r, x) <= self.found.rows[r].limit

    def _limit(self, group: _Group, r: int, x: Vertex) -> None:
        """Away from its limit a row one unit off still holds where the rule does: so its limit is worked out here."""
        source = self.found.sources[r]
        exact = self._total(r, x) - source.scale * source.atom.sum.value(x)
        admitted = ceil(exact) - 1 if source.atom.strict else floor(exact)
        if self.found.rows[r].limit != admitted:
            raise RowsMismatch(group.rule.id, group.subject.key, _NOT_EXACT)

    def _total(self, r: int, x: Vertex) -> int:
        row, board = self.found.rows[r], self.board
        total = 0
        for name, function in row.functions:
            lot, rest = unit_of(board, name)
            total += function.value((x[name] - rest) // lot)
        count = len(board.candidates)
        return total + sum(c * x[count + k] for k, c in row.working)

    def _by_rule(self, group: _Group, at: Point, x: Vertex) -> bool | None:
        rule = group.rule
        assert rule.require is not None
        try:
            if rule.when is not None and not value(rule.when, at):
                return True
            if value(rule.require, at):
                return True
        except MissingFactError:
            if Phase.REBALANCE in rule.phases and not rule.fail_if_missing:
                return None
        # A pre-trade rule does not speak of what is not traded.
        return None if Phase.REBALANCE not in rule.phases and self._untouched(group.subject, x) else False

    def _untouched(self, subject: Subject, x: Vertex) -> bool:
        return all(x[i] == self.board.candidates[i].held for i in names_under(subject, self.board))

    def _excess(self, group: _Group, source: Source, at: Point, x: Vertex) -> None:
        part = source.part
        if not is_measured(part) or not isinstance(part, Compare) or not source.direct:
            return
        if source.atom.sum.value(x) != excess(part, at):
            raise RowsMismatch(group.rule.id, group.subject.key, "the row's excess is not the rule's")


def _words(by_rows: bool, by_rule: bool) -> str:
    names = {True: "hold", False: "break"}
    return f"its rows {names[by_rows]} in a state where the rule, evaluated, would {names[by_rule]}"


def fills_at(board: Board, orders: Sequence[Facts], x: Vertex) -> dict[tuple[str, str], Fraction]:
    """Every candidate order filled whole, every working order as far as `x` says."""
    fills = {("order", str(o["order.id"])): Fraction(o["order.quantity"]) for o in orders}  # type: ignore[arg-type]
    count = len(board.candidates)
    for k, order_id in enumerate(board.working):
        fills["working_order", order_id] = Fraction(abs(x[count + k]))
    return fills


def worst_vertex(source: Source, board: Board, random: Random) -> Vertex:
    """Where a row is greatest; what does not enter stands at random, or still where few names enter."""
    x = board.held() if len(source.atom.sum.parts) <= FEW else random_vertex(board, random)
    for v, function in source.atom.sum.parts.items():
        if v < len(board.candidates) and not board.working_of(v):
            x[v] = _on_lot(board, v, function.greatest()[1])
    return x


def random_vertex(board: Board, random: Random) -> Vertex:
    """Each name at an end of its reach, where it is, or somewhere between; working orders whole or not at all."""
    x = board.held()
    for i, c in enumerate(board.candidates):
        low, high = board.domains[i]
        if not board.working_of(i):
            x[i] = _on_lot(board, i, random.choice((low, high, c.held, random.randint(low, high))))
    for k, quantity in enumerate(board.quantities):
        filled = random.choice((0, quantity))
        x[len(board.candidates) + k] = filled
        x[board.names_of_working[k]] += filled
    return x


def _on_lot(board: Board, name: int, x: int) -> int:
    """The nearest holding at or towards the present one that whole lots reach, within reach."""
    lot, rest = unit_of(board, name)
    held = board.candidates[name].held
    steps = abs(x - held) // lot
    moved = held + steps * lot * (1 if x > held else -1)
    return moved if moved % lot == rest else held
