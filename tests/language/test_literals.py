"""Written values to exact values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine import literals
from lexorder.engine.units import UNITS, Kind, Unit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("7", Fraction(7)),
        ("-7", Fraction(-7)),
        ("25_000", Fraction(25_000)),
        ("1_2_3", Fraction(123)),
        ("0.1", Fraction(1, 10)),
        ("-0.05", Fraction(-1, 20)),
        ("1.000_1", Fraction(10_001, 10_000)),
        ("5%", Fraction(1, 20)),
        ("-2%", Fraction(-1, 50)),
        ("0.01%", Fraction(1, 10_000)),
        ("1" * 40, Fraction(int("1" * 40))),
    ],
)
def test_numbers(text, value):
    assert literals.number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1e5",
        "1E5",
        ".5",
        "5.",
        "007",
        "00",
        "1__0",
        "_1",
        "1_",
        "0x1",
        "1,000",
        "+1",
        "٣",
        "¼",
        "nan",
        "inf",
        "1 ",
        " 1",
        "1\n",
        "5%%",
        "--1",
        "1" * 41,
        "0." + "0" * 50,
    ],
)
def test_no_numbers(text):
    assert literals.number(text) is None


def test_a_huge_exponent_costs_nothing():
    assert literals.number("1e1000000") is None
    assert literals.number("1" * 10_000_000) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_decimal_text_reads_back(value):
    exact = Fraction(value)
    assert literals.number(literals.decimal_text(exact)) == exact


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15 min", 900),
        ("15min", 900),
        ("2 s", 2),
        ("1 day", 86_400),
        ("90 days", 7_776_000),
        ("3 h", 10_800),
        ("0 s", 0),
    ],
)
def test_durations(text, seconds):
    assert literals.duration(text) == seconds


def test_milliseconds():
    assert literals.duration("250 ms") == Fraction(1, 4)
    assert literals.duration("2.001 s") == Fraction(2001, 1000)


@pytest.mark.parametrize("text", ["", "15", "min", "15 minutes", "1 month", "15 min ", "x min", "1e3 s", "15 MIN"])
def test_no_durations(text):
    assert literals.duration(text) is None


def test_dates_and_times():
    assert literals.day("2026-06-04") == date(2026, 6, 4)
    assert literals.time_of_day("09:30") == time(9, 30)
    assert literals.time_of_day("23:59:59") == time(23, 59, 59)
    assert literals.timestamp("2026-06-15T12:00:00+00:00") == datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-6-4", "20260604", "2026-02-30", "2026-06-04 ", "04/06/2026", "２０２６-06-04"])
def test_no_dates(text):
    assert literals.day(text) is None


@pytest.mark.parametrize("text", ["9:30", "24:00", "09:60", "09", "09:30:15.5", "09.30"])
def test_no_times(text):
    assert literals.time_of_day(text) is None


@pytest.mark.parametrize("text", ["0002-01-01T00:00:00+14:00", "9998-12-31T23:59:59-14:00"])
def test_a_timestamp_is_a_time_everywhere(text):
    moment = literals.timestamp(text)
    assert moment is not None
    everywhere = [moment.astimezone(timezone(timedelta(hours=hours))) for hours in (-23, 0, 23)]
    assert all(there == moment for there in everywhere), "and none of them is beyond the calendar"


@pytest.mark.parametrize("text", ["0001-12-31T00:00:00+14:00", "9999-01-01T00:00:00-14:00", "9999-12-31T23:59:59Z"])
def test_a_timestamp_that_is_none_somewhere_is_none(text):
    assert literals.timestamp(text) is None


@pytest.mark.parametrize("text", ["2026-06-15T12:00:00", "noon", "2026-06-15"])
def test_a_timestamp_without_offset_is_ambiguous(text):
    assert literals.timestamp(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("yes", None), ("True", None), ("1", None)]
)
def test_truth(text, value):
    assert literals.truth(text) is value


def test_values_by_type():
    side = Unit(Kind.ENUM, values=("buy", "sell"))
    assert literals.value("buy", side) == "buy"
    assert literals.value("Buy", side) is None
    assert literals.value("anything", UNITS["text"]) == "anything"
    assert literals.value("5%", UNITS["ratio"]) == Fraction(1, 20)
    assert literals.value("x", UNITS["set"]) is None
    assert literals.value("true", UNITS["bool"]) is True


# ---- as data tells it, and as an author writes it --------------------------------------------------------------------


@pytest.mark.parametrize("text", ["15 min", "15min", "15  min", "0 s", "900", "0", "0.25"])
def test_a_duration_in_data_has_its_unit_or_is_seconds(text):
    assert literals.told(text, UNITS["duration"]) in {0, 900, Fraction(1, 4)}


@pytest.mark.parametrize(
    "text", ["1_5 min", "5%", "15\tmin", "15\nmin", "15\u00a0min", "15 minutes", "+15 s", ".5 s", "1e3"]
)
def test_other_durations_are_none(text):
    assert literals.told(text, UNITS["duration"]) is None


@pytest.mark.parametrize("text", ["1_000", "-1_000.5", "1.000_1", "1_000%", "1_000 s"])
def test_only_an_author_groups_digits(text):
    for unit in (UNITS["ratio"], UNITS["duration"]):
        assert literals.told(text, unit) is None
        written = literals.ungrouped(text, unit)
        assert "_" not in written
        assert literals.value(written, unit) == literals.value(text, unit)


@pytest.mark.parametrize("text", ["_1", "1_", "1__0", "A_1", "1_000 shares", "2026-06-04", ""])
def test_what_is_no_number_stays_as_it_is(text):
    assert literals.ungrouped(text, UNITS["shares"]) == text


@pytest.mark.parametrize("unit", ["text", "date", "bool", "set"])
def test_a_text_that_looks_like_a_number_stays_as_it_is(unit):
    assert literals.ungrouped("1_000", UNITS[unit]) == "1_000"


def test_texts_and_dates_are_told_as_they_are_written():
    assert literals.told("1_000", UNITS["text"]) == "1_000"
    assert literals.told("2026-06-04", UNITS["date"]) == date(2026, 6, 4)
    assert literals.told("true", UNITS["bool"]) is True
