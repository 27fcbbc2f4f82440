"""What a certificate's claims mean, by brute force over every state: slow, plain and separate.

In: the JSON document as Python values. Out: whether a claim is true, and `Count`, which says whether
every state was looked at. Shares no code with `certificate.py` or `verify.py`; reads docs/certificate.md.
An interval of more than `POINTS_MAX` integers (only tampered documents have one) is thinned to its
ends, the surroundings of the breaks and a few steps; then `Count.sampled` goes up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

POINTS_MAX = 12
STATES_MAX = 30_000

Fills = tuple[int, ...]


@dataclass
class Count:
    """How many claims were decided on all states, and how many on a sample of them."""

    whole: int = 0
    sampled: int = 0


def value(function: dict[str, Any], x: int) -> int:
    """The function at `x`, by walking along its breaks."""
    index = 0
    for point in function["breaks"]:
        if x >= point:
            index += 1
    a0, a1, a2 = function["polys"][index]
    return int(a0 + a1 * x + a2 * x * x)


class Truth:
    """The states of one document, and what holds in them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.problem = document["problem"]
        self.waves = document["waves"]
        self.rows = self.problem["rows"]
        self.working = self.problem["working"]
        self.held = [name["held"] for name in self.problem["names"]]
        self.thinned = False

    def points(self, low: int, high: int, breaks: set[int]) -> list[int]:
        """All integers of `low..high`, or a sample that has the ends and both sides of each break."""
        if high - low < POINTS_MAX:
            return list(range(low, high + 1))
        self.thinned = True
        near = {low, low + 1, high - 1, high, 0, *breaks, *(b - 1 for b in breaks), *self.held}
        return sorted(x for x in near if low <= x <= high)

    def breaks(self, name: int) -> set[int]:
        """Every break of every function of `name`."""
        owners = [*self.rows, *([self.problem["objective"]] if self.problem["objective"] else [])]
        return {b for owner in owners for n, f in owner["functions"] if n == name for b in f["breaks"]}

    def fills(self, orders: list[dict[str, Any]], start: list[int]) -> list[Fills]:
        """Every combination of partial fills of `orders`."""
        choices = []
        for order in orders:
            quantity, at = order["quantity"], start[order["name"]]
            shifted = {b - at for b in self.breaks(order["name"])}
            choices.append(self.points(min(0, quantity), max(0, quantity), shifted))
        return self.combinations(choices)

    def combinations(self, choices: list[list[int]]) -> list[Fills]:
        size = 1
        for choice in choices:
            size *= len(choice)
        if size > STATES_MAX:
            self.thinned = True
            choices = [sorted({c[0], c[len(c) // 2], c[-1]}) for c in choices]
        return list(product(*choices))

    def row_value(self, row: dict[str, Any], holdings: list[int], fills: Fills) -> int:
        total = sum(value(f, holdings[n]) for n, f in row["functions"])
        return int(total + sum(c * fills[k] for k, c in row["working"]))

    def states(self, holdings: list[int], wave: list[dict[str, Any]]) -> Iterator[tuple[list[int], Fills]]:
        """Holdings and fills of the working orders, for everything the market can fill."""
        ordered = self.fills(wave, holdings)
        for working in self.fills(self.working, self.held):
            for traded in ordered:
                at = list(holdings)
                for order, fill in zip([*self.working, *wave], [*working, *traded], strict=True):
                    at[order["name"]] += fill
                yield at, working

    def worst(self, holdings: list[int], wave: list[dict[str, Any]]) -> list[int]:
        """The greatest value of each row over all states of a wave."""
        result: list[int | None] = [None] * len(self.rows)
        for at, fills in self.states(holdings, wave):
            for r, row in enumerate(self.rows):
                now = self.row_value(row, at, fills)
                before = result[r]
                result[r] = now if before is None or now > before else before
        return [x for x in result if x is not None]

    def held_after(self, count: int) -> list[int]:
        holdings = list(self.held)
        for wave in self.waves[:count]:
            for order in wave:
                holdings[order["name"]] += order["quantity"]
        return holdings

    def clause_holds(self, clause: dict[str, Any], worst: list[int]) -> bool:
        return any(all(worst[r] <= self.rows[r]["limit"] for r in case) for case in clause["alternatives"])

    def acceptable(self, worst: list[int], start: list[int]) -> bool:
        """The rule for `safe` in one set of states, as the document words it."""

        def no_worse(r: int) -> bool:
            limit, passive = self.rows[r]["limit"], self.rows[r]["passive"]
            return bool(worst[r] <= (max(limit, start[r]) if passive else limit))

        rows = all(no_worse(r) for r, row in enumerate(self.rows) if row["asserted"])
        return rows and all(
            self.clause_holds(clause, worst) or all(no_worse(r) for case in clause["alternatives"] for r in case)
            for clause in self.problem["clauses"]
        )

    def safe(self) -> bool:
        start = self.worst(self.held, [])
        steps = [(self.held_after(i), wave) for i, wave in enumerate([*self.waves, []])]
        return all(self.acceptable(self.worst(at, wave), start) for at, wave in steps)

    def end(self) -> bool:
        final = self.held_after(len(self.waves))
        inside = all(n["lower"] <= x <= n["upper"] for n, x in zip(self.problem["names"], final, strict=True))
        worst = self.worst(final, [])
        rows = all(w <= row["limit"] for w, row in zip(worst, self.rows, strict=True) if row["asserted"])
        return inside and rows and all(self.clause_holds(c, worst) for c in self.problem["clauses"])

    def box(self) -> list[Fills]:
        """All holdings within the bounds."""
        names = enumerate(self.problem["names"])
        return self.combinations([self.points(n["lower"], n["upper"], self.breaks(i)) for i, n in names])

    def meets(self, holdings: Fills, rows: list[int], clauses: list[int]) -> bool:
        """Whether these holdings satisfy rows and clauses with the working orders at their worst."""
        worst = self.worst(list(holdings), [])
        within = all(worst[r] <= self.rows[r]["limit"] for r in rows)
        return within and all(self.clause_holds(self.problem["clauses"][c], worst) for c in clauses)

    def infeasible(self, claim: dict[str, Any]) -> bool:
        return not any(self.meets(x, claim["rows"], claim["clauses"]) for x in self.box())

    def objective(self, holdings: Fills | list[int]) -> int:
        objective = self.problem["objective"]
        total = sum(value(f, holdings[n]) for n, f in objective["functions"])
        for factor in objective["factors"]:
            exposure = factor["constant"] + sum(f * holdings[n] for n, f in factor["loadings"])
            total += factor["weight"] * exposure * exposure
        return total

    def bound(self, claim: dict[str, Any]) -> bool:
        if claim["objective"] != self.objective(self.held_after(len(self.waves))):
            return False
        asserted = [r for r, row in enumerate(self.rows) if row["asserted"]]
        below = [x for x in self.box() if self.objective(x) < claim["value"]]
        return not any(self.meets(x, asserted, []) for x in below)

    def one_way(self) -> bool:
        """The promise about waves that every claim rests on."""
        frozen = {order["name"] for order in self.working}
        signs: dict[int, set[bool]] = {}
        for order in (order for wave in self.waves for order in wave):
            signs.setdefault(order["name"], set()).add(order["quantity"] > 0)
        return all(len(s) == 1 for s in signs.values()) and not frozen & signs.keys()


def true_claims(document: dict[str, Any], count: Count | None = None) -> list[bool]:
    """For each claim of the document, whether it is true (waves that go both ways make all false)."""
    answers = []
    for claim in document["claims"]:
        truth, kind = Truth(document), claim["claim"]
        decide = getattr(truth, kind)
        holds = decide() if kind in ("safe", "end") else decide(claim)
        answers.append(holds and truth.one_way())
        if count is not None:
            count.whole += not truth.thinned
            count.sampled += truth.thinned
    return answers
