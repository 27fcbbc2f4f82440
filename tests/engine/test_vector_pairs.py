"""Rows of holdings and places of working orders: what a plain walk over the desk's facts finds, after any event."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from lexorder.engine.desk import Desk
from lexorder.engine.events import PositionSet, WorkingAdded, WorkingRemoved
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_pairs import SHARES_MAX, Grown, Named, Pairs, Rows
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import plain_desk, read
from tests.worlds import position, working, world

HELD = "position.before.quantity"


def rows_of(pairs: Pairs) -> dict[tuple[str, str], tuple[int, int, int, int, int, int]]:
    """Every row but the first: holding, ends, whether known, whether counted, how many orders work."""
    columns = (pairs.now, pairs.low, pairs.high, pairs.known, pairs.member, pairs.orders)
    return {pair: tuple(int(c.all[n]) for c in columns) for n, pair in enumerate(pairs.pairs) if n}  # type: ignore[misc]


def expected(live: Desk) -> dict[tuple[str, str], tuple[int, int, int, int, int, int]]:
    """The same by hand, for names that are held or worked now."""
    found = {}
    for pair in names(live):
        held = live.live.positions.get(pair[0], {}).get(pair[1])
        moves = [signed(o) for o in live.working.values() if owner(o) == pair]
        now = Fraction(0) if held is None else held.get(HELD, Fraction(0))
        assert isinstance(now, Fraction)
        low, high = now + sum(m for m in moves if m < 0), now + sum(m for m in moves if m > 0)
        found[pair] = (int(now), int(low), int(high), 1, 1, len(moves))
    return found


def names(live: Desk) -> Iterator[tuple[str, str]]:
    seen = {(a, s) for a, held in live.live.positions.items() for s in held}
    yield from sorted(seen | {owner(o) for o in live.working.values()})


def owner(facts: Any) -> tuple[str, str]:
    return facts["working_order.account"], facts["working_order.symbol"]


def signed(facts: Any) -> Fraction:
    quantity: Fraction = facts["working_order.quantity"]
    return quantity if facts["working_order.side"] == "buy" else -quantity


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_both_copies_follow_every_event(seed):
    random_ = Random(seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=0))
    vector = VectorBook(live, small=0)
    happenings = cases.Happenings(live, random_)
    for _ in range(15):
        for _ in range(random_.choice((1, 3))):
            happenings.apply()
        copies = vector.book.current().copies
        wanted = expected(live)
        for copy in copies:
            found = rows_of(copy.pairs)
            assert {pair: row for pair, row in found.items() if row[4]} == wanted
            gone = [row for row in found.values() if not row[4]]
            assert all(row == (0, 0, 0, 1, 0, 0) for row in gone)


@pytest.mark.parametrize("dense", [True, False])
def test_a_row_is_found_however_rows_are_kept(dense, monkeypatch):
    monkeypatch.setattr("lexorder.engine.vector_pairs.DENSE_MAX", 10**6 if dense else 0)
    live = plain_desk(cases.book(), cases.document(Random(3), rare=0))
    for copy in VectorBook(live, small=0).book.current().copies:
        pairs, tables = copy.pairs, copy.tables.tables
        accounts, symbols = tables[Level.ACCOUNT], tables[Level.INSTRUMENT]
        every = [(a, s) for a in accounts.keys for s in symbols.keys]
        numbers = [
            np.array([index[k] for k in keys])
            for index, keys in zip((accounts.index, symbols.index), zip(*every, strict=True), strict=True)
        ]
        found = pairs.rows_of(*numbers).tolist()
        known = {pair: n for n, pair in enumerate(pairs.pairs) if n}
        assert found == [known.get(pair, 0) for pair in every]


class TestOneName:
    """One account, one name: quantities that fit, and what does not."""

    def pairs(self, **sections: Any) -> tuple[Desk, VectorBook]:
        live = plain_desk(cases.book(), world(**sections))
        return live, VectorBook(live, small=0)

    def row(self, vector: VectorBook) -> tuple[int, ...]:
        first, second = (rows_of(copy.pairs)["A", "ACME"] for copy in vector.book.current().copies)
        assert first == second
        return first

    def test_nothing_is_in_the_first_row(self):
        _, vector = self.pairs()
        for copy in vector.book.current().copies:
            pairs = copy.pairs
            assert [int(c.all[0]) for c in pairs._columns] == [0, 0, 0, 0, 0, 1, 0, 0]

    @pytest.mark.parametrize(("quantity", "known"), [(SHARES_MAX - 1, 1), (SHARES_MAX, 1), (SHARES_MAX + 1, 0)])
    def test_the_most_shares_and_one_more(self, quantity, known):
        live, vector = self.pairs(positions=[position("ACME", 1)])
        live.apply(PositionSet("A", "ACME", {HELD: Fraction(quantity)}))
        assert self.row(vector) == (quantity * known, quantity * known, quantity * known, known, 1, 0)

    @pytest.mark.parametrize(("extra", "known"), [(0, 1), (1, 0)])
    def test_holding_and_orders_count_together(self, extra, known):
        orders = [working("W1", "ACME", "buy", 400), working("W2", "ACME", "sell", 600)]
        live, vector = self.pairs(positions=[position("ACME", 1)], working_orders=orders)
        held = SHARES_MAX - 1000 + extra
        live.apply(PositionSet("A", "ACME", {HELD: Fraction(held)}))
        ends = (held, held - 600, held + 400) if known else (0, 0, 0) if held > SHARES_MAX else None
        found = self.row(vector)
        assert found[3:] == (known, 1, 2)
        if known:
            assert found[:3] == ends

    def test_a_fraction_of_a_share_is_not_known(self):
        live, vector = self.pairs(positions=[position("ACME", 1)])
        live.apply(PositionSet("A", "ACME", {HELD: Fraction(1, 2)}))
        assert self.row(vector)[3] == 0
        live.apply(PositionSet("A", "ACME", {HELD: Fraction(2)}))
        assert self.row(vector) == (2, 2, 2, 1, 1, 0)

    @pytest.mark.parametrize("side", ["sell", "sell_short"])
    def test_sides_lower_the_low_end(self, side):
        _, vector = self.pairs(positions=[position("ACME", 7)], working_orders=[working("W", "ACME", side, 10)])
        assert self.row(vector) == (7, -3, 7, 1, 1, 1)

    def test_a_place_is_used_again(self):
        """Else every order of a day would leave one behind."""
        live, vector = self.pairs(working_orders=[working("W", "ACME", "buy", 10)])
        for n in range(20):
            known = list(live.working)
            facts = dict(live.working[known[0]])
            live.apply(WorkingRemoved(known[0]))
            vector.book.current()
            live.apply(WorkingAdded({**facts, "working_order.id": f"N{n}", "working_order.quantity": Fraction(n + 1)}))
            assert self.row(vector) == (0, 0, n + 1, 1, 1, 1)
        for copy in vector.book.copies:
            assert len(copy.pairs.working.facts) == 1
            assert copy.pairs.working.signed.all.tolist() == [20]

    def test_an_unknown_instrument_makes_the_account_odd(self):
        _, vector = self.pairs(positions=[position("ACME", 1), position("GONE", 1)])
        for copy in vector.book.current().copies:
            assert copy.pairs.odd == {"A"}
            assert ("A", "GONE") not in copy.pairs.pairs


class TestFrames:
    """Facts of rows, as formulas read them."""

    def rows(self) -> tuple[Pairs, Rows]:
        orders = [working("W1", "ACME", "buy", 40, "99"), working("W2", "BETA", "sell", 6, "101.5")]
        live = plain_desk(cases.book(), world(positions=[position("ACME", 5)], working_orders=orders))
        pairs = VectorBook(live, small=0).book.current().copies[0].pairs
        row = pairs.working.row.all.copy()
        return pairs, Rows(pairs, row, np.array([1, 2]), np.arange(len(row)))

    def test_the_order_of_each_place(self):
        pairs, frame = self.rows()
        names_ = [pairs.pairs[row] for row in frame.row.tolist()]
        assert sorted(names_) == [("A", "ACME"), ("A", "BETA")]
        price = read(frame.read(("working_order", "working_order.price")), 2)
        filled = read(frame.read(("filled",)), 2)
        by_name = dict(zip(names_, zip(price, filled, strict=True), strict=True))
        assert by_name == {("A", "ACME"): (990_000, 40), ("A", "BETA"): (1_015_000, 6)}

    def test_the_holding_asked_about_and_the_ends(self):
        pairs, frame = self.rows()
        assert read(frame.read(("x",)), 2) == [1, 2]
        names_ = [pairs.pairs[row][1] for row in frame.row.tolist()]
        ends = {
            n: (lo, now, hi)
            for n, lo, now, hi in zip(names_, *(read(frame.read((w,)), 2) for w in ("low", "now", "high")), strict=True)
        }
        assert ends == {"ACME": (5, 5, 45), "BETA": (-6, 0, 0)}

    def test_what_is_read_twice_is_looked_up_once(self):
        _, frame = self.rows()
        assert frame.read(("now",)) is frame.read(("now",))

    @pytest.mark.parametrize("what", [("order", "order.quantity"), ("cell", 0), ("whole", 0)])
    def test_what_belongs_to_an_order_is_refused(self, what):
        _, frame = self.rows()
        with pytest.raises(NotVectorError):
            frame.read(what)

    def test_holdings_have_no_trader(self):
        _, frame = self.rows()
        with pytest.raises(NotVectorError):
            frame.index(Level.TRADER)

    def test_without_places_there_are_no_orders_to_read(self):
        pairs, frame = self.rows()
        with pytest.raises(NotVectorError):
            Rows(pairs, frame.row).read(("filled",))
        with pytest.raises(NotVectorError):
            Rows(pairs, frame.row).read(("x",))


class TestNamed:
    """What is worked out once for all sums of some orders."""

    def named(self) -> Named:
        live = plain_desk(cases.book(), world(positions=[position("ACME", 5)]))
        copy = VectorBook(live, small=0).book.current().copies[0]
        symbols = copy.tables.tables[Level.INSTRUMENT].index
        symbol = np.array([symbols["ACME"], symbols["BETA"]])
        account = np.zeros(2, dtype=np.int64)
        return Named(copy.pairs, copy.pairs.rows_of(account, symbol), account, symbol)

    def test_once(self):
        named, asked = self.named(), []

        def work() -> int:
            asked.append(1)
            return 7

        assert [named.once("k", work), named.once("k", work), named.once(("k", 1), work)] == [7, 7, 7]
        assert len(asked) == 2

    def test_members_and_holdings(self):
        named = self.named()
        assert read(named.member, 2) == [True, False]
        assert read(named.held(named.pairs.now), 2) == [5, 0]
        assert named.held(named.pairs.now) is named.held(named.pairs.now)
        assert named.held(named.pairs.now) is not named.held(named.pairs.high)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_an_array_grows_at_its_end(count):
    column = Grown()
    for n in range(count):
        column.put(n, n * n)
    assert column.all.tolist() == [n * n for n in range(count)]
    column.put(0, -1)
    assert len(column.all) == count
    assert column.all[0] == -1


def test_an_array_grows_past_a_gap():
    column = Grown()
    column.put(300, 5)
    assert len(column.all) == 301
    assert column.all[:300].any() == np.False_
