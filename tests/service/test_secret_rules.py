"""A rule that is for compliance alone: its name stands in no answer that anybody else can get, whatever happens.

The rules are called zebra; a book that decides by them is asked everything, by every role, in good times and in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.service.roles import Role, shipped_matrix
from lexorder.api.service.views import IN_FULL
from tests.service.house import RULES, House
from tests.worlds import order, position, world

SECRET = "zebra"
OTHERS = [role for role in Role if role not in IN_FULL]
SECRET_RULES = """
- rule: zebra-hard
  title: Zebra names are not bought
  audience: compliance
  require: order.symbol not in lists.watch
  message: "zebra {order.symbol}"
- rule: zebra-soft
  title: Zebra sizes need two
  severity: soft
  audience: compliance
  require: order.quantity <= 90
  override: {roles: [risk_officer], reason: required, approvers: 1}
- rule: zebra-weight
  title: Zebra weights
  audience: compliance
  phases: [pre_trade, monitor, rebalance]
  for_each: issuer
  require: sum(abs(position.after.value)) <= 2% * account.nav
  if_already_breached: must_not_worsen
- rule: zebra-regime
  title: Zebra names are volatile
  audience: compliance
  for_each: market
  when: market.symbol in lists.watch
  derive: {market.regime: VOLATILE}
"""
ORDERS = {
    "hard": order(id="hard", symbol="COCO", quantity=1),
    "soft": order(id="soft", symbol="BETA", quantity=20),
    "many": order(id="many", symbol="BETA", quantity=95),
    "wide": order(id="wide", symbol="ACME", quantity=900),
    "good": order(id="good", symbol="BETA", quantity=1),
}


def opened(folder: Path) -> House:
    """A house with such rules and a book that breaks them."""
    made = House(folder, RULES + SECRET_RULES)
    signal = {"id": "S1", "symbol": "BETA", "account": "A", "direction": "long", "expected_return": "3%"}
    day = {"start_of_day_nav": "100000", "peak_nav": "100000"}
    document = world(
        account=day,
        positions=[position("ACME", 30)],
        lists={"restricted": [], "watch": [{"name": "COCO", "reason": "zebra deal"}]},
        signals=[{**signal, "confidence": "90%", "timeframe": "1d"}],
    )
    made.post("/v1/snapshot", document)
    return made


@pytest.fixture(scope="module", params=[False, True], ids=["sound", "in doubt"])
def busy(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[tuple[House, str]]:
    """After a day of orders in which they objected; or after one while feeds have gaps. The last is a part of ids."""
    house = opened(tmp_path_factory.mktemp("house"))
    suffix = "-doubt" if request.param else ""
    if request.param:
        for feed in ("prices", "lists"):
            for sequence, status in ((1, 200), (9, 409)):
                body = {"event_id": f"{feed}{sequence}", "sequence": sequence, "items": []}
                assert house.call("POST", f"/v1/{feed}", body).status_code == status
    for name, given in ORDERS.items():
        house.post("/v1/orders/check", {**given, "id": name + suffix}, by="senior_trader/tess")
    house.call("POST", f"/v1/orders/soft{suffix}/override", {"reason": "mandate"}, by="senior_trader/tess")
    yield house, suffix
    house.close()


def asking(house: House, suffix: str, role: Role) -> Iterator[tuple[str, str, Any]]:
    """Every request of the matrix that the role may make and that ends nothing: method, path, body."""
    ids = {
        "/v1/decisions/{id}": [row["id"] for row in house.get("/v1/decisions")["items"]],
        "/v1/overrides/{id}": [row["id"] for row in house.get("/v1/overrides")["items"]],
        "/v1/rulebooks/{id}": [house.get("/v1/rulebooks/active")["id"]],
        "/v1/limits/{id}": ["zebra-weight"],
        "/v1/limits/{id}/history": ["none"],
    }
    for (method, place), line in shipped_matrix().lines.items():
        if role in line.roles and method == "GET":
            for identifier in ids.get(place, ["none"]):
                path = place.replace("{id}", identifier)
                query = {"/v1/ledger/proof": "?seq=0", "/v1/ledger/consistency": "?old=1"}.get(place, "")
                yield method, path + query, None
    book = house.get("/v1/rulebooks/active")["id"]
    rows = [{**given, "id": f"{name}-{role.value}{suffix}"} for name, given in ORDERS.items()]
    for row in rows:
        yield "POST", "/v1/orders/what-if", row
        yield "POST", "/v1/orders/check?reserve=false", {**row, "id": row["id"] + "-x"}
    for mode in ("cumulative", "independent", "basket"):
        yield "POST", "/v1/orders/check-batch", {"mode": mode, "orders": [{**r, "id": r["id"] + mode} for r in rows]}
    yield "POST", f"/v1/rulebooks/{book}/lint", None
    yield "POST", f"/v1/rulebooks/{book}/test", None


@pytest.mark.parametrize("role", OTHERS)
def test_no_answer_to_others_names_it(busy, role):
    house, suffix = busy
    leaks, answered = [], 0
    for method, path, body in asking(house, suffix, role):
        answer = house.call(method, path, body, by=f"{role.value}/other")
        answered += answer.status_code == 200
        if SECRET in answer.text.lower().replace("zebra-weight", "", path.count("zebra-weight")):
            at = answer.text.lower().index(SECRET)
            leaks.append((method, path, answer.text[max(at - 80, 0) : at + 60]))
    assert not leaks
    assert answered >= (5 if role is Role.OBSERVER else 12)


def test_compliance_is_told_in_full(busy):
    house, suffix = busy
    told = {name: house.call("GET", f"/v1/decisions?order={name}{suffix}", by="risk_officer/r").text for name in ORDERS}
    assert all("zebra-hard" in told[name] for name in ("hard",))
    assert "zebra-soft" in told["many"]
    assert "zebra" in house.call("GET", "/v1/breaches", by="risk_officer/r").text


def test_a_trader_learns_that_it_is_refused_and_whom_to_ask(busy):
    house, suffix = busy
    answer = house.post("/v1/orders/check", {**ORDERS["hard"], "id": f"again{suffix}"}, by="senior_trader/tess")
    assert answer["outcome"] in ("reject", "undecided")
    assert "REFERRED" in {finding["reason"] for finding in [*answer["violations"], *answer["undecided"]]} or suffix
