"""Small random problems with honest certificates, found by plain search.

In: a seed. Out: a `Problem`, waves, and claims that a brute force over all states confirms or that a
little prover derives. Limits sit on, or one unit beside, the worst value that is reached: that is where
mistakes show. Boxes are tiny, so that `truth.py` can look at every state.
"""

from __future__ import annotations

import random
from itertools import combinations, product

from lexorder.engine.certificate import (
    Bound,
    Cases,
    Certificate,
    Claim,
    Clause,
    End,
    Factor,
    Function,
    Infeasible,
    Leaf,
    Multipliers,
    Name,
    Objective,
    Order,
    Problem,
    Row,
    Safe,
    Split,
    Tree,
    Wave,
    Working,
    total,
)
from tests.certificate.truth import Truth

RULEBOOK, SNAPSHOT = "ab" * 32, "cd" * 32

Box = dict[int, tuple[int, int]]


def some_function(rng: random.Random, held: int) -> Function:
    """One of the shapes that rules lower to: linear, curved, cost, distance, threshold, or a sum; or a
    spike, which is greatest inside an interval, where only a break tells.
    """
    at = rng.randint(-3, 4)
    shapes = [
        Function.linear(rng.randint(-3, 3), rng.randint(-4, 4)),
        Function.quadratic(rng.randint(0, 2), rng.randint(-3, 3)),
        Function.quadratic(rng.randint(2, 4), rng.randint(-15, 15)),
        spike(rng, held),
        Function.around(held, rng.randint(0, 3), rng.randint(0, 3)),
        Function.absolute(rng.randint(1, 3), at),
        Function.threshold(at, (0, 0, 0), (rng.randint(-2, 3), rng.randint(-2, 2), rng.randint(0, 1))),
    ]
    chosen = rng.choice(shapes)
    return chosen.plus(rng.choice(shapes)) if rng.random() < 0.3 else chosen


def spike(rng: random.Random, held: int) -> Function:
    """A flat function with an odd piece near `held`, one to three holdings wide, level or sloped."""
    at, slope = held + rng.randint(-3, 2), rng.choice([-2, -1, 0, 1, 2])
    return Function((at, at + rng.randint(1, 3)), ((0, 0, 0), (rng.randint(3, 9) - slope * at, slope, 0), (0, 0, 0)))


def some_names(rng: random.Random) -> tuple[tuple[Name, ...], tuple[Working, ...]]:
    count = rng.randint(2, 3)
    working = tuple(Working(0, rng.choice([-2, -1, 1, 2])) for _ in range(rng.choice([0, 0, 1, 2])))
    names = []
    for n in range(count):
        held = rng.randint(-2, 3)
        most = 3 if n == 1 else 2
        room = (0, 0) if n == 0 and working else (rng.randint(0, most), rng.randint(0, most))
        names.append(Name(f"N{n}", held, held - room[0], held + room[1]))
    return tuple(names), working


