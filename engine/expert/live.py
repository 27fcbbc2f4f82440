"""The expert's own copy of the facts, kept up to date event by event, and what each event makes stale.

In: a snapshot, then events. Out: a `Snapshot` whose tables are ours and change in place, projections of one account,
and counters by which `contexts.py` sees what it must look at again. Guaranteed: an event costs the same however large
the book is; no clock is read. Refused by SnapshotError: events about things that are not there, as in `events.py`. Why
a copy: `events.after` copies whole tables, and hashes; both are the desk's business. Before: `events.py`,
`snapshot.py`. After: `worst.py`, `contexts.py`, `book.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from lexorder.engine.constituents import TOLD
from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    AccountSet,
    Event,
    Fill,
    FillRecorded,
    InstrumentChanged,
    InstrumentSet,
    PositionSet,
    QuoteSet,
    Set,
    SignalSet,
    SingleChanged,
    StrategySet,
    TraderChanged,
    TraderSet,
    WorkingAdded,
    WorkingRemoved,
    held,
    whole,
)
from lexorder.engine.expert.readers import Readers
from lexorder.engine.names import Vocabulary
from lexorder.engine.records import EVERYONE, Records
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection, Snapshot, signed
from lexorder.engine.terms import Field, Term, Value

Table = dict[str, dict[str, Value]]

TIME = ("clock.", "session.")
"""How the names of time begin."""

LOG_MAX = 1_000
"""Symbols an account's log holds before it starts anew."""


def is_timed(term: Term, vocabulary: Vocabulary) -> bool:
    """Whether the time alone can change a value: it reads the clock, or facts of no instrument that grow old."""
    names = [n.name for n in term.walk() if isinstance(n, Field)]
    aging = [n for n in names if vocabulary.names[n].max_age is not None]
    return any(n.startswith(TIME) for n in names) or any(n.split(".")[0] not in ("instrument", "market") for n in aging)


@dataclass(slots=True)
class Account:
    """What is kept of one account.

    `version` counts everything that changed, `facts_version` the account's own facts; `log` lists the symbols touched
    since the `logs`-th time it was begun.
    """

    id: str
    positions: Table
    version: int = 0
    facts_version: int = 0
    logs: int = 0
    log: list[str] = field(default_factory=list)
    working: dict[str, dict[str, Value]] = field(default_factory=dict)
    working_of: dict[str, list[dict[str, Value]]] = field(default_factory=lambda: defaultdict(list))

    def touch(self, symbol: str) -> None:
        """Holdings, working orders or market facts of a symbol changed."""
        self.version += 1
        if len(self.log) >= LOG_MAX:
            self.log.clear()
            self.logs += 1
        self.log.append(symbol)

    def symbols(self) -> set[str]:
        """Every symbol held or worked."""
        return set(self.positions) | {s for s, orders in self.working_of.items() if orders}


