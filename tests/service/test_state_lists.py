"""What is known of each feed is listed to whoever may see it: a key limited to accounts sees theirs and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.house import House
from tests.worlds import position, working, world

FEEDS = ("accounts", "positions", "prices", "fills", "working-orders", "lists", "signals")
OF_ACCOUNTS = ("accounts", "positions", "fills", "working-orders")


def a_fill(number: int, account: str) -> dict[str, Any]:
    return {
        "id": f"F{number}",
        "account": account,
        "symbol": "ACME",
        "side": "buy",
        "quantity": "1",
        "price": "100",
        "time": "2026-06-15T11:00:00-04:00",
        "date": "2026-06-15",
    }


def document() -> dict[str, Any]:
    """Accounts A, B and one of which hardly anything is told; each has one of everything."""
    found = world(lists={"restricted": ["ACME"], "watch": []})
    account = found["accounts"][0]
    found["accounts"] += [{**account, "id": "B"}, {"id": "C", "currency": "USD"}]
    found["positions"] = [position(s, 5, account=a) for a in "ABC" for s in ("ACME", "BETA")]
    found["working_orders"] = [{**working(f"W{a}", "BETA", "buy", 3), "account": a} for a in "ABC"]
    found["fills"] = [a_fill(n, a) for n, a in enumerate("ABC")]
    return found


@pytest.fixture(scope="module")
def stated(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    house.post("/v1/snapshot", document())
    yield house
    house.close()


def owners(house: House, feed: str, query: str = "", **fields: Any) -> list[str]:
    """The accounts of the rows listed, one for each row."""
    page = house.get(f"/v1/{feed}{query}", by="risk_officer/rita", **fields)
    assert page["count"] == len(page["items"])
    return [row["id"] if feed == "accounts" else row["account"] for row in page["items"]]


@pytest.mark.parametrize("feed", OF_ACCOUNTS)
def test_everybody_else_sees_every_account(stated, feed):
    assert set(owners(stated, feed)) == {"A", "B", "C"}


@pytest.mark.parametrize("feed", OF_ACCOUNTS)
@pytest.mark.parametrize("own", ["A", "B", "C"])
def test_a_limited_key_sees_its_account_alone(stated, feed, own):
    assert set(owners(stated, feed, accounts=[own])) == {own}


@pytest.mark.parametrize("feed", OF_ACCOUNTS)
def test_a_limited_key_cannot_ask_for_another_account(stated, feed):
    assert owners(stated, feed, "?account=B", accounts=["A"]) == []
    assert set(owners(stated, feed, "?account=A", accounts=["A"])) == {"A"}


@pytest.mark.parametrize("feed", OF_ACCOUNTS)
def test_rows_are_chosen_by_account(stated, feed):
    assert set(owners(stated, feed, "?account=C")) == {"C"}
    assert owners(stated, feed, "?account=NOBODY") == []


def test_rows_are_chosen_by_symbol(stated):
    for feed, count in (("positions", 3), ("working-orders", 3), ("prices", 1)):
        items = stated.get(f"/v1/{feed}?symbol=BETA", by="risk_officer/rita")["items"]
        assert [row["symbol"] for row in items] == ["BETA"] * count
    assert owners(stated, "positions", "?symbol=ACME&account=B") == ["B"]


def test_at_most_so_many_rows_and_how_many_there_are(stated):
    page = stated.get("/v1/positions?limit=4", by="risk_officer/rita")
    assert (len(page["items"]), page["count"]) == (4, 6)
    for limit in (0, -1, 100_001, "x"):
        assert stated.refused("GET", f"/v1/positions?limit={limit}", by="risk_officer/rita")[0] == 422


def test_amounts_come_as_they_were_told(stated):
    (row,) = stated.get("/v1/positions?account=A&symbol=ACME", by="risk_officer/rita")["items"]
    assert row["quantity"] == "5"
    (row,) = stated.get("/v1/accounts?account=A", by="risk_officer/rita")["items"]
    assert (row["nav"], row["currency"]) == ("100000", "USD")


@pytest.mark.parametrize("feed", FEEDS)
def test_nothing_is_listed_without_a_key(stated, feed):
    assert stated.run(stated.asking("GET", f"/v1/{feed}", None, "wrong")).status_code == 401


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(
    "odd", [{"whole": word} for word in ("yes", "no", "true", 1, 0)] + [{"sequence": "1"}, {"sequence": True}]
)
def test_a_batch_says_what_it_is_in_json_s_own_words(stated, feed, odd):
    assert stated.refused("POST", f"/v1/{feed}", {"event_id": "odd", **odd}) == (422, "invalid-request")
