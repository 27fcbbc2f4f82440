"""Which rules and which branches the inline tests try both ways.

In: a rule book and the examples of its rules. Out: `Gap`s: an outcome or a branch that no example reaches. Guaranteed:
branches are those the author wrote (`when`, each side of an `or`, each condition of an `if`), not those inside
vocabulary definitions; a branch counts as tried when some example, subject, member and fill state makes it true and
some other makes it false. Refused: nothing. Why fills too: a condition on holdings may only turn when orders fill.
Before: `examples.py`. After: `lexorder rules test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from lexorder.engine.errors import LexorderError, shown
from lexorder.engine.evaluate import Fills, Point, value
from lexorder.engine.examples import Case, Result, case_of
from lexorder.engine.judge import moves
from lexorder.engine.render import definitions, fold, render
from lexorder.engine.rule import Rule
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.snapshot import MissingFactError
from lexorder.engine.terms import Aggregate, And, If, Literal, Or, Span, Term, conjuncts, depends_on_fills
from lexorder.engine.units import BOOL

BAD_OUTCOMES = ("fail", "fires", "derive")
"""Outcomes in which the rule acts; the others are the quiet ones."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something no example tries: in words, with the place in the rule file."""

    rule: str
    what: str
    span: Span


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition that can go two ways, and the aggregates around it, outermost first."""

    condition: Term
    kind: str
    around: tuple[Aggregate, ...]


def gaps(book: RuleBook, rule: Rule, results: tuple[Result, ...]) -> tuple[Gap, ...]:
    """What the examples of a rule leave untried."""
    return (*_outcome_gaps(rule, results), *_branch_gaps(book, rule))


def _outcome_gaps(rule: Rule, results: tuple[Result, ...]) -> Iterator[Gap]:
    acted = {result.outcome.split()[0] in BAD_OUTCOMES for result in results}
    words = ("fails", "passes") if rule.require is not None else ("fires", "stays silent")
    for outcome, word in zip((True, False), words, strict=True):
        if outcome not in acted:
            yield Gap(rule.id, f"no example in which the rule {word}", rule.span)


def _branch_gaps(book: RuleBook, rule: Rule) -> Iterator[Gap]:
    cases = [case for case in (_case(book, rule, n) for n in range(len(rule.examples))) if case is not None]
    known = definitions(book.vocabulary)
    for branch in branches(rule, known):
        seen = {truth for case in cases for truth in _seen(branch, case)}
        text = shown(render(fold(branch.condition, known)))
        for truth, word in ((True, "true"), (False, "false")):
            if truth not in seen:
                yield Gap(rule.id, f"no example in which {branch.kind} {text} is {word}", branch.condition.span)


def _case(book: RuleBook, rule: Rule, place: int) -> Case | None:
    try:
        return case_of(book, rule, rule.examples[place])
    except LexorderError:
        return None


def branches(rule: Rule, known: Mapping[Term, str]) -> tuple[Branch, ...]:
    """The branches of a rule as written; `known` are definitions, which are not looked into."""
    found: dict[Branch, None] = {}
    if rule.when is not None:
        for part in conjuncts(rule.when):
            found[Branch(part, "`when`", ())] = None
    for term in (rule.when, rule.require, *(t for _, t in rule.derive), *_lets(rule)):
        if term is not None:
            found |= dict.fromkeys(_within(term, (), known))
    # A value that a date has made constant has no other way to go.
    return tuple(branch for branch in found if not isinstance(branch.condition, Literal))


def _lets(rule: Rule) -> list[Term]:
    """Arguments of reactions; `let` values are already inside the terms that use them."""
    return [t for action in rule.then for _, t in action.arguments if isinstance(t, Term)]


def _within(term: Term, around: tuple[Aggregate, ...], known: Mapping[Term, str]) -> Iterator[Branch]:
    if term in known:
        return
    if isinstance(term, Or):
        yield from (Branch(item, "the side of an `or`", around) for item in term.items)
    if isinstance(term, If):
        yield Branch(term.condition, "the condition of an `if`", around)
    inner = (*around, term) if isinstance(term, Aggregate) else around
    for child in term.children():
        # Inside a filter the members are not yet filtered.
        own = term.where if isinstance(term, Aggregate) else None
        at = (*around, replace(term, where=None)) if isinstance(term, Aggregate) and child is own else inner
        yield from _within(child, at, known)


def _seen(branch: Branch, case: Case) -> Iterator[bool]:
    """The truth values a branch takes in the world of one example."""
    for at in case.points():
        for fills in _states(branch, at):
            for truth in (True, False):
                try:
                    if value(_question(branch, truth), replace(at, fills=fills)):
                        yield truth
                except MissingFactError:
                    continue


def _question(branch: Branch, truth: bool) -> Term:
    """Whether the condition takes this truth value for the subject, or for any member of the aggregates around."""
    condition = branch.condition if truth else If(BOOL, branch.condition, Literal(BOOL, False), Literal(BOOL, True))
    for aggregate in reversed(branch.around):
        body = condition if aggregate.where is None else And(BOOL, (aggregate.where, condition))
        condition = Aggregate(BOOL, "any", aggregate.collection, body, None, aggregate.owner)
    return condition


def _states(branch: Branch, at: Point) -> tuple[Fills, ...]:
    """Nothing filled, and everything filled where that can matter."""
    nothing: dict[tuple[str, str], Fraction] = {}
    if not any(depends_on_fills(t) for t in (branch.condition, *branch.around)):
        return (nothing,)
    return (nothing, {move.key: move.quantity for move in moves(at.projection)})
