"""Several workers, one for each shard: which of them answers what.

In: requests that any worker may receive. Out: the answer of the worker that owns the account, of all of them together,
or of the one that knows the thing. Guaranteed: an account's orders are decided by one worker only, so that cumulative
checks stay right; accounts of one beneficial owner share a worker, so that self-trades are seen; whatever changes the
world, the rules or a trading state is told to every worker before it is answered; a worker that cannot be reached makes
the answer 503 and approves nothing. Refused by `Problem`: 503 `shard-unavailable`, 404 `unknown-shard`. Why forward at
all: a client that knows the shards (`GET /v1/shards`) speaks to the owner directly and pays nothing; one that does not
is still answered right. Before: `peers.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from lexorder.api.service.catching_up import CatchingUp
from lexorder.api.service.parts import joined, woven
from lexorder.api.service.peers import Answer, App, Peers, Receive, Scope, Send
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, request_id
from lexorder.api.service.shards import shard_of
from lexorder.api.service.telling import LEAD, TRY, Telling, refusal

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

Refuse = Callable[[Scope, Principal], None]
"""Raises Problem for a batch of which nothing may be decided."""

OWNED = frozenset({"/v1/orders/check", "/v1/orders/what-if", "/v1/rebalances"})
"""POST: the body names the account."""

SPLIT = "/v1/orders/check-batch"

TOLD = re.compile(
    r"/v1/(snapshot|accounts|positions|prices|fills|working-orders|lists|signals|trading-state|kill"
    r"|(accounts|traders)/[^/]+/person"
    r"|limits(/[^/]+(/(approve|reject))?)?|rulebooks(/[^/]+/(activate|approve|reject))?)"
)
"""Whatever but GET: every worker must know."""

ASKED = re.compile(r"/v1/(limits/[^/]+/check)")
"""POST that changes nothing, and is gathered: each worker measures the accounts it owns."""

GATHERED = frozenset(
    {
        "/v1/decisions",
        "/v1/overrides",
        "/v1/rebalances",
        "/v1/working-orders",
        "/v1/breaches",
        "/v1/snapshot",
        "/v1/feeds",
    }
)
"""GET: the parts of all workers together, unless an account is named."""

SOUGHT = re.compile(r"/v1/(orders/[^/]+/override|overrides/[^/]+(/\w+)?|rebalances/[^/]+(/\w+)?)")
"""One worker knows the thing: the others say 404."""

EVENTS = "/events"
"""The end of the path of an answer that comes bit by bit, and is handed on so."""

NUMBER = re.compile(r"[0-9]{1,3}")
"""Of a worker. Not `isdigit`: `²` is a digit, and no number."""

VERIFY = "/v1/ledger/verify"
"""POST that reads the records of one worker."""

PLACE = re.compile(r"orders\[([0-9]+)\]")

BY_ID = re.compile(r"/v1/decisions/([0-9]{1,3})-[0-9]+(\.[0-9]+)?")


class Sharding:
    """In front of the application of one worker. `app` answers here what is this worker's; `refuse` reads a batch."""

    def __init__(self, app: App, service: Service, peers: Peers, catching: CatchingUp, refuse: Refuse) -> None:
        self.app = app
        self.service = service
        self.peers = peers
        self.refuse = refuse
        self.telling = Telling(app, service, peers, catching)
        self.own = service.settings.shard
        self.count = service.settings.workers

    def owner(self, account: str) -> int:
        """The shard of an account: that of its beneficial owner, where one is known."""
        desk = self.service.floor.desk
        return shard_of({} if desk is None else desk.accounts, account, self.count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive, send)
        except Problem as problem:
            await problem.send(send, request_id(scope))
            return
        if answer is not None:
            await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """The answer of others, or None when it was answered here."""
        path, method = scope["path"], scope["method"]
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if path == "/v1/shards" and method == "GET":
            await self.app(scope, receive, send)
            return None
        target = self._target(path, method, query, scope)
        if target is not None:
            return await self._at(target, scope, receive, send)
        if method == "POST" and path == SPLIT:
            return await self._split(scope)
        if method not in ("GET", "HEAD") and TOLD.fullmatch(path) and not ASKED.fullmatch(path):
            return await self.telling.tell(scope, receive)
        if method == "GET" and path in GATHERED:
            return await self._gathered(scope, receive)
        if method == "POST" and ASKED.fullmatch(path):
            return await self._gathered(scope, receive)
        if SOUGHT.fullmatch(path):
            followed = method == "GET" and path.endswith(EVENTS)
            return await (self._followed(scope, receive, send) if followed else self._sought(scope, receive))
        await self.app(scope, receive, send)
        return None

    def _target(self, path: str, method: str, query: Mapping[str, list[str]], scope: Scope) -> int | None:
        """The one shard that must answer. Raises Problem 404 for one that is not there."""
        if "shard" in query and (method == "GET" or path == VERIFY or ASKED.fullmatch(path)):
            named = query["shard"][0]
            if not NUMBER.fullmatch(named) or int(named) >= self.count:
                raise Problem(404, "unknown-shard", f"Shards are 0 to {self.count - 1}.")
            return int(named)
        found = BY_ID.fullmatch(path)
        if found is not None:
            return min(int(found[1]), self.count - 1)
        if method == "POST" and path in OWNED:
            return self._owner_of(_json(scope))
        if method == "GET" and path in GATHERED and "account" in query:
            return self.owner(query["account"][0])
        return None

    def _owner_of(self, body: Any) -> int:
        """The owner of the account a body names; this shard for a body that names none, which will be refused."""
        account = body.get("account") if isinstance(body, dict) else None
        return self.owner(account) if isinstance(account, str) else self.own

    async def _at(self, shard: int, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        if shard != self.own:
            if scope["path"].endswith(EVENTS):
                await self.peers.stream(shard, scope, send)
                return None
            return await self.peers.ask(shard, scope)
        await self.app(scope, receive, send)
        return None

    async def _here(self, scope: Scope, receive: Receive, body: bytes | None = None) -> Answer:
        """The answer of this worker, held back."""
        own = dict(scope) if body is None else {**scope, "body": body, "json": msgspec.json.decode(body)}
        return await Answer.of(self.app, own, receive if body is None else _replayed(body))

    async def _gathered(self, scope: Scope, receive: Receive) -> Answer:
        """The parts of all workers in one answer."""
        answers = [await self._here(scope, receive)]
        answers += await asyncio.gather(*(self.peers.ask(k, scope) for k in self._others()))
        bad = next((answer for answer in answers if answer.status >= 400), None)
        if bad is not None:
            return bad
        parts, shards = [msgspec.json.decode(answer.body) for answer in answers], [self.own, *self._others()]
        return joined(scope["path"], parts, shards)

    async def _sought(self, scope: Scope, receive: Receive) -> Answer:
        """The first worker that knows it."""
        answer = await self._here(scope, receive)
        for shard in self._others():
            if answer.status != 404:
                break
            answer = await self.peers.ask(shard, scope)
        return answer

    async def _followed(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """The events of the worker that knows the thing, as they come: who knows it is asked first."""
        thing = {**scope, "path": scope["path"].removesuffix(EVENTS), "query_string": b""}
        answer = await self._here(thing, receive)
        for shard in (self.own, *self._others()):
            if shard != self.own:
                answer = await self.peers.ask(shard, thing)
            if answer.status == 200:
                return await self._at(shard, scope, receive, send)
            if answer.status != 404:
                break
        return answer

    async def _split(self, scope: Scope) -> Answer:
        """A batch, each order at its owner, the answers in the order of the orders."""
        body = _json(scope)
        rows = body.get("orders") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            return await self._here(scope, _replayed(scope.get("body", b"")))
        self.refuse(scope, scope["principal"])  # all of it, before a part of it is decided
        places: dict[int, list[int]] = {}
        for n, row in enumerate(rows):
            places.setdefault(self._owner_of(row), []).append(n)
        await asyncio.gather(*(self.peers.there(k) for k in places if k != self.own))
        parts = {k: msgspec.json.encode({**body, "orders": [rows[n] for n in own]}) for k, own in places.items()}
        answers = await asyncio.gather(*(self._part(k, part, scope) for k, part in parts.items()))
        for answer, own in zip(answers, places.values(), strict=True):
            if answer.status >= 400:
                return _placed(answer, own)
        return woven(len(rows), list(places.values()), [msgspec.json.decode(a.body) for a in answers])

    async def _part(self, shard: int, body: bytes, scope: Scope) -> Answer:
        if shard == self.own:
            return await self._here(scope, _replayed(body), body)
        return await self.peers.ask(shard, scope, body)

    def _others(self) -> list[int]:
        return [k for k in range(self.count) if k != self.own]

    async def owned(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application for the other workers: what is not this worker's is refused, not decided."""
        if "to" in scope:
            await self._asked(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "POST":
            body = _json(scope)
            rows = body.get("orders", []) if scope["path"] == SPLIT and isinstance(body, dict) else [body]
            if scope["path"] in (*OWNED, SPLIT) and any(self._owner_of(row) != self.own for row in rows):
                await Problem(421, "misdirected", "Another worker owns this account.").send(send, request_id(scope))
                return
        await self.app(scope, receive, send)

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What only workers ask: to tell something to everybody, or whether it would be taken here."""
        try:
            if scope["to"] == TRY:
                answer = Answer.json(self.telling.rehearse(scope))
            elif scope["to"] == LEAD:
                answer = await self.telling.lead(scope, receive)
            else:
                answer = await self.telling.hear(scope, receive)
        except Problem as problem:
            answer = refusal(problem, scope)
        await answer.send(send)


def _json(scope: Scope) -> Any:
    """The body as data, None when it is no JSON; the application says so then."""
    if "json" in scope:
        return scope["json"]
    try:
        return msgspec.json.decode(scope.get("body", b""))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _placed(refused: Answer, places: Sequence[int]) -> Answer:
    """The refusal of a part of a batch, naming the order by its place in the whole."""
    told = msgspec.json.decode(refused.body)
    found = PLACE.match(told.get("where", ""))
    if found is None:
        return refused
    told["where"] = f"orders[{places[int(found[1])]}]{told['where'][found.end() :]}"
    return Answer(refused.status, refused.headers, msgspec.json.encode(told))


def _replayed(body: bytes) -> Receive:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
