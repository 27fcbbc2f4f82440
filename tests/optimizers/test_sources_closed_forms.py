"""Other libraries' weights against closed forms, where the books give one; and their failures, which are refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import riskfolio
from pypfopt.efficient_frontier import EfficientFrontier
from scipy.linalg import hadamard

from lexorder.optimizers.models import GOALS, MEASURES
from lexorder.optimizers.pypfopt import checked_weights, max_utility_weights
from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.risk_models import Floats
from lexorder.optimizers.riskfolio import mean_risk_weights, risk_parity_weights

SIGMA = np.array([0.01, 0.02, 0.04])
MU = np.array([0.001, 0.003, 0.002])
# Columns of a Hadamard matrix are orthogonal and of equal length: the sample covariance is exactly diagonal.
DATA: Floats = hadamard(16)[:, 1:4] * SIGMA
NEAR = 1e-4


def normed(weights: Any) -> Any:
    return np.asarray(weights) / np.sum(weights)


# ---- closed forms ----------------------------------------------------------------------------------------------------


def test_the_sample_covariance_is_diagonal_as_the_closed_forms_need():
    covariance = np.cov(DATA.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-18


@pytest.mark.parametrize("aversion", [2.0, 4.0, 10.0])
def test_two_independent_names_share_as_markowitz_says(aversion):
    # max μ'w - δ/2 w'Σw with w1 + w2 = 1: w1 = (μ1 - μ2 + δσ2²) / δ(σ1² + σ2²), here inside 0..1.
    mean, variance = np.array([0.1, 0.08]), np.array([0.04, 0.01])
    first = (mean[0] - mean[1] + aversion * variance[1]) / (aversion * variance.sum())
    found = max_utility_weights(mean, np.diag(variance), risk_aversion=aversion)
    assert found == pytest.approx([first, 1 - first], abs=NEAR)


def test_a_cap_moves_the_rest_to_the_others():
    found = max_utility_weights([0.5, 0.1, 0.1], np.eye(3) * 0.04, risk_aversion=1.0, cap=0.5)
    assert found == pytest.approx([0.5, 0.25, 0.25], abs=NEAR)


def test_risk_parity_of_independent_names_is_inverse_volatility():
    # Maillard, Roncalli and Teiletche (2010), section 2: equal correlations give weights in inverse volatility.
    assert risk_parity_weights(DATA) == pytest.approx(normed(1 / SIGMA), abs=NEAR)


def test_risk_parity_gives_equal_contributions_with_correlations_too():
    data = DATA + hadamard(16)[:, [5]] * 0.015
    weights, covariance = risk_parity_weights(data), np.cov(data.T)
    contributions = weights * (covariance @ weights)
    assert contributions / contributions.sum() == pytest.approx(np.full(3, 1 / 3), abs=1e-3)


def test_least_variance_of_independent_names_is_inverse_variance():
    assert mean_risk_weights(DATA, measure="MV") == pytest.approx(normed(1 / SIGMA**2), abs=NEAR)


def test_the_best_ratio_of_independent_names_is_return_over_variance():
    found = mean_risk_weights(DATA + MU, measure="MV", goal="Sharpe")
    assert found == pytest.approx(normed(MU / SIGMA**2), abs=NEAR)


def test_the_greatest_return_goes_to_the_best_up_to_the_cap():
    found = mean_risk_weights(DATA + MU, measure="MV", goal="MaxRet", cap=0.6)
    assert found == pytest.approx([0.0, 0.6, 0.4], abs=NEAR)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_gives_weights_of_which_each_is_at_least_nought(measure):
    rng = np.random.default_rng(3)
    found = mean_risk_weights(rng.normal(0.0005, 0.01, (60, 3)), measure=measure, invested=0.8)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(0.8, abs=1e-9)


@pytest.mark.parametrize("invested", [1e-6, 0.5, 1.0])
def test_invested_scales_all_weights_alike(invested):
    whole = risk_parity_weights(DATA)
    assert risk_parity_weights(DATA, invested=invested) == pytest.approx(whole * invested, rel=1e-3)
    mean, covariance = [0.1, 0.08], np.diag([0.04, 0.01])
    plain = max_utility_weights(mean, covariance, risk_aversion=4.0)
    assert max_utility_weights(mean, covariance, risk_aversion=4.0, invested=invested) == pytest.approx(
        plain * invested
    )


def test_a_single_name_gets_everything():
    assert max_utility_weights([0.1], [[0.04]], risk_aversion=4.0).tolist() == [1.0]
    assert risk_parity_weights(DATA[:, :1]).tolist() == [1.0]


# ---- what is refused before it is asked ------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "change",
    [
        {"risk_aversion": -1.0}, {"risk_aversion": 0.0}, {"risk_aversion": NAN}, {"risk_aversion": INF}, {"cap": 0.0},
        {"cap": NAN}, {"cap": -0.5}, {"invested": NAN}, {"invested": 1.0000001}, {"invested": -0.1},
        {"measure": "mv"}, {"goal": "minrisk"}, {"measure": ""},
    ],
)  # fmt: skip
def test_riskfolio_is_not_asked_for_nonsense(change):
    with pytest.raises(ModelError):
        mean_risk_weights(DATA, **change)


@pytest.mark.parametrize("change", [{"measure": "luck"}, {"invested": 0.0}])
def test_nor_for_parity_of_nonsense(change):
    with pytest.raises(ModelError):
        risk_parity_weights(DATA, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"expected": [0.1]}, {"expected": [[0.1, 0.2]]}, {"covariance": [[0.04]]}, {"covariance": [[NAN, 0], [0, 1]]},
        {"expected": [INF, 0.1]}, {"risk_aversion": NAN}, {"cap": 0.49}, {"cap": NAN}, {"invested": NAN},
        {"expected": [], "covariance": np.zeros((0, 0))},
    ],
)  # fmt: skip
def test_pypfopt_is_not_asked_for_nonsense(change):
    given: dict[str, Any] = {
        "expected": [0.1, 0.08],
        "covariance": np.diag([0.04, 0.01]),
        "risk_aversion": 4.0,
        **change,
    }
    with pytest.raises(ModelError):
        max_utility_weights(given.pop("expected"), given.pop("covariance"), **given)


def test_the_closed_lists_are_told_to_who_asks_for_another():
    with pytest.raises(ModelError) as refused:
        mean_risk_weights(DATA, measure="luck")
    assert all(known in refused.value.message for known in (*MEASURES, *GOALS))
    assert "luck" not in refused.value.message


# ---- failures of the libraries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [[1e300, 1.0], [1e200, -1e200]])
def test_a_solver_that_gives_up_is_a_refusal(expected):
    with pytest.raises(ProposalError, match="PyPortfolioOpt"):
        max_utility_weights(expected, np.diag([0.04, 0.1]), risk_aversion=4.0)


@pytest.mark.parametrize("error", [ValueError("a\nb"), RuntimeError("x"), KeyError("y")])
def test_whatever_riskfolio_raises_is_a_refusal_without_its_words(error, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(riskfolio.Portfolio, "optimization", fail)
    with pytest.raises(ProposalError) as refused:
        mean_risk_weights(DATA)
    assert refused.value.status == type(error).__name__
    assert refused.value.__cause__ is None


def test_riskfolio_without_an_answer_is_a_refusal(monkeypatch):
    monkeypatch.setattr(riskfolio.Portfolio, "optimization", lambda *_, **__: None)
    with pytest.raises(ProposalError, match="no solution"):
        mean_risk_weights(DATA)


def test_weights_pypfopt_did_not_find_are_a_refusal(monkeypatch):
    monkeypatch.setattr(EfficientFrontier, "max_quadratic_utility", lambda *_, **__: None)
    with pytest.raises(ProposalError, match="no weights"):
        max_utility_weights([0.1, 0.08], np.diag([0.04, 0.01]), risk_aversion=4.0)


@pytest.mark.parametrize(
    ("weights", "fine"),
    [
        ([0.5, 0.5], True),
        ([1.0 + 9e-7, -9e-7], True),
        ([1.0 + 2e-6, -2e-6], False),
        ([0.5, 0.5 + 9e-7], True),
        ([0.5, 0.5 + 2e-6], False),
        ([0.5, 0.5 - 2e-6], False),
        ([0.0, 0.0], False),
        ([INF, 0.0], False),
        ([[0.5], [0.5]], True),
    ],
)
def test_weights_are_taken_within_a_millionth_and_then_sum_to_one(weights, fine):
    if not fine:
        with pytest.raises(ProposalError):
            checked_weights(weights, 2, "X")
        return
    found = checked_weights(weights, 2, "X")
    assert found.sum() == pytest.approx(1.0, abs=1e-15)
    assert found.min() >= 0
