"""Random days of a service: steps as hypothesis draws them, and what takes them.

`days` draws steps, `take(house, steps)` sends them as requests and returns the answers. Quantities sit on the limits of
`house.RULES` and one share beside; a step that the moment does not admit is sent all the same and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from hypothesis import strategies as st

from lexorder.api.service.floor import Floor
from lexorder.api.service.restoring import restore
from lexorder.api.service.running_clock import RunningClock
from tests.service.house import House
from tests.worlds import order, world

Step = tuple[str, dict[str, Any]]
NUMBERS = count(1)
"""Identifiers that no two steps share, whichever example they are from."""

ACCOUNTS, SYMBOLS = st.sampled_from(["A", "B"]), st.sampled_from(["ACME", "BETA", "COCO"])
QUANTITIES = st.sampled_from([1, 99, 100, 101, 200, 201, 499, 500, 501, 1000, 1001])
MARKS = st.sampled_from(["50", "99.99", "100", "100.01", "200"])


def _of(name: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.fixed_dictionaries(parts))


ORDERS = st.fixed_dictionaries(
    {
        "account": ACCOUNTS,
        "symbol": SYMBOLS,
        "side": st.sampled_from(["buy", "sell"]),
        "quantity": QUANTITIES,
        "trader": st.sampled_from(["T", ""]),
        "ord_type": st.sampled_from(["limit", "limit", "market"]),
    }
)
STEPS = st.one_of(
    _of("check", order=ORDERS, reserve=st.booleans()),
    _of("check", order=ORDERS, reserve=st.just(True)),
    _of(
        "batch",
        mode=st.sampled_from(["cumulative", "independent", "basket"]),
        orders=st.lists(ORDERS, min_size=1, max_size=4),
    ),
    _of("price", symbol=SYMBOLS, mark=MARKS),
    _of("position", account=ACCOUNTS, symbol=SYMBOLS, quantity=st.sampled_from(["0", "-10", "499", "500", "501"])),
    _of("account", account=ACCOUNTS, nav=st.sampled_from(["99999.99", "100000", "1000000"])),
    _of("fill", which=st.integers(0, 9), half=st.booleans()),
    _of("cancel", which=st.integers(0, 9)),
    _of("gap", feed=st.sampled_from(["prices", "positions", "fills"])),
    _of("whole", feed=st.sampled_from(["positions", "prices"])),
    _of("list", names=st.sampled_from([[], ["ACME"], ["BETA", "COCO"]])),
    _of("state", scope=st.sampled_from([("firm", None), ("account", "A"), ("trader", "T")]), halted=st.booleans()),
    _of("limit", weight=st.sampled_from(["5%", "10%"])),
    _of("snapshot", sequences=st.sampled_from([{}, {"prices": 7}])),
)


def days(longest: int = 12) -> st.SearchStrategy[list[Step]]:
    """Some steps, the first of them a snapshot in which nobody is halted."""
    return st.lists(STEPS, min_size=1, max_size=longest)


def snapshot(house: House, **body: Any) -> None:
    """Accounts A and B, and nobody halted."""
    document = world(**body)
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    house.post("/v1/snapshot", document)


def begin(house: House) -> None:
    """The morning: nothing of the example before counts."""
    for scope, key in (("firm", None), ("account", "A"), ("trader", "T")):
        _state(house, (scope, key), halted=False)
    snapshot(house)


def take(house: House, steps: Sequence[Step]) -> list[tuple[str, int, Any]]:
    """Send every step; what was answered: name, status, document."""
    found = []
    for name, given in steps:
        answer = _SENDERS[name](house, **given)
        if answer is not None:
            assert answer.status_code in {200, 202, 409, 422}, (name, given, answer.text)
            found.append((name, answer.status_code, answer.json()))
    return found


def rebuilt(house: House) -> Floor:
    """A floor made of nothing but the ledger."""
    service = house.service
    ledger = service.ledger
    assert ledger is not None
    floor = Floor(service.vocabulary, RunningClock("feed"), {}, service.settings.tick_s)
    ledger.wait(ledger.size - 1, 20.0)  # what the monitor has just recorded may be on its way
    restore(floor, ledger)
    return floor


def numbered(given: dict[str, Any]) -> dict[str, Any]:
    """An order with an identifier of its own."""
    trader = {"trader": given["trader"]} if given["trader"] else {}
    made = order(**{**given, "id": f"o{next(NUMBERS)}"})
    made.pop("trader")
    if made["ord_type"] == "market":
        made.pop("price")
    return {**made, **trader}


def _check(house: House, order: dict[str, Any], *, reserve: bool) -> Any:
    query = "" if reserve else "?reserve=false"
    return house.call("POST", f"/v1/orders/check{query}", numbered(order))


def _batch(house: House, mode: str, orders: list[dict[str, Any]]) -> Any:
    return house.call("POST", "/v1/orders/check-batch", {"mode": mode, "orders": [numbered(o) for o in orders]})


def tell(house: House, feed: str, **body: Any) -> Any:
    """One batch of a feed, with the next number of it."""
    known = house.service.floor.feeds[feed].last
    sequence = body.pop("sequence", None if known is None else known + 1)
    numbers = {} if sequence is None else {"sequence": sequence}
    return house.call("POST", f"/v1/{feed}", {"event_id": f"e{next(NUMBERS)}", **numbers, **body})


def _price(house: House, symbol: str, mark: str) -> Any:
    return tell(house, "prices", items=[{"symbol": symbol, "mark": mark, "bid": mark, "ask": mark}])


def _position(house: House, **row: str) -> Any:
    return tell(house, "positions", items=[row], sequence=_next(house, "positions"))


def _next(house: House, feed: str) -> int:
    return (house.service.floor.feeds[feed].last or 0) + 1


def _account(house: House, account: str, nav: str) -> Any:
    return tell(house, "accounts", items=[{"id": account, "nav": nav}])


def _working(house: House, which: int) -> Any:
    known = list(house.service.floor.standing.working.values())
    return known[which % len(known)] if known else None


def _fill(house: House, which: int, *, half: bool) -> Any:
    facts = _working(house, which)
    if facts is None:
        return None
    quantity = facts["working_order.quantity"]
    done = max(quantity // 2, 1) if half else quantity
    row = {k: str(facts[f"working_order.{k}"]) for k in ("account", "symbol", "side")}
    told = {**row, "id": f"f{next(NUMBERS)}", "order": facts["working_order.id"], "quantity": str(done)}
    return tell(house, "fills", items=[{**told, "price": "100", "fee": "0.35"}])


def _cancel(house: House, which: int) -> Any:
    facts = _working(house, which)
    if facts is None:
        return None
    return tell(house, "working-orders", items=[{"id": facts["working_order.id"], "action": "remove"}])


def _gap(house: House, feed: str) -> Any:
    return tell(house, feed, sequence=_next(house, feed) + 3, items=[])


def _whole(house: House, feed: str) -> Any:
    return tell(house, feed, whole=True, items=[])


def _list(house: House, names: list[str]) -> Any:
    return tell(house, "lists", items=[{"list": "restricted", "entries": names}])


def _state(house: House, scope: tuple[str, str | None], *, halted: bool) -> Any:
    kind, key = scope
    told = {"scope": kind, "state": "HALTED" if halted else "ACTIVE", "reason": "a test"}
    return house.call("POST", "/v1/trading-state", told if key is None else {**told, "id": key}, by="risk_officer/rita")


def _limit(house: House, weight: str) -> Any:
    name = f"l{next(NUMBERS)}"
    body = {"id": name, "kind": "position-weight", "values": {"2026-01-01": weight}}
    house.post("/v1/limits", body, by="risk_officer/ann", status=202)
    if weight == "5%":
        house.post(f"/v1/limits/{name}/approve", by="risk_officer/bob")
    return None


def _snapshot(house: House, sequences: dict[str, int]) -> None:
    snapshot(house, sequences=sequences)


_SENDERS: dict[str, Any] = {
    "check": _check,
    "batch": _batch,
    "price": _price,
    "position": _position,
    "account": _account,
    "fill": _fill,
    "cancel": _cancel,
    "gap": _gap,
    "whole": _whole,
    "list": _list,
    "state": _state,
    "limit": _limit,
    "snapshot": _snapshot,
}
