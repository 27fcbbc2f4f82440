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
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem, of_error
from lexorder.api.service.strict_json import loads
from lexorder.api.service.wire import decision_bytes, encode
from lexorder.engine.errors import LexorderError
from lexorder.engine.rule import Facts

if TYPE_CHECKING:
    from lexorder.api.service.service import Service

PATH = "/v1/orders/check-batch"
MODES = ("cumulative", "independent", "basket")
SLICE = {"cumulative": 50, "independent": 1000, "basket": 1}
"""Orders (for `basket`: accounts) decided between two looks at other requests."""


class _Body(msgspec.Struct):
    orders: list[msgspec.Raw]
    mode: str = "cumulative"


class BatchCheck:
    """The endpoint; `answer` is called by `orders.RawRoute`."""

    def __init__(self, service: Service, words: frozenset[str]) -> None:
        self.service = service
        self._words = words

    async def answer(self, scope: MutableMapping[str, Any], principal: Principal) -> bytes:
        """The whole answer."""
        raw = scope.get("body", b"")
        data = loads(raw)
        if not isinstance(data, dict) or not isinstance(data.get("orders"), list):
            raise Problem(422, "wrong-shape", "The body must be an object with a list `orders`.")
        mode = data.get("mode", "cumulative")
        if mode not in MODES:
            raise Problem(422, "unknown-mode", f"`mode` is one of {', '.join(MODES)}.")
        if not 1 <= len(data["orders"]) <= self.service.settings.batch_max:
            raise Problem(422, "batch-size", f"A batch has 1 to {self.service.settings.batch_max} orders.")
        orders = self._read(data["orders"], principal)
        parts = msgspec.json.decode(raw, type=_Body).orders
        return await self._decided(mode, orders, parts, principal)

    def _read(self, rows: Sequence[Any], principal: Principal) -> list[Facts]:
        found = []
        reader, access = self.service.floor.reader, self.service.access
        for n, row in enumerate(rows):
            if not isinstance(row, dict):
                raise Problem(422, "wrong-shape", "An order must be a JSON object.", where=f"orders[{n}]")
            try:
                order = reader.read(row)
            except LexorderError as error:
                problem = of_error(error, self._words)
                raise Problem(problem.status, problem.code, problem.detail, where=f"orders[{n}]") from None
            access.permit_account(principal, str(order["order.account"]))
            found.append(order)
        return found

    async def _decided(self, mode: str, orders: list[Facts], parts: list[msgspec.Raw], principal: Principal) -> bytes:
        service = self.service
        decide = {"cumulative": self._cumulative, "independent": self._independent, "basket": self._basket}[mode]
        written: list[bytes] = [b""] * len(orders)
        waiting: list[asyncio.Future[None]] = []
        last = -1
        for places in _slices(mode, orders):
            service.ready()
            started = time.perf_counter()
            now = service.floor.advance()
            reserved = decide([orders[n] for n in places], places, written)
            kept = places[:1] if mode == "basket" else places
            part = _Slice(mode, [parts[n] for n in places], [written[n] for n in kept])
            record, durable = service.journal.take("batch", mode, "", _record(now, principal, part, reserved))
            durable.add_done_callback(lambda done: done.cancelled() or done.exception())
            waiting.append(durable)
            last = record.seq
            service.metrics.batch(len(places), time.perf_counter() - started)
            await asyncio.sleep(0)
        for durable in waiting:
            await durable
        approved = sum(1 for each in written if each.startswith(b'{"outcome":"approve"'))
        head = f'{{"mode":"{mode}","count":{len(orders)},"approved":{approved},"decisions":['
        tail = f'],"recorded":{{"shard":{service.settings.shard},"seq":{last}}}}}'
        return b"".join((head.encode(), b",".join(written), tail.encode()))

    def _cumulative(self, orders: list[Facts], places: Sequence[int], written: list[bytes]) -> list[int]:
        """Order after order; the places (in the slice) of those that now work."""
        floor, reserved = self.service.floor, []
        for n, (order, place) in enumerate(zip(orders, places, strict=True)):
            decision = floor.decide((order,))
            if decision.approved:
                floor.reserve(order)
                reserved.append(n)
            written[place] = decision_bytes(decision)
            self._count(decision.outcome.value, decision.reason)
        return reserved

    def _basket(self, orders: list[Facts], places: Sequence[int], written: list[bytes]) -> list[int]:
        """All orders of one account together."""
        floor = self.service.floor
        decision = floor.decide(tuple(orders))
        bytes_ = decision_bytes(decision)
        for place in places:
            written[place] = bytes_
        self._count(decision.outcome.value, decision.reason, len(orders))
        if not decision.approved:
            return []
        for order in orders:
            floor.reserve(order)
        return list(range(len(orders)))

    def _independent(self, orders: list[Facts], places: Sequence[int], written: list[bytes]) -> list[int]:
        """Each as if it were the only one; by columns where no trading state and no doubt concerns them."""
        floor = self.service.floor
        for place, order in zip(places, orders, strict=True):
            decision = floor.decide((order,))
            written[place] = decision_bytes(decision)
            self._count(decision.outcome.value, decision.reason)
        return []

    def _count(self, outcome: str, reason: str, orders: int = 1) -> None:
        self.service.metrics.decided(outcome, reason, "", orders)


def _slices(mode: str, orders: Sequence[Facts]) -> Iterator[Sequence[int]]:
    """The places of orders that are decided in one go."""
    if mode != "basket":
        size = SLICE[mode]
        yield from (range(start, min(start + size, len(orders))) for start in range(0, len(orders), size))
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


def _record(now: str, principal: Principal, part: _Slice, reserved: list[int]) -> bytes:
    by = encode(principal.id).decode()
    head = f'{{"now":"{now}","by":{by},"mode":"{part.mode}","reserved":{reserved},"orders":['
    raw = b",".join(bytes(order) for order in part.orders)
    return b"".join((head.encode(), raw, b'],"decisions":[', b",".join(part.decisions), b"]}"))
