"""What each account holds and works of each name, as rows of integers.

In: one copy of the live facts behind a `Holdings`; then which names were touched. Out: for each (account, symbol) a row
with the holding and the ends that working orders can bring it to; for each working order its row, signed quantity and
facts; and `Rows`, the frame in which formulas read them. Guaranteed: quantities are whole shares, and a row one of
whose quantities is finer or too large is marked unknown; row 0 is of a name of which nothing is held. Refused: nothing.
Why rows and not a table of all accounts by all names: most accounts hold few of all names.
Before: `vector_tables.py`. After: `vector_first.py`, `vector_second.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import repeat
from typing import Any, Protocol, TypeVar

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY
from lexorder.engine.units import Kind
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import Column, Ints
from lexorder.engine.vector_tables import NUMERIC, Tables, integer_of, made

SHARES_MAX = 10**15
"""Holdings beyond this many shares are left to the single path."""
DENSE_MAX = 20_000_000
"""Up to this many accounts times instruments, rows are found in one array (80 MB at most), else in a table."""
SYMBOL_BITS = 32
"""A pair is found by its account's number, then its instrument's."""
HELD_FACTS = frozenset({"x", "now", "low", "high", "position", "working_order", "filled"})
"""What there is of a name that is held, as `Rows` reads it."""
Pair = tuple[str, str]
T = TypeVar("T")


class Holdings(Protocol):
    """Where holdings and working orders are read; one for each copy of the live facts."""

    def pairs(self) -> Iterable[Pair]:
        """Every (account, symbol) held or worked."""
        ...

    def position(self, pair: Pair) -> Facts | None:
        """The facts of a position, None where nothing is held."""
        ...

    def working(self, pair: Pair) -> Sequence[Facts]:
        """The working orders of one name of one account."""
        ...

    def identifiers(self) -> Mapping[str, str]:
        """The identifiers of all working orders."""
        ...


@dataclass(slots=True)
class Grown:
    """An array of integers that grows at its end."""

    data: Ints = field(default_factory=lambda: np.zeros(64, dtype=np.int64))
    size: int = 0

    def put(self, place: int, value: int) -> None:
        """Set one element, the next new one included."""
        if place >= len(self.data):
            self.data = np.concatenate([self.data, np.zeros(max(len(self.data), place), dtype=np.int64)])
        self.data[place] = value
        self.size = max(self.size, place + 1)

    @property
    def all(self) -> Ints:
        """The elements there are."""
        return self.data[: self.size]


@dataclass(slots=True)
class Noted:
    """One fact of every row or place, and which of them are to be read again."""

    read: Callable[[Facts], Any]
    kind: str
    raw: list[Any] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)
    column: Column | None = None

    def refreshed(self, facts: Callable[[int], Facts], size: int) -> Column:
        """The up-to-date column."""
        if self.column is None or self.dirty or len(self.raw) != size:
            for place in self.dirty:
                if place < len(self.raw):
                    self.raw[place] = self.read(facts(place))
            self.raw += [self.read(facts(place)) for place in range(len(self.raw), size)]
            self.dirty.clear()
            self.column = made(self.kind, self.raw)
        return self.column


class Pairs:
    """The rows. `known` is 0 where a quantity is not, `member` 1 where sums over positions count the row.

    `odd` are the accounts that hold or work a name that is no instrument here: what they hold cannot be added up.
    """

    def __init__(self, tables: Tables, holdings: Holdings) -> None:
        self.tables = tables
        self.holdings = holdings
        self.index: dict[int, int] = {}
        self.account, self.symbol, self.now, self.low, self.high = (Grown() for _ in range(5))
        self.known, self.member, self.orders = (Grown() for _ in range(3))
        self.pairs: list[Pair] = [("", "")]
        for column, nothing in zip(self._columns, (0, 0, 0, 0, 0, 1, 0, 0), strict=True):
            column.put(0, nothing)
        self.odd: set[str] = set()
        self.facts: dict[str, Noted] = {}
        accounts, self._width = (len(tables.tables[x].keys) for x in (Level.ACCOUNT, Level.INSTRUMENT))
        few = accounts * self._width <= DENSE_MAX
        self._dense = np.zeros(accounts * self._width, dtype=np.int32) if few else None
        self.working = Working(self)
        for pair in holdings.pairs():
            self.refresh(pair)

    @property
    def _columns(self) -> tuple[Grown, ...]:
        return (self.account, self.symbol, self.now, self.low, self.high, self.known, self.member, self.orders)

    @property
    def size(self) -> int:
        """How many rows there are, row 0 included."""
        return len(self.pairs)

    def refresh(self, pair: Pair) -> int:
        """Read one name of one account anew; the number of its row. Accounts and instruments that come later: `odd`."""
        accounts, symbols = (self.tables.tables[x].index for x in (Level.ACCOUNT, Level.INSTRUMENT))
        if pair[0] not in accounts or pair[1] not in symbols:
            self.odd.add(pair[0])
            return 0
        row = self.index.setdefault(accounts[pair[0]] << SYMBOL_BITS | symbols[pair[1]], len(self.pairs))
        if row == len(self.pairs):
            self.pairs.append(pair)
            if self._dense is not None:
                self._dense[accounts[pair[0]] * self._width + symbols[pair[1]]] = row
        position, orders = self.holdings.position(pair), self.holdings.working(pair)
        held = Fraction(0) if position is None else position.get("position.before.quantity", Fraction(0))
        now = integer_of(held, 1)
        moves = [self.working.place(row, order) for order in orders]
        self.working.keep(row, [str(order["working_order.id"]) for order in orders])
        known = now is not None and None not in moves and abs(now) + sum(abs(m or 0) for m in moves) <= SHARES_MAX
        whole = [m or 0 for m in moves] if known else []
        start = now if known and now is not None else 0
        low, high = start + sum(m for m in whole if m < 0), start + sum(m for m in whole if m > 0)
        member = int(position is not None or bool(orders))
        ends = (accounts[pair[0]], symbols[pair[1]], start, low, high, int(known), member, len(orders))
        for column, value in zip(self._columns, ends, strict=True):
            column.put(row, value)
        for noted in self.facts.values():
            noted.dirty.add(row)
        return row

    def rows_of(self, account: Ints, symbol: Ints) -> Ints:
        """The row of each account and instrument, 0 for those of which nothing is held."""
        if self._dense is not None:
            return self._dense.take(account * self._width + symbol).astype(np.int64)
        keys = (account << SYMBOL_BITS | symbol).tolist()
        return np.fromiter(map(self.index.get, keys, repeat(0)), dtype=np.int64, count=len(keys))

    def fact(self, name: str) -> Column:
        """A `position.*` fact for all rows; where nothing is held it has the vocabulary's default."""
        if name not in self.facts:
            self.facts[name] = Noted(reader(self.tables, name), kind_of(self.tables.vocabulary, name))
        return self.facts[name].refreshed(self._position, self.size)

    def _position(self, row: int) -> Facts:
        return self.holdings.position(self.pairs[row]) or {}


