"""Factor models of risk from a matrix of returns.

In: returns, one row per period and one column per name. Out: a `FactorModel`, covariance =
loadings' loadings + diag(idiosyncratic), per period. Guaranteed: loadings and idiosyncratic variances
are finite, the latter not negative. Refused, by `ModelError`, naming the column: gaps, infinities,
constant columns, too few periods or names. Why factor form: a dense covariance beyond 100 names is the
one choice that makes the optimizer 30 times slower. Floats throughout: a risk model is an estimate, it
never decides. Before: the caller's data. After: `objective.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexorder.optimizers.refusals import ModelError

Floats = NDArray[np.float64]

PERIODS_MIN = 3
"""Below this no variance estimate means anything."""


@dataclass(frozen=True, slots=True)
class FactorModel:
    """Covariance of returns as `loadings.T @ loadings + diag(idiosyncratic)`, per period.

    `loadings`: shape (K, N), factor volatilities included. `idiosyncratic`: shape (N,), variances.
    """

    loadings: Floats
    idiosyncratic: Floats

    def covariance(self) -> Floats:
        """Return the dense covariance, shape (N, N); for tests and small books only."""
        dense: Floats = self.loadings.T @ self.loadings + np.diag(self.idiosyncratic)
        return dense

    def scaled(self, multiplier: float) -> FactorModel:
        """Return the model with volatilities times `multiplier` (a regime, e.g. 1.5 when stressed).

        Refused by `ModelError`: a multiplier that is not finite and above 0.
        """
        if not (np.isfinite(multiplier) and multiplier > 0):
            raise ModelError("a regime multiplier must be finite and above 0")
        return FactorModel(self.loadings * multiplier, self.idiosyncratic * multiplier**2)


def checked_returns(returns: Any) -> Floats:
    """Return `returns` (DataFrame or array-like, shape (T, N)) as floats, after refusing dirty data.

    Refused by `ModelError`: another shape, fewer than 3 periods, a gap or an infinity, a column
    that never changes. Columns are named as the DataFrame names them, otherwise by number.
    """
    labels = [str(c) for c in returns.columns] if hasattr(returns, "columns") else None
    try:
        data = np.asarray(returns, dtype=float)
    except (TypeError, ValueError):
        raise ModelError("returns must be numbers") from None
    if data.ndim != 2 or data.shape[0] < PERIODS_MIN or data.shape[1] < 1:
        raise ModelError(f"returns need {PERIODS_MIN} periods or more and at least one name")
    _refuse_columns(~np.isfinite(data).all(axis=0), "has gaps or infinities", labels)
    _refuse_columns(np.ptp(data, axis=0) == 0, "never changes", labels)
    return data


def _refuse_columns(bad: NDArray[np.bool_], why: str, labels: list[str] | None) -> None:
    columns = np.flatnonzero(bad).tolist()
    if columns:
        names = ", ".join(f"`{labels[c][:40] if labels else c}`" for c in columns[:5])
        raise ModelError(f"returns of {names} ({len(columns)} columns): {why}")


def statistical_factors(returns: Any, factors: int | None = None) -> FactorModel:
    """Return the principal-component factor model of `returns` (shape (T, N)).

    `factors`: how many components, 1..min(T - 1, N); None keeps those above the upper edge of the
    Marchenko-Pastur law for the correlation matrix (at least 1), the usual cut between signal and
    noise. What they leave of each variance is idiosyncratic, at least 1e-6 of it, so that no
    portfolio looks free of risk. Refused by `ModelError`: as `checked_returns`; `factors` out of range.
    """
    data = checked_returns(returns)
    periods, names = data.shape
    most = min(periods - 1, names)
    volatility = data.std(axis=0, ddof=1)
    standard = (data - data.mean(axis=0)) / volatility / np.sqrt(periods - 1)
    # The singular values of the standardised returns are the roots of the correlation's eigenvalues.
    _, singular, directions = np.linalg.svd(standard, full_matrices=False)
    count = _noise_cut(singular**2, names / periods) if factors is None else factors
    if not 1 <= count <= most:
        raise ModelError(f"the number of factors must be 1 to {most}")
    correlation_loadings = singular[:count, None] * directions[:count]
    left = np.maximum(1.0 - (correlation_loadings**2).sum(axis=0), 1e-6)
    return FactorModel(correlation_loadings * volatility, left * volatility**2)


def _noise_cut(eigenvalues: Floats, ratio: float) -> int:
    return max(1, int((eigenvalues > (1.0 + np.sqrt(ratio)) ** 2).sum()))


def from_covariance(covariance: ArrayLike, factors: int) -> FactorModel:
    """Return the `factors` largest eigenvectors of `covariance` (shape (N, N)) in factor form.

    The remaining variance of each name becomes idiosyncratic (at least 1e-6 of it), so variances are kept and small
    covariances dropped. Refused by `ModelError`: not square, not finite, `factors` out of range.
    """
    dense = np.asarray(covariance, dtype=float)
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1] or not np.isfinite(dense).all():
        raise ModelError("a covariance must be square and finite")
    if not 1 <= factors <= len(dense):
        raise ModelError(f"the number of factors must be 1 to {len(dense)}")
    values, vectors = np.linalg.eigh((dense + dense.T) / 2)
    top = np.maximum(values[::-1][:factors], 0.0)
    loadings = np.sqrt(top)[:, None] * vectors[:, ::-1][:, :factors].T
    variance = np.diag(dense)
    left = np.maximum(variance - (loadings**2).sum(axis=0), 1e-6 * variance)
    return FactorModel(loadings, left)


def shrunk_factors(returns: Any, factors: int) -> FactorModel:
    """Return PyPortfolioOpt's Ledoit-Wolf shrinkage of `returns` (shape (T, N)) in factor form.

    Per period (PyPortfolioOpt's annual figure divided back). Refused by `ModelError`: as
    `checked_returns` and `from_covariance`. Imports PyPortfolioOpt only here.
    """
    data = checked_returns(returns)
    import pandas as pd
    from pypfopt.risk_models import CovarianceShrinkage

    shrinkage = CovarianceShrinkage(pd.DataFrame(data), returns_data=True, frequency=1)
    return from_covariance(shrinkage.ledoit_wolf().to_numpy(), factors)
