"""Sums over an account's names, kept up to date event by event.

In: `Total`s (what each name contributes, as compiled integer code) and the live facts. Out: for each account a list `A`
of facts, and for each of its names a `Line` with a list `L` that the generated check reads: facts of the instrument,
the holding and its reachable interval, the name's own contribution, and the cell with the sum of its group. Guaranteed:
after any events every cell equals the sum over all lines built anew (tested); a sum with a member whose contribution is
not known reads as `ABSENT`, and using that raises. Refused: nothing. Why cells: a check then costs the same for ten
names as for ten thousand. Before: `live.py`, `slots.py`. After: `fastpath.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import product
from typing import Any

from lexorder.engine.evaluate import Point, value
from lexorder.engine.freshness import duration
from lexorder.engine.judge import Derivations
from lexorder.engine.live import Live, flat
from lexorder.engine.lowering import HEAD
from lexorder.engine.rule import Facts
from lexorder.engine.slots import ABSENT, Slot, Table, load, touches, whole_at
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.terms import Field, Term, Value

CORNERS_MAX = 6
"""Up to this many working orders of one name are combined in a sum that is convex in fills and reads cash."""

TOUCHED_MAX = 2_000
"""Sets of changed names of which is kept what they touch."""

Contribution = Callable[[int, list[Any], list[Any]], int]
"""What a name adds, from its holding and the lists L and A."""


@dataclass(frozen=True, slots=True)
class Share:
    """A sum over working orders inside a total: `coefficient · body` for those with `where`."""

    coefficient: Fraction
    body: Term
    where: Term | None


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over names.

    `scope` is `all`, `line` (the name alone) or the instrument field that groups. `mode` says which state a name is
    taken in: `still` (now), `linear` (each working order filled if that adds), `ends` (the worse end of the reachable
    holdings), `corners` (the worst combination). Values are integers of `1/scale`. `cell` and `own` are places in L.
    """

    scope: str
    mode: str
    scale: int
    holding: Contribution
    working: tuple[Share, ...]
    kinds: tuple[str, ...]
    names: frozenset[str]
    cell: int
    own: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A place in L that holds a plain fact of the instrument; it reads what `snapshot.read` would."""

    index: int
    name: str
    scale: int | None
    default: Value | None
    as_of: str
    limit: timedelta | None

    def read(self, facts: Facts, now: datetime) -> Any:
        """The fact at its scale; ABSENT where it is missing, too old or too fine."""
        found = facts.get(self.name)
        if found is None:
            found = self.default
        if found is None:
            return ABSENT
        if self.limit is not None:
            taken = facts.get(self.as_of, now)
            if now - taken > self.limit:  # type: ignore[operator]
                return ABSENT
        return found if self.scale is None else whole_at(found, self.scale)


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change makes necessary in a line: places to read again, totals to add anew, whether the holding moved."""

    leaves: tuple[Leaf, ...]
    slots: tuple[Slot, ...]
    totals: tuple[int, ...]
    moved: bool


@dataclass(slots=True)
class Cell:
    """One sum. `seen` is what checks read: the sum, or ABSENT while a member is not known."""

    seen: list[Any] = field(default_factory=lambda: [0])
    known: int = 0
    unknown: int = 0

    def change(self, old: Any, new: Any) -> None:
        """Replace one member's contribution (None: no member)."""
        for amount, sign in ((old, -1), (new, 1)):
            if amount is ABSENT:
                self.unknown += sign
            elif amount is not None:
                self.known += sign * amount
        self.seen[0] = ABSENT if self.unknown else self.known


@dataclass(slots=True)
class Line:
    """One name in one account. `counted` is what its cells hold of it, by total."""

    symbol: str
    values: list[Any]
    counted: list[Any]
    groups: list[str | None]


