"""Queries of decisions: every filter against the answers that were given, page by page."""

from __future__ import annotations

import pytest

from lexorder.api.service import routes_decisions
from tests.service.house import House
from tests.worlds import order

TESS, RITA = "senior_trader/tess", "risk_officer/rita"


@pytest.fixture(scope="module")
def told(shared):
    """The answers of forty orders of two accounts, in order: approvals, refusals, one override, one undecided."""
    answers = []
    for n in range(40):
        quantity = (1, 150, 1500, 5)[n % 4]
        symbol = ("ACME", "BETA")[n // 2 % 2]
        answers.append(shared.check(id=f"q{n}", quantity=quantity, symbol=symbol, account="AB"[n % 3 == 0]))
    return answers


def listed(house, query="", by=RITA, **fields):
    """All items of a query, page by page."""
    found, cursor = [], ""
    for _ in range(1000):
        page = house.get(f"/v1/decisions?{query}{cursor}", by=by, **fields)
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"
    raise AssertionError("the pages do not end")


def ids(answers):
    return [a["id"] for a in answers]


def test_all_decisions_in_the_order_of_the_ledger(shared, told):
    found = listed(shared)
    assert ids(found) == ids(told)
    assert [f["outcome"] for f in found] == [t["outcome"] for t in told]
    assert {f["outcome"] for f in found} == {"approve", "needs_override", "reject"}


@pytest.mark.parametrize("size", [1, 2, 3, 39, 40, 41, 1000])
@pytest.mark.parametrize("newest_first", ["true", "false"])
def test_pages_of_any_size_have_every_decision_once(shared, told, size, newest_first):
    found = listed(shared, f"limit={size}&newest_first={newest_first}")
    assert ids(found) == (ids(told)[::-1] if newest_first == "true" else ids(told))


@pytest.mark.parametrize("outcome", ["approve", "needs_override", "reject", "undecided"])
def test_by_outcome(shared, told, outcome):
    assert ids(listed(shared, f"outcome={outcome}")) == ids(t for t in told if t["outcome"] == outcome)


@pytest.mark.parametrize("account", ["A", "B"])
def test_by_account(shared, told, account):
    assert ids(listed(shared, f"account={account}&limit=3")) == ids(t for t in told if t["account"] == account)


@pytest.mark.parametrize("rule", ["order-quantity", "large-order", "very-large-order", "nothing"])
def test_by_rule(shared, told, rule):
    expected = [t for t in told if any(v["rule"] == rule for v in t["violations"])]
    assert ids(listed(shared, f"rule={rule}")) == ids(expected)


@pytest.mark.parametrize("reason", ["ORDER_SIZE", "LIMIT_EXCEEDED", "EVALUATORS_DISAGREE"])
def test_by_leading_reason(shared, told, reason):
    assert ids(listed(shared, f"reason={reason}&limit=3")) == ids(t for t in told if t["reason"] == reason)


def test_by_order_and_by_several_things_at_once(shared, told):
    assert ids(listed(shared, "order=q7")) == [told[7]["id"]]
    both = [t for t in told if t["account"] == "A" and t["outcome"] == "reject"]
    assert ids(listed(shared, "account=A&outcome=reject&rule=order-quantity&limit=2")) == ids(both)


def test_by_time_of_recording(shared, told):
    times = {f["id"]: f["recorded_at"] for f in listed(shared)}
    middle = times[told[20]["id"]].replace("Z", "%2B00:00")
    later = [t for t in told if times[t["id"]] >= times[told[20]["id"]]]
    assert ids(listed(shared, f"from={middle}")) == ids(later)
    earlier = [t for t in told if times[t["id"]] < times[told[20]["id"]]]
    assert ids(listed(shared, f"to={middle}")) == ids(earlier)
    assert listed(shared, f"from={middle}&to={middle}") == []


def test_a_key_for_some_accounts_sees_these(shared, told):
    mine = {"by": "analyst/al", "accounts": ["B"]}
    expected = [t for t in told if t["account"] == "B"]
    assert ids(listed(shared, **mine)) == ids(expected)
    assert shared.refused("GET", "/v1/decisions?account=A", **mine) == (403, "account-not-permitted")
    assert shared.get(f"/v1/decisions/{expected[0]['id']}", **mine)["id"] == expected[0]["id"]
    hidden = next(t["id"] for t in told if t["account"] == "A")
    assert shared.refused("GET", f"/v1/decisions/{hidden}", **mine) == (404, "unknown-decision")


def test_one_decision_with_its_order(shared, told):
    found = shared.get(f"/v1/decisions/{told[2]['id']}", by=RITA)
    assert found["order"] == order(id="q2", quantity=1500, symbol="BETA", account="A")
    assert found["decision"]["outcome"] == "reject"
    assert "hash" in found["decision"]
    by_trader = shared.get(f"/v1/decisions/{told[2]['id']}", by=TESS)
    answered = {k: v for k, v in told[2].items() if k not in ("id", "recorded")}
    assert by_trader["decision"] == answered
    assert {"hash", "snapshot_hash", "verdicts"} & by_trader["decision"].keys() == set()


@pytest.mark.parametrize("identifier", ["0-0", "0-999999", "1-5", "0-5.9", "five", "0-5.0.0", "0--5", "0-" + "9" * 30])
def test_what_is_no_decision(shared, told, identifier):
    assert shared.refused("GET", f"/v1/decisions/{identifier}") == (404, "unknown-decision")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("cursor=x", "bad-cursor"),
        ("cursor=1-3", "bad-cursor"),
        ("cursor=0-3.1", "bad-cursor"),
        ("from=yesterday", "bad-time"),
        ("to=2026-06-15T12:00:00", "bad-time"),
        ("outcome=maybe", "invalid-request"),
        ("limit=0", "invalid-request"),
        ("limit=1001", "invalid-request"),
    ],
)
def test_a_query_that_makes_no_sense(shared, query, code):
    assert shared.refused("GET", f"/v1/decisions?{query}") == (422, code)


