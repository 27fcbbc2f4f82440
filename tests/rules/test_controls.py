"""Order controls, thresholds, throttles and kill switches against the wording of 15c3-5 and RTS 6, in integers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.desk import Desk
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    UNDECIDED,
    book,
    cents,
    forall,
    held,
    instrument,
    order,
    status,
    ticks,
    words,
    working,
    world,
)

small = st.integers(min_value=1, max_value=60)
holding = st.integers(min_value=-60, max_value=60)
side = st.sampled_from(["buy", "sell", "sell_short"])
states = st.sampled_from(["ACTIVE", "REDUCING", "HALTED"])
kinds = st.sampled_from(["cash", "margin"])


# ---- one order ---------------------------------------------------------------------------------


@forall(limit=st.integers(1, 1_000), off=st.integers(-1, 1), way=side, kind=kinds)
def test_the_clip_size_is_admitted_and_no_share_more(limit: int, off: int, way: str, kind: str) -> None:
    account = {"kind": kind, "max_order_quantity": str(limit)}
    expected = BREACH if off > 0 else PASS
    assert status("account-order-quantity", world(account=account), order(way, max(1, limit + off))) is expected


@forall(
    price=st.integers(1, 5_000_000),
    quantity=st.integers(1, 1_000),
    multiplier=st.integers(1, 100),
    off=st.integers(-1, 1),
    kind=kinds,
    way=side,
)
def test_the_worth_of_an_order_is_price_times_quantity_times_multiplier(  # noqa: PLR0917  one for each factor
    price: int, quantity: int, multiplier: int, off: int, kind: str, way: str
) -> None:
    worth = price * quantity * multiplier  # in 10⁻⁴
    account = {"kind": kind, "max_order_value": ticks(max(0, worth - off))}
    stock = instrument(multiplier=str(multiplier))
    document = world(account=account, instruments=[stock])
    assert status("account-order-value", document, order(way, quantity, price=ticks(price))) is (
        BREACH if off > 0 else PASS
    )


@forall(quantity=st.integers(1, 10_000), limit=st.integers(1, 10_000), price=st.integers(1, 100_000))
def test_an_inverse_contract_is_worth_its_face_value_at_any_price(quantity: int, limit: int, price: int) -> None:
    document = world(account={"max_order_value": str(limit)}, instruments=[instrument(inverse=True)])
    expected = BREACH if quantity > limit else PASS
    assert status("account-order-value", document, order("buy", quantity, price=ticks(price))) is expected


@pytest.mark.parametrize("rule", ["account-order-value", "account-credit-threshold", "firm-capital-threshold"])
def test_an_order_without_any_price_does_not_pass(rule: str) -> None:
    blind = world(instruments=[{"symbol": "ACME", "currency": "USD"}])
    assert status(rule, blind, order("buy", 1)) is UNDECIDED


@pytest.mark.parametrize("rule", ["account-order-value", "account-credit-threshold"])
def test_a_price_below_zero_makes_no_order_small(rule: str) -> None:
    limits = {"max_order_value": "1000", "credit_limit": "1000"}
    document = world(account=limits, instruments=[instrument(negative_prices=True)])
    assert status(rule, document, order("buy", 100, price="-10")) is PASS
    assert status(rule, document, order("buy", 101, price="-10")) is BREACH


@forall(price=st.integers(-3, 3), allowed=st.booleans(), quantity=small)
def test_a_price_is_above_zero_unless_the_instrument_may_trade_below(price: int, allowed: bool, quantity: int) -> None:
    document = world(instruments=[instrument(negative_prices=allowed)])
    expected = NOT_APPLICABLE if allowed else PASS if price > 0 else BREACH
    assert status("price-above-zero", document, order("buy", quantity, price=ticks(price))) is expected


@forall(low=st.integers(0, 50), high=st.integers(0, 50), quantity=small)
def test_an_order_has_the_size_the_instrument_takes(low: int, high: int, quantity: int) -> None:
    stock = instrument(min_quantity=str(low), max_quantity=str(high))
    expected = PASS if low <= quantity <= high else BREACH
    assert status("instrument-order-size", world(instruments=[stock]), order("buy", quantity)) is expected
    valued = instrument(min_value=str(100 * low), max_value=str(100 * high))
    assert status("instrument-order-value", world(instruments=[valued]), order("buy", quantity)) is expected


@forall(low=st.integers(0, 50), high=st.integers(0, 50), money=st.integers(1, 6_000), price=st.integers(50, 200))
def test_a_quantity_in_quote_currency_is_converted_exactly(low: int, high: int, money: int, price: int) -> None:
    stock = instrument(mark=str(price), min_quantity=str(low), max_quantity=str(high))
    sent = order("buy", money, price=str(price), quantity_in_quote=True)
    document = world(instruments=[stock], account={"kind": "cash", "cash": "3000"})
    fits = low * price <= money <= high * price
    assert status("instrument-order-size-in-quote", document, sent) is (PASS if fits else BREACH)
    assert status("cash-account-within-balance", document, sent) is (PASS if money <= 3_000 else BREACH)


@forall(price=st.integers(9_990, 10_010), quantity=small)
def test_no_quantity_in_quote_currency_is_counted_as_too_few_units(price: int, quantity: int) -> None:
    sent = order("buy", quantity, price=ticks(price), quantity_in_quote=True)
    expected = PASS if price >= 10_000 else BREACH
    assert status("quantity-in-quote-is-not-understated", world(), sent) is expected


@pytest.mark.parametrize("ord_type", ["market", "limit", "stop", "stop_limit"])
def test_an_account_may_be_held_to_limit_orders(ord_type: str) -> None:
    sent = order("buy", 1, ord_type=ord_type, price="100", stop_price="100")
    expected = PASS if "limit" in ord_type else BREACH
    assert status("account-market-orders", world(account={"market_orders_allowed": "false"}), sent) is expected
    assert status("account-market-orders", world(), sent) is NOT_APPLICABLE


def test_an_instrument_that_is_not_known_or_not_traded_is_refused() -> None:
    assert status("known-instrument", world(), order("buy", 1)) is PASS
    assert status("known-instrument", world(instruments=[instrument(tradable=False)]), order("buy", 1)) is BREACH
    assert status("known-instrument", world(), order("buy", 1, "GONE")) is BREACH


# ---- sums and counts ---------------------------------------------------------------------------


@forall(
    at_work=st.lists(st.tuples(side, st.integers(1, 20), st.integers(1, 200)), max_size=3),
    done=st.integers(0, 2_000),
    quantity=small,
    way=side,
    limit=st.integers(0, 12_000),
)
def test_every_order_sent_counts_in_full_at_once(
    at_work: list[tuple[str, int, int]], done: int, quantity: int, way: str, limit: int
) -> None:
    rows = [working(s, q, name=f"W-{n}", price=str(p)) for n, (s, q, p) in enumerate(at_work)]
    total = 100 * quantity + sum(q * p for _, q, p in at_work) + done
    account = {"credit_limit": str(limit), "executed_exposure": str(done)}
    document = world(account=account, working_orders=rows)
    assert status("account-credit-threshold", document, order(way, quantity)) is (BREACH if total > limit else PASS)
    firm = world(firm={"collar": "0", "capital_limit": str(limit), "exposure": str(done)}, working_orders=rows)
    assert status("firm-capital-threshold", firm, order(way, quantity)) is (BREACH if total > limit else PASS)


@forall(parts=st.lists(small, min_size=2, max_size=4), limit=st.integers(1, 20_000))
def test_splitting_an_order_frees_no_credit(parts: list[int], limit: int) -> None:
    document = world(account={"credit_limit": str(limit)})
    slices = [order("buy", part, id=f"P-{n}") for n, part in enumerate(parts)]
    whole = status("account-credit-threshold", document, order("buy", sum(parts)))
    assert status("account-credit-threshold", document, *slices) is whole


def test_a_sale_frees_no_credit_before_it_fills() -> None:
    document = world(account={"credit_limit": "1000"}, positions=[held(100)], working_orders=[working("sell", 10)])
    assert status("account-credit-threshold", document, order("buy", 1)) is BREACH


RATES: dict[str, tuple[str, str, str, str]] = {
    "message-rate": ("new", "trader", "messages_in_window", "message_limit"),
    "replace-rate": ("replace", "trader", "replaces_in_window", "replace_limit"),
    "orders-per-day": ("new", "account", "orders_today", "max_orders_per_day"),
}


@forall(rule=st.sampled_from(sorted(RATES)), limit=st.integers(0, 6), before=st.integers(0, 6), sent=st.integers(1, 3))
def test_messages_count_one_by_one_up_to_the_limit(rule: str, limit: int, before: int, sent: int) -> None:
    action, entity, counted, most = RATES[rule]
    facts = {counted: str(before), most: str(limit)}
    sections: dict[str, Any] = {"account": facts} if entity == "account" else {"traders": [{"id": "T", **facts}]}
    orders = [order("buy", 1, id=f"O-{n}", action=action) for n in range(sent)]
    expected = PASS if before + sent <= limit else BREACH
    assert status(rule, world(**sections), *orders) is expected
    other = "replace" if action == "new" else "new"
    assert status(rule, world(**sections), order("buy", 1, action=other)) is NOT_APPLICABLE


@forall(limit=st.integers(1, 12), before=st.integers(0, 12))
def test_the_identical_order_that_reaches_the_limit_is_refused(limit: int, before: int) -> None:
    document = world(account={"identical_orders_limit": str(limit)})
    expected = PASS if before + 1 < limit else BREACH
    assert status("identical-orders", document, order("buy", 1, identical=str(before))) is expected


@forall(most=st.integers(0, 6), done=st.integers(0, 6), again=st.booleans())
def test_a_throttled_strategy_waits_for_a_person(most: int, done: int, again: bool) -> None:
    strategy = {"id": "ALGO", "repeated_executions": str(done), "max_repeated_executions": str(most)}
    document = world(strategies=[{**strategy, "reenabled": again}])
    expected = PASS if done < most or again else BREACH
    assert status("repeated-execution-throttle", document, order("buy", 1, strategy="ALGO")) is expected


# ---- switched off ------------------------------------------------------------------------------


def switched(firm: str, account: str, trader: str, strategy: str, **sections: Any) -> dict[str, Any]:
    """The world with these trading states."""
    return world(
        firm={"collar": "0", "trading_state": firm},
        account={"trading_state": account},
        traders=[{"id": "T", "role": "algorithm", "trading_state": trader}],
        strategies=[{"id": "ALGO", "trading_state": strategy}],
        **sections,
    )


@forall(firm=states, account=states, trader=states, strategy=states, before=holding, way=side, quantity=small)
def test_switched_off_stops_all_and_reducing_stops_opening(  # noqa: PLR0917  one for each switch
    firm: str, account: str, trader: str, strategy: str, before: int, way: str, quantity: int
) -> None:
    set_to = (firm, account, trader, strategy)
    document = switched(*set_to, positions=[held(before)])
    sent = order(way, quantity, strategy="ALGO")
    assert status("kill-switch", document, sent) is (BREACH if "HALTED" in set_to else PASS)
    closes = quantity <= max(0, -before if way == "buy" else before)
    expected = NOT_APPLICABLE if "REDUCING" not in set_to else PASS if closes else BREACH
    assert status("reducing-only", document, sent) is expected


def test_other_traders_and_strategies_go_on() -> None:
    document = switched("ACTIVE", "ACTIVE", "ACTIVE", "HALTED")
    assert status("kill-switch", document, order("buy", 1)) is PASS


@forall(before=holding, at_work=st.integers(0, 30), way=st.sampled_from(["buy", "sell"]), quantity=small)
def test_reduce_only_never_opens_nor_flips(before: int, at_work: int, way: str, quantity: int) -> None:
    rows = [working(way, at_work)] if at_work else []
    document = world(positions=[held(before)], working_orders=rows)
    room = max(0, -before if way == "buy" else before)
    # What was already at work beyond the position is no worse for a zero order, but every share more is.
    expected = PASS if at_work + quantity <= room else BREACH
    assert status("reduce-only", document, order(way, quantity, reduce_only=True)) is expected


# ---- money -------------------------------------------------------------------------------------


@forall(cash=st.integers(0, 1_000_000), bought=st.integers(0, 40), quantity=small, borrow=st.booleans(), kind=kinds)
def test_a_cash_account_spends_only_what_it_has(cash: int, bought: int, quantity: int, borrow: bool, kind: str) -> None:
    rows = [working("buy", bought)] if bought else []
    document = world(account={"kind": kind, "cash": cents(cash), "may_borrow": borrow}, working_orders=rows)
    enough = 10_000 * (bought + quantity) <= cash
    applies = kind == "cash" and not borrow
    expected = NOT_APPLICABLE if not applies else PASS if enough else BREACH
    assert status("cash-account-within-balance", document, order("buy", quantity)) is expected


@forall(way=st.sampled_from(["buy", "sell"]), stake=st.integers(1, 600), odds=st.integers(10_000, 90_000))
def test_a_bet_risks_its_stake_or_what_the_odds_add_to_it(way: str, stake: int, odds: int) -> None:
    risk = stake * (odds - 10_000) if way == "buy" else stake * 10_000
    document = world(account={"kind": "betting", "cash": "1000"})
    expected = PASS if risk <= 10_000_000 else BREACH
    assert status("bets-within-balance", document, order(way, stake, price=ticks(odds))) is expected


# ---- at a desk, measured -----------------------------------------------------------------------


def stopped_by(document: dict[str, Any], *orders: dict[str, object]) -> set[str]:
    """The rules that refuse the orders at a desk with the whole library, its measures at work."""
    (found,) = Desk(book(), document, words()).check_basket(orders)
    return {report.rule for report in found.reports if report.status is BREACH}


def test_measures_reach_the_rules_at_a_desk() -> None:
    assert "no-order-against-own" in stopped_by(world(working_orders=[working("sell", 1)]), order("buy", 1))
    assert "no-order-against-own" not in stopped_by(world(working_orders=[working("buy", 1)]), order("buy", 1))
    lots = world(instruments=[instrument(lot="10", tick="0.05")])
    refused = stopped_by(lots, order("buy", 15, price="100.01"))
    assert {"quantity-on-lot", "price-on-tick"} <= refused
    assert not {"quantity-on-lot", "price-on-tick"} & stopped_by(lots, order("buy", 20, price="100.05"))


def test_bands_are_measured_at_a_desk() -> None:
    stock = instrument(luld_tier="1", previous_close="100", luld_reference="100")
    document = world(instruments=[stock])
    assert "price-inside-limit-bands" in stopped_by(document, order("buy", 1, price="105.0001"))
    assert "price-inside-limit-bands" not in stopped_by(document, order("buy", 1, price="105"))
