"""Thousands of orders at once: every answer is the one `Desk.check` gives, byte for byte.

Worlds are generated; most orders sit on the largest compliant quantity or one share to a side of it. What is approved
in bulk is also judged by the reference meaning, so that a fault common to both fast paths would show.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine import vector_columns as vc
from lexorder.engine.approved import Approved
from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.desk import Desk, slow
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import Event, InstrumentChanged, PositionSet
from lexorder.engine.facts import canonical_bytes, load_order
from lexorder.engine.vector import VectorBook
from tests.agreement.rules import REGIME
from tests.engine import vector_cases as cases
from tests.worlds import VOCABULARY, order, world

BOOK = cases.book()
HELD = "position.before.quantity"


def same(found: Any, expected: Any) -> None:
    """One answer: the same decision, evidence and hash, or the same refusal."""
    if isinstance(expected, SnapshotError):
        assert isinstance(found, SnapshotError)
        assert (found.code, str(found)) == (expected.code, str(expected))
        return
    assert found.outcome is expected.outcome
    assert found.body() == expected.body()
    assert found.hash == expected.hash
    if isinstance(found, Approved):
        assert found.encoded() == canonical_bytes(expected.to_json())
        assert found.decision() == expected


def compare(live: Desk, vector: VectorBook, orders: list[dict[str, Any]]) -> int:
    """Compare all answers; how many came in bulk."""
    found = vector.decide_columns(cases.columns(orders))
    for one, asked in zip(found, orders, strict=True):
        same(one, cases.answer(live, asked))
    return sum(isinstance(one, Approved) for one in found)


@pytest.mark.parametrize("seed", range(12))
def test_answers_are_those_of_the_single_path(seed):
    random_ = Random(seed)
    live = cases.desk(random_, BOOK)
    vector = VectorBook(live, small=0)
    orders = cases.on_limits(live, random_, 40) + [cases.odd(random_, 100 + n) for n in range(20)]
    compare(live, vector, orders)
    assert vector.tally().single["the two forms differ"] == 0
    assert not vector.tally().unfit


@pytest.mark.parametrize("seed", range(6))
def test_what_is_approved_in_bulk_the_reference_approves(seed):
    random_ = Random(100 + seed)
    live = cases.desk(random_, BOOK, rare=2)
    plainly = Desk(BOOK, live.snapshot, VOCABULARY, slow)
    orders = cases.on_limits(live, random_, 30)
    found = VectorBook(live, small=0).decide_columns(cases.columns(orders))
    approved = [(one, asked) for one, asked in zip(found, orders, strict=True) if isinstance(one, Approved)]
    for one, asked in approved:
        same(one, cases.answer(plainly, asked))


def test_most_compliant_orders_are_approved_in_bulk():
    """Else the tests above would compare the single path with itself."""
    bulk = passing = 0
    for seed in range(6):
        random_ = Random(200 + seed)
        live = cases.desk(random_, BOOK, rare=0)
        vector = VectorBook(live, small=0)
        orders = cases.on_limits(live, random_, 40)
        bulk += compare(live, vector, orders)
        passing += sum(cases.answer(live, asked).approved for asked in orders)
    assert passing > 20
    assert bulk >= passing * 0.95


@pytest.mark.parametrize("seed", range(8))
def test_every_event_is_seen(seed):
    random_ = Random(300 + seed)
    live = cases.desk(random_, BOOK, rare=3)
    vector = VectorBook(live, small=0)
    happenings = cases.Happenings(live, random_)
    for _ in range(8):
        compare(live, vector, [cases.plain(random_, n) for n in range(12)])
        for _ in range(random_.choice((1, 1, 2, 5))):
            happenings.apply()
    compare(live, vector, cases.on_limits(live, random_, 16))
    assert vector.tally().single["the two forms differ"] == 0
    assert not [reason for reason in vector.tally().single if "failed" in reason]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_long_lives(seed):
    random_ = Random(1000 + seed)
    live = cases.desk(random_, BOOK, rare=4)
    vector = VectorBook(live, small=0)
    happenings = cases.Happenings(live, random_)
    for _ in range(25):
        compare(live, vector, cases.on_limits(live, random_, 20))
        for _ in range(random_.choice((1, 3, 8))):
            happenings.apply()
    assert not [reason for reason in vector.tally().single if "failed" in reason]


def test_another_rule_book_is_seen():
    live = cases.desk(Random(1), BOOK, rare=0)
    vector = VectorBook(live, small=0)
    orders = [cases.plain(Random(n), n) for n in range(20)]
    compare(live, vector, orders)
    live.replace_book(cases.book(cases.rule("nothing", "order", "", "order.quantity < 1")))
    assert compare(live, vector, orders) == 0


def test_typed_facts_and_columns_get_the_same_answers():
    random_ = Random(11)
    live = cases.desk(random_, BOOK, rare=0)
    vector = VectorBook(live, small=0)
    orders = cases.on_limits(live, random_, 40)
    facts = [load_order(o, VOCABULARY) for o in orders]
    for one, other in zip(vector.decide(facts), vector.decide_columns(cases.columns(orders)), strict=True):
        assert type(one) is type(other)
        assert not isinstance(one, SnapshotError)
        assert not isinstance(other, SnapshotError)
        assert one.to_json() == other.to_json()


def test_few_orders_take_the_single_path():
    live = cases.desk(Random(2), BOOK, rare=0)
    found = VectorBook(live).decide_columns(cases.columns([cases.plain(Random(n), n) for n in range(5)]))
    assert all(isinstance(one, Decision) for one in found)


def test_one_that_nobody_holds_is_told_nothing_more():
    live = cases.desk(Random(2), BOOK)
    vector = VectorBook(live)
    assert len(live.watchers) == 1
    del vector
    gc.collect()
    assert live.watchers == []


def test_no_orders_at_all():
    assert VectorBook(cases.desk(Random(2), BOOK), small=0).decide_columns({"id": []}) == []


# ---- one limit, exactly ------------------------------------------------------------------------------------


def approved(rule: str, orders: list[dict[str, Any]], **sections: Any) -> list[bool]:
    """Which of some orders a desk with one rule approves in bulk; all answers are those of the single path."""
    live = Desk(cases.book(rule), world(**sections), VOCABULARY)
    vector = VectorBook(live, small=0)
    compare(live, vector, orders)
    assert not vector.tally().unfit
    return [isinstance(one, Approved) for one in vector.decide_columns(cases.columns(orders))]


class TestLimits:
    """Exactly at a limit, and one unit to each side."""

    def test_position_weight(self):
        rule = cases.rule("r", "issuer", "", "sum(abs(position.after.value)) <= 5% * account.nav")
        assert approved(rule, [order("buy", n) for n in (49, 50, 51)]) == [True, True, False]

    def test_strict(self):
        rule = cases.rule("r", "issuer", "", "sum(abs(position.after.value)) < 5% * account.nav")
        assert approved(rule, [order("buy", n) for n in (49, 50, 51)]) == [True, False, False]

    def test_price_one_unit_of_the_scale_beside(self):
        rule = cases.rule("r", "order", "", "order.price <= instrument.mark * 105%")
        orders = [order(price=p) for p in ("104.9999", "105", "105.0001")]
        assert approved(rule, orders) == [True, True, False]

    def test_working_orders_count_in_their_worst_state(self):
        """A working sale does not free room for a purchase; a working purchase takes it."""
        rule = cases.rule("r", "account", "", "sum(abs(position.after.value)) <= 5% * account.nav")
        held = [{"account": "A", "symbol": "BETA", "quantity": "20"}]
        for side, room in (("sell", 30), ("buy", 20)):
            working = [{"id": "W", "account": "A", "symbol": "BETA", "side": side, "quantity": "10", "price": "100"}]
            orders = [order("buy", n) for n in (room - 1, room, room + 1)]
            assert approved(rule, orders, positions=held, working_orders=working) == [True, True, False]

    def test_cash_with_fees(self):
        rule = cases.rule("r", "account", "", "account.after.cash >= 50_000")
        orders = [order("buy", n, fee_per_share="0.01") for n in (498, 499, 500)]
        assert approved(rule, orders) == [True, True, False]

    def test_a_reduction_of_an_old_breach_is_left_to_the_single_path(self):
        """It passes there as a passive breach, with its evidence: never a plain pass."""
        rule = cases.rule("r", "account", "", "sum(abs(position.after.value)) <= 1% * account.nav")
        held = [{"account": "A", "symbol": "BETA", "quantity": "20"}]
        assert approved(rule, [order("sell", 5, "BETA")], positions=held) == [False]

    def test_an_age_limit_to_the_second(self):
        rule = cases.rule("r", "order", "", "order.price <= instrument.mark * 105%")
        for minute, fresh in (("11:45:00", True), ("11:44:59", False)):
            section = [{**world()["instruments"][0], "mark_time": f"2026-06-15T{minute}-04:00"}]
            assert approved(rule, [order()], instruments=section) == [fresh]


class TestSizes:
    """What could leave 64 bits is not approved in bulk, and nothing else suffers."""

    def test_one_huge_order_among_small_ones(self):
        orders = [order("buy", 7, price="3.0001"), order("buy", 10_000_000, price="1999999.9999"), order("buy", 1)]
        live = Desk(cases.book(cases.rule("r", "order", "", "order.notional >= 1")), world(), VOCABULARY)
        vector = VectorBook(live, small=0)
        compare(live, vector, orders)

    def test_a_huge_account_does_not_spoil_the_others(self):
        rule = cases.rule("r", "issuer", "", "sum(abs(position.after.value)) <= 5% * account.nav")
        accounts = [
            {**world()["accounts"][0], "id": name, "nav": nav}
            for name, nav in (("A", "100000"), ("B", "999999999999.9999"))
        ]
        positions = [{"account": "B", "symbol": "ACME", "quantity": "99999999"}]
        marks = [{**i, "mark": "1999999.9999"} if i["symbol"] == "ACME" else i for i in world()["instruments"]]
        orders = [order("buy", n, "BETA", account=a) for a in ("A", "B") for n in (49, 50, 51)]
        found = approved(rule, orders, accounts=accounts, positions=positions, instruments=marks)
        assert found[:3] == [True, True, False]


# ---- faults --------------------------------------------------------------------------------------------------


def bulk_of(live: Desk) -> tuple[VectorBook, int, int]:
    """A vectorised desk, how many of some compliant orders it approves, how many the forms differ on."""
    random_ = Random(5)
    vector = VectorBook(live, small=0)
    orders = cases.on_limits(live, random_, 60)
    found = vector.decide_columns(cases.columns(orders))
    for one, asked in zip(found, orders, strict=True):
        same(one, cases.answer(live, asked))
    return vector, sum(isinstance(one, Approved) for one in found), vector.tally().single["the two forms differ"]


class TestPlantedFaults:
    """A fault in one form shows as a difference, and no order passes by it."""

    def test_none_without_a_fault(self):
        _, approvals, differ = bulk_of(cases.desk(Random(4), BOOK, rare=0))
        assert approvals > 5
        assert differ == 0

    def test_a_limit_dropped_from_the_compiled_form(self, monkeypatch):
        from lexorder.engine.vector_first import First

        plain = First._failing

        def forgetful(self: First, body: Any, names: Any) -> int:
            text = "".join(map(str, map(type, body)))
            return self.code.truth(False) if self.count and "If" in text else plain(self, body, names)

        monkeypatch.setattr(First, "_failing", forgetful)
        assert bulk_of(cases.desk(Random(4), BOOK, rare=0))[2] > 0

    def test_a_comparison_turned_in_the_second_form(self, monkeypatch):
        from lexorder.engine import vector_second

        monkeypatch.setitem(vector_second._SAME_OP, ">", ">=")
        assert bulk_of(cases.desk(Random(4), BOOK, rare=0))[2] > 0

    def test_sums_that_miss_an_event(self, monkeypatch):
        from lexorder.engine.vector_cells import RunningCells

        live = cases.desk(Random(4), BOOK, rare=0)
        vector = VectorBook(live, small=0)
        orders = cases.on_limits(live, Random(9), 60)
        vector.decide_columns(cases.columns(orders))
        monkeypatch.setattr(RunningCells, "_change", lambda *_: True)
        held = [(account, symbol) for account, book in live.tables.positions.items() for symbol in book]
        self.differs_after(live, vector, [PositionSet(a, s, {HELD: Fraction(2_000)}) for a, s in held])

    def test_a_copy_that_misses_prices(self, monkeypatch):
        live = cases.desk(Random(4), BOOK, rare=0)
        vector = VectorBook(live, small=0)
        vector.decide_columns(cases.columns(cases.on_limits(live, Random(9), 40)))
        monkeypatch.setattr(vector.book.copies[1], "note", lambda _event: True)
        cheap = {"instrument.mark": Fraction(1), "instrument.ask": Fraction(1), "instrument.bid": Fraction(1)}
        self.differs_after(live, vector, [InstrumentChanged(s, cheap) for s in cases.SYMBOLS])

    def differs_after(self, live: Desk, vector: VectorBook, events: Sequence[Event]) -> None:
        """After these events the forms differ, and every answer is still that of the single path."""
        for event in events:
            live.apply(event)
        orders = cases.on_limits(live, Random(9), 60)
        for one, asked in zip(vector.decide_columns(cases.columns(orders)), orders, strict=True):
            same(one, cases.answer(live, asked))
        assert vector.tally().single["the two forms differ"] > 0

    def test_a_form_that_fails_approves_nothing(self, monkeypatch):
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        live = cases.desk(Random(4), BOOK, rare=0)
        vector = VectorBook(live, small=0)
        orders = [cases.plain(Random(n), n) for n in range(40)]
        monkeypatch.setattr(vc, "plus", broken)
        monkeypatch.setattr(vc, "compared", broken)
        monkeypatch.setattr(vc, "clear", broken)
        assert compare(live, vector, orders) == 0
        assert vector.tally().single["the vectorised form failed: ZeroDivisionError"] == 1

    def test_it_recovers(self, monkeypatch):
        live = cases.desk(Random(4), BOOK, rare=0)
        vector = VectorBook(live, small=0)
        orders = [cases.plain(Random(n), n) for n in range(40)]
        with monkeypatch.context() as patched:
            patched.setattr(vc, "clear", None)
            assert compare(live, vector, orders) == 0
        assert compare(live, vector, orders) > 0


# ---- rules without a vectorised form ---------------------------------------------------------------------------


class TestUnfit:
    """Rules that a form has no place for are decided on the single path, and the reason is told."""

    @pytest.mark.parametrize(
        ("rule", "why"),
        [
            (cases.rule("r", "order", "", "order.on_tick"), "order.on_tick is measured for each order"),
            (
                cases.rule("r", "account", "", "count(position where position.after.quantity != 0) <= 5"),
                "r has no generated check: it is no limit on what is held of one name",
            ),
            (
                REGIME + cases.rule("r", "order", "", "market.regime != VOLATILE"),
                "regime derives facts",
            ),
        ],
    )
    def test_the_reason(self, rule, why):
        live = Desk(cases.book(rule), world(), VOCABULARY)
        vector = VectorBook(live, small=0)
        assert compare(live, vector, [order("buy", n) for n in range(1, 5)]) == 0
        assert vector.tally().unfit == {why}

    def test_one_account_with_such_a_rule_leaves_the_others_alone(self):
        rules = cases.RULES + cases.rule("r", "order", "", "order.on_tick", "{accounts: [A1]}")
        live = cases.desk(Random(6), cases.book(rules), rare=0)
        vector = VectorBook(live, small=0)
        orders = [cases.plain(Random(n), n) for n in range(60)]
        assert compare(live, vector, orders) > 0
        found = vector.decide_columns(cases.columns(orders))
        assert not [
            o for o, one in zip(orders, found, strict=True) if isinstance(one, Approved) and o["account"] == "A1"
        ]

    def test_accounts_in_several_currencies(self):
        document = cases.document(Random(3), rare=0)
        document["accounts"][0]["currency"] = "EUR"
        live = Desk(BOOK, document, VOCABULARY)
        vector = VectorBook(live, small=0)
        assert compare(live, vector, [cases.plain(Random(n), n) for n in range(30)]) == 0

    def test_a_holding_in_a_name_that_is_no_instrument(self):
        document = cases.document(Random(3), rare=0)
        document["positions"].append({"account": "A1", "symbol": "GONE", "quantity": "5"})
        live = Desk(BOOK, document, VOCABULARY)
        found = VectorBook(live, small=0).decide_columns(cases.columns([cases.plain(Random(n), n) for n in range(60)]))
        assert {one.account for one in found if isinstance(one, Approved)} <= {"A2", "A3", "A4"}


def test_outcomes_of_an_approval_read_like_a_decision():
    rule = cases.rule("r", "order", "", "order.quantity < 10")
    live = Desk(cases.book(rule), world(), VOCABULARY)
    (found,) = VectorBook(live, small=0).decide_columns(cases.columns([order("buy", 9)]))
    assert isinstance(found, Approved)
    assert (found.outcome, found.approved, found.reason, found.reports) == (Outcome.APPROVE, True, "", ())
    assert found.orders == ("buy-ACME-9",)
