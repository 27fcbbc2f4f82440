"""The two forms together: who sits with whom, what is counted, and that both see every event or neither clears.

Each test has several accounts; what they are cleared for is compared with the reference meaning, account by account.
"""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine import vector_book
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    SingleChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.rule import Audience
from lexorder.engine.vector import VectorBook
from lexorder.engine.vector_cells import RunningCells
from lexorder.engine.vector_second import Second
from tests.engine import vector_cases as cases
from tests.engine.forms_alone import alone, desk_of, plainly
from tests.engine.vector_reading import plain_desk
from tests.worlds import instrument, order, position, working, world

SMALL = cases.rule("small", "order", "", "order.quantity <= 5")
CAREFUL = cases.rule("careful-only", "order", "", "order.quantity <= 2", "{accounts: {tag: careful}}")
GROSS = cases.rule("gross", "account", "", "sum(abs(position.after.value)) <= 1_000")
MEASURED = cases.rule("measured", "order", "", "order.on_tick", "{accounts: {tag: odd}}")


def accounts(**tags: list[str]) -> list[dict[str, Any]]:
    """Accounts by name with their tags."""
    return [{**world()["accounts"][0], "id": name, "tags": found} for name, found in tags.items()]


def of_each(names: str, quantities: tuple[int, ...]) -> list[dict[str, Any]]:
    return [order("buy", q, account=a, id=f"{a}{q}") for a in names for q in quantities]


def cleared(vector: VectorBook, orders: list[dict[str, Any]]) -> list[int]:
    found = [place for group in vector.cleared(cases.columns(orders)) for place in group.places]
    assert len(found) == len(set(found)), "no order is cleared twice"
    return sorted(found)


class TestSeats:
    """Accounts under the same rules share one form; rules that differ have one each."""

    def test_accounts_under_the_same_rules_sit_together(self):
        _, vector = desk_of(SMALL + CAREFUL, accounts=accounts(A=[], B=["careful"], C=[], D=["careful", "x"]))
        asked = of_each("ABCD", (2, 3, 5, 6))
        assert cleared(vector, asked) == [0, 1, 2, 4, 8, 9, 10, 12]
        assert [[r.id for r in seat.rules] for seat in vector.book.seats] == [["small"], ["careful-only", "small"]]

    def test_one_that_has_no_form_hinders_no_other(self):
        live, vector = desk_of(SMALL + MEASURED, accounts=accounts(A=["odd"], B=[]))
        assert cleared(vector, of_each("AB", (5, 6))) == [2]
        assert [seat.forms is None for seat in vector.book.seats] == [True, False]
        assert vector.tally().unfit == {"order.on_tick is measured for each order"}
        assert vector.tally().single["rules without a vectorised form"] == 2
        assert live.accounts.keys() == {"A", "B"}

    def test_a_tag_moves_an_account_to_another_seat_and_back(self):
        live, vector = desk_of(SMALL + CAREFUL, accounts=accounts(A=[], B=[]))
        asked = of_each("AB", (2, 3))
        assert cleared(vector, asked) == [0, 1, 2, 3]
        live.apply(AccountChanged("B", {"account.tags": frozenset({"careful"})}))
        assert cleared(vector, asked) == [0, 1, 2]
        live.apply(AccountChanged("B", {"account.tags": frozenset()}))
        assert cleared(vector, asked) == [0, 1, 2, 3]
        assert len(vector.book.seats) == 2, "a set of rules is written once"

    def test_no_rules_at_all_clear_nothing(self):
        _, vector = desk_of(cases.rule("r", "order", "", "order.quantity <= 5", "{accounts: [B]}"),
                            accounts=accounts(A=[], B=[]))  # fmt: skip
        assert cleared(vector, of_each("AB", (5, 10_000_000))) == [2]


