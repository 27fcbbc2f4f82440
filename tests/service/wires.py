"""Connections without a network: a service's own protocol on a wire that only remembers what was sent.

`Wire(house)` is one connection; `feed` gives it bytes as they might arrive, `answers` waits for whole answers. `twins`
makes two services alike but for one thing: in the second one every request goes the ordinary way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from lexorder.api.service.connections import server_options
from lexorder.api.service.express import Exchange
from tests.service.house import House

DATE = b"Sat, 21 Nov 2026 12:00:00 GMT"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """One answer as it was sent; `headers` in order, names as sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def without(self, *names: str) -> Answer:
        """The same without these headers."""
        return Answer(self.status, tuple(h for h in self.headers if h[0] not in names), self.body)


class Wire(asyncio.Transport):
    """One connection to a house's service, from `host`; `closed` once the server has ended it."""

    def __init__(self, house: House, host: str = "192.0.2.1", scheme: str = "http") -> None:
        super().__init__()
        self.house = house
        self.sent = bytearray()
        self.writes = 0
        self.closed = False
        self.reading = True
        self._host = host
        options = server_options(house.settings)
        config = uvicorn.Config(house.app, lifespan="off", **options)
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", DATE)]
        protocol: Any = config.http_protocol_class
        self.protocol = protocol(config, self.state, {}, _loop=house.runner.get_loop())
        self._do(self.protocol.connection_made, self)
        self.protocol.scheme = scheme

    # ---- what a transport does ---------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self._host, 40_000), "sockname": ("192.0.2.9", 80)}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes += 1
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    # ---- what a client does ------------------------------------------------------------------------

    def feed(self, *pieces: bytes) -> Wire:
        """Let bytes arrive, each piece for itself, without a pause."""
        for piece in pieces:
            self._do(self.protocol.data_received, piece)
        return self

    def leave(self) -> None:
        """The client is gone."""
        self._do(self.protocol.connection_lost, None)

    def _do(self, step: Any, *arguments: Any) -> None:
        async def within() -> None:
            step(*arguments)

        self.house.run(within())

    def answers(self, count: int = 1) -> list[Answer]:
        """So many whole answers, which are taken off the wire."""
        self.house.until(lambda: self.closed or len(parsed(self.sent)[0]) >= count, PATIENCE_S)
        found, left = parsed(self.sent)
        self.sent = bytearray(left)
        assert len(found) == count, (found, left)
        return found

    def ask(self, *pieces: bytes) -> Answer:
        """The only answer to what is sent."""
        return self.feed(*pieces).answers()[0]


def parsed(data: bytes | bytearray) -> tuple[list[Answer], bytes]:
    """Whole answers and what is left."""
    found, rest = [], bytes(data)
    while b"\r\n\r\n" in rest:
        head, _, body = rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if first == "HTTP/1.1 100 Continue":
            rest = body
            continue
        headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
        length = int(dict(headers)["content-length"])
        if len(body) < length:
            break
        found.append(Answer(int(first.split()[1]), headers, body[:length]))
        rest = body[length:]
    return found, rest


class Taken:
    """What was said to each exchange that came to a house's express, in turn."""

    def __init__(self, house: House) -> None:
        self.said: list[bool] = []
        express = house.app.express
        assert express is not None
        take = express.take

        def told(exchange: Exchange) -> bool:
            self.said.append(take(exchange))
            return self.said[-1]

        express.take = told  # type: ignore[method-assign]

    def since(self) -> list[bool]:
        """What was said since this was asked last."""
        said, self.said[:] = list(self.said), []
        return said


def twins(folder: Path, **settings: Any) -> tuple[House, House]:
    """Two furnished services; the desk's time stands still, so that both decide at the same time."""
    first = House(folder / "express", tick_s=3600.0, **settings).furnished()
    second = House(folder / "ordinary", tick_s=3600.0, **settings).furnished()
    second.app.express = None
    return first, second


def request(
    key: str,
    body: bytes,
    *headers: str,
    method: str = "POST",
    target: str = "/v1/orders/check",
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    """One request; `key` empty sends no credential, `headers` follow the usual ones."""
    lines: Iterable[str] = [
        f"{method} {target} HTTP/{version}",
        "Host: house",
        *([f"Authorization: Bearer {key}"] if key else []),
        "Content-Type: application/json",
        *([f"Content-Length: {len(body)}"] if length else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
