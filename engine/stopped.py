"""What is said of one order that the generated check could not clear.

In: a plan, the live facts and lists, an order, the rules it failed. Out: every verdict that is neither pass nor
not-applicable, its finding on request (before the next event); for the largest quantity, what each rule admits.
Guaranteed: statuses and figures of `worst.py`. A rule is weighed by its generated function; where that says nothing (a
fact is missing, a sum has no place in it) it is judged by the general path. Refused: nothing.
Before: `weights.py`, `evidence.py`, `breakpoints.py`. After: `compile.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from lexorder.engine import breakpoints
from lexorder.engine.checks import Check
from lexorder.engine.evaluate import Point
from lexorder.engine.evidence import Evidence
from lexorder.engine.intervals import Intervals
from lexorder.engine.judge import Derivations
from lexorder.engine.live import Live
from lexorder.engine.piecewise import InexpressibleError
from lexorder.engine.ports import Key
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import MissingFactError, Projection
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.verdict import Finding, Status
from lexorder.engine.weights import Weigh, Weight
from lexorder.engine.worst import Prepared, flips, judge, judge_compact, standing

PLAIN = (Status.PASS, Status.NOT_APPLICABLE)
UNCERTAIN = (KeyError, AttributeError, MissingFactError)
"""What generated code raises for a fact that is absent, None or no Fraction: the general path says what it is."""
Marked = tuple[Key, Callable[[], Finding]]
"""A verdict that is not plain, and its finding."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What generated code reads: the live facts, the lists L and A of the order's name and account, people's lists."""

    live: Live
    line: list[Any]
    account: list[Any]
    people: Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Judging:
    """The rules taken apart, the derive rules, and the evidence of each rule."""

    prepared: Sequence[Prepared]
    derived: Derivations
    evidence: Callable[[int], Evidence]


class Stopped:
    """One order of one account."""

    def __init__(self, by: Judging, check: Check | None, order: Facts, lists: Lists) -> None:
        self.by = by
        self.check = check
        self.order = order
        self.lists = lists
        self.account = str(order["order.account"])

    # ---- the facts ---------------------------------------------------------------------------------

    @cached_property
    def narrow(self) -> Projection:
        """The ordered name alone."""
        return self.lists.live.narrow(self.account, str(self.order["order.symbol"]), (self.order,))

    @cached_property
    def whole(self) -> Projection:
        """The whole account."""
        return self.lists.live.projection(self.account, (self.order,))

    @cached_property
    def excesses(self) -> dict[int, dict[int, tuple[Fraction, Fraction]]]:
        """The exact excesses by rule and conjunct, where the kept totals give them."""
        found: dict[int, dict[int, tuple[Fraction, Fraction]]] = {}
        if self.check is not None:
            lists = self.lists
            known = self.check.measure(self.order, lists.line, lists.account, lists.people)
            for (rule, part), pair in known.items():
                found.setdefault(rule, {})[part] = pair
        return found

    def point(self, prepared: Prepared, seen: Projection) -> Point | None:
        """Where a rule is read for its one subject; None when it has not one."""
        subjects = subjects_of(prepared.rule, seen)
        if len(subjects) != 1 or not subjects[0].key:
            return None
        return Point(seen, (account_subject(seen), subjects[0]), {}, self.by.derived)

    # ---- verdicts ----------------------------------------------------------------------------------

    def marked(self, asked: Sequence[int], failed: frozenset[int]) -> tuple[list[Marked], int]:
        """The verdicts of these rules that are not plain, and how many verdicts there are."""
        found: list[Marked] = []
        count = 0
        for index in asked:
            told = self.weighed(index) if index in failed else None
            if told is not None:
                found.append(told)
                count += 1
                continue
            findings = self.judged(index)
            count += len(findings)
            found += [(f.key, lambda f=f: f) for f in findings if f.status not in PLAIN]  # type: ignore[misc]
        return found, count

    def weighed(self, index: int) -> Marked | None:
        """The verdict of a rule by its weights; None where they do not say it."""
        prepared, weights = self.by.prepared[index], self.weights(index)
        if weights is None or not evident(prepared):
            return None
        at = self.point(prepared, self.narrow)
        if at is None:
            return None
        try:
            stands = standing(prepared, weights, lambda: flips(at))
        except MissingFactError:  # a weight is a fact by itself, and that is not known
            return None
        if stands is None:
            return None
        status, place = stands
        key = (prepared.rule.id, at.stack[-1].key, status)
        return key, lambda: self.told(index, at, status, (place, weights[place]))

    def told(self, index: int, at: Point, status: Status, deciding: tuple[int, Weight]) -> Finding:
        """The finding of a weighed rule."""
        prepared = self.by.prepared[index]
        there = at if prepared.compact else self.point(prepared, self.whole)
        try:
            return self.by.evidence(index).finding(there or at, status, *deciding)
        except MissingFactError:
            return self.judged(index)[0]

    def weights(self, index: int) -> tuple[Weight, ...] | None:
        """The weights of a rule's conjuncts at the order's quantity; None where a fact is missing."""
        if self.check is None or index in self.check.guarded:
            return None
        made = self.check.weights.at(index, self.order)
        return None if made is None else self._weigh(made)

    def _weigh(self, made: tuple[Weigh, Any]) -> tuple[Weight, ...] | None:
        weigh, quantity = made
        try:
            return weigh(quantity, self.order, self.lists.line, self.lists.account, self.lists.people)
        except (*UNCERTAIN, InexpressibleError):
            return None

    def judged(self, index: int) -> tuple[Finding, ...]:
        """The findings of a rule by the general path."""
        prepared = self.by.prepared[index]
        if self.check is not None and index in self.check.fast and index not in self.check.guarded and prepared.compact:
            own = self.excesses.get(index, {})
            if is_complete(prepared, own):
                return (judge_compact(prepared, self.narrow, self.by.derived, own),)
        return judge(prepared, self.whole, self.by.derived)

    # ---- quantities --------------------------------------------------------------------------------

    def admitted(self, index: int, cap: int) -> Intervals | None:
        """The quantities from 1 to `cap` that a rule admits, by its weights; None where they do not say it."""
        prepared = self.by.prepared[index]
        if self.check is None or index in self.check.guarded:
            return None
        made = self.check.weights.along(index, cap)
        weights = None if made is None else self._weigh(made)
        at = None if weights is None else self.point(prepared, self.narrow)
        if weights is None or at is None:
            return None
        try:
            return breakpoints.weighed(prepared, weights, at, cap)
        except (MissingFactError, InexpressibleError):
            return None

    def view(self, index: int) -> breakpoints.View:
        """Where a rule is studied."""
        prepared = self.by.prepared[index]
        if self.check is not None and index in self.check.fast and index not in self.check.guarded and prepared.compact:
            try:
                own = self.excesses.get(index, {})
            except UNCERTAIN:
                own = {}
            if is_complete(prepared, own):
                return self.narrow, own
        return self.whole, {}


def evident(prepared: Prepared) -> bool:
    """Whether evidence follows from the excess: one side at most runs over names, or no fill changes anything."""
    return prepared.compact or not any(part.depends for part in prepared.parts)


def is_complete(rule: Prepared, known: dict[int, tuple[Fraction, Fraction]]) -> bool:
    """Whether the excess of every conjunct that depends on fills is known."""
    return all(number in known for number, part in enumerate(rule.parts) if part.depends)
