"""Rules of the firm and of its desks: the figures of `properties.py`, from what each rule's title and policy say."""

from __future__ import annotations

from tests.rules.library import held, instrument, world
from tests.rules.properties import (
    SELL,
    SHORT,
    Count,
    Document,
    Entry,
    Fact,
    Limit,
    Shape,
    Standing,
    at,
    holding,
    limit_order,
    margin,
)

POWER = margin(tags=["broker-buying-power"], buying_power="3000")
LENT = {"tags": ["broker-leverage"], "equity": "1500", "leverage": "2"}
THREE = {"day_trades": "3", "trades": "3"}
CLOSE = {**SELL, "position_effect": "close"}

BUYING_POWER: tuple[Entry, ...] = (
    Limit("buying-power", 30, POWER),
    Limit("closing-orders-only-close", 30, holding(30, margin()), CLOSE),
    Limit("leverage-granted", 30, margin(**LENT)),
    Limit("leverage-granted", 30, margin(**LENT), SHORT),
    Limit("day-trades-left", 30, holding(30, margin(equity="24999.99", **THREE)), SELL),
    Fact("day-trades-left", margin(equity="25000", **THREE), margin(equity="24999.99", **THREE)),
)


def pair(correlation: str) -> Document:
    """ACME and BETA move together; 8% of the account are 3,000."""
    pairs = [{"id": "ACME/BETA", "first": "ACME", "second": "BETA", "correlation": correlation}]
    return {**margin(nav="37500"), "pairs": pairs}


CONCENTRATION: tuple[Entry, ...] = (
    Limit("max-issuer-weight", 30, margin(nav="60000")),
    Limit("max-issuer-weight", 30, margin(nav="60000"), SHORT),
    Limit("max-sector-weight", 30, margin(nav="15000")),
    Limit("max-correlated-pair", 30, pair("0.81")),
    Limit("max-correlated-pair", 30, pair("0.81"), SHORT),
)

TEAM = margin(tags=["team"], team_nav="20000")
TODAY, YESTERDAY = {"listed_until": "2026-06-15"}, {"listed_until": "2026-06-14"}
HOLDINGS: tuple[Entry, ...] = (
    Limit("long-only", 30, holding(30, margin(tags=["long-only"])), SELL),
    Limit("position-quantity-limit", 30, margin({"max_position": "30"})),
    Limit("position-quantity-limit", 30, margin({"max_position": "30"}), SHORT),
    Limit("position-value-limit", 30, margin({"max_position_value": "3000"})),
    Limit("account-leverage-limit", 30, margin(nav="3000", max_leverage="1")),
    Fact("listed-on-the-day", margin(TODAY), margin(YESTERDAY)),
    Fact(
        "allow-list",
        {**margin(tags=["allow-list"]), "lists": {"restricted": [], "watch": [], "allowed": ["ACME"]}},
        {**margin(tags=["allow-list"]), "lists": {"restricted": [], "watch": [], "allowed": ["BETA"]}},
    ),
    Limit("team-concentration", 30, TEAM),
    Count("workspace-open-trades", 2, margin(tags=["workspace"], open_trades="1")),
)

LEVERAGE: tuple[Entry, ...] = (
    Limit("max-gross-leverage", 30, margin(nav="1500")),
    Limit("max-gross-leverage", 30, margin(nav="1500"), SHORT),
    Limit("max-net-leverage", 30, margin(nav="3000")),
    Limit("max-net-leverage", 30, margin(nav="3000"), SHORT),
    Limit("min-cash-buffer", 30, margin(nav="10000", cash="3200")),
)

LOCKOUTS: tuple[Entry, ...] = (
    Limit("lockout-after-stops", 30, holding(30, margin(stop_loss_locked="true")), SELL),
    Limit("lockout-after-drawdown", 30, holding(30, margin(drawdown_locked="true")), SELL),
    Limit("cooldown-after-exit", 30, holding(30, margin({"cooling_down": "true"})), SELL),
    Limit("lockout-after-low-profit", 30, holding(30, margin({"low_profit_locked": "true"})), SELL),
)


def looked_through() -> Document:
    """A fund of which ACME is a quarter is held for 2,000: 500 of the 3,000 that 5% are."""
    constituents = [
        {"fund": "ETF", "issuer": "ACME", "weight": "25%"},
        {"fund": "ETF", "issuer": "OTHERS", "weight": "75%"},
    ]
    names = [instrument("ACME"), instrument("ETF", kind="fund")]
    account = {"kind": "margin", "nav": "60000", "tags": ["look-through"]}
    return world(account=account, instruments=names, positions=[held(20, "ETF")], constituents=constituents)


LOOK_THROUGH: tuple[Entry, ...] = (Limit("look-through-issuer-weight", 25, looked_through()),)

LOST, KEPT = {"nav": "979999.9999"}, {"nav": "980000"}
FALLEN, HELD_UP = {"nav": "899999.9999"}, {"nav": "900000"}
LOSSES: tuple[Entry, ...] = (
    # More than 2% below the day's opening, more than 10% below the peak, of a million each.
    Limit("daily-loss-closing-only", 30, holding(30, margin(**LOST)), SELL),
    Fact("daily-loss-closing-only", margin(**KEPT), margin(**LOST)),
    Standing("daily-loss-limit", margin(**KEPT), margin(**LOST)),
    Limit("drawdown-closing-only", 30, holding(30, margin(**FALLEN)), SELL),
    Fact("drawdown-closing-only", margin(**HELD_UP), margin(**FALLEN)),
    Standing("drawdown-limit", margin(**HELD_UP), margin(**FALLEN)),
)


