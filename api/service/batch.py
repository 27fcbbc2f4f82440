"""`POST /v1/orders/check-batch`: up to 10,000 orders in one request.

In: `{"mode": …, "orders": […]}`. Out: one decision for each order, in order. Modes: `cumulative` decides order after
order, each approved one counting for those behind it, and leaves them working; `independent` decides each as if it were
the only one and leaves nothing; `basket` decides all orders of an account together, all or none. Guaranteed: a batch is
decided in slices, each recorded before anything is answered; other requests are answered between slices. Refused by
`Problem`: too many orders, an unknown mode, an order that cannot be read (naming its place). Why slices: ten thousand
orders at once would keep every other caller waiting. Before: `orders.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from lexorder.api.service.order_columns import Columns, columns_of
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, of_error
from lexorder.api.service.reserving import leaves_working
from lexorder.api.service.strict_json import loads
from lexorder.api.service.views import plain_view, sees_all, view_bytes
from lexorder.api.service.wire import decision_bytes, encode, plain_approval
from lexorder.engine.approved import Approved
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.errors import LexorderError, SnapshotError
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vector import Answer, VectorBook

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

PATH = "/v1/orders/check-batch"
MODES = ("cumulative", "independent", "basket")
SLICE = {"cumulative": 50, "independent": 2500, "basket": 1}
"""Orders (for `basket`: accounts) decided between two looks at other requests."""


class _Body(msgspec.Struct):
    orders: list[msgspec.Raw]
    mode: str = "cumulative"


class BatchCheck:
    """The endpoint; `answer` is called by `orders.RawRoute`."""

    def __init__(self, service: Service, words: frozenset[str]) -> None:
        self.service = service
        self._words = words
        self._vector: VectorBook | None = None
        self._key: Desk | None = None
        self._book: RuleBook | None = None

    async def answer(self, scope: MutableMapping[str, Any], principal: Principal) -> bytes:
        """The whole answer."""
        raw = scope.get("body", b"")
        found = columns_of(raw)
        data = {"mode": "independent", "orders": found.rows} if found is not None else loads(raw)
        if not isinstance(data, dict) or not isinstance(data.get("orders"), list):
            raise Problem(422, "wrong-shape", "The body must be an object with a list `orders`.")
        mode = data.get("mode", "cumulative")
        if mode not in MODES:
            raise Problem(422, "unknown-mode", f"`mode` is one of {', '.join(MODES)}.")
        if not 1 <= len(data["orders"]) <= self.service.settings.batch_max:
            raise Problem(422, "batch-size", f"A batch has 1 to {self.service.settings.batch_max} orders.")
        parts = msgspec.json.decode(raw, type=_Body).orders
        return await self._decided(_Batch(mode, data["orders"], parts, found), principal)

    async def _decided(self, batch: _Batch, principal: Principal) -> bytes:
        service = self.service
        self._permit(batch.rows, principal)
        orders = [] if batch.mode == "independent" else self._read(batch.rows)
        written = Written(len(batch.rows))
        waiting: list[asyncio.Future[None]] = []
        last = -1
        for places in _slices(batch, orders):
            service.ready()
            started = time.perf_counter()
            now = service.floor.advance()
            if batch.mode == "independent":
                reserved: list[int] = []
                self._independent(batch, places, written)
            else:
                decide = self._cumulative if batch.mode == "cumulative" else self._basket
                reserved = decide([orders[n] for n in places], places, written)
            body = _record(now, principal, batch.part(places, written), reserved)
            record, durable = service.journal.take("batch", batch.mode, "", body)
            durable.add_done_callback(lambda done: done.cancelled() or done.exception())
            waiting.append(durable)
            last = record.seq
            service.metrics.batch(len(places), time.perf_counter() - started)
            await asyncio.sleep(0)
        for durable in waiting:
            await durable
        answers = written.full if sees_all(principal.role) else written.views()
        head = f'{{"mode":"{batch.mode}","count":{len(answers)},"approved":{written.approved},"decisions":['
        tail = f'],"recorded":{{"shard":{service.settings.shard},"seq":{last}}}}}'
        return b"".join((head.encode(), b",".join(answers), tail.encode()))

    def _permit(self, rows: Sequence[Any], principal: Principal) -> None:
        """Every order is an object, for an account of the caller's. Raises Problem."""
        for n, row in enumerate(rows):
            if not isinstance(row, dict):
                raise Problem(422, "wrong-shape", "An order must be a JSON object.", where=f"orders[{n}]")
        if principal.accounts is not None:
            for account in {str(row.get("account")) for row in rows}:
                self.service.access.permit_account(principal, account)

    def _read(self, rows: Sequence[dict[str, Any]]) -> list[Facts]:
        found = []
        for n, row in enumerate(rows):
            try:
                found.append(self.service.floor.reader.read(row))
            except LexorderError as error:
                raise self._at(error, n) from None
        return found

    def _at(self, error: LexorderError, place: int) -> Problem:
        """The problem of one order of a batch."""
        problem = of_error(error, self._words)
        return Problem(problem.status, problem.code, problem.detail, where=f"orders[{place}]")

    def _cumulative(self, orders: list[Facts], places: Sequence[int], written: Written) -> list[int]:
        """Order after order; the places (in the slice) of those that now work."""
        floor, reserved = self.service.floor, []
        for n, (order, place) in enumerate(zip(orders, places, strict=True)):
            decision = floor.decide((order,))
            if decision.approved and leaves_working(order):
                floor.reserve(order)
                reserved.append(n)
            written.put(place, decision)
            self._count(decision.outcome.value, decision.reason)
        return reserved

    def _basket(self, orders: list[Facts], places: Sequence[int], written: Written) -> list[int]:
        """All orders of one account together."""
        floor = self.service.floor
        decision = floor.decide(tuple(orders))
        for place in places:
            written.put(place, decision)
        self._count(decision.outcome.value, decision.reason, len(orders))
        if not decision.approved:
            return []
        leaving = [n for n, order in enumerate(orders) if leaves_working(order)]
        for n in leaving:
            floor.reserve(orders[n])
        return leaving

    def _independent(self, batch: _Batch, places: Sequence[int], written: Written) -> None:
        """Each as if it were the only one; by columns unless a halt or a doubtful feed concerns them."""
        floor = self.service.floor
        rows = batch.rows[places[0] : places[-1] + 1]
        if floor.states.halted or floor.doubts:
            answers: Sequence[Answer] = [floor.decide((order,)) for order in self._read(rows)]
        elif batch.columns is not None:
            answers = self._columns().decide_columns(batch.columns.part(range(places[0], places[-1] + 1)))
        else:
            names = dict.fromkeys(name for row in rows for name in row)
            answers = self._columns().decide_columns({name: [row.get(name) for row in rows] for name in names})
        passed = 0
        for place, answer in zip(places, answers, strict=True):
            if isinstance(answer, Approved):
                passed += 1
                written.full[place] = answer.encoded()
            elif isinstance(answer, SnapshotError):
                raise self._at(answer, place)
            else:
                written.put(place, answer)
                self._count(answer.outcome.value, answer.reason)
        written.approved += passed
        self._count("approve", "", passed)

    def _columns(self) -> VectorBook:
        """The vectorised form of the desk there is now."""
        desk = self.service.floor.standing
        if self._vector is None or self._key is not desk or self._vector.desk.book is not self._book:
            self._vector, self._key, self._book = VectorBook(desk), desk, desk.book
        return self._vector

    def _count(self, outcome: str, reason: str, orders: int = 1) -> None:
        if orders:
            self.service.metrics.decided(outcome, reason, "", orders)


