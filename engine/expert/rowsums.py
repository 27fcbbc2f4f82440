"""Running sums over an account's names, as integers, brought up to date by what events touched.

In: the live facts and the cells that are sums. Out: for a cell the total of a group and the share of one name.
Guaranteed: equal to `worst.Totals` at the cell's scale; a total with a share that is not known is not known. Refused:
nothing. Why integers and unit values: after a reservation one name of one account has changed, and its share must cost
microseconds. Before: `rowlook.py`, `rowvalues.py`. After: `rows.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, cast

from lexorder.engine.evaluate import Point
from lexorder.engine.expert.atoms import Atom
from lexorder.engine.expert.live import Account, Live
from lexorder.engine.expert.rowlook import (
    DERIVED,
    NOTHING,
    Ends,
    Look,
    ends_of,
    times_filled,
    unit_places,
    unit_values,
    working_values,
)
from lexorder.engine.expert.rowplan import Cell, RowPlan, places
from lexorder.engine.expert.rowvalues import Bounds
from lexorder.engine.expert.worst import convex_share, linear_share, mixed_share
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, MissingFactError
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Aggregate, Term

Units = tuple[int, int] | None
Atoms = tuple[Atom, ...]
Exact = tuple[Fraction, Fraction]
_Named = tuple[Look, Ends | None]
"""What a name of an account is read with."""
_SHARES = {"old": linear_share, "others": convex_share, "others-mixed": mixed_share}


@dataclass(slots=True)
class Running:
    """One sum: totals by group, and each name's group and share (None: not known)."""

    totals: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    shares: dict[str, tuple[str, int | None]] = field(default_factory=dict)

    def put(self, symbol: str, group: str | None, share: int | None) -> None:
        """A name's share now; no group: the name is not counted."""
        old = self.shares.pop(symbol, None)
        if old is not None:
            self._add(old[0], old[1], -1)
        if group is not None:
            self.shares[symbol] = (group, share)
            self._add(group, share, 1)

    def times(self, factor: int) -> Running:
        """The same at a scale so many times finer."""
        if factor == 1:
            return self
        shares = {s: (g, None if n is None else n * factor) for s, (g, n) in self.shares.items()}
        return Running({g: n * factor for g, n in self.totals.items()}, self.unknown, shares)

    def _add(self, group: str, share: int | None, sign: int) -> None:
        if share is None:
            self.unknown[group] = self.unknown.get(group, 0) + sign
        else:
            self.totals[group] = self.totals.get(group, 0) + sign * share


@dataclass(slots=True)
class Sums:
    """The sums of one account that were asked for, by cell, and how much of the account's log they have seen.

    `again` are names whose shares may be known now, though nothing was logged of them.
    """

    running: dict[int, Running] = field(default_factory=dict)
    stamp: tuple[Any, ...] = ()
    seen: int = 0
    facts_version: int = -1
    expires: datetime | None = None
    again: frozenset[str] = frozenset()


@dataclass(slots=True)
class Valued:
    """Unit values of one name, by the number of the atoms and by cell, good while its facts stay."""

    stamp: tuple[Any, ...]
    expires: datetime | None
    exact: dict[int, Exact] = field(default_factory=dict)
    units: dict[int, Units] = field(default_factory=dict)


