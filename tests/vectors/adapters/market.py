"""Market state: bands, circuit breakers, short sales, sessions, reference prices, repurchases: cases to snapshots.

A case names a session or a period; the snapshot gets a time of day in it, and the engine finds session and period again
by the exchange's calendar.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from lexorder.engine.measures.circuit_breakers import DECLINES
from lexorder.engine.sessions import ZONE, session_hours
from tests.vectors import asking
from tests.vectors.case import Case, Fields, NotCoveredError, text

SYMBOL = "XYZ"
DAY = date.fromisoformat(asking.NOON[:10])
SHORT_DAY = date(2026, 11, 27)
"""A day on which the exchange closes early."""
TIMES = {
    "regular": time(12),
    "normal": time(12),
    "pre_market": time(8),
    "after_hours": time(17),
    "extended": time(8),
    "opening": time(9, 35),
    "open": time(9, 35),
    "first_15_min": time(9, 35),
    "closing": time(15, 40),
    "close": time(15, 40),
    "last_25_min": time(15, 40),
}
"""A time of day in each session and period that cases name."""
MONDAY = date(2026, 6, 1)
"""The first of two weeks without a holiday, for cases that name days of the week."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
PRICES = {"bid": "bid", "ask": "ask", "last": "last_trade", "settlement": "settlement", "close": "previous_close"}


def at(day: date, moment: time) -> str:
    """An instant of a day at the exchange."""
    return datetime.combine(day, moment, ZONE).isoformat()


def when(named: str, day: date = DAY) -> str:
    """An instant in the session or period a case names. Raises NotCoveredError for an unknown one."""
    if named not in TIMES:
        raise NotCoveredError(f"session {named} is not translated")
    return at(day, TIMES[named])


def sent(order: Fields, symbol: str = SYMBOL, **more: object) -> dict[str, object]:
    """An order of a case as the engine takes it."""
    order.ignore("symbol")
    facts: dict[str, object] = {"ord_type": order["ordType"], **more}
    for theirs, ours in (("price", "price"), ("stopPx", "stop_price"), ("timeInForce", "time_in_force")):
        if theirs in order:
            facts[ours] = order.text(theirs)
    quantity = order.text("orderQty") if "orderQty" in order else "1"
    return asking.order(str(order["side"]), quantity, symbol, **facts)


def priced(**facts: object) -> dict[str, object]:
    """The instrument of a case with the prices it gives; null is not known."""
    known = {name: text(value) for name, value in facts.items() if value is not None}
    return {"symbol": SYMBOL, "issuer": SYMBOL, "currency": "USD", **known}


def optional(case: Case, **names: str) -> dict[str, object]:
    """Those of the given fields that a case has, by the engine's name."""
    return {ours: case.given[theirs] for ours, theirs in names.items() if theirs in case.given}


# ---- limit up, limit down ----------------------------------------------------------------------


def _banded(case: Case) -> dict[str, Any]:
    given = case.given
    close = given["prev_close"] if "prev_close" in given else given["reference"]
    stock = priced(
        luld_reference=given["reference"],
        luld_tier=given["tier"],
        previous_close=close,
        **optional(case, leverage="leverage"),
    )
    day = date.fromisoformat(given["as_of"]) if "as_of" in given else DAY
    return asking.document(time=when(given["period"], day), instruments=[stock])


def luld_band(case: Case) -> object:
    """The lower and upper band."""
    snapshot = _banded(case)
    return [asking.measured(f"instrument.luld_{side}", snapshot) for side in ("lower", "upper")]


def luld_order(case: Case) -> object:
    """Whether an order at the price could only trade outside the bands."""
    snapshot, price = _banded(case), case.given.text("trade_price")
    rules = ["price-inside-limit-bands"]
    found = {asking.decided(snapshot, [asking.order(s, "1", SYMBOL, price=price)], rules) for s in ("buy", "sell")}
    return "outside_band" if "reject" in found else "inside_band"


# ---- market-wide circuit breakers --------------------------------------------------------------


