"""Rules of law: the figures of `properties.py`, from the words of the regulations."""

from __future__ import annotations

from tests.rules.library import working, world
from tests.rules.properties import (
    SELL,
    SHORT,
    Count,
    Entry,
    Fact,
    Limit,
    Trigger,
    at,
    holding,
    limit_order,
    margin,
)

ONE_CENT_SHORT = "24999.99"
BUYBACK = {"buyback": "true"}
THIN = {"adtv_value": "999999.9999", "public_float_value": "200000000"}
PRICED = {"highest_independent_bid": "20", "last_independent_price": "20.05"}

BUYBACKS: tuple[Entry, ...] = (
    # 25 percent of average daily trading volume, all purchases of the day together.
    Limit("buyback-volume", 100, margin({"adv": "400"}), BUYBACK),
    # Not within the last 30 minutes of the session, for a security that is thinly traded.
    Fact("buyback-not-at-the-close", at("15:29:59", margin(THIN)), at("15:30:00", margin(THIN)), BUYBACK),
    # Not the opening purchase.
    Fact("buyback-not-the-opening", at("09:30:01", margin()), at("09:30:00", margin()), BUYBACK),
    # At most the higher of the highest independent bid and the last independent price.
    Fact(
        "buyback-price",
        margin(PRICED),
        margin(PRICED),
        limit_order("20.05", **BUYBACK),
        limit_order("20.0501", **BUYBACK),
    ),
)

PATTERN = {"day_trades": "4", "trades": "10"}
CALLED = {"day_trade_restricted_until": "2026-06-15"}
FROZEN = {"elected_intraday_margin": "true", "intraday_restricted_until": "2026-06-15"}
GOVERNED = {"elected_intraday_margin": "true", "equity": "10000", "intraday_deficit_days": "1"}

DAY_TRADING: tuple[Entry, ...] = (
    # Below 25,000 of equity a pattern day trader opens nothing: closing is all that goes.
    Limit("pattern-day-trader-minimum-equity", 30, holding(30, margin(equity=ONE_CENT_SHORT, **PATTERN)), SELL),
    Fact(
        "pattern-day-trader-minimum-equity", margin(equity="25000", **PATTERN), margin(equity=ONE_CENT_SHORT, **PATTERN)
    ),
    Fact(
        "day-trading-buying-power-exceeded",
        margin(pattern_day_trader="true", day_trade_cost="1000", day_trading_buying_power="1000"),
        margin(pattern_day_trader="true", day_trade_cost="1000.01", day_trading_buying_power="1000"),
    ),
    # For 90 days after an unmet call: on a cash available basis.
    Limit("day-trade-call-unmet-debit", 30, margin(cash="3000", **CALLED)),
    Limit("day-trade-call-unmet-short", 30, holding(30, margin(**CALLED)), SELL),
    # With equity below 2,000 nothing is borrowed.
    Limit("margin-minimum-equity-debit", 30, margin(equity="1999.99", cash="3000")),
    Fact("margin-minimum-equity-debit", margin(equity="2000", cash="0"), margin(equity="1999.99", cash="0")),
    Limit("margin-minimum-equity-short", 30, holding(30, margin(equity="1999.99")), SELL),
    # A deficit counts above the lesser of 5% of equity and 1,000.
    Fact(
        "intraday-margin-deficit-open",
        margin(intraday_deficit="500", **GOVERNED),
        margin(intraday_deficit="500.0001", **GOVERNED),
    ),
    Fact(
        "intraday-margin-deficit-today",
        margin(intraday_deficit_today="500", **GOVERNED),
        margin(intraday_deficit_today="500.0001", **GOVERNED),
    ),
    # Frozen: no debit and no short position arises or grows.
    Limit("intraday-margin-freeze-debit", 30, margin(cash="3000", **FROZEN)),
    Limit("intraday-margin-freeze-short", 30, holding(30, margin(**FROZEN)), SELL),
    Trigger(
        "day-trading-regime",
        (world(clock={"date": "2001-09-27"}),),
        (world(clock={"date": "2001-09-28"}), world(clock={"date": "2026-06-04"}), world(clock={"date": "2027-10-21"})),
    ),
    Trigger("day-trading-pattern", (world(account={"kind": "cash", **PATTERN}),), (margin(**PATTERN),)),
)

HALTS: tuple[Entry, ...] = (
    Fact("trading-halted", margin({"halted": "false"}), margin({"halted": "true"})),
    # A level 1 decline stops trading for 15 minutes; it is noon.
    Fact(
        "market-wide-halt",
        {**margin(), "session": {"decline_level": "1", "decline_time": "2026-06-15T11:45:00-04:00"}},
        {**margin(), "session": {"decline_level": "1", "decline_time": "2026-06-15T11:45:01-04:00"}},
    ),
)

