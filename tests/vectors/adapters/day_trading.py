"""Day trades, day trading buying power and intraday margin: cases to snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.vectors import asking
from tests.vectors.case import Case, Fields, NotCoveredError, Said, number, text

RULES = {"open_block": "day-trades-left", "deficit": "intraday-margin-deficit-open"}


DAYS = ("2026-06-15", "2026-06-12", "2026-06-11", "2026-06-10", "2026-06-09")
"""The day of the snapshot and business days before it."""
SIDES = {"buy": "buy", "sell": "sell", "sell_short": "sell_short", "short": "sell_short", "buy_to_cover": "buy"}


def _fills(listed: Iterable[Fields], timed: bool = True) -> list[dict[str, object]]:
    """Fills as listed; times of day become times of the snapshot's day, but only where each fill has its own."""
    fills = list(listed)
    every = timed and all("time" in fill for fill in fills)
    return [_fill(place, fill, every) for place, fill in enumerate(fills, 1)]


def _fill(place: int, fill: Fields, timed: bool) -> dict[str, object]:
    found: dict[str, object] = {"id": f"F-{place}", "account": asking.ACCOUNT, "symbol": fill.get("symbol", "XYZ")}
    fill.ignore("time")
    if timed:
        found["time"] = f"{asking.NOON[:10]}T{fill['time']}:00{asking.NOON[-6:]}"
    return found | {
        "side": SIDES[fill.only("side", *SIDES)],
        "quantity": fill.text("qty"),
        "price": text(fill.get("price", "100")),
    }


def _on_their_own_days(fills: list[dict[str, object]]) -> list[dict[str, object]]:
    """Each fill on a business day of its own, the last of them on the day of the snapshot."""
    if len(fills) > len(DAYS):
        raise NotCoveredError(f"{len(fills)} fills on days of their own")
    days = reversed(DAYS[: len(fills)])
    return [fill | {"time": f"{day}T10:00:00{asking.NOON[-6:]}"} for day, fill in zip(days, fills, strict=True)]


