"""Price bands of the Limit Up-Limit Down Plan: how far from its reference price an NMS stock may trade.

In: the reference price, the close of the previous day, the tier, the leverage ratio, the time in the session, the date.
Out: the lower and the upper band. Guaranteed: exact; rounded half up to 10⁻⁴, the scale of prices, only where the
reference is so fine that the band would be finer. The processors publish bands in cents: where the feed gives
`instrument.luld_lower` and `instrument.luld_upper`, these win. Refused: MissingFactError before the Plan began and
outside the regular session, where there are no bands.

Source: Plan to Address Extraordinary Market Volatility, section V and Appendix A (77 FR 33498; in operation since
2013-04-08); Amendment 18 (83 FR 66464, approved 84 FR 16086; in operation since 2020-02-24, a day that could not be
confirmed in a source at hand on 2026-11-21). The reference price itself
(the mean of trades of five minutes, moved by 1%) is published by the processors and is a given fact.
Before: `reading.py`. After: rules that name the bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.snapshot import MissingFactError, Projection, Subject

HIGH, LOW = Fraction(3), Fraction("0.75")
"""Appendix A: more than 3.00; from 0.75 to 3.00, both included; less than 0.75. Decided by the previous day's close."""
SHARES_OF_REFERENCE = {1: Fraction("0.05"), 2: Fraction("0.10")}
"""Percentage Parameter above 3.00 by tier."""
MIDDLE = Fraction("0.20")
"""Percentage Parameter from 0.75 to 3.00."""
BOTTOM_AMOUNT, BOTTOM_SHARE = Fraction("0.15"), Fraction("0.75")
"""Below 0.75 the lesser of these: dollars, and a share of the reference price."""
OPENING, CLOSING = timedelta(minutes=15), timedelta(minutes=25)
"""The first and the last minutes of the session in which parameters are or were doubled (section V and Appendix A)."""


@dataclass(frozen=True, slots=True)
class Regime:
    """What is doubled from `since`: the opening, and at the close also Tier 2 above 3.00. `cite` is the source."""

    since: date
    opening: bool
    tier_2_above_3: bool
    cite: str


REGIMES = (
    Regime(date(2020, 2, 24), False, False, "LULD Plan Amendment 18, 83 FR 66464"),
    Regime(date(2013, 4, 8), True, True, "LULD Plan, 77 FR 33498"),
)
"""Newest first."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What the band of a stock depends on for a whole day: tier 1 or 2, the previous close, the leverage ratio."""

    tier: int
    previous_close: Fraction
    leverage: Fraction = Fraction(1)


def regime_on(day: date) -> Regime:
    """The version of the Plan in operation. Raises MissingFactError before 2013-04-08."""
    for regime in REGIMES:
        if day >= regime.since:
            return regime
    raise MissingFactError("instrument.luld_lower", "", "did not exist before the Plan began")


def doubled(stock: Stock, now: datetime, opens: datetime, closes: datetime) -> bool:
    """Whether parameters are doubled now: late in the session (also of a short one), before Amendment 18 also early.

    Tier 2 above 3.00 is doubled late only before Amendment 18. Raises MissingFactError outside the session.
    """
    if not opens <= now < closes:
        raise MissingFactError("instrument.luld_lower", "", "does not exist outside the regular session")
    regime = regime_on(now.date())
    if now < opens + OPENING:
        return regime.opening
    wide = stock.tier == 1 or stock.previous_close <= HIGH or regime.tier_2_above_3
    return wide and now >= closes - CLOSING


def width(stock: Stock, reference: Fraction, twice: bool) -> Fraction:
    """How far the bands lie from the reference price, in its currency.

    Doubling makes the amount of 0.15 an amount of 0.30 and the share of 75% one of 150%. The leverage ratio multiplies
    the parameter of a Tier 2 stock that is a leveraged fund (Appendix A, section III).
    """
    factor = (2 if twice else 1) * (stock.leverage if stock.tier == 2 else 1)
    if stock.previous_close > HIGH:
        return SHARES_OF_REFERENCE[stock.tier] * factor * reference
    if stock.previous_close >= LOW:
        return MIDDLE * factor * reference
    return min(BOTTOM_AMOUNT, BOTTOM_SHARE * reference) * factor


def bands(stock: Stock, reference: Fraction, twice: bool) -> tuple[Fraction, Fraction]:
    """The lower and the upper band; the lower one is never below zero."""
    away = width(stock, reference, twice)
    return reading.rounded_half_up(max(Fraction(0), reference - away)), reading.rounded_half_up(reference + away)


def _bands(seen: Projection, instrument: Subject) -> tuple[Fraction, Fraction]:
    stock = Stock(
        int(reading.number(seen, instrument, "instrument.luld_tier")),
        reading.number(seen, instrument, "instrument.previous_close"),
        reading.number(seen, instrument, "instrument.leverage"),
    )
    now, opens, closes = (reading.moment(seen, instrument, n) for n in ("clock.now", "session.open", "session.close"))
    reference = reading.number(seen, instrument, "instrument.luld_reference")
    return bands(stock, reference, doubled(stock, now, opens, closes))


@measure("instrument.luld_lower")
def lower_band(seen: Projection, instrument: Subject) -> Fraction:
    """The lower price band now. Raises MissingFactError outside the session and without tier, close or reference."""
    return _bands(seen, instrument)[0]


@measure("instrument.luld_upper")
def upper_band(seen: Projection, instrument: Subject) -> Fraction:
    """The upper price band now. Raises MissingFactError outside the session and without tier, close or reference."""
    return _bands(seen, instrument)[1]
