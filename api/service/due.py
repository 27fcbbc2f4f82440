"""What is to be looked at again, and why: events sorted to the accounts and rules they can alter.

In: events as a desk takes them. Out: for each account a `Due`: which rules, for which instruments, because of what, and
since when. Guaranteed: an account is due as long as a change that could alter one of its findings was not looked at;
accounts that an event touched come before those that only wait for a first look or for the time to pass. Refused:
nothing; an event nobody foresaw makes everything of everybody due. Why sorted late and together: a price arrives
thousands of times a second, and ten of one name cost what one does. Before: `watched.py`, `engine/freshness.py`.
After: `monitoring.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lexorder.api.service.watched import RUNNING, Watch, Watched
from lexorder.engine import events as e
from lexorder.engine.freshness import Freshness
from lexorder.engine.live import Live

TRADE = "*"
"""Among the names of changed instruments: what is held or working of them has changed."""

WHOLE: frozenset[str] = frozenset({"*"})
"""All subjects of a rule."""

OWN = frozenset({"fills", "positions", "working-orders"})
"""Changes of what an account itself has."""


@dataclass(slots=True)
class Due:
    """What of an account must be looked at. `since` is the number of the first event behind it, `at` its time.

    `names` are facts of the account or of everybody, `symbols` instruments of which the facts `of_symbols` changed.
    """

    since: int
    at: float
    everything: bool = False
    timed: bool = False
    names: set[str] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)
    of_symbols: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)

    def asks(self, watch: Watch) -> frozenset[str] | None:
        """Of which instruments' subjects a rule must be judged again: `WHOLE`, some, or None for not at all."""
        if self.everything or watch.whole or (self.timed and watch.timed) or not self.names.isdisjoint(watch.names):
            return WHOLE
        if TRADE in self.of_symbols or not self.of_symbols.isdisjoint(watch.names):
            return frozenset(self.symbols) if watch.local else WHOLE
        return None

    def join(self, other: Due) -> None:
        """Take over what else is due."""
        self.since, self.at = min(self.since, other.since), min(self.at, other.at)
        self.everything |= other.everything
        self.timed |= other.timed
        for mine, more in (
            (self.names, other.names),
            (self.symbols, other.symbols),
            (self.of_symbols, other.of_symbols),
            (self.changes, other.changes),
        ):
            mine.update(more)


