"""Answers of several workers put together, and which of them a request is for: compared with the plain whole.

`woven` is checked by cutting batches at random and putting them together again; nothing here runs a service.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service import sharding
from lexorder.api.service.peers import Answer
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import shipped_matrix
from lexorder.api.service.sharding import ASKED, BY_ID, GATHERED, OWNED, SOUGHT, SPLIT, TOLD, Sharding, _joined, _woven
from lexorder.api.service.shards import shard_of

LOCAL = {
    "/v1/shards", "/v1/ledger/head", "/v1/ledger/proof", "/v1/ledger/consistency", "/v1/ledger/verify", "/v1/keys",
    "/v1/keys/{id}", "/metrics", "/v1/certificates/verify", "/v1/rulebooks/lint", "/v1/rulebooks/{id}/lint",
    "/v1/rulebooks/{id}/test", "/v1/limits/{id}/check", "/v1/stream",
}  # fmt: skip
"""Answered by whoever is asked: the same everywhere, or of one worker and asked for with `?shard=`."""


# ---- every route has its place -----------------------------------------------------------------------


@pytest.mark.parametrize("place", sorted(shipped_matrix().lines), ids=" ".join)
def test_every_route_that_changes_something_reaches_who_must_know(place: tuple[str, str]):
    """A route that is added and not thought of here would change one worker alone."""
    method, path = place
    concrete = path.replace("{id}", "some-thing")
    if method in ("GET", "WEBSOCKET") or path in LOCAL:
        return
    told = bool(TOLD.fullmatch(concrete)) and not ASKED.fullmatch(concrete)
    known = told, path in OWNED, path == SPLIT, bool(SOUGHT.fullmatch(concrete))
    assert sum(known) == 1, place


@pytest.mark.parametrize("path", sorted(p for m, p in shipped_matrix().lines if m == "GET"))
def test_what_is_read_is_gathered_sought_or_the_same_everywhere(path: str):
    concrete = path.replace("{id}", "0-17")
    known = path in GATHERED, bool(SOUGHT.fullmatch(concrete)), bool(BY_ID.fullmatch(concrete))
    everywhere = {"/v1/feeds", "/v1/rulebooks/active", "/v1/rulebooks/history", "/v1/rulebooks/{id}"}
    told = bool(TOLD.fullmatch(concrete)) and path not in GATHERED
    same = told or path in LOCAL or path in everywhere | {"/v1/limits/{id}/history"}
    assert sum((*known, same)) == 1, path


# ---- owners ------------------------------------------------------------------------------------------


@given(
    account=st.text(min_size=1, max_size=8),
    owner=st.one_of(st.none(), st.text(min_size=1, max_size=8)),
    count=st.integers(1, 64),
)
def test_an_account_belongs_to_the_worker_of_its_beneficial_owner(account: str, owner: str | None, count: int):
    facts = {} if owner is None else {"account.beneficial_owner": owner}
    name = owner or account
    assert shard_of({account: facts}, account, count) == crc32(name.encode()) % count
    assert shard_of({}, account, count) == crc32(account.encode()) % count


def front(own: int = 0, count: int = 3) -> Sharding:
    """In front of a worker that knows no accounts."""
    service: Any = SimpleNamespace(settings=SimpleNamespace(shard=own, workers=count), floor=SimpleNamespace(desk=None))
    return Sharding(None, service, None)  # type: ignore[arg-type]


def target(method: str, path: str, query: str = "", body: bytes = b"") -> int | None:
    """Whom a request is for."""
    from urllib.parse import parse_qs

    scope = {"body": body}
    return front()._target(path, method, parse_qs(query), scope)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "expected"),
    [
        ("POST", "/v1/orders/check", "", b'{"account": "A1"}', crc32(b"A1") % 3),
        ("POST", "/v1/rebalances", "", b'{"account": "A2"}', crc32(b"A2") % 3),
        ("POST", "/v1/orders/check", "", b"no json", 0),
        ("POST", "/v1/orders/check", "", b"[]", 0),
        ("POST", "/v1/orders/check", "", b'{"account": 5}', 0),
        ("GET", "/v1/decisions/2-17", "", b"", 2),
        ("GET", "/v1/decisions/1-17.3", "", b"", 1),
        ("GET", "/v1/decisions/9-17", "", b"", 2),
        ("GET", "/v1/decisions/x-17", "", b"", None),
        ("GET", "/v1/decisions", "account=A1", b"", crc32(b"A1") % 3),
        ("GET", "/v1/decisions", "shard=2&account=A1", b"", 2),
        ("GET", "/v1/ledger/head", "shard=1", b"", 1),
        ("GET", "/v1/accounts", "account=A1", b"", None),
        ("POST", "/v1/kill", "shard=1", b"", None),
        ("DELETE", "/v1/rebalances/r-1", "", b"", None),
    ],
)
def test_a_request_is_for_one_worker_where_it_names_one(
    method: str, path: str, query: str, body: bytes, expected: int | None
):
    assert target(method, path, query, body) == expected


@pytest.mark.parametrize("named", ["3", "-1", "1.0", "", "x", "9" * 20, "1" * 5000, "²", "٢", "1\n"])
def test_a_worker_that_is_not_there_is_unknown(named: str):
    query = {"shard": [named]}
    with pytest.raises(Problem) as refused:
        front()._target("/v1/decisions", "GET", query, {})
    assert (refused.value.status, refused.value.code) == (404, "unknown-shard")


# ---- batches -----------------------------------------------------------------------------------------


@given(owners=st.lists(st.integers(0, 3), min_size=1, max_size=30), approve=st.randoms(use_true_random=False))
def test_a_batch_that_was_cut_comes_back_in_the_order_of_its_orders(owners: list[int], approve: Any):
    decisions = [{"n": n, "outcome": approve.choice(["approve", "reject"])} for n in range(len(owners))]
    places: dict[int, list[int]] = {}
    for n, owner in enumerate(owners):
        places.setdefault(owner, []).append(n)
    parts = []
    for owner, own in places.items():
        mine = [decisions[n] for n in own]
        good = sum(d["outcome"] == "approve" for d in mine)
        parts.append({"mode": "cumulative", "approved": good, "decisions": mine, "recorded": {"shard": owner}})
    whole = json.loads(_woven(len(owners), list(places.values()), parts).body)
    assert whole["decisions"] == decisions
    assert whole["count"] == len(owners)
    assert whole["approved"] == sum(d["outcome"] == "approve" for d in decisions)
    assert {place["shard"] for place in whole["recorded"]} == set(owners)


def test_a_part_with_too_few_decisions_is_no_answer():
    with pytest.raises(ValueError, match="zip"):
        _woven(2, [[0, 1]], [{"mode": "cumulative", "approved": 0, "decisions": [{}], "recorded": {}}])


# ---- lists -------------------------------------------------------------------------------------------


def joined(*parts: Any, shards: tuple[int, ...] = (1, 0, 2)) -> Any:
    """The document of an answer put together."""
    answer = _joined(parts, shards[: len(parts)])
    assert isinstance(answer, Answer)
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (([1], [2, 3], []), [1, 2, 3]),
        (({"items": [1], "count": 1}, {"items": [2, 3], "count": 2}), {"items": [1, 2, 3], "count": 3}),
        (({"items": [], "note": "x"}, {"items": [], "note": "y"}), {"items": [], "note": "x"}),
        (
            ({"items": [1], "next": 7}, {"items": [], "next": None}),
            {"items": [1], "next": None, "next_by_worker": {"1": 7}},
        ),
        (
            ({"items": [], "next": 7}, {"items": [], "next": 9}, {"items": [], "next": 0}),
            {"items": [], "next": None, "next_by_worker": {"1": 7, "0": 9, "2": 0}},
        ),
        (
            ({"behind": [1], "behind_count": 1}, {"behind": [2], "behind_count": 4}),
            {"behind": [1, 2], "behind_count": 5},
        ),
    ],
)
def test_lists_of_all_workers_become_one(parts: tuple[Any, ...], expected: Any):
    assert joined(*parts) == expected


def test_only_a_gap_or_a_number_behind_is_told_to_the_others_although_it_was_refused():
    def refused(status: int, code: str) -> bool:
        return sharding._may_differ(Answer(status, (), json.dumps({"code": code}).encode()))

    assert refused(409, "sequence-gap")
    assert refused(409, "sequence-behind")
    assert not refused(409, "event-id-reused")
    assert not refused(422, "sequence-gap")
    assert not refused(503, "sequence-gap")