class TestTally:
    """What became of each order is counted once."""

    def test_every_order_is_in_one_count(self):
        _, vector = desk_of(SMALL + MEASURED, accounts=accounts(A=[], B=["odd"]))
        asked = [*of_each("AB", (5, 6)), order("buy", 1, "GONE", id="g"), order("buy", 1, account="X", id="x"),
                 order("buy", 0, id="zero")]  # fmt: skip
        for turn in (1, 2):
            cleared(vector, asked)
            tally = vector.tally()
            assert tally.approved == turn
            assert tally.single["rules without a vectorised form"] == 2 * turn
            assert tally.single["not admitted in bulk"] == 3 * turn
            assert tally.single["not cleared"] == turn
            assert tally.approved + sum(tally.single.values()) == len(asked) * turn

    def test_a_form_that_clears_too_much_shows_and_clears_nothing(self, monkeypatch):
        """Whichever of the two it is."""
        for which in (0, 1):
            _, vector = desk_of(SMALL)
            asked = of_each("A", (5, 6))
            plain = vector_book._clear
            codes = vector.book.current().codes
            monkeypatch.setattr(vector_book, "_clear", lambda code, frame, step, p=plain, wrong=codes[which]: (
                p(code, frame, step) | (code is wrong)
            ))  # fmt: skip
            assert cleared(vector, asked) == [0]
            assert vector.tally().single["the two forms differ"] == 1
            monkeypatch.setattr(vector_book, "_clear", plain)

    def test_forms_that_count_verdicts_differently_are_not_used(self, monkeypatch):
        """A rule lost from one of them would otherwise be agreed upon."""
        _, vector = desk_of(SMALL)
        monkeypatch.setattr(Second, "__init__", _forgetful(Second.__init__))
        assert cleared(vector, of_each("A", (1, 5))) == []
        assert vector.tally().unfit == {"the two forms count verdicts differently"}


def _forgetful(plain: Any) -> Any:
    def init(self: Any, *given: Any) -> None:
        plain(self, *given)
        self.count -= 1

    return init


class TestGround:
    """What approvals have in common is made once, and anew when any of it changes."""

    def test_it_is_the_same_until_something_happens(self):
        live, vector = desk_of(SMALL)
        columns = cases.columns(of_each("A", (1, 2)))
        (one,) = vector.cleared(columns)
        (two,) = vector.cleared(columns)
        assert one.ground is two.ground
        assert (one.ground.time, one.ground.rulebook_hash, one.ground.snapshot_hash, one.ground.verdicts) == (
            live.time, live.book.hash, live.hash, 1,
        )  # fmt: skip
        live.apply(PositionSet("A", "ACME", {"position.before.quantity": Fraction(1)}))
        (three,) = vector.cleared(columns)
        assert three.ground is not one.ground
        assert three.ground.snapshot_hash == live.hash != one.ground.snapshot_hash
        live.replace_book(cases.book(SMALL + GROSS))
        (four,) = vector.cleared(columns)
        assert (four.ground.verdicts, four.ground.rulebook_hash) == (2, live.book.hash)

    def test_rules_for_compliance_are_withheld(self):
        rule = SMALL.rstrip() + "\n  audience: compliance\n"
        live, vector = desk_of(rule + GROSS)
        (found,) = vector.cleared(cases.columns(of_each("A", (1,))))
        assert live.rules_of("A")[1].audience is Audience.COMPLIANCE
        assert found.ground.withheld == {"small"}


# ---- events --------------------------------------------------------------------------------------------------


