"""Sums over an account's names in both forms: exact figures from a plain walk, kept right through any events.

The first form keeps its sums by differences, the second adds an account up anew. After every event both must equal what
a form built from nothing has, and what Fractions say.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from lexorder.engine import vector_columns as vc
from lexorder.engine.desk import Desk
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_cells import RunningCells, added_up
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_old import OldOrders
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import plain_desk, read
from tests.worlds import instrument, order, position, working, world

GROSS = cases.rule("gross", "account", "", "sum(abs(position.after.value)) <= 150% * account.nav")
SECTOR = cases.rule("sector", "sector", "", "sum(abs(position.after.value)) <= 60% * account.nav")
NET = cases.rule("net", "account", "", "sum(position.after.value) <= 1 * account.nav")
SUMS = cases.book(GROSS + SECTOR + NET)


def asked(vector: VectorBook) -> None:
    """Let the forms write their steps: one order of each account."""
    orders = [order("buy", 1, s, account=a, id=f"{a}-{s}") for a in cases.ACCOUNTS for s in cases.SYMBOLS[:1]]
    vector.cleared(cases.columns(orders))


def first_sums(vector: VectorBook) -> dict[tuple[str, str, int], Fraction | None]:
    """The cells of the first form by kind of sum, account and group; None where they are not known."""
    found: dict[tuple[str, str, int], Fraction | None] = {}
    book = vector.book.current()
    accounts = book.copies[0].accounts
    for seat in book.seats:
        assert seat.forms is not None
        for cells in seat.forms.cells.cells:
            if cells.total.scope == "line":
                continue
            for number, account in enumerate(accounts):
                for word, group in [(0, 0)] if cells.total.scope == "all" else cells.groups.number.items():
                    place = number * cells.width + group
                    known = Fraction(int(cells.known[place]) * cells.factor, cells.total.scale)
                    found[f"{cells.total.scope} {cells.total.mode}", account, word] = (
                        None if cells.unknown[place] else known
                    )
    return found


def second_sums(vector: VectorBook) -> dict[tuple[str, str, int], Fraction | None]:
    """The same of the second form."""
    found: dict[tuple[str, str, int], Fraction | None] = {}
    book = vector.book.current()
    for kept in book.old.kept:
        scope = kept.sought.scope
        if scope == "line":
            continue
        groups = [0] if scope == "all" else book.old._groups(scope)[1].tolist()
        for number, account in enumerate(book.copies[1].accounts):
            for place, word in enumerate(groups):
                cell = number * len(groups) + place
                known = Fraction(int(kept.total[cell]) * kept.factor, kept.scale)
                found[f"{scope} {kept.sought.shape}", account, word] = None if kept.unsure[cell] else known
    return found


def worth(live: Desk, symbol: str) -> Fraction | None:
    """What a share of a name counts in the account's money."""
    facts: Any = live.instruments[symbol]
    mark = facts.get("instrument.mark")
    taken = facts.get("instrument.mark_time")
    if mark is None or (taken is not None and (live.time - taken).total_seconds() > 900):
        return None
    rates: Any = live.single
    rate = Fraction(1) if facts["instrument.currency"] == "USD" else rates["fx.EUR"]
    found: Fraction = mark * rate * facts.get("instrument.multiplier", 1)
    return found


def ends(live: Desk, account: str, symbol: str) -> tuple[Fraction, Fraction, Fraction]:
    """The holding of a name, and the least and most that working orders can make of it."""
    held: Any = live.live.positions.get(account, {}).get(symbol, {}).get("position.before.quantity", Fraction(0))
    low = high = held
    facts: Any
    for facts in live.working.values():
        if (facts["working_order.account"], facts["working_order.symbol"]) == (account, symbol):
            if facts["working_order.side"] == "buy":
                high += facts["working_order.quantity"]
            else:
                low -= facts["working_order.quantity"]
    return held, low, high


def on_paper(live: Desk, account: str, size: bool, sector: str = "") -> Fraction | None:
    """Gross (`size`) or net worst value of an account, or of its names in a sector; None where a name has no value."""
    total = Fraction(0)
    for symbol in live.instruments:
        held, low, high = ends(live, account, symbol)
        position_ = live.live.positions.get(account, {}).get(symbol)
        if position_ is None and held == low == high and not works(live, account, symbol):
            continue
        if sector and live.instruments[symbol].get("instrument.sector") != sector:
            continue
        each = worth(live, symbol)
        if each is None:
            return None
        total += max(abs(low), abs(high)) * each if size else high * each
    return total


