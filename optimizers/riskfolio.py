"""Riskfolio-Lib as a source of target weights: mean-risk with many risk measures, and risk parity.

In: returns, one row per period and one column per name. Out: weights, long only, that sum to `invested`. They are
a proposal: `objective.track_weights` states the distance to them in integers, and `solve` accepts
whole units by the exact rows. Refused: `ModelError` for dirty returns or an unknown measure,
`ProposalError` where Riskfolio-Lib fails or finds nothing (it prints and returns None instead of raising), also for
want of time. Imported only when called: the import takes seconds. Before: the caller's returns. After: `targets.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lexorder.optimizers.models import GOALS, MEASURES
from lexorder.optimizers.pypfopt import SECONDS, checked_weights, surely, worded
from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.risk_models import Floats, checked_returns

LINEAR = ("MAD", "CVaR", "WR", "MDD", "CDaR")
"""Measures whose mean-risk programs are linear: HiGHS ends at a vertex where Clarabel only comes near."""


def mean_risk_weights(
    returns: Any,
    *,
    measure: str = "CVaR",
    goal: str = "MinRisk",
    risk_aversion: float = 2.0,
    cap: float = 1.0,
    invested: float = 1.0,
    expected: ArrayLike | None = None,
    seconds: float = SECONDS,
) -> Floats:
    """Return mean-risk weights, shape (N,), times `invested` (share of NAV).

    `returns`: shape (T, N). `measure`: one of `MEASURES`. `goal`: one of `GOALS`. `risk_aversion` is used by `Utility`.
    `cap`: largest weight before scaling. `expected`: return of each name a period, shape (N,), in place of the mean of
    `returns`. `seconds`: its solver's time. Refused: see the module.
    """
    _check(measure, goal, invested)
    if not (0 < risk_aversion < inf and 0 < cap < inf):
        raise ModelError("risk aversion and cap must be finite and above 0")
    portfolio = _portfolio(returns, seconds)
    portfolio.upperlng = cap
    if measure in LINEAR:
        portfolio.solvers = ["HIGHS", "CLARABEL"]
    if expected is not None:
        portfolio.mu = _expected(expected, portfolio.mu)
    found = _asked(portfolio.optimization, model="Classic", rm=measure, obj=goal, rf=0.0, l=risk_aversion, hist=True)
    return _weights(found, portfolio) * invested


def risk_parity_weights(
    returns: Any, *, measure: str = "MV", invested: float = 1.0, seconds: float = SECONDS
) -> Floats:
    """Return weights of equal risk contribution, shape (N,), times `invested` (share of NAV).

    `returns`: shape (T, N). `measure`: one of `MEASURES`. `seconds`: its solver's time. Refused: see the module.
    """
    _check(measure, GOALS[0], invested)
    portfolio = _portfolio(returns, seconds)
    found = _asked(portfolio.rp_optimization, model="Classic", rm=measure, rf=0.0, b=None, hist=True)
    return _weights(found, portfolio) * invested


def _check(measure: str, goal: str, invested: float) -> None:
    if measure not in MEASURES or goal not in GOALS:
        known = ", ".join((*MEASURES, *GOALS))
        raise ModelError(f"the risk measure and goal must be among {known}")
    if not 0 < invested <= 1:
        raise ModelError("the invested share must be above 0 and at most 1")


def _expected(given: ArrayLike, means: Any) -> Any:
    """Expected returns in the shape Riskfolio-Lib keeps its own means in. Raises ModelError."""
    wanted = np.asarray(given, dtype=float)
    if wanted.shape != (means.size,) or not np.isfinite(wanted).all():
        raise ModelError(f"expected returns must be {means.size} finite numbers")
    changed = means.copy()
    changed.iloc[:] = wanted.reshape(means.shape)
    return changed


def _portfolio(returns: Any, seconds: float) -> Any:
    data = checked_returns(returns)
    import pandas as pd
    import riskfolio

    frame = pd.DataFrame(data, columns=[f"n{i}" for i in range(data.shape[1])])
    portfolio = riskfolio.Portfolio(returns=frame)
    with redirect_stdout(StringIO()):  # it prints advice that nobody here could follow
        portfolio.assets_stats(method_mu="hist", method_cov="hist")
    portfolio.solvers = ["CLARABEL"]
    portfolio.sol_params = {solver: {"time_limit": seconds} for solver in ("HIGHS", "CLARABEL")}
    return portfolio


def _asked(ask: Callable[..., Any], **options: Any) -> Any:
    """What Riskfolio-Lib answers; its own exceptions and CVXPY's are refusals like any other."""
    try:
        with surely(), redirect_stdout(StringIO()):
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # it divides what it did not find
            # Riskfolio-Lib multiplies matrices in the way CVXPY warns about.
            warnings.filterwarnings("ignore", message="\\nThis use of ``\\*`` has resulted in matrix multiplication")
            return ask(**options)
    except Exception as error:
        raise ProposalError("Riskfolio-Lib", worded(error)) from None


def _weights(found: Any, portfolio: Any) -> Floats:
    if found is None:
        raise ProposalError("Riskfolio-Lib", "no solution")
    return checked_weights(found.to_numpy(), portfolio.returns.shape[1], "Riskfolio-Lib")
