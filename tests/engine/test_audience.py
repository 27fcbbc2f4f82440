"""What a trader may see: nothing that depends on what only compliance may know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.audience import for_trader, to_json
from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.desk import fast, slow
from lexorder.engine.rule import Audience
from tests.worlds import VOCABULARY, book, desk, instrument, order, position, world

WATCH = """
    rule: watch
    title: Trades in watched names are reported
    severity: warn
    audience: compliance
    require: order.symbol not in lists.watch
    message: "{order.symbol} is watched"
"""
HELD = """
    rule: watched-holdings
    title: Holdings of watched names stay small
    severity: warn
    audience: compliance
    for_each: position
    when: position.symbol in lists.watch
    require: position.after.quantity <= 5
"""
REGIME = """
    rule: quiet
    title: Watched names are volatile
    audience: compliance
    for_each: market
    when: market.symbol in lists.watch
    derive: {market.regime: VOLATILE}
"""
CALM = "rule: calm\ntitle: T\nwhen: market.regime == VOLATILE\nrequire: order.quantity <= 100"
RESTRICTED = """
    rule: restricted
    title: Nothing on the restricted list is traded
    require: order.symbol not in lists.restricted
    reason: RESTRICTED
    message: "{order.symbol} is restricted"
"""
SIZE = "rule: size\ntitle: At most 10\nrequire: order.quantity <= 10"
WEIGHT = """
    rule: weight
    title: At most 1%
    for_each: issuer
    require: sum(abs(position.after.value)) <= 1% * account.nav
"""
GREY = "rule: grey\ntitle: Grey names wait\naudience: compliance\nrequire: order.symbol not in lists.grey"
ASKED = """
    rule: asked
    title: Grey names need a word
    audience: compliance
    severity: soft
    override: {roles: [risk_officer]}
    require: order.symbol not in lists.grey
