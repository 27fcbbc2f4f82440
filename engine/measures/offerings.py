"""From which day a short sale bars from buying in an offering: Regulation M Rule 105.

In: the day on which an offering is priced, and where it is known the day on which its registration statement was first
filed. Out: `instrument.offering_restricted_from`. Guaranteed: exact; business days are those of the exchange. Refused:
MissingFactError without the day of pricing.

Source: 17 CFR 242.105(a): the shorter of the five business days before the pricing, and the time since the initial
filing, each until the pricing (72 FR 45094, in force 2007-10-09). Days count whole here: a short sale on the day of the
pricing counts also after it, which is never looser. Before: `business_days.py`. After: `regulatory/offerings.yaml`.
"""

from __future__ import annotations

from datetime import date

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.measures.business_days import DAY, FIRST, days_back
from lexorder.engine.sessions import YEARS
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

BEFORE_PRICING = 5
"""Business days before the day of the pricing: 242.105(a)(1)."""


def restricted_from(priced: date, filed: date) -> date:
    """The first day of the restricted period: the fifth business day before the pricing, or the filing if later.

    Raises MissingFactError for a pricing on a day of which no session is known, or before the Securities Exchange Act.
    """
    if priced.year not in YEARS or priced < FIRST:
        raise MissingFactError("instrument.offering_priced_on", priced.isoformat(), "is no day of a known session")
    return max(days_back(priced - DAY, BEFORE_PRICING), filed)


@measure("instrument.offering_restricted_from")
def offering_restricted_from(seen: Projection, instrument: Subject) -> Value:
    """The first day on which a short sale counts against a purchase in the offering."""
    priced, filed = (reading.day(seen, instrument, f"instrument.offering_{n}_on") for n in ("priced", "filed"))
    return restricted_from(priced, filed)
