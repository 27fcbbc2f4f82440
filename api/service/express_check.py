"""The order check of a plain request: the same steps as through the guard and `RawRoute`, in one call.

In: an `Exchange`. Out: its answer, when the record is durable. Guaranteed: the same answer as the ordinary way, header
for header, and the same counts, logs and records, because it is made of the same parts (`guard.py`, `orders.py`);
`tests/service/test_express.py` asks both ways and compares. What the caller is refused for before anything was done is
left to the ordinary way, and so is whatever is not ordinary: an idempotency key, a header that came twice, a body that
came in chunks; at most `TURN` orders are decided in one turn of the loop, so that whatever else waits waits for these
alone, and none while the guard holds them for the kill switch, `HOLD_S` at the longest. Refused: as there.
Before: `guard.py`, `orders.py`, `express.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from lexorder.api.service.answers import HOUSE
from lexorder.api.service.express import Exchange
from lexorder.api.service.guard import Guard
from lexorder.api.service.orders import PATH, Asked, Made, OrderCheck, refusal
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import MEDIA_TYPE, Problem
from lexorder.engine.ledger.record import Record

if TYPE_CHECKING:
    from lexorder.api.service.journal import Journal

TURN = 1
"""Orders decided in one turn of the event loop, in the order they came; the others wait for the next one. A call that
needs several turns, such as the kill switch, waits for as many of them each time."""

HOLD_S = 0.25
"""The longest that orders wait for one hold: a disk that hangs must not hang the orders without a word."""

UNUSUAL = frozenset({b"idempotency-key", b"transfer-encoding"})
"""Headers that the ordinary way knows about."""

RESERVING = {PATH.encode(): True, PATH.encode() + b"?reserve=false": False, PATH.encode() + b"?reserve=true": True}

SEEN = {"path": PATH}
"""What the guard's observer asks of a scope."""

CLOSING = b"connection"
HEAD = (
    b"content-type: %b\r\ncontent-length: %d\r\n%b"
    + b"".join(b"%b: %b\r\n" % header for header in HOUSE)
    + b"x-request-id: %b\r\n"
)
"""The header lines of an answer as the ordinary way writes them."""


class ExpressCheck:
    """Checks orders for one guard. `check` is the one that `RawRoute` calls."""

    targets = frozenset(RESERVING)

    def __init__(self, guard: Guard, check: OrderCheck, words: frozenset[str]) -> None:
        self.guard = guard
        self.check = check
        self.words = words
        self._left = TURN
        self._holds = 0
        self._waiting: deque[tuple[_Running, Principal]] = deque()
        check.service.journal.more = lambda: bool(self._waiting) and not self._holds

    def take(self, exchange: Exchange) -> bool:
        """Decide; False when it is not plain enough or not admitted, which the ordinary way will say."""
        guard = self.guard
        headers = dict(exchange.headers)
        size = len(exchange.body)
        unusual = len(headers) != len(exchange.headers) or not UNUSUAL.isdisjoint(headers)
        if unusual or not size or not guard.bodies.admits(size):
            return False
        started = time.perf_counter_ns()
        try:
            principal = guard.admit(headers.get(b"authorization", b""))
        except Exception:  # the ordinary way comes to the same, and answers it
            return False
        running = _Running(self, exchange, guard.request_id(headers.get(b"x-request-id")), started)
        guard.in_flight += 1
        guard.bodies.held += size
        if self._left == TURN and not self._holds:
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left and not self._holds:
            self._left -= 1
            self._begin(running, principal)
        else:
            self._waiting.append((running, principal))
        return True

    def hold(self) -> Callable[[], None]:
        """Decide nothing until what this returns is called, or `HOLD_S` are over. Several holds end with the last."""
        ended = False

        def release() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            timer.cancel()
            self._holds -= 1
            if not self._holds and self._waiting and self._left == TURN:
                self._turn()

        self._holds += 1
        timer = asyncio.get_running_loop().call_later(HOLD_S, release)
        return release

    def _turn(self) -> None:
        """The loop has been round: others go on."""
        if self._holds:
            self._left = TURN
            return
        began = min(len(self._waiting), TURN)
        self._left = TURN - began
        if began:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(began):
            self._begin(*self._waiting.popleft())

    def _begin(self, running: _Running, principal: Principal) -> None:
        try:
            running.begin(principal)
        except Exception as error:  # whatever it is, the order must not pass
            running.refuse(refusal(error, self.words, running.request))

    def done(self, status: int, size: int, started: int) -> None:
        """Count one answer."""
        guard = self.guard
        guard.in_flight -= 1
        guard.bodies.held -= size
        if guard.observed is not None:
            guard.observed(SEEN, status, time.perf_counter_ns() - started)


class _Running:
    """One order on its way from its decision to its answer; the journal calls it when the record is durable."""

    __slots__ = ("_asked", "_exchange", "_express", "_made", "_sent", "_started", "request")

    def __init__(self, express: ExpressCheck, exchange: Exchange, request: str, started: int) -> None:
        self._express = express
        self._exchange = exchange
        self._started = started
        self._asked: Asked | None = None
        self._made: Made | None = None
        self._sent = False
        self.request = request

    def begin(self, principal: Principal) -> None:
        """Decide and give the record to the ledger. Raises Problem, LexorderError."""
        check, exchange = self._express.check, self._exchange
        started = time.perf_counter()
        check.service.access.permit(principal, "POST", PATH)
        order = check.order(exchange.body, principal)
        reserve = RESERVING[exchange.target]
        asked = Asked(order, exchange.body, principal, reserve, started, "", check.parent(exchange.headers))
        made = check.decide(asked)
        self._asked, self._made = asked, made
        journal: Journal = check.service.journal
        journal.hand("decision", made.ref, made.decision.account, made.body, self)

    def __call__(self, record: Record, problem: Problem | None) -> None:
        """The record is durable, or lost."""
        try:
            if problem is not None:
                self.refuse(problem)
                return
            assert self._asked is not None
            assert self._made is not None
            body = self._express.check.told(self._asked, self._made, record.seq)
            self._send(200, b"application/json", body)
        except Exception as error:  # others wait for their answers behind this one
            self.refuse(refusal(error, self._express.words, self.request))

    def refuse(self, problem: Problem) -> None:
        """Answer a refusal."""
        self._exchange.keep_alive &= all(name != CLOSING for name, _ in problem.headers)
        extra = b"".join(b"%b: %b\r\n" % header for header in problem.headers if header[0] != CLOSING)
        self._send(problem.status, MEDIA_TYPE.encode(), problem.to_bytes(self.request), extra)

    def _send(self, status: int, media: bytes, body: bytes, extra: bytes = b"") -> None:
        if self._sent:  # it failed while it was sent: the connection is all that can be ended
            self._exchange.abandon()
            return
        self._sent = True
        head = HEAD % (media, len(body), extra, self.request.encode("ascii"))
        self._express.done(status, len(self._exchange.body), self._started)
        self._exchange.answer(status, head, body)
