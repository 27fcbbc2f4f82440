"""The facts of a live desk, changed in place.

In: a snapshot, then events. Out: the state the compiled evaluator and the desk read, projections for `judge`, and on
request the immutable snapshot. Guaranteed: after any events the facts equal those of `events.after`, in the same order;
each change costs the facts of one thing, not of the whole snapshot (facts of one thing are replaced, never changed, so
findings may keep them). Refused by SnapshotError: what `events.after` refuses. Why in place: a price arrives thousands
of times a second, and copying the table of instruments each time would cost more than the check. Before: `events.py`,
`records.py`. After: `totals.py`, `compile.py`, `desk.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from lexorder.engine.constituents import TOLD
from lexorder.engine.dated_lists import Entry
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
from lexorder.engine.names import Vocabulary
from lexorder.engine.records import ById, Records, Worked
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection, Snapshot, signed
from lexorder.engine.terms import Value

NOTHING = Fraction(0)
VIEWS_MAX = 1_000
"""Accounts of which the positions in order are kept."""
View = tuple[tuple[Facts, ...], dict[str, Facts]]
"""The working orders of an account, and its positions by symbol, in the order of the symbols."""


class Live:
    """Facts by thing. `working` is by account, then order id, in the order of `Snapshot.working_orders`.

    `worked` has the same orders by (account, symbol), `named` by symbol, then order id.
    """

    def __init__(self, vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.vocabulary = vocabulary
        self.accounts: dict[str, Facts] = dict(snapshot.accounts)
        self.instruments: dict[str, Facts] = dict(snapshot.instruments)
        self.traders: dict[str, Facts] = dict(snapshot.traders)
        self.strategies: dict[str, Facts] = dict(snapshot.strategies)
        self.positions: dict[str, dict[str, Facts]] = {a: dict(p) for a, p in snapshot.positions.items()}
        self.fills = Records("fill", snapshot.fills)
        self.quotes = Records("quote", snapshot.quotes)
        self.signals = Records("signal", snapshot.signals)
        self.working: dict[str, dict[str, Facts]] = {}
        self.worked: dict[tuple[str, str], dict[str, Facts]] = {}
        self.named: dict[str, dict[str, Facts]] = {}
        self.account_of: dict[str, str] = {}
        self._views: dict[str, View] = {}
        for facts in snapshot.working_orders:
            self._work(facts)
        # shares the tables above, so that names are found in them as in any snapshot
        self.snapshot = replace(
            snapshot,
            accounts=self.accounts,
            instruments=self.instruments,
            traders=self.traders,
            strategies=self.strategies,
            positions=self.positions,
            fills=self.fills,
            quotes=self.quotes,
            signals=self.signals,
            working_orders=Worked(self.account_of, self.working, self.named),
        )
        self.by_id: Mapping[str, Facts] = ById(self.account_of, self.working)

    # ---- views -------------------------------------------------------------------------------------

    def frozen(self, digest: str) -> Snapshot:
        """The facts of this instant as a snapshot that later events do not change, with the hash it is given."""
        return replace(
            self.snapshot,
            accounts=dict(self.accounts),
            instruments=dict(self.instruments),
            traders=dict(self.traders),
            strategies=dict(self.strategies),
            positions={a: dict(p) for a, p in self.positions.items()},
            fills=tuple(self.fills),
            quotes=tuple(self.quotes),
            signals=tuple(self.signals),
            working_orders=tuple(self.snapshot.working_orders),
            hash=digest,
        )

    def projection(self, account: str, orders: tuple[Facts, ...]) -> Projection:
        """The state seen from an account with orders under test, as `snapshot.project` gives it."""
        working, positions = self._views.get(account) or self._viewed(account)
        new = {str(o["order.symbol"]) for o in orders} - positions.keys()
        if new:
            items = [*positions.items(), *((s, flat(account, s)) for s in new)]
            positions = dict(sorted(items, key=_first))
        return Projection(self.snapshot, self.vocabulary, account, orders, working, positions)

    def _viewed(self, account: str) -> View:
        """The working orders and positions of an account, kept until one of them changes."""
        held = self.positions.get(account, {})
        working = tuple(self.working.get(account, {}).values())
        symbols = set(held).union(str(w["working_order.symbol"]) for w in working)
        if len(self._views) >= VIEWS_MAX:
            self._views.clear()
        self._views[account] = (working, {s: held.get(s) or flat(account, s) for s in sorted(symbols)})
        return self._views[account]

    def narrow(self, account: str, symbol: str, orders: tuple[Facts, ...]) -> Projection:
        """The state seen from an account with only one of its names."""
        held = self.positions.get(account, {}).get(symbol) or flat(account, symbol)
        mine = tuple(self.worked.get((account, symbol), {}).values())
        return Projection(self.snapshot, self.vocabulary, account, orders, mine, {symbol: held})

    def is_working(self, order: str) -> bool:
        """Whether an order of this id is working."""
        return order in self.account_of

    def is_member(self, account: str, symbol: str) -> bool:
        """Whether a name is held or worked, so that sums over positions count it."""
        return symbol in self.positions.get(account, ()) or bool(self.worked.get((account, symbol)))

    # ---- events ------------------------------------------------------------------------------------

    def take_lists(self, lists: Mapping[str, tuple[Entry, ...]]) -> None:
        """The entries of the lists from now on; what rules read of them comes as an event."""
        if lists is not self.snapshot.lists:
            self.snapshot = replace(self.snapshot, lists=lists)

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError and then changes nothing."""
        _APPLY[type(event)](self, event)

    def _added(self, event: WorkingAdded) -> None:
        if str(event.facts["working_order.id"]) in self.account_of:
            raise SnapshotError("duplicate-thing", "working order", "of the event")
        self._work(event.facts)

    def _single(self, event: SingleChanged) -> None:
        moment = event.facts.get("clock.now", self.snapshot.time)
        single = {**self.snapshot.single, **event.facts}
        self.snapshot = replace(self.snapshot, single=single, time=moment)  # type: ignore[arg-type]

    def _instrument(self, event: InstrumentChanged) -> None:
        _merge(self.instruments, event.symbol, event.facts, "instrument")
        if event.symbol in self.snapshot.constituents.names:
            self._look_through(event.symbol, event.facts.keys())

    def _instrument_set(self, event: InstrumentSet) -> None:
        _put(self.instruments, "instrument.symbol", event.symbol, event.facts)
        self._look_through(event.symbol, TOLD)

    def _look_through(self, symbol: str, changed: Collection[str]) -> None:
        """Funds are made of what their instruments are now."""
        inside = self.snapshot.constituents.after(symbol, changed, self.instruments)
        if inside is not self.snapshot.constituents:
            self.snapshot = replace(self.snapshot, constituents=inside)

    def _work(self, facts: Facts) -> None:
        order, account = str(facts["working_order.id"]), str(facts["working_order.account"])
        symbol = str(facts["working_order.symbol"])
        self._views.pop(account, None)
        self.account_of[order] = account
        self.working.setdefault(account, {})[order] = facts
        self.worked.setdefault((account, symbol), {})[order] = facts
        self.named.setdefault(symbol, {})[order] = facts

    def _removed(self, event: WorkingRemoved) -> None:
        self._unwork(event.id)

    def _unwork(self, order: str) -> Facts:
        if order not in self.account_of:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        account = self.account_of.pop(order)
        self._views.pop(account, None)
        facts = _pop(self.working, account, order)
        symbol = str(facts["working_order.symbol"])
        _pop(self.worked, (account, symbol), order)
        _pop(self.named, symbol, order)
        return facts

    def _placed(self, event: PositionSet) -> None:
        if event.account not in self.accounts or event.symbol not in self.instruments:
            raise SnapshotError(
                "unknown-thing", "position", "names an account or instrument that is not in the snapshot"
            )
        self._views.pop(event.account, None)
        facts, book = held(event), self.positions.setdefault(event.account, {})
        book.pop(event.symbol, None)
        if facts is not None:
            book[event.symbol] = facts

    def _fill(self, fill: Fill) -> None:
        account = self.accounts.get(fill.account)
        if account is None or fill.symbol not in self.instruments:
            raise SnapshotError("unknown-thing", "fill", "names an account or instrument that is not in the snapshot")
        left = self._left(fill)
        if fill.facts:
            self.fills.add(fill.facts)
        if left is not None:
            facts = self._unwork(fill.working_order)
            if left:
                self._work({**facts, "working_order.quantity": left})
        self._views.pop(fill.account, None)
        book = self.positions.setdefault(fill.account, {})
        old = book.get(fill.symbol) or {"position.account": fill.account, "position.symbol": fill.symbol}
        before: Value = old.get("position.before.quantity", NOTHING)
        moved = before + signed(fill.side, fill.quantity)  # type: ignore[operator]
        book[fill.symbol] = {**old, "position.before.quantity": moved}
        cash = account.get("account.cash", NOTHING) + fill.cash  # type: ignore[operator]
        self.accounts[fill.account] = {**account, "account.cash": cash}

    def _left(self, fill: Fill) -> Fraction | None:
        """What the fill leaves of the working order it names; None when it names none."""
        if not fill.working_order:
            return None
        order = self.working.get(self.account_of.get(fill.working_order, ""), {}).get(fill.working_order)
        if order is None:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        left: Fraction = order["working_order.quantity"] - fill.quantity  # type: ignore[operator]
        if left < 0:
            raise SnapshotError("out-of-bounds", "fill", "is larger than the working order it fills")
        return left


