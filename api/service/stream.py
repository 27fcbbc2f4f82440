"""`/v1/stream`: what is decided and what changes, as it becomes durable.

In: durable records. Out: messages over a WebSocket, by topic, from any sequence number on. Guaranteed: every record of
the chosen topics that the caller may see, once, in order, first from the ledger and then live without a gap; offering
a record to readers never waits: a reader that is more than `BEHIND_MAX` records behind is told where to go on
(`slow-reader`, with `resume_from`) and cut; what a caller may not GET it does not hear. Refused, by message and close
code 1008: unknown topics and keys, numbers that are none, the records of another worker. Why records: the stream, the
queries and the replay then cannot differ. Before: `journal.py`. After: `app.py`.

The first message of the client says what it wants: `{"topics": ["decisions"], "from": 17}`; without `from` it hears
what happens from now on. Where there are several workers each has its own numbers and its own door: `from` then needs
`shard`, and the stream is opened there. Each message has `topic`, `shard`, `seq`, `at`, `kind`, `account` and `body`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.websockets import WebSocket, WebSocketDisconnect

from lexorder.api.service.access import require
from lexorder.api.service.hub import BEHIND_MAX, TOPICS, Reader, kinds_for, topic_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.settings import Settings
from lexorder.api.service.strict_json import loads
from lexorder.api.service.views import body_for, sees_all
from lexorder.engine.ledger.record import Record

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

HELLO_S = 10.0
"""Time a client has to say what it wants."""

SEQ_MAX = 2**62
"""No ledger has so many records; a database could not even be asked for more."""

POLICY, AGAIN = 1008, 1013
"""Close codes of RFC 6455: against the rules; try again later."""


def message_of(record: Record, shard: int, reader: Reader) -> bytes:
    """One message, with what the reader may see of the record."""
    head = {
        "topic": topic_of(record, reader.topics),
        "shard": shard,
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind,
        "account": record.account,
    }
    body = (
        record.body
        if sees_all(reader.role)
        else msgspec.json.encode(body_for(reader.role, msgspec.json.decode(record.body)))
    )
    return b"".join((msgspec.json.encode(head)[:-1], b',"body":', body, b"}"))


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/v1")

    @routes.websocket("/stream")
    async def stream(socket: WebSocket, who: Annotated[Principal, Depends(require("/v1/stream"))]) -> None:
        """Follow the service."""
        await socket.accept()
        try:
            topics, start = await _wanted(socket, service.settings)
        except Problem as problem:
            await socket.send_bytes(problem.to_bytes())
            await socket.close(POLICY)
            return
        except (TimeoutError, WebSocketDisconnect):
            return
        reader = Reader(topics, who.accounts, who.role, kinds_for(service.access.matrix, who.role, who.scopes))
        service.hub.readers.add(reader)
        try:
            await _follow(service, socket, reader, start)
        except WebSocketDisconnect:
            pass
        finally:
            service.hub.readers.discard(reader)

    return routes


async def _wanted(socket: WebSocket, settings: Settings) -> tuple[frozenset[str], int | None]:
    """What the client's first message asks for. Raises Problem."""
    async with asyncio.timeout(HELLO_S):
        message = await socket.receive()
    if message["type"] != "websocket.receive":
        raise WebSocketDisconnect
    asked = loads(message.get("bytes") or (message.get("text") or "").encode())
    if not isinstance(asked, dict):
        raise Problem(422, "wrong-shape", 'Say what you want: {"topics": ["decisions"], "from": 0}.')
    if not asked.keys() <= {"topics", "from", "shard"}:
        raise Problem(422, "unknown-key", "You may say `topics`, `from` and `shard`, and nothing else.")
    topics, start, shard = asked.get("topics", list(TOPICS)), asked.get("from"), asked.get("shard")
    if not isinstance(topics, list) or not topics or not all(isinstance(t, str) and t in TOPICS for t in topics):
        raise Problem(422, "unknown-topic", f"Topics are {', '.join(TOPICS)}.")
    if not all(number is None or _is_number(number) for number in (start, shard)):
        raise Problem(422, "wrong-shape", "`from` is a sequence number and `shard` that of a worker.")
    if shard is None and start is not None and settings.workers > 1:
        raise Problem(422, "shard-needed", "Each worker numbers its own records: say which `shard` your number is of.")
    if shard not in (None, settings.shard):
        words = "Another worker has these records: `/v1/shards` tells its port."
        raise Problem(421, "misdirected", words, shard=settings.shard)
    return frozenset(topics), start


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SEQ_MAX


async def _follow(service: Service, socket: WebSocket, reader: Reader, start: int | None) -> None:
    """Past records, then live ones. The reader is subscribed already, so nothing falls between the two."""
    gone = asyncio.create_task(_until_gone(socket))
    try:
        sent = -1 if start is None else start - 1
        if start is not None:
            sent = await _past(service, socket, reader, start)
        while not gone.done():
            if reader.behind and reader.waiting.empty():
                service.metrics.cut("slow-reader")
                told = {"error": "slow-reader", "resume_from": sent + 1}
                await socket.send_bytes(msgspec.json.encode(told))
                await socket.close(AGAIN)
                return
            getting = asyncio.create_task(reader.waiting.get())
            await asyncio.wait({getting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                return
            record = getting.result()
            if record.seq > sent:
                await socket.send_bytes(message_of(record, service.settings.shard, reader))
                sent = record.seq
    finally:
        gone.cancel()


async def _past(service: Service, socket: WebSocket, reader: Reader, start: int) -> int:
    """Send what is in the ledger from `start` on; the last number looked at."""
    sent = start - 1
    while True:
        page = await service.recorded(start=sent + 1, stop=sent + 1 + BEHIND_MAX)
        if not page:
            return sent
        for record in _seen(page, reader):
            await socket.send_bytes(message_of(record, service.settings.shard, reader))
        sent = page[-1].seq


def _seen(page: Iterable[Record], reader: Reader) -> Iterable[Record]:
    return (record for record in page if reader.wants(record))


async def _until_gone(socket: WebSocket) -> None:
    """Read until the client leaves; what it says after the first message is not heard."""
    while True:
        message: Mapping[str, Any] = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
