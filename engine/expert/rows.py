"""Orders judged from one row: CLIPS gets one fact for an order, with every prepared value in its slots.

In: a `RowPlan`, the live facts, orders. Out: a row, and the variants switched off in it. Guaranteed: values are exact,
of the present facts, and within proven bounds; a rule with a value that is missing, stale or does not fit is switched
off and takes the exact verdict. Refused: FinerError when the row is to be planned anew at finer scales. Why blocks:
what an account, an instrument or a trader is worth to the rules is worked out once for all orders about it, and copied.
Before: `rowplan.py`, `rowcells.py`, `factmemory.py`. After: `book.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lexorder.engine.events import Event, SingleChanged, StrategySet
from lexorder.engine.expert import formula as f
from lexorder.engine.expert.emit import SIDE, default_number, default_word
from lexorder.engine.expert.factmemory import Memory
from lexorder.engine.expert.live import TIME, Account, Live
from lexorder.engine.expert.lower import Scales
from lexorder.engine.expert.lowered import variable_of
from lexorder.engine.expert.rowcells import Cells, Fill, Needed
from lexorder.engine.expert.rowlook import Look
from lexorder.engine.expert.rowplan import ALL, Cell, Place, Rowed, RowPlan
from lexorder.engine.expert.rowvalues import Bounds, spelt_word
from lexorder.engine.expert.session import Session
from lexorder.engine.rule import Facts
from lexorder.engine.subjects import NAMED
from lexorder.engine.terms import Field
from lexorder.engine.units import Kind

BLOCKS: tuple[Place, ...] = ("single", "account", "instrument", "trader", "strategy")
SUMMED: tuple[Place, ...] = ("sum", "line")
"""Places whose cells are worked out from running sums and unit values."""
NONE: frozenset[int] = frozenset()
Values = Mapping[int, Any]


@dataclass(slots=True)
class Block:
    """The values that depend on one thing: their addresses in CLIPS, which variants lack one, which they rule out."""

    stamp: tuple[Any, ...]
    expires: datetime | None
    packed: bytes
    kept: list[int]
    off: frozenset[int]
    dead: frozenset[int]


@dataclass(frozen=True, slots=True)
class Way:
    """What orders with the same variants ruled out have in common: the cells they still need, and what fills these."""

    needed: Needed
    fill: Fill
    off: frozenset[int]
    switches: bytes


class Rows:
    """The rows of one book, one thread."""

    def __init__(self, plan: RowPlan, live: Live, scales: Scales) -> None:
        self.plan = plan
        self.live = live
        self.session = Session()
        self.session.load(plan.constructs)
        self.bounds = Bounds(plan, scales)
        slots = len(plan.rowed) + 1 + len(plan.order) + len(plan.cells)
        self.memory = Memory(self.session, "row", slots)
        self.cells = Cells(plan, live, self.bounds, self.memory)
        self.sums = self.cells.sums
        self.epochs: dict[Place, int] = dict.fromkeys(ALL, 0)
        self._reads = {place: read_by(plan.by_place[place]) for place in ALL}
        self.rule_of = {r.number: r.variant.rule for r in plan.rowed}
        self._of_slot = {
            n.name: frozenset(r.number for r in plan.rowed if n.name in r.variant.lowered.slots) for n in plan.order
        }
        self._sides = {r.number: r.variant.sides for r in plan.rowed}
        self._blocks: dict[Place, dict[str, Block]] = {place: {} for place in BLOCKS}
        self._timed = {place: any(c.timed for c in plan.by_place[place]) for place in BLOCKS}
        self._mixed: list[tuple[int, frozenset[int]]] = []
        self._tests: dict[Place, list[tuple[int, Callable[[Values], bool]]]] = {place: [] for place in BLOCKS}
        for rowed in plan.rowed:
            self._rule_out(rowed)
        self._ways: dict[tuple[Any, ...], Way] = {}
        self._fills: dict[tuple[int, ...], Fill] = {}
        self._switched: dict[frozenset[int], bytes] = {}
        self._grouped = [(r.number, g) for r in plan.rowed if (g := self._groups(r))]
        self._true, self._false = self.memory.symbol("TRUE"), self.memory.symbol("FALSE")
        self._zero = self.memory.constant(0)
        self._prepare_order()

    def _groups(self, rowed: Rowed) -> str | None:
        return self.live.vocabulary.entities[rowed.variant.rule.for_each].groups

    def _prepare_order(self) -> None:
        """What the order's own slots are filled from: symbols by word, and numbers by their scale."""
        memory, plan = self.memory, self.plan
        words: dict[str, dict[Any, int]] = {SIDE: {s: memory.symbol(s) for s in self._all_sides()}}
        self._plain = [next(iter(words[SIDE].values()))]
        self._numbers: dict[str, tuple[int, int]] = {}
        for place, name in enumerate(plan.order, 1):
            if name.unit.kind is Kind.NUMBER:
                self._numbers[name.name] = (place, 10**name.scale)
                self._plain.append(memory.constant(default_number(name)))
                self.bounds.admits(name.name, default_number(name))
            else:
                spellings = name.unit.values if name.unit.kind is Kind.ENUM else ("TRUE", "FALSE")
                known: dict[Any, int] = {{"TRUE": True, "FALSE": False}.get(w, w): memory.symbol(w) for w in spellings}
                words[name.name] = known
                self._plain.append(memory.symbol(default_word(name)))
        self._words = {
            name: (place, words[name])
            for place, name in enumerate((SIDE, *(n.name for n in plan.order)))
            if name in words
        }
        self._defaults = {n.name: n.default for n in plan.order}
        self._required = frozenset(n.name for n in plan.order if n.default is None)
        self._lack: dict[tuple[Any, ...], frozenset[int]] = {}
        self._order_slots = struct.Struct(f"{len(self._plain)}Q")
        self._last_slots = struct.Struct(f"{len(self.cells.last)}Q")

    def _all_sides(self) -> tuple[str, ...]:
        return self.live.vocabulary.names[SIDE].unit.values

    def inherit(self, older: Rows) -> None:
        """Go on where rows of coarser scales stopped, of the same facts: sums are not worked out anew."""
        self.epochs = older.epochs
        self.sums.inherit(older.sums)

    # ---- events --------------------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        """What an event makes stale that no version of `Live` says."""
        if isinstance(event, SingleChanged):
            changed = {name for name in event.facts if not name.startswith(TIME)}
            rates = any(name.startswith("fx.") for name in changed)  # any amount of money may be read through one
        elif isinstance(event, StrategySet):
            # told whole: what is not told any more is gone
            changed = {name for names in self._reads.values() for name in names if name.startswith("strategy.")}
            rates = False
        else:
            return
        for place, names in self._reads.items():
            if changed and (rates or not changed.isdisjoint(names)):
                self.epochs[place] += 1
                self.sums.epoch += place in SUMMED

    # ---- the row of an order -------------------------------------------------------------------------

    def packed(self, order: Any, state: Account) -> tuple[bytes, frozenset[int]]:
        """The addresses of a whole row, and the variants that are switched off in it. Raises FinerError."""
        found = self._packed(order, state)
        self.bounds.settle()
        return found

    def _packed(self, order: Any, state: Account) -> tuple[bytes, frozenset[int]]:
        symbol = order["order.symbol"]
        look = Look(self.live, state, symbol, order)
        single, account, instrument, trader, strategy = self._found(look, order)
        key = (
            *(single.dead, account.dead, instrument.dead, trader.dead, strategy.dead),
            *(single.off, account.off, instrument.off, trader.off, strategy.off),
            order[SIDE],
        )
        way = self._ways.get(key) or self._way(key)
        own, off = self._own(order, way.off)
        if way.needed:
            slots, more = self.cells.slots(way.fill, way.needed, look, state)
            off |= more
        else:
            slots = self.cells.zeros
        last = self._last_slots.pack(*slots)
        switches = way.switches if off == way.off else self._switch(off)
        blocks = (single.packed, account.packed, instrument.packed, trader.packed, strategy.packed)
        return b"".join((switches, own, *blocks, last)), off

    def _way(self, key: tuple[Any, ...]) -> Way:
        dead = frozenset().union(*key[:5])
        dead |= {number for number, items in self._mixed if items <= dead}
        off = frozenset().union(*key[5:10])
        side = key[10]
        alive = {n for n, sides in self._sides.items() if side in sides and n not in dead and n not in off}
        cells = self.cells
        needed = tuple((place, c) for place, c in enumerate(cells.last) if cells.users[c.number] & alive)
        way = self._ways[key] = Way(needed, self._fill(needed), off, self._switch(off))
        if len(self._ways) > 10_000:
            self._ways.clear()
        return way

    def _fill(self, needed: Needed) -> Fill:
        """The function of these cells; many ways need the same."""
        numbers = tuple(c.number for _, c in needed)
        if numbers not in self._fills:
            self._fills[numbers] = self.cells.written(needed)
        return self._fills[numbers]

    def _switch(self, off: frozenset[int]) -> bytes:
        if off not in self._switched:
            if len(self._switched) > 10_000:
                self._switched.clear()
            states = [self._false if n in off else self._true for n in range(len(self.plan.rowed))]
            self._switched[off] = struct.pack(f"{len(states)}Q", *states)
        return self._switched[off]

    def _own(self, order: Any, off: frozenset[int]) -> tuple[bytes, frozenset[int]]:
        """The order's own slots."""
        slots, bounds, memory = self._plain.copy(), self.bounds, self.memory
        if not self._required <= order.keys():
            off |= self._lacking(order)
        for name, (place, words) in self._words.items():
            value = order.get(name)
            if value is not None:
                slots[place] = words[value]
        for name, (place, scale) in self._numbers.items():
            value = order.get(name)
            if value is None or value is self._defaults[name]:
                continue
            number, rest = divmod(value.numerator * scale, value.denominator)
            if rest or not bounds.admits(name, number):
                off |= self._of_slot[name]
            else:
                off |= bounds.beyond(name, number)
                slots[place] = memory.integer(number)
        return self._order_slots.pack(*slots), off

    def _lacking(self, order: Any) -> frozenset[int]:
        """The variants that read what this order lacks: a market order has no price, and most ask for none."""
        lacking = tuple(sorted(self._required - order.keys()))
        words = tuple(str(order.get(n, self._defaults.get(n))) for n in self._words)
        key = (lacking, words)
        if key not in self._lack:
            absent = {variable_of(n) for n in lacking}
            known = dict(zip(self._words, words, strict=True))
            side = known.pop(SIDE)
            spelt_words = {variable_of(n): spelt_word(w) for n, w in known.items() if n not in lacking}
            self._lack[key] = frozenset(
                r.number
                for r in self.plan.rowed
                if side in r.variant.sides
                for node in (r.variant.lowered.broken, r.variant.lowered.passive)
                if absent & f.read_with(node, spelt_words)
            )
        return self._lack[key]

    # ---- blocks --------------------------------------------------------------------------------------

    def _found(self, look: Look, order: Any) -> tuple[Block, ...]:
        live, state = self.live, look.state
        facts = live.account_facts.get(state.id, {})
        currency = str(facts.get("account.currency", ""))
        trader, strategy = str(order.get("order.trader", "NONE")), str(order.get("order.strategy", "NONE"))
        version = live.instrument_version[look.symbol]
        of = self.epochs
        return (
            self._block("single", currency, (of["single"],), look),
            self._block("account", state.id, (of["account"], state.facts_version), look),
            self._block("instrument", f"{look.symbol} {currency}", (of["instrument"], version), look),
            self._block("trader", trader, (of["trader"], live.trader_version[trader]), look),
            self._block("strategy", strategy, (of["strategy"],), look),
        )

    def _block(self, place: Place, key: str, stamp: tuple[Any, ...], look: Look) -> Block:
        live = self.live
        if self._timed[place]:
            stamp = (*stamp, live.time_epoch)
        found = self._blocks[place].get(key)
        if (
            found is not None
            and found.stamp == stamp
            and (found.expires is None or live.snapshot.time <= found.expires)
        ):
            return found
        if found is not None:
            self.memory.drop(found.kept)
        made = self._blocks[place][key] = self._made(place, stamp, look)
        return made

    def _made(self, place: Place, stamp: tuple[Any, ...], look: Look) -> Block:
        values: dict[int, Any] = {}
        kept: list[int] = []
        addresses: list[int] = []
        off: set[int] = set()
        for cell in self.plan.by_place[place]:
            found = self.cells.fitting(cell, look)
            if found is None:
                off |= self.cells.users[cell.number]
                addresses.append(self._zero if cell.leaf.kind in ("number", "raw") else self._false)
                continue
            values[cell.number] = found
            if isinstance(found, int):
                off |= self.bounds.beyond(cell.number, found)
                kept.append(self.memory.kept(found))
                addresses.append(kept[-1])
            else:
                addresses.append(self.memory.symbol(found))
        if place == "instrument":
            facts = self.live.instruments.get(look.symbol, {})
            off |= {number for number, groups in self._grouped if not facts.get(groups)}
        expires = self.live.expiry(look.symbol) if place == "instrument" else None
        packed = struct.pack(f"{len(addresses)}Q", *addresses)
        dead = frozenset(n for n, test in self._tests[place] if test(values))
        return Block(stamp, expires, packed, kept, frozenset(off), dead)

    def _rule_out(self, rowed: Rowed) -> None:
        """Note when values of blocks alone rule a variant out: a part that fails, or an `or` all of whose items fail.

        Items of such an `or` have numbers of their own, below zero, among what a block rules out.
        """
        for part in f.conjuncts(rowed.variant.lowered.broken):
            place = self._place_of(part, rowed)
            if place is not None:
                self._tests[place].append((rowed.number, _fails(part, rowed)))
            elif isinstance(part, f.Logic) and part.op == "or":
                found = [(self._place_of(item, rowed), item) for item in part.items]
                if all(at is not None for at, _ in found):
                    first = -1 - sum(len(items) for _, items in self._mixed)
                    for number, (at, item) in enumerate(found):
                        if at is not None:
                            self._tests[at].append((first - number, _fails(item, rowed)))
                    self._mixed.append((rowed.number, frozenset(first - n for n in range(len(found)))))

    def _place_of(self, node: f.Truth, rowed: Rowed) -> Place | None:
        """The one block whose values decide a truth; None for none or several."""
        places = {f"k{n}": c.place for n, c in enumerate(rowed.cells)}
        read = set(f.variables(node))
        found = {places.get(name) for name in read}
        place = found.pop() if len(found) == 1 else None
        return place if place in BLOCKS else None

    # ---- findings ------------------------------------------------------------------------------------

    def subject(self, rule: str, order: Facts) -> str:
        """The one subject of a rule of the row, empty where its key is not known."""
        kind = next(r.for_each for r in self.plan.rules if r.id == rule)
        if kind == "order":
            return str(order["order.id"])
        if kind == "account":
            return str(order["order.account"])
        if kind == "trader":
            return str(order.get("order.trader", "NONE"))
        symbol = str(order["order.symbol"])
        if kind in NAMED:
            return symbol
        groups = self.live.vocabulary.entities[kind].groups
        return str(self.live.instruments.get(symbol, {}).get(groups) or "")

    def off_rules(self, off: Iterable[int]) -> frozenset[str]:
        """The rules that take the exact verdict when these variants are switched off."""
        return frozenset(self.rule_of[n].id for n in off)

    def close(self) -> None:
        """Give CLIPS's memory back."""
        for blocks in self._blocks.values():
            for block in blocks.values():
                self.memory.drop(block.kept)
        self.memory.close()
        self.session.close()


def _fails(node: f.Truth, rowed: Rowed) -> Callable[[Values], bool]:
    """Whether a truth about values of one block fails; False while one of them is not known."""
    names = {f"k{n}": f"v[{c.number}]" for n, c in enumerate(rowed.cells)}
    held = eval(f"lambda v: {f.python(node, names)}")  # noqa: S307 - text made of numbered cells and plain words

    def fails(values: Values) -> bool:
        try:
            return not held(values)
        except KeyError:
            return False

    return fails


def read_by(cells: Iterable[Cell]) -> frozenset[str]:
    """The names that cells read."""
    terms = (t for c in cells for t in (c.leaf.term, *(x for a in c.leaf.atoms for x in (a.term, a.times.term))))
    return frozenset(n.name for term in terms if term is not None for n in term.walk() if isinstance(n, Field))