def some_waves(rng: random.Random, names: tuple[Name, ...], working: tuple[Working, ...]) -> tuple[Wave, ...]:
    """Up to two waves of orders that stay within the bounds and go one way."""
    waves: list[list[Order]] = [[], []]
    for n, name in enumerate(names):
        target = rng.randint(name.lower, name.upper)
        move = target - name.held
        if move and not any(order.name == n for order in working):
            first = rng.choice([move, 0, move // 2 if move > 0 else -(-move // 2)])
            for wave, quantity in zip(waves, (first, move - first), strict=True):
                if quantity:
                    wave.append(Order(n, quantity))
    return tuple(tuple(wave) for wave in waves if wave)


def some_row(rng: random.Random, r: int, names: tuple[Name, ...], working: int, *, mixed: bool) -> Row:
    chosen = sorted(rng.sample(range(len(names)), rng.randint(1, len(names))))
    functions = tuple((n, some_function(rng, names[n].held)) for n in chosen)
    orders = tuple((k, rng.choice([-2, -1, 1, 3])) for k in range(working) if rng.random() < 0.6)
    if orders and not mixed:
        functions = tuple((n, f) for n, f in functions if n != 0)
    return Row(f"row/{r}", 0, functions, orders, rng.random() < 0.7, rng.random() < 0.5)


def limited(rng: random.Random, row: Row, problem: Problem, waves: tuple[Wave, ...]) -> Row:
    """The row with a limit on, or beside, a value that it reaches."""
    box = rng.choice([*problem.boxes(waves), problem.box(problem.holdings())])
    limit = problem.worst(row, box) + rng.choice([0, 0, 0, 0, 1, 2, 5, -1, -4])
    return Row(row.id, limit, row.functions, row.working, row.asserted, row.passive)


def some_clauses(rng: random.Random, rows: int) -> tuple[Clause, ...]:
    def alternative() -> tuple[int, ...]:
        return tuple(sorted(rng.sample(range(rows), rng.randint(1, min(2, rows)))))

    count = rng.choice([0, 0, 1, 1, 2])
    return tuple(Clause(f"clause/{c}", tuple(alternative() for _ in range(rng.randint(1, 3)))) for c in range(count))


def some_objective(rng: random.Random, names: tuple[Name, ...]) -> Objective:
    functions = tuple((n, some_function(rng, name.held)) for n, name in enumerate(names) if rng.random() < 0.8)
    factors = tuple(
        Factor(
            rng.randint(0, 3),
            rng.randint(-3, 3),
            tuple((n, rng.randint(-2, 2)) for n in range(len(names)) if rng.random() < 0.8),
        )
        for _ in range(rng.randint(0, 2))
    )
    return Objective("1e-12 of NAV", functions, factors)


def instance(seed: int, *, mixed: bool = False, tight: bool = False) -> tuple[Problem, tuple[Wave, ...]]:
    """A problem with waves. `mixed` allows rows with a function and an order of one name; `tight`
    lowers all limits, which makes an infeasible problem likely.
    """
    rng = random.Random(seed)
    names, working = some_names(rng)
    waves = some_waves(rng, names, working)
    drafts = [some_row(rng, r, names, len(working), mixed=mixed) for r in range(rng.randint(2, 4))]
    draft = Problem(names, working, tuple(drafts))
    rows = [limited(rng, row, draft, waves) for row in drafts]
    if tight:
        rows = [Row(r.id, r.limit - rng.randint(0, 6), r.functions, r.working, r.asserted, r.passive) for r in rows]
    objective = some_objective(rng, names) if rng.random() < 0.8 else None
    return Problem(names, working, tuple(rows), some_clauses(rng, len(rows)), objective), waves


def sharpened(problem: Problem, waves: tuple[Wave, ...]) -> list[tuple[Problem, bool]]:
    """Each row alone, with its limit at its worst value over all waves and one below; and which is safe."""
    result = []
    for row in problem.rows:
        worst = max(problem.worst(row, box) for box in problem.boxes(waves))
        for limit in (worst, worst - 1):
            alone = Row(row.id, limit, row.functions, row.working)
            result.append((Problem(problem.names, problem.working, (alone,)), limit == worst))
    return result


def least_excess(problem: Problem, multipliers: Multipliers, box: Box, extra: dict[int, Function] | None = None) -> int:
    """The least of the sum of multiplier * (row - limit), and of `extra`, over a box; by `Function`."""
    reach = problem.box(problem.holdings())
    sums, constant = dict(extra or {}), 0
    for r, multiplier in multipliers:
        row = problem.rows[r]
        constant += multiplier * (Row("fills", 0, (), row.working).worst([], problem.working) - row.limit)
        for n, function in row.functions:
            if n in problem.frozen:
                constant += multiplier * function.maximum(*reach[n])
            else:
                sums[n] = total([sums.get(n, Function.constant(0)), function.scaled(multiplier)])
    return constant + sum(f.minimum(*box[n]) for n, f in sums.items())


def leaf(problem: Problem, box: Box, usable: frozenset[int]) -> Leaf | None:
    """Multipliers 1 to 3 on one or two rows that refute the box, if there are any."""
    pure = sorted(r for r in usable if not problem.mixed(problem.rows[r]))
    tries: list[Multipliers] = [((r, 1),) for r in pure]
    tries += [((r, a), (q, b)) for r, q in combinations(pure, 2) for a, b in product((1, 2, 3), repeat=2)]
    found = next((m for m in tries if least_excess(problem, m, box) > 0), None)
    return None if found is None else Leaf(found)


def refute(problem: Problem, box: Box, usable: frozenset[int], clauses: tuple[int, ...]) -> Tree | None:
    """A tree that refutes the box, or None. Complete for small boxes without mixed rows."""
    found = leaf(problem, box, usable)
    if found is not None:
        return found
    widest = max(box, key=lambda n: box[n][1] - box[n][0])
    low, high = box[widest]
    if low < high:
        middle = (low + high) // 2
        below = refute(problem, box | {widest: (low, middle)}, usable, clauses)
        above = below and refute(problem, box | {widest: (middle + 1, high)}, usable, clauses)
        return Split(widest, middle, below, above) if below and above else None
    return refute_by_case(problem, box, usable, clauses)


def refute_by_case(problem: Problem, box: Box, usable: frozenset[int], clauses: tuple[int, ...]) -> Tree | None:
    for c in clauses:
        rest = tuple(d for d in clauses if d != c)
        cases = [refute(problem, box, usable | set(rows), rest) for rows in problem.clauses[c].alternatives]
        done = tuple(case for case in cases if case is not None)
        if len(done) == len(cases):
            return Cases(c, done)
    return None


def whole_box(problem: Problem) -> Box:
    return {n: (name.lower, name.upper) for n, name in enumerate(problem.names)}


def asserted(problem: Problem) -> tuple[int, ...]:
    return tuple(r for r, row in enumerate(problem.rows) if row.asserted)


def infeasible_claim(problem: Problem) -> Infeasible | None:
    """A proof that nothing in the box meets all asserted rows and clauses, if the prover finds one."""
    rows, clauses = asserted(problem), tuple(range(len(problem.clauses)))
    tree = refute(problem, whole_box(problem), frozenset(rows), clauses)
    return None if tree is None else Infeasible(rows, clauses, tree)


def bound_claim(problem: Problem, waves: tuple[Wave, ...], rng: random.Random) -> Bound | None:
    """The greatest bound that random multipliers and tangent points prove."""
    objective, final = problem.objective, problem.holdings(waves)
    if objective is None:
        return None
    scale = rng.randint(1, 4)
    usable = [r for r in asserted(problem) if not problem.mixed(problem.rows[r])]
    multipliers = tuple((r, rng.randint(1, 4)) for r in usable if rng.random() < 0.5)
    points = tuple(factor.exposure(final) + rng.choice([0, 0, 0, 1, -2]) for factor in objective.factors)
    extra = {n: f.scaled(scale) for n, f in objective.functions}
    constant = 0
    for factor, y in zip(objective.factors, points, strict=True):
        constant += scale * factor.weight * (2 * y * factor.constant - y * y)
        for n, loading in factor.loadings:
            line = Function.linear(scale * factor.weight * 2 * y * loading)
            extra[n] = extra.get(n, Function.constant(0)).plus(line)
    least = constant + least_excess(problem, multipliers, whole_box(problem), extra)
    return Bound(scale, multipliers, points, least // scale, objective.value(final))


def honest(seed: int, *, mixed: bool = False, tight: bool = False) -> Certificate:
    """A certificate all of whose claims are true (decided by brute force, or proved); the claim
    `safe` stands in, perhaps falsely, where there is none.
    """
    problem, waves = instance(seed, mixed=mixed, tight=tight)
    truth = Truth(Certificate(RULEBOOK, SNAPSHOT, problem, waves).to_json())
    claims: list[Claim | None] = [
        Safe() if truth.safe() else None,
        End() if truth.end() else None,
        infeasible_claim(problem),
        bound_claim(problem, waves, random.Random(seed)),
    ]
    true = tuple(claim for claim in claims if claim is not None)
    return Certificate(RULEBOOK, SNAPSHOT, problem, waves, true or (Safe(),))
