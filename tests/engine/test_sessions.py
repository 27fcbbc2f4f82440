"""Exchange hours at the edges of a year."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from lexorder.engine.sessions import session_facts, session_hours, sessions_after


@pytest.mark.parametrize(
    "day", [date(2005, 1, 1), date(2005, 1, 2), date(2026, 1, 1), date(2027, 1, 1), date(2028, 1, 2)]
)
def test_days_before_the_first_session_of_a_year_have_none(day: date) -> None:
    assert session_hours(day) is None


@pytest.mark.parametrize("day", [date(2005, 12, 31), date(2022, 12, 31), date(2023, 12, 31)])
def test_days_after_the_last_session_of_a_year_have_none(day: date) -> None:
    assert session_hours(day) is None


@pytest.mark.parametrize("day", [date(2005, 1, 3), date(2026, 12, 31), date(2026, 1, 2)])
def test_the_first_and_the_last_session_of_a_year_have_hours(day: date) -> None:
    hours = session_hours(day)
    assert hours is not None
    assert (hours[0].hour, hours[0].minute, hours[1].hour) == (9, 30, 16)


def test_an_early_close() -> None:
    hours = session_hours(date(2026, 11, 27))
    assert hours is not None
    assert hours[1].hour == 13


# ---- counting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2026, 6, 12), date(2026, 6, 15)),
        (date(2026, 6, 15), date(2026, 6, 15)),
        (date(2026, 6, 15), date(2026, 6, 12)),
        (date(2025, 12, 30), date(2026, 1, 3)),
        (date(1999, 11, 1), date(2000, 2, 1)),
        (date(2049, 12, 1), date(2050, 1, 31)),
        (date(2001, 9, 1), date(2001, 9, 30)),
    ],
)
def test_sessions_are_counted_as_one_by_one_also_across_calendars(start: date, end: date) -> None:
    """Calendars are made for fifty years at a time; 2001-09 has four days without a session in a row."""
    days = (start + timedelta(days=n) for n in range(1, (end - start).days + 1))
    assert sessions_after(start, end) == sum(session_hours(day) is not None for day in days)


@pytest.mark.parametrize(
    ("year", "sessions"),
    [(2001, 248), (2018, 251), (2019, 252), (2020, 253), (2021, 252), (2022, 251), (2023, 250), (2024, 252)],
)
def test_a_year_has_the_sessions_new_york_had(year: int, sessions: int) -> None:
    """As the exchange reports them; not one day is asked for by itself, however long the time is."""
    before = session_hours.cache_info().currsize
    assert sessions_after(date(year - 1, 12, 31), date(year, 12, 31)) == sessions
    assert session_hours.cache_info().currsize == before


@pytest.mark.parametrize("year", [2, 1000, 1899, 2200, 2261, 2262, 2300, 9998])
def test_a_year_without_a_calendar_has_a_date_and_no_session(year: int) -> None:
    facts = session_facts(datetime(year, 6, 15, 16, tzinfo=UTC))
    assert facts["clock.date"] == date(year, 6, 15)
    assert "session.open" not in facts


@pytest.mark.parametrize("day", [date(1900, 1, 2), date(2199, 12, 31)])
def test_the_first_and_the_last_year_with_one(day: date) -> None:
    assert session_facts(datetime(day.year, day.month, day.day, 17, tzinfo=UTC))["clock.date"] == day
    assert session_hours(day) is not None
