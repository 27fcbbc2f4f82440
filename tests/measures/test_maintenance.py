"""Maintenance margin against 4210(c) in whole cents."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.measures.maintenance import (
    Security,
    covering_sale,
    figures_on,
    long_rate,
    requirement,
    short_per_share,
    trigger_value,
)
from lexorder.engine.snapshot import MissingFactError
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

FIGURES = figures_on(date(2026, 6, 15))
cents = st.integers(1, 20_000)
quantities = st.integers(-1_000, 1_000)
rates = st.sampled_from([Fraction(0), Fraction("0.25"), Fraction("0.3"), Fraction("0.4"), Fraction(1)])


def needed(quantity: int, price: int, house: Fraction = Fraction(0), marginable: bool = True) -> Fraction:
    """The requirement with the price in cents."""
    return requirement(Fraction(quantity), Fraction(price, 100), FIGURES, house, Security(marginable))


def by_hand(quantity: int, price: int) -> Fraction:
    """4210(c)(1) to (3) in cents."""
    if quantity >= 0:
        return Fraction(quantity * price, 400)
    per_share = max(Fraction(250), Fraction(price)) if price < 500 else max(Fraction(500), Fraction(3 * price, 10))
    return -quantity * per_share / 100


@settings(max_examples=300, deadline=None)
@given(quantity=quantities, price=cents)
def test_requirement_by_the_wording(quantity: int, price: int) -> None:
    assert needed(quantity, price) == by_hand(quantity, price)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (200, 250),
        (250, 250),
        (251, 251),
        (499, 499),
        (500, 500),
        (501, 500),
        (1_666, 500),
        (1_667, 500),
        (5_000, 1_500),
    ],
)
def test_short_tiers_at_their_edges(price: int, expected: int) -> None:
    found = short_per_share(FIGURES, Fraction(price, 100)) * 100
    assert found == (Fraction(5_001, 10) if price == 1_667 else expected)


@pytest.mark.parametrize(
    ("leverage", "long", "short"),
    # Notice 09-53: 25% and 30% times the leverage, not more than all of the value.
    [("1", 2_500, 3_000), ("2", 5_000, 6_000), ("3", 7_500, 9_000), ("4", 10_000, 10_000), ("10", 10_000, 10_000)],
)
def test_a_leveraged_fund_needs_its_leverage_times_as_much(leverage: str, long: int, short: int) -> None:
    fund = Security(leverage=Fraction(leverage))
    assert requirement(Fraction(100), Fraction(100), FIGURES, Fraction(0), fund) == long
    assert requirement(Fraction(-100), Fraction(100), FIGURES, Fraction(0), fund) == short


def test_the_dollars_a_share_and_the_house_rate_are_not_multiplied() -> None:
    fund = Security(leverage=Fraction(2))
    assert requirement(Fraction(-1), Fraction(8), FIGURES, Fraction(0), fund) == 5
    assert requirement(Fraction(-1), Fraction("4.99"), FIGURES, Fraction(0), fund) == Fraction("4.99")
    assert requirement(Fraction(1), Fraction(100), FIGURES, Fraction("0.6"), fund) == 60
    assert requirement(Fraction(1), Fraction(100), FIGURES, Fraction("0.3"), fund) == 50


@settings(max_examples=200, deadline=None)
@given(quantity=quantities, price=cents, house=rates, leverage=st.integers(10, 99))
def test_leverage_never_needs_less_nor_more_than_all(quantity: int, price: int, house: Fraction, leverage: int) -> None:
    found = requirement(
        Fraction(quantity), Fraction(price, 100), FIGURES, house, Security(leverage=Fraction(leverage, 10))
    )
    assert found >= needed(quantity, price, house)
    floor = max(500, price) if quantity < 0 else price
    assert found <= abs(quantity) * Fraction(floor, 100)


@settings(max_examples=200, deadline=None)
@given(one=st.integers(0, 1_000), more=st.integers(0, 1_000), price=cents, short=st.booleans(), house=rates)
def test_requirement_grows_with_size_and_adds_up(one: int, more: int, price: int, short: bool, house: Fraction) -> None:
    sign = -1 if short else 1
    whole = needed(sign * (one + more), price, house)
    assert whole == needed(sign * one, price, house) + needed(sign * more, price, house)
    assert whole >= needed(sign * one, price, house)


@settings(max_examples=200, deadline=None)
@given(quantity=quantities, price=cents, house=rates)
def test_the_house_asks_for_more_never_for_less(quantity: int, price: int, house: Fraction) -> None:
    assert needed(quantity, price, house) >= needed(quantity, price)
    if quantity >= 0:
        assert needed(quantity, price, house, marginable=False) == Fraction(quantity * price, 100)


@settings(max_examples=200, deadline=None)
@given(value=st.integers(1, 10**8), debit=st.integers(0, 10**8), rate=st.sampled_from([25, 30, 40]))
def test_a_sale_to_cover_meets_the_call_exactly(value: int, debit: int, rate: int) -> None:
    share = Fraction(rate, 100)
    call = max(Fraction(0), share * value - (value - debit))
    sold = covering_sale(call, share)
    # What is sold repays the debit, so equity stays as it is.
    assert share * (value - sold) == share * value - call


@settings(max_examples=200, deadline=None)
@given(debit=st.integers(1, 10**8), rate=st.sampled_from([25, 30, 40]))
def test_at_the_trigger_value_equity_is_the_requirement(debit: int, rate: int) -> None:
    share = Fraction(rate, 100)
    value = trigger_value(Fraction(debit), share)
    assert value - debit == share * value


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(MissingFactError):
        figures_on(date(2010, 12, 1))
    assert long_rate(figures_on(date(2010, 12, 2)), Fraction(0), marginable=True) == Fraction("0.25")
    with pytest.raises(MissingFactError):
        trigger_value(Fraction(1), Fraction(1))


# ---- the account -------------------------------------------------------------------------------


def account(cash: str, *positions: tuple[str, str, str], **facts: str) -> dict[str, object]:
    """An account with holdings (symbol, quantity, price)."""
    return asking.document(
        account={"kind": "margin", "cash": cash, **facts},
        instruments=[asking.instrument(symbol, price) for symbol, _, price in positions],
        positions=[{"account": "A", "symbol": s, "quantity": q} for s, q, _ in positions],
    )


def test_long_and_short_positions_add_up() -> None:
    found = account("1000", ("ACME", "100", "20"), ("BETA", "-100", "4"), ("COCO", "-100", "10"))
    assert asking.measured("account.maintenance_requirement", found) == 500 + 400 + 500
    assert asking.measured("account.equity", found) == 1000 + 2000 - 400 - 1000
    assert asking.measured("account.maintenance_call", found) == 0


@pytest.mark.parametrize(("cash", "call"), [("-1500", 0), ("-1500.01", Fraction(1, 100)), ("-1499.99", 0)])
def test_a_call_begins_one_cent_below(cash: str, call: Fraction) -> None:
    assert asking.measured("account.maintenance_call", account(cash, ("ACME", "100", "20"))) == call


def test_amounts_are_rounded_up_against_the_account() -> None:
    found = account("-10000", ("ACME", "1", "14000"), house_maintenance="0.3")
    assert asking.measured("account.liquidation_to_cover", found) == Fraction("666.6667")
    assert asking.measured("account.maintenance_trigger_value", found) == Fraction("14285.7143")


def test_figures_the_books_give_win() -> None:
    found = account("0", ("ACME", "100", "20"), equity="300", maintenance_requirement="700")
    assert asking.measured("account.maintenance_call", found) == 400


def test_securities_in_another_currency_are_margined_in_dollars() -> None:
    # A share at 4 euro is one at 5.20 dollars: 5.00 a share, in euro.
    found = account("0", ("ACME", "-100", "4"))
    found["accounts"] = [{"id": "A", "currency": "EUR", "cash": "0", "kind": "margin"}]
    found["instruments"] = [asking.instrument("ACME", "4", currency="EUR")]
    found["fx"] = {"base": "USD", "EUR": "1.3"}
    assert asking.measured("account.maintenance_requirement", found) == Fraction("384.6154")


def test_what_has_no_price_or_another_kind_of_margin_is_open() -> None:
    found = account("0", ("ACME", "100", "20"))
    found["instruments"] = [{"symbol": "ACME", "currency": "USD"}]
    with pytest.raises(NotCoveredError, match=r"instrument\.mark"):
        asking.measured("account.maintenance_requirement", found)
    found["instruments"] = [asking.instrument("ACME", "20", asset_class="option")]
    with pytest.raises(NotCoveredError, match="equity securities only"):
        asking.measured("account.maintenance_requirement", found)


def test_the_trigger_value_is_for_long_positions_only() -> None:
    with pytest.raises(NotCoveredError, match="long positions only"):
        asking.measured("account.maintenance_trigger_value", account("0", ("ACME", "-1", "20")))
    leveraged = account("-1000", ("ACME", "100", "20"))
    leveraged["instruments"] = [asking.instrument("ACME", "20", leverage="2")]
    with pytest.raises(NotCoveredError, match="no leveraged funds"):
        asking.measured("account.maintenance_trigger_value", leveraged)
    assert asking.measured("account.maintenance_requirement", leveraged) == 1000
