"""The steps of a rebalance by themselves: the day, the book in integers, risk, rounds that end, and equal answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lexorder.engine.errors import SolverError, UsageError
from lexorder.engine.facts import load_snapshot
from lexorder.optimizers import rebalance as module
from lexorder.optimizers.board import Board
from lexorder.optimizers.estimates import risk_of
from lexorder.optimizers.outcome import Infeasible, Rebalanced
from lexorder.optimizers.rebalance import (
    ROUNDS_MAX,
    Aims,
    book_of,
    day_of,
    independent,
    objective_of,
    rebalance,
    value_of_unit,
)
from lexorder.optimizers.refusals import ModelError, UndecidedError
from lexorder.optimizers.release import Released, release
from lexorder.optimizers.risk_models import FactorModel
from lexorder.optimizers.rows import Refusal
from lexorder.optimizers.signals import SignalReport
from lexorder.optimizers.solve import Settings, solve
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, NOW, VOCABULARY
from tests.optimizers.test_rebalance import CAP, asked, done
from tests.optimizers.test_rows import rule, small

NOTHING = SignalReport((), {}, {})


def board(given: dict[str, Any], **trading: Any) -> Board:
    return board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, (), Trading(**{"trader": "T-1", **trading}))


# ---- the day ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "day"),
    [
        (NOW, date(2026, 6, 15)),
        ("2026-06-15T23:59:59-04:00", date(2026, 6, 15)),
        ("2026-06-16T03:59:59+00:00", date(2026, 6, 15)),  # an hour before midnight in New York is the same day
        ("2026-06-16T04:00:00+00:00", date(2026, 6, 16)),
    ],
)
def test_the_trade_date_is_the_exchange_s(time, day):
    given: dict[str, Any] = {**small(1), "time": time}
    given["instruments"][0]["mark_time"] = time
    assert day_of(load_snapshot(given, VOCABULARY)) == day


def test_without_a_calendar_it_is_the_date_of_the_snapshot():
    snapshot = load_snapshot(small(1), VOCABULARY)
    bare = replace(snapshot, single={k: v for k, v in snapshot.single.items() if k != "clock.date"})
    assert day_of(bare) == snapshot.time.date()


# ---- the book --------------------------------------------------------------------------------------------------------


def test_marks_are_those_of_a_lot_in_the_account_s_money():
    given: dict[str, Any] = {**small(13, 5, lot=10), "fx": {"base": "USD", "EUR": "1.5"}}
    given["instruments"][1] |= {"currency": "EUR", "mark": "0.3333"}
    found = board(given)
    assert [value_of_unit(found, n) for n in range(2)] == [100, 10 * Fraction("0.3333") * Fraction(3, 2)]
    book = book_of(found)
    assert (book.marks, book.nav, book.held) == ([100 * 10**8, 499_950_000], 1000 * 10**8, [1, 0])


def test_a_name_without_a_mark_stands_in_the_book_and_cannot_move():
    given: dict[str, Any] = small(3, 5)
    del given["instruments"][0]["mark"]
    found = board(given)
    assert value_of_unit(found, 0) == 0
    assert book_of(found).marks == [1, 10 * 10**8]
    assert (found.candidates[0].lower, found.candidates[0].upper) == (3, 3)


# ---- risk ------------------------------------------------------------------------------------------------------------


def test_names_that_move_independently_have_no_covariance():
    model = independent(3, 0.02)
    assert np.allclose(model.covariance(), np.eye(3) * 0.0004)


def test_a_given_model_is_taken_as_it_is():
    request = asked(CAP, small(1, 1))
    model = FactorModel(np.ones((1, 2)), np.ones(2))
    assert risk_of(model, request.aims, ["A", "B"]) is model


@pytest.mark.parametrize("kind", ["factors", "shrinkage"])
def test_both_kinds_of_model_keep_each_name_s_own_variance_in_order(kind):
    rng = np.random.default_rng(5)
    history = pd.DataFrame(rng.normal(size=(200, 3)) * [0.03, 0.01, 0.02], columns=["B", "A", "C"])
    request = replace(asked(CAP, small(1, 1, 1)), returns=history, aims=Aims(model=kind))
    variances = risk_of(request.returns, request.aims, ["A", "B", "C"]).covariance().diagonal()
    assert list(np.argsort(variances)) == [0, 2, 1], "A calmest, then C, then B"


@pytest.mark.parametrize(("history", "words"), [({"A": [0.1, 0.2]}, "column for B"), ({}, "column for A, B")])
def test_a_name_without_history_is_named(history, words):
    request = replace(asked(CAP, small(1, 1)), returns=pd.DataFrame(history))
    with pytest.raises(ModelError, match=words):
        risk_of(request.returns, request.aims, ["A", "B"])


def test_of_many_names_without_history_five_are_named():
    request = replace(asked(CAP, small(1)), returns=pd.DataFrame({}))
    with pytest.raises(ModelError) as refused:
        risk_of(request.returns, request.aims, [f"N{n}" for n in range(9)])
    assert refused.value.message.endswith("N0, N1, N2, N3, N4")


def test_a_name_in_a_volatile_regime_has_its_volatility_multiplied():
    request = replace(asked(CAP, small(0, 0)), aims=Aims(aversion=2.0, periods=4.0, regime=3.0, cost=0.0))
    found = board(small(0, 0))
    calm, wild = (objective_of(found, replace(NOTHING, regimes=r), request) for r in (frozenset[str](), frozenset("B")))

    def curvature(goal: Any, name: int) -> Fraction:
        unit = Fraction(goal.unit.split()[0])
        return goal.functions[name][1].polys[0][2] * unit  # type: ignore[no-any-return]

    # 2/2 · 4 periods · 0.02² · (10/1000)² a share squared
    assert float(curvature(calm, 1)) == pytest.approx(4 * 0.0004 * 1e-4, rel=1e-5)
    assert float(curvature(wild, 1) / curvature(calm, 1)) == pytest.approx(9.0, rel=1e-5)
    assert float(curvature(wild, 0) / curvature(calm, 0)) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "magic"},
        {"model": "Factors"},
        {"periods": 0.0},
        {"periods": -1.0},
        {"periods": float("nan")},
        {"periods": float("inf")},
        {"regime": 0.0},
        {"regime": float("nan")},
    ],
)
def test_aims_that_make_no_sense_are_refused(change):
    with pytest.raises(ModelError) as refused:
        Aims(**change)
    assert refused.value.code == "model-input"


@pytest.mark.parametrize(
    ("loadings", "variances", "words"),
    [
        (np.zeros((1, 1)), np.ones(1), "must have 2 names"),  # numpy would stretch it
        (np.zeros((1, 3)), np.ones(3), "must have 2 names"),
        (np.zeros((1, 2)), np.ones(1), "must have 2 names"),
        (np.zeros(2), np.ones(2), "must have 2 names"),
        (np.full((1, 2), np.nan), np.ones(2), "must be finite"),
        (np.zeros((1, 2)), np.array([1.0, np.inf]), "must be finite"),
        (np.zeros((1, 2)), np.array([1.0, -1e-9]), "not negative"),
    ],
)
def test_a_risk_model_of_other_names_or_no_figures_is_refused(loadings, variances, words):
    request = replace(asked(CAP, small(0, 0), A="0.05"), returns=FactorModel(loadings, variances))
    with pytest.raises(ModelError, match=words):
        rebalance(request)


@pytest.mark.parametrize(
    "change", [{"solver": "gurobi"}, {"seconds": -1.0}, {"seconds": float("nan")}, {"waves_max": 0}]
)
def test_budgets_that_make_no_sense_are_refused(change):
    with pytest.raises(UsageError) as refused:
        Settings(**change)
    assert refused.value.code == "bad-setting"
    assert "gurobi" not in refused.value.message, "what was asked for is not repeated"


# ---- rounds ----------------------------------------------------------------------------------------------------------


def test_orders_that_keep_being_refused_end_without_an_answer(monkeypatch):
    calls = []

    def refusing(board: Board, waves: Any, desk: Any, confirmed: int) -> Released:
        calls.append([c.symbol for c in board.candidates if c.buy or c.sell])
        return Released((), (), desk.snapshot, confirmed, (Refusal("r", "NOBODY", "never"),))

    monkeypatch.setattr(module, "release", refusing)
    with pytest.raises(UndecidedError, match="approved when decided one by one") as refused:
        rebalance(asked(CAP, small(0, 0), A="0.05"))
    assert refused.value.code == "undecided"
    assert len(calls) == ROUNDS_MAX


def test_each_round_leaves_the_refused_names_as_they_are(monkeypatch):
    rounds: list[list[str]] = []

    def choosy(board: Board, waves: Any, desk: Any, confirmed: int) -> Released:
        free = [c.symbol for c in board.candidates if c.buy is not None]
        rounds.append(free)
        if len(rounds) < 3:
            return Released((), (), desk.snapshot, confirmed, (Refusal("r", free[0], f"round {len(rounds)}"),))
        return release(board, waves, desk, confirmed)

    monkeypatch.setattr(module, "release", choosy)
    result = rebalance(asked(CAP, small(0, 0, 0), A="0.05", B="0.05", C="0.05"))
    assert isinstance(result, Rebalanced)
    assert rounds == [["A", "B", "C"], ["B", "C"], ["C"]]
    assert [o.symbol for o in result.orders] == ["C"]
    assert [(r.subject, r.why) for r in result.left_out] == [("A", "round 1"), ("B", "round 2")]


def test_an_old_breach_whose_proof_fails_is_tolerated_and_not_called_infeasible(monkeypatch):
    patience = rule("sum(order.filled) <= 4").replace("rule: r", "rule: patience")
    request = asked(CAP + patience, small(30, 0), A="0.05")
    assert isinstance(rebalance(replace(request, strict=True)), Infeasible)

    def failing(problem: Any, **options: Any) -> Any:
        if problem.objective is None:
            raise SolverError("undecided", "no proof in the time given")
        return solve(problem, **options)

    monkeypatch.setattr(module, "solve", failing)
    result = rebalance(replace(request, strict=True))
    assert isinstance(result, Rebalanced)
    assert result.incurable == ()


# ---- equal answers ---------------------------------------------------------------------------------------------------


def test_the_same_request_gives_the_same_certificate_and_orders():
    request = asked(
        CAP + rule("account.after.cash >= 100").replace("rule: r", "rule: cash"), small(25, 3), A="0.01", B="0.04"
    )
    one, other = done(request), done(request)
    assert one.certificate == other.certificate
    assert one.to_json() == other.to_json()


def test_what_goes_on_is_told_step_by_step():
    told: list[str] = []
    done(replace(asked(CAP, small(0), A="0.05"), progress=told.append))
    assert told == [
        "signals through the rules",
        "rules to exact rows",
        "rows against the evaluator",
        "optimising in whole shares, with proof",
        "every order decided, wave by wave",
    ]
