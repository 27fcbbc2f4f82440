"""Who follows the service, and which records are for whom.

In: durable records. Out: each in the queue of every reader that wants it and may read it. Guaranteed: offering never
waits; a reader whose queue is full is marked as behind and gets nothing more; nobody follows what its role may not GET
(`PLACES`). Refused: nothing. Why apart from the route: the service offers records, the route reads queues.
Before: `views.py`. After: `service.py`, `stream.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from lexorder.api.service.feeds import FEEDS
from lexorder.api.service.open_breaches import KINDS as BREACHES
from lexorder.api.service.roles import Matrix, Role, Scope
from lexorder.api.service.views import withheld
from lexorder.engine.ledger.record import Record

TOPICS: Mapping[str, frozenset[str]] = {
    "decisions": frozenset({"decision", "batch", "override", "rebalance"}),
    "breaches": frozenset({"decision", "batch", *BREACHES}),
    "state": frozenset({"trading-state", "rulebook", "limit", "snapshot", "gap", "outage"}),
    "feeds": frozenset({"events"}),
}
"""Kinds of records by topic. `breaches` are those that begin and end, and decisions that a rule stopped."""

PLACES: Mapping[str, str] = {
    "decision": "/v1/decisions",
    "batch": "/v1/decisions",
    "override": "/v1/overrides",
    "rebalance": "/v1/rebalances",
    **dict.fromkeys(BREACHES, "/v1/breaches"),
    "trading-state": "/v1/trading-state",
    "rulebook": "/v1/rulebooks/history",
    "limit": "/v1/limits",
    "snapshot": "/v1/snapshot",
    "gap": "/v1/feeds",
    "outage": "/v1/ledger/head",
    **{f"events {feed}": f"/v1/{feed}" for feed in FEEDS},
}
"""Where a kind of record is read with GET; `events` by their feed."""

EVENTS = "events"
BREACHED = b'"violations":[{'

BEHIND_MAX = 1_000
"""Records that may wait for a slow reader."""


@dataclass(eq=False, slots=True)
class Reader:
    """One subscriber: topics it wants, accounts it may see, its role, what waits for it, whether it fell behind.

    `kinds` are those keys of `PLACES` that it may read.
    """

    topics: frozenset[str]
    accounts: frozenset[str] | None
    role: Role
    kinds: frozenset[str] = frozenset(PLACES)
    waiting: asyncio.Queue[Record] = field(default_factory=lambda: asyncio.Queue(BEHIND_MAX))
    behind: bool = False

    def wants(self, record: Record) -> bool:
        """Whether the record is for this reader."""
        if not topic_of(record, self.topics) or not self._may(record):
            return False
        if withheld(self.role, record.kind, record.body):
            return False
        if self.accounts is None:
            return True
        return record.account in self.accounts if record.account else record.kind in ("trading-state", "rulebook")

    def _may(self, record: Record) -> bool:
        if len(self.kinds) == len(PLACES) or record.kind in self.kinds:
            return True
        return record.kind == EVENTS and f"{EVENTS} {_feed.decode(record.body).feed}" in self.kinds


class _Told(msgspec.Struct):
    """What is read of a record of events."""

    feed: str


_feed = msgspec.json.Decoder(_Told)


def kinds_for(matrix: Matrix, role: Role, scopes: frozenset[Scope]) -> frozenset[str]:
    """The kinds of records that a caller may read: what it may GET, it may follow."""
    return frozenset(kind for kind, place in PLACES.items() if matrix.allows(role, scopes, "GET", place))


class Hub:
    """All subscribers of one service."""

    def __init__(self) -> None:
        self.readers: set[Reader] = set()

    def offer(self, record: Record) -> None:
        """Let every reader that wants a record have it; never waits."""
        for reader in self.readers:
            if not reader.behind and reader.wants(record):
                try:
                    reader.waiting.put_nowait(record)
                except asyncio.QueueFull:
                    reader.behind = True


def topic_of(record: Record, topics: Collection[str]) -> str:
    """The first of these topics that a record belongs to, empty for none."""
    fitting = (topic for topic, kinds in TOPICS.items() if topic in topics and record.kind in kinds)
    return next((topic for topic in fitting if topic != "breaches" or _breaks(record)), "")


def _breaks(record: Record) -> bool:
    return record.kind in BREACHES or BREACHED in record.body