"""
MARKET = [{"symbol": symbol} for symbol in ("ACME", "BETA", "COCO")]
SECRET = {"name": "ACME", "reason": "Adviser to a pending merger"}


def decided(rules: Sequence[str], sent: dict[str, Any], make: Any = fast, **lists: Any) -> Decision:
    """The decision of one order in a world with these lists."""
    known = {"restricted": [], "watch": [], **lists}
    document = world(market=MARKET, lists=known, positions=[position("ACME", 4)])
    return desk(book(*rules), document, make).check(sent)


def told(decision: Decision) -> str:
    """What a trader gets, as bytes would have it."""
    return json.dumps(to_json(decision, Audience.EVERYONE), sort_keys=True)


symbols = st.sampled_from(["ACME", "BETA", "COCO"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(symbols, unique=True),
    st.lists(symbols, unique=True),
    st.builds(order, st.sampled_from(["buy", "sell"]), st.sampled_from([1, 6, 10, 11]), symbols),
    st.sampled_from([fast, slow]),
)
def test_what_is_watched_changes_nothing_for_a_trader(
    some: list[str], others: list[str], sent: dict[str, Any], make: Any
) -> None:
    rules = (WATCH, HELD, RESTRICTED, SIZE, WEIGHT)
    one, other = (decided(rules, sent, make, watch=w, restricted=["COCO"]) for w in (some, others))
    assert told(one) == told(other)
    assert one.outcome is other.outcome
    seen = {r.rule for r in one.reports}
    assert ("watch" in seen) == (sent["symbol"] in some)


def test_compliance_sees_the_watch_in_full_and_it_is_in_the_record() -> None:
    decision = decided((WATCH,), order(), watch=[SECRET])
    assert decision.approved
    document = json.dumps(to_json(decision))
    assert "ACME is watched" in document
    assert "pending merger" in document
    assert to_json(decision) == decision.to_json()
    assert decision.hash != decided((WATCH,), order(), watch=[]).hash


def test_a_trader_reads_nothing_of_it() -> None:
    view = told(decided((WATCH, HELD, SIZE), order("buy", 11), watch=[SECRET]))
    for word in ("watch", "merger", "holdings", "hash"):
        assert word not in view.replace("rulebook_hash", "")


def test_a_fact_derived_for_compliance_alone_is_withheld() -> None:
    decision = decided((REGIME, CALM), order(), watch=["ACME"])
    assert {d.rule for d in decision.derived} == {"quiet"}
    view = for_trader(decision)
    assert view.derived == ()
    assert view.fired == ()
    assert told(decision) == told(decided((REGIME, CALM), order(), watch=[]))


@pytest.mark.parametrize("make", [fast, slow])
def test_a_restricted_name_is_named_and_not_explained(make: Any) -> None:
    entries = [SECRET, {"name": "BETA", "reason": "Underwriting"}]
    decision = decided((RESTRICTED,), order(), make, restricted=entries)
    (full,) = decision.violations
    assert [(name, entry.reason) for name, entry in full.listed] == [("restricted", "Adviser to a pending merger")]
    (shown,) = for_trader(decision).violations
    assert shown.message == "ACME is restricted"
    assert shown.reason == "RESTRICTED"
    view = told(decision)
    for word in ("merger", "BETA", "Underwriting", "lists.restricted"):
        assert word not in view


def test_the_entry_that_covers_from_afar_is_told_to_compliance() -> None:
    document = world(
        instruments=[instrument("ACME", issuer="Acme Inc"), instrument("ACME.C", issuer="Clearer", underlying="ACME")],
        issuers=[{"id": "Acme Inc", "parent": "Acme Holding"}],
        lists={
            "restricted": [{"name": "Acme Holding", "until": "2026-07-01"}, {"name": "ACME", "until": "2026-06-01"}]
        },
    )
    (report,) = desk(book(RESTRICTED), document, fast).check(order(symbol="ACME.C")).violations
    assert report.to_json()["listed"] == [{"list": "restricted", "name": "Acme Holding", "until": "2026-07-01"}]


@pytest.mark.parametrize(("rule", "outcome"), [(GREY, Outcome.REJECT), (ASKED, Outcome.NEEDS_OVERRIDE)])
def test_where_a_withheld_rule_decides_the_trader_reads_referred(rule: str, outcome: Outcome) -> None:
    decision = decided((rule, WEIGHT), order(), grey=["ACME"])
    view = for_trader(decision)
    assert view.outcome is decision.outcome is outcome
    assert [r.reason for r in view.reports] == ["REFERRED"]
    assert view.reason == "REFERRED"
    assert "grey" not in told(decision).lower()


def test_a_withheld_rule_that_cannot_be_decided_is_referred_too() -> None:
    decision = decided((GREY,), order())
    assert decision.outcome is Outcome.UNDECIDED
    view = for_trader(decision)
    assert view.outcome is Outcome.UNDECIDED
    assert [r.reason for r in view.undecided] == ["REFERRED"]


def test_a_breach_everyone_may_see_speaks_for_itself() -> None:
    view = for_trader(decided((GREY, SIZE), order("buy", 11), grey=["ACME"]))
    assert [r.rule for r in view.reports] == ["size"]
    assert view.largest is not None
    assert "grey" not in view.largest.binding


def test_rules_that_differ_are_not_named() -> None:
    decision = decided((WATCH, SIZE), order("buy", 11))
    dispute = replace(
        decision.reports[0], rule="lexorder", reason="EVALUATORS_DISAGREE", message="They differ on: watch"
    )
    view = for_trader(replace(decision, reports=(dispute,)))
    assert "watch" not in view.reports[0].message


def test_everything_else_is_as_it_was() -> None:
    decision = decided((SIZE, WEIGHT), order("buy", 11))
    view, full = to_json(decision, Audience.EVERYONE), decision.to_json()
    assert {k: v for k, v in full.items() if k not in ("hash", "snapshot_hash", "verdicts")} == view


def test_plain_english_and_schema_know_it() -> None:
    from lexorder.engine.plain import plain_english
    from lexorder.engine.schema import schema

    rule = book(WATCH).on(desk(book(WATCH), world()).snapshot.time.date())[0]
    assert plain_english(rule, VOCABULARY)[-1] == "Only compliance sees what it finds; traders do not learn of it."
    properties = schema(VOCABULARY)["items"]["properties"]
    assert properties["audience"] == {"enum": ["everyone", "compliance"]}
