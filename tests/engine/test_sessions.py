"""Exchange hours at the edges of a year."""

from __future__ import annotations

from datetime import date

import pytest

from lexorder.engine.sessions import session_hours


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