@dataclass(slots=True)
class Book:
    """One account: its list A, its lines by symbol, its cells by (total, group).

    What has happened since it was last looked at: `seen` says how much of the common log is in it; `told` are names of
    the account that changed, `moved` its names with a new holding or working order.
    """

    account: str
    values: list[Any]
    lines: dict[str, Line] = field(default_factory=dict)
    cells: dict[tuple[int, str], Cell] = field(default_factory=dict)
    seen: int = 0
    told: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)

    def cell(self, total: int, group: str) -> Cell:
        """The cell of a group, made when first asked for."""
        return self.cells.setdefault((total, group), Cell())


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
        if symbol not in book.lines:
            none: list[Any] = [None] * len(self.totals)
            book.lines[symbol] = Line(symbol, [ABSENT] * self.line_table.size, list(none), list(none))
            self.refresh(book, book.lines[symbol], None)
        return book.lines[symbol]

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
        at = self.point(Projection(self.live.snapshot, self.live.vocabulary, "", (), (), {}), (), "")
        subject = Subject(kind, key, self.live.snapshot.records(kind, key) or {})
        for slot in table.slots:
            load(slot, Point(at.projection, (at.stack[0], subject), {}, self.derived), values)
        return values

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
        return Subject(kind, str(facts.get(groups, ""))) if groups else Subject(kind, symbol, facts)

    # ---- refreshing --------------------------------------------------------------------------------

    def load_account(self, book: Book, changed: frozenset[str] | None) -> None:
        """Refresh the list A where these names matter (None: all)."""
        seen = Projection(self.live.snapshot, self.live.vocabulary, book.account, (), (), {})
        for slot in self.account_table.slots:
            if changed is None or touches(slot.names, changed):
                load(slot, self.point(seen, slot.kinds, ""), book.values)

    def refresh(self, book: Book, line: Line, changed: frozenset[str] | None) -> None:
        """Refresh a line's facts where these names matter (None: all), then its contributions."""
        seen = self.live.narrow(book.account, line.symbol, ())
        touched = self.touched(changed)
        facts = self.live.instruments.get(line.symbol, {})
        for leaf in touched.leaves:
            line.values[leaf.index] = leaf.read(facts, self.live.snapshot.time)
        for slot in touched.slots:
            load(slot, self.point(seen, slot.kinds, line.symbol), line.values)
        if touched.moved:
            self.place_holding(seen, line)
        member = self.live.is_member(book.account, line.symbol)
        for index in touched.totals:
            self.contribute(book, line, index, (seen, member))

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

    def place_holding(self, seen: Projection, line: Line) -> None:
        """The head of a line: the holding now and the ends of what working orders can make of it."""
        held = seen.positions[line.symbol].get("position.before.quantity", Fraction(0))
        now = low = high = whole_at(held, self.share_scale)
        for _, signed, _ in self.moves(seen):
            if signed is ABSENT:
                low = high = ABSENT
            elif low is not ABSENT:
                low, high = low + min(signed, 0), high + max(signed, 0)
        line.values[:HEAD] = [now, low, high]

    def moves(self, seen: Projection) -> list[tuple[str, Any, Mapping[str, Any]]]:
        """(id, signed quantity, facts) of the working orders."""
        found = []
        for facts in seen.working:
            quantity = whole_at(facts["working_order.quantity"], self.share_scale)
            signed = quantity if facts["working_order.side"] == BUY or quantity is ABSENT else -quantity
            found.append((str(facts["working_order.id"]), signed, facts))
        return found

    def contribute(self, book: Book, line: Line, index: int, known: tuple[Projection, bool]) -> None:
        """Work out what a line adds to one total, and bring its cell up to date."""
        seen, member = known
        total = self.totals[index]
        try:
            amount: Any = self.amount(total, book, line, seen)
        except MissingFactError:
            amount = ABSENT
        values, counts = line.values, amount if member else None
        if total.scope == "line":
            values[total.own] = amount
            return
        group = self.group(total, line)
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

    def group(self, total: Total, line: Line) -> str | None:
        """The group a line belongs to; None when that is not known."""
        if total.scope == "all":
            return ""
        key = self.live.instruments.get(line.symbol, {}).get(total.scope)
        return str(key) if key else None

    def amount(self, total: Total, book: Book, line: Line, seen: Projection) -> int:
        """What a line adds in the state its total takes it in. Raises MissingFactError."""
        now, low, high = line.values[:HEAD]

        def at(holding: int) -> int:
            return total.holding(holding, line.values, book.values)

        if total.mode == "ends":
            return max(at(low), at(high))
        if total.mode == "still":
            return at(now)
        steps = [(signed, *self.shares(total, seen, line.symbol, facts)) for _, signed, facts in self.moves(seen)]
        if total.mode == "linear":
            base = at(now)
            gains = (start + max(0, at(now + signed) - base + full - start) for signed, start, full in steps)
            return base + sum(gains)
        if len(steps) > CORNERS_MAX:
            raise MissingFactError("the set of fill states", "", "is looked at by the general path")
        return max(
            at(now + sum(signed for (signed, _, _), on in zip(steps, corner, strict=True) if on))
            + sum(full if on else start for (_, start, full), on in zip(steps, corner, strict=True))
            for corner in product((False, True), repeat=len(steps))
        )

    def shares(self, total: Total, seen: Projection, symbol: str, facts: Mapping[str, Any]) -> tuple[int, int]:
        """What a working order adds unfilled and filled."""
        found = []
        order = str(facts["working_order.id"])
        outer = self.point(seen, total.kinds, symbol)
        stack = (*outer.stack, Subject("working_order", order, facts))
        for quantity in (Fraction(0), facts["working_order.quantity"]):
            at = Point(seen, stack, {("working_order", order): quantity}, self.derived)
            amount = Fraction(0)
            for share in total.working:
                if share.where is None or value(share.where, at):
                    amount += share.coefficient * value(share.body, at)  # type: ignore[operator]
            found.append(whole_at(amount, total.scale))
        return found[0] + 0, found[1] + 0  # ABSENT raises here
