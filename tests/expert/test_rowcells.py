"""The cells of one name of one account: the written function beside the plain one, and both beside exact values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    SingleChanged,
    after,
)
from lexorder.engine.expert import factmemory
from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.expert.clipslib import ffi, lib
from lexorder.engine.expert.prepare import Here, OutsideError, Preparer
from lexorder.engine.expert.rowcells import Fill as Filling
from lexorder.engine.expert.rowlook import Look, ends_of
from lexorder.engine.expert.rowplan import Cell
from lexorder.engine.expert.rows import Rows
from lexorder.engine.expert.rowvalues import FinerError, spelt
from lexorder.engine.expert.worst import Totals
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import MissingFactError
from tests.agreement import happenings, worlds
from tests.expert.books import rules
from tests.expert.row_books import BOOK, SILENT, a_book
from tests.worlds import VOCABULARY

MORE = rules(
    "rule: closing\ntitle: T\nfor_each: position\nrequire: position.after.quantity <= max(0, position.before.quantity)",
    "rule: volume\ntitle: T\nfor_each: instrument\n"
    "require: sum(order.filled) + sum(working_order.filled) + sum(fill.quantity) <= 10% * instrument.adv",
    "rule: listed\ntitle: T\nrequire: order.symbol not in lists.restricted and not instrument.halted",
    "rule: kind\ntitle: T\nrequire: order.quantity <= 5\nwhen: account.kind == margin and market.volatility > 2%",
    "rule: small\ntitle: T\nrequire: order.notional <= 20% * account.nav",
    "rule: daily\ntitle: T\nfor_each: trader\nrequire: trader.traded_today + sum(order.notional) <= 9_000",
)
RULES = (*BOOK, *MORE)


def orders(random: Random) -> Iterator[Facts]:
    """An order for each name."""
    for number, symbol in enumerate(worlds.SYMBOLS):
        yield {**worlds.order(random, number, random.choice((1, 3, 9))), "order.symbol": symbol}


def ready(book: ExpertBook, order: Facts) -> tuple[Rows, Look]:
    """The rows as they are once this order was judged, with the look it is read by."""
    book.check("A", (order,), SILENT)
    state = book.live.accounts["A"]
    return book.rows, Look(book.live, state, str(order["order.symbol"]), order)


def held_at(address: int) -> int | str:
    """The integer or symbol CLIPS holds at an address."""
    cell = ffi.new("CLIPSValue *")
    cell.integerValue = ffi.cast("void *", address)
    if cell.header.type == 1:
        return int(cell.integerValue.contents)
    return str(ffi.string(cell.lexemeValue.contents).decode())


PREPARERS: dict[int, tuple[ExpertBook, Preparer]] = {}
WRITTEN: dict[int, tuple[Rows, Filling]] = {}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """What a test wrote or prepared goes with it."""
    yield
    PREPARERS.clear()
    WRITTEN.clear()


def preparer_of(book: ExpertBook) -> Preparer:
    """One for each book: the formulas do not change."""
    if id(book) not in PREPARERS:
        PREPARERS[id(book)] = (book, Preparer(book.plan, book.rules, book.live, {}))
    return PREPARERS[id(book)][1]


def written_of(rows: Rows) -> Filling:
    """The written function of all cells at once."""
    if id(rows) not in WRITTEN:
        WRITTEN[id(rows)] = (rows, rows.cells.written(tuple(enumerate(rows.cells.last))))
    return WRITTEN[id(rows)][1]


def exactly(book: ExpertBook, rows: Rows, cell: Cell, order: Facts) -> Any:
    """The cell's exact value in the whole account, as the way of prepared leaves has it; None where there is none."""
    state, live = book.live.accounts["A"], book.live
    here = Here(state, live.projection("A", (order,)), order, str(order["order.symbol"]))
    rowed = next(r for r in rows.plan.rowed if cell in r.cells)
    leaf = cell.leaf
    preparer = preparer_of(book)
    preparer.totals = Totals(live)
    subjects = preparer.subjects(rowed.variant.rule, here)
    try:
        (subject,) = subjects
        if not subject.key:
            return None
        return preparer._value(leaf, preparer._reading(subject, here), here)
    except (MissingFactError, OutsideError):
        return None


