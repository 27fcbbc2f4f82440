"""Overrides of soft breaches: asked for by one person, granted by others.

In: steps as they are recorded. Out: `Asked`, and whether its approvals suffice. Guaranteed: who asked never counts as
an approver; nobody counts twice, whichever key they use; every breached rule needs as many approvers as it says, each
in one of the roles it names; a request that has expired grants nothing. Refused by `Problem`: 404 `unknown-override`,
409 `wrong-state`, `override-expired`, `already-approved` and what `principal.second_person` refuses, 403
`not-an-approver`. Before: `principal.py`. After: `floor.py`, `overriding.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lexorder.api.service.authors import author_of, told
from lexorder.api.service.principal import Author, Principal, second_person
from lexorder.api.service.problems import Problem
from lexorder.engine.literals import timestamp

NEEDED = {"roles": ["risk_officer"], "approvers": 1}
"""What a soft rule needs that does not say."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved, in which role, when."""

    by: Author
    role: str
    at: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `needs` is by rule: roles, number of approvers, subjects. `state`: open, granted, rejected.

    `id` is the id of the decision that needs the override; `order` is as it came with that decision; `withheld` are
    the rules among `needs` that only compliance may know of.
    """

    id: str
    account: str
    order: Mapping[str, Any]
    reason: str
    needs: Mapping[str, Mapping[str, Any]]
    by: Author
    at: str
    expires: str
    approvals: tuple[Approval, ...] = ()
    state: str = "open"
    decided: Author | None = None
    refused: str = ""
    withheld: frozenset[str] = frozenset()

    def suffices(self) -> bool:
        """Whether every rule has its approvers."""
        return all(self.missing(rule) == 0 for rule in self.needs)

    def missing(self, rule: str) -> int:
        """How many approvers a rule still lacks."""
        need = self.needs[rule]
        found = sum(1 for approval in self.approvals if approval.role in need["roles"])
        return max(0, int(need["approvers"]) - found)

    def expired(self, now: datetime) -> bool:
        """Whether the request is too old."""
        until = timestamp(self.expires)
        return until is None or now >= until

    def approved_by(self, by: Principal, now: datetime) -> Asked:
        """The request with one approval more. Raises Problem."""
        self.be_open(now)
        second_person(self.by, by)
        if any(approval.by.same_person(by.author) for approval in self.approvals):
            raise Problem(409, "already-approved", "This person has approved already.")
        if not any(by.role.value in need["roles"] for need in self.needs.values()):
            wanted = sorted({role for need in self.needs.values() for role in need["roles"]})
            raise Problem(403, "not-an-approver", "The rules want another role to approve.", roles=wanted)
        approval = Approval(by.author, by.role.value, now.isoformat())
        return replace(self, approvals=(*self.approvals, approval))

    def be_open(self, now: datetime) -> None:
        """Nothing while the request waits. Raises Problem 409."""
        if self.state != "open":
            raise Problem(409, "wrong-state", "The request was decided already.", state=self.state)
        if self.expired(now):
            raise Problem(409, "override-expired", "The request is too old: let the order be checked again.")

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "account": self.account,
            "order": dict(self.order),
            "reason": self.reason,
            "needs": {rule: {**need, "missing": self.missing(rule)} for rule, need in self.needs.items()},
            "requested": {**(told(self.by) or {}), "at": self.at},
            "expires": self.expires,
            "approvals": [{**(told(a.by) or {}), "role": a.role, "at": a.at} for a in self.approvals],
            "state": self.state,
            "decided": told(self.decided),
            "refused": self.refused,
        }


class Overrides:
    """All requests, by id."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}

    def find(self, identifier: str) -> Asked:
        """One request. Raises Problem 404."""
        found = self.asked.get(identifier)
        if found is None:
            raise unknown()
        return found

    def apply(self, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: request, approve, refuse (the approvals suffice, the order does not), reject."""
        key, action, by = str(body["id"]), body["action"], author_of(body)
        if action == "request":
            self.asked[key] = Asked(
                id=key,
                account=body["account"],
                order=body["order"],
                reason=body["reason"],
                needs=body["needs"],
                by=by,
                at=str(body["now"]),
                expires=body["expires"],
                withheld=frozenset(body["withheld"]),
            )
            return
        known = self.asked[key]
        if action == "approve":
            approval = Approval(by, str(body["role"]), str(body["now"]))
            state, decided = ("granted", by) if body["granted"] else ("open", None)
            known = replace(known, approvals=(*known.approvals, approval), state=state, decided=decided, refused="")
        elif action == "refuse":
            known = replace(known, refused=str(body["code"]))
        elif action == "reject":
            known = replace(known, state="rejected", decided=by)
        self.asked[key] = known


def unknown() -> Problem:
    """There is no such request, or none the caller may know of."""
    return Problem(404, "unknown-override", "Ask for an override first: POST /v1/orders/{id}/override.")
