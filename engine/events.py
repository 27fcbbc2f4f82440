"""What can happen to a live desk: the closed set of events, and a snapshot after one.

In: events built by the OMS feed, the market data feed or a test. Out: `after(snapshot, event)`, the exact new snapshot.
Guaranteed: events carry typed facts (from `facts.py`); applying one never changes the old snapshot; the hash of a live
state is SHA-256(old hash, canonical bytes of the event), so a replay of the same events gives the same hash. `…Changed`
adds to the facts of a thing that is there, `…Set` gives a thing all its facts, new or not. Refused by `SnapshotError`:
changes of accounts, instruments or working orders that are not there, fills and working orders told twice. Why closed:
the compiled evaluator and the expert each keep their own state and must know every event. Before: `snapshot.py`,
`facts.py`. After: `desk.py`, `compile.py`, `expert/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lexorder.engine.constituents import TOLD
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import canonical_bytes, plain
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot, signed
from lexorder.engine.terms import Value


@dataclass(frozen=True, slots=True)
class Fill:
    """`quantity` shares (above 0) bought or sold for the account, with the cash it moved.

    `cash` is the change of the account's cash in its currency, `-signed quantity * price * fx - fee`, worked out by the
    sender. `working_order` names the working order it fills, whose open quantity shrinks (and which goes when nothing
    is left), or is empty. `facts` is the `fill.*` record kept for rules that look at the day's fills; without it none
    is kept.
    """

    account: str
    symbol: str
    side: str
    quantity: Fraction
    cash: Fraction
    working_order: str = ""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FillRecorded:
    """A fill for the record alone, by `fill.*` names: positions and cash are told apart from it. Told once each."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class InstrumentChanged:
    """New values of some `instrument.*` or `market.*` facts, e.g. the mark."""

    symbol: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """New values of some `account.*` facts."""

    account: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class WorkingAdded:
    """A new working order, by `working_order.*` names."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class WorkingRemoved:
    """A working order is cancelled, expired or rejected."""

    id: str


@dataclass(frozen=True, slots=True)
class SingleChanged:
    """New values of clock, session, firm, lists or fx facts; a new `clock.now` also moves the snapshot's time."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class TraderChanged:
    """New values of some `trader.*` facts."""

    trader: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class AccountSet:
    """All facts of an account, new or in place of what was known."""

    account: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class InstrumentSet:
    """All `instrument.*` and `market.*` facts of an instrument, new or in place of what was known."""

    symbol: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class TraderSet:
    """All facts of a trader, new or in place of what was known."""

    trader: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class StrategySet:
    """All facts of a strategy, new or in place of what was known."""

    strategy: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class PositionSet:
    """All facts of a holding, by `position.*` names, whatever fills were told; a quantity of 0 takes it out."""

    account: str
    symbol: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class QuoteSet:
    """A quote, by `quote.*` names, new or in place of the one with its id."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class SignalSet:
    """A signal, by `signal.*` names, new or in place of the one with its id."""

    facts: Facts


Set = AccountSet | InstrumentSet | TraderSet | StrategySet | PositionSet | QuoteSet | SignalSet
"""Events that give a thing all its facts."""

Event = (
    Fill
    | FillRecorded
    | InstrumentChanged
    | AccountChanged
    | WorkingAdded
    | WorkingRemoved
    | SingleChanged
    | TraderChanged
    | Set
)


def after(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot once `event` has happened, with its chained hash. Raises SnapshotError."""
    return replace(applied(snapshot, event), hash=chained(snapshot.hash, event))


def chained(digest: str, event: Event) -> str:
    """The hash of a live state that had `digest` before `event`."""
    written = {name: _plain(getattr(event, name)) for name in event.__slots__}
    if isinstance(event, Fill) and not event.facts:
        del written["facts"]  # as fills were written before they could carry a record
    return hashlib.sha256(digest.encode("ascii") + canonical_bytes([type(event).__name__, written])).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): None if v is None else plain(v) for k, v in value.items()}
    return None if value is None else plain(value)  # type: ignore[arg-type]


