"""An account that no rule covers trades nowhere: not alone, in a batch, by what-if, by override or after a restart."""

from __future__ import annotations

import pytest

from tests.service.house import House
from tests.worlds import order

FOR_A = "- rule: of-a\n  title: At most 10\n  scope: {accounts: [A]}\n  require: order.quantity <= 10\n"
TRADER, RITA = "senior_trader/tess", "risk_officer/rita"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with_rules = House(tmp_path_factory.mktemp("house"), FOR_A).furnished()
    yield with_rules
    with_rules.close()


def of(account, number, quantity=1):
    return order(account=account, id=f"{account}{number}", quantity=quantity)


def test_the_switches_beside_the_book_cover_nobody(house):
    assert {"kill-switch", "reducing-only"} <= set(house.service.floor.standing.book.ids())
    assert house.check(account="A", id="one")["outcome"] == "approve"
    refused = house.check(account="B", id="two")
    assert (refused["outcome"], refused["reason"]) == ("undecided", "NO_RULE")
    assert [w["id"] for w in house.get("/v1/working-orders?account=B")["items"]] == []


@pytest.mark.parametrize("mode", ["cumulative", "independent", "basket"])
def test_batches(house, mode):
    orders = [of(account, f"-{mode}-{n}", n) for account in "AB" for n in (1, 2)]
    found = house.post("/v1/orders/check-batch", {"mode": mode, "orders": orders}, by=TRADER)
    assert [d["outcome"] for d in found["decisions"]] == ["approve", "approve", "undecided", "undecided"]
    assert {d["reason"] for d in found["decisions"]} == {"", "NO_RULE"}
    assert found["approved"] == 2


def test_what_if_says_so_too(house):
    found = house.post("/v1/orders/what-if", of("B", "-w"), by=TRADER)
    assert found["decision"]["reason"] == "NO_RULE"
    assert found["rules"] == []


def test_nothing_can_be_overridden(house):
    house.check(account="B", id="three")
    status, _ = house.refused("POST", "/v1/orders/three/override", {"reason": "please"}, by=TRADER)
    assert status == 409


def test_a_switched_off_account_is_told_that_first(house):
    house.post("/v1/kill", {"scope": "account", "id": "B"}, by=TRADER)
    assert house.check(account="B", id="four")["reason"] == "NOT_PERMITTED"
    lifted = {"scope": "account", "id": "B", "state": "ACTIVE", "reason": "done"}
    house.post("/v1/trading-state", lifted, by=RITA)
    assert house.check(account="B", id="five")["reason"] == "NO_RULE"


def test_a_limit_covers_until_it_ends_and_a_restart_changes_nothing(house):
    limit = {"id": "of-b", "kind": "order-quantity", "values": {"2026-01-01": "5"}, "scope": {"accounts": ["B"]}}
    house.post("/v1/limits", limit, by=RITA, status=202)
    assert house.check(account="B", id="six")["reason"] == "NO_RULE", "only asked for"
    house.post("/v1/limits/of-b/approve", by="approver/sam")
    assert house.check(account="B", id="seven", quantity=5)["outcome"] == "approve"
    assert house.check(account="B", id="eight", quantity=6)["outcome"] == "reject"
    house.call("DELETE", "/v1/limits/of-b", by=RITA)
    house.post("/v1/limits/of-b/approve", by="approver/sam")
    assert house.check(account="B", id="nine")["reason"] == "NO_RULE"
    house.reopen()
    assert house.check(account="B", id="ten")["reason"] == "NO_RULE"
