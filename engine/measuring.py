"""Measured facts for a live desk: what the measures of the rules in use say now, put among the given facts.

In: a projection and the names that rules use. Out: orders with their measured facts, and events that carry the measured
facts of accounts and instruments to the evaluators. Guaranteed: a given fact wins over a measure; a measure whose facts
are missing leaves its name absent, so rules that read it are undecided; both evaluators see the same values. Why not
inside the evaluators: a measure is a given for them, and CLIPS could not compute it. Before: `measure.py`. After:
`desk.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

import lexorder.engine.measures  # noqa: F401  registers the measures
from lexorder.engine.events import AccountChanged, Event, InstrumentChanged, SingleChanged, applied
from lexorder.engine.measure import REGISTRY
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.terms import Field, Term, Value


def measured_names(rules: Iterable[Rule]) -> tuple[str, ...]:
    """The measured names these rules read, sorted."""
    return tuple(sorted({name for rule in rules for name in names_read(rule)} & REGISTRY.keys()))


def names_read(rule: Rule) -> frozenset[str]:
    """The vocabulary names a rule reads, definitions expanded."""
    return frozenset(n.name for t in _terms(rule) for n in t.walk() if isinstance(n, Field))


def _terms(rule: Rule) -> Iterable[Term]:
    yield from (t for t in (rule.when, rule.require) if t is not None)
    yield from (term for _, term in rule.derive)
    yield from (a for action in rule.then for _, a in action.arguments if isinstance(a, Term))


def with_measures(projection: Projection, names: Sequence[str]) -> tuple[Projection, tuple[Event, ...]]:
    """The projection with measured facts of orders, account, instruments and session; events for the last three."""
    if not names:
        return projection, ()
    orders = tuple(_order(projection, order, names) for order in projection.orders)
    seen = replace(projection, orders=orders)
    events = (*_of_account(seen, names), *_of_instruments(seen, names), *_of_session(seen, names))
    return replace(seen, snapshot=reduce(applied, events, seen.snapshot)), events


def _of_account(seen: Projection, names: Sequence[str]) -> Iterable[Event]:
    facts = seen.snapshot.accounts.get(seen.account)
    if facts is not None and _concern(names, "account"):
        yield AccountChanged(seen.account, _values(seen, Subject("account", seen.account, facts), names))


def _of_instruments(seen: Projection, names: Sequence[str]) -> Iterable[Event]:
    if _concern(names, "instrument", "market"):
        for symbol in sorted({str(o["order.symbol"]) for o in seen.orders} & seen.snapshot.instruments.keys()):
            facts = seen.snapshot.instruments[symbol]
            yield InstrumentChanged(symbol, _values(seen, Subject("instrument", symbol, facts), names))


def _of_session(seen: Projection, names: Sequence[str]) -> Iterable[Event]:
    if _concern(names, "session"):
        yield SingleChanged(_values(seen, Subject("session", "", seen.snapshot.single), names))


def _concern(names: Sequence[str], *entities: str) -> bool:
    """Whether a name is of these entities: then an event is due even when nothing could be measured, to withdraw."""
    return any(name.split(".", 1)[0] in entities for name in names)


def _order(projection: Projection, order: Facts, names: Sequence[str]) -> Facts:
    return {**order, **_values(projection, Subject("order", str(order["order.id"]), order), names)}


def _values(projection: Projection, subject: Subject, names: Sequence[str]) -> dict[str, Value]:
    entities = ("instrument", "market") if subject.entity == "instrument" else (subject.entity,)
    found: dict[str, Value] = {}
    for name in names:
        if name.split(".", 1)[0] in entities and name not in subject.facts:
            try:
                found[name] = REGISTRY[name](projection, subject)
            except MissingFactError:
                continue
    return found
