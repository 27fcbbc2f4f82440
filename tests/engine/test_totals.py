"""Kept sums equal sums built anew, whatever happens."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.events import Fill, after
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.slots import ABSENT
from lexorder.engine.totals import Cell
from tests.agreement import compare, happenings, worlds

RULES = """
- {rule: weight, title: t, for_each: issuer, require: "sum(abs(position.after.value)) <= 5% * account.nav"}
- {rule: sector, title: t, for_each: sector, require: "sum(position.after.value) <= 20% * account.nav"}
- {rule: gross, title: t, for_each: account, require: "sum(abs(position.after.value)) <= 2 * account.nav"}
- {rule: cash, title: t, for_each: account, require: "account.after.cash >= 2% * account.nav"}
- {rule: nav, title: t, for_each: account, require: "sum(abs(position.after.value)) <= 2 * account.after.nav"}
- {rule: adv, title: t, for_each: instrument, require: "sum(order.filled) + sum(working_order.filled) <= 1000"}
- {rule: many, title: t, require: "count(position where position.before.quantity != 0) + count(order) <= 3"}
"""


def plan() -> Plan:
    made = Plan(RuleBook.of(RULES, compare.VOCABULARY).on(compare.DAY), compare.VOCABULARY)
    for side in ("buy", "sell"):
        assert made.check(side, "limit").slow == ()
    return made


PLAN = plan()


def cells(book: CompiledBook) -> dict[tuple[int, str], object]:
    """Every sum as checks read it; empty groups are no different from groups never asked for."""
    found = {key: cell.seen[0] for key, cell in book.book(worlds.ACCOUNT).cells.items()}
    return {key: repr(value) for key, value in found.items() if value is ABSENT or value}


def lists(book: CompiledBook) -> dict[str, list[str]]:
    """Every line's places, cells left out."""
    return {
        symbol: [repr(v) for v in line.values]
        for symbol, line in sorted(book.book(worlds.ACCOUNT).lines.items())
        if book.live.is_member(worlds.ACCOUNT, symbol)
    }


@pytest.mark.parametrize("seed", range(25))
def test_incremental_equals_built_anew(seed):
    random_ = Random(f"totals {seed}")
    snapshot = worlds.snapshot(random_)
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, snapshot, PLAN)
    book.book(worlds.ACCOUNT)
    for number in range(20):
        event = happenings.happening(random_, snapshot, number)
        snapshot = after(snapshot, event)
        book.apply(event)
        anew = CompiledBook(PLAN.rules, compare.VOCABULARY, snapshot, PLAN)
        assert cells(book) == cells(anew), event
        assert lists(book) == lists(anew), event
        mine, theirs = (b.book(worlds.ACCOUNT).values for b in (book, anew))
        assert list(map(repr, mine)) == list(map(repr, theirs)), event


def test_a_sum_with_an_unknown_member_is_unknown_until_it_is_known():
    cell = Cell()
    cell.change(None, 5)
    cell.change(None, ABSENT)
    assert cell.seen[0] is ABSENT
    cell.change(ABSENT, 7)
    assert cell.seen[0] == 12
    cell.change(5, None)
    assert cell.seen[0] == 7


def test_checks_see_the_same_list_as_the_cell():
    cell = Cell()
    seen = cell.seen
    cell.change(None, 3)
    assert seen == [3]


def test_a_new_name_is_counted_when_it_is_bought():
    random_ = Random(5)
    snapshot = worlds.snapshot(random_, worlds.Rates(0, 0, 0))
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, snapshot, PLAN)
    order = {
        **worlds.order(random_, 1, 2),
        "order.symbol": "COCO",
        "order.ord_type": "limit",
        "order.price": Fraction(1),
    }
    book.check(worlds.ACCOUNT, (order,))
    held = snapshot.positions[worlds.ACCOUNT].get("COCO", {}).get("position.before.quantity", Fraction(0))
    book.apply(Fill(worlds.ACCOUNT, "COCO", "buy", Fraction(3), Fraction(-3)))
    assert isinstance(held, Fraction)
    assert book.book(worlds.ACCOUNT).lines["COCO"].values[0] == held + 3
    assert book.live.is_member(worlds.ACCOUNT, "COCO")
