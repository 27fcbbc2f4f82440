"""The two copies of a desk's facts that the vectorised forms read, and what has changed in each since the last look.

In: a desk, its events. Out: `Copy`s with tables and rows up to date, and the rows and accounts that changed. Guaranteed:
the first reads the desk's own live facts, the second has the expert's kind of copy and applies every event itself, so a
fact that one of them misses shows as a disagreement. Refused: nothing; an event that the copies have no place for makes
the caller start anew. Before: `vector_pairs.py`. After: `vector_book.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lexorder.engine.desk import Desk
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    PositionSet,
    SingleChanged,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.expert.live import Live as ExpertLive
from lexorder.engine.live import Live
from lexorder.engine.rule import Facts
from lexorder.engine.vector_code import Level
from lexorder.engine.vector_columns import Flags, Ints
from lexorder.engine.vector_pairs import Pair, Pairs
from lexorder.engine.vector_tables import Tables


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed: rows of holdings, accounts, accounts whose rules may be others now; or everything."""

    rows: Ints
    accounts: Flags
    reseated: frozenset[int]
    everything: bool


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


class Copy:
    """Tables and rows over one copy of the facts. `apply` is None where the desk itself applies the events."""

    def __init__(
        self,
        tables: Tables,
        holdings: DeskHoldings | ExpertHoldings,
        owner: Callable[[str], Pair | None],
        apply: Callable[[Event], None] | None,
    ) -> None:
        self.tables = tables
        self.pairs = Pairs(tables, holdings)
        self.owner = owner
        self.apply = apply
        self.accounts = tables.tables[Level.ACCOUNT].keys
        self.odd = np.array([a in self.pairs.odd for a in self.accounts] or [False], dtype=np.bool_)
        self.known: dict[str, Pair] = {}
        self._forget()

    def _forget(self) -> None:
        self.touched: set[Pair] = set()
        self.instruments: set[str] = set()
        self.owners: set[str] = set()
        self.tagged: set[str] = set()
        self.singles: set[str] = set()

    def note(self, event: Event) -> bool:
        """Take an event over; False when everything has to be started anew."""
        removed = self.owner(event.id) if isinstance(event, WorkingRemoved) else None
        if self.apply is not None:
            self.apply(event)
        match event:
            case InstrumentChanged(symbol=symbol, facts=facts):
                self.tables.touch(Level.INSTRUMENT, symbol, frozenset(facts))
                self.instruments.add(symbol)
            case AccountChanged(account=account, facts=facts):
                self.tables.touch(Level.ACCOUNT, account, frozenset(facts))
                self.owners.add(account)
                if "account.tags" in facts:
                    self.tagged.add(account)
                return "account.currency" not in facts
            case TraderChanged(trader=trader, facts=facts):
                self.tables.touch(Level.TRADER, trader, frozenset(facts))
            case SingleChanged(facts=facts):
                self.tables.touch_single(frozenset(facts))
                self.singles |= facts.keys()
            case Fill(account=account, symbol=symbol, facts=facts):
                self.tables.touch(Level.ACCOUNT, account, frozenset({"account.cash"}))
                self.owners.add(account)
                self.touched.add((account, symbol))
                return not facts
            case PositionSet(account=account, symbol=symbol):
                self.touched.add((account, symbol))
            case WorkingAdded(facts=facts):
                pair = (str(facts["working_order.account"]), str(facts["working_order.symbol"]))
                self.known[str(facts["working_order.id"])] = pair
                self.touched.add(pair)
            case WorkingRemoved(id=order):
                pair_gone = removed or self.known.pop(order, None)
                if pair_gone is None:
                    return False
                self.touched.add(pair_gone)
            case _:
                return False
        return True

    def settle(self) -> Changes:
        """Read again what has changed, and say what that was."""
        tables, pairs = self.tables, self.pairs
        own = {pairs.refresh(pair) for pair in self.touched} - {0}
        everything = bool(self.singles - {"clock.now"})
        instruments = self.instruments | (tables.turned() if "clock.now" in self.singles else set())
        symbols = _flags(tables.tables[Level.INSTRUMENT].index, instruments)
        owners = _flags(tables.tables[Level.ACCOUNT].index, self.owners)
        changed = symbols.take(pairs.symbol.all) | owners.take(pairs.account.all)
        changed[list(own)] = True
        changed[0] = False
        rows = np.nonzero(changed)[0]
        accounts = np.zeros(len(self.accounts), dtype=np.bool_)
        accounts[pairs.account.all.take(rows)] = True
        accounts |= owners[: len(accounts)]
        index = tables.tables[Level.ACCOUNT].index
        reseated = frozenset(index[a] for a in self.tagged if a in index)
        if not self.singles and not self.instruments:
            pass
        self._forget()
        return Changes(rows, accounts, reseated, everything)


def _flags(index: dict[str, int], keys: Iterable[str]) -> Flags:
    found = np.zeros(max(1, len(index)), dtype=np.bool_)
    found[[index[key] for key in keys if key in index]] = True
    return found


def copies_of(desk: Desk) -> tuple[Copy, Copy]:
    """Both copies as the desk stands now."""
    live, snapshot = desk.live, desk.snapshot
    second = ExpertLive(snapshot, desk.vocabulary)
    tables = [Tables(x, desk.vocabulary, {}) for x in (live, second)]
    tables[1].words = tables[0].words

    def of_desk(order: str) -> Pair | None:
        return None  # it is gone already: `known` and the rows say where it was

    def of_second(order: str) -> Pair | None:
        account = second.owner_of.get(order, "")
        facts = second.accounts[account].working.get(order, {}) if account else {}
        return (account, str(facts["working_order.symbol"])) if facts else None

    first = Copy(tables[0], DeskHoldings(live), of_desk, None)
    first.known = {
        str(o["working_order.id"]): (str(o["working_order.account"]), str(o["working_order.symbol"]))
        for o in snapshot.working_orders
    }
    return first, Copy(tables[1], ExpertHoldings(second), of_second, second.apply)
