"""Who may be judged in bulk at all: nobody whom `decide.admission` would stop, whatever is odd about the order."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from lexorder.engine.decide import admission
from lexorder.engine.desk import Desk
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import InstrumentChanged, WorkingAdded, WorkingRemoved
from lexorder.engine.facts import load_order
from lexorder.engine.rule import Facts
from lexorder.engine.symbols import is_canonical
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_frame import NOBODY
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import asked_on, frames_of, plain_desk, read, typed
from tests.worlds import VOCABULARY, instrument, order, position, working, world


def admits(live: Desk, facts: Facts) -> bool:
    """By the engine's own checks, one order at a time."""
    return not admission((facts,), str(facts["order.account"]), live.live)


def in_bulk(vector: VectorBook, facts: list[Facts]) -> set[int]:
    """The places of the orders in the frames; both copies have the same ones."""
    frames = asked_on(vector, facts)[1]
    if frames is None:
        return set()
    places = [frame.places.tolist() for frame in frames]
    assert places[0] == places[1]
    return set(places[0])


def readable(orders: list[dict[str, Any]]) -> list[Facts]:
    """Those that the border takes."""
    found: list[Facts] = []
    for one in orders:
        try:
            found.append(load_order({k: v for k, v in one.items() if v is not None}, VOCABULARY))
        except SnapshotError:
            continue
    return found


@pytest.mark.parametrize("seed", range(10))
def test_nobody_who_would_be_stopped_is_in_a_frame(seed):
    random_ = Random(seed)
    live = plain_desk(cases.book(), cases.document(random_, rare=10))
    vector = VectorBook(live, small=0)
    facts = readable(
        [cases.odd(random_, n) for n in range(60)] + [cases.plain(random_, 100 + n, live) for n in range(40)]
    )
    found = in_bulk(vector, facts)
    assert not [n for n in found if not admits(live, facts[n])]
    # And few are left out without cause: what is fine for the engine is only left out where it is not plainly written.
    left = [n for n in range(len(facts)) if n not in found and admits(live, facts[n])]
    assert len(left) <= len(facts) // 10


def one(change: dict[str, Any], **sections: Any) -> bool:
    """Whether an ordinary order with one thing changed is in the frames, beside one that is."""
    live = plain_desk(cases.book(), world(**sections))
    facts = typed([order("buy", 1, id="good"), {**order("buy", 2), **change}])
    found = in_bulk(VectorBook(live, small=0), facts)
    assert 0 in found
    assert (1 in found) <= admits(live, facts[1])
    return 1 in found


class TestOneThingChanged:
    """Each reason by itself."""

    @pytest.mark.parametrize(
        ("change", "admitted"),
        [
            ({}, True),
            ({"account": "NOBODY"}, False),
            ({"symbol": "NOTHING"}, False),
            ({"trader": "STRANGER"}, False),
            ({"trader": "T"}, True),
            ({"strategy": "S9"}, True),
            ({"price": "0"}, False),
            ({"price": "-1"}, False),
            ({"price": "0.0001"}, True),
            ({"stop_price": "0.0001", "ord_type": "stop_limit"}, True),
            ({"ord_type": "market"}, True),
        ],
    )
    def test_it(self, change, admitted):
        assert one(change) == admitted

    @pytest.mark.parametrize(("name", "admitted"), [("W1", False), ("W2", True), ("w1", True)])
    def test_an_identifier_that_works_already(self, name, admitted):
        assert one({"id": name}, working_orders=[working("W1", "BETA", "buy", 1)]) == admitted

    def test_a_name_that_may_trade_below_zero_is_left_to_the_single_path(self):
        instruments = [instrument("ACME", negative_prices=True), instrument("BETA")]
        assert one({"symbol": "BETA"}, instruments=instruments)
        assert not one({"price": "0"}, instruments=instruments)

    def test_a_holding_that_is_no_instrument(self):
        accounts = [{**world()["accounts"][0], "id": name} for name in ("A", "B")]
        sections = {"accounts": accounts, "positions": [position("GONE", 1, "B")]}
        assert not one({"account": "B"}, **sections)


def test_an_identifier_is_free_again_when_its_order_is_gone():
    live = plain_desk(cases.book(), world(working_orders=[working("W1", "BETA", "buy", 1)]))
    vector = VectorBook(live, small=0)
    facts = typed([order("buy", 1, id="W1"), order("buy", 1, id="good")])
    assert in_bulk(vector, facts) == {1}
    gone = dict(live.working["W1"])
    live.apply(WorkingRemoved("W1"))
    assert in_bulk(vector, facts) == {0, 1}
    live.apply(WorkingAdded({**gone, "working_order.id": "good"}))
    assert in_bulk(vector, facts) == {0}


def test_every_order_left_out_leaves_no_frame():
    live = plain_desk(cases.book(), world())
    assert in_bulk(VectorBook(live, small=0), typed([order("buy", 1, account="NOBODY")])) == set()


@pytest.mark.parametrize("text", ["A-1", "a.b/c:d#e@f^g=h+i", "x" * 64, "x" * 65, "", "é", "a b", "a\nb", "-a", ".a"])
def test_identifiers_that_are_not_canonical(text):
    """The border refuses them; should one come as a fact, it is in no frame."""
    live = plain_desk(cases.book(), world())
    facts = [{**typed([order("buy", 1)])[0], "order.id": text}, *typed([order("buy", 1, id="good")])]
    assert in_bulk(VectorBook(live, small=0), facts) == ({0, 1} if is_canonical(text) else {1})


