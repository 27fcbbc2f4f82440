"""Columns of facts: what `snapshot.read` finds, for every thing at once, after any change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from lexorder.engine.desk import Desk
from lexorder.engine.events import InstrumentChanged, SingleChanged, StrategySet, TraderChanged
from lexorder.engine.live import Live
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, read
from lexorder.engine.terms import Field
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_columns import Numbers, Truths
from lexorder.engine.vector_copies import copies_of
from lexorder.engine.vector_tables import UNKNOWN, Tables
from lexorder.engine.vector_terms import Around, Terms
from tests.engine import vector_cases as cases
from tests.worlds import VOCABULARY, world

NAMES = (
    "instrument.mark",
    "instrument.bid",
    "instrument.multiplier",
    "instrument.halted",
    "instrument.sector",
    "instrument.adv",
)


def tables_of(document: dict[str, Any]) -> tuple[Live, Tables]:
    live = Desk(cases.book(), document, VOCABULARY).live
    return live, Tables(live, VOCABULARY, {})


def elements(tables: Tables, name: str) -> dict[str, Any]:
    """A column as values by instrument, None where missing."""
    column = tables.read(Level.INSTRUMENT, ("fact", name))
    keys = tables.tables[Level.INSTRUMENT].keys
    data = np.broadcast_to(np.asarray(column.data), (len(keys),)).tolist()
    gone = np.broadcast_to(np.asarray(False if column.missing is None else column.missing), (len(keys),)).tolist()
    words = {code: text for text, code in tables.words.items()}
    found: dict[str, Any] = {}
    for key, value, missing in zip(keys, data, gone, strict=True):
        if missing:
            found[key] = None
        elif isinstance(column, Numbers):
            found[key] = Fraction(value * column.factor, 10 ** VOCABULARY.names[name].scale)
        else:
            found[key] = bool(value) if isinstance(column, Truths) else words[value]
    return found


def expected(live: Live, name: str) -> dict[str, Any]:
    """What the snapshot says, one by one."""
    seen = Projection(live.snapshot, VOCABULARY, "A1", (), (), {})
    found: dict[str, Any] = {}
    for key, facts in live.instruments.items():
        try:
            found[key] = read(seen, (Subject("instrument", key, facts),), name, "")
        except MissingFactError:
            found[key] = None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_columns_follow_every_change(seed):
    random_ = Random(seed)
    live, tables = tables_of(cases.document(random_, rare=15))
    for _ in range(25):
        for name in NAMES:
            assert elements(tables, name) == expected(live, name), name
        if random_.random() < 0.3:
            event: Any = SingleChanged(
                {"clock.now": live.snapshot.time + timedelta(seconds=random_.choice((0, 1, 60)))}
            )
            live.apply(event)
            tables.touch_single(frozenset(event.facts))
            continue
        symbol = random_.choice(cases.SYMBOLS)
        facts: dict[str, Any] = random_.choice(
            (
                {"instrument.mark": Fraction(random_.randint(1, 10**7), 10_000)},
                {"instrument.mark": None},
                {"instrument.mark_time": live.snapshot.time - timedelta(seconds=random_.choice((899, 900, 901)))},
                {"instrument.sector": random_.choice(("Tech", "Energy"))},
                {"instrument.halted": random_.random() < 0.5},
            )
        )
        live.apply(InstrumentChanged(symbol, facts))
        tables.touch(Level.INSTRUMENT, symbol, frozenset(facts))


def test_a_column_that_nothing_changed_is_the_same_column():
    """What is worked out from it is kept then."""
    live, tables = tables_of(world(accounts=[{"id": "A1", "currency": "USD", "nav": "1", "tags": []}]))
    before = tables.read(Level.INSTRUMENT, ("fact", "instrument.mark"))
    mark: Any = live.instruments["ACME"]["instrument.mark"]
    live.apply(InstrumentChanged("ACME", {"instrument.mark": mark}))
    tables.touch(Level.INSTRUMENT, "ACME", frozenset({"instrument.mark"}))
    assert tables.read(Level.INSTRUMENT, ("fact", "instrument.mark")) is before


@pytest.mark.parametrize(("age", "turned"), [(899, set()), (900, set()), (901, {"ACME"})])
def test_what_has_become_too_old_is_told(age, turned):
    live, tables = tables_of(world(accounts=[{"id": "A1", "currency": "USD", "nav": "1", "tags": []}]))
    taken = live.snapshot.time
    live.apply(InstrumentChanged("ACME", {"instrument.mark_time": taken}))
    tables.touch(Level.INSTRUMENT, "ACME", frozenset({"instrument.mark_time"}))
    tables.read(Level.INSTRUMENT, ("fact", "instrument.mark"))
    tables.turned()
    live.apply(SingleChanged({"clock.now": taken + timedelta(seconds=age)}))
    tables.touch_single(frozenset({"clock.now"}))
    assert tables.turned() == turned
    assert (elements(tables, "instrument.mark")["ACME"] is None) == bool(turned)


def test_a_strategy_that_comes_later_and_one_that_is_not_known():
    live = Desk(cases.book(), cases.document(Random(1)), VOCABULARY).live
    tables = Tables(live, VOCABULARY, {})
    states = lambda: tables.read(Level.STRATEGY, ("fact", "strategy.trading_state"))  # noqa: E731
    assert tables.tables[Level.STRATEGY].keys[0] == UNKNOWN
    first = states()
    live.apply(StrategySet("S7", {"strategy.id": "S7", "strategy.trading_state": "HALTED"}))
    tables.touch(Level.STRATEGY, "S7", frozenset({"strategy.trading_state"}))
    codes = np.atleast_1d(states().data).tolist()
    assert codes[tables.tables[Level.STRATEGY].index["S7"]] == tables.word("HALTED")
    assert codes[0] == tables.word("ACTIVE")
    assert states() is not first


class TestTerms:
    """Terms that have a formula, and terms worked out one by one."""

    def terms(self) -> tuple[Live, Terms]:
        live, tables = tables_of(cases.document(Random(2), rare=0))
        return live, Terms(Code(tables), tables)

    def test_a_name_of_two_things_is_refused(self):
        _, terms = self.terms()
        rule = next(r for r in cases.book().on(datetime(2026, 6, 15, tzinfo=UTC).date()) if r.id == "count")
        assert rule.require is not None
        with pytest.raises(NotVectorError):
            terms.worked(rule.require, Around(("account", "order")), "whole")

    def test_lists_are_worked_out_for_each_instrument(self):
        live, terms = self.terms()
        rule = next(r for r in cases.book().on(datetime(2026, 6, 15, tzinfo=UTC).date()) if r.id == "listed")
        assert rule.require is not None
        step = terms.truth(rule.require, Around(("account", "order")))
        assert terms.code.steps[step].level is Level.INSTRUMENT
        live.apply(SingleChanged({"lists.restricted": frozenset({"BETA"})}))
        terms.tables.touch_single(frozenset({"lists.restricted"}))
        held = dict(zip(terms.tables.tables[Level.INSTRUMENT].keys, terms.code.settled(step).data, strict=True))
        assert [symbol for symbol, free in held.items() if not free] == ["BETA"]

    def test_fills_are_refused_where_nothing_says_what_they_are(self):
        _, terms = self.terms()
        field = Field(VOCABULARY.names["position.after.quantity"].unit, "position.after.quantity")
        with pytest.raises(NotVectorError):
            terms.number(field, Around(("account", "position")))


def test_the_two_copies_are_apart():
    """An event that one of them misses does not reach it through the other."""
    live = Desk(cases.book(), cases.document(Random(3), rare=0), VOCABULARY)
    first, second = copies_of(live)
    first.note(TraderChanged("T1", {}))
    live.live.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(7)}))
    assert first.tables.live.snapshot.instruments["ACME"]["instrument.mark"] == 7
    assert second.tables.live.snapshot.instruments["ACME"]["instrument.mark"] != 7
