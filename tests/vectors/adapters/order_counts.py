"""How many orders are open, cancelled and executed, and the price steps of NMS stocks: cases to snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.vectors import asking
from tests.vectors.adapters.market import SYMBOL, sent
from tests.vectors.case import Case

OTHER = "OTHER"
"""An instrument beside the one that is ordered."""
LISTED = [asking.instrument(SYMBOL, "100"), asking.instrument(OTHER, "100")]
ENOUGH = [{"account": asking.ACCOUNT, "symbol": SYMBOL, "quantity": "1000"}]


def _working(side: str, place: int, symbol: str = SYMBOL) -> dict[str, object]:
    plain = {"id": f"W-{side}-{symbol}-{place}", "account": asking.ACCOUNT, "symbol": symbol, "side": side}
    return {**plain, "quantity": "1", "price": "100"}


def _decided(case: Case, rule: str, limits: dict[str, object], working: list[dict[str, object]]) -> str:
    snapshot: dict[str, Any] = asking.document(
        account=limits, instruments=LISTED, positions=ENOUGH, working_orders=working
    )
    orders = [{**sent(order), "id": f"O-{place}"} for place, order in enumerate(case.orders)]
    return asking.decided(snapshot, orders, [rule])


def open_orders(case: Case) -> object:
    """Orders of an account in any instrument that are open, against how many may be."""
    working = [_working("buy", place, OTHER) for place in range(int(case.given["open"]))]
    return _decided(case, "open-orders-of-account", {"max_open_orders": case.given.text("limit")}, working)


def open_orders_per_side(case: Case) -> object:
    """Open orders in the instrument by side, and in another, against how many may be on a side."""
    counts = {side: int(case.given.get(f"open_{side}s", 0)) for side in ("buy", "sell")}
    working = [_working(side, place) for side, count in counts.items() for place in range(count)]
    working += [_working("buy", place, OTHER) for place in range(int(case.given.get("open_elsewhere", 0)))]
    return _decided(case, "open-orders-per-side", {"max_open_orders_per_side": case.given.text("limit")}, working)


def _of_the_day(rule: str, counted: str, limit: str) -> Callable[[Case], object]:
    """A count of the day against its limit."""

    def adapter(case: Case) -> object:
        facts: dict[str, object] = {counted: case.given.text("made_today"), limit: case.given.text("max_per_day")}
        return _decided(case, rule, facts, [])

    return adapter


def sub_penny(case: Case) -> object:
    """Whether prices are whole steps, in an NMS stock or not, with the step its exchange assigned."""
    stock = asking.instrument(SYMBOL, "1", nms_stock=case.given["nms_stock"])
    if "assigned_increment" in case.given:
        stock["minimum_increment"] = case.given.text("assigned_increment")
    orders = [sent(order) for order in case.orders]
    return asking.decided(asking.document(instruments=[stock]), orders, ["no-sub-penny-price"])


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "order.open_count": open_orders,
    "order.open_per_side": open_orders_per_side,
    "order.cancels_per_day": _of_the_day("cancellations-per-day", "cancels_today", "max_cancels_per_day"),
    "order.executions_per_day": _of_the_day("executions-per-day", "executions_today", "max_executions_per_day"),
    "order.sub_penny": sub_penny,
}
