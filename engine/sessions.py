"""Exchange time: what the clock and session facts of a decision are.

In: the instant of a snapshot. Out: `clock.*` and `session.*` facts in the exchange's timezone. Guaranteed: a pure
function of the instant and the calendar (no clock is read); on a day without a session the session facts are
absent, so rules that read them are undecided. Source: the exchange_calendars package, calendar XNYS. Before:
nothing. After: `facts.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

from lexorder.engine.terms import Value

EXCHANGE = "XNYS"
ZONE = ZoneInfo("America/New_York")


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
    """Opening and close of the regular session on `day` in the exchange's timezone, None when there is none."""
    calendar = _calendar(exchange, day.year)
    if not calendar.is_session(day.isoformat()):
        return None
    opening = calendar.session_open(day.isoformat()).to_pydatetime().astimezone(ZONE)
    closing = calendar.session_close(day.isoformat()).to_pydatetime().astimezone(ZONE)
    return opening, closing


@cache
def _calendar(exchange: str, year: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    # Imported here: it loads pandas, which a check without session facts never needs.
    import exchange_calendars

    # A calendar knows no days outside its first and last session, and the first days of a year may have none.
    return exchange_calendars.get_calendar(exchange, start=f"{year - 1}-12-01", end=f"{year + 1}-01-31")