def mwcb_level_value(case: Case) -> object:
    """The index value of the level whose decline the case names."""
    level = next((n for n, decline in DECLINES.items() if decline == case.given.number("pct")), None)
    if level is None:
        raise NotCoveredError(f"no level is a decline of {case.given['pct']}")
    index = {"index_previous_close": case.given.text("spx_prev_close")}
    return asking.measured(f"session.decline_level_{level}", _session(asking.NOON, **index))


def _session(moment: str, **facts: object) -> dict[str, Any]:
    return asking.document(time=moment, session=facts, instruments=[priced()])


def mwcb_action(case: Case) -> object:
    """What reaching a level at a time does, on a day that may close early and have had halts before."""
    day = SHORT_DAY if case.given.get("early_close", False) else DAY
    moment = at(day, time.fromisoformat(case.given["time_et"]))
    earlier = {f"level_{level}_time": at(day, time(9, 31)) for level in case.given.get("levels_halted_earlier", ())}
    snapshot = _session(moment, decline_level=case.given.text("level_reached"), decline_time=moment, **earlier)
    words = {"NONE": "no_halt", "HALT_15_MIN": "halt_15m", "HALT_REST_OF_DAY": "halt_rest_of_day"}
    return words[str(asking.measured("session.decline_action", snapshot))]


# ---- short sales -------------------------------------------------------------------------------


def ssr_active_days(case: Case) -> object:
    """The days of the week on which the restriction holds."""
    triggered = [(MONDAY + timedelta(days=WEEKDAYS.index(day))).isoformat() for day in case.given["trigger_days"]]
    days = [MONDAY + timedelta(days=n) for n in range(12)]
    return [WEEKDAYS[day.weekday()] for day in days if _restricted(day, triggered)]


def _restricted(day: date, triggered: list[str]) -> bool:
    stock = {**priced(), "short_sale_trigger_days": triggered}
    snapshot = asking.document(time=at(day, time(12)), instruments=[stock])
    return bool(asking.measured("instrument.short_sale_restricted", snapshot))


def ssr_trigger(case: Case) -> object:
    """Whether the last trade triggers the restriction."""
    stock = priced(**optional(case, previous_close="prev_close", last_trade="last_trade", bid="nbb"))
    snapshot = asking.document(time=when(case.given["session"]), instruments=[stock])
    triggered = asking.measured("instrument.short_sale_triggered", snapshot)
    return "triggered" if triggered else "not_triggered"


def ssr_order(case: Case) -> object:
    """Whether an order passes the price test."""
    stock = priced(**optional(case, previous_close="prev_close", bid="nbb"))
    stock["short_sale_restricted"] = case.given["ssr_active"]
    snapshot = asking.document(time=when(case.given.get("session", "regular")), instruments=[stock])
    marked = [sent(o, short_exempt=bool(o.get("shortExempt", False))) for o in case.orders]
    return asking.decided(snapshot, marked, ["short-sale-price-test"])


def located(case: Case) -> object:
    """Whether a short sale with or without a locate goes."""
    facts: dict[str, Any] = {"has_locate": bool(case.given["located"])}
    facts["locate_exempt"] = bool(case.given.get("market_making", False))
    orders = [sent(o, **facts) for o in case.orders]
    return asking.decided(asking.document(instruments=[priced()]), orders, ["short-sale-needs-locate"])


def _failed(case: Case) -> dict[str, object]:
    of_long_sale = case.given.get("of_long_sale", False)
    return {**priced(), "fail_since": case.given["fail_settlement_date"], "fail_of_long_sale": of_long_sale}


def close_out_due(case: Case) -> object:
    """The day by whose opening a fail to deliver must be closed out."""
    snapshot = asking.document(instruments=[_failed(case)])
    due = asking.measured("instrument.close_out_due", snapshot)
    assert isinstance(due, datetime)
    return due.date()


def open_fail(case: Case) -> object:
    """An order while a fail to deliver is open."""
    given = case.given
    moment = at(date.fromisoformat(given["date"]), time.fromisoformat(given["time_et"]))
    orders = [sent(o, borrowed=bool(given.get("borrowed", False))) for o in case.orders]
    snapshot = asking.document(time=moment, instruments=[{**_failed(case), "fail_open": True}])
    return asking.decided(snapshot, orders, ["short-sale-after-open-fail"])


