"""Splits trades into waves such that every reachable fill state is safe.

In: a `RowTable` and the wanted end holdings. Out: a `Plan`: waves, the holdings they end at, and the names
whose orders had to be left out. Guaranteed, exactly: in every wave every asserted row holds in every
fill state (a breach from before may remain where the row is passive) and one alternative of each clause
holds throughout. Refused: `UnsafeStartError` where the state before the first order is not safe;
`UnsafePathError` where no first wave is. Why waves: a list that is fine at its end is almost never fine on
every way there; sells before buys costs nothing at the end. Before: `lots.py`. After: `solve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from lexorder.engine.certificate import Clause, Order, Wave
from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.refusals import UnsafePathError, UnsafeStartError
from lexorder.optimizers.rowtable import RowTable

CHOICES_MAX = 16
"""Combinations of clause alternatives tried for one wave."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Waves, the holdings after the last (units, shape (N,)), and indexes of names not fully traded."""

    waves: tuple[Wave, ...]
    holdings: Ints
    trimmed: tuple[int, ...]


def plan(rows: RowTable, target: Ints, *, waves_max: int) -> Plan:
    """Return waves from the present holdings to `target` (shape (N,), units).

    One wave if that is safe, else sells then buys, else as many as it takes, up to `waves_max`, whole orders
    first and parts of orders where nothing else fits. Refused: see the module.
    """
    check_start(rows)
    for steps in _simple(rows, target):
        if len(steps) <= waves_max and _all_safe(rows, steps):
            return Plan(_orders(rows.held, steps), target, ())
    return _step_by_step(rows, target, waves_max)


def check_start(rows: RowTable) -> None:
    """Refuse, by `UnsafeStartError`, a start at which the first wave could not be safe."""
    worst = rows.start
    broken = np.flatnonzero(rows.asserted & (worst > rows.tolerated).astype(bool)).tolist()
    ids = [rows.problem.rows[r].id for r in broken]
    ids += [c.id for c in rows.problem.clauses if not _clause_safe(rows, c, worst)]
    if ids:
        raise UnsafeStartError(tuple(ids))


def _clause_safe(rows: RowTable, clause: Clause, worst: Ints) -> bool:
    """One alternative holds, or no row of any became worse than a passive breach may stay."""
    within = (worst <= rows.limit).astype(bool)
    if any(within[list(alternative)].all() for alternative in clause.alternatives):
        return True
    kept = (worst <= rows.tolerated).astype(bool)
    return all(kept[list(alternative)].all() for alternative in clause.alternatives)


def _simple(rows: RowTable, target: Ints) -> Iterator[list[Ints]]:
    """The holdings after each wave, for the usual orders of waves."""
    if not (target != rows.held).any():
        yield []
        return
    yield [target]
    yield [np.minimum(rows.held, target), target]
    yield [np.maximum(rows.held, target), target]


def _all_safe(rows: RowTable, steps: list[Ints]) -> bool:
    ends = [rows.held, *steps]
    moves = zip(ends, steps, strict=False)
    return all(safe(rows, np.minimum(a, b), np.maximum(a, b)) for a, b in moves)


def safe(rows: RowTable, low: Ints, high: Ints) -> bool:
    """Return whether every asserted row and clause holds in every state of the box; exact.

    `low`, `high`: shape (N,), units.
    """
    worst = rows.worst(low, high)
    if not (worst <= rows.tolerated).astype(bool)[rows.asserted].all():
        return False
    return all(_clause_safe(rows, clause, worst) for clause in rows.problem.clauses)


def _orders(held: Ints, steps: list[Ints]) -> tuple[Wave, ...]:
    waves = []
    for before, after in zip([held, *steps], steps, strict=False):
        quantity = (after - before).tolist()
        waves.append(tuple(Order(n, q) for n, q in enumerate(quantity) if q))
    return tuple(wave for wave in waves if wave)


def _step_by_step(rows: RowTable, target: Ints, waves_max: int) -> Plan:
    here, steps = rows.held, list[Ints]()
    while len(steps) < waves_max and (here != target).any():
        after = _next(rows, here, target)
        if after is None:
            break
        steps.append(after)
        here = after
    left = np.flatnonzero((here != target).astype(bool)).tolist()
    if left and not steps:
        names = tuple(rows.problem.names[n].id for n in left)
        raise UnsafePathError(names, _in_the_way(rows, here, target))
    return Plan(_orders(rows.held, steps), here, tuple(left))


def _in_the_way(rows: RowTable, here: Ints, target: Ints) -> tuple[str, ...]:
    worst = rows.worst(np.minimum(here, target), np.maximum(here, target))
    over = rows.asserted & (worst > rows.tolerated).astype(bool)
    ids = [rows.problem.rows[r].id for r in np.flatnonzero(over).tolist()]
    return tuple(ids) or tuple(clause.id for clause in rows.problem.clauses)


