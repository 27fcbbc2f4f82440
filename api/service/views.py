"""What a caller sees of a decision: everything, or what a trader may see.

In: a decision, or a record, and the caller's role. Out: the bytes of the answer. Guaranteed: compliance roles get
the decision in full; every other role gets the view of `engine/audience.py`, also when it reads the record later or
follows the stream; the record itself is always in full. Refused: nothing. Before: `engine/audience.py`,
`rebalance_record.py`, `wire.py`. After: `orders.py`, `batch.py`, `routes_decisions.py`, `stream.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexorder.api.service.open_breaches import KINDS as BREACHES
from lexorder.api.service.rebalance_record import others_of
from lexorder.api.service.roles import Role
from lexorder.api.service.wire import encode, plain_approval, sorted_json
from lexorder.engine import audience
from lexorder.engine.decision import Decision
from lexorder.engine.rule import Audience

FOR_COMPLIANCE = b'"audience":"compliance"'
"""In the body of a recorded breach: its rule is for compliance alone. No text can hold it, since quotes are escaped."""

IN_FULL = frozenset({Role.ADMIN, Role.RISK_OFFICER, Role.APPROVER})
"""Who sees decisions in full."""

HIDDEN = ("hash", "snapshot_hash", "verdicts")
"""Keys of a decision that a view leaves out."""

CONFIDENTIAL = ("shown", "withheld", "files")
"""Keys of a record's body that only compliance sees: rule files may hold rules that are for compliance alone."""


def sees_all(role: Role) -> bool:
    """Whether a role sees decisions in full."""
    return role in IN_FULL


def withheld(role: Role, kind: str, body: bytes) -> bool:
    """Whether a role may not even know of a record: a breach of a rule that is for compliance alone."""
    return kind in BREACHES and FOR_COMPLIANCE in body and not sees_all(role)


def view_of(decision: Decision) -> Mapping[str, object]:
    """The view for traders as plain data."""
    return audience.to_json(decision, Audience.EVERYONE)


def view_bytes(decision: Decision) -> bytes:
    """The view for traders as JSON with sorted keys."""
    if not plain_approval(decision):
        return sorted_json(audience.to_json(decision, Audience.EVERYONE))
    account, order = encode(decision.account).decode(), encode(decision.orders[0]).decode()
    return approval_view(account, order, decision.time.isoformat(), decision.rulebook_hash)


def approval_view(account: str, order: str, time: str, rulebook_hash: str) -> bytes:
    """The view of a plain approval; `account` and `order` are JSON texts already."""
    return (
        f'{{"account":{account},"derived":[],"fired":[],"largest_compliant":null,"orders":[{order}],'
        f'"outcome":"approve","passive":[],"reason":"","rulebook_hash":"{rulebook_hash}","time":"{time}",'
        '"undecided":[],"violations":[],"warnings":[]}'
    ).encode()


def recorded_view(decision: Mapping[str, Any], shown: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The view of a recorded decision: the one kept beside it, or, of a plain approval, all but what is hidden."""
    if shown is not None:
        return shown
    return {key: value for key, value in decision.items() if key not in HIDDEN}


def body_for(role: Role, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a record as a role may read it."""
    if sees_all(role):
        return body
    found = {key: value for key, value in body.items() if key not in CONFIDENTIAL}
    if "withheld" in body:  # of a request for an override
        found["needs"] = {rule: need for rule, need in body["needs"].items() if rule not in body["withheld"]}
    shown = body.get("shown")
    if "decision" in body:
        found["decision"] = recorded_view(body["decision"], shown)
    if "certificate" in body:  # of a rebalance
        found |= others_of(body)
        found.pop("snapshot_hash", None)
    if "decisions" in body:
        kept = shown or {}
        found["decisions"] = [recorded_view(d, kept.get(str(n))) for n, d in enumerate(body["decisions"])]
    return found
