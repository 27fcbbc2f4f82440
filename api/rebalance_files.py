"""Portfolio, prices, reference data, signals and returns from files to a `Request`.

In: paths (CSV or JSON). Out: the snapshot and returns of a rebalance. Guaranteed: amounts are taken over exactly as
written; a net asset value that is not given is holdings at the marks plus cash, exact. Refused, naming file, row and
column (`SnapshotError`, `UsageError`): what `tabular.py` and `load_snapshot` refuse, a holding without a price, a price
history with gaps or not from old to new, a symbol twice among reference data, a signal whose direction and return
contradict each other. Before: `tabular.py`. After:
`cli_rebalance.py`.

Files, with the vocabulary's names as columns:

    portfolio  what JSON's `account` leaves out: net asset value from holdings and cash, buying power is the cash;
               CSV `symbol,quantity` with a row `CASH`; or JSON with `account`, `positions`, `working_orders`
    prices     CSV `symbol,mark[,bid,ask,volatility,…]`; or a history, CSV `date,SYMBOL,SYMBOL,…`: the last row is the
               marks, the rest the returns and volatilities
    signals    CSV `symbol,expected_return,confidence[,strategy,timeframe,direction,reward_risk,id]`; models that weigh
               no returns do without
    reference  CSV `symbol,issuer,sector[,country,currency,lot,adv,…]`
    returns    CSV `date,SYMBOL,SYMBOL,…` of returns a period
    lists      a folder of CSV files `list,name,from,until,reason` (see `name_lists.py`)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexorder.api.name_lists import lists_in
from lexorder.api.tabular import Table, read_document, read_table
from lexorder.engine import literals
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.names import Vocabulary
from lexorder.engine.quantity import exact
from lexorder.engine.snapshot import Snapshot
from lexorder.engine.units import MONEY
from lexorder.optimizers.signals import CONTRADICTS, contradiction

if TYPE_CHECKING:
    import pandas as pd

CASH = "CASH"
PLAIN_VOLATILITY = 0.02
"""Assumed volatility a period where no history is given; names are then taken as independent."""
CELL_MAX = 10**12
"""Prices and returns stay below it."""
HISTORY_MAX = 504
"""Periods of a price history that enter the risk model."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of a rebalance; those that are None were not given."""

    portfolio: Path
    prices: Path
    signals: Path | None = None
    reference: Path | None = None
    returns: Path | None = None
    lists: Path | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What the files hold: a snapshot, its account, and returns (a DataFrame; None without a history)."""

    snapshot: Snapshot
    account: str
    returns: pd.DataFrame | None


def read(paths: Paths, vocabulary: Vocabulary, time: str, *, account: str, trader: str, role: str) -> Given:
    """Read and check all files. `time`: ISO 8601 with offset. Raises SnapshotError, UsageError."""
    book = _portfolio(paths.portfolio, account)
    prices = _Prices(paths.prices)
    reference = read_table(paths.reference, required=("symbol",)) if paths.reference else None
    signals = _signals(paths.signals)
    instruments, market = _instruments(prices, reference, book.account, time)
    _priced(book, instruments)
    _net_asset_value(book, instruments, prices.table)
    name = str(book.account["id"])
    document = {
        "time": time,
        "accounts": [book.account],
        "positions": [{"account": name, **row} for row in book.positions.rows],
        "working_orders": [{"account": name, **row} for row in book.working],
        "instruments": instruments,
        "market": market,
        "signals": [_signal(row, n, name) for n, row in enumerate(signals.rows)],
        "pairs": prices.pairs(),
        "traders": [{"id": trader, "role": role}],
        "lists": lists_in(paths.lists) if paths.lists else {},
    }
    sources = {"positions": book.positions, "signals": signals, "instruments": prices.table, "market": prices.table}
    snapshot = _loaded(document, vocabulary, sources)
    for n, signal in enumerate(snapshot.signals):
        if why := contradiction(signal):
            raise SnapshotError(CONTRADICTS, signals.place(n, "direction"), why)
    return Given(snapshot, name, _returns(paths, prices))


def _loaded(document: dict[str, Any], vocabulary: Vocabulary, sources: dict[str, Table]) -> Snapshot:
    """Load the snapshot; an error is told by file, row and column."""
    try:
        return load_snapshot(document, vocabulary)
    except SnapshotError as error:
        found = re.fullmatch(r"(\w+)\[(\d+)\](?:\.(\S+))?", error.where)
        if found is None or found[1] not in sources:
            raise
        place = sources[found[1]].place(int(found[2]), found[3] or "")
        raise SnapshotError(error.code, place, error.message.removeprefix(f"{error.where}: ")) from None


# ---- portfolio ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Book:
    """A portfolio: the account's facts, positions, working orders."""

    account: dict[str, Any]
    positions: Table
    working: list[dict[str, Any]]