def _after(live: Any) -> list[Event]:
    """One event of each kind; most move the limit of the rule below."""
    facts: Any = live.accounts["A"]
    name: Any = live.instruments["BETA"]
    order_: Any = {
        "working_order.id": "N", "working_order.account": "A", "working_order.symbol": "COCO",
        "working_order.side": "buy", "working_order.quantity": Fraction(2), "working_order.price": Fraction(100),
    }  # fmt: skip
    return [
        PositionSet("A", "BETA", {"position.before.quantity": Fraction(4)}),
        InstrumentChanged("BETA", {"instrument.mark": Fraction(50)}),
        WorkingAdded(order_),
        WorkingRemoved("N"),
        InstrumentSet("BETA", {**name, "instrument.mark": Fraction(150), "instrument.mark_time": live.time}),
        AccountChanged("A", {"account.nav": Fraction(5_000)}),
        AccountSet("A", {**facts, "account.nav": Fraction(12_000)}),
        InstrumentSet("NEWB", {**name, "instrument.symbol": "NEWB"}),
        AccountSet("B", {**facts, "account.id": "B"}),
        SingleChanged({"clock.now": live.time + timedelta(minutes=20)}),
        SingleChanged({"clock.date": live.time.date() + timedelta(days=1)}),
        FillRecorded({"fill.id": "F", "fill.account": "A", "fill.symbol": "ACME", "fill.side": "buy",
                      "fill.quantity": Fraction(1), "fill.date": live.time.date()}),
    ]  # fmt: skip


def test_each_kind_of_event_is_seen_by_both_forms():
    """Event by event, each form alone, against the reference: also after one that starts everything anew."""
    rule = cases.rule("r", "account", "", "sum(abs(position.after.value)) <= 10% * account.nav")
    live, vector = desk_of(rule, account={"nav": "10000"}, positions=[position("ACME", 1)],
                           instruments=[instrument(s) for s in ("ACME", "BETA", "COCO")])  # fmt: skip
    asked = [order("buy", n, "ACME") for n in range(1, 13)]
    seen = [plainly(live, asked)]
    assert alone(vector, asked) == [seen[0], seen[0]]
    for event in _after(live):
        live.apply(event)
        wanted = plainly(live, asked)
        assert alone(vector, asked) == [wanted, wanted], event
        seen.append(wanted)
    assert len({tuple(s) for s in seen}) >= 5, "the events move the limit"


def test_an_event_that_fails_half_way_is_not_half_seen(monkeypatch):
    """What the copies could not take in is read anew from the desk before the next orders."""
    live, vector = desk_of(GROSS, working_orders=[working("W", "BETA", "buy", 1)])
    asked = of_each("A", (9, 10))
    assert cleared(vector, asked) == [0]
    plain = RunningCells.refresh

    def broken(self: Any, *given: Any) -> None:
        raise RuntimeError("half way")

    with monkeypatch.context() as patched:
        patched.setattr(RunningCells, "refresh", broken)
        live.apply(WorkingRemoved("W"))
        assert cleared(vector, asked) == []
        assert vector.tally().single["the vectorised form failed: RuntimeError"] == 1
    assert RunningCells.refresh is plain
    assert cleared(vector, asked) == [0, 1]


@pytest.mark.parametrize("seed", range(3))
def test_several_sets_of_rules_over_a_life(seed):
    """Tags, prices and orders change; each account is cleared by its own rules of the moment."""
    random_ = Random(900 + seed)
    rules = SMALL + CAREFUL + cases.rule("wide", "issuer", "", "sum(abs(position.after.value)) <= 1_000",
                                         "{accounts: {tag: x}}")  # fmt: skip
    live = plain_desk(cases.book(rules), cases.document(random_, rare=0))
    vector = VectorBook(live, small=0)
    for _ in range(5):
        name = random_.choice(cases.ACCOUNTS)
        live.apply(AccountChanged(name, {"account.tags": frozenset(random_.choice(((), ("careful",), ("x", "y"))))}))
        cases.Happenings(live, random_).apply()
        asked = [order("buy", q, s, account=a, price="12.5") for a in cases.ACCOUNTS for q in (2, 3, 5, 6)
                 for s in ("ACME", "COCO")]  # fmt: skip
        wanted = plainly(live, asked)
        assert alone(vector, asked) == [wanted, wanted]
