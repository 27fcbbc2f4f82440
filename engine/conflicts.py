"""Rules that contradict each other: circles of derived facts, two values for one fact, opposed reactions.

In: the rules in force together. Out: each rule with its stratum. Guaranteed: a derived fact depends only on facts of
lower strata; two rules give one fact different values, or react in opposite ways at one priority, only where their
conditions exclude each other in a way that can be seen (`market.volatility > 5%` here, `<= 5%` there).
Refused (RuleFileError): `derive-cycle`, `derive-conflict`, `reaction-conflict`.
Why "can be seen" and not a proof: the lint must be quick and its answer explicable; `lexorder prove` goes deeper.
Before: `rulefile.py`. After: `rulebook.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from lexorder.engine.codes import Findings, problem
from lexorder.engine.errors import Problem
from lexorder.engine.rule import Action, Rule
from lexorder.engine.terms import Compare, Field, In, Literal, Not, SetOf, Term, conjuncts


def stratified(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules with `stratum` set: 0 where no derived fact is read, else one more than what is read.

    Raises:
        RuleFileError: with every circle and contradiction found.
    """
    findings = Findings()
    findings.problems.extend([*_derive_conflicts(rules), *_reaction_conflicts(rules)])
    makers = _makers(rules)
    strata: dict[str, int] = {}
    for rule in rules:
        _stratum(rule, makers, strata, (), findings)
    findings.raise_any()
    return tuple(replace(rule, stratum=strata[rule.id]) for rule in rules)


