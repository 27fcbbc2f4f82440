"""Breaches now: compared with the requirement worked out by hand, for the accounts a key may see."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lexorder.api.service.utilisation import covering, today, uses
from lexorder.engine.facts import load_snapshot
from tests.service.house import House
from tests.worlds import VOCABULARY, book, position, working, world

HALF = 500
"""Shares at 100 that are half of net assets: the limit of `issuer-weight`."""


def two_accounts(**sections):
    document = world(**sections)
    document["accounts"].append({**document["accounts"][0], "id": "B"})
    return document


def breaches(house, query="", **by):
    return house.get(f"/v1/breaches{query}", **by)


@pytest.mark.parametrize(("shares", "broken"), [(HALF - 1, 0), (HALF, 0), (HALF + 1, 1), (-HALF - 1, 1)])
def test_a_breach_begins_one_share_above_the_limit(shared, shares, broken):
    shared.post("/v1/snapshot", two_accounts(positions=[position("ACME", shares)]))
    found = breaches(shared)
    assert (found["count"], found["accounts"]) == (broken, 2)
    for item in found["items"]:
        told = (item["account"], item["rule"], item["subject"], item["status"], item["reason"])
        assert told == ("A", "issuer-weight", "ACME", "breach", "LIMIT_EXCEEDED")
        observed = Fraction(abs(shares) * 100, 100_000)
        assert (Fraction(item["observed"]), Fraction(item["limit"])) == (observed, Fraction(1, 2))
        assert Fraction(item["margin"]) == (Fraction(1, 2) - observed) * 100_000 < 0
        assert Fraction(item["headroom"]) == Fraction(1, 2) - observed


def test_working_orders_count_as_if_filled(shared):
    orders = [working("W", "ACME", "buy", 101)]
    shared.post("/v1/snapshot", two_accounts(positions=[position("ACME", 400)], working_orders=orders))
    assert [b["subject"] for b in breaches(shared)["items"]] == ["ACME"]


def test_a_price_makes_and_mends_a_breach(shared):
    shared.post("/v1/snapshot", two_accounts(positions=[position("ACME", HALF)]))
    assert breaches(shared)["count"] == 0
    for n, (mark, count) in enumerate([("100.01", 1), ("100", 0)]):
        shared.post("/v1/prices", {"event_id": f"p{n}", "items": [{"symbol": "ACME", "mark": mark}]})
        assert breaches(shared)["count"] == count


def test_what_nobody_can_judge_is_listed_last_and_may_be_left_out(shared):
    document = two_accounts(positions=[position("ACME", 1), position("BETA", HALF + 1)])
    del document["instruments"][0]["mark"]
    shared.post("/v1/snapshot", document)
    found = breaches(shared)["items"]
    assert [(b["subject"], b["status"]) for b in found] == [("BETA", "breach"), ("ACME", "undecided")]
    assert (found[1]["reason"], found[1]["observed"]) == ("MISSING_FACT", None)
    assert [b["subject"] for b in breaches(shared, "?undecided=false")["items"]] == ["BETA"]


def test_breaches_of_accounts_the_caller_may_see(shared):
    held = [position("ACME", HALF + 1), position("BETA", HALF + 2, account="B")]
    shared.post("/v1/snapshot", two_accounts(positions=held))
    only_b = {"by": "portfolio_manager/pam", "accounts": ["B"]}
    assert [b["account"] for b in breaches(shared)["items"]] == ["A", "B"]
    assert [b["account"] for b in breaches(shared, **only_b)["items"]] == ["B"]
    assert breaches(shared, **only_b)["accounts"] == 1
    assert [b["account"] for b in breaches(shared, "?account=A")["items"]] == ["A"]
    assert shared.refused("GET", "/v1/breaches?account=A", **only_b) == (403, "account-not-permitted")
    assert breaches(shared, "?account=Z")["items"] == []


def test_filters_and_the_length_of_the_list(shared):
    held = [position(s, HALF + 1, account=a) for a in "AB" for s in ("ACME", "BETA")]
    shared.post("/v1/snapshot", two_accounts(positions=held))
    assert breaches(shared, "?rule=issuer-weight")["count"] == 4
    assert breaches(shared, "?rule=other")["count"] == 0
    page = breaches(shared, "?limit=3")
    assert (page["count"], len(page["items"])) == (4, 3)
    assert shared.refused("GET", "/v1/breaches?limit=0") == (422, "invalid-request")


@pytest.mark.parametrize("by", ["observer"])
def test_who_may_not_look(shared, by):
    assert shared.refused("GET", "/v1/breaches", by=by) == (403, "not-permitted")


def test_an_approved_limit_is_watched_too(house):
    house.post("/v1/snapshot", two_accounts(positions=[position("ACME", 51)]))
    assert breaches(house)["count"] == 0
    told = {"id": "w", "kind": "position-weight", "severity": "soft", "values": {"2026-01-01": "5%"}}
    house.post("/v1/limits", told, by="risk_officer/ann", status=202)
    assert breaches(house)["count"] == 0
    house.post("/v1/limits/w/approve", by="risk_officer/bob")
    (found,) = breaches(house)["items"]
    assert (found["rule"], found["severity"]) == ("limit-w", "soft")


QUIET = """
- rule: hard-one
  title: Hard
  for_each: position
  require: abs(position.after.quantity) <= 10
