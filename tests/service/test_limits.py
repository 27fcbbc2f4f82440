"""Limits: proposed, approved by a second person, versioned, retired, measured."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from lexorder.api.service.limit_kinds import KINDS, rule_of
from lexorder.api.service.problems import Problem
from lexorder.engine.desk import shipped_vocabulary
from lexorder.engine.errors import RuleFileError
from lexorder.engine.rulebook import RuleBook
from tests.service.house import Outage, answered, state_of
from tests.worlds import position, working, world

ANN, BOB = "risk_officer/ann", "risk_officer/bob"
WEIGHT = {"kind": "position-weight", "values": {"2026-01-01": "5%"}}


def propose(house, identifier, body=WEIGHT, by=ANN):
    return house.post("/v1/limits", {"id": identifier, **body}, by=by, status=202)


def agreed(house, identifier, body=WEIGHT):
    propose(house, identifier, body)
    return house.post(f"/v1/limits/{identifier}/approve", by=BOB)


def reason(house, **facts):
    found = house.check(**facts)
    return found["outcome"], [v["rule"] for v in found["violations"]]


# ---- two persons ------------------------------------------------------------------------------


def test_a_limit_decides_from_the_second_persons_approval_on(house):
    asked = propose(house, "weight")
    assert (asked["state"], asked["version"], asked["proposed"]["person"]) == ("proposed", 1, "ann")
    assert reason(house, id="o1", quantity=51) == ("approve", [])
    answer = house.post("/v1/limits/weight/approve", by=BOB)
    assert (answer["state"], answer["decided"]["person"]) == ("approved", "bob")
    assert reason(house, id="o2", symbol="BETA", quantity=50) == ("approve", [])
    assert reason(house, id="o3", symbol="COCO", quantity=51) == ("reject", ["limit-weight"])


@pytest.mark.parametrize("by", [ANN, "risk_officer/ANN", "approver/ann", "risk_officer/ ann "])
def test_who_proposed_does_not_approve_whatever_the_key(house, by):
    propose(house, "mine")
    assert house.refused("POST", "/v1/limits/mine/approve", by=by) == (409, "second-person-required")
    assert house.get("/v1/limits/mine")["state"] == "proposed"


def test_another_key_of_the_same_role_is_not_another_person(house):
    house.call("GET", "/v1/limits", by=ANN, lifetime_s=3600)
    propose(house, "mine")
    assert house.call("POST", "/v1/limits/mine/approve", by=ANN, lifetime_s=3600).status_code == 409


@pytest.mark.parametrize("by", ["admin", "senior_trader", "portfolio_manager", "analyst", "observer"])
def test_only_approvers_approve_and_reject(house, by):
    propose(house, "mine")
    for step in ("approve", "reject"):
        assert house.refused("POST", f"/v1/limits/mine/{step}", by=by) == (403, "not-permitted")


def test_a_key_without_the_scope_approves_nothing(house):
    propose(house, "mine")
    narrowed = {"scopes": ["read", "rules"]}
    assert house.refused("POST", "/v1/limits/mine/approve", by=BOB, **narrowed) == (403, "not-permitted")


@pytest.mark.parametrize(
    "by", ["approver", "senior_trader", "junior_trader", "portfolio_manager", "analyst", "observer"]
)
def test_only_risk_staff_propose(shared, by):
    assert shared.refused("POST", "/v1/limits", {"id": "x", **WEIGHT}, by=by) == (403, "not-permitted")


def test_a_rejected_limit_never_decides_and_may_be_proposed_again(house):
    propose(house, "weight")
    answer = house.post("/v1/limits/weight/reject", {"reason": "too tight"}, by=BOB)
    assert (answer["state"], answer["reason"], answer["decided"]["person"]) == ("rejected", "too tight", "bob")
    assert house.refused("POST", "/v1/limits/weight/approve", by=BOB) == (409, "wrong-state")
    assert reason(house, quantity=51)[0] == "approve"
    assert answered(house.call("PUT", "/v1/limits/weight", WEIGHT, ANN), 202)["version"] == 2


def test_who_proposed_may_take_it_back(house):
    propose(house, "weight")
    assert house.post("/v1/limits/weight/reject", by=ANN)["state"] == "rejected"


# ---- versions ---------------------------------------------------------------------------------


def test_a_new_version_replaces_the_old_one_when_it_is_approved(house):
    agreed(house, "weight")
    wider = {**WEIGHT, "values": {"2026-01-01": "6%"}}
    assert answered(house.call("PUT", "/v1/limits/weight", wider, ANN), 202)["version"] == 2
    assert reason(house, id="o1", quantity=60)[0] == "reject"
    assert house.get("/v1/limits/weight")["version"] == 1
    house.post("/v1/limits/weight/approve", by=BOB)
    assert reason(house, id="o2", quantity=60)[0] == "approve"
    assert reason(house, id="o3", symbol="BETA", quantity=61)[0] == "reject"
    assert house.get("/v1/limits/weight")["version"] == 2
    assert house.get("/v1/limits/weight?version=1")["state"] == "replaced"
    assert [v["version"] for v in house.get("/v1/limits?state=replaced")["items"]] == [1]


def test_retiring_needs_a_second_person_too(house):
    agreed(house, "weight")
    asked = answered(house.call("DELETE", "/v1/limits/weight", by=ANN), 202)
    assert (asked["state"], asked["retired_by"]["person"]) == ("retiring", "ann")
    assert reason(house, id="o1", quantity=51)[0] == "reject"
    assert house.refused("POST", "/v1/limits/weight/approve", by=ANN) == (409, "second-person-required")
    assert house.post("/v1/limits/weight/approve", by=BOB)["state"] == "retired"
    assert reason(house, id="o2", quantity=51)[0] == "approve"
    assert house.refused("DELETE", "/v1/limits/weight", by=ANN) == (409, "wrong-state")


def test_a_refused_end_leaves_the_limit_as_it_was(house):
    agreed(house, "weight")
    house.call("DELETE", "/v1/limits/weight", {"reason": "not needed"}, ANN)
    assert house.post("/v1/limits/weight/reject", by=BOB)["state"] == "approved"
    assert reason(house, quantity=51)[0] == "reject"


def test_one_request_about_a_limit_is_open_at_a_time(house):
    agreed(house, "weight")
    house.call("DELETE", "/v1/limits/weight", by=ANN)
    assert house.refused("DELETE", "/v1/limits/weight", by=BOB) == (409, "request-open")
    assert house.refused("PUT", "/v1/limits/weight", WEIGHT, BOB) == (409, "request-open")
    propose(house, "other")
    assert house.refused("PUT", "/v1/limits/other", WEIGHT, BOB) == (409, "request-open")
    assert house.refused("DELETE", "/v1/limits/other", by=BOB) == (409, "request-open")


def test_the_history_tells_who_did_what(house):
    agreed(house, "weight")
    house.call("DELETE", "/v1/limits/weight", {"reason": "old"}, ANN)
    house.post("/v1/limits/weight/approve", by=BOB)
    told = house.get("/v1/limits/weight/history", by="analyst")
    steps = [(s["action"], s["person"], s["reason"]) for s in told["items"]]
    assert steps == [
        ("propose", "ann", ""),
        ("approve", "bob", ""),
        ("retire-request", "ann", "old"),
        ("retire", "bob", ""),
    ]
    assert [v["state"] for v in told["versions"]] == ["retired"]


def test_a_dated_limit_holds_from_its_day_on(house):
    agreed(house, "weight", {**WEIGHT, "values": {"2026-01-01": "6%", "2026-06-15": "5%", "2026-06-16": "1%"}})
    assert reason(house, id="o1", quantity=50)[0] == "approve"
    assert reason(house, id="o2", symbol="BETA", quantity=51)[0] == "reject"
    house.post("/v1/snapshot", world(time="2026-06-16T12:00:00-04:00"))
    assert reason(house, id="o3", quantity=10)[0] == "approve"
    assert reason(house, id="o4", symbol="BETA", quantity=11)[0] == "reject"


def test_a_limit_of_tomorrow_decides_nothing_today(house):
    agreed(house, "weight", {**WEIGHT, "values": {"2026-06-16": "1%"}})
    assert reason(house, quantity=60)[0] == "approve"
    assert house.post("/v1/limits/weight/check")["note"] == "not in force on this day"


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "weight", "values": {"2026-01-01": "5%"}}, "unknown-limit-kind"),
        ({"values": {"2026-01-01": "5%"}}, "unknown-limit-kind"),
        ({**WEIGHT, "require": "order.quantity <= limit"}, "unknown-limit-kind"),
        ({**WEIGHT, "values": {}}, "invalid-request"),
        ({**WEIGHT, "values": {"soon": "5%"}}, "invalid-request"),
        ({**WEIGHT, "values": {"2026-02-30": "5%"}}, "bad-date"),
        ({**WEIGHT, "values": {"2026-01-01": "5 bananas"}}, "unknown-duration"),
        ({**WEIGHT, "values": {"2026-01-01": "5 USD"}}, "unit-mismatch"),
        ({**WEIGHT, "severity": "deadly"}, "invalid-request"),
        ({**WEIGHT, "reason_code": "BECAUSE"}, "bad-choice"),
        ({**WEIGHT, "scope": {"everyone": "yes"}}, "unknown-key"),
        ({"require": "order.quantiy <= limit", "for_each": "order", "values": {"2026-01-01": "5"}}, "unknown-name"),
        ({"require": "order.quantity <=", "for_each": "order", "values": {"2026-01-01": "5"}}, "syntax"),
        ({**WEIGHT, "surprise": 1}, "invalid-request"),
    ],
)
def test_a_limit_that_is_none_is_not_kept(shared, body, code):
    assert shared.refused("POST", "/v1/limits", {"id": "wrong", **body}, ANN) == (422, code)
    assert shared.refused("GET", "/v1/limits/wrong") == (404, "unknown-limit")


def test_findings_repeat_nothing_that_was_sent(shared):
    secret = "hush_hush"
    body = {"id": "wrong", "require": f"{secret} <= limit", "values": {"2026-01-01": "5"}}
    answer = shared.call("POST", "/v1/limits", body, ANN)
    assert answer.status_code == 422
    assert [f["code"] for f in answer.json()["findings"]] == ["unknown-name"]
    assert secret not in answer.text


@pytest.mark.parametrize("identifier", ["", "Weight", "a b", "a--b", "-a", "a" * 61, "ä"])
def test_a_name_is_a_name(shared, identifier):
    assert shared.refused("POST", "/v1/limits", {"id": identifier, **WEIGHT}, ANN) == (422, "invalid-request")


def test_a_name_is_used_once(house):
    propose(house, "weight")
    assert house.refused("POST", "/v1/limits", {"id": "weight", **WEIGHT}, ANN) == (409, "limit-exists")
    assert house.refused("PUT", "/v1/limits/other", WEIGHT, ANN) == (404, "unknown-limit")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/history"),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/check"),
        ("POST", "/approve"),
        ("POST", "/reject"),
    ],
)
def test_a_limit_nobody_proposed_is_unknown(shared, method, path):
    body = WEIGHT if method == "PUT" else None
    by = BOB if method != "GET" else "analyst"
    found = shared.refused(method, f"/v1/limits/nothing{path}", body, by)
    assert found in {(404, "unknown-limit"), (409, "wrong-state")}
    assert shared.refused("GET", "/v1/limits/nothing?version=3") == (404, "unknown-limit")


def test_nothing_is_proposed_while_nothing_can_be_recorded(house):
    with Outage(house):
        assert house.refused("POST", "/v1/limits", {"id": "weight", **WEIGHT}, ANN) == (503, "ledger-unavailable")
    house.until(lambda: not house.service.journal.down)
    assert house.refused("GET", "/v1/limits/weight") == (404, "unknown-limit")


# ---- kinds ------------------------------------------------------------------------------------


MONEY = {"order-value", "position-value"}
SHARES = {"order-quantity"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "fitting"), [("5%", KINDS.keys() - MONEY - SHARES), ("1_000 USD", MONEY)])
def test_every_kind_takes_figures_of_its_own_unit_only(kind, value, fitting):
    text = json.dumps([rule_of("x", {"kind": kind, "values": {"2026-01-01": value}})])
    if kind in fitting:
        (versions,) = RuleBook.of(text, shipped_vocabulary()).versions
        assert versions.id == "limit-x"
    else:
        with pytest.raises(RuleFileError) as refused:
            RuleBook.of(text, shipped_vocabulary())
        assert refused.value.code == "unit-mismatch"


def test_a_limit_may_say_its_own_requirement(house):
    body = {
        "require": "count(position where position.after.quantity > 0) <= limit",
        "values": {"2026-01-01": {"value": "1", "cite": "mandate 3"}},
        "scope": {"accounts": ["A"]},
        "severity": "soft",
        "override": {"roles": ["approver"], "approvers": 2},
        "owner": "desk",
    }
    agreed(house, "names", body)
    assert reason(house, id="o1", quantity=1)[0] == "approve"
    assert reason(house, id="o2", symbol="BETA", quantity=1) == ("needs_override", ["limit-names"])
    assert reason(house, id="o3", symbol="BETA", quantity=1, account="B")[0] == "approve"
    assert house.get("/v1/limits/names")["limit"] == body


def test_a_rule_without_values_is_no_limit():
    with pytest.raises(Problem) as refused:
        rule_of("x", {"kind": "order-value"})
    assert refused.value.code == "limit-without-values"


# ---- use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shares", "status"), [(49, "pass"), (50, "pass"), (51, "breach")])
def test_use_is_exact_on_the_limit_and_a_share_beside(house, shares, status):
    house.post("/v1/snapshot", world(positions=[position("ACME", shares)]))
    agreed(house, "weight")
    (use,) = house.post("/v1/limits/weight/check", by="analyst")["items"]
    observed, limit = Fraction(shares * 100, 100_000), Fraction(5, 100)
    assert (use["account"], use["subject"], use["status"]) == ("A", "ACME", status)
    assert (Fraction(use["observed"]), Fraction(use["limit"])) == (observed, limit)
    assert Fraction(use["headroom"]) == limit - observed
    assert Fraction(use["margin"]) == (limit - observed) * 100_000
    assert abs(Fraction(use["used"]) - observed / limit) <= Fraction(1, 20_000)


def test_working_orders_are_counted_as_if_filled(house):
    book = [working("W1", "ACME", "buy", 30), working("W2", "ACME", "sell", 40)]
    house.post("/v1/snapshot", world(positions=[position("ACME", 40)], working_orders=book))
    agreed(house, "weight")
    found = house.post("/v1/limits/weight/check")
    assert [Fraction(u["observed"]) for u in found["items"]] == [Fraction(70, 1000)]
    assert found["breaches"] == 1


def test_a_version_is_measured_before_it_is_approved(house):
    house.post("/v1/snapshot", world(positions=[position("ACME", 50)]))
    agreed(house, "weight")
    house.call("PUT", "/v1/limits/weight", {**WEIGHT, "values": {"2026-01-01": "4%"}}, ANN)
    assert house.post("/v1/limits/weight/check")["breaches"] == 0
    proposed = house.post("/v1/limits/weight/check", {"version": 2})
    assert (proposed["state"], proposed["breaches"]) == ("proposed", 1)


def test_a_missing_fact_is_undecided_not_left_out(house):
    document = world(positions=[position("ACME", 50)])
    del document["instruments"][0]["mark"]
    house.post("/v1/snapshot", document)
    agreed(house, "weight")
    (use,) = house.post("/v1/limits/weight/check")["items"]
    assert (use["status"], use["reason"], use["used"]) == ("undecided", "MISSING_FACT", None)
    assert "mark" in use["why"]


def test_use_is_told_for_accounts_the_caller_may_see(house):
    held = [position("ACME", 10), position("BETA", 20, account="B")]
    document = world(positions=held)
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    house.post("/v1/snapshot", document)
    agreed(house, "weight")
    mine = {"by": "portfolio_manager/pam", "accounts": ["B"]}
    assert [u["account"] for u in house.post("/v1/limits/weight/check")["items"]] == ["A", "B"]
    assert [u["account"] for u in house.post("/v1/limits/weight/check", **mine)["items"]] == ["B"]
    asked = {"accounts": ["A"]}
    assert house.refused("POST", "/v1/limits/weight/check", asked, **mine) == (403, "account-not-permitted")
    assert [u["account"] for u in house.post("/v1/limits/weight/check", asked)["items"]] == ["A"]


def test_a_limit_on_orders_has_no_use_between_orders(house):
    agreed(house, "shares", {"kind": "order-quantity", "values": {"2026-01-01": "70"}})
    found = house.post("/v1/limits/shares/check")
    assert (found["items"], found["note"]) == ([], "judged order by order")
    assert reason(house, id="o1", quantity=70)[0] == "approve"
    assert reason(house, id="o2", symbol="BETA", quantity=71) == ("reject", ["limit-shares"])


def test_the_list_has_the_version_that_decides_and_the_kinds(house):
    agreed(house, "b-limit")
    propose(house, "a-limit")
    told = house.get("/v1/limits", by="senior_trader")
    assert [(v["id"], v["state"]) for v in told["items"]] == [("a-limit", "proposed"), ("b-limit", "approved")]
    assert set(told["kinds"]) == set(KINDS)


# ---- restarts ---------------------------------------------------------------------------------


def test_limits_survive_a_restart_and_a_snapshot(house):
    agreed(house, "weight")
    propose(house, "open")
    agreed(house, "gone")
    house.call("DELETE", "/v1/limits/gone", by=ANN)
    house.furnished()
    agreed(house, "late", {**WEIGHT, "values": {"2026-01-01": "4%"}})
    house.check(id="o1", quantity=30)
    before = state_of(house.service.floor)
    house.reopen()
    assert state_of(house.service.floor) == before
    assert reason(house, id="o2", symbol="BETA", quantity=41) == ("reject", ["limit-late"])
    assert house.post("/v1/limits/gone/approve", by=BOB)["state"] == "retired"
    assert house.refused("POST", "/v1/limits/open/approve", by="approver/ann") == (409, "second-person-required")
