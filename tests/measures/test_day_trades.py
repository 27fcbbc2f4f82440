"""Day trades against the wording of 4210(f)(8)(B)(i) and the examples that firms publish, share by share."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.measures.day_trades import (
    CLOSING,
    DIRECTION_CHANGE,
    OPENING,
    Execution,
    day_trades,
    round_trips,
)
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

CONVENTIONS = (DIRECTION_CHANGE, OPENING, CLOSING)
deals = st.lists(st.integers(-6, 6).filter(bool), max_size=8)
overnights = st.integers(-6, 6)


def counted(start: int, *quantities: int, orders: str = "") -> tuple[int, ...]:
    """The count by each convention; `orders` names the order of each execution by a letter."""
    names = orders or "".join(chr(65 + n) for n in range(len(quantities)))
    found = [Execution(Fraction(q), name) for q, name in zip(quantities, names, strict=True)]
    return tuple(day_trades(found, Fraction(start), convention) for convention in CONVENTIONS)


def share_by_share(start: int, quantities: list[int]) -> tuple[int, int, int]:
    """The three counts by moving one share at a time; today's shares leave before those held overnight."""
    position, run, closing = start, 0, False
    today: list[int] = []
    runs, opened, closed = set(), set(), set()
    for name, quantity in enumerate(quantities):
        step = 1 if quantity > 0 else -1
        for _ in range(abs(quantity)):
            if position * step < 0:
                run += not closing
                closing = True
                if today:
                    opened.add(today.pop(0))
                    closed.add(name)
                    runs.add(run)
            else:
                closing = False
                today.append(name)
            position += step
    return len(runs), len(opened), len(closed)


@settings(max_examples=300, deadline=None)
@given(start=overnights, quantities=deals)
def test_counts_agree_with_moving_single_shares(start: int, quantities: list[int]) -> None:
    assert counted(start, *quantities) == share_by_share(start, quantities)


@settings(max_examples=200, deadline=None)
@given(start=overnights, quantities=deals)
def test_short_selling_counts_as_buying_does(start: int, quantities: list[int]) -> None:
    assert counted(start, *quantities) == counted(-start, *(-q for q in quantities))


@settings(max_examples=200, deadline=None)
@given(start=overnights, quantities=deals, times=st.integers(2, 5))
def test_quantity_is_irrelevant(start: int, quantities: list[int], times: int) -> None:
    assert counted(start, *quantities) == counted(start * times, *(q * times for q in quantities))


@settings(max_examples=200, deadline=None)
@given(start=overnights, quantities=deals, data=st.data())
def test_partial_fills_of_one_order_are_one_transaction(start: int, quantities: list[int], data: st.DataObject) -> None:
    pieces, names = [], ""
    for place, quantity in enumerate(quantities):
        first = data.draw(st.integers(0, abs(quantity)))
        sign = 1 if quantity > 0 else -1
        parts = [sign * p for p in (first, abs(quantity) - first) if p]
        pieces += parts
        names += chr(65 + place) * len(parts)
    assert counted(start, *pieces, orders=names) == counted(start, *quantities)


@settings(max_examples=200, deadline=None)
@given(start=overnights, quantities=deals)
def test_a_change_of_direction_needs_an_opening_and_a_closing(start: int, quantities: list[int]) -> None:
    turns, opened, closed = counted(start, *quantities)
    assert turns <= closed
    assert (turns == 0) == (opened == 0) == (closed == 0)
    assert turns + opened + closed == 0 or len(quantities) > 1


@settings(max_examples=100, deadline=None)
@given(start=st.integers(1, 6), sold=st.integers(1, 6), bought=st.integers(1, 6))
def test_what_was_held_overnight_may_be_sold_first(start: int, sold: int, bought: int) -> None:
    # Sold before any purchase: no day trade as long as nothing is sold short.
    assert counted(start, -min(sold, start), bought) == (0, 0, 0)


@pytest.mark.parametrize(
    ("start", "quantities", "expected"),
    [
        (0, (100, -50, -50), (1, 1, 2)),  # Scottrade's first example counts openings
        (0, (50, 50, -100), (1, 2, 1)),
        (0, (50, 50, -51), (1, 2, 1)),
        (0, (50, 50, -50), (1, 1, 1)),
        (50, (-50, 50), (0, 0, 0)),  # E*TRADE: the overnight position is sold, then a new one is opened
        (50, (25, -25), (1, 1, 1)),  # E*TRADE: first in, first out is not used
        (10, (1, -10), (1, 1, 1)),  # Robinhood: any purchase before the sale
        (0, (100, -150, 50), (2, 2, 2)),  # through zero: the rest of the sale opens a short position
        (-10, (10, -10), (0, 0, 0)),
        (-10, (10, -10, 10), (1, 1, 1)),
        (0, (), (0, 0, 0)),
    ],
)
def test_published_examples(start: int, quantities: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    assert counted(start, *quantities) == expected


def test_round_trips_name_both_sides() -> None:
    (one, two) = round_trips([Execution(Fraction(q), n) for q, n in ((50, "A"), (50, "B"), (-60, "C"))], Fraction(0))
    assert (one.opened_by, one.closed_by, one.quantity) == ("A", "C", Fraction(50))
    assert (two.opened_by, two.closed_by, two.quantity, two.run) == ("B", "C", Fraction(10), one.run)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="weekly is no way"):
        day_trades([], Fraction(0), "weekly")


