"""Columns of a batch: what is read here is what `loads` reads, and whatever is unusual is left to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service.order_columns import columns_of
from lexorder.api.service.problems import Problem
from lexorder.api.service.strict_json import loads

NAMES = st.sampled_from(["id", "account", "symbol", "side", "quantity", "price", "has_locate"])
VALUES = st.one_of(st.text("AB9.", max_size=4), st.booleans(), st.none())
ORDERS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=6)


def alike(orders: list[dict[str, object]]) -> bool:
    """Whether the first order has every name that any has, and none is told as `null`."""
    names = set(orders[0])
    return bool(names) and all(set(order) <= names and None not in order.values() for order in orders)


def body(orders: object, mode: str = "independent") -> bytes:
    return json.dumps({"mode": mode, "orders": orders}).encode()


@given(ORDERS)
def test_rows_and_columns_are_those_of_the_strict_reader(orders):
    found = columns_of(body(orders))
    if not alike(orders):
        assert found is None
        return
    assert found is not None
    read = loads(body(orders))["orders"]
    assert read == orders
    assert found.size == len(orders)
    assert [json.loads(bytes(raw)) for raw in found.raw] == orders
    assert set(found.columns) == {name for order in orders for name in order}
    for name, column in found.columns.items():
        assert list(column) == [order.get(name) for order in read]


@given(ORDERS, st.integers(0, 6), st.integers(0, 6))
def test_a_part_is_the_columns_of_those_orders(orders, start, stop):
    found = columns_of(body(orders))
    if found is not None:
        part = found.part(range(start, stop))
        assert all(list(part[name]) == [o.get(name) for o in orders[start:stop]] for name in found.columns)
        assert part.keys() == found.columns.keys()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"mode":"independent","orders":[{"id":"1","id":"2"}]}',
        b'{"mode":"independent","mode":"independent","orders":[{"id":"1"}]}',
        b'{"mode":"independent","orders":[{"id":"1","quantity":"5","quantity":"6"}]}',
        b'{"mode":"independent","orders":[{"id":"1","price":1.5}]}',
        b'{"mode":"independent","orders":[{"id":"1","quantity":' + b"9" * 50 + b"}]}",
        b'{"mode":"independent","orders":[{"id":"\xff"}]}',
        b'{"mode":"independent","orders":[',
    ],
)
def test_what_the_strict_reader_refuses_is_not_read_here(raw):
    assert columns_of(raw) is None
    with pytest.raises(Problem):
        loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        body([], "independent"),
        body([{"id": "1"}], "cumulative"),
        body([{"id": "1", "quantity": 5}]),
        body([{"id": 'say "no"'}]),
        body([["id"]]),
        body({"id": "1"}),
        b'{"orders":[{"id":"1"}]}',
        b'[{"id":"1"}]',
        b'{"mode":"independent","orders":[{"id":{"a":"b"}}]}',
    ],
)
def test_what_is_unusual_is_left_to_the_strict_reader(raw):
    assert columns_of(raw) is None
    loads(raw)