MANY_VOTES = {"issuer_votes": "1000000000"}
FUNDS: tuple[Entry, ...] = (
    # One holding of up to 25% of total assets outside the 75%.
    Limit("diversified-company", 20, margin(MANY_VOTES, tags=["diversified"], total_assets="8000")),
    # Not more than 25% of total assets in one industry.
    Limit("industry-concentration", 20, margin(tags=["not-concentrated"], total_assets="8000")),
)

BANDS: tuple[Entry, ...] = (
    Fact(
        "price-inside-limit-bands",
        margin({"luld_upper": "105", "luld_lower": "95"}),
        margin({"luld_upper": "105", "luld_lower": "95"}),
        limit_order("105"),
        limit_order("105.0001"),
    ),
)

MARGIN: tuple[Entry, ...] = (
    Limit("cash-account-pays-in-full", 30, world(account={"kind": "cash", "cash": "3000"})),
    Limit("cash-account-sells-what-it-holds", 30, holding(30, world(account={"kind": "cash"})), SELL),
    # 50 percent of the current market value.
    Limit("reg-t-initial-margin", 30, margin(cash="1500")),
    Limit("reg-t-initial-margin", 30, margin(cash="1500"), SHORT),
    # 25 percent of long positions, 30 percent (at least 5 a share) of short ones.
    Limit("maintenance-margin-after-trade", 30, margin(cash="750")),
    Limit("maintenance-margin-after-trade", 30, margin(cash="900"), SHORT),
    # As many times as much for a leveraged fund: 75 percent, and 90 percent sold short.
    Limit("maintenance-margin-after-trade", 30, margin({"leverage": "3"}, cash="2250")),
    Limit("maintenance-margin-after-trade", 30, margin({"leverage": "3"}, cash="2700"), SHORT),
    Fact(
        "maintenance-margin-call",
        margin(equity="1000", maintenance_requirement="1000"),
        margin(equity="999.9999", maintenance_requirement="1000"),
    ),
)

DEAR = {"mark": "10000", "bid": "10000", "ask": "10000"}
MARKET_ACCESS: tuple[Entry, ...] = (
    # Single orders: what is beyond the figure is stopped order by order, and totals by the thresholds.
    Limit("market-access-order-quantity", 50_000, margin(), split="each"),
    Limit("market-access-order-notional", 500, margin(DEAR), split="each"),
    Fact("market-access-price-collar", margin(), margin(), limit_order("105"), limit_order("105.0001")),
)

MARKET_ONLY = margin(market_orders_allowed="false")
ORDER_CONTROLS: tuple[Entry, ...] = (
    Limit("account-order-quantity", 30, margin(max_order_quantity="30"), split="each"),
    Limit("account-order-value", 30, margin(max_order_value="3000"), split="each"),
    Fact("account-market-orders", MARKET_ONLY, MARKET_ONLY, limit_order("100"), {}),
    Fact("account-price-limits", *(margin(max_order_price="100"),) * 2, limit_order("100"), limit_order("100.0001")),
    Fact("account-price-limits", *(margin(min_order_price="100"),) * 2, limit_order("100"), limit_order("99.9999")),
    Count("orders-per-day", 3, margin(max_orders_per_day="5", orders_today="2")),
    Fact("identical-orders", *(margin(identical_orders_limit="10"),) * 2, {"identical": "8"}, {"identical": "9"}),
    Fact(
        "collar-needs-a-reference",
        *(margin({"reference_price": "100"}),) * 2,
        limit_order("110"),
        limit_order("110.0001"),
    ),
    Fact("collar-over-time", *(margin({"window_price": "100"}),) * 2, limit_order("110"), limit_order("110.0001")),
    Fact(
        "no-order-against-own",
        {**margin(), "working_orders": [working("sell", 1, price="100.0001")]},
        {**margin(), "working_orders": [working("sell", 1, price="100")]},
        limit_order("100"),
    ),
)

FUTURE = {"kind": "future", "position_limit": "30", "underlying": "ACME", "underlying_mark": "100"}
CALLS = {"kind": "option", "right": "call", "underlying": "ACME", "side_limit": "30"}
OWNED = {"shares_outstanding": "2000", "firm_shares": "70"}
OWNERSHIP: tuple[Entry, ...] = (
    # More than five percent of the class: 100 of 2,000 shares are not more.
    Limit("beneficial-ownership-five-percent", 30, margin(OWNED, tags=["firm-ownership"])),
    # The net position either way.
    Limit("position-limit-in-contracts", 30, margin(FUTURE, tags=["derivatives"])),
    Limit("position-limit-in-contracts", 30, margin(FUTURE, tags=["derivatives"]), SHORT),
    # Long calls on one side of the market, short calls on the other.
    Limit("option-position-limit", 30, margin(CALLS, tags=["options"])),
    Limit("option-position-limit", 30, margin(CALLS, tags=["options"]), SHORT),
)

