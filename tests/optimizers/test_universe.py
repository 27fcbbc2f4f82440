"""Which names may be traded, how far, and at what limit price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.errors import SnapshotError, UsageError
from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.quantity import exact
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import project
from lexorder.engine.subjects import account_subject
from lexorder.engine.typecheck import term_of
from lexorder.optimizers.board import Board, Candidate
from lexorder.optimizers.universe import (
    Trading,
    account_fact,
    board_of,
    limit_price,
    steady,
    tick_of,
    value_of_share,
)
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rebalance import CAP, asked, done
from tests.optimizers.test_rows import DAY, rule, small


def board(given: dict[str, Any], account: str = ACCOUNT, **trading: Any) -> Board:
    snapshot = load_snapshot(given, VOCABULARY)
    return board_of(snapshot, VOCABULARY, account, (), Trading(**{"trader": "T-1", **trading}))


def one(
    held: int = 0, *, mark: str = "10", lot: int = 1, facts: dict[str, Any] | None = None, **trading: Any
) -> Candidate:
    """The candidate for name A with a NAV of 1,000."""
    given: dict[str, Any] = small(held, lot=lot)
    given["instruments"][0] |= {"mark": mark, **(facts or {})}
    return board(given, **trading).candidates[0]


# ---- limit prices ----------------------------------------------------------------------------------------------------

MARKS = [
    Fraction(m) for m in ("0.0001", "0.0099", "0.01", "0.0101", "1", "9.999", "10", "10.005", "99.99", "123456.789")
]


@pytest.mark.parametrize("tick", [Fraction("0.01"), Fraction("0.0001"), Fraction("0.05"), Fraction(1)])
@pytest.mark.parametrize("band", [Fraction(0), Fraction(1, 1000), Fraction(1, 20)])
@pytest.mark.parametrize("mark", MARKS)
def test_a_limit_price_is_the_last_tick_within_the_band(mark, band, tick):
    trading = Trading(band=band, tick=tick)
    buy, sell = limit_price(mark, "buy", trading), limit_price(mark, "sell", trading)
    for price in (buy, sell):
        assert price > 0
        assert (price / tick).denominator == 1
    assert buy == tick or buy <= mark * (1 + band) < buy + tick
    assert sell == tick or sell - tick < mark * (1 - band) <= sell


@pytest.mark.parametrize(
    ("own", "asked", "tick"),
    [
        (None, "0.01", "0.01"),  # the vocabulary's own step of a hundredth of a cent divides it
        ("0.05", "0.01", "0.05"),
        ("0.0001", "0.01", "0.01"),
        ("0.025", "0.01", "0.05"),
        ("0.0003", "0.01", "0.03"),
        ("0.01", "0.05", "0.05"),
        ("1", "0.01", "1"),
    ],
)
def test_prices_are_on_the_instrument_s_tick_and_on_the_one_asked_for(own, asked, tick):
    facts = {} if own is None else {"tick": own}
    found = one(5, mark="123.4567", facts=facts, tick=Fraction(asked))
    assert found.buy is not None
    assert found.sell is not None
    for candidate in (found.buy, found.sell):
        price = Fraction(candidate["order.price"])  # type: ignore[arg-type]
        assert (price / Fraction(tick)).denominator == 1
        assert abs(price - Fraction("123.4567")) <= Fraction("0.1234567") + Fraction(tick)
    given: dict[str, Any] = small(5)
    given["instruments"][0] |= facts
    seen = board(given).projection
    assert tick_of("A", seen, Trading(tick=Fraction(asked))) == Fraction(tick)


def test_an_order_on_a_coarse_tick_is_approved_by_the_rule_that_asks_for_it():
    given: dict[str, Any] = small(0, 0)
    given["instruments"][0] |= {"tick": "0.05", "mark": "10.02"}
    on_tick = rule("order.on_tick", for_each="order", phases="[pre_trade]").replace("rule: r", "rule: tick")
    result = done(asked(CAP + on_tick, given, A="0.05"))
    assert [(o.symbol, o.price) for o in result.orders] == [("A", Fraction(10))]
    assert result.left_out == ()


def test_a_band_of_nearly_everything_still_asks_for_a_tick():
    trading = Trading(band=Fraction(9_999, 10_000))
    assert limit_price(Fraction(1), "sell", trading) == trading.tick
    assert limit_price(Fraction(1), "sell_short", trading) == trading.tick


@pytest.mark.parametrize(
    "change",
    [
        {"tick": Fraction(0)},
        {"tick": Fraction(-1, 100)},
        {"band": Fraction(1)},
        {"band": Fraction(-1, 10**9)},
        {"fee": Fraction(-1, 100)},
        {"cap": Fraction(-1)},
    ],
)
def test_a_way_of_trading_that_makes_no_sense_is_refused(change):
    with pytest.raises(UsageError, match="a tick is above 0") as refused:
        Trading(**change)
    assert refused.value.code == "bad-setting"


def test_a_time_in_force_that_is_none_is_refused_before_anything_is_solved():
    with pytest.raises(UsageError, match="one of CLS, DAY, FOK, GTC, GTD, IOC, OPG") as refused:
        board(small(1), time_in_force="day")
    assert refused.value.code == "bad-setting"


# ---- how far ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "long_only", "bounds"),
    [
        (0, True, (0, 100)),
        (0, False, (-100, 100)),
        (30, True, (0, 100)),
        (30, False, (0, 100)),  # a long holding is never sold through nought
        (130, True, (0, 130)),  # more than the cap may stay, not grow
        (-30, True, (-30, 0)),  # a short holding may be bought back, no further
        (-30, False, (-30, 0)),
    ],
)
def test_bounds_by_what_is_held(held, long_only, bounds):
    found = one(held, long_only=long_only)
    assert (found.lower, found.upper) == bounds
    assert (found.buy is not None, found.sell is not None) == (bounds[1] > held, bounds[0] < held)


@pytest.mark.parametrize(("cap", "reach"), [("1", 100), ("0.0999", 9), ("0.1", 10), ("0.0001", 0), ("0", 0)])
def test_the_cap_is_in_whole_shares_rounded_down(cap, reach):
    assert one(cap=Fraction(cap)).upper == reach


@pytest.mark.parametrize(
    ("mark", "reach"), [("9.9", 101), ("9.9009", 101), ("9.901", 100), ("333.3333", 3), ("2000", 0)]
)
def test_the_reach_is_what_the_net_asset_value_buys_at_the_mark(mark, reach):
    assert one(mark=mark).upper == reach


@pytest.mark.parametrize("held", range(-13, 14, 3))
@pytest.mark.parametrize("lot", [1, 4, 10])
def test_trades_are_whole_lots_from_the_present_holding(held, lot):
    found = one(held, lot=lot, long_only=False)
    assert (found.upper - held) % lot == 0 == (found.lower - held) % lot
    assert found.lower <= held <= found.upper


@pytest.mark.parametrize(("side", "short"), [(5, "sell"), (0, "sell_short")])
def test_a_sale_of_what_is_not_held_is_a_short_sale(side, short):
    found = one(side, long_only=False)
    assert found.sell is not None
    assert found.sell["order.side"] == short


def test_foreign_money_counts_at_its_rate():
    given: dict[str, Any] = {**small(0), "fx": {"base": "USD", "EUR": "2"}}
    given["instruments"][0]["currency"] = "EUR"
    found = board(given)
    assert found.candidates[0].upper == 50
    assert value_of_share(found.projection, "A") == 20


@pytest.mark.parametrize(("multiplier", "rate"), [("1", "1"), ("100", "1"), ("0.01", "2"), ("50", "0.5")])
def test_a_share_is_worth_what_the_rules_say_it_is(multiplier, rate):
    given: dict[str, Any] = {**small(7), "fx": {"base": "USD", "EUR": rate}}
    given["instruments"][0] |= {"currency": "EUR", "multiplier": multiplier}
    found = board(given)
    value_now = term_of("sum(position.before.value)", VOCABULARY, "account")
    at = Point(found.projection, (account_subject(found.projection),), {}, {})
    assert 7 * value_of_share(found.projection, "A") == value(value_now, at)
    assert found.candidates[0].upper == max(7, int(1000 / value_of_share(found.projection, "A")))


def test_contracts_count_in_full_in_weights_turnover_and_cash():
    given: dict[str, Any] = small(0, 0, nav="100000", cash="50000")
    given["instruments"][0]["multiplier"] = "100"
    request = asked(CAP, given, A="0.05")
    result = done(request)
    (weight,) = [w for w in result.weights if w.symbol == "A"]
    assert weight.weight_after == Fraction(1, 5), "20 contracts of 1,000 are the cap of 20%"
    assert result.turnover == Fraction(1, 5)
    assert result.cash_before - result.cash_after == 20 * 1001
    assert result.cost == 20
    (line,) = [h for h in result.headroom if h.subject == "A-CORP"]
    assert line.after == weight.weight_after, "as the rule sees it"


# ---- what the border would refuse anyway -----------------------------------------------------------------------------


PENNY: dict[str, Any] = {"nav": "1000000000", "cash": "1000000000"}


@pytest.mark.parametrize("held", [0, 30_000_000])
def test_no_order_is_larger_than_the_vocabulary_admits(held):
    given: dict[str, Any] = small(held, **PENNY)
    given["instruments"][0]["mark"] = "0.01"
    found = board(given).candidates[0]
    most = VOCABULARY.names["order.quantity"].maximum
    assert most == 10_000_000
    assert (found.lower, found.upper) == (max(0, held - 10_000_000), held + 10_000_000)


@pytest.mark.parametrize(
    ("mark", "both"), [("1998001.99", True), ("1998002", True), ("1998010", False), ("2000000", False)]
)
def test_a_limit_price_above_the_vocabulary_s_is_not_asked_for(mark, both):
    given: dict[str, Any] = small(1, **PENNY)
    given["instruments"][0]["mark"] = mark
    found = board(given).candidates[0]
    assert (found.buy is not None) is both
    assert (found.upper > 1) is both
    assert found.sell is not None


@pytest.mark.parametrize("mark", ["0.0001", "0.01", "10", "1999999"])
@pytest.mark.parametrize("held", [0, 7, -7])
def test_every_candidate_is_an_order_the_border_admits(mark, held):
    found = one(held, mark=mark, long_only=False, fee=Fraction(1, 100))
    for candidate in (found.buy, found.sell):
        if candidate is None:
            continue
        fields = ("id", "account", "symbol", "side", "ord_type", "time_in_force", "strategy", "trader")
        raw = {f: candidate[f"order.{f}"] for f in fields}
        amounts = {f: exact(Fraction(candidate[f"order.{f}"])) for f in ("quantity", "price", "fee_per_share")}  # type: ignore[arg-type]
        assert load_order({**raw, **amounts}, VOCABULARY) == candidate


# ---- what is not traded ----------------------------------------------------------------------------------------------


def still(found: Candidate) -> bool:
    return found.lower == found.held == found.upper and found.buy is None and found.sell is None


def test_names_asked_to_stay_without_mark_or_with_a_working_order_are_not_traded():
    given: dict[str, Any] = small(3, 4, 5, 6, working=(("C", "buy", 1),))
    del given["instruments"][1]["mark"]
    found = board(given, stay=frozenset({"A", "NOT-THERE"}))
    assert [still(c) for c in found.candidates] == [True, True, True, False]
    assert [c.symbol for c in found.candidates] == ["A", "B", "C", "D"]


def test_a_name_that_is_held_and_no_longer_listed_stays():
    given: dict[str, Any] = small(3)
    snapshot = load_snapshot(given, VOCABULARY)
    facts = snapshot.positions[ACCOUNT]["A"]
    snapshot = replace(snapshot, positions={ACCOUNT: {"A": facts, "GONE": {**facts, "position.symbol": "GONE"}}})
    found = board_of(snapshot, VOCABULARY, ACCOUNT, (), Trading(trader="T-1"))
    assert [(c.symbol, still(c)) for c in found.candidates] == [("A", False), ("GONE", True)]


def test_an_unknown_account_and_missing_net_assets_are_refused():
    with pytest.raises(SnapshotError, match="no account NOBODY") as refused:
        board(small(1), account="NOBODY")
    assert refused.value.code == "unknown-account"
    given: dict[str, Any] = small(1)
    del given["accounts"][0]["nav"]
    with pytest.raises(SnapshotError, match="no net asset value") as absent:
        board(given)
    assert absent.value.code == "missing-fact"


# ---- what a candidate says -------------------------------------------------------------------------------------------


def test_an_order_says_who_how_and_what_the_vocabulary_presumes():
    found = one(2, prefix="Q", strategy="ALPHA", time_in_force="IOC", fee=Fraction(1, 50)).buy
    assert found is not None
    told = {k.removeprefix("order."): v for k, v in found.items()}
    assert told["id"] == "Q-A-B"
    assert (told["trader"], told["strategy"], told["time_in_force"]) == ("T-1", "ALPHA", "IOC")
    assert (told["fee_per_share"], told["ord_type"]) == (Fraction(1, 50), "limit")
    declared = [d for d in VOCABULARY.of_entity("order") if d.default is not None]
    assert {d.name for d in declared} <= set(found)
    said = {"order.ord_type", "order.strategy", "order.time_in_force", "order.fee_per_share"}
    assert all(found[d.name] == d.default for d in declared if d.name not in said)


def test_without_a_trader_the_order_names_none():
    found = one(2, trader="").buy
    assert found is not None
    assert "order.trader" not in found


def test_a_share_without_a_fresh_mark_is_worth_nothing_known():
    given: dict[str, Any] = small(3, 3)
    given["instruments"][0]["mark_time"] = "2026-06-15T11:44:59-04:00"  # 15 minutes and a second
    given["instruments"][1]["mark_time"] = "2026-06-15T11:45:00-04:00"
    seen = project(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, ())
    assert [value_of_share(seen, s) for s in "ABZ"] == [0, 10, 0]
    assert account_fact(seen, "account.nav") == 1000


def test_measured_names_of_orders_are_left_to_the_orders():
    text = rule("order.on_lot and account.day_trades <= 3", for_each="order", phases="[pre_trade]")
    assert steady(RuleBook.of(text, VOCABULARY).on(DAY)) == ("account.day_trades",)
