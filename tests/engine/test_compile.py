"""The compiled evaluator over a life: after any events the keys it gives are those of the reference meaning.

Accounts are read now and then, some not for long: what has happened meanwhile is caught up with, or, where the log was
cut, read anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from lexorder.engine.compile import CompiledBook, Plan
from lexorder.engine.desk import Desk
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    PositionSet,
    SingleChanged,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.judge import derivations, judge
from lexorder.engine.ports import Key
from lexorder.engine.rule import Facts
from lexorder.engine.verdict import Status
from tests.engine import vector_cases as cases
from tests.engine.vector_reading import plain_desk, typed
from tests.worlds import VOCABULARY, instrument, order, position, working, world

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)
RULES = "".join(cases.rule(*shape) for shape in cases.SHAPES)


def keys(live: Desk, facts: Facts) -> frozenset[Key]:
    """What the reference says of an order beside that it passes."""
    account = str(facts["order.account"])
    rules = live.rules_of(account)
    seen = live.live.projection(account, (facts,))
    found = [f for r in rules if r.require is not None for f in judge(r, seen, derivations(rules))]
    return frozenset(f.key for f in found if f.status not in PLAIN)


def asked(order_: Mapping[str, Any], **facts: Any) -> Facts:
    (found,) = typed([{k: v for k, v in {**order_, **facts}.items() if v is not None}])
    return found


def life(seed: int, rare: int = 4) -> tuple[Desk, Random]:
    random_ = Random(seed)
    return plain_desk(cases.book(RULES), cases.document(random_, rare)), random_


def agrees(book: CompiledBook, live: Desk, facts: Facts) -> None:
    account = str(facts["order.account"])
    assert book.check(account, (facts,)).keys == keys(live, facts)


@pytest.mark.parametrize("log", [2, 5, 100_000])
@pytest.mark.parametrize("seed", range(2))
def test_accounts_read_now_and_then_are_caught_up(log, seed, monkeypatch):
    """Also those for which the log was cut while they were not read."""
    monkeypatch.setattr("lexorder.engine.compile.CHANGES_MAX", log)
    live, random_ = life(seed)
    book = CompiledBook(live.rules_of("A1"), VOCABULARY, live.snapshot)
    live.watchers.append(book.apply)
    happenings = cases.Happenings(live, random_)
    for number in range(24):
        account = random_.choice(("A1", "A1", "A1", "A2", random_.choice(cases.ACCOUNTS)))
        agrees(book, live, asked(cases.plain(random_, number, live), account=account))
        for _ in range(random_.choice((0, 1, 5))):
            happenings.apply()
    assert len(book._changes) <= log


@pytest.mark.parametrize("seed", range(3))
def test_books_of_one_plan_do_not_disturb_each_other(seed):
    """The plan's lists grow when one of them first sees a kind of order; the other's stay as long as they were."""
    live, random_ = life(seed + 5)
    plan = Plan(live.rules_of("A1"), VOCABULARY)
    books = [CompiledBook(plan.rules, VOCABULARY, live.snapshot, plan) for _ in range(2)]
    live.watchers.extend(book.apply for book in books)
    happenings = cases.Happenings(live, random_)
    for number in range(20):
        agrees(random_.choice(books), live, asked(cases.plain(random_, number, live), account="A1"))
        happenings.apply()


REFUSED: tuple[Event, ...] = (
    WorkingRemoved("NONE"),
    WorkingAdded({"working_order.id": "W", "working_order.account": "A", "working_order.symbol": "BETA",
                  "working_order.side": "buy", "working_order.quantity": Fraction(1),
                  "working_order.price": Fraction(100)}),
    Fill("GONE", "ACME", "buy", Fraction(1), Fraction(-100)),
    Fill("A", "BETA", "buy", Fraction(9), Fraction(-900), "W"),
    InstrumentChanged("GONE", {"instrument.mark": Fraction(1)}),
    AccountChanged("GONE", {"account.nav": Fraction(1)}),
    TraderChanged("GONE", {"trader.traded_today": Fraction(1)}),
)  # fmt: skip
GROSS = cases.rule("gross", "account", "", "sum(abs(position.after.value)) <= 1_000")


@pytest.mark.parametrize("event", REFUSED, ids=[f"{type(e).__name__} {n}" for n, e in enumerate(REFUSED)])
def test_an_event_that_does_not_fit_is_refused_and_changes_nothing(event):
    live = plain_desk(cases.book(GROSS), world(working_orders=[working("W", "BETA", "buy", 2)]))
    book = CompiledBook(live.rules_of("A"), VOCABULARY, live.snapshot)
    orders = [asked(order("buy", n)) for n in (7, 8, 9)]
    before = [book.check("A", (o,)).keys for o in orders]
    assert [bool(k) for k in before] == [False, False, True]
    with pytest.raises(SnapshotError):
        book.apply(event)
    assert [book.check("A", (o,)).keys for o in orders] == before
    assert book.live.frozen("") == CompiledBook(live.rules_of("A"), VOCABULARY, live.snapshot).live.frozen("")


LIMITS: tuple[tuple[str, str, int], ...] = (
    ("account", "sum(abs(position.after.value)) <= 1_250", 10),
    ("account", "sum(abs(position.after.value)) < 1_200", 9),
    ("order", "order.quantity * 3 <= 40", 13),
    ("order", "order.notional <= 999.99", 9),
    ("position", "abs(position.after.quantity) <= 5", 8),
    ("order", "order.quantity != 4", 20),
    ("order", "order.quantity <= 3 or order.quantity >= 6", 20),
    ("account", "account.after.cash >= 98_900", 11),
    ("order", "order.quantity > 20", 0),
)  # fmt: skip
"""What a purchase of ACME at 100 may be at most, up to 20, with five of BETA held and three short of ACME."""


@pytest.mark.parametrize(("kind", "require", "most"), LIMITS, ids=[limit[1] for limit in LIMITS])
def test_the_largest_order_is_that_of_trying_every_one(kind, require, most):
    live = plain_desk(
        cases.book(cases.rule("r", kind, "", require)),
        world(positions=[position("BETA", 5), position("ACME", -3)],
              instruments=[instrument("ACME"), instrument("BETA")]),
    )  # fmt: skip
    book = CompiledBook(live.rules_of("A"), VOCABULARY, live.snapshot)
    passing = [n for n in range(1, 21) if not any(s is Status.BREACH for _, _, s in keys(live, asked(order("buy", n))))]
    for start in (1, 7, 20):
        largest, _ = book.largest("A", asked(order("buy", start)), 20)
        assert largest.quantity == max(passing, default=0) == most


def test_a_book_made_warm_needs_no_more_places():
    """Every kind of order, before and after: the lists are not started anew under an order that waits."""
    live, random_ = life(31, rare=0)
    book = CompiledBook(live.rules_of("A1"), VOCABULARY, live.snapshot)
    book.warm(["A1"])
    kept = book.books
    for number in range(20):
        agrees(book, live, asked(cases.plain(random_, number, live), account="A1"))
    assert book.books is kept


@pytest.mark.parametrize("gone", ["order.side", "order.ord_type", "order.symbol", "order.account"])
def test_an_order_that_lacks_what_every_order_has_passes_nothing(gone):
    """Such an order cannot be made at the border; were one made, no rule may take it for compliant."""
    live = plain_desk(cases.book(GROSS), world())
    book = CompiledBook(live.rules_of("A"), VOCABULARY, live.snapshot)
    facts = {name: fact for name, fact in asked(order("buy", 11)).items() if name != gone}
    with suppress(KeyError):
        assert book.check("A", (facts,)).keys


def test_the_answer_before_is_not_that_of_now():
    """The last answer is kept for the hint that follows it; an event forgets it."""
    live = plain_desk(cases.book(GROSS), world())
    book = CompiledBook(live.rules_of("A"), VOCABULARY, live.snapshot)
    facts = asked(order("buy", 11))
    assert book.check("A", (facts,)).keys
    assert book.largest("A", facts, 20)[0].quantity == 10
    book.apply(PositionSet("A", "BETA", {"position.before.quantity": Fraction(10)}))
    assert book.largest("A", facts, 20)[0].quantity == 0
    book.apply(SingleChanged({"firm.collar": Fraction(0)}))
    book.apply(PositionSet("A", "BETA", {"position.before.quantity": Fraction(0)}))
    assert book.largest("A", facts, 20)[0].quantity == 10
