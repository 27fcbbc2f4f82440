"""Exchange time: what the clock and session facts of a decision are.

In: the instant of a snapshot. Out: `clock.*` and `session.*` facts in the exchange's timezone. Guaranteed: a pure
function of the instant and the calendar (no clock is read); on a day without a session the session facts are
absent, so rules that read them are undecided. Source: the exchange_calendars package, calendar XNYS. Before:
nothing. After: `facts.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

from lexorder.engine.terms import Value

EXCHANGE = "XNYS"
ZONE = ZoneInfo("America/New_York")
YEARS = range(1900, 2200)
"""Years with a calendar; of any other no session is known, and rules that ask for one are undecided."""

SPAN = 50
"""Years of one calendar: to make it takes as long for fifty years as for one."""


def session_facts(moment: datetime, exchange: str = EXCHANGE) -> dict[str, Value]:
    """Clock and session facts at `moment` (aware) for the exchange's trade date of that instant."""
    local = moment.astimezone(ZONE)
    facts: dict[str, Value] = {
        "clock.now": local,
        "clock.date": local.date(),
        "clock.time": local.time().replace(tzinfo=None),
    }
    hours = session_hours(local.date(), exchange)
    if hours is not None:
        facts |= {"session.open": hours[0], "session.close": hours[1]}
    return facts


def trade_date(moment: datetime) -> date:
    """The day an execution at `moment` (aware) counts for: its date at the exchange, extended hours included."""
    return moment.astimezone(ZONE).date()


@cache
def session_hours(day: date, exchange: str = EXCHANGE) -> tuple[datetime, datetime] | None:
    """Opening and close of the regular session on `day` in the exchange's timezone, None where none is known."""
    if day.year not in YEARS:
        return None
    calendar = _calendar(exchange, day.year // SPAN)
    if not calendar.is_session(day.isoformat()):
        return None
    opening = calendar.session_open(day.isoformat()).to_pydatetime().astimezone(ZONE)
    closing = calendar.session_close(day.isoformat()).to_pydatetime().astimezone(ZONE)
    return opening, closing


def sessions_after(start: date, end: date, exchange: str = EXCHANGE) -> int:
    """How many sessions there are after `start` up to and including `end`; 0 when `end` is not after `start`."""
    if end <= start:
        return 0
    spans = (_days(exchange, span) for span in range(start.year // SPAN, end.year // SPAN + 1))
    return sum(bisect_right(days, end) - bisect_right(days, start) for days in spans)


@cache
def _days(exchange: str, span: int) -> tuple[date, ...]:
    """All sessions of a span of years."""
    return tuple(day for day in _calendar(exchange, span).sessions.date if day.year // SPAN == span)


@cache
def _calendar(exchange: str, span: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    # Imported here: it loads pandas, which a check without session facts never needs.
    import exchange_calendars

    # A calendar knows no days outside its first and last session, and the first days of a year may have none.
    first, last = span * SPAN - 1, (span + 1) * SPAN
    return exchange_calendars.get_calendar(exchange, start=f"{first}-12-01", end=f"{last}-01-31")
