"""The two vectorised forms of a desk, kept up to date, and which orders both of them clear.

In: a desk, its events, orders as columns. Out: for each set of rules the places of the orders that are cleared.
Guaranteed: an order is among them only if both forms clear every rule of its account; the forms have separate copies of
facts, columns and sums. Every event is seen before the next orders; what an event may have changed is read again, and
after an event that adds an account or an instrument everything is. Refused: nothing; a set of rules that a form has no
place for is left to the single path as a whole, with the reason in `Tally`.
Before: `vector_first.py`, `vector_second.py`, `vector_frame.py`. After: `vector.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.approved import Ground
from lexorder.engine.compile import Plan
from lexorder.engine.desk import Desk
from lexorder.engine.errors import ExpertError
from lexorder.engine.events import Event
from lexorder.engine.expert.emit import plan as expert_plan
from lexorder.engine.measuring import measured_names
from lexorder.engine.rule import Audience, Rule, cover
from lexorder.engine.vector_cells import RunningCells
from lexorder.engine.vector_code import Code, Level, NotVectorError
from lexorder.engine.vector_columns import Flags, Ints
from lexorder.engine.vector_copies import copies_of
from lexorder.engine.vector_first import First
from lexorder.engine.vector_frame import Frame, admitted
from lexorder.engine.vector_old import OldOrders
from lexorder.engine.vector_orders import Asked
from lexorder.engine.vector_second import LeafTerms, Second
from lexorder.engine.vector_tables import Tables
from lexorder.engine.vector_terms import Terms

NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class Tally:
    """What became of the orders so far.

    `single` counts those left to the single path, by reason; `unfit` says why rules have no vectorised form.
    """

    approved: int = 0
    single: Counter[str] = field(default_factory=Counter)
    unfit: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Forms:
    """One set of rules in both forms, and the steps that clear orders of one side and type."""

    first: First
    cells: RunningCells
    second: Second
    steps: dict[tuple[str, str], tuple[int, int] | None] = field(default_factory=dict)


@dataclass(slots=True)
class Seat:
    """One set of rules; `forms` is None where it has no vectorised form."""

    rules: tuple[Rule, ...]
    forms: Forms | None
    known: Ground | None = None

    def ground(self, desk: Desk) -> Ground:
        """What approvals under these rules have in common now; the same one while that is so."""
        now, known = (desk.time, desk.book.hash, desk.hash), self.known
        if known is None or (known.time, known.rulebook_hash, known.snapshot_hash) != now:
            withheld = frozenset(r.id for r in self.rules if r.audience is Audience.COMPLIANCE)
            count = sum(rule.require is not None for rule in self.rules)
            known = self.known = Ground(desk.time, count, desk.book.hash, desk.hash, withheld)
        return known


class Book:
    """Both forms of all seats of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.tally = Tally()
        self._start()

    # ---- state ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Both copies of the facts anew, and no seats yet."""
        self.copies = copies_of(self.desk)
        self.codes = [Code(copy.tables) for copy in self.copies]
        self.terms = Terms(self.codes[0], self.copies[0].tables)
        self.leaves = LeafTerms(self.codes[1], self.copies[1].tables)
        self.old = self.leaves.old = OldOrders(self.leaves, self.copies[1].pairs)
        self.seats: list[Seat] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._seat_of: Ints = np.full(len(self.copies[0].accounts), -1, dtype=np.int64)
        self._book, self._date = self.desk.book, self.desk.single.get("clock.date")
        self._stale = False
        self._told = True

    def note(self, event: Event) -> None:
        """An event of the desk, seen by both copies."""
        self._told = True
        for copy in self.copies:
            self._stale |= not copy.note(event)

    def failed(self, fault: Exception) -> None:
        """Something went wrong in here; the columns are started anew before the next orders."""
        self._stale = True
        self.tally.single[f"the vectorised form failed: {type(fault).__name__}"] += 1

    @property
    def words(self) -> Tables:
        """Where texts have their codes; both copies share them."""
        return self.copies[0].tables

    def current(self) -> Book:
        """Up to date with the desk."""
        if self._stale or self._book is not self.desk.book or self._date != self.desk.single.get("clock.date"):
            self._start()
        if self._told:
            self._settle()
            self._told = False  # only now: what failed half-way is started anew
        return self

    def _settle(self) -> None:
        """Read again what events may have changed."""
        changes = [copy.settle() for copy in self.copies]
        self._seat_of[list(changes[0].reseated)] = -1
        for seat in self.seats:
            if seat.forms is not None:
                seat.forms.cells.refresh(changes[0].rows, changes[0].singles)
        self.old.refresh(changes[1].accounts, changes[1].singles)

    # ---- seats ---------------------------------------------------------------------------------------------

    def _sit(self, accounts: Iterable[int]) -> None:
        """Find the rules of accounts that come for the first time."""
        for number in accounts:
            rules = self.desk.rules_of(self.copies[0].accounts[number])
            key = tuple(rule.id for rule in rules)
            if key not in self._numbers:
                self._numbers[key] = len(self.seats)
                self.seats.append(Seat(rules, self._forms(rules)))
            self._seat_of[number] = self._numbers[key]

    def _forms(self, rules: tuple[Rule, ...]) -> Forms | None:
        vocabulary = self.desk.vocabulary
        try:
            _check(rules)
            first = First(Plan(rules, vocabulary), self.terms)
            required = [rule.id for rule in rules if rule.require is not None]
            second = Second(expert_plan(rules, vocabulary), required, self.leaves, self.old)
        except (NotVectorError, ExpertError) as reason:
            self.tally.unfit.add(str(reason))
            return None
        return Forms(first, RunningCells(first, self.copies[0].pairs), second)

    def _steps(self, forms: Forms, side: str, ord_type: str) -> tuple[int, int] | None:
        """The steps that clear orders of one side and type in both forms."""
        key = (side, ord_type)
        if key not in forms.steps:
            forms.steps[key] = None
            try:
                steps = forms.first.cleared(side, ord_type), forms.second.cleared(side)
                if forms.first.count != forms.second.count:
                    raise NotVectorError("the two forms count verdicts differently")
                forms.cells.refresh(NONE)
                self.old.refresh(np.zeros(len(self._seat_of), dtype=np.bool_))
                forms.steps[key] = steps
            except NotVectorError as reason:
                self.tally.unfit.add(str(reason))
        return forms.steps[key]

    # ---- orders --------------------------------------------------------------------------------------------

    def cleared(self, asked: Asked) -> Iterator[tuple[Ground, Ints]]:
        """The places of the orders that both forms clear, by what their approvals have in common."""
        frames = admitted(asked, self.copies)
        if frames is None:
            self.tally.single["not admitted in bulk"] += asked.size
            return
        self.tally.single["not admitted in bulk"] += asked.size - len(frames[0].places)
        account = frames[0].things[Level.ACCOUNT]
        self._sit(np.unique(account[self._seat_of.take(account) < 0]).tolist())
        for seat, side, ord_type, mine in self._groups(asked, frames[0]):
            found = self._both(seat, side, ord_type, [frame.cut(mine) for frame in frames])
            yield seat.ground(self.desk), frames[0].places[mine[found]]

    def _groups(self, asked: Asked, frame: Frame) -> Iterator[tuple[Seat, str, str, Ints]]:
        """Orders of one seat, side and type."""
        vocabulary = self.desk.vocabulary
        seats = self._seat_of.take(frame.things[Level.ACCOUNT])
        codes = [np.broadcast_to(np.asarray(asked.columns[n].data), (asked.size,)).take(frame.places) for n in _KIND]
        for side in vocabulary.names[_KIND[0]].unit.values:
            of_side = codes[0] == self.words.word(side)
            for ord_type in vocabulary.names[_KIND[1]].unit.values:
                mine = np.nonzero(of_side & (codes[1] == self.words.word(ord_type)))[0]
                for number in np.unique(seats.take(mine)).tolist():
                    yield self.seats[number], side, ord_type, mine[seats.take(mine) == number]

    def _both(self, seat: Seat, side: str, ord_type: str, frames: Sequence[Frame]) -> Ints:
        """Which of some orders of one seat, side and type both forms clear."""
        size, single = len(frames[0].places), self.tally.single
        try:
            steps = None if seat.forms is None else self._steps(seat.forms, side, ord_type)
            if steps is None or seat.forms is None:
                raise NotVectorError
            frames[0].cells, frames[1].old = seat.forms.cells, self.old
            alike = {n: vc.Words(self.words.word(text)) for n, text in zip(_KIND, (side, ord_type), strict=True)}
            for frame in frames:
                frame.alike = {n: c for n, c in alike.items() if frame.asked.columns[n].missing is None}
            each = [_clear(code, frame, step) for code, frame, step in zip(self.codes, frames, steps, strict=True)]
        except NotVectorError:
            single["rules without a vectorised form"] += size
            return NONE
        agreed = each[0] & each[1]
        self.tally.approved += int(agreed.sum())
        single["the two forms differ"] += int((each[0] != each[1]).sum())
        single["not cleared"] += int((~each[0] & ~each[1]).sum())
        return np.nonzero(agreed)[0]


_KIND = ("order.side", "order.ord_type")


def _check(rules: Sequence[Rule]) -> None:
    """Rules whose decisions say more than their verdicts, or that read what is measured order by order, or none."""
    if not cover(rules):
        raise NotVectorError("no rule covers the account")
    measured = measured_names(rules)
    if measured:
        raise NotVectorError(f"{measured[0]} is measured for each order")
    deriving = [rule.id for rule in rules if rule.derive]
    if deriving:
        raise NotVectorError(f"{deriving[0]} derives facts")


def _clear(code: Code, frame: Frame, step: int) -> Flags:
    """The orders that a form clears for certain."""
    found = code.run(frame, (step,))[0]
    assert isinstance(found, vc.Truths)
    return vc.clear(found, len(frame.places)) & ~frame.nameless()
