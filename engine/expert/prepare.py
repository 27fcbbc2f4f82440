"""The exact values of leaves for one order's surroundings.

In: variants, the live facts, one order as pattern. Out: leaf values, exact. Guaranteed: each value is what
`evaluate.value` says, and is worked out once in a look however many rules and sides read it. Refused: MissingFactError
for what is missing or too old; `OutsideError` where a sum does not count what the formulas take for counted. Before:
`lower.py`, `worst.py`. After: `contexts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, cast

from lexorder.engine.evaluate import Point, value
from lexorder.engine.expert.atoms import is_static
from lexorder.engine.expert.emit import SIDE, Plan, Variant
from lexorder.engine.expert.live import Account, Live
from lexorder.engine.expert.lowered import Leaf
from lexorder.engine.expert.worst import Reading, Shape, Total, Totals, end_fills, excess_of, linear_share
from lexorder.engine.judge import Derivations
from lexorder.engine.rule import Facts, Rule
from lexorder.engine.snapshot import BUY, MissingFactError, Projection, Subject
from lexorder.engine.subjects import account_subject, belongs, reaches_everything, subjects_of
from lexorder.engine.terms import Aggregate, Term, Value

Known = Value | MissingFactError


class OutsideError(Exception):
    """The order or its position is not among what the rule's sums count. Never reaches users."""


@dataclass(slots=True)
class Here:
    """One look at one order's surroundings, and what has been found in it so far.

    `expires` is until when the totals read are young enough; `seen` are the leaf facts asserted or kept.
    """

    state: Account
    projection: Projection
    order: Facts
    symbol: str
    expires: datetime | None = None
    seen: set[tuple[str, str]] = field(default_factory=set)
    values: dict[tuple[int, str, str], Known] = field(default_factory=dict)
    listed: dict[tuple[str, bool], tuple[Subject, ...]] = field(default_factory=dict)

    def subjects(self, rule: Rule, reaches: bool) -> tuple[Subject, ...]:
        """The rule's subjects; rules for each of one thing share them, but for those that reach everything."""
        key = (rule.for_each, reaches)
        if key not in self.listed:
            self.listed[key] = subjects_of(rule, self.projection)
        return self.listed[key]


@dataclass(frozen=True, slots=True)
class _Needs:
    """Sums that must count the order, and sums that must count the ordered name, for the formulas to hold."""

    order: tuple[Aggregate, ...]
    position: tuple[Aggregate, ...]

    @classmethod
    def of(cls, rule: Rule) -> _Needs:
        """What a rule sums over."""
        terms = [t for t in (rule.when, rule.require) if t is not None]
        sums = [n for t in terms for n in t.walk() if isinstance(n, Aggregate) and not is_static(n)]
        return cls(
            tuple(s for s in sums if s.collection == "order"),
            tuple(s for s in sums if s.collection == "position"),
        )

    def check(self, subject: Subject, here: Here) -> None:
        """Raise OutsideError when a sum leaves out what the formulas take for counted."""
        for collection, sums in (("order", self.order), ("position", self.position)):
            member = here.order if collection == "order" else here.projection.positions[here.symbol]
            for term in sums:
                owner = account_subject(here.projection) if term.owner == "account" else subject
                if not belongs(here.projection, owner, collection, member):
                    raise OutsideError


