"""What the service knows of the world: `/v1/snapshot` and one route for each feed.

In: a whole snapshot, or batches of a feed with an event id and a sequence number. Out: what was taken; with GET, what
is known. Guaranteed: a batch is taken whole or not at all, once, in order; after a gap the rules that read the feed are
undecided until the missing numbers, or the feed as a whole, arrive. Refused by `Problem`: 409 `sequence-gap` and
`sequence-behind`, both naming the number expected; 422 `bad-time`, `time-too-far-ahead`, `unknown-list`; what
`facts.py` refuses.
Before: `feeds.py`, `feed_events.py`. After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.document import body
from lexorder.api.service.feeds import FEEDS, SEQUENCE_MAX, Feed, Taking
from lexorder.api.service.known_lists import refuse_unknown
from lexorder.api.service.paging import LISTED, Cursor, Key, Limit, listed, page_beside, page_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.strict_json import loads
from lexorder.engine.facts import load_snapshot, plain
from lexorder.engine.ledger.record import Record
from lexorder.engine.literals import timestamp
from lexorder.engine.rule import Facts
from lexorder.engine.snapshot import Snapshot

Row = dict[str, Any]

AHEAD_MAX = timedelta(days=31)
"""How far an event may move the desk's time on: beyond it somebody has written another year."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("account.id",),
    "positions": ("position.account", "position.symbol"),
    "prices": ("instrument.symbol",),
    "fills": ("fill.id",),
    "working-orders": ("working_order.id",),
    "signals": ("signal.id",),
}
"""What the things of a feed are sorted by; no two have the same."""


class Batch(BaseModel):
    """One batch of a feed. Names in rows are those of the vocabulary, relative to what the feed is about."""

    model_config = ConfigDict(extra="forbid", strict=True)  # `"whole": "no"` must not come to mean something

    event_id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
    sequence: Annotated[int | None, Field(ge=0, le=SEQUENCE_MAX)] = None
    time: Annotated[str | None, Field(max_length=64)] = None
    whole: bool = False
    items: list[Row] = []
    traders: list[Row] = []
    strategies: list[Row] = []
    quotes: list[Row] = []
    session: Row | None = None
    fx: Row | None = None
    firm: Row | None = None


class Taken(BaseModel):
    """What became of a batch: `taken`, or `repeated` when its event id was taken before."""

    feed: str
    status: str
    items: int
    sequence: int | None
    recorded: dict[str, int] | None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["state"])
    for feed in FEEDS:
        _feed_routes(routes, service, feed)

    @routes.post("/snapshot", openapi_extra=body("Snapshot"))
    async def put_snapshot(
        request: Request, who: Annotated[Principal, Depends(require("/v1/snapshot"))]
    ) -> dict[str, Any]:
        """Replace everything known by a snapshot document (see `docs/snapshot.md`).

        `sequences` (by feed) says where incremental events go on; reservations that are not among the document's
        working orders are gone.
        """
        document = loads(request.scope.get("body", b""))
        if not isinstance(document, dict):
            raise Problem(422, "wrong-shape", "The body must be a snapshot document, as a JSON object.")
        sequences = _sequences(document.pop("sequences", {}))
        snapshot = load_snapshot(document, service.vocabulary)
        service.clock.set(snapshot.time)
        step = {
            "now": snapshot.time.isoformat(),
            "by": who.id,
            "document": document,
            "sequences": sequences,
            **service.part.told(),
        }
        record = await service.step("snapshot", "snapshot", "", step)
        return {"snapshot_hash": snapshot.hash, "time": snapshot.time.isoformat(), "recorded": place(service, record)}

    @routes.get("/snapshot")
    async def get_snapshot(_who: Annotated[Principal, Depends(require("/v1/snapshot"))]) -> dict[str, Any]:
        """What is known, in short: time, hash, how many of each, which feeds are in doubt."""
        known = service.floor.standing.snapshot
        return {
            "time": known.time.isoformat(),
            "snapshot_hash": known.hash,
            "accounts": len(known.accounts),
            "instruments": len(known.instruments),
            "positions": sum(len(held) for held in known.positions.values()),
            "working_orders": len(known.working_orders),
            "fills": len(known.fills),
            "doubts": service.floor.doubts,
        }

    @routes.get("/feeds")
    async def get_feeds(_who: Annotated[Principal, Depends(require("/v1/feeds"))]) -> list[dict[str, Any]]:
        """Where each feed stands."""
        doubts = service.floor.doubts
        return [
            {
                "feed": feed.name,
                "sequence": feed.last,
                "missing_from": feed.missing_from,
                "heard": None if feed.heard is None else feed.heard.isoformat(),
                "doubt": doubts.get(feed.name, ""),
            }
            for feed in service.floor.feeds.feeds.values()
        ]

    return routes


def _sequences(told: Any) -> dict[str, int]:
    """Where feeds go on, by feed. Raises Problem 422."""
    fits = isinstance(told, dict) and all(
        feed in FEEDS and type(number) is int and 0 <= number <= SEQUENCE_MAX for feed, number in told.items()
    )
    if not fits:
        words = f"`sequences` names feeds ({', '.join(FEEDS)}) with whole numbers from 0 to {SEQUENCE_MAX}."
        raise Problem(422, "wrong-shape", words)
    return dict(told)


