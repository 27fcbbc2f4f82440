"""What the service knows of the world: `/v1/snapshot` and one route for each feed.

In: a whole snapshot, or batches of a feed with an event id and a sequence number. Out: what was taken; with GET, what
is known. Guaranteed: a batch is taken whole or not at all, once, in order; after a gap the rules that read the feed are
undecided until the missing numbers, or the feed as a whole, arrive. Refused by `Problem`: 409 `sequence-gap` and
`sequence-behind`, both naming the number expected; what `facts.py` refuses. Before: `feeds.py`, `feed_events.py`.
After: `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from lexorder.api.service.access import require
from lexorder.api.service.document import body
from lexorder.api.service.feeds import FEEDS, SEQUENCE_MAX
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.service import Service
from lexorder.api.service.strict_json import loads
from lexorder.engine.facts import load_snapshot, plain
from lexorder.engine.ledger.record import Record
from lexorder.engine.literals import timestamp
from lexorder.engine.rule import Facts

LISTED_MAX = 10_000
"""Things one GET answers with, at most."""

Row = dict[str, Any]


class Batch(BaseModel):
    """One batch of a feed. Names in rows are those of the vocabulary, relative to what the feed is about."""

    model_config = ConfigDict(extra="forbid")

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
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 1000,
    ) -> dict[str, Any]:
        found = [row for row in _listed(service, feed) if _wanted(feed, row, who, account, symbol)]
        return {"items": found[:limit], "count": len(found)}

    routes.add_api_route(f"/{feed}", post, methods=["POST"], summary=f"Tell events of {feed}")
    routes.add_api_route(f"/{feed}", get, methods=["GET"], summary=f"What is known of {feed}")


async def take(service: Service, name: str, batch: Batch, who: Principal) -> Taken:
    """Take one batch. Raises SnapshotError, Problem."""
    service.ready()
    floor = service.floor
    feed = floor.feeds[name]
    told = batch.model_dump(exclude_none=True, exclude_defaults=True)
    told |= {"event_id": batch.event_id, "items": batch.items}
    taking = "take" if batch.whole and batch.event_id not in feed.seen else feed.offer(batch.event_id, batch.sequence)
    if taking == "repeat":
        return Taken(feed=name, status="repeated", items=0, sequence=feed.last, recorded=None)
    expected = None if feed.last is None else feed.last + 1
    if taking == "behind":
        raise Problem(409, "sequence-behind", "This number was taken under another event id.", expected=expected)
    if taking == "gap":
        service.metrics.gap(name)
        await service.step("gap", name, "", service.stamp(who, feed=name, sequence=batch.sequence))
        raise Problem(409, "sequence-gap", "Numbers are missing: send them, or the feed whole.", expected=expected)
    floor.events(name, told)  # refused here, before anything is recorded
    _time(service, batch.time)
    record = await service.step("events", batch.event_id, "", service.stamp(who, feed=name, **told))
    service.metrics.feed(name, floor.standing.time.timestamp())
    return Taken(feed=name, status="taken", items=len(batch.items), sequence=feed.last, recorded=place(service, record))


def _time(service: Service, written: str | None) -> None:
    """An event may say what time it is; it never moves the desk back."""
    if written is None:
        return
    moment = timestamp(written)
    if moment is None:
        raise Problem(422, "bad-time", "`time` must be a timestamp with its offset, such as 2026-06-15T12:00:00-04:00.")
    if moment > service.clock.now():
        service.clock.set(moment)


def place(service: Service, record: Record) -> dict[str, int]:
    """Where a record is."""
    return {"shard": service.settings.shard, "seq": record.seq}


def shown(facts: Facts) -> dict[str, Any]:
    """Facts of one thing as they are written in documents."""
    return {name.split(".", 1)[1]: plain(value) for name, value in facts.items()}


def _listed(service: Service, feed: str) -> Iterable[dict[str, Any]]:
    known = service.floor.standing.snapshot
    tables: Mapping[str, Iterable[Facts]] = {
        "accounts": known.accounts.values(),
        "positions": (facts for held in known.positions.values() for facts in held.values()),
        "prices": known.instruments.values(),
        "fills": known.fills,
        "working-orders": known.working_orders,
        "signals": known.signals,
    }
    if feed == "lists":
        names = {k.removeprefix("lists."): v for k, v in known.single.items() if k.startswith("lists.")}
        return [{"list": name, "names": plain(value)} for name, value in sorted(names.items())]
    return (shown(facts) for facts in tables[feed])


def _wanted(feed: str, row: Mapping[str, Any], who: Principal, account: str | None, symbol: str | None) -> bool:
    own = row.get("id") if feed == "accounts" else row.get("account")
    if who.accounts is not None and own is not None and own not in who.accounts and own != "NONE":
        return False
    return (account is None or own == account) and (symbol is None or row.get("symbol") == symbol)
