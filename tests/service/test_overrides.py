"""Overrides: asked for by one person, granted by others, decided again on the state of now."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from lexorder.api.service.override_book import Approval, Asked
from lexorder.api.service.overriding import OPEN_FOR, expires, standing
from lexorder.api.service.principal import Author
from lexorder.api.service.problems import Problem
from lexorder.engine.decision import Outcome
from lexorder.engine.desk import Desk
from tests.service.house import House, Outage, state_of
from tests.worlds import VOCABULARY, book, order, world

TESS, RITA, ROB, ANA = "senior_trader/tess", "risk_officer/rita", "risk_officer/rob", "approver/ana"
WHY = {"reason": "the client insists"}
ONE, TWO = 150, 300
"""Quantities that need one approver, or two for a second rule."""


def soft(house, identifier="o1", quantity=ONE, **facts):
    decided = house.check(id=identifier, quantity=quantity, **facts)
    assert decided["outcome"] == "needs_override"
    return decided


def asked(house, identifier="o1", quantity=ONE, by=TESS, **facts):
    decided = soft(house, identifier, quantity, **facts)
    request = house.post(f"/v1/orders/{identifier}/override", WHY, by=by, status=202)
    assert request["id"] == decided["id"]
    return request["id"]


def approve(house, identifier, by=RITA):
    return house.post(f"/v1/overrides/{identifier}/approve", by=by)


def refused(house, identifier, by=RITA, step="approve"):
    return house.refused("POST", f"/v1/overrides/{identifier}/{step}", by=by)


# ---- granted ----------------------------------------------------------------------------------


def test_an_order_goes_out_with_the_last_approval(house):
    identifier = asked(house)
    request = house.get(f"/v1/overrides/{identifier}", by=RITA)
    assert (request["state"], request["reason"], request["requested"]["person"]) == ("open", WHY["reason"], "tess")
    need = {"roles": ["risk_officer"], "approvers": 1, "subjects": ["o1"], "missing": 1}
    assert request["needs"] == {"large-order": need}
    assert request["now"]["outcome"] == "needs_override"
    answer = approve(house, identifier)
    assert (answer["outcome"], answer["orders"], answer["override"]) == ("approve", ["o1"], identifier)
    assert [(o["rule"], o["subject"]) for o in answer["overridden"]] == [("large-order", "o1")]
    assert [(a["role"]) for a in answer["approvals"]] == ["risk_officer"]
    assert answer["decision"]["outcome"] == "needs_override"
    assert house.get(f"/v1/overrides/{identifier}", by=TESS)["state"] == "granted"


def test_a_granted_order_counts_as_working(house):
    approve(house, asked(house))
    working = house.get("/v1/working-orders")["items"]
    assert [(w["id"], w["quantity"]) for w in working] == [("o1", "150")]
    # half of net assets is 500 shares of the issuer: 150 are taken
    assert house.check(id="o2", quantity=351)["outcome"] == "reject"
    assert house.check(id="o1", quantity=1)["reason"] == "DUPLICATE_ORDER"


def test_the_grant_is_recorded_with_the_new_decision(house):
    identifier = asked(house)
    answer = approve(house, identifier)
    records = house.run(house.service.recorded(kind="override"))
    actions = [msgspec.json.decode(r.body)["action"] for r in records]
    assert actions == ["request", "approve"]
    body = msgspec.json.decode(records[-1].body)
    assert (body["granted"], body["reserved"], body["by"]) == (True, True, answer["approvals"][0]["by"])
    assert body["decision"]["hash"] == answer["decision"]["hash"]
    assert (records[-1].ref, records[-1].account) == (identifier, "A")
    found = house.get(f"/v1/decisions/{answer['id']}")
    assert (found["override"], found["granted"], found["decision"]) == (identifier, True, answer["decision"])


@pytest.mark.parametrize("second", [ROB, ANA])
def test_every_rule_needs_as_many_approvers_as_it_says(house, second):
    identifier = asked(house, quantity=TWO)
    first = approve(house, identifier)
    assert first["state"] == "open"
    assert {rule: need["missing"] for rule, need in first["needs"].items()} == {"large-order": 0, "very-large-order": 1}
    answer = approve(house, identifier, second)
    assert answer["outcome"] == "approve"
    assert {o["rule"] for o in answer["overridden"]} == {"large-order", "very-large-order"}


def test_two_approvers_do_not_help_a_rule_that_wants_another_role(house):
    identifier = asked(house, quantity=TWO)
    approve(house, identifier, ANA)
    open_still = approve(house, identifier, "approver/abe")
    assert {rule: need["missing"] for rule, need in open_still["needs"].items()} == {
        "large-order": 1,
        "very-large-order": 0,
    }
    assert approve(house, identifier)["outcome"] == "approve"


def test_an_order_that_has_become_fine_goes_out_without_breach(house):
    identifier = asked(house, quantity=101)
    ann, bob = "risk_officer/ann", "risk_officer/bob"
    wider = {"name": "wider", "files": {"a.yaml": "- rule: r\n  title: t\n  require: order.quantity <= 500\n"}}
    new = house.post("/v1/rulebooks", wider, by=ann)["id"]
    house.post(f"/v1/rulebooks/{new}/activate", by=ann, status=202)
    house.post(f"/v1/rulebooks/{new}/approve", by=bob)
    answer = approve(house, identifier)
    assert (answer["outcome"], answer["overridden"], answer["decision"]["outcome"]) == ("approve", [], "approve")


# ---- two persons ------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["risk_officer/tess", "approver/Tess", "risk_officer/TESS "])
def test_who_asked_does_not_approve_whatever_the_key(house, by):
    identifier = asked(house)
    assert refused(house, identifier, by) == (409, "second-person-required")


@pytest.mark.parametrize("by", ["risk_officer/Rita", "approver/rita"])
def test_nobody_counts_twice_whatever_the_key(house, by):
    identifier = asked(house, quantity=TWO)
    approve(house, identifier)
    assert refused(house, identifier, by) == (409, "already-approved")
    assert len(house.get(f"/v1/overrides/{identifier}")["approvals"]) == 1


def test_an_approver_whose_role_no_rule_names_is_refused(house):
    identifier = asked(house)
    assert refused(house, identifier, ANA) == (403, "not-an-approver")


@pytest.mark.parametrize("by", ["admin", TESS, "junior_trader", "portfolio_manager", "analyst", "observer"])
def test_only_approvers_decide(shared, by):
    assert refused(shared, "0-1", by) == (403, "not-permitted")
    assert refused(shared, "0-1", by, "reject") == (403, "not-permitted")


@pytest.mark.parametrize("by", [RITA, ANA, "analyst", "observer"])
def test_only_who_trades_asks(shared, by):
    assert shared.refused("POST", "/v1/orders/o1/override", WHY, by) == (403, "not-permitted")


# ---- refused ----------------------------------------------------------------------------------


def test_an_order_that_nothing_is_known_of(shared):
    assert shared.refused("POST", "/v1/orders/none/override", WHY, TESS) == (404, "unknown-order")
    assert shared.refused("GET", "/v1/overrides/0-999") == (404, "unknown-override")
    assert refused(shared, "0-999") == (404, "unknown-override")


@pytest.mark.parametrize(("quantity", "outcome"), [(1, "approve"), (1001, "reject")])
def test_only_soft_breaches_are_overridden(shared, quantity, outcome):
    assert shared.check(id=f"q{quantity}", quantity=quantity)["outcome"] == outcome
    assert shared.refused("POST", f"/v1/orders/q{quantity}/override", WHY, TESS) == (409, "no-override-needed")


@pytest.mark.parametrize("body", [None, {}, {"reason": ""}, {"reason": "x" * 501}, {**WHY, "order": "o2"}])
def test_a_request_needs_its_reason(shared, body):
    assert shared.refused("POST", "/v1/orders/o1/override", body, TESS) == (422, "invalid-request")


def test_a_decision_is_asked_about_once(house):
    identifier = asked(house)
    assert house.refused("POST", "/v1/orders/o1/override", WHY, TESS) == (409, "override-exists")
    house.post(f"/v1/overrides/{identifier}/reject", by=RITA)
    assert house.refused("POST", "/v1/orders/o1/override", WHY, TESS) == (409, "override-exists")
    assert asked(house) != identifier  # checked again: another decision


def test_a_rejected_request_grants_nothing(house):
    identifier = asked(house)
    answer = house.post(f"/v1/overrides/{identifier}/reject", {"reason": "no"}, by=RITA)
    assert (answer["state"], answer["decided"]["person"]) == ("rejected", "rita")
    assert refused(house, identifier) == (409, "wrong-state")
    assert house.get("/v1/working-orders")["items"] == []


def test_a_granted_request_is_not_granted_again(house):
    identifier = asked(house)
    approve(house, identifier)
    assert refused(house, identifier, ROB) == (409, "wrong-state")
    assert refused(house, identifier, ROB, "reject") == (409, "wrong-state")
    assert len(house.get("/v1/working-orders")["items"]) == 1


@pytest.mark.parametrize(("minutes", "granted"), [(9, True), (10, False), (11, False)])
def test_a_request_expires_when_its_rule_says_so(tmp_path, minutes, granted):
    house = House(tmp_path, clock="feed").furnished()
    identifier = asked(house)
    later = (datetime.fromisoformat(world()["time"]) + timedelta(minutes=minutes)).isoformat()
    house.post("/v1/prices", {"event_id": "e1", "time": later, "items": []})
    try:
        if granted:
            assert approve(house, identifier)["outcome"] == "approve"
        else:
            assert refused(house, identifier) == (409, "override-expired")
            assert house.get(f"/v1/overrides/{identifier}")["state"] == "expired"
            assert [o["id"] for o in house.get("/v1/overrides?state=expired")["items"]] == [identifier]
    finally:
        house.close()


# ---- decided again ----------------------------------------------------------------------------


def working(house):
    return [w["id"] for w in house.get("/v1/working-orders")["items"]]


def test_a_hard_limit_that_is_broken_meanwhile_stops_the_grant(house):
    identifier = asked(house, quantity=ONE)
    for n in range(4):
        house.check(id=f"more{n}", quantity=100)  # 400 working: 150 more are above half of net assets
    answer = house.call("POST", f"/v1/overrides/{identifier}/approve", by=RITA)
    assert (answer.status_code, answer.json()["code"]) == (409, "override-not-covered")
    assert (answer.json()["outcome"], answer.json()["reason"]) == ("reject", "LIMIT_EXCEEDED")
    assert "o1" not in working(house)
    told = house.get(f"/v1/overrides/{identifier}")
    assert (told["state"], told["refused"], told["approvals"]) == ("open", "override-not-covered", [])


def test_it_may_be_tried_again_when_the_way_is_free(house):
    identifier = asked(house)
    house.post("/v1/kill", {"scope": "account", "id": "A"})
    assert refused(house, identifier) == (409, "override-not-covered")
    resume = {"scope": "account", "id": "A", "state": "ACTIVE", "reason": "over"}
    house.post("/v1/trading-state", resume)
    assert approve(house, identifier)["outcome"] == "approve"


def test_a_doubtful_feed_stops_the_grant(house):
    house.post("/v1/prices", {"event_id": "e1", "sequence": 1, "items": []})
    identifier = asked(house)
    house.call("POST", "/v1/prices", {"event_id": "e3", "sequence": 3, "items": []})
    assert house.call("POST", f"/v1/overrides/{identifier}/approve", by=RITA).json()["outcome"] == "undecided"
    assert working(house) == []


def test_a_soft_breach_that_was_not_asked_about_stops_the_grant(house):
    identifier = asked(house)
    body = {"id": "s", "kind": "order-quantity", "severity": "soft", "values": {"2026-01-01": "10"}}
    house.post("/v1/limits", body, by=RITA, status=202)
    house.post("/v1/limits/s/approve", by=ROB)
    assert refused(house, identifier) == (409, "override-not-covered")


def test_an_order_whose_id_works_meanwhile_is_not_sent_twice(house):
    identifier = asked(house)
    assert house.check(id="o1", quantity=10)["outcome"] == "approve"
    assert refused(house, identifier) == (409, "override-not-covered")
    assert working(house) == ["o1"]


def decided(quantity, *rules):
    found = Desk(book(*rules), world(), VOCABULARY).check(order(quantity=quantity, id="o1"))
    assert found.outcome is Outcome.NEEDS_OVERRIDE
    return found


SOFT = "rule: soft\ntitle: t\nseverity: soft\nrequire: order.quantity <= 100"
OTHER = "rule: other\ntitle: t\nseverity: soft\nrequire: order.quantity <= 200"


@pytest.mark.parametrize(
    ("needs", "covered"),
    [
        ({"soft": {"subjects": ["o1"]}}, True),
        ({"soft": {"subjects": ["o1"]}, "gone": {"subjects": ["o1"]}}, True),
        ({"soft": {"subjects": ["o2"]}}, False),
        ({"soft": {"subjects": []}}, False),
        ({"other": {"subjects": ["o1"]}}, False),
        ({}, False),
    ],
)
def test_a_request_covers_its_rules_and_subjects_only(needs, covered):
    decision = decided(150, SOFT, OTHER)
    if covered:
        assert [r.rule for r in standing(decision, needs)] == ["soft"]
    else:
        with pytest.raises(Problem) as error:
            standing(decision, needs)
        assert error.value.code == "override-not-covered"


# ---- who sees what ----------------------------------------------------------------------------


def test_requests_are_seen_by_who_may_see_the_account(house):
    mine, other = asked(house), asked(house, "o2", account="B")
    only_b = {"by": "portfolio_manager/pam", "accounts": ["B"]}
    assert [o["id"] for o in house.get("/v1/overrides", **only_b)["items"]] == [other]
    assert [o["id"] for o in house.get("/v1/overrides")["items"]] == [other, mine]
    assert house.refused("GET", f"/v1/overrides/{mine}", **only_b) == (404, "unknown-override")
    officer = {"by": "risk_officer/ben", "accounts": ["B"]}
    assert house.refused("POST", f"/v1/overrides/{mine}/approve", **officer) == (404, "unknown-override")
    assert house.post(f"/v1/overrides/{other}/approve", **officer)["outcome"] == "approve"


def test_an_order_of_an_account_one_may_not_see_is_unknown(house):
    soft(house)
    only_b = {"by": "senior_trader/bea", "accounts": ["B"]}
    assert house.refused("POST", "/v1/orders/o1/override", WHY, **only_b) == (404, "unknown-order")


CONFIDENTIAL = """
- rule: quiet
  title: Quiet
  severity: soft
  audience: compliance
  require: order.quantity <= 10
