"""Buying power: of day trades under the legacy rule, by leverage that ends before the close, and in whole lots.

In: the account's equity and maintenance requirement at the previous close, today's executions, fees, leverage. Out:
`account.day_trading_buying_power`, `account.day_trade_cost`, `account.day_trade_call`, `account.leverage`,
`order.affordable_quantity`, `order.target_quantity`, `order.target_change`, `order.weight_change`. Guaranteed: exact;
quantities bought are rounded down to whole lots and quantities sold up, so that what is afforded never costs more than
there is and what is left is never more than was aimed at. Refused: MissingFactError when a fact is absent.

Source of day trading buying power: FINRA Rule 4210(f)(8)(B)(iii) and (f)(8)(A), NASD Rule 2520 since 2001-09-28:
equity at the close of the previous business day less the maintenance requirement, four times for equity securities; a
leveraged fund takes its leverage times as much of it, since 2010-04-30 (Regulatory Notices 09-53 and 09-65). It never
rises during the day. Before: `maintenance.py`, `day_trades.py`. After: rules in `regulatory/` and `firm/`.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from math import ceil, floor

from lexorder.engine.measure import measure
from lexorder.engine.measures import maintenance, reading
from lexorder.engine.measures.day_trades import Execution, by_day, overnight, round_trips
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

NONE = Fraction(0)
MULTIPLE = Fraction(4)
"""Times the maintenance margin excess: 4210(f)(8)(B)(iii), since 2001-09-28."""
MULTIPLE_UNDER_CALL = Fraction(2)
"""While a day trading margin call is open: 4210(f)(8)(B)(iv)b."""


def day_trading_power(excess: Fraction, multiple: Fraction, under_call: bool) -> Fraction:
    """Day trading buying power from the excess at the previous close; the firm's multiple counts where it is lower."""
    allowed = MULTIPLE_UNDER_CALL if under_call else MULTIPLE
    return max(NONE, excess) * min(multiple, allowed)


def affordable(cash: Fraction, price: Fraction, fee_rate: Fraction, flat_fee: Fraction, lot: Fraction) -> Fraction:
    """The largest whole number of lots that `cash` pays with its fees; 0 when not even the flat fee is paid."""
    return max(NONE, floor((cash - flat_fee) / (price * (1 + fee_rate)) / lot) * lot)


def leveraged(budget: Fraction, price: Fraction, leverage: Fraction, flat_fee: Fraction, lot: Fraction) -> Fraction:
    """The largest whole number of lots whose initial margin, price over leverage, is within `budget` after the fee."""
    return max(NONE, floor((budget - flat_fee) / (price / leverage) / lot) * lot)


# ---- day trading -------------------------------------------------------------------------------


@measure("account.day_trading_buying_power")
def day_trading_buying_power(seen: Projection, account: Subject) -> Value:
    """What may be day traded today, rounded down to 10⁻⁴."""
    equity, needed, multiple = (
        reading.number(seen, account, f"account.{name}")
        for name in ("close_equity", "close_maintenance", "day_trading_multiple")
    )
    under_call = bool(reading.fact(seen, account, "account.day_trade_call_open"))
    return maintenance.down(day_trading_power(equity - needed, multiple, under_call))


@measure("account.day_trade_cost")
def day_trade_cost(seen: Projection, _account: Subject) -> Value:
    """What the shares day traded today cost to open (short sales: their proceeds), all day trades added up.

    A leveraged fund takes as many times its cost as its share of margin is that of other securities, at most all.
    """
    today = reading.today(seen)
    total = NONE
    for (day, symbol), fills in by_day(seen).items():
        if day == today:
            instrument = reading.instrument_of(seen, symbol)
            rate = reading.number(seen, instrument, "instrument.fx") * _times(seen, instrument)
            # One name for each execution, so that what was opened is charged at its own price.
            named = [(str(f["fill.id"]), f) for f in fills]
            trips = round_trips(
                [Execution(reading.signed_quantity(f, "fill"), name) for name, f in named],
                overnight(seen, day, symbol),
            )
            prices = {name: _price(f) for name, f in named}
            total += sum((trip.quantity * prices[trip.opened_by] * rate for trip in trips), NONE)
    return maintenance.up(total)


def _times(seen: Projection, instrument: Subject) -> Fraction:
    """How often the cost of a day trade counts: by the leverage of a fund, until its margin is all of its value."""
    return min(MULTIPLE, reading.number(seen, instrument, "instrument.leverage"))


def _price(fill: Facts) -> Fraction:
    price = fill.get("fill.price")
    if not isinstance(price, Fraction):
        raise MissingFactError("fill.price", str(fill["fill.id"]))
    return price


@measure("account.day_trade_call")
def day_trade_call(seen: Projection, account: Subject) -> Value:
    """By how much the day trades of today went beyond day trading buying power; 0 when they did not."""
    cost = reading.given_or(account, "account.day_trade_cost", lambda: day_trade_cost(seen, account))
    power = reading.given_or(
        account, "account.day_trading_buying_power", lambda: day_trading_buying_power(seen, account)
    )
    return max(NONE, cost - power)


# ---- leverage and quantities -------------------------------------------------------------------


