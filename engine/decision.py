"""The answer to "may this order go out?", with its evidence.

In: built by `decide.py`. Out: `Decision`, which people read, JSON carries and the ledger keeps. Guaranteed: frozen;
numbers are exact and leave as decimal text (`p/q` where no finite decimal exists); `hash` covers everything but
itself, so equal inputs give equal bytes years later. Before: `verdict.py`, `reasons.py`. After: `decide.py`, `api/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from lexorder.engine.dated_lists import Entry
from lexorder.engine.facts import canonical_bytes, plain
from lexorder.engine.quantity import exact
from lexorder.engine.reasons import BY_CODE
from lexorder.engine.rule import Audience, Override, Severity
from lexorder.engine.terms import Value
from lexorder.engine.verdict import Derived, Status


class Outcome(StrEnum):
    """What the caller must do. Only APPROVE lets the order out."""

    APPROVE = "approve"
    NEEDS_OVERRIDE = "needs_override"
    REJECT = "reject"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Report:
    """What one rule found about one subject, in full.

    `margin` is the room left in the unit of the comparison (negative in a breach); `observed` and `limit` are the
    two sides in the worst reachable state, as ratios where the limit is a ratio of a base. `listed` are the entries of
    the lists a rule reads that cover the names it is about, by list: for compliance, like all of a report whose
    `audience` says so (`audience.py`).
    """

    rule: str
    title: str
    severity: Severity
    status: Status
    subject: str
    reason: str
    message: str
    observed: Value | None = None
    limit: Value | None = None
    margin: Fraction | None = None
    cite: str = ""
    inputs: tuple[tuple[str, Value], ...] = ()
    override: Override | None = None
    largest: int | None = None
    audience: Audience = Audience.EVERYONE
    listed: tuple[tuple[str, Entry], ...] = ()

    @property
    def fix(self) -> int:
        """FIX OrdRejReason (tag 103)."""
        return BY_CODE[self.reason].fix

    def to_json(self) -> dict[str, object]:
        """Plain data with amounts as decimal text."""
        found: dict[str, object] = {
            "rule": self.rule,
            "title": self.title,
            "severity": self.severity.value,
            "status": self.status.value,
            "subject": self.subject,
            "reason": self.reason,
            "OrdRejReason": self.fix,
            "message": self.message,
            "observed": None if self.observed is None else plain(self.observed),
            "limit": None if self.limit is None else plain(self.limit),
            "margin": None if self.margin is None else exact(self.margin),
            "cite": self.cite,
            "inputs": {name: plain(value) for name, value in self.inputs},
        }
        if self.largest is not None:
            found["max_order"] = str(self.largest)
        if self.audience is not Audience.EVERYONE:
            found["audience"] = self.audience.value
        if self.listed:
            found["listed"] = [{"list": name, **entry.to_json()} for name, entry in self.listed]
        if self.override is not None:
            found["override"] = {"roles": list(self.override.roles), "approvers": self.override.approvers}
        return found


@dataclass(frozen=True, slots=True)
class Fired:
    """A derive rule that fired: which, for whom, in which place, and the facts it matched."""

    rule: str
    subject: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest compliant quantity of an order, up to what was asked, and the rules that stop one share more."""

    quantity: int
    binding: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The whole answer. `reports` holds every finding that is not a plain pass, most decisive first.

    `withheld` are the rules in force that only compliance may know of; the rule book says so, and the hash has that.
    """

    outcome: Outcome
    account: str
    orders: tuple[str, ...]
    time: datetime
    reports: tuple[Report, ...]
    derived: tuple[Derived, ...]
    fired: tuple[Fired, ...]
    largest: Largest | None
    verdicts: int
    rulebook_hash: str
    snapshot_hash: str
    withheld: frozenset[str] = frozenset()

    @property
    def approved(self) -> bool:
        """Whether the order may go out."""
        return self.outcome is Outcome.APPROVE

    @property
    def violations(self) -> tuple[Report, ...]:
        """Hard and soft breaches, all of them."""
        return tuple(r for r in self.reports if r.status is Status.BREACH and r.severity is not Severity.WARN)

    @property
    def warnings(self) -> tuple[Report, ...]:
        """Breaches of rules that only warn."""
        return tuple(r for r in self.reports if r.status is Status.BREACH and r.severity is Severity.WARN)

    @property
    def passive(self) -> tuple[Report, ...]:
        """Old breaches that get no worse."""
        return tuple(r for r in self.reports if r.status is Status.PASSIVE)

    @property
    def undecided(self) -> tuple[Report, ...]:
        """What could not be decided, and why."""
        return tuple(r for r in self.reports if r.status is Status.UNDECIDED)

    @property
    def reason(self) -> str:
        """The leading reason code, empty when approved."""
        return self.reports[0].reason if self.reports and not self.approved else ""

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes of `body`."""
        return hashlib.sha256(canonical_bytes(self.body())).hexdigest()

    def body(self) -> dict[str, object]:
        """Plain data without the hash."""
        return {
            "outcome": self.outcome.value,
            "reason": self.reason,
            "account": self.account,
            "orders": list(self.orders),
            "time": self.time.isoformat(),
            "violations": [r.to_json() for r in self.violations],
            "undecided": [r.to_json() for r in self.undecided],
            "warnings": [r.to_json() for r in self.warnings],
            "passive": [r.to_json() for r in self.passive],
            "derived": [
                {"name": d.name, "subject": d.subject, "value": plain(d.value), "rule": d.rule} for d in self.derived
            ],
            "fired": [{"rule": f.rule, "subject": f.subject, "why": f.why} for f in self.fired],
            "largest_compliant": _largest(self.largest),
            "verdicts": self.verdicts,
            "rulebook_hash": self.rulebook_hash,
            "snapshot_hash": self.snapshot_hash,
        }

    def to_json(self) -> Mapping[str, object]:
        """Plain data with its hash."""
        return {**self.body(), "hash": self.hash}


def _largest(largest: Largest | None) -> dict[str, object] | None:
    if largest is None:
        return None
    return {"quantity": str(largest.quantity), "binding": list(largest.binding), "note": largest.note}
