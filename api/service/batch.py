"""`POST /v1/orders/check-batch`: up to 10,000 orders in one request.

In: `{"mode": …, "orders": […]}`. Out: one decision for each order, in order. Modes: `cumulative` decides order after
order, each approved one counting for those behind it, and leaves them working; `independent` decides each as if it were
the only one and leaves nothing; `basket` decides all orders of an account together, all or none. Guaranteed: a batch is
decided in slices, each recorded before anything is answered; other requests are answered between slices. Independent
orders are cleared by columns first; those that are not are decided one by one behind them, each with its evidence.
Refused by `Problem`: too many orders, an unknown mode, an order that cannot be read (naming its place). Why slices: ten
thousand orders at once would keep every other caller waiting, and the evidence of a refusal takes as long as clearing
a hundred orders. Before: `batch_slices.py`, `orders.py`. After: `app.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from lexorder.api.service.batch_slices import Batch, Written, by_account, cut, head_of, record_of
from lexorder.api.service.order_columns import columns_of
from lexorder.api.service.parameters import none
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, of_error
from lexorder.api.service.repeats import refuse_key
from lexorder.api.service.reserving import leaves_working
from lexorder.api.service.strict_json import loads
from lexorder.api.service.views import sees_all
from lexorder.engine.decision import Decision
from lexorder.engine.desk import Desk
from lexorder.engine.errors import LexorderError
from lexorder.engine.rule import Facts
from lexorder.engine.rulebook import RuleBook
from lexorder.engine.vector import VectorBook

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

PATH = "/v1/orders/check-batch"
MODES = ("cumulative", "independent", "basket")
SLICE = {"cumulative": 50, "independent": 2500, "basket": 1}
"""Orders (for `basket`: accounts) decided between two looks at other requests."""
SINGLES = 16
"""Independent orders that are decided one by one between two such looks."""


class _Body(msgspec.Struct):
    orders: list[msgspec.Raw]
    mode: str = "cumulative"


@dataclass(slots=True)
class _Run:
    """A batch on its way: for whom, what was written, which records are not durable yet, the number of the last."""

    batch: Batch
    principal: Principal
    written: Written
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    last: int = -1


Decide = Callable[[_Run, Sequence[int]], tuple[Sequence[int], Sequence[int]]]
"""Decides a slice: the places that are decided now, and which of these (by their place in the slice) now work."""


class BatchCheck:
    """The endpoint; `answer` is called by `orders.RawRoute`."""

    def __init__(self, service: Service, words: frozenset[str]) -> None:
        self.service = service
        self._words = words
        self._vector: VectorBook | None = None
        self._key: Desk | None = None
        self._book: RuleBook | None = None
        service.warmers.append(self._columns)  # for 100,000 holdings it takes seconds, in which no order is answered

    async def answer(self, scope: MutableMapping[str, Any], principal: Principal) -> bytes:
        """The whole answer."""
        none(scope)
        refuse_key(scope["headers"])
        batch = self._asked(scope.get("body", b""))
        self._permit(batch, principal)
        run = _Run(batch, principal, Written(batch.size, sees_all(principal.role)))
        if batch.mode == "independent":
            await self._independent(run)
        else:
            await self._together(run)
        for durable in run.waiting:
            await durable
        answers, approved, shard = run.written.answers, run.written.approved, self.service.settings.shard
        head = f'{{"mode":"{batch.mode}","count":{len(answers)},"approved":{approved},"decisions":['
        tail = f'],"recorded":{{"shard":{shard},"seq":{run.last}}}}}'
        return b"".join((head.encode(), b",".join(answers), tail.encode()))

    def refuse(self, scope: MutableMapping[str, Any], principal: Principal) -> None:
        """Nothing when the batch can be divided among workers. Raises Problem for what no part may be decided of."""
        service = self.service
        service.access.permit(principal, "POST", PATH)
        none(scope)
        refuse_key(scope["headers"])
        batch = self._asked(scope.get("body", b""))
        self._permit(batch, principal)
        service.ready()
        self._read(batch, range(batch.size))

    # ---- what was asked --------------------------------------------------------------------------

    def _asked(self, body: bytes) -> Batch:
        """The batch of a body. Raises Problem."""
        found = columns_of(body)
        if found is not None:
            self._sized(found.size)
            return Batch("independent", found.raw, columns=found)
        data = loads(body)
        if not isinstance(data, dict) or not isinstance(data.get("orders"), list):
            raise Problem(422, "wrong-shape", "The body must be an object with a list `orders`.")
        if not data.keys() <= {"mode", "orders"}:
            raise Problem(422, "unknown-key", "A batch has `orders` and `mode` and nothing else.")
        mode, rows = data.get("mode", "cumulative"), data["orders"]
        if mode not in MODES:
            raise Problem(422, "unknown-mode", f"`mode` is one of {', '.join(MODES)}.")
        self._sized(len(rows))
        for n, row in enumerate(rows):
            if not isinstance(row, dict):
                raise Problem(422, "wrong-shape", "An order must be a JSON object.", where=f"orders[{n}]")
        return Batch(mode, msgspec.json.decode(body, type=_Body).orders, rows)

    def _sized(self, orders: int) -> None:
        most = self.service.settings.batch_max
        if not 1 <= orders <= most:
            raise Problem(422, "batch-size", f"A batch has 1 to {most} orders.")

    def _permit(self, batch: Batch, principal: Principal) -> None:
        """Every order is for an account of the caller's. Raises Problem."""
        if principal.accounts is not None:
            for account in batch.accounts():
                self.service.access.permit_account(principal, account)

    def _read(self, batch: Batch, places: Sequence[int]) -> list[Facts]:
        """Some orders as facts. Raises Problem."""
        found = []
        for n, row in zip(places, batch.rows(places), strict=True):
            try:
                found.append(self.service.floor.reader.read(row))
            except LexorderError as error:
                problem = of_error(error, self._words)
                raise Problem(problem.status, problem.code, problem.detail, where=f"orders[{n}]") from None
        return found

    # ---- slices ----------------------------------------------------------------------------------

    async def _step(self, run: _Run, places: Sequence[int], decide: Decide) -> Sequence[int]:
        """Decide and record one slice, then let others go first; the places that were decided."""
        service = self.service
        service.ready()
        started = time.perf_counter()
        now = service.floor.advance()
        decided, reserved = decide(run, places)
        if decided:
            body = record_of(head_of(now, run.principal.id, reserved), run.batch, decided, run.written)
            record, durable = service.journal.take("batch", run.batch.mode, "", body)
            durable.add_done_callback(lambda done: done.cancelled() or done.exception())
            run.waiting.append(durable)
            run.last = record.seq
            service.metrics.batch(len(decided), time.perf_counter() - started)
        await asyncio.sleep(0)
        return decided

    async def _independent(self, run: _Run) -> None:
        """Each as if it were the only one: what columns clear, and then the others."""
        rest: list[int] = []
        for places in cut(range(run.batch.size), SLICE["independent"]):
            cleared = set(await self._step(run, places, self._cleared))
            rest += [place for place in places if place not in cleared]
        for places in cut(rest, SINGLES):
            await self._step(run, places, self._one_by_one)

    async def _together(self, run: _Run) -> None:
        """Orders that count for each other."""
        orders = self._read(run.batch, range(run.batch.size))
        basket = run.batch.mode == "basket"

        def decide(run: _Run, places: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
            mine = [orders[n] for n in places]
            return places, (self._basket if basket else self._cumulative)(mine, places, run.written)

        slices = by_account(orders) if basket else cut(range(len(orders)), SLICE["cumulative"])
        for places in slices:
            await self._step(run, places, decide)

    # ---- deciding --------------------------------------------------------------------------------

    def _cleared(self, run: _Run, places: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """Those that both vectorised forms clear; none while a halt or a doubtful feed may concern them."""
        floor = self.service.floor
        assert isinstance(places, range)
        columns = run.batch.part(places)
        if floor.states.halted or floor.doubts or "id" not in columns:
            return (), ()
        found: list[int] = []
        for cleared in self._columns().cleared(columns):
            found += run.written.put_all(places.start, cleared)
        self._count("approve", "", len(found))
        return sorted(found), ()

    def _one_by_one(self, run: _Run, places: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        """Each by itself, with evidence."""
        for place, order in zip(places, self._read(run.batch, places), strict=True):
            self._put(place, self.service.floor.decide((order,)), run.written)
        return places, ()

    def _cumulative(self, orders: list[Facts], places: Sequence[int], written: Written) -> list[int]:
        """Order after order; the places (in the slice) of those that now work."""
        floor, reserved = self.service.floor, []
        for n, (order, place) in enumerate(zip(orders, places, strict=True)):
            decision = floor.decide((order,))
            if decision.approved and leaves_working(order):
                floor.reserve(order)
                reserved.append(n)
            self._put(place, decision, written)
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

    def _columns(self) -> VectorBook:
        """The vectorised form of the desk there is now."""
        desk = self.service.floor.standing
        if self._vector is None or self._key is not desk or self._vector.desk.book is not self._book:
            self._vector, self._key, self._book = VectorBook(desk), desk, desk.book
        return self._vector

    def _put(self, place: int, decision: Decision, written: Written) -> None:
        """One decision, counted."""
        written.put(place, decision)
        self._count(decision.outcome.value, decision.reason)

    def _count(self, outcome: str, reason: str, orders: int = 1) -> None:
        if orders:
            self.service.metrics.decided(outcome, reason, "", orders)
