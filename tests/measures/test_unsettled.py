"""Unsettled proceeds and unpaid shares against a purse in which every dollar is a coin of its own."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.measures.unsettled import Trade, settles, unpaid, unsettled_proceeds
from lexorder.engine.snapshot import MissingFactError
from tests.rules.library import BREACH, NOT_APPLICABLE, PASS, forall, order, status
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

MONDAY, TUESDAY = "2026-06-15", "2026-06-16"

trades = st.lists(
    st.builds(
        lambda quantity, settled: Trade("ABC", Fraction(quantity), Fraction(abs(quantity)), settled),
        st.integers(-4, 4).filter(bool),
        st.booleans(),
    ),
    max_size=6,
)


def by_coins(done: list[Trade], start: int) -> int:
    """Shares at a dollar that were bought with something else than a settled dollar."""
    purse, owed = ["settled"] * start, 0
    for trade in done:
        for _ in range(int(trade.amount)):
            if trade.quantity < 0:
                purse.append("settled" if trade.settled else "pending")
            elif "settled" in purse:
                purse.remove("settled")
            else:
                owed += 1
    return owed


@forall(done=trades, start=st.integers(0, 10))
def test_unpaid_is_what_no_settled_dollar_paid(done: list[Trade], start: int) -> None:
    after = Fraction(start) - sum((t.amount if t.quantity > 0 else -t.amount for t in done), Fraction(0))
    assert unpaid(done, after).get("ABC", 0) == by_coins(done, start)


@forall(done=trades, start=st.integers(0, 10))
def test_with_settlement_everything_is_paid_that_cash_pays(done: list[Trade], start: int) -> None:
    settled = [Trade(t.symbol, t.quantity, t.amount, True) for t in done]
    purse = [start]
    for trade in settled:
        purse.append(purse[-1] + int(-trade.quantity))
    found = unpaid(settled, Fraction(purse[-1])).get("ABC", 0)
    assert (found == 0) is (min(purse) >= 0)


def test_part_of_a_share_is_a_share_that_is_not_paid() -> None:
    bought = [Trade("ABC", Fraction(10), Fraction(1_000), True)]
    assert unpaid(bought, Fraction(0)) == {"ABC": 0}
    assert unpaid(bought, Fraction("-0.01")) == {"ABC": 1}
    assert unpaid(bought, Fraction("-100.01")) == {"ABC": 2}


def test_only_sales_have_proceeds() -> None:
    done = [Trade("ABC", Fraction(n), Fraction(7), s) for n, s in ((-1, False), (1, False), (-1, True))]
    assert unsettled_proceeds(done) == 7


@pytest.mark.parametrize(
    ("traded", "settled"),
    [
        ("2026-06-15", "2026-06-16"),
        ("2026-06-18", "2026-06-22"),  # Juneteenth
        ("2026-06-13", "2026-06-16"),  # a Saturday: as of Monday
        ("2024-05-24", "2024-05-29"),  # two days, and Memorial Day
    ],
)
def test_when_a_trade_settles(traded: str, settled: str) -> None:
    assert settles(date.fromisoformat(traded)) == date.fromisoformat(settled)


@pytest.mark.parametrize("traded", [date(1995, 6, 6), date(2300, 1, 2), date(9999, 12, 31)])
def test_where_no_cycle_or_session_is_known_it_is_refused(traded: date) -> None:
    with pytest.raises(MissingFactError):
        settles(traded)


# ---- the account -------------------------------------------------------------------------------


def fill(name: str, side: str, symbol: str, quantity: int, hour: str) -> dict[str, object]:
    plain = {"id": name, "account": "A", "symbol": symbol, "side": side, "quantity": str(quantity), "price": "100"}
    return {**plain, "time": f"{MONDAY}T{hour}:00-04:00"}


def account(cash: str, *fills: dict[str, object], day: str = MONDAY, **held: int) -> dict[str, Any]:
    """A cash account after the fills, at the afternoon of a day."""
    return asking.document(
        time=f"{day}T15:00:00-04:00",
        account={"kind": "cash", "cash": cash},
        fills=list(fills),
        instruments=[asking.instrument(symbol, "100") for symbol in ("ABC", "XYZ")],
        positions=[{"account": "A", "symbol": symbol, "quantity": str(q)} for symbol, q in held.items()],
    )


SOLD_AND_BOUGHT = (fill("1", "sell", "ABC", 10, "10:00"), fill("2", "buy", "XYZ", 10, "11:00"))
RULE = "cash-account-pays-before-it-sells"


def sale(quantity: int, symbol: str = "XYZ") -> dict[str, object]:
    return order("sell", quantity, symbol)


def test_shares_bought_with_the_proceeds_of_the_day_wait_for_them() -> None:
    assert status(RULE, account("0", *SOLD_AND_BOUGHT, XYZ=10), sale(1)) is BREACH
    assert status(RULE, account("0", *SOLD_AND_BOUGHT, day=TUESDAY, XYZ=10), sale(10)) is NOT_APPLICABLE


def test_settled_cash_pays_first_and_what_it_paid_is_free() -> None:
    after = account("500", *SOLD_AND_BOUGHT, XYZ=10)
    assert asking.measured("order.unpaid_quantity", after, [sale(1)]) == 5
    assert status(RULE, after, sale(5)) is PASS
    assert status(RULE, after, sale(6)) is BREACH


def test_a_deposit_pays_for_them() -> None:
    assert status(RULE, account("1000", *SOLD_AND_BOUGHT, XYZ=10), sale(10)) is NOT_APPLICABLE


def test_bought_and_sold_with_settled_cash_and_bought_again() -> None:
    once = (fill("1", "buy", "XYZ", 10, "10:00"), fill("2", "sell", "XYZ", 10, "11:00"))
    assert asking.measured("order.unpaid_quantity", account("1000", *once), [sale(1)]) == 0
    again = account("0", *once, fill("3", "buy", "XYZ", 10, "12:00"), XYZ=10)
    assert status(RULE, again, sale(1)) is BREACH


def test_other_shares_and_a_margin_account_are_free() -> None:
    after = account("0", *SOLD_AND_BOUGHT, XYZ=10, ABC=5)
    assert status(RULE, after, sale(5, "ABC")) is NOT_APPLICABLE
    after["accounts"][0]["kind"] = "margin"
    assert status(RULE, after, sale(10)) is NOT_APPLICABLE
    assert asking.measured("order.unpaid_quantity", after, [sale(10)]) == 0
    assert asking.measured("account.unsettled_proceeds", after) == 0


def test_no_more_is_unpaid_than_is_held() -> None:
    assert asking.measured("order.unpaid_quantity", account("0", *SOLD_AND_BOUGHT, XYZ=4), [sale(1)]) == 4


def test_the_order_of_executions_is_that_of_their_times() -> None:
    bought_first = account("0", fill("1", "sell", "ABC", 10, "11:00"), fill("2", "buy", "XYZ", 10, "10:00"), XYZ=10)
    assert asking.measured("account.unsettled_proceeds", bought_first) == 1_000
    assert asking.measured("order.unpaid_quantity", bought_first, [sale(1)]) == 10
    untimed = account("0", *({k: v for k, v in f.items() if k != "time"} for f in SOLD_AND_BOUGHT), XYZ=10)
    assert asking.measured("order.unpaid_quantity", untimed, [sale(1)]) == 10


def test_what_is_missing_leaves_it_open() -> None:
    half = account("0", SOLD_AND_BOUGHT[0], {k: v for k, v in SOLD_AND_BOUGHT[1].items() if k != "time"}, XYZ=10)
    with pytest.raises(NotCoveredError, match=r"fill\.time"):
        asking.measured("order.unpaid_quantity", half, [sale(1)])
    unpriced = account("0", {k: v for k, v in SOLD_AND_BOUGHT[0].items() if k != "price"})
    with pytest.raises(NotCoveredError, match=r"fill\.price"):
        asking.measured("account.unsettled_proceeds", unpriced)


@pytest.mark.parametrize(("began", "last"), [("2026-06-15", "2026-09-13"), ("2026-12-01", "2027-03-01")])
def test_a_freeze_lasts_90_calendar_days(began: str, last: str) -> None:
    frozen = asking.document(account={"kind": "cash", "cash_freeze_began": began})
    assert asking.measured("account.cash_frozen_until", frozen) == date.fromisoformat(last)


def test_a_frozen_account_buys_with_what_has_settled() -> None:
    frozen = account("1500", fill("1", "sell", "ABC", 10, "10:00"))
    frozen["accounts"][0]["cash_frozen_until"] = MONDAY
    assert status("cash-account-frozen", frozen, order("buy", 5, "XYZ")) is PASS
    assert status("cash-account-frozen", frozen, order("buy", 6, "XYZ")) is BREACH
    assert status("cash-account-pays-in-full", frozen, order("buy", 6, "XYZ")) is PASS
