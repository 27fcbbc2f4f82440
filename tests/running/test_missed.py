"""A worker is killed while things are told: what the others answer, and that it knows everything when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.forking import Forge
from tests.faults.served import furniture, until
from tests.running.conftest import PII_KEY
from tests.running.test_sharding import COUNT, FIRST, Pair, without
from tests.worlds import instrument, order, position


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("missed"), forge, workers=2, pii_key=PII_KEY)
    with made:
        made.fresh()
        yield made


@pytest.fixture(scope="module")
def keys(pair: Pair) -> dict[str, str]:
    """Of two persons of risk control."""
    made = {}
    for role, name in (("risk_officer", "rita"), ("approver", "otto")):
        made[name] = str(pair.at(0, "POST", "/v1/keys", {"role": role, "name": name, "owner": name}).json()["key"])
        until(lambda k=made[name]: pair.at(1, "GET", "/v1/shards", key=k).status_code == 200)  # type: ignore[misc]
    return made


def told(pair: Pair, door: int, feed: str, items: list[dict[str, Any]]) -> Any:
    """An event without a number: nobody could see from the next one that it was missed."""
    return pair.at(door, "POST", f"/v1/{feed}", {"event_id": f"m{next(COUNT)}", "items": items})


def test_what_was_told_while_a_worker_was_away_it_knows_when_it_is_back(pair, keys):
    pair.fresh()
    lost = FIRST[1]
    limit = {"id": "small", "kind": "position-weight", "values": {"2026-01-01": "48%"}}
    with without(pair, 1):
        for answer in (
            told(pair, 0, "positions", [position("ACME", 450, lost)]),
            pair.at(0, "POST", "/v1/limits", limit, keys["rita"]),
            pair.at(0, "POST", "/v1/limits/small/approve", None, keys["otto"]),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "shard-unavailable"), answer.text
    shown = [pair.at(door, "GET", "/v1/limits/small").json()["state"] for door in (0, 1)]
    assert shown == ["approved", "approved"]
    over = pair.decide(0, account=lost, quantity=31).json()
    assert (over["outcome"], over["largest_compliant"]["quantity"]) == ("reject", "30")
    assert pair.decide(1, account=lost, quantity=30).json()["outcome"] == "approve"
    books = {pair.at(door, "GET", "/v1/rulebooks/active").json()["in_force"] for door in (0, 1)}
    assert len(books) == 1
    ended = pair.at(1, "DELETE", "/v1/limits/small", None, keys["rita"])
    assert ended.status_code == 202, ended.text
    assert pair.at(0, "POST", "/v1/limits/small/approve", None, keys["otto"]).status_code == 200


def test_a_snapshot_that_a_worker_missed_is_its_world_when_it_is_back(pair):
    pair.fresh()
    document = furniture(8)
    document["positions"] = [position("ACME", 450, FIRST[shard]) for shard in (0, 1)]
    with without(pair, 1):
        assert pair.at(0, "POST", "/v1/snapshot", document).status_code == 503
    for shard in (0, 1):
        assert pair.decide(1 - shard, account=FIRST[shard], quantity=51).json()["outcome"] == "reject"


def test_without_worker_0_nothing_is_told_and_trading_is_halted_all_the_same(pair, keys):
    pair.fresh()
    with without(pair, 0):
        refused = told(pair, 1, "positions", [position("ACME", 450, FIRST[1])])
        assert (refused.status_code, refused.json()["code"]) == (503, "shard-unavailable")
        assert pair.decide(1, account=FIRST[1], quantity=51).json()["outcome"] == "approve", "it was told to nobody"
        halted = pair.at(1, "POST", "/v1/kill", {"reason": "while worker 0 is away"})
        assert halted.status_code == 503, "not every worker was told"
        assert pair.decide(1, account=FIRST[1]).json()["outcome"] == "reject", "but who was told has stopped"
    assert pair.decide(0, account=FIRST[0]).json()["outcome"] == "reject", "it halted before it answered anybody"
    lifted = pair.at(1, "POST", "/v1/trading-state", {"scope": "firm", "state": "ACTIVE", "reason": "t"}, keys["rita"])
    assert lifted.status_code == 200, lifted.text


def test_a_batch_for_a_worker_that_is_away_leaves_nothing_working_at_the_others(pair):
    pair.fresh()
    rows = [order(id=f"m{next(COUNT)}", account=FIRST[n % 2], quantity=1) for n in range(6)]
    with without(pair, 1):
        answer = pair.at(0, "POST", "/v1/orders/check-batch", {"mode": "cumulative", "orders": rows})
        assert (answer.status_code, answer.json()["code"]) == (503, "shard-unavailable")
    assert pair.at(0, "GET", "/v1/working-orders").json()["items"] == []
    again = pair.at(0, "POST", "/v1/orders/check-batch", {"mode": "cumulative", "orders": rows}).json()
    assert again["approved"] == 6


def test_prices_that_race_at_both_doors_end_the_same_at_both(pair):
    pair.fresh()
    marks = [f"{100 + n / 100:.2f}" for n in range(1, 31)]
    with ThreadPoolExecutor(6) as callers:
        work = [(n % 2, "prices", [instrument("ACME", mark)]) for n, mark in enumerate(marks)]
        answers = list(callers.map(lambda each: told(pair, *each), work))
    assert {answer.status_code for answer in answers} == {200}
    known = [pair.at(door, "GET", "/v1/prices?symbol=ACME").json()["items"][0]["mark"] for door in (0, 1)]
    assert known[0] == known[1]


def test_limits_that_race_at_both_doors_are_the_same_versions_at_both(pair, keys):
    def proposed(n: int) -> int:
        body = {"kind": "position-weight", "values": {"2026-01-01": f"{60 + n}%"}, "id": "raced"}
        return int(pair.at(n % 2, "POST", "/v1/limits", body, keys["rita"]).status_code)

    with ThreadPoolExecutor(6) as callers:
        answers = sorted(callers.map(proposed, range(6)))
    assert answers == [202] + [409] * 5
    shown = [pair.at(door, "GET", "/v1/limits/raced").json()["limit"]["values"] for door in (0, 1)]
    assert shown[0] == shown[1]
    assert pair.at(1, "POST", "/v1/limits/raced/reject", None, keys["otto"]).status_code == 200


def test_an_account_stays_with_its_worker_until_a_snapshot_moves_it(pair):
    pair.fresh()
    for door in (0, 1):
        moved = told(pair, door, "accounts", [{"id": FIRST[0], "beneficial_owner": FIRST[1]}])
        assert (moved.status_code, moved.json()["code"]) == (422, "account-moves"), moved.text
        assert moved.json()["where"] == "items[0].beneficial_owner"
        same = told(pair, door, "accounts", [{"id": FIRST[0], "beneficial_owner": FIRST[0]}])
        assert same.status_code == 200
    document = furniture(8)
    for account in document["accounts"]:
        account["beneficial_owner"] = FIRST[1]
    assert pair.at(0, "POST", "/v1/snapshot", document).status_code == 200
    assert pair.decide(0, account=FIRST[0]).json()["recorded"]["shard"] == 1


def test_two_orders_of_one_id_are_told_apart_by_their_accounts(pair):
    """Neither worker knows of the other's: whoever takes one away must say whose."""
    pair.fresh()
    rows = [{"id": "twin", "account": FIRST[n], "symbol": "ACME", "side": "buy", "quantity": "5"} for n in (0, 1)]
    for row in rows:
        assert told(pair, 0, "working-orders", [{**row, "price": "100"}]).status_code == 200
    refused = told(pair, 1, "working-orders", [{"action": "remove", "id": "twin"}])
    assert (refused.status_code, refused.json()["code"]) == (409, "ambiguous-order")
    named = {"action": "remove", "id": "twin", "account": FIRST[0]}
    assert told(pair, 1, "working-orders", [named]).status_code == 200
    left = pair.at(0, "GET", "/v1/working-orders").json()["items"]
    assert [row["account"] for row in left] == [FIRST[1]]


def test_another_number_of_workers_does_not_start_and_the_same_number_goes_on(pair):
    pair.fresh()
    held = {account: pair.decide(0, account=account, quantity=100).json()["outcome"] for account in FIRST.values()}
    assert set(held.values()) == {"approve"}
    pair.stop()
    for number in ("1", "3"):
        pair.environment["LEXORDER_WORKERS"] = number
        process = pair.begin()
        until(lambda p=process: p.poll() is not None)  # type: ignore[misc]
        assert "workers-changed" in pair.log.read_text(errors="replace")
    pair.environment["LEXORDER_WORKERS"] = "2"
    pair.start()
    rows = pair.at(1, "GET", "/v1/working-orders").json()["items"]
    assert sorted((row["account"], row["quantity"]) for row in rows) == sorted((a, "100") for a in held)
