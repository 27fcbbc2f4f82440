"""A ledger with one record of each kind, full of identifiers that an anonymised export must not show."""

import json
from pathlib import Path

from lexorder.engine.ledger.ledger import Ledger

AT = "2026-11-{:02d}T09:30:00.{:06d}Z"

SECRETS = (
    "ACC-SECRET-17", "ACC-SECRET-18", "ORD-SECRET-1", "ORD-SECRET-2", "TRADER-SECRET", "STRAT-SECRET", "key-secret-by",
    "Jane Secretperson", "jane@secret.example", "TAX-SECRET-99", "EVENT-SECRET", "OWNER-SECRET", "DESK SECRET GROUP",
    "LIMIT-SECRET", "SECRETWORD", "person-secret", "TAGSECRET", "FILL-SECRET", "5551234567",
)  # fmt: skip
"""Every identifier and every free text in `BODIES` holds one of these."""

REPORT = {
    "rule": "max-position-weight", "title": "About SECRETWORD", "severity": "hard", "status": "breach",
    "subject": "ACC-SECRET-17", "reason": "CONCENTRATION", "OrdRejReason": 3, "message": "ACC-SECRET-17 has SECRETWORD",
    "observed": "1/3", "limit": "0.05", "margin": "-17/60", "cite": "SECRETWORD",
    "inputs": {"account.nav": "1000000", "account.id": "ACC-SECRET-17", "ACC-SECRET-17": "1", "order.side": "buy"},
    "max_order": "50",
}  # fmt: skip

DECISION = {
    "outcome": "reject", "reason": "CONCENTRATION", "account": "ACC-SECRET-17", "orders": ["ORD-SECRET-1"],
    "time": "2026-11-20T11:00:00-05:00", "violations": [REPORT, {**REPORT, "rule": "limit-LIMIT-SECRET"}],
    "undecided": [], "warnings": [], "passive": [],
    "derived": [{"name": "SECRETWORD", "subject": "ACC-SECRET-17", "value": "SECRETWORD", "rule": "volatile-regime"}],
    "fired": [{"rule": "volatile-regime", "subject": "ACC-SECRET-17", "why": "SECRETWORD"}],
    "largest_compliant": {"quantity": "50", "binding": ["max-position-weight"], "note": "SECRETWORD"},
    "verdicts": 12, "rulebook_hash": "ab" * 32, "snapshot_hash": "cd" * 32, "hash": "ef" * 32,
}  # fmt: skip

ORDER = {
    "id": "ORD-SECRET-1", "account": "ACC-SECRET-17", "symbol": "ACME", "side": "buy", "quantity": "100",
    "price": "101.25", "ord_type": "limit", "trader": "TRADER-SECRET", "strategy": "STRAT-SECRET", "note": "SECRETWORD",
}  # fmt: skip

STAMP = {"now": "2026-11-20T11:00:00-05:00", "by": "key-secret-by", "person": "person-secret"}

PERSON = {"name": "Jane Secretperson", "email": "jane@secret.example", "tax_id": "TAX-SECRET-99", "phone": 5551234567}

ACCOUNT = {"id": "ACC-SECRET-17", "currency": "USD", "nav": "1000000.50", "tags": ["TAGSECRET"], **PERSON}
INSTRUMENT = {"symbol": "ACME", "mark": "100", "issuer": "OWNER-SECRET", "group": "DESK SECRET GROUP"}
FILL = {"id": "FILL-SECRET", "order": "ORD-SECRET-2", "account": "ACC-SECRET-18", "symbol": "BETA", "quantity": "5"}

DOCUMENT = {
    "time": "2026-11-20T11:00:00-05:00",
    "accounts": [ACCOUNT],
    "traders": [{"id": "TRADER-SECRET", "role": "senior_trader", **PERSON}],
    "positions": [{"account": "ACC-SECRET-17", "symbol": "ACME", "quantity": "300"}],
    "instruments": [INSTRUMENT],
    "lists": {"restricted": ["SECRETWORD"]},
}

REQUEST = {
    "id": "ORD-SECRET-1",
    "action": "request",
    "account": "ACC-SECRET-17",
    "order": ORDER,
    "reason": "Because SECRETWORD",
    "needs": {"LIMIT-SECRET": {"roles": ["risk_officer"]}},
}

HALT = {"scope": "account", "id": "ACC-SECRET-17", "state": "HALTED", "reason": "SECRETWORD"}
EVENTS = {"feed": "fills", "event_id": "EVENT-SECRET", "sequence": 7, "items": [FILL]}
PROPOSAL = {"id": "LIMIT-SECRET", "action": "propose", "limit": {"text": "SECRETWORD"}}
UNKNOWN = {"SECRETWORD": ["SECRETWORD", {"id": "SECRETWORD"}], "x": "TAX-SECRET-99"}

BODIES: list[tuple[str, str, str, object]] = [
    ("rulebook", "LIMIT-SECRET", "", {**STAMP, "action": "upload", "files": {"SECRETWORD.yaml": "# SECRETWORD"}}),
    ("snapshot", "snapshot", "", {**STAMP, "document": DOCUMENT}),
    (
        "decision",
        "ORD-SECRET-1",
        "ACC-SECRET-17",
        {**STAMP, "key": "SECRETWORD", "reserved": False, "order": ORDER, "decision": DECISION},
    ),
    (
        "batch",
        "independent",
        "",
        {**STAMP, "mode": "independent", "reserved": [0], "orders": [ORDER], "decisions": [DECISION]},
    ),
    ("events", "EVENT-SECRET", "", {**STAMP, **EVENTS}),
    ("override", "ORD-SECRET-1", "ACC-SECRET-17", {**STAMP, **REQUEST}),
    ("limit", "LIMIT-SECRET", "", {**STAMP, **PROPOSAL}),
    ("trading-state", "ACC-SECRET-17", "", {**STAMP, **HALT}),
    ("outage", "ledger-full", "", {"code": "ledger-full", "refused": {"SECRETWORD": 3}}),
    ("something-new", "EVENT-SECRET", "ACC-SECRET-18", UNKNOWN),
    ("decision", "ORD-SECRET-2", "ACC-SECRET-18", ["SECRETWORD"]),
]
"""Kind, reference, account and body, as the service writes them; the last two as it never would."""


def filled(folder: Path, times: int = 1) -> Ledger:
    """A ledger in `folder` with `times` of every record, opened for reading; one record a day, then the next round."""
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    writer = Ledger.open(url)
    try:
        for number in range(times):
            for day, (kind, ref, account, body) in enumerate(BODIES, 1):
                writer.append(kind, ref, account, json.dumps(body).encode(), AT.format(day, number))
        writer.wait(writer.size - 1, 60)
    finally:
        writer.close()
    return Ledger.open(url, read_only=True)
