"""Overrides of soft breaches: asked for by one person, granted by others.

In: steps as they are recorded. Out: `Asked`, and whether its approvals suffice. Guaranteed: who asked never counts as
an approver; nobody counts twice; every breached rule needs as many approvers as it says, each in one of the roles it
names; a request that has expired grants nothing. Refused by `Problem`: unknown requests, steps in the wrong order.
Before: `engine/rule.py` (`Override`). After: `floor.py`, `routes_overrides.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lexorder.api.service.problems import Problem
from lexorder.engine.literals import timestamp

NEEDED = {"roles": ["risk_officer"], "approvers": 1}
"""What a soft rule needs that does not say."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `needs` is by rule: roles and number of approvers. `state`: open, granted, rejected."""

    id: str
    order: Mapping[str, Any]
    reason: str
    needs: Mapping[str, Mapping[str, Any]]
    by: str
    at: str
    expires: str
    approvals: tuple[tuple[str, str], ...] = ()
    state: str = "open"

    def suffices(self) -> bool:
        """Whether every rule has its approvers."""
        return all(
            len({who for who, role in self.approvals if role in need["roles"]}) >= int(need["approvers"])
            for need in self.needs.values()
        )

    def expired(self, now: datetime) -> bool:
        """Whether the request is too old."""
        until = timestamp(self.expires)
        return until is not None and now >= until

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "order": dict(self.order),
            "reason": self.reason,
            "needs": {rule: dict(need) for rule, need in self.needs.items()},
            "requested_by": self.by,
            "requested_at": self.at,
            "expires": self.expires,
            "approvals": [{"by": who, "role": role} for who, role in self.approvals],
            "state": self.state,
        }


class Overrides:
    """All requests, by id."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}

    def find(self, identifier: str) -> Asked:
        """One request. Raises Problem 404."""
        found = self.asked.get(identifier)
        if found is None:
            raise Problem(404, "unknown-override", "Ask for an override first: POST /v1/orders/{id}/override.")
        return found

    def apply(self, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: request, approve, reject."""
        key, action = str(body["id"]), body["action"]
        if action == "request":
            self.asked[key] = Asked(
                key, body["order"], body["reason"], body["needs"], body["by"], body["now"], body["expires"]
            )
        elif action == "approve":
            known = self.asked[key]
            approvals = (*known.approvals, (str(body["by"]), str(body["role"])))
            state = "granted" if body["granted"] else "open"
            self.asked[key] = replace(known, approvals=approvals, state=state)
        elif action == "reject":
            self.asked[key] = replace(self.asked[key], state="rejected")
