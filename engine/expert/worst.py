"""The worst the old orders can bring to a sum over names, kept name by name.

In: the fill-dependent atoms of a part, an account and a subject. Out: exact totals, and the share of one name.
Guaranteed: equal to what `judge.worst_excess` finds over the working orders, for linear parts and for convex ones that
are sums over names; only names that an event touched are worked out again. Refused: MissingFactError when a fact of
any name is missing or too old: the whole total is unknown then. Before: `atoms.py`, `live.py`. After: `leaves.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import product
from typing import Literal as OneOf
from typing import cast

from lexorder.engine.constituents import leads
from lexorder.engine.evaluate import Fills, Point, value
from lexorder.engine.expert.atoms import Atom
from lexorder.engine.expert.live import Account, Live, is_timed
from lexorder.engine.judge import Derivations
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import BUY, CONSTITUENT, MissingFactError, Projection, Subject
from lexorder.engine.subjects import NAMED, account_subject, belongs
from lexorder.engine.terms import Aggregate, Field, Term, Value

Shares = dict[str, Fraction]
Shape = OneOf["linear", "convex", "mixed"]
"""How a name's contribution bends: with each fill alone, in what is held, or in both cash and holdings."""
CORNERS_MAX = 6
"""Working orders in one name whose fills are tried in every combination."""


@dataclass(slots=True)
class Total:
    """Running shares by symbol, their sum, and how much of the account's log they have seen."""

    shares: Shares = field(default_factory=dict)
    missing: dict[str, MissingFactError] = field(default_factory=dict)
    sum: Fraction = Fraction(0)
    seen: int = 0
    logs: int = -1
    facts_version: int = -1
    epoch: int = -1
    time_epoch: int = -1
    expires: datetime | None = None


@dataclass(slots=True)
class Reading:
    """What is needed to read atoms for one subject: the facts, the account, the subject, the derive rules."""

    live: Live
    state: Account
    subject: Subject
    derivations: Derivations

    def at(self, projection: Projection, *inner: Subject, fills: Fills | None = None) -> Point:
        """A place to read a term."""
        stack = (account_subject(projection), self.subject, *inner)
        return Point(projection, stack, fills or {}, self.derivations)

    def value(self, term: Term, at: Point) -> Value:
        """The value of a term; what rules derive is read by the reference. Raises MissingFactError."""
        return value(term, at) if self.derivations else self.live.readers.value(term, at)

    def number(self, term: Term, at: Point) -> Fraction:
        """The value of a term that is a number. Raises MissingFactError."""
        return cast(Fraction, self.value(term, at))


def excess_of(
    atoms: tuple[Atom, ...], symbol: str, reading: Reading, fills: Fills, orders: tuple[Facts, ...]
) -> Fraction:
    """What one name adds to the sum of the atoms in one fill state of its own orders."""
    projection = reading.live.alone(reading.state.id, symbol, orders)
    return sum((contribution(atom, symbol, reading, projection, fills) for atom in atoms), Fraction(0))


def contribution(atom: Atom, symbol: str, reading: Reading, projection: Projection, fills: Fills) -> Fraction:
    """What one name adds to one atom in one fill state. Raises MissingFactError."""
    if atom.kind == "direct":
        if symbol != reading.subject.key:
            return Fraction(0)
        return _factor(atom, reading, projection) * reading.number(atom.term, reading.at(projection, fills=fills))
    term = cast(Aggregate, atom.term)
    found = Fraction(0)
    owner = account_subject(projection) if term.owner == "account" else reading.subject
    for member in projection.members(term.collection):
        if belongs(projection, owner, term.collection, member):
            key = str(member.get("position.symbol" if term.collection == "position" else f"{term.collection}.id"))
            at = reading.at(projection, Subject(term.collection, key, member), fills=fills)
            if term.where is None or reading.value(term.where, at):
                found += reading.number(cast(Term, term.body), at)
    return found and found * _factor(atom, reading, projection)


def _factor(atom: Atom, reading: Reading, projection: Projection) -> Fraction:
    by = atom.times
    return by.ratio if by.term is None else by.ratio * reading.number(by.term, reading.at(projection))


def linear_share(atoms: tuple[Atom, ...], symbol: str, reading: Reading) -> Fraction:
    """The name's greatest contribution when it is linear: each working order fills where that adds."""
    nothing = excess_of(atoms, symbol, reading, {}, ())
    worst = nothing
    for order in reading.state.working_of.get(symbol, ()):
        key = ("working_order", str(order["working_order.id"]))
        slope = excess_of(atoms, symbol, reading, {key: Fraction(1)}, ()) - nothing
        if slope > 0:
            worst += slope * cast(Fraction, order["working_order.quantity"])
    return worst


def convex_share(atoms: tuple[Atom, ...], symbol: str, reading: Reading) -> Fraction:
    """The name's greatest contribution when it bends upward in what is held: at an end of what it can reach."""
    low, high = end_fills(reading.state, symbol)
    ends = [excess_of(atoms, symbol, reading, low, ())]
    if low or high:
        ends.append(excess_of(atoms, symbol, reading, high, ()))
    return max(ends)


