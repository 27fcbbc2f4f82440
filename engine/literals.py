"""Written numbers, durations, dates and times to exact values.

In: text. Out: Fractions (durations in seconds), dates, times, aware datetimes; None where the text is not one.
Guaranteed: exact, no float on the way; at most 40 digits, so no text can cost much. Refused: nothing raises
here; callers word the error, because only they know where the text stands. Two ways to write a number: as data
(`told`: digits, a point, a sign in front, `%` for a ratio), and as an author of rules, who may group digits as well
(`value`: `25_000`). Before: nothing. After: `parse.py`, `vocabulary.py`, `rulebook.py`, `examples.py`, `facts.py`.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, date, datetime, time
from fractions import Fraction

from lexorder.engine.terms import Value
from lexorder.engine.units import Kind, Unit

DIGITS_MAX = 40
"""Digits in one number."""

_NUMBER = re.compile(r"(-?)((?:0|[1-9][0-9]*(?:_[0-9]+)*))(?:\.([0-9]+(?:_[0-9]+)*))?(%?)\Z")
_DURATION = re.compile(r"(.*[0-9])[ ]*([A-Za-z]+)\Z", re.DOTALL)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?\Z")

SECONDS: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "day": Fraction(86400),
    "days": Fraction(86400),
}
"""Units of time → seconds. Longer ones have no fixed length and are refused."""


def number(text: str) -> Fraction | None:
    """`25_000`, `-0.5` or `5%` as an exact number; None for anything else (also `1e5`, `007`, `.5`)."""
    if len(text) > 2 * DIGITS_MAX or not (match := _NUMBER.match(text)):
        return None
    sign, whole, decimals, percent = match.groups()
    digits = (whole + (decimals or "")).replace("_", "")
    if len(digits) > DIGITS_MAX:
        return None
    places = len((decimals or "").replace("_", "")) + (2 if percent else 0)
    value = Fraction(int(digits), 10**places)
    return -value if sign else value


def duration(text: str) -> Fraction | None:
    """`15 min`, `2 s`, `1 day` in seconds; None for anything else."""
    match = _DURATION.match(text)
    if not match or match[2] not in SECONDS:
        return None
    amount = number(match[1])
    return None if amount is None else amount * SECONDS[match[2]]


def day(text: str) -> date | None:
    """`2026-06-04`; None when misspelt or not in the calendar."""
    if not _DATE.match(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def time_of_day(text: str) -> time | None:
    """`09:30` or `09:30:15`; None for anything else."""
    if not _TIME.match(text):
        return None
    try:
        return time.fromisoformat(text)
    except ValueError:
        return None


def timestamp(text: str) -> datetime | None:
    """ISO 8601 with an offset, `2026-06-15T12:00:00-04:00`; None without one: a naive time is ambiguous.

    None also in the years 1 and 9999: such a time is in no year at all in other time zones.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo and MINYEAR < moment.year < MAXYEAR else None


def truth(text: str) -> bool | None:
    """`true` or `false`; None for anything else, also `yes` and `1`."""
    return {"true": True, "false": False}.get(text)


def told(text: str, unit: Unit) -> Value | None:
    """The value of a fact as data tells it: as `value` reads it, but `1_000` is none, and `5%` is a ratio alone.

    A duration may be a plain number: seconds, the way they are written out.
    """
    if unit.kind is Kind.NUMBER:
        return None if "_" in text or ("%" in text and not unit.is_ratio) else number(text)
    if unit.kind is Kind.DURATION:
        return None if "_" in text or "%" in text else _first(duration(text), number(text))
    return value(text, unit)


def _first(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    return other if one is None else one


def ungrouped(text: str, unit: Unit | None) -> str:
    """An author's `25_000` as data writes it; any other text, and that of another kind of fact, as it is."""
    if unit is not None and unit.kind not in (Kind.NUMBER, Kind.DURATION):
        return text
    return text if number(text) is None and duration(text) is None else text.replace("_", "")


def value(text: str, unit: Unit) -> Value | None:
    """The value of a fact as an author of rules writes it, by its type; None when it does not fit the type.

    Sets are not read here: they are YAML lists.
    """
    if unit.kind is Kind.ENUM:
        return text if text in unit.values else None
    if unit.kind is Kind.TEXT:
        return text
    reader = _READERS.get(unit.kind)
    return reader(text) if reader else None


_READERS = {
    Kind.NUMBER: number,
    Kind.BOOL: truth,
    Kind.DURATION: duration,
    Kind.TIMESTAMP: timestamp,
    Kind.DATE: day,
    Kind.TIME: time_of_day,
}


def decimal_text(value: Fraction) -> str:
    """A number as an author writes it: `25_000`, `0.125`. The value must have a finite decimal form."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
        assert places <= 2 * DIGITS_MAX, "not a finite decimal"
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    whole = digits[: len(digits) - places]
    sign = "-" if value < 0 else ""
    return f"{sign}{int(whole):_}" + (f".{digits[len(digits) - places :]}" if places else "")