class Live:
    """Facts that change in place.

    `tick` counts events, `epoch` changes that may reach every account, `time_epoch` those of the clock and the session
    alone, `trader_version` those of one trader's facts.
    """

    def __init__(self, snapshot: Snapshot, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.readers = Readers(vocabulary)
        self.instruments: Table = {k: dict(v) for k, v in snapshot.instruments.items()}
        self.account_facts: Table = {k: dict(v) for k, v in snapshot.accounts.items()}
        self.traders: Table = {k: dict(v) for k, v in snapshot.traders.items()}
        self.strategies: Table = {k: dict(v) for k, v in snapshot.strategies.items()}
        self.fills = Records("fill", snapshot.fills)
        self.quotes = Records("quote", snapshot.quotes)
        self.signals = Records("signal", snapshot.signals)
        self.single: dict[str, Value] = dict(snapshot.single)
        books = {a: {s: dict(f) for s, f in book.items()} for a, book in snapshot.positions.items()}
        self.accounts = {a: Account(a, books.get(a, {})) for a in {*self.account_facts, *books}}
        self.holders: dict[str, set[str]] = defaultdict(set)
        self.instrument_version: dict[str, int] = defaultdict(int)
        self.trader_version: dict[str, int] = defaultdict(int)
        self.owner_of: dict[str, str] = {}
        self.tick = 0
        self.epoch = 0
        self.time_epoch = 0
        self.positions = {a: state.positions for a, state in self.accounts.items()}
        self.snapshot = replace(
            snapshot,
            accounts=self.account_facts,
            instruments=self.instruments,
            positions=self.positions,
            traders=self.traders,
            strategies=self.strategies,
            fills=self.fills,
            quotes=self.quotes,
            signals=self.signals,
            single=self.single,
            working_orders=(),
        )
        for account, state in self.accounts.items():
            for symbol in state.positions:
                self.holders[symbol].add(account)
        for order in snapshot.working_orders:
            self._add_working(dict(order))
        self._aged = [n for n in vocabulary.names.values() if n.max_age is not None and n.as_of]

    # ---- views ---------------------------------------------------------------------------------

    def projection(self, account: str, orders: tuple[Facts, ...]) -> Projection:
        """The account with `orders` under test, as `snapshot.project` sees it."""
        state = self.accounts[account]
        symbols = state.symbols() | {str(o["order.symbol"]) for o in orders}
        positions = {s: self.position(state, s) for s in sorted(symbols)}
        return Projection(self.snapshot, self.vocabulary, account, orders, tuple(state.working.values()), positions)

    def alone(self, account: str, symbol: str, orders: tuple[Facts, ...] = ()) -> Projection:
        """The account as if `symbol` were all there is: enough for what reads one name."""
        state = self.accounts[account]
        working = tuple(state.working_of.get(symbol, ()))
        return Projection(
            self.snapshot, self.vocabulary, account, orders, working, {symbol: self.position(state, symbol)}
        )

    def position(self, state: Account, symbol: str) -> Facts:
        """The position's facts, flat when nothing is held."""
        flat: Facts = {"position.before.quantity": Fraction(0), "position.account": state.id, "position.symbol": symbol}
        return state.positions.get(symbol) or flat

    def expiry(self, symbol: str) -> datetime | None:
        """Until when the instrument's facts are young enough; None for ever."""
        facts = self.instruments.get(symbol, {})
        ends = [
            taken + timedelta(microseconds=int(n.max_age * 10**6))
            for n in self._aged
            if n.max_age is not None and n.name in facts and isinstance(taken := facts.get(n.as_of), datetime)
        ]
        return min(ends, default=None)

    # ---- events --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError for one that does not fit; nothing has changed then."""
        self.tick += 1
        match event:
            case Fill():
                self._fill(event)
            case InstrumentChanged(symbol=symbol, facts=facts):
                self._row(self.instruments, symbol, "instrument").update(facts)
                self.touch(symbol)
                self._look_through(symbol, facts.keys())
            case AccountChanged(account=account, facts=facts):
                self._row(self.account_facts, account, "account").update(facts)
                state = self._stated(account)
                state.facts_version += 1
                state.version += 1
            case TraderChanged(trader=trader, facts=facts):
                self._row(self.traders, trader, "trader").update(facts)
                self.trader_version[trader] += 1
            case WorkingAdded(facts=facts):
                self._add_working(dict(facts))
            case WorkingRemoved(id=order):
                self._remove_working(order)
            case SingleChanged(facts=facts):
                self.single.update(facts)
                moment: Any = facts.get("clock.now", self.snapshot.time)
                self.snapshot = replace(self.snapshot, time=moment)
                self.time_epoch += 1
                self.epoch += any(not name.startswith(TIME) for name in facts)
            case FillRecorded(facts=facts):
                self._record(facts)
            case _:
                self._set(event)

    def _set(self, event: Set) -> None:
        """A thing has all its facts told anew; rare, so whatever may read it is looked at again."""
        match event:
            case AccountSet(account=account, facts=facts):
                self._set_account(account, dict(whole("account.id", account, facts)))
            case InstrumentSet(symbol=symbol, facts=facts):
                self.instruments[symbol] = dict(whole("instrument.symbol", symbol, facts))
                self.touch(symbol)
                self._look_through(symbol, TOLD)
            case TraderSet(trader=trader, facts=facts):
                self.traders[trader] = dict(whole("trader.id", trader, facts))
                self.trader_version[trader] += 1
            case StrategySet(strategy=strategy, facts=facts):
                self.strategies[strategy] = dict(whole("strategy.id", strategy, facts))
                self.epoch += 1
            case PositionSet():
                self._place(event)
            case QuoteSet(facts=facts):
                self.quotes.put(facts)
                self.epoch += 1
            case SignalSet(facts=facts):
                self.signals.put(facts)
                self.epoch += 1

    def _set_account(self, account: str, facts: dict[str, Value]) -> None:
        self.account_facts[account] = facts
        state = self._stated(account)
        state.facts_version += 1
        state.version += 1

    def _stated(self, account: str) -> Account:
        """What is kept of an account, from its first event on: its orders may be told before its facts are."""
        state = self.accounts.get(account)
        if state is None:
            state = self.accounts[account] = Account(account, {})
            self.positions[account] = state.positions
        return state

    def _place(self, event: PositionSet) -> None:
        if event.account not in self.account_facts or event.symbol not in self.instruments:
            raise SnapshotError(
                "unknown-thing", "position", "names an account or instrument that is not in the snapshot"
            )
        state, facts = self.accounts[event.account], held(event)
        state.positions.pop(event.symbol, None)
        if facts is not None:
            state.positions[event.symbol] = dict(facts)
            self.holders[event.symbol].add(event.account)
        elif event.symbol not in state.working_of:
            self.holders[event.symbol].discard(event.account)
        state.touch(event.symbol)

    def _record(self, facts: Facts) -> None:
        """A fill for the record: rules of its account, or of every account, may read it."""
        self.fills.add(facts)
        state = self.accounts.get(str(facts.get("fill.account", EVERYONE)))
        if state is None:
            self.epoch += 1
        else:
            state.facts_version += 1
            state.version += 1

    def touch(self, symbol: str) -> None:
        """Facts of an instrument changed."""
        self.instrument_version[symbol] += 1
        for account in self.holders[symbol]:
            self.accounts[account].touch(symbol)

    def _look_through(self, symbol: str, changed: Collection[str]) -> None:
        """Funds are made of what their instruments are now; whoever holds one may not hold the instrument."""
        inside = self.snapshot.constituents.after(symbol, changed, self.instruments)
        if inside is not self.snapshot.constituents:
            self.snapshot = replace(self.snapshot, constituents=inside)
            self.epoch += 1

    def _row(self, table: Table, key: str, what: str) -> dict[str, Value]:
        if key not in table:
            raise SnapshotError("unknown-thing", what, "of the event is not in the snapshot")
        return table[key]

    def _add_working(self, order: dict[str, Value]) -> None:
        identifier = str(order["working_order.id"])
        if identifier in self.owner_of:
            raise SnapshotError("duplicate-thing", "working order", "of the event")
        state = self._stated(str(order["working_order.account"]))
        symbol = str(order["working_order.symbol"])
        self.owner_of[identifier] = state.id
        state.working[identifier] = order
        state.working_of[symbol].append(order)
        self.holders[symbol].add(state.id)
        state.touch(symbol)

    def _remove_working(self, identifier: str) -> None:
        if identifier not in self.owner_of:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        state = self.accounts[self.owner_of.pop(identifier)]
        order = state.working.pop(identifier)
        symbol = str(order["working_order.symbol"])
        state.working_of[symbol].remove(order)
        if not state.working_of[symbol]:
            del state.working_of[symbol]
            if symbol not in state.positions:
                self.holders[symbol].discard(state.id)
        state.touch(symbol)

    def _fill(self, fill: Fill) -> None:
        if fill.account not in self.account_facts or fill.symbol not in self.instruments:
            raise SnapshotError("unknown-thing", "fill", "names an account or instrument that is not in the snapshot")
        state = self.accounts[fill.account]
        quantity = self._workable(state, fill) if fill.working_order else None
        if fill.facts:
            self._record(fill.facts)
        if quantity is not None:
            self._work(state, fill, quantity)
        position = state.positions.setdefault(fill.symbol, dict(self.position(state, fill.symbol)))
        before: Any = position.get("position.before.quantity", Fraction(0))
        position["position.before.quantity"] = before + signed(fill.side, fill.quantity)
        facts = self.account_facts[fill.account]
        cash: Any = facts.get("account.cash", Fraction(0))
        facts["account.cash"] = cash + fill.cash
        self.holders[fill.symbol].add(fill.account)
        state.facts_version += 1
        state.touch(fill.symbol)

    def _workable(self, state: Account, fill: Fill) -> Fraction:
        """The open quantity of the working order a fill names."""
        order = state.working.get(fill.working_order)
        if order is None:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        quantity: Any = order["working_order.quantity"]
        if quantity < fill.quantity:
            raise SnapshotError("out-of-bounds", "fill", "is larger than the working order it fills")
        found: Fraction = quantity
        return found

    def _work(self, state: Account, fill: Fill, quantity: Fraction) -> None:
        if quantity == fill.quantity:
            self._remove_working(fill.working_order)
        else:
            state.working[fill.working_order]["working_order.quantity"] = quantity - fill.quantity
