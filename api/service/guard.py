"""The border: everything that reaches the app has come through here.

In: ASGI requests from strangers. Out: for the app a `scope` with `request_id`, `principal` (but on open endpoints),
`body` (the whole body, bytes) and, when it said JSON and the route does not check for itself, `json` (strictly read).
Guaranteed: the caller is known before its body is read; a body is counted while it arrives and cut at its limit; it
arrives within its time or the connection ends; calls of one key keep to its rate; a stream ends when its key does; an
exception never shows; while the kill switch is on its way no plain order check is begun. Refused by `Problem`: what
`access.py`, `bodies.py` and `strict_json.py` refuse, 429 `too-many-requests` and `too-many-streams`. Why plain ASGI: a
framework middleware costs more than the decision. Before: `access.py`, `answers.py`, `bodies.py`, `rates.py`,
`strict_json.py`. After: the app.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from lexorder.api.service.access import Access, authorization_of
from lexorder.api.service.answers import Answer, StreamGate
from lexorder.api.service.bodies import CLOSE, LARGE, ORDINARY, Bodies, BodyLimit, Gone, Replay
from lexorder.api.service.express import Express
from lexorder.api.service.logs import failure
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import DEFECT, Problem, defect
from lexorder.api.service.rates import SECOND, Rates
from lexorder.api.service.strict_json import loads

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STREAMS_PER_KEY: Final = 16
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

OWN_JSON: Final = frozenset({"/v1/orders/check", "/v1/orders/check-batch", "/v1/snapshot"})
"""Routes that read `scope["body"]` themselves, by `strict_json.loads` or something as strict."""

URGENT: Final = frozenset({"/v1/kill", "/v1/trading-state"})
"""Paths whose POST, once its body is here and its caller may make it, goes before the plain order checks that wait."""

log = structlog.get_logger("lexorder.guard")


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
    answered request: scope, status, nanoseconds. `express`, when set, answers plain requests before they come here.
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
        self.bodies = Bodies()
        self.in_flight = 0
        self.express: Express | None = None
        self._rates = Rates()
        self._spacing = {role: SECOND // (rate_per_key or rate) for role, rate in access.matrix.rates.items()}
        self._own_json = own_json
        self._large = large
        self.observed = observed
        self._streams: dict[str, int] = {}
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
        started = time.perf_counter_ns() if self.observed else 0
        self.in_flight += 1
        head = Head()
        answer = Answer(send, scope)
        body, release = b"", _nothing
        try:
            self._read_head(scope, head)
            if scope["path"] not in self._open or scope["method"] not in ("GET", "HEAD"):
                scope["principal"] = principal = self.admit(head.authorization)
                answer.watch(self.access, principal)
            if head.length:
                body = await self.bodies.read(receive, head.length, self._limit(scope))
                head.length = 0  # nothing is left to be read
                scope["body"] = body
                if head.json and body and scope["path"] not in self._own_json:
                    scope["json"] = loads(body)
                receive = Replay(body, receive)
            if scope["path"] in URGENT and scope["method"] == "POST" and self.express is not None:
                self.access.permit(scope["principal"], "POST", scope["path"])
                release = self.express.hold()
            await self.app(scope, receive, answer)
        except Problem as problem:
            await _refuse(problem, answer, head)
        except Gone:
            pass
        except Exception as error:
            await _fail(error, answer, head)
        finally:
            release()
            self.in_flight -= 1
            self.bodies.release(body)
        if self.observed is not None:
            self.observed(scope, answer.status, time.perf_counter_ns() - started)

    def _read_head(self, scope: Scope, head: Head) -> None:
        """The few headers that matter here."""
        listed = scope["headers"]
        headers = dict(listed)
        scope["request_id"] = head.request_id = self.request_id(headers.get(b"x-request-id"))
        if b"transfer-encoding" in headers:
            head.length = -1
        elif b"content-length" in headers:
            length = headers[b"content-length"]
            head.length = int(length) if length.isdigit() else -1
        head.json = headers.get(b"content-type", b"").startswith(b"application/json")
        if len(headers) == len(listed):
            head.authorization = headers.get(b"authorization", b"")
        else:
            head.authorization = authorization_of(listed)

    def request_id(self, given: bytes | None) -> str:
        """The caller's own id of a request where it is one, else a new one."""
        if given is not None and REQUEST_ID.fullmatch(given):
            return given.decode("ascii")
        return f"{self._prefix}{next(self._numbers):08x}"

    def admit(self, authorization: bytes) -> Principal:
        """Who calls, within its rate. Raises Problem; then nothing was counted."""
        principal = self.access.principal(authorization)
        wait = self._rates.wait(principal.id, self._spacing[principal.role])
        if wait:
            seconds = b"%d" % (wait // SECOND + 1)
            raise Problem(429, "too-many-requests", "Slow down.", headers=((b"retry-after", seconds),))
        return principal

    def _limit(self, scope: Scope) -> BodyLimit:
        """What the path takes. Raises Problem when it takes much, but not from this caller."""
        limit = self._large.get(scope["path"])
        if limit is None:
            return ORDINARY
        if "principal" in scope:
            self.access.permit(scope["principal"], scope["method"], scope["path"])
        return limit

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head()
        caller = ""
        gate = StreamGate(send, scope)
        try:
            self._read_head(scope, head)
            scope["principal"] = principal = self.admit(head.authorization)
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
                log.error(DEFECT, request=head.request_id, failure=failure(error))
                await gate.refuse(defect(), head.request_id)
        finally:
            self._leave(caller)

    def _leave(self, caller: str) -> None:
        if caller and self._streams[caller] > 1:
            self._streams[caller] -= 1
        else:
            self._streams.pop(caller, None)


def _nothing() -> None:
    """What ends no hold."""


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
    log.error(DEFECT, request=head.request_id, failure=failure(error))
    if answer.started:
        raise error  # the server ends the connection, so that half an answer is not taken for a whole one
    await _refuse(defect(), answer, head)