def _feed_routes(routes: APIRouter, service: Service, feed: str) -> None:
    endpoint = f"/v1/{feed}"

    allowed = Depends(require(endpoint))  # a default: an annotation cannot see this function's variables

    async def post(batch: Batch, who: Principal = allowed) -> Taken:
        return await take(service, feed, batch, who)

    async def get(
        who: Principal = allowed,
        account: Annotated[str | None, Query(max_length=200)] = None,
        symbol: Annotated[str | None, Query(max_length=200)] = None,
        cursor: Cursor = None,
        limit: Limit = LISTED,
    ) -> dict[str, Any]:
        known = service.floor.standing.snapshot
        if feed == "lists":
            return listed(page_of(_lists(known), cursor, limit), dict)
        wanted = _Wanted(feed, who, account, symbol)
        found = await page_beside(wanted.of(known), cursor, limit)
        return listed(found, shown)

    routes.add_api_route(f"/{feed}", post, methods=["POST"], summary=f"Tell events of {feed}")
    routes.add_api_route(f"/{feed}", get, methods=["GET"], summary=f"What is known of {feed}")


async def take(service: Service, name: str, batch: Batch, who: Principal) -> Taken:
    """Take one batch. Raises SnapshotError, Problem."""
    service.ready()
    floor = service.floor
    feed = floor.feeds[name]
    told = told_by(batch, service)
    taking = offered(feed, batch)
    if taking == "repeat":
        return Taken(feed=name, status="repeated", items=0, sequence=feed.last, recorded=None)
    expected = None if feed.last is None else feed.last + 1
    if taking == "behind":
        raise Problem(409, "sequence-behind", "This number was taken under another event id.", expected=expected)
    if taking == "gap":
        service.metrics.gap(name)
        await service.step("gap", name, "", service.stamp(who, feed=name, sequence=batch.sequence))
        raise Problem(409, "sequence-gap", "Numbers are missing: send them, or the feed whole.", expected=expected)
    moment = _time(service, batch.time)
    if name == "lists":
        refuse_unknown(batch.items, floor)
    floor.events(name, told)  # refused here, before anything is recorded
    if moment is not None:
        service.clock.set(moment)
    record = await service.step("events", batch.event_id, "", service.stamp(who, feed=name, **told))
    service.metrics.feed(name, floor.standing.time.timestamp())
    return Taken(feed=name, status="taken", items=len(batch.items), sequence=feed.last, recorded=place(service, record))


def told_by(batch: Batch, service: Service) -> dict[str, Any]:
    """What the record of a batch holds of it."""
    told = batch.model_dump(exclude_none=True, exclude_defaults=True)
    return told | {"event_id": batch.event_id, "items": batch.items, **service.part.told()}


def offered(feed: Feed, batch: Batch) -> Taking:
    """What a batch is to its feed."""
    taken = batch.event_id in feed.seen
    return "take" if batch.whole and not taken else feed.offer(batch.event_id, batch.sequence)


def _time(service: Service, written: str | None) -> datetime | None:
    """The time an event moves the desk to, if it does; never back. Raises Problem 422."""
    if written is None:
        return None
    moment = timestamp(written)
    if moment is None:
        raise Problem(422, "bad-time", "`time` must be a timestamp with its offset, such as 2026-06-15T12:00:00-04:00.")
    now = service.clock.now()
    if moment - now > AHEAD_MAX:
        words = f"An event is at most {AHEAD_MAX.days} days ahead of the desk's time: a snapshot may begin later."
        raise Problem(422, "time-too-far-ahead", words, now=now.isoformat())
    return moment if moment > now else None


def place(service: Service, record: Record) -> dict[str, int]:
    """Where a record is."""
    return {"shard": service.settings.shard, "seq": record.seq}


def shown(facts: Facts) -> dict[str, Any]:
    """Facts of one thing as they are told: a holding's `before.quantity` is its `quantity`."""
    return {name.split(".", 1)[1].removeprefix("before."): plain(value) for name, value in facts.items()}


def _lists(known: Snapshot) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Lists by name with what they cover today."""
    for name, covered in known.single.items():
        if name.startswith("lists."):
            short = name.removeprefix("lists.")
            yield (short,), {"list": short, "names": plain(covered)}


def _table(feed: str, known: Snapshot) -> Iterable[Facts]:
    """The things of a feed; `known` changes no more, so that they can be gone through beside the loop."""
    if feed == "positions":
        return (facts for held in known.positions.values() for facts in held.values())
    tables: Mapping[str, Iterable[Facts]] = {
        "accounts": known.accounts.values(),
        "prices": known.instruments.values(),
        "fills": known.fills,
        "working-orders": known.working_orders,
        "signals": known.signals,
    }
    return tables[feed]


class _Wanted:
    """Which things of a feed are asked for, and may be seen by who asks."""

    def __init__(self, feed: str, who: Principal, account: str | None, symbol: str | None) -> None:
        self.feed = feed
        self.entity = KEYS[feed][0].split(".", maxsplit=1)[0]
        self.who = who
        self.account = account
        self.symbol = symbol

    def of(self, known: Snapshot) -> Iterator[tuple[Key, Facts]]:
        """Them, each with its key."""
        names = KEYS[self.feed]
        for facts in _table(self.feed, known):
            if self.takes(facts):
                yield tuple(str(facts.get(name, "")) for name in names), facts

    def takes(self, facts: Facts) -> bool:
        """Whether a thing is one of them."""
        own = facts.get("account.id" if self.feed == "accounts" else f"{self.entity}.account")
        if self.who.accounts is not None and own is not None and own not in self.who.accounts and own != "NONE":
            return False
        symbol = facts.get(f"{self.entity}.symbol")
        return (self.account is None or own == self.account) and (self.symbol is None or symbol == self.symbol)
