"""A whole list with either client: page by page, and worker by worker where each goes on from its own place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lexorder.api import client_calls as calls
from lexorder.api import client_risk_calls as risk
from lexorder.api.client import AsyncClient, Client
from lexorder.api.client_calls import Call
from lexorder.api.service.paging import page_of

Every = Callable[[Any, Call[dict[str, Any]]], list[dict[str, Any]]]


def waiting(handler: Any, call: Call[dict[str, Any]]) -> list[dict[str, Any]]:
    with Client("http://desk", "lx_k", transport=httpx.MockTransport(handler), direct=False) as client:
        return list(client.every(call))


def awaited(handler: Any, call: Call[dict[str, Any]]) -> list[dict[str, Any]]:
    async def told() -> list[dict[str, Any]]:
        client = AsyncClient("http://desk", "lx_k", transport=httpx.MockTransport(handler))
        try:
            return [row async for row in client.every(call)]
        finally:
            await client.close()

    return asyncio.run(told())


@pytest.fixture(params=[waiting, awaited], ids=["waiting", "awaited"])
def every(request: pytest.FixtureRequest) -> Every:
    return request.param  # type: ignore[no-any-return]


class Workers:
    """Workers, each with rows of its own: one that is named answers for itself, otherwise all together."""

    def __init__(self, *rows: list[str], name: str = "items") -> None:
        self.rows = rows
        self.name = name
        self.asked: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        self.asked.append(query)
        limit, cursor = int(query["limit"]), query.get("cursor")
        if "shard" in query or len(self.rows) == 1:
            found = page_of(self.keyed(int(query.get("shard", "0"))), cursor, limit)
            return httpx.Response(200, json={self.name: found.things, "next": found.next})
        pages = [page_of(self.keyed(k), cursor, limit) for k in range(len(self.rows))]
        own = {str(k): page.next for k, page in enumerate(pages) if page.next is not None}
        whole = {self.name: [row for page in pages for row in page.things], "next": None, "next_by_worker": own}
        return httpx.Response(200, json=whole)

    def keyed(self, shard: int) -> list[tuple[tuple[str, ...], dict[str, str]]]:
        return [((text,), {"id": text}) for text in self.rows[shard]]


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
def test_all_pages_of_one_worker(every: Every, limit: int) -> None:
    desk = Workers(list("abcd"))
    assert [row["id"] for row in every(desk, calls.positions(account="A", limit=limit))] == list("abcd")
    assert len(desk.asked) == -(-4 // limit)
    assert all(query["account"] == "A" for query in desk.asked), "what is asked for stays"


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_all_pages_of_several(every: Every, limit: int) -> None:
    desk = Workers(list("afg"), [], list("bcdeh"))
    told = [row["id"] for row in every(desk, risk.decisions(limit=limit))]
    assert sorted(told) == list("abcdefgh")
    assert len(told) == len(set(told))


def test_states_are_rows_too_and_an_empty_list_is_one_page(every: Every) -> None:
    assert every(Workers(list("ab"), name="states"), risk.trading_states(limit=1)) == [{"id": "a"}, {"id": "b"}]
    desk = Workers([])
    assert every(desk, calls.overrides(limit=10)) == []
    assert len(desk.asked) == 1


def test_the_calls_of_the_next_pages() -> None:
    call = calls.positions(account="A", limit=2)
    assert call.following({"items": [], "next": None}) == []
    (only,) = call.following({"next": "c"})
    assert only.query == {"account": "A", "limit": 2, "cursor": "c"}
    both = call.following({"next": None, "next_by_worker": {"1": "x", "0": "y"}})
    assert [(each.query["shard"], each.query["cursor"]) for each in both] == [("0", "y"), ("1", "x")]
