"""The cells of a row that belong to one name of one account: sums without it, its own ends, the day's fills.

In: the cells of a `RowPlan`, the live facts. Out: for one cell its integer, symbol, or None where it is not known or
does not fit; for the cells a kind of order needs, one function that fills their slots. Guaranteed: the function gives
what `cell` gives, cell by cell. Refused: nothing. Why a written function: which cells are needed and how each is read
is the same for all orders of a kind, and asking again for each cell costs more than reading it (`exec` runs only text
made of numbers and of words that stand here). Before: `rowlook.py`, `rowsums.py`, `rowvalues.py`. After: `rows.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lexorder.engine.expert.factmemory import Memory
from lexorder.engine.expert.live import Account, Live
from lexorder.engine.expert.rowlook import Ends, Look, ends_of, held_code
from lexorder.engine.expert.rowplan import Cell, RowPlan
from lexorder.engine.expert.rowsums import Summing, Sums
from lexorder.engine.expert.rowvalues import Bounds, spelt
from lexorder.engine.expert.worst import end_fills, excess_of
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Aggregate

Off = frozenset[int]
Needed = Sequence[tuple[int, Cell]]
"""Cells an order needs, with the places of their slots among the last ones of the row."""
Fill = Callable[[Look, Ends, Sums, Mapping[int, Any]], tuple[list[int], Off]]
"""Fills the slots of one order: addresses, and the variants that a missing or unfitting value switches off."""
NOTHING: Off = frozenset()


class Cells:
    """Reads the cells of one book."""

    def __init__(self, plan: RowPlan, live: Live, bounds: Bounds, memory: Memory) -> None:
        self.live = live
        self.bounds = bounds
        self.memory = memory
        self.sums = Summing(live, bounds, plan)
        self.last = (*plan.by_place["sum"], *plan.by_place["line"], *plan.by_place["fill"])
        self.users: dict[int, Off] = {c.number: frozenset() for c in plan.cells}
        for rowed in plan.rowed:
            for cell in rowed.cells:
                self.users[cell.number] |= {rowed.number}
        self.zeros = [memory.constant(0)] * len(self.last)

    # ---- one cell ------------------------------------------------------------------------------------

    def fitting(self, cell: Cell, look: Look) -> int | str | None:
        """What a cell that is one term holds; None where its value is not known or does not fit."""
        try:
            found = look.value(cell)
        except MissingFactError:
            return None
        return self.bounds.scaled(cell, found) if isinstance(found, Fraction) else spelt(found)

    def cell(self, cell: Cell, look: Look, ends: Ends | None, sums: Sums) -> int | str | None:
        """One cell of this name in this account; without ends shares are no whole numbers."""
        if cell.place == "sum":
            return self._sum(cell, look, ends, sums)
        if cell.place == "fill":  # nearly always of an account that has none
            return self.fitting(cell, look) if self.live.fills.any_of(look.state.id) else 0
        if cell.leaf.what in ("term", "counted"):
            return self.fitting(cell, look)
        if ends is None:
            return None
        match cell.leaf.what:
            case "held":
                return ends.held
            case "low":
                return ends.low
            case "high":
                return ends.high
        return self._valued(cell, look, ends)

    def _sum(self, cell: Cell, look: Look, ends: Ends | None, sums: Sums) -> int | None:
        state = look.state
        if cell.scope == "own":
            if cell.leaf.what in ("others", "others-mixed"):
                return 0
            return self.sums.own(cell, look, ends)
        running = sums.running.get(cell.number) or self.sums.running(sums, cell, state)
        group: Any = "" if cell.scope == "all" else self.live.instruments.get(look.symbol, {}).get(cell.scope)
        if running.unknown.get(group):
            return None
        total = running.totals.get(group, 0)
        share = running.shares.get(look.symbol)
        if cell.leaf.what in ("term", "old"):
            # a name the account has nothing of is not in the total, but is among the positions once ordered
            if share is not None:
                return total
            more = self.sums.own(cell, look, ends)
            return None if more is None else total + more
        return total if share is None else total - (share[1] or 0)

    def _valued(self, cell: Cell, look: Look, ends: Ends) -> int | None:
        """What the name contributes at an end, or for one share more."""
        what = cell.leaf.what
        try:
            units = self.sums.units(cell, look)
            if units is None:
                return self._by_reference(cell, look, ends)
        except MissingFactError:
            return None
        up, down = units
        if what == "slope":
            return up if up == -down else self._by_reference(cell, look, ends)
        if what == "still" and ends.working:
            return None
        at = ends.low if what == "at-low" else ends.high if what == "at-high" else ends.held
        return up * at if at > 0 else -down * at

    def _by_reference(self, cell: Cell, look: Look, ends: Ends) -> int | None:
        """The same by the reference meaning, for what has no unit values."""
        what, atoms, reading, state = cell.leaf.what, cell.leaf.atoms, look.reading(cell.entity), look.state
        low, high = end_fills(state, look.symbol)
        if what == "slope":
            one = {("order", str(look.order["order.id"])): Fraction(1)}
            orders = (look.order,)
            step = excess_of(atoms, look.symbol, reading, one, orders)
            step -= excess_of(atoms, look.symbol, reading, {}, orders)
            return self.bounds.exact(cell, step if look.order["order.side"] == "buy" else -step)
        if what == "still" and ends.working:
            return None
        fills = {"at-low": low, "at-high": high}.get(what, {})
        return self.bounds.exact(cell, excess_of(atoms, look.symbol, reading, fills, ()))

    # ---- all the cells of an order -------------------------------------------------------------------

    def slots(self, fill: Fill, needed: Needed, look: Look, state: Account) -> tuple[list[int], Off]:
        """The last slots of a row by the function of its kind of order."""
        sums = self.sums.of(state)
        valued = self.sums.valued_of(look)
        ends = ends_of(state, look.symbol)
        if ends is None:
            return self._one_by_one(needed, look, sums)
        return fill(look, ends, sums, valued.units)

    def _one_by_one(self, needed: Needed, look: Look, sums: Sums) -> tuple[list[int], Off]:
        slots, off = self.zeros.copy(), NOTHING
        for place, cell in needed:
            address, more = self.placed(cell.number, self.cell(cell, look, None, sums))
            slots[place] = address
            off |= more
        return slots, off

    def placed(self, number: int, found: int | str | None) -> tuple[int, Off]:
        """The address of a cell's value, and what it switches off."""
        if found is None:
            return self.zeros[0], self.users[number]
        if isinstance(found, str):
            return self.memory.symbol(found), NOTHING
        if not self.bounds.admits(number, found):
            return self.zeros[0], self.users[number]
        return self.memory.integer(found), self.bounds.beyond(number, found)

    def written(self, needed: Needed) -> Fill:
        """The function that fills the slots of these cells."""
        lines = [_HEAD]
        space: dict[str, Any] = {
            "zeros": self.zeros.copy,
            "create": self.memory.create,
            "environment": self.memory.environment,
            "ranges": self.bounds.ranges,
            "limits": self.bounds.limits,
            "placed": self.placed,
            "cell": self.cell,
            "instruments": self.live.instruments,
            "any_fill": self.live.fills.any_of,
            "nothing": NOTHING,
        }
        for place, each in needed:
            if each.scope == "own" and each.leaf.what in ("others", "others-mixed"):
                continue  # no other name counts: it stays zero
            space[f"c{each.number}"] = each
            lines += [*_reading(each, self.bounds.scales[each.number]), _PUT.format(n=each.number, place=place)]
        lines.append("    return slots, off")
        exec(compile("\n".join(lines), "<cells of a row>", "exec"), space)  # noqa: S102 - see the module's docstring
        fill: Fill = space["fill"]
        return fill


