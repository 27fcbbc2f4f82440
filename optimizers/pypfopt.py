"""PyPortfolioOpt as a source of target weights.

In: expected returns and a covariance or returns. Out: weights, long only, that sum to `invested`. They are a
proposal: `objective.track_weights` states the distance to them in integers, and `solve` accepts whole
units by the exact rows. Refused: `ModelError` for inputs, `ProposalError` where PyPortfolioOpt or its
solver reports anything but success. Imported only here and in `risk_models.py`, when called.
Before: the caller's estimates. After: `objective.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.risk_models import Floats


def max_utility_weights(
    expected: ArrayLike,
    covariance: ArrayLike,
    *,
    risk_aversion: float,
    cap: float = 1.0,
    invested: float = 1.0,
) -> Floats:
    """Return the weights of `EfficientFrontier.max_quadratic_utility`, shape (N,), times `invested`.

    `expected`: shape (N,), `covariance`: shape (N, N), over one period. `cap`: largest weight
    before scaling; `invested`: share of NAV, above 0 and at most 1. Refused: see the module.
    """
    mean, dense = np.asarray(expected, dtype=float), np.asarray(covariance, dtype=float)
    fits = mean.ndim == 1 and dense.shape == (len(mean), len(mean))
    if not fits or not (np.isfinite(mean).all() and np.isfinite(dense).all()):
        raise ModelError("expected returns and covariance must be finite and of one size")
    if not (risk_aversion > 0 and 0 < invested <= 1 and cap * len(mean) >= 1):
        raise ModelError("risk aversion, invested share or cap out of range")
    from cvxpy.error import SolverError as SolverFailed
    from pypfopt.efficient_frontier import EfficientFrontier
    from pypfopt.exceptions import OptimizationError

    frontier: Any = EfficientFrontier(mean, dense, weight_bounds=(0.0, cap), solver="CLARABEL")
    try:
        frontier.max_quadratic_utility(risk_aversion=risk_aversion)
    except (OptimizationError, SolverFailed, ValueError) as error:
        raise ProposalError("PyPortfolioOpt", type(error).__name__) from None
    return checked_weights(frontier.weights, len(mean), "PyPortfolioOpt") * invested


def checked_weights(weights: Any, count: int, library: str) -> Floats:
    """Return `weights` as floats that are finite, not negative and sum to 1 (within 1e-6, then exactly scaled).

    `library` is named in the refusal. Refused by `ProposalError`: anything else.
    """
    found = np.asarray(weights, dtype=float).reshape(-1) if weights is not None else np.zeros(0)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ProposalError(library, "no weights")
    if found.min() < -1e-6 or abs(found.sum() - 1) > 1e-6:
        raise ProposalError(library, "weights that are negative or do not sum to 1")
    clean: Floats = np.maximum(found, 0.0)
    scaled: Floats = clean / clean.sum()
    return scaled
