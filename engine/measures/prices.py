"""Which price an order is held against, and how far a price has moved.

In: bid, ask, last trade, settlement, close. Out: the reference price of a collar; the move between two prices.
Guaranteed: exact; the middle of bid and ask is rounded half up to 10⁻⁴, the scale of prices. Refused: MissingFactError
when no price is there at all, so that a rule can refuse the order (`if_missing: fail`) instead of letting it pass.

Source of the order of preference: Trading Technologies, Advanced Pre-Trade Price Controls
(library.tradingtechnologies.com): the preferred price; else the last trade while it lies between bid and ask; else
their middle; with neither bid nor ask known, or only one of them, the first of ask, bid, settlement, close.
Ours, after all of these: the mark, since a firm that values holdings at a price can hold a limit against it.
Before: `reading.py`. After: rules on `instrument.reference_price` and `market.move`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.snapshot import MissingFactError, Projection, Subject


@dataclass(frozen=True, slots=True)
class Prices:
    """What is known of an instrument's price; None for what is not."""

    bid: Fraction | None = None
    ask: Fraction | None = None
    last: Fraction | None = None
    settlement: Fraction | None = None
    close: Fraction | None = None
    preferred: Fraction | None = None
    mark: Fraction | None = None


def reference_of(prices: Prices) -> Fraction | None:
    """The price a limit is held against; None when there is none. A last trade at the bid or ask counts as between."""
    if prices.preferred is not None:
        return prices.preferred
    if prices.bid is not None and prices.ask is not None:
        if prices.last is not None and prices.bid <= prices.last <= prices.ask:
            return prices.last
        return reading.rounded_half_up((prices.bid + prices.ask) / 2)
    fallbacks = (prices.ask, prices.bid, prices.settlement, prices.close, prices.mark)
    return next((price for price in fallbacks if price is not None), None)


def move(start: Fraction, end: Fraction) -> Fraction:
    """The change from one price to a later one as a share of the first, rounded half up to 10⁻⁶ (scale of ratios)."""
    return reading.rounded_half_up(end / start - 1, 6)


_FACTS = {
    "bid": "instrument.bid",
    "ask": "instrument.ask",
    "last": "instrument.last_trade",
    "settlement": "instrument.settlement",
    "close": "instrument.previous_close",
    "preferred": "instrument.preferred_price",
    "mark": "instrument.mark",
}


@measure("instrument.reference_price")
def reference_price(seen: Projection, instrument: Subject) -> Fraction:
    """The price an order's limit is held against. Raises MissingFactError when nothing is known or all is stale."""
    known = {field: reading.number_or_none(seen, instrument, name) for field, name in _FACTS.items()}
    found = reference_of(Prices(**known))
    if found is None:
        raise MissingFactError("instrument.reference_price", instrument.key, "has no price to be taken from")
    return found


@measure("market.move")
def market_move(seen: Projection, instrument: Subject) -> Fraction:
    """The change from the price at the start of the watched window to the last trade, as a share of the former."""
    start = reading.number(seen, instrument, "market.window_start_price")
    return move(start, reading.number(seen, instrument, "instrument.last_trade"))


@measure("market.window")
def market_window(seen: Projection, instrument: Subject) -> Fraction:
    """How long the watched window is, in seconds, rounded half up to 10⁻³: from its start to the last trade."""
    start = reading.moment(seen, instrument, "market.window_start_time")
    end = reading.moment(seen, instrument, "instrument.last_trade_time")
    span = end - start
    return reading.rounded_half_up(Fraction(span.days * 86_400 + span.seconds) + Fraction(span.microseconds, 10**6), 3)
