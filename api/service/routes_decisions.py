"""`GET /v1/decisions`: what was decided, found again in the ledger.

In: account, outcome, order, rule, leading reason, times, a cursor. Out: decisions in the order of the ledger, or newest
first, in pages; one decision in full by its id. Guaranteed: only accounts the caller may see, and of each decision only
what its role may see, also when it is searched for; a page that ends says where to go on, and what was not looked at is
never called absent. Refused by `Problem`: 404 `unknown-decision`, 422 `bad-cursor`, `bad-time`, 403
`account-not-permitted`, 503. Before: `views.py`, `engine/ledger/reader.py`. After: `app.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query

from lexorder.api.service.access import require
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.views import body_for
from lexorder.engine.ledger.record import Record, instant
from lexorder.engine.literals import timestamp

KINDS = ("decision", "batch", "override")
"""Kinds of records with decisions in them."""

PAGE_MAX = 1000
LOOKED_MAX = 20_000
"""Records looked at for one page."""

STEP = 1000
"""Records read from the ledger at a time."""

IDENTIFIER = re.compile(r"(\d{1,9})-(\d{1,18})(?:\.(\d{1,5}))?")
"""Shard, record, and for a batch the place in it."""

Text = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `since` and `until` are times of records, `until` not included."""

    account: str | None
    outcome: str | None
    order: str | None
    rule: str | None
    reason: str | None
    since: str | None
    until: str | None

    def takes(self, record: Record) -> bool:
        """Whether a record may hold such a decision."""
        return (self.since is None or record.at >= self.since) and (self.until is None or record.at < self.until)

    def fits(self, decision: Mapping[str, Any]) -> bool:
        """Whether a decision, as the caller sees it, is one of them."""
        return (
            (self.account is None or decision["account"] == self.account)
            and (self.outcome is None or decision["outcome"] == self.outcome)
            and (self.order is None or self.order in decision["orders"])
            and (self.rule is None or self.rule in _rules(decision))
            and (self.reason is None or self.reason == decision["reason"])
        )


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/decisions", tags=["decisions"])

    @routes.get("")
    async def get_decisions(  # noqa: PLR0917  each is a name in the query
        who: Annotated[Principal, Depends(require("/v1/decisions"))],
        account: Text = None,
        outcome: Literal["approve", "needs_override", "reject", "undecided"] | None = None,
        order: Text = None,
        rule: Text = None,
        reason: Text = None,
        since: Annotated[str | None, Query(alias="from", max_length=64)] = None,
        until: Annotated[str | None, Query(alias="to", max_length=64)] = None,
        newest_first: bool = False,
        cursor: Annotated[str | None, Query(max_length=40)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    ) -> dict[str, Any]:
        """Decisions in short. `next` goes on where the page ends, also when it ended because it had looked far enough.

        `from` and `to` are times of recording. An override that was granted stands with its second decision.
        """
        if account is not None:
            service.access.permit_account(who, account)
        wanted = Wanted(account, outcome, order, rule, reason, _instant(since), _instant(until))
        search = _Search(service, who, wanted, newest_first=newest_first)
        return await search.page(_place(service, cursor), limit)

    @routes.get("/{id}")
    async def get_decision(
        id: str,  # noqa: A002
        who: Annotated[Principal, Depends(require("/v1/decisions/{id}"))],
    ) -> dict[str, Any]:
        """One decision with its order, as the caller may see it."""
        found = IDENTIFIER.fullmatch(id)
        if found is None or int(found.group(1)) != service.settings.shard:
            raise _unknown()
        seq, place = int(found.group(2)), int(found.group(3) or 0)
        records = await service.recorded(start=seq, stop=seq + 1)
        decisions = [d for r in records if r.kind in KINDS for d in decisions_in(service, r, who)]
        named = id if found.group(3) else f"{id}.{place}"
        fitting = next((d for d in decisions if d["id"] in (id, named)), None)
        if fitting is None:
            raise _unknown()
        return fitting

    return routes


class _Search:
    """One query, page by page through the ledger."""

    def __init__(self, service: Service, who: Principal, wanted: Wanted, *, newest_first: bool) -> None:
        self.service = service
        self.who = who
        self.wanted = wanted
        self.back = newest_first

    async def page(self, start: int | None, limit: int) -> dict[str, Any]:
        """At most `limit` decisions from a record on, and where the next page begins."""
        ledger = self.service.ledger
        end = 0 if ledger is None else ledger.committed
        at = start if start is not None else (end - 1 if self.back else 0)
        items: list[dict[str, Any]] = []
        looked = 0
        while 0 <= at < end and looked < LOOKED_MAX:
            for record in await self._read(at):
                found = self._found(record)
                if items and len(items) + len(found) > limit:
                    return self._answer(items, record.seq)
                items += found
                at = record.seq + (-1 if self.back else 1)
                looked += 1
                if len(items) >= limit:
                    return self._answer(items, at if 0 <= at < end else None)
        return self._answer(items, at if 0 <= at < end else None)

    async def _read(self, at: int) -> list[Record]:
        """The next records in the direction of the search."""
        if not self.back:
            return await self.service.recorded(start=at, stop=at + STEP)
        return list(reversed(await self.service.recorded(start=max(0, at - STEP + 1), stop=at + 1)))

    def _found(self, record: Record) -> list[dict[str, Any]]:
        """What of a record belongs on the page, in short."""
        if record.kind not in KINDS or not self.wanted.takes(record):
            return []
        if record.account and not self.service.access.may_see(self.who, record.account):
            return []
        found = [d for d in decisions_in(self.service, record, self.who) if self.wanted.fits(d["decision"])]
        return [_short(d) for d in (reversed(found) if self.back else found)]

    def _answer(self, items: list[dict[str, Any]], following: int | None) -> dict[str, Any]:
        cursor = None if following is None else f"{self.service.settings.shard}-{following}"
        return {"items": items, "next": cursor}


def decisions_in(service: Service, record: Record, who: Principal) -> Iterator[dict[str, Any]]:
    """The decisions of a record that the caller may see, as it may see them."""
    body = body_for(who.role, msgspec.json.decode(record.body))
    head = {"recorded_at": record.at, "by": body["by"], "kind": record.kind}
    identifier = f"{service.settings.shard}-{record.seq}"
    if record.kind == "batch":
        for n, decision in enumerate(body["decisions"]):
            if service.access.may_see(who, decision["account"]):
                yield {"id": f"{identifier}.{n}", **head, "order": body["orders"][n], "decision": decision}
    elif "decision" in body and service.access.may_see(who, body["decision"]["account"]):
        more = {"override": body["id"], "granted": bool(body.get("granted"))} if record.kind == "override" else {}
        yield {"id": identifier, **head, **more, "order": body.get("order"), "decision": body["decision"]}


def _short(found: Mapping[str, Any]) -> dict[str, Any]:
    decision = found["decision"]
    head = {k: v for k, v in found.items() if k not in ("order", "decision")}
    kept = {k: decision[k] for k in ("account", "orders", "outcome", "reason", "time")}
    return {**head, **kept, "rules": _rules(decision), "hash": decision.get("hash")}


def _rules(decision: Mapping[str, Any]) -> list[str]:
    """The rules a decision has something to say about, most decisive kinds first."""
    reports = [r for kind in ("undecided", "violations", "warnings", "passive") for r in decision[kind]]
    return list(dict.fromkeys(r["rule"] for r in reports))


def _place(service: Service, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    found = IDENTIFIER.fullmatch(cursor)
    if found is None or found.group(3) or int(found.group(1)) != service.settings.shard:
        raise Problem(422, "bad-cursor", "`cursor` is what `next` of the page before said.")
    return int(found.group(2))


def _instant(written: str | None) -> str | None:
    """A time as records write it. Raises Problem 422."""
    if written is None:
        return None
    moment = timestamp(written)
    if moment is None or moment.tzinfo is None:
        raise Problem(422, "bad-time", "A time has an offset, such as 2026-06-15T12:00:00-04:00.")
    return instant(moment)


def _unknown() -> Problem:
    return Problem(404, "unknown-decision", "No decision of this id is recorded here.")
