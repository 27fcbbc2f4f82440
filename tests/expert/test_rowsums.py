"""Running sums of a row: a sum of shares, name by name, whatever was told in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.engine.errors import SnapshotError
from lexorder.engine.evaluate import Point, value
from lexorder.engine.events import AccountChanged, Fill, InstrumentChanged, SingleChanged, after
from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.expert.rowlook import Look, ends_of
from lexorder.engine.expert.rowplan import Cell
from lexorder.engine.expert.rowsums import Running, Sums
from lexorder.engine.expert.worst import convex_share, linear_share, mixed_share
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.subjects import account_subject
from tests.agreement import happenings, worlds
from tests.expert.row_books import BOOK, a_book, settle
from tests.worlds import VOCABULARY

SHARES = {"old": linear_share, "others": convex_share, "others-mixed": mixed_share}


# ---- one sum ---------------------------------------------------------------------------------------

puts = st.lists(
    st.tuples(st.sampled_from("XYZ"), st.sampled_from(["", "g", "h", None]), st.one_of(st.none(), st.integers(-9, 9))),
    max_size=20,
)


class TestRunning:
    @given(puts, st.sampled_from([1, 100]))
    @settings(max_examples=150, deadline=None)
    def test_totals_are_the_sums_of_the_shares(self, told, factor):
        """Beside a table of the last word on each name, added up anew."""
        running, last = Running(), dict[str, tuple[str, int | None]]()
        for symbol, group, share in told:
            running.put(symbol, group, share)
            last.pop(symbol, None)
            if group is not None:
                last[symbol] = (group, share)
        running = running.times(factor)
        assert running.shares == {s: (g, None if n is None else n * factor) for s, (g, n) in last.items()}
        for group in ("", "g", "h"):
            mine = [n for g, n in last.values() if g == group]
            assert running.totals.get(group, 0) == factor * sum(n for n in mine if n is not None)
            assert running.unknown.get(group, 0) == sum(n is None for n in mine)

    def test_going_on_at_a_finer_scale(self):
        running = Running()
        running.put("X", "", 3)
        finer = running.times(100)
        finer.put("Y", "", 1)
        finer.put("X", None, None)
        assert finer.totals[""] == 1


# ---- sums of a book --------------------------------------------------------------------------------


def by_reference(book: ExpertBook, cell: Cell, symbol: str) -> Fraction | None:
    """A name's share of a sum by the reference meaning; None when it is not known."""
    state = book.live.accounts["A"]
    look = Look(book.live, state, symbol, {"order.symbol": symbol, "order.account": "A"})
    try:
        if cell.leaf.what == "term":
            seen = book.live.alone("A", symbol)
            at = Point(seen, (account_subject(seen), look.subject(cell.entity)), {}, {})
            assert cell.leaf.term is not None
            found: Any = value(cell.leaf.term, at)
            return Fraction(found)
        return SHARES[cell.leaf.what](cell.leaf.atoms, symbol, look.reading(cell.entity))
    except MissingFactError:
        return None


def kept(book: ExpertBook) -> Iterator[tuple[Cell, Running]]:
    """The sums a book keeps of account A, brought up to date."""
    summing = book.rows.sums
    sums: Sums = summing.of(book.live.accounts["A"])
    for number, running in sums.running.items():
        yield summing.cells[number], running


def agree(book: ExpertBook) -> int:
    """Compare every share of every sum that is kept; how many were compared."""
    compared = 0
    state = book.live.accounts["A"]
    for cell, running in kept(book):
        expected = {}
        for symbol in state.symbols():
            group = "" if cell.scope == "all" else book.live.instruments.get(symbol, {}).get(cell.scope)
            if group or cell.scope == "all":
                expected[symbol] = (group, by_reference(book, cell, symbol))
        assert running.shares.keys() == expected.keys(), cell
        scale = book.rows.bounds.scales[cell.number]
        for symbol, (group, share) in expected.items():
            found_group, found = running.shares[symbol]
            assert found_group == group
            if found is not None:
                assert share is not None
                assert Fraction(found, scale) == share, (cell, symbol)
                compared += 1
            elif share is not None:
                finer = bool(book.rows.bounds.wanted)  # some part of it may need one though the whole does not
                assert finer or scale % share.denominator, "a share that is known and fits must be known"
    return compared


@pytest.mark.parametrize("seed", range(3))
def test_sums_kept_over_events_are_those_of_the_reference(seed):
    random, compared = Random(f"sums {seed}"), 0
    snapshot = worlds.snapshot(random, worlds.Rates(3, 0, 30))
    book = ExpertBook(BOOK, VOCABULARY, snapshot)
    assert {c.place for c in book.rows.plan.cells} >= {"sum", "line"}
    for number in range(14):
        settle(book, random)
        event = happenings.anything(random, snapshot, number)
        while isinstance(event, SingleChanged) and "clock.now" in event.facts:
            event = happenings.anything(random, snapshot, number)
        snapshot = after(snapshot, event)
        book.apply(event)
        compared += agree(book)
    assert compared > 60
    book.close()


class TestStale:
    @pytest.mark.parametrize(
        "event",
        [
            AccountChanged("A", {"account.currency": "EUR"}),
            AccountChanged("A", {"account.equity": Fraction(777)}),
            SingleChanged({"fx.EUR": Fraction(3)}),
            InstrumentChanged("ACME", {"instrument.currency": "EUR"}),
            InstrumentChanged("ACME", {"instrument.sector": "Other"}),
            InstrumentChanged("ACME", {"instrument.sector": None}),  # type: ignore[dict-item]
            InstrumentChanged("ACME", {"instrument.mark": Fraction(1, 10_000)}),
            InstrumentChanged("ACME", {"instrument.halted": True}),
            Fill("A", "ACME", "sell", Fraction(3), Fraction(0)),
            Fill("A", "ACME", "sell", Fraction(30), Fraction(0)),
        ],
        ids=str,
    )
    def test_an_event_reaches_the_sums_it_changes(self, event):
        book = a_book()
        assert agree(book)
        book.apply(event)
        agree(book)
        settle(book, Random(2))
        agree(book)

    def test_an_event_that_is_refused_changes_no_sum(self):
        book = a_book()
        before = {cell.number: dict(running.totals) for cell, running in kept(book)}
        with pytest.raises(SnapshotError):
            book.apply(Fill("A", "ACME", "buy", Fraction(1), Fraction(0), "NOPE"))
        assert {cell.number: dict(running.totals) for cell, running in kept(book)} == before

    def test_half_a_share_makes_sums_unknown_not_wrong(self):
        book = a_book()
        book.apply(Fill("A", "ACME", "buy", Fraction(1, 2), Fraction(0)))
        settle(book, Random(2))
        state = book.live.accounts["A"]
        assert ends_of(state, "ACME") is None
        for cell, running in kept(book):
            if "ACME" in running.shares and cell.scope == "all":
                assert running.shares["ACME"][1] is None
                assert running.unknown[""] == 1

    def test_finer_rows_go_on_where_coarser_ones_stopped(self):
        book = a_book()
        coarse = book.rows
        book.apply(SingleChanged({"fx.EUR": Fraction(108_253, 100_000)}))
        book.apply(InstrumentChanged("ACME", {"instrument.currency": "EUR", "instrument.mark": Fraction(11, 10_000)}))
        settle(book, Random(2))
        assert book.rows is not coarse
        assert agree(book)