class Summing:
    """All sums of a book of rows."""

    def __init__(self, live: Live, bounds: Bounds, plan: RowPlan) -> None:
        self.live = live
        self.bounds = bounds
        cells = plan.by_place["sum"]
        self.cells = {c.number: c for c in cells}
        self.epoch = 0
        numbers: dict[Atoms, int] = {}
        self._numbers = numbers
        of_line = [c for c in plan.by_place["line"] if c.leaf.atoms]
        self.timed = any(c.timed for c in (*cells, *of_line))
        self._atoms = {c.number: numbers.setdefault(c.leaf.atoms, len(numbers)) for c in (*cells, *of_line)}
        alike: dict[object, int] = {}
        keys = {
            c.number: (c.leaf.what, self._atoms[c.number], bounds.scales[c.number]) if c.leaf.atoms else c.number
            for c in cells
        }
        self._alike = {number: alike.setdefault(key, len(alike)) for number, key in keys.items()}
        """Equal for sums that count the same share of a name that has no working orders, whatever their groups."""
        self._places = [unit_places(atoms, live.vocabulary) for atoms in numbers]
        self._works = [any(a.kind == "working" for a in atoms) for atoms in numbers]
        self._flat = [all(times_filled(a.term) for a in atoms if a.kind == "working") for atoms in numbers]
        self.personal = tuple(c.number for c in cells if _reads_account(c, live.vocabulary))
        self._accounts: dict[str, Sums] = {}
        self._valued: dict[tuple[str, str], Valued] = {}

    def inherit(self, older: Summing) -> None:
        """Take over what a book of coarser scales knew of the same facts; what was too fine for it is worked out anew.

        Every scale here must be a multiple of the older one.
        """
        self.epoch = older.epoch
        here = {(c.leaf, c.scope): c.number for c in self.cells.values()}
        same = {n: here[c.leaf, c.scope] for n, c in older.cells.items() if (c.leaf, c.scope) in here}
        times = {n: self.bounds.scales[m] // older.bounds.scales[n] for n, m in same.items()}
        for account, sums in older._accounts.items():
            known = {same[n]: running.times(times[n]) for n, running in sums.running.items() if n in same}
            fine = {symbol for r in known.values() for symbol, (_, share) in r.shares.items() if share is None}
            self._accounts[account] = replace(sums, running=known, again=sums.again | fine)
        atoms = {number: self._numbers.get(atoms) for atoms, number in older._numbers.items()}
        for key, valued in older._valued.items():
            exact = {m: both for n, both in valued.exact.items() if (m := atoms[n]) is not None}
            self._valued[key] = Valued(valued.stamp, valued.expires, exact)

    # ---- asking ------------------------------------------------------------------------------------

    def of(self, state: Account) -> Sums:
        """The sums of an account, those known so far brought up to date."""
        live = self.live
        sums = self._accounts.get(state.id)
        if sums is None:
            sums = self._accounts[state.id] = Sums()
        clock = live.time_epoch if self.timed else 0
        currency = live.account_facts.get(state.id, {}).get("account.currency")  # exchange rates are into it
        stamp = (state.logs, self.epoch, clock, currency)
        if sums.stamp != stamp or (sums.expires is not None and live.snapshot.time > sums.expires):
            sums.running.clear()
            sums.expires = None
            sums.again = frozenset()
        elif sums.seen != len(state.log) or sums.again:
            touched, sums.again = dict.fromkeys((*state.log[sums.seen :], *sums.again)), frozenset()
            for symbol in touched:
                name = self._name(state, symbol, sums)
                known: dict[int, int | None] = {}
                for number, running in sums.running.items():
                    self._update(running, self.cells[number], symbol, name, known)
        if sums.facts_version != state.facts_version:
            for number in self.personal:
                sums.running.pop(number, None)
        sums.stamp, sums.seen, sums.facts_version = stamp, len(state.log), state.facts_version
        return sums

    def running(self, sums: Sums, cell: Cell, state: Account) -> Running:
        """One sum of an account, built when first asked for."""
        found = sums.running.get(cell.number)
        if found is None:
            found = sums.running[cell.number] = Running()
            for symbol in state.symbols():
                self._update(found, cell, symbol, self._name(state, symbol, sums), {})
        return found

    def own(self, cell: Cell, look: Look, ends: Ends | None) -> int | None:
        """The share of one name alone; None when it is not known."""
        if ends is None:
            return None
        try:
            return self._settled(cell, look, ends) if cell.leaf.what == "term" else self._moving(cell, look, ends)
        except MissingFactError:
            return None

    # ---- working out -------------------------------------------------------------------------------

    def _name(self, state: Account, symbol: str, sums: Sums) -> _Named | None:
        """A name to be summed; None when the account has nothing of it any more."""
        if symbol not in state.positions and not state.working_of.get(symbol):
            return None
        look = Look(self.live, state, symbol, {"order.symbol": symbol, "order.account": state.id})
        until = self.valued_of(look).expires
        if until is not None:
            sums.expires = until if sums.expires is None else min(sums.expires, until)
        return look, ends_of(state, symbol)

    def _update(
        self, running: Running, cell: Cell, symbol: str, name: _Named | None, known: dict[int, int | None]
    ) -> None:
        """Let a sum count a name as it is now. `known` are shares of this name that other sums count too."""
        if name is None:
            running.put(symbol, None, None)
            return
        group: Any = ""
        if cell.scope != "all":
            group = self.live.instruments.get(symbol, {}).get(cell.scope)
            if not isinstance(group, str) or not group:
                running.put(symbol, None, None)  # in no group: no subject counts it
                return
        alike, (look, ends) = self._alike[cell.number], name
        if alike not in known or ends is None or ends.working:
            known[alike] = self.own(cell, look, ends)
        running.put(symbol, group, known[alike])

    def _settled(self, cell: Cell, look: Look, ends: Ends) -> int | None:
        """A sum that no fill changes."""
        term = cast(Aggregate, cell.leaf.term)
        if term.collection == "working_order" and not ends.working:
            return 0
        seen = self.live.alone(look.state.id, look.symbol)
        stack = (account_subject(seen), look.subject(cell.entity))
        found = self.live.readers.value(cast(Term, term), Point(seen, stack, {}, DERIVED))
        return self.bounds.exact(cell, cast(Fraction, found))

    def _moving(self, cell: Cell, look: Look, ends: Ends) -> int | None:
        atoms = cell.leaf.atoms
        units = self.units(cell, look)
        if units is None or (cell.leaf.what == "others-mixed" and ends.working):
            share = _SHARES[cell.leaf.what](atoms, look.symbol, look.reading(cell.entity))
            return self.bounds.exact(cell, share)
        up, down = units
        if cell.leaf.what == "old":
            return self._linear(cell, look, ends, units)
        low, high = ends.low, ends.high
        return max(up * low if low > 0 else -down * low, up * high if high > 0 else -down * high)

    def _linear(self, cell: Cell, look: Look, ends: Ends, units: tuple[int, int]) -> int | None:
        up, down = units
        if up != -down:
            share = linear_share(cell.leaf.atoms, look.symbol, look.reading(cell.entity))
            return self.bounds.exact(cell, share)
        total = up * ends.held
        for order in look.state.working_of.get(look.symbol, ()):
            none, each = self._working(cell, order, look)
            start, step = self.bounds.exact(cell, none), self.bounds.exact(cell, each)
            if start is None or step is None:
                return None
            quantity: Any = order["working_order.quantity"]
            slope = step + (up if order["working_order.side"] == BUY else -up)
            total += start + max(0, slope * quantity.numerator)
        return total

    def _working(self, cell: Cell, order: Facts, look: Look) -> Exact:
        """What a working order adds, unfilled and for each share; cells of the same atoms ask for the same."""
        number = self._atoms[cell.number]
        if not self._works[number]:
            return NOTHING, NOTHING
        key = (str(order["working_order.id"]), number, cell.entity)
        if key not in look.worked:
            look.worked[key] = working_values(cell.leaf.atoms, order, look, cell.entity, flat=self._flat[number])
        return look.worked[key]

    # ---- unit values -------------------------------------------------------------------------------

    def units(self, cell: Cell, look: Look) -> Units:
        """Unit values at a cell's scale; None where its atoms have none. Raises MissingFactError."""
        number = self._atoms[cell.number]
        reads = self._places[number]
        if reads is None or not reads <= {"instrument", "single", "account"}:
            return None
        if "account" in reads:
            return self._scaled(cell, unit_values(cell.leaf.atoms, look, cell.entity))
        valued: Valued = look.valued or self.valued_of(look)
        if cell.number not in valued.units:
            if number not in valued.exact:
                valued.exact[number] = unit_values(cell.leaf.atoms, look, cell.entity)
            valued.units[cell.number] = self._scaled(cell, valued.exact[number])
        return valued.units[cell.number]

    def _scaled(self, cell: Cell, both: Exact) -> Units:
        up, down = (self.bounds.exact(cell, x) for x in both)
        return None if up is None or down is None else (up, down)

    def valued_of(self, look: Look) -> Valued:
        """The unit values of a name that are known by now."""
        live = self.live
        currency = str(live.account_facts.get(look.state.id, {}).get("account.currency", ""))
        key = (look.symbol, currency)
        clock = live.time_epoch if self.timed else 0
        stamp = (live.instrument_version[look.symbol], self.epoch, clock)
        found = self._valued.get(key)
        stale = found is None or found.stamp != stamp
        if found is None or stale or (found.expires is not None and live.snapshot.time > found.expires):
            found = self._valued[key] = Valued(stamp, live.expiry(look.symbol))
        look.valued = found
        return found


def _reads_account(cell: Cell, vocabulary: Vocabulary) -> bool:
    """Whether shares depend on facts of the account: then all are out of date with these."""
    leaf = cell.leaf
    terms = (leaf.term, *(t for a in leaf.atoms for t in (a.term, a.times.term)))
    return any("account" in places(t, vocabulary) for t in terms if t is not None)
