"""One whole rebalance, timed beside raw Clarabel and PyPortfolioOpt on the same book, in one run.

    python benchmarks/rebalance.py [--repeat 5] [N ...]        writes results/rebalance.json and .md

The book: long only, mean-variance in factor form (K = min(20, N/5)) with 8 bp costs, a cap for each name, eleven
sectors, cash with costs, turnover. Columns: `raw` is a cold Clarabel solve of that program from float
arrays (factor form, buys and sells split, matrices built and solved once, default settings): continuous
weights, nothing more. `pypfopt` is PyPortfolioOpt with the same covariance (dense, as it takes it), caps,
sectors and costs, continuous too. `ours` is everything from the exact problem to the returned answer;
`solve`, `text` and `verify` are its parts. Best of the repeats, taken in turns, milliseconds, one thread.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy import sparse

import lexorder.optimizers.solve as solving
from lexorder.engine.certificate import Function, Name, Problem, Row
from lexorder.engine.verify import verify
from lexorder.optimizers.objective import Book, mean_variance
from lexorder.optimizers.risk_models import FactorModel

NAV = 10**12
COST = 8e-4
AVERSION = 6.0
SECTORS = 11
TURNOVER = 0.30
SECTOR_CAP = 0.22
RESULTS = Path(__file__).parent / "results"


class Case:
    """One random book of `count` names: floats for the peers, the exact problem for us."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.count, self.factors = count, max(2, min(20, count // 5))
        self.marks = [int(v) for v in rng.integers(50_000, 5_000_000, count)]
        weights = rng.dirichlet(np.ones(count)) * 0.95
        self.held = [int(w * NAV / m) for w, m in zip(weights, self.marks, strict=True)]
        self.start = np.array([h * m / NAV for h, m in zip(self.held, self.marks, strict=True)])
        scale = rng.uniform(0.2, 1, (self.factors, 1))
        self.loadings = rng.normal(size=(self.factors, count)) * 0.05 * scale
        self.own = rng.uniform(0.01, 0.09, count)
        self.mu = rng.normal(size=count) * 0.05 + 0.05
        self.cap = max(0.05, 2.5 / count)
        self.sector = rng.integers(0, SECTORS, count)
        self.problem = self.exact()

    def exact(self) -> Problem:
        """The problem in integers, as the lowering of rules makes it."""
        book = Book(self.marks, NAV, self.held)
        model = FactorModel(self.loadings, self.own)
        goal = mean_variance(book, self.mu, model, risk_aversion=AVERSION, buy_cost=COST, sell_cost=COST)
        pairs = list(enumerate(zip(self.marks, self.held, strict=True)))
        top = int(self.cap * 10**4)
        names = tuple(Name(f"N{i}", h, 0, max(h, 2 * top * NAV // (m * 10**4))) for i, (m, h) in pairs)
        rows = [Row(f"cap/N{i}", top * NAV, ((i, Function.linear(m * 10**4)),), passive=True) for i, (m, _) in pairs]
        for sector in range(SECTORS):
            terms = tuple((i, Function.linear(m * 100)) for i, (m, _) in pairs if self.sector[i] == sector)
            rows.append(Row(f"sector/{sector}", int(SECTOR_CAP * 100) * NAV, terms, passive=True))
        spent = tuple((i, Function.linear(m * 10**4).plus(Function.around(h, 8 * m, 8 * m))) for i, (m, h) in pairs)
        moved = tuple((i, Function.absolute(m * 100, h)) for i, (m, h) in pairs)
        rows += [Row("cash", NAV * 10**4, spent), Row("turnover", int(TURNOVER * 100) * NAV, moved)]
        return Problem(names, (), tuple(rows), (), goal)


def raw_clarabel(case: Case) -> float:
    """Build and solve the continuous program once; returns its objective."""
    import clarabel

    n, k = case.count, case.factors
    eye = sparse.eye_array(n, format="csc")
    empty = sparse.csc_array((n, n))
    hessian = sparse.diags_array(np.r_[AVERSION * case.own, np.zeros(2 * n), AVERSION * np.ones(k)])
    linear = np.r_[-case.mu, np.full(2 * n, COST), np.zeros(k)]
    members = sparse.csc_array((np.ones(n), (case.sector, np.arange(n))), shape=(SECTORS, n))
    blocks = [
        [sparse.csc_array(case.loadings), None, None, -sparse.eye_array(k)],
        [eye, -eye, eye, None],
        [eye, empty, empty, None],
        [-eye, None, None, None],
        [None, -eye, None, None],
        [None, None, -eye, None],
        [members, None, None, None],
        [np.ones((1, n)), np.full((1, n), COST), np.full((1, n), COST), None],
        [None, np.ones((1, n)), np.ones((1, n)), None],
    ]
    matrix = sparse.csc_matrix(sparse.block_array(blocks, format="csc"))
    zero = np.zeros(n)
    caps = np.full(SECTORS, SECTOR_CAP)
    rhs = np.r_[np.zeros(k), case.start, np.full(n, case.cap), zero, zero, zero, caps, 1.0, TURNOVER]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    cones = [clarabel.ZeroConeT(k + n), clarabel.NonnegativeConeT(len(rhs) - k - n)]
    hessian_csc = sparse.csc_matrix(hessian)
    answer = clarabel.DefaultSolver(hessian_csc, linear, matrix, rhs, cones, settings).solve()
    assert answer.status == clarabel.SolverStatus.Solved
    return float(answer.obj_val)


def pypfopt(case: Case) -> float:
    """PyPortfolioOpt's usual calls: dense covariance, caps, sectors, costs."""
    from pypfopt import EfficientFrontier, objective_functions

    dense = case.loadings.T @ case.loadings + np.diag(case.own)
    frontier: Any = EfficientFrontier(case.mu, dense, weight_bounds=(0, case.cap), solver="CLARABEL")
    frontier.add_objective(objective_functions.transaction_cost, w_prev=case.start, k=COST)
    members = [np.flatnonzero(case.sector == s) for s in range(SECTORS)]
    for inside in members:
        if len(inside):
            frontier.add_constraint(lambda w, i=inside: sum(w[j] for j in i) <= SECTOR_CAP)
    frontier.max_quadratic_utility(risk_aversion=AVERSION)
    return 0.0


def seconds(run: Callable[[], object]) -> float:
    """One run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alone(case: Case) -> None:
    """Our solve without the certificate's text and its check."""
    with patch.object(solving, "verified", lambda _: ""):
        solving.solve(case.problem)


def uncollected(run: Callable[[], object]) -> Callable[[], object]:
    """`run` without garbage collection, as `solve` does around the certificate's two parts."""

    def inner() -> None:
        gc.disable()
        try:
            run()
        finally:
            gc.enable()

    return inner


class Measured:
    """All columns of one size: each `run` has its least time so far, in seconds."""

    def __init__(self, count: int) -> None:
        self.case = case = Case(count, seed=count)
        answer = solving.solve(case.problem)
        assert isinstance(answer, solving.Solution)
        self.answer = answer
        self.runs: dict[str, Callable[[], object]] = {
            "raw": lambda: raw_clarabel(case),
            "cvxpy_path": lambda: solving.solve(case.problem, settings=solving.Settings(solver="cvxpy")),
            "ours": lambda: solving.solve(case.problem),
            "solve": lambda: alone(case),
            "text": uncollected(answer.certificate.text),
            "verify": uncollected(lambda: verify(answer.text)),
            "pypfopt": lambda: pypfopt(case),
        }
        self.least = dict.fromkeys(self.runs, float("inf"))

    def once(self) -> None:
        """Run every column once."""
        for name, run in self.runs.items():
            self.least[name] = min(self.least[name], seconds(run))

    def row(self) -> dict[str, Any]:
        """The figures, in milliseconds, and their ratios."""
        goal = self.answer.certificate.problem.objective
        assert goal is not None
        scale = 10.0 ** int(goal.unit[3:].split()[0])
        ms = {name: round(1000 * value, 1) for name, value in self.least.items()}
        return {
            "names": self.case.count,
            **ms,
            "claims": [claim.to_json()["claim"] for claim in self.answer.certificate.claims],
            "waves": [len(wave) for wave in self.answer.waves],
            "gap_bp_of_nav": round(1e4 * (self.answer.gap or 0) / scale, 4),
            "solve_to_raw": round(ms["solve"] / ms["raw"], 2),
            "ours_to_raw": round(ms["ours"] / ms["raw"], 2),
            "pypfopt_to_ours": round(ms["pypfopt"] / ms["ours"], 2),
        }


def measure(counts: list[int], repeat: int) -> list[dict[str, Any]]:
    """One row for each size. Columns take turns, so that what else the machine does falls on all alike."""
    sizes = [Measured(count) for count in counts]
    for _ in range(repeat + 1):  # the first is to warm up
        for size in sizes:
            size.once()
    return [size.row() for size in sizes]


def table(rows: list[dict[str, Any]]) -> str:
    """The results in Markdown."""
    columns = ("names", "raw", "solve", "text", "verify", "ours", "pypfopt", "solve_to_raw",
               "ours_to_raw", "pypfopt_to_ours", "gap_bp_of_nav")  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    note = (
        "Best of the repeats, in milliseconds, one thread. `solve` is everything but the certificate's text and its "
        "check by the stand-alone verifier; `ours` is everything. Run `python benchmarks/rebalance.py`."
    )
    return "# A whole rebalance\n\n" + "\n".join(lines) + f"\n\n{note}\n"


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", type=int, default=[20, 100, 500, 1000])
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    rows = measure(chosen.names, chosen.repeat)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine, "rows": rows}
    (RESULTS / "rebalance.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "rebalance.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
