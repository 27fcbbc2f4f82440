"""The facts at one instant: accounts, positions, working orders, prices, lists, signals.

In: typed facts by vocabulary name (from `facts.py`, which reads JSON and DataFrames). Out: `Snapshot`, read by every
evaluator, and `Binding`, which finds the value of a name for a subject. Guaranteed: immutable; values within their
declared bounds and scales; time is a fact, there is no clock here. Refused: nothing is raised for an absent fact,
`Missing` says which one, and no default is made up beyond the vocabulary's.
Before: `vocabulary.py`, `terms.py`. After: `facts.py`, `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from lexorder.engine.constituents import Constituents, reached
from lexorder.engine.dated_lists import Entry
from lexorder.engine.hierarchy import Hierarchy
from lexorder.engine.names import Vocabulary
from lexorder.engine.records import Records
from lexorder.engine.rule import Facts
from lexorder.engine.terms import Value

BUY = "buy"
CONSTITUENT = "constituent"
"""The entity whose subjects are the issuers an account's holdings lead to, through funds and derivatives too."""
WEIGHT = "constituent.weight"
"""The one name that belongs to a position and the subject together."""


class MissingFactError(Exception):
    """A fact a term needs is absent or stale. Never reaches users: it becomes an undecided finding."""

    def __init__(self, name: str, subject: str, why: str = "is missing") -> None:
        super().__init__(f"{name} of {subject} {why}" if subject else f"{name} {why}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Facts at `time`. Every mapping is from key to facts by vocabulary name.

    `instruments` holds both `instrument.*` and `market.*`; `positions` is by account, then symbol. `single` holds
    clock, session, firm, lists and fx; there a list is what its entries (`lists`, by name) cover on the trade date.
    `hash` is the SHA-256 of the canonical bytes of all of it.
    """

    time: datetime
    accounts: Mapping[str, Facts]
    instruments: Mapping[str, Facts]
    positions: Mapping[str, Mapping[str, Facts]]
    working_orders: Sequence[Facts] = ()
    fills: Sequence[Facts] = ()
    signals: Sequence[Facts] = ()
    pairs: Sequence[Facts] = ()
    quotes: Sequence[Facts] = ()
    traders: Mapping[str, Facts] = field(default_factory=dict)
    strategies: Mapping[str, Facts] = field(default_factory=dict)
    single: Facts = field(default_factory=dict)
    lists: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    constituents: Constituents = field(default_factory=Constituents)
    hash: str = ""

    def records(self, entity: str, key: str) -> Facts | None:
        """Facts of one thing that has a key of its own, or None."""
        table: Mapping[str, Facts] = {
            "account": self.accounts,
            "instrument": self.instruments,
            "market": self.instruments,
            "trader": self.traders,
            "strategy": self.strategies,
        }.get(entity, {})
        return table.get(key)


def signed(side: str, quantity: Fraction) -> Fraction:
    """Quantity with the sign of its effect on the position: sells and short sales are negative."""
    return quantity if side == BUY else -quantity


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is judged for: an entity, its key, and the facts it carries itself."""

    entity: str
    key: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Projection:
    """A snapshot seen from one account together with the orders under test: what a rule is judged on.

    `orders` and `working` are facts by name; `positions` has every symbol held, ordered or working, in symbol order.
    """

    snapshot: Snapshot
    vocabulary: Vocabulary
    account: str
    orders: tuple[Facts, ...]
    working: tuple[Facts, ...]
    positions: Mapping[str, Facts]

    def members(self, collection: str) -> Iterator[Facts]:
        """The account's members of a collection, in a fixed order."""
        if collection == "position":
            yield from self.positions.values()
        elif collection == "order":
            yield from self.orders
        elif collection == "working_order":
            yield from self.working
        elif self.vocabulary.entities[collection].groups:
            yield from self._groups(collection)
        else:
            everyone: Sequence[Facts] = getattr(self.snapshot, collection + "s")
            own = collection + ".account"
            if isinstance(everyone, Records):
                yield from everyone.of(self.account)
                return
            yield from (m for m in everyone if m.get(own, self.account) in (self.account, "NONE"))

    def group_of(self, entity: str, symbol: str) -> str:
        """The issuer, sector, ... of an instrument. Raises MissingFactError where it is not known."""
        field = self.vocabulary.entities[entity].groups
        key = self.snapshot.instruments.get(symbol, {}).get(field)
        if not isinstance(key, str) or not key:
            raise MissingFactError(field, symbol)
        return key

    def _groups(self, entity: str) -> Iterator[Facts]:
        """Each issuer (sector, ...) of a name held, ordered or working, once, in order of its key."""
        for key in sorted({self.group_of(entity, symbol) for symbol in self.positions}):
            yield {f"{entity}.id": key}


def project(snapshot: Snapshot, vocabulary: Vocabulary, account: str, orders: tuple[Facts, ...]) -> Projection:
    """See `snapshot` from `account` with `orders` under test (all of that account)."""
    working = tuple(w for w in snapshot.working_orders if w["working_order.account"] == account)
    held = snapshot.positions.get(account, {})
    symbols = {str(o["order.symbol"]) for o in orders} | set(held)
    symbols |= {str(w["working_order.symbol"]) for w in working}
    flat: dict[str, Value] = {"position.before.quantity": Fraction(0), "position.account": account}
    positions = {s: held.get(s) or {**flat, "position.symbol": s} for s in sorted(symbols)}
    return Projection(snapshot, vocabulary, account, orders, working, positions)


def find(projection: Projection, stack: tuple[Subject, ...], entity: str, via: str) -> tuple[Facts | None, str]:
    """Facts of `entity` as seen from the innermost subject that is it or links to it, and its key.

    `via` names the entity the path starts from (`order` in `order.instrument.sector`), or is empty.
    """
    snapshot = projection.snapshot
    for subject in reversed(stack):
        if via and subject.entity != via:
            continue
        if subject.entity == entity:
            return subject.facts or snapshot.records(entity, subject.key), subject.key
        if {subject.entity, entity} == {"instrument", "market"}:
            return snapshot.instruments.get(subject.key), subject.key
        link = _link(projection.vocabulary, subject.entity, entity)
        key = subject.facts.get(f"{subject.entity}.{link}") if link else None
        if isinstance(key, str):
            return snapshot.records(entity, key), key
    return (snapshot.single, "") if projection.vocabulary.entities[entity].single else (None, "")


def _link(vocabulary: Vocabulary, start: str, entity: str) -> str | None:
    links = vocabulary.entities[start].links
    return links.get(entity) or (links.get("instrument") if entity == "market" else None)


def read(projection: Projection, stack: tuple[Subject, ...], name: str, via: str) -> Value:
    """The value of a given name. Raises MissingFactError when absent without default, or stale."""
    entity = name.split(".", 1)[0]
    facts, key = find(projection, stack, entity, via)
    value = None if facts is None else facts.get(name)
    declared = projection.vocabulary.name(name)
    if value is None and name == "instrument.fx" and facts is not None:
        value = exchange_rate(projection, str(facts.get("instrument.currency", "")))
    if value is None and name == WEIGHT:
        value = weight(projection, stack)
    if value is None and entity == "fx":
        value = exchange_rate(projection, name.split(".", 1)[1])
    if value is None and declared is not None:
        value = declared.default
    if value is None or declared is None:
        raise MissingFactError(name, key)
    if facts is not None and declared.max_age is not None and declared.as_of:
        taken = facts.get(declared.as_of) or projection.snapshot.time
        age = projection.snapshot.time - taken  # type: ignore[operator]
        if Fraction(age.days * 86_400 + age.seconds) + Fraction(age.microseconds, 10**6) > declared.max_age:
            raise MissingFactError(name, key, "is older than its age limit")
    return value


def weight(projection: Projection, stack: tuple[Subject, ...]) -> Fraction:
    """The share of a position that is the subject's issuer, funds and derivatives looked through.

    Raises MissingFactError where no position is bound, and where the issuer or the constituents are not known.
    """
    issuer = next((s.key for s in reversed(stack) if s.entity == CONSTITUENT), "")
    symbol = next((s.key for s in reversed(stack) if s.entity == "position"), "")
    known = projection.snapshot
    fund, issuers = reached(symbol, known.instruments, known.constituents)
    if not issuers:
        raise MissingFactError("the constituents" if fund else "instrument.issuer", fund or symbol)
    return known.constituents.weight(fund, issuer) if fund else Fraction(issuer in issuers)


def exchange_rate(projection: Projection, currency: str) -> Fraction | None:
    """Account money for one unit of `currency`; None when a rate it needs is not in the snapshot.

    `fx.X` in the snapshot is base money for one X, where `fx.base` names the base currency.
    """
    own = projection.snapshot.accounts.get(projection.account, {}).get("account.currency")
    if not currency or own is None:
        return None
    if currency == own:
        return Fraction(1)
    single = projection.snapshot.single
    rates = [Fraction(1) if c == single.get("fx.base") else single.get(f"fx.{c}") for c in (currency, own)]
    theirs, ours = rates
    if isinstance(theirs, Fraction) and isinstance(ours, Fraction):
        return theirs / ours
    return None
