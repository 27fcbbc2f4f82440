"""Riskfolio-Lib as a source of target weights: mean-risk with many risk measures, and risk parity.

In: returns, one row per period and one column per name. Out: weights, long only, that sum to `invested`. They are
a proposal: `objective.track_weights` states the distance to them in integers, and `solve` accepts
whole units by the exact rows. Refused: `ModelError` for dirty returns or an unknown measure,
`ProposalError` where Riskfolio-Lib fails or finds nothing (it returns None instead of raising). Imported only when
called: the import takes seconds. Before: the caller's returns. After: `objective.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import inf
from typing import Any

from lexorder.optimizers.pypfopt import checked_weights
from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.risk_models import Floats, checked_returns

MEASURES = ("MV", "MAD", "MSV", "CVaR", "EVaR", "WR", "MDD", "CDaR")
"""Risk measures passed on, by Riskfolio-Lib's own codes."""

GOALS = ("MinRisk", "Utility", "Sharpe", "MaxRet")


def mean_risk_weights(
    returns: Any,
    *,
    measure: str = "CVaR",
    goal: str = "MinRisk",
    risk_aversion: float = 2.0,
    cap: float = 1.0,
    invested: float = 1.0,
) -> Floats:
    """Return mean-risk weights, shape (N,), times `invested` (share of NAV).

    `returns`: shape (T, N). `measure`: one of `MEASURES`. `goal`: one of `GOALS`. `risk_aversion` is
    used by `Utility`. `cap`: largest weight before scaling. Refused: see the module.
    """
    _check(measure, goal, invested)
    if not (0 < risk_aversion < inf and 0 < cap < inf):
        raise ModelError("risk aversion and cap must be finite and above 0")
    portfolio = _portfolio(returns)
    portfolio.upperlng = cap
    found = _asked(portfolio.optimization, model="Classic", rm=measure, obj=goal, rf=0.0, l=risk_aversion, hist=True)
    return _weights(found, portfolio) * invested


def risk_parity_weights(returns: Any, *, measure: str = "MV", invested: float = 1.0) -> Floats:
    """Return weights of equal risk contribution, shape (N,), times `invested` (share of NAV).

    `returns`: shape (T, N). `measure`: one of `MEASURES`. Refused: see the module.
    """
    _check(measure, GOALS[0], invested)
    portfolio = _portfolio(returns)
    found = _asked(portfolio.rp_optimization, model="Classic", rm=measure, rf=0.0, b=None, hist=True)
    return _weights(found, portfolio) * invested


def _check(measure: str, goal: str, invested: float) -> None:
    if measure not in MEASURES or goal not in GOALS:
        known = ", ".join((*MEASURES, *GOALS))
        raise ModelError(f"the risk measure and goal must be among {known}")
    if not 0 < invested <= 1:
        raise ModelError("the invested share must be above 0 and at most 1")


def _portfolio(returns: Any) -> Any:
    data = checked_returns(returns)
    import pandas as pd
    import riskfolio

    frame = pd.DataFrame(data, columns=[f"n{i}" for i in range(data.shape[1])])
    portfolio = riskfolio.Portfolio(returns=frame)
    portfolio.assets_stats(method_mu="hist", method_cov="hist")
    portfolio.solvers = ["CLARABEL"]
    return portfolio


def _asked(ask: Callable[..., Any], **options: Any) -> Any:
    """What Riskfolio-Lib answers; its own exceptions and CVXPY's are refusals like any other."""
    try:
        with warnings.catch_warnings():
            # Riskfolio-Lib multiplies matrices in the way CVXPY warns about.
            warnings.filterwarnings("ignore", message="\\nThis use of ``\\*`` has resulted in matrix multiplication")
            return ask(**options)
    except Exception as error:
        raise ProposalError("Riskfolio-Lib", type(error).__name__) from None


def _weights(found: Any, portfolio: Any) -> Floats:
    if found is None:
        raise ProposalError("Riskfolio-Lib", "no solution")
    return checked_weights(found.to_numpy(), portfolio.returns.shape[1], "Riskfolio-Lib")