class Dues:
    """All that is due on one desk. `mine` says which accounts are watched here."""

    def __init__(self, live: Live, known: Watched, mine: Callable[[str], bool]) -> None:
        self.live = live
        self.known = known
        self.mine = mine
        self.touched: dict[str, Due] = {}
        self.waiting: dict[str, Due] = {}
        self.fresh = Freshness(live.vocabulary)
        self.fresh.watch(live)
        self._holders: dict[str, set[str]] = {}
        for account, held in live.positions.items():
            for symbol in held:
                self._holders.setdefault(symbol, set()).add(account)
        for symbol, orders in live.named.items():
            self._holders.setdefault(symbol, set()).update(live.account_of[order] for order in orders)
        self.readers: set[str] = set()
        self._orders = {order: (a, s) for (a, s), found in live.worked.items() for order in found}
        self._number, self._at = 0, 0.0

    # ---- asked -----------------------------------------------------------------------------------

    def of(self, account: str) -> Due | None:
        """What is due of an account."""
        return self.touched.get(account) or self.waiting.get(account)

    def take(self, account: str) -> Due | None:
        """The same, no longer due."""
        first, second = self.touched.pop(account, None), self.waiting.pop(account, None)
        if first is not None and second is not None:
            first.join(second)
        return first or second

    def give_back(self, account: str, due: Due) -> None:
        """It was not looked at after all."""
        later = self.take(account)
        if later is not None:
            due.join(later)
        (self.touched if due.changes & OWN else self.waiting)[account] = due

    def __len__(self) -> int:
        """How many accounts something is due of."""
        return len(self.touched.keys() | self.waiting.keys())

    def depends(self, account: str, symbols: Iterable[str], *, everything: bool) -> None:
        """An account was seen to depend on these instruments, whether it holds them or not, or on all there are."""
        for symbol in symbols:
            self._holders.setdefault(symbol, set()).add(account)
        if everything:
            self.readers.add(account)

    # ---- told ------------------------------------------------------------------------------------

    def all(self, number: int, at: float, why: str, *, timed: bool = False, accounts: Iterable[str] = ()) -> None:
        """Everything is due, or with `timed` what the time alone may change; of all accounts, or of some."""
        for account in accounts or list(self.live.accounts):
            if self.mine(account):
                due = self.waiting.setdefault(account, Due(number, at))
                due.everything |= not timed
                due.timed |= timed
                due.changes.add(why)

    def sort(self, events: Iterable[Any], number: int, at: float) -> None:
        """Let what these events can alter be due. `number` is that of the first, `at` its time."""
        self._number, self._at = number, at
        marks: dict[tuple[str, ...], set[str]] = {}
        for event in events:
            if isinstance(event, e.InstrumentChanged):  # by far the most: those of one name count once
                marks.setdefault((event.symbol,), set()).update(event.facts)
            else:
                _SORT.get(type(event), Dues._unforeseen)(self, event)
        for (symbol,), names in marks.items():
            self.fresh.note(self.live, symbol)
            self._instrument(symbol, names)
        for symbol in self.fresh.turned(self.live):
            self._instrument(symbol, set(self.known.aged), "time")

    def _due(self, account: str, why: str) -> Due | None:
        if not self.mine(account):
            return None
        due = self.touched.get(account)
        if due is None:
            due = self.touched[account] = Due(self._number, self._at)
        due.changes.add(why)
        return due

    def _instrument(self, symbol: str, names: set[str], why: str = "prices") -> None:
        everything = not names.isdisjoint(self.known.sorting)
        everywhere = everything or not names.isdisjoint(self.known.everywhere)
        concerned = self._holders.get(symbol, frozenset()) | self.readers
        for account in list(self.live.accounts) if everywhere else concerned:
            due = self._due(account, why)
            if due is not None:
                due.everything |= everything
                due.symbols.add(symbol)
                due.of_symbols |= names

    def _trade(self, account: str, symbol: str, why: str, names: Iterable[str] = ()) -> None:
        self._holders.setdefault(symbol, set()).add(account)
        due = self._due(account, why)
        if due is not None:
            due.symbols.add(symbol)
            due.of_symbols.add(TRADE)
            due.names |= set(names)

    def _named(self, accounts: Iterable[str], names: Iterable[str], why: str) -> None:
        wanted = set(names)
        for account in accounts:
            due = self._due(account, why)
            if due is not None:
                due.names |= wanted

    def _whole(self, accounts: Iterable[str], why: str) -> None:
        for account in accounts:
            due = self._due(account, why)
            if due is not None:
                due.everything = True

    # ---- events ----------------------------------------------------------------------------------

    def _fill(self, event: e.Fill) -> None:
        self._trade(event.account, event.symbol, "fills", {"account.cash", "account.*"})

    def _recorded(self, event: e.FillRecorded) -> None:
        self._of_one("fill", event.facts, "fills")

    def _working(self, event: e.WorkingAdded) -> None:
        facts = event.facts
        whose = str(facts["working_order.account"]), str(facts["working_order.symbol"])
        self._orders[str(facts["working_order.id"])] = whose
        self._trade(*whose, "working-orders")

    def _removed(self, event: e.WorkingRemoved) -> None:
        whose = self._orders.pop(event.id, None)
        if whose is None:
            self._unforeseen(event)
        else:
            self._trade(*whose, "working-orders")

    def _position(self, event: e.PositionSet) -> None:
        self._trade(event.account, event.symbol, "positions")

    def _account(self, event: e.AccountChanged) -> None:
        if {"account.tags", "account.currency"} & event.facts.keys():
            self._whole([event.account], "accounts")
        else:
            self._named([event.account], event.facts, "accounts")

    def _single(self, event: e.SingleChanged) -> None:
        names = {n for n in event.facts if n not in RUNNING and not n.startswith("session.")}
        if any(name.startswith(("fx.", "clock.")) for name in names):
            self._whole(list(self.live.accounts), "prices")
        elif names:
            why = "lists" if all(name.startswith("lists.") for name in names) else "accounts"
            self._named(list(self.live.accounts), names, why)

    def _instrument_set(self, event: e.InstrumentSet) -> None:
        self.fresh.note(self.live, event.symbol)
        self._instrument(event.symbol, {*event.facts, *self.known.sorting})

    def _of_one(self, entity: str, facts: Mapping[str, Any], why: str) -> None:
        """A record of an account, or of everybody."""
        account = str(facts.get(f"{entity}.account", "NONE"))
        known = account in self.live.accounts
        symbol = facts.get(f"{entity}.symbol")
        for each in [account] if known else list(self.live.accounts):
            if isinstance(symbol, str):
                self._trade(each, symbol, why, {f"{entity}.*", *facts})
            else:
                self._named([each], {f"{entity}.*", *facts}, why)

    def _unforeseen(self, _event: object) -> None:
        self._whole(list(self.live.accounts), "accounts")


_SORT: Mapping[type, Callable[[Dues, Any], None]] = {
    e.Fill: Dues._fill,
    e.FillRecorded: Dues._recorded,
    e.WorkingAdded: Dues._working,
    e.WorkingRemoved: Dues._removed,
    e.PositionSet: Dues._position,
    e.AccountChanged: Dues._account,
    e.AccountSet: lambda dues, event: dues._whole([event.account], "accounts"),
    e.SingleChanged: Dues._single,
    e.InstrumentSet: Dues._instrument_set,
    e.TraderChanged: lambda dues, event: dues._named(list(dues.live.accounts), event.facts, "accounts"),
    e.SignalSet: lambda dues, event: dues._of_one("signal", event.facts, "signals"),
    e.QuoteSet: lambda dues, event: dues._of_one("quote", event.facts, "prices"),
}
"""What each kind of event makes due; of any other kind, everything of everybody."""
