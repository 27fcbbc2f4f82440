"""Market-wide circuit breakers: at which index level trading stops everywhere, and for how long.

In: the previous close of the S&P 500, the lowest value today or the level reached and when, when levels 1 and 2 first
stopped trading today, the close of the session. Out: the three levels in index points, the level reached, what it
means, and whether trading is stopped now. Guaranteed: exact; levels are cut to cents, as they are published (5,346.56
less 13% is 4,651.5072, published 4,651.50). Refused: MissingFactError where a fact is absent.

Source: NYSE Rule 7.12 and its equals at every exchange (SR-NYSE-2011-48, 77 FR 33531; in operation since 2013-04-08,
78 FR 8646). A decline of level 1 or 2 stops trading for 15 minutes, once a day: after a halt of a level only a higher
one stops it again, so that a halt already made must be known (`session.level_1_time`, `session.level_2_time`). From
15:25 on, or 35 minutes before an early close, neither does: investor.gov and the exchanges' own questions and answers
say "at or after 3:25"; the rule's words can be read to admit the instant of 15:25:00 itself. Level 3 stops trading for
the rest of the day whenever it is reached.
Before: `reading.py`. After: rules on `session.market_wide_halt`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.snapshot import MissingFactError, Projection, Subject

DECLINES = {1: Fraction("0.07"), 2: Fraction("0.13"), 3: Fraction("0.20")}
"""Decline from the previous close by level, since 2013-04-08 (NYSE Rule 7.12(a))."""
LAST_LEVEL = 3
HALT, NO_LONGER = timedelta(minutes=15), timedelta(minutes=35)
"""How long levels 1 and 2 stop trading; how long before the close they no longer do (15:25, or 12:25 of 13:00)."""
Halts = Iterable[tuple[int, datetime]]
"""Levels that have stopped trading today, each with the instant."""
NONE, PAUSE, CLOSED = "NONE", "HALT_15_MIN", "HALT_REST_OF_DAY"


def level_value(previous_close: Fraction, level: int) -> Fraction:
    """The index value of a level (1 to 3), cut to cents. Raises KeyError for another level."""
    return Fraction(floor(previous_close * (1 - DECLINES[level]) * 100), 100)


def level_reached(previous_close: Fraction, lowest: Fraction) -> int:
    """The highest level whose value the index has fallen to; 0 for none. Exactly at a level, it is reached."""
    return max((level for level in DECLINES if lowest <= level_value(previous_close, level)), default=0)


def action(level: int, reached: datetime, closes: datetime, halts: Halts = ()) -> str:
    """What reaching a level at an instant of the session does: NONE, HALT_15_MIN or HALT_REST_OF_DAY.

    `halts` are those of today by level and time: after one, levels 1 and 2 stop trading only where they are higher.
    """
    if level >= LAST_LEVEL:
        return CLOSED
    spent = any(halted >= level and since < reached for halted, since in halts)
    return PAUSE if level and not spent and reached < closes - NO_LONGER else NONE


def stopped(what: str, reached: datetime, now: datetime) -> bool:
    """Whether that action stops trading now; trading may resume exactly 15 minutes after it stopped."""
    return what == CLOSED or (what == PAUSE and now < reached + HALT)


def _level(seen: Projection, subject: Subject) -> int:
    given = seen.snapshot.single.get("session.decline_level")
    if isinstance(given, Fraction):
        return int(given)
    close, lowest = (reading.number(seen, subject, f"session.index_{n}") for n in ("previous_close", "low"))
    return level_reached(close, lowest)


def _halts(seen: Projection) -> tuple[tuple[int, datetime], ...]:
    times = {level: seen.snapshot.single.get(f"session.level_{level}_time") for level in (1, 2)}
    return tuple((level, at) for level, at in times.items() if isinstance(at, datetime))


def _action(seen: Projection, subject: Subject) -> tuple[str, datetime]:
    level = _level(seen, subject)
    now = reading.moment(seen, subject, "clock.now")
    if not level:
        return NONE, now
    reached = seen.snapshot.single.get("session.decline_time", now)
    if not isinstance(reached, datetime):
        raise MissingFactError("session.decline_time", "", "is not a timestamp")
    return action(level, reached, reading.moment(seen, subject, "session.close"), _halts(seen)), reached


def _measured_level(level: int) -> None:
    @measure(f"session.decline_level_{level}")
    def value(seen: Projection, session: Subject) -> Fraction:
        return level_value(reading.number(seen, session, "session.index_previous_close"), level)


for _each in DECLINES:
    _measured_level(_each)


@measure("session.decline_level")
def decline_level(seen: Projection, session: Subject) -> Fraction:
    """The level reached today, 0 for none. Raises MissingFactError without the index's previous close and low."""
    return Fraction(_level(seen, session))


@measure("session.decline_action")
def decline_action(seen: Projection, session: Subject) -> str:
    """What the level reached does: NONE, HALT_15_MIN, HALT_REST_OF_DAY. Without a time it was reached just now."""
    return _action(seen, session)[0]


@measure("session.market_wide_halt")
def market_wide_halt(seen: Projection, session: Subject) -> bool:
    """Whether a market-wide circuit breaker stops trading now: by the level reached, or by a halt that still runs."""
    now = reading.moment(seen, session, "clock.now")
    if any(stopped(PAUSE, since, now) for _, since in _halts(seen)):
        return True
    what, reached = _action(seen, session)
    return stopped(what, reached, now)