class Preparer:
    """Works leaves out. Equal leaves have one number, whichever rule, part or side reads them."""

    def __init__(self, plan: Plan, rules: Iterable[Rule], live: Live, derivations: Derivations) -> None:
        self.live = live
        self.derivations = derivations
        self.totals = Totals(live)
        numbers: dict[Leaf, int] = {}
        self._leaves = {
            v.name: tuple((numbers.setdefault(leaf, len(numbers)), leaf) for leaf in v.lowered.leaves)
            for group in plan.variants.values()
            for v in group
        }
        self._needs = {r.id: _Needs.of(r) for r in rules}
        self._reaches = {r.id: reaches_everything(r) for r in rules}
        guards = [r for r in rules if r.when is not None and is_static(r.when)]
        self._guards = {r.id: (-1 - n, r.when) for n, r in enumerate(guards)}
        terms = [*((n, leaf.term) for leaf, n in numbers.items()), *self._guards.values()]
        self._collections = {n: _collections(term) for n, term in terms}

    def subjects(self, rule: Rule, here: Here) -> tuple[Subject, ...]:
        """The subjects a rule is judged for."""
        return here.subjects(rule, self._reaches[rule.id])

    def applies(self, rule: Rule, subject: Subject, here: Here) -> bool:
        """False when the rule's condition is known before the order comes, and is false."""
        number, guard = self._guards.get(rule.id, (0, None))
        if guard is None:
            return True
        leaf = Leaf("flag", "term", guard)
        return bool(self._known(number, leaf, self._reading(subject, here), here))

    def raw(self, variant: Variant, subject: Subject, here: Here) -> tuple[Value, ...]:
        """A variant's leaf values for a subject. Raises MissingFactError or OutsideError."""
        self._needs[variant.rule.id].check(subject, here)
        reading = self._reading(subject, here)
        return tuple(self._known(number, leaf, reading, here) for number, leaf in self._leaves[variant.name])

    def _reading(self, subject: Subject, here: Here) -> Reading:
        return Reading(self.live, here.state, subject, self.derivations)

    def _known(self, number: int, leaf: Leaf, reading: Reading, here: Here) -> Value:
        key = (number, reading.subject.entity, reading.subject.key)
        found = here.values.get(key)
        if found is None:
            self._age(self._collections[number], here)
            try:
                found = self._value(leaf, reading, here)
            except MissingFactError as error:
                found = error
            here.values[key] = found
        if isinstance(found, MissingFactError):
            raise found
        return found

    def _value(self, leaf: Leaf, reading: Reading, here: Here) -> Value:
        match leaf.what:
            case "term":
                return value(cast(Term, leaf.term), self._at(leaf, reading, here))
            case "counted":
                return Fraction(bool(value(cast(Term, leaf.term), self._at(leaf, reading, here))))
            case "old":
                total = self._total(leaf, "linear", reading, here).sum
                # A name the account has nothing of is not in the total, but is among the positions once ordered.
                known = here.symbol in here.state.symbols()
                return total if known else total + linear_share(leaf.atoms, here.symbol, reading)
            case "others" | "others-mixed":
                found = self._total(leaf, "convex" if leaf.what == "others" else "mixed", reading, here)
                return found.sum - found.shares.get(here.symbol, Fraction(0))
            case "slope":
                return self._slope(leaf, reading, here)
            case "still":
                if here.state.working_of.get(here.symbol):
                    raise OutsideError
                return excess_of(leaf.atoms, here.symbol, reading, {}, ())
        return self._end(leaf, reading, here)

    def _end(self, leaf: Leaf, reading: Reading, here: Here) -> Fraction:
        """What the ordered name is, or contributes, where old orders alone can bring it."""
        low, high = end_fills(here.state, here.symbol)
        if leaf.what in ("at-low", "at-high"):
            return excess_of(leaf.atoms, here.symbol, reading, high if leaf.what == "at-high" else low, ())
        facts: Any = here.state.positions.get(here.symbol, {})
        held: Fraction = facts.get("position.before.quantity", Fraction(0))
        if leaf.what == "held":
            return held
        return held - sum(low.values(), Fraction(0)) if leaf.what == "low" else held + sum(high.values(), Fraction(0))

    def _age(self, collections: frozenset[str], here: Here) -> None:
        """A value that reads other names is good until the facts of one of them, young enough now, are too old."""
        if not collections:
            return
        now = self.live.snapshot.time
        symbols = set(here.projection.positions)
        if "fill" in collections:
            symbols |= {str(m.get("fill.symbol")) for m in here.projection.members("fill")}
        ends = [end for end in map(self.live.expiry, symbols) if end is not None and end >= now]
        if ends:
            here.expires = min(ends) if here.expires is None else min(*ends, here.expires)

    def _total(self, leaf: Leaf, shape: Shape, reading: Reading, here: Here) -> Total:
        """The running total; the look is good for as long as it."""
        total = self.totals.of(leaf.atoms, shape, reading)
        if total.expires is not None:
            here.expires = total.expires if here.expires is None else min(total.expires, here.expires)
        return total

    def _slope(self, leaf: Leaf, reading: Reading, here: Here) -> Fraction:
        """What one share more of the ordered name adds, found by letting one share of the order fill."""
        one = {("order", str(here.order["order.id"])): Fraction(1)}
        orders = (here.order,)
        step = excess_of(leaf.atoms, here.symbol, reading, one, orders)
        step -= excess_of(leaf.atoms, here.symbol, reading, {}, orders)
        return step if here.order[SIDE] == BUY else -step

    def _at(self, leaf: Leaf, reading: Reading, here: Here) -> Point:
        if leaf.frame == "order":
            return reading.at(here.projection, Subject("order", str(here.order["order.id"]), here.order))
        if leaf.frame == "position":
            return reading.at(here.projection, Subject("position", here.symbol, here.projection.positions[here.symbol]))
        return reading.at(here.projection)


def _collections(term: Term | None) -> frozenset[str]:
    """What a term sums over, besides the order itself."""
    if term is None:
        return frozenset()
    return frozenset(n.collection for n in term.walk() if isinstance(n, Aggregate)) - {"order"}