class TestReading:
    """What a frame says of its orders."""

    def orders(self) -> tuple[VectorBook, list[Facts]]:
        sections: dict[str, Any] = {"positions": [position("ACME", 7), position("BETA", -3)]}
        live = plain_desk(cases.book(), world(**sections))
        orders = [
            order("buy", 5, id="a", trader="T"),
            order("sell", 6, "BETA", id="b"),
            order("buy", 7, "COCO", id="c", ord_type="market"),
        ]
        return VectorBook(live, small=0), typed(orders)

    def test_facts_of_orders_and_holdings(self):
        vector, facts = self.orders()
        for frame in frames_of(vector, facts):
            assert read(frame.read(("order", "order.quantity")), 3) == [5, 6, 7]
            assert read(frame.read(("now",)), 3) == [7, -3, 0]
            assert read(frame.read(("low",)), 3) == [7, -3, 0]
            assert read(frame.read(("member",)), 3) == [True, True, False]
            assert read(frame.read(("orders",)), 3) == [0, 0, 0]
            code = frame.copy.tables.word
            assert read(frame.read(("order", "order.symbol")), 3) == [code(s) for s in ("ACME", "BETA", "COCO")]
            assert read(frame.read(("order", "order.side")), 3) == [code(s) for s in ("buy", "sell", "buy")]

    def test_a_part_of_a_frame(self):
        vector, facts = self.orders()
        frame = frames_of(vector, facts)[0].cut(np.array([2, 0]))
        assert read(frame.read(("order", "order.quantity")), 2) == [7, 5]
        assert read(frame.read(("now",)), 2) == [0, 7]
        assert frame.places.tolist() == [2, 0]

    def test_what_all_orders_of_a_part_share_is_one_value(self):
        from lexorder.engine import vector_columns as vc

        vector, facts = self.orders()
        frame = frames_of(vector, facts)[0]
        frame.alike = {"order.side": vc.Words(4711)}
        assert frame.read(("order", "order.side")).data == 4711
        assert frame.cut(np.array([0])).alike == {}, "another part shares other facts"

    def test_a_trader_that_is_looked_for_must_be_named(self):
        vector, facts = self.orders()
        frame = frames_of(vector, facts)[0]
        assert not frame.nameless().any()
        numbers = frame.index(Level.TRADER).tolist()
        assert [n == NOBODY for n in numbers] == [False, True, True]
        assert frame.nameless().tolist() == [False, True, True]

    def test_what_no_order_has_is_refused(self):
        vector, facts = self.orders()
        with pytest.raises(NotVectorError):
            frames_of(vector, facts)[0].read(("x",))

    def test_a_price_that_moves_is_read_anew(self):
        vector, facts = self.orders()
        book = vector.book
        step = book.terms.code.read(Level.INSTRUMENT, "fact", "instrument.mark")
        before = read(book.terms.code.run(frames_of(vector, facts)[0], (step,))[0], 3)
        vector.desk.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction("99.9999")}))
        after = read(book.terms.code.run(frames_of(vector, facts)[0], (step,))[0], 3)
        assert (before, after) == ([10**6] * 3, [10**6, 999_999, 10**6])


def test_nothing_is_read_again_while_nothing_happens(monkeypatch):
    """The columns are brought up to date once for an event, not once for each batch."""
    live = plain_desk(cases.book(), world())
    vector = VectorBook(live, small=0)
    vector.book.current()
    settled = []
    plain = vector.book._settle

    def noting() -> None:
        settled.append(1)
        plain()

    monkeypatch.setattr(vector.book, "_settle", noting)
    for _ in range(3):
        vector.book.current()
    assert settled == []
    live.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(99)}))
    live.apply(InstrumentChanged("BETA", {"instrument.mark": Fraction(99)}))
    for _ in range(3):
        vector.book.current()
    assert settled == [1]


def test_a_settling_that_fails_is_done_again(monkeypatch):
    """An event is not forgotten because reading it went wrong: everything is started anew."""
    live = plain_desk(cases.book(cases.rule("r", "order", "", "order.price <= instrument.mark")), world())
    vector = VectorBook(live, small=0)
    columns = cases.columns([order("buy", 1, id="a"), order("buy", 1, id="b")])
    assert [len(c.places) for c in vector.cleared(columns)] == [2]
    live.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(99)}))
    with monkeypatch.context() as patched:
        patched.setattr(vector.book.copies[0], "settle", None)
        assert vector.cleared(columns) == []
    assert [len(c.places) for c in vector.cleared(columns)] in ([0], [])
    live.apply(InstrumentChanged("ACME", {"instrument.mark": Fraction(100)}))
    assert [len(c.places) for c in vector.cleared(columns)] == [2]


def test_an_age_limit_passes_with_the_clock_alone():
    from lexorder.engine.events import SingleChanged

    section = [{**world()["instruments"][0], "mark_time": "2026-06-15T12:00:00-04:00"}]
    live = plain_desk(
        cases.book(cases.rule("r", "order", "", "order.price <= instrument.mark")), world(instruments=section)
    )
    vector = VectorBook(live, small=0)
    columns = cases.columns([order("buy", 1, id="a")])
    start = live.time
    for seconds, fresh in ((0, True), (900, True), (901, False)):
        live.apply(SingleChanged({"clock.now": start + timedelta(seconds=seconds)}))
        assert [len(c.places) for c in vector.cleared(columns) if c.places] == ([1] if fresh else [])
