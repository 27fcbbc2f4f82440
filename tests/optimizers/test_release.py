"""Orders decided like any other, wave by wave: what is filled before the next, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.certificate import Order
from lexorder.engine.desk import Desk, Make, fast, slow
from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_snapshot
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import project
from lexorder.engine.subjects import account_subject
from lexorder.engine.typecheck import term_of
from lexorder.optimizers.board import Board
from lexorder.optimizers.release import Released, fill_of, orders_of, release
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import DAY, rule, small

CASH = rule("account.after.cash >= 0", phases="[pre_trade, rebalance]").replace("rule: r", "rule: cash")
SIZE = rule("order.quantity <= 20", for_each="order", phases="[pre_trade]").replace("rule: r", "rule: size")
SOFT = SIZE.replace("rule: size", "rule: soft") + "  severity: soft\n"


def placed(text: str, given: dict[str, Any], make: Make = slow, **trading: Any) -> tuple[Board, Desk]:
    book = RuleBook.of(text, VOCABULARY)
    snapshot = load_snapshot(given, VOCABULARY)
    board = board_of(snapshot, VOCABULARY, ACCOUNT, book.on(DAY), Trading(**{"trader": "T-1", **trading}))
    return board, Desk(book, snapshot, VOCABULARY, make)


def released(text: str, given: dict[str, Any], *waves: tuple[Order, ...], **options: Any) -> Released:
    board, desk = placed(text, given, **options)
    return release(board, waves, desk, 0)


def told(found: Released) -> list[list[tuple[str, str, object]]]:
    return [[(o["order.symbol"], o["order.side"], o["order.quantity"]) for o in w] for w in found.waves]  # type: ignore[misc]


# ---- what is approved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [slow, fast])
def test_each_wave_is_decided_with_all_earlier_ones_filled(make):
    waves = ((Order(0, -40),), (Order(1, 35),))
    given = small(40, 0, cash="0")
    found = released(CASH, given, *waves, make=make)
    assert told(found) == [[("A", "sell", 40)], [("B", "buy", 35)]]
    assert [d.approved for d in found.decisions] == [True, True]
    held = found.after.positions[ACCOUNT]
    assert (held["A"]["position.before.quantity"], held["B"]["position.before.quantity"]) == (0, 35)
    # Sold at 9.99, bought at 10.01.
    assert found.after.accounts[ACCOUNT]["account.cash"] == 40 * Fraction("9.99") - 35 * Fraction("10.01")


def test_the_other_way_round_there_is_no_money():
    found = released(CASH, small(40, 0, cash="0"), (Order(1, 35),), (Order(0, -40),))
    assert found.waves == ()
    assert found.decisions == ()
    assert [(r.rule, r.subject) for r in found.refused] == [("cash", "B")]


def test_nothing_to_do_is_nothing_released():
    found = released(CASH, small(1))
    assert (found.waves, found.decisions, found.refused) == ((), (), ())


def test_lots_become_shares():
    found = released(CASH, small(13, 0, lot=10), (Order(0, 2), Order(1, 1)))
    assert told(found) == [[("A", "buy", 20), ("B", "buy", 10)]]


def test_identifiers_name_wave_and_symbol_and_no_two_are_the_same():
    waves = ((Order(0, -5), Order(1, 2)), (Order(1, 3),))
    found = released(CASH, small(10, 0), *waves, prefix="REB")
    assert [[o["order.id"] for o in w] for w in found.waves] == [["REB1-A", "REB1-B"], ["REB2-B"]]


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_only_the_orders_that_fail_alone_are_refused_and_by_the_rule_in_its_words():
    found = released(CASH + SIZE, small(30, 0, 0), (Order(0, -21), Order(1, 20), Order(2, 1)))
    (refused,) = found.refused
    assert (refused.rule, refused.subject) == ("size", "A")
    assert refused.why
    assert found.waves == ()


def test_where_each_passes_alone_and_all_do_not_the_wave_is_refused():
    found = released(CASH, small(0, 0, cash="150"), (Order(0, 10), Order(1, 10)))
    assert {(r.rule, r.subject) for r in found.refused} == {("cash", "A"), ("cash", "B")}


def test_a_soft_rule_stops_a_release_too():
    found = released(SOFT, small(0), (Order(0, 21),))
    assert [(r.rule, r.subject) for r in found.refused] == [("soft", "A")]
    assert released(SOFT, small(0), (Order(0, 20),)).refused == ()


def test_an_undecided_rule_stops_a_release():
    given: dict[str, Any] = small(0)
    del given["instruments"][0]["adv"]
    text = rule("sum(order.filled) <= 10% * instrument.adv", for_each="instrument", phases="[pre_trade]")
    found = released(text, given, (Order(0, 1),))
    assert [(r.rule, r.subject) for r in found.refused] == [("r", "A")]


def test_waves_after_a_refusal_are_not_looked_at():
    found = released(SIZE, small(0, 0), (Order(0, 5),), (Order(1, 21),), (Order(0, 99),))
    assert [r.subject for r in found.refused] == ["B"]
    assert (found.waves, found.decisions) == ((), ())


# ---- fills -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "cash"), [(1, "-70.21"), (-1, "69.79")])
def test_a_fill_costs_its_limit_price_and_its_fee(side, cash):
    board, _ = placed(CASH, small(20), fee=Fraction(2, 100))
    (order,) = orders_of(board, (Order(0, 7 * side),), 1)
    fill = fill_of(order, board)
    # 7 at 10.01 and 2 cents each, or 7 at 9.99 less 2 cents each
    assert fill.cash == Fraction(cash)
    assert (fill.account, fill.symbol, fill.side) == (ACCOUNT, "A", "buy" if side > 0 else "sell")
    assert fill.quantity == 7


def test_a_fill_in_foreign_money_is_in_the_account_s():
    given: dict[str, Any] = {**small(0), "fx": {"base": "USD", "EUR": "1.5"}}
    given["instruments"][0]["currency"] = "EUR"
    board, _ = placed(CASH, given, fee=Fraction(1, 100))
    (order,) = orders_of(board, (Order(0, 4),), 1)
    assert fill_of(order, board).cash == -4 * Fraction("10.02") * Fraction(3, 2)


@pytest.mark.parametrize("multiplier", ["1", "100", "0.01"])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("rate", ["1", "1.5"])
def test_a_fill_moves_the_cash_that_the_rules_say_it_moves(multiplier, side, rate):
    given: dict[str, Any] = {**small(20, nav="1000000"), "fx": {"base": "USD", "EUR": rate}}
    given["instruments"][0] |= {"currency": "EUR", "multiplier": multiplier}
    board, desk = placed(CASH, given, fee=Fraction(3, 100))
    (order,) = orders_of(board, (Order(0, 7 * side),), 1)
    fill = fill_of(order, board)
    seen = project(board.projection.snapshot, VOCABULARY, ACCOUNT, (order,))
    cash = term_of("sum(order.filled * order.cash_per_share)", VOCABULARY, "account")
    at = Point(seen, (account_subject(seen),), {("order", str(order["order.id"])): Fraction(7)}, {})
    assert -fill.cash == value(cash, at)
    before = desk.snapshot.accounts[ACCOUNT]["account.cash"]
    desk.apply(fill)
    assert desk.snapshot.accounts[ACCOUNT]["account.cash"] == before + fill.cash  # type: ignore[operator]


def test_contracts_are_released_with_the_cash_they_cost():
    given: dict[str, Any] = small(0, 0, cash="5000")
    given["instruments"][0]["multiplier"] = "100"
    found = released(CASH, given, (Order(0, 4),), (Order(1, 99),))
    assert told(found) == [[("A", "buy", 4)], [("B", "buy", 99)]]
    assert found.after.accounts[ACCOUNT]["account.cash"] == 5000 - 4004 - 99 * Fraction("10.01")
    short = released(CASH, given, (Order(0, 4),), (Order(1, 100),))
    assert [(r.rule, r.subject) for r in short.refused] == [("cash", "B")], "996 are left, and 100 cost 1,001"


def test_an_order_has_the_facts_of_its_candidate():
    board, _ = placed(CASH, small(5), strategy="ALPHA", time_in_force="IOC")
    (order,) = orders_of(board, (Order(0, -5),), 3)
    candidate = board.candidates[0].sell
    assert candidate is not None
    changed = {k for k in order if order[k] != candidate[k]}
    assert changed == {"order.id", "order.quantity"}
    assert order.keys() == candidate.keys()
