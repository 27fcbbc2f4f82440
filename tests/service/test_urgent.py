"""The kill switch goes before the orders that wait: from when its whole call is here until it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lexorder.api.service.guard import URGENT, Guard
from lexorder.api.service.problems import Problem
from tests.service.border import Border, Message, asked

HELD, DONE = "held", "done"


class Orders:
    """Stands for the plain orders: notes when they are held and let go."""

    targets: frozenset[bytes] = frozenset()

    def __init__(self) -> None:
        self.noted: list[str] = []

    def take(self, _exchange: Any) -> bool:
        raise AssertionError("no connection is here")

    def hold(self) -> Callable[[], None]:
        self.noted.append(HELD)
        return lambda: self.noted.append(DONE)


def called(border: Border, path: str, role: str, app: Any = None, *, method: str = "POST", body: bytes = b"{}") -> Any:
    """The answer of a call, and what happened to the orders meanwhile."""
    orders = Orders()

    async def answering(scope: Message, receive: Any, send: Any) -> None:
        orders.noted.append("answering")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        orders.noted.append("answered")

    guard = Guard(app or answering, border.access)
    guard.express = orders
    headers = {"authorization": border.key(role), "content-type": "application/json"}
    reply = asked(guard, method, path, headers, [body] if method == "POST" else ())
    assert guard.in_flight == 0
    return reply, orders.noted


@pytest.mark.parametrize("path", sorted(URGENT))
@pytest.mark.parametrize("role", ["admin", "risk_officer"])
def test_orders_are_held_while_it_is_answered(guarded: Border, path: str, role: str):
    reply, noted = called(guarded, path, role)
    assert reply.status == 200
    assert noted == [HELD, "answering", "answered", DONE]


@pytest.mark.parametrize("path", sorted(URGENT))
def test_who_may_not_call_it_holds_nobody_up(guarded: Border, path: str):
    reply, noted = called(guarded, path, "observer")
    assert (reply.status, reply.code) == (403, "not-permitted")
    assert noted == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/trading-state"), ("POST", "/v1/orders/what-if"), ("POST", "/v1/positions"), ("POST", "/v1/killing")],
)
def test_other_calls_hold_nobody_up(guarded: Border, method: str, path: str):
    _, noted = called(guarded, path, "admin", method=method)
    assert HELD not in noted


def test_a_body_that_is_no_json_holds_nobody_up(guarded: Border):
    reply, noted = called(guarded, "/v1/kill", "admin", body=b'{"scope":')
    assert reply.status == 400
    assert noted == []


@pytest.mark.parametrize(("error", "status"), [(Problem(422, "scope-without-id", "Which?"), 422), (KeyError("x"), 500)])
def test_orders_go_on_when_it_fails(guarded: Border, error: Exception, status: int):
    async def failing(scope: Message, receive: Any, send: Any) -> None:
        raise error

    reply, noted = called(guarded, "/v1/kill", "admin", failing)
    assert reply.status == status
    assert noted == [HELD, DONE]


def test_a_guard_without_plain_orders_has_none_to_hold(guarded: Border):
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    headers = {"authorization": guarded.key()}
    assert asked(Guard(app, guarded.access), "POST", "/v1/kill", headers, [b"{}"]).status == 200


def test_what_is_urgent_stands_in_the_matrix(guarded: Border):
    for path in URGENT:
        assert ("POST", path) in guarded.access.matrix.lines