- rule: loud
  title: Loud
  severity: soft
  require: order.quantity <= 20
"""


def test_a_rule_for_compliance_alone_leaves_no_trace_with_traders(tmp_path):
    house = House(tmp_path, CONFIDENTIAL).furnished()
    try:
        soft(house, "o1", 30)
        assert house.refused("POST", "/v1/orders/o1/override", WHY, TESS) == (409, "referred")
        request = house.post("/v1/orders/o1/override", WHY, by="admin", status=202)
        assert set(request["needs"]) == {"quiet", "loud"}
        for listed in ("/v1/overrides", "/v1/decisions"):
            for path in (listed, f"{listed}/{request['id']}"):
                assert "quiet" in house.call("GET", path, by=RITA).text
                answer = house.call("GET", path, by=TESS)
                assert answer.status_code == 200
                assert "quiet" not in answer.text
        assert approve(house, request["id"])["outcome"] == "approve"
        body = msgspec.json.decode(house.run(house.service.recorded(kind="override"))[-1].body)
        assert "quiet" in str(body["decision"])
        assert "quiet" not in str(body["shown"])
    finally:
        house.close()


# ---- restarts, outages ------------------------------------------------------------------------


def test_requests_and_grants_survive_restarts_and_snapshots(house):
    granted, half = asked(house), asked(house, "o2", TWO, account="B")
    approve(house, granted)
    approve(house, half)
    before = state_of(house.service.floor)
    assert "o1" in before["working"]
    house.reopen()
    assert state_of(house.service.floor) == before
    house.furnished()
    before = state_of(house.service.floor)
    assert before["working"] == {}
    house.reopen()
    assert state_of(house.service.floor) == before
    assert refused(house, half, "approver/rita") == (409, "already-approved")
    assert approve(house, half, ANA)["outcome"] == "approve"


def test_a_grant_that_is_not_recorded_did_not_happen(house):
    identifier = asked(house)
    with Outage(house):
        assert refused(house, identifier) == (503, "ledger-unavailable")
        assert house.refused("POST", "/v1/orders/o1/override", WHY, TESS) == (503, "ledger-unavailable")
    house.until(lambda: not house.service.journal.down)
    assert working(house) == []
    assert approve(house, identifier)["outcome"] == "approve"
    assert working(house) == ["o1"]


# ---- the request by itself --------------------------------------------------------------------


def request(**fields):
    told = {"id": "0-1", "account": "A", "order": {}, "reason": "r", "needs": {}, "at": "t"}
    until = "2026-06-15T12:00:00-04:00"
    return Asked(**{**told, "by": Author("key:a", "ann"), "expires": until, **fields})


@pytest.mark.parametrize(("number", "suffices"), [(0, False), (1, False), (2, True), (3, True)])
def test_approvals_suffice_from_the_number_the_rule_says(number, suffices):
    approvals = tuple(Approval(Author(f"key:{n}", f"p{n}"), "risk_officer", "t") for n in range(number))
    others = tuple(Approval(Author(f"key:x{n}", f"x{n}"), "approver", "t") for n in range(9))
    needs = {"r": {"roles": ["risk_officer"], "approvers": 2}}
    assert request(needs=needs, approvals=(*others, *approvals)).suffices() is suffices


@pytest.mark.parametrize(("seconds", "expired"), [(-1, False), (0, True), (1, True)])
def test_a_request_expires_to_the_instant(seconds, expired):
    moment = datetime.fromisoformat(request().expires) + timedelta(seconds=seconds)
    assert request().expired(moment) is expired
    assert request(expires="soon").expired(moment) is True


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], OPEN_FOR),
        (["10 min"], timedelta(minutes=10)),
        (["2 h", "30 s"], timedelta(seconds=30)),
        (["3 days"], OPEN_FOR),
    ],
)
def test_the_shortest_time_of_the_rules_counts(given, wanted):
    override = "override: {{roles: [risk_officer], reason: required, approvers: 1{}}}"
    ends = [f", expires: {written}" for written in given] or [""]
    texts = [SOFT.replace("rule: soft", f"rule: r{n}") + "\n" + override.format(end) for n, end in enumerate(ends)]
    now = datetime.fromisoformat("2026-06-15T12:00:00-04:00")
    rules = {r.id: r for r in book(*texts).on(now.date())}
    assert expires(rules, rules, now) - now == wanted
