"""Warming a desk: every account is asked about, nothing changes, and a replaced desk is left alone."""

from __future__ import annotations

import asyncio

from lexorder.api.service.warming import probe, warm
from lexorder.engine.desk import Desk
from tests.worlds import VOCABULARY, book, order, position, world

RULE = """
rule: small
title: At most 100 shares
for_each: order
require: order.quantity <= 100
"""


def _desk(accounts: tuple[str, ...] = ("A", "B")) -> Desk:
    document = world(positions=[position("BETA", 5)])
    first = document["accounts"][0]
    document["accounts"] = [{**first, "id": name} for name in accounts]
    return Desk(book(RULE), document, VOCABULARY)


def test_every_account_is_asked_about_and_nothing_changes():
    desk = _desk(("A", "B", "C"))
    before = desk.hash, desk.snapshot
    assert asyncio.run(warm(desk, lambda: desk)) == 3
    assert (desk.hash, desk.snapshot) == before
    assert desk.check(order(quantity=100)).approved
    assert not desk.check(order(quantity=101)).approved


def test_the_probe_is_about_something_held():
    desk = _desk()
    held, other = probe(desk, "A"), probe(desk, "B")
    assert held is not None
    assert held["order.symbol"] == "BETA"
    assert other is not None
    assert other["order.symbol"] in desk.instruments


def test_nothing_is_asked_where_nothing_has_a_mark():
    document = world(instruments=[])
    desk = Desk(book(RULE), document, VOCABULARY)
    assert probe(desk, "A") is None
    assert asyncio.run(warm(desk, lambda: desk)) == 0


def test_a_desk_that_was_replaced_is_left_alone():
    desk = _desk(("A", "B", "C"))
    seen = iter([desk, None])
    assert asyncio.run(warm(desk, lambda: next(seen))) == 1


def test_what_else_is_wanted_comes_last_and_may_fail():
    desk, done = _desk(), []

    def fails():
        done.append("fails")
        raise ZeroDivisionError

    assert asyncio.run(warm(desk, lambda: desk, [fails, lambda: done.append("works")])) == 2
    assert done == ["fails", "works"]


def test_the_first_batch_finds_its_columns(house):
    house.until(lambda: house.service.warming is not None and house.service.warming.done())
    (columns,) = house.service.warmers
    before = columns()
    orders = [order(id=f"b{n}") for n in range(40)]
    house.post("/v1/orders/check-batch", {"mode": "independent", "orders": orders})
    assert columns() is before
