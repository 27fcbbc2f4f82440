"""The demonstration's facts: real closing prices, reference data, and a portfolio that has drifted.

In: the price file inside the installed `skfolio` distribution (daily closes of 20 S&P 500 names, 1990 to 2022), found
through its metadata; skfolio itself is not imported. Out: prices as text (exact) and as numbers (for the model), and
the snapshot document. Guaranteed: the same bytes each time; shares are whole and the net asset value is what holdings
and cash come to. Refused (`UsageError`): the distribution is missing, or its file is not the known one. Sectors are
the public GICS ones; daily volumes are rounded figures of late 2022, for illustration. The rules of the library are
in force from 2026, so the last closes stand for the marks of the demonstration's day. Before: nothing. After:
`demo_model.py`, `cli_demo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexorder.engine.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FILE = "skfolio/datasets/data/sp500_dataset.csv.gz"
NOW = "2026-06-15T12:00:00-04:00"
ACCOUNT, TRADER = "ACC-DEMO", "PM-1"
NAV = Decimal(10_000_000)
HISTORY = 504
"""Trading days of returns for the risk model: two years."""
CORRELATED = 0.7
"""Pairs above this are listed; the rules decide which of them matter."""

REFERENCE: dict[str, tuple[str, int]] = {
    "AAPL": ("Information Technology", 80_000_000),
    "AMD": ("Information Technology", 65_000_000),
    "BAC": ("Financials", 40_000_000),
    "BBY": ("Consumer Discretionary", 3_000_000),
    "CVX": ("Energy", 8_000_000),
    "GE": ("Industrials", 6_000_000),
    "HD": ("Consumer Discretionary", 3_500_000),
    "JNJ": ("Health Care", 7_000_000),
    "JPM": ("Financials", 11_000_000),
    "KO": ("Consumer Staples", 13_000_000),
    "LLY": ("Health Care", 3_000_000),
    "MRK": ("Health Care", 8_500_000),
    "MSFT": ("Information Technology", 27_000_000),
    "PEP": ("Consumer Staples", 4_500_000),
    "PFE": ("Health Care", 22_000_000),
    "PG": ("Consumer Staples", 7_000_000),
    "RRC": ("Energy", 4_000_000),
    "UNH": ("Health Care", 3_000_000),
    "WMT": ("Consumer Staples", 7_000_000),
    "XOM": ("Energy", 17_000_000),
}
"""Sector and average daily volume in shares."""

DRIFTED: dict[str, str] = {
    "AAPL": "6.8", "MSFT": "5.9", "AMD": "5.1", "BAC": "4.8", "JPM": "6.4", "BBY": "2.0", "HD": "7.0",
    "CVX": "3.8", "XOM": "3.9", "RRC": "1.9", "GE": "5.7", "JNJ": "4.9", "LLY": "6.2", "MRK": "2.1",
    "PFE": "7.1", "UNH": "2.4", "KO": "3.0", "PEP": "3.0", "PG": "6.5", "WMT": "4.6",
}  # fmt: skip
"""Starting weights in percent of net asset value: nine names, Health Care and the two banks together
have outgrown their limits."""


@dataclass(frozen=True, slots=True)
class Market:
    """Prices of the 20 names.

    `closes`: shape (days, 20), numbers for models. `marks`: the last close as text, exact. `last`: its date.
    """

    closes: pd.DataFrame
    marks: dict[str, str]
    last: str

    @property
    def returns(self) -> pd.DataFrame:
        """Daily returns of the last `HISTORY` days."""
        changes: pd.DataFrame = self.closes.pct_change().iloc[-HISTORY:]
        return changes


def price_file() -> Path:
    """Where the installed skfolio keeps its prices. Raises UsageError with what to do about it."""
    try:
        files = metadata.distribution("skfolio").files or []
    except metadata.PackageNotFoundError:
        raise UsageError(
            "demo-data",
            "the demonstration reads real prices from the skfolio distribution, which is not installed: "
            "run `make setup`, or `pip install --no-deps skfolio`",
        ) from None
    for file in files:
        if file.as_posix().endswith(FILE):
            return Path(str(file.locate()))
    raise UsageError("demo-data", f"the installed skfolio has no {FILE}: `make setup` installs the version that has")


def market() -> Market:
    """Read the prices. Raises UsageError."""
    import pandas as pd

    text: pd.DataFrame = pd.read_csv(price_file(), index_col=0, dtype=str)
    if sorted(text.columns) != sorted(REFERENCE) or len(text) < HISTORY * 3:
        raise UsageError("demo-data", f"{FILE} does not hold the 20 names this demonstration knows")
    last = str(text.index[-1])
    marks = {symbol: str(text[symbol].iloc[-1]) for symbol in sorted(REFERENCE)}
    return Market(text[sorted(REFERENCE)].astype(float), marks, last)


def holdings(marks: dict[str, str]) -> dict[str, int]:
    """Whole shares of the drifted portfolio."""
    return {s: int(NAV * Decimal(w) / 100 / Decimal(marks[s])) for s, w in sorted(DRIFTED.items())}


def snapshot_document(found: Market, signals: list[dict[str, str]]) -> dict[str, Any]:
    """The snapshot as a plain document, for `load_snapshot`."""
    shares = holdings(found.marks)
    invested = sum((Decimal(found.marks[s]) * n for s, n in shares.items()), Decimal(0))
    return {
        "time": NOW,
        "accounts": [_account(NAV - invested)],
        "instruments": [_instrument(s, found) for s in sorted(REFERENCE)],
        "market": [_condition(s, found) for s in sorted(REFERENCE)],
        "positions": [{"account": ACCOUNT, "symbol": s, "quantity": str(n)} for s, n in shares.items()],
        "working_orders": [
            {"id": "W-1", "account": ACCOUNT, "symbol": "WMT", "side": "buy", "quantity": "250", "price": "140.00"}
        ],
        "signals": signals,
        "pairs": correlated_pairs(found),
        "traders": [{"id": TRADER, "role": "portfolio_manager"}],
        "lists": {"restricted": [], "watch": ["RRC"]},
    }


def _account(cash: Decimal) -> dict[str, Any]:
    nav = str(NAV)
    return {
        "id": ACCOUNT,
        "tags": ["long-only-equity"],
        "kind": "cash",
        "currency": "USD",
        "nav": nav,
        "total_assets": nav,
        "equity": nav,
        "cash": str(cash),
        "buying_power": "1000000",
        "start_of_day_nav": nav,
        "peak_nav": nav,
    }


def _instrument(symbol: str, found: Market) -> dict[str, str]:
    sector, volume = REFERENCE[symbol]
    mark = found.marks[symbol]
    return {
        "symbol": symbol,
        "issuer": symbol,
        "sector": sector,
        "country": "US",
        "currency": "USD",
        "asset_class": "equity",
        "underlying": symbol,
        "group": symbol,
        "mark": mark,
        "bid": mark,
        "ask": mark,
        "mark_time": NOW,
        "adv": str(volume),
    }


def _condition(symbol: str, found: Market) -> dict[str, str]:
    """Volatility over a week, from the last 21 days; volume is not in the price file, so none is claimed unusual."""
    daily = found.closes[symbol].pct_change().iloc[-21:].std()
    return {"symbol": symbol, "volatility": decimal(float(daily) * 5**0.5, 4), "volume_spike": "1"}


def correlated_pairs(found: Market) -> list[dict[str, str]]:
    """Pairs of names whose returns over the history are correlated above `CORRELATED`."""
    table = found.returns.corr().to_numpy()
    names = sorted(REFERENCE)
    return [
        {"id": f"{a}/{b}", "first": a, "second": b, "correlation": decimal(float(table[i, j]), 6)}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if j > i and float(table[i, j]) > CORRELATED
    ]


def decimal(value: float, places: int) -> str:
    """A model's number as decimal text at a scale the vocabulary admits; from here on it is exact."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN))
