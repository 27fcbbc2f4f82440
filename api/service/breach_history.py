"""When breaches of holdings began and ended, found again in the ledger.

In: account, rule, times of recording, a cursor. Out: records of beginnings and ends, oldest first,
in pages. Guaranteed: only accounts the caller may see, and no rule its role may not know of; a page that ends says
where to go on, also when it ended because it had looked far enough. Refused by `Problem`: 404 `no-ledger`, 422
`bad-time` and `bad-cursor`, 503. Before: `open_breaches.py`, `views.py`. After: `routes_breaches.py`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from lexorder.api.service.journal import unavailable
from lexorder.api.service.open_breaches import KINDS
from lexorder.api.service.paging import number, number_in, written
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role
from lexorder.api.service.views import withheld
from lexorder.engine.errors import LexorderError
from lexorder.engine.ledger.record import Record, instant
from lexorder.engine.literals import timestamp

if TYPE_CHECKING:
    from lexorder.api.service.service import Service
    from lexorder.engine.ledger.ledger import Ledger

PAGE_MAX = 1000
LOOKED_MAX = 20_000
"""Records looked at for one page."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, and who asks. `since` and `until` are times of records, `until` not included."""

    account: str | None
    rule: str | None
    since: str | None
    until: str | None
    accounts: frozenset[str] | None
    role: Role

    def takes(self, record: Record) -> bool:
        """Whether the caller asked for a record and may see it."""
        asked = (self.since is None or record.at >= self.since) and (self.until is None or record.at < self.until)
        seen = self.accounts is None or record.account in self.accounts
        return asked and seen and not withheld(self.role, record.kind, record.body)


def time_of(written: str | None) -> str | None:
    """A time of the query as records write theirs. Raises Problem 422."""
    if written is None:
        return None
    found = timestamp(written)
    if found is None or found.tzinfo is None:
        raise Problem(422, "bad-time", "A time has an offset, such as 2026-06-15T12:00:00-04:00.")
    return instant(found)


async def history(service: Service, wanted: Wanted, cursor: str | None, limit: int) -> dict[str, Any]:
    """One page. Raises Problem 404, 422 `bad-cursor`, 503."""
    start = 0 if cursor is None else number_in(cursor)
    ledger = service.ledger
    if ledger is None:
        raise Problem(404, "no-ledger", "This service runs without a ledger.")
    try:
        found, following = await asyncio.to_thread(_page, ledger, wanted, start, min(limit, PAGE_MAX))
    except LexorderError:
        raise unavailable() from None
    place = None if following is None else written((number(following),))
    return {"count": len(found), "items": [_shown(record) for record in found], "next": place}


def _page(ledger: Ledger, wanted: Wanted, cursor: int, limit: int) -> tuple[list[Record], int | None]:
    """The records of a page, and where the next one begins; None when there is none."""
    found: list[Record] = []
    looked = 0
    for looked, record in enumerate(islice(_records(ledger, wanted, cursor), LOOKED_MAX), start=1):
        if wanted.takes(record):
            if len(found) == limit:
                return found, record.seq
            found.append(record)
        if looked == LOOKED_MAX:
            return found, record.seq + 1
    return found, None


def _records(ledger: Ledger, wanted: Wanted, cursor: int) -> Iterator[Record]:
    """Beginnings and ends in the order of the ledger."""
    parts = (ledger.read(cursor, kind=kind, account=wanted.account, ref=wanted.rule) for kind in KINDS)
    return heapq.merge(*parts, key=lambda record: record.seq)


def _shown(record: Record) -> dict[str, Any]:
    body = msgspec.json.decode(record.body)
    return {"seq": record.seq, "at": record.at, "kind": record.kind, **body}