def works(live: Desk, account: str, symbol: str) -> bool:
    return any(
        (facts["working_order.account"], facts["working_order.symbol"]) == (account, symbol)
        for facts in live.working.values()
    )


@pytest.mark.parametrize("seed", range(8))
def test_sums_are_those_on_paper_after_every_event(seed):
    """An unknown sum must be called unknown; a known one must be exact."""
    random_ = Random(seed)
    live = plain_desk(SUMS, cases.document(random_, rare=6))
    vector = VectorBook(live, small=0)
    happenings = cases.Happenings(live, random_)
    compared = 0
    for _ in range(10):
        asked(vector)
        known = {**first_sums(vector), **second_sums(vector)}
        words = {code: text for text, code in vector.book.words.words.items()}
        for (kind, account, word), found in known.items():
            if account not in cases.ACCOUNTS:
                continue
            scope, mode = kind.split(" ")
            sector = words[word] if scope == "instrument.sector" else ""
            if scope not in ("all", "instrument.sector") or (sector == "" and scope != "all"):
                continue
            wanted = on_paper(live, account, mode in ("ends", "convex"), sector)
            assert found in (wanted, None), (kind, account, sector)
            assert found is not None or wanted is None, (kind, account, sector)
            compared += found is not None
        for _ in range(random_.choice((1, 2, 4))):
            happenings.apply()
    assert compared > 100


@pytest.mark.parametrize("seed", range(6))
def test_kept_sums_are_those_of_a_form_built_from_nothing(seed):
    """With every rule there is a form for, not only those worked out on paper."""
    random_ = Random(50 + seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=6))
    vector = VectorBook(live, small=0)
    happenings = cases.Happenings(live, random_)
    for _ in range(6):
        for _ in range(random_.choice((1, 3, 6))):
            happenings.apply()
        asked(vector)
        fresh = VectorBook(live, small=0)
        fresh.book.words.words.update(vector.book.words.words)
        asked(fresh)
        for sums in (first_sums, second_sums):
            kept, new = sums(vector), sums(fresh)
            assert {k: v for k, v in kept.items() if k in new} == {k: new[k] for k in new if k in kept}
            assert new.keys() <= kept.keys()


class TestSize:
    """Sums that could leave 64 bits are not known, and only those."""

    def desk(self, quantity: int, mark: str) -> VectorBook:
        held = [position(s, quantity) for s in ("ACME", "BETA", "COCO")]
        live = plain_desk(
            cases.book(GROSS),
            world(positions=held, instruments=[instrument(s, mark) for s in ("ACME", "BETA", "COCO")]),
        )
        vector = VectorBook(live, small=0)
        vector.cleared(cases.columns([order("buy", 1, id="x")]))
        return vector

    @pytest.mark.parametrize("quantity", [1, 10**6, 10**8])
    @pytest.mark.parametrize("mark", ["0.0001", "100", "1999999.9999"])
    def test_exact_or_unknown(self, quantity, mark):
        vector = self.desk(quantity, mark)
        wanted = 3 * quantity * Fraction(mark)
        for sums in (first_sums(vector), second_sums(vector)):
            (found,) = sums.values()
            assert found in (wanted, None)

    def test_a_large_one_is_known_where_a_common_factor_helps(self):
        """At all its declared decimals this sum would need 3e22."""
        (found,) = first_sums(self.desk(10**8, "100")).values()
        assert found == 3 * 10**10

    @pytest.mark.parametrize(("places", "known"), [([0, 1, 2], True), ([0, 0, 0], False)])
    def test_sums_by_place(self, places, known):
        """Two of these fit 64 bits together, three do not."""
        column = vc.from_integers([2**62, 2**62 - 1, 2**62 + 1])
        found = read(added_up(column, np.array(places), 3), 3)
        assert (None not in found) == known

    def test_sums_by_place_where_something_is_missing(self):
        column = vc.from_integers([1, None, 5, 7])
        assert read(added_up(column, np.array([0, 0, 1, 1]), 3), 3) == [None, 12, 0]

    @pytest.mark.parametrize("values", [[1, 2, 3, 4], [2**62, 2**62, -(2**62), 5], [None, 3, 4, None]])
    def test_runs_of_one_place_in_the_second_form(self, values):
        column = vc.from_integers(values)
        places = np.array([2, 0, 2, 1])
        found = read(OldOrders._scattered(column, places, 3), 3)
        for place in range(3):
            mine = [v for v, p in zip(values, places.tolist(), strict=True) if p == place]
            wanted = None if None in mine else sum(v for v in mine if v is not None)
            assert found[place] == wanted