class Working:
    """The working orders, each at a place of its own until it is gone. `row` is 0 where a place is free."""

    def __init__(self, pairs: Pairs) -> None:
        self.tables = pairs.tables
        self.row, self.signed, self.quantity = (Grown() for _ in range(3))
        self.facts: list[Facts] = []
        self.of_row: dict[int, dict[str, int]] = {}
        self.free: list[int] = []
        self.read: dict[str, Noted] = {}

    def place(self, row: int, order: Facts) -> int | None:
        """Put an order, or its new facts, in its place; its signed quantity, None where that is finer than shares."""
        mine = self.of_row.setdefault(row, {})
        identifier = str(order["working_order.id"])
        if identifier not in mine:
            mine[identifier] = self.free.pop() if self.free else len(self.facts)
        place = mine[identifier]
        if place == len(self.facts):
            self.facts.append(order)
        self.facts[place] = order
        quantity = integer_of(order["working_order.quantity"], 1)
        if quantity is not None and abs(quantity) > SHARES_MAX:
            quantity = None
        signed = quantity if quantity is None or order["working_order.side"] == BUY else -quantity
        for column, value in ((self.row, row), (self.signed, signed or 0), (self.quantity, quantity or 0)):
            column.put(place, value)
        for noted in self.read.values():
            noted.dirty.add(place)
        return signed

    def keep(self, row: int, orders: Sequence[str]) -> None:
        """Free the places of a row's other orders."""
        mine = self.of_row.get(row, {})
        for gone in mine.keys() - set(orders):
            place = mine.pop(gone)
            self.row.put(place, 0)
            self.free.append(place)

    def fact(self, name: str) -> Column:
        """A `working_order.*` fact for all places."""
        if name not in self.read:
            self.read[name] = Noted(reader(self.tables, name), kind_of(self.tables.vocabulary, name))
        return self.read[name].refreshed(self.facts.__getitem__, len(self.facts))


