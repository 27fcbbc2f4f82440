"""Reading a body from a stranger: counted while it arrives, within its time.

In: the server's `receive`, what the headers said of the length. Out: the whole body as bytes. Guaranteed: a body that
says it is too large is refused unread; one that does not say is cut at its limit, so that a body of any size costs at
most the limit in memory; all bodies together hold at most `HELD_MAX`; no silence longer than `PAUSE_S`, and no body
longer on its way than its limit allows. Refused by `Problem`: 408 `body-too-slow`, 413 `body-too-large`, 503
`server-busy`; `Gone` when the caller left. Why the first step is taken by hand: nearly every body has arrived before
it is asked for, and then no timer is needed; setting one costs more than all the rest. Before: `problems.py`.
After: `guard.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from lexorder.api.service.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MIB: Final = 1 << 20
HELD_MAX: Final = 512 * MIB
"""Bytes of bodies held at one time, over all requests."""

PAUSE_S: Final = 2.0
"""The longest silence within a body, and the time an ordinary body has in all."""

CLOSE: Final = ((b"connection", b"close"),)
"""With the rest of a body unread the connection cannot be used again."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """How large a body may be, in bytes, and how long it may take, in seconds."""

    bytes_max: int
    seconds_max: float = PAUSE_S


ORDINARY: Final = BodyLimit(MIB)
FEEDS: Final = ("accounts", "positions", "prices", "fills", "working-orders", "lists", "signals")
LARGE: Final[Mapping[str, BodyLimit]] = {
    **{f"/v1/{feed}": BodyLimit(16 * MIB) for feed in FEEDS},
    "/v1/orders/check-batch": BodyLimit(16 * MIB),
    "/v1/rebalances": BodyLimit(16 * MIB),
    "/v1/rulebooks": BodyLimit(16 * MIB),
    "/v1/certificates/verify": BodyLimit(64 * MIB, 15.0),
    "/v1/snapshot": BodyLimit(256 * MIB, 60.0),
}
"""Paths that take more than an ordinary body; whole templates, since the matrix is asked for them before reading."""


class Gone(Exception):  # noqa: N818
    """The caller left before its body was complete."""


class Bodies:
    """Reads bodies and knows how much is held. What `read` gave must be handed back with `release`."""

    def __init__(self, held_max: int = HELD_MAX, pause_s: float = PAUSE_S) -> None:
        self.held = 0
        self._held_max = held_max
        self._pause_s = pause_s

    async def read(self, receive: Receive, length: int, limit: BodyLimit) -> bytes:
        """The whole body; `length` is -1 when the headers did not say. Raises Problem, Gone."""
        if length > limit.bytes_max:
            raise too_large(limit)
        step = receive().__await__()
        try:
            waiting = next(step)
        except StopIteration as arrived:
            message = arrived.value
            if not message.get("more_body"):
                body = _chunk(message)
                size = len(body)
                if size <= limit.bytes_max and self.held + size <= self._held_max:
                    self.held += size
                    return body
            return await self._rest(receive, message, limit)
        return await self._rest(receive, _Begun(step, waiting), limit)

    def admits(self, size: int) -> bool:
        """Whether an ordinary body of this size, in bytes, may be held now."""
        return size <= ORDINARY.bytes_max and self.held + size <= self._held_max

    def release(self, body: bytes) -> None:
        """The body is no longer held by this request."""
        self.held -= len(body)

    async def _rest(self, receive: Receive, first: Message | _Begun, limit: BodyLimit) -> bytes:
        """What comes in several pieces, or late."""
        chunks: list[bytes] = []
        total = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + limit.seconds_max
        try:
            async with asyncio.timeout(self._pause_s) as timer:
                message = await first if isinstance(first, _Begun) else first
                while True:
                    chunk = _chunk(message)
                    self._take(len(chunk), total + len(chunk), limit)
                    total += len(chunk)
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
                    timer.reschedule(min(end, loop.time() + self._pause_s))
                    message = await receive()
        except TimeoutError:
            self.held -= total
            raise Problem(408, "body-too-slow", "The body did not arrive in time.", headers=CLOSE) from None
        except BaseException:
            self.held -= total
            raise

    def _take(self, size: int, total: int, limit: BodyLimit) -> None:
        """Count `size` more bytes, or refuse them."""
        if total > limit.bytes_max:
            raise too_large(limit)
        if self.held + size > self._held_max:
            headers = (*CLOSE, (b"retry-after", b"1"))
            raise Problem(503, "server-busy", "Too much is being sent at once.", headers=headers)
        self.held += size


class Replay:
    """A `receive` that gives the body once more, then whatever the connection says."""

    __slots__ = ("_body", "_receive")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The next message."""
        body = self._body
        if body is None:
            return await self._receive()
        self._body = None
        return {"type": "http.request", "body": body, "more_body": False}


class _Begun:
    """An awaitable whose first step was taken: goes on where that stopped."""

    def __init__(self, step: Generator[Any, Any, Message], waiting: Any) -> None:
        self._step = step
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, Message]:
        step, waiting = self._step, self._waiting
        try:
            while True:
                try:
                    sent = yield waiting
                except BaseException as error:  # a cancellation is the step's to handle
                    waiting = step.throw(error)
                else:
                    waiting = step.send(sent)
        except StopIteration as arrived:
            message: Message = arrived.value
            return message


def too_large(limit: BodyLimit) -> Problem:
    """The refusal of a body beyond its limit."""
    detail = f"At most {limit.bytes_max:,} bytes here."
    return Problem(413, "body-too-large", detail, headers=CLOSE, bytes_max=limit.bytes_max)


def _chunk(message: Mapping[str, Any]) -> bytes:
    if message["type"] == "http.disconnect":
        raise Gone
    return bytes(message.get("body", b""))
