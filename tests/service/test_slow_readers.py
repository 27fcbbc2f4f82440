"""A reader of the stream that does not read: it is told where to go on and cut, and nobody waits for it.

The reader is a WebSocket by hand, whose other end takes nothing until the test lets it: no buffer of a system hides it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lexorder.api.service import hub
from lexorder.api.service.hub import BEHIND_MAX, TOPICS, Reader
from lexorder.api.service.roles import Role
from tests.faults.served import body_of
from tests.service.border import Message, scope_of
from tests.service.house import House
from tests.worlds import order

COUNT = iter(range(10**9))


class Ear:
    """One WebSocket of a house; while `open` is not set it takes no message."""

    def __init__(self, house: House, **hello: Any) -> None:
        self.house = house
        self.open = asyncio.Event()
        self.heard: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.other: list[Message] = []
        self.hello = hello
        self.gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def begin(self, key: str) -> None:
        """Connect, and say what is wanted."""
        scope = scope_of("GET", "/v1/stream", {"authorization": f"Bearer {key}"})
        told: list[Message] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": json.dumps(self.hello)},
        ]

        async def receive() -> Message:
            if told:
                return told.pop(0)
            await self.gone.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Message) -> None:
            if message["type"] == "websocket.send":
                await self.open.wait()
                self.heard.append(json.loads(message.get("bytes") or message["text"]))
            elif message["type"] == "websocket.close":
                self.closed = message["code"]
            else:
                self.other.append(message)

        scope.update(type="websocket", scheme="ws", subprotocols=[])
        del scope["method"]
        readers = len(self.house.service.hub.readers)
        self.task = asyncio.create_task(self.house.app(scope, receive, send))
        async with asyncio.timeout(60):
            while len(self.house.service.hub.readers) == readers:
                assert not self.task.done(), (self.task, self.other)
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        """Until the service has cut it."""
        assert self.task is not None
        await asyncio.wait_for(self.task, 60)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, house: House) -> House:
    """A house where a reader may be 20 records behind instead of 1,000, so that few orders show it."""
    monkeypatch.setattr(hub, "BEHIND_MAX", 20)
    known = Reader.__init__

    def smaller(self: Reader, *given: Any, **more: Any) -> None:
        known(self, *given, **more)
        self.waiting = asyncio.Queue(20)

    monkeypatch.setattr(Reader, "__init__", smaller)
    return house


async def orders(house: House, count: int) -> list[int]:
    """Numbers of the records of so many approved orders."""
    found = []
    for _ in range(count):
        given = order(id=f"s{next(COUNT)}", account="B")
        answer = await house.calling("POST", "/v1/orders/check?reserve=false", given)
        assert answer.json()["outcome"] == "approve", "nobody waits for a reader"
        found.append(answer.json()["recorded"]["seq"])
    return found


def decisions(house: House, start: int) -> list[int]:
    return [r.seq for r in house.run(house.service.recorded(start=start)) if r.kind in TOPICS["decisions"]]


def test_who_is_too_far_behind_is_told_where_to_go_on_and_cut(few):
    async def day() -> tuple[Ear, Ear, list[int]]:
        key = few.key("admin")
        slow, quick = Ear(few, topics=["decisions"]), Ear(few, topics=["decisions"])
        quick.open.set()
        await slow.begin(key)
        await quick.begin(key)
        made = await orders(few, 60)
        slow.open.set()
        await slow.end()
        rest = Ear(few, topics=["decisions"], **{"from": slow.heard[-1]["resume_from"]})
        rest.open.set()
        await rest.begin(key)
        made += await orders(few, 1)
        async with asyncio.timeout(60):
            while not rest.heard or rest.heard[-1]["seq"] < made[-1] or len(quick.heard) < len(made):
                await asyncio.sleep(0.005)
        slow.heard += rest.heard
        return slow, quick, made

    slow, quick, made = few.run(day())
    (told,) = [message for message in slow.heard if "seq" not in message]
    at = slow.heard.index(told)
    assert told == {"error": "slow-reader", "resume_from": slow.heard[at - 1]["seq"] + 1}
    assert slow.closed == 1013
    assert at <= 22, "what waited, what was on its way, and no more"
    assert [m["seq"] for m in slow.heard if "seq" in m] == made == decisions(few, made[0]), "nothing lost, none twice"
    assert [m["seq"] for m in quick.heard] == made, "a slow one slows no other"
    assert 'lexorder_stream_cut_readers_total{reason="slow-reader",shard="0"} 1.0' in few.call("GET", "/metrics").text


def test_who_falls_behind_while_the_past_is_read_out_misses_nothing(few):
    """From the beginning, slowly, while more is decided than may wait: cut after the past, and resumed."""

    async def day() -> tuple[list[dict[str, Any]], list[int]]:
        key, made = few.key("admin"), await orders(few, 30)
        slow = Ear(few, topics=["decisions"], **{"from": made[0]})
        await slow.begin(key)
        made += await orders(few, 40)
        slow.open.set()
        async with asyncio.timeout(60):
            while not (slow.closed or (slow.heard and slow.heard[-1].get("seq") == made[-1])):
                await asyncio.sleep(0.005)
        heard = slow.heard
        if slow.closed:
            rest = Ear(few, topics=["decisions"], **{"from": heard[-1]["resume_from"]})
            rest.open.set()
            await rest.begin(key)
            made += await orders(few, 1)
            async with asyncio.timeout(60):
                while not rest.heard or rest.heard[-1]["seq"] < made[-1]:
                    await asyncio.sleep(0.005)
            heard = heard[:-1] + rest.heard
        return heard, made

    heard, made = few.run(day())
    assert [m["seq"] for m in heard] == made


def test_who_leaves_is_forgotten(few):
    async def day() -> int:
        ear = Ear(few, topics=["decisions"])
        await ear.begin(few.key("admin"))
        ear.gone.set()
        await ear.end()
        return len(few.service.hub.readers)

    assert few.run(day()) == 0


def test_a_reader_may_be_as_far_behind_as_is_said_and_no_record_more(shared):
    """Exactly on the limit it is not behind; with one more it is, and it gets nothing after that."""
    reader = Reader(frozenset({"decisions"}), None, Role.ADMIN)
    (record, *_) = shared.run(_records(shared))
    own = hub.Hub()
    own.readers.add(reader)
    for _ in range(BEHIND_MAX):
        own.offer(record)
    assert (reader.behind, reader.waiting.qsize()) == (False, BEHIND_MAX)
    own.offer(record)
    assert (reader.behind, reader.waiting.qsize()) == (True, BEHIND_MAX)
    reader.waiting.get_nowait()
    own.offer(record)
    assert reader.waiting.qsize() == BEHIND_MAX - 1, "what it missed must come before what is new"
    assert body_of(record)["decision"]["outcome"] == "approve"


async def _records(house: House) -> Any:
    await orders(house, 1)
    return [r for r in await house.service.recorded(kind="decision") if b'"outcome":"approve"' in r.body]
