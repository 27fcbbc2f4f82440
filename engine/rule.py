"""What a rule is, after parsing and typechecking: plain frozen data.

In: built by `rulebook.py`. Out: read by every evaluator. Guaranteed: terms are typed, `let` and vocabulary
definitions are substituted for one date (a `Rule` is a rule *as in force on a date*). Before: `terms.py`.
After: `rulebook.py`, `evaluate.py`, `compile.py`, `expert/emit.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction

from lexorder.engine.terms import NOWHERE, Span, Term, Value


class Severity(StrEnum):
    """What a breach does: hard blocks, soft blocks until overridden, warn is recorded."""

    HARD = "hard"
    SOFT = "soft"
    WARN = "warn"


class Audience(StrEnum):
    """Who may learn of a rule and what it finds: everyone, or compliance alone."""

    EVERYONE = "everyone"
    COMPLIANCE = "compliance"


class Phase(StrEnum):
    """When a rule applies."""

    PRE_TRADE = "pre_trade"
    REBALANCE = "rebalance"
    MONITOR = "monitor"
    SIGNAL = "signal"


class TermClass(StrEnum):
    """How a requirement depends on fills, which decides who can enforce it."""

    FACTS_ONLY = "facts-only"
    LINEAR = "linear"
    CONVEX = "convex"
    MIXED_INTEGER = "mixed-integer"


@dataclass(frozen=True, slots=True)
class Classified:
    """A class with the reason shown to the rule's author."""

    term_class: TermClass
    reason: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a rule covers. Empty tuples cover everyone; `excluded` wins."""

    accounts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def covers(self, account: str, tags: frozenset[str]) -> bool:
        """Whether an account with these tags is covered."""
        if account in self.excluded:
            return False
        if not self.accounts and not self.tags:
            return True
        return account in self.accounts or any(tag in tags for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Override:
    """Who may override a soft rule. `expires` in seconds; 0 means for one order only."""

    roles: tuple[str, ...] = ()
    reason_required: bool = True
    approvers: int = 1
    expires: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class LetValue:
    """One dated value of a `let` name; `since` is None for an undated one."""

    name: str
    since: date | None
    term: Term
    cite: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One reaction.

    `kind` is set, exit, reduce, scale, skip, cap, alert, cancel or halt; arguments are terms or plain words.
    """

    kind: str
    arguments: tuple[tuple[str, Term | str], ...]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Example:
    """An inline test: facts, the expected outcome, and where it stands."""

    name: str
    given: Mapping[str, object]
    expect: object
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as in force on one date.

    Exactly one of `require`, `derive`, `then` is given. `derive` holds (vocabulary name, value term) pairs.
    `lets` are the values in force on the date (their terms are already substituted in the others; kept for
    messages). `history` keeps every dated value for `rules show`. `classified` is set for `require`. `audience` says
    who may see what the rule finds (`audience.py`); it changes no verdict.
    """

    id: str
    title: str
    severity: Severity
    phases: frozenset[Phase]
    scope: Scope
    for_each: str
    when: Term | None
    require: Term | None
    derive: tuple[tuple[str, Term], ...]
    then: tuple[Action, ...]
    lets: tuple[LetValue, ...]
    history: tuple[LetValue, ...]
    may_improve: bool
    fail_if_missing: bool
    message: str
    reason: str
    override: Override | None
    priority: int
    owner: str
    cite: str
    examples: tuple[Example, ...]
    classified: Classified | None
    effective_from: date | None = None
    effective_until: date | None = None
    audience: Audience = Audience.EVERYONE
    stratum: int = 0
    span: Span = field(default=NOWHERE, compare=False)


SWITCHES = frozenset({"kill-switch", "reducing-only"})
"""Rules of the shipped library that stand beside every book of the service: they can stop an order and allow none."""


def cover(rules: Iterable[Rule]) -> bool:
    """Whether rules say anything about an order of an account they are in force for: a requirement, no mere switch."""
    return any(rule.require is not None and rule.id not in SWITCHES for rule in rules)


Facts = Mapping[str, Value]
"""Values by vocabulary name."""