def kind_of(vocabulary: Vocabulary, name: str) -> str:
    """How a fact is kept: `n`, `t` or `w`. Raises NotVectorError for the others."""
    kind = vocabulary.names[name].unit.kind
    if kind in NUMERIC:
        return "n"
    if kind in (Kind.TEXT, Kind.ENUM):
        return "w"
    if kind is Kind.BOOL:
        return "t"
    raise NotVectorError(f"{name} is neither number, text nor truth value")


def reader(tables: Tables, name: str) -> Any:
    """What reads a fact of one thing, with the vocabulary's default, as it is kept in columns; None where missing."""
    declared, kind = tables.vocabulary.names[name], kind_of(tables.vocabulary, name)
    scale, default = int(10**declared.scale), declared.default

    def read(facts: Mapping[str, Any]) -> Any:
        found = facts.get(name)
        found = default if found is None else found
        if kind == "n":
            return integer_of(found, scale)
        return tables.word(str(found)) if kind == "w" and found is not None else found

    return read


@dataclass(slots=True)
class Named:
    """The names that orders are in: rows, accounts, instruments, and what was worked out of these once for all sums."""

    pairs: Pairs
    row: Ints
    account: Ints
    symbol: Ints
    _known: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: Any, work: Callable[[], T]) -> T:
        """What `work` gives, or gave for this key before."""
        if key not in self._known:
            self._known[key] = work()
        found: T = self._known[key]
        return found

    @property
    def member(self) -> vc.Truths:
        """Whether sums over positions count what is held of the name."""
        return self.once("member", lambda: vc.Truths(self.pairs.member.all.take(self.row) > 0))

    def held(self, column: Grown) -> vc.Numbers:
        """A quantity of what is held; missing where it is not known."""
        return self.once(id(column), lambda: held_column(self.pairs, column, self.row))


@dataclass(slots=True)
class Rows:
    """A frame of rows: names held (`row`), with the holding asked about as `x`, perhaps one for each working order."""

    pairs: Pairs
    row: Ints
    x: Ints | None = None
    place: Ints | None = None
    _read: dict[tuple[Any, ...], Column] = field(default_factory=dict)

    def index(self, level: Level) -> Ints:
        """For each row its instrument or account."""
        if level is Level.INSTRUMENT:
            return self.pairs.symbol.all.take(self.row)
        if level is Level.ACCOUNT:
            return self.pairs.account.all.take(self.row)
        raise NotVectorError("holdings have no trader")

    def read(self, what: tuple[Any, ...]) -> Column:
        """`now`, `low`, `high`, the holding `x`, or a fact of the position or of the working order."""
        if what not in self._read:
            self._read[what] = self._found(what)
        return self._read[what]

    def _found(self, what: tuple[Any, ...]) -> Column:
        match what:
            case ("x",) if self.x is not None:
                return vc.numbers(self.x)
            case ("position", "position.before.quantity") | ("now",):
                return held_column(self.pairs, self.pairs.now, self.row)
            case ("low",):
                return held_column(self.pairs, self.pairs.low, self.row)
            case ("high",):
                return held_column(self.pairs, self.pairs.high, self.row)
            case ("position", str(name)):
                return vc.taken(self.pairs.fact(name), self.row)
            case ("working_order", str(name)) if self.place is not None:
                return vc.taken(self.pairs.working.fact(name), self.place)
            case ("filled",) if self.place is not None:
                return vc.numbers(self.pairs.working.quantity.all.take(self.place))
        raise NotVectorError(f"{what[0]} of a name that is held")


def held_column(pairs: Pairs, column: Grown, row: Ints) -> vc.Numbers:
    """A quantity of the rows; missing where it is not known."""
    unknown = pairs.known.all.take(row) == 0
    return vc.numbers(column.all.take(row), 1, unknown if unknown.any() else None)
