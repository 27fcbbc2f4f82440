"""The intraday margin deficit of a day, FINRA Rule 4210(d)(2).

In: equity and holdings at the start of the day and the day's executions. Out: `account.intraday_deficit_today`, the
largest amount by which margin fell short right after a transaction that reduced the intraday margin level; and
`account.intraday_restricted_until`. Guaranteed: exact, rounded up to 10⁻⁴. A loss of value alone is no deficit: it
needs a transaction that raises the requirement. Where the order of executions cannot be shown (a `fill.time` is
missing) they are taken in the order that gives the highest deficit; a sale marked long is taken after what it sells.
Refused: MissingFactError without the equity at the start of the day or the previous close of what was held overnight.

Source: FINRA Rule 4210(a)(17) to (19) and (d)(2), SR-FINRA-2025-017, SEC Release 34-105226 (91 FR 20731), in force
2026-06-04. Between its executions a security is valued at its last execution, before the first at its previous close.
Before: `maintenance.py`, `day_trades.py`. After: rules in `regulatory/day-trading.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import maintenance, reading
from lexorder.engine.measures.day_trades import by_day, overnight
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

NONE = Fraction(0)
FREEZE = timedelta(days=90)
"""Calendar days of the freeze after a deficit unmet on the fifth business day: 4210(d)(2)(D), in force 2026-06-04."""


@dataclass(frozen=True, slots=True)
class Stock:
    """A security at the start of the day: signed holding, price, share of a long value needed, figures for shorts.

    `leverage` is that of a fund, 1 for any other security.
    """

    overnight: Fraction
    price: Fraction
    long_rate: Fraction
    figures: maintenance.Figures
    leverage: Fraction = maintenance.WHOLE

    def needs(self, quantity: Fraction, price: Fraction) -> Fraction:
        """What `quantity` shares need at `price`."""
        if quantity >= 0:
            return self.long_rate * quantity * price
        return -quantity * self.short_needs(price)

    def short_needs(self, price: Fraction) -> Fraction:
        """What a share short needs at `price`."""
        return maintenance.short_per_share(self.figures, price, self.leverage)


@dataclass(frozen=True, slots=True)
class Deal:
    """An execution: signed quantity, price, and whether it may open a short position."""

    symbol: str
    quantity: Fraction
    price: Fraction
    short: bool = False


def deficit_in_order(equity: Fraction, stocks: Mapping[str, Stock], deals: Iterable[Deal]) -> Fraction:
    """The deficit when the order of the deals is known. `equity` is that of the start of the day. Exact."""
    held = {symbol: stock.overnight for symbol, stock in stocks.items()}
    price = {symbol: stock.price for symbol, stock in stocks.items()}
    worst = NONE
    for deal in deals:
        stock, now = stocks[deal.symbol], held[deal.symbol]
        equity += now * (deal.price - price[deal.symbol])
        price[deal.symbol], held[deal.symbol] = deal.price, now + deal.quantity
        if stock.needs(now + deal.quantity, deal.price) > stock.needs(now, deal.price):
            needed = sum((s.needs(held[k], price[k]) for k, s in stocks.items()), NONE)
            worst = max(worst, needed - equity)
    return worst


def deficit_in_worst_order(equity: Fraction, stocks: Mapping[str, Stock], deals: Sequence[Deal]) -> Fraction:
    """The highest deficit that any order of the deals gives. Exact.

    What a security takes from the margin level is the greater of two sums over the deals done by then, one for a long
    and one for a short position, so each deal that adds to a sum is done and every other is not.
    """
    of = {symbol: [d for d in deals if d.symbol == symbol] for symbol in stocks}
    if not any(_can_reduce(stocks[symbol], found) for symbol, found in of.items()):
        return NONE
    return max(NONE, sum((_most(stock, of[symbol]) for symbol, stock in stocks.items()), NONE) - equity)


def _can_reduce(stock: Stock, deals: Sequence[Deal]) -> bool:
    """Whether some deal can raise the requirement: all but deals that only ever close what was held overnight."""
    if all(d.quantity * stock.overnight < 0 for d in deals):
        return abs(sum((d.quantity for d in deals), NONE)) > abs(stock.overnight)
    return bool(deals)


def _most(stock: Stock, deals: Sequence[Deal]) -> Fraction:
    """The most a security can need beyond what it earns, over what is done by then and which deal was the last."""
    done = [stock.needs(stock.overnight, stock.price)]
    for last in deals:
        short_rate = stock.short_needs(last.price)
        done.append(_branch(stock, deals, last, stock.long_rate * last.price))
        if last.short or stock.overnight < 0:
            done.append(_branch(stock, [d for d in deals if d.short or d.quantity > 0], last, -short_rate))
    return max(done)


def _branch(stock: Stock, deals: Sequence[Deal], last: Deal, per_share: Fraction) -> Fraction:
    """Requirement less gains where each share held needs `per_share`: `last` is done, others where they add to it."""
    start = stock.overnight * (per_share - (last.price - stock.price))
    added = (d.quantity * (per_share - (last.price - d.price)) for d in deals if d is not last)
    return start + last.quantity * per_share + sum((a for a in added if a > 0), NONE)


# ---- the account -------------------------------------------------------------------------------


def _stock(seen: Projection, terms: maintenance.Terms, symbol: str, traded: Sequence[Deal]) -> Stock:
    instrument = reading.instrument_of(seen, symbol)
    held = overnight(seen, reading.today(seen), symbol)
    close = reading.number_or_none(seen, instrument, "instrument.previous_close")
    if close is None and held == 0 and traded:
        close = traded[0].price / _rate(seen, symbol)
    if close is None:
        raise MissingFactError("instrument.previous_close", symbol)
    security = maintenance.security_of(seen, instrument)
    rate = maintenance.long_rate(terms.figures, terms.house, security.marginable, security.leverage)
    return Stock(held, close * _rate(seen, symbol), rate, terms.figures, security.leverage)


def _rate(seen: Projection, symbol: str) -> Fraction:
    rate = reading.number(seen, reading.instrument_of(seen, symbol), "instrument.fx")
    if rate != reading.number(seen, reading.instrument_of(seen, symbol), "fx.USD"):
        raise MissingFactError("the intraday margin level", symbol, "is worked out for securities in US dollars only")
    return rate


def _deals(seen: Projection) -> tuple[tuple[Deal, ...], bool]:
    """Today's executions in order, and whether that order can be shown."""
    fills = [f for (day, _), found in by_day(seen).items() if day == reading.today(seen) for f in found]
    shown = all("fill.time" in fill for fill in fills)
    ordered = sorted(fills, key=lambda f: f["fill.time"]) if shown else fills
    deals = []
    for fill in ordered:
        price, symbol = fill.get("fill.price"), str(fill["fill.symbol"])
        if not isinstance(price, Fraction):
            raise MissingFactError("fill.price", str(fill["fill.id"]))
        quantity = reading.signed_quantity(fill, "fill")
        deals.append(Deal(symbol, quantity, price * _rate(seen, symbol), fill["fill.side"] == "sell_short"))
    return tuple(deals), shown


@measure("account.intraday_deficit_today")
def intraday_deficit_today(seen: Projection, account: Subject) -> Value:
    """The intraday margin deficit of today, rounded up to 10⁻⁴; 0 on a day without executions."""
    deals, shown = _deals(seen)
    if not deals:
        return NONE
    terms = maintenance.terms_of(seen, account)
    symbols = sorted({symbol for symbol, _ in reading.holdings(seen)} | {d.symbol for d in deals})
    stocks = {s: _stock(seen, terms, s, [d for d in deals if d.symbol == s]) for s in symbols}
    worked_out = deficit_in_order if shown else deficit_in_worst_order
    return maintenance.up(worked_out(reading.number(seen, account, "account.start_of_day_equity"), stocks, deals))


@measure("account.intraday_restricted_until")
def intraday_restricted_until(seen: Projection, account: Subject) -> Value:
    """The last of the 90 calendar days after the day on which the freeze began, where the books say when it began."""
    return reading.day(seen, account, "account.intraday_freeze_began") + FREEZE
