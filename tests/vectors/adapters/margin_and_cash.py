"""Margin, cash, buying power, leverage, whole lots and settlement: cases to snapshots.

Quantities of coins are counted in lots, the smallest unit a case uses, since a snapshot holds whole numbers; prices are
then for a lot, and all money may be counted in a smaller unit, so that no figure is finer than a snapshot takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from lexorder.engine.quantity import fits_scale
from tests.vectors import asking
from tests.vectors.case import Case, Fields, NotCoveredError, number, text

SYMBOL = "XYZ"
UNITS = tuple(Fraction(1, 10**places) for places in range(13))
QUOTES = ("USDT", "USD", "EUR", "GBP", "BTC", "ETH", "BNB")
"""What the pairs of the cases are quoted in; `ETHBTC` is quoted in BTC."""
MONEY = QUOTES[:4]
"""Those of them that a purse pays with."""


def _text(amount: Fraction) -> str:
    return asking.plain(amount)


def _held(quantity: str, symbol: str = SYMBOL) -> dict[str, object]:
    return {"account": asking.ACCOUNT, "symbol": symbol, "quantity": quantity}


# ---- maintenance -------------------------------------------------------------------------------


def long_requirement(case: Case) -> object:
    """What a long position needs."""
    return _requirement(case, case.given.text("shares"))


def short_requirement(case: Case) -> object:
    """What a short position needs."""
    return _requirement(case, f"-{case.given.text('shares')}")


def _requirement(case: Case, quantity: str) -> object:
    account = {"kind": "margin", "house_maintenance": text(case.given.get("maint_rate", 0))}
    terms = {"marginable": case.given.get("marginable", True), "leverage": text(case.given.get("leverage", 1))}
    stock = asking.instrument(SYMBOL, case.given.text("price"), **terms)
    snapshot = asking.document(account=account, instruments=[stock], positions=[_held(quantity)])
    return asking.measured("account.maintenance_requirement", snapshot)


def _margined(case: Case) -> dict[str, object]:
    """One long holding worth what the case says, its debit or equity, the house rate."""
    account = {"kind": "margin", "house_maintenance": case.given.text("maint_rate")}
    if "debit" in case.given:
        account["cash"] = _text(-case.given.number("debit"))
    if "equity" in case.given:
        account["equity"] = case.given.text("equity")
    worth = case.given.get("securities_value")
    held = {} if worth is None else {"instruments": [asking.instrument(SYMBOL, text(worth))], "positions": [_held("1")]}
    return asking.document(account=account, **held)


def call(case: Case) -> object:
    """Whether there is a margin call."""
    snapshot = _margined(case)
    snapshot["instruments"] = [*_listed(snapshot), asking.instrument("OTHER", "1")]
    warned = asking.breached(snapshot, [asking.order("sell", "1", SYMBOL)], "maintenance-margin-call")
    return "margin_call" if warned else "ok"


def _listed(snapshot: dict[str, object]) -> list[object]:
    listed = snapshot["instruments"]
    assert isinstance(listed, list)
    return listed


def _measured(name: str) -> Callable[[Case], object]:
    return lambda case: asking.measured(name, _margined(case))


def reg_t(case: Case) -> object:
    """Whether cash margins a purchase or a short sale."""
    price, quantity = _worth(case.order, case.given)
    terms = {"marginable": case.given.get("marginable", True), "house_initial": text(case.given.get("initial_rate", 0))}
    account = {"kind": "margin", "cash": case.given.text("cash")}
    snapshot = asking.document(account=account, instruments=[asking.instrument(SYMBOL, price, **terms)])
    return asking.decided(snapshot, [asking.order(case.order["side"], quantity, SYMBOL)], ["reg-t-initial-margin"])


def _worth(order: Fields, given: Fields) -> tuple[str, str]:
    """Price and quantity of an order that says what it is worth, or that says both, or whose price the case gives."""
    order.ignore("symbol", "ordType")
    if "notional" in order:
        return order.text("notional"), "1"
    return order.text("price") if "price" in order else given.text("price"), order.text("orderQty")


# ---- buying power and leverage -----------------------------------------------------------------


def buying_power(case: Case) -> object:
    """An order against buying power and what open orders take of it."""
    reserved, market = case.given.text("open_order_value"), text(case.given.get("price", 1))
    quantity, price = "1", market
    if "notional" in case.order:
        market = price = case.order.text("notional")
    else:
        case.order.ignore("symbol")
        quantity, price = case.order.text("orderQty"), text(case.order.get("price", market))
    snapshot = asking.document(
        account={"kind": "margin", "buying_power": case.given.text("buying_power")},
        instruments=[asking.instrument(SYMBOL, market)],
        working_orders=[_working("W-1", "buy", "1", SYMBOL, reserved)] if number(reserved) else [],
    )
    limit = {"price": price} if case.order.only("ordType", "limit", "market") == "limit" else {}
    if not limit and "notional" not in case.order:
        case.given["price"]
    return asking.decided(snapshot, [asking.order(case.order["side"], quantity, SYMBOL, **limit)], ["buying-power"])


def _working(name: str, side: str, quantity: str, symbol: str, price: str) -> dict[str, object]:
    plain = {"id": name, "account": asking.ACCOUNT, "symbol": symbol}
    return {**plain, "side": side, "quantity": quantity, "price": price}


def short_order_value(case: Case) -> object:
    """Buying power that a short sale takes."""
    markup = case.given.number("factor") - 1
    snapshot = asking.document(
        instruments=[asking.instrument(case.order["symbol"], case.given.text("ask"))],
        firm={"short_markup": _text(markup), "collar": "0"},
    )
    return asking.told("order.opening_value", snapshot, [_single(case.order)])


def _single(order: Fields, **facts: object) -> dict[str, object]:
    """The order of a case, with its price where its type has one."""
    priced = {"price": order.text("price")} if order.only("ordType", "limit", "market") == "limit" else {}
    return asking.order(order["side"], order.text("orderQty"), order["symbol"], **priced, **facts)


MOMENTS = {
    "midnight": "2016-02-16T00:00:00-05:00",
    "weekend noon": "2016-02-13T12:00:00-05:00",
    "weekend midnight": "2016-02-13T00:00:00-05:00",
    "noon": "2016-02-16T12:00:00-05:00",
}
"""Times the cases name: of the business day, and of the Saturday before it, that their other times are of."""


def leverage(case: Case) -> object:
    """The leverage granted at a time, or the margin an order needs with it."""
    when = case.given["when"]
    account = {
        "intraday_leverage": case.given.text("open_leverage"),
        "overnight_leverage": case.given.text("closed_leverage"),
    }
    price = text(case.given.get("price", 1))
    snapshot = asking.document(
        time=MOMENTS.get(when, f"{when}-05:00"), account=account, instruments=[asking.instrument(SYMBOL, price)]
    )
    if "exchange_open" in case.given and case.given["exchange_open"] != _open(snapshot):
        raise NotCoveredError("a session that the calendar does not know")
    if "qty" not in case.given:
        return asking.measured("account.leverage", snapshot)
    return asking.told("order.initial_margin", snapshot, [asking.order("buy", case.given.text("qty"), SYMBOL)])


def _open(snapshot: dict[str, object]) -> bool:
    """Whether the exchange's calendar has a session at the snapshot's time."""
    single = asking.seen(snapshot).snapshot.single
    opens, closes, now = (single.get(name) for name in ("session.open", "session.close", "clock.now"))
    return opens is not None and opens <= now < closes  # type: ignore[operator]


def whole_shares(case: Case) -> object:
    """The quantity for a target, or the decision on an order of that quantity."""
    lent = case.given.text("leverage")
    account = {"kind": "margin", "equity": case.given.text("equity"), "leverage": lent}
    side = {"short": "sell_short", "long": "buy"}[case.given.get("side", "long")]
    listed = asking.instrument(SYMBOL, case.given.text("price"), lot=case.given.text("lot"))
    firm = {"target_buffer": case.given.text("buffer"), "free_buying_power": case.given.text("free_pct"), "collar": "0"}
    held = [_held(text(case.given["position"]))] if case.given.get("position") else []
    snapshot = asking.document(account=account, instruments=[listed], firm=firm, positions=held)
    aim = {"target_leverage": case.given.text("target_leverage"), "flat_fee": case.given.text("fee_flat")}
    found = asking.measured("order.target_change", snapshot, [asking.order(side, "1", SYMBOL, **aim)])
    if not case.orders:
        return found
    case.order.ignore("symbol")
    case.order.only("ordType", "market")
    if abs(number(asking.plain(found))) != case.order.number("orderQty"):
        raise NotCoveredError(f"the target gives {asking.plain(found)}, not the quantity ordered")
    sent = asking.order(case.order["side"], case.order.text("orderQty"), SYMBOL)
    return asking.decided(snapshot, [sent], ["leverage-granted"])


def long_premium(case: Case) -> object:
    """What buying an option needs."""
    case.order.only("effect", "open")
    case.order.only("side", "buy")
    listed = asking.instrument(case.order["symbol"], case.given.text("fill"), multiplier=case.given.text("multiplier"))
    return asking.told("order.premium", asking.document(instruments=[listed]), [_single(case.order)])


# ---- cash in several currencies ----------------------------------------------------------------


@dataclass(frozen=True)
class Leg:
    """What an order gives away: a currency, how much of it, and for a purchase with cash also what is bought."""

    side: str
    symbol: str
    quantity: Fraction
    price: Fraction


def _pair(symbol: str) -> tuple[str, str]:
    """`BTCUSD` is BTC in USD."""
    found = next((quote for quote in QUOTES if symbol.endswith(quote) and symbol != quote), None)
    if found is None:
        return symbol, "USD"
    return symbol.removesuffix(found), found


def _paid(order: Fields, market: Fraction | None) -> Fraction:
    """The price of an order: its limit, the stop of a stop order, or the market's."""
    kind = order.only("ordType", "limit", "stop", "stop_limit", "market")
    if kind == "stop_limit":
        order.ignore("stopPx")
    if kind == "market" and market is not None:
        return market
    return order.number("stopPx" if kind == "stop" else "price")


