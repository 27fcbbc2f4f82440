"""What a rebalance answers as data: FIX values, amounts as decimal text, and nothing lost on the way."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction

import pytest

from lexorder.engine.quantity import exact
from lexorder.optimizers.outcome import (
    FIX_SIDE,
    FIX_TIME,
    FIX_TYPE,
    ORDER_FIELDS,
    Binding,
    Clash,
    Headroom,
    Infeasible,
    Rebalanced,
    TradeOrder,
    Weight,
    amount,
)
from lexorder.optimizers.rows import Refusal
from lexorder.optimizers.signals import SignalReport
from tests.optimizers.generated import VOCABULARY

ORDER = TradeOrder(2, "R2-A", "ACC", "A", "buy", 12, "limit", Fraction("10.01"), "DAY", Fraction(120), 1)
THIRD = Fraction(1, 3)
REBALANCED = Rebalanced(
    account="ACC",
    time="2026-06-15T12:00:00-04:00",
    orders=(ORDER,),
    decisions=(),
    weights=(Weight("A", 0, 12, Fraction(0), Fraction(12, 100), "Left", THIRD),),
    headroom=(Headroom("r", "R", "A", "pass", "pass", None, THIRD, Fraction(1, 2), Fraction(1, 6), True),),
    binding=(Binding("r", "A", Fraction(1, 5), 1.23456789), Binding("q", "B", None, 1e-9)),
    signals=SignalReport((), {}, {}),
    nav=Fraction(1000),
    cash_before=Fraction("500.5"),
    cash_after=Fraction("380.38"),
    turnover=Fraction(12, 100),
    cost=Fraction("0.12"),
    gap_bp=THIRD,
    route="convex: why",
    certificate="{}",
    confirmed=7,
    left_out=(Refusal("r", "B", "why"),),
    rulebook_hash="b" * 64,
    snapshot_hash="c" * 64,
    by_order=("least",),
)
CLASH = Clash("r", "A rule", "A", "x <= 1", Fraction(1, 5), THIRD, True)


# ---- FIX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table", "outside"),
    [("order.side", FIX_SIDE, set()), ("order.ord_type", FIX_TYPE, set()), ("order.time_in_force", FIX_TIME, set())],
)
def test_every_word_of_the_vocabulary_has_its_fix_value(name, table, outside):
    assert set(table) | outside == set(VOCABULARY.names[name].unit.values)
    assert len(set(table.values())) == len(table), "no two words share a value"


@pytest.mark.parametrize(
    ("table", "word", "value"),
    [
        # FIX 4.4 Volume 6, tags 54, 40 and 59.
        (FIX_SIDE, "buy", "1"),
        (FIX_SIDE, "sell", "2"),
        (FIX_SIDE, "sell_short", "5"),
        (FIX_TYPE, "market", "1"),
        (FIX_TYPE, "limit", "2"),
        (FIX_TYPE, "stop", "3"),
        (FIX_TYPE, "stop_limit", "4"),
        (FIX_TIME, "DAY", "0"),
        (FIX_TIME, "GTC", "1"),
        (FIX_TIME, "OPG", "2"),
        (FIX_TIME, "IOC", "3"),
        (FIX_TIME, "FOK", "4"),
        (FIX_TIME, "GTD", "6"),
        (FIX_TIME, "CLS", "7"),
    ],
)
def test_values_are_those_of_the_standard(table, word, value):
    assert table[word] == value


def test_an_order_as_fix_is_text_in_the_order_of_the_columns():
    told = ORDER.to_fix()
    assert tuple(told) == ORDER_FIELDS
    assert list(told.values()) == ["2", "R2-A", "ACC", "A", "1", "12", "2", "10.01", "0"]


@pytest.mark.parametrize("price", [Fraction(1, 10_000), Fraction(2_000_000), Fraction("0.01"), Fraction(7)])
def test_a_price_is_read_back_as_it_was(price):
    assert Fraction(replace(ORDER, price=price).to_fix()["Price"]) == price


# ---- amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-5, 4), "-1.25"),
        (Fraction(10**20), "100000000000000000000"),
        (Fraction(1, 10**12), "0.000000000001"),
        (Fraction(2, 3), "0.666666666667"),
        (Fraction(-2, 3), "-0.666666666667"),
        (Fraction(1, 3 * 10**12), "0"),
        (Fraction(10**15, 3), "333333333333333.333333333333"),
        (None, None),
        ("word", "word"),
        (True, True),
    ],
)
def test_amounts_are_exact_where_they_end_and_rounded_to_twelve_places_where_not(value, text):
    assert amount(value) == text


@pytest.mark.parametrize("digits", [11, 12, 13, 30])
def test_a_long_decimal_that_ends_is_never_cut(digits):
    value = Fraction(1, 10**digits)
    assert Fraction(str(amount(value))) == value


# ---- documents -------------------------------------------------------------------------------------------------------


def leaves(node: object) -> list[object]:
    if isinstance(node, dict):
        return [leaf for value in node.values() for leaf in leaves(value)]
    return [leaf for value in node for leaf in leaves(value)] if isinstance(node, list) else [node]


def test_a_rebalance_as_json_has_no_floats_and_survives_the_journey():
    document = REBALANCED.to_json()
    assert not any(isinstance(leaf, float) for leaf in leaves(document))
    assert json.loads(json.dumps(document)) == document


def test_nothing_of_a_rebalance_is_left_out_of_its_json_but_what_has_a_place_of_its_own():
    elsewhere = {
        "signals": "the report",
        "certificate": "a file",
        "by_order": "decided_by_order",
        "gap_bp": "certified_gap_bp",
        "steered": "model and targets",
        "value_bp": "objective",
        "bound_bp": "objective",
    }
    document = REBALANCED.to_json()
    missing = {f.name for f in fields(Rebalanced)} - document.keys()
    assert missing == set(elsewhere)
    assert document["decided_by_order"] == ["least"]
    assert document["certified_gap_bp"] == "0.333333333333"
    assert (document["outcome"], document["cash_before"], document["nav"]) == ("rebalanced", "500.5", "1000")


def test_rows_of_the_document_say_what_their_values_say():
    document = json.loads(json.dumps(replace(REBALANCED, incurable=(CLASH,)).to_json()))
    assert document["weights"] == [
        {
            "symbol": "A", "shares_before": "0", "shares_after": "12", "weight_before": "0",
            "weight_after": "0.12", "expected_return": "0.333333333333",
        }
    ]  # fmt: skip
    assert document["headroom"] == [
        {
            "rule": "r", "subject": "A", "status_before": "pass", "status_after": "pass", "before": None,
            "after": "0.333333333333", "limit": "0.5", "margin": "0.166666666667",
        }
    ]  # fmt: skip
    assert [row["shadow_price_bp"] for row in document["binding"]] == ["1.23457", "1e-09"]
    assert [row["limit"] for row in document["binding"]] == ["0.2", None]
    assert document["left_out"] == [{"rule": "r", "subject": "B", "why": "why"}]
    assert document["incurable"] == [
        {
            "rule": "r", "title": "A rule", "subject": "A", "requirement": "x <= 1", "limit": "0.2",
            "smallest_relaxed_limit": "0.333333333333",
        }
    ]  # fmt: skip


def test_without_a_bound_no_gap_is_claimed():
    assert replace(REBALANCED, gap_bp=None).to_json()["certified_gap_bp"] is None


def test_waves_are_counted_and_none_is_none():
    assert REBALANCED.waves == 2
    assert replace(REBALANCED, orders=()).waves == 0


def test_an_impossible_rebalance_has_no_orders_and_names_the_conflict():
    told = Infeasible(
        "ACC", "now", (CLASH, replace(CLASH, limit=None, relaxed=None)), "{}", SignalReport((), {}, {}), "b", "c"
    )
    document = json.loads(json.dumps(told.to_json()))
    assert (document["outcome"], document["orders"]) == ("infeasible", [])
    assert [c["limit"] for c in document["conflict"]] == ["0.2", None]
    assert (document["rulebook_hash"], document["snapshot_hash"]) == ("b", "c")


def test_exact_text_is_the_engine_s():
    assert exact(Fraction("380.38")) == REBALANCED.to_json()["cash_after"]