def _portfolio(file: Path, account: str) -> _Book:
    if file.suffix.lower() == ".json":
        return _json_portfolio(file, account)
    table = read_table(file, required=("symbol", "quantity"))
    cash = [row["quantity"] for row in table.rows if row.get("symbol") == CASH]
    if len(cash) != 1:
        raise SnapshotError("missing-cash", str(file), f"needs one row `{CASH}` with the account's cash")
    # The cash row goes; the others keep their place, so that messages name the right one.
    kept = [n for n, row in enumerate(table.rows) if row.get("symbol") != CASH]
    rows, places = tuple(table.rows[n] for n in kept), tuple(table.first + n for n in kept)
    facts = {"id": account, "currency": "USD", "cash": cash[0]}
    return _Book(facts, Table(file, table.columns, rows, places=places), [])


def _json_portfolio(file: Path, account: str) -> _Book:
    document = read_document(file)
    if not isinstance(document, dict) or not {"account", "positions"} <= set(document):
        raise SnapshotError("wrong-shape", str(file), "must be an object with `account` and `positions`")
    unknown = set(document) - {"account", "positions", "working_orders"}
    if unknown or not isinstance(document["account"], dict):
        raise SnapshotError("wrong-shape", str(file), "holds `account`, `positions` and `working_orders`, no more")
    facts = {"id": account, "currency": "USD", **document["account"]}
    if "cash" not in facts:
        raise SnapshotError("missing-cash", f"{file}: account", "has no `cash`")
    rows, working = document["positions"], document.get("working_orders", [])
    if not all(isinstance(part, list) and all(isinstance(r, dict) for r in part) for part in (rows, working)):
        raise SnapshotError("wrong-shape", str(file), "`positions` and `working_orders` are lists of objects")
    return _Book(facts, Table(file, (), tuple(rows), first=1), working)


def _priced(book: _Book, instruments: list[dict[str, Any]]) -> None:
    marks = {str(i["symbol"]) for i in instruments if "mark" in i}
    for n, row in enumerate(book.positions.rows):
        if str(row.get("symbol")) not in marks:
            raise SnapshotError("no-price", book.positions.place(n, "symbol"), "has no price in the prices file")


def _net_asset_value(book: _Book, instruments: list[dict[str, Any]], prices: Table) -> None:
    """Fill in what follows from holdings, marks and cash, where it is not given."""
    if "nav" not in book.account:
        marks = {str(i["symbol"]): (i, prices.place(n, "mark")) for n, i in enumerate(instruments)}
        total = _number(book.account["cash"], f"{book.positions.file}: cash")
        for n, row in enumerate(book.positions.rows):
            place = book.positions.place(n, "quantity")
            priced, source = marks[str(row["symbol"])]
            if priced.get("currency") != book.account["currency"]:
                raise SnapshotError("missing-fact", place, "is in another currency: give the account's `nav`")
            quantity = row.get("quantity", row.get("before.quantity"))
            total += _number(quantity, place) * _number(priced["mark"], source)
        book.account["nav"] = exact(total)
    book.account.setdefault("buying_power", book.account["cash"])
    for name in ("total_assets", "equity", "start_of_day_nav", "peak_nav"):
        book.account.setdefault(name, book.account["nav"])


def _number(raw: Any, place: str) -> Fraction:
    found = literals.told(str(raw), MONEY)
    if not isinstance(found, Fraction):
        raise SnapshotError("bad-value", place, "is not a decimal number, such as `1250.25`")
    return found


# ---- prices and reference data -----------------------------------------------------------------------------------


class _Prices:
    """Marks by symbol, and the closes where the file is a history."""

    def __init__(self, file: Path) -> None:
        self.table = read_table(file)
        self.history: pd.DataFrame | None = None
        self.rows: list[dict[str, Any]] = list(self.table.rows)
        if self.table.columns and self.table.columns[0] == "date":
            _in_order(self.table)
            self.history = _numbers(self.table, "price", positive=True)
            self.rows = [{"symbol": s, "mark": self.table.rows[-1][s]} for s in self.history.columns]
            last = len(self.table.rows) - 1 + self.table.first  # all marks stand in the last row
            self.table = Table(file, self.table.columns, tuple(self.rows), places=(last,) * len(self.rows))
        elif "symbol" not in self.table.columns or "mark" not in self.table.columns:
            raise SnapshotError("missing-column", str(file), "needs the columns `symbol` and `mark`, or `date` first")

    def volatility(self, symbol: str) -> str | None:
        """Volatility of five periods, from the last 21 returns; None without a history."""
        if self.history is None:
            return None
        spread = float(self.history[symbol].pct_change().iloc[-21:].std()) * 5**0.5
        return f"{spread:.6f}"

    def pairs(self) -> list[dict[str, str]]:
        """Pairs of names with a correlation above one half, where there is a history."""
        if self.history is None:
            return []
        table, names = self.history.pct_change().iloc[-HISTORY_MAX:].corr().to_numpy(), list(self.history.columns)
        return [
            {"id": f"{a}/{b}", "first": a, "second": b, "correlation": f"{table[i, j]:.6f}"}
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if j > i and table[i, j] > 0.5
        ]