def _leg(order: Fields, cash: str, price: Fraction | None) -> Leg:
    """An order as a trade against the account's cash.

    What a pair of two coins brings in counts for nothing until it fills, so only what it gives away is written.
    """
    base, quote = _pair(order["symbol"])
    paid = _paid(order, price)
    quantity = order.number("orderQty")
    if quote == cash or order["side"] == "sell":
        return Leg(order.only("side", "buy", "sell"), base, quantity, paid if quote == cash else Fraction(1))
    return Leg("sell", quote, quantity * paid, Fraction(1))


def _unit(quantities: Iterable[Fraction]) -> Fraction:
    """The largest power of ten of which all are whole numbers. Raises NotCoveredError when none is fine enough."""
    listed = list(quantities)
    found = next((u for u in UNITS if all((q / u).denominator == 1 for q in listed)), None)
    if found is None:
        raise NotCoveredError("a quantity is too fine")
    return found


def cash(case: Case) -> object:
    """An order against cash, coins held and open orders."""
    quote = _pair(case.order["symbol"])[1]
    market = case.given.number("price") if "price" in case.given else None
    open_orders = [_leg(order, quote, None) for order in case.given.get("open_orders", ())]
    sent = _leg(case.order, quote, market)
    purse = case.given["cash"]
    coins = {name: purse.number(name) for name in purse if name != quote}
    money = purse.number(quote) if quote in purse else Fraction(0)
    rate, flat = (number(case.given.get(name, 0)) for name in ("fee_rate", "fee_flat"))
    lots = {
        symbol: _unit(
            [coins.get(symbol, Fraction(0)), *(leg.quantity for leg in (sent, *open_orders) if leg.symbol == symbol)]
        )
        for symbol in sorted({leg.symbol for leg in (sent, *open_orders)} | set(coins))
    }
    scale = _money_scale([leg.price * lots[leg.symbol] for leg in (sent, *open_orders)])
    snapshot = asking.document(
        account={"kind": "cash", "cash": _text(money * scale)},
        instruments=[asking.instrument(symbol, _text(scale)) for symbol in lots],
        positions=[_held(_text(held / lots[coin]), coin) for coin, held in coins.items()],
        working_orders=[
            _working(
                f"W-{place}",
                leg.side,
                _text(leg.quantity / lots[leg.symbol]),
                leg.symbol,
                _text(leg.price * lots[leg.symbol] * scale),
            )
            for place, leg in enumerate(open_orders, 1)
        ],
    )
    lot = lots[sent.symbol]
    fees = {"fee_rate": _text(rate), "flat_fee": _text(flat * scale)}
    order = asking.order(
        sent.side, _text(sent.quantity / lot), sent.symbol, price=_text(sent.price * lot * scale), **fees
    )
    return asking.decided(snapshot, [order], ["cash-account-pays-in-full", "cash-account-sells-what-it-holds"])