_HEAD = """\
def fill(look, ends, sums, units):
    slots, off = zeros(), nothing
    held, low, high, working = ends
    symbol, running = look.symbol, sums.running
    facts = instruments.get(symbol) or {}"""

_PUT = """\
    if v.__class__ is int and ranges[{n}][0] <= v <= ranges[{n}][1] and {n} not in limits:
        slots[{place}] = create(environment, v)
    else:
        slots[{place}], more = placed({n}, v)
        off |= more"""

_SLOW = "v = cell(c{n}, look, ends, sums)"
_UNIT = """\
    u = units.get({n})
    if u is None{unless}: {slow}
    else: v = {code}"""
_UNLESS = {"slope": " or u[0] != -u[1]", "old": " or u[0] != -u[1] or working", "still": " or working"}
_CODES = {
    "at-low": "u[0] * low if low > 0 else -u[1] * low",
    "at-high": "u[0] * high if high > 0 else -u[1] * high",
    "slope": "u[0]",
    "still": "u[0] * held if held > 0 else -u[1] * held",
    "old": "u[0] * held",
}
_TOTAL = """\
    r = running.get({n})
    g = {group}
    if r is None or r.unknown.get(g): {slow}
    else:
        share = r.shares.get(symbol)
        {rest}"""
_WITH = "v = r.totals.get(g, 0) if share is not None{adds_nothing} else {slow}"
_WITHOUT = "v = r.totals.get(g, 0) if share is None else r.totals.get(g, 0) - (share[1] or 0)"


def _adds_nothing(cell: Cell) -> str:
    """When a name of which nothing is held and nothing works adds nothing to a sum: code to follow a condition."""
    term = cell.leaf.term
    if isinstance(term, Aggregate):
        return " or not working" if term.collection == "working_order" else ""
    return f" or (not held and not working and units.get({cell.number}))"


def _reading(cell: Cell, scale: int) -> Sequence[str]:
    """The lines that let `v` be a cell's value; what is rare is asked of `Cells.cell`."""
    n, what = cell.number, cell.leaf.what
    slow = _SLOW.format(n=n)
    if cell.place == "sum" and cell.scope != "own":
        group = '""' if cell.scope == "all" else f"facts.get({cell.scope!r})"
        rest = _WITHOUT
        if what in ("term", "old"):
            rest = _WITH.format(adds_nothing=_adds_nothing(cell), slow=slow.removeprefix("v = "))
        return [_TOTAL.format(n=n, group=group, slow=slow, rest=rest)]
    if what in _CODES:
        return [_UNIT.format(n=n, unless=_UNLESS.get(what, ""), slow=slow, code=_CODES[what])]
    if what in ("held", "low", "high"):
        return [f"    v = {what}"]
    if cell.place == "fill":
        return [f"    v = {slow.removeprefix('v = ')} if any_fill(look.state.id) else 0"]
    if cell.place == "line" and cell.leaf.kind == "number" and what == "term":
        code = held_code(cell.leaf.term)
        if code is not None:
            return [f"    v = {scale} * {code}"]
    return [f"    {slow}"]
