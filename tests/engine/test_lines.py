"""Lines copied from what accounts share are those built for one account; few are kept of names nobody holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random

import pytest

from lexorder.engine import books as books_module
from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    PositionSet,
    SingleChanged,
    WorkingAdded,
    WorkingRemoved,
    after,
)
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import Snapshot
from tests.agreement import compare, happenings, worlds

RULES = """
- {rule: weight, title: t, for_each: issuer, require: "sum(abs(position.after.value)) <= 5% * account.nav"}
- {rule: sector, title: t, for_each: sector, require: "sum(position.after.value) <= 20% * account.nav"}
- {rule: cash, title: t, for_each: account, require: "account.after.cash >= 2% * account.nav"}
- {rule: many, title: t, require: "count(position where position.before.quantity != 0) + count(order) <= 3"}
- {rule: day, title: t, for_each: instrument, require: "sum(order.filled) + sum(fill.quantity) <= 10"}
- {rule: open, title: t, require: "clock.now >= session.open + 10 min"}
- {rule: list, title: t, for_each: position, when: "position.symbol in lists.restricted",
   require: "abs(position.after.quantity) <= abs(position.before.quantity)"}
- {rule: both, title: t, require: "order.notional <= account.nav * firm.collar"}
- {rule: tidy, title: t, for_each: position, require: "abs(position.after.quantity) <= 1% * instrument.adv"}
"""
PLAN = Plan(RuleBook.of(RULES, compare.VOCABULARY).on(compare.DAY), compare.VOCABULARY)
for _side in ("buy", "sell"):
    PLAN.check(_side, "limit")
ACCOUNTS = ("A", "B", "E")


def snapshot(random_: Random) -> Snapshot:
    """The random world with two further accounts, one of another currency."""
    seen = worlds.snapshot(random_)
    one = seen.accounts[worlds.ACCOUNT]
    accounts = {
        **seen.accounts,
        "B": {**one, "account.id": "B", "account.nav": Fraction(77)},
        "E": {**one, "account.id": "E", "account.currency": "EUR"},
    }
    return replace(seen, accounts=accounts)


def happening(random_: Random, seen: Snapshot, number: int) -> Event:
    """What may happen to one of the accounts, or to all."""
    account = random_.choice(ACCOUNTS)
    symbol = random_.choice(worlds.SYMBOLS)
    own: list[Event] = [
        AccountChanged(account, {"account.nav": Fraction(random_.randint(1, 10**6))}),
        AccountChanged(account, {"account.currency": random_.choice(("USD", "EUR"))}),
        PositionSet(account, symbol, {"position.before.quantity": Fraction(random_.randint(-2, 2))}),
        Fill(account, symbol, random_.choice(("buy", "sell")), Fraction(random_.randint(1, 3)), Fraction(5)),
        InstrumentChanged(symbol, {"instrument.adv": Fraction(random_.randint(1, 500))}),
        InstrumentChanged(symbol, {"instrument.issuer": random_.choice(("ISS1", "ISS2"))}),
        SingleChanged({"session.open": seen.time + timedelta(minutes=random_.randint(-30, 30))}),
    ]
    return random_.choice(own) if random_.random() < 0.6 else happenings.happening(random_, seen, number)


def written(book: CompiledBook, account: str) -> dict[str, object]:
    """Everything checks of an account read, also of names it does not hold."""
    kept = book.book(account)
    lines = {s: [repr(v) for v in book.books.line(kept, s).values] for s in worlds.SYMBOLS}
    return {"A": list(map(repr, kept.values)), **lines}


@pytest.mark.parametrize("seed", range(30))
def test_after_any_events_every_list_is_the_one_built_anew(seed, monkeypatch):
    monkeypatch.setattr(books_module, "FLAT_MAX", 2)
    random_ = Random(f"lines {seed}")
    seen = snapshot(random_)
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, seen, PLAN)
    for number in range(15):
        for account in random_.sample(ACCOUNTS, 2):  # the others fall behind
            anew = CompiledBook(PLAN.rules, compare.VOCABULARY, seen, PLAN)
            assert written(book, account) == written(anew, account), (number, account)
        event = happening(random_, seen, number)
        seen = after(seen, event)
        book.apply(event)


def flat_book(count: int = 0) -> CompiledBook:
    """A book of a world in which account B holds nothing."""
    book = CompiledBook(PLAN.rules, compare.VOCABULARY, snapshot(Random(1)), PLAN)
    for symbol in worlds.SYMBOLS[:count]:
        book.books.line(book.book("B"), symbol)
    return book


def working(identifier: str, account: str, symbol: str) -> Facts:
    """A working order to buy one share."""
    words = {"id": identifier, "account": account, "symbol": symbol, "side": "buy"}
    return {**{f"working_order.{name}": word for name, word in words.items()}, "working_order.quantity": Fraction(1)}


class TestFlatLines:
    """Lines of names that were neither held nor worked."""

    def test_the_oldest_is_given_up(self, monkeypatch):
        monkeypatch.setattr(books_module, "FLAT_MAX", 2)
        book = flat_book(3)
        assert list(book.book("B").lines) == list(worlds.SYMBOLS[1:3])

    def test_but_not_once_it_is_held(self, monkeypatch):
        monkeypatch.setattr(books_module, "FLAT_MAX", 2)
        book = flat_book(2)
        book.apply(PositionSet("B", worlds.SYMBOLS[0], {"position.before.quantity": Fraction(3)}))
        book.books.line(book.book("B"), worlds.SYMBOLS[2])
        assert set(book.book("B").lines) == set(worlds.SYMBOLS[:3])

    def test_the_cells_of_its_groups_go_with_it(self, monkeypatch):
        """However many names are asked about one after the other, an account keeps about as much as it needs."""
        monkeypatch.setattr(books_module, "FLAT_MAX", 1)
        monkeypatch.setattr(books_module, "CELLS_SPARE", 1)
        book = flat_book()
        kept = book.book("B")
        most = 0
        for _ in range(3):
            for symbol in worlds.SYMBOLS:
                book.books.line(kept, symbol)
                used = {place for line in kept.lines.values() for place in enumerate(line.groups)}
                assert used & kept.cells.keys() == {(n, g) for n, g in used if g is not None and counts(book, n)}
                most = max(most, len(kept.cells))
                anew = CompiledBook(PLAN.rules, compare.VOCABULARY, book.live.frozen(""), PLAN)
                fresh = anew.books.line(anew.book("B"), symbol)
                assert list(map(repr, kept.lines[symbol].values)) == list(map(repr, fresh.values))
        lines = [flat_book().books.line(flat_book().book("B"), symbol) for symbol in worlds.SYMBOLS]
        everything = {(n, g) for line in lines for n, g in enumerate(line.groups) if g is not None and counts(book, n)}
        assert 0 < most < len(everything)

    def test_nor_while_its_sums_are_not_taken_back(self, monkeypatch):
        monkeypatch.setattr(books_module, "FLAT_MAX", 2)
        book = flat_book(2)
        symbol = worlds.SYMBOLS[0]
        book.apply(PositionSet("B", symbol, {"position.before.quantity": Fraction(3)}))
        book.book("B")
        book.apply(PositionSet("B", symbol, {"position.before.quantity": Fraction(0)}))
        kept = book.books.books["B"]
        book.books.line(kept, worlds.SYMBOLS[2])  # before the account has been brought up to date
        assert symbol in kept.lines
        anew = CompiledBook(PLAN.rules, compare.VOCABULARY, book.live.frozen(""), PLAN)
        assert written(book, "B") == written(anew, "B")

    @pytest.mark.parametrize("way", ["worked", "held"])
    def test_what_was_there_and_is_gone_is_given_up_in_its_turn(self, way, monkeypatch):
        monkeypatch.setattr(books_module, "FLAT_MAX", 2)
        book = flat_book()
        for number, symbol in enumerate(worlds.SYMBOLS * 3):
            if way == "worked":
                book.apply(WorkingAdded(working(f"w{number}", "B", symbol)))
            else:
                book.apply(PositionSet("B", symbol, {"position.before.quantity": Fraction(3)}))
            assert symbol in book.book("B").lines, "what is there is counted"
            if way == "worked":
                book.apply(WorkingRemoved(f"w{number}"))
            else:
                book.apply(PositionSet("B", symbol, {"position.before.quantity": Fraction(0)}))
            kept = book.book("B")
            assert len(kept.lines) <= 2
            assert not any(line.worked for line in kept.lines.values())
            anew = CompiledBook(PLAN.rules, compare.VOCABULARY, book.live.frozen(""), PLAN)
            assert written(book, "B") == written(anew, "B"), number
        assert (book.live.working, book.live.worked, book.live.named) == ({}, {}, {})

    def test_what_comes_and_goes_unread_is_never_begun(self):
        book = flat_book()
        book.book("B")
        for number, symbol in enumerate(worlds.SYMBOLS):
            book.apply(WorkingAdded(working(f"w{number}", "B", symbol)))
            book.apply(WorkingRemoved(f"w{number}"))
        assert not book.book("B").lines


class TestTime:
    """What a second that passes costs."""

    def test_a_tick_that_changes_nothing_leaves_every_list_alone(self):
        book = flat_book()
        kept = {a: book.book(a) for a in ACCOUNTS}
        common = book.books.common
        for seconds in range(5):
            book.apply(SingleChanged({"clock.now": book.live.snapshot.time + timedelta(milliseconds=seconds)}))
        assert book.books.common is common
        assert all(k.seen == len(book._changes) and not k.told and k.common is common for k in kept.values())

    def test_a_tick_that_changes_something_is_seen_by_all(self):
        book = flat_book()
        before = {a: list(book.book(a).values) for a in ACCOUNTS}
        opening = book.live.snapshot.time - timedelta(minutes=10)
        book.apply(SingleChanged({"session.open": opening + timedelta(seconds=1)}))
        closed = {a: list(map(repr, book.book(a).values)) for a in ACCOUNTS}
        book.apply(SingleChanged({"clock.now": book.live.snapshot.time + timedelta(seconds=1)}))
        opened = {a: list(map(repr, book.book(a).values)) for a in ACCOUNTS}
        assert all(closed[a] != opened[a] for a in ACCOUNTS)
        assert all(len(before[a]) == len(opened[a]) for a in ACCOUNTS)


def test_rows_are_forgotten_when_their_name_changes():
    book = flat_book(1)
    shared = book.books.shared
    symbol = worlds.SYMBOLS[0]
    row = shared.row(symbol, "USD", lambda: pytest.fail("made again"))
    book.apply(InstrumentChanged(symbol, {"instrument.adv": Fraction(7)}))
    fresh = shared.row(symbol, "USD", lambda: book.books.row(book.book("B"), symbol))
    assert row.values != fresh.values


def test_what_an_account_alone_can_say_is_in_no_row():
    shared = flat_book().books.shared
    names = frozenset[str]().union(*(s.names for s in (*shared.always, *shared.flat)))
    assert {n for n in names if n.split(".")[0] in ("account", "fill", "position")} <= {
        "account.currency",
        "position.before.quantity",
        "position.symbol",
    }


def counts(book: CompiledBook, total: int) -> bool:
    """Whether a total is kept in a cell, and not in the line itself."""
    return book.books.totals[total].scope != "line"
