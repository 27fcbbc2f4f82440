"""From a portfolio, prices, signals and a rule book to orders with their proof, or to the rules in conflict.

In: a `Request`: rule book, snapshot, account, returns history or factor model. Out: `Rebalanced` or `Infeasible`.
Guaranteed: rows are confirmed against the evaluator before they are used; the certificate was accepted by the
stand-alone verifier; every order was decided like any other, wave by wave, with all earlier waves filled, and
approved. A name whose order is refused there stays as it is and the rest is solved again. Refused: `RowsRefused`,
`RowsMismatch`, the refusals of `solve.py`, `UndecidedError` where orders keep being refused. Before: `signals.py`,
`rows.py`, `solve.py`. After: `api/cli_rebalance.py`, notebooks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from typing import Any

from lexorder.engine.certificate import Objective, Problem, Row
from lexorder.engine.desk import Desk, Make, fast
from lexorder.engine.errors import SolverError
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.subjects import covering_rules
from lexorder.optimizers.board import Board
from lexorder.optimizers.confirm import confirm
from lexorder.optimizers.estimates import Aims, independent, risk_over
from lexorder.optimizers.explain import account_for, clashes_of, explain
from lexorder.optimizers.models import UNTOLD, Model, Steered
from lexorder.optimizers.objective import Book, mean_variance, track_weights
from lexorder.optimizers.outcome import Infeasible, Rebalanced
from lexorder.optimizers.refusals import UndecidedError
from lexorder.optimizers.release import Released, release
from lexorder.optimizers.row_units import names_of, unit_of, working_of
from lexorder.optimizers.rows import Refusal, RowSet, relevant, rows_of
from lexorder.optimizers.signal_rules import Reactor
from lexorder.optimizers.signals import SignalReport, through_rules
from lexorder.optimizers.solve import Conflict, Settings, Solution, solve
from lexorder.optimizers.targets import Sources, steered, stopped
from lexorder.optimizers.universe import Trading, account_fact, board_of, value_of_share

__all__ = ["Aims", "Model", "Rebalanced", "Request", "independent", "rebalance"]

ROUNDS_MAX = 5
"""Times the rest is solved again after orders were refused."""


@dataclass(frozen=True, slots=True)
class Request:
    """Everything a rebalance needs.

    `returns`: DataFrame of past returns with a column for each instrument (rows are periods), or a `FactorModel` per
    period whose columns are the snapshot's symbols in order. `vertices`: random vertices at which rows are confirmed.
    `model`: lexorder's own objective, or whose target weights are followed.
    `strict`: whether an old breach that cannot be cured makes the request infeasible, rather than stay (no worse).
    """

    book: RuleBook
    snapshot: Snapshot
    account: str
    returns: Any
    trading: Trading = field(default_factory=Trading)
    aims: Aims = field(default_factory=Aims)
    settings: Settings = field(default_factory=lambda: Settings(solver="cvxpy"))
    react: Reactor | None = None
    model: Model = field(default_factory=Model)
    make: Make = fast
    vertices: int = 2
    strict: bool = False
    progress: Callable[[str], None] = lambda _step: None


def rebalance(request: Request) -> Rebalanced | Infeasible:
    """Return accepted orders with their proof, or a proved conflict. Refused: see the module."""
    account = request.snapshot.accounts.get(request.account, {})
    rules = covering_rules(request.book.on(day_of(request.snapshot)), request.account, account)
    request.progress("signals through the rules")
    signals = through_rules(
        rules,
        request.book.vocabulary,
        request.snapshot,
        request.account,
        react=request.react,
        prior=request.aims.prior,
    )
    request.model.refuse_without(returns=True, signals=bool(signals.signals))
    most = dict(signals.most)
    if not request.model.is_native:  # what the rules keep a signal from, no target weight brings back
        most |= dict.fromkeys(stopped(signals), Fraction(0))
    steering: Steered | None = None
    left: list[Refusal] = []
    for _ in range(ROUNDS_MAX):
        stay = request.trading.stay | {r.subject for r in left}
        trading = replace(request.trading, stay=frozenset(stay), most=most, ordered=signals.ordered)
        plan = _Plan(replace(request, trading=trading), rules, signals)
        steering = steering or plan.steered()
        answer = plan.solved(steering)
        if isinstance(answer, Conflict):
            return explain(answer, plan.board, plan.found, request.book.hash, signals, steered=steering)
        stuck = plan.incurable(answer)
        if stuck is not None and request.strict:
            return explain(stuck, plan.board, plan.found, request.book.hash, signals, steered=steering)
        released = plan.released(answer)
        if not released.refused:
            done = account_for(
                plan.board,
                plan.found,
                plan.rules,
                solution=answer,
                released=released,
                signals=signals,
                left=(*plan.left, *left),
                steered=steering,
            )
            return done if stuck is None else replace(done, incurable=clashes_of(stuck, plan.found))
        left += released.refused
    raise UndecidedError("orders that are all approved when decided one by one")


def day_of(snapshot: Snapshot) -> date:
    """The trade date: `clock.date` where given, else the date of the snapshot's time."""
    today = snapshot.single.get("clock.date")
    return today if isinstance(today, date) else snapshot.time.date()


