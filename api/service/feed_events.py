"""Rows of a feed to the events a desk understands.

In: the feed's name, rows as decoded JSON, the desk's present facts. Out: typed events, all of which the desk will take.
Guaranteed: every value goes through `facts.record`; a row about a thing that an earlier row brought adds to it; the
cash of a fill is exact: minus signed quantity × price × multiplier × exchange rate, minus the fee; of several workers
each keeps the working orders of the accounts it owns, and passes by those of the others. Refused by SnapshotError,
naming the row: unknown names, values that do not fit, an account that would move to another worker (`account-moves`),
and what `admissible.py` refuses. Before: `admissible.py`, `engine/facts.py`. After: `floor.py`, `rehearsing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lexorder.api.service.admissible import Known, Told, admit
from lexorder.api.service.shards import shard_of
from lexorder.engine import events as e
from lexorder.engine.dated_lists import entries
from lexorder.engine.errors import SnapshotError
from lexorder.engine.facts import HELD, dated_fill, record
from lexorder.engine.listing import ListChanged
from lexorder.engine.names import Vocabulary
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Projection, Subject, read, signed

NOTHING = Fraction(0)


def events_of(feed: str, body: Mapping[str, Any], known: Known) -> tuple[Told, ...]:
    """The events of one batch, in order. Raises SnapshotError, KeyError for a feed that is none."""
    found = (*_READERS[feed](body, known), *(_gone(feed, body, known) if body.get("whole") else ()))
    admit(found, known)
    return found


def _rows(body: Mapping[str, Any], key: str = "items") -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = body.get(key) or []
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise SnapshotError("wrong-shape", key, "must be a list")
    for n, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SnapshotError("wrong-shape", f"{key}[{n}]", "must be an object")
        yield f"{key}[{n}]", row


def _key(facts: Facts, name: str, where: str) -> str:
    found = facts.get(name)
    if not isinstance(found, str):
        raise SnapshotError("missing-key", where, f"has no `{name.split('.', 1)[1]}`")
    return found


def _accounts(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    new: set[str] = set()
    working = {w["working_order.account"] for w in known.working.values()} if not known.part.whole else frozenset()
    for where, row in _rows(body):
        facts = record(known.vocabulary, "account", row, where)
        key = _key(facts, "account.id", where)
        if key in known.snapshot.accounts or key in working:
            _stays(key, facts, known, where)
        yield e.AccountChanged(key, facts) if key in known.snapshot.accounts or key in new else e.AccountSet(key, facts)
        new.add(key)
    new = set()
    for where, row in _rows(body, "traders"):
        facts = record(known.vocabulary, "trader", row, where)
        key = _key(facts, "trader.id", where)
        yield e.TraderChanged(key, facts) if key in known.snapshot.traders or key in new else e.TraderSet(key, facts)
        new.add(key)
    told: dict[str, Facts] = {}
    for where, row in _rows(body, "strategies"):
        facts = record(known.vocabulary, "strategy", row, where)
        key = _key(facts, "strategy.id", where)
        told[key] = {**(told.get(key) or known.snapshot.strategies.get(key, {})), **facts}
        yield e.StrategySet(key, told[key])


def _stays(account: str, facts: Facts, known: Known, where: str) -> None:
    """Nothing when the account stays with its worker. Raises SnapshotError: its working orders would stay behind."""
    count, new = known.part.count, {account: facts}
    if "account.beneficial_owner" in facts and shard_of(new, account, count) != shard_of(
        known.snapshot.accounts, account, count
    ):
        words = "would belong to another worker with this beneficial owner: tell it with a whole snapshot"
        raise SnapshotError("account-moves", f"{where}.beneficial_owner", words)


def _prices(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    new: set[str] = set()
    for where, row in _rows(body):
        facts = _instrument(row, known.vocabulary, where)
        key = _key(facts, "instrument.symbol", where)
        if key in known.snapshot.instruments or key in new:
            yield e.InstrumentChanged(key, facts)
        else:
            new.add(key)
            yield e.InstrumentSet(key, facts)
    for where, row in _rows(body, "quotes"):
        facts = record(known.vocabulary, "quote", row, where)
        _key(facts, "quote.id", where)
        yield e.QuoteSet(facts)
    single: dict[str, Any] = {}
    for section in ("session", "fx", "firm"):
        given = body.get(section)
        if given is not None:
            single |= record(known.vocabulary, section, given, section)
    if single:
        yield e.SingleChanged(single)


def _instrument(row: Mapping[str, Any], vocabulary: Vocabulary, where: str) -> dict[str, Any]:
    """Names of `instrument` and of `market`, whichever has them."""
    market = {k: v for k, v in row.items() if not vocabulary.name(f"instrument.{k}") and vocabulary.name(f"market.{k}")}
    own = {k: v for k, v in row.items() if k not in market}
    return record(vocabulary, "instrument", own, where) | record(vocabulary, "market", market, where)


def _positions(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    for where, row in _rows(body):
        facts = record(known.vocabulary, "position", row, where)
        account, symbol = _key(facts, "position.account", where), _key(facts, "position.symbol", where)
        if HELD not in facts:  # it must not come to mean that nothing is held
            raise SnapshotError("missing-key", where, "has no `quantity`")
        yield e.PositionSet(account, symbol, facts)


def _working(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    told: dict[str, bool] = {}  # what earlier rows left there
    for where, row in _rows(body):
        action = row.get("action", "set")
        if action not in ("set", "remove"):
            raise SnapshotError("bad-value", f"{where}.action", "is not one of set, remove")
        facts = record(known.vocabulary, "working_order", {k: v for k, v in row.items() if k != "action"}, where)
        key = _key(facts, "working_order.id", where)
        for short in ("account", "symbol", "side", "quantity", "price") if action == "set" else ():
            if f"working_order.{short}" not in facts:
                raise SnapshotError("missing-key", where, f"has no `{short}`")
        there = told.get(key, key in known.working)
        if not (_kept(facts, known) and (action == "set" or there or known.part.whole)):
            continue
        if action == "remove" or there:
            yield e.WorkingRemoved(key)
        told[key] = action == "set"
        if action == "set":
            yield e.WorkingAdded(facts)


def _kept(facts: Facts, known: Known) -> bool:
    """Whether a row may be about a working order that is kept here: it names no account of another worker."""
    account = facts.get("working_order.account")
    return account is None or known.owns(str(account))


def strangers(body: Mapping[str, Any], known: Known) -> list[int]:
    """Places of the rows that remove a working order which is not kept here, or no more."""
    found, told = [], dict[str, bool]()
    for n, (where, row) in enumerate(_rows(body)):
        removes = row.get("action") == "remove"
        facts = record(known.vocabulary, "working_order", {k: v for k, v in row.items() if k != "action"}, where)
        key = _key(facts, "working_order.id", where)
        if removes and not (_kept(facts, known) and told.get(key, key in known.working)):
            found.append(n)
        told[key] = not removes
    return found


def _fills(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    for where, row in _rows(body):
        extra = {k: row[k] for k in ("fee",) if k in row}
        facts = record(known.vocabulary, "fill", {k: v for k, v in row.items() if k not in extra}, where)
        for short in ("id", "account", "symbol", "side", "quantity", "price"):
            if f"fill.{short}" not in facts:
                raise SnapshotError("missing-key", where, f"has no `{short}`")
        fee = record(known.vocabulary, "order", {"flat_fee": extra.get("fee", "0")}, where)["order.flat_fee"]
        if "fill.date" not in facts and "clock.date" in known.snapshot.single:
            facts = dated_fill(facts, known.snapshot.single["clock.date"])
        order = str(facts.get("fill.order", "")) if known.owns(str(facts["fill.account"])) else ""
        yield e.Fill(
            account=str(facts["fill.account"]),
            symbol=str(facts["fill.symbol"]),
            side=str(facts["fill.side"]),
            quantity=facts["fill.quantity"],  # type: ignore[arg-type]
            cash=_cash(facts, known, where) - fee,  # type: ignore[operator]
            working_order=order if order in known.working else "",
            facts=facts,
        )


def _cash(facts: Facts, known: Known, where: str) -> Fraction:
    symbol, account = str(facts["fill.symbol"]), str(facts["fill.account"])
    instrument = known.snapshot.instruments.get(symbol)
    if instrument is None or account not in known.snapshot.accounts:
        raise SnapshotError("unknown-thing", where, "names an account or instrument that is not known")
    stack = (Subject("instrument", symbol, instrument),)
    seen = Projection(known.snapshot, known.vocabulary, account, (), (), {})
    rate = read(seen, stack, "instrument.fx", "")
    multiplier = read(seen, stack, "instrument.multiplier", "")
    moved = signed(str(facts["fill.side"]), facts["fill.quantity"])  # type: ignore[arg-type]
    return -moved * facts["fill.price"] * rate * multiplier  # type: ignore[operator]


def _lists(body: Mapping[str, Any], known: Known) -> Iterator[Told]:
    for where, row in _rows(body):
        name = row.get("list")
        if not isinstance(name, str) or known.vocabulary.name(f"lists.{name}") is None:
            raise SnapshotError("unknown-name", f"{where}.list", "is not the name of a list of the vocabulary")
        if row.keys() - {"new"} != {"list", "entries"}:  # a list must not be emptied by a misspelt key
            raise SnapshotError("wrong-shape", where, "has exactly `list` and `entries`, and `new` where it begins")
        if not isinstance(row.get("new", False), bool):
            raise SnapshotError("bad-value", f"{where}.new", "is not true or false")
        yield ListChanged(name, entries(row["entries"], f"{where}.entries"))


def _signals(body: Mapping[str, Any], known: Known) -> Iterator[e.Event]:
    for where, row in _rows(body):
        facts = record(known.vocabulary, "signal", row, where)
        _key(facts, "signal.id", where)
        yield e.SignalSet(facts)


def _gone(feed: str, body: Mapping[str, Any], known: Known) -> Iterator[Told]:
    """What a feed told as a whole leaves out: holdings, working orders and lists that are no longer there."""
    if feed == "positions":
        kept = {(row["account"], row["symbol"]) for _, row in _rows(body)}
        flat = {HELD: NOTHING}
        for account, held in known.snapshot.positions.items():
            for symbol in held:
                if (account, symbol) not in kept:
                    own = {"position.account": account, "position.symbol": symbol}
                    yield e.PositionSet(account, symbol, {**own, **flat})
    elif feed == "working-orders":
        told = {row["id"] for _, row in _rows(body)}
        yield from (e.WorkingRemoved(order) for order in known.working if order not in told)
    elif feed == "lists":
        named = {row["list"] for _, row in _rows(body)}
        yield from (ListChanged(name, ()) for name in known.snapshot.lists if name not in named)


_READERS: dict[str, Callable[[Mapping[str, Any], Known], Iterator[Told]]] = {
    "accounts": _accounts,
    "positions": _positions,
    "prices": _prices,
    "fills": _fills,
    "working-orders": _working,
    "lists": _lists,
    "signals": _signals,
}
