"""What can happen to a live desk: the closed set of events, and a snapshot after one.

In: events built by the OMS feed, the market data feed or a test. Out: `after(snapshot, event)`, the exact new snapshot.
Guaranteed: events carry typed facts (from `facts.py`); applying one never changes the old snapshot; the hash of a live
state is SHA-256(old hash, canonical bytes of the event), so a replay of the same events gives the same hash. Refused by
`SnapshotError`: events about accounts, instruments or working orders that are not there. Why closed: the compiled
evaluator and the expert each keep their own state and must know every event. Before: `snapshot.py`, `facts.py`. After:
`desk.py`, `compile.py`, `expert/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction

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
    is left), or is empty.
    """

    account: str
    symbol: str
    side: str
    quantity: Fraction
    cash: Fraction
    working_order: str = ""


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


Event = Fill | InstrumentChanged | AccountChanged | WorkingAdded | WorkingRemoved | SingleChanged | TraderChanged


def after(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot once `event` has happened, with its chained hash. Raises SnapshotError."""
    return replace(applied(snapshot, event), hash=chained(snapshot.hash, event))


def chained(digest: str, event: Event) -> str:
    """The hash of a live state that had `digest` before `event`."""
    written = canonical_bytes([type(event).__name__, _plain(asdict(event))])
    return hashlib.sha256(digest.encode("ascii") + written).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return None if value is None else plain(value)  # type: ignore[arg-type]


def applied(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot once `event` has happened, its hash left as it is: for facts worked out from it. SnapshotError."""
    match event:
        case Fill():
            return _filled(snapshot, event)
        case InstrumentChanged(symbol=symbol, facts=facts):
            return replace(snapshot, instruments=_merged(snapshot.instruments, symbol, facts, "instrument"))
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
    )


def _worked(snapshot: Snapshot, fill: Fill) -> tuple[Facts, ...]:
    if not fill.working_order:
        return snapshot.working_orders
    rest = _without(snapshot, fill.working_order, must=True)
    order = next(w for w in snapshot.working_orders if _id(w) == fill.working_order)
    left = order["working_order.quantity"] - fill.quantity  # type: ignore[operator]
    if left < 0:
        raise SnapshotError("out-of-bounds", "fill", "is larger than the working order it fills")
    return (*rest, {**order, "working_order.quantity": left}) if left else rest
