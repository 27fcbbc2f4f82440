"""Business days and settlement against published calendars and cycles."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.measures.business_days import (
    CYCLES,
    days_after,
    days_back,
    days_between,
    is_business_day,
    is_settlement_day,
    settlement_date,
)
from lexorder.engine.snapshot import MissingFactError
from tests.vectors import asking
from tests.vectors.case import NotCoveredError

days = st.dates(date(2023, 1, 2), date(2026, 12, 31))


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("traded", "settles"),
    [
        ("2024-05-24", "2024-05-29"),  # the last day of T+2, over Memorial Day
        ("2024-05-28", "2024-05-29"),  # the first day of T+1
        ("2017-09-01", "2017-09-07"),  # the last day of T+3, over Labor Day
        ("2017-09-05", "2017-09-07"),  # the first day of T+2
        ("1995-06-07", "1995-06-12"),  # the first day of T+3
        ("2024-07-03", "2024-07-05"),  # an early close, then Independence Day
        ("2024-11-29", "2024-12-02"),  # an early close before a weekend
        ("2024-03-28", "2024-04-02"),  # Good Friday, still T+2
        ("2024-10-11", "2024-10-15"),  # Columbus Day: trading, but no settlement
        ("2024-10-14", "2024-10-15"),
        ("2024-11-08", "2024-11-12"),  # Veterans Day
        ("2024-11-11", "2024-11-12"),
        ("2023-11-09", "2023-11-13"),  # Veterans Day on a Saturday is not moved
    ],
)
def test_settlement_dates(traded: str, settles: str) -> None:
    assert settlement_date(day(traded)) == day(settles)


def test_veterans_day_on_a_sunday_is_kept_on_monday() -> None:
    assert day("2018-11-11").weekday() == 6
    assert settlement_date(day("2018-11-08")) == day("2018-11-13")


@settings(max_examples=60, deadline=None)
@given(traded=days)
def test_settlement_takes_the_days_of_its_cycle(traded: date) -> None:
    if not is_business_day(traded):
        with pytest.raises(MissingFactError):
            settlement_date(traded)
        return
    settles = settlement_date(traded)
    between = [traded + timedelta(n) for n in range(1, (settles - traded).days + 1)]
    cycle = 2 if traded < day("2024-05-28") else 1
    assert sum(map(is_settlement_day, between)) == cycle
    assert is_settlement_day(settles)


@settings(max_examples=60, deadline=None)
@given(one=days, other=days)
def test_later_trades_never_settle_earlier_within_a_cycle(one: date, other: date) -> None:
    first, last = sorted((one, other))
    same = [cycle for start, cycle in CYCLES if start <= first][-1] == [c for s, c in CYCLES if s <= last][-1]
    if same and is_business_day(first) and is_business_day(last):
        assert settlement_date(first) <= settlement_date(last)


@pytest.mark.parametrize("traded", ["1995-06-06", "2024-05-27", "2024-05-25"])
def test_no_settlement_without_a_session_or_a_known_cycle(traded: str) -> None:
    with pytest.raises(MissingFactError):
        settlement_date(day(traded))


@settings(max_examples=60, deadline=None)
@given(start=days, count=st.integers(1, 20))
def test_counting_back_forth_and_between_agree(start: date, count: int) -> None:
    later = days_after(start, count)
    assert days_between(start, later) == count
    assert is_business_day(later)
    first = days_back(later, count)
    assert days_between(first - timedelta(1), later) == count
    assert first > start


def test_counts_of_nothing_are_refused() -> None:
    for function in (days_after, days_back):
        with pytest.raises(ValueError, match="at least one"):
            function(day("2026-06-15"), 0)
    assert days_between(day("2026-06-15"), day("2026-06-12")) == 0


def deficit(since: str = "", amount: str = "5000") -> dict[str, object]:
    account = {"kind": "margin", "intraday_deficit": amount}
    return asking.document(account=account | ({"intraday_deficit_since": since} if since else {}))


@pytest.mark.parametrize(("since", "expected"), [("2026-06-15", 0), ("2026-06-12", 1), ("2026-06-08", 5)])
def test_the_age_of_a_deficit_in_business_days(since: str, expected: int) -> None:
    assert asking.measured("account.intraday_deficit_days", deficit(since)) == expected


def test_a_deficit_of_unknown_age_is_not_taken_for_a_young_one() -> None:
    with pytest.raises(NotCoveredError, match="intraday_deficit_since"):
        asking.measured("account.intraday_deficit_days", deficit())
    assert asking.measured("account.intraday_deficit_days", deficit(amount="0")) == 0


def test_an_order_settles_by_the_trade_date_of_the_exchange() -> None:
    # 01:00 in Berlin on the 16th is still the 15th in New York.
    snapshot = asking.document(time="2026-06-16T01:00:00+02:00", instruments=[asking.instrument("ACME", "1")])
    assert asking.measured("order.settlement_date", snapshot, [asking.order("buy", "1", "ACME")]) == day("2026-06-16")