def _makers(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    makers: dict[str, list[Rule]] = {}
    for rule in rules:
        for name, _ in rule.derive:
            makers.setdefault(name, []).append(rule)
    return makers


def _stratum(
    rule: Rule, makers: dict[str, list[Rule]], strata: dict[str, int], within: tuple[str, ...], findings: Findings
) -> int:
    if rule.id in strata:
        return strata[rule.id]
    if rule.id in within:
        circle = " → ".join([*within[within.index(rule.id) :], rule.id])
        findings.add("derive-cycle", f"derived facts depend on each other in a circle: {circle}", rule.span)
        return 0
    below = [
        _stratum(maker, makers, strata, (*within, rule.id), findings)
        for name in sorted(_reads(rule))
        for maker in makers.get(name, [])
    ]
    strata[rule.id] = 1 + max(below) if below else 0
    return strata[rule.id]


def _reads(rule: Rule) -> set[str]:
    """The vocabulary names a rule reads anywhere."""
    terms = [rule.when, rule.require, *(t for _, t in rule.derive)]
    terms += [t for action in rule.then for _, t in action.arguments if isinstance(t, Term)]
    return {n.name for term in terms if term is not None for n in term.walk() if isinstance(n, Field)}


# ---- contradictions ----------------------------------------------------------------------------


def _derive_conflicts(rules: tuple[Rule, ...]) -> Iterator[Problem]:
    deriving = [rule for rule in rules if rule.derive]
    for one, other in combinations(deriving, 2):
        values = dict(one.derive)
        for name, term in other.derive:
            if name in values and values[name] != term and _together(one, other):
                yield problem(
                    "derive-conflict",
                    f"`{other.id}` and `{one.id}` (line {one.span.line}) may give `{name}` different values at one "
                    "time: make their `when` conditions exclude each other",
                    other.span,
                )


def _reaction_conflicts(rules: tuple[Rule, ...]) -> Iterator[Problem]:
    reacting = [rule for rule in rules if rule.then]
    for one, other in combinations(reacting, 2):
        same_level = one.priority == other.priority and one.for_each == other.for_each
        if not same_level or not one.phases & other.phases or not _together(one, other):
            continue
        for first in one.then:
            for second in other.then:
                why = _opposed(first, second)
                if why:
                    yield problem(
                        "reaction-conflict",
                        f"`{other.id}` and `{one.id}` (line {one.span.line}) may react at the same time and {why}: "
                        "give one of them a higher `priority`, or make their `when` conditions exclude each other",
                        other.span,
                    )


def _opposed(one: Action, other: Action) -> str:
    """What two reactions disagree about, or empty. Factors, caps and the strictest state compose by themselves."""
    mine, theirs = dict(one.arguments), dict(other.arguments)
    if one.kind == other.kind == "set":
        states = {mine.get("trading_state"), theirs.get("trading_state")}
        return "one sets ACTIVE, the other a stricter trading state" if len(states) > 1 and "ACTIVE" in states else ""
    if one.kind == other.kind == "exit" and mine.get("style", "limit") != theirs.get("style", "limit"):
        return "exit in different styles"
    if {one.kind, other.kind} == {"halt", "set"} and "ACTIVE" in {*mine.values(), *theirs.values()}:
        return "one halts, the other sets ACTIVE"
    return ""


def _together(one: Rule, other: Rule) -> bool:
    """Whether two rules can apply to one subject at one time, as far as can be seen."""
    listed = one.scope.accounts and other.scope.accounts
    if listed and not set(one.scope.accounts) & set(other.scope.accounts):
        return False
    return not exclusive(one.when, other.when)


# ---- conditions that exclude each other --------------------------------------------------------


def exclusive(one: Term | None, other: Term | None) -> bool:
    """Whether two conditions can be seen never to hold together. None always holds.

    Only parts joined by `and` are compared, pair by pair: one term against constants, or a condition and its `not`.
    """
    if one is None or other is None:
        return False
    return any(_clash(a, b) for a in conjuncts(one) for b in conjuncts(other))


def _clash(one: Term, other: Term) -> bool:
    if one == Not(one.unit, other) or other == Not(other.unit, one):
        return True
    mine, theirs = _values(one), _values(other)
    if mine and theirs and mine[0] == theirs[0]:
        return not mine[1] & theirs[1]
    if isinstance(one, Compare) and isinstance(other, Compare):
        return _disjoint(_oriented(one), _oriented(other))
    return False


def _values(term: Term) -> tuple[Term, frozenset[object]] | None:
    """For `x == a` and `x in {a, b}`: x and its possible values. For `x != a` of an enumeration: the others."""
    if isinstance(term, Compare) and term.op in {"==", "!="} and isinstance(term.right, Literal):
        if term.op == "==":
            return term.left, frozenset({term.right.value})
        others = frozenset(v for v in term.left.unit.values if v != term.right.value)
        return (term.left, others) if others else None
    if isinstance(term, In) and isinstance(term.container, SetOf):
        items = term.container.items
        if all(isinstance(item, Literal) for item in items):
            return term.item, frozenset(item.value for item in items if isinstance(item, Literal))
    return None


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _oriented(term: Compare) -> tuple[Term, str, Term]:
    """The comparison with a constant, if there is one, on the right."""
    if isinstance(term.left, Literal):
        return term.right, _MIRRORED[term.op], term.left
    return term.left, term.op, term.right


def _disjoint(one: tuple[Term, str, Term], other: tuple[Term, str, Term]) -> bool:
    """Whether `x op a` and `x op b` leave no value: one bounds from above what the other bounds from below."""
    return one[0] == other[0] and (_above(one, other) or _above(other, one))


def _above(one: tuple[Term, str, Term], other: tuple[Term, str, Term]) -> bool:
    """Whether `one` bounds from below and `other` from above, with nothing in between."""
    (_, mine, low), (_, theirs, high) = one, other
    bounds = mine in {">", ">=", "=="} and theirs in {"<", "<=", "=="}
    return bounds and _below(high, low, strict=mine == ">" or theirs == "<")


def _below(high: Term, low: Term, *, strict: bool) -> bool:
    """Whether nothing lies at or under `high` and at or over `low`; with `strict` one of the ends is left out."""
    if high == low:
        return strict
    if isinstance(high, Literal) and isinstance(low, Literal):
        a, b = high.value, low.value
        return isinstance(a, Fraction) and isinstance(b, Fraction) and (a < b or (strict and a == b))
    return False
