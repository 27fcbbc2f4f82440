"""`POST /v1/orders/check`: one order, one decision, recorded before it is answered. The hot path.

In: a raw ASGI request whose body is the order. Out: the decision as JSON, with the number of its record. Guaranteed: an
approved order counts as working before the next one is decided (unless `?reserve=false`); no answer leaves before its
record is durable; the same idempotency key gives the same answer, marked as given before. Refused by `Problem`. Why
raw: the framework's model route alone costs more than the decision. Before: `floor.py`, `journal.py`. After: `app.py`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from lexorder.api.service.access import authorization_of
from lexorder.api.service.parameters import reserves
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, defect, of_error, request_id
from lexorder.api.service.repeats import Repeat, fingerprint, key_of, reused
from lexorder.api.service.reserving import leaves_working
from lexorder.api.service.strict_json import loads
from lexorder.api.service.views import recorded_view, sees_all, view_bytes
from lexorder.api.service.wire import decision_bytes, encode, plain_approval, sorted_json
from lexorder.engine.decision import Decision, Outcome
from lexorder.engine.errors import LexorderError
from lexorder.engine.rule import Audience, Facts

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

PATH = "/v1/orders/check"
WITHHELD = "withheld"
BLANK = b" \t\r\n"
"""What JSON allows around an order; a record keeps the order without."""
REPLAYED = "idempotent-replayed"
"""The header of an answer given before for the same key: it says what was decided then, not what holds now."""
NAMES_MAX = 200
"""Characters of order id and account together: the ledger keeps both in front of the record."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answering = Callable[[MutableMapping[str, Any], Principal], Awaitable[bytes]]
log = structlog.get_logger("lexorder.orders")


class _Kept(msgspec.Struct):
    """What is read of a recorded decision to answer a repetition."""

    order: msgspec.Raw
    decision: msgspec.Raw
    by: str
    key: str
    reserved: bool
    shown: dict[str, Any] | None = None


class Asked(msgspec.Struct, frozen=True):
    """One request: the order, its bytes, who sent it, whether an approval reserves, when it came, its key or none.

    `parent` is the caller's trace (a W3C `traceparent`), or empty.
    """

    order: Facts
    raw: bytes
    principal: Principal
    reserve: bool
    started: float
    key: str
    parent: str


class Made(msgspec.Struct, frozen=True):
    """A decision that is not durable yet.

    `ref` is the order's id, `body` the record's, `seen` what the caller will see of the decision, `seconds` how long
    deciding took.
    """

    decision: Decision
    ref: str
    body: bytes
    seen: bytes
    seconds: float