- rule: quiet
  title: Quiet
  audience: compliance
  for_each: position
  require: abs(position.after.quantity) <= 10
- rule: soft-one
  title: Soft
  severity: soft
  for_each: position
  require: abs(position.after.quantity) <= 10
- rule: signals-only
  title: Signals
  phases: [rebalance]
  for_each: position
  require: abs(position.after.quantity) <= 10
"""


def test_rules_for_compliance_are_listed_for_compliance_alone_hard_ones_first(tmp_path):
    house = House(tmp_path, QUIET)
    try:
        house.post("/v1/snapshot", world(positions=[position("ACME", 11)]))
        for by, rules in (("risk_officer", ["hard-one", "quiet", "soft-one"]), ("analyst", ["hard-one", "soft-one"])):
            assert [b["rule"] for b in breaches(house, by=by)["items"]] == rules
    finally:
        house.close()


# ---- the measure by itself --------------------------------------------------------------------


def test_scopes_are_heeded():
    rules = book(
        "rule: scoped\ntitle: t\nfor_each: account\nscope: {accounts: [B]}\nrequire: account.cash >= 200_000",
        "rule: tagged\ntitle: t\nfor_each: account\nscope: {accounts: {tag: x}}\nrequire: account.cash >= 200_000",
    )
    snapshot = load_snapshot(two_accounts(account={"tags": ["x"]}), VOCABULARY)
    in_force = {r.id: r for r in rules.on(today(snapshot))}
    assert covering(in_force["scoped"], snapshot, ["A", "B", "Z"]) == ["B"]
    assert covering(in_force["tagged"], snapshot, ["A", "B"]) == ["A", "B"]
    (found,) = uses(snapshot, VOCABULARY, "B", [in_force["scoped"]])
    assert (found.broken, found.finding.subject, found.finding.margin) == (True, "B", Fraction(-100_000))


@pytest.mark.parametrize(
    ("cash", "status", "used"), [("99999", "breach", "0.99999"), ("100000", "pass", "1"), ("100001", "pass", "1.00001")]
)
def test_a_floor_is_used_upside_down(cash, status, used):
    (rule,) = book("rule: r\ntitle: t\nfor_each: account\nrequire: account.cash >= 100_000").on(today(snapshot_of("1")))
    (use,) = uses(snapshot_of(cash), VOCABULARY, "A", [rule])
    shown = use.shown()
    assert shown["status"] == status
    assert Fraction(shown["headroom"]) == Fraction(cash) - 100_000
    assert abs(Fraction(shown["used"]) - Fraction(used)) <= Fraction(1, 20_000)


def snapshot_of(cash):
    return load_snapshot(world(account={"cash": cash}), VOCABULARY)


def test_a_requirement_without_numbers_has_no_headroom():
    (rule,) = book("rule: r\ntitle: t\nfor_each: position\nrequire: not instrument.halted").on(today(snapshot_of("1")))
    document = world(positions=[position("ACME", 1)])
    document["instruments"][0]["halted"] = True
    (use,) = uses(load_snapshot(document, VOCABULARY), VOCABULARY, "A", [rule])
    shown = use.shown()
    assert (shown["status"], shown["headroom"], shown["used"], shown["observed"]) == ("breach", None, None, None)
