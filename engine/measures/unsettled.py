"""What a cash account has sold and not been paid for, and what it has bought and not paid for.

In: cash, with all that executions have moved, and the executions themselves with their trade dates. Out:
`account.unsettled_proceeds`, `order.unpaid_quantity` (0 for other accounts and for purchases) and
`account.cash_frozen_until`. Guaranteed: exact; proceeds are rounded up to 10⁻⁴ and shares up to whole ones, against the
account. A purchase is paid from settled cash first, what is beyond it from proceeds that settle on a later day: those
shares are unpaid until that day. Refused: MissingFactError when executions are only partly timed or have no price,
or before the first settlement cycle known here.

Source: Regulation T, 12 CFR 220.8(a)(1) (full cash payment before a security is sold) and (c) (a security that is sold
without having been paid for: no delay of payment beyond the trade date for 90 calendar days after that sale); days of
settlement by 17 CFR 240.15c6-1. What brokers call a good faith violation is a sale of unpaid shares, and freeriding is
one that is never paid otherwise. Before: `business_days.py`, `day_trades.py`. After: `regulatory/cash-accounts.yaml`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import ceil

from lexorder.engine.measure import measure
from lexorder.engine.measures import maintenance, reading
from lexorder.engine.measures.business_days import is_business_day, settlement_date
from lexorder.engine.measures.day_trades import fill_day
from lexorder.engine.measures.short_sales import next_session
from lexorder.engine.rule import Facts
from lexorder.engine.sessions import YEARS
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

NONE = Fraction(0)
FREEZE = timedelta(days=90)
"""Calendar days after the sale for which 220.8(c)(1) withdraws the delay of payment, in force 1998-04-01."""


@dataclass(frozen=True, slots=True)
class Trade:
    """An execution: signed shares, what was paid or received for them (above zero), and whether that has settled."""

    symbol: str
    quantity: Fraction
    amount: Fraction
    settled: bool


def unsettled_proceeds(trades: Iterable[Trade]) -> Fraction:
    """Proceeds of sales that have not settled. Exact."""
    return sum((t.amount for t in trades if t.quantity < 0 and not t.settled), NONE)


def unpaid(trades: Sequence[Trade], cash: Fraction) -> Mapping[str, int]:
    """Shares bought and not paid for, by symbol. `cash` is what the account has after all of the trades."""
    settled = cash + sum((t.amount if t.quantity > 0 else -t.amount for t in trades), NONE)
    shares: dict[str, int] = defaultdict(int)
    for trade in trades:
        if trade.quantity > 0:
            paid = min(trade.amount, max(NONE, settled))
            settled -= paid
            shares[trade.symbol] += ceil(trade.quantity * (trade.amount - paid) / trade.amount)
        elif trade.settled:
            settled += trade.amount
    return shares


# ---- the account -------------------------------------------------------------------------------


def _trades(seen: Projection) -> tuple[Trade, ...]:
    """The account's executions in their order: by day, then by time, or as listed where none of them has a time."""
    fills = list(seen.members("fill"))
    timed = sum("fill.time" in fill for fill in fills)
    if timed not in (0, len(fills)):
        raise MissingFactError("fill.time", seen.account, "is given for some executions only")
    ordered = sorted(fills, key=lambda f: (fill_day(f, seen), *([f["fill.time"]] if timed else [])))
    today = reading.today(seen)
    return tuple(_trade(seen, fill, today) for fill in ordered)


def _trade(seen: Projection, fill: Facts, today: date) -> Trade:
    price, symbol = fill.get("fill.price"), str(fill["fill.symbol"])
    if not isinstance(price, Fraction):
        raise MissingFactError("fill.price", str(fill["fill.id"]))
    instrument = reading.instrument_of(seen, symbol)
    unit = price * reading.number(seen, instrument, "instrument.multiplier")
    quantity = reading.signed_quantity(fill, "fill")
    amount = abs(quantity) * unit * reading.number(seen, instrument, "instrument.fx")
    return Trade(symbol, quantity, amount, settles(fill_day(fill, seen)) <= today)


def settles(traded: date) -> date:
    """When a trade settles; one of a day without a session as if it were of the next. Raises MissingFactError."""
    if traded.year not in YEARS:
        raise MissingFactError("the settlement cycle", traded.isoformat())
    return settlement_date(traded if is_business_day(traded) else next_session(traded))


def _pays_cash(seen: Projection) -> bool:
    """Whether it is a cash account: what others have bought and sold is not looked through."""
    return reading.word(seen, reading.account(seen), "account.kind") == "cash"


@measure("account.unsettled_proceeds")
def account_unsettled_proceeds(seen: Projection, _account: Subject) -> Value:
    """Proceeds of a cash account's sales that settle after today, rounded up to 10⁻⁴."""
    return maintenance.up(unsettled_proceeds(_trades(seen))) if _pays_cash(seen) else NONE


@measure("order.unpaid_quantity")
def order_unpaid_quantity(seen: Projection, order: Subject) -> Value:
    """Shares of the instrument sold that a cash account holds and has not paid for, in whole shares."""
    if order.facts["order.side"] == BUY or not _pays_cash(seen):
        return NONE
    symbol = str(order.facts["order.symbol"])
    held = dict(reading.holdings(seen)).get(symbol, NONE)
    cash = reading.number(seen, reading.account(seen), "account.cash")
    return max(NONE, min(held, Fraction(unpaid(_trades(seen), cash).get(symbol, 0))))


@measure("account.cash_frozen_until")
def cash_frozen_until(seen: Projection, account: Subject) -> Value:
    """The last of the 90 calendar days after the sale that began a freeze, where the books say when that was."""
    return reading.day(seen, account, "account.cash_freeze_began") + FREEZE
