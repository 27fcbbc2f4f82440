"""The two vectorised forms of a desk, kept up to date, and which orders both of them clear.

In: a desk, its events, orders as columns. Out: for each set of rules the places of the orders that are cleared.
Guaranteed: an order is among them only if its account, instrument and trader are known, its identifier is canonical and
not working, its prices are above zero where they must be, and both forms clear every rule of its account; the forms have
separate copies of facts, columns and sums. Every event is seen before the next orders; what an event may have changed
is read again, and after an event of an unknown kind everything is. Refused: nothing; a set of rules that a form has no
place for is left to the single path as a whole, with the reason in `Tally`.
Before: `vector_first.py`, `vector_second.py`, `vector_cells.py`, `vector_old.py`. After: `vector.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.approved import Ground
from lexorder.engine.compile import Plan
from lexorder.engine.desk import Desk
from lexorder.engine.errors import ExpertError
from lexorder.engine.events import Event
from lexorder.engine.expert.emit import plan as expert_plan
from lexorder.engine.measuring import measured_names
from lexorder.engine.rule import Audience, Rule
from lexorder.engine.vector_cells import RunningCells
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_columns import Column, Flags, Ints
from lexorder.engine.vector_copies import Copy, copies_of
from lexorder.engine.vector_first import First
from lexorder.engine.vector_old import OldOrders
from lexorder.engine.vector_orders import Asked, canonical
from lexorder.engine.vector_pairs import held_column
from lexorder.engine.vector_second import Second
from lexorder.engine.vector_terms import Terms

_PRICES = ("order.price", "order.stop_price")


@dataclass(slots=True)
class Tally:
    """What became of the orders so far. `single` counts those left to the single path, by reason."""

    approved: int = 0
    single: Counter[str] = field(default_factory=Counter)
    unfit: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Seat:
    """One set of rules in both forms; `why` says what keeps it out of them."""

    rules: tuple[Rule, ...]
    why: str = ""
    first: First | None = None
    cells: RunningCells | None = None
    second: Second | None = None
    kinds: dict[tuple[str, str], tuple[int, int] | None] = field(default_factory=dict)


@dataclass(slots=True)
class Frame:
    """Orders of one seat, side and type as one form sees them."""

    copy: Copy
    asked: Asked
    places: Ints
    account: Ints
    symbol: Ints
    trader: Ints
    row: Ints
    cells: RunningCells | None = None
    old: OldOrders | None = None

    def index(self, level: Level) -> Ints:
        """For each order its instrument, account or trader."""
        return {Level.INSTRUMENT: self.symbol, Level.ACCOUNT: self.account, Level.TRADER: self.trader}[level]

    def read(self, what: tuple[Any, ...]) -> Column:  # noqa: PLR0911  one case for each fact
        """A fact of the orders, or of what is held of their names."""
        pairs = self.copy.pairs
        match what:
            case ("order", name):
                return vc.taken(self.asked.columns[name], self.places)
            case ("now",) | ("position", "position.before.quantity"):
                return held_column(pairs, pairs.now, self.row)
            case ("low",):
                return held_column(pairs, pairs.low, self.row)
            case ("high",):
                return held_column(pairs, pairs.high, self.row)
            case ("orders",):
                return vc.numbers(pairs.orders.all.take(self.row))
            case ("member",):
                return vc.Truths(pairs.member.all.take(self.row) > 0)
            case ("position", name):
                return vc.taken(pairs.fact(name), self.row)
            case ("cell" | "own" as word, number) if self.cells is not None:
                find = self.cells.sum if word == "cell" else self.cells.own
                return find(number, self.row, self.account, self.symbol)
            case ("whole" | "others" as word, number) if self.old is not None:
                return self.old.sum(number, self.row, self, word == "whole")
        raise NotVectorError(f"{what[0]} of an order")


class Book:
    """Both forms of all seats of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.tally = Tally()
        self._stale = True
        self._start()

    # ---- state ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Both copies of the facts anew, and no seats yet."""
        self.copies = copies_of(self.desk)
        self.codes = [Code(copy.tables) for copy in self.copies]
        self.terms = [Terms(code, copy.tables) for code, copy in zip(self.codes, self.copies, strict=True)]
        self.old = OldOrders(self.terms[1], self.copies[1].pairs)
        self.seats: dict[tuple[str, ...], Seat] = {}
        self.seat_of: Ints = np.full(len(self.copies[0].accounts), -1, dtype=np.int64)
        self._order: list[Seat] = []
        self._book, self._date = self.desk.book, self.desk.single.get("clock.date")
        self._stale = False

    def note(self, event: Event) -> None:
        """An event of the desk, seen by both copies when they are next asked."""
        for copy in self.copies:
            if not copy.note(event):
                self._stale = True

    @property
    def words(self) -> Any:
        """Where texts have their codes; both copies share them."""
        return self.copies[0].tables

    def current(self) -> Book:
        """Up to date with the desk."""
        today: date | Any = self.desk.single.get("clock.date")
        if self._stale or self._book is not self.desk.book or self._date != today:
            self._start()
        changes = [copy.settle() for copy in self.copies]
        for account in changes[0].reseated:
            self.seat_of[account] = -1
        for seat in self._order:
            if seat.cells is not None:
                seat.cells.stale |= changes[0].everything
                seat.cells.refresh(changes[0].rows)
        self.old.stale |= changes[1].everything
        self.old.refresh(changes[1].accounts)
        return self

    # ---- seats ---------------------------------------------------------------------------------------------

    def _seat_numbers(self, accounts: Iterable[int]) -> None:
        for number in accounts:
            rules = self.desk.rules_of(self.copies[0].accounts[number])
            key = tuple(rule.id for rule in rules)
            if key not in self.seats:
                self.seats[key] = self._seat(rules)
                self._order.append(self.seats[key])
            self.seat_of[number] = self._order.index(self.seats[key])

    def _seat(self, rules: tuple[Rule, ...]) -> Seat:
        seat = Seat(rules)
        try:
            self._fill_seat(seat)
        except (NotVectorError, ExpertError) as reason:
            seat.why = str(reason)
            seat.cells = None
            self.tally.unfit[", ".join(r.id for r in rules)] = seat.why
        return seat

    def _fill_seat(self, seat: Seat) -> None:
        rules, vocabulary = seat.rules, self.desk.vocabulary
        measured = measured_names(rules)
        if measured:
            raise NotVectorError(f"{measured[0]} is measured for each order")
        deriving = [rule.id for rule in rules if rule.derive]
        if deriving:
            raise NotVectorError(f"{deriving[0]} derives facts")
        seat.first = First(Plan(rules, vocabulary), self.terms[0])
        seat.cells = RunningCells(seat.first, self.copies[0].pairs)
        required = [rule.id for rule in rules if rule.require is not None]
        seat.second = Second(expert_plan(rules, vocabulary), required, self.terms[1], self.old)

    def _kind(self, seat: Seat, side: str, ord_type: str) -> tuple[int, int] | None:
        """The steps that clear orders of one side and type in both forms."""
        key = (side, ord_type)
        if key not in seat.kinds:
            seat.kinds[key] = None
            assert seat.first is not None
            assert seat.second is not None
            assert seat.cells is not None
            try:
                steps = seat.first.cleared(side, ord_type), seat.second.cleared(side)
                if seat.first.count != seat.second.count:
                    raise NotVectorError("the two forms count verdicts differently")
                seat.cells.refresh(np.zeros(0, dtype=np.int64))
                self.old.refresh(np.zeros(len(self.seat_of), dtype=np.bool_))
                seat.kinds[key] = steps
            except NotVectorError as reason:
                self.tally.unfit[f"{side} {ord_type}"] = str(reason)
        return seat.kinds[key]

    # ---- orders --------------------------------------------------------------------------------------------

    def cleared(self, asked: Asked) -> Iterator[tuple[Ground, Ints]]:
        """The places of the orders that both forms clear, by what their approvals have in common."""
        admitted = self._admitted(asked)
        if admitted is None:
            self.tally.single["not readable in bulk"] += asked.size
            return
        places, frames = admitted
        self.tally.single["not admitted in bulk"] += asked.size - len(places)
        self._seat_numbers(np.unique(frames[0].account[self.seat_of[frames[0].account] < 0]).tolist())
        seats = self.seat_of.take(frames[0].account)
        side, kind = (_codes(asked, name).take(places) for name in ("order.side", "order.ord_type"))
        width = len(self.words.words)
        groups = (seats * width + side) * width + kind
        texts = {code: text for text, code in self.words.words.items()}
        for group in np.unique(groups).tolist():
            mine = np.nonzero(groups == group)[0]
            seat = self._order[group // (width * width)]
            found = self._both(seat, texts[group // width % width], texts[group % width], [_cut(f, mine) for f in frames])
            yield self._ground(seat), places[mine[found]]

    def _both(self, seat: Seat, side: str, ord_type: str, frames: Sequence[Frame]) -> Ints:
        """Which of some orders of one seat, side and type both forms clear."""
        size = len(frames[0].places)
        steps = None if seat.why else self._kind(seat, side, ord_type)
        if steps is None:
            self.tally.single["rules without a vectorised form"] += size
            return np.zeros(0, dtype=np.int64)
        frames[0].cells, frames[1].old = seat.cells, self.old
        try:
            each = [self._clear(code, frame, step) for code, frame, step in zip(self.codes, frames, steps, strict=True)]
        except NotVectorError:
            self.tally.single["rules without a vectorised form"] += size
            return np.zeros(0, dtype=np.int64)
        agreed = each[0] & each[1]
        self.tally.approved += int(agreed.sum())
        self.tally.single["the two forms differ"] += int((each[0] != each[1]).sum())
        self.tally.single["not cleared"] += int((~each[0] & ~each[1]).sum())
        return np.nonzero(agreed)[0]

    @staticmethod
    def _clear(code: Code, frame: Frame, step: int) -> Flags:
        found = code.run(frame, (step,))[0]
        assert isinstance(found, vc.Truths)
        return vc.clear(found, len(frame.places))

    def _ground(self, seat: Seat) -> Ground:
        desk = self.desk
        withheld = frozenset(r.id for r in seat.rules if r.audience is Audience.COMPLIANCE)
        count = sum(rule.require is not None for rule in seat.rules)
        return Ground(desk.time, count, desk.book.hash, desk.hash, withheld)

    # ---- admission -----------------------------------------------------------------------------------------

    def _admitted(self, asked: Asked) -> tuple[Ints, list[Frame]] | None:
        """The orders whose names are all known, with their places in both copies; see `decide.admission`."""
        if not {"order.account", "order.symbol"} <= asked.texts.keys() or not asked.plain.any():
            return None
        plain = asked.plain & canonical(asked.texts["order.id"])
        working = [self.desk.live.is_working(i) for i in asked.texts["order.id"]] if self.desk.working else []
        if any(working):
            plain &= ~np.array(working, dtype=np.bool_)
        found = []
        for copy in self.copies:
            numbers = [self._numbers(copy, level, asked, name) for level, name in _NAMED]
            found.append(numbers)
            plain &= (numbers[0] >= 0) & (numbers[1] >= 0) & (numbers[2] >= -1)
            plain &= ~copy.odd.take(np.maximum(numbers[0], 0))
        places = np.nonzero(plain & self._priced(asked, found[0][1]))[0]
        return places, [self._frame(copy, asked, places, of) for copy, of in zip(self.copies, found, strict=True)]

    @staticmethod
    def _frame(copy: Copy, asked: Asked, places: Ints, numbers: Sequence[Ints]) -> Frame:
        account, symbol, trader = (n.take(places) for n in numbers)
        return Frame(copy, asked, places, account, symbol, trader, copy.pairs.rows_of(account, symbol))

    @staticmethod
    def _numbers(copy: Copy, level: Level, asked: Asked, name: str) -> Ints:
        """The number of each order's account, instrument or trader; -2 for one not known, -1 for no trader."""
        texts = asked.texts.get(name)
        if texts is None:
            return np.full(asked.size, -1, dtype=np.int64)
        index = copy.tables.tables[level].index
        none = {None: -1} if level is Level.TRADER else {}
        try:
            found = [index.get(t, -2) for t in texts]
        except TypeError:
            found = [index.get(t, -2) if isinstance(t, str) else -2 for t in texts]
        if none and -2 in found:
            found = [-1 if t is None else f for t, f in zip(texts, found, strict=True)]
        return np.array(found, dtype=np.int64)

    def _priced(self, asked: Asked, symbol: Ints) -> Flags:
        """Whether limit and stop price are above zero, or the instrument may trade at zero and below."""
        good = np.ones(asked.size, dtype=np.bool_)
        for name in _PRICES:
            column = asked.columns[name]
            assert isinstance(column, vc.Numbers)
            low = np.broadcast_to(np.asarray(column.data) <= 0, (asked.size,))
            good &= ~low if column.missing is None else ~low | column.missing
        return good


_NAMED = ((Level.ACCOUNT, "order.account"), (Level.INSTRUMENT, "order.symbol"), (Level.TRADER, "order.trader"))


def _cut(frame: Frame, mine: Ints) -> Frame:
    """Some of a frame's orders."""
    return Frame(
        frame.copy, frame.asked, *(x.take(mine) for x in (frame.places, frame.account, frame.symbol, frame.trader, frame.row))
    )


def _codes(asked: Asked, name: str) -> Ints:
    data: Any = asked.columns[name].data
    return np.broadcast_to(np.asarray(data, dtype=np.int64), (asked.size,))
