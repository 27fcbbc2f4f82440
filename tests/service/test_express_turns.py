"""A few orders are decided in a turn of the event loop; everything else that waits has its turn between them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lexorder.api.service import express_check
from lexorder.api.service.express import Exchange
from lexorder.api.service.express_check import TURN, ExpressCheck


class Noted(ExpressCheck):
    """Decides nothing: notes which order would be decided, and by whom it was asked for."""

    def __init__(self) -> None:
        bodies = SimpleNamespace(admits=lambda size: size < 100, held=0)
        self.admitted = 0
        guard = SimpleNamespace(bodies=bodies, admit=self._admit, request_id=lambda _: "r", in_flight=0, observed=None)
        self.journal = SimpleNamespace(more=None)
        check = SimpleNamespace(service=SimpleNamespace(journal=self.journal))
        super().__init__(cast(Any, guard), cast(Any, check), frozenset())
        self.noted: list[object] = []

    def _admit(self, authorization: bytes) -> str:
        if authorization == b"nobody":
            raise PermissionError
        self.admitted += 1
        return authorization.decode()

    def _begin(self, running: Any, principal: Any) -> None:
        self.noted.append((int(running._exchange.body), principal))


def exchange(number: int, by: bytes = b"tess") -> Exchange:
    found = SimpleNamespace(headers=[(b"authorization", by)], body=str(number).encode(), target=b"", keep_alive=True)
    return cast(Exchange, found)


async def turns(express: Noted, count: int) -> None:
    """Note each time the loop has been round."""
    for number in range(count):
        express.noted.append(f"turn {number}")
        await asyncio.sleep(0)


def told(express: Noted) -> list[int]:
    return [one[0] for one in express.noted if isinstance(one, tuple)]


@pytest.mark.parametrize("count", [0, 1, TURN - 1, TURN, TURN + 1, 2 * TURN, 2 * TURN + 1, 32])
def test_at_most_so_many_in_a_turn_and_in_the_order_they_came(count):
    async def run() -> Noted:
        express = Noted()
        assert all(express.take(exchange(number)) for number in range(count))
        await turns(express, count + 2)
        return express

    express = asyncio.run(run())
    assert told(express) == list(range(count))
    length = 0
    for one in express.noted:
        length = 0 if isinstance(one, str) else length + 1
        assert length <= TURN


def test_who_comes_later_does_not_overtake():
    async def run() -> Noted:
        express, number = Noted(), 0
        for several in (5, 1, 0, 7, 2, 2, 0, 0, 1):
            for _ in range(several):
                assert express.take(exchange(number))
                number += 1
            await asyncio.sleep(0)
        await turns(express, 20)
        return express

    assert told(asyncio.run(run())) == list(range(18))


def test_a_quiet_service_decides_at_once():
    async def run() -> None:
        express = Noted()
        for number in range(5):
            assert express.take(exchange(number))
            assert told(express)[-1] == number  # before anything else has its turn
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_who_is_not_admitted_takes_nobodys_turn():
    async def run() -> Noted:
        express = Noted()
        for number in range(3 * TURN):
            assert express.take(exchange(number, b"nobody")) is False
        assert express.take(exchange(99))
        return express

    express = asyncio.run(run())
    assert told(express) == [99]
    assert cast(Any, express.guard).in_flight == 1


def test_the_journal_hears_whether_more_are_about_to_come():
    async def run() -> list[bool]:
        express = Noted()
        said = [express.journal.more()]
        for number in range(TURN + 1):
            assert express.take(exchange(number))
        said.append(express.journal.more())
        await turns(express, 3)
        return [*said, express.journal.more()]

    assert asyncio.run(run()) == [False, True, False]


def test_nothing_is_decided_while_somebody_holds_the_orders():
    async def run() -> Noted:
        express = Noted()
        assert express.take(exchange(0))
        release, other = express.hold(), express.hold()
        assert all(express.take(exchange(number)) for number in range(1, 2 * TURN))
        await turns(express, 3)
        assert told(express) == [0]
        assert not express.journal.more()  # or the writer would wait for orders that do not come
        release()
        release()  # a second time is none
        await turns(express, 3)
        assert told(express) == [0]
        other()
        await turns(express, 3)
        return express

    assert told(asyncio.run(run())) == list(range(2 * TURN))


@pytest.mark.parametrize("waits", [0, 1, TURN, 3 * TURN])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_after_a_hold_all_is_as_before(waits, rounds):
    async def run() -> Noted:
        express = Noted()
        release = express.hold()
        assert all(express.take(exchange(number)) for number in range(waits))
        await turns(express, rounds)
        release()
        for number in range(waits, waits + TURN + 1):
            assert express.take(exchange(number))
        await turns(express, 8)
        return express

    express = asyncio.run(run())
    assert told(express) == list(range(waits + TURN + 1))
    length = 0
    for one in express.noted:
        length = 0 if isinstance(one, str) else length + 1
        assert length <= TURN


def test_a_hold_that_is_never_ended_ends_by_itself(monkeypatch):
    monkeypatch.setattr(express_check, "HOLD_S", 0.01)

    async def run() -> Noted:
        express = Noted()
        express.hold()
        assert express.take(exchange(0))
        while not told(express):
            await asyncio.sleep(0.005)
        return express

    assert told(asyncio.run(run())) == [0]
