"""Two small walk-forward models that turn prices into signals.

In: daily closes. Out: signals as documents (`expected_return`, `confidence`, `reward_risk`), and what the models were
worth out of sample. Guaranteed: no look-ahead (a model that predicts day *t* was fitted on outcomes known before it);
the same result each time. Refused (`UsageError`): scikit-learn is not installed. Why so small: this shows the path
from a model to orders; it is no claim that these signals make money, and the out-of-sample record is printed beside
them. Before: `demo_data.py`. After: `cli_demo.py`.

The trend model is a ridge regression of the next five days' return on past returns of four lengths; the reversal
model a shallow forest on short-term features. Confidence is the share of right signs of a name's last 60 weekly
predictions out of sample; reward to risk the mean of the best tenth of what following them gained over the mean loss
when they were wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexorder.api.demo_data import ACCOUNT, Market, decimal
from lexorder.engine.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

HORIZON = 5
"""Trading days ahead."""
WEEKS = 60
"""Weekly predictions out of sample."""
REFIT = 12
"""Weeks between two fits."""
TRAINING = 252 * 4
"""Days a model learns from."""


@dataclass(frozen=True, slots=True)
class Track:
    """How a model's weekly predictions did out of sample: predicted and realised, shape (weeks, names)."""

    strategy: str
    predicted: NDArray[np.float64]
    realised: NDArray[np.float64]

    @property
    def hit_rate(self) -> float:
        """Share of right signs over all names and weeks."""
        return float((self.predicted * self.realised > 0).mean())


@dataclass(frozen=True, slots=True)
class Modelled:
    """Signals for the day after the last close, and the track record of each model."""

    signals: list[dict[str, str]]
    tracks: list[Track]


def model_signals(market: Market, *, weeks: int = WEEKS, progress: Callable[[], None] = lambda: None) -> Modelled:
    """Walk both models forward and signal each name; `progress` is called after each fit."""
    import numpy as np

    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UsageError(
            "demo-data", "the demonstration's models need scikit-learn: `make setup` installs it"
        ) from None
    signals: list[dict[str, str]] = []
    tracks = []
    closes = market.closes.iloc[-(TRAINING + HORIZON * (weeks + 2) + 260) :]
    outcome = (closes.shift(-HORIZON) / closes - 1).to_numpy()
    for strategy, features, make in _models():
        table = np.stack([part.to_numpy() for part in features(closes)], axis=-1)
        track, latest = _walk(strategy, features=table, outcome=outcome, make=make, weeks=weeks, progress=progress)
        tracks.append(track)
        signals += _signals(strategy, sorted(market.marks), latest, track)
    return Modelled(signals, tracks)


def fits(weeks: int = WEEKS) -> int:
    """How many times `progress` will be called."""
    return 2 * (-(-weeks // REFIT) + 1)


Features = Callable[["pd.DataFrame"], "list[pd.DataFrame]"]


def _models() -> Iterator[tuple[str, Features, Callable[[], Any]]]:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    yield "TREND", _trend, lambda: make_pipeline(StandardScaler(), Ridge(alpha=50.0))
    yield "REVERSAL", _reversal, lambda: ExtraTreesRegressor(60, max_depth=4, min_samples_leaf=200, random_state=7)


def _trend(closes: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns over 1, 3, 6 and 12 months, each against its own volatility."""
    spread = closes.pct_change().rolling(63).std()
    return [closes.pct_change(d) / (spread * d**0.5) for d in (21, 63, 126, 252)]


def _reversal(closes: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns over 2, 5 and 10 days against volatility, distance to the year's high, and volatility itself."""
    spread = closes.pct_change().rolling(21).std()
    short = [closes.pct_change(d) / (spread * d**0.5) for d in (2, 5, 10)]
    return [*short, closes / closes.rolling(252).max() - 1, spread]


def _walk(
    strategy: str,
    *,
    features: NDArray[np.float64],
    outcome: NDArray[np.float64],
    make: Callable[[], Any],
    weeks: int,
    progress: Callable[[], None],
) -> tuple[Track, NDArray[np.float64]]:
    """Weekly predictions out of sample, then the one for the day after the last close.

    `features`: shape (days, names, features); `outcome`: shape (days, names), the next `HORIZON` days' return.
    """
    import numpy as np

    last = len(features) - 1
    days = [last - HORIZON * (weeks - w) for w in range(weeks)]
    model: Any = None
    predicted = []
    for n, day in enumerate(days):
        if n % REFIT == 0:
            model = _fitted(make(), features, outcome, day)
            progress()
        predicted.append(model.predict(features[day]))
    model = _fitted(make(), features, outcome, last)
    progress()
    return Track(strategy, np.array(predicted), outcome[days]), model.predict(features[last])


def _fitted(model: Any, features: NDArray[np.float64], outcome: NDArray[np.float64], day: int) -> Any:
    """Fit on days whose outcome was known at `day`; every fifth day, since outcomes overlap."""
    days = slice(day - HORIZON - TRAINING, day - HORIZON + 1, HORIZON)
    return model.fit(features[days].reshape(-1, features.shape[2]), outcome[days].reshape(-1))


def _signals(strategy: str, names: list[str], latest: NDArray[np.float64], track: Track) -> list[dict[str, str]]:
    return [
        {
            "id": f"{strategy}-{name}",
            "account": ACCOUNT,
            "symbol": name,
            "strategy": strategy,
            "timeframe": "1d",
            "direction": "long" if latest[n] > 0 else "short",
            "expected_return": decimal(float(latest[n]), 6),
            "confidence": decimal(float((track.predicted[:, n] * track.realised[:, n] > 0).mean()), 4),
            "reward_risk": decimal(_reward_risk(track, n), 4),
        }
        for n, name in enumerate(names)
    ]


def _reward_risk(track: Track, n: int) -> float:
    import numpy as np

    outcome = np.sign(track.predicted[:, n]) * track.realised[:, n]
    losses = -outcome[outcome < 0]
    if not len(losses):
        return 100.0
    best = np.sort(outcome)[-max(1, len(outcome) // 10) :]
    return max(0.0, float(best.mean() / losses.mean()))