@pytest.mark.parametrize("seed", range(2))
def test_the_written_function_gives_what_each_cell_gives_and_that_is_exact(seed):
    random, seen = Random(f"cells {seed}"), Counter[str]()
    snapshot = worlds.snapshot(random, worlds.Rates(3, 3, 20))
    book = ExpertBook(RULES, VOCABULARY, snapshot)
    for number in range(7):
        for order in orders(random):
            rows, look = ready(book, order)
            compare(book, rows, look, order, seen)
        event = happenings.anything(random, snapshot, number)
        snapshot = after(snapshot, event)
        book.apply(event)
    assert seen["known"] > 100
    assert {f"{place} {kind}" for place, kind in (("sum", "old"), ("sum", "others"), ("line", "slope"))} <= seen.keys()
    book.close()


def compare(book: ExpertBook, rows: Rows, look: Look, order: Facts, seen: Counter[str]) -> None:
    """All cells of one order: by the written function, one by one, and exactly."""
    cells, state = rows.cells, book.live.accounts["A"]
    sums = cells.sums.of(state)
    cells.sums.valued_of(look)
    ends = ends_of(state, look.symbol)
    needed = tuple(enumerate(cells.last))
    slots, off = cells.slots(written_of(rows), needed, look, state)
    for place, cell in needed:
        found = cells.cell(cell, look, ends, sums)
        seen[f"{cell.place} {cell.leaf.what}"] += 1
        written = held_at(slots[place])
        if found is None:
            assert cells.users[cell.number] <= off
            continue
        if isinstance(found, int) and not rows.bounds.admits(cell.number, found):
            assert cells.users[cell.number] <= off
            continue
        assert written == found, cell
        exact = exactly(book, rows, cell, order)
        if exact is None:
            assert not needs_all(cell), cell
            continue
        scale = rows.bounds.scales[cell.number]
        assert found == (exact * scale if isinstance(exact, Fraction) else spelt(exact)), (cell, order)
        seen["known"] += 1


def needs_all(cell: Cell) -> bool:
    """Whether a value must be missing when the whole account's is: all but a guess at a name nobody holds."""
    return cell.leaf.what in ("term", "counted", "old")


