"""From an exact problem to whole-unit holdings, safe waves and a verified certificate.

In: a `Problem` in integers (rows already lowered, objective included). Out: a `Solution` whose
certificate says `safe`, `end` and `bound`, or a `Conflict` whose certificate says `infeasible`.

Guaranteed: whatever is returned was accepted by `lexorder.engine.verify`; all decisions are taken
on Python integers. Refused, by a class of `refusals.py`: everything else. Why so strict: solvers
propose; only the exact check accepts.

Before this file: `rows.py` (rules to rows), `objective.py`. After it: the rebalance front end.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lexorder.engine.certificate import (
    Certificate,
    Claim,
    End,
    Infeasible,
    Problem,
    Safe,
    Wave,
)
from lexorder.engine.errors import UsageError
from lexorder.engine.verify import verify
from lexorder.optimizers.bound import bound
from lexorder.optimizers.choose import Route, choose
from lexorder.optimizers.conic import Proposal
from lexorder.optimizers.conic import Relaxation as Continuous
from lexorder.optimizers.convex import SOLVERS, propose
from lexorder.optimizers.discrete import improved
from lexorder.optimizers.functiontable import Ints
from lexorder.optimizers.infeasible import FoundHoldings, minimal, prove
from lexorder.optimizers.lots import accepts, whole_units
from lexorder.optimizers.milp import Scope
from lexorder.optimizers.objective import ObjectiveTable
from lexorder.optimizers.refusals import (
    CertificateRefused,
    ProposalError,
    UndecidedError,
    UnsafePathError,
)
from lexorder.optimizers.relax import Relaxation, relaxations
from lexorder.optimizers.rowtable import RowTable
from lexorder.optimizers.waves import Plan, check_start, plan

__all__ = ["NO_HASH", "Conflict", "Relaxation", "Route", "Settings", "Solution", "solve", "verified"]

NO_HASH = "0" * 64
"""Stands for an input that has no hash, for example in tests."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Budgets of one solve.

    `seconds`: wall time for each solver call. `waves_max`: most waves a trade list may need.
    `cure`: whether a passive breach is to be brought back inside its limit where possible.
    `route`: `auto`, or one of `convex`, `milp`, `z3` to force a path.
    `relax`: whether a conflict reports, row by row, the smallest relaxation that cures it.
    `solver`: who solves the continuous program, `clarabel` (called directly) or `cvxpy`.
    Refused (`UsageError` `bad-setting`): another solver, negative seconds or NaN, no waves.
    """

    seconds: float = 10.0
    waves_max: int = 16
    cure: bool = True
    route: str = "auto"
    relax: bool = True
    solver: str = "clarabel"

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise UsageError("bad-setting", f"the solver must be one of {', '.join(SOLVERS)}")
        if not (self.seconds >= 0 and self.waves_max >= 1):
            raise UsageError("bad-setting", "seconds must not be negative, and there must be a wave")


@dataclass(frozen=True, slots=True)
class Solution:
    """Holdings that were accepted, the waves that lead there and the proof.

    `holdings`: units by name index after the last wave. `text`: the certificate, canonical JSON.
    `value`, `bound`: objective at `holdings` and its certified lower bound, in the objective's
    unit (None without objective or bound). `duals`: shadow price per row, objective units per
    row unit, floats, for information only (empty where the path has none).
    `uncured`: indexes of asserted rows still above their limit (then the claim `end` is absent).
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

    `rows`, `clauses`: indexes into the problem. `relaxations`: one per row, in the same order
    (empty where `Settings.relax` is off).
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

    `problem.objective` is minimised (None: the fewest traded units, relative to each name's range).
    `rulebook`, `snapshot`: SHA-256 hex digests written into the certificate.
    Refused: `ProposalError`, `UndecidedError`, `UnsafeStartError`, `UnsafePathError`,
    `CertificateRefused`; `UsageError` for a path that does not exist or cannot state the problem.
    """
    return _Solve(problem, rulebook, snapshot, settings or Settings()).answer()


@dataclass(frozen=True, slots=True)
class _End:
    """Accepted end holdings, the scope they were accepted for, and what proposed them."""

    holdings: Ints
    scope: Scope
    proposal: Proposal | None
    route: Route


class _Solve:
    """One solve: the tables are built once and shared by all steps."""

    def __init__(self, problem: Problem, rulebook: str, snapshot: str, settings: Settings) -> None:
        self.problem, self.settings = problem, settings
        self.rulebook, self.snapshot = rulebook, snapshot
        self.rows = RowTable(problem)
        self.objective = ObjectiveTable(problem, self.rows.reach)
        self.clauses = tuple(range(len(problem.clauses)))

    def answer(self) -> Solution | Conflict:
        """Try the limits themselves, then with old passive breaches tolerated, then a proof."""
        for limit in self.limits():
            end = self.end(limit, self.settings.route)
            if end is not None:
                return self.solution(end)
        return self.conflict()

    def limits(self) -> list[Ints]:
        """The limits to try in turn; shape (R,) each."""
        rows = self.rows
        ways = [rows.limit] if self.settings.cure else []
        if not ways or (rows.tolerated > rows.limit).any():
            ways.append(rows.tolerated)
        return ways

    def end(self, limit: Ints, wish: str) -> _End | None:
        """Accepted end holdings at `limit` (shape (R,)) by path `wish`, or None where none were found."""
        rows, seconds = self.rows, self.settings.seconds
        domain = rows.domain(limit, rows.asserted)
        if domain.empty >= 0:
            return None
        scope = Scope(domain.low, domain.high, limit, rows.asserted, self.clauses)
        continuous = Continuous(rows, self.objective, domain, limit, rows.asserted)
        route = choose(self.problem, tuple(continuous.left_out.tolist()), wish)
        proposal = self.propose(continuous)
        target = rows.held.astype(float) if proposal is None else proposal.holdings
        if route.path == "z3":
            holdings = self.by_z3(scope, target)
        else:
            holdings = whole_units(rows, self.objective, scope, target, seconds=seconds)
        if holdings is not None and route.path != "convex":
            holdings = improved(rows, self.objective, scope, holdings, seconds=seconds, solver=self.settings.solver)
        return None if holdings is None else _End(holdings, scope, proposal, route)

    def propose(self, continuous: Continuous) -> Proposal | None:
        """The continuous proposal; None where the solver had none (then HiGHS starts from the holdings)."""
        try:
            return propose(continuous, seconds=self.settings.seconds, solver=self.settings.solver)
        except ProposalError as error:
            if "time" in error.status.lower():
                raise  # the budget is spent
            return None

    def by_z3(self, scope: Scope, target: NDArray[np.float64]) -> Ints | None:
        """Whole holdings from Z3; None where it found none."""
        from lexorder.optimizers.prove import Refuted, find

        found = find(self.rows, scope, target, seconds=self.settings.seconds)
        return None if found is None or isinstance(found, Refuted) else found

    def solution(self, end: _End) -> Solution:
        """Plan the waves, state the claims, have them verified."""
        way = plan(self.rows, end.holdings, waves_max=self.settings.waves_max)
        self.check_trim(way)
        uncured = self.uncured(way.holdings)
        claims = self.claims(way, end, uncured)
        certificate = Certificate(self.rulebook, self.snapshot, self.problem, way.waves, claims)
        text = verified(certificate)
        stated = [c for c in claims if not isinstance(c, Safe | End | Infeasible)]
        names = self.problem.names
        duals = () if end.proposal is None else tuple(end.proposal.duals.tolist())
        return Solution(
            certificate, text, tuple(way.holdings.tolist()), way.waves, end.route,
            self.objective.value(way.holdings) if self.problem.objective else None,
            stated[0].value if stated else None, duals, uncured,
            tuple(names[n].id for n in way.trimmed),
        )  # fmt: skip

    def check_trim(self, way: Plan) -> None:
        """A list cut short must still be worth trading: it cures something, or is no worse than not trading."""
        rows = self.rows
        if not way.trimmed:
            return
        inside = bool(((rows.lower <= way.holdings) & (way.holdings <= rows.upper)).all())
        breach = bool((rows.start > rows.limit).astype(bool)[rows.asserted].any())
        worse = self.objective.value(way.holdings) > self.objective.value(rows.held)
        if not inside or (worse and not breach):
            names = tuple(self.problem.names[n].id for n in way.trimmed)
            raise UnsafePathError(names, ("the part that is safe is worse than not trading",))

    def uncured(self, holdings: Ints) -> tuple[int, ...]:
        """Asserted rows above their limit at the end."""
        over = (self.rows.totals(holdings) > self.rows.limit).astype(bool)
        return tuple(np.flatnonzero(over & self.rows.asserted).tolist())

    def claims(self, way: Plan, end: _End, uncured: tuple[int, ...]) -> tuple[Claim, ...]:
        """`safe` always; `end` and `bound` where they hold."""
        rows, holdings = self.rows, way.holdings
        claims: list[Claim] = [Safe()]
        final = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, self.clauses)
        if not uncured and accepts(rows, final, holdings):
            claims.append(End())
        if self.problem.objective is not None and end.proposal is not None:
            claims.append(bound(rows, self.objective, end.proposal, holdings))
        return tuple(claims)

    def conflict(self) -> Solution | Conflict:
        """A proof that the rows exclude each other, minimal, with relaxations; or a refusal."""
        rows, seconds = self.rows, self.settings.seconds
        try:
            claim = self.proof()
        except FoundHoldings as found:
            return self.solution(self.found_by_search(found.holdings))
        if claim is None:
            return self.last_resort()
        claim = minimal(rows, claim, seconds=seconds)
        certificate = Certificate(self.rulebook, self.snapshot, self.problem, (), (claim,))
        text = verified(certificate)
        eased: tuple[Relaxation, ...] = ()
        if self.settings.relax:
            eased = relaxations(rows, claim.rows, rows.tolerated, rows.asserted, self.clauses, seconds=seconds)
        return Conflict(certificate, text, claim.rows, claim.clauses, eased)

    def last_resort(self) -> Solution:
        """Neither HiGHS nor the search for a proof came to an end: ask Z3, which reasons differently."""
        for limit in self.limits() if self.settings.route == "auto" else []:
            end = self.end(limit, "z3")
            if end is not None:
                reason = "HiGHS found no whole holdings that pass the exact check, and no proof"
                return self.solution(replace(end, route=Route("z3", reason)))
        raise UndecidedError("whole-unit holdings within all limits")

    def proof(self) -> Infeasible | None:
        """A proof from rows that must hold; passive breaches, which may stay, only as a last resort.

        Nothing was found with those tolerated either; so if the start is safe, the bounds are in the way.
        """
        rows, seconds = self.rows, self.settings.seconds
        firm = rows.asserted & (rows.tolerated == rows.limit).astype(bool)
        if firm.sum() == rows.asserted.sum():
            return prove(rows, firm, self.clauses, seconds=seconds)
        try:
            claim = prove(rows, firm, self.clauses, seconds=seconds)
        except FoundHoldings:
            claim = None
        if claim is None:
            check_start(rows)
            claim = prove(rows, rows.asserted, self.clauses, seconds=seconds)
        return claim

    def found_by_search(self, holdings: Ints) -> _End:
        """Holdings that the search for a proof met; exact already, without a continuous proposal."""
        rows = self.rows
        scope = Scope(rows.lower, rows.upper, rows.limit, rows.asserted, self.clauses)
        route = Route("milp", "the search for a proof of conflict met holdings that satisfy everything")
        return _End(holdings, scope, None, route)


def verified(certificate: Certificate) -> str:
    """Return the certificate's canonical text once the stand-alone verifier accepts it.

    Refused by `CertificateRefused`: everything it does not accept.
    """
    # A large document is a million small objects, none of them garbage: collecting takes 40% of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        text = certificate.text()
        verdict = verify(text)
    finally:
        if collecting:
            gc.enable()
    if not verdict.valid:
        raise CertificateRefused(f"{verdict.code}: {verdict.reason}")
    return text
