"""Reactions as plainly as they can be said: which `then` rules fire for whom, and what they ask for.

In: rules, one account's projection, a phase. Out: `Reactions`: acts with exact arguments, what could not be known,
and the derived facts behind them. Guaranteed: the meaning of `evaluate.value`, nothing else; an unknown condition or
argument is listed, never taken for "nothing to do"; an amount worked out below zero counts as zero and an exit is for
all there is at most, so that no reaction turns a holding or a signal round. Refused: nothing raises for a missing
fact. Part of the reference meaning: the expert does the same by matching facts and is tested against this. Whoever asks
leaves out the rules that do not cover the account. Before: `evaluate.py`. After: `compose.py`, `expert/`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lexorder.engine.decision import Fired
from lexorder.engine.evaluate import Point, value
from lexorder.engine.judge import derivations
from lexorder.engine.rule import Action, Phase, Rule
from lexorder.engine.snapshot import MissingFactError, Projection, Subject
from lexorder.engine.subjects import account_subject, subjects_of
from lexorder.engine.terms import Term, Value
from lexorder.engine.verdict import Derived

Argument = tuple[str, Value]
AMOUNTS = frozenset({"factor", "at", "to", "fraction", "participation", "for"})
"""Arguments that say how much or how long; `exit` closes a `fraction` of what is held."""


@dataclass(frozen=True, slots=True)
class Act:
    """One reaction of one rule for one subject.

    `arguments` are exact: ratios, prices, money, shares, durations in seconds, or words. `number` is its place in the
    rule's `then`. A `reduce` says in `unit` whether `to` is shares, as a bare number is, or money.
    """

    rule: str
    subject: str
    number: int
    kind: str
    arguments: tuple[Argument, ...]
    priority: int = 0

    def argument(self, name: str) -> Value | None:
        """An argument by name, or None when it was left out."""
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A rule that could not be followed for a subject, and why in words."""

    rule: str
    subject: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reactions:
    """Everything one look at an account brings. `acts` in order of priority (highest first), rule, subject, place."""

    acts: tuple[Act, ...]
    unknown: tuple[Unknown, ...] = ()
    derived: tuple[Derived, ...] = ()
    fired: tuple[Fired, ...] = ()

    @property
    def key(self) -> tuple[tuple[Act, ...], frozenset[tuple[str, str]]]:
        """What two evaluators must agree on."""
        return self.acts, frozenset((u.rule, u.subject) for u in self.unknown)


def react(
    rules: Sequence[Rule], projection: Projection, phase: Phase, only: Collection[str] | None = None
) -> Reactions:
    """What the `then` rules of `phase` do; `only` limits it to subjects with these keys."""
    table = derivations(rules)
    acts: list[Act] = []
    unknown: list[Unknown] = []
    for rule, subject in pairs(rules, projection, phase, only):
        at = Point(projection, (account_subject(projection), subject), {}, table)
        try:
            if rule.when is None or value(rule.when, at):
                acts += acts_of(rule, at)
        except MissingFactError as error:
            unknown.append(Unknown(rule.id, subject.key, str(error)))
    return Reactions(in_order(acts), tuple(unknown))


def pairs(
    rules: Sequence[Rule], projection: Projection, phase: Phase, only: Collection[str] | None
) -> list[tuple[Rule, Subject]]:
    """The `then` rules of a phase with their subjects, in rule order; empty keys are left out, they name nothing."""
    return [
        (rule, subject)
        for rule in rules
        if rule.then and phase in rule.phases
        for subject in subjects_of(rule, projection)
        if subject.key and (only is None or subject.key in only)
    ]


def acts_of(rule: Rule, at: Point) -> list[Act]:
    """What a rule that fires asks for. Raises MissingFactError when an argument cannot be known."""
    subject = at.stack[-1].key
    return [
        Act(rule.id, subject, number, action.kind, arguments_of(action, at), rule.priority)
        for number, action in enumerate(rule.then)
    ]


def arguments_of(action: Action, at: Point) -> tuple[Argument, ...]:
    """An action's arguments worked out, with the unit of what `reduce` aims at."""
    found: list[Argument] = []
    for name, argument in action.arguments:
        found.append((name, _bounded(name, value(argument, at)) if isinstance(argument, Term) else argument))
        if action.kind == "reduce" and isinstance(argument, Term):
            found.append(("unit", "money" if argument.unit.account_money else "shares"))
    return tuple(found)


def _bounded(name: str, amount: Value) -> Value:
    if name not in AMOUNTS or not isinstance(amount, Fraction):
        return amount
    return max(Fraction(0), min(amount, Fraction(1)) if name == "fraction" else amount)


def in_order(acts: Sequence[Act]) -> tuple[Act, ...]:
    """Highest priority first, then by rule, subject and place."""
    return tuple(sorted(acts, key=lambda a: (-a.priority, a.rule, a.subject, a.number)))
