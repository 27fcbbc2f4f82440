"""The names of a rebalance: their variables, their bounds, and the order each holding would need."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_snapshot
from lexorder.engine.snapshot import Projection, project
from lexorder.optimizers.board import Board, Candidate, whole_shares
from lexorder.optimizers.universe import Trading, board_of
from tests.optimizers.generated import ACCOUNT, VOCABULARY
from tests.optimizers.test_rows import small

BUSY = (("A", "buy", 4), ("A", "sell", 2))


def board(*holdings: int, **options: Any) -> Board:
    trading = Trading(cap=Fraction(1, 10), **options.pop("trading", {}))
    given = small(*holdings, **options)
    return board_of(load_snapshot(given, VOCABULARY), VOCABULARY, ACCOUNT, (), trading)


def bare(*holdings: int, **options: Any) -> Projection:
    return project(load_snapshot(small(*holdings, **options), VOCABULARY), VOCABULARY, ACCOUNT, ())


# ---- holdings and fills --------------------------------------------------------------------------------------------


def test_a_variable_is_the_holding_of_its_name():
    found = board(3, 0)
    for symbol, name in (("A", 0), ("B", 1)):
        holding = found.holding(symbol)
        assert holding is not None
        assert [holding.value({name: x}) for x in range(11)] == list(range(11))
    assert found.holding("Z") is None


@pytest.mark.parametrize("held", [0, 3, 10])
def test_filled_shares_are_what_was_bought_or_sold_and_never_less_than_nought(held):
    found = board(held)
    low, high = found.domains[0]
    for x in range(low, high + 1):
        assert found.filled(0, 1).value({0: x}) == max(0, x - held)
        assert found.filled(0, -1).value({0: x}) == max(0, held - x)


def test_at_the_present_holding_there_is_neither_side():
    found = board(3)
    assert found.side(0, 1) == ((4, 10),)
    assert found.side(0, -1) == ((0, 2),)
    assert board(0).side(0, -1) == ()
    assert board(10).side(0, 1) == ()


def test_a_single_working_order_moves_with_its_name():
    found = board(5, 3, working=(("A", "sell", 2),))
    assert found.domains == [(3, 5), (0, 10), (-2, 0)]
    assert [found.working_filled("W-0").value({0: x, 2: 0}) for x in (3, 4, 5)] == [2, 1, 0]


def test_several_working_orders_of_a_name_have_a_variable_each():
    found = board(5, 3, working=BUSY)
    assert found.domains == [(3, 9), (0, 10), (0, 4), (-2, 0)]
    assert [found.working_filled("W-0").value({2: x}) for x in (0, 1, 4)] == [0, 1, 4]
    assert [found.working_filled("W-1").value({3: x}) for x in (0, -1, -2)] == [0, 1, 2], "fills have no sign"
    assert (found.working_of(0), found.working_of(1)) == ([0, 1], [])
    assert found.held() == [5, 3, 0, 0]


# ---- the orders ----------------------------------------------------------------------------------------------------


def test_the_orders_at_some_holdings_lead_there_and_to_no_other_name():
    found = board(3, 5, 0)
    orders = found.orders_at([0, 5, 4])
    assert [(o["order.symbol"], o["order.side"], o["order.quantity"]) for o in orders] == [
        ("A", "sell", 3),
        ("C", "buy", 4),
    ]
    assert found.orders_at(found.held()) == ()


def test_names_with_working_orders_get_no_order():
    found = board(5, 3, working=(("A", "sell", 2),))
    assert [o["order.symbol"] for o in found.orders_at([4, 2])] == ["B"]
    assert set(found.orders) == {"R-B-B", "R-B-S"}


def test_every_candidate_order_is_known_by_its_id_with_its_direction():
    assert board(3, 0).orders == {"R-A-B": (0, 1), "R-A-S": (0, -1), "R-B-B": (1, 1)}


# ---- bounds --------------------------------------------------------------------------------------------------------


def test_the_present_holding_is_always_within_reach():
    projection = bare(3)
    found = Board(projection, {}, [Candidate("A", 3, 5, 9)])
    assert found.domains == [(3, 9)]
    assert Board(projection, {}, [Candidate("A", 3, 0, 2)]).domains == [(0, 3)]


@pytest.mark.parametrize(
    "change", [{"upper": 6}, {"lower": 4}, {"buy": {"order.id": "X"}}, {"sell": {"order.id": "X"}}]
)
def test_a_name_with_a_working_order_may_not_be_traded_as_well(change):
    still = Candidate("A", 5, 5, 5)
    projection = bare(5, working=(("A", "buy", 1),))
    assert Board(projection, {}, [still]).domains[0] == (5, 6)
    with pytest.raises(SnapshotError, match="may not be traded as well") as refused:
        Board(projection, {}, [replace(still, **change)])
    assert refused.value.code == "working-order"


def test_a_working_order_in_a_name_that_is_not_listed_is_refused():
    with pytest.raises(SnapshotError, match="no listed name") as refused:
        Board(bare(5, 0, working=(("A", "buy", 1),)), {}, [Candidate("B", 0, 0, 0)])
    assert refused.value.code == "unknown-thing"


@pytest.mark.parametrize(
    ("value", "whole"), [(Fraction(7), 7), (Fraction(-7), -7), (Fraction(0), 0), (Fraction(2**70), 2**70)]
)
def test_whole_numbers_of_shares_of_any_size(value, whole):
    assert whole_shares(value, "A") == whole


@pytest.mark.parametrize("value", [Fraction(1, 2), Fraction(-1, 10**9), Fraction(2**70 + 1, 2)])
def test_parts_of_a_share_are_refused_by_name(value):
    with pytest.raises(SnapshotError, match=r"ACME.*not a whole number") as refused:
        whole_shares(value, "ACME")
    assert refused.value.code == "fractional-holding"