_MARKET = ("volatility", "volume_spike", "return_10s", "quote_age", "luld_state", "venue_gap")


def _instruments(
    prices: _Prices, reference: Table | None, account: dict[str, Any], time: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Instruments and market facts; reference data wins nothing over prices, it adds."""
    known = {} if reference is None else _by_symbol(reference)
    instruments, market = [], []
    for row in prices.rows:
        symbol = str(row.get("symbol"))
        facts = {"currency": account["currency"], **known.get(symbol, {}), **row}
        conditions = {name: facts.pop(name) for name in _MARKET if name in facts}
        volatility = prices.volatility(symbol)
        if volatility is not None:
            conditions.setdefault("volatility", volatility)
        facts.setdefault("mark_time", time)
        facts.setdefault("underlying", symbol)  # the vocabulary: its own symbol, unless a derivative says otherwise
        instruments.append(facts)
        market.append({"symbol": symbol, **conditions})
    return instruments, market


def _by_symbol(reference: Table) -> dict[str, dict[str, Any]]:
    """Reference data by symbol. Raises SnapshotError for a symbol that stands there twice: which row holds?"""
    found: dict[str, dict[str, Any]] = {}
    for n, row in enumerate(reference.rows):
        symbol = str(row.get("symbol"))
        if symbol in found:
            raise SnapshotError("listed-twice", reference.place(n, "symbol"), "stands in another row already")
        found[symbol] = row
    return found


def _signals(file: Path | None) -> Table:
    """The signals; none without a file."""
    if file is None:
        return Table(Path(), (), ())
    return read_table(file, required=("symbol", "expected_return", "confidence"))


def _signal(row: dict[str, Any], number: int, account: str) -> dict[str, Any]:
    """A signal with what can be left out: identifier, direction by the sign of the return."""
    found = {"account": account, "timeframe": "1d", **row}
    name = "-".join(str(found[k]) for k in ("strategy", "symbol", "timeframe") if k in found)
    found.setdefault("id", f"{name}-{number + 1}")
    found.setdefault("direction", "short" if str(row.get("expected_return", "")).startswith("-") else "long")
    return found


# ---- returns -----------------------------------------------------------------------------------------------------


def _returns(paths: Paths, prices: _Prices) -> pd.DataFrame | None:
    if paths.returns is not None:
        return _numbers(read_table(paths.returns, required=("date",)), "return", positive=False)
    if prices.history is None:
        return None
    changes: pd.DataFrame = prices.history.pct_change().iloc[1:].iloc[-HISTORY_MAX:]
    return changes


def _numbers(table: Table, what: str, *, positive: bool) -> pd.DataFrame:
    """A wide table of numbers by symbol, for the risk model. Raises SnapshotError for a gap, naming the cell."""
    import pandas as pd

    symbols = [c for c in table.columns if c != "date"]
    rows = []
    for n, row in enumerate(table.rows):
        rows.append([_cell(row.get(s), table.place(n, s), what, positive=positive) for s in symbols])
    return pd.DataFrame(rows, columns=symbols)


def _in_order(table: Table) -> None:
    """Nothing when each row is of a later day than the one before: the last one is taken for today's.

    Raises SnapshotError.
    """
    before = date.min
    for n, row in enumerate(table.rows):
        try:
            day = date.fromisoformat(str(row.get("date")))
        except ValueError:
            raise SnapshotError("bad-value", table.place(n, "date"), "is not a date, such as 2026-06-15") from None
        if day <= before:
            raise SnapshotError("not-in-order", table.place(n, "date"), "is not after the row above it: oldest first")
        before = day


def _cell(raw: Any, place: str, what: str, *, positive: bool) -> float:
    """A number for the risk model, written like an amount: `1e5`, `1_000` and `5%` are none."""
    found = literals.told(str(raw), MONEY)
    if not isinstance(found, Fraction) or not abs(found) < CELL_MAX or (positive and found <= 0):
        raise SnapshotError("bad-value", place, f"is not a {what} written as a decimal")
    return float(found)
