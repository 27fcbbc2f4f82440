"""What is expected and how risky it is: the estimates that both the native objective and the libraries are given.

In: a returns history or a factor model, `Aims`, the names in a volatile regime. Out: a `FactorModel` over the horizon,
or past returns as scenarios. Guaranteed: columns are matched by symbol; a volatile regime widens the returns of its
names in both alike. Refused (`ModelError`): a symbol without history, a factor model for another number of names, and
what `risk_models.py` refuses; (`UsageError` `returns-needed`) scenarios where only a factor model is given. Floats: an
estimate never decides. Before: `risk_models.py`. After: `targets.py`, `rebalance.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from lexorder.engine.errors import UsageError
from lexorder.optimizers.refusals import ModelError
from lexorder.optimizers.risk_models import (
    FactorModel,
    Floats,
    checked_returns,
    shrunk_factors,
    statistical_factors,
)

RISK_MODELS = ("factors", "shrinkage")


@dataclass(frozen=True, slots=True)
class Aims:
    """What is optimised: `μ'w - aversion/2 · w'Σw - costs`, weights in NAV, over `periods` of the returns history.

    `cost`: fraction of the traded value expected to be lost. `regime`: volatility multiplier of names in a volatile
    regime. `model`: `factors` (principal components) or `shrinkage` (PyPortfolioOpt's Ledoit-Wolf in factor form).
    `prior`: expected return over the periods of a name without a live signal, exact. Floats: an estimate,
    which never decides. Refused (`ModelError`): another model, periods or a multiplier that are not above 0.
    """

    aversion: float = 15.0
    periods: float = 5.0
    cost: float = 0.0005
    regime: float = 1.5
    model: str = "factors"
    prior: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if self.model not in RISK_MODELS:
            raise ModelError(f"the model must be one of {', '.join(RISK_MODELS)}")
        if not (0 < self.periods < inf and 0 < self.regime < inf):
            raise ModelError("periods and the regime's multiplier must be finite and above 0")


def risk_over(returns: Any, aims: Aims, symbols: list[str], regimes: Collection[str]) -> FactorModel:
    """The factor model of the listed names over the horizon, wider for names in a volatile regime."""
    model = risk_of(returns, aims, symbols).scaled(aims.periods**0.5)
    stressed = _stress(aims, symbols, regimes)
    return FactorModel(model.loadings * stressed, model.idiosyncratic * [m * m for m in stressed])


def risk_of(returns: Any, aims: Aims, symbols: list[str]) -> FactorModel:
    """The factor model per period of the listed names. Raises ModelError, naming a symbol without history."""
    if isinstance(returns, FactorModel):
        return _fitting(returns, len(symbols))
    history = _history(returns, symbols)
    if aims.model == "shrinkage":
        return shrunk_factors(history, min(5, len(symbols)))
    return statistical_factors(history)


def scenarios(returns: Any, aims: Aims, symbols: list[str], regimes: Collection[str]) -> Floats:
    """Past returns per period of the listed names, shape (T, N); wider about their mean in a volatile regime.

    Raises ModelError, and UsageError `returns-needed` where there is no history.
    """
    if isinstance(returns, FactorModel):
        raise UsageError("returns-needed", "this model needs past returns, not a factor model")
    data = checked_returns(_history(returns, symbols))
    mean = data.mean(axis=0)
    wider: Floats = mean + (data - mean) * np.array(_stress(aims, symbols, regimes))
    return wider


def _history(returns: Any, symbols: list[str]) -> Any:
    """The columns of the listed names. Raises ModelError, naming symbols without one."""
    absent = [s for s in symbols if s not in returns.columns]
    if absent:
        raise ModelError(f"the returns history has no column for {', '.join(absent[:5])}")
    found = returns[symbols]
    if found.shape[1] != len(symbols):
        raise ModelError("the returns history has a column twice")
    return found


def _stress(aims: Aims, symbols: Sequence[str], regimes: Collection[str]) -> list[float]:
    return [aims.regime if s in regimes else 1.0 for s in symbols]


def _fitting(model: FactorModel, names: int) -> FactorModel:
    """A given model, once it is one of these names: numpy would stretch a single column over all of them."""
    if model.loadings.shape[1:] != (names,) or model.idiosyncratic.shape != (names,):
        raise ModelError(f"the risk model must have {names} names")
    finite = np.isfinite(model.loadings).all() and np.isfinite(model.idiosyncratic).all()
    if not finite or (model.idiosyncratic < 0).any():
        raise ModelError("a risk model must be finite, and its variances not negative")
    return model


def independent(names: int, volatility: float) -> FactorModel:
    """Names that move independently with one volatility a period: what is left to assume without a history."""
    return FactorModel(np.zeros((1, names)), np.full(names, volatility**2))