@measure("account.leverage")
def leverage(seen: Projection, account: Subject) -> Value:
    """The intraday leverage while the exchange is open and not about to close, else the overnight one."""
    opens, closes = (seen.snapshot.single.get(f"session.{name}") for name in ("open", "close"))
    now = reading.moment(seen, account, "clock.now")
    name = "account.overnight_leverage"
    if isinstance(opens, datetime) and isinstance(closes, datetime) and opens <= now < closes:
        left = closes - now
        cutoff = reading.number(seen, account, "firm.leverage_cutoff")
        if left.days * 86_400 + left.seconds + Fraction(left.microseconds, 10**6) > cutoff:
            name = "account.intraday_leverage"
    return reading.number(seen, account, name)


def _priced(seen: Projection, order: Subject) -> Fraction:
    """Account money for a share: the limit; without one the worse of quote and mark, moved by the collar.

    Raises MissingFactError where that is not above zero: no number of shares is what such a price affords.
    """
    price = _price_of(seen, order)
    if price <= 0:
        raise MissingFactError("order.price", order.key, "is not above zero: it affords no number of shares")
    return price


def _price_of(seen: Projection, order: Subject) -> Fraction:
    rate = reading.number(seen, order, "instrument.fx")
    if order.facts.get("order.ord_type") in ("limit", "stop_limit"):
        return reading.number(seen, order, "order.price") * rate
    buys = order.facts.get("order.side") == BUY
    mark, quote = (
        reading.number(seen, order, n) for n in ("instrument.mark", f"instrument.{'ask' if buys else 'bid'}")
    )
    collar = reading.number(seen, order, "firm.collar")
    return (max(mark, quote) * (1 + collar) if buys else min(mark, quote) * (1 - collar)) * rate


@measure("order.affordable_quantity")
def affordable_quantity(seen: Projection, order: Subject) -> Value:
    """Whole lots that the account's cash buys now, fees and working purchases paid.

    With `order.target_weight`, no more than brings the instrument to that share of cash and holdings.
    """
    account = reading.account(seen)
    cash = reading.number(seen, account, "account.cash") - _reserved(seen)
    weight = order.facts.get("order.target_weight")
    if isinstance(weight, Fraction):
        mark = reading.number(seen, order, "instrument.mark") * reading.number(seen, order, "instrument.fx")
        symbol = str(order.facts["order.symbol"])
        held = dict(reading.holdings(seen)).get(symbol, NONE) * mark
        equity = reading.given_or(account, "account.equity", lambda: maintenance.equity(seen, account))
        cash = min(cash, weight * equity - held)
    rate, flat, lot = (reading.number(seen, order, n) for n in ("order.fee_rate", "order.flat_fee", "instrument.lot"))
    return affordable(cash, _priced(seen, order), rate, flat, lot)


def _reserved(seen: Projection) -> Fraction:
    """Cash that working purchases may still take."""
    total = NONE
    for working in seen.working:
        if working["working_order.side"] == BUY:
            subject = Subject("working_order", str(working["working_order.id"]), working)
            price, quantity = (reading.number(seen, subject, f"working_order.{n}") for n in ("price", "quantity"))
            total += price * quantity * reading.number(seen, subject, "instrument.fx")
    return total


@measure("order.target_quantity")
def target_quantity(seen: Projection, order: Subject) -> Value:
    """Signed whole lots that bring the account to `order.target_leverage`, the firm's buffer and free share kept."""
    account = reading.account(seen)
    target, flat, lot = (
        reading.number(seen, order, n) for n in ("order.target_leverage", "order.flat_fee", "instrument.lot")
    )
    buffer, free = (reading.number(seen, order, f"firm.{n}") for n in ("target_buffer", "free_buying_power"))
    granted = reading.given_or(account, "account.leverage", lambda: leverage(seen, account))
    equity = reading.given_or(account, "account.equity", lambda: maintenance.equity(seen, account))
    budget = equity * (1 - free) * target / granted * (1 - buffer)
    shares = leveraged(budget, _priced(seen, order), granted, flat, lot)
    return shares if order.facts.get("order.side") == BUY else -shares


@measure("order.target_change")
def target_change(seen: Projection, order: Subject) -> Value:
    """Signed whole lots to trade from what is held to `order.target_quantity`."""
    aim = reading.given_or(order, "order.target_quantity", lambda: target_quantity(seen, order))
    return aim - _holding(seen, order)


@measure("order.weight_change")
def weight_change(seen: Projection, order: Subject) -> Value:
    """Signed whole lots to trade so that the instrument is `order.target_weight` of cash and holdings.

    What is bought is `order.affordable_quantity`; where more is held than wanted, as many lots are sold as leave no
    more.
    """
    weight, lot = (reading.number(seen, order, n) for n in ("order.target_weight", "instrument.lot"))
    mark = reading.number(seen, order, "instrument.mark") * reading.number(seen, order, "instrument.fx")
    account, held = reading.account(seen), _holding(seen, order)
    equity = reading.given_or(account, "account.equity", lambda: maintenance.equity(seen, account))
    excess = held * mark - weight * equity
    if excess <= 0:
        return reading.given_or(order, "order.affordable_quantity", lambda: affordable_quantity(seen, order))
    return -min(ceil(excess / mark / lot) * lot, held)


def _holding(seen: Projection, order: Subject) -> Fraction:
    return dict(reading.holdings(seen)).get(str(order.facts["order.symbol"]), NONE)
