"""The intraday margin deficit against every order the executions could have had."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.measures.intraday_margin import Deal, Stock, deficit_in_order, deficit_in_worst_order
from lexorder.engine.measures.maintenance import figures_on
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

FIGURES = figures_on(date(2026, 6, 15))
QUARTER = Fraction("0.25")


def stock(overnight: int = 0, price: int = 100) -> Stock:
    return Stock(Fraction(overnight), Fraction(price), QUARTER, FIGURES)


def deal(quantity: int, price: int = 100, symbol: str = "ACME", *, short: bool = False) -> Deal:
    return Deal(symbol, Fraction(quantity), Fraction(price), short)


purchases_and_sales = st.lists(
    st.builds(deal, st.integers(-5, 5).filter(bool), st.just(100), st.sampled_from(["ACME", "BETA"])), max_size=5
)


def long_only(deals: list[Deal]) -> bool:
    """Whether sales marked long sell only what was bought, in each security."""
    return all(sum(d.quantity for d in deals if d.symbol == s) >= 0 for s in ("ACME", "BETA"))


@settings(max_examples=150, deadline=None)
@given(deals=purchases_and_sales.filter(long_only), equity=st.integers(0, 400))
def test_the_worst_order_is_the_worst_of_all_orders(deals: list[Deal], equity: int) -> None:
    stocks = {"ACME": stock(), "BETA": stock()}
    orders = [order for order in permutations(deals) if never_short(order)]
    found = max((deficit_in_order(Fraction(equity), stocks, order) for order in orders), default=Fraction(0))
    assert deficit_in_worst_order(Fraction(equity), stocks, deals) == found


def never_short(order: tuple[Deal, ...]) -> bool:
    held = {"ACME": Fraction(0), "BETA": Fraction(0)}
    for one in order:
        held[one.symbol] += one.quantity
        if held[one.symbol] < 0:
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(deals=purchases_and_sales, equity=st.integers(0, 400), seed=st.randoms())
def test_no_order_is_worse_than_the_worst_at_any_prices(deals: list[Deal], equity: int, seed: Any) -> None:
    marked = [Deal(d.symbol, d.quantity, Fraction(seed.randint(3, 150)), short=d.quantity < 0) for d in deals]
    stocks = {"ACME": stock(2), "BETA": stock(-2)}
    shuffled = list(marked)
    seed.shuffle(shuffled)
    worst = deficit_in_worst_order(Fraction(equity), stocks, marked)
    assert deficit_in_order(Fraction(equity), stocks, shuffled) <= worst


@settings(max_examples=100, deadline=None)
@given(quantity=st.integers(1, 1_000), parts=st.integers(1, 5), equity=st.integers(0, 30_000))
def test_a_purchase_split_in_parts_leaves_the_same_deficit(quantity: int, parts: int, equity: int) -> None:
    whole = deficit_in_order(Fraction(equity), {"ACME": stock()}, [deal(quantity)])
    split = [deal(quantity // parts) for _ in range(parts)] + [deal(quantity - quantity // parts * parts)]
    assert deficit_in_order(Fraction(equity), {"ACME": stock()}, split) == whole
    assert whole == max(0, 25 * quantity - equity)


@settings(max_examples=100, deadline=None)
@given(quantity=st.integers(0, 1_000), more=st.integers(0, 100), equity=st.integers(0, 30_000))
def test_deficits_grow_with_what_is_bought(quantity: int, more: int, equity: int) -> None:
    one, other = (deficit_in_order(Fraction(equity), {"ACME": stock()}, [deal(q)]) for q in (quantity, quantity + more))
    assert one <= other


def test_a_deficit_made_good_later_that_day_remains() -> None:
    stocks = {"ACME": stock()}
    assert deficit_in_order(Fraction(10_000), stocks, [deal(600), deal(-600)]) == 5_000
    assert deficit_in_order(Fraction(10_000), stocks, [deal(400), deal(-400), deal(400)]) == 0


def test_a_fall_of_prices_alone_is_no_deficit_but_counts_at_the_next_purchase() -> None:
    fell = {"ACME": stock(overnight=400)}
    # Selling at 80 closes a loss; nothing raised the requirement.
    assert deficit_in_order(Fraction(10_000), fell, [deal(-100, 80)]) == 0
    assert deficit_in_worst_order(Fraction(10_000), fell, [deal(-100, 80)]) == 0
    # One share at 80: 401 shares need 8,020 and 2,000 are left.
    assert deficit_in_order(Fraction(10_000), fell, [deal(1, 80)]) == 6_020


def test_a_short_sale_counts_by_its_own_figures() -> None:
    sold = [deal(-600, short=True), deal(600)]
    assert deficit_in_order(Fraction(10_000), {"ACME": stock()}, sold) == 8_000
    assert deficit_in_worst_order(Fraction(10_000), {"ACME": stock()}, sold) == 8_000


# ---- the account -------------------------------------------------------------------------------


def fill(name: str, side: str, quantity: str, time: str = "", **facts: str) -> dict[str, object]:
    plain: dict[str, object] = {
        "id": name,
        "account": "A",
        "symbol": "ACME",
        "side": side,
        "quantity": quantity,
        "price": "100",
        **facts,
    }
    return plain | ({"time": f"2026-06-15T{time}:00-04:00"} if time else {})


def account(*fills: dict[str, object], held: str = "0", equity: str = "10000", **listed: str) -> dict[str, object]:
    return asking.document(
        account={"kind": "margin", "start_of_day_equity": equity},
        fills=list(fills),
        instruments=[asking.instrument("ACME", "100", **listed)],
        positions=[{"account": "A", "symbol": "ACME", "quantity": held}],
    )


@pytest.mark.parametrize(("quantity", "needed"), [(100, 7_500), (-100, 9_000)])
def test_a_leveraged_fund_needs_its_leverage_times_as_much(quantity: int, needed: int) -> None:
    # Three times 25% of 10,000, or 30% of it sold short; Notice 09-53.
    fund = Stock(Fraction(0), Fraction(100), 3 * QUARTER, FIGURES, Fraction(3))
    one = deal(quantity, short=quantity < 0)
    assert deficit_in_order(Fraction(0), {"ACME": fund}, [one]) == needed
    assert deficit_in_worst_order(Fraction(0), {"ACME": fund}, [one]) == needed


def today(document: dict[str, object]) -> object:
    return asking.measured("account.intraday_deficit_today", document)


def test_the_order_shown_by_times_is_used() -> None:
    # Overnight 600, sold and bought back: never more than 600 held.
    found = [fill("1", "sell", "600", "10:00"), fill("2", "buy", "600", "11:00")]
    assert today(account(*found, held="600", equity="15000", previous_close="100")) == 0


def test_without_times_the_order_is_the_worst_one() -> None:
    found = [fill("1", "sell", "600"), fill("2", "buy", "600")]
    assert today(account(*found, held="600", equity="15000", previous_close="100")) == 15_000


def test_executions_of_earlier_days_do_not_count() -> None:
    earlier = fill("1", "buy", "600") | {"time": "2026-06-12T10:00:00-04:00"}
    assert today(account(earlier, held="600", previous_close="100")) == 0


def test_a_day_without_executions_has_no_deficit_and_needs_no_facts() -> None:
    assert asking.measured("account.intraday_deficit_today", asking.document()) == 0


def test_what_was_held_overnight_needs_its_previous_close() -> None:
    with pytest.raises(NotCoveredError, match="previous_close"):
        today(account(fill("1", "buy", "1"), held="600"))


def test_the_equity_at_the_start_of_the_day_is_needed() -> None:
    found = account(fill("1", "buy", "1"), held="1")
    found["accounts"] = [{"id": "A", "currency": "USD"}]
    with pytest.raises(NotCoveredError, match="start_of_day_equity"):
        today(found)


@pytest.mark.parametrize(("began", "last"), [("2026-06-15", "2026-09-13"), ("2027-12-01", "2028-02-29")])
def test_a_freeze_lasts_90_calendar_days(began: str, last: str) -> None:
    found = asking.document(account={"kind": "margin", "intraday_freeze_began": began})
    assert asking.measured("account.intraday_restricted_until", found) == date.fromisoformat(last)