def _money_scale(prices: Iterable[Fraction]) -> Fraction:
    """How many units of money to count for one, so that prices of lots fit the scale of prices."""
    listed = list(prices)
    found = next(
        (1 / u for u in UNITS if all(fits_scale(p / u, 4) and p / u >= Fraction(1, 10_000) for p in listed)), None
    )
    if found is None:
        raise NotCoveredError("a price is too fine")
    return found


def budget(case: Case) -> object:
    """An order that cash and its fee must pay whole, or that is cut to what they pay in whole lots."""
    fees = {"fee_rate": text(case.given.get("fee_rate", 0)), "flat_fee": text(case.given.get("fee_flat", 0))}
    snapshot = asking.document(
        account={"kind": "cash", "cash": case.given.text("cash")},
        instruments=[asking.instrument(case.order["symbol"], "1")],
    )
    if "all_or_none" not in case.given or case.given.only("all_or_none", True, False):
        return asking.decided(snapshot, [_single(case.order, **fees)], ["cash-account-pays-in-full"])
    return min(case.order.number("orderQty"), max_quantity(_budgeted(case)))


def _budgeted(case: Case) -> Case:
    """What an order at its limit could be at most, as a case of its own."""
    case.order.only("side", "buy")
    case.order.only("ordType", "limit")
    case.order.ignore("symbol")
    asked = {name: text(value) for name, value in case.given.items() if name in ("cash", "fee_rate", "fee_flat", "lot")}
    case.given.ignore("lot")
    return replace(case, given=Fields({**asked, "price": case.order.text("price")}))


