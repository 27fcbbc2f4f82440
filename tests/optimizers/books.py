"""Books to test with: realistic ones of any size, and small odd ones that can be enumerated."""

from __future__ import annotations

import random
from itertools import product

import numpy as np

from lexorder.engine.certificate import (
    Clause,
    Function,
    Name,
    Objective,
    Problem,
    Row,
    Working,
)
from lexorder.optimizers.objective import Book, mean_variance
from lexorder.optimizers.risk_models import FactorModel

NAV = 10**12
"""One hundred million in units of 10**-4."""


def realistic(count: int, seed: int, *, turnover: int = 30, cap: float = 0.05) -> Problem:
    """A long-only book: name, sector, cash, invested and turnover rows, mean-variance with costs.

    `turnover`: percent of NAV. `cap`: share of NAV for each name.
    """
    rng = np.random.default_rng(seed)
    marks = [int(v) for v in rng.integers(50_000, 5_000_000, count)]
    weights = rng.dirichlet(np.ones(count)) * 0.95
    held = [int(w * NAV / m) for w, m in zip(weights, marks, strict=True)]
    factors = max(2, min(20, count // 5))
    loadings = rng.normal(size=(factors, count)) * 0.05 * rng.uniform(0.2, 1, (factors, 1))
    model = FactorModel(loadings, rng.uniform(0.01, 0.09, count))
    expected = rng.normal(size=count) * 0.05 + 0.05
    objective = mean_variance(Book(marks, NAV, held), expected, model, risk_aversion=6.0, buy_cost=8e-4, sell_cost=8e-4)
    top = max(cap, 2.5 / count)
    names = tuple(
        Name(f"N{i}", h, 0, int(2 * top * NAV / m) + h + 1) for i, (h, m) in enumerate(zip(held, marks, strict=True))
    )
    sectors = rng.integers(0, 11, count)
    rows = [*_name_rows(marks, top), *_sector_rows(marks, sectors), *_book_rows(marks, held, turnover)]
    return Problem(names, (), tuple(rows), (), objective)


def _name_rows(marks: list[int], top: float) -> list[Row]:
    limit = int(top * 10**4) * NAV
    return [Row(f"cap/N{i}", limit, ((i, Function.linear(m * 10**4)),), passive=True) for i, m in enumerate(marks)]


def _sector_rows(marks: list[int], sectors: np.ndarray) -> list[Row]:
    rows = []
    for sector in sorted(set(sectors.tolist())):
        inside = np.flatnonzero(sectors == sector).tolist()
        terms = tuple((i, Function.linear(marks[i] * 100)) for i in inside)
        rows.append(Row(f"sector/{sector}", NAV * 22, terms, passive=True))
    return rows


def _book_rows(marks: list[int], held: list[int], turnover: int) -> list[Row]:
    pairs = list(enumerate(zip(marks, held, strict=True)))
    spent = tuple((i, Function.linear(m * 10**4).plus(Function.around(h, 8 * m, 8 * m))) for i, (m, h) in pairs)
    return [
        Row("cash", NAV * 10**4, spent),
        Row("invested", -NAV * 90, tuple((i, Function.linear(-m * 100)) for i, (m, _) in pairs), passive=True),
        Row("turnover", NAV * turnover, tuple((i, Function.absolute(m * 100, h)) for i, (m, h) in pairs)),
    ]


def conditional(count: int, seed: int, *, pairs: int = 8) -> Problem:
    """A realistic book with thresholds (5/10/40), pairs that exclude each other and combined limits."""
    rng = random.Random(seed)
    bare = realistic(count, seed, turnover=100, cap=0.10)
    marks = [-row.functions[0][1].polys[0][1] for row in bare.rows if row.id.startswith("cap/")]
    marks = [-m // 10**4 for m in marks]
    # Above 5% of NAV a name counts in full, below not at all: at most 40% in such names.
    large = tuple((i, Function.threshold(-(-NAV // (20 * m)), (0, 0, 0), (0, m * 100, 0))) for i, m in enumerate(marks))
    rows = [*bare.rows, Row("5/10/40", NAV * 40, large, passive=True)]
    clauses = []
    for index in range(pairs):
        left, right = rng.sample(range(count), 2)
        rows += [_none(index, left), _none(index, right)]
        clauses.append(Clause(f"not-both/{index}", ((len(rows) - 2,), (len(rows) - 1,))))
        first, second = rng.sample(range(count), 2)
        both = ((first, Function.linear(marks[first] * 100)), (second, Function.linear(marks[second] * 100)))
        rows.append(Row(f"pair/{index}", NAV * 8, tuple(sorted(both, key=lambda t: t[0])), passive=True))
    return Problem(bare.names, (), tuple(rows), tuple(clauses), bare.objective)


def _none(index: int, name: int) -> Row:
    held = ((name, Function.linear(1)),)
    return Row(f"none/{index}/{name}", 0, held, asserted=False, passive=True)


def small(
    rng: random.Random,
    *,
    names: int = 3,
    rows: int = 3,
    span: int = 4,
    clauses: int = 0,
    working: bool = False,
    convex: bool = False,
) -> Problem:
    """A random problem whose box can be enumerated; half of the limits sit exactly on a value."""
    parts, orders = [], []
    for index in range(names):
        low = rng.randint(-span, 1)
        high = rng.randint(low, low + span)
        held = rng.randint(low, high)
        if working and rng.random() < 0.3:
            low = high = held
            orders.append(Working(index, rng.choice([-3, -1, 1, 2])))
        parts.append(Name(f"n{index}", held, low, high))
    bare = Problem(tuple(parts), tuple(orders))
    made = [_small_row(rng, bare, index, convex=convex) for index in range(rows)]
    cases = [_small_clause(rng, index, rows) for index in range(clauses)]
    loose = {r for c in cases for a in c.alternatives for r in a}
    made = [_loosened(row) if r in loose else row for r, row in enumerate(made)]
    return Problem(bare.names, bare.working, tuple(made), tuple(cases), _small_goal(rng, parts))


def _small_function(rng: random.Random, held: int, *, convex: bool) -> Function:
    kind = rng.random()
    slope = rng.randint(-9, 9)
    if kind < 0.5:
        return Function.linear(slope, rng.randint(-3, 3))
    if kind < 0.7:
        return Function.around(held, rng.randint(0, 5), rng.randint(0, 5)).plus(Function.linear(slope))
    if kind < 0.8:
        return Function.absolute(rng.randint(1, 5))
    if kind < 0.88 or convex:
        return Function.quadratic(rng.randint(1, 3), slope)
    at = rng.randint(-3, 3)
    return Function.threshold(at, (0, rng.randint(-2, 2), 0), (0, slope, rng.choice([0, 0, 1])))


def _small_row(rng: random.Random, problem: Problem, index: int, *, convex: bool) -> Row:
    chosen = rng.sample(range(len(problem.names)), rng.randint(1, len(problem.names)))
    held = [n.held for n in problem.names]
    terms = tuple((n, _small_function(rng, held[n], convex=convex)) for n in sorted(chosen))
    loose = [k for k, w in enumerate(problem.working) if w.name not in chosen]
    fills = tuple((k, rng.randint(-3, 3)) for k in loose if rng.random() < 0.5)
    row = Row(f"row{index}", 0, terms, fills, passive=rng.random() < 0.5)
    point = [rng.randint(n.lower, n.upper) for n in problem.names]
    limit = problem.worst(row, problem.box(point)) + rng.choice([0, 0, 1, -1, 5, -4])
    return Row(row.id, limit, row.functions, row.working, passive=row.passive)


def _small_clause(rng: random.Random, index: int, rows: int) -> Clause:
    alternatives = tuple(tuple(rng.sample(range(rows), rng.randint(1, min(2, rows)))) for _ in range(rng.randint(2, 3)))
    return Clause(f"clause{index}", alternatives)


def _loosened(row: Row) -> Row:
    return Row(row.id, row.limit, row.functions, row.working, asserted=False)


def _small_goal(rng: random.Random, names: list[Name]) -> Objective:
    functions = tuple(
        (
            i,
            Function.quadratic(rng.randint(0, 3), rng.randint(-9, 9)).plus(
                Function.absolute(rng.randint(0, 3), n.held)
            ),
        )
        for i, n in enumerate(names)
    )
    return Objective("1", functions)


def points(problem: Problem) -> list[tuple[int, ...]]:
    """Every whole holding of the box."""
    return list(product(*(range(n.lower, n.upper + 1) for n in problem.names)))


def meets(problem: Problem, holdings: tuple[int, ...]) -> bool:
    """Whether `holdings` meet all asserted rows and clauses at their limits (the plain meaning)."""
    box = problem.box(holdings)
    within = [problem.worst(row, box) <= row.limit for row in problem.rows]
    asserted = all(ok for ok, row in zip(within, problem.rows, strict=True) if row.asserted)
    clauses = (any(all(within[r] for r in a) for a in c.alternatives) for c in problem.clauses)
    return asserted and all(clauses)
