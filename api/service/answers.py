"""What goes out: every answer gets the headers of the house, and a stream ends when its key does.

In: ASGI messages of the app. Out: the same to the server, with `x-request-id` and what keeps browsers from guessing,
storing or framing. Guaranteed: a long answer or a stream is cut before its next message once the key behind it is
revoked, expired or cannot be verified. Refused: nothing. Why `__call__` is no coroutine: it hands on the server's own,
which saves a frame for each message. Before: `access.py`, `problems.py`. After: `guard.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from lexorder.api.service.access import Access
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import MEDIA_TYPE, Problem

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

HOUSE: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
TLS: Final = ((b"strict-transport-security", b"max-age=31536000"),)
PAGE: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
)

POLICY_VIOLATION: Final = 1008
"""WebSocket close code (RFC 6455, 7.4.1): the key is no longer welcome, or never was."""

INTERNAL_ERROR: Final = 1011


class Ended(Exception):  # noqa: N818
    """Raised into the app when it sends to a stream that has ended."""


class Answer:
    """The `send` of one HTTP request."""

    __slots__ = ("_access", "_principal", "_scope", "_send", "complete", "started", "status")

    def __init__(self, send: Send, scope: Mapping[str, Any]) -> None:
        self._send = send
        self._access: Access | None = None
        self._principal: Principal | None = None
        self._scope = scope
        self.started = False
        self.complete = False
        self.status = 0

    def watch(self, access: Access, principal: Principal) -> None:
        """Cut the answer when the principal is no longer welcome."""
        self._access, self._principal = access, principal

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send one message of the app."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_house(self._scope)]
        elif not message.get("more_body"):
            self.complete = True
        elif self._access is not None and self._principal is not None and not self._access.current(self._principal):
            return self._cut()
        return self._send(message)

    async def _cut(self) -> None:
        self.complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        raise Ended


class StreamGate:
    """The `send` of one WebSocket."""

    __slots__ = ("_accepted", "_access", "_denial", "_principal", "_send", "ended")

    def __init__(self, send: Send, scope: Mapping[str, Any]) -> None:
        self._send = send
        self._denial = "websocket.http.response" in (scope.get("extensions") or {})
        self._access: Access | None = None
        self._principal: Principal | None = None
        self._accepted = False
        self.ended = False

    def watch(self, access: Access, principal: Principal) -> None:
        """End the stream when the principal is no longer welcome."""
        self._access, self._principal = access, principal

    async def __call__(self, message: Message) -> None:
        """Send one message of the app. Raises `Ended` after the end."""
        if self.ended:
            raise Ended
        kind = message["type"]
        if kind == "websocket.accept":
            self._accepted = True
        elif kind == "websocket.send" and self._unwelcome():
            await self._close(POLICY_VIOLATION, "not-welcome")
            raise Ended
        elif kind != "websocket.send":
            self.ended = True
        await self._send(message)

    async def refuse(self, problem: Problem, request_id: str) -> None:
        """End with a refusal: as a problem document before the handshake where the server can, else by a close."""
        if self.ended:
            return
        if self._accepted or not self._denial:
            await self._close(INTERNAL_ERROR if problem.status >= 500 else POLICY_VIOLATION, problem.code)
            return
        self.ended = True
        body = problem.to_bytes(request_id)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)), *problem.headers]
        start = {"type": "websocket.http.response.start", "status": problem.status, "headers": [*headers, *HOUSE]}
        await self._send(start)
        await self._send({"type": "websocket.http.response.body", "body": body})

    def _unwelcome(self) -> bool:
        return self._access is None or self._principal is None or not self._access.current(self._principal)

    async def _close(self, code: int, reason: str) -> None:
        self.ended = True
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _house(scope: Mapping[str, Any]) -> tuple[tuple[bytes, bytes], ...]:
    """The headers every answer gets, those for pages on pages only: each costs the server time."""
    path = scope["path"]
    page = PAGE if path == "/docs" or path.endswith("/report") else ()
    tls = TLS if scope.get("scheme") == "https" else ()
    return (*HOUSE, (b"x-request-id", scope.get("request_id", "").encode("ascii")), *page, *tls)