class RawRoute:
    """A route outside the framework: authenticates, answers bytes, turns what is refused into problem documents."""

    def __init__(self, service: Service, path: str, answer: Answering, words: frozenset[str]) -> None:
        self.service = service
        self.path = path
        self._answer = answer
        self._words = words

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Receive, send: Send) -> None:
        """Answer one request; the guard has read its body."""
        try:
            access = self.service.access
            principal: Principal = scope.get("principal") or access.principal(authorization_of(scope["headers"]))
            access.permit(principal, "POST", self.path)
            body = await self._answer(scope, principal)
        except Exception as error:  # whatever it is, the order must not pass
            await refusal(error, self._words, request_id(scope)).send(send, request_id(scope))
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            if REPLAYED in scope:
                headers.append((REPLAYED.encode("ascii"), b"true"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def refusal(error: Exception, words: frozenset[str], request: str) -> Problem:
    """What is answered instead of a decision; a defect of ours is logged. `words` are those that may be repeated."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, LexorderError):
        return of_error(error, words)
    log.error("internal-defect", request=request, exc_info=error)
    return defect()


class OrderCheck:
    """One order; `answer` is called by `RawRoute`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def answer(self, scope: MutableMapping[str, Any], principal: Principal) -> bytes:
        """The decision, recorded."""
        started = time.perf_counter()
        raw: bytes = scope.get("body", b"")
        order = self.order(raw, principal)
        reserve = reserves(scope)
        asked = Asked(order, raw, principal, reserve, started, key_of(scope["headers"]), self.parent(scope["headers"]))
        if not asked.key:
            return await self._decided(asked)
        answer, replayed = await self._once(asked)
        if replayed:
            scope[REPLAYED] = True
        return answer

    def order(self, raw: bytes, principal: Principal) -> Facts:
        """The order in a body, of an account the caller's key covers. Raises Problem, LexorderError."""
        data = loads(raw)
        if not isinstance(data, dict):
            raise Problem(422, "wrong-shape", "The body must be one order, as a JSON object.")
        order = self.service.floor.reader.read(data)
        identifier, account = str(order["order.id"]), str(order["order.account"])
        self.service.access.permit_account(principal, account)
        if len(identifier) + len(account) > NAMES_MAX:
            raise Problem(422, "too-long", f"`id` and `account` have at most {NAMES_MAX} characters together.")
        return order

    def parent(self, headers: list[tuple[bytes, bytes]]) -> str:
        """The caller's `traceparent` where traces are kept, cut to the length of one."""
        if not self.service.traces.on:
            return ""
        found = next((value for name, value in headers if name == b"traceparent"), b"")
        return found[:64].decode("latin-1")

    async def _decided(self, asked: Asked) -> bytes:
        made = self.decide(asked)
        record, durable = self.service.journal.take("decision", made.ref, made.decision.account, made.body)
        await durable
        return self.told(asked, made, record.seq)

    def decide(self, asked: Asked) -> Made:
        """The decision, whose approval counts from now on, and its record, still to be taken. Raises Problem."""
        service, order = self.service, asked.order
        service.ready()
        now = service.floor.advance()
        before = time.perf_counter()
        decision = service.floor.decide((order,))
        taken = time.perf_counter() - before
        reserved = asked.reserve and decision.approved and leaves_working(order)
        if reserved:
            service.floor.reserve(order)
        written = decision_bytes(decision)
        seen = b"" if plain_approval(decision) else view_bytes(decision)
        body = record_of(now, asked, reserved=reserved, decision=written, seen=seen)
        if not sees_all(asked.principal.role):
            written = seen or view_bytes(decision)
        return Made(decision, str(order["order.id"]), body, written, taken)

    def told(self, asked: Asked, made: Made, seq: int) -> bytes:
        """The answer, once the record is durable under this number; what is counted is counted now."""
        service, decision = self.service, made.decision
        service.metrics.decision(decision.outcome.value, decision.reason, open_rule(decision), made.seconds)
        if service.traces.on:
            self._trace(decision, f"{service.settings.shard}-{seq}", asked)
        return answer_of(made.seen, service.settings.shard, seq)

    def _trace(self, decision: Decision, identifier: str, asked: Asked) -> None:
        ended = time.time_ns()
        started = ended - round((time.perf_counter() - asked.started) * 1e9)
        self.service.traces.check(
            identifier,
            outcome=decision.outcome.value,
            reason=decision.reason,
            rule=leading_rule(decision),
            times=(started, ended),
            parent=asked.parent,
        )

    async def _once(self, asked: Asked) -> tuple[bytes, bool]:
        """The answer of the first request with this key, and whether it was given before."""
        repeats, who = self.service.repeats, asked.principal.id
        print_ = fingerprint(asked.raw, reserve=asked.reserve)
        earlier = repeats.find(who, asked.key, print_)
        if earlier is not None:
            return await earlier, True
        begun = repeats.begin(who, asked.key, print_)
        try:
            older = await self._older(asked)
            answer = await self._decided(asked) if older is None else older
        except BaseException as error:
            repeats.forget(who, asked.key)
            _fail(begun, error)
            raise
        begun.answer.set_result(answer)
        return answer, older is not None

    async def _older(self, asked: Asked) -> bytes | None:
        """The answer as the ledger has it, from before what is kept in memory."""
        for record in await self.service.recorded(ref=str(asked.order["order.id"]), kind="decision"):
            kept = msgspec.json.decode(record.body, type=_Kept)
            if kept.by == asked.principal.id and kept.key == asked.key:
                decision = msgspec.json.decode(kept.decision)
                works = decision["outcome"] == Outcome.APPROVE and leaves_working(asked.order)
                if bytes(kept.order) != asked.raw.strip(BLANK) or (works and kept.reserved != asked.reserve):
                    raise reused()
                full = sees_all(asked.principal.role)
                shown = decision if full else recorded_view(decision, kept.shown)
                return answer_of(sorted_json(shown), self.service.settings.shard, record.seq)
        return None


def leading_rule(decision: Decision) -> str:
    """The rule that leads a decision, empty for an approval."""
    return decision.reports[0].rule if decision.reports and not decision.approved else ""


def open_rule(decision: Decision) -> str:
    """The same for figures that everyone may read: `withheld` stands for rules that only compliance knows of."""
    rule = leading_rule(decision)
    return WITHHELD if rule and decision.reports[0].audience is not Audience.EVERYONE else rule


def _fail(begun: Repeat, error: BaseException) -> None:
    if isinstance(error, Exception):
        begun.answer.set_exception(error)
    else:
        begun.answer.cancel()


def record_of(now: str, asked: Asked, *, reserved: bool, decision: bytes, seen: bytes) -> bytes:
    """The body of a decision's record: the order as it came, the decision in full, and the view of it for traders."""
    by, key = encode(asked.principal.id), encode(asked.key)
    word = b"true" if reserved else b"false"
    head = b'{"now":"%b","by":%b,"key":%b,"reserved":%b,"order":' % (now.encode("ascii"), by, key, word)
    end = b',"shown":%b}' % seen if seen else b"}"
    return b"".join((head, asked.raw, b',"decision":', decision, end))


def answer_of(decision: bytes, shard: int, seq: int) -> bytes:
    """The decision with the place of its record."""
    return b'%b,"id":"%d-%d","recorded":{"shard":%d,"seq":%d}}' % (decision[:-1], shard, seq, shard, seq)