class Written:
    """The decisions of a batch as bytes: in full, and the traders' views of those that are more than an approval."""

    def __init__(self, size: int) -> None:
        self.full: list[bytes] = [b""] * size
        self.seen: dict[int, bytes] = {}
        self.approved = 0

    def put(self, place: int, decision: Decision) -> None:
        """One decision."""
        self.approved += decision.approved
        self.full[place] = decision_bytes(decision)
        if not plain_approval(decision):
            self.seen[place] = view_bytes(decision)

    def views(self) -> list[bytes]:
        """All as a trader may see them."""
        return [self.seen.get(n) or plain_view(full) for n, full in enumerate(self.full)]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was asked: the mode, the orders as data, as the bytes they came in, and as columns where they are plain."""

    mode: str
    rows: Sequence[Any]
    raw: Sequence[msgspec.Raw]
    columns: Columns | None = None

    def part(self, places: Sequence[int], written: Written) -> _Slice:
        """The slice of these places, decided."""
        kept = places[:1] if self.mode == "basket" else places
        seen = {n: view for n, place in enumerate(kept) if (view := written.seen.get(place)) is not None}
        return _Slice(self.mode, [self.raw[n] for n in places], [written.full[n] for n in kept], seen)


def _slices(batch: _Batch, orders: Sequence[Facts]) -> Iterator[Sequence[int]]:
    """The places of orders that are decided in one go."""
    if batch.mode != "basket":
        size, count = SLICE[batch.mode], len(batch.rows)
        yield from (range(start, min(start + size, count)) for start in range(0, count, size))
        return
    by_account: dict[str, list[int]] = {}
    for n, order in enumerate(orders):
        by_account.setdefault(str(order["order.account"]), []).append(n)
    yield from by_account.values()


@dataclass(frozen=True, slots=True)
class _Slice:
    """Places of a batch decided in one go, with the orders as they came and the decisions as they leave."""

    mode: str
    orders: Sequence[msgspec.Raw]
    decisions: Sequence[bytes]
    seen: Mapping[int, bytes]


def _record(now: str, principal: Principal, part: _Slice, reserved: list[int]) -> bytes:
    by = encode(principal.id).decode()
    head = f'{{"now":"{now}","by":{by},"mode":"{part.mode}","reserved":{reserved},"orders":['
    raw = b",".join(bytes(order) for order in part.orders)
    shown = b",".join(b'"%d":%b' % pair for pair in part.seen.items())
    views = (b',"shown":{', shown, b"}") if shown else ()
    return b"".join((head.encode(), raw, b'],"decisions":[', b",".join(part.decisions), b"]", *views, b"}"))
