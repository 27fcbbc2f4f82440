"""Target weights of other libraries, through the same exact acceptance."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lexorder.engine.certificate import Function, Name, Problem, Row
from lexorder.optimizers.objective import Book, track_weights
from lexorder.optimizers.pypfopt import checked_weights, max_utility_weights
from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.riskfolio import mean_risk_weights, risk_parity_weights
from lexorder.optimizers.solve import Solution, solve

COUNT, NAV = 6, 10**11


def returns() -> np.ndarray:
    rng = np.random.default_rng(4)
    common = rng.normal(size=(120, 1)) * 0.008
    return common + rng.normal(size=(120, COUNT)) * 0.01 + 0.0004


def followed(weights: np.ndarray) -> Solution:
    """The weights as a target in a book with a 25% cap per name and no borrowing."""
    marks, held = [10**6 + 7 * i for i in range(COUNT)], [1000] * COUNT
    names = tuple(Name(f"n{i}", 1000, 0, 10**5) for i in range(COUNT))
    rows = [Row(f"cap/{i}", NAV // 4, ((i, Function.linear(m)),)) for i, m in enumerate(marks)]
    rows.append(Row("cash", NAV, tuple((i, Function.linear(m)) for i, m in enumerate(marks))))
    goal = track_weights(Book(marks, NAV, held), weights.tolist())
    answer = solve(Problem(names, (), tuple(rows), (), goal))
    assert isinstance(answer, Solution)
    got = np.array(answer.holdings) * np.array(marks) / NAV
    assert (got <= 0.25).all()
    small = weights < 0.2
    assert np.abs(got - weights)[small].max() < 0.06 if small.any() else True
    return answer


def test_pypfopt_proposes_and_exact_rows_decide() -> None:
    data = returns()
    weights = max_utility_weights(data.mean(0), np.cov(data.T), risk_aversion=5.0, cap=0.4)
    assert weights.sum() == pytest.approx(1.0)
    followed(weights)


@pytest.mark.parametrize(("measure", "goal"), [("CVaR", "MinRisk"), ("MV", "Utility")])
def test_riskfolio_mean_risk(measure: str, goal: str) -> None:
    weights = mean_risk_weights(returns(), measure=measure, goal=goal, invested=0.9)
    assert weights.sum() == pytest.approx(0.9)
    followed(weights)


def test_riskfolio_risk_parity() -> None:
    weights = risk_parity_weights(pd.DataFrame(returns()))
    assert (weights > 0.05).all()
    followed(weights)


@pytest.mark.parametrize("change", [{"measure": "luck"}, {"goal": "luck"}, {"invested": 0.0}, {"invested": 1.5}])
def test_unknown_measures_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        mean_risk_weights(returns(), **change)


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: max_utility_weights(returns().mean(0), np.cov(returns().T), risk_aversion=5.0, seconds=s),
        lambda s: mean_risk_weights(returns(), measure="MV", seconds=s),
        lambda s: mean_risk_weights(returns(), measure="CVaR", seconds=s),
        lambda s: risk_parity_weights(returns(), seconds=s),
    ],
    ids=["max_utility", "mean_risk", "linear", "risk_parity"],
)
def test_what_was_found_for_want_of_time_is_no_proposal(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProposalError) as refused:
        ask(1e-9)
    assert refused.value.code == "solver-status"
    assert ask(60.0).sum() == pytest.approx(1.0)
    assert capsys.readouterr().out == "", "Riskfolio-Lib prints where others raise"


def test_many_names_and_few_periods_have_least_risk_all_the_same() -> None:
    """Clarabel only comes near the optimum of this program; HiGHS ends at a vertex."""
    data = np.random.default_rng(3).normal(0.0005, 0.01, (150, 120))
    weights = mean_risk_weights(data, measure="CVaR")
    worst = -np.sort(data @ weights)[:8].mean()
    assert worst <= min(-np.sort(data @ w)[:8].mean() for w in np.eye(120))
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("goal", ["MaxRet", "Sharpe", "Utility"])
def test_expected_returns_take_the_place_of_past_means(goal: str) -> None:
    for best in range(COUNT):
        expected = np.full(COUNT, 0.0001)
        expected[best] = 0.05
        found = mean_risk_weights(returns(), measure="MV", goal=goal, expected=expected)
        assert found.argmax() == best


@pytest.mark.parametrize("expected", [[0.1], [0.1] * (COUNT - 1) + [float("nan")], [[0.1] * COUNT] * 2])
def test_expected_returns_that_do_not_fit_are_refused(expected: Any) -> None:
    with pytest.raises(ModelError, match="6 finite numbers"):
        mean_risk_weights(returns(), goal="Sharpe", expected=expected)


def test_an_impossible_cap_finds_nothing() -> None:
    with pytest.raises((ProposalError, ModelError)):
        mean_risk_weights(returns(), cap=0.05)


@pytest.mark.parametrize(
    "change", [{"risk_aversion": 0.0}, {"invested": 2.0}, {"cap": 0.1}, {"expected": [np.nan] * COUNT}]
)
def test_pypfopt_inputs_are_checked(change: dict[str, Any]) -> None:
    data = returns()
    arguments: dict[str, Any] = {"expected": data.mean(0), "risk_aversion": 5.0} | change
    with pytest.raises(ModelError):
        max_utility_weights(arguments.pop("expected"), np.cov(data.T), **arguments)


@pytest.mark.parametrize("weights", [None, [0.5, 0.6], [1.2, -0.2], [np.nan, 1.0], [1.0]])
def test_weights_that_are_none_are_refused(weights) -> None:
    with pytest.raises(ProposalError):
        checked_weights(weights, 2, "X")