class TestUnfitting:
    """What is missing or does not fit switches off exactly the variants that read it."""

    def rows_of(self, *events: Event, symbol: str = "ACME") -> tuple[ExpertBook, frozenset[str]]:
        book = a_book()
        for event in events:
            book.apply(event)
        order = {**worlds.order(Random(3), 1, 2), "order.symbol": symbol, "order.side": "buy"}
        rows, _ = ready(book, order)
        _, off = rows.packed(order, book.live.accounts["A"])
        return book, rows.off_rules(off)

    def test_nothing_is_off_when_all_is_known(self):
        _, off = self.rows_of()
        assert off <= {"steps"}

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (InstrumentChanged("ACME", {"instrument.mark": None}), {"weight", "sector", "held", "share", "margin"}),  # type: ignore[dict-item]
            (InstrumentChanged("ACME", {"instrument.sector": None}), {"sector"}),  # type: ignore[dict-item]
            (AccountChanged("A", {"account.nav": None}), {"weight", "sector", "cash", "share"}),  # type: ignore[dict-item]
            (AccountChanged("A", {"account.nav": Fraction(0)}), {"share"}),
            (AccountChanged("A", {"account.nav": Fraction(7)}), {"share"}),
            (AccountChanged("A", {"account.nav": Fraction(1, 7 * 10**9)}), {"weight", "sector", "cash"}),
            (AccountChanged("A", {"account.nav": Fraction(10**30)}), {"weight", "sector", "cash"}),
            (Fill("A", "ACME", "buy", Fraction(1, 2), Fraction(0)), {"weight", "cash", "margin"}),
            (Fill("A", "BETA", "buy", Fraction(10**20), Fraction(0)), {"margin", "held", "share", "steps"}),
            (Fill("A", "ACME", "sell", Fraction(10**20), Fraction(0)), {"weight", "margin", "held", "share"}),
            (InstrumentChanged("ACME", {"instrument.mark_time": worlds.NOW - timedelta(minutes=16)}), {"weight"}),
        ],
        ids=lambda given: str(given if not isinstance(given, set) else sorted(given)),
    )
    def test_rules_that_read_it_are_off(self, event, expected):
        book, off = self.rows_of(event)
        assert expected <= off, off
        book.close()

    def test_the_clock_alone_switches_off_what_has_grown_too_old(self):
        book, off = self.rows_of(InstrumentChanged("ACME", {"instrument.mark_time": worlds.NOW}))
        assert "weight" not in off
        order = {**worlds.order(Random(3), 1, 2), "order.symbol": "ACME", "order.side": "buy"}
        for minutes, old in ((15, False), (16, True)):
            book.apply(SingleChanged({"clock.now": worlds.NOW + timedelta(minutes=minutes)}))
            rows, _ = ready(book, order)
            _, off_variants = rows.packed(order, book.live.accounts["A"])
            assert ("weight" in rows.off_rules(off_variants)) is old

    def test_the_days_fills_are_read_of_those_who_have_any(self):
        random = Random("fills")
        snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 0))
        book = ExpertBook(MORE, VOCABULARY, snapshot)
        order = {**worlds.order(random, 1, 2), "order.symbol": "ACME", "order.side": "buy"}
        assert self.filled(book, order) == 0
        facts = {**happenings.record(random, 1), "fill.symbol": "ACME", "fill.quantity": Fraction(7)}
        for number, (account, total) in enumerate((("B", 0), ("A", 7), ("NONE", 14), ("A", 21))):
            book.apply(FillRecorded({**facts, "fill.id": f"F{number}", "fill.account": account}))
            assert self.filled(book, order) == total

    def filled(self, book: ExpertBook, order: Facts) -> int | str | None:
        rows, look = ready(book, order)
        (cell,) = rows.plan.by_place["fill"]
        state = book.live.accounts["A"]
        return rows.cells.cell(cell, look, ends_of(state, "ACME"), rows.cells.sums.of(state))


def test_a_row_in_clips_is_the_row_that_was_packed():
    """Every slot of the fact CLIPS got, read through CLIPS, beside the exact value of its cell."""
    random, compared = Random("whole rows"), 0
    snapshot = worlds.snapshot(random, worlds.Rates(0, 0, 10))
    book = ExpertBook(RULES, VOCABULARY, snapshot)
    for number in range(5):
        for order in orders(random):
            rows, _ = ready(book, order)
            try:
                packed, off = rows.packed(order, book.live.accounts["A"])
            except FinerError:
                continue
            fact = factmemory.lib.Assert(rows.memory.make(packed))
            fact = ffi.cast("Fact *", int(factmemory.ffi.cast("uintptr_t", fact)))
            for rowed in rows.plan.rowed:
                on = rows.session.read(fact, f"on{rowed.number}".encode())
                assert on == ("FALSE" if rowed.number in off else "TRUE")
                for cell in rowed.cells if rowed.number not in off and alive(rows, rowed.number, fact) else ():
                    exact = exactly(book, rows, cell, order)
                    found = rows.session.read(fact, cell.slot.encode())
                    if exact is None or (found in (0, "FALSE") and cell.place in ("sum", "line", "fill")):
                        continue
                    scale = rows.bounds.scales[cell.number]
                    assert found == (exact * scale if isinstance(exact, Fraction) else spelt(exact)), cell
                    compared += 1
            assert lib.Retract(fact) == lib.RE_NO_ERROR
            rows.session.recover()
            for finding in rows.session.facts("finding"):
                lib.Retract(finding)
        event = happenings.happening(random, snapshot, number)
        snapshot = after(snapshot, event)
        book.apply(event)
    assert compared > 100


def alive(rows: Rows, number: int, fact: Any) -> bool:
    """Whether the order's side is one the variant is for: others need no cells."""
    return rows.session.read(fact, b"side") in rows._sides[number]
