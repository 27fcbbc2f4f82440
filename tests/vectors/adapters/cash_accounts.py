"""Cash accounts between trade and settlement: cases to snapshots. Fills have a day, and times in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.vectors import asking
from tests.vectors.case import Case, Fields, number

LAST = "15:59:00"
"""A time of day after every fill."""


def _fill(place: int, fill: Fields) -> dict[str, object]:
    plain = {"id": f"F-{place}", "account": asking.ACCOUNT, "symbol": fill["symbol"], "side": fill["side"]}
    when = f"{fill['date']}T10:{place:02}:00{asking.NOON[-6:]}"
    return {**plain, "quantity": fill.text("qty"), "price": fill.text("price"), "time": when}


def _after(case: Case) -> dict[str, Any]:
    """The account on the day of the case: cash and shares it began with, moved by its fills."""
    fills = [_fill(place, fill) for place, fill in enumerate(case.given["fills"])]
    cash = case.given.number("settled_cash_before")
    held: dict[str, Fraction] = defaultdict(Fraction)
    for symbol, quantity in dict(case.given.get("held_before", {})).items():
        held[symbol] += number(quantity)
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        quantity, price = number(fill["quantity"]), number(fill["price"])
        held[str(fill["symbol"])] += sign * quantity
        cash -= sign * quantity * price
    return asking.document(
        time=f"{case.given['date']}T{LAST}{asking.NOON[-6:]}",
        account={"kind": "cash", "cash": asking.plain(cash)},
        fills=fills,
        instruments=[asking.instrument(symbol, "100") for symbol in sorted({*held, str(case.order["symbol"])})],
        positions=[
            {"account": asking.ACCOUNT, "symbol": symbol, "quantity": asking.plain(quantity)}
            for symbol, quantity in held.items()
        ],
    )


def _order(order: Fields) -> dict[str, object]:
    price = {"price": order.text("price")} if order.only("ordType", "limit", "market") == "limit" else {}
    return asking.order(order["side"], order.text("orderQty"), order["symbol"], **price)


def good_faith(case: Case) -> object:
    """Whether a sale is of shares that are not paid for."""
    stopped = asking.breached(_after(case), [_order(case.order)], "cash-account-pays-before-it-sells")
    return "violation" if stopped else "no_violation"


def frozen(case: Case) -> object:
    """An order in the 90 days after such a sale."""
    snapshot = _after(case)
    snapshot["accounts"][0]["cash_freeze_began"] = case.given["sold_unpaid_on"]
    return asking.decided(snapshot, [_order(case.order)], ["cash-account-frozen"])


ADAPTERS: dict[str, Callable[[Case], object]] = {"cash.good_faith": good_faith, "cash.frozen": frozen}
