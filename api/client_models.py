"""What the service answers, as the client gives it.

In: JSON. Out: frozen structs; amounts stay decimal strings. Guaranteed: members the client does not know are kept out,
not refused, so that an older client reads a newer service. Refused: nothing here. Before: nothing. After: `client.py`.
"""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from lexorder.engine.errors import LexorderError


class ServiceError(LexorderError):
    """The service refused (RFC 9457). `status` is the HTTP status, `extra` what else the document says."""

    def __init__(self, status: int, code: str, detail: str, extra: dict[str, Any]) -> None:
        super().__init__(code, detail)
        self.status = status
        self.detail = detail
        self.extra = extra


class UnreachableError(LexorderError):
    """The service could not be reached, or the connection broke before an answer: what happened is not known."""


class Place(msgspec.Struct, frozen=True):
    """Where a record is."""

    shard: int
    seq: int


class Finding(msgspec.Struct, frozen=True):
    """What one rule found."""

    rule: str
    title: str
    severity: str
    status: str
    reason: str
    message: str
    subject: str = ""
    ord_rej_reason: int = msgspec.field(default=0, name="OrdRejReason")
    observed: Any = None
    limit: Any = None
    margin: str | None = None
    cite: str = ""
    inputs: dict[str, Any] = {}
    max_order: str | None = None


class Largest(msgspec.Struct, frozen=True):
    """The largest compliant quantity, and the rules that stop one share more."""

    quantity: str
    binding: list[str] = []
    note: str = ""


class Decision(msgspec.Struct, frozen=True):
    """The answer to "may this order go out?". Hashes are empty in the view for traders."""

    outcome: str
    account: str
    orders: list[str]
    time: str
    reason: str = ""
    violations: list[Finding] = []
    undecided: list[Finding] = []
    warnings: list[Finding] = []
    passive: list[Finding] = []
    largest_compliant: Largest | None = None
    rulebook_hash: str = ""
    snapshot_hash: str = ""
    hash: str = ""
    id: str = ""
    recorded: Place | None = None
    replayed: bool = False
    """Given before for the same idempotency key: it says what was decided then, not what holds now."""

    @property
    def approved(self) -> bool:
        """Whether the order may go out."""
        return self.outcome == "approve"


class Batch(msgspec.Struct, frozen=True):
    """One decision for each order of a batch, in order. `recorded`: the last record, one for each worker."""

    mode: str
    count: int
    approved: int
    decisions: list[Decision]
    recorded: Place | list[Place] | None = None


class Taken(msgspec.Struct, frozen=True):
    """What became of a batch of a feed."""

    feed: str
    status: str
    items: int
    sequence: int | None = None
    recorded: Place | None = None


class RebalanceOptions(TypedDict, total=False):
    """What may be said of a rebalance beside its account and trader; amounts and weights are decimal text.

    `model`: `mean_variance`, `max_utility`, `mean_risk`, `risk_parity` or `target_weights`; `risk_measure`, `goal`,
    `invested`, `max_weight` and `targets` belong to some of them. `returns`: `symbols` and `rows` of past returns.
    """

    model: str
    risk_measure: str
    goal: str
    invested: str
    max_weight: str
    targets: dict[str, str]
    aims: dict[str, str]
    returns: dict[str, Any]
    symbols: list[str]
    strict: bool


class Rebalance(msgspec.Struct, frozen=True):
    """A rebalance: `status` is running, done, infeasible, refused, undecided or cancelled."""

    id: str
    account: str
    status: str
    progress: list[str] = []
    verdict: str = ""
    outcome: dict[str, Any] = {}


class Verification(msgspec.Struct, frozen=True):
    """What the stand-alone verifier says about a certificate."""

    valid: bool
    verifier: str


class Message(msgspec.Struct, frozen=True):
    """One message of the stream."""

    topic: str
    shard: int
    seq: int
    at: str
    kind: str
    account: str
    body: dict[str, Any]
