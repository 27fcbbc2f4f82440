"""A book with sums of every kind a row has, on the agreement suite's worlds, and ways to ask it."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from lexorder.engine.events import Fill
from lexorder.engine.expert.book import ExpertBook
from lexorder.engine.ports import ExactAnswer
from tests.agreement import worlds
from tests.expert.books import rules
from tests.worlds import VOCABULARY

SILENT = ExactAnswer(frozenset(), 0, lambda: ())
BOOK = rules(
    "rule: weight\ntitle: T\nfor_each: issuer\nrequire: sum(abs(position.after.value)) <= 5% * account.nav",
    "rule: sector\ntitle: T\nfor_each: sector\nrequire: sum(position.after.value) <= 10% * account.nav",
    "rule: cash\ntitle: T\nfor_each: account\nrequire: account.after.cash >= 2% * account.nav",
    "rule: margin\ntitle: T\nfor_each: account\nrequire: sum(abs(position.after.value)) <= account.after.cash",
    "rule: held\ntitle: T\nfor_each: account\nrequire: sum(position.before.value) + sum(order.notional) <= account.nav",
    "rule: working\ntitle: T\nfor_each: account\nrequire: sum(working_order.quantity) + sum(order.quantity) <= 50",
    "rule: share\ntitle: T\nfor_each: account\nrequire: sum(abs(position.after.value) / account.nav) <= 2",
    "rule: steps\ntitle: T\nfor_each: account\nrequire: sum(max(position.after.value, 100)) <= account.nav",
    "rule: halted\ntitle: T\nfor_each: account\n"
    "require: sum(abs(position.after.value) where position.instrument.halted) <= account.cash",
)


def settle(book: ExpertBook, random: Random) -> None:
    """Ask for every name on both sides, so that scales and sums are those of the present facts."""
    for symbol in worlds.SYMBOLS:
        for side in ("buy", "sell"):
            order = {**worlds.order(random, 1, random.choice((1, 5))), "order.symbol": symbol, "order.side": side}
            book.check(worlds.ACCOUNT, (order,), SILENT)


def a_book(seed: int = 1) -> ExpertBook:
    random = Random(seed)
    book = ExpertBook(BOOK, VOCABULARY, worlds.snapshot(random, worlds.Rates(0, 0, 0)))
    book.apply(Fill("A", "ACME", "buy", Fraction(3), Fraction(-5)))
    settle(book, random)
    return book
