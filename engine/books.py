"""The books of a desk's accounts, kept up to date event by event.

In: the tables and totals of a set of rules, the live facts. Out: for each account a `Book`, for each of its names a
`Line` (see `totals.py`). Guaranteed: after any events every cell and every place equals the one built anew (tested).
Refused: nothing. Why places that only single things fill (the clock, the firm) are apart: a second that passes changes
them for every account at once, and mostly changes nothing. Why few flat lines: a name asked about once and never bought
must not be kept for ever. Before: `live.py`, `lines.py`, `totals.py`. After: `compile.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from lexorder.engine.evaluate import Point
from lexorder.engine.freshness import duration
from lexorder.engine.judge import Derivations
from lexorder.engine.lines import Row, Shared
from lexorder.engine.live import Live, flat
from lexorder.engine.lowering import HEAD
from lexorder.engine.readers import Reader, Readers
from lexorder.engine.rule import Facts
from lexorder.engine.slots import ABSENT, Slot, Table, load, touches, whole_at
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.terms import Aggregate, Field, Key
from lexorder.engine.totals import CORNERS_MAX, Book, Leaf, Line, Total, Touched
from lexorder.engine.working import Amounts

FLAT_MAX = 32
"""Lines kept in a book for names that were neither held nor worked when they were asked about."""

CELLS_SPARE = 32
"""Cells of groups without a line that an account may keep: looking for them costs as much as several checks."""

TOUCHED_MAX = 2_000
"""Sets of changed names of which is kept what they touch."""

Seen = tuple[Projection, bool, list["Move"]]
"""A name as it is now: the facts, whether it is counted, its working orders."""
Move = tuple[str, Any, Facts]
"""(id, signed quantity, facts) of a working order."""
Common = tuple[tuple[int, Any], ...]
"""(place in A, value) of what all accounts share."""


class Books:
    """The books of all accounts asked about, for one set of totals."""

    def __init__(
        self, live: Live, derived: Derivations, tables: tuple[Table, ...], totals: Sequence[Total], scale: int
    ) -> None:
        self.live = live
        self.derived = derived
        self.account_table, self.line_table, self.trader_table, self.strategy_table = tables
        self.totals = totals
        self.share_scale = scale
        self.books: dict[str, Book] = {}
        self.traders: dict[str, list[Any]] = {}
        self.strategies: dict[str, list[Any]] = {}
        names = live.vocabulary.names
        self.holding = frozenset(n for n in names if n.split(".", 1)[0] in ("position", "working_order"))
        self._touched: dict[frozenset[str] | None, Touched] = {}
        self._prepare()
        self.common: Common = self._common()

    def _prepare(self) -> None:
        """What is settled once for these tables and totals."""
        readers = Readers(self.live.vocabulary, self.derived)
        slots = [s for t in (self.account_table, self.line_table) for s in t.slots]
        people = [s for t in (self.trader_table, self.strategy_table) for s in t.slots]
        self._readers: dict[int, Reader] = {id(s): readers.of(s.term, stacked(s.kinds)) for s in slots + people}
        self._common_slots = [s for s in self.account_table.slots if self._is_common(s)]
        common = {s.index for s in self._common_slots}
        self._own_slots = [s for s in self.account_table.slots if s.index not in common]
        self.shared = Shared(self.live.vocabulary, self.line_table.slots)
        places = self.shared.places()
        self._flat_totals = [i for i, t in enumerate(self.totals) if t.reads <= places]
        self._other_totals = [i for i, t in enumerate(self.totals) if not t.reads <= places]
        self._celled = [(i, t.cell) for i, t in enumerate(self.totals) if t.scope != "line"]
        self._amounts = [Amounts(t, readers) for t in self.totals]
        kept = [s.names for s in (*self._own_slots, *self.line_table.slots)]
        self.reads = frozenset[str]().union(*kept, *(t.names for t in self.totals))
        self._people_read = frozenset[str]().union(*(s.names for s in people))
        self._common_reads = frozenset[str]().union(*(s.names for s in self._common_slots))

    def _is_common(self, slot: Slot) -> bool:
        """Whether a slot reads nothing but single things: the clock, the session, the firm."""
        if slot.kinds != ("account",) or any(isinstance(n, Key | Aggregate) for n in slot.term.walk()):
            return False
        entities = self.live.vocabulary.entities
        single = (n.partition(".")[0] for n in slot.names)
        return bool(slot.names) and all(e in entities and e != "fx" and entities[e].single for e in single)

    # ---- building ----------------------------------------------------------------------------------

    def book(self, account: str) -> Book:
        """The book of an account, built when first asked for."""
        if account not in self.books:
            found = Book(account, [ABSENT] * self.account_table.size)
            self.books[account] = found
            self.load_account(found, None)
            for symbol in self.symbols(account):
                self.line(found, symbol)
        return self.books[account]

    def symbols(self, account: str) -> set[str]:
        """The names held or worked."""
        working = self.live.working.get(account, {}).values()
        return {*self.live.positions.get(account, ()), *(str(w["working_order.symbol"]) for w in working)}

    def line(self, book: Book, symbol: str) -> Line:
        """The line of a name, also of one not held."""
        line = book.lines.get(symbol)
        if line is not None:
            return line
        currency = self.live.accounts.get(book.account, {}).get("account.currency")
        row = self.shared.row(symbol, currency, lambda: self.row(book, symbol))
        line = Line(symbol, row.values.copy(), [None] * len(self.totals), row.groups.copy())
        if self.live.is_member(book.account, symbol):
            self._begin_held(book, line)
        else:
            self._begin_flat(book, line)
        book.lines[symbol] = line
        return line

    def row(self, book: Book, symbol: str) -> Row:
        """What the line of a name is for an account of this currency that has none of it."""
        values: list[Any] = [ABSENT] * self.line_table.size
        values[:HEAD] = [0] * HEAD
        nothing = {symbol: flat(book.account, symbol)}
        seen = Projection(self.live.snapshot, self.live.vocabulary, book.account, (), (), nothing)
        self._load(seen, symbol, (*self.shared.always, *self.shared.flat), values)
        groups = [None if t.scope == "line" else self.group(t, symbol) for t in self.totals]
        for index in self._flat_totals:
            self._flat_amount(self.totals[index], groups[index], values)
        return Row(values, groups)

    def _flat_amount(self, total: Total, group: str | None, values: list[Any]) -> None:
        """What a name that is not there brings to a total; see `contribute`."""
        try:
            amount: Any = total.holding(0, values, [])
        except MissingFactError:
            amount = ABSENT
        if total.scope == "line":
            values[total.own] = amount
        elif group is None:
            values[total.cell] = values[total.own] = ABSENT
        else:
            values[total.own] = amount if amount is ABSENT or total.mode in ("still", "linear") else 0

    def _begin_flat(self, book: Book, line: Line) -> None:
        """What the row leaves open, for a name that is neither held nor worked."""
        if len(book.flat) >= FLAT_MAX:
            self._drop(book)  # before this line stands in any cell
        seen = self.live.narrow(book.account, line.symbol, ())
        self._load(seen, line.symbol, self.shared.own, line.values)
        cells, groups, values = book.cells, line.groups, line.values
        for index, place in self._celled:
            group = groups[index]
            if group is not None:
                cell = cells.get((index, group)) or book.cell(index, group)
                values[place] = cell.seen
        for index in self._other_totals:
            self.contribute(book, line, index, (seen, False, []))
        book.flat[line.symbol] = None

    def _drop(self, book: Book) -> None:
        """Give up the oldest flat line, unless its name has been bought or worked since."""
        symbol = next(iter(book.flat))
        del book.flat[symbol]
        counted = any(c is not None for c in book.lines[symbol].counted)
        if not counted and not self.live.is_member(book.account, symbol):
            del book.lines[symbol]
            if len(book.cells) > book.needed + CELLS_SPARE:
                self._sweep(book)

    @staticmethod
    def _sweep(book: Book) -> None:
        """Give up the cells of groups that no line stands in any more."""
        used = {place for line in book.lines.values() for place in enumerate(line.groups)}
        book.cells = {place: cell for place, cell in book.cells.items() if place in used}
        book.needed = len(book.cells)

    def _begin_held(self, book: Book, line: Line) -> None:
        """What the row leaves open, for a name that is held or worked."""
        seen = self.live.narrow(book.account, line.symbol, ())
        self._load(seen, line.symbol, (*self.shared.flat, *self.shared.own), line.values)
        moves = self.place_holding(seen, line)
        for index in range(len(self.totals)):
            self.contribute(book, line, index, (seen, True, moves))

    def _load(self, seen: Projection, symbol: str, slots: Iterable[Slot], values: list[Any]) -> None:
        """Read slots of a line."""
        points: dict[tuple[str, ...], Point] = {}
        for slot in slots:
            at = points.get(slot.kinds)
            if at is None:
                at = points[slot.kinds] = self.point(seen, slot.kinds, symbol)
            load(slot, self._readers[id(slot)], at, values)

    def trader(self, key: str, kind: str = "trader") -> list[Any]:
        """The list T of a trader, or the list S of a strategy."""
        lists = self.traders if kind == "trader" else self.strategies
        found = lists.get(key)
        if found is None:
            found = lists[key] = self._person(key, kind)
        return found

    def _person(self, key: str, kind: str) -> list[Any]:
        table = self.trader_table if kind == "trader" else self.strategy_table
        values = [ABSENT] * table.size
        at = self.point(self._nobody(), (), "")
        subject = Subject(kind, key, self.live.snapshot.records(kind, key) or {})
        for slot in table.slots:
            there = Point(at.projection, (at.stack[0], subject), {}, self.derived)
            load(slot, self._readers[id(slot)], there, values)
        return values

    def _nobody(self) -> Projection:
        return Projection(self.live.snapshot, self.live.vocabulary, "", (), (), {})

    # ---- where terms are read ----------------------------------------------------------------------

    def point(self, seen: Projection, kinds: Iterable[str], symbol: str) -> Point:
        """A point with the entities of `kinds` bound, all of one symbol."""
        account = Subject("account", seen.account, seen.snapshot.accounts.get(seen.account, {}))
        inner = (self.subject(kind, seen, symbol) for kind in kinds if kind != "account")
        return Point(seen, (account, *inner), {}, self.derived)

    def subject(self, kind: str, seen: Projection, symbol: str) -> Subject:
        """The subject of a kind for one symbol: the thing itself, its group, or an order of which no more is known."""
        if kind == "order":
            return Subject(kind, "", {"order.symbol": symbol, "order.account": seen.account})
        if kind == "position":
            return Subject(kind, symbol, seen.positions.get(symbol) or flat(seen.account, symbol))
        facts = seen.snapshot.instruments.get(symbol, {})
        groups = seen.vocabulary.entities[kind].groups
        return Subject(kind, str(facts.get(groups) or "")) if groups else Subject(kind, symbol, facts)

    # ---- refreshing --------------------------------------------------------------------------------

    def single(self, changed: frozenset[str]) -> None:
        """Facts that every account may read have changed: what accounts share is brought up to date at once."""
        self.shared.forget("", changed)
        if touches(self._people_read, changed):
            self.traders.clear()
            self.strategies.clear()
        if touches(self._common_reads, changed):
            fresh = self._common()
            if not same(fresh, self.common):
                self.common = fresh

    def _common(self) -> Common:
        values = [ABSENT] * self.account_table.size
        at = self.point(self._nobody(), (), "")
        for slot in self._common_slots:
            load(slot, self._readers[id(slot)], at, values)
        wide = [s.index + 1 for s in self._common_slots if s.scale == 0]
        return tuple((place, values[place]) for place in (*(s.index for s in self._common_slots), *wide))

    def take_common(self, book: Book) -> None:
        """Put what accounts share into the list A of one."""
        for place, found in self.common:
            book.values[place] = found
        book.common = self.common

    def load_account(self, book: Book, changed: frozenset[str] | None) -> None:
        """Refresh the list A where these names matter (None: all)."""
        seen = Projection(self.live.snapshot, self.live.vocabulary, book.account, (), (), {})
        wanted = (s for s in self._own_slots if changed is None or touches(s.names, changed))
        self._load(seen, "", wanted, book.values)
        self.take_common(book)

    def refresh(self, book: Book, line: Line, changed: frozenset[str] | None) -> None:
        """Refresh a line's facts where these names matter (None: all), then its contributions."""
        seen = self.live.narrow(book.account, line.symbol, ())
        touched = self.touched(changed)
        facts = self.live.instruments.get(line.symbol, {})
        for leaf in touched.leaves:
            line.values[leaf.index] = leaf.read(facts, self.live.snapshot.time)
        self._load(seen, line.symbol, touched.slots, line.values)
        if changed is not self.holding:
            line.worked.clear()
        moves = self.place_holding(seen, line) if touched.moved else self.moves(seen)
        member = self.live.is_member(book.account, line.symbol)
        for index in touched.totals:
            self.contribute(book, line, index, (seen, member, moves))
        if not member and line.symbol not in book.flat:  # what was worked or held and is gone is given up in its turn
            if len(book.flat) >= FLAT_MAX:
                self._drop(book)
            book.flat[line.symbol] = None

    def touched(self, changed: frozenset[str] | None) -> Touched:
        """What a change of these names makes necessary in a line; kept, because the same few changes come again."""
        if changed not in self._touched:
            moved = changed is None or changed >= self.holding
            if len(self._touched) > TOUCHED_MAX:
                self._touched.clear()
            slots = [s for s in self.line_table.slots if changed is None or touches(s.names, changed)]
            leaves = [leaf for s in slots if (leaf := self.leaf(s)) is not None]
            own = {leaf.index for leaf in leaves}
            totals = (i for i, t in enumerate(self.totals) if moved or (changed and touches(t.names, changed)))
            rest = tuple(s for s in slots if s.index not in own)
            self._touched[changed] = Touched(tuple(leaves), rest, tuple(totals), moved)
        return self._touched[changed]

    def leaf(self, slot: Slot) -> Leaf | None:
        """A plain fact of the instrument; None for anything that needs more than a look into its facts."""
        term = slot.term
        if not isinstance(term, Field) or slot.scale == 0 or term.name in self.derived or term.name == "instrument.fx":
            return None
        if term.name.split(".", 1)[0] not in ("instrument", "market"):
            return None
        declared = self.live.vocabulary.names[term.name]
        aged = declared.max_age is not None and declared.as_of
        limit = duration(declared.max_age) if aged and declared.max_age is not None else None
        return Leaf(slot.index, term.name, slot.scale, declared.default, declared.as_of if aged else "", limit)

    def place_holding(self, seen: Projection, line: Line) -> list[Move]:
        """The head of a line: the holding now and the ends of what working orders can make of it; these orders."""
        held = seen.positions[line.symbol].get("position.before.quantity", Fraction(0))
        now = low = high = whole_at(held, self.share_scale)
        moves = self.moves(seen)
        for _, signed, _ in moves:
            if signed is ABSENT:
                low = high = ABSENT
            elif low is not ABSENT:
                low, high = low + min(signed, 0), high + max(signed, 0)
        line.values[:HEAD] = [now, low, high]
        return moves

    def moves(self, seen: Projection) -> list[Move]:
        """The working orders of a name."""
        found: list[Move] = []
        for facts in seen.working:
            quantity = whole_at(facts["working_order.quantity"], self.share_scale)
            signed = quantity if facts["working_order.side"] == BUY or quantity is ABSENT else -quantity
            found.append((str(facts["working_order.id"]), signed, facts))
        return found

    def contribute(self, book: Book, line: Line, index: int, known: Seen) -> None:
        """Work out what a line adds to one total, and bring its cell up to date."""
        seen, member, moves = known
        total = self.totals[index]
        try:
            amount: Any = self.amount(index, book, line, (seen, member, moves))
        except MissingFactError:
            amount = ABSENT
        values, counts = line.values, amount if member else None
        if total.scope == "line":
            values[total.own] = amount
            return
        group = self.group(total, line.symbol)
        if group != line.groups[index] and line.groups[index] is not None:
            book.cell(index, str(line.groups[index])).change(line.counted[index], None)
            line.counted[index] = None
        line.groups[index] = group
        if group is None:
            values[total.cell] = values[total.own] = ABSENT
            return
        cell = book.cell(index, group)
        cell.change(line.counted[index], counts)
        line.counted[index] = counts
        values[total.cell] = cell.seen
        if amount is ABSENT:
            values[total.own] = ABSENT
        elif total.mode in ("still", "linear"):
            values[total.own] = 0 if member else amount  # what a name not yet counted brings along
        else:
            values[total.own] = amount if member else 0  # what its new state takes the place of

    def group(self, total: Total, symbol: str) -> str | None:
        """The group a name belongs to; None when that is not known."""
        if total.scope == "all":
            return ""
        key = self.live.instruments.get(symbol, {}).get(total.scope)
        return str(key) if key else None

    def amount(self, index: int, book: Book, line: Line, known: Seen) -> int:
        """What a line adds in the state its total takes it in. Raises MissingFactError."""
        total, values, account = self.totals[index], line.values, book.values
        now, low, high = values[:HEAD]
        at = total.holding
        if total.mode == "ends":
            one = at(low, values, account)
            return one if low is high else max(one, at(high, values, account))
        if total.mode == "still":
            return at(now, values, account)
        steps = self.steps(index, line, known)
        base = at(now, values, account)
        if total.mode == "linear":
            gains = (
                start + max(0, at(now + signed, values, account) - base + full - start) for signed, start, full in steps
            )
            return base + sum(gains)
        if len(steps) > CORNERS_MAX:
            raise MissingFactError("the set of fill states", "", "is looked at by the general path")
        return max(
            at(now + sum(signed for (signed, _, _), on in zip(steps, corner, strict=True) if on), values, account)
            + sum(full if on else start for (_, start, full), on in zip(steps, corner, strict=True))
            for corner in product((False, True), repeat=len(steps))
        )

    def steps(self, index: int, line: Line, known: Seen) -> list[tuple[Any, int, int]]:
        """For each working order of a name its signed quantity, and what it adds unfilled and filled."""
        seen, _, moves = known
        if not moves:
            line.worked.clear()
            return []
        found, amounts = [], self._amounts[index]
        for order, signed, facts in moves:
            kept = line.worked.get(order)
            if kept is None or kept[0] is not facts:
                kept = line.worked[order] = (facts, {})
            pair = kept[1].get(index)
            if pair is None:
                outer = self.point(seen, amounts.kinds, line.symbol) if amounts.parts else None
                pair = kept[1][index] = amounts.of(outer, order, facts) if outer else (0, 0)
            found.append((signed, *pair))
        if len(line.worked) > len(moves):
            for gone in line.worked.keys() - {order for order, _, _ in moves}:
                del line.worked[gone]
        return found


def stacked(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds of the subjects that `Books.point` puts on the stack, or that stand there for a person."""
    return ("account", *(kind for kind in kinds if kind != "account"))


def same(one: Common, other: Common) -> bool:
    """Whether the values are the same; what is not known is like nothing but itself."""
    return len(one) == len(other) and all(
        a is b if a is ABSENT or b is ABSENT else a == b for (_, a), (_, b) in zip(one, other, strict=True)
    )