def _purse(purse: Fields) -> tuple[Fraction, list[Fraction]]:
    """The money in a purse of one currency, and how much of the one coin that may be beside it."""
    currency = next((name for name in MONEY if name in purse), None)
    coins = [name for name in purse if name != currency]
    if currency is None or len(coins) > 1:
        raise NotCoveredError("which of several is bought, or with what, is not said")
    return purse.number(currency), [purse.number(name) for name in coins]


def max_quantity(case: Case) -> Fraction:
    """The most that cash buys, in whole lots."""
    purse = case.given["cash"]
    money, coins = _purse(purse) if isinstance(purse, Fields) else (case.given.number("cash"), [])
    lot, price = number(case.given.get("lot", 1)), case.given.number("price")
    scale = _money_scale([price * lot, *([money] if money else [])])
    mark = _text(price * lot * scale)
    snapshot = asking.document(
        account={"kind": "cash", "cash": _text(money * scale)},
        instruments=[asking.instrument(SYMBOL, mark)],
        positions=[_held(_text(held / lot)) for held in coins],
    )
    facts = {
        "fee_rate": text(case.given.get("fee_rate", 0)),
        "flat_fee": _text(number(case.given.get("fee_flat", 0)) * scale),
    }
    name = "order.affordable_quantity"
    if "target" in case.given:
        name, facts["target_weight"] = "order.weight_change", case.given.text("target")
    lots = asking.measured(name, snapshot, [asking.order("buy", "1", SYMBOL, price=mark, **facts)])
    return number(asking.plain(lots)) * lot


# ---- settlement --------------------------------------------------------------------------------


def settlement(case: Case) -> object:
    """When a trade settles."""
    case.given.only("market", "US equity")
    snapshot = asking.document(
        time=f"{case.given['trade_date']}T12:00:00-05:00", instruments=[asking.instrument(SYMBOL, "1")]
    )
    return asking.measured("order.settlement_date", snapshot, [asking.order("buy", "1", SYMBOL)])


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "budget": budget,
    "buying_power": buying_power,
    "cash.buying_power": cash,
    "maintenance.call": call,
    "maintenance.call_amount": _measured("account.maintenance_call"),
    "maintenance.liquidation_to_cover": _measured("account.liquidation_to_cover"),
    "maintenance.long_requirement": long_requirement,
    "maintenance.short_requirement": short_requirement,
    "maintenance.trigger_value": _measured("account.maintenance_trigger_value"),
    "margin.intraday_vs_overnight": leverage,
    "optimizer.max_qty": max_quantity,
    "optimizer.whole_shares": whole_shares,
    "options.long_premium.requirement": long_premium,
    "reg_t.initial": reg_t,
    "settlement.date": settlement,
    "short_order_value": short_order_value,
}
