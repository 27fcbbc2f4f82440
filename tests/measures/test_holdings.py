"""Worst positions and best prices, against arithmetic of their own."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.engine.measure import REGISTRY
from lexorder.engine.measures.holdings import best_price, worst_position
from lexorder.engine.snapshot import Subject
from tests.rules.library import held, order, projected, working, world

SIDE = st.sampled_from(["buy", "sell", "sell_short"])
ORDERS = st.lists(st.tuples(SIDE, st.integers(1, 4)), max_size=4)


def exact(orders: list[tuple[str, int]]) -> list[tuple[str, Fraction]]:
    return [(side, Fraction(quantity)) for side, quantity in orders]


@given(start=st.integers(-20, 20), orders=ORDERS)
def test_it_is_the_extreme_of_all_fill_states(start: int, orders: list[tuple[str, int]]) -> None:
    states = product(*(range(q + 1) for _, q in orders))
    signs = [1 if side == "buy" else -1 for side, _ in orders]
    ends = [start + sum(s * f for s, f in zip(signs, fills, strict=True)) for fills in states]
    assert worst_position(Fraction(start), "buy", exact(orders)) == max(ends)
    assert worst_position(Fraction(start), "sell", exact(orders)) == min(ends)
    assert worst_position(Fraction(start), "sell_short", exact(orders)) == min(ends)


@given(start=st.integers(-20, 20), orders=ORDERS, first=st.integers(1, 5), second=st.integers(1, 5), side=SIDE)
def test_splitting_an_order_changes_nothing(
    start: int, orders: list[tuple[str, int]], first: int, second: int, side: str
) -> None:
    whole = worst_position(Fraction(start), side, exact([*orders, (side, first + second)]))
    assert worst_position(Fraction(start), side, exact([*orders, (side, first), (side, second)])) == whole


@given(start=st.integers(-20, 20), orders=ORDERS, more=st.integers(1, 5))
def test_an_order_against_the_direction_makes_no_room(start: int, orders: list[tuple[str, int]], more: int) -> None:
    before = worst_position(Fraction(start), "buy", exact(orders))
    assert worst_position(Fraction(start), "buy", exact([*orders, ("sell", more)])) == before


@pytest.mark.parametrize(
    ("side", "quantity", "worst"),
    [("buy", 7, 16), ("buy", 1, 10), ("sell", 7, -5), ("sell_short", 1, 1)],
)
def test_the_published_position_of_five_with_four_bought_and_three_sold_at_work(
    side: str, quantity: int, worst: int
) -> None:
    document = world(
        positions=[held(5)],
        working_orders=[
            working("buy", 4, name="W-1"),
            working("sell", 3, name="W-2"),
            working("buy", 9, "BETA", "W-3"),
        ],
    )
    seen = projected(document, order(side, quantity))
    facts = seen.orders[0]
    assert REGISTRY["order.worst_position"](seen, Subject("order", "x", facts)) == worst


def test_orders_under_test_count_together() -> None:
    seen = projected(world(), order("buy", 3), {**order("buy", 4), "id": "second"}, order("buy", 9, "BETA"))
    assert REGISTRY["order.worst_position"](seen, Subject("order", "x", seen.orders[0])) == 7


PRICES = st.lists(st.integers(1, 100).map(Fraction), max_size=6)


@given(entry=st.integers(1, 100).map(Fraction), prices=PRICES)
def test_the_best_price_follows_the_market_one_way(entry: Fraction, prices: list[Fraction]) -> None:
    high, low = entry, entry
    for price in prices:
        high = price if price > high else high
        low = price if price < low else low
    assert best_price(True, entry, prices) == high
    assert best_price(False, entry, prices) == low


@given(entry=st.integers(1, 100).map(Fraction), prices=PRICES, more=st.integers(1, 100).map(Fraction))
def test_it_never_goes_back(entry: Fraction, prices: list[Fraction], more: Fraction) -> None:
    assert best_price(True, entry, [*prices, more]) >= best_price(True, entry, prices)
    assert best_price(False, entry, [*prices, more]) <= best_price(False, entry, prices)
