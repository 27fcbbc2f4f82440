"""Buying power against its definition, and quantities against the next lot that no longer fits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.measures.buying_power import affordable, day_trading_power, leveraged
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

money = st.integers(0, 10**9).map(lambda n: Fraction(n, 100))
prices = st.integers(1, 10**6).map(lambda n: Fraction(n, 100))
fees = st.integers(0, 1_000).map(lambda n: Fraction(n, 10_000))
lots = st.sampled_from([Fraction(1), Fraction(100), Fraction(1, 100), Fraction(1, 10**8)])


@settings(max_examples=300, deadline=None)
@given(cash=money, price=prices, rate=fees, flat=st.integers(0, 100), lot=lots)
def test_one_lot_more_is_not_paid(cash: Fraction, price: Fraction, rate: Fraction, flat: int, lot: Fraction) -> None:
    found = affordable(cash, price, rate, Fraction(flat), lot)
    assert (found / lot).denominator == 1
    assert found == 0 or found * price * (1 + rate) + flat <= cash
    assert (found + lot) * price * (1 + rate) + flat > cash


@settings(max_examples=300, deadline=None)
@given(budget=money, price=prices, times=st.integers(1, 5), flat=st.integers(0, 100), lot=lots)
def test_one_lot_more_needs_more_margin(
    budget: Fraction, price: Fraction, times: int, flat: int, lot: Fraction
) -> None:
    found = leveraged(budget, price, Fraction(times), Fraction(flat), lot)
    assert found == 0 or found * price / times + flat <= budget
    assert (found + lot) * price / times + flat > budget


@settings(max_examples=100, deadline=None)
@given(cash=money, more=money, price=prices, rate=fees)
def test_more_cash_never_buys_less(cash: Fraction, more: Fraction, price: Fraction, rate: Fraction) -> None:
    one, lot = affordable(cash, price, rate, Fraction(0), Fraction(1)), Fraction(1)
    assert one <= affordable(cash + more, price, rate, Fraction(0), lot)


@pytest.mark.parametrize(
    ("excess", "multiple", "call", "expected"),
    [
        (25_000, 1_000, False, 100_000),  # four times
        (25_000, 1_000, True, 50_000),  # twice while a call is open
        (25_000, 2, False, 50_000),  # the firm grants less
        (25_000, 3, True, 50_000),
        (25_000, 1, True, 25_000),
        (0, 1_000, False, 0),
        (-1, 1_000, False, 0),
    ],
)
def test_day_trading_buying_power(excess: int, multiple: int, call: bool, expected: int) -> None:
    assert day_trading_power(Fraction(excess), Fraction(multiple), call) == expected


# ---- the account -------------------------------------------------------------------------------


def fill(name: str, side: str, quantity: str, price: str, symbol: str = "ACME", **facts: str) -> dict[str, object]:
    plain = {"id": name, "account": "A", "symbol": symbol, "side": side, "quantity": quantity, "price": price}
    return {**plain, **facts}


def account(*fills: dict[str, object], **facts: str) -> dict[str, Any]:
    return asking.document(
        account={"kind": "margin", **facts},
        fills=list(fills),
        instruments=[asking.instrument(symbol, "100") for symbol in ("ACME", "BETA")],
    )


def test_day_trades_are_charged_what_they_cost_to_open() -> None:
    found = [fill("1", "buy", "10", "50"), fill("2", "buy", "10", "60"), fill("3", "sell", "15", "80")]
    held = account(*found) | {"positions": [{"account": "A", "symbol": "ACME", "quantity": "5"}]}
    assert asking.measured("account.day_trade_cost", held) == 10 * 50 + 5 * 60


def test_executions_of_one_order_are_charged_each_at_its_price() -> None:
    found = [fill("1", "buy", "10", "50", order="O"), fill("2", "buy", "10", "60", order="O")]
    assert asking.measured("account.day_trade_cost", account(*found, fill("3", "sell", "20", "80"))) == 1_100


@pytest.mark.parametrize(("leverage", "times"), [("1", 1), ("2", 2), ("3", 3), ("4", 4), ("10", 4)])
def test_a_leveraged_fund_is_charged_by_its_leverage(leverage: str, times: int) -> None:
    # Notice 09-65: from 2010-04-30 also for day trades. Four times is all of the value, 25% of it each.
    found = account(fill("1", "buy", "10", "50"), fill("2", "sell", "10", "60"))
    found["instruments"] = [asking.instrument("ACME", "100", leverage=leverage)]
    assert asking.measured("account.day_trade_cost", found) == 500 * times


def test_yesterday_is_not_charged_today() -> None:
    found = [
        fill(n, side, "10", "50") | {"time": "2026-06-12T10:00:00-04:00"} for n, side in (("1", "buy"), ("2", "sell"))
    ]
    assert asking.measured("account.day_trade_cost", account(*found)) == 0


def test_buying_power_is_that_of_the_previous_close_whatever_is_sold_today() -> None:
    close = {"close_equity": "3000", "close_maintenance": "2250"}
    sold = [fill("0", "sell", "1", "5000", "BETA")]
    assert asking.measured("account.day_trading_buying_power", account(*sold, **close)) == 3_000
    traded = [*sold, fill("1", "buy", "75", "100"), fill("2", "sell", "75", "100")]
    assert asking.measured("account.day_trade_call", account(*traded, **close)) == 4_500
    assert asking.measured("account.day_trade_call", account(*traded, **close, day_trade_call_open="true")) == 6_000


def test_without_the_previous_close_buying_power_is_open() -> None:
    with pytest.raises(NotCoveredError, match="close_equity"):
        asking.measured("account.day_trading_buying_power", account())


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-06-15T09:29:59-04:00", 2),
        ("2026-06-15T09:30:00-04:00", 4),
        ("2026-06-15T15:49:59-04:00", 4),
        ("2026-06-15T15:50:00-04:00", 2),
        ("2026-06-15T16:00:00-04:00", 2),
        ("2026-06-15T21:49:59+02:00", 4),  # another timezone, the same instant as 15:49:59
        ("2026-11-27T12:49:59-05:00", 4),  # an early close at 13:00
        ("2026-11-27T12:50:00-05:00", 2),
        ("2026-06-19T12:00:00-04:00", 2),  # a holiday
        ("2026-06-13T12:00:00-04:00", 2),  # a Saturday
    ],
)
def test_intraday_leverage_ends_ten_minutes_before_the_close(time: str, expected: int) -> None:
    granted = {"intraday_leverage": "4", "overnight_leverage": "2"}
    assert asking.measured("account.leverage", asking.document(account=granted, time=time)) == expected


def test_the_firm_sets_when_leverage_ends() -> None:
    granted = {"intraday_leverage": "4", "overnight_leverage": "2"}
    found = asking.document(account=granted, time="2026-06-15T15:50:00-04:00", firm={"leverage_cutoff": "5 min"})
    assert asking.measured("account.leverage", found) == 4


def bought(cash: str, **facts: str) -> object:
    """What an order at 100 may buy."""
    found = account(cash=cash)
    found["working_orders"] = facts.pop("working", [])
    return asking.measured(
        "order.affordable_quantity", found, [asking.order("buy", "1", "ACME", price=facts.pop("price", "100"), **facts)]
    )


def test_whole_lots_that_cash_pays() -> None:
    assert bought("1000") == 10
    assert bought("999.99") == 9
    assert bought("1005", flat_fee="5") == 10
    assert bought("1004.99", flat_fee="5") == 9
    assert bought("1010", fee_rate="0.01") == 10
    assert bought("1009.99", fee_rate="0.01") == 9
    assert bought("-1") == 0


def test_open_purchases_keep_their_cash_and_open_sales_bring_none() -> None:
    plain = {"id": "W", "account": "A", "symbol": "BETA", "quantity": "3", "price": "100"}
    found = account(cash="1000")
    for side, expected in (("buy", 7), ("sell", 10)):
        found["working_orders"] = [{**plain, "side": side}]
        sent = [asking.order("buy", "1", "ACME", price="100")]
        assert asking.measured("order.affordable_quantity", found, sent) == expected


def test_a_market_order_is_priced_at_the_offer_and_the_collar() -> None:
    found = account(cash="1050") | {"firm": {"collar": "0.05"}}
    assert asking.measured("order.affordable_quantity", found, [asking.order("buy", "1", "ACME")]) == 10
    found = account(cash="1049.99") | {"firm": {"collar": "0.05"}}
    assert asking.measured("order.affordable_quantity", found, [asking.order("buy", "1", "ACME")]) == 9


@pytest.mark.parametrize(
    ("aim", "facts", "expected"),
    [
        ("2", {}, 200),
        ("2", {"flat_fee": "0.01"}, 199),
        ("1", {}, 100),
        ("0", {}, 0),
    ],
)
def test_a_target_leverage_in_whole_lots(aim: str, facts: dict[str, str], expected: int) -> None:
    found = account(equity="10000", leverage="2")
    for side, sign in (("buy", 1), ("sell_short", -1)):
        sent = [asking.order(side, "1", "ACME", target_leverage=aim, **facts)]
        assert asking.measured("order.target_quantity", found, sent) == sign * expected


def test_buffer_and_free_share_reduce_a_target() -> None:
    found = account(equity="10000", leverage="2")
    found["firm"] = {"collar": "0", "target_buffer": "0.0025", "free_buying_power": "0.05"}
    sent = [asking.order("buy", "1", "ACME", target_leverage="2")]
    assert asking.measured("order.target_quantity", found, sent) == 20_000 * 95 * 9_975 // (100 * 10_000 * 100)


def test_a_target_weight_counts_what_is_held() -> None:
    found = account(cash="800") | {"positions": [{"account": "A", "symbol": "ACME", "quantity": "2"}]}
    for weight, expected in (("1", 8), ("0.5", 3), ("0.2", 0), ("0.1", 0)):
        sent = [asking.order("buy", "1", "ACME", price="100", target_weight=weight)]
        assert asking.measured("order.affordable_quantity", found, sent) == expected


def holding(quantity: int, **facts: str) -> dict[str, Any]:
    """The account with a holding of ACME at 100."""
    held = {"account": "A", "symbol": "ACME", "quantity": str(quantity)}
    return account(**facts) | {"positions": [held]}


@pytest.mark.parametrize("held", [-7, 0, 60, 100, 101])
def test_the_change_to_a_target_leads_from_what_is_held_to_the_target(held: int) -> None:
    found = holding(held, equity="10000", leverage="2")
    for side in ("buy", "sell_short"):
        sent = [asking.order(side, "1", "ACME", target_leverage="1")]
        change = asking.measured("order.target_change", found, sent)
        assert held + change == asking.measured("order.target_quantity", found, sent)  # type: ignore[operator]


@settings(max_examples=40, deadline=None)
@given(cash=st.integers(0, 3_000), held=st.integers(0, 30), percent=st.integers(0, 100))
def test_after_the_change_to_a_weight_no_more_is_held_and_no_lot_is_missing(cash: int, held: int, percent: int) -> None:
    found = holding(held, cash=str(cash))
    sent = [asking.order("buy", "1", "ACME", price="100", target_weight=asking.plain(Fraction(percent, 100)))]
    change = asking.measured("order.weight_change", found, sent)
    assert isinstance(change, Fraction)
    after, wanted = held + change, Fraction(percent * (cash + 100 * held), 100)
    assert 0 <= after * 100 <= wanted
    # One share more is beyond what is wanted or, bought, beyond the cash.
    assert (after + 1) * 100 > wanted or 100 * (change + 1) > cash
