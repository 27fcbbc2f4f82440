"""Limits on holdings: UCITS, Investment Company Act, ownership, contracts, options, teams.

Each is held against whole-number arithmetic from the wording of its source: at the figure, one unit to each side,
growing with the quantity, and the same however an order is split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from lexorder.engine.audience import for_trader, to_json
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.judge import derivations
from lexorder.engine.rule import Audience
from lexorder.engine.verdict import Status
from lexorder.engine.worst import judge, prepared
from tests.rules.library import (
    BREACH,
    NOT_APPLICABLE,
    PASS,
    PASSIVE,
    UNDECIDED,
    book,
    forall,
    found,
    held,
    instrument,
    order,
    projected,
    rule,
    status,
    words,
    working,
    world,
)

NAV = 1_000_000
"""Dollars; everything costs 100, so 100 shares are 1%."""

FUND = {"tags": ["ucits", "diversified", "not-concentrated"], "ucits_group_limit": "20%"}


def one(symbol: str = "ACME", **facts: object) -> dict[str, Any]:
    """An instrument that a fund may hold, its issuer with very many votes."""
    return instrument(symbol, **{"issuer_votes": "1000000000000", "underlying": symbol, **facts})


def fund(*instruments: dict[str, Any], account: dict[str, object] | None = None, **sections: Any) -> dict[str, Any]:
    """An account under every law of funds here."""
    return world(account={**FUND, **(account or {})}, instruments=list(instruments or (one(),)), **sections)


def quickly(identifier: str, document: dict[str, Any], *orders: Mapping[str, object]) -> set[Status]:
    """What a rule says by closed forms, which need no few states; `tests/semantics` holds them against the states."""
    return {f.status for f in judge(prepared(rule(identifier)), projected(document, *orders), derivations([]))}


def asked(document: dict[str, Any], identifiers: list[str], *orders: Mapping[str, object]) -> Decision:
    """What a desk with these rules alone decides, both evaluators agreeing."""
    whole = book()
    names = set(identifiers)
    kept = tuple(v for v in whole.versions if v.id in names)
    stretches = tuple((day, tuple(r for r in rules if r.id in names)) for day, rules in whole.stretches)
    desk = Desk(replace(whole, versions=kept, stretches=stretches), document, words())
    (found_here,) = desk.check_basket(orders)
    return found_here


def split(document: dict[str, Any], identifier: str, side: str, quantity: int, symbol: str = "ACME") -> set[Status]:
    """What a rule says of an order, whole and in two parts sent together."""
    sizes = [q for q in (quantity // 2, quantity - quantity // 2) if q]
    parts = [{**order(side, q, symbol), "id": f"P-{n}"} for n, q in enumerate(sizes)]
    return quickly(identifier, document, order(side, quantity, symbol)) | quickly(identifier, document, *parts)


# ---- one issuer, one figure ----------------------------------------------------------------------

KINDS = [
    ("ucits-issuer-limit", "security", 10),
    ("ucits-issuer-limit", "money_market", 10),
    ("ucits-deposit-limit", "deposit", 20),
    ("ucits-combined-limit", "security", 20),
    ("ucits-combined-limit", "otc_derivative", 20),
    ("ucits-government-limit", "government", 35),
    ("ucits-covered-bond-limit", "covered_bond", 25),
    ("ucits-group-limit", "security", 20),
    ("industry-concentration", "security", 25),
    ("diversified-company", "security", 25),
]


@pytest.mark.parametrize(("identifier", "kind", "percent"), KINDS)
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_at_the_figure_and_one_unit_to_each_side(identifier: str, kind: str, percent: int, step: int) -> None:
    document = fund(one(kind=kind))
    expected = BREACH if step > 0 else PASS
    assert split(document, identifier, "buy", percent * 100 + step) == {expected}


@forall(before=st.integers(0, 1_500), bought=st.integers(1, 600), at_work=st.integers(0, 300))
def test_ten_percent_of_one_body(before: int, bought: int, at_work: int) -> None:
    own = fund(positions=[held(before)], working_orders=[working("buy", at_work)] if at_work else [])
    over = 100 * (before + bought + at_work) > NAV // 10
    assert status("ucits-issuer-limit", own, order("buy", bought)) is (BREACH if over else PASS)


@forall(before=st.integers(1, 1_500), sold=st.integers(1, 600))
def test_a_sale_is_always_allowed_and_a_worse_breach_never(before: int, sold: int) -> None:
    own = fund(positions=[held(before)])
    broken = 100 * before > NAV // 10
    sold = min(sold, before)
    assert status("ucits-issuer-limit", own, order("sell", sold)) is (PASSIVE if broken else PASS)


def test_a_sale_at_work_frees_nothing() -> None:
    own = fund(positions=[held(1_000)], working_orders=[working("sell", 500)])
    assert status("ucits-issuer-limit", own, order("buy", 1)) is BREACH


def test_the_base_of_a_fund_is_net_assets_and_of_an_investment_company_total_assets() -> None:
    own = fund(account={"nav": "1000000", "total_assets": "2000000"})
    assert status("ucits-issuer-limit", own, order("buy", 1_001)) is BREACH
    assert status("industry-concentration", own, order("buy", 5_000)) is PASS
    assert status("industry-concentration", own, order("buy", 5_001)) is BREACH
    assert quickly("diversified-company", own, order("buy", 5_000)) == {PASS}
    assert quickly("diversified-company", own, order("buy", 5_001)) == {BREACH}


@pytest.mark.parametrize("field", ["issuer", "kind_mark"])
def test_what_is_not_known_stops_the_order(field: str) -> None:
    bare = one()
    del bare["issuer" if field == "issuer" else "mark"]
    for identifier in ("ucits-issuer-limit", "ucits-five-ten-forty", "diversified-company"):
        assert status(identifier, fund(bare), order("buy", 1)) is UNDECIDED


# ---- issuers together ----------------------------------------------------------------------------


def several(shares: list[int], tickers: int = 1, **account: object) -> dict[str, Any]:
    """A fund with issuers of these numbers of shares, each spread over so many tickers."""
    symbols = [(f"I{n}.{t}", f"I{n}") for n in range(len(shares)) for t in range(tickers)]
    parts = [
        held(q // tickers + (q % tickers if t == 0 else 0), f"I{n}.{t}")
        for n, q in enumerate(shares)
        for t in range(tickers)
    ]
    return fund(*(one(s, issuer=i, group=i) for s, i in symbols), account=account, positions=parts)


SHARES = st.lists(st.integers(0, 1_000), min_size=1, max_size=7)


@forall(shares=SHARES, bought=st.integers(1, 600), tickers=st.integers(1, 2))
def test_five_ten_forty(shares: list[int], bought: int, tickers: int) -> None:
    after = [shares[0] + bought, *shares[1:]]
    large = sum(q for q in after if q > 500)
    before = sum(q for q in shares if q > 500)
    expected = PASS if large <= 4_000 else PASSIVE if before > 4_000 and large <= before else BREACH
    own = several(shares, tickers)
    assert status("ucits-five-ten-forty", own, order("buy", bought, f"I0.{tickers - 1}")) is expected


@forall(shares=SHARES, bought=st.integers(1, 600))
def test_seventy_five_five_ten(shares: list[int], bought: int) -> None:
    after = [shares[0] + bought, *shares[1:]]
    large, before = (sum(q for q in held_now if q > 500) for held_now in (after, shares))
    expected = PASS if large <= 2_500 else PASSIVE if before > 2_500 and large <= before else BREACH
    assert status("diversified-company", several(shares), order("buy", bought, "I0.0")) is expected


@pytest.mark.parametrize(("bought", "expected"), [(100, PASS), (101, BREACH)])
def test_more_than_ten_percent_of_the_votes_is_outside_the_basket_whatever_its_value(
    bought: int, expected: Status
) -> None:
    small = one("SMALL", issuer_votes="1000")
    own = fund(one(), small, positions=[held(2_500)])
    assert status("diversified-company", own, order("buy", bought, "SMALL")) is expected


def test_sixteen_issuers_are_the_fewest() -> None:
    own = several([1_000] * 4 + [500] * 11 + [499])
    assert status("ucits-five-ten-forty", own, order("buy", 1, "I15.0")) is PASS
    assert status("ucits-five-ten-forty", own, order("buy", 1, "I14.0")) is BREACH


@forall(parts=st.lists(st.integers(0, 900), min_size=2, max_size=3), bought=st.integers(1, 900))
def test_companies_of_one_group_add_up(parts: list[int], bought: int) -> None:
    symbols = [f"I{n}" for n in range(len(parts))]
    own = fund(
        *(one(s, group="G") for s in symbols), positions=[held(q, s) for q, s in zip(parts, symbols, strict=True)]
    )
    before, after = sum(parts), sum(parts) + bought
    expected = PASS if after <= 2_000 else BREACH
    assert before <= after
    assert status("ucits-group-limit", own, order("buy", bought, "I0")) is expected


@pytest.mark.parametrize(("delta", "room"), [("1", 0), ("0.5", 500), ("0.25", 750), ("-0.5", 1_000)])
def test_a_derivative_counts_for_the_issuer_of_its_underlying_at_its_delta(delta: str, room: int) -> None:
    option = one("ACME.X", issuer="ACME", kind="option", delta=delta, multiplier="100", underlying_mark="100", mark="5")
    own = fund(one(), option, positions=[held(10, "ACME.X")])
    if room:
        assert status("ucits-issuer-limit", own, order("buy", room)) is PASS
    assert status("ucits-issuer-limit", own, order("buy", room + 1)) is BREACH


# ---- ownership and contracts ---------------------------------------------------------------------


@forall(firm=st.integers(0, 60_000), bought=st.integers(1, 20_000), at_work=st.integers(0, 5_000))
def test_five_percent_of_a_class_counts_the_whole_firm_and_open_purchases(firm: int, bought: int, at_work: int) -> None:
    own = one(firm_shares=str(firm), shares_outstanding="1000000")
    document = fund(own, working_orders=[working("buy", at_work)] if at_work else [])
    over = 20 * (firm + bought + at_work) > 1_000_000
    was = 20 * (firm + at_work) > 1_000_000
    assert status("beneficial-ownership-five-percent", document, order("buy", bought)) is (BREACH if over else PASS)
    assert was <= over


@forall(futures=st.integers(-1_200, 1_200), calls=st.integers(-600, 600), bought=st.integers(1, 900))
def test_contracts_on_one_underlying_are_net_and_by_delta(futures: int, calls: int, bought: int) -> None:
    future = one("FUT", underlying="CORN", kind="future", position_limit="1000")
    call = one("CALL", underlying="CORN", kind="option", position_limit="1000", futures_equivalent="0.5")
    document = fund(future, call, positions=[held(futures, "FUT"), held(calls, "CALL")])
    before, after = 2 * futures + calls, 2 * (futures + bought) + calls
    said = status("position-limit-in-contracts", document, order("buy", bought, "FUT"))
    if max(abs(before), abs(after)) <= 2_000:
        assert said is PASS
    if after > 2_000:
        assert said is BREACH
    if before < -2_000 and after <= 2_000:
        assert said is (PASSIVE if futures >= 0 or futures + bought <= 0 else BREACH)


# ---- positions -----------------------------------------------------------------------------------


@forall(start=st.integers(-20, 20), buys=st.integers(0, 9), sells=st.integers(0, 9), bought=st.integers(1, 9))
def test_the_position_limit_holds_in_the_worst_state(start: int, buys: int, sells: int, bought: int) -> None:
    work = [working(s, q, name=s) for s, q in (("buy", buys), ("sell", sells)) if q]
    document = world(instruments=[one(max_position="15")], positions=[held(start)], working_orders=work)
    worst = max(abs(start + buys + bought), abs(start - sells))
    before = max(abs(start + buys), abs(start - sells))
    said = status("position-quantity-limit", document, order("buy", bought))
    assert said is PASS if worst <= 15 else said is not PASS
    assert said is not PASSIVE or (worst <= before and before > 15)


@pytest.mark.parametrize(("quantity", "expected"), [(5, PASS), (6, BREACH)])
def test_a_limit_in_money_uses_the_mark(quantity: int, expected: Status) -> None:
    document = world(instruments=[one(max_position_value="500")])
    assert split(document, "position-value-limit", "buy", quantity) == {expected}


@forall(
    start=st.integers(0, 9),
    sells=st.integers(0, 9),
    sold=st.integers(1, 9),
    side=st.sampled_from(["sell", "sell_short"]),
)
def test_long_only(start: int, sells: int, sold: int, side: str) -> None:
    work = [working("sell", sells), working("buy", 5, name="V")] if sells else []
    document = world(account={"tags": ["long-only"]}, positions=[held(start)], working_orders=work)
    assert status("long-only", document, order(side, sold)) is (PASS if start - sells - sold >= 0 else BREACH)


def test_an_account_without_the_tag_may_be_short() -> None:
    assert not rule("long-only").scope.covers("A", frozenset())
    assert rule("long-only").scope.covers("A", frozenset({"long-only"}))


@pytest.mark.parametrize(("limit", "bought", "expected"), [("1", 100, PASS), ("1", 101, BREACH), ("0", 1, BREACH)])
def test_leverage_is_gross_over_net_asset_value(limit: str, bought: int, expected: Status) -> None:
    document = world(account={"nav": "10000", "max_leverage": limit})
    assert split(document, "account-leverage-limit", "buy", bought) == {expected}


@pytest.mark.parametrize(
    ("value", "bought", "expected"), [(100_000, 500, PASS), (100_000, 501, BREACH), (-100_000, 2_500, PASS)]
)
def test_a_team_counts_its_other_accounts(value: int, bought: int, expected: Status) -> None:
    mine = {**held(0), "team_value": str(value)}
    document = world(account={"tags": ["team"], "team_nav": "1000000"}, positions=[mine])
    assert status("team-concentration", document, order("buy", bought)) is expected


@pytest.mark.parametrize(("running", "sent", "expected"), [(2, 1, PASS), (3, 1, BREACH), (1, 2, PASS), (2, 2, BREACH)])
def test_trades_of_a_workspace(running: int, sent: int, expected: Status) -> None:
    document = world(account={"tags": ["workspace"], "open_trades": str(running)})
    orders = [{**order("buy", 1), "id": f"O-{n}"} for n in range(sent)]
    assert {f.status for f in found("workspace-open-trades", document, *orders)} == {expected}


def test_the_trader_is_told_that_a_name_is_listed_and_not_why() -> None:
    others = {"restricted": [{"name": "ACME", "reason": "MERGER"}, {"name": "SECRET", "elsewhere": True}]}
    document = world(lists={**others, "watch": [{"name": "HUSHED", "elsewhere": True}]})
    decision = asked(document, ["restricted-list"], order())
    (stopped,) = for_trader(decision).violations
    told = str(to_json(decision, Audience.EVERYONE))
    assert stopped.message == "ACME is on the restricted list: no order may be sent. Ask compliance."
    assert "MERGER" in str(decision.to_json())
    assert "MERGER" not in told
    assert "SECRET" not in told
    assert "HUSHED" not in told


def test_an_allow_list_that_is_not_given_allows_nothing() -> None:
    document = world(account={"tags": ["allow-list"]})
    assert status("allow-list", document, order()) is UNDECIDED


def test_an_order_without_a_price_does_not_pass_a_limit_in_money() -> None:
    bare = one(max_position_value="500")
    for name in ("mark", "bid", "ask"):
        del bare[name]
    assert status("position-value-limit", world(instruments=[bare]), order("buy", 1)) is UNDECIDED


# ---- options -------------------------------------------------------------------------------------


def option(right: str, **facts: object) -> dict[str, Any]:
    return one("OPT", underlying="ACME", kind="option", right=right, strike="50", multiplier="100", **facts)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(("side", "needed"), [("buy", 2), ("sell", 1)])
def test_levels(level: int, side: str, needed: int) -> None:
    document = world(account={"option_level": str(level), "tags": ["options"]}, instruments=[option("call")])
    opening, closing = (order(side, 1, "OPT", position_effect=effect) for effect in ("open", "close"))
    assert status("option-level", document, opening) is (PASS if level >= needed else BREACH)
    assert status("option-level", document, closing) is NOT_APPLICABLE
    # Without the label nothing would keep the option covered, so there is no level.
    plain = world(account={"option_level": str(level)}, instruments=[option("call")])
    assert status("option-level", plain, opening) is BREACH


@forall(shares=st.integers(0, 500), short=st.integers(0, 3), at_work=st.integers(0, 2), sold=st.integers(1, 4))
def test_calls_are_covered_by_shares(shares: int, short: int, at_work: int, sold: int) -> None:
    document = world(
        account={"option_level": "1"},
        instruments=[one(), option("call")],
        positions=[held(shares), held(-short, "OPT")],
        working_orders=[working("sell", at_work, "OPT")] if at_work else [],
    )
    covered = 100 * (short + at_work + sold) <= shares
    assert status("covered-call", document, order("sell", sold, "OPT")) is (PASS if covered else BREACH)


@forall(cash=st.integers(0, 30_000), short=st.integers(0, 3), sold=st.integers(1, 3))
def test_puts_are_secured_by_cash(cash: int, short: int, sold: int) -> None:
    document = world(
        account={"option_level": "1", "cash": str(cash)},
        instruments=[option("put")],
        positions=[held(-short, "OPT")],
    )
    secured = 5_000 * (short + sold) <= cash
    assert status("cash-secured-put", document, order("sell", sold, "OPT")) is (PASS if secured else BREACH)


# ---- the whole desk ------------------------------------------------------------------------------

FUNDS = ["ucits-issuer-limit", "ucits-five-ten-forty", "ucits-group-limit", "diversified-company", "covered-call"]


@pytest.mark.parametrize(("bought", "outcome"), [(500, "approve"), (501, "reject"), (40_000, "reject")])
def test_a_desk_decides_by_both_evaluators(bought: int, outcome: str) -> None:
    own = several([1_000] * 4 + [0])
    assert asked(own, FUNDS[:3], order("buy", bought, "I4.0")).outcome.value == outcome


def test_a_desk_says_how_much_would_pass() -> None:
    said = asked(several([1_000] * 4 + [0]), FUNDS[:3], order("buy", 900, "I4.0"))
    assert said.largest is not None
    assert said.largest.quantity == 500
    (why,) = said.violations
    assert (why.rule, why.largest) == ("ucits-five-ten-forty", 500)


def test_a_basket_counts_together() -> None:
    own = several([1_000] * 3 + [0, 0])
    orders = [order("buy", 501, "I3.0"), order("buy", 501, "I4.0")]
    assert {asked(own, FUNDS[:3], sent).outcome.value for sent in orders} == {"approve"}
    small = [order("buy", 60, "I3.0"), order("buy", 60, "I4.0")]
    assert asked(several([1_000] * 3 + [450, 450]), FUNDS[:3], *small).outcome.value == "reject"
