"""What tests of the border share: a key table in a fresh database, its `Access`, and requests without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexorder.api.service.access import Access
from lexorder.api.service.keys import KeyRecord, KeyStore
from lexorder.api.service.roles import Role
from lexorder.engine.ledger.database import Database

Message = MutableMapping[str, Any]


class Clock:
    """A clock that tests turn by hand, for wall time and running time alike."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Border:
    """One service's key table and its access; `clock` is both clocks of `access`."""

    database: Database
    store: KeyStore
    access: Access
    clock: Clock

    def key(self, role: Role | str = Role.ADMIN, **fields: Any) -> str:
        """The `Authorization` header of a new key, known to `access` at once."""
        return self.record(role, **fields)[0]

    def record(self, role: Role | str = Role.ADMIN, **fields: Any) -> tuple[str, KeyRecord]:
        text, record = self.store.create(Role(role), fields.pop("name", f"test {role}"), **fields)
        self.access.refresh()
        return f"Bearer {text}", record


def database(url: str) -> Database:
    """An address opened, with its tables."""
    opened = Database(url)
    opened.create()
    return opened


def border(folder: Path, **fields: Any) -> Border:
    """A key table in a file of `folder`. Close its database at the end."""
    opened = database(f"sqlite:///{folder / 'keys.sqlite'}")
    clock = Clock()
    store = KeyStore(opened)
    access = Access(store, now=clock, since=clock, **fields)
    access.refresh()
    return Border(opened, store, access, clock)


@dataclass
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    pieces: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document, which must be one."""
        assert self.headers["content-type"] == "application/problem+json", (self.headers, self.body)
        document = self.json
        assert document["status"] == self.status
        assert document["type"] == f"/problems/{document['code']}"
        return str(document["code"])


def headers_of(headers: dict[str, str] | Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


def scope_of(method: str, path: str, headers: dict[str, str] | Iterable[tuple[str, str]] = ()) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers_of(headers),
        "client": ("192.0.2.1", 40_000),
        "server": ("192.0.2.2", 80),
        "state": {},
    }


def asked(app: Any, method: str, path: str, headers: Any = (), chunks: Iterable[bytes] | None = None) -> Reply:
    """One request through an ASGI app, its body in pieces. Content-Length is sent for a single piece."""
    pieces = None if chunks is None else list(chunks)
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    if pieces is not None and len(pieces) == 1:
        pairs.append(("content-length", str(len(pieces[0]))))
    elif pieces is not None:
        pairs.append(("transfer-encoding", "chunked"))
    return asyncio.run(exchange(app, scope_of(method, path, pairs), feed(pieces or [b""])))


def feed(chunks: list[bytes]) -> Callable[[], Awaitable[Message]]:
    """A server's `receive` for a body in pieces; afterwards the caller is gone."""
    left = list(chunks)

    async def receive() -> Message:
        await asyncio.sleep(0)
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def exchange(app: Any, scope: Message, receive: Callable[[], Awaitable[Message]]) -> Reply:
    """Run the app for one request and collect what it sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert not bodies[-1].get("more_body")
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    assert len(headers) == len(start["headers"]), "a header was sent twice"
    return Reply(start["status"], headers, b"".join(m.get("body", b"") for m in bodies), len(bodies))