class _Plan:
    """One attempt: a board, its rows, a solve, a release."""

    def __init__(self, request: Request, rules: tuple[Rule, ...], signals: SignalReport) -> None:
        self.request, self.signals = request, signals
        snapshot, account = request.snapshot, request.account
        request.progress("rules to exact rows")
        self.board = board_of(snapshot, request.book.vocabulary, account, rules, request.trading)
        tags = snapshot.accounts[account].get("account.tags", frozenset())
        self.rules = relevant(rules, account, tags)  # type: ignore[arg-type]
        self.found: RowSet = rows_of(self.rules, self.board)
        request.progress("rows against the evaluator")
        self.confirmed = confirm(self.found, self.board, vertices=request.vertices)

    @property
    def left(self) -> tuple[Refusal, ...]:
        """Rules that stop trading for want of a fact."""
        return tuple(self.found.stopped)

    def steered(self) -> Steered:
        """What the objective is made of: the native model, or target weights, for which a library may be asked."""
        model, settings = self.request.model, self.request.settings
        if model.is_native:
            return Steered(model.told(self.request.aims.aversion, settings.solver))
        if model.kind.library:
            self.request.progress(f"target weights from {model.kind.library}")
        symbols = tuple(c.symbol for c in self.board.candidates)
        sources = Sources(self.request.returns, symbols, self.request.aims, settings.seconds)
        return steered(model, self.board, self.signals, sources)

    def solved(self, steering: Steered) -> Solution | Conflict:
        """Solve the integer problem."""
        self.request.progress("optimising in whole shares, with proof")
        objective = objective_of(self.board, self.signals, self.request, steering)
        return self._solve(tuple(self.found.rows), objective)

    def incurable(self, solution: Solution) -> Conflict | None:
        """Why old breaches that remain cannot be cured: the conflict once none is tolerated, where it is proved."""
        if not solution.uncured:
            return None
        try:
            answer = self._solve(tuple(replace(row, passive=False) for row in self.found.rows), None)
        except SolverError:
            return None
        return answer if isinstance(answer, Conflict) else None

    def _solve(self, rows: tuple[Row, ...], objective: Objective | None) -> Solution | Conflict:
        problem = Problem(names_of(self.board), working_of(self.board), rows, tuple(self.found.clauses), objective)
        book, snapshot = self.request.book.hash, self.request.snapshot.hash
        return solve(problem, rulebook=book, snapshot=snapshot, settings=self.request.settings)

    def released(self, solution: Solution) -> Released:
        """Decide the orders wave by wave."""
        self.request.progress("every order decided, wave by wave")
        desk = Desk(self.request.book, self.request.snapshot, self.request.book.vocabulary, self.request.make)
        return release(self.board, solution.waves, desk, self.confirmed)


def objective_of(board: Board, signals: SignalReport, request: Request, steered: Steered = UNTOLD) -> Objective:
    """What is minimised over the names of a board, in units: see `Aims`, or the distance to target weights."""
    book = book_of(board)
    if steered.tracks:
        return track_weights(book, _targets(board, steered))
    aims, symbols = request.aims, [c.symbol for c in board.candidates]
    expected = [float(signals.expected.get(s, Fraction(0))) for s in symbols]
    return mean_variance(
        book,
        expected,
        risk_over(request.returns, aims, symbols, signals.regimes),
        risk_aversion=aims.aversion,
        buy_cost=aims.cost,
        sell_cost=aims.cost,
    )


def _targets(board: Board, steered: Steered) -> list[Fraction]:
    """The weight of whole units to aim at, name by name: without the shares that make no whole lot."""
    wanted = {t.symbol: t.weight for t in steered.targets}
    nav = account_fact(board.projection, "account.nav")
    rests = ((c.symbol, unit_of(board, i)[1]) for i, c in enumerate(board.candidates))
    return [wanted.get(s, Fraction(0)) - rest * value_of_share(board.projection, s) / nav for s, rest in rests]


def book_of(board: Board) -> Book:
    """Marks of one unit of each name and NAV, as integers of one small money unit."""
    values = [value_of_unit(board, i) for i in range(len(board.candidates))]
    nav = account_fact(board.projection, "account.nav")
    # A name without a mark cannot be traded; any positive figure keeps its constant out of the way.
    scale = 10**8
    marks = [max(1, int(v * scale)) for v in values]
    return Book(marks, int(nav * scale), [name.held for name in names_of(board)])


def value_of_unit(board: Board, name: int) -> Fraction:
    """The account's money one unit (lot, or share) of a name is worth at the mark; 0 without a mark."""
    return unit_of(board, name)[0] * value_of_share(board.projection, board.candidates[name].symbol)
