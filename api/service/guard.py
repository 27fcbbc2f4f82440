"""The border: everything that reaches the app has come through here.

In: ASGI requests from strangers. Out: for the app a `scope` with `request_id`, `principal` (but on open endpoints),
`body` (the whole body, bytes) and, when it said JSON and the route does not check for itself, `json` (strictly read).
Guaranteed: the caller is known before its body is read; a body is counted while it arrives and cut at its limit; it
arrives within its time or the connection ends; calls of one key keep to its rate; a stream ends when its key does; an
exception never shows. Refused by `Problem`: what `access.py` and `strict_json.py` refuse, 408 `body-too-slow`, 413
`body-too-large`, 429 `too-many-requests` and `too-many-streams`, 503 `server-busy`. Why plain ASGI: a framework
middleware costs more than the decision. Before: `access.py`, `rates.py`, `strict_json.py`, `answers.py`.
After: the app.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from lexorder.api.service.access import Access, bad_credentials
from lexorder.api.service.answers import Answer, StreamGate
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import DEFECT, Problem, defect
from lexorder.api.service.rates import SECOND, Rates
from lexorder.api.service.strict_json import loads

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIB: Final = 1 << 20
HELD_MAX: Final = 512 * MIB
"""Bytes of bodies held at one time, over all requests."""

PAUSE_S: Final = 2.0
"""The longest silence within a body, and the time an ordinary body has in all."""

STREAMS_PER_KEY: Final = 16
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
CLOSE: Final = ((b"connection", b"close"),)

log = structlog.get_logger("lexorder.guard")


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """How large a body may be, in bytes, and how long it may take, in seconds."""

    bytes_max: int
    seconds_max: float = PAUSE_S


ORDINARY: Final = BodyLimit(MIB)
LARGE: Final[Mapping[str, BodyLimit]] = {
    "/v1/orders/check-batch": BodyLimit(16 * MIB),
    "/v1/rebalances": BodyLimit(16 * MIB),
    "/v1/rulebooks": BodyLimit(16 * MIB),
    "/v1/certificates/verify": BodyLimit(64 * MIB, 15.0),
    "/v1/snapshot": BodyLimit(256 * MIB, 60.0),
}
"""Paths that take more than an ordinary body; they must be whole templates, since the matrix is asked for them."""

OWN_JSON: Final = frozenset({"/v1/orders/check", "/v1/orders/check-batch", "/v1/snapshot"})
"""Routes that read `scope["body"]` themselves, by `strict_json.loads` or something as strict."""


@dataclass(slots=True)
class Head:
    """What the guard takes from the headers. `length` is -1 for a body of unknown length."""

    authorization: bytes = b""
    length: int = 0
    request_id: str = ""
    json: bool = False


class Guard:
    """Wraps the whole app; give it to the server.

    `rate_per_key` overrides the rates of `roles.yaml` when it is not 0. `observed`, when given, is told of every
    answered request: scope, status, nanoseconds.
    """

    def __init__(
        self,
        app: App,
        access: Access,
        *,
        open_metrics: bool = False,
        rate_per_key: int = 0,
        own_json: frozenset[str] = OWN_JSON,
        large: Mapping[str, BodyLimit] = LARGE,
        observed: Callable[[Scope, int, int], None] | None = None,
    ) -> None:
        self.app = app
        self.access = access
        self._open = {path for method, path in access.matrix.open if method == "GET"}
        if open_metrics:
            self._open.add("/metrics")
        self._rates = Rates()
        self._per_second = {role: rate_per_key or rate for role, rate in access.matrix.rates.items()}
        self._own_json = own_json
        self._large = large
        self._observed = observed
        self._streams: dict[str, int] = {}
        self._held = 0
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, stream or lifespan."""
        kind = scope["type"]
        if kind == "http":
            await self._request(scope, receive, send)
        elif kind == "websocket":
            await self._stream(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter_ns()
        head = Head()
        answer = Answer(send, scope)
        held = 0
        try:
            self._read_head(scope, head)
            answer.identify(head.request_id)
            if scope["path"] not in self._open or scope["method"] not in ("GET", "HEAD"):
                answer.watch(self.access, self._admit(scope, head))
            if head.length:
                body = await self._body(scope, receive, head)
                held = len(body)
                receive = self._handed_on(scope, head, body, receive)
            await self.app(scope, receive, answer)
        except Problem as problem:
            await _refuse(problem, answer, head)
        except _Gone:
            pass
        except Exception as error:
            await _fail(error, answer, head)
        finally:
            self._held -= held
        if self._observed is not None:
            self._observed(scope, answer.status, time.perf_counter_ns() - started)

    def _read_head(self, scope: Scope, head: Head) -> None:
        """The few headers that matter here, in one pass."""
        seen = False
        for name, value in scope["headers"]:
            if name == b"authorization":
                if seen:
                    self._name(scope, head)
                    raise bad_credentials()
                seen = True
                head.authorization = value
            elif name == b"content-length":
                head.length = int(value) if value.isdigit() else -1
            elif name == b"transfer-encoding":
                head.length = -1
            elif name == b"content-type":
                head.json = value.startswith(b"application/json")
            elif name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                head.request_id = value.decode("ascii")
        self._name(scope, head)

    def _name(self, scope: Scope, head: Head) -> None:
        """The caller's request id if it is a decent one, else one of ours."""
        if not head.request_id:
            head.request_id = f"{self._prefix}{next(self._numbers):08x}"
        scope["request_id"] = head.request_id

    def _admit(self, scope: Scope, head: Head) -> Principal:
        """Who calls, within its rate."""
        principal = self.access.principal(head.authorization)
        wait = self._rates.wait(principal.id, self._per_second[principal.role])
        if wait:
            seconds = b"%d" % (wait // SECOND + 1)
            raise Problem(429, "too-many-requests", "Slow down.", headers=((b"retry-after", seconds),))
        scope["principal"] = principal
        return principal

    async def _body(self, scope: Scope, receive: Receive, head: Head) -> bytes:
        """The whole body; `_held` counts it until the request is over. Raises Problem, `_Gone`."""
        limit = self._large.get(scope["path"], ORDINARY)
        if limit is not ORDINARY and "principal" in scope:
            self.access.permit(scope["principal"], scope["method"], scope["path"])
        if head.length > limit.bytes_max:
            raise _too_large(limit)
        taken = 0
        try:
            async with asyncio.timeout(PAUSE_S) as timer:
                message = await receive()
                if not message.get("more_body"):  # nearly every body comes at once
                    body = _chunk(message)
                    taken = self._take(len(body), len(body), limit)
                else:
                    end = (timer.when() or 0.0) - PAUSE_S + limit.seconds_max
                    chunks = [_chunk(message)]
                    taken = self._take(len(chunks[0]), len(chunks[0]), limit)
                    while message.get("more_body"):
                        timer.reschedule(min(end, asyncio.get_running_loop().time() + PAUSE_S))
                        message = await receive()
                        chunks.append(_chunk(message))
                        taken += self._take(len(chunks[-1]), taken + len(chunks[-1]), limit)
                    body = b"".join(chunks)
        except TimeoutError:
            self._held -= taken
            raise Problem(408, "body-too-slow", "The body did not arrive in time.", headers=CLOSE) from None
        except BaseException:
            self._held -= taken
            raise
        head.length = 0  # nothing is left to be read
        return body

    def _take(self, size: int, total: int, limit: BodyLimit) -> int:
        """Count `size` more bytes, or refuse them. Gives `size`."""
        if total > limit.bytes_max:
            raise _too_large(limit)
        if self._held + size > HELD_MAX:
            raise Problem(503, "server-busy", "Too much is being sent at once.", headers=((b"retry-after", b"1"),))
        self._held += size
        return size

    def _handed_on(self, scope: Scope, head: Head, body: bytes, receive: Receive) -> Receive:
        """The app's `receive`: the body, then what the connection says."""
        scope["body"] = body
        if head.json and scope["path"] not in self._own_json and body:
            scope["json"] = loads(body)
        return _Replay(body, receive)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head()
        caller = ""
        gate = StreamGate(send, scope)
        try:
            self._read_head(scope, head)
            principal = self._admit(scope, head)
            if self._streams.get(principal.id, 0) >= STREAMS_PER_KEY:
                raise Problem(429, "too-many-streams", f"A key may have {STREAMS_PER_KEY} streams open.")
            caller = principal.id
            self._streams[caller] = self._streams.get(caller, 0) + 1
            gate.watch(self.access, principal)
            await self.app(scope, receive, gate)
        except Problem as problem:
            await gate.refuse(problem, head.request_id)
        except Exception as error:
            if not gate.ended:
                log.error(DEFECT, request=head.request_id, exc_info=error)
                await gate.refuse(defect(), head.request_id)
        finally:
            self._leave(caller)

    def _leave(self, caller: str) -> None:
        if caller and self._streams[caller] > 1:
            self._streams[caller] -= 1
        else:
            self._streams.pop(caller, None)


class _Gone(Exception):  # noqa: N818
    """The caller left before its body was complete."""


class _Replay:
    """Gives the body once more, then whatever the connection says."""

    __slots__ = ("_body", "_receive")

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> MutableMapping[str, Any]:
        body = self._body
        if body is None:
            return await self._receive()
        self._body = None
        return {"type": "http.request", "body": body, "more_body": False}


def _chunk(message: Mapping[str, Any]) -> bytes:
    if message["type"] == "http.disconnect":
        raise _Gone
    return bytes(message.get("body", b""))


def _too_large(limit: BodyLimit) -> Problem:
    detail = f"At most {limit.bytes_max:,} bytes here."
    return Problem(413, "body-too-large", detail, headers=CLOSE, bytes_max=limit.bytes_max)


async def _refuse(problem: Problem, answer: Answer, head: Head) -> None:
    """A refusal as the answer. With a body still on its way the connection ends: nobody will read it."""
    if answer.started:
        log.error("refused-too-late", request=head.request_id, code=problem.code)
        raise problem
    if head.length and not any(name == b"connection" for name, _ in problem.headers):
        problem.headers = (*problem.headers, *CLOSE)
    await problem.send(answer, head.request_id)


async def _fail(error: Exception, answer: Answer, head: Head) -> None:
    """A defect: logged, answered without its text. An answer that is complete already needs nothing more."""
    if answer.complete:
        return
    log.error(DEFECT, request=head.request_id, exc_info=error)
    if answer.started:
        raise error  # the server ends the connection, so that half an answer is not taken for a whole one
    await _refuse(defect(), answer, head)
