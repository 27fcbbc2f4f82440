"""Sums over an account's names for the vectorised compiled check, kept row by row.

In: the totals of a layout (`totals.Total`), rows of holdings; then which rows were touched. Out: for each order the sum
of its group and what its own name has in it. Guaranteed: every cell is the exact sum over its member rows of what
`Books.amount` gives, changed by differences; a row whose contribution is not known makes its cell missing; a sum that
could leave 64 bits is missing. Refused: `NotVectorError` for books with more cells than `CELLS_MAX`.
Why differences: a price tick touches the holders of one name. `vector_second.py` adds the same sums up from nothing,
account by account, so a difference lost here shows as a disagreement.
Before: `vector_pairs.py`, `vector_first.py`. After: `vector.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.slots import touches
from lexorder.engine.totals import Share, Total
from lexorder.engine.vector_code import Code, Frame, Level, NotVectorError
from lexorder.engine.vector_columns import INT64, Column, Ints
from lexorder.engine.vector_first import First
from lexorder.engine.vector_pairs import Named, Pairs, Rows
from lexorder.engine.vector_terms import Around

CELLS_MAX = 20_000_000
"""Accounts times groups of one total: 160 MB."""


class Groups:
    """The groups of one kind (issuers, sectors, …) by number; -1 where an instrument lacks one."""

    def __init__(self, code: Code, scope: str) -> None:
        self.code = code
        self.step = -1 if scope in ("all", "line") else code.read(Level.INSTRUMENT, "fact", scope)
        self.number: dict[int, int] = {}
        self._seen: Column | None = None
        self._found = np.zeros(0, dtype=np.int64)

    def of(self, instruments: Ints) -> Ints:
        """The group of each of these instruments."""
        if self.step < 0:
            return np.zeros(len(instruments), dtype=np.int64)
        words = self.code.settled(self.step)
        if words is not self._seen:
            number, data = self.number, np.atleast_1d(words.data)
            found = np.array([number.setdefault(w, len(number)) for w in data.tolist()], dtype=np.int64)
            lacking = data == self.code.facts.word("")
            self._found = np.where(lacking if words.missing is None else lacking | words.missing, -1, found)
            self._seen = words
        return self._found.take(instruments)


@dataclass(slots=True)
class Cells:
    """The sums of one total: `known` by cell, times `factor`; `unknown` counts members of which nothing is known.

    `gaps` says whether there are any such members.
    """

    total: Total
    step: int
    shares: tuple[int, int]
    groups: Groups
    width: int = 0
    factor: int = 1
    known: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unknown: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    amount: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    lost: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cell: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    peak: int = 0
    gaps: bool = False


class RunningCells:
    """The cells of all totals of one layout."""

    def __init__(self, first: First, pairs: Pairs) -> None:
        self.first = first
        self.pairs = pairs
        self.code = first.code
        self.cells: list[Cells] = []
        self.groups: dict[str, Groups] = {}
        self.most = 0

    # ---- bringing up to date -----------------------------------------------------------------------------

    def refresh(self, touched: Ints, singles: frozenset[str] = frozenset()) -> None:
        """Bring the cells up to date: these rows have changed, and what reads these facts there is one of."""
        known = len(self.cells)
        for total, source in self.first.totals()[known:]:
            self.cells.append(self._cells(total, source))
        rows = np.arange(1, self.pairs.size, dtype=np.int64)
        self.most = int(np.bincount(self.pairs.account.all).max())
        for number, cells in enumerate(self.cells):
            stale = number >= known or touches(cells.total.names, singles)
            if stale or not self._change(cells, touched):
                self._rebuild(cells, rows)
            cells.gaps = bool(cells.lost.any())

    def _cells(self, total: Total, source: str) -> Cells:
        around = Around(total.kinds)
        shares = tuple(self._share(total, around, filled) for filled in (False, True))
        groups = self.groups.setdefault(total.scope, Groups(self.code, total.scope))
        return Cells(total, self.first.contribution(source), shares, groups)  # type: ignore[arg-type]

    def _share(self, total: Total, around: Around, filled: bool) -> int:
        """The step of what a working order adds when nothing or all of it fills, at the total's scale."""
        quantity = self.code.read(Level.ROW, "filled") if filled else self.code.constant(0)
        inner = Around((*around.kinds, "working_order"), {"working_order.filled": quantity})
        found = self.code.constant(0)
        for share in total.working:
            found = self.code.apply("+", found, self._part(share, inner, total.scale))
        return found

    def _part(self, share: Share, inner: Around, scale: int) -> int:
        terms = self.first.terms
        body = terms.number(share.body, inner)
        ratio = share.coefficient
        step = terms.scaled(body.step, ratio.numerator * scale)
        step = self.code.divided(step, body.scale * ratio.denominator)
        step = step if body.den < 0 else self.code.apply("evenly", step, body.den)
        if share.where is None:
            return step
        return self.code.apply("if", terms.truth(share.where, inner), step, self.code.constant(0))

    def _rebuild(self, cells: Cells, rows: Ints) -> None:
        """Add everything up anew."""
        size = self.pairs.size
        accounts = len(self.pairs.tables.tables[Level.ACCOUNT].keys)
        groups = cells.groups.of(self.pairs.symbol.all.take(rows))
        cells.width = max(1, len(cells.groups.number)) * 2
        if cells.total.scope != "line" and accounts * cells.width > CELLS_MAX:
            raise NotVectorError(f"more than {CELLS_MAX} sums of one kind")
        count = 0 if cells.total.scope == "line" else accounts * cells.width
        cells.known, cells.unknown = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        cells.amount, cells.lost = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        cells.cell = np.full(size, -1, dtype=np.int64)
        found = self._amounts(cells.total, cells, rows)
        cells.factor, cells.peak = found.factor, 0
        self._put(cells, rows, found, groups)

    def _change(self, cells: Cells, rows: Ints) -> bool:
        """Take the differences of some rows in; False when everything has to be added up anew."""
        groups = cells.groups.of(self.pairs.symbol.all.take(rows))
        if max(1, len(cells.groups.number)) > cells.width:
            return False
        if not len(rows):
            return True
        found = self._amounts(cells.total, cells, rows)
        if found.low == found.high == 0:
            found = vc.Numbers(found.data, cells.factor, 0, 0, found.missing)
        level = None if found.factor % cells.factor else vc.stretched(found, found.factor // cells.factor)
        if level is None or level.missing is not found.missing:  # too fine, or too coarse, for the factor so far
            return False
        more = self.pairs.size - len(cells.amount)
        if more:
            nothing = np.zeros(more, dtype=np.int64)
            cells.amount, cells.lost = (np.concatenate([x, nothing]) for x in (cells.amount, cells.lost))
            cells.cell = np.concatenate([cells.cell, nothing - 1])
        self._take_out(cells, rows)
        self._put(cells, rows, level, groups)
        return True

    @staticmethod
    def _take_out(cells: Cells, rows: Ints) -> None:
        """Take what these rows have in their cells out of them."""
        counted = rows[cells.cell.take(rows) >= 0]
        np.subtract.at(cells.known, cells.cell.take(counted), cells.amount.take(counted))
        np.subtract.at(cells.unknown, cells.cell.take(counted), cells.lost.take(counted))

    def _put(self, cells: Cells, rows: Ints, found: vc.Numbers, groups: Ints) -> None:
        """Note what these rows have, and add it to the cells of those that are members."""
        lost = (
            np.zeros(len(rows), dtype=np.int64)
            if found.missing is None
            else np.zeros(len(rows), np.int64) + found.missing
        )
        cells.amount[rows] = np.where(lost, 0, found.data)
        cells.lost[rows] = lost
        cells.peak = max(cells.peak, abs(found.low), abs(found.high))
        if cells.total.scope == "line":
            return
        member = (self.pairs.member.all.take(rows) > 0) & (groups >= 0)
        cell = np.where(member, self.pairs.account.all.take(rows) * cells.width + groups, -1)
        cells.cell[rows] = cell
        counted = rows[member]
        np.add.at(cells.known, cell[member], cells.amount.take(counted))
        np.add.at(cells.unknown, cell[member], cells.lost.take(counted))

    # ---- what a name contributes ---------------------------------------------------------------------------

    def _amounts(self, total: Total, cells: Cells, rows: Ints) -> vc.Numbers:
        """What rows add, in the state their total takes them in: `totals.Books.amount` over columns."""
        pairs = self.pairs

        def at(row: Ints, x: Ints, place: Ints | None = None) -> vc.Numbers:
            return self._run(Rows(pairs, row, x, place), cells.step)

        unknown = pairs.known.all.take(rows) == 0
        if total.mode == "ends":
            found = vc.greatest(at(rows, pairs.low.all.take(rows)), at(rows, pairs.high.all.take(rows)))
        else:
            found = at(rows, pairs.now.all.take(rows))
            if total.mode != "still":
                found = self._worked(cells, rows, found, at)
        missing = vc.joined(found.missing, unknown if unknown.any() else None)
        return vc.Numbers(found.data, found.factor, found.low, found.high, missing)

    def _worked(self, cells: Cells, rows: Ints, base: vc.Numbers, at: Callable[..., vc.Numbers]) -> vc.Numbers:
        """The same with each working order filled if that adds; for `corners` one order for each name at most."""
        working = self.pairs.working
        sought = np.zeros(self.pairs.size, dtype=np.bool_)
        sought[rows] = True
        sought[0] = False
        places = np.nonzero(sought.take(working.row.all))[0]
        if not len(places):
            return base
        row = working.row.all.take(places)
        now = self.pairs.now.all.take(row)
        frame = Rows(self.pairs, row, now, places)
        start, full = (self._run(frame, step) for step in cells.shares)
        moved = vc.plus(at(row, now + working.signed.all.take(places), places), vc.negated(at(row, now, places)))
        gain = vc.greatest(vc.constant(0), vc.plus(moved, vc.plus(full, vc.negated(start))))
        each = vc.plus(start, gain)
        position = np.zeros(self.pairs.size, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        added = added_up(each, position.take(row), len(rows))
        found = vc.plus(base, added)
        if cells.total.mode != "corners":
            return found
        several = self.pairs.orders.all.take(rows) > 1  # their corners are the single path's
        missing = vc.joined(found.missing, several if several.any() else None)
        return vc.Numbers(found.data, found.factor, found.low, found.high, missing)

    def _run(self, frame: Frame, step: int) -> vc.Numbers:
        found = self.code.run(frame, (step,))[0]
        assert isinstance(found, vc.Numbers)
        return found

    # ---- for orders ----------------------------------------------------------------------------------------

    def sum(self, number: int, names: Named) -> Column:
        """For each order the sum of its group."""
        cells = self.cells[number]
        if cells.peak * max(1, self.most) > INT64:
            return vc.all_missing(len(names.row))
        group = self._group(cells, names)
        cell = names.once(("cell", cells.total.scope, cells.width), lambda: names.account * cells.width + group.number)
        lost = cells.unknown.take(cell) > 0 if cells.gaps else None
        return vc.numbers(cells.known.take(cell), cells.factor, _some(vc.joined(lost, group.lacking)))

    @staticmethod
    def _group(cells: Cells, names: Named) -> _Group:
        """The group of each order's name in one kind of sum."""

        def look() -> _Group:
            number = cells.groups.of(names.symbol)
            return _Group(number, _some(number < 0))

        return names.once(("group", cells.total.scope), look)

    def own(self, number: int, names: Named) -> Column:
        """For each order what its name has in the sum, or, for sums of what is there, what it would bring along."""
        cells = self.cells[number]
        if cells.total.scope == "line":
            found = vc.picked(names.member, self._held(cells, names), self._brought(cells, names))
        elif cells.total.mode in ("still", "linear"):
            found = vc.picked(names.member, vc.constant(0), self._brought(cells, names))
        else:
            found = vc.picked(names.member, self._held(cells, names), vc.constant(0))
        return found if cells.total.scope == "line" else vc.lacking(found, self._group(cells, names).lacking)

    @staticmethod
    def _held(cells: Cells, names: Named) -> vc.Numbers:
        """What is held of each order's name has in the sum."""
        lost = _some(cells.lost.take(names.row) > 0) if cells.gaps else None
        return vc.numbers(cells.amount.take(names.row), cells.factor, lost)

    def _brought(self, cells: Cells, names: Named) -> vc.Numbers:
        """What a name of which nothing is held brings along."""
        if names.once("all held", lambda: bool(names.member.data.all())):
            return vc.constant(0)
        return self._run(_Empty(names.account, names.symbol), cells.step)


def _some(missing: vc.Mask) -> vc.Mask:
    """What is missing, None where that is nothing."""
    return missing if missing is not None and missing.any() else None


@dataclass(frozen=True, slots=True)
class _Group:
    """The group of each order's name by number, and where there is none."""

    number: Ints
    lacking: vc.Mask


@dataclass(slots=True)
class _Empty:
    """A frame of names of which nothing is held."""

    account: Ints
    symbol: Ints

    def index(self, level: Level) -> Ints:
        return self.symbol if level is Level.INSTRUMENT else self.account

    def read(self, what: tuple[object, ...]) -> Column:
        if what in (("x",), ("now",), ("low",), ("high",), ("position", "position.before.quantity")):
            return vc.constant(0)
        raise NotVectorError(f"{what[0]} of a name that is not held")


def added_up(each: vc.Numbers, place: Ints, size: int) -> vc.Numbers:
    """Sums of a column by place."""
    count = int(np.bincount(place, minlength=1).max())
    if max(abs(each.low), abs(each.high)) * count > INT64:
        return vc.all_missing(size)
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, place, each.data)
    if each.missing is None:
        return vc.numbers(found, each.factor)
    lost = np.zeros(size, dtype=np.bool_)
    np.logical_or.at(lost, place, each.missing)
    return vc.numbers(found, each.factor, lost)
