"""Who hears which record: every kind, topic, role and account tried against a table written by hand."""

from __future__ import annotations

import json
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexorder.api.service.feeds import FEEDS
from lexorder.api.service.hub import BEHIND_MAX, PLACES, TOPICS, Hub, Reader, kinds_for, topic_of
from lexorder.api.service.open_breaches import KINDS as BREACHES
from lexorder.api.service.roles import Role, Scope, shipped_matrix
from lexorder.api.service.views import IN_FULL
from lexorder.engine.ledger.record import Record, chained

MATRIX = shipped_matrix()
ALL = frozenset(TOPICS)
KINDS = sorted(frozenset(chain.from_iterable(TOPICS.values())))
BROKEN = b'{"decision":{"violations":[{"rule":"cap"}]}}'
SOUND = b'{"decision":{"violations":[]}}'


def record(kind: str, account: str = "A", body: bytes = b"{}", seq: int = 0) -> Record:
    """A record of this kind."""
    return chained(seq, bytes(32), kind, "2026-06-15T12:00:00.000000Z", "ref", account, body)


def reader(role: Role = Role.ADMIN, accounts: set[str] | None = None, topics: frozenset[str] = ALL) -> Reader:
    """A follower with the kinds of its role."""
    kinds = kinds_for(MATRIX, role, MATRIX.scopes_of(role))
    return Reader(topics, None if accounts is None else frozenset(accounts), role, kinds)


# ---- topics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_is_followed_has_a_place_where_it_is_read(kind: str):
    places = [place for name, place in PLACES.items() if name == kind or name.startswith(f"{kind} ")]
    assert places
    for place in places:
        assert ("GET", place) in MATRIX.lines, place


@pytest.mark.parametrize("body", [BROKEN, SOUND], ids=["broken", "sound"])
def test_a_record_has_the_first_fitting_topic_and_breaches_only_when_something_broke(body: bytes):
    for size in range(len(TOPICS) + 1):
        for topics in combinations(TOPICS, size):
            for kind in KINDS:
                fitting = [t for t in TOPICS if t in topics and kind in TOPICS[t]]
                if "breaches" in fitting and kind not in BREACHES and body is SOUND:
                    fitting.remove("breaches")
                assert topic_of(record(kind, body=body), frozenset(topics)) == (fitting[0] if fitting else "")


@pytest.mark.parametrize("kind", ["monitor-round", "retention", "person", "", "decisions"])
def test_other_kinds_are_followed_by_nobody(kind: str):
    assert topic_of(record(kind), ALL) == ""
    assert not reader().wants(record(kind))


# ---- roles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_role_follows_exactly_what_it_may_get(role: Role):
    for kind in KINDS:
        if kind == "events":
            continue
        may = role in MATRIX.lines["GET", PLACES[kind]].roles
        assert reader(role).wants(record(kind)) == may, kind
    for feed in FEEDS:
        may = role in MATRIX.lines["GET", f"/v1/{feed}"].roles
        assert reader(role).wants(record("events", "", json.dumps({"feed": feed}).encode())) == may, feed


def test_a_key_without_the_scope_to_read_follows_nothing():
    assert kinds_for(MATRIX, Role.ADMIN, frozenset({Scope.TRADE})) == frozenset()
    assert kinds_for(MATRIX, Role.ADMIN, frozenset()) == frozenset()


@pytest.mark.parametrize("role", list(Role))
def test_a_breach_of_a_rule_for_compliance_alone_is_for_compliance_alone(role: Role):
    kind = next(iter(BREACHES))
    if role not in MATRIX.lines["GET", PLACES[kind]].roles:
        return
    secret = record(kind, body=b'{"rule":"zebra","audience":"compliance"}')
    assert reader(role).wants(secret) == (role in IN_FULL)
    assert reader(role).wants(record(kind, body=b'{"rule":"cap","audience":"everyone"}'))


# ---- accounts ----------------------------------------------------------------------------------------


@given(
    kind=st.sampled_from(KINDS),
    account=st.sampled_from(["", "A", "B"]),
    seen=st.one_of(st.none(), st.sets(st.sampled_from(["A", "B"]))),
)
def test_a_narrowed_key_follows_its_accounts_and_what_is_everybodys(kind: str, account: str, seen: set[str] | None):
    body = b'{"feed":"prices"}' if kind == "events" else b'{"violations":[{}]}'
    wanted = reader(accounts=seen).wants(record(kind, account, body))
    if seen is None or account in seen:
        assert wanted
    else:
        assert wanted == (not account and kind in {"trading-state", "rulebook"})


# ---- queues ------------------------------------------------------------------------------------------


def test_offering_never_waits_and_who_is_full_is_marked_and_left_alone():
    hub, slow, quick = Hub(), reader(), reader()
    hub.readers = {slow, quick}
    for seq in range(BEHIND_MAX + 5):
        hub.offer(record("decision", seq=seq))
        assert quick.waiting.get_nowait().seq == seq
    assert slow.behind
    assert not quick.behind
    held = [slow.waiting.get_nowait().seq for _ in range(slow.waiting.qsize())]
    assert held == list(range(BEHIND_MAX)), "an unbroken beginning: it can go on from there"
    hub.offer(record("decision", seq=9_999))
    assert slow.waiting.empty(), "also when there is room again, or there would be a gap"


@given(kinds=st.lists(st.sampled_from(KINDS), max_size=30), topics=st.sets(st.sampled_from(sorted(TOPICS))))
def test_each_reader_gets_what_it_wants_once_and_in_order(kinds: list[str], topics: set[str]):
    hub = Hub()
    readers = [reader(role, accounts, frozenset(topics)) for role in Role for accounts in (None, {"A"})]
    hub.readers = set(readers)
    body: Any = b'{"feed":"prices"}'
    records = [record(kind, "A", body, seq) for seq, kind in enumerate(kinds)]
    for each in records:
        hub.offer(each)
    for one in readers:
        got = [one.waiting.get_nowait().seq for _ in range(one.waiting.qsize())]
        assert got == [each.seq for each in records if one.wants(each)]
