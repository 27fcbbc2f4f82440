"""The other workers of a sharded service, over Unix sockets in the data folder.

In: a request another worker shall answer. Out: its answer. Guaranteed: the caller's credentials go along and are
checked again there; a worker that does not answer in time is `shard-unavailable`. Refused by `Problem` 503. Why
sockets in a folder of mode 0700: only this user can speak to them, and no port is needed. Before: `guard.py`.
After: `sharding.py`, `joining.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from lexorder.api.service.problems import Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECONDS = 150.0
"""The longest a worker may take; a rebalance is the slowest thing it does."""

CONNECT_S = 2.0
PASSED = frozenset({b"authorization", b"content-type", b"idempotency-key", b"x-request-id", b"accept"})
"""Headers of the caller that go along."""

DROPPED = frozenset({"content-length", "connection", "transfer-encoding", "x-request-id", "date", "server"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @classmethod
    def json(cls, document: Any) -> Answer:
        """An answer of 200 with JSON."""
        return cls(200, ((b"content-type", b"application/json"),), msgspec.json.encode(document))

    @classmethod
    async def of(cls, app: App, scope: Scope, receive: Receive) -> Answer:
        """What an application answers, held back."""
        status = 500
        headers: tuple[tuple[bytes, bytes], ...] = ()
        parts: list[bytes] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], tuple(message.get("headers", ()))
            else:
                parts.append(message.get("body", b""))

        await app(scope, receive, send)
        kept = tuple((k, v) for k, v in headers if k != b"content-length")
        return cls(status, kept, b"".join(parts))

    async def send(self, send: Send) -> None:
        """Give it to the caller."""
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def socket_of(data_dir: Path, shard: int) -> Path:
    """Where a worker listens for the others."""
    return data_dir / "peers" / f"shard-{shard}.sock"


class Peers:
    """Connections to the other workers."""

    def __init__(self, data_dir: Path, own: int, count: int) -> None:
        timeout = httpx.Timeout(SECONDS, connect=CONNECT_S)
        self.clients = {
            k: httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(socket_of(data_dir, k))),
                base_url="http://shard",
                timeout=timeout,
            )
            for k in range(count)
            if k != own
        }

    async def ask(self, shard: int, scope: Scope, body: bytes | None = None, *, to: str = "") -> Answer:
        """The answer of another worker; `to` stands before the path. Raises Problem 503."""
        try:
            answer = await self.clients[shard].send(self._request(shard, scope, body, to))
        except httpx.HTTPError:
            raise unavailable(shard) from None
        kept = tuple((k.lower().encode(), v.encode()) for k, v in answer.headers.items() if k.lower() not in DROPPED)
        return Answer(answer.status_code, kept, answer.content)

    async def stream(self, shard: int, scope: Scope, send: Send) -> None:
        """Hand the answer of another worker on as it comes. Raises Problem 503 before its first byte."""
        try:
            answer = await self.clients[shard].send(self._request(shard, scope, None), stream=True)
        except httpx.HTTPError:
            raise unavailable(shard) from None
        kept = [(k.lower().encode(), v.encode()) for k, v in answer.headers.items() if k.lower() not in DROPPED]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        try:
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            await answer.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def state(self, shard: int) -> dict[str, Any] | None:
        """What another worker says of itself, None when it does not answer."""
        try:
            answer = await self.clients[shard].get("/peer/state", timeout=5.0)
            return dict(answer.json()) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None

    async def there(self, shard: int) -> None:
        """Nothing when another worker answers. Raises Problem 503."""
        if await self.state(shard) is None:
            raise unavailable(shard)

    async def steps(self, shard: int, chain: str, count: int, digest: str) -> list[Any] | None:
        """The steps another worker has behind these; None when they do not follow, or it does not answer."""
        try:
            answer = await self.clients[shard].get(f"/peer/steps/{chain}/{count}/{digest}")
            found = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None
        return list(found) if found is not None else None

    async def close(self) -> None:
        """Close the connections."""
        for client in self.clients.values():
            await client.aclose()

    def _request(self, shard: int, scope: Scope, body: bytes | None, to: str = "") -> httpx.Request:
        url = to + scope["path"]
        if scope["query_string"]:
            url += "?" + scope["query_string"].decode("latin-1")
        headers = [(k, v) for k, v in scope["headers"] if k in PASSED]
        content = scope.get("body", b"") if body is None else body
        return self.clients[shard].build_request(scope["method"], url, headers=headers, content=content)


def unavailable(shard: int) -> Problem:
    """A worker cannot be reached."""
    words = "A worker cannot be reached; nothing is approved there. Repeat the request."
    return Problem(503, "shard-unavailable", words, shard=shard)