def _next(rows: RowTable, here: Ints, target: Ints) -> Ints | None:
    """The holdings after the next safe wave, or None where nothing can move."""
    for guarded in islice(_guards(rows, here, target), CHOICES_MAX):
        after = _fill(rows, here, target, guarded)
        if (after != here).any() and safe(rows, np.minimum(here, after), np.maximum(here, after)):
            return after
    return None


def _guards(rows: RowTable, here: Ints, target: Ints) -> Iterator[dict[int, int]]:
    """Rows to keep during a wave, with their limits: asserted ones and one alternative per clause.

    Alternatives that also hold at the target come first.
    """
    asserted = {int(r): int(rows.tolerated[r]) for r in np.flatnonzero(rows.asserted)}
    now = (rows.totals(here) <= rows.limit).astype(bool)
    then = (rows.totals(target) <= rows.limit).astype(bool)
    choices = []
    for clause in rows.problem.clauses:
        holding = [a for a in clause.alternatives if now[list(a)].all()]
        holding.sort(key=lambda a: not then[list(a)].all())
        strict = [{r: int(rows.limit[r]) for r in a} for a in holding]
        # A clause broken from before must keep every row of every alternative from getting worse.
        every = {r for a in clause.alternatives for r in a}
        choices.append(strict or [{r: int(rows.tolerated[r]) for r in every}])
    for chosen in product(*choices):
        guarded = dict(asserted)
        for row, limit in (item for alternative in chosen for item in alternative.items()):
            guarded[row] = min(guarded.get(row, limit), limit)
        yield guarded


def _fill(rows: RowTable, here: Ints, target: Ints, guarded: dict[int, int]) -> Ints:
    """Take orders while their worst cases fit: those that use up no limit first, parts last."""
    now = rows.totals(here)
    slack = {row: limit - int(now[row]) for row, limit in guarded.items()}
    columns = _columns(rows, here, target, guarded)
    after = here.copy()
    for partly in (False, True):
        for name in sorted(columns, key=lambda n: _appetite(rows, columns[n], here, target, slack)):
            move = int(target[name] - here[name])
            if after[name] != here[name]:
                continue
            fitting = _most(rows, columns[name], int(here[name]), move, slack, partly=partly)
            if fitting:
                after[name] = here[name] + fitting
                for row, entry in columns[name]:
                    slack[row] -= _rise(rows, entry, int(here[name]), fitting)
    return after


def _columns(rows: RowTable, here: Ints, target: Ints, guarded: dict[int, int]) -> dict[int, list[tuple[int, int]]]:
    """For each name still to trade, the `(row, entry)` pairs that are guarded."""
    names = np.flatnonzero((here != target).astype(bool)).tolist()
    columns: dict[int, list[tuple[int, int]]] = {name: [] for name in names}
    table = rows.table
    for entry, (row, name) in enumerate(zip(table.row.tolist(), table.name.tolist(), strict=True)):
        if name in columns and row in guarded:
            columns[name].append((row, entry))
    return columns


def _rise(rows: RowTable, entry: int, start: int, move: int) -> int:
    """How far an entry can rise above its present value while an order fills; at least 0."""
    function = rows.table.functions[entry]
    low, high = min(start, start + move), max(start, start + move)
    return function.maximum(low, high) - function.value(start)


def _appetite(
    rows: RowTable,
    column: list[tuple[int, int]],
    here: Ints,
    target: Ints,
    slack: dict[int, int],
) -> float:
    """The largest share of a row's room that the whole order needs; 0 for orders that need none."""
    shares = [0.0]
    for row, entry in column:
        name = int(rows.table.name[entry])
        rise = _rise(rows, entry, int(here[name]), int(target[name] - here[name]))
        if rise > 0:
            shares.append(rise / max(slack[row], 1))
    return max(shares)


def _most(
    rows: RowTable,
    column: list[tuple[int, int]],
    start: int,
    move: int,
    slack: dict[int, int],
    *,
    partly: bool,
) -> int:
    """The whole move where it fits, else (if `partly`) the largest part of it that does, else 0."""

    def fits(part: int) -> bool:
        return all(_rise(rows, entry, start, part) <= slack[row] for row, entry in column)

    if fits(move):
        return move
    if not partly:
        return 0
    sign = 1 if move > 0 else -1
    inside, outside = 0, abs(move)
    while outside - inside > 1:  # the worst case only grows with the part
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if fits(sign * middle) else (inside, middle)
    return sign * inside