def applied(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot once `event` has happened, its hash left as it is: for facts worked out from it. SnapshotError."""
    match event:
        case Fill():
            return _filled(snapshot, event)
        case InstrumentChanged(symbol=symbol, facts=facts):
            return _listed(snapshot, symbol, _merged(snapshot.instruments, symbol, facts, "instrument"), facts)
        case AccountChanged(account=account, facts=facts):
            return replace(snapshot, accounts=_merged(snapshot.accounts, account, facts, "account"))
        case TraderChanged(trader=trader, facts=facts):
            return replace(snapshot, traders=_merged(snapshot.traders, trader, facts, "trader"))
        case WorkingAdded(facts=facts):
            return replace(snapshot, working_orders=(*_without(snapshot, _id(facts), must=False), facts))
        case WorkingRemoved(id=order):
            return replace(snapshot, working_orders=_without(snapshot, order, must=True))
        case SingleChanged(facts=facts):
            moment = facts.get("clock.now", snapshot.time)
            return replace(snapshot, single={**snapshot.single, **facts}, time=moment)  # type: ignore[arg-type]
        case FillRecorded(facts=facts):
            return replace(snapshot, fills=_recorded(snapshot.fills, facts))
    return _set(snapshot, event)


def _set(snapshot: Snapshot, event: Set) -> Snapshot:
    match event:
        case AccountSet(account=account, facts=facts):
            return replace(snapshot, accounts={**snapshot.accounts, account: whole("account.id", account, facts)})
        case InstrumentSet(symbol=symbol, facts=facts):
            given = whole("instrument.symbol", symbol, facts)
            return _listed(snapshot, symbol, {**snapshot.instruments, symbol: given}, TOLD)
        case TraderSet(trader=trader, facts=facts):
            return replace(snapshot, traders={**snapshot.traders, trader: whole("trader.id", trader, facts)})
        case StrategySet(strategy=strategy, facts=facts):
            given = whole("strategy.id", strategy, facts)
            return replace(snapshot, strategies={**snapshot.strategies, strategy: given})
        case PositionSet():
            return replace(snapshot, positions=_placed(snapshot, event))
        case QuoteSet(facts=facts):
            return replace(snapshot, quotes=_upserted(snapshot.quotes, facts, "quote.id"))
        case SignalSet(facts=facts):
            return replace(snapshot, signals=_upserted(snapshot.signals, facts, "signal.id"))


def _listed(snapshot: Snapshot, symbol: str, instruments: Mapping[str, Facts], changed: Collection[str]) -> Snapshot:
    """With these instruments, of which one has other facts now; funds are looked through as they are now."""
    inside = snapshot.constituents.after(symbol, changed, instruments)
    return replace(snapshot, instruments=instruments, constituents=inside)


def whole(key: str, name: str, facts: Facts) -> Facts:
    """The facts of a thing that is set, its own name among them."""
    return {**facts, key: name}


def held(event: PositionSet) -> Facts | None:
    """The facts of the holding an event sets; None when it takes the holding out."""
    if not event.facts.get("position.before.quantity"):
        return None
    return {**event.facts, "position.account": event.account, "position.symbol": event.symbol}


def _placed(snapshot: Snapshot, event: PositionSet) -> Mapping[str, Mapping[str, Facts]]:
    if event.account not in snapshot.accounts or event.symbol not in snapshot.instruments:
        raise SnapshotError("unknown-thing", "position", "names an account or instrument that is not in the snapshot")
    book = {s: facts for s, facts in snapshot.positions.get(event.account, {}).items() if s != event.symbol}
    facts = held(event)
    return {**snapshot.positions, event.account: book if facts is None else {**book, event.symbol: facts}}


def _recorded(fills: Sequence[Facts], facts: Facts) -> tuple[Facts, ...]:
    if any(known["fill.id"] == facts["fill.id"] for known in fills):
        raise SnapshotError("duplicate-thing", "fill", "of the event is recorded already")
    return (*fills, facts)


def _upserted(rows: Sequence[Facts], facts: Facts, key: str) -> tuple[Facts, ...]:
    if any(row[key] == facts[key] for row in rows):
        return tuple(facts if row[key] == facts[key] else row for row in rows)
    return (*rows, facts)


def _merged(table: Mapping[str, Facts], key: str, facts: Facts, what: str) -> dict[str, Facts]:
    if key not in table:
        raise SnapshotError("unknown-thing", what, "of the event is not in the snapshot")
    return {**table, key: {**table[key], **facts}}


def _id(facts: Facts) -> str:
    return str(facts["working_order.id"])


def _without(snapshot: Snapshot, order: str, must: bool) -> tuple[Facts, ...]:
    left = tuple(w for w in snapshot.working_orders if _id(w) != order)
    found = len(left) != len(snapshot.working_orders)
    if found != must:
        raise SnapshotError("unknown-thing" if must else "duplicate-thing", "working order", "of the event")
    return left


def _filled(snapshot: Snapshot, fill: Fill) -> Snapshot:
    book = snapshot.positions.get(fill.account, {})
    flat: Facts = {"position.account": fill.account, "position.symbol": fill.symbol}
    old = book.get(fill.symbol, flat)
    before: Value = old.get("position.before.quantity", Fraction(0))
    moved = before + signed(fill.side, fill.quantity)  # type: ignore[operator]
    positions = {**book, fill.symbol: {**old, "position.before.quantity": moved}}
    account = snapshot.accounts.get(fill.account)
    if account is None or fill.symbol not in snapshot.instruments:
        raise SnapshotError("unknown-thing", "fill", "names an account or instrument that is not in the snapshot")
    cash = account.get("account.cash", Fraction(0)) + fill.cash  # type: ignore[operator]
    return replace(
        snapshot,
        positions={**snapshot.positions, fill.account: positions},
        accounts={**snapshot.accounts, fill.account: {**account, "account.cash": cash}},
        working_orders=_worked(snapshot, fill),
        fills=_recorded(snapshot.fills, fill.facts) if fill.facts else snapshot.fills,
    )


def _worked(snapshot: Snapshot, fill: Fill) -> Sequence[Facts]:
    if not fill.working_order:
        return snapshot.working_orders
    rest = _without(snapshot, fill.working_order, must=True)
    order = next(w for w in snapshot.working_orders if _id(w) == fill.working_order)
    left = order["working_order.quantity"] - fill.quantity  # type: ignore[operator]
    if left < 0:
        raise SnapshotError("out-of-bounds", "fill", "is larger than the working order it fills")
    return (*rest, {**order, "working_order.quantity": left}) if left else rest
