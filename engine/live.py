"""The facts of a live desk, changed in place.

In: a snapshot, then events. Out: the state the compiled evaluator reads, and projections for `judge`. Guaranteed: after
any events the facts equal those of `events.after`, in the same order; each change costs the facts of one thing, not of
the whole snapshot (facts of one thing are replaced, never changed, so findings may keep them). Refused by
SnapshotError: what `events.after` refuses. Why in place: a price arrives thousands of times a second, and copying the
table of instruments each time would cost more than the check. Before: `events.py`. After: `totals.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from lexorder.engine.errors import SnapshotError
from lexorder.engine.events import (
    AccountChanged,
    Event,
    Fill,
    InstrumentChanged,
    SingleChanged,
    TraderChanged,
    WorkingAdded,
    WorkingRemoved,
)
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection, Snapshot, signed
from lexorder.engine.terms import Value

NOTHING = Fraction(0)


class Live:
    """Facts by thing. `working` is by account, then order id, in the order of `Snapshot.working_orders`.

    `worked` has the same orders by (account, symbol), then order id.
    """

    def __init__(self, vocabulary: Vocabulary, snapshot: Snapshot) -> None:
        self.vocabulary = vocabulary
        self.accounts: dict[str, Facts] = dict(snapshot.accounts)
        self.instruments: dict[str, Facts] = dict(snapshot.instruments)
        self.traders: dict[str, Facts] = dict(snapshot.traders)
        self.positions: dict[str, dict[str, Facts]] = {a: dict(p) for a, p in snapshot.positions.items()}
        self.working: dict[str, dict[str, Facts]] = {}
        self.worked: dict[tuple[str, str], dict[str, Facts]] = {}
        self.account_of: dict[str, str] = {}
        for facts in snapshot.working_orders:
            self._work(facts)
        # shares the tables above, so that names are found in them as in any snapshot
        self.snapshot = replace(
            snapshot,
            accounts=self.accounts,
            instruments=self.instruments,
            traders=self.traders,
            positions=self.positions,
            working_orders=(),
        )

    def projection(self, account: str, orders: tuple[Facts, ...]) -> Projection:
        """The state seen from an account with orders under test, as `snapshot.project` gives it."""
        held = self.positions.get(account, {})
        working = tuple(self.working.get(account, {}).values())
        symbols = {str(o["order.symbol"]) for o in orders} | set(held)
        symbols |= {str(w["working_order.symbol"]) for w in working}
        positions = {s: held.get(s) or flat(account, s) for s in sorted(symbols)}
        return Projection(self.snapshot, self.vocabulary, account, orders, working, positions)

    def narrow(self, account: str, symbol: str, orders: tuple[Facts, ...]) -> Projection:
        """The state seen from an account with only one of its names."""
        held = self.positions.get(account, {}).get(symbol) or flat(account, symbol)
        mine = tuple(self.worked.get((account, symbol), {}).values())
        return Projection(self.snapshot, self.vocabulary, account, orders, mine, {symbol: held})

    def apply(self, event: Event) -> None:
        """Take an event over. Raises SnapshotError and then changes nothing."""
        match event:
            case Fill():
                self._fill(event)
            case InstrumentChanged(symbol=symbol, facts=facts):
                _merge(self.instruments, symbol, facts, "instrument")
            case AccountChanged(account=account, facts=facts):
                _merge(self.accounts, account, facts, "account")
            case TraderChanged(trader=trader, facts=facts):
                _merge(self.traders, trader, facts, "trader")
            case WorkingAdded(facts=facts):
                if str(facts["working_order.id"]) in self.account_of:
                    raise SnapshotError("duplicate-thing", "working order", "of the event")
                self._work(facts)
            case WorkingRemoved(id=order):
                self._unwork(order)
            case SingleChanged(facts=facts):
                self._single(facts)

    def _single(self, facts: Facts) -> None:
        moment = facts.get("clock.now", self.snapshot.time)
        single = {**self.snapshot.single, **facts}
        self.snapshot = replace(self.snapshot, single=single, time=moment)  # type: ignore[arg-type]

    def _work(self, facts: Facts) -> None:
        order, account = str(facts["working_order.id"]), str(facts["working_order.account"])
        self.account_of[order] = account
        self.working.setdefault(account, {})[order] = facts
        self.worked.setdefault((account, str(facts["working_order.symbol"])), {})[order] = facts

    def _unwork(self, order: str) -> Facts:
        if order not in self.account_of:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        account = self.account_of.pop(order)
        facts = self.working[account].pop(order)
        del self.worked[account, str(facts["working_order.symbol"])][order]
        return facts

    def is_member(self, account: str, symbol: str) -> bool:
        """Whether a name is held or worked, so that sums over positions count it."""
        return symbol in self.positions.get(account, ()) or bool(self.worked.get((account, symbol)))

    def _fill(self, fill: Fill) -> None:
        account = self.accounts.get(fill.account)
        if account is None or fill.symbol not in self.instruments:
            raise SnapshotError("unknown-thing", "fill", "names an account or instrument that is not in the snapshot")
        if fill.working_order:
            self._reduce(fill)
        book = self.positions.setdefault(fill.account, {})
        old = book.get(fill.symbol) or {"position.account": fill.account, "position.symbol": fill.symbol}
        before: Value = old.get("position.before.quantity", NOTHING)
        moved = before + signed(fill.side, fill.quantity)  # type: ignore[operator]
        book[fill.symbol] = {**old, "position.before.quantity": moved}
        cash = account.get("account.cash", NOTHING) + fill.cash  # type: ignore[operator]
        self.accounts[fill.account] = {**account, "account.cash": cash}

    def _reduce(self, fill: Fill) -> None:
        order = self.working.get(self.account_of.get(fill.working_order, ""), {}).get(fill.working_order)
        if order is None:
            raise SnapshotError("unknown-thing", "working order", "of the event")
        left: Fraction = order["working_order.quantity"] - fill.quantity  # type: ignore[operator]
        if left < 0:
            raise SnapshotError("out-of-bounds", "fill", "is larger than the working order it fills")
        self._unwork(fill.working_order)
        if left:
            self._work({**order, "working_order.quantity": left})


def flat(account: str, symbol: str) -> Facts:
    """The facts of a position that is not held."""
    return {"position.before.quantity": NOTHING, "position.account": account, "position.symbol": symbol}


def _merge(table: dict[str, Facts], key: str, facts: Mapping[str, Value], what: str) -> None:
    if key not in table:
        raise SnapshotError("unknown-thing", what, "of the event is not in the snapshot")
    table[key] = {**table[key], **facts}