def mixed_share(atoms: tuple[Atom, ...], symbol: str, reading: Reading) -> Fraction:
    """The name's greatest contribution when it is convex in its fills: with each working order filled or not.

    Raises MissingFactError for more than `CORNERS_MAX` working orders in one name.
    """
    orders = reading.state.working_of.get(symbol, ())
    if len(orders) > CORNERS_MAX:
        raise MissingFactError("the set of fill states", symbol, "is too large")
    filled = [
        (("working_order", str(o["working_order.id"])), cast(Fraction, o["working_order.quantity"])) for o in orders
    ]
    corners = product(*((None, pair) for pair in filled))
    return max(excess_of(atoms, symbol, reading, dict(filter(None, corner)), ()) for corner in corners)


def end_fills(state: Account, symbol: str) -> tuple[Fills, Fills]:
    """The fills of the name's working orders that leave the least and the most of it."""
    low: dict[tuple[str, str], Fraction] = {}
    high: dict[tuple[str, str], Fraction] = {}
    for order in state.working_of.get(symbol, ()):
        bought = order["working_order.side"] == BUY
        (high if bought else low)[("working_order", str(order["working_order.id"]))] = cast(
            Fraction, order["working_order.quantity"]
        )
    return low, high


_SHARES: dict[Shape, Callable[[tuple[Atom, ...], str, Reading], Fraction]] = {
    "linear": linear_share,
    "convex": convex_share,
    "mixed": mixed_share,
}


class Totals:
    """All running totals of a book, by atoms, account and subject."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._kept: dict[tuple[tuple[Atom, ...], Shape, str, str, str], Total] = {}
        self._reads: dict[tuple[Atom, ...], tuple[bool, bool]] = {}

    def of(self, atoms: tuple[Atom, ...], shape: Shape, reading: Reading) -> Total:
        """The up-to-date total. Raises MissingFactError when a share is unknown."""
        state = reading.state
        key = (atoms, shape, state.id, reading.subject.entity, reading.subject.key)
        total = self._kept.get(key)
        if total is None or self._stale(total, atoms, state):
            total = self._kept[key] = Total()
            touched = state.symbols()
        else:
            touched = set(state.log[total.seen :])
        if touched:
            counted = candidates(atoms, reading)
            for symbol in touched & (counted | total.shares.keys() | total.missing.keys()):
                self._update(total, atoms, shape, symbol, reading)
                self._age(total, symbol, counted)
        total.seen, total.logs, total.facts_version = len(state.log), state.logs, state.facts_version
        total.epoch, total.time_epoch = self.live.epoch, self.live.time_epoch
        for error in total.missing.values():
            raise error
        return total

    def _stale(self, total: Total, atoms: tuple[Atom, ...], state: Account) -> bool:
        if total.epoch != self.live.epoch or total.logs != state.logs:
            return True
        if total.expires is not None and self.live.snapshot.time > total.expires:
            return True
        reads = self._reads.get(atoms)
        if reads is None:
            terms = [t for a in atoms for t in (a.term, a.times.term) if t is not None]
            names = [n.name for t in terms for n in t.walk() if isinstance(n, Field)]
            reads = self._reads[atoms] = (
                any(name.startswith("account.") for name in names),
                any(is_timed(t, self.live.vocabulary) for t in terms),
            )
        return (reads[0] and total.facts_version != state.facts_version) or (
            reads[1] and total.time_epoch != self.live.time_epoch
        )

    def _update(self, total: Total, atoms: tuple[Atom, ...], shape: Shape, symbol: str, reading: Reading) -> None:
        total.sum -= total.shares.pop(symbol, Fraction(0))
        total.missing.pop(symbol, None)
        if symbol not in reading.state.symbols():
            return
        try:
            share = _SHARES[shape](atoms, symbol, reading)
        except MissingFactError as error:
            total.missing[symbol] = error
            return
        total.shares[symbol] = share
        total.sum += share

    def _age(self, total: Total, symbol: str, counted: set[str]) -> None:
        """The total is good for as long as the facts of every name it counts, even of one that adds nothing now."""
        ends = self.live.expiry(symbol) if symbol in total.shares and symbol in counted else None
        if ends is not None:
            total.expires = ends if total.expires is None else min(ends, total.expires)


def candidates(atoms: tuple[Atom, ...], reading: Reading) -> set[str]:
    """The symbols that can have a share: the subject's own where it names them, else all of the account's."""
    subject = reading.subject
    whole = any(isinstance(a.term, Aggregate) and a.term.owner == "account" for a in atoms)
    if not whole and subject.entity in NAMED:
        return {subject.key}
    if not whole and subject.entity == "pair":
        return {str(subject.facts.get("pair.first")), str(subject.facts.get("pair.second"))}
    if not whole and subject.entity == CONSTITUENT:
        known = reading.live.snapshot
        return {s for s in reading.state.symbols() if leads(s, subject.key, known.instruments, known.constituents)}
    groups = reading.live.vocabulary.entities[subject.entity].groups
    if groups and not whole:
        instruments = reading.live.instruments
        return {s for s in reading.state.symbols() if instruments.get(s, {}).get(groups) == subject.key}
    return reading.state.symbols()
