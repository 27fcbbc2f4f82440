"""Proves that no whole-unit holdings meet a set of rows and clauses, and finds a minimal such set.

In: a `RowTable`. Out: the certificate's `Infeasible` claim (multipliers, splits, clause cases), whole
holdings that meet everything where the search meets some, or None when the budget ends. Guaranteed: each
leaf was checked in exact integers, so a feasible problem is never called infeasible; "minimal" means that
without any one row or clause of the set no proof was found. Refused: nothing.
Why a linear program that minimises the largest violation: it is always solvable, so its duals are
always there (a dual ray depends on how presolve ended), and being a vertex they are few. Multipliers are rounded to
simple ratios first: two rows that miss each other by one unit need exactly equal weights.
Before: `milp.py`, `lagrangian.py`. After: `relax.py`, `solve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import Cases, Infeasible, Leaf, Split, Tree
from lexorder.optimizers.functiontable import Ints, from_floats
from lexorder.optimizers.highs import Floats
from lexorder.optimizers.lagrangian import refutes
from lexorder.optimizers.lots import accepts
from lexorder.optimizers.milp import RowProgram, Scope
from lexorder.optimizers.refusals import ProposalError
from lexorder.optimizers.rowtable import RowTable

NODES_MAX = 400
"""Boxes looked at in one proof."""

DEPTH_MAX = 100
"""The verifier follows trees to 200; clause cases and splits share that."""

RATIOS = (1, 12, 1000, 10**6)
"""Largest denominators of the ratios between multipliers that are tried, simplest first."""


class FoundHoldings(Exception):  # noqa: N818  (ends a proof: there is nothing to prove)
    """The search met whole holdings that satisfy everything; `holdings`: shape (N,), units."""

    def __init__(self, holdings: Ints) -> None:
        super().__init__("whole holdings found")
        self.holdings = holdings


class _Exhausted(Exception):  # noqa: N818
    """The node or depth budget ended."""


@dataclass
class _Budget:
    """Nodes left, and seconds for each linear program."""

    seconds: float
    nodes: int = NODES_MAX

    def spend(self) -> None:
        self.nodes -= 1
        if self.nodes < 0:
            raise _Exhausted


@dataclass(frozen=True)
class _Node:
    """A box with the rows that may be used in it and the clauses not yet split."""

    scope: Scope
    depth: int = 0
    open: tuple[int, ...] = field(default=())

    def child(self, **changes: object) -> _Node:
        return replace(self, depth=self.depth + 1, **changes)  # type: ignore[arg-type]


def prove(
    rows: RowTable,
    wanted: NDArray[np.bool_],
    clauses: tuple[int, ...],
    *,
    seconds: float,
    nodes: int = NODES_MAX,
) -> Infeasible | None:
    """Return a claim that the `wanted` rows (shape (R,)) and `clauses` exclude each other.

    Over the names' own bounds, at the rows' own limits. None where the budget ended first. Raises
    `FoundHoldings` where the search meets holdings that satisfy them all: the opposite is true.
    """
    usable = wanted & _unmixed(rows)
    scope = Scope(rows.lower, rows.upper, rows.limit, usable, clauses)
    budget = _Budget(seconds, nodes)
    try:
        tree = _refute(rows, _Node(scope, open=clauses), budget, Scope(
            rows.lower, rows.upper, rows.limit, wanted, clauses))  # fmt: skip
    except (_Exhausted, ProposalError):
        return None
    used, split = _used(tree)
    asserted = tuple(sorted(r for r in used if usable[r]))
    return Infeasible(asserted, tuple(sorted(split)), tree)


def _unmixed(rows: RowTable) -> NDArray[np.bool_]:
    return np.array([not rows.problem.mixed(row) for row in rows.problem.rows], dtype=bool)


def _used(tree: Tree) -> tuple[set[int], set[int]]:
    """Rows and clauses a tree relies on."""
    if isinstance(tree, Leaf):
        return {row for row, _ in tree.multipliers}, set()
    parts = tree.cases if isinstance(tree, Cases) else (tree.low, tree.high)
    found = [_used(part) for part in parts]
    clauses = {tree.clause} if isinstance(tree, Cases) else set()
    return set().union(*(r for r, _ in found)), clauses.union(*(c for _, c in found))


def _refute(rows: RowTable, node: _Node, budget: _Budget, whole: Scope) -> Tree:
    budget.spend()
    if node.depth > DEPTH_MAX:
        raise _Exhausted
    scope = node.scope
    single = _single_row(rows, scope)
    if single is not None:
        return Leaf(((single, 1),))
    duals, near = _least_violation(rows, scope, budget.seconds)
    for multipliers in _ratios(duals):
        if refutes(rows, multipliers, scope.low, scope.high):
            return Leaf(_fewest(rows, multipliers, scope))
    nearest = np.clip(from_floats(np.rint(near)), scope.low, scope.high)
    if accepts(rows, whole, nearest):
        raise FoundHoldings(nearest)
    if node.open:
        return _cases(rows, node, budget, whole)
    return _split(rows, node, budget, whole, near)


def _single_row(rows: RowTable, scope: Scope) -> int | None:
    least = rows.constant + rows.table.sums(rows.table.minima(scope.low, scope.high), rows.count)
    alone = np.flatnonzero(scope.wanted & (least > rows.limit).astype(bool))
    return int(alone[0]) if len(alone) else None


def _least_violation(rows: RowTable, scope: Scope, seconds: float) -> tuple[Floats, Floats]:
    """Duals per row (shape (R,), row units) and the place of the least largest violation."""
    program = RowProgram(rows, replace(scope, clauses=()), whole=False)
    (slack,) = program.program.columns(-1.0, np.inf, cost=1.0)
    added = program.assert_rows(slack=int(slack))
    answer = program.solve(seconds=seconds)
    duals = np.zeros(rows.count)
    chosen = np.flatnonzero(scope.wanted)
    duals[chosen] = np.maximum(-answer.duals[added], 0.0) / program.scale[chosen]
    return duals, answer.values[program.x]


def _ratios(duals: Floats) -> Iterator[dict[int, int]]:
    """Integer multipliers near `duals`: simple ratios to the largest first, then twelve digits."""
    top = float(duals.max(initial=0.0))
    if top <= 0:
        return
    chosen = np.flatnonzero(duals > 1e-12 * top).tolist()
    shares = {r: float(duals[r]) / top for r in chosen}
    for most in RATIOS:
        # A ratio may as well be far below 1: bring it above 1 before it is simplified.
        simple = {r: _simplest(share, most) for r, share in shares.items()}
        common = lcm(*(share.denominator for share in simple.values()))
        yield {r: int(share * common) for r, share in simple.items() if share > 0}
    yield {r: max(1, round(share * 10**12)) for r, share in shares.items()}


def _simplest(share: float, most: int) -> Fraction:
    if share >= 1 / most:
        return Fraction(share).limit_denominator(most)
    return 1 / Fraction(1 / share).limit_denominator(most)


def _fewest(rows: RowTable, multipliers: dict[int, int], scope: Scope) -> tuple[tuple[int, int], ...]:
    """Drop multipliers the refutation does not need, smallest first."""
    kept = dict(multipliers)
    for row in sorted(multipliers, key=lambda r: multipliers[r]):
        rest = {r: m for r, m in kept.items() if r != row}
        if rest and len(kept) <= 12 and refutes(rows, rest, scope.low, scope.high):
            kept = rest
    return tuple(sorted(kept.items()))


def _cases(rows: RowTable, node: _Node, budget: _Budget, whole: Scope) -> Tree:
    clause, *left = node.open
    trees = []
    for alternative in rows.problem.clauses[clause].alternatives:
        wanted = node.scope.wanted.copy()
        wanted[list(alternative)] = True
        wanted &= _unmixed(rows)
        case = node.child(scope=replace(node.scope, wanted=wanted), open=tuple(left))
        trees.append(_refute(rows, case, budget, whole))
    unneeded = [t for t, a in zip(trees, rows.problem.clauses[clause].alternatives, strict=True)
                if not set(a) & _used(t)[0]]  # fmt: skip
    # A case refuted without its own rows refutes the box: the clause is not needed.
    return unneeded[0] if unneeded else Cases(clause, tuple(trees))


def _split(rows: RowTable, node: _Node, budget: _Budget, whole: Scope, near: Floats) -> Tree:
    scope = node.scope
    name, at = _where(rows, scope, near)
    low, high = scope.high.copy(), scope.low.copy()
    low[name], high[name] = at, at + 1
    below = _refute(rows, node.child(scope=replace(scope, high=low)), budget, whole)
    above = _refute(rows, node.child(scope=replace(scope, low=high)), budget, whole)
    return Split(name, at, below, above)


def _where(rows: RowTable, scope: Scope, near: Floats) -> tuple[int, int]:
    """Where to cut the box: at a jump of a function, else at the most fractional holding."""
    table = rows.table
    for kink in table.kinks:
        used = scope.wanted[table.row[kink.entry]]
        names = table.name[kink.entry]
        inside = used & (scope.low[names] < kink.at) & (kink.at <= scope.high[names])
        found = np.flatnonzero((inside & ~kink.convex).astype(bool))
        if len(found):
            return int(names[found[0]]), int(kink.at[found[0]]) - 1
    width = (scope.high - scope.low).astype(float)
    away = np.abs(near - np.rint(near))
    if away.max() > 1e-6:
        name = int(away.argmax())
        at = int(np.floor(near[name]))
    else:
        name = int(width.argmax())
        at = (int(scope.low[name]) + int(scope.high[name])) // 2
    return name, min(max(at, int(scope.low[name])), int(scope.high[name]) - 1)


def minimal(rows: RowTable, claim: Infeasible, *, seconds: float) -> Infeasible:
    """Return a claim on a minimal part of `claim`'s rows and clauses (deletion filter).

    Each row and clause is left out in turn; where the rest is still refuted, it stays out.
    """
    for kind, index in [("row", r) for r in claim.rows] + [("clause", c) for c in claim.clauses]:
        if index not in (claim.rows if kind == "row" else claim.clauses):
            continue
        shorter = _without(rows, claim, kind, index, seconds)
        claim = shorter or claim
    return claim


def _without(rows: RowTable, claim: Infeasible, kind: str, index: int, seconds: float) -> Infeasible | None:
    wanted = np.zeros(rows.count, dtype=bool)
    wanted[[r for r in claim.rows if kind != "row" or r != index]] = True
    clauses = tuple(c for c in claim.clauses if kind != "clause" or c != index)
    if not wanted.any() and not clauses:
        return None
    try:
        return prove(rows, wanted, clauses, seconds=seconds, nodes=NODES_MAX // 4)
    except FoundHoldings:
        return None
