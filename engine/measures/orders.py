"""What a single order is, where a rule should name it and not spell it out: whole steps, repetition, crossing its own.

In: an order, its instrument, the working orders and the other orders under test. Out: whether price and quantity are
whole steps, how many identical orders came before, whether it could trade with an order of the same beneficial owner.
Guaranteed: exact. Refused: nothing beyond a fact that is missing.

Sources: SEC Rule 15c3-5(c)(1)(ii), 17 CFR 240.15c3-5 (duplicate orders); FINRA Rule 5210.02, Regulation (EU) 596/2014
article 12(1)(a) (orders on both sides of one beneficial owner). Steps: the instrument's own specification, and for NMS
stocks Regulation NMS Rule 612, 17 CFR 242.612.
Before: `reading.py`. After: rules on the names below.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.records import Worked
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, Projection, Subject

PRICED = ("limit", "stop_limit")
"""Order types that have a limit price."""

PENNIES_FROM, FINE_STEP = Fraction(1), Fraction("0.0001")
"""Regulation NMS Rule 612: below this price orders are priced in this step; from it on in `minimum_increment`."""


def whole_steps(value: Fraction, step: Fraction) -> bool:
    """Whether `value` is a multiple of `step` (above 0). Zero and negative values are too, when they are whole."""
    return (value / step).denominator == 1


def crosses(side: str, limit: Fraction | None, other_side: str, other_limit: Fraction | None) -> bool:
    """Whether two orders in one instrument could trade with each other; None is an order without a limit price."""
    if (side == BUY) == (other_side == BUY):
        return False
    if limit is None or other_limit is None:
        return True
    return limit >= other_limit if side == BUY else other_limit >= limit


def _limit(order: Facts) -> Fraction | None:
    price = order.get("order.price")
    return price if order.get("order.ord_type") in PRICED and isinstance(price, Fraction) else None


@measure("order.on_tick")
def on_tick(seen: Projection, order: Subject) -> bool:
    """Whether limit and stop price are multiples of the instrument's tick; true for an order without either."""
    tick = reading.number(seen, order, "instrument.tick")
    prices = (order.facts.get(name) for name in ("order.price", "order.stop_price"))
    return all(whole_steps(price, tick) for price in prices if isinstance(price, Fraction))


@measure("order.on_increment")
def on_increment(seen: Projection, order: Subject) -> bool:
    """Whether the limit price is a whole number of the steps of Rule 612; true for an order without a limit price."""
    price = _limit(order.facts)
    if price is None:
        return True
    step = reading.number(seen, order, "instrument.minimum_increment")
    return whole_steps(price, step if price >= PENNIES_FROM else FINE_STEP)


@measure("order.on_lot")
def on_lot(seen: Projection, order: Subject) -> bool:
    """Whether the quantity is a multiple of the instrument's lot."""
    return whole_steps(reading.number(seen, order, "order.quantity"), reading.number(seen, order, "instrument.lot"))


@measure("order.identical")
def identical(seen: Projection, order: Subject) -> Fraction:
    """How many orders of the account like this one came before it: working ones, and those ahead of it in this list.

    Alike are symbol, side, quantity and limit price. The OMS may give its own count over a longer window.
    """
    mine = _likeness(order.facts)
    ahead: list[Facts] = []
    for other in seen.orders:
        if other["order.id"] == order.key:
            break
        ahead.append(other)
    return Fraction(sum(_likeness(o) == mine for o in ahead) + sum(_like(w, mine) for w in seen.working))


def _likeness(order: Facts) -> tuple[object, ...]:
    return (order["order.symbol"], order["order.side"], order["order.quantity"], _limit(order))


def _like(working: Facts, mine: tuple[object, ...]) -> bool:
    named = tuple(working[f"working_order.{n}"] for n in ("symbol", "side", "quantity"))
    return named == mine[:3] and (mine[3] is None or working.get("working_order.price") == mine[3])


@measure("order.crosses_own")
def crosses_own(seen: Projection, order: Subject) -> bool:
    """Whether the order could trade with a working order, or another order under test, of the same beneficial owner.

    The owner of an account that names none is the account itself. A stop order has no limit before it is triggered.
    """
    side, limit, symbol = str(order.facts["order.side"]), _limit(order.facts), order.facts["order.symbol"]
    return any(crosses(side, limit, *other) for other in _own_orders(seen, order, symbol))


def _own_orders(seen: Projection, order: Subject, symbol: object) -> Iterator[tuple[str, Fraction | None]]:
    for other in seen.orders:
        if other["order.id"] != order.key and other["order.symbol"] == symbol:
            yield str(other["order.side"]), _limit(other)
    owner = _owner(seen, seen.account)
    everyone = seen.snapshot.working_orders
    for working in everyone.of_symbol(str(symbol)) if isinstance(everyone, Worked) else everyone:
        if working["working_order.symbol"] == symbol and _owner(seen, str(working["working_order.account"])) == owner:
            price = working.get("working_order.price")
            yield str(working["working_order.side"]), price if isinstance(price, Fraction) else None


def _owner(seen: Projection, account: str) -> str:
    return str(seen.snapshot.accounts.get(account, {}).get("account.beneficial_owner", account))
