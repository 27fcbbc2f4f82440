"""The regulatory rules against the wording of the regulations, in integer arithmetic of our own."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    UNDECIDED,
    cents,
    forall,
    found,
    held,
    instrument,
    order,
    status,
    ticks,
    working,
    world,
)

small = st.integers(min_value=1, max_value=60)
holding = st.integers(min_value=-60, max_value=60)
side = st.sampled_from(["buy", "sell", "sell_short"])


def closes(before: int, way: str, quantity: int, working_quantity: int = 0) -> bool:
    """Whether an order on one side, with working ones on that side, never leads beyond zero."""
    return working_quantity + quantity <= (max(0, -before) if way == "buy" else max(0, before))


# ---- pattern day trader, FINRA 4210(f)(8)(B) ---------------------------------------------------

PDT = "pattern-day-trader-minimum-equity"


def pdt_account(day_trades: int, trades: int, equity: int, **facts: object) -> dict[str, object]:
    return {"kind": "margin", "day_trades": day_trades, "trades": trades, "equity": cents(equity), **facts}


@forall(day_trades=st.integers(0, 12), extra=st.integers(0, 220), short_of=st.integers(-2, 2))
def test_pattern_day_trader_needs_25_000_to_open(day_trades: int, extra: int, short_of: int) -> None:
    trades, equity = day_trades + extra, 2_500_000 - short_of
    designated = day_trades >= 4 and 100 * day_trades > 6 * trades
    world_now = world(account=pdt_account(day_trades, trades, equity))
    blocked = designated and equity < 2_500_000
    assert status(PDT, world_now, order("buy", 1)) is (BREACH if blocked else NOT_APPLICABLE)


@pytest.mark.parametrize(("trades", "expected"), [(66, BREACH), (67, NOT_APPLICABLE), (70, NOT_APPLICABLE)])
def test_six_percent_of_trades_with_four_day_trades(trades: int, expected: object) -> None:
    # 4 of 66 is 6.06%, 4 of 67 is 5.97%.
    assert status(PDT, world(account=pdt_account(4, trades, 1_000_000)), order()) is expected


@forall(before=holding, way=side, quantity=small)
def test_pattern_day_trader_may_always_close(before: int, way: str, quantity: int) -> None:
    poor = world(account=pdt_account(4, 10, 1_000_000), positions=[held(before)])
    assert status(PDT, poor, order(way, quantity)) is (PASS if closes(before, way, quantity) else BREACH)


@forall(before=st.integers(1, 60), parts=st.lists(st.integers(1, 30), min_size=2, max_size=3))
def test_closing_in_parts_is_judged_like_closing_at_once(before: int, parts: list[int]) -> None:
    poor = world(account=pdt_account(4, 10, 1_000_000), positions=[held(before)])
    slices = [order("sell", part, id=f"S-{n}") for n, part in enumerate(parts)]
    assert status(PDT, poor, *slices) is status(PDT, poor, order("sell", sum(parts)))


@pytest.mark.parametrize(
    ("day", "elected", "expected"),
    [
        ("2026-06-03", "false", BREACH),
        ("2026-06-04", "false", BREACH),
        ("2026-06-04", "true", NOT_APPLICABLE),
        ("2027-10-20", "false", BREACH),
        ("2027-10-21", "false", NOT_APPLICABLE),
        ("2001-09-28", "false", BREACH),
        ("2001-09-27", "false", NOT_APPLICABLE),
    ],
)
def test_pattern_day_trader_dates(day: str, elected: str, expected: object) -> None:
    account = pdt_account(4, 10, 1_000_000, elected_intraday_margin=elected)
    assert status(PDT, world(account=account, clock={"date": day}), order()) is expected


# ---- minimum equity and intraday margin, FINRA 4210(b)(4) and (d)(2) ---------------------------


@forall(equity=st.integers(199_998, 200_002), cash=st.integers(-2_000, 2_000), quantity=st.integers(1, 25))
def test_below_2_000_no_debit_arises_or_grows(equity: int, cash: int, quantity: int) -> None:
    poor = world(account={"kind": "margin", "equity": cents(equity), "cash": str(cash)})
    allowed = cash - 100 * quantity >= min(0, cash)
    expected = NOT_APPLICABLE if equity >= 200_000 else PASS if allowed else BREACH
    assert status("margin-minimum-equity-debit", poor, order("buy", quantity)) is expected


@forall(equity=st.integers(199_998, 200_002), before=holding, quantity=small)
def test_below_2_000_no_short_position_arises_or_grows(equity: int, before: int, quantity: int) -> None:
    poor = world(account={"kind": "margin", "equity": cents(equity)}, positions=[held(before)])
    allowed = before - quantity >= min(0, before)
    expected = NOT_APPLICABLE if equity >= 200_000 else PASS if allowed else BREACH
    assert status("margin-minimum-equity-short", poor, order("sell_short", quantity)) is expected


def margin_account(**facts: object) -> dict[str, object]:
    return {"kind": "margin", "elected_intraday_margin": "true", **facts}


@forall(equity=st.integers(-10, 3_000_000), over=st.integers(-1, 1))
def test_deficits_up_to_the_lesser_of_5_percent_and_1_000_do_not_count(equity: int, over: int) -> None:
    # In ten-thousandths of a dollar, the scale of money, so that 5% of whole cents is whole.
    allowance = max(0, min(5 * equity, 10_000_000))
    deficit = max(0, allowance + over)
    account = margin_account(equity=cents(equity), intraday_deficit=ticks(deficit), intraday_deficit_days="1")
    expected = PASS if deficit <= allowance else BREACH
    assert status("intraday-margin-deficit-open", world(account=account), order()) is expected


@pytest.mark.parametrize(
    ("day", "elected", "expected"),
    [
        ("2026-06-03", "true", NOT_APPLICABLE),
        ("2026-06-04", "true", BREACH),
        ("2026-06-04", "false", NOT_APPLICABLE),
        ("2027-10-20", "false", NOT_APPLICABLE),
        ("2027-10-21", "false", BREACH),
    ],
)
def test_intraday_margin_dates(day: str, elected: str, expected: object) -> None:
    account = margin_account(elected_intraday_margin=elected, intraday_deficit="5000", cash="0")
    account |= {"intraday_restricted_until": "2028-01-01", "intraday_deficit_days": "1"}
    now = world(account=account, clock={"date": day})
    assert status("intraday-margin-deficit-open", now, order()) is expected
    assert status("intraday-margin-freeze-debit", now, order()) is expected
    assert status("intraday-margin-freeze-short", now, order("sell_short")) is expected


@forall(
    late=st.booleans(),
    days=st.integers(4, 7),
    deficit=st.integers(99_999, 100_001),
    booked=st.integers(13, 17),
    quantity=st.integers(9, 11),
)
def test_a_frozen_account_creates_no_debit(late: bool, days: int, deficit: int, booked: int, quantity: int) -> None:
    account = margin_account(
        equity="50000",
        cash="1000",
        late_intraday_deficits=late,
        intraday_deficit=cents(deficit),
        intraday_deficit_days=days,
        intraday_restricted_until=f"2026-06-{booked}",
    )
    frozen = booked >= 15 or (late and days > 5 and deficit > 100_000)
    expected = NOT_APPLICABLE if not frozen else PASS if 100 * quantity <= 1_000 else BREACH
    assert status("intraday-margin-freeze-debit", world(account=account), order("buy", quantity)) is expected


@forall(before=holding, way=side, quantity=small)
def test_a_frozen_account_goes_no_shorter(before: int, way: str, quantity: int) -> None:
    account = margin_account(intraday_restricted_until="2026-06-15")
    after = before + quantity if way == "buy" else before - quantity
    expected = PASS if min(before, after) >= min(0, before) else BREACH
    frozen = world(account=account, positions=[held(before)])
    assert status("intraday-margin-freeze-short", frozen, order(way, quantity)) is expected


# ---- short sales, Regulation SHO ---------------------------------------------------------------


@forall(way=side, located=st.booleans(), exempt=st.booleans(), quantity=small)
def test_a_short_sale_needs_a_locate(way: str, located: bool, exempt: bool, quantity: int) -> None:
    sent = order(way, quantity, has_locate=located, locate_exempt=exempt)
    governed = way == "sell_short" and not exempt
    expected = NOT_APPLICABLE if not governed else PASS if located else BREACH
    assert status("short-sale-needs-locate", world(), sent) is expected


def test_no_size_of_short_sale_escapes_the_locate() -> None:
    parts = [order("sell_short", 1, id=f"S-{n}") for n in range(3)]
    assert all(f.status is BREACH for f in found("short-sale-needs-locate", world(), *parts))


@forall(before=holding, open_sales=st.integers(0, 30), open_buys=st.integers(0, 30), quantity=small)
def test_long_sales_never_exceed_what_is_owned(before: int, open_sales: int, open_buys: int, quantity: int) -> None:
    at_work = [working("sell", open_sales, name="W-1")] if open_sales else []
    at_work += [working("buy", open_buys, name="W-2")] if open_buys else []
    now = world(positions=[held(before)], working_orders=at_work)
    expected = PASS if open_sales + quantity <= max(0, before) else BREACH
    assert status("long-sale-needs-shares", now, order("sell", quantity)) is expected


@forall(before=st.integers(0, 60), one=small, other=small)
def test_splitting_a_long_sale_changes_nothing(before: int, one: int, other: int) -> None:
    now = world(positions=[held(before)])
    split = status("long-sale-needs-shares", now, order("sell", one, id="1"), order("sell", other, id="2"))
    assert split is status("long-sale-needs-shares", now, order("sell", one + other))


@forall(bid=st.integers(1_000, 2_000_000), over=st.integers(-2, 2), on=st.booleans(), way=side)
def test_restricted_short_sales_are_priced_above_the_bid(bid: int, over: int, on: bool, way: str) -> None:
    quoted = instrument(bid=ticks(bid), short_sale_restricted=on)
    now = world(instruments=[quoted])
    expected = (PASS if over > 0 else BREACH) if on and way == "sell_short" else NOT_APPLICABLE
    assert status("short-sale-price-test", now, order(way, 1, price=ticks(bid + over))) is expected


def test_a_restricted_short_sale_at_the_market_is_refused() -> None:
    now = world(instruments=[instrument(short_sale_restricted=True)])
    assert status("short-sale-price-test", now, order("sell_short", 1)) is BREACH


def test_without_a_bid_the_price_test_is_undecided() -> None:
    quoted = {k: v for k, v in instrument(short_sale_restricted=True).items() if k != "bid"}
    now = world(instruments=[quoted])
    assert status("short-sale-price-test", now, order("sell_short", 1, price="100")) is UNDECIDED


# ---- halts -------------------------------------------------------------------------------------


@forall(halted=st.booleans(), state=st.sampled_from(["NORMAL", "LIMIT", "PAUSED"]), way=side, quantity=small)
def test_no_order_while_halted_or_paused(halted: bool, state: str, way: str, quantity: int) -> None:
    now = world(instruments=[instrument(halted=halted)], market=[{"symbol": "ACME", "luld_state": state}])
    expected = BREACH if halted or state == "PAUSED" else PASS
    assert status("trading-halted", now, order(way, quantity)) is expected


# ---- market access, SEC Rule 15c3-5 ------------------------------------------------------------


@forall(quantity=st.integers(49_998, 50_002), way=side)
def test_single_order_quantity(quantity: int, way: str) -> None:
    expected = PASS if quantity <= 50_000 else BREACH
    assert status("market-access-order-quantity", world(), order(way, quantity)) is expected


@forall(price=st.integers(1_000_000, 90_000_000), over=st.integers(-1, 1), way=side)
def test_single_order_notional(price: int, over: int, way: str) -> None:
    quantity = 50_000_000_000 // price + over
    expected = PASS if quantity * price <= 50_000_000_000 else BREACH
    assert status("market-access-order-notional", world(), order(way, quantity, price=ticks(price))) is expected


@forall(ask=st.integers(9_000, 12_000), mark=st.integers(9_000, 12_000), over=st.integers(-1, 1))
def test_a_market_order_is_worth_the_worse_price_moved_by_the_collar(ask: int, mark: int, over: int) -> None:
    # Prices in cents; 5 per cent more, in hundredths of a cent.
    price = 105 * max(ask, mark)
    quantity = 50_000_000_000 // price + over
    quoted = instrument(mark=cents(mark), ask=cents(ask), bid=cents(1))
    now = world(instruments=[quoted], firm={"collar": "0.05"})
    expected = PASS if quantity * price <= 50_000_000_000 else BREACH
    assert status("market-access-order-notional", now, order("buy", quantity)) is expected


@forall(rate=st.integers(50_000_000, 200_000_000), over=st.integers(-1, 1))
def test_notional_is_counted_in_us_dollars_whatever_the_account(rate: int, over: int) -> None:
    # The account is in euro, the share costs 100 dollars: the rate must cancel out, exactly.
    quantity = 50_000 + over
    now = world(account={"currency": "EUR"}, fx={"base": "USD", "EUR": f"{rate // 10**8}.{rate % 10**8:08d}"})
    expected = PASS if over <= 0 else BREACH
    assert status("market-access-order-notional", now, order("buy", quantity, price="100")) is expected


@forall(mark=st.integers(10_000, 5_000_000), over=st.integers(-1, 1), way=side)
def test_price_collar(mark: int, over: int, way: str) -> None:
    # 5% of the mark is a whole number of price steps only where 20 divides it: take the nearest one inside.
    room = mark // 20 + over
    price = mark + room if way == "buy" else mark - room
    now = world(instruments=[instrument(mark=ticks(mark), bid=ticks(mark), ask=ticks(mark))])
    expected = PASS if 20 * room <= mark else BREACH
    assert status("market-access-price-collar", now, order(way, 1, price=ticks(price))) is expected


@forall(away=st.integers(0, 99), way=side)
def test_prices_on_the_harmless_side_pass(away: int, way: str) -> None:
    price = 100 - away if way == "buy" else 100 + away
    assert status("market-access-price-collar", world(), order(way, 1, price=str(price))) is PASS


def test_old_breaches_of_facts_are_never_passive() -> None:
    for identifier in ("market-access-order-quantity", "trading-halted", "short-sale-needs-locate"):
        sent = order("sell_short", 50_001)
        now = world(instruments=[instrument(halted=True)])
        assert PASSIVE not in {f.status for f in found(identifier, now, sent)}
