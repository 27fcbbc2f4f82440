"""Plain requests, answered without a task: what an order check usually is when it arrives.

In: HTTP as uvicorn's parser reads it. Out: for a plain request an `Exchange`, given to what `express` of the app names;
everything else goes uvicorn's way, as if this were not here. Guaranteed: a request is plain only when its head and
body are complete, nothing is unanswered before it on its connection, and nothing in its head asks for anything special;
what `take` does not want is given to the app whole; one answer at a time and in turn; a server that stops waits for the
answer. Refused: nothing. Why: a scope, a task, an event and two messages cost as much as the decision
(`docs/decisions/0016-plain-requests-go-express.md`). Before: nothing. After: `connections.py`, `express_check.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

BODY_MAX: Final = 64 * 1024
"""Bytes of a body; a longer one is read by the app, which counts it while it arrives."""

BODY_WAIT_S: Final = 0.02
"""How long a body may stay behind its head: many clients send the two in two packets."""


class Express(Protocol):
    """What answers plain requests. `targets` are the request targets it wants, as the request line has them."""

    targets: frozenset[bytes]

    def take(self, exchange: Exchange) -> bool:
        """Answer it now or later by `exchange.answer`; False when the app shall do so, and nothing was done yet."""
        ...

    def hold(self) -> Callable[[], None]:
        """Begin no answer until what this returns is called."""
        ...


class _Never:
    """An event nobody waits for."""

    @staticmethod
    def set() -> None:
        """Nothing happens."""


class Exchange:
    """One plain request and its answer. Stands where uvicorn keeps the cycle of a request, with the fields it asks for.

    `headers` have lower-case names, in the order they came.
    """

    __slots__ = ("_protocol", "body", "disconnected", "headers", "keep_alive", "response_complete", "target")

    message_event = _Never()

    def __init__(
        self, protocol: ExpressProtocol, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        self._protocol = protocol
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Send the answer; `head` are its header lines, each ended, `content-length` among them."""
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            self.response_complete = True
            return
        protocol.answer(self, status, head, body)

    def abandon(self) -> None:
        """End the connection: the answer could not be sent whole."""
        self.response_complete = True
        self._protocol.transport.close()


class ExpressProtocol(HttpToolsProtocol):
    """One connection of uvicorn's that keeps plain requests from it."""

    _express: Express | None = None
    _dated: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")
    _plain = False
    _complete = False
    _body = b""
    _body_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if not self.root_path:
            self._express = getattr(self.app, "express", None)

    def on_message_begin(self) -> None:
        """A request begins. It may be a plain one unless another one is not answered."""
        cycle: Any = self.cycle
        if self._express is None or (cycle is not None and not cycle.response_complete):
            super().on_message_begin()
            return
        self._plain, self._complete, self._body = True, False, b""
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        if not self._plain:
            super().on_headers_complete()
        elif self._is_plain():
            self._complete = True
        else:
            self._to_app()

    def on_body(self, body: bytes) -> None:
        """A part of its body is here."""
        if not self._plain:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > BODY_MAX:
            self._to_app()

    def on_message_complete(self) -> None:
        """All of it is here."""
        if not self._plain:
            super().on_message_complete()
            return
        assert self._express is not None
        self._stop_waiting()
        self._plain = False
        before = self.cycle
        self.cycle = exchange = Exchange(self, self.url, self.headers, self._body)  # type: ignore[assignment]
        if self._express.take(exchange):
            self._body = b""
        else:
            self.cycle = before
            self._to_app()
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a body that is late is not waited for here for long."""
        super().data_received(data)
        if self._plain and self._complete and self._body_timer is None:
            self._body_timer = self.loop.call_later(BODY_WAIT_S, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: a request that has begun is still answered."""
        if self._plain and self._complete:
            self._to_app()
        super().shutdown()

    def answer(self, exchange: Exchange, status: int, head: bytes, body: bytes) -> None:
        """Send a whole answer at once and go on with what waits on this connection."""
        exchange.response_complete = True
        exchange.body = b""  # a connection that rests keeps its last exchange
        given = self.server_state.default_headers
        if given is not self._dated[0]:  # another list with every second
            self._dated = (given, b"".join(b"%b: %b\r\n" % header for header in given))
        last = b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], self._dated[1], head, last, body)))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _is_plain(self) -> bool:
        express, parser = self._express, self.parser
        return (
            express is not None
            and self.url in express.targets
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and self.scheme == "http"
            and not self.flow.write_paused
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
        )

    def _late(self) -> None:
        self._body_timer = None
        if self._plain:
            self._to_app()

    def _stop_waiting(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _to_app(self) -> None:
        """Begin the request again, uvicorn's way, with what of it is here."""
        self._stop_waiting()
        self._plain = False
        url, headers, expect, body = self.url, self.headers, self.expect_100_continue, self._body
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        self._body = b""
        super().on_headers_complete()
        if body:
            super().on_body(body)