# ---- sessions ----------------------------------------------------------------------------------


def extended_hours(case: Case) -> object:
    """Whether an order may trade in the session."""
    session = str(case.given["session"])
    moment, outside = when(session), session != "regular"
    orders = [sent(o, extended_hours=outside) for o in case.orders]
    for order in orders:
        if order["ord_type"] in ("limit", "stop_limit"):
            order.setdefault("price", "100")
    snapshot = asking.document(time=moment, instruments=[asking.instrument(SYMBOL, "100")])
    return asking.decided(snapshot, orders, ["extended-hours-order"])


# ---- prices ------------------------------------------------------------------------------------


def _quoted(case: Case) -> dict[str, object]:
    return priced(**{ours: case.given[theirs] for theirs, ours in PRICES.items() if theirs in case.given})


def price_reference(case: Case) -> object:
    """The price a collar is held against."""
    stock = {**_quoted(case), **priced(**optional(case, preferred_price="preferred"))}
    return asking.measured("instrument.reference_price", asking.document(instruments=[stock]))


def price_reference_missing(case: Case) -> object:
    """What becomes of an order with or without a price to hold it against."""
    snapshot = asking.document(instruments=[_quoted(case)])
    return asking.decided(snapshot, [sent(o) for o in case.orders], ["collar-needs-a-reference"])


def flash_crash_move(case: Case) -> object:
    """The move between two trades."""
    case.given.ignore("symbol")
    start, end = (datetime.fromisoformat(case.given[name]).replace(tzinfo=ZONE) for name in ("t0", "t1"))
    stock = priced(last_trade=case.given["p1"], last_trade_time=end.isoformat())
    window = {"window_start_price": case.given.text("p0"), "window_start_time": start.isoformat()}
    snapshot = asking.document(time=end.isoformat(), instruments=[stock], market=[{"symbol": SYMBOL, **window}])
    return asking.measured("market.move", snapshot)


# ---- repurchases -------------------------------------------------------------------------------


def _repurchased(case: Case, rule: str, stock: dict[str, object], **sections: Any) -> object:
    snapshot = asking.document(instruments=[stock], **sections)
    return asking.decided(snapshot, [sent(o, buyback=True) for o in case.orders], [rule])


def buyback_volume(case: Case) -> object:
    """Whether a repurchase stays within the day's volume."""
    bought = case.given.get("bought_today", 0)
    fill = {"id": "F-1", "account": asking.ACCOUNT, "symbol": SYMBOL, "side": "buy", "quantity": text(bought)}
    fills = [{**fill, "price": "1"}] if bought else []
    return _repurchased(case, "buyback-volume", priced(adv=case.given["adtv_shares"]), fills=fills)


def buyback_timing(case: Case) -> object:
    """Whether a repurchase is early enough before the close."""
    stock = priced(adtv_value=case.given["adtv_value"], public_float_value=case.given["public_float"])
    hours = session_hours(DAY)
    assert hours is not None
    moment = hours[1] - timedelta(minutes=float(case.given.number("minutes_to_close")))
    return _repurchased(case, "buyback-not-at-the-close", stock, time=moment.isoformat())


def buyback_price(case: Case) -> object:
    """Whether a repurchase pays at most what the safe harbour admits."""
    names = {"highest_independent_bid": "highest_independent_bid", "last_independent_price": "last_independent_trade"}
    return _repurchased(case, "buyback-price", priced(**optional(case, **names)))


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "luld.band": luld_band,
    "luld.order": luld_order,
    "mwcb.level_value": mwcb_level_value,
    "mwcb.action": mwcb_action,
    "ssr.active_days": ssr_active_days,
    "ssr.trigger": ssr_trigger,
    "ssr.order": ssr_order,
    "short_sale.locate": located,
    "short_sale.close_out": close_out_due,
    "short_sale.open_fail": open_fail,
    "session.extended_hours": extended_hours,
    "price.reference": price_reference,
    "price.reference_missing": price_reference_missing,
    "flash_crash.move": flash_crash_move,
    "buyback.volume": buyback_volume,
    "buyback.timing": buyback_timing,
    "buyback.price": buyback_price,
}
