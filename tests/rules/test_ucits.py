"""UCITS beyond single issuers: public bodies under Article 54, counterparties, and what a body has in all.

Names are at 100 and net assets at 100,000, so one unit is 0.1% of assets: limits are counted in units by hand.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.verdict import Status
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    forall,
    found,
    held,
    instrument,
    order,
    status,
    working,
    world,
)

FIVE, TEN, TWENTY, THIRTY, THIRTY_FIVE = 50, 100, 200, 300, 350
"""Shares of assets in units."""
ISSUES = tuple(f"G{n}" for n in range(7))
STATES = ("STATE", "STATE", "STATE", "STATE", "STATE", "OTHER", "OTHER")
ARTICLE_54 = ("ucits-article-54-six-issues", "ucits-article-54-issues-kept", "ucits-government-issue-limit")


def fund(names: list[dict[str, Any]], holdings: dict[str, int], *tags: str, **more: Any) -> dict[str, Any]:
    """A UCITS with these instruments and holdings."""
    account = {"nav": "100000", "total_assets": "100000", "tags": ["ucits", *tags], **more.pop("account", {})}
    positions = [held(quantity, symbol) for symbol, quantity in holdings.items() if quantity]
    return world(account=account, instruments=names, positions=positions, **more)


def states(*quantities: int, **more: Any) -> dict[str, Any]:
    """A UCITS authorised under Article 54 with so many units of each issue; the last two are of another state."""
    names = [instrument(s, kind="government", issuer=i, group=i) for s, i in zip(ISSUES, STATES, strict=True)]
    return fund(names, dict(zip(ISSUES, quantities, strict=False)), "ucits-article-54", **more)


def verdicts(rule: str, document: dict[str, Any], *orders: Any) -> set[Status]:
    """Every verdict of a rule."""
    return {f.status for f in found(rule, document, *orders)}


def allowed(document: dict[str, Any], *orders: Any) -> bool:
    """Whether all rules of Article 54 let the orders go."""
    return all(verdicts(rule, document, *orders) <= {PASS, PASSIVE, NOT_APPLICABLE} for rule in ARTICLE_54)


# ---- Article 54 ------------------------------------------------------------------------------------


@forall(
    quantities=st.tuples(*(st.sampled_from([0, 1, 60, 75]) for _ in ISSUES)),
    which=st.sampled_from(ISSUES),
    side=st.sampled_from(["buy", "sell"]),
    quantity=st.sampled_from([1, 60, 75, 224, 225, 226, 240]),
)
def test_what_goes_leaves_a_portfolio_that_article_54_admits(
    quantities: tuple[int, ...], which: str, side: str, quantity: int
) -> None:
    """Whatever part of an order that goes is filled: the text of the Article holds, or the fund broke it before."""
    before = dict(zip(ISSUES, quantities, strict=True))
    if side == "sell" and before[which] < quantity:
        return
    if not _complies(before) or not allowed(states(*quantities), order(side, quantity, which)):
        return
    for filled in range(quantity + 1):
        after = {**before, which: before[which] + (filled if side == "buy" else -filled)}
        assert _complies(after), (before, which, side, filled)


def _complies(units: dict[str, int]) -> bool:
    """Article 52(3), or 54(1): more than 35% of one body only with six issues, none above 30%."""
    bodies: dict[str, list[int]] = {}
    for (_, quantity), body in zip(units.items(), STATES, strict=True):
        bodies.setdefault(body, []).append(quantity)
    beyond = [issues for issues in bodies.values() if sum(issues) > THIRTY_FIVE]
    if not beyond:
        return True
    return sum(q > 0 for q in units.values()) >= 6 and all(q <= THIRTY for issues in beyond for q in issues)


@pytest.mark.parametrize(("issues", "quantity", "goes"), [(5, 50, True), (5, 51, False), (6, 51, True), (7, 51, True)])
def test_six_issues_come_before_more_than_35_percent(issues: int, quantity: int, goes: bool) -> None:
    held_now = [60, 60, 60, 60, 60, 1, 1][:issues]
    assert allowed(states(*held_now), order("buy", quantity, "G0")) is goes


def test_an_issue_that_is_only_ordered_is_not_held() -> None:
    fifth = states(60, 60, 60, 60, 60)
    assert not allowed(fifth, order("buy", 1, "G5", id="1"), order("buy", 51, "G0", id="2"))
    waiting = states(60, 60, 60, 60, 60, working_orders=[working("buy", 1, "G5")])
    assert not allowed(waiting, order("buy", 51, "G0"))


@pytest.mark.parametrize(("quantity", "goes"), [(9, True), (10, False)])
def test_the_sixth_issue_stays_while_a_body_is_above_35_percent(quantity: int, goes: bool) -> None:
    assert allowed(states(80, 80, 80, 80, 80, 10), order("sell", quantity, "G5")) is goes
    assert allowed(states(70, 70, 70, 70, 70, 10), order("sell", quantity, "G5"))


def test_a_working_sale_may_take_the_sixth_issue_away() -> None:
    selling = states(80, 80, 80, 80, 20, 10, working_orders=[working("sell", 10, "G5")])
    assert not allowed(selling, order("buy", 11, "G0"))


@pytest.mark.parametrize(("quantity", "goes"), [(239, True), (240, True), (241, False)])
def test_no_issue_is_above_30_percent_once_the_body_is_above_35(quantity: int, goes: bool) -> None:
    assert allowed(states(60, 60, 60, 60, 60, 1), order("buy", quantity, "G0")) is goes


def test_within_35_percent_one_issue_may_be_all_of_it() -> None:
    assert allowed(states(), order("buy", THIRTY_FIVE, "G0"))
    assert not allowed(states(), order("buy", THIRTY_FIVE + 1, "G0"))


# ---- what one body has -------------------------------------------------------------------------------

KINDS = ("security", "deposit", "otc_derivative", "covered_bond", "government")
LIMITS = {
    "ucits-issuer-limit": ({"security"}, TEN),
    "ucits-deposit-limit": ({"deposit"}, TWENTY),
    "ucits-counterparty-limit": ({"otc_derivative"}, FIVE),
    "ucits-combined-limit": ({"security", "deposit", "otc_derivative"}, TWENTY),
    "ucits-covered-bond-limit": ({"covered_bond"}, 250),
    "ucits-government-limit": ({"government"}, THIRTY_FIVE),
    "ucits-body-total": (set(KINDS), THIRTY_FIVE),
}
"""What each rule adds up of one body, and how many units it admits."""


def body(*groups: str, bank: bool = False) -> list[dict[str, Any]]:
    """One instrument of each kind, all of one body, or each of a company of one of these groups."""
    names = []
    for kind, place in zip(KINDS, range(len(KINDS)), strict=True):
        group = groups[place] if groups else "BODY"
        facts = {"kind": kind, "issuer": group if groups else "BODY", "group": "G" if groups else "BODY"}
        names.append(instrument(kind.upper(), credit_institution=str(bank).lower(), **facts))
    return names


@forall(
    have=st.tuples(*(st.sampled_from([0, 20, 50]) for _ in KINDS)),
    kind=st.sampled_from(KINDS),
    beside=st.sampled_from([0, 1]),
    rule=st.sampled_from(sorted(LIMITS)),
)
def test_each_limit_adds_up_its_kinds_and_no_others(have: tuple[int, ...], kind: str, beside: int, rule: str) -> None:
    counted, most = LIMITS[rule]
    total = sum(q for k, q in zip(KINDS, have, strict=True) if k in counted)
    room = max(1, most - total) if kind in counted else 40
    document = fund(body(), {k.upper(): q for k, q in zip(KINDS, have, strict=True)})
    after = total + (room + beside if kind in counted else 0)
    verdict = status(rule, document, order("buy", room + beside, kind.upper()))
    if total > most and after == total:
        assert verdict is PASSIVE
    else:
        assert verdict is (BREACH if after > most else PASS)


@pytest.mark.parametrize(("bank", "most"), [(False, FIVE), (True, TEN)])
@pytest.mark.parametrize("rule", ["ucits-counterparty-limit", "ucits-group-counterparty-limit"])
def test_a_credit_institution_has_twice_as_much(rule: str, bank: bool, most: int) -> None:
    document = fund(body(bank=bank), {})
    assert status(rule, document, order("buy", most, "OTC_DERIVATIVE")) is PASS
    assert status(rule, document, order("buy", most + 1, "OTC_DERIVATIVE")) is BREACH


GROUPS = {
    "ucits-group-deposit-limit": ("deposit", TWENTY),
    "ucits-group-counterparty-limit": ("otc_derivative", FIVE),
    "ucits-group-combined-limit": ("security", TWENTY),
}


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("rule", sorted(GROUPS))
def test_companies_of_a_group_are_one_body(rule: str, share: int) -> None:
    kind, most = GROUPS[rule]
    names = [instrument(s, kind=kind, issuer=s, group="G") for s in ("AA", "BB")]
    document = fund(names, {"AA": most - 20})
    assert status(rule, document, order("buy", 20 + share, "BB")) is (BREACH if share else PASS)
    apart = [instrument(s, kind=kind, issuer=s, group=s) for s in ("AA", "BB")]
    assert status(rule, fund(apart, {"AA": most - 20}), order("buy", 20 + share, "BB")) is PASS


def test_a_claim_that_the_market_made_may_shrink_and_not_grow() -> None:
    document = fund(body(), {"OTC_DERIVATIVE": 60})
    assert status("ucits-counterparty-limit", document, order("sell", 1, "OTC_DERIVATIVE")) is PASSIVE
    assert status("ucits-counterparty-limit", document, order("buy", 1, "OTC_DERIVATIVE")) is BREACH


def test_article_54_frees_public_bodies_of_the_35_percent_of_one_body() -> None:
    document = fund(body(), {"GOVERNMENT": 400}, "ucits-article-54")
    assert status("ucits-body-total", document, order("buy", THIRTY_FIVE, "SECURITY")) is PASS
    assert status("ucits-body-total", document, order("buy", THIRTY_FIVE + 1, "SECURITY")) is BREACH


# ---- index funds, funds, acquisitions ------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["ucits-issuer-limit", "ucits-five-ten-forty", "ucits-group-limit"])
def test_an_index_fund_has_20_percent_in_place_of_10_and_40(rule: str) -> None:
    document = fund(body(), {}, "ucits-index")
    assert status(rule, document, order("buy", TWENTY, "SECURITY")) is NOT_APPLICABLE
    assert status("ucits-index-issuer-limit", document, order("buy", TWENTY, "SECURITY")) is PASS
    assert status("ucits-index-issuer-limit", document, order("buy", TWENTY + 1, "SECURITY")) is BREACH


@forall(own=st.integers(0, 10), quantity=st.integers(1, 300), share=st.sampled_from([10, 15, 20]))
def test_one_fund_is_limited_as_the_home_state_says(own: int, quantity: int, share: int) -> None:
    names = [instrument("FUND", kind="fund", ucits="true")]
    document = fund(names, {"FUND": own}, account={"ucits_fund_limit": f"{share}%"})
    wanted = PASS if own + quantity <= 10 * share else BREACH
    assert status("ucits-fund-limit", document, order("buy", quantity, "FUND")) is wanted


@forall(
    outstanding=st.integers(10, 4_000),
    kind=st.sampled_from([("fund", "unit", 4), ("security", "debt", 10), ("money_market", "debt", 10)]),
)
def test_acquisitions_are_a_share_of_what_is_outstanding(outstanding: int, kind: tuple[str, str, int]) -> None:
    what, form, part = kind
    names = [instrument("PAPER", kind=what, form=form, shares_outstanding=str(outstanding))]
    most = outstanding // part
    if most:
        assert status("ucits-acquisition-limit", fund(names, {}), order("buy", most, "PAPER")) is PASS
    assert status("ucits-acquisition-limit", fund(names, {}), order("buy", most + 1, "PAPER")) is BREACH
