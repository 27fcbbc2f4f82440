"""Day trades: how many an account has made in five business days, by each of the three counting conventions.

In: the account's executions (`fill.*`, with `fill.time` where they are not all of today) and what it holds now. Out:
`account.day_trades` and `account.trades`. Guaranteed: exact; a security held overnight and sold before any purchase
of it today is no day trade, nor is the mirror image (FINRA Rule 4210(f)(8)(B)(i)); once it has been bought today, a
sale is of today's shares first, since the exception is for sales before any new purchase. Executions of one order are
one transaction. Refused: MissingFactError when executions of one day and security are only partly timed: their order
decides.

Conventions (`firm.day_trade_counting`): `opening_transaction` counts the transactions that opened what was closed the
same day (interpretation of 4210(f)(8)(B)(ii) before 2021); `direction_change` counts how often trading turned from
opening to closing (Regulatory Notice 21-13, interpretation /02); `closing_transaction` counts the transactions that
closed what was opened the same day, as some firms do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures.business_days import days_back
from lexorder.engine.measures.reading import signed_quantity, today, word
from lexorder.engine.rule import Facts
from lexorder.engine.sessions import trade_date
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Value

WINDOW = 5
"""Business days over which day trades are counted: FINRA Rule 4210(f)(8)(B)(ii), NASD Rule 2520 since 2001-09-28."""

DIRECTION_CHANGE, OPENING, CLOSING = "direction_change", "opening_transaction", "closing_transaction"


@dataclass(frozen=True, slots=True)
class Execution:
    """Shares bought (positive) or sold (negative) by one order; executions of an order share its name."""

    quantity: Fraction
    order: str


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Shares opened and closed on one day: which order closed them, which opened them, in which run of closing."""

    closed_by: str
    opened_by: str
    run: int
    quantity: Fraction


def round_trips(executions: Iterable[Execution], overnight: Fraction) -> tuple[RoundTrip, ...]:
    """What was opened and closed in one security on one day, in order of closing.

    `overnight` is the signed position held at the start of the day. Today's shares are closed first in, first out.
    """
    position, run, opened_since = overnight, 0, True
    lots: list[tuple[str, Fraction]] = []
    found: list[RoundTrip] = []
    for execution in executions:
        closing = min(abs(execution.quantity), abs(position)) if execution.quantity * position < 0 else Fraction(0)
        if closing:
            run += opened_since
            opened_since = False
            taken, lots = _taken(lots, closing)
            found += [RoundTrip(execution.order, opener, run, shares) for opener, shares in taken]
        opening = abs(execution.quantity) - closing
        if opening:
            lots.append((execution.order, opening))
            opened_since = True
        position += execution.quantity
    return tuple(found)


def _taken(
    lots: Sequence[tuple[str, Fraction]], quantity: Fraction
) -> tuple[list[tuple[str, Fraction]], list[tuple[str, Fraction]]]:
    """The first `quantity` shares of today's lots, and the lots that remain; what is beyond them was held overnight."""
    taken, left = [], []
    for opener, shares in lots:
        used = min(shares, quantity)
        quantity -= used
        if used:
            taken.append((opener, used))
        if shares > used:
            left.append((opener, shares - used))
    return taken, left


def day_trades(executions: Iterable[Execution], overnight: Fraction, convention: str) -> int:
    """Day trades in one security on one day.

    Raises:
        ValueError: for a convention that is none of the three.
    """
    trips = round_trips(executions, overnight)
    if convention == DIRECTION_CHANGE:
        return len({trip.run for trip in trips})
    if convention == OPENING:
        return len({trip.opened_by for trip in trips})
    if convention == CLOSING:
        return len({trip.closed_by for trip in trips})
    raise ValueError(f"{convention} is no way to count day trades")


def by_day(projection: Projection) -> Mapping[tuple[date, str], tuple[Facts, ...]]:
    """The account's fills by trade date and symbol, in order of execution (as listed where no time is given).

    A fill without date and time is of today. Raises MissingFactError when only some of a day and symbol have a time.
    """
    groups: dict[tuple[date, str], list[Facts]] = defaultdict(list)
    for fill in projection.members("fill"):
        groups[fill_day(fill, projection), str(fill["fill.symbol"])].append(fill)
    return {key: _ordered(fills) for key, fills in groups.items()}


def fill_day(fill: Facts, projection: Projection) -> date:
    """The trade date of a fill: as given, else that of its time, else today."""
    given, moment = fill.get("fill.date"), fill.get("fill.time")
    if isinstance(given, date):
        return given
    return trade_date(moment) if isinstance(moment, datetime) else today(projection)


def _ordered(fills: list[Facts]) -> tuple[Facts, ...]:
    times = [moment for f in fills if isinstance(moment := f.get("fill.time"), datetime)]
    if times and len(times) < len(fills):
        raise MissingFactError("fill.time", str(fills[0]["fill.symbol"]), "is given for some executions only")
    return tuple(sorted(fills, key=lambda f: f["fill.time"])) if times else tuple(fills)


def order_of(fill: Facts) -> str:
    """The order a fill belongs to; without one the fill stands for itself."""
    return str(fill.get("fill.order") or fill["fill.id"])


def executions_of(fills: Iterable[Facts]) -> tuple[Execution, ...]:
    """Fills as executions, in their order."""
    return tuple(Execution(signed_quantity(fill, "fill"), order_of(fill)) for fill in fills)


def overnight(projection: Projection, day: date, symbol: str) -> Fraction:
    """The position at the start of a day: what is held now without all that was executed since."""
    now = projection.positions.get(symbol, {}).get("position.before.quantity", Fraction(0))
    later = (f for (d, s), fills in by_day(projection).items() if s == symbol and d >= day for f in fills)
    return Fraction(now) - sum((signed_quantity(fill, "fill") for fill in later), Fraction(0))  # type: ignore[arg-type]


def _recent(projection: Projection) -> Mapping[tuple[date, str], tuple[Facts, ...]]:
    first, last = days_back(today(projection), WINDOW), today(projection)
    return {key: fills for key, fills in by_day(projection).items() if first <= key[0] <= last}


@measure("account.day_trades")
def account_day_trades(projection: Projection, account: Subject) -> Value:
    """Day trades of the account in the five business days that end today, counted by the firm's convention."""
    convention = word(projection, account, "firm.day_trade_counting")
    return Fraction(
        sum(
            day_trades(executions_of(fills), overnight(projection, day, symbol), convention)
            for (day, symbol), fills in _recent(projection).items()
        )
    )


@measure("account.trades")
def account_trades(projection: Projection, _account: Subject) -> Value:
    """All transactions of the account in the five business days that end today; executions of one order are one."""
    return Fraction(len({(key, order_of(f)) for key, fills in _recent(projection).items() for f in fills}))
