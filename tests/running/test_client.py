"""The typed client, waiting and awaited, against a running service: every call, and what it does when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from lexorder.api.client import AsyncClient, Client, ServiceError, risk
from tests.api.test_client_document import _calls
from tests.faults.served import Served
from tests.running.day import ROLES, day


@pytest.fixture(scope="module")
def keys(running: Served) -> dict[str, str]:
    """A key for each who takes part in the day."""
    with Client(running.address, running.key) as admin:
        made = {who: admin.send(risk.create_key(_asked(who))) for who in ROLES if who != "admin"}
    return {"admin": running.key, **{who: key["key"] for who, key in made.items()}}


def _asked(who: str) -> dict[str, Any]:
    return {"role": ROLES[who], "name": who, "owner": f"{who}@example.com"}


@pytest.fixture(scope="module")
def clients(running: Served, keys: dict[str, str]) -> Iterator[dict[str, Client]]:
    made = {who: Client(running.address, key) for who, key in keys.items()}
    yield made
    for client in made.values():
        client.close()


def test_a_day_with_the_client_that_waits(clients):
    called = set()
    steps = day("waits")
    who, call = next(steps)
    while True:
        called.add((call.method, call.template))
        try:
            answer = clients[who].send(call)
        except ServiceError as refused:
            who, call = steps.throw(refused)  # the day says which refusals belong to it
            continue
        try:
            who, call = steps.send(answer)
        except StopIteration:
            break
    assert _every() - called == set(), "calls that the day never makes"


def test_the_same_day_with_the_client_that_is_awaited(running, keys):
    async def driven() -> int:
        made = {who: AsyncClient(running.address, key) for who, key in keys.items()}
        steps, count = day("awaited"), 0
        who, call = next(steps)
        try:
            while True:
                count += 1
                try:
                    answer = await made[who].send(call)
                except ServiceError as refused:
                    who, call = steps.throw(refused)
                    continue
                who, call = steps.send(answer)
        except StopIteration:
            return count
        finally:
            for client in made.values():
                await client.close()

    assert asyncio.run(driven()) > len(_every())


def _every() -> set[tuple[str, str]]:
    """Method and path of every call there is."""
    return {(call.method, call.template) for call in _calls().values()}