def options(level: int, shares: int = 0, *, right: str = "call", **account: str) -> Document:
    """An account at a level, with shares of ACME, and CALL: options on 100 of them at 50."""
    option = {
        "kind": "option",
        "right": right,
        "strike": "50",
        "multiplier": "100",
        "expiry": "2026-12-18",
        "mark": "1",
    }
    names = [instrument("ACME", underlying="ACME"), instrument("CALL", underlying="ACME", **option)]
    facts = {"kind": "margin", "tags": ["options"], "option_level": str(level), **account}
    return world(account=facts, instruments=names, positions=[held(shares)])


WRITTEN = {**SELL, "symbol": "CALL"}
OPTIONS: tuple[Entry, ...] = (
    Fact("option-level", options(1), options(0), WRITTEN),
    Fact("option-level", options(2), options(1), {"symbol": "CALL"}),
    Limit("covered-call", 30, options(1, 3_000), WRITTEN),
    Limit("covered-call-or-spread", 30, options(3, 3_000), WRITTEN),
    Limit("spread-legs-cover", 30, options(3, 3_000), WRITTEN),
    Limit("cash-secured-put", 30, options(1, right="put", cash="150000"), WRITTEN),
)

SIZED = {"min_quantity": "10", "max_quantity": "30"}
IN_QUOTE = {"quantity_in_quote": "true"}
LOTS = ((9, False), (10, True), (11, False), (20, True), (25, False))
RANGE = ((9, False), (10, True), (30, True), (31, False))
IN_UNITS = ((999, False), (1_000, True), (3_000, True), (3_001, False))
ORDER_SHAPE: tuple[Entry, ...] = (
    Fact("known-instrument", margin(), margin({"tradable": "false"})),
    Fact("price-above-zero", margin(), margin(), limit_order("0.0001"), limit_order("0")),
    Fact("price-on-tick", *(margin({"tick": "0.05"}),) * 2, limit_order("100.05"), limit_order("100.06")),
    Shape("quantity-on-lot", "a lot is whole", LOTS, margin({"lot": "10"})),
    Shape("instrument-order-size", "an order has a least size", RANGE, margin(SIZED)),
    Shape("instrument-order-size-in-quote", "an order has a least size", IN_UNITS, margin(SIZED), IN_QUOTE),
    Fact(
        "quantity-in-quote-is-not-understated",
        *(margin(),) * 2,
        limit_order("1", **IN_QUOTE),
        limit_order("0.9999", **IN_QUOTE),
    ),
    Shape(
        "instrument-order-value",
        "an order has a least value",
        RANGE,
        margin({"min_value": "1000", "max_value": "3000"}),
    ),
    Limit("reduce-only", 30, holding(30, margin()), {**SELL, "reduce_only": "true"}),
    Limit("cash-account-within-balance", 30, world(account={"kind": "cash", "cash": "3000"})),
    Limit("bets-within-balance", 30, world(account={"kind": "betting", "cash": "30"}), {**SELL, **limit_order("2")}),
)

EXTENDED = {"extended_hours": "true", **limit_order("100")}
SESSIONS: tuple[Entry, ...] = (
    Fact(
        "extended-hours-order",
        *(margin(),) * 2,
        {**EXTENDED, "time_in_force": "DAY"},
        {**EXTENDED, "time_in_force": "GTC"},
    ),
    Fact("outside-regular-hours", at("15:59:59", margin()), at("16:00:00", margin())),
    Fact(
        "order-type-fits-time-in-force",
        *(margin(),) * 2,
        {"time_in_force": "OPG"},
        {"time_in_force": "OPG", "ord_type": "stop", "stop_price": "100"},
    ),
)

LISTED = {"restricted": ["ACME"], "watch": ["ACME"]}
TRADING: tuple[Entry, ...] = (
    Limit("max-volume-participation", 30, margin({"adv": "300"})),
    Limit("max-volume-participation", 30, margin({"adv": "300"}), SHORT),
    Fact("restricted-list", margin(), {**margin(), "lists": LISTED}),
    Fact("watch-list", margin(), {**margin(), "lists": LISTED}),
    Fact("no-trading-in-the-opening-minutes", at("09:40:00", margin()), at("09:39:59", margin())),
)


def role(named: str, traded: str = "0", **stock: str) -> Document:
    """The trader in a role, who has ordered so much today."""
    return {**margin(dict(stock)), "traders": [{"id": "T", "role": named, "traded_today": traded}]}


THOUSAND = {"mark": "1000", "bid": "1000", "ask": "1000"}
ROLES: tuple[Entry, ...] = (
    Limit("senior-trader-daily-limit", 30, role("senior_trader", "97000")),
    Limit("senior-trader-position-limit", 50, role("senior_trader", **THOUSAND)),
    Limit("junior-trader-daily-limit", 30, role("junior_trader", "22000")),
    Limit("junior-trader-position-limit", 10, role("junior_trader", **THOUSAND)),
    Fact("roles-without-trading", role("algorithm"), role("observer")),
)

ENTRIES: tuple[Entry, ...] = (
    *BUYING_POWER,
    *CONCENTRATION,
    *HOLDINGS,
    *LEVERAGE,
    *LOCKOUTS,
    *LOOK_THROUGH,
    *LOSSES,
    *OPTIONS,
    *ORDER_SHAPE,
    *SESSIONS,
    *TRADING,
    *ROLES,
)
