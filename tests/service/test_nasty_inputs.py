"""What strangers send: every field of every body with what does not belong there. Nothing breaks, approves, is echoed.

The values are wrong types, blanks, signs, exponents, look-alikes of other alphabets, control and direction characters,
numbers too long to be meant. Which of them a field may take is said by hand; for everything else the answer is a
refusal with a code and words. At the end the desk decides as it did in the beginning.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.house import House
from tests.worlds import order, world

HOSTILE = "zq<hostile>"
TEXTS = (
    "",
    HOSTILE,
    "-1",
    "+1",
    "1e5",
    "0x10",
    " 1",
    "1 ",
    "\uff11",
    "\u0663",
    "1,000",
    "NaN",
    "Infinity",
    "0.0",
    "9" * 50,
    "1" * 5000,
    "\x00",
    "\u202e",
    "ACM\u0415",
    "acme",
    "ACME\n",
    "=cmd",
    "A" * 300,
    "\U0001f600",
)
OTHERS: tuple[Any, ...] = (None, True, False, -1, 10**39, [], {}, [HOSTILE], {HOSTILE: HOSTILE})
VALUES: tuple[Any, ...] = (*TEXTS, *OTHERS)

ORDER = ("account", "symbol", "side", "quantity", "price", "trader", "ord_type", "stop_price", "action")
FREE = ("trader", "ord_type", "stop_price", "action", "price")
"""What an order may leave out, and so may say null of."""

LIMIT = {"id": "cap", "kind": "order-quantity", "values": {"2026-01-01": "900000"}}
BATCHES: dict[str, dict[str, Any]] = {
    "accounts": {"id": "A", "nav": "100000"},
    "positions": {"account": "A", "symbol": "BETA", "quantity": "1"},
    "prices": {"symbol": "BETA", "mark": "100"},
    "fills": {"id": "F", "account": "A", "symbol": "BETA", "side": "buy", "quantity": "1", "price": "1"},
    "working-orders": {"id": "W", "account": "A", "symbol": "BETA", "side": "buy", "quantity": "1", "price": "1"},
    "lists": {"list": "watch", "entries": []},
    "signals": {"id": "S", "symbol": "BETA", "direction": "long", "expected_return": "1%", "confidence": "50%"},
}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/limits": ("risk_officer/rita", {**LIMIT, "severity": "hard", "scope": {}, "override": {}, "message": "m"}),
    "/v1/trading-state": (
        "risk_officer/rita",
        {"scope": "account", "id": "B", "state": "REDUCING", "reason": "r"},
    ),
    "/v1/kill": ("risk_officer/rita", {"scope": "trader", "id": "Z", "reason": "r"}),
    "/v1/keys": (
        "admin",
        {"role": "observer", "name": "n", "owner": "o", "lifetime_s": 9, "scopes": [], "accounts": []},
    ),
    "/v1/rulebooks": ("risk_officer/rita", {"name": "n", "files": {"a.yaml": "- rule: z"}, "base": None}),
    "/v1/rulebooks/lint": ("risk_officer/rita", {"files": {"a.yaml": "- rule: z"}}),
    "/v1/certificates/verify": ("risk_officer/rita", {"certificate": "{}"}),
    "/v1/orders/none/override": ("senior_trader/tess", {"reason": "r"}),
    "/v1/orders/check-batch": ("senior_trader/tess", {"mode": "basket", "orders": [order()]}),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = House(tmp_path_factory.mktemp("house"), clock="feed", rate_per_key=1_000_000).furnished()
    yield made
    made.close()


def sound(answer: Any, *, refused: bool) -> None:
    """No failure; a refusal has a code, words or the fields, and repeats nothing."""
    assert answer.status_code < 500, answer.text
    assert not refused or answer.status_code >= 400, answer.text
    if answer.status_code >= 400:
        document = answer.json()
        assert document["code"]
        assert document.get("detail") or document.get("fields") or document.get("findings")
        assert "zq" not in answer.text


@pytest.mark.parametrize("field", ["id", *ORDER])
@pytest.mark.parametrize("path", ["check?reserve=false", "what-if"])
def test_an_order(house: House, path: str, field: str) -> None:
    for value in VALUES:
        answer = house.call("POST", f"/v1/orders/{path}", order(**{field: value}), by="senior_trader/tess")
        written = isinstance(value, str | int) and not isinstance(value, bool)  # a whole number is a text
        may_be = (value is None and field in FREE) or (field == "id" and written)
        sound(answer, refused=not written and not may_be)
        if answer.status_code == 200 and not may_be:
            found = answer.json()
            assert (found.get("decision") or found)["outcome"] != "approve", (field, value)


@pytest.mark.parametrize("mode", ["independent", "cumulative", "basket"])
@pytest.mark.parametrize("field", ORDER)
def test_an_order_in_a_batch(house: House, mode: str, field: str) -> None:
    for value in VALUES:
        body = {"mode": mode, "orders": [order(**{field: value})]}
        answer = house.call("POST", "/v1/orders/check-batch", body, by="senior_trader/tess")
        sound(answer, refused=False)
        approved = answer.status_code == 200 and answer.json()["approved"]
        assert not approved or (value is None and field in FREE), (field, value)
        if approved:
            house.post("/v1/snapshot", two_accounts())  # what it reserved is gone


@pytest.mark.parametrize("feed", BATCHES)
def test_a_row_of_a_feed(house: House, feed: str) -> None:
    for number, (field, value) in enumerate((f, v) for f in BATCHES[feed] for v in VALUES):
        row = {**BATCHES[feed], field: value}
        sound(house.call("POST", f"/v1/{feed}", {"event_id": f"e{number}", "items": [row]}), refused=False)
    house.post("/v1/snapshot", two_accounts())


@pytest.mark.parametrize(
    "field", ["event_id", "sequence", "time", "whole", "items", "traders", "session", "fx", "firm", "x"]
)
def test_a_batch_of_a_feed(house: House, field: str) -> None:
    for feed in BATCHES:
        for value in VALUES:
            sound(house.call("POST", f"/v1/{feed}", {"event_id": f"{field}-{feed}", field: value}), refused=False)
    house.post("/v1/snapshot", two_accounts())


@pytest.mark.parametrize("path", BODIES)
def test_every_other_body(house: House, path: str) -> None:
    by, body = BODIES[path]
    for field in (*body, "x"):
        for value in VALUES:
            sound(house.call("POST", path, {**body, field: value}, by=by), refused=field == "x")


@pytest.mark.parametrize("section", ["time", "accounts", "instruments", "positions", "lists", "fx", "sequences", "x"])
def test_a_section_of_a_snapshot(house: House, section: str) -> None:
    for value in VALUES:
        sound(house.call("POST", "/v1/snapshot", {**world(), section: value}), refused=section in ("time", "x"))


def two_accounts() -> dict[str, Any]:
    document = world()
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    return document


def test_after_all_that_the_desk_decides_as_before(house: House) -> None:
    house.post("/v1/snapshot", two_accounts())
    assert house.check(id="first", quantity=100)["outcome"] == "approve"
    assert house.check(id="second", quantity=1001)["outcome"] == "reject"
    verified = house.post("/v1/ledger/verify", by="risk_officer/rita")
    assert verified["ok"], verified
