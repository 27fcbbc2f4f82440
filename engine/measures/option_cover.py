"""How many shares stand under short calls that nothing covers, whatever fills.

In: holdings, working orders and the orders under test of an account; right, strike, expiry and multiplier of its calls.
Out: `account.uncovered_calls` with the orders under test and `account.uncovered_calls_before` without them, in shares.
Guaranteed: exact; the state looked at is the worst one, in which every open sale has filled and no purchase has, since
each of them can only cover more. Shares, and funds, of the underlying cover any call on it. A long call covers a short
one of the same underlying when its strike is not above the short's and its expiry not before it: then exercising the
long delivers what the short owes, at no higher price. A credit spread, whose long strike is above the short's, can lose
the difference of the strikes and is not called covered here. Refused: MissingFactError when long calls are needed as
cover and a strike or an expiry is absent.

Sources: FINRA Rule 4210(f)(2)(H) (covered calls and spreads; Regulatory Notice 12-44), by which nothing is required
for the short call of such a spread. Before: `reading.py`. After: rules on the names above.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, Projection, Subject

NONE = Fraction(0)
SHARES = ("security", "fund")


@dataclass(frozen=True, slots=True)
class Call:
    """Calls of one series: the shares they are about (above 0), their strike and their last day."""

    shares: Fraction
    strike: Fraction
    expiry: date


def not_covered(short: Iterable[Call], long: Iterable[Call]) -> Fraction:
    """Shares under short calls that long calls cannot cover, paired as well as can be.

    Short calls are served from the lowest strike up, which has the fewest long calls to choose from; each takes the
    long call that expires soonest of those that last long enough, and leaves the others to calls that need them.
    """
    lots = sorted(long, key=lambda c: c.expiry)
    free, left = [lot.shares for lot in lots], NONE
    for call in sorted(short, key=lambda c: c.strike):
        needed = call.shares
        for place, lot in enumerate(lots):
            if lot.strike <= call.strike and lot.expiry >= call.expiry:
                taken = min(needed, free[place])
                free[place] -= taken
                needed -= taken
        left += needed
    return left


def _after_sales(seen: Projection, orders: Iterable[Facts]) -> dict[str, Fraction]:
    """What is held of each symbol once every open sale has filled and no purchase has."""
    now = dict(reading.holdings(seen))
    listed = [*(("order", o) for o in orders), *(("working_order", w) for w in seen.working)]
    for collection, order in listed:
        if order[f"{collection}.side"] != BUY:
            symbol = str(order[f"{collection}.symbol"])
            now[symbol] = now.get(symbol, NONE) + reading.signed_quantity(order, collection)
    return now


def _uncovered(seen: Projection, orders: Iterable[Facts]) -> Fraction:
    by_underlying: dict[str, list[tuple[Subject, Fraction]]] = defaultdict(list)
    for symbol, quantity in _after_sales(seen, orders).items():
        instrument = reading.instrument_of(seen, symbol)
        by_underlying[_about(instrument)].append((instrument, quantity))
    return sum((_uncovered_of(seen, held) for held in by_underlying.values()), NONE)


def _about(instrument: Subject) -> str:
    """The underlying; an instrument without one is about itself."""
    return str(instrument.facts.get("instrument.underlying", instrument.key))


def _uncovered_of(seen: Projection, held: list[tuple[Subject, Fraction]]) -> Fraction:
    """Of one underlying: short calls less shares, then less what long calls cover of the rest."""
    calls = [(i, q) for i, q in held if _is_call(seen, i)]
    short = [(i, -q) for i, q in calls if q < 0]
    if not short:
        return NONE
    shares = max(NONE, sum((q for i, q in held if reading.word(seen, i, "instrument.kind") in SHARES), NONE))
    long = [(i, q) for i, q in calls if q > 0]
    owed = sum((q * reading.number(seen, i, "instrument.multiplier") for i, q in short), NONE)
    if not long or owed <= shares:
        return max(NONE, owed - shares)
    return max(NONE, not_covered(_series(seen, short), _series(seen, long)) - shares)


def _is_call(seen: Projection, instrument: Subject) -> bool:
    if reading.word(seen, instrument, "instrument.kind") != "option":
        return False
    return reading.word(seen, instrument, "instrument.right") == "call"


def _series(seen: Projection, calls: Iterable[tuple[Subject, Fraction]]) -> Iterator[Call]:
    for instrument, quantity in calls:
        multiplier, strike = (reading.number(seen, instrument, f"instrument.{n}") for n in ("multiplier", "strike"))
        yield Call(quantity * multiplier, strike, reading.day(seen, instrument, "instrument.expiry"))


@measure("account.uncovered_calls")
def uncovered_calls(seen: Projection, _account: Subject) -> Fraction:
    """Shares under short calls that nothing covers, in the worst state that open orders can reach."""
    return _uncovered(seen, seen.orders)


@measure("account.uncovered_calls_before")
def uncovered_calls_before(seen: Projection, _account: Subject) -> Fraction:
    """The same without the orders under test."""
    return _uncovered(seen, ())
