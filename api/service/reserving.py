"""An approved order as the working order it becomes.

In: the order's facts and the desk. Out: `working_order.*` facts. Guaranteed: a limit order works at its limit; any
other at the price it was checked at (the vocabulary's `order.execution_price`), rounded to the price's scale to the
side that costs the account more: up for a purchase, down for a sale. Refused: an order without that price raises
`MissingFactError`; such an order was not approved. Before: `engine/evaluate.py`. After: `floor.py`.
"""

from __future__ import annotations

from fractions import Fraction

from lexorder.engine.desk import Desk
from lexorder.engine.evaluate import Point, number
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, Projection, Subject


def leaves_working(order: Facts) -> bool:
    """Whether an approval leaves something working: a cancellation does not."""
    return order["order.action"] != "cancel"


def working_order(order: Facts, desk: Desk, vocabulary: Vocabulary) -> Facts:
    """The facts of the working order."""
    price = order.get("order.price")
    return {
        "working_order.id": order["order.id"],
        "working_order.account": order["order.account"],
        "working_order.symbol": order["order.symbol"],
        "working_order.strategy": order["order.strategy"],
        "working_order.side": order["order.side"],
        "working_order.quantity": order["order.quantity"],
        "working_order.price": price if price is not None else _checked_at(order, desk, vocabulary),
    }


def _checked_at(order: Facts, desk: Desk, vocabulary: Vocabulary) -> Fraction:
    declared = vocabulary.names["order.execution_price"]
    assert declared.means is not None
    seen = Projection(desk.tables, vocabulary, str(order["order.account"]), (order,), (), {})
    stack = (Subject("order", str(order["order.id"]), order),)
    exact = number(declared.means, Point(seen, stack, {}, {}))
    scale = 10 ** vocabulary.names["working_order.price"].scale
    scaled = exact * scale
    whole = (
        -(-scaled.numerator // scaled.denominator)
        if order["order.side"] == BUY
        else scaled.numerator // scaled.denominator
    )
    return Fraction(whole, scale)
