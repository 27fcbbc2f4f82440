"""What a look at an account changes: breaches that begin, breaches that end.

In: what was found, the rules, what is open, what had changed since the last look. Out: the bodies of records.
Guaranteed: a breach begins once and ends once; what nobody can judge any more does not end, since nobody can tell that
it did; `cause` is `active` when the account's own holdings or working orders changed since the rule was last seen to
hold, `passive` when only prices, accounts, lists, rules or the time did, and `unknown` at a first look. Refused:
nothing. Why undecided rules are not recorded: they say what is missing, which the feeds' records do already; they are
listed. Before: `looking.py`, `open_breaches.py`. After: `monitoring.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lexorder.api.service.due import OWN
from lexorder.api.service.looking import Found
from lexorder.api.service.open_breaches import BEGUN, ENDED
from lexorder.api.service.utilisation import Use
from lexorder.engine.rule import Rule
from lexorder.engine.verdict import Finding, Status

MONITOR = "monitor"
"""Who begins and ends breaches."""

FIRST = frozenset({"start", "snapshot"})
"""What a first look follows: nobody can tell since when, or because of what, a rule is broken."""

SHOWN = ("severity", "title", "reason", "observed", "limit", "margin")
"""What a record says of the finding."""

Step = tuple[str, dict[str, Any]]
"""Kind and body of a record."""


def cause_of(changes: Collection[str]) -> str:
    """Whether a breach is of the account's own making, as far as one can tell."""
    if FIRST.intersection(changes):
        return "unknown"
    return "active" if OWN.intersection(changes) else "passive"


def steps(
    account: str,
    rules: Mapping[str, Rule],
    found: Found,
    known: Mapping[tuple[str, str], Mapping[str, Any]],
    changes: Collection[str],
) -> Iterator[Step]:
    """What began and ended on an account: `known` are its open breaches, `rules` those that are watched."""
    for key, finding in found.items():
        if finding.status is not Status.UNDECIDED and key not in known:
            yield BEGUN, _begun(account, rules[key[0]], finding, changes)
    for key, begun in list(known.items()):
        if key not in found:
            yield ENDED, ended(begun, "holds" if key[0] in rules else "no longer judged")


def _begun(account: str, rule: Rule, finding: Finding, changes: Collection[str]) -> dict[str, Any]:
    shown = Use(account, rule, finding).shown()
    return {
        "account": account,
        "rule": rule.id,
        "subject": finding.subject,
        "audience": rule.audience.value,
        "cause": cause_of(changes),
        "changes": sorted(changes),
        **{key: shown[key] for key in SHOWN},
    }


def ended(begun: Mapping[str, Any], why: str) -> dict[str, Any]:
    """The body of the end of a breach: `why` is `holds`, or that it is not judged here any more."""
    kept = {key: begun[key] for key in ("account", "rule", "subject", "audience", "severity", "title")}
    return {**kept, "since": begun["now"], "why": why}
