"""Margin, cash and buying power rules against the wording of the regulations, in integer arithmetic of our own."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from lexorder.engine.errors import SnapshotError
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    UNDECIDED,
    cents,
    forall,
    held,
    instrument,
    order,
    status,
    ticks,
    working,
    world,
)

CASH, SHARES = "cash-account-pays-in-full", "cash-account-sells-what-it-holds"
INITIAL, KEPT = "reg-t-initial-margin", "maintenance-margin-after-trade"
POWER, LEVERAGE = "buying-power", "leverage-granted"

small = st.integers(1, 60)
side = st.sampled_from(["buy", "sell", "sell_short"])


def account(kind: str = "margin", **facts: object) -> dict[str, object]:
    return {"kind": kind, **facts}


# ---- cash accounts -----------------------------------------------------------------------------


@forall(price=st.integers(1, 2_000_000), quantity=st.integers(1, 200), short_of=st.integers(-1, 1))
def test_cash_pays_the_purchase_to_the_last_price_step(price: int, quantity: int, short_of: int) -> None:
    now = world(account=account("cash", cash=ticks(price * quantity - short_of)))
    expected = BREACH if short_of > 0 else PASS
    assert status(CASH, now, order("buy", quantity, price=ticks(price))) is expected


@forall(rate=st.integers(0, 200), flat=st.integers(0, 500), quantity=small, short_of=st.integers(-1, 1))
def test_fees_are_paid_too(rate: int, flat: int, quantity: int, short_of: int) -> None:
    # The rate in hundredths of a per cent of 100 dollars: cents a share.
    needed = quantity * (10_000 + rate) + flat
    now = world(account=account("cash", cash=cents(needed - short_of)))
    sent = order("buy", quantity, price="100", fee_rate=f"{rate / 10_000:.4f}", flat_fee=cents(flat))
    assert status(CASH, now, sent) is (BREACH if short_of > 0 else PASS)


@forall(one=small, other=small, short_of=st.integers(-1, 1))
def test_splitting_a_purchase_saves_nothing(one: int, other: int, short_of: int) -> None:
    now = world(account=account("cash", cash=cents(10_000 * (one + other) - short_of)))
    split = status(CASH, now, order("buy", one, id="1"), order("buy", other, id="2"))
    assert split is status(CASH, now, order("buy", one + other)) is (BREACH if short_of > 0 else PASS)


@forall(reserved=st.integers(0, 30), sold=st.integers(1, 30), quantity=small)
def test_open_purchases_keep_cash_and_open_sales_bring_none(reserved: int, sold: int, quantity: int) -> None:
    at_work = [working("buy", reserved, "BETA", "W-1")] if reserved else []
    at_work += [working("sell", sold, "BETA", "W-2")]
    now = world(account=account("cash", cash="4000"), working_orders=at_work, positions=[held(sold, "BETA")])
    expected = PASS if reserved + quantity <= 40 else BREACH
    assert status(CASH, now, order("buy", quantity)) is expected


@forall(before=st.integers(0, 60), open_sales=st.integers(0, 30), open_buys=st.integers(0, 30), quantity=small)
def test_a_cash_account_sells_what_it_holds(before: int, open_sales: int, open_buys: int, quantity: int) -> None:
    at_work = [working("sell", open_sales, name="W-1")] if open_sales else []
    at_work += [working("buy", open_buys, name="W-2")] if open_buys else []
    now = world(account=account("cash"), positions=[held(before)], working_orders=at_work)
    expected = PASS if open_sales + quantity <= before else BREACH
    assert status(SHARES, now, order("sell", quantity)) is expected


# ---- Regulation T ------------------------------------------------------------------------------


@forall(way=st.sampled_from(["buy", "sell_short"]), quantity=small, short_of=st.integers(-1, 1), eligible=st.booleans())
def test_half_is_paid_or_all_where_not_eligible(way: str, quantity: int, short_of: int, eligible: bool) -> None:
    needed = quantity * (5_000 if eligible else 10_000)
    now = world(account=account(cash=cents(needed - short_of)), instruments=[instrument(marginable=eligible)])
    assert status(INITIAL, now, order(way, quantity)) is (BREACH if short_of > 0 else PASS)


@forall(house=st.integers(0, 100), quantity=small, short_of=st.integers(-1, 1))
def test_the_house_raises_initial_margin_and_never_lowers_it(house: int, quantity: int, short_of: int) -> None:
    needed = quantity * 100 * max(50, house)
    now = world(
        account=account(cash=cents(needed - short_of)), instruments=[instrument(house_initial=f"{house / 100:.2f}")]
    )
    assert status(INITIAL, now, order("buy", quantity)) is (BREACH if short_of > 0 else PASS)


@forall(one=small, other=small, short_of=st.integers(-1, 1))
def test_splitting_saves_no_margin(one: int, other: int, short_of: int) -> None:
    now = world(account=account(cash=cents(5_000 * (one + other) - short_of)))
    split = status(INITIAL, now, order("buy", one, id="1"), order("buy", other, id="2"))
    assert split is status(INITIAL, now, order("buy", one + other)) is (BREACH if short_of > 0 else PASS)


@forall(quantity=small)
def test_a_margin_account_does_not_skip_the_check_of_value(quantity: int) -> None:
    poor = world(account=account(cash="0"))
    assert status(INITIAL, poor, order("buy", quantity)) is BREACH
    assert status(KEPT, poor, order("buy", quantity)) is BREACH
    assert status(POWER, world(account=account(buying_power="0")), order("buy", quantity)) is BREACH


@forall(before=st.integers(1, 60), part=st.integers(1, 60))
def test_an_account_below_initial_margin_may_always_reduce(before: int, part: int) -> None:
    # A debit of 60% of value: above what is lent on purchase, below what calls.
    now = world(account=account(cash=f"-{60 * before}"), positions=[held(before)])
    assert status(INITIAL, now, order("sell", min(part, before))) is PASSIVE
    assert status(INITIAL, now, order("buy", part)) is BREACH


# ---- maintenance -------------------------------------------------------------------------------


def per_share(price: int) -> int:
    """4210(c)(2) and (3) for a share at `price` cents, in tenths of a cent."""
    return max(2_500, 10 * price) if price < 500 else max(5_000, 3 * price)


@forall(price=st.integers(1, 3_000), quantity=small, short_of=st.integers(-1, 1))
def test_short_sales_keep_the_greater_amount_of_their_tier(price: int, quantity: int, short_of: int) -> None:
    needed = quantity * per_share(price) - short_of
    quoted = instrument(mark=cents(price), bid=cents(price), ask=cents(price))
    now = world(account=account(cash=f"{needed // 1_000}.{needed % 1_000:03d}"), instruments=[quoted])
    assert status(KEPT, now, order("sell_short", quantity)) is (BREACH if short_of > 0 else PASS)


@pytest.mark.parametrize("price", [249, 250, 251, 499, 500, 501, 1_666, 1_667])
def test_the_edges_of_the_tiers(price: int) -> None:
    quoted = instrument(mark=cents(price), bid=cents(price), ask=cents(price))
    needed = 10 * per_share(price)
    for short_of, expected in ((0, PASS), (1, BREACH)):
        amount = needed - short_of
        now = world(account=account(cash=f"{amount // 1_000}.{amount % 1_000:03d}"), instruments=[quoted])
        assert status(KEPT, now, order("sell_short", 10)) is expected


@forall(house=st.integers(0, 99), quantity=small, short_of=st.integers(-1, 1))
def test_long_positions_keep_a_quarter_or_what_the_house_wants(house: int, quantity: int, short_of: int) -> None:
    needed = quantity * 100 * max(25, house)
    facts = account(cash=cents(needed - short_of), house_maintenance=f"{house / 100:.2f}")
    assert status(KEPT, world(account=facts), order("buy", quantity)) is (BREACH if short_of > 0 else PASS)


@forall(equity=st.integers(249_998, 250_002))
def test_a_call_begins_below_the_requirement(equity: int) -> None:
    # 100 shares at 100 need 2,500; the measure says so, the books say what equity is.
    now = world(account=account(equity=cents(equity)), positions=[held(100)])
    expected = PASS if equity >= 250_000 else BREACH
    assert status("maintenance-margin-call", now, order("sell", 1)) is expected


def test_initial_margin_is_of_equity_and_not_of_net_assets_or_gross_value() -> None:
    # 100 shares held against a debit of 5,000: half is lent, and net assets as given elsewhere change nothing.
    for elsewhere in ("1", "1000000"):
        facts = account(cash="-5000", nav=elsewhere, total_assets=elsewhere, equity=elsewhere)
        now = world(account=facts, positions=[held(100)])
        assert status(INITIAL, now, order("buy", 1)) is BREACH
        assert status(INITIAL, world(account=facts | {"cash": "-4950"}, positions=[held(100)]), order("buy", 1)) is PASS


# ---- prices that are missing -------------------------------------------------------------------


@pytest.mark.parametrize("identifier", [INITIAL, KEPT, POWER])
def test_a_market_order_without_a_price_does_not_pass(identifier: str) -> None:
    unpriced = {k: v for k, v in instrument().items() if k not in ("mark", "bid", "ask")}
    now = world(account=account(buying_power="1000000"), instruments=[unpriced])
    assert status(identifier, now, order("buy", 1)) is UNDECIDED


def test_a_limit_order_without_a_price_is_refused() -> None:
    with pytest.raises(SnapshotError, match="limit order without"):
        status(CASH, world(account=account("cash")), order("buy", 1) | {"ord_type": "limit"})


# ---- buying power and leverage -----------------------------------------------------------------


@forall(limit=st.integers(9_000, 12_000), ask=st.integers(9_000, 12_000), quantity=small, short_of=st.integers(-1, 1))
def test_a_short_sale_takes_the_greater_of_its_limit_and_the_offer_marked_up(
    limit: int, ask: int, quantity: int, short_of: int
) -> None:
    value = max(100 * limit, 103 * ask) * quantity - short_of
    now = world(
        account=account(buying_power=decimal_of(value)), instruments=[instrument(ask=cents(ask), mark="100", bid="80")]
    )
    assert status(POWER, now, order("sell_short", quantity, price=cents(limit))) is (BREACH if short_of > 0 else PASS)


def decimal_of(hundredths_of_cents: int) -> str:
    return f"{hundredths_of_cents // 10_000}.{hundredths_of_cents % 10_000:04d}"


@forall(reserved=st.integers(0, 50), sold=st.integers(0, 50), quantity=small)
def test_unfilled_orders_keep_their_buying_power(reserved: int, sold: int, quantity: int) -> None:
    at_work = [working("buy", reserved, "BETA", "W-1")] if reserved else []
    at_work += [working("sell", sold, "BETA", "W-2")] if sold else []
    now = world(account=account(buying_power="6000"), working_orders=at_work, positions=[held(sold, "BETA")])
    assert status(POWER, now, order("buy", quantity)) is (PASS if reserved + quantity <= 60 else BREACH)


@forall(before=st.integers(-60, 60), way=side, quantity=small)
def test_an_order_marked_as_closing_opens_nothing(before: int, way: str, quantity: int) -> None:
    closes = quantity <= (max(0, -before) if way == "buy" else max(0, before))
    now = world(positions=[held(before)])
    sent = order(way, quantity, position_effect="close")
    assert status("closing-orders-only-close", now, sent) is (PASS if closes else BREACH)
    assert status(POWER, world(account=account(buying_power="0"), positions=[held(before)]), sent) is NOT_APPLICABLE


@forall(equity=st.integers(1, 10_000), over=st.integers(0, 1), times=st.integers(1, 5))
def test_positions_stay_within_the_leverage_granted(equity: int, over: int, times: int) -> None:
    now = world(account=account(equity=str(100 * equity), leverage=str(times)))
    assert status(LEVERAGE, now, order("buy", times * equity + over)) is (BREACH if over else PASS)


def test_leverage_follows_the_clock() -> None:
    facts = account(equity="10000", intraday_leverage="4", overnight_leverage="2")
    for time, most in (("2026-06-15T15:49:59-04:00", 400), ("2026-06-15T15:50:00-04:00", 200)):
        now = world(account=facts, time=time)
        assert status(LEVERAGE, now, order("buy", most)) is PASS
        assert status(LEVERAGE, now, order("buy", most + 1)) is BREACH


# ---- day trades, counted from executions -------------------------------------------------------


def traded(times: int, symbol: str = "ACME") -> list[dict[str, object]]:
    """So many day trades of today."""
    plain = {"account": "A", "symbol": symbol, "quantity": "1", "price": "100"}
    return [{"id": f"{side}-{n}", "side": side, **plain} for n in range(times) for side in ("buy", "sell")]


@pytest.mark.parametrize(("made", "expected"), [(2, NOT_APPLICABLE), (3, BREACH), (4, BREACH)])
def test_three_day_trades_leave_none(made: int, expected: object) -> None:
    now = world(account=account(equity="24999.99"), fills=traded(made))
    assert status("day-trades-left", now, order("buy", 1)) is expected


@pytest.mark.parametrize(("made", "expected"), [(3, NOT_APPLICABLE), (4, BREACH)])
def test_four_day_trades_make_a_pattern(made: int, expected: object) -> None:
    now = world(account=account(equity="24999.99"), fills=traded(made))
    assert status("pattern-day-trader-minimum-equity", now, order("buy", 1)) is expected


@pytest.mark.parametrize(("others", "expected"), [(58, BREACH), (59, NOT_APPLICABLE)])
def test_six_percent_of_the_executions_counted(others: int, expected: object) -> None:
    # Four day trades are eight trades: 4 of 66 is more than 6%, 4 of 67 is not.
    plain = {"account": "A", "symbol": "BETA", "quantity": "1", "price": "100", "side": "buy"}
    held_on = [{"id": f"X-{n}", **plain} for n in range(others)]
    now = world(account=account(equity="24999.99"), fills=[*traded(4), *held_on], positions=[held(others, "BETA")])
    assert status("pattern-day-trader-minimum-equity", now, order("buy", 1)) is expected


@forall(spent=st.integers(0, 3), power=st.integers(0, 300))
def test_day_trades_beyond_buying_power_are_reported(spent: int, power: int) -> None:
    facts = account(pattern_day_trader="true", day_trading_buying_power=str(power))
    now = world(account=facts, fills=traded(spent))
    expected = PASS if 100 * spent <= power else BREACH
    assert status("day-trading-buying-power-exceeded", now, order("buy", 1)) is expected


@forall(cash=st.integers(-2_000, 2_000), quantity=st.integers(1, 25), last=st.integers(13, 17))
def test_after_an_unmet_call_orders_are_paid_from_cash(cash: int, quantity: int, last: int) -> None:
    now = world(account=account(cash=str(cash), day_trade_restricted_until=f"2026-06-{last}"))
    allowed = cash - 100 * quantity >= min(0, cash)
    expected = NOT_APPLICABLE if last < 15 else PASS if allowed else BREACH
    assert status("day-trade-call-unmet-debit", now, order("buy", quantity)) is expected
    short = NOT_APPLICABLE if last < 15 else BREACH
    assert status("day-trade-call-unmet-short", now, order("sell_short", quantity)) is short


@pytest.mark.parametrize(("bought", "expected"), [(440, PASS), (441, BREACH)])
def test_a_deficit_of_today_counts_above_the_exception(bought: int, expected: object) -> None:
    # 440 shares at 100 need 11,000: 1,000 more than there is, and 5% of equity is more than that.
    plain = {"account": "A", "symbol": "ACME", "price": "100", "quantity": str(bought)}
    fills = [{"id": "1", "side": "buy", **plain}, {"id": "2", "side": "sell", **plain}]
    facts = account(elected_intraday_margin="true", equity="50000", start_of_day_equity="10000")
    assert status("intraday-margin-deficit-today", world(account=facts, fills=fills), order("buy", 1)) is expected


@pytest.mark.parametrize(("since", "expected"), [("2026-05-22", BREACH), ("2026-05-21", NOT_APPLICABLE)])
def test_a_deficit_expires_after_the_fifteenth_business_day(since: str, expected: object) -> None:
    # 2026-05-25 is a holiday: 15 business days after 05-22 are up on 06-15.
    facts = account(elected_intraday_margin="true", intraday_deficit="5000", intraday_deficit_since=since)
    assert status("intraday-margin-deficit-open", world(account=facts), order("buy", 1)) is expected


def test_a_deficit_of_unknown_age_is_undecided() -> None:
    facts = account(elected_intraday_margin="true", intraday_deficit="5000")
    assert status("intraday-margin-deficit-open", world(account=facts), order("buy", 1)) is UNDECIDED
