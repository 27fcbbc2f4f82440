"""How much of each limit is used now: rules judged on a state without new orders.

In: a snapshot, rules, accounts. Out: one `Use` for each account and subject, exact. Guaranteed: the reference meaning
(`engine/judge.py`) with the measures the rules read; working orders count in every fill state, as before a trade; what
is missing makes a use undecided and is never left out. Refused: nothing. Why not the desk's evaluators: they answer
about orders, and a limit that is only proposed is in none of them. Before: `engine/judge.py`, `engine/measuring.py`.
After: `routes_limits.py`, `noticing.py`, `routes_breaches.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from lexorder.engine.facts import plain
from lexorder.engine.judge import derivations, judge
from lexorder.engine.measuring import measured_names, with_measures
from lexorder.engine.names import Vocabulary
from lexorder.engine.quantity import exact
from lexorder.engine.rule import Rule
from lexorder.engine.snapshot import Snapshot, project
from lexorder.engine.subjects import covering_rules
from lexorder.engine.verdict import Finding, Status

PLACES = 4
"""Decimal places of `used`, which is for reading: it is rounded half up and decides nothing."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one rule finds about one subject of one account."""

    account: str
    rule: Rule
    finding: Finding

    @property
    def broken(self) -> bool:
        """Whether the requirement does not hold now, or nobody can tell."""
        return self.finding.status in (Status.BREACH, Status.PASSIVE, Status.UNDECIDED)

    def shown(self) -> dict[str, Any]:
        """Plain data: `headroom` in the units of observed and limit, `margin` in the unit of the comparison."""
        found = self.finding
        return {
            "account": self.account,
            "rule": self.rule.id,
            "title": self.rule.title,
            "severity": self.rule.severity.value,
            "subject": found.subject,
            "status": "breach" if found.status is Status.PASSIVE else found.status.value,
            "reason": "MISSING_FACT" if found.status is Status.UNDECIDED else self.rule.reason,
            "observed": None if found.observed is None else plain(found.observed),
            "limit": None if found.limit is None else plain(found.limit),
            "margin": None if found.margin is None else exact(found.margin),
            "headroom": _headroom(found),
            "used": _used(found),
            "why": found.why,
        }


def uses(
    snapshot: Snapshot, vocabulary: Vocabulary, account: str, rules: Sequence[Rule], known: Iterable[Rule] = ()
) -> Iterator[Use]:
    """What `rules` find in an account now. `known` are further rules that derive facts these read."""
    deriving = covering_rules(known, account, snapshot.accounts.get(account, {}))
    chained = derivations([*rules, *(rule for rule in deriving if rule.derive)])
    seen = project(snapshot, vocabulary, account, ())
    seen, _ = with_measures(seen, measured_names([*rules, *(r for each in chained.values() for r in each)]))
    for rule in rules:
        if rule.require is not None:
            for finding in judge(rule, seen, chained):
                yield Use(account, rule, finding)


def today(snapshot: Snapshot) -> date:
    """The trade date of a snapshot, by which rules are in force."""
    found = snapshot.single.get("clock.date")
    return found if isinstance(found, date) else snapshot.time.date()


def covering(rule: Rule, snapshot: Snapshot, accounts: Iterable[str]) -> list[str]:
    """The accounts among these that a rule covers."""
    known = snapshot.accounts
    return [a for a in accounts if a in known and rule.scope.covers(a, known[a].get("account.tags", frozenset()))]  # type: ignore[arg-type]


def _headroom(found: Finding) -> str | None:
    """The limit less what is observed, with the sign of the margin."""
    if not isinstance(found.observed, Fraction) or not isinstance(found.limit, Fraction) or found.margin is None:
        return None
    distance = abs(found.limit - found.observed)
    return exact(-distance if found.margin < 0 else distance)


def _used(found: Finding) -> str | None:
    """Observed over limit, rounded for reading."""
    if not isinstance(found.observed, Fraction) or not isinstance(found.limit, Fraction) or not found.limit:
        return None
    scaled = found.observed / found.limit * 10**PLACES
    return exact(Fraction((2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator), 10**PLACES))
