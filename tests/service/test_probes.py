"""What a probe is told, and that an order is answered accordingly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.house import House, Outage
from tests.worlds import order, world


@pytest.fixture
def bare(tmp_path: Any) -> Any:
    """A service that nobody has told anything."""
    made = House(tmp_path)
    yield made
    made.close()


def told(house: House) -> tuple[int, Any, str]:
    """The status of `/readyz`, what it says of the facts, and the outcome of an order that everything speaks for."""
    probe = house.call("GET", "/readyz")
    answer = house.call("POST", "/v1/orders/check?reserve=false", ORDER, by="senior_trader/tess").json()
    return probe.status_code, probe.json().get("empty"), answer.get("outcome", answer.get("code"))


ORDER = order(id="O1")


def test_a_service_without_a_snapshot_is_ready_and_says_that_it_is_empty(bare: House) -> None:
    """Ready, or the snapshot would find the door closed; empty, for no order can pass."""
    assert told(bare) == (200, True, "reject")
    answer = bare.post("/v1/orders/check", ORDER, by="senior_trader/tess")
    assert answer["reason"] == "UNKNOWN_ACCOUNT"
    bare.post("/v1/snapshot", world())
    assert told(bare) == (200, False, "approve")
    bare.reopen()
    assert told(bare) == (200, False, "approve")


def test_a_snapshot_without_accounts_is_as_good_as_none(bare: House) -> None:
    bare.post("/v1/snapshot", world())
    bare.post("/v1/snapshot", {**world(), "accounts": []})
    assert told(bare) == (200, True, "reject")


def test_accounts_may_come_by_their_feed(bare: House) -> None:
    bare.post("/v1/accounts", {"event_id": "a1", "items": world()["accounts"]})
    assert told(bare)[:2] == (200, False)
    assert told(bare)[2] != "approve", "nobody knows the instrument"


def test_whoever_cannot_record_is_not_ready_whatever_it_knows(bare: House) -> None:
    bare.post("/v1/snapshot", world())
    with Outage(bare):
        bare.call("POST", "/v1/orders/check", ORDER, by="senior_trader/tess")
        assert told(bare) == (503, None, "ledger-unavailable")
