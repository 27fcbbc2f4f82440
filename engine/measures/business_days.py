"""Business days of an exchange: counting them, and the days on which United States securities settle.

In: dates. Out: dates and counts. Guaranteed: a pure function of the date and the exchange's calendar (the package
exchange_calendars, XNYS by default); an early close is a business day, a holiday is not. Settlement skips two more
days, on which the exchange trades and banks do not: Columbus Day and Veterans Day (Federal Reserve holiday schedule;
a Veterans Day on a Sunday is kept on Monday, one on a Saturday is not moved). Refused: MissingFactError for trades on
days without a session or before the first settlement cycle known here. Before: `sessions.py`. After: measures that
count days.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.sessions import EXCHANGE, session_hours, sessions_after
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

DAY = timedelta(days=1)
FIRST = date(1934, 6, 6)
"""No margin deficit is older than the Securities Exchange Act."""

CYCLES: tuple[tuple[date, int], ...] = (
    (date(1995, 6, 7), 3),
    (date(2017, 9, 5), 2),
    (date(2024, 5, 28), 1),
)
"""Business days from trade to settlement by first trade date, 17 CFR 240.15c6-1(a): SEC Releases 34-33023 (T+3, 1993),
34-80295 (T+2, 2017) and 34-96930 (T+1, 88 FR 13872, 2023)."""


def is_business_day(day: date, exchange: str = EXCHANGE) -> bool:
    """Whether the exchange has a session on `day`, early close or not."""
    return session_hours(day, exchange) is not None


def days_back(day: date, count: int, exchange: str = EXCHANGE) -> date:
    """The first of the `count` (at least 1) business days that end with `day`, or with the last one before it."""
    if count < 1:
        raise ValueError("count at least one business day")
    while True:
        count -= is_business_day(day, exchange)
        if count == 0:
            return day
        day -= DAY


def days_between(start: date, end: date, exchange: str = EXCHANGE) -> int:
    """Business days after `start` up to and including `end`; 0 when `end` is not after `start`."""
    return sessions_after(start, end, exchange)


def days_after(day: date, count: int, exchange: str = EXCHANGE) -> date:
    """The `count`-th (at least 1) business day after `day`, which is not counted itself."""
    if count < 1:
        raise ValueError("count at least one business day")
    while count:
        day += DAY
        count -= is_business_day(day, exchange)
    return day


def is_settlement_day(day: date) -> bool:
    """Whether United States securities settle on `day`: a session of the New York Stock Exchange, and banks open."""
    return is_business_day(day) and not (_columbus_day(day) or _veterans_day(day))


def _columbus_day(day: date) -> bool:
    """The second Monday of October."""
    return day.month == 10 and day.weekday() == 0 and 8 <= day.day <= 14


def _veterans_day(day: date) -> bool:
    """11 November, or the Monday after it where it is a Sunday."""
    return day.month == 11 and (day.day == 11 or (day.day == 12 and day.weekday() == 0))


def settlement_date(traded: date) -> date:
    """When a regular-way trade in a United States security settles, by the cycle in force on its trade date.

    Raises:
        MissingFactError: when nothing trades on that day, or it is before 1995-06-07, the first cycle known here.
    """
    if not is_business_day(traded):
        raise MissingFactError("clock.date", traded.isoformat(), "has no session")
    place = bisect_right([start for start, _ in CYCLES], traded)
    if place == 0:
        raise MissingFactError("the settlement cycle", traded.isoformat())
    remaining, day = CYCLES[place - 1][1], traded
    while remaining:
        day += DAY
        remaining -= is_settlement_day(day)
    return day


@measure("order.settlement_date")
def order_settlement_date(projection: Projection, _order: Subject) -> Value:
    """When the order settles if it fills on the trade date of the decision."""
    return settlement_date(reading.today(projection))


@measure("account.intraday_deficit_days")
def intraday_deficit_days(projection: Projection, account: Subject) -> Value:
    """Business days since the oldest unmet intraday margin deficit arose, that day not counted; 0 without a deficit.

    FINRA Rule 4210(d)(2): the fifth and the fifteenth of them matter. Raises MissingFactError for a deficit of no date,
    or of one for which no calendar was made.
    """
    if reading.number(projection, account, "account.intraday_deficit") == 0:
        return Fraction(0)
    since = reading.day(projection, account, "account.intraday_deficit_since")
    if since < FIRST:
        raise MissingFactError("account.intraday_deficit_since", account.key, f"is before {FIRST.isoformat()}")
    return Fraction(days_between(since, reading.today(projection)))
