"""Thousands of orders at once, each decided as if it were the only one.

In: a `Desk`; then orders as columns of texts or as typed facts. Out: for each order what `Desk.check` would answer: for
a plain pass an `Approved`, whose bytes and hash are those of that decision, for everything else the very `Decision`.
Guaranteed: an order is approved here only if two forms, lowered apart and read from two copies of the facts, both clear
every rule: the generated check of `fastpath.py` and the formulas written for CLIPS, each over columns of 64-bit
integers with every intermediate proven to fit (`vector_columns.py`). Any other order (a rule fails, a fact is missing
or too wide, an unknown name, the forms differ) goes to `Desk.check`, where the two evaluators themselves decide.
Refused: nothing by itself; an order that `load_order` refuses has its SnapshotError as its answer.
Why: CLIPS takes about five microseconds an order and the whole budget of a batch is five. See decision record 12.
Before: `desk.py`, `vector_first.py`, `vector_second.py`. After: `api/`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lexorder.engine.approved import Approved, Ground
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import Event
from lexorder.engine.rule import Facts
from lexorder.engine.vector_book import Book, Tally
from lexorder.engine.vector_columns import Ints
from lexorder.engine.vector_orders import Asked, asked_of, asked_of_facts
from lexorder.engine.vector_tables import Tables

Answer = Decision | Approved | SnapshotError
SMALL = 32
"""Below this many orders the single path is quicker."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """Orders that are approved together: their places, accounts and identifiers, and what their approvals share."""

    ground: Ground
    places: list[int]
    accounts: list[str]
    orders: list[str]

    @classmethod
    def of(cls, asked: Asked, ground: Ground, places: Ints) -> Cleared:
        """Those at some places of what was asked."""
        at = places.tolist()
        accounts, identifiers = (list(map(asked.texts[name].__getitem__, at)) for name in _TOLD)
        return cls(ground, at, accounts, identifiers)

    def encoded(self) -> list[bytes]:
        """The canonical bytes of each decision."""
        return self.ground.encoded(self.accounts, self.orders)


_TOLD = ("order.account", "order.id")


class VectorBook:
    """The vectorised form of a desk; it sees every event of the desk. As the desk, not safe to share between threads.

    Fewer than `small` orders go to the single path. Once nobody holds it, it is told nothing more.
    """

    def __init__(self, desk: Desk, small: int = SMALL) -> None:
        self.desk = desk
        self.small = small
        self.book = Book(desk)
        book = weakref.ref(self.book)

        def told(event: Event) -> None:
            found = book()
            if found is not None:
                found.note(event)

        desk.watchers.append(told)
        weakref.finalize(self, desk.watchers.remove, told)

    def decide(self, orders: Sequence[Facts]) -> list[Answer]:
        """Decide orders given as typed facts (`load_order`), independently."""
        asked = self._asked(len(orders), lambda tables: asked_of_facts(orders, tables))
        return self._answers(len(orders), asked, lambda place: orders[place])

    def decide_columns(self, columns: Mapping[str, Sequence[Any]]) -> list[Answer]:
        """Decide orders given as columns of texts by short name (`id`, `account`, `quantity`, …), independently.

        None stands for a fact that is not given. Every order has an `id`.
        """
        size = len(columns["id"])
        asked = self._asked(size, lambda tables: asked_of(columns, tables))
        return self._answers(size, asked, lambda place: row_of(columns, place))

    def cleared(self, columns: Mapping[str, Sequence[Any]]) -> list[Cleared]:
        """Which orders given as columns are approved, by what their approvals have in common; the others ask `single`.

        Together these give what `decide_columns` gives, without an object for each approval.
        """
        asked = self._asked(len(columns["id"]), lambda tables: asked_of(columns, tables))
        return [] if asked is None else self._in_bulk(asked)

    def single(self, columns: Mapping[str, Sequence[Any]], place: int) -> Decision | SnapshotError:
        """One order of the columns, decided on the single path."""
        return self._single(row_of(columns, place))

    def _asked(self, size: int, read: Callable[[Tables], Asked]) -> Asked | None:
        """The orders as columns; None where they are too few, or where that fails."""
        if size < self.small:
            return None
        try:
            return read(self.book.current().words)
        except Exception as fault:  # whatever it is, the single path decides
            self.book.failed(fault)
            return None

    def tally(self) -> Tally:
        """How many orders were approved in bulk, and how many went to the single path, by reason."""
        return self.book.tally

    def _answers(self, size: int, asked: Asked | None, order: Any) -> list[Answer]:
        answers: list[Any] = [None] * size
        for found in [] if asked is None else self._in_bulk(asked):
            for place, account, identifier in zip(found.places, found.accounts, found.orders, strict=True):
                answers[place] = Approved(found.ground, account, identifier)
        for place in [n for n, answer in enumerate(answers) if answer is None]:
            answers[place] = self._single(order(place))
        return answers

    def _in_bulk(self, asked: Asked) -> list[Cleared]:
        """What both forms clear; if they fail altogether, nothing is approved here."""
        try:
            return [Cleared.of(asked, ground, places) for ground, places in self.book.cleared(asked)]
        except Exception as fault:  # whatever it is, the single path decides
            self.book.failed(fault)
            return []

    def _single(self, order: Facts | Mapping[str, Any]) -> Decision | SnapshotError:
        try:
            return self.desk.check(order)
        except SnapshotError as refused:
            return refused


def row_of(columns: Mapping[str, Sequence[Any]], place: int) -> dict[str, Any]:
    """One order of the columns as `load_order` takes it."""
    return {short: values[place] for short, values in columns.items() if values[place] is not None}
