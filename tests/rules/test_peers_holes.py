"""Holes that other systems have, each asked of the shipped rules, by both pairs of evaluators.

1 an order without a price passes · 2 open orders are left out of a position limit · 3 a margin account skips the value
check · 4 an unknown group drops a constraint without a word · 5 a sale makes room before it fills · 6 a percentage is
taken of the wrong base. Each test also shows the order beside it that does go, so that it is not the desk that is shut.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.errors import RuleFileError
from lexorder.engine.events import Fill, WorkingRemoved
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.verdict import Status
from tests.rules.library import book, held, instrument, only, order, words, working, world

both = pytest.mark.parametrize("make", [fast, slow])


def desk(make: Make, document: Mapping[str, Any], *rules: str) -> Desk:
    """A desk with these rules of the library, or with all of them."""
    return Desk(only(*rules) if rules else book(), document, words(), make)


def margin(**sections: Any) -> dict[str, Any]:
    """A margin account worth a million, where an order for a share or two goes."""
    facts = {"kind": "margin", **sections.pop("account", {})}
    return world(account=facts, **sections)


def breached(found: Decision) -> set[str]:
    """The rules that refuse, or say that they cannot tell: both mean no."""
    return {r.rule for r in found.reports if r.status in (Status.BREACH, Status.UNDECIDED)}


def without(*names: str, **facts: object) -> dict[str, object]:
    """ACME without some of its facts."""
    return {k: v for k, v in instrument("ACME", **facts).items() if k not in names}


# ---- 1. an order without a price ------------------------------------------------------------------


@both
@pytest.mark.parametrize("quantity", [1, 1_000_000])
@pytest.mark.parametrize("missing", [("mark",), ("mark", "bid", "ask")])
def test_an_order_without_a_price_never_goes(make: Make, missing: tuple[str, ...], quantity: int) -> None:
    trading = desk(make, margin(instruments=[without(*missing), instrument("BETA")]))
    found = trading.check(order("buy", quantity))
    assert (found.outcome, found.reason) == ("undecided", "MISSING_FACT")
    assert trading.check(order("buy", 1, "BETA")).approved


@both
def test_a_limit_price_without_a_market_to_hold_it_against_never_goes(make: Make) -> None:
    bare = without("mark", "bid", "ask")
    found = desk(make, margin(instruments=[bare])).check(order("buy", 1, price="100"))
    assert not found.approved
    assert "collar-needs-a-reference" in breached(found)


@both
@pytest.mark.parametrize(("taken", "outcome"), [("11:45:00", "approve"), ("11:44:59", "undecided")])
def test_an_old_price_is_no_price(make: Make, taken: str, outcome: str) -> None:
    stale = instrument("ACME", mark_time=f"2026-06-15T{taken}-04:00")
    assert desk(make, margin(instruments=[stale])).check(order("buy", 1)).outcome == outcome


@both
def test_a_price_of_zero_is_no_way_under_a_value_limit(make: Make) -> None:
    trading = desk(make, margin())
    assert trading.check(order("buy", 10_000_000, price="0")).outcome == "reject"
    assert trading.check(order("buy", 10_000_000, price="-1")).outcome == "reject"


# ---- 2. open orders in position limits -----------------------------------------------------------

VOTED = {"instruments": [instrument(symbol, issuer_votes="1000000000") for symbol in ("ACME", "BETA")]}
LIMITED: dict[str, tuple[dict[str, Any], int]] = {
    "position-quantity-limit": ({"instruments": [instrument("ACME", max_position="100")]}, 100),
    "position-value-limit": ({"instruments": [instrument("ACME", max_position_value="10000")]}, 100),
    "max-issuer-weight": ({"account": {"nav": "200000"}}, 100),
    "max-sector-weight": ({"account": {"nav": "50000"}}, 100),
    "max-gross-leverage": ({"account": {"nav": "5000"}}, 100),
    "leverage-granted": ({"account": {"tags": ["broker-leverage"], "equity": "5000", "leverage": "2"}}, 100),
    "ucits-issuer-limit": ({"account": {"tags": ["ucits"], "nav": "100000"}}, 100),
    "diversified-company": ({"account": {"tags": ["diversified"], "total_assets": "8000"}, **VOTED}, 20),
    "industry-concentration": ({"account": {"tags": ["not-concentrated"], "total_assets": "40000"}}, 100),
}
"""Limits on what is held, with a world and the most shares of ACME they admit there."""


@both
@pytest.mark.parametrize("rule", LIMITED)
def test_open_orders_count_in_a_position_limit(make: Make, rule: str) -> None:
    sections, most = LIMITED[rule]
    at_work = [working("buy", most - 10, name="W-1"), working("sell", 5, name="W-2")]
    trading = desk(make, margin(**sections, working_orders=at_work), rule)
    assert rule not in breached(trading.check(order("buy", 10)))
    assert rule in breached(trading.check(order("buy", 11)))


@both
@pytest.mark.parametrize("rule", LIMITED)
def test_a_cancelled_order_counts_no_longer(make: Make, rule: str) -> None:
    sections, most = LIMITED[rule]
    trading = desk(make, margin(**sections, working_orders=[working("buy", most, name="W-1")]), rule)
    assert rule in breached(trading.check(order("buy", 1)))
    trading.apply(WorkingRemoved("W-1"))
    assert rule not in breached(trading.check(order("buy", most)))


@both
def test_orders_of_one_list_count_together(make: Make) -> None:
    trading = desk(make, margin(instruments=[instrument("ACME", max_position="100")]), "position-quantity-limit")
    parts = [order("buy", 50, id="O-1"), order("buy", 51, id="O-2")]
    (together,) = trading.check_basket(parts)
    assert "position-quantity-limit" in breached(together)
    assert all("position-quantity-limit" not in breached(found) for found in trading.check_each(parts))


# ---- 3. margin accounts and the value check -------------------------------------------------------


@both
@pytest.mark.parametrize("kind", ["cash", "margin"])
@pytest.mark.parametrize("side", ["buy", "sell", "sell_short"])
def test_every_kind_of_account_is_held_to_the_value_of_an_order(make: Make, kind: str, side: str) -> None:
    facts = {"kind": kind, "max_order_value": "1000"}
    trading = desk(make, margin(account=facts, positions=[held(100)]), "account-order-value")
    for quantity, stopped in ((10, False), (11, True)):
        found = trading.check(order(side, quantity, has_locate="true"))
        assert ("account-order-value" in breached(found)) is stopped


@both
@pytest.mark.parametrize("kind", ["cash", "margin"])
def test_every_kind_of_account_is_held_to_the_market_access_limit(make: Make, kind: str) -> None:
    rich = {"kind": kind, **dict.fromkeys(("nav", "cash", "equity", "total_assets"), "1000000000")}
    dear = [instrument("ACME", **dict.fromkeys(("mark", "bid", "ask"), "1000"))]
    trading = desk(make, margin(account=rich, instruments=dear), "market-access-order-notional")
    assert "market-access-order-notional" not in breached(trading.check(order("buy", 5_000)))
    assert "market-access-order-notional" in breached(trading.check(order("buy", 5_001)))


# ---- 4. unknown groups ----------------------------------------------------------------------------

RULE = "- rule: r\n  title: T\n  for_each: {}\n  require: {} <= 5% * account.nav\n"


@pytest.mark.parametrize(
    ("for_each", "what", "near"),
    [
        ("isuer", "sum(position.after.value)", "issuer"),
        ("industry_group", "sum(position.after.value)", ""),
        ("issuer", 'sum(position.after.value where instrument.sektor == "Energy")', "sector"),
        ("issuer", "sum(position.after.value where instrument.issuer in lists.restrictd)", "restricted"),
    ],
)
def test_a_rule_about_an_unknown_group_is_refused_whole(for_each: str, what: str, near: str) -> None:
    with pytest.raises(RuleFileError) as refused:
        RuleBook.of(RULE.format(for_each, what), words())
    assert near in refused.value.message


@both
@pytest.mark.parametrize(("fact", "rule"), [("issuer", "max-issuer-weight"), ("sector", "max-sector-weight")])
def test_an_instrument_without_its_group_is_undecided_and_not_left_out(make: Make, fact: str, rule: str) -> None:
    trading = desk(make, margin(instruments=[without(fact), instrument("BETA")]))
    found = trading.check(order("buy", 1))
    assert found.outcome == "undecided"
    assert rule in {r.rule for r in found.reports if r.status is Status.UNDECIDED}
    assert trading.check(order("buy", 1, "BETA")).approved


@both
def test_a_list_that_is_not_there_is_undecided_and_not_empty(make: Make) -> None:
    document = margin()
    del document["lists"]
    assert desk(make, document).check(order("buy", 1)).outcome == "undecided"
    assert desk(make, margin()).check(order("buy", 1)).approved


# ---- 5. sales that have not filled ---------------------------------------------------------------


@both
@pytest.mark.parametrize("rule", LIMITED)
def test_a_working_sale_makes_no_room(make: Make, rule: str) -> None:
    sections, most = LIMITED[rule]
    trading = desk(
        make, margin(**sections, positions=[held(most)], working_orders=[working("sell", most, name="W-1")]), rule
    )
    assert rule in breached(trading.check(order("buy", 1)))


@both
@pytest.mark.parametrize("rule", LIMITED)
def test_a_sale_in_the_same_list_makes_no_room(make: Make, rule: str) -> None:
    sections, most = LIMITED[rule]
    trading = desk(make, margin(**sections, positions=[held(most)]), rule)
    (found,) = trading.check_basket([order("sell", most, id="O-1"), order("buy", 1, id="O-2")])
    assert rule in breached(found)


@both
@pytest.mark.parametrize("rule", LIMITED)
def test_a_filled_sale_does_make_room(make: Make, rule: str) -> None:
    sections, most = LIMITED[rule]
    trading = desk(
        make, margin(**sections, positions=[held(most)], working_orders=[working("sell", 1, name="W-1")]), rule
    )
    assert rule in breached(trading.check(order("buy", 1)))
    trading.apply(Fill("A", "ACME", "sell", Fraction(1), Fraction(100), "W-1"))
    assert rule not in breached(trading.check(order("buy", 1)))


@both
def test_the_proceeds_of_a_working_sale_pay_for_nothing(make: Make) -> None:
    poor = {"kind": "cash", "cash": "0"}
    document = world(account=poor, positions=[held(10)], working_orders=[working("sell", 10, name="W-1")])
    trading = desk(make, document, "cash-account-pays-in-full")
    assert "cash-account-pays-in-full" in breached(trading.check(order("buy", 1, "BETA")))
    trading.apply(Fill("A", "ACME", "sell", Fraction(10), Fraction(1_000), "W-1"))
    assert "cash-account-pays-in-full" not in breached(trading.check(order("buy", 10, "BETA")))


# ---- 6. bases of percentages ---------------------------------------------------------------------

BASES = {"nav": 1_000, "total_assets": 1_100, "equity": 900, "cash": 700}
"""What an account is worth in four ways that differ, in hundreds of dollars."""
SHARES: dict[str, tuple[str, str, Fraction]] = {
    "max-issuer-weight": ("", "nav", Fraction(5, 100)),
    "max-sector-weight": ("", "nav", Fraction(20, 100)),
    "max-net-leverage": ("", "nav", Fraction(1)),
    "max-gross-leverage": ("", "nav", Fraction(2)),
    "ucits-issuer-limit": ("ucits", "nav", Fraction(10, 100)),
    "diversified-company": ("diversified", "total_assets", Fraction(25, 100)),
    "industry-concentration": ("not-concentrated", "total_assets", Fraction(25, 100)),
    "leverage-granted": ("broker-leverage", "equity", Fraction(2)),
    "team-concentration": ("team", "team_nav", Fraction(15, 100)),
}
"""Label of the account, base and share of limits in percent of something."""


@both
@pytest.mark.parametrize("rule", SHARES)
def test_a_percentage_is_of_the_base_its_source_names(make: Make, rule: str) -> None:
    tag, base, share = SHARES[rule]
    facts: dict[str, Any] = {name: str(100 * worth) for name, worth in BASES.items()}
    facts |= {"tags": [tag] if tag else [], "team_nav": "130000", "leverage": "2"}
    most = int(share * int(facts[base]) / 100)
    assert most * 100 == share * int(facts[base])
    trading = desk(make, margin(account=facts, **VOTED), rule)
    assert rule not in breached(trading.check(order("buy", most)))
    assert rule in breached(trading.check(order("buy", most + 1)))


@both
def test_the_base_is_that_of_before_the_trade(make: Make) -> None:
    # A purchase on credit makes assets of 100,000 into 105,100, of which 5% would be 52 shares.
    trading = desk(make, margin(account={"nav": "100000", "cash": "0"}), "max-issuer-weight")
    assert "max-issuer-weight" not in breached(trading.check(order("buy", 50)))
    assert "max-issuer-weight" in breached(trading.check(order("buy", 51)))


@both
def test_a_holding_below_zero_does_not_shrink_the_base(make: Make) -> None:
    # Sales of what is not owned bring cash, which is no net asset value.
    document = margin(account={"nav": "100000", "cash": "200000"}, positions=[held(-1_000, "BETA")])
    trading = desk(make, document, "max-issuer-weight")
    assert "max-issuer-weight" not in breached(trading.check(order("buy", 50)))
    assert "max-issuer-weight" in breached(trading.check(order("buy", 51)))
