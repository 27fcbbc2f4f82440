"""What old orders can bring to sums over names, added up anew for each account that changed.

In: atoms of the expert's leaves (`atoms.py`), rows of holdings from the expert's own facts. Out: for each order the
worst total of its group, and that without its own name. Guaranteed: what `expert/worst.py` finds (`linear_share`,
`convex_share`, `mixed_share` name by name), as integers over one fixed scale; a total with a share that is not known,
or one that could leave 64 bits, is missing. Refused: `NotVectorError` for atoms over anything but holdings and orders.
Why from nothing each time: it is the check on `vector_cells.py`, which keeps the same sums by differences.
Before: `vector_pairs.py`. After: `vector_second.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from lexorder.engine import vector_columns as vc
from lexorder.engine.expert.atoms import Atom
from lexorder.engine.slots import names_read, touches
from lexorder.engine.terms import Aggregate, Literal
from lexorder.engine.units import COUNT
from lexorder.engine.vector_code import Level, NotVectorError
from lexorder.engine.vector_columns import INT64, Column, Flags, Ints
from lexorder.engine.vector_pairs import HELD_FACTS, Named, Pairs, Rows
from lexorder.engine.vector_terms import Around, Num, Terms


@dataclass(frozen=True, slots=True)
class Sought:
    """A total: its atoms, how a name's share bends (`linear`, `convex`, `mixed`), the subject's kind, whose names."""

    atoms: tuple[Atom, ...]
    shape: str
    kind: str
    scope: str


@dataclass(slots=True)
class Kept:
    """One total. `share` by row and `sum` by account and group are times `factor`; `lost` marks what is not known.

    `gaps` says whether anything is not known.
    """

    sought: Sought
    around: Around
    scale: int
    steps: dict[str, int]
    names: frozenset[str]
    factor: int = 1
    share: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    lost: Flags = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    sums: dict[int, tuple[Ints, Ints, Flags]] = field(default_factory=dict)
    total: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unsure: Flags = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    cell: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    gaps: bool = False


class OldOrders:
    """All totals of one plan, over one copy of the facts."""

    def __init__(self, terms: Terms, pairs: Pairs) -> None:
        self.terms = terms
        self.code = terms.code
        self.pairs = pairs
        self.kept: list[Kept] = []
        self._known: dict[Sought, int] = {}
        self._codes: dict[str, tuple[Ints, Ints]] = {}

    # ---- putting together ----------------------------------------------------------------------------------

    def take(self, sought: Sought) -> int:
        """The number of a total, the same one when asked again. Raises NotVectorError."""
        if sought not in self._known:
            around = Around(("account",) if sought.kind == "account" else ("account", sought.kind))
            x = self.code.read(Level.ROW, "x")
            held = self.contribution(sought.atoms, around, x)
            start, full = (self._orders(sought.atoms, around, filled) for filled in (False, True))
            if held.den >= 0 or start.den >= 0 or full.den >= 0:
                raise NotVectorError("a quotient inside a sum over names")
            one, two, scale, _ = self.terms.aligned(full, start)
            at, gained, scale, _ = self.terms.aligned(held, Num(self.code.apply("-", one, two), scale))
            steps = {"held": at, "gained": gained, "start": self.terms.scaled(start.step, scale // start.scale)}
            strange = self.code.row_facts(*steps.values()) - HELD_FACTS
            if strange:  # before anything is kept: it could never be added up
                raise NotVectorError(f"{min(strange)} of a name that is held")
            self._known[sought] = len(self.kept)
            self.kept.append(Kept(sought, around, scale, steps, self._names(sought.atoms)))
        return self._known[sought]

    def _names(self, atoms: Sequence[Atom]) -> frozenset[str]:
        """Every name whose change can change what these atoms add."""
        tables = self.terms.tables
        read = [t for a in atoms for t in (a.term, a.times.term) if t is not None]
        return frozenset[str]().union(*(names_read(t, tables.vocabulary, tables.derived) for t in read))

    def scale_of(self, number: int) -> int:
        """The scale of a total."""
        return self.kept[number].scale

    def contribution(self, atoms: Sequence[Atom], around: Around, holding: int) -> Num:
        """What a name's holding adds to a sum."""
        found = Num(self.code.constant(0))
        for atom in atoms:
            if atom.kind in ("position", "direct"):
                inner = Around(around.kinds, {"position.after.quantity": holding})
                found = self.terms.joined("+", found, self._one(atom, inner, around, "position"))
        return found

    def _orders(self, atoms: Sequence[Atom], around: Around, filled: bool) -> Num:
        """What a working order adds to a sum, unfilled or filled."""
        quantity = self.code.read(Level.ROW, "filled") if filled else self.code.constant(0)
        found = Num(self.code.constant(0))
        for atom in atoms:
            if atom.kind == "working":
                inner = Around(around.kinds, {"working_order.filled": quantity})
                found = self.terms.joined("+", found, self._one(atom, inner, around, "working_order"))
        return found

    def _one(self, atom: Atom, inner: Around, around: Around, collection: str) -> Num:
        """One atom at one member, with its factor."""
        terms = self.terms
        if atom.kind == "direct":
            value = terms.number(atom.term, inner)
        else:
            assert isinstance(atom.term, Aggregate)
            if atom.term.collection != collection or atom.term.kind not in ("sum", "count"):
                raise NotVectorError(f"a sum over each {atom.term.collection}")
            within = inner.within(collection)
            body = terms.number(atom.term.body or Literal(COUNT, Fraction(1)), within)
            if atom.term.where is not None:
                counts = terms.truth(atom.term.where, within)
                body = Num(self.code.apply("if", counts, body.step, self.code.constant(0)), body.scale, body.den)
            value = body
        ratio = atom.times.ratio
        value = terms.times(value, Num(self.code.constant(ratio.numerator), ratio.denominator))
        return value if atom.times.term is None else terms.times(value, terms.number(atom.times.term, around))

    # ---- bringing up to date -------------------------------------------------------------------------------

    def refresh(self, accounts: Flags, singles: frozenset[str] = frozenset()) -> None:
        """Add up anew for these accounts; and for all what reads these facts there is one of."""
        pairs, before = self.pairs, dict(self._codes)
        self._codes.clear()
        touched = accounts.take(pairs.account.all)
        touched[0] = False
        rows = np.nonzero(touched)[0]
        every = np.arange(1, pairs.size, dtype=np.int64)
        for kept in self.kept:
            self._width(kept.sought.scope)
            fresh = len(kept.share) == 0 or self._renumbered(kept.sought.scope, before) or touches(kept.names, singles)
            if fresh or not self._add_up(kept, rows, accounts):
                self._start(kept)
                kept.factor = 0
                self._add_up(kept, every, np.ones(len(accounts), dtype=np.bool_))
            kept.gaps = bool(kept.lost.any() or kept.unsure.any())

    def _renumbered(self, scope: str, before: dict[str, tuple[Ints, Ints]]) -> bool:
        """Whether groups have other numbers than before."""
        return scope in self._codes and (
            scope not in before or not np.array_equal(before[scope][1], self._codes[scope][1])
        )

    def _start(self, kept: Kept) -> None:
        count = len(self.pairs.tables.tables[Level.ACCOUNT].keys) * self._width(kept.sought.scope)
        kept.total, kept.unsure = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
        kept.share, kept.lost = np.zeros(self.pairs.size, np.int64), np.zeros(self.pairs.size, np.bool_)

    def _add_up(self, kept: Kept, rows: Ints, accounts: Flags) -> bool:
        """Put the sums of these accounts, all of whose rows are given; False when their factor does not fit."""
        found = self._shares(kept, rows)
        if kept.factor == 0 or not len(rows):
            kept.factor = kept.factor or found.factor
        elif found.low == found.high == 0:
            found = vc.Numbers(found.data, kept.factor, 0, 0, found.missing)
        if len(rows):
            if found.factor % kept.factor:
                return False
            level = vc.stretched(found, found.factor // kept.factor)
            if level.missing is not found.missing:
                return False
            found = level
        lost = np.broadcast_to(np.asarray(False if found.missing is None else found.missing), (len(rows),))
        more = self.pairs.size - len(kept.share)
        if more:
            kept.share = np.concatenate([kept.share, np.zeros(more, dtype=np.int64)])
            kept.lost = np.concatenate([kept.lost, np.zeros(more, dtype=np.bool_)])
        kept.share[rows] = np.where(lost, 0, found.data)
        kept.lost[rows] = lost
        width = self._width(kept.sought.scope)
        of = np.nonzero(accounts)[0]
        mine = (of[:, None] * width + np.arange(width)[None, :]).ravel()
        kept.total[mine] = 0
        kept.unsure[mine] = False
        cells = self._cells(kept.sought.scope, self.pairs.account.all.take(rows), self.pairs.symbol.all.take(rows))
        counted = (self.pairs.member.all.take(rows) > 0) & (cells >= 0)
        self._by_group(kept, rows[counted], cells[counted], max(abs(found.low), abs(found.high)))
        return True

    @staticmethod
    def _by_group(kept: Kept, rows: Ints, cells: Ints, peak: int) -> None:
        """The sum of each run of rows with one cell."""
        if not len(rows):
            return
        order = np.argsort(cells, kind="stable")
        cells, rows = cells[order], rows[order]
        starts = np.concatenate([[0], np.nonzero(np.diff(cells))[0] + 1])
        lengths = np.diff(np.concatenate([starts, [len(cells)]]))
        heads = cells[starts]
        kept.total[heads] = np.add.reduceat(kept.share[rows], starts)
        kept.unsure[heads] = np.logical_or.reduceat(kept.lost[rows], starts)
        if peak * int(lengths.max()) > INT64:
            kept.unsure[heads] |= np.array([peak * int(n) > INT64 for n in lengths])

    def _width(self, scope: str) -> int:
        """How many groups of one kind there are."""
        return 1 if scope in ("all", "line") else len(self._groups(scope)[1])

    def _cells(self, scope: str, account: Ints, symbol: Ints) -> Ints:
        """The account's place for the group of each name; -1 where the group is not known."""
        if scope in ("all", "line"):
            return account
        groups, codes = self._groups(scope)
        width = len(codes)
        mine = groups.take(symbol)
        return np.where(mine < 0, -1, account * width + mine)

    def _groups(self, scope: str) -> tuple[Ints, Ints]:
        """The group of each instrument, and the codes of the groups in order."""
        if scope not in self._codes:
            words = self.code.settled(self.code.read(Level.INSTRUMENT, "fact", scope))
            data = np.atleast_1d(words.data)
            codes, places = np.unique(data, return_inverse=True)
            lacking = data == self.terms.tables.word("")
            groups = np.where(lacking if words.missing is None else lacking | words.missing, -1, places.reshape(-1))
            self._codes[scope] = (groups.astype(np.int64), codes)
        return self._codes[scope]

    # ---- what a name adds ----------------------------------------------------------------------------------

    def _shares(self, kept: Kept, rows: Ints) -> vc.Numbers:
        """The greatest contribution that a name's old orders can bring."""
        pairs = self.pairs
        if kept.sought.shape == "convex":
            ends = [
                self._run(Rows(pairs, rows, end.all.take(rows)), kept.steps["held"]) for end in (pairs.low, pairs.high)
            ]
            found = vc.greatest(*ends)
        else:
            found = self._run(Rows(pairs, rows, pairs.now.all.take(rows)), kept.steps["held"])
            found = self._with_orders(kept, rows, found)
        unknown = pairs.known.all.take(rows) == 0
        if kept.sought.shape == "mixed":
            unknown |= pairs.orders.all.take(rows) > 1  # every combination of them is the single path's
        missing = vc.joined(found.missing, unknown if unknown.any() else None)
        return vc.Numbers(found.data, found.factor, found.low, found.high, missing)

    def _with_orders(self, kept: Kept, rows: Ints, base: vc.Numbers) -> vc.Numbers:
        """Each working order fills where that adds."""
        pairs, working = self.pairs, self.pairs.working
        position = np.full(pairs.size, -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        position[0] = -1
        places = np.nonzero(position.take(working.row.all) >= 0)[0]
        if not len(places):
            return base
        row = working.row.all.take(places)
        now = pairs.now.all.take(row)
        ends = [
            self._run(Rows(pairs, row, x, places), kept.steps["held"])
            for x in (now + working.signed.all.take(places), now)
        ]
        moved = vc.plus(ends[0], vc.negated(ends[1]))
        frame = Rows(pairs, row, now, places)
        gained = self._run(frame, kept.steps["gained"])
        gain = vc.greatest(vc.plus(moved, gained), vc.constant(0))
        return vc.plus(
            base, self._scattered(vc.plus(gain, self._run(frame, kept.steps["start"])), position.take(row), len(rows))
        )

    @staticmethod
    def _scattered(each: vc.Numbers, place: Ints, size: int) -> vc.Numbers:
        """Sums by place: of runs of one place, or in unlimited integers where that could leave 64 bits."""
        data = np.broadcast_to(np.asarray(each.data), place.shape)
        gone = np.broadcast_to(np.asarray(False if each.missing is None else each.missing), place.shape)
        if max(abs(each.low), abs(each.high)) * len(place) > INT64:
            return _one_by_one(data.tolist(), gone.tolist(), place.tolist(), each.factor, size)
        order = np.argsort(place, kind="stable")
        starts = np.nonzero(np.diff(place[order], prepend=-1))[0]
        heads = place[order][starts]
        found, lost = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.bool_)
        found[heads] = np.add.reduceat(data[order], starts)
        lost[heads] = np.logical_or.reduceat(gone[order], starts)
        return vc.numbers(found, each.factor, lost if lost.any() else None)

    def _run(self, frame: Rows, step: int) -> vc.Numbers:
        found = self.code.run(frame, (step,))[0]
        assert isinstance(found, vc.Numbers)
        return found

    # ---- for orders ----------------------------------------------------------------------------------------

    def sum(self, number: int, names: Named, others: bool) -> Column:
        """For each order the total of its group, perhaps of the others alone."""
        kept = self.kept[number]
        own = names.once(("own", number), lambda: self._own(kept, names))
        if kept.sought.scope == "line":
            return vc.constant(0) if others else own
        total = names.once(("total", number), lambda: self._total(kept, names))
        if others:
            return vc.plus(total, vc.negated(vc.Numbers(own.data, own.factor, own.low, own.high)))
        return total

    @staticmethod
    def _own(kept: Kept, names: Named) -> vc.Numbers:
        """What the name of each order has in the total."""
        member = names.member.data
        lost = kept.lost.take(names.row) & member if kept.gaps else None
        share = np.where(member, kept.share.take(names.row), 0)
        return vc.numbers(share, kept.factor, lost if lost is not None and lost.any() else None)

    def _total(self, kept: Kept, names: Named) -> vc.Numbers:
        """The total of the group of each order's name."""
        scope = kept.sought.scope
        cell = names.once(("cell", scope), lambda: self._cells(scope, names.account, names.symbol))
        unsure = names.once(("no group", scope), lambda: cell < 0)
        if kept.gaps:
            unsure = unsure | kept.unsure.take(cell)
        return vc.numbers(kept.total.take(cell), kept.factor, unsure if unsure.any() else None)


def _one_by_one(data: Sequence[int], gone: Sequence[bool], place: Sequence[int], factor: int, size: int) -> vc.Numbers:
    found: list[int | None] = [0] * size
    for where, amount, lost in zip(place, data, gone, strict=True):
        now = found[where]
        found[where] = None if lost or now is None else now + amount * factor
    return vc.from_integers(found)
