"""Limits that risk staff set through the service: dated figures, in versions, each approved by a second person.

In: a limit as plain data: a kind from the list below, or a requirement in the rule language that uses `limit`, and its
dated values. Out: one rule for each approved limit, in the same language as every rule file, so that a limit is decided,
explained and replayed like any rule. Guaranteed: a limit that does not lint is never kept; no version decides before a
second person approves it; a retired limit decides no more. Refused: RuleFileError with the findings, Problem for steps
in the wrong order. Before: `rule_books.py`. After: `floor.py`, `routes_limits.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lexorder.api.service.problems import Problem
from lexorder.engine.names import Vocabulary
from lexorder.engine.rulebook import RuleBook


@dataclass(frozen=True, slots=True)
class Kind:
    """A ready-made requirement: what it is judged for, its text, its reason code."""

    for_each: str
    require: str
    reason: str
    meaning: str


KINDS: dict[str, Kind] = {
    "order-quantity": Kind("order", "order.quantity <= limit", "ORDER_SIZE", "shares of one order"),
    "order-value": Kind("order", "order.notional <= limit", "ORDER_SIZE", "worth of one order"),
    "position-value": Kind(
        "position", "abs(position.after.value) <= limit", "CONCENTRATION", "worth of one position, in any fill state"
    ),
    "position-weight": Kind(
        "position", "abs(position.after.value) <= limit * account.nav", "CONCENTRATION", "one position over net assets"
    ),
    "issuer-weight": Kind(
        "issuer", "sum(abs(position.after.value)) <= limit * account.nav", "CONCENTRATION", "an issuer over net assets"
    ),
    "sector-weight": Kind(
        "sector", "sum(abs(position.after.value)) <= limit * account.nav", "CONCENTRATION", "a sector over net assets"
    ),
    "gross-exposure": Kind(
        "account",
        "sum(abs(position.after.value)) <= limit * account.nav",
        "LEVERAGE",
        "gross market value over net assets",
    ),
}

TAKEN = ("scope", "when", "let", "if_already_breached", "message", "override", "owner", "cite", "phases", "for_each")
"""Keys of a rule that a limit hands on as they are."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One version of a limit. `state`: proposed, approved, retiring, retired, replaced."""

    id: str
    version: int
    body: Mapping[str, Any]
    by: str
    at: str
    state: str = "proposed"
    approved_by: str = ""
    retired_by: str = ""

    def shown(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "version": self.version,
            "rule": rule_id(self.id),
            "state": self.state,
            "proposed_by": self.by,
            "proposed_at": self.at,
            "approved_by": self.approved_by,
            "retired_by": self.retired_by,
            **self.body,
        }


def rule_id(limit: str) -> str:
    """The name of the rule a limit becomes."""
    return f"limit-{limit}"


def rule_of(identifier: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of a limit as plain data. Raises Problem 422 for an unknown kind or a missing key."""
    kind = KINDS.get(str(body.get("kind", "")))
    if kind is None and "require" not in body:
        raise Problem(422, "unknown-limit-kind", f"Give `kind`, one of {', '.join(KINDS)}, or `require`.")
    if not isinstance(body.get("values"), Mapping) or not body["values"]:
        raise Problem(422, "limit-without-values", 'A limit needs `values`, such as {"2026-01-01": "5%"}.')
    held = kind is not None and kind.for_each != "order"
    plain = {key: body[key] for key in TAKEN if key in body}
    return {
        "rule": rule_id(identifier),
        "title": body.get("title") or f"Limit {identifier}",
        "severity": body.get("severity", "hard"),
        "phases": ["pre_trade", "monitor"] if held else ["pre_trade"],
        **({"if_already_breached": "must_not_worsen"} if held else {}),
        "for_each": kind.for_each if kind else "account",
        "require": body["require"] if kind is None else kind.require,
        "reason": body.get("reason", kind.reason if kind else "LIMIT_EXCEEDED"),
        **plain,
        "let": {**plain.get("let", {}), "limit": body["values"]},
    }


class Limits:
    """All versions of all limits."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.versions: dict[str, list[Limit]] = {}

    def lint(self, identifier: str, body: Mapping[str, Any]) -> RuleBook:
        """The limit as a book of one rule. Raises RuleFileError, Problem."""
        text = json.dumps([rule_of(identifier, body)])
        return RuleBook.of(text, self.vocabulary, f"limit {identifier}")

    def find(self, identifier: str, state: str = "") -> Limit:
        """The latest version of a limit, or the latest in a state. Raises Problem 404 and 409."""
        versions = self.versions.get(identifier)
        if not versions:
            raise Problem(404, "unknown-limit", "GET /v1/limits lists the limits.")
        fitting = [v for v in versions if not state or v.state == state]
        if not fitting:
            raise Problem(409, "wrong-state", f"No version of the limit is {state}.")
        return fitting[-1]

    def apply(self, action: str, body: Mapping[str, Any]) -> None:
        """Take over a recorded step: propose, approve, retire-request, retire."""
        identifier, by = str(body["id"]), str(body["by"])
        versions = self.versions.setdefault(identifier, [])
        if action == "propose":
            number = len(versions) + 1
            versions.append(Limit(identifier, number, body["limit"], by, str(body["now"])))
            return
        wanted = {"approve": "proposed", "retire-request": "approved", "retire": "retiring"}[action]
        place = max(n for n, v in enumerate(versions) if v.state == wanted)
        if action == "approve":
            versions[:] = [replace(v, state="replaced") if v.state in ("approved", "retiring") else v for v in versions]
            versions[place] = replace(versions[place], state="approved", approved_by=by)
        elif action == "retire-request":
            versions[place] = replace(versions[place], state="retiring", retired_by=by)
        else:
            versions[place] = replace(versions[place], state="retired", approved_by=by)

    def in_force(self) -> RuleBook | None:
        """The rules of all approved limits, or None when there is none."""
        alive = [v for versions in self.versions.values() for v in versions if v.state in ("approved", "retiring")]
        if not alive:
            return None
        text = json.dumps([rule_of(v.id, v.body) for v in alive])
        return RuleBook.of(text, self.vocabulary, "limits")
