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

from lexorder.api.service import telling
from lexorder.api.service.parts import joined as put_together
from lexorder.api.service.parts import woven
from lexorder.api.service.peers import Answer
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import shipped_matrix
from lexorder.api.service.sharding import ASKED, BY_ID, GATHERED, OWNED, SOUGHT, SPLIT, TOLD, Sharding, _placed
from lexorder.api.service.shards import shard_of

LOCAL = {
    "/v1/shards", "/v1/ledger/head", "/v1/ledger/proof", "/v1/ledger/consistency", "/v1/ledger/verify", "/v1/keys",
    "/v1/keys/{id}", "/metrics", "/v1/certificates/verify", "/v1/rulebooks/lint", "/v1/rulebooks/{id}/lint",
    "/v1/rulebooks/{id}/test", "/v1/stream",
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
    known = told, path in OWNED, path == SPLIT, bool(SOUGHT.fullmatch(concrete)), bool(ASKED.fullmatch(concrete))
    assert sum(known) == 1, place


@pytest.mark.parametrize("path", sorted(p for m, p in shipped_matrix().lines if m == "GET"))
def test_what_is_read_is_gathered_sought_or_the_same_everywhere(path: str):
    concrete = path.replace("{id}", "0-17")
    known = path in GATHERED, bool(SOUGHT.fullmatch(concrete)), bool(BY_ID.fullmatch(concrete))
    everywhere = {"/v1/rulebooks/active", "/v1/rulebooks/history", "/v1/rulebooks/{id}"}
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
    return Sharding(None, service, None, None, None)  # type: ignore[arg-type]


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
        ("POST", "/v1/ledger/verify", "shard=1", b"", 1),
        ("POST", "/v1/ledger/verify", "", b"", None),
        ("POST", "/v1/limits/cap/check", "limit=5&cursor=x&shard=2", b"", 2),
        ("POST", "/v1/limits/cap/check", "limit=5", b"", None),
        ("POST", "/v1/limits/cap/approve", "shard=2", b"", None),
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
    whole = json.loads(woven(len(owners), list(places.values()), parts).body)
    assert whole["decisions"] == decisions
    assert whole["count"] == len(owners)
    assert whole["approved"] == sum(d["outcome"] == "approve" for d in decisions)
    assert {place["shard"] for place in whole["recorded"]} == set(owners)


def test_a_part_with_too_few_decisions_is_no_answer():
    with pytest.raises(ValueError, match="zip"):
        woven(2, [[0, 1]], [{"mode": "cumulative", "approved": 0, "decisions": [{}], "recorded": {}}])


# ---- lists -------------------------------------------------------------------------------------------


def joined(*parts: Any, shards: tuple[int, ...] = (1, 0, 2), path: str = "/v1/decisions") -> Any:
    """The document of an answer put together."""
    answer = put_together(path, parts, shards[: len(parts)])
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
        return telling.may_differ(Answer(status, (), json.dumps({"code": code}).encode()))

    assert refused(409, "sequence-gap")
    assert refused(409, "sequence-behind")
    assert not refused(409, "event-id-reused")
    assert not refused(422, "sequence-gap")
    assert not refused(503, "sequence-gap")


# ---- what all know, and what each knows --------------------------------------------------------------


def summary(own: int, doubts: dict[str, str] | None = None) -> dict[str, Any]:
    """What a worker says it knows."""
    return {"accounts": 9, "positions": 4, "working_orders": own, "snapshot_hash": f"h{own}", "doubts": doubts or {}}


def test_working_orders_are_added_up_and_what_all_know_is_told_once():
    told = joined(summary(3), summary(5, {"prices": "why"}), path="/v1/snapshot")
    assert (told["accounts"], told["positions"], told["working_orders"]) == (9, 4, 8)
    assert told["doubts"] == {"prices": "why"}, "one worker that doubts is enough"
    assert told["snapshot_hash_by_worker"] == {"1": "h3", "0": "h5"}


def test_a_feed_is_told_by_the_worker_that_doubts_it():
    fine = [{"feed": feed, "doubt": "", "sequence": 4} for feed in ("prices", "fills")]
    gone = [{"feed": "prices", "doubt": "", "sequence": 4}, {"feed": "fills", "doubt": "a gap", "sequence": 2}]
    expected = [fine[0], gone[1]]
    assert joined(fine, gone, path="/v1/feeds") == expected
    assert joined(gone, fine, path="/v1/feeds") == expected
    assert joined(fine, fine, path="/v1/feeds") == fine


def test_how_much_of_a_limit_is_used_is_listed_by_account_and_its_breaches_are_added_up():
    parts = [
        {"items": [{"account": "C", "n": 1}, {"account": "C", "n": 2}], "breaches": 1, "snapshot_hash": "a"},
        {"items": [{"account": "A", "n": 1}, {"account": "D", "n": 1}], "breaches": 2, "snapshot_hash": "b"},
    ]
    told = joined(*parts, path="/v1/limits/x/check")
    assert [(row["account"], row["n"]) for row in told["items"]] == [("A", 1), ("C", 1), ("C", 2), ("D", 1)]
    assert told["breaches"] == 3


def test_pages_of_a_limit_go_on_at_each_worker_and_count_what_all_have():
    parts = [
        {"items": [{"account": "C"}], "count": 2, "next": "abc", "breaches": 1, "snapshot_hash": "a"},
        {"items": [{"account": "A"}], "count": 1, "next": None, "breaches": 0, "snapshot_hash": "b"},
    ]
    told = joined(*parts, path="/v1/limits/x/check")
    assert (told["count"], told["breaches"], told["next"]) == (3, 1, None)
    assert told["next_by_worker"] == {"1": "abc"}


# ---- refusals of parts -------------------------------------------------------------------------------


@given(places=st.lists(st.integers(0, 9999), min_size=1, max_size=9, unique=True), data=st.data())
def test_a_refused_part_names_the_order_by_its_place_in_the_whole(places: list[int], data: Any):
    n = data.draw(st.integers(0, len(places) - 1))
    rest = data.draw(st.sampled_from(["", ".quantity"]))
    told = {"code": "bad-value", "where": f"orders[{n}]{rest}"}
    answer = json.loads(_placed(Answer(422, (), json.dumps(told).encode()), places).body)
    assert answer == {"code": "bad-value", "where": f"orders[{places[n]}]{rest}"}


@pytest.mark.parametrize("where", [None, "order", "orders", "mode[0]"])
def test_a_refusal_of_the_whole_stays_as_it_is(where: str | None):
    told = {"code": "busy", **({"where": where} if where else {})}
    answer = Answer(503, ((b"retry-after", b"1"),), json.dumps(told).encode())
    assert _placed(answer, [4, 5]) == answer
