"""Asking for an override, and granting it: the order is decided again, on the state of now.

In: a recorded decision that needs an override; approvals. Out: bodies of steps, and the decision that grants.
Guaranteed: only soft breaches that the request named may stand when it is granted; everything else that speaks against
the order now (a hard limit, something undecided, a halt, another soft rule or subject) stops it. Refused by `Problem`
409: `no-override-needed`, `not-coverable`, `override-not-covered`.
Before: `override_book.py`, `floor.py`. After: `routes_overrides.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from lexorder.api.service.override_book import NEEDED
from lexorder.api.service.problems import Problem
from lexorder.engine.decision import Decision, Outcome, Report
from lexorder.engine.ledger.record import Record
from lexorder.engine.rule import Override, Rule, Severity

OPEN_FOR = timedelta(days=1)
"""How long a request may wait where no rule says: a day, and never into a state of affairs nobody looked at."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A recorded decision: its record, the order as it came, the decision as it left, who asked."""

    record: Record
    order: Mapping[str, Any]
    decision: Mapping[str, Any]
    by: str

    @classmethod
    def of(cls, record: Record) -> Decided:
        """The decision in a record of kind `decision`."""
        body = msgspec.json.decode(record.body)
        return cls(record, body["order"], body["decision"], str(body["by"]))


def needs_of(decided: Decided, rules: Mapping[str, Rule]) -> dict[str, dict[str, Any]]:
    """By soft rule: who must approve, and for which subjects. Raises Problem 409.

    `rules` are those in force now. A rule that is gone or is not soft any more cannot be asked about: check again.
    """
    decision = decided.decision
    if decision["outcome"] != Outcome.NEEDS_OVERRIDE.value:
        raise Problem(409, "no-override-needed", "Only an order whose outcome is needs_override can be overridden.")
    found: dict[str, dict[str, Any]] = {}
    for report in decision["violations"]:
        rule = rules.get(report["rule"])
        if rule is None or rule.severity is not Severity.SOFT:
            raise Problem(409, "not-coverable", "The rules have changed: let the order be checked again.")
        need = found.setdefault(rule.id, {**_need(rule.override), "subjects": []})
        need["subjects"].append(report["subject"])
    return found


def _need(override: Override | None) -> dict[str, Any]:
    if override is None or not override.roles:
        return {**NEEDED, "approvers": max(1, override.approvers if override else 1)}
    return {"roles": list(override.roles), "approvers": max(1, override.approvers)}


def expires(needs: Mapping[str, Any], rules: Mapping[str, Rule], now: datetime) -> datetime:
    """Until when the request may be granted: the shortest time its rules give, at most `OPEN_FOR`."""
    given = [o.expires for rule in needs if (o := rules[rule].override) is not None and o.expires > 0]
    microseconds = [int(seconds * 10**6) for seconds in given]
    return now + min([OPEN_FOR, *(timedelta(microseconds=m) for m in microseconds)])


def standing(decision: Decision, needs: Mapping[str, Mapping[str, Any]]) -> tuple[Report, ...]:
    """The breaches a request covers. Raises Problem 409 `override-not-covered` when anything else is in the way."""
    if decision.outcome is Outcome.APPROVE:
        return ()
    uncovered = [r for r in decision.violations if not _covers(needs, r)]
    if decision.outcome is not Outcome.NEEDS_OVERRIDE or uncovered:
        raise Problem(
            409,
            "override-not-covered",
            "Something the request did not name is in the way now: let the order be checked again.",
            outcome=decision.outcome.value,
            reason=(uncovered[0].reason if uncovered else decision.reason),
        )
    return decision.violations


def _covers(needs: Mapping[str, Mapping[str, Any]], report: Report) -> bool:
    need = needs.get(report.rule)
    return need is not None and report.severity is Severity.SOFT and report.subject in need["subjects"]
