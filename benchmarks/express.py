"""What an order check costs around its decision: processor time, plain requests beside the ordinary way.

`python -m benchmarks.express [--requests 4000]`. One service in this process, a protocol for each of 32 connections on
wires that go nowhere, each request fed whole, as it would come from a socket; the decision is made once and then given
again, so that only the way around it is measured: HTTP, guard, strict JSON, reading, record, ledger, answer. Given is
the tenth of the rounds that were cheapest, in processor time of the event loop's thread: on a busy machine the others
say more about the machine. System calls of sockets are not in it. Prints a table and stores nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks import desk as world
from benchmarks.http import CHECK, thirty
from lexorder.api.service.app import guarded
from lexorder.api.service.connections import server_options
from lexorder.api.service.guard import Guard
from lexorder.api.service.service import Service
from lexorder.api.service.settings import Settings

CONNECTIONS = 32
ACCOUNTS = 50


class Nowhere(asyncio.Transport):
    """A wire that says when all wires of a round have their answers."""

    waiting = 0
    done: asyncio.Event

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """An address for both ends."""
        return {"peername": ("192.0.2.1", 40_000), "sockname": ("192.0.2.9", 80)}.get(name, default)

    def write(self, data: Any) -> None:
        """Count what ends with a document."""
        if data.endswith(b"}"):
            Nowhere.waiting -= 1
            if not Nowhere.waiting:
                Nowhere.done.set()

    def is_closing(self) -> bool:
        """Never."""
        return False


def asked(key: str, marks: list[str], draw: random.Random, number: int) -> bytes:
    """One request as wrk sends it."""
    name = draw.randrange(world.NAMES)
    order = {"id": f"7-{number}", "account": f"A{draw.randrange(ACCOUNTS)}", "symbol": f"N{name:03d}", "side": "buy"}
    order |= {"quantity": "3", "ord_type": "limit", "price": marks[name], "trader": "T1"}
    body = json.dumps(order, separators=(",", ":"))
    head = f"POST {CHECK}?reserve=false HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def rounds(protocols: list[Any], requests: list[bytes]) -> list[float]:
    """Microseconds of this thread for each request, by round of one request on each connection."""
    found = []
    for start in range(0, len(requests), CONNECTIONS):
        part = requests[start : start + CONNECTIONS]
        Nowhere.waiting, Nowhere.done = len(part), asyncio.Event()
        began = time.thread_time_ns()
        for protocol, request in zip(protocols, part, strict=False):
            protocol.data_received(request)
        await Nowhere.done.wait()
        found.append((time.thread_time_ns() - began) / len(part) / 1000)
    return found


async def measured(ledger: Literal["off", "full"], folder: Path, rules: Path, count: int, *, express: bool) -> float:
    """The cheapest tenth of the rounds, in microseconds for each request."""
    settings = Settings(data_dir=folder, rules=rules, ledger=ledger, rate_per_key=10_000_000)
    service = Service.open(settings)
    app: Guard = guarded(service)
    if not express:
        app.express = None
    await service.start()
    key = (folder / "admin.key").read_text("ascii").strip()
    document = world.document(ACCOUNTS)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://x", headers=headers
    ) as client:
        loaded = await client.post("/v1/snapshot", json=document, timeout=300)
        assert loaded.status_code == 200, loaded.text[:300]
    marks, draw = [row["mark"] for row in document["instruments"]], random.Random(5)
    config = uvicorn.Config(app, lifespan="off", **server_options(settings))
    config.load()
    wires = [Nowhere() for _ in range(CONNECTIONS)]
    kind: Any = config.http_protocol_class
    protocols = [kind(config, ServerState(), {}, _loop=asyncio.get_running_loop()) for _ in wires]
    for protocol, wire in zip(protocols, wires, strict=True):
        protocol.connection_made(wire)
    first = service.floor.decide(
        (service.floor.reader.read(json.loads(asked(key, marks, draw, 0).split(b"\r\n")[-1])),)
    )
    service.floor.decide = lambda _orders: first  # type: ignore[method-assign,assignment]
    requests = [asked(key, marks, draw, number) for number in range(1, count + 1)]
    await rounds(protocols, requests[: count // 4])
    taken = sorted(await rounds(protocols, requests))
    await service.stop()
    return taken[len(taken) // 10]


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=4_000)
    count = options.parse_args().requests
    print("| ledger | ordinary way, µs | express, µs |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules = thirty(folder)
        ledgers: tuple[Literal["off", "full"], ...] = ("off", "full")
        for ledger in ledgers:
            ways = (("ordinary", False), ("express", True))
            found = [
                uvloop.run(measured(ledger, folder / f"{ledger}-{way}", rules, count, express=express))
                for way, express in ways
            ]
            print(f"| {ledger} | {found[0]:.1f} | {found[1]:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
