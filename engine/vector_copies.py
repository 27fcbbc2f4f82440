"""The two copies of a desk's facts that the vectorised forms read, and what has changed in each since the last look.

In: a desk, its events. Out: `Copy`s with tables and rows up to date, and what has changed. Guaranteed: the first reads
the desk's own live facts, the second has the expert's kind of copy and applies every event itself, so a fact that one
of them misses shows as a disagreement. Refused: nothing; after an event about a thing that is new `note` says that the
columns are to be started anew. Before: `vector_pairs.py`, `vector_fills.py`. After: `vector_book.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lexorder.engine import events as e
from lexorder.engine.desk import Desk
from lexorder.engine.events import Event
from lexorder.engine.expert.live import Live as ExpertLive
from lexorder.engine.live import Live
from lexorder.engine.rule import Facts
from lexorder.engine.vector_code import Level
from lexorder.engine.vector_columns import Flags, Ints
from lexorder.engine.vector_fills import FillSums
from lexorder.engine.vector_pairs import Holdings, Pair, Pairs
from lexorder.engine.vector_tables import Tables


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed: rows of holdings, accounts, accounts whose rules may be others now, facts there is one of."""

    rows: Ints
    accounts: Flags
    reseated: frozenset[int]
    singles: frozenset[str]


class DeskHoldings:
    """Holdings and working orders as the desk keeps them."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def pairs(self) -> Iterable[Pair]:
        """Every (account, symbol) held or worked."""
        yield from ((account, symbol) for account, held in self.live.positions.items() for symbol in held)
        yield from (pair for pair, orders in self.live.worked.items() if orders)

    def position(self, pair: Pair) -> Facts | None:
        """The facts of a position."""
        return self.live.positions.get(pair[0], {}).get(pair[1])

    def working(self, pair: Pair) -> Sequence[Facts]:
        """The working orders of one name."""
        return tuple(self.live.worked.get(pair, {}).values())

    def identifiers(self) -> Mapping[str, str]:
        """The identifiers of all working orders."""
        return self.live.account_of


class ExpertHoldings:
    """The same as the expert keeps them."""

    def __init__(self, live: ExpertLive) -> None:
        self.live = live

    def pairs(self) -> Iterable[Pair]:
        """Every (account, symbol) held or worked."""
        for account, state in self.live.accounts.items():
            yield from ((account, symbol) for symbol in state.symbols())

    def position(self, pair: Pair) -> Facts | None:
        """The facts of a position."""
        state = self.live.accounts.get(pair[0])
        return None if state is None else state.positions.get(pair[1])

    def working(self, pair: Pair) -> Sequence[Facts]:
        """The working orders of one name."""
        state = self.live.accounts.get(pair[0])
        return () if state is None else tuple(state.working_of.get(pair[1], ()))

    def identifiers(self) -> Mapping[str, str]:
        """The identifiers of all working orders."""
        return self.live.owner_of


class Copy:
    """Tables and rows over one copy of the facts; `apply` takes an event into the facts, where nobody else does."""

    def __init__(self, tables: Tables, holdings: Holdings, apply: Callable[[Event], None] | None) -> None:
        self.tables = tables
        self.holdings = holdings
        self.pairs = Pairs(tables, holdings)
        self.fills = FillSums(tables)
        self.accounts = tables.tables[Level.ACCOUNT].keys
        self._apply = apply
        self._pair_of = {
            str(order["working_order.id"]): pair for pair in self.pairs.pairs[1:] for order in holdings.working(pair)
        }
        self._all_of = {
            entity: frozenset(n.name for n in tables.vocabulary.of_entity(entity))
            for entity in ("account", "instrument", "market", "trader", "strategy")
        }
        self._forget()

    def _forget(self) -> None:
        self._touched: set[Pair] = set()
        self._instruments: set[str] = set()
        self._owners: set[str] = set()
        self._tagged: set[str] = set()
        self._singles: set[str] = set()

    @property
    def odd(self) -> Flags:
        """The accounts that hold or work a name that is no instrument here."""
        return _flags(self.tables.tables[Level.ACCOUNT].index, self.pairs.odd)

    # ---- events --------------------------------------------------------------------------------------------

    def note(self, event: Event) -> bool:
        """Take an event over; False when the columns are to be started anew."""
        if self._apply is not None:
            self._apply(event)
        return _NOTED[type(event)](self, event)

    def _things(self, level: Level, key: str, changed: frozenset[str], noted: set[str] | None) -> bool:
        """Facts of a thing have changed; whether its numbers are what they were."""
        known = key in self.tables.tables[level].index
        self.tables.touch(level, key, changed)
        if noted is not None:
            noted.add(key)
        return known or noted is None

    def _account(self, key: str, changed: frozenset[str]) -> bool:
        if "account.tags" in changed:
            self._tagged.add(key)
        self.fills.told(changed)
        known = self._things(Level.ACCOUNT, key, changed, self._owners)
        return known and ("account.currency" not in changed or self.tables.currencies == self.tables.began_with)

    def _single(self, changed: frozenset[str]) -> bool:
        self.tables.touch_single(changed)
        self.fills.told(changed)
        self._singles |= changed
        return True

    def _fill(self, fill: e.Fill) -> bool:
        self._touched.add((fill.account, fill.symbol))
        if fill.facts:
            self.fills.forget()
        ids = {str(order["working_order.id"]) for order in self.holdings.working((fill.account, fill.symbol))}
        if fill.working_order not in ids:
            self._pair_of.pop(fill.working_order, None)
        return self._account(fill.account, frozenset({"account.cash"}))

    def _added(self, facts: Facts) -> bool:
        pair = (str(facts["working_order.account"]), str(facts["working_order.symbol"]))
        self._pair_of[str(facts["working_order.id"])] = pair
        self._touched.add(pair)
        return True

    def _removed(self, order: str) -> bool:
        pair = self._pair_of.pop(order, None)
        if pair is not None:
            self._touched.add(pair)
        return pair is not None

    def _held(self, pair: Pair) -> bool:
        self._touched.add(pair)
        return True

    def _recorded(self) -> bool:
        self.fills.forget()
        return True

    # ---- up to date ----------------------------------------------------------------------------------------

    def settle(self) -> Changes:
        """Read again what has changed, and say what that was."""
        tables, pairs = self.tables, self.pairs
        own = [row for row in map(pairs.refresh, self._touched) if row]
        instruments = self._instruments | (tables.turned() if "clock.now" in self._singles else set())
        owners = _flags(tables.tables[Level.ACCOUNT].index, self._owners)
        if instruments or self._owners:
            symbols = _flags(tables.tables[Level.INSTRUMENT].index, instruments)
            changed = symbols.take(pairs.symbol.all) | owners.take(pairs.account.all)
            changed[own] = True
            changed[0] = False
            rows = np.nonzero(changed)[0]
        else:
            rows = np.array(own, dtype=np.int64)
        owners[pairs.account.all.take(rows)] = True
        index = tables.tables[Level.ACCOUNT].index
        reseated = frozenset(index[a] for a in self._tagged if a in index)
        found = Changes(rows, owners, reseated, frozenset(self._singles))
        self._forget()
        return found


def _flags(index: dict[str, int], keys: Iterable[str]) -> Flags:
    found = np.zeros(max(1, len(index)), dtype=np.bool_)
    found[[index[key] for key in keys if key in index]] = True
    return found


def _set_of(copy: Copy, *entities: str) -> frozenset[str]:
    return frozenset().union(*(copy._all_of[entity] for entity in entities))


_NOTED: dict[type, Callable[[Copy, Any], bool]] = {
    e.InstrumentChanged: lambda c, v: c._things(Level.INSTRUMENT, v.symbol, frozenset(v.facts), c._instruments),
    e.InstrumentSet: lambda c, v: c._things(
        Level.INSTRUMENT, v.symbol, _set_of(c, "instrument", "market"), c._instruments
    ),
    e.AccountChanged: lambda c, v: c._account(v.account, frozenset(v.facts)),
    e.AccountSet: lambda c, v: c._account(v.account, _set_of(c, "account")),
    e.TraderChanged: lambda c, v: c._things(Level.TRADER, v.trader, frozenset(v.facts), None),
    e.TraderSet: lambda c, v: c._things(Level.TRADER, v.trader, _set_of(c, "trader"), None),
    e.StrategySet: lambda c, v: c._things(Level.STRATEGY, v.strategy, _set_of(c, "strategy"), None),
    e.SingleChanged: lambda c, v: c._single(frozenset(v.facts)),
    e.Fill: lambda c, v: c._fill(v),
    e.FillRecorded: lambda c, _: c._recorded(),
    e.PositionSet: lambda c, v: c._held((v.account, v.symbol)),
    e.WorkingAdded: lambda c, v: c._added(v.facts),
    e.WorkingRemoved: lambda c, v: c._removed(v.id),
    e.QuoteSet: lambda _c, _v: True,  # no column reads quotes or signals
    e.SignalSet: lambda _c, _v: True,
}
"""What each kind of event changes."""


def copies_of(desk: Desk) -> tuple[Copy, Copy]:
    """Both copies as the desk stands now."""
    second = ExpertLive(desk.snapshot, desk.vocabulary)
    tables = [Tables(live, desk.vocabulary, {}) for live in (desk.live, second)]
    tables[1].words = tables[0].words  # codes of texts mean the same in both
    return Copy(tables[0], DeskHoldings(desk.live), None), Copy(tables[1], ExpertHoldings(second), second.apply)
