"""How adapters ask the engine: the shipped library cut down to the rules a case is about, or a measured name.

`decided(document, orders, rules)` answers `approve`, `reject`, `needs_override` or `undecided` by a live desk;
`measured(name, document, orders)` the exact value of a measure. `document(...)` is a small snapshot to start from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk, shipped_rules, shipped_vocabulary
from lexorder.engine.evaluate import Point, value
from lexorder.engine.facts import load_order, load_snapshot
from lexorder.engine.judge import derivations
from lexorder.engine.measure import REGISTRY
from lexorder.engine.measuring import with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.quantity import exact
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError, Projection, Subject, project
from lexorder.engine.subjects import account_subject
from lexorder.engine.terms import Field, Value
from lexorder.engine.verdict import Status
from tests.vectors.case import NotCoveredError

TAGS = ("firm-ownership", "derivatives", "broker-buying-power", "broker-leverage", "options")
"""Labels of accounts for which the library keeps rules that not every account needs."""

NOON = "2026-06-15T12:00:00-04:00"
ACCOUNT = "A"


@cache
def words() -> Vocabulary:
    """The shipped vocabulary."""
    return shipped_vocabulary()


@cache
def library() -> RuleBook:
    """The shipped rules."""
    return RuleBook.load(shipped_rules(), words())


@cache
def only(*identifiers: str) -> RuleBook:
    """The shipped rules with these identifiers, and all that derive facts. Raises KeyError for an unknown one."""
    whole = library()
    unknown = sorted(set(identifiers) - set(whole.ids()))
    if unknown:
        raise KeyError(f"the library has no rule {', '.join(unknown)}")
    kept = tuple(v for v in whole.versions if v.id in identifiers or v.items[-1][1].derive)
    names = {v.id for v in kept}
    stretches = tuple((day, tuple(r for r in rules if r.id in names)) for day, rules in whole.stretches)
    return replace(whole, versions=kept, stretches=stretches)


def document(*, account: Mapping[str, object] | None = None, **sections: Any) -> dict[str, Any]:
    """A snapshot document: account A in dollars, trader T, no lists, no collar; everything else as given."""
    plain: dict[str, Any] = {
        "time": NOON,
        "accounts": [{"id": ACCOUNT, "currency": "USD", "tags": list(TAGS), **(account or {})}],
        "traders": [{"id": "T", "role": "portfolio_manager"}],
        "lists": {"restricted": [], "watch": []},
        "firm": {"collar": "0"},
    }
    return {**plain, **sections}


def instrument(symbol: str, price: str, **facts: object) -> dict[str, object]:
    """An instrument in dollars, quoted and marked at one price, its own issuer."""
    plain = {"symbol": symbol, "issuer": symbol, "group": symbol, "currency": "USD", "mark": price}
    return {**plain, "bid": price, "ask": price, **facts}


def order(side: str, quantity: str, symbol: str, **facts: object) -> dict[str, object]:
    """An order of account A: at the market unless it has a price."""
    plain = {"id": "O-1", "account": ACCOUNT, "trader": "T", "symbol": symbol, "side": side, "quantity": quantity}
    return {**plain, "ord_type": "limit" if "price" in facts else "market", **facts}


def decision(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]], rules: Iterable[str]) -> Decision:
    """What a desk with only these rules of the library decides about the orders together."""
    (found,) = Desk(only(*rules), snapshot, words()).check_basket(orders)
    return found


def decided(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]], rules: Iterable[str]) -> str:
    """The outcome of `decision` in one word. `undecided` is not `reject`: it means that something was missing."""
    return decision(snapshot, orders, rules).outcome.value


def seen(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]] = ()) -> Projection:
    """The snapshot as account A and these orders see it."""
    facts = tuple(load_order(o, words()) for o in orders)
    return project(load_snapshot(snapshot, words()), words(), ACCOUNT, facts)


def measured(name: str, snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]] = ()) -> Value:
    """The value of a measured name for the account, the first order or the first instrument it belongs to.

    Raises NotCoveredError when a fact the measure needs is missing.
    """
    projection = seen(snapshot, orders)
    try:
        return REGISTRY[name](projection, _subject(name.split(".", 1)[0], projection))
    except MissingFactError as error:
        raise NotCoveredError(f"{name}: {error}") from None


def told(name: str, snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]] = ()) -> Value:
    """The value of a name that the vocabulary defines or the rules in force derive, measured facts given.

    For the account, the first order or the first instrument. Raises NotCoveredError when a fact is missing.
    """
    projection, _ = with_measures(seen(snapshot, orders), tuple(sorted(REGISTRY)))
    derived = derivations(library().on(projection.snapshot.single["clock.date"]))  # type: ignore[arg-type]
    declared = words().name(name)
    assert declared is not None, name
    subject = _subject(name.split(".", 1)[0], projection)
    at = Point(projection, (account_subject(projection), subject), {}, derived)
    try:
        return value(declared.means or Field(declared.unit, name), at)
    except MissingFactError as error:
        raise NotCoveredError(f"{name}: {error}") from None


def breached(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, object]], rule: str) -> bool:
    """Whether one rule of the library finds a breach, blocking or not. Raises NotCoveredError when it is undecided."""
    found = decision(snapshot, orders, [rule])
    if found.outcome.value == "undecided":
        raise NotCoveredError(f"{rule}: {'; '.join(report.message for report in found.reports)}")
    return any(report.status is Status.BREACH for report in found.reports)


def _subject(entity: str, projection: Projection) -> Subject:
    snapshot = projection.snapshot
    if entity == "account":
        return Subject(entity, projection.account, snapshot.accounts[projection.account])
    if entity == "session":
        return Subject(entity, "", snapshot.single)
    if entity == "order":
        prepared, _ = with_measures(projection, ())
        return Subject(entity, str(prepared.orders[0]["order.id"]), prepared.orders[0])
    if entity == "position":
        key = next(iter(projection.positions))
        return Subject(entity, key, projection.positions[key])
    key = next(iter(snapshot.instruments))
    return Subject(entity, key, snapshot.instruments[key])


def plain(amount: Value) -> str:
    """An exact number as the decimal text a snapshot takes."""
    assert isinstance(amount, Fraction)
    return exact(amount)
