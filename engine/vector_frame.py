"""Orders as a frame that formulas read, and which orders may be in one at all.

In: orders as columns (`Asked`), the two copies of the facts. Out: `Frame`s, one for each copy. Guaranteed: every order
in a frame has a known account and instrument, a canonical identifier that no working order has, a trader that is known
where it names one, prices above zero, and an account all of whose holdings are instruments here: it would not be
stopped by `decide.admission`. Refused: nothing; the others are left to the single path.
Before: `vector_copies.py`, `vector_orders.py`. After: `vector_book.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.terms import Term
from lexorder.engine.vector_cells import RunningCells
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import Column, Flags, Ints
from lexorder.engine.vector_copies import Copy
from lexorder.engine.vector_old import OldOrders
from lexorder.engine.vector_orders import Asked, canonical, looked_up, written
from lexorder.engine.vector_pairs import Named
from lexorder.engine.vector_tables import UNKNOWN as STRANGE

_PRICES = ("order.price", "order.stop_price")
_NAMED = (
    (Level.ACCOUNT, "order.account"),
    (Level.INSTRUMENT, "order.symbol"),
    (Level.TRADER, "order.trader"),
    (Level.STRATEGY, "order.strategy"),
)
UNKNOWN, NOBODY = -2, -1
"""The number of a thing that is not known, and of one that is not named or need not be known."""


@dataclass(slots=True)
class Frame:
    """Some orders as one form sees them. `things` has the numbers of their accounts, instruments, traders, strategies.

    `places` are their places among all that were asked, `row` those of what is held of their names; `alike` has the
    facts in which they do not differ.
    """

    copy: Copy
    asked: Asked
    places: Ints
    things: dict[Level, Ints]
    row: Ints
    cells: RunningCells | None = None
    old: OldOrders | None = None
    traders: bool = False
    alike: dict[str, Column] = field(default_factory=dict)
    _named: Named | None = None

    @property
    def named(self) -> Named:
        """The names of the orders."""
        if self._named is None:
            things = self.things
            self._named = Named(self.copy.pairs, self.row, things[Level.ACCOUNT], things[Level.INSTRUMENT])
        return self._named

    def index(self, level: Level) -> Ints:
        """For each order its instrument, account, trader or strategy."""
        self.traders |= level is Level.TRADER
        return self.things[level]

    def nameless(self) -> Flags:
        """The orders that have no trader, where one was looked for."""
        return (self.things[Level.TRADER] < 0) & self.traders

    def read(self, what: tuple[Any, ...]) -> Column:
        """A fact of the orders, or of what is held of their names."""
        word, *rest = what
        if word not in _READ:
            raise NotVectorError(f"{word} of an order")
        return _READ[word](self, *rest)

    def cut(self, mine: Ints) -> Frame:
        """Some of the orders."""
        things = {level: numbers.take(mine) for level, numbers in self.things.items()}
        return Frame(self.copy, self.asked, self.places.take(mine), things, self.row.take(mine))

    def _order(self, name: str) -> Column:
        found = self.alike.get(name)
        return vc.taken(self.asked.column(name, self.copy.tables), self.places) if found is None else found

    def _position(self, name: str) -> Column:
        if name == "position.before.quantity":
            return self.named.held(self.copy.pairs.now)
        return vc.taken(self.copy.pairs.fact(name), self.row)

    def _fills(self, term: Term, kinds: tuple[str, ...]) -> Column:
        return self.copy.fills.column(term, kinds, self.things[Level.ACCOUNT], self.things[Level.INSTRUMENT])

    def _cell(self, number: int) -> Column:
        assert self.cells is not None
        return self.cells.sum(number, self.named)

    def _own(self, number: int) -> Column:
        assert self.cells is not None
        return self.cells.own(number, self.named)

    def _total(self, number: int, others: bool) -> Column:
        assert self.old is not None
        return self.old.sum(number, self.named, others)


_READ: dict[str, Callable[..., Column]] = {
    "order": Frame._order,
    "now": lambda f: f.named.held(f.copy.pairs.now),
    "low": lambda f: f.named.held(f.copy.pairs.low),
    "high": lambda f: f.named.held(f.copy.pairs.high),
    "orders": lambda f: vc.numbers(f.copy.pairs.orders.all.take(f.row)),
    "member": lambda f: f.named.member,
    "position": Frame._position,
    "fills": Frame._fills,
    "cell": Frame._cell,
    "own": Frame._own,
    "whole": lambda f, number: f._total(number, False),
    "others": lambda f, number: f._total(number, True),
}
"""How each kind of fact is read."""


def admitted(asked: Asked, copies: Sequence[Copy]) -> list[Frame] | None:
    """The orders that may be judged in bulk, as each copy sees them; None when there are none."""
    if not {"order.account", "order.symbol"} <= asked.texts.keys() or not asked.plain.any():
        return None
    identifiers = asked.texts["order.id"]
    plain = asked.plain & canonical(identifiers)
    numbers: list[dict[Level, Ints]] = []
    for copy in copies:
        same = bool(numbers) and all(_keys(copy, level) == _keys(copies[0], level) for level, _ in _NAMED)
        mine = numbers[0] if same else {level: _numbers(copy, level, asked, name) for level, name in _NAMED}
        numbers.append(mine)
        for level, _ in _NAMED:
            plain &= mine[level] > (UNKNOWN if level is Level.TRADER else NOBODY)
        plain &= ~copy.odd.take(np.maximum(mine[Level.ACCOUNT], 0))
        working = copy.holdings.identifiers()
        if working and not (written(identifiers) and working.keys().isdisjoint(identifiers)):
            plain &= np.array([isinstance(i, str) and i not in working for i in identifiers], dtype=np.bool_)
    places = np.nonzero(plain & _priced(asked))[0]
    return [_frame(copy, asked, places, mine) for copy, mine in zip(copies, numbers, strict=True)]


def _keys(copy: Copy, level: Level) -> list[str]:
    return copy.tables.tables[level].keys


def _frame(copy: Copy, asked: Asked, places: Ints, numbers: dict[Level, Ints]) -> Frame:
    things = {level: found.take(places) for level, found in numbers.items()}
    return Frame(copy, asked, places, things, copy.pairs.rows_of(things[Level.ACCOUNT], things[Level.INSTRUMENT]))


def _numbers(copy: Copy, level: Level, asked: Asked, name: str) -> Ints:
    """The number of each order's thing; a strategy need not be known, and a trader need not be named."""
    texts, index = asked.texts.get(name), copy.tables.tables[level].index
    unknown = index[STRANGE] if level is Level.STRATEGY else UNKNOWN
    default = copy.tables.vocabulary.names[name].default
    absent = index.get(str(default), unknown) if default is not None else NOBODY
    if texts is None:
        return np.full(asked.size, absent, dtype=np.int64)
    if written(texts):
        return looked_up(index, texts, unknown)
    found = [index.get(text, unknown) if isinstance(text, str) else UNKNOWN for text in texts]
    if level in (Level.TRADER, Level.STRATEGY):
        found = [absent if text is None else number for text, number in zip(texts, found, strict=True)]
    return np.array(found, dtype=np.int64)


def _priced(asked: Asked) -> Flags:
    """Whether limit and stop price are above zero; those of names that trade at zero are left to the single path."""
    good = np.ones(asked.size, dtype=np.bool_)
    for name in _PRICES:
        column = asked.columns[name]
        high = np.broadcast_to(np.asarray(column.data) > 0, (asked.size,))
        good &= high if column.missing is None else high | column.missing
    return good
