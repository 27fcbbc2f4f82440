"""What may be held when all orders of one direction fill, and the best price a position has seen.

In: an order with the working orders and the other orders under test; the prices of a position in their order. Out: the
worst position in shares, with its sign; the price a trailing stop is measured from. Guaranteed: exact; orders against
the direction make no room, since they may never fill. Refused: MissingFactError where a fact is absent.

Sources: Trading Technologies, Risk Limits, "Account position examples" (worst-case position: position, working buys
and the new buy); QuantConnect LEAN `TrailingStopRiskManagementModel` (the mark that a trailing stop follows).
Before: `reading.py`. After: rules on `order.worst_position` and `position.best_price`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from lexorder.engine.measure import measure
from lexorder.engine.measures import reading
from lexorder.engine.snapshot import BUY, Projection, Subject


def worst_position(held: Fraction, side: str, working: Iterable[tuple[str, Fraction]]) -> Fraction:
    """Holding once every order of the side's direction has filled and none of the other; sales lower it.

    `working` lists side and quantity of every open order, the one under test included.
    """
    buying = side == BUY
    total = sum((quantity for other, quantity in working if (other == BUY) == buying), Fraction(0))
    return held + total if buying else held - total


def best_price(long: bool, entry: Fraction, prices: Iterable[Fraction]) -> Fraction:
    """Highest price since entry of a long position, lowest of a short one; the entry price counts."""
    return (max if long else min)((entry, *prices))


@measure("order.worst_position")
def order_worst_position(seen: Projection, order: Subject) -> Fraction:
    """Position of the order's symbol when it, its like under test and its like at work all fill."""
    symbol = reading.word(seen, order, "order.symbol")
    held = seen.positions.get(symbol, {}).get("position.before.quantity", Fraction(0))
    assert isinstance(held, Fraction)
    both = (("order", seen.orders), ("working_order", seen.working))
    listed = [(c, o) for c, orders in both for o in orders if o[f"{c}.symbol"] == symbol]
    pairs = [(str(o[f"{c}.side"]), o[f"{c}.quantity"]) for c, o in listed]
    return worst_position(held, reading.word(seen, order, "order.side"), pairs)  # type: ignore[arg-type]