def flat(account: str, symbol: str) -> Facts:
    """The facts of a position that is not held."""
    return {"position.before.quantity": NOTHING, "position.account": account, "position.symbol": symbol}


def _pop(table: dict[Any, dict[str, Facts]], key: Any, order: str) -> Facts:
    """Take an order out, and with the last one its place: in a day there would be one for each account and name."""
    orders = table[key]
    facts = orders.pop(order)
    if not orders:
        del table[key]
    return facts


def _first(item: tuple[str, Facts]) -> str:
    return item[0]


def _merge(table: dict[str, Facts], key: str, facts: Mapping[str, Value], what: str) -> None:
    if key not in table:
        raise SnapshotError("unknown-thing", what, "of the event is not in the snapshot")
    table[key] = {**table[key], **facts}


def _put(table: dict[str, Facts], name: str, key: str, facts: Facts) -> None:
    table[key] = whole(name, key, facts)


_APPLY: dict[type, Callable[[Live, Any], None]] = {
    Fill: Live._fill,
    FillRecorded: lambda live, event: live.fills.add(event.facts),
    InstrumentChanged: Live._instrument,
    AccountChanged: lambda live, event: _merge(live.accounts, event.account, event.facts, "account"),
    TraderChanged: lambda live, event: _merge(live.traders, event.trader, event.facts, "trader"),
    WorkingAdded: Live._added,
    WorkingRemoved: Live._removed,
    SingleChanged: Live._single,
    AccountSet: lambda live, event: _put(live.accounts, "account.id", event.account, event.facts),
    InstrumentSet: Live._instrument_set,
    TraderSet: lambda live, event: _put(live.traders, "trader.id", event.trader, event.facts),
    StrategySet: lambda live, event: _put(live.strategies, "strategy.id", event.strategy, event.facts),
    PositionSet: Live._placed,
    QuoteSet: lambda live, event: live.quotes.put(event.facts),
    SignalSet: lambda live, event: live.signals.put(event.facts),
}
"""What each kind of event does."""
