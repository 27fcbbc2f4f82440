"""The two copies of the facts: what each event touches, what makes all be read anew, and that neither misses one."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine import events as e
from lexorder.engine.desk import Desk
from lexorder.engine.vector_code import Level
from lexorder.engine.vector_copies import _NOTED, Copy, copies_of
from lexorder.engine.vector_orders import REMEMBERED_MAX, asked_of
from lexorder.engine.vector_tables import Tables
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import plain_desk, read
from tests.worlds import order, position, working, world

HELD = "position.before.quantity"


def desk() -> Desk:
    sections: dict[str, Any] = {
        "positions": [position("ACME", 3), position("BETA", 5)],
        "working_orders": [working("W1", "BETA", "buy", 4)],
    }
    return plain_desk(cases.book(), world(**sections))


def watched(live: Desk) -> tuple[Copy, Copy, list[bool]]:
    """Both copies of a desk, told its events; what they answered."""
    first, second = copies_of(live)
    told: list[bool] = []

    def note(event: e.Event) -> None:
        told.extend(copy.note(event) for copy in (first, second))

    live.watchers.append(note)
    for copy in (first, second):
        copy.settle()
    return first, second, told


FILL: Any = {
    "fill.id": "F",
    "fill.account": "A",
    "fill.symbol": "BETA",
    "fill.side": "buy",
    "fill.quantity": Fraction(1),
}
KNOWN: tuple[tuple[e.Event, set[tuple[str, str]]], ...] = (
    (e.PositionSet("A", "ACME", {HELD: Fraction(9)}), {("A", "ACME")}),
    (e.PositionSet("A", "COCO", {HELD: Fraction(9)}), {("A", "COCO")}),
    (e.WorkingRemoved("W1"), {("A", "BETA")}),
    (e.Fill("A", "BETA", "buy", Fraction(1), Fraction(-100), "W1"), {("A", "BETA")}),
    (e.Fill("A", "BETA", "buy", Fraction(4), Fraction(-400), "W1"), {("A", "BETA")}),
    (e.InstrumentChanged("ACME", {"instrument.mark": Fraction(7)}), {("A", "ACME")}),
    (e.AccountChanged("A", {"account.nav": Fraction(1)}), {("A", "ACME"), ("A", "BETA")}),
    (e.TraderChanged("T", {"trader.trading_state": "HALTED"}), set()),
    (e.FillRecorded(FILL), set()),
)
"""Events about things that are known, and the names whose rows they touch."""


@pytest.mark.parametrize(("event", "touched"), KNOWN, ids=[f"{type(k[0]).__name__} {n}" for n, k in enumerate(KNOWN)])
def test_what_an_event_touches(event, touched):
    live = desk()
    first, second, told = watched(live)
    live.apply(event)
    assert told == [True, True]
    for copy in (first, second):
        changes = copy.settle()
        rows = {copy.pairs.pairs[row] for row in changes.rows.tolist()}
        assert touched <= rows, "a row that changed must be read again"
        owners = {copy.accounts[n] for n, flag in enumerate(changes.accounts.tolist()) if flag}
        assert {account for account, _ in touched} <= owners
        again = copy.settle()
        assert len(again.rows) == 0
        assert not again.accounts.any()
        assert not again.singles


def test_a_price_touches_no_name_that_is_not_its_own():
    live = desk()
    first, _, _ = watched(live)
    live.apply(e.InstrumentChanged("ACME", {"instrument.mark": Fraction(7)}))
    assert {first.pairs.pairs[row] for row in first.settle().rows.tolist()} == {("A", "ACME")}


def test_facts_there_is_one_of_are_told_by_name():
    live = desk()
    first, second, _ = watched(live)
    live.apply(e.SingleChanged({"clock.now": live.time + timedelta(seconds=1), "firm.collar": Fraction(1, 20)}))
    for copy in (first, second):
        assert copy.settle().singles >= {"clock.now", "firm.collar"}


def test_tags_may_change_the_rules_of_an_account():
    live = desk()
    first, _, _ = watched(live)
    live.apply(e.AccountChanged("A", {"account.tags": frozenset({"careful"})}))
    assert first.settle().reseated == {first.tables.tables[Level.ACCOUNT].index["A"]}


@pytest.mark.parametrize("kind", ["account", "instrument"])
def test_a_thing_that_is_new_starts_everything_anew(kind):
    live = desk()
    _, _, told = watched(live)
    facts: Any = live.accounts["A"] if kind == "account" else live.instruments["ACME"]
    name = f"{kind}.{'id' if kind == 'account' else 'symbol'}"
    new = {**facts, name: "NEW"}
    live.apply(e.AccountSet("NEW", new) if kind == "account" else e.InstrumentSet("NEW", new))
    assert told == [False, False]


def test_every_kind_of_event_is_noted():
    """A kind that is added to the engine and forgotten here would leave the columns behind."""
    assert set(_NOTED) == set(e.Event.__args__)


@pytest.mark.parametrize("seed", range(6))
def test_both_copies_read_the_same_after_any_events(seed):
    random_ = Random(seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=10))
    first, second, _ = watched(live)
    happenings = cases.Happenings(live, random_)
    for _ in range(12):
        for _ in range(4):
            happenings.apply()
        fresh = copies_of(live)[0].tables
        fresh.words.update(first.tables.words)
        for name in ("instrument.mark", "instrument.halted", "instrument.adv"):
            assert told_of(first.tables, name) == told_of(second.tables, name) == told_of(fresh, name)


def told_of(tables: Tables, name: str) -> dict[str, Any]:
    """A column of instruments by symbol, in units of its scale."""
    keys = tables.tables[Level.INSTRUMENT].keys
    return dict(zip(keys, read(tables.read(Level.INSTRUMENT, ("fact", name)), len(keys)), strict=True))


class TestAmountsReadBefore:
    """Texts of amounts are looked up; what was read once must read the same again, and only what reads well is kept."""

    def test_the_same_again(self):
        tables = copies_of(desk())[0].tables
        texts = ["1", "007", "25", "1.5", "-3", "99999999999", "", "1_0", "25", "10000000", "10000001"]
        columns = cases.columns([order("buy", text, id=f"O{n}") for n, text in enumerate(texts)])
        first, second = asked_of(columns, tables), asked_of(columns, tables)
        wanted = [t in ("1", "25", "10000000") for t in texts]
        assert first.plain.tolist() == second.plain.tolist() == wanted
        for asked in (first, second):
            found = read(asked.columns["order.quantity"], len(texts))
            assert [v for v, ok in zip(found, wanted, strict=True) if ok] == [1, 25, 25, 10_000_000]
        assert set(tables.amounts["order.quantity"]) == {"1", "25", "10000000"}

    def test_the_memory_is_bounded(self):
        tables = copies_of(desk())[0].tables
        tables.amounts["order.price"] = {f"x{n}": n for n in range(REMEMBERED_MAX)}
        asked_of(cases.columns([order("buy", 1, price="101.25")]), tables)
        assert tables.amounts["order.price"] == {"101.25": 1_012_500}
