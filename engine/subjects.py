"""Which subjects a rule is judged for, and which members of a collection belong to a subject.

In: a `for_each` word and a projection. Out: subjects in a fixed order. Guaranteed: every subject the orders under
test can affect is listed, so verdicts can be counted (rules x subjects). A subject whose key is not known (an
instrument without an issuer) is listed with an empty key and judged undecided, never dropped. Grouping is by
the instrument's attribute, never by ticker. Before: `snapshot.py`. After: `evaluate.py`, `judge.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lexorder.engine.constituents import leads, reached
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import CONSTITUENT, Projection, Subject
from lexorder.engine.terms import Aggregate, depends_on_fills

REACHING_MAX = 10_000
"""Rules of which is remembered whether they reach everything: rules never change, and this is asked for every order."""
_REACHING: dict[int, tuple[Rule, bool]] = {}
NAMED = ("position", "instrument", "market")
"""Entities whose key is a symbol."""


def belongs(projection: Projection, subject: Subject, collection: str, member: Facts) -> bool:
    """Whether a member of a collection is counted in an aggregate of a rule judged for `subject`.

    Groups (issuer, sector, ...) take the members whose instrument is of the group; a position, instrument or market
    takes those of its symbol; a pair its two names; a strategy its own; a constituent those that lead to the issuer;
    any other subject takes all of the account's.
    """
    symbol = member.get(f"{collection}.symbol")
    if subject.entity in NAMED:
        return symbol is None or symbol == subject.key
    if subject.entity == "pair" and symbol is not None:
        return symbol in (subject.facts.get("pair.first"), subject.facts.get("pair.second"))
    if subject.entity == "strategy":
        return member.get(f"{collection}.strategy", subject.key) == subject.key
    if subject.entity == CONSTITUENT and symbol is not None:
        return leads(str(symbol), subject.key, projection.snapshot.instruments, projection.snapshot.constituents)
    groups = projection.vocabulary.entities[subject.entity].groups
    if groups and symbol is not None:
        return projection.snapshot.instruments.get(str(symbol), {}).get(groups) == subject.key
    return True


def counted_for(term: Aggregate, stack: Sequence[Subject]) -> Subject:
    """Whose members an aggregate runs over: its owner's (the account, or the group it stands in), else the rule's."""
    if term.owner:
        return next(s for s in reversed(stack) if s.entity == term.owner)
    return stack[min(1, len(stack) - 1)]


def account_subject(projection: Projection) -> Subject:
    """The account the projection is seen from: the outermost subject of every rule."""
    facts = projection.snapshot.accounts.get(projection.account, {})
    return Subject("account", projection.account, facts)


def covering_rules(rules: Iterable[Rule], account: str, facts: Facts) -> tuple[Rule, ...]:
    """The rules whose scope covers an account with these facts: those of others decide and derive nothing for it."""
    tags = facts.get("account.tags", frozenset())
    return tuple(rule for rule in rules if rule.scope.covers(account, tags))  # type: ignore[arg-type]


def reaches_everything(rule: Rule) -> bool:
    """Whether a rule reads the account after fills (its cash, say): an order in one name then affects every group."""
    known = _REACHING.get(id(rule))
    if known is None or known[0] is not rule:
        terms = [t for t in (rule.when, rule.require) if t is not None]
        nodes = [n for t in terms for n in t.walk()]
        found = any(isinstance(n, Aggregate) and n.owner == "account" and depends_on_fills(n) for n in nodes)
        if len(_REACHING) >= REACHING_MAX:
            _REACHING.clear()
        known = _REACHING[id(rule)] = (rule, found)
    return known[1]


def subjects_of(rule: Rule, projection: Projection) -> tuple[Subject, ...]:
    """The subjects `rule` must be judged for.

    With orders under test these are the ones the orders touch (all when the rule reads the account after fills);
    without orders, all of the account. Each subject appears once, in order of its key.
    """
    entity = rule.for_each
    if entity == "account":
        return (account_subject(projection),)
    if entity in ("order", "signal", "quote", "working_order", "fill"):
        return tuple(Subject(entity, str(m[f"{entity}.id"]), m) for m in projection.members(entity))
    if entity in ("trader", "strategy"):
        return _from_orders(entity, projection)
    touched = [str(o["order.symbol"]) for o in projection.orders]
    if not touched or reaches_everything(rule):
        touched = list(projection.positions)
        if entity in ("instrument", "market", "pair") and not projection.orders:
            touched = list(projection.snapshot.instruments)
    return _from_symbols(entity, projection, touched)


def _from_orders(entity: str, projection: Projection) -> tuple[Subject, ...]:
    keys = {str(o.get(f"order.{entity}", "NONE")) for o in projection.orders}
    if not projection.orders:
        keys = set(projection.snapshot.traders if entity == "trader" else projection.snapshot.strategies)
    return tuple(Subject(entity, k, projection.snapshot.records(entity, k) or {}) for k in sorted(keys))


def _from_symbols(entity: str, projection: Projection, symbols: Iterable[str]) -> tuple[Subject, ...]:
    wanted = sorted(set(symbols))
    if entity == "pair":
        return tuple(
            Subject("pair", str(p["pair.id"]), p)
            for p in projection.snapshot.pairs
            if p["pair.first"] in wanted or p["pair.second"] in wanted
        )
    if entity == "position":
        return tuple(Subject(entity, s, projection.positions[s]) for s in wanted)
    if entity == CONSTITUENT:
        return tuple(Subject(entity, key) for key in sorted(_led_to(projection, wanted)))
    instruments = projection.snapshot.instruments
    if entity in NAMED:
        return tuple(Subject(entity, s, instruments.get(s, {})) for s in wanted)
    groups = projection.vocabulary.entities[entity].groups
    keys = {str(instruments.get(s, {}).get(groups) or "") for s in wanted}
    return tuple(Subject(entity, key) for key in sorted(keys))


def _led_to(projection: Projection, symbols: Iterable[str]) -> set[str]:
    """The issuers that names lead to; every issuer of the account once one may hold anybody's; empty where unknown."""
    known = projection.snapshot
    found: set[str] = set()
    for symbol in symbols:
        fund, issuers = reached(symbol, known.instruments, known.constituents)
        found.update(issuers or ("",))
        if issuers and fund and known.constituents.rest[fund]:
            everyone = (reached(s, known.instruments, known.constituents) for s in projection.positions)
            found.update(*(issuers for _, issuers in everyone))
    return found
