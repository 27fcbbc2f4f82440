"""Connections: how many one client may have, and how slow it may be.

In: TCP connections, before there is a request. Out: uvicorn's protocol with limits. Guaranteed: a client has at most
`per_client` connections; the head of a request (its first line and headers) is complete within `head_s` and
`head_bytes`; an answer of which nobody reads a byte for `stalled_s` ends with the connection. Refused, each as a
problem document before the connection ends: 400 `http-malformed`, 408 `head-too-slow`, 429 `too-many-connections`, 431
`head-too-large`. Why below ASGI: a client that never finishes its headers never becomes a request. Before:
`problems.py`, `settings.py`. After: `serving.py`.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from lexorder.api.service.express import ExpressProtocol
from lexorder.api.service.problems import MEDIA_TYPE, Problem
from lexorder.api.service.settings import Settings

HEAD_S: Final = 5.0
HEAD_BYTES: Final = 64 * 1024
STALLED_S: Final = 30.0
TOTAL_MAX: Final = 10_000
MESSAGE_MAX: Final = 64 * 1024
"""Bytes of a message a client sends into a stream: it only names topics."""


class LimitedProtocol(ExpressProtocol):
    """One connection of uvicorn's, within limits. Use a subclass of `limited`; the counts belong to the class."""

    per_client: int
    head_s: float = HEAD_S
    head_bytes: int = HEAD_BYTES
    stalled_s: float = STALLED_S
    counts: dict[str, int]

    _host: str | None = None
    _in_head = True
    _head_read = 0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or refuse it."""
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        count = self.counts.get(self._host, 0)
        self.counts[self._host] = count + 1
        if count >= self.per_client:
            self._refuse(Problem(429, "too-many-connections", f"At most {self.per_client} connections for a client."))
        else:
            self._head_timer = self.loop.call_later(self.head_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection counts no more."""
        self._leave()
        self._stop_writing_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; an unfinished head is counted and timed."""
        if self._refused:
            return
        super().data_received(data)
        if not self._in_head:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            return
        self._head_read += len(data)
        if self._head_read > self.head_bytes:
            self._refuse(Problem(431, "head-too-large", f"At most {self.head_bytes:,} bytes of headers."))
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._too_slow)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._head_read = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection becomes a stream, which is counted by its key."""
        self._leave()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (uvicorn's own words)
        """What was sent is no HTTP."""
        self._refuse(Problem(400, "http-malformed", "This is not an HTTP request."))

    def pause_writing(self) -> None:
        """The client reads too slowly for what is sent: from now on it must go on reading."""
        if self._write_timer is None:
            self._watch_reading(self.transport.get_write_buffer_size())
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stop_writing_timer()
        super().resume_writing()

    def _leave(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._host is not None:
            left = self.counts.get(self._host, 1) - 1
            if left > 0:
                self.counts[self._host] = left
            else:
                self.counts.pop(self._host, None)
            self._host = None

    def _watch_reading(self, waiting: int) -> None:
        """Look again in a while whether fewer than `waiting` bytes wait."""
        self._write_timer = self.loop.call_later(self.stalled_s, self._still_reading, waiting)

    def _still_reading(self, waiting: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < waiting:
            self._watch_reading(left)
        else:
            self._write_timer = None
            self.transport.abort()

    def _stop_writing_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._head_read:
            self._refuse(Problem(408, "head-too-slow", "The headers did not arrive in time."))
        else:  # it never said anything: there is nothing to answer
            self._refused = True
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        self._refused = True
        body = problem.to_bytes()
        head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        head += f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


def limited(per_client: int) -> type[LimitedProtocol]:
    """A protocol for one server, with counts of its own."""
    return type("Limited", (LimitedProtocol,), {"per_client": per_client, "counts": {}})


def server_options(settings: Settings) -> dict[str, Any]:
    """What `uvicorn.Config` is given for a safe border, TLS included when the settings name a certificate.

    No log configuration of uvicorn's (`logs.configure` rules), no access log (it costs more than the check), no header
    that says what runs here, and no trust in `X-Forwarded-For`, which anyone can send.
    """
    options: dict[str, Any] = {
        "http": limited(settings.connections_per_client),
        "limit_concurrency": TOTAL_MAX,
        "timeout_keep_alive": 60,
        "timeout_graceful_shutdown": 10,
        "ws_max_size": MESSAGE_MAX,
        "ws_max_queue": 16,
        "ws_per_message_deflate": False,
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
    }
    if settings.tls_certificate:
        options |= {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key or None}
    return options