def _held(start: str, fills: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Holdings after the fills of an account that began the day with `start` of every symbol in them."""
    now: dict[str, object] = {}
    for fill in fills:
        symbol, signed = str(fill["symbol"]), number(str(fill["quantity"]))
        now.setdefault(symbol, number(start))
        now[symbol] += signed if fill["side"] == "buy" else -signed  # type: ignore[operator]
    return [{"account": asking.ACCOUNT, "symbol": symbol, "quantity": str(net)} for symbol, net in now.items()]


def count(case: Case) -> object:
    """Day trades by one of the conventions."""
    fills = _fills(case.given["fills"])
    if not case.given.only("same_day", True, False):
        fills = _on_their_own_days(fills)
    snapshot = asking.document(
        account={"kind": "margin"},
        fills=fills,
        positions=_held(case.given.text("start_position"), fills),
        instruments=[asking.instrument(symbol, "100") for symbol in sorted({str(f["symbol"]) for f in fills})],
        firm={"day_trade_counting": case.given["method"]},
    )
    return asking.measured("account.day_trades", snapshot)


def designation(case: Case) -> object:
    """Whether day trades make a pattern."""
    account = {"day_trades": case.given.text("day_trades_5bd"), "trades": case.given.text("total_trades_5bd")}
    pattern = asking.told("account.day_trading_pattern", asking.document(account={"kind": "margin", **account}))
    return "pattern_day_trader" if pattern else "not_pattern_day_trader"


def open_block(case: Case) -> object:
    """An opening order with the day trades already made."""
    case.given.only("threshold", 25000)
    account = {"day_trades": case.given.text("day_trades_last_5bd"), "equity": case.given.text("net_liquidation")}
    held = {"open": "0", "close": case.order.text("orderQty")}.get(case.order.only("effect", "open", "close"), "0")
    snapshot = asking.document(
        account={"kind": "margin", **account},
        instruments=[asking.instrument(case.order["symbol"], "100")],
        positions=[{"account": asking.ACCOUNT, "symbol": case.order["symbol"], "quantity": held}],
    )
    case.order.only("ordType", "market")
    sent = asking.order(case.order["side"], case.order.text("orderQty"), case.order["symbol"])
    return asking.decided(snapshot, [sent], [RULES["open_block"]])


REGIMES = {
    "LEGACY": Said("legacy_pdt", "legacy_pdt_in_force", "legacy_pdt_only", "legacy"),
    "EITHER": Said(
        "intraday_margin_in_force_legacy_optional_by_broker", "intraday_margin_in_force_legacy_optional_by_firm"
    ),
    "INTRADAY": Said("intraday_margin_only_or_house_policy", "intraday_margin_only"),
}
"""How cases word what `account.day_trading_regime` says; who elects is called the broker or the firm."""


def regime(case: Case) -> object:
    """The provisions in force on a day."""
    day = asking.document(time=f"{case.given['date']}T12:00:00-05:00")
    return REGIMES[str(asking.told("account.day_trading_regime", day))]


def buying_power(case: Case) -> object:
    """Day trading buying power from value and debit at the previous close."""
    closed = {"cash": f"-{case.given.text('debit')}", "house_maintenance": case.given.text("maint_rate")}
    previous = asking.document(
        account={"kind": "margin", **closed},
        instruments=[asking.instrument("XYZ", case.given.text("long_mv"))],
        positions=[{"account": asking.ACCOUNT, "symbol": "XYZ", "quantity": "1"}],
    )
    account = {
        "kind": "margin",
        "close_equity": asking.plain(asking.measured("account.equity", previous)),
        "close_maintenance": asking.plain(asking.measured("account.maintenance_requirement", previous)),
        "day_trading_multiple": case.given.text("multiplier"),
    }
    return asking.measured("account.day_trading_buying_power", asking.document(account=account))


def call(case: Case) -> object:
    """A position sold that was held overnight, then a day trade of another."""
    prices = {"OLD": case.given.text("overnight_position_sold"), "NEW": case.given.text("day_trade_open_cost")}
    plain = {"account": asking.ACCOUNT, "quantity": "1"}
    steps = (("OLD", "sell"), ("NEW", "buy"), ("NEW", "sell"))
    fills = [
        {"id": f"F-{place}", "symbol": symbol, "side": side, "price": prices[symbol], **plain}
        for place, (symbol, side) in enumerate(steps, 1)
    ]
    snapshot = asking.document(
        account={"kind": "margin", "day_trading_buying_power": case.given.text("start_dtbp")},
        fills=fills,
        instruments=[asking.instrument(symbol, price) for symbol, price in prices.items()],
    )
    return asking.measured("account.day_trade_call", snapshot)


def de_minimis(case: Case) -> object:
    """Whether a deficit is small enough not to count."""
    account = {"equity": case.given.text("equity"), "intraday_deficit": case.given.text("deficit")}
    snapshot = asking.document(
        account={"kind": "margin", "elected_intraday_margin": True, "intraday_deficit_days": "1", **account},
        instruments=[asking.instrument("XYZ", "100")],
    )
    sent = [asking.order("buy", "1", "XYZ")]
    return "counts" if asking.breached(snapshot, sent, RULES["deficit"]) else "de_minimis"


def deficit(case: Case) -> object:
    """The intraday margin deficit of a day: with executions, or with a change of value alone."""
    if "fills" not in case.given:
        return _deficit_by_value(case)
    shown = bool(case.given.get("order_of_fills_provable", True))
    fills = _fills(case.given["fills"], timed=shown)
    if shown and not all("time" in fill for fill in fills):
        day = asking.NOON[:10]
        fills = [fill | {"time": f"{day}T10:{place:02}:00{asking.NOON[-6:]}"} for place, fill in enumerate(fills)]
    account = {
        "start_of_day_equity": case.given.text("equity"),
        "house_maintenance": text(case.given.get("maint_rate", 0)),
    }
    snapshot = asking.document(
        account={"kind": "margin", **account},
        fills=fills,
        positions=_held("0", fills),
        instruments=[asking.instrument(symbol, "100") for symbol in sorted({str(f["symbol"]) for f in fills})],
    )
    return asking.measured("account.intraday_deficit_today", snapshot)


def _deficit_by_value(case: Case) -> object:
    """A holding whose requirement is all of its value, at the value the case gives, and no execution."""
    case.given.only("iml_reducing_transactions", 0)
    needed, change = case.given.text("maint_start"), case.given.number("pnl")
    after = number(needed) + change
    if after <= 0:
        raise NotCoveredError("the loss is more than the holding")
    snapshot = asking.document(
        account={"kind": "margin", "start_of_day_equity": case.given.text("equity_start"), "house_maintenance": "1"},
        instruments=[asking.instrument("XYZ", asking.plain(after), previous_close=needed)],
        positions=[{"account": asking.ACCOUNT, "symbol": "XYZ", "quantity": "1"}],
    )
    return asking.measured("account.intraday_deficit_today", snapshot)


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "daytrade.count": count,
    "dtbp.call": call,
    "dtbp.value": buying_power,
    "intraday_margin.de_minimis": de_minimis,
    "intraday_margin.deficit": deficit,
    "pdt.legacy.designation": designation,
    "pdt.legacy.open_block": open_block,
    "pdt.regime_by_date": regime,
}