PRICED_TODAY = margin({"offering_priced_on": "2026-06-15"})
SOLD = {"id": "F", "account": "A", "symbol": "ACME", "side": "sell_short", "quantity": "1", "price": "100"}
OFFERINGS: tuple[Entry, ...] = (
    # Sold short from the fifth business day before the pricing on: not on Friday the 5th, on Monday the 8th.
    Fact(
        "offering-purchase-after-short-sale",
        {**PRICED_TODAY, "fills": [{**SOLD, "time": "2026-06-05T15:59:59-04:00"}]},
        {**PRICED_TODAY, "fills": [{**SOLD, "time": "2026-06-08T09:30:00-04:00"}]},
        {"in_offering": "true"},
    ),
)

TESTED = {"short_sale_restricted": "true", "bid": "89.5"}
SHORT_SALES: tuple[Entry, ...] = (
    Fact("short-sale-needs-locate", margin(), margin(), SHORT, {"side": "sell_short"}),
    # No more is sold as long than is owned.
    Limit("long-sale-needs-shares", 30, holding(30, margin()), SELL),
    # At a price above the national best bid.
    Fact(
        "short-sale-price-test",
        margin(TESTED),
        margin(TESTED),
        limit_order("89.5001", **SHORT),
        limit_order("89.5", **SHORT),
    ),
)

BOUGHT = {"id": "F", "account": "A", "symbol": "ACME", "side": "buy", "quantity": "30", "price": "100"}
UNPAID: tuple[Entry, ...] = (
    # Sold before it is paid for: of 60 shares 30 were bought with settled cash of 1 cent less than they cost.
    Limit(
        "cash-account-pays-before-it-sells",
        59,
        {**holding(60, world(account={"kind": "cash", "cash": "-0.01"})), "fills": [BOUGHT]},
        SELL,
    ),
    # No delay of payment for 90 days: settled cash is 3,000 of 4,000.
    Limit(
        "cash-account-frozen",
        30,
        world(
            account={"kind": "cash", "cash": "4000", "unsettled_proceeds": "1000", "cash_frozen_until": "2026-06-15"}
        ),
    ),
)

FAILED = margin({"fail_open": "true", "fail_since": "2026-06-12"})
OPEN_FAILS: tuple[Entry, ...] = (
    # By the opening on the settlement day after Friday's settlement date: Monday, 9:30.
    Fact("short-sale-after-open-fail", at("09:29:59", FAILED), at("09:30:00", FAILED), SHORT),
)

NMS = margin({"nms_stock": "true"})
OPEN_ELSEWHERE = [working("buy", 1, "BETA", name=f"W-{n}") for n in range(2)]
ORDER_COUNTS: tuple[Entry, ...] = (
    # Orders that are open anywhere, or in the instrument on their side; each order is one.
    Count("open-orders-of-account", 3, {**margin(max_open_orders="5"), "working_orders": OPEN_ELSEWHERE}),
    Count("open-orders-per-side", 3, {**margin(max_open_orders_per_side="3"), "working_orders": OPEN_ELSEWHERE}),
    Fact("cancellations-per-day", *(margin(cancels_today=n, max_cancels_per_day="10") for n in ("9", "10"))),
    Fact("executions-per-day", *(margin(executions_today=n, max_executions_per_day="10") for n in ("9", "10"))),
    # No smaller increment than 0.01 from 1.00 on.
    Fact("no-sub-penny-price", NMS, NMS, limit_order("100.01"), limit_order("100.0101")),
)


def strategy(applied: str) -> dict[str, object]:
    facts = {"id": "ALGO", "repeated_executions": applied, "max_repeated_executions": "5"}
    return {**margin(), "strategies": [facts]}


def trader(**facts: str) -> dict[str, object]:
    return {**margin(), "traders": [{"id": "T", "role": "algorithm", **facts}]}


THRESHOLDS: tuple[Entry, ...] = (
    Limit("account-credit-threshold", 30, margin(credit_limit="3000")),
    Limit("account-credit-threshold", 30, margin(credit_limit="3000"), SHORT),
    Limit("firm-capital-threshold", 30, {**margin(), "firm": {"collar": "0", "capital_limit": "3000"}}),
    Count("message-rate", 3, trader(message_limit="5", messages_in_window="2")),
    Count("replace-rate", 3, trader(replace_limit="5", replaces_in_window="2"), {"action": "replace"}),
    Fact("repeated-execution-throttle", strategy("4"), strategy("5"), {"strategy": "ALGO"}),
    Fact("kill-switch", margin(trading_state="REDUCING"), margin(trading_state="HALTED")),
    Limit("reducing-only", 30, holding(30, margin(trading_state="REDUCING")), SELL),
)


ENTRIES: tuple[Entry, ...] = (
    *BUYBACKS,
    *DAY_TRADING,
    *HALTS,
    *FUNDS,
    *BANDS,
    *MARGIN,
    *MARKET_ACCESS,
    *ORDER_CONTROLS,
    *ORDER_COUNTS,
    *OPEN_FAILS,
    *OFFERINGS,
    *UNPAID,
    *OWNERSHIP,
    *SHORT_SALES,
    *THRESHOLDS,
)
