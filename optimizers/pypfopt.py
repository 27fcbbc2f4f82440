"""PyPortfolioOpt as a source of target weights.

In: expected returns and a covariance. Out: weights, long only, that sum to `invested`. They are a proposal:
`objective.track_weights` states the distance to them in integers, and `solve` accepts whole units by the exact rows.
Refused: `ModelError` for inputs, `ProposalError` where PyPortfolioOpt or its solver reports anything but success, also
for want of time. Imported only here and in `risk_models.py`, when called. Before: the caller's estimates. After:
`targets.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lexorder.optimizers.refusals import ModelError, ProposalError
from lexorder.optimizers.risk_models import Floats

SECONDS = 10.0
"""A library's solver may take this long, unless told otherwise."""


def max_utility_weights(
    expected: ArrayLike,
    covariance: ArrayLike,
    *,
    risk_aversion: float,
    cap: float = 1.0,
    invested: float = 1.0,
    seconds: float = SECONDS,
) -> Floats:
    """Return the weights of `EfficientFrontier.max_quadratic_utility`, shape (N,), times `invested`.

    `expected`: shape (N,), `covariance`: shape (N, N), over one period. `cap`: largest weight before scaling;
    `invested`: share of NAV, above 0 and at most 1; `seconds`: its solver's time. Refused: see the module.
    """
    mean, dense = np.asarray(expected, dtype=float), np.asarray(covariance, dtype=float)
    fits = mean.ndim == 1 and dense.shape == (len(mean), len(mean))
    if not fits or not (np.isfinite(mean).all() and np.isfinite(dense).all()):
        raise ModelError("expected returns and covariance must be finite and of one size")
    if not (risk_aversion > 0 and 0 < invested <= 1 and cap * len(mean) >= 1):
        wanted = "risk aversion must be above 0, the invested share above 0 and at most 1"
        raise ModelError(f"{wanted}, and all names at the cap must make up 1")
    from cvxpy.error import SolverError as SolverFailed
    from pypfopt.efficient_frontier import EfficientFrontier
    from pypfopt.exceptions import OptimizationError

    options = {"time_limit": seconds}
    frontier: Any = EfficientFrontier(mean, dense, weight_bounds=(0.0, cap), solver="CLARABEL", solver_options=options)
    try:
        with surely():
            frontier.max_quadratic_utility(risk_aversion=risk_aversion)
    except (OptimizationError, SolverFailed, ValueError, UserWarning) as error:
        raise ProposalError("PyPortfolioOpt", worded(error)) from None
    return checked_weights(frontier.weights, len(mean), "PyPortfolioOpt") * invested


@contextmanager
def surely() -> Iterator[None]:
    """Within it CVXPY's word that a solution may be inaccurate, also for want of time, is raised as UserWarning.

    Both libraries would go on with such a solution.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Solution may be inaccurate")
        yield


def worded(error: Exception) -> str:
    """What a library's failure is called in a refusal; its own words may repeat the input."""
    return "inaccurate or out of time" if isinstance(error, UserWarning) else type(error).__name__


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
