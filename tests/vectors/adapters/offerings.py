"""Purchases in offerings, and options by side of the market: cases to snapshots."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time

from tests.vectors import asking
from tests.vectors.adapters.market import SYMBOL, at, priced, sent
from tests.vectors.case import Case, Fields


def offering(case: Case) -> object:
    """A purchase in an offering after short sales on some days."""
    given = case.given
    days = {"offering_priced_on": given["priced_on"]}
    if "filed_on" in given:
        days["offering_filed_on"] = given["filed_on"]
    plain = {"account": asking.ACCOUNT, "symbol": SYMBOL, "side": "sell_short", "quantity": "1", "price": "1"}
    fills = [
        {**plain, "id": f"F-{day}", "time": at(date.fromisoformat(day), time(12))} for day in given["sold_short_on"]
    ]
    moment = at(date.fromisoformat(given["date"]), time(17))
    snapshot = asking.document(time=moment, instruments=[{**priced(), **days}], fills=fills)
    exempt = bool(given.get("exempt", False))
    orders = [sent(order, in_offering=True, offering_exempt=exempt) for order in case.orders]
    return asking.decided(snapshot, orders, ["offering-purchase-after-short-sale"])


SIDES = {"buy": "buy", "sell": "sell_short"}


def option_position(case: Case) -> object:
    """Contracts held by right, and one more order, against the limit of a side."""
    rights = {name: str(case.given.get(name, 0)) for name in ("calls", "puts")}
    limit: dict[str, object] = {"side_limit": case.given.text("limit")}
    stocks = [
        asking.instrument(name.upper(), "1", kind="option", right=name[:-1], underlying="U", **limit) for name in rights
    ]
    snapshot = asking.document(
        instruments=stocks,
        positions=[
            {"account": asking.ACCOUNT, "symbol": name.upper(), "quantity": held} for name, held in rights.items()
        ],
    )
    return asking.decided(snapshot, [_option(order) for order in case.orders], ["option-position-limit"])


def _option(order: Fields) -> dict[str, object]:
    order.only("ordType", "market")
    return asking.order(SIDES[order["side"]], order.text("orderQty"), order["symbol"])


ADAPTERS: dict[str, Callable[[Case], object]] = {
    "offering.purchase": offering,
    "options.position_limit": option_position,
}
