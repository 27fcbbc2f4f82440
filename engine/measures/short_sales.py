"""Regulation SHO: when the short sale circuit breaker of Rule 201 holds, and by when Rule 204 closes out a fail.

In: the previous close, the last trade and when it was reported, the days of earlier triggers; the settlement date of a
fail to deliver. Out: whether the circuit breaker is triggered now, whether short sales are restricted today, and the
instant by which the fail must be closed out. Guaranteed: exact; days are those of the exchange's
calendar. Refused: MissingFactError where a fact is absent.

Source: 17 CFR 242.201(b)(1): a decrease of 10% or more from the listing market's closing price of the prior day, then
for the rest of that day and the next trading day; 75 FR 11232, 11253 and note 290; FAQ 2.1 to 2.4 of the SEC staff: the
trigger is a trade reported in regular hours, not a quote; the restriction then also holds outside regular hours. 17 CFR
242.204(a): a fail is closed out by the beginning of regular trading hours on the settlement day after the settlement
date, one that comes of a long sale or of bona fide market making on the third (74 FR 38266). The 35 days of 204(a)(2)
for securities deemed to be owned are given as `instrument.close_out_due`.
Before: `reading.py`, `sessions.py`. After: rules on `instrument.short_sale_restricted`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction

from lexorder.engine import literals
from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.measures.business_days import is_settlement_day
from lexorder.engine.sessions import YEARS, session_hours
from lexorder.engine.snapshot import MissingFactError, Projection, Subject

DECREASE = Fraction("0.10")
"""Rule 201(b)(1)(i), compliance date 2011-02-28."""
CLOSE_OUT, CLOSE_OUT_LATER = 1, 3
"""Settlement days after the settlement date: Rule 204(a), and 204(a)(1) and (3); in force 2009-07-31."""
FARTHEST = 14
"""Days looked ahead for the next session; no closure of an exchange has been longer since 1914."""


def triggers(previous_close: Fraction, trade: Fraction) -> bool:
    """Whether a trade reported in regular hours triggers the restriction: 10% or more below the previous close."""
    return trade <= previous_close * (1 - DECREASE)


def next_session(day: date) -> date:
    """The next trading day after `day`. Raises MissingFactError when there is none within 14 days."""
    for ahead in range(1, FARTHEST + 1):
        if session_hours(day + timedelta(days=ahead)) is not None:
            return day + timedelta(days=ahead)
    raise MissingFactError("session.open", "", "is not known for the days after the trigger")


def restricted_on(day: date, triggered: Iterable[date]) -> bool:
    """Whether the restriction holds on `day`: triggered that day, or on the trading day before it."""
    return any(day in (trigger, next_session(trigger)) for trigger in triggered)


def _triggered_now(seen: Projection, instrument: Subject) -> bool:
    opens, closes = (reading.moment(seen, instrument, n) for n in ("session.open", "session.close"))
    reported = instrument.facts.get("instrument.last_trade_time", reading.moment(seen, instrument, "clock.now"))
    if not isinstance(reported, datetime):
        raise MissingFactError("instrument.last_trade_time", instrument.key, "is not a timestamp")
    close, trade = (reading.number(seen, instrument, f"instrument.{n}") for n in ("previous_close", "last_trade"))
    return opens <= reported < closes and triggers(close, trade)


def _earlier(instrument: Subject) -> Iterable[date]:
    given = instrument.facts.get("instrument.short_sale_trigger_days", frozenset())
    days = tuple(literals.day(str(each)) for each in given) if isinstance(given, frozenset) else (None,)
    if None in days:
        raise MissingFactError("instrument.short_sale_trigger_days", instrument.key, "is not a set of dates")
    return tuple(day for day in days if day is not None)


def close_out(failed: date, later: bool) -> datetime:
    """The beginning of regular trading hours by which a fail of this settlement date must be closed out.

    `later` is one of a long sale or of bona fide market making. Raises MissingFactError where no session is known.
    """
    if failed.year not in YEARS:
        raise MissingFactError("instrument.fail_since", failed.isoformat(), "is no day of a known session")
    left, day = CLOSE_OUT_LATER if later else CLOSE_OUT, failed
    for _ in range(FARTHEST):
        day += timedelta(days=1)
        left -= is_settlement_day(day)
        hours = session_hours(day)
        if not left and hours is not None:
            return hours[0]
    raise MissingFactError("session.open", "", "is not known for the days after the fail")


@measure("instrument.close_out_due")
def close_out_due(seen: Projection, instrument: Subject) -> datetime:
    """By when the open fail to deliver must be closed out. Raises MissingFactError for a fail of no date."""
    later = reading.fact(seen, instrument, "instrument.fail_of_long_sale")
    return close_out(reading.day(seen, instrument, "instrument.fail_since"), bool(later))


@measure("instrument.short_sale_triggered")
def short_sale_triggered(seen: Projection, instrument: Subject) -> bool:
    """Whether the last trade, reported in regular hours today, triggers the restriction. A quote never does."""
    return _triggered_now(seen, instrument)


@measure("instrument.short_sale_restricted")
def short_sale_restricted(seen: Projection, instrument: Subject) -> bool:
    """Whether the price test holds now: by a trigger day given, or by the last trade.

    Raises MissingFactError when neither trigger days nor the last trade and the previous close are given.
    """
    today = reading.day(seen, instrument, "clock.date")
    if restricted_on(today, _earlier(instrument)):
        return True
    try:
        return _triggered_now(seen, instrument)
    except MissingFactError:
        if "instrument.short_sale_trigger_days" in instrument.facts:
            return False
        raise
