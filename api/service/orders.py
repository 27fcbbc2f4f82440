"""`POST /v1/orders/check`: one order, one decision, recorded before it is answered. The hot path.

In: a raw ASGI request whose body is the order. Out: the decision as JSON, with the number of its record. Guaranteed:
an approved order counts as working before the next one is decided (unless `?reserve=false`); no answer leaves before
its record is durable; the same idempotency key gives the same answer. Refused by `Problem`. Why raw: the framework's
model route alone costs more than the decision. Before: `floor.py`, `journal.py`. After: `app.py`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from lexorder.api.service.access import authorization_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, defect, of_error, own_words, request_id
from lexorder.api.service.repeats import Repeat, fingerprint, key_of, reused
from lexorder.api.service.strict_json import loads
from lexorder.api.service.wire import decision_bytes, encode
from lexorder.engine.decision import Decision
from lexorder.engine.errors import LexorderError
from lexorder.engine.rule import Facts

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

PATH = "/v1/orders/check"
NAMES_MAX = 200
"""Characters of order id and account together: the ledger keeps both in front of the record."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = structlog.get_logger("lexorder.orders")


class _Kept(msgspec.Struct):
    """What is read of a recorded decision to answer a repetition."""

    decision: msgspec.Raw
    by: str
    key: str | None
    asked: str | None = None


class OrderCheck:
    """The endpoint as a raw ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._words = own_words()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        status = 200
        try:
            body = await self._answer(scope, receive, started)
        except Problem as problem:
            status = problem.status
            await problem.send(send, request_id(scope))
        except LexorderError as error:
            problem = of_error(error, self._words)
            status = problem.status
            await problem.send(send, request_id(scope))
        except Exception as error:  # a defect of ours: the order must not pass
            log.error("internal-defect", request=request_id(scope), exc_info=error)
            status = 500
            await defect().send(send, request_id(scope))
        else:
            length = b"%d" % len(body)
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        self.service.metrics.request(PATH, status, time.perf_counter() - started)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, started: float) -> bytes:
        service = self.service
        headers = scope["headers"]
        principal: Principal = scope.get("principal") or service.access.principal(authorization_of(headers))
        service.access.permit(principal, "POST", PATH)
        raw = await body_of(receive)
        data = loads(raw)
        if not isinstance(data, dict):
            raise Problem(422, "wrong-shape", "The body must be one order, as a JSON object.")
        order = service.floor.reader.read(data)
        service.access.permit_account(principal, str(order["order.account"]))
        if len(str(order["order.id"])) + len(str(order["order.account"])) > NAMES_MAX:
            raise Problem(422, "too-long", f"`id` and `account` have at most {NAMES_MAX} characters together.")
        reserve = b"reserve=false" not in scope.get("query_string", b"")
        key = key_of(headers)
        if not key:
            return await self._decided(order, raw, principal, reserve, started, None)
        return await self._once(order, raw, principal, reserve, started, key)

    async def _decided(
        self, order: Facts, raw: bytes, principal: Principal, reserve: bool, started: float, key: str | None
    ) -> bytes:
        service = self.service
        service.ready()
        service.journal.require("decision")
        now = service.floor.advance()
        decision = service.floor.decide((order,))
        reserved = reserve and decision.approved
        if reserved:
            service.floor.reserve(order)
        written = decision_bytes(decision)
        body = record_of(now, principal, key, reserved, raw, written)
        record, durable = service.journal.take("decision", str(order["order.id"]), decision.account, body)
        await durable
        service.journal.tell(record)
        self._count(decision, time.perf_counter() - started)
        return answer_of(written, service.settings.shard, record.seq)

    def _count(self, decision: Decision, seconds: float) -> None:
        rule = decision.reports[0].rule if decision.reports and not decision.approved else ""
        self.service.metrics.decision(decision.outcome.value, decision.reason, rule, seconds)

    async def _once(
        self, order: Facts, raw: bytes, principal: Principal, reserve: bool, started: float, key: str
    ) -> bytes:
        """The answer of the first request with this key, now or then."""
        repeats, asked = self.service.repeats, fingerprint(raw)
        earlier = repeats.find(principal.id, key, asked)
        if earlier is not None:
            return await earlier
        begun = repeats.begin(principal.id, key, asked)
        try:
            answer = await self._older(order, principal, key, asked)
            if answer is None:
                tagged = f"{key}\n{asked.hex()}"
                answer = await self._decided(order, raw, principal, reserve, started, tagged)
        except BaseException as error:
            repeats.forget(principal.id, key)
            _fail(begun, error)
            raise
        begun.answer.set_result(answer)
        return answer

    async def _older(self, order: Facts, principal: Principal, key: str, asked: bytes) -> bytes | None:
        """The answer as the ledger has it, from before what is kept in memory."""
        for record in await self.service.recorded(ref=str(order["order.id"]), kind="decision"):
            kept = msgspec.json.decode(record.body, type=_Kept)
            known, _, fingerprint_ = (kept.key or "").partition("\n")
            if kept.by == principal.id and known == key:
                if fingerprint_ != asked.hex():
                    raise reused()
                return answer_of(bytes(kept.decision), self.service.settings.shard, record.seq)
        return None


def _fail(begun: Repeat, error: BaseException) -> None:
    if isinstance(error, Exception):
        begun.answer.set_exception(error)
    else:
        begun.answer.cancel()


def record_of(now: str, principal: Principal, key: str | None, reserved: bool, raw: bytes, decision: bytes) -> bytes:
    """The body of a decision's record: the order as it came, the decision as it leaves."""
    head = f'{{"now":"{now}","by":{encode(principal.id).decode()},"key":{encode(key).decode()},"reserved":'
    tail = b"true" if reserved else b"false"
    return b"".join((head.encode(), tail, b',"order":', raw, b',"decision":', decision, b"}"))


def answer_of(decision: bytes, shard: int, seq: int) -> bytes:
    """The decision with the place of its record."""
    return b'%b,"id":"%d-%d","recorded":{"shard":%d,"seq":%d}}' % (decision[:-1], shard, seq, shard, seq)


async def body_of(receive: Receive) -> bytes:
    """The whole body; the guard has bounded it."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)