class TestGroups:
    """Names move between groups, and groups come."""

    def sums(self, vector: VectorBook) -> dict[str, Fraction | None]:
        both = first_sums(vector), second_sums(vector)
        words = {code: text for text, code in vector.book.words.words.items()}
        first, second = ({words[w]: v for (_, a, w), v in sums.items() if a == "A"} for sums in both)
        assert {k: v for k, v in first.items() if v} == {k: v for k, v in second.items() if v}
        return first

    def test_a_name_that_changes_its_sector(self):
        from lexorder.engine.events import InstrumentChanged

        live = plain_desk(cases.book(SECTOR), world(positions=[position("ACME", 3), position("BETA", 5)]))
        vector = VectorBook(live, small=0)
        vector.cleared(cases.columns([order("buy", 1, id="x")]))
        assert self.sums(vector) == {"Tech": 800}
        for sector, wanted in (
            ("Energy", {"Tech": 300, "Energy": 500}),
            ("New", {"Tech": 300, "Energy": 0, "New": 500}),
        ):
            live.apply(InstrumentChanged("BETA", {"instrument.sector": sector}))
            assert {k: v for k, v in self.sums(vector).items() if v} == {k: v for k, v in wanted.items() if v}

    def test_a_working_order_in_a_name_not_held(self):
        live = plain_desk(cases.book(SECTOR), world(working_orders=[working("W", "BETA", "sell", 4)]))
        vector = VectorBook(live, small=0)
        vector.cleared(cases.columns([order("buy", 1, id="x")]))
        assert self.sums(vector) == {"Tech": 400}

    def test_more_groups_than_there_is_room_for(self):
        """The first form doubles its room and adds everything up anew."""
        from lexorder.engine.events import InstrumentChanged

        names = [f"N{n}" for n in range(9)]
        live = plain_desk(
            cases.book(SECTOR),
            world(
                instruments=[instrument(n) for n in names], positions=[position(n, 1 + i) for i, n in enumerate(names)]
            ),
        )
        vector = VectorBook(live, small=0)
        vector.cleared(cases.columns([order("buy", 1, "N0", id="x")]))
        for n, name in enumerate(names):
            live.apply(InstrumentChanged(name, {"instrument.sector": f"S{n}"}))
            found = {k: v for k, v in self.sums(vector).items() if v}
            wanted = {f"S{m}": Fraction(100 * (m + 1)) for m in range(n + 1)}
            rest = sum(100 * (m + 1) for m in range(n + 1, 9))
            assert found == ({**wanted, "Tech": rest} if rest else wanted)


def test_too_many_sums_of_one_kind_are_refused(monkeypatch):
    monkeypatch.setattr("lexorder.engine.vector_cells.CELLS_MAX", 1)
    live = plain_desk(cases.book(SECTOR), world(positions=[position("ACME", 3)]))
    vector = VectorBook(live, small=0)
    assert vector.cleared(cases.columns([order("buy", 1, id="x")])) in ([],) or not vector.tally().approved
    assert [reason for reason in vector.tally().unfit if "sums of one kind" in reason]


def test_a_difference_that_is_lost_shows():
    """The two ways of adding up are worth having: a sum spoilt on purpose clears nothing that the other does not."""
    live = plain_desk(cases.book(GROSS), world(positions=[position("ACME", 1_499)]))
    vector = VectorBook(live, small=0)
    columns = cases.columns([order("buy", 1, id="a"), order("buy", 2, id="b")])
    assert [c.places for c in vector.cleared(columns)] == [[0]]
    cells: RunningCells = vector.book.seats[0].forms.cells  # type: ignore[union-attr]
    cells.cells[0].known[:] -= 10**6
    assert [c.places for c in vector.cleared(columns)] == [[0]]
    assert vector.tally().single["the two forms differ"] == 1


def test_what_belongs_to_no_level_is_refused():
    tables = VectorBook(plain_desk(SUMS, world()), small=0).book.words
    with pytest.raises(NotVectorError):
        tables.read(Level.INSTRUMENT, ("nothing",))
