"""Orders as columns: what is read in bulk is what `load_order` reads; what it refuses is left to it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine import literals
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.live import Live
from lexorder.engine.symbols import is_canonical
from lexorder.engine.vector_columns import INT64, Numbers, Truths, Words
from lexorder.engine.vector_orders import asked_of, asked_of_facts, canonical, decimals
from lexorder.engine.vector_tables import Tables
from tests.worlds import VOCABULARY, order, world

PLAIN = ("0", "1", "10", "0.5", "0.0001", "12.3400", "9999999", "2000000.0000", "000", "00.1", "01", ".5", "5.", ".")
ODD = (
    "",
    "-1",
    "+1",
    "1_000",
    "5%",
    "1e5",
    " 1",
    "1 ",
    "1\n",
    "１",
    "1.2.3",
    "0x10",
    "NaN",
    "1\x00",
    "9" * 30,
    "1.00001",
)
texts = st.one_of(
    st.sampled_from(PLAIN + ODD),
    st.decimals(0, 10**9, places=4).map(lambda d: format(Decimal(d), "f")),
    st.integers(0, 10**12).map(str),
    st.text(alphabet="0123456789._-%e ", max_size=12),
)


@pytest.fixture
def tables() -> Tables:
    return Tables(Live(VOCABULARY, load_snapshot(world(), VOCABULARY)), VOCABULARY, {})


@given(st.lists(texts, min_size=1, max_size=8), st.sampled_from((0, 2, 4)))
@settings(max_examples=300, deadline=None)
def test_decimals_are_what_the_border_reads(values, scale):
    data, good = decimals(values, scale)
    for text, found, plain in zip(values, data.tolist(), good.tolist(), strict=True):
        if plain:
            assert literals.number(text) == Fraction(found, 10**scale)
        else:
            assert found == 0


@pytest.mark.parametrize("text", ["1", "12.5", "0.0001", "100000", "0", "922337203685477"])
def test_what_is_written_plainly_is_read_in_bulk(text):
    assert decimals([text], 4)[1].tolist() == [True]


@pytest.mark.parametrize("text", [*ODD, "01", "00.1", ".5", "5.", "."])
def test_what_is_not_is_left_to_the_border(text):
    assert decimals([text, "7"], 4)[1].tolist() == [False, True]


def test_values_that_are_no_text_are_left_to_the_border():
    assert decimals([7, 1.5, None, True, "3"], 4)[1].tolist() == [False, False, False, False, True]


def test_no_decimal_wraps():
    wide = [str(INT64), str(INT64 // 10**4), str(INT64 // 10**4 + 1)]
    data, good = decimals(wide, 4)
    assert good.tolist() == [False, True, False]
    assert data[1] == INT64 // 10**4 * 10**4


@given(st.lists(st.text(alphabet="aZ09._-/:#@^=+ \n\té", max_size=70), max_size=6))
@settings(max_examples=300, deadline=None)
def test_canonical_identifiers(identifiers):
    assert canonical(identifiers).tolist() == [is_canonical(i) for i in identifiers]


def test_identifiers_that_are_no_text():
    assert canonical(["A", 7, None]).tolist() == [True, False, False]


def test_an_identifier_with_a_line_break_is_not_two():
    assert canonical(["A\nB", "C"]).tolist() == [False, True]


# ---- whole orders ----------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[Any, ...]] = {
    "side": ("buy", "sell", "sell_short", "hold", None, ["buy"], 1),
    "quantity": ("1", "10000000", "10000001", "0", "0.5", "-3", "7", 7, None),
    "ord_type": ("limit", "market", "stop_limit", "LIMIT", None),
    "price": ("100", "0.0001", "2000000", "2000000.0001", "0.00001", "-5", "0", None),
    "has_locate": (True, False, None, "true", "yes"),
    "time_in_force": ("DAY", "IOC", "day", None),
    "fee_per_share": ("0", "0.01", "1000.01", None),
    "trader": ("T", None, 5),
    "strategy": ("NONE", "S1", None),
}


def columns_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


@given(st.lists(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in CHOICES.items()}), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_plain_orders_are_those_the_border_takes_with_the_same_facts(rows):
    tables = Tables(Live(VOCABULARY, load_snapshot(world(), VOCABULARY)), VOCABULARY, {})
    given_rows = [{"id": f"O{n}", "account": "A", "symbol": "ACME", **row} for n, row in enumerate(rows)]
    asked = asked_of(columns_of(given_rows), tables)
    for place, row in enumerate(given_rows):
        try:
            facts = load_order({k: v for k, v in row.items() if v is not None}, VOCABULARY)
        except SnapshotError:
            assert not asked.plain[place]
            continue
        if asked.plain[place]:
            same_facts(asked, place, facts, tables)


def same_facts(asked: Any, place: int, facts: Any, tables: Tables) -> None:
    """Every column has at this place what the order's facts say."""
    for name, column in asked.columns.items():
        expected = facts.get(name)
        missing = column.missing is not None and bool(np.broadcast_to(column.missing, (asked.size,))[place])
        data = np.broadcast_to(np.asarray(column.data), (asked.size,))[place]
        if expected is None:
            assert missing, name
        elif isinstance(column, Numbers):
            assert Fraction(int(data) * column.factor, 10 ** VOCABULARY.names[name].scale) == expected, name
        elif isinstance(column, Truths):
            assert bool(data) is expected, name
        else:
            assert isinstance(column, Words)
            assert tables.word(str(expected)) == data, name


def test_an_unknown_name_leaves_all_to_the_border(tables):
    asked = asked_of({"id": ["1"], "account": ["A"], "symbol": ["ACME"], "sidde": ["buy"]}, tables)
    assert not asked.plain.any()


def test_a_name_worked_out_by_the_engine_cannot_be_given(tables):
    columns = columns_of([{**order(), "filled": "1"}])
    assert not asked_of(columns, tables).plain.any()


def test_limit_orders_need_a_price(tables):
    rows = [{**order(), "price": None}, order(), {**order(), "ord_type": "market", "price": None}]
    assert asked_of(columns_of(rows), tables).plain.tolist() == [False, True, True]


def test_columns_of_different_lengths_are_left_to_the_border(tables):
    columns = columns_of([order(), order()])
    columns["price"] = ["100"]
    assert not asked_of(columns, tables).plain.any()


def test_typed_facts_give_the_columns_of_their_texts(tables):
    rows = [order("buy", 5), order("sell", 7, "BETA", price="12.5", trader="T"), order(ord_type="market", price=None)]
    facts = [load_order({k: v for k, v in row.items() if v is not None}, VOCABULARY) for row in rows]
    typed, read = asked_of_facts(facts, tables), asked_of(columns_of(rows), tables)
    assert typed.plain.all()
    assert read.plain.all()
    for place, one in enumerate(facts):
        same_facts(typed, place, one, tables)
        same_facts(read, place, one, tables)


def test_facts_of_another_scale_are_doubtful(tables):
    facts = [dict(load_order(order(), VOCABULARY)) for _ in range(2)]
    facts[0]["order.quantity"] = Fraction(1, 2)
    assert asked_of_facts(facts, tables).plain.tolist() == [False, True]