# ---- the account: five business days -----------------------------------------------------------


def fill(name: str, side: str, day: str = "", symbol: str = "ACME", **facts: str) -> dict[str, object]:
    """A fill of 10 shares, at 10:00 of a day where one is given."""
    found: dict[str, object] = {"id": name, "account": "A", "symbol": symbol, "side": side, "quantity": "10", **facts}
    return found | ({"time": f"{day}T10:00:00-04:00", "price": "100"} if day else {"price": "100"})


def account(*fills: dict[str, object], held: str = "0", **sections: Any) -> dict[str, object]:
    positions = [{"account": "A", "symbol": "ACME", "quantity": held}]
    return asking.document(fills=list(fills), positions=positions, **sections)


def trips(day: str) -> list[dict[str, object]]:
    """A day trade on a day."""
    return [fill(f"B-{day}", "buy", day), fill(f"S-{day}", "sell", day) | {"time": f"{day}T11:00:00-04:00"}]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-06-15", 1),  # Monday, the day of the snapshot
        ("2026-06-09", 1),  # Tuesday before: the fifth business day, counting both ends
        ("2026-06-08", 0),
    ],
)
def test_five_business_days_end_today(day: str, expected: int) -> None:
    assert asking.measured("account.day_trades", account(*trips(day))) == expected
    assert asking.measured("account.trades", account(*trips(day))) == 2 * expected


@pytest.mark.parametrize(("day", "expected"), [("2026-06-16", 1), ("2026-06-15", 0)])
def test_a_holiday_is_no_business_day(day: str, expected: int) -> None:
    # 2026-06-19 is a holiday, so five business days up to Tuesday 06-23 begin on Tuesday 06-16.
    snapshot = account(*trips(day), time="2026-06-23T12:00:00-04:00")
    assert asking.measured("account.day_trades", snapshot) == expected


def test_an_early_close_is_a_business_day() -> None:
    # 2026-11-27 closes at 13:00; with Thanksgiving the five days up to 12-02 begin on 11-25.
    for day, expected in (("2026-11-25", 0), ("2026-11-27", 1)):
        found = trips(day)
        assert asking.measured("account.day_trades", account(*found, time="2026-12-03T12:00:00-05:00")) == expected


def test_the_day_of_an_execution_is_that_of_the_exchange() -> None:
    # 01:00 in Berlin is 19:00 the day before in New York.
    late = fill("S", "sell", "2026-06-13") | {"time": "2026-06-13T01:00:00+02:00"}
    assert asking.measured("account.day_trades", account(fill("B", "buy", "2026-06-12"), late)) == 1


def test_days_and_securities_are_counted_apart() -> None:
    over_night = [fill("B", "buy", "2026-06-11"), fill("S", "sell", "2026-06-12")]
    assert asking.measured("account.day_trades", account(*over_night)) == 0
    other = [fill("B", "buy"), fill("S", "sell_short", symbol="BETA")]
    assert asking.measured("account.day_trades", account(*other, held="10")) == 0


def test_the_overnight_position_follows_from_what_is_held_now() -> None:
    # 10 are held after selling 10 today, so 20 were held overnight: no day trade.
    assert asking.measured("account.day_trades", account(fill("S", "sell"), fill("B", "buy"), held="10")) == 0
    assert asking.measured("account.day_trades", account(fill("B", "buy"), fill("S", "sell"), held="10")) == 1


def test_executions_are_ordered_by_time_where_they_have_one() -> None:
    found = [fill("S", "sell", "2026-06-15") | {"time": "2026-06-15T11:00:00-04:00"}, fill("B", "buy", "2026-06-15")]
    assert asking.measured("account.day_trades", account(*found)) == 1


def test_executions_timed_in_part_leave_the_count_open() -> None:
    with pytest.raises(NotCoveredError, match="some executions only"):
        asking.measured("account.day_trades", account(fill("B", "buy", "2026-06-15"), fill("S", "sell")))


def test_executions_of_one_order_are_one_trade() -> None:
    found = [fill("1", "buy", order="O-1"), fill("2", "buy", order="O-1"), fill("3", "sell", order="O-2")]
    snapshot = account(*found, held="10", firm={"day_trade_counting": "opening_transaction"})
    assert asking.measured("account.trades", snapshot) == 2
    assert asking.measured("account.day_trades", snapshot) == 1


def test_a_count_the_books_give_wins() -> None:
    snapshot = account(*trips("2026-06-15"))
    snapshot["accounts"] = [{"id": "A", "currency": "USD", "kind": "margin", "day_trades": "4", "trades": "5"}]
    assert asking.told("account.day_trading_pattern", snapshot) is True


def test_other_accounts_do_not_count() -> None:
    assert asking.measured("account.day_trades", account(*(f | {"account": "B"} for f in trips("2026-06-15")))) == 0