def test_a_cursor_beyond_the_end_finds_nothing(shared, told):
    assert shared.get("/v1/decisions?cursor=0-99999") == {"items": [], "next": None}


def test_observers_see_no_decisions(shared):
    assert shared.refused("GET", "/v1/decisions", by="observer") == (403, "not-permitted")


def test_a_page_that_has_looked_far_enough_says_where_to_go_on(shared, told, monkeypatch):
    monkeypatch.setattr(routes_decisions, "LOOKED_MAX", 5)
    monkeypatch.setattr(routes_decisions, "STEP", 2)
    page = shared.get("/v1/decisions?rule=nothing")
    assert page["items"] == []
    assert page["next"] is not None
    assert ids(listed(shared, "order=q39")) == [told[39]["id"]]
    assert ids(listed(shared, "newest_first=true&order=q0")) == [told[0]["id"]]


def test_decisions_of_a_batch_are_found_one_by_one(house):
    orders = [order(id=f"b{n}", quantity=q, account="AB"[n % 2]) for n, q in enumerate((1, 1500, 2))]
    answer = house.post("/v1/orders/check-batch", {"orders": orders, "mode": "cumulative"}, by=TESS)
    found = listed(house)
    seq = answer["recorded"]["seq"]
    assert [f["orders"] for f in found] == [["b0"], ["b1"], ["b2"]]
    assert ids(found) == [f"0-{seq}.{n}" for n in range(3)]
    assert ids(listed(house, "newest_first=true")) == ids(found)[::-1]
    assert ids(listed(house, "outcome=reject")) == [f"0-{seq}.1"]
    one = house.get(f"/v1/decisions/0-{seq}.1")
    assert (one["order"], one["decision"]["outcome"]) == (orders[1], "reject")
    assert ids(listed(house, by="analyst/al", accounts=["B"])) == [f"0-{seq}.1"]


def test_decisions_are_found_after_a_restart(house):
    answer = house.check(id="o1", quantity=1)
    before = listed(house)
    house.reopen()
    assert listed(house) == before
    assert ids(before) == [answer["id"]]


WATCHED = """
- rule: watched
  title: Somebody looks
  severity: warn
  audience: compliance
  require: order.symbol not in lists.watch
- rule: stopped
  title: Compliance stops it
  audience: compliance
  require: order.quantity <= 10
"""


def test_traders_cannot_search_for_what_they_may_not_see(tmp_path):
    house = House(tmp_path, WATCHED).furnished()
    try:
        house.post("/v1/lists", {"event_id": "l1", "items": [{"list": "watch", "entries": ["ACME"]}]})
        emptied = {"event_id": "l2", "items": [{"list": "watch", "names": []}]}
        assert house.refused("POST", "/v1/lists", emptied) == (422, "wrong-shape")
        looked, stopped = house.check(id="o1", quantity=1), house.check(id="o2", quantity=11, symbol="BETA")
        assert ids(listed(house, "rule=watched")) == [looked["id"]]
        assert ids(listed(house, "rule=stopped")) == [stopped["id"]]
        for rule in ("watched", "stopped"):
            assert listed(house, f"rule={rule}", by=TESS) == []
        (first, second) = listed(house, by=TESS)
        assert (first["rules"], first["hash"]) == ([], None)
        assert second["reason"] == "REFERRED"
    finally:
        house.close()
