"""From an exact problem to whole-unit holdings, safe waves and a verified certificate.

In: a `Problem` in integers (rows already lowered, objective included). Out: a `Solution` whose
certificate says `safe`, `end` and `bound`, or a `Conflict` whose certificate says `infeasible`.

Guaranteed: whatever is returned was accepted by `lexorder.engine.verify`; all decisions are taken
on Python integers. Refused, by a class of `refusals.py`: everything else. Why so strict: solvers
propose; only the exact check accepts.

Before this file: `rows.py` (rules to rows), `objective.py`. After it: the rebalance front end.
"""

from __future__ import annotations

from dataclasses import dataclass

from lexorder.engine.certificate import Certificate, Problem, Wave

NO_HASH = "0" * 64
"""Stands for an input that has no hash, for example in tests."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Budgets of one solve.

    `seconds`: wall time for each solver call. `waves_max`: most waves a trade list may need.
    `cure`: whether a passive breach is to be brought back inside its limit where possible.
    `route`: `auto`, or one of `convex`, `milp`, `z3` to force a path.
    `relax`: whether a conflict reports, row by row, the smallest relaxation that cures it.
    """

    seconds: float = 10.0
    waves_max: int = 8
    cure: bool = True
    route: str = "auto"
    relax: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """The path that was taken (`convex`, `milp`, `z3`) and why, in words."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The smallest limit of one row of a conflict that alone makes the problem feasible.

    `row`: index. `limit`: the relaxed limit in row units, verified by exact holdings, or None
    where relaxing this row alone is not enough. `by`: `limit` less the present limit.
    """

    row: int
    limit: int | None
    by: int | None


@dataclass(frozen=True, slots=True)
class Solution:
    """Holdings that were accepted, the waves that lead there and the proof.

    `holdings`: units by name index after the last wave. `text`: the certificate, canonical JSON.
    `value`, `bound`: objective at `holdings` and its certified lower bound, in the objective's
    unit (None without objective or bound). `duals`: shadow price per row, objective units per
    row unit, floats, for information only (empty where the path has none).
    `uncured`: indexes of passive rows still above their limit (then the claim `end` is absent).
    `trimmed`: ids of names whose orders were left out because no wave order was safe.
    """

    certificate: Certificate
    text: str
    holdings: tuple[int, ...]
    waves: tuple[Wave, ...]
    route: Route
    value: int | None
    bound: int | None
    duals: tuple[float, ...]
    uncured: tuple[int, ...]
    trimmed: tuple[str, ...]

    @property
    def gap(self) -> int | None:
        """Certified distance to the optimum of the stated objective, in its unit."""
        return None if self.value is None or self.bound is None else self.value - self.bound


@dataclass(frozen=True, slots=True)
class Conflict:
    """No holdings meet the listed rows and clauses together: a minimal set, with its proof.

    `rows`, `clauses`: indexes into the problem. `relaxations`: one per row, in the same order.
    """

    certificate: Certificate
    text: str
    rows: tuple[int, ...]
    clauses: tuple[int, ...]
    relaxations: tuple[Relaxation, ...]


def solve(
    problem: Problem,
    *,
    rulebook: str = NO_HASH,
    snapshot: str = NO_HASH,
    settings: Settings | None = None,
) -> Solution | Conflict:
    """Return accepted holdings with waves and certificate, or a proved conflict.

    `problem.objective` is minimised (None: the fewest traded units, relative to holdings).
    `rulebook`, `snapshot`: SHA-256 hex digests written into the certificate.
    Refused: `ProposalError`, `UndecidedError`, `UnsafeStartError`, `UnsafePathError`,
    `CertificateRefused`.
    """
    raise NotImplementedError
