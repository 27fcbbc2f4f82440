"""What a limit may be: ready-made requirements, and the rule a limit becomes.

In: a limit as plain data. Out: a rule as plain data, in the rule language. Guaranteed: `values` become the dated `let`
name `limit`; every key of a rule that a limit may carry is handed on as it is, and linted like any rule. Refused by
`Problem` 422: `unknown-limit-kind` (naming the kinds), `limit-without-values`. Before: nothing. After: `limit_book.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lexorder.api.service.problems import Problem


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


def rule_id(limit: str) -> str:
    """The name of the rule a limit becomes."""
    return f"limit-{limit}"


def rule_of(identifier: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of a limit as plain data. Raises Problem 422 for an unknown kind or a missing key."""
    kind = _kind(body)
    if not isinstance(body.get("values"), Mapping) or not body["values"]:
        raise Problem(422, "limit-without-values", 'A limit needs `values`, such as {"2026-01-01": "5%"}.')
    taken = {key: body[key] for key in TAKEN if body.get(key) is not None}
    for_each = str(taken.get("for_each", kind.for_each if kind else "account"))
    held = for_each != "order"
    return {
        "rule": rule_id(identifier),
        "title": body.get("title") or f"Limit {identifier}",
        "severity": body.get("severity") or "hard",
        "phases": ["pre_trade", "monitor"] if held else ["pre_trade"],
        **({"if_already_breached": "must_not_worsen"} if held and kind else {}),
        "for_each": for_each,
        "require": kind.require if kind else body["require"],
        "reason": body.get("reason_code") or (kind.reason if kind else "LIMIT_EXCEEDED"),
        **taken,
        "let": {**taken.get("let", {}), "limit": body["values"]},
    }


def _kind(body: Mapping[str, Any]) -> Kind | None:
    """The kind a limit names, None when it brings its own requirement."""
    named = body.get("kind")
    if named is None and body.get("require"):
        return None
    if named not in KINDS or body.get("require"):
        raise Problem(422, "unknown-limit-kind", f"Give either `kind`, one of {', '.join(KINDS)}, or `require`.")
    return KINDS[str(named)]
