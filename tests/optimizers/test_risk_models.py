"""Factor models: near the sample covariance, and dirty returns refused by name."""

import numpy as np
import pandas as pd
import pytest

from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import (
    FactorModel,
    from_covariance,
    shrunk_factors,
    statistical_factors,
)


def market(periods: int = 400, names: int = 12) -> np.ndarray:
    rng = np.random.default_rng(5)
    common = rng.normal(size=(periods, 2)) * 0.02
    return common @ rng.normal(size=(2, names)) + rng.normal(size=(periods, names)) * 0.005


def test_variances_are_kept_and_covariances_are_near() -> None:
    returns = market()
    model = statistical_factors(returns, 2)
    sample = np.cov(returns.T)
    assert np.allclose(np.diag(model.covariance()), np.diag(sample))
    assert np.abs(model.covariance() - sample).max() < 0.02 * sample.max()


def test_the_number_of_factors_is_found_where_not_given() -> None:
    assert len(statistical_factors(market()).loadings) == 2


def test_all_factors_give_the_sample_back() -> None:
    returns = market(names=5)
    model = from_covariance(np.cov(returns.T), 5)
    assert np.allclose(model.covariance(), np.cov(returns.T), rtol=1e-4)


def test_a_regime_scales_volatility() -> None:
    model = statistical_factors(market(), 2)
    assert np.allclose(model.scaled(1.5).covariance(), 2.25 * model.covariance())
    with pytest.raises(ModelError, match="multiplier"):
        model.scaled(0.0)


def test_shrinkage_in_factor_form_is_near_the_shrunk_matrix() -> None:
    from pypfopt.risk_models import CovarianceShrinkage

    returns = market()
    dense = CovarianceShrinkage(pd.DataFrame(returns), returns_data=True, frequency=1).ledoit_wolf()
    model = shrunk_factors(returns, 2)
    assert isinstance(model, FactorModel)
    assert np.abs(model.covariance() - dense.to_numpy()).max() < 0.05 * dense.to_numpy().max()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda f: f.assign(ACME=np.nan), "`ACME`.*gaps"),
        (lambda f: f.assign(ACME=np.inf), "`ACME`.*infinities"),
        (lambda f: f.assign(ACME=0.01), "`ACME`.*never changes"),
        (lambda f: f.assign(ACME="x"), "numbers"),
        (lambda f: f.head(2), "3 periods"),
    ],
)
def test_dirty_returns_are_refused_by_column(spoil, text: str) -> None:
    frame = pd.DataFrame(market(), columns=["ACME", *[f"N{i}" for i in range(11)]])
    with pytest.raises(ModelError, match=text):
        statistical_factors(spoil(frame), 2)


@pytest.mark.parametrize("factors", [0, 13])
def test_a_number_of_factors_out_of_range_is_refused(factors: int) -> None:
    with pytest.raises(ModelError, match="number of factors"):
        statistical_factors(market(), factors)
    with pytest.raises(ModelError, match="number of factors"):
        from_covariance(np.eye(12), factors)


def test_a_covariance_that_is_not_square_is_refused() -> None:
    with pytest.raises(ModelError, match="square"):
        from_covariance(np.ones((2, 3)), 1)
