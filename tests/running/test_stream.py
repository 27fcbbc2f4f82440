"""`/v1/stream` of a running service, compared with its ledger, with `/v1/decisions` and with what a role may GET."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from lexorder.api.client import Client, ServiceError, UnreachableError, calls
from lexorder.api.service.hub import PLACES, TOPICS
from lexorder.api.service.roles import Role
from tests.faults.served import PATIENCE_S, Served, body_of, furniture, until
from tests.worlds import instrument, order, working

COUNT = iter(range(10**9))


@contextmanager
def listening(service: Served, key: str = "", start: int | None = None, **hello: Any) -> Iterator[ClientConnection]:
    """A stream that has said what it wants."""
    address = f"ws{service.address.removeprefix('http')}/v1/stream"
    credentials = {"Authorization": f"Bearer {key or service.key}"}
    with connect(address, additional_headers=credentials, compression=None, max_size=None) as stream:
        stream.send(json.dumps(hello if start is None else {**hello, "from": start}))
        yield stream


def message(stream: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stream.recv(timeout=PATIENCE_S))
    return found


def until_seq(stream: ClientConnection, last: int) -> list[dict[str, Any]]:
    """Messages up to the record of this number."""
    found = [message(stream)]
    while found[-1]["seq"] < last:
        found.append(message(stream))
    return found


def key_of(service: Served, role: Role, **more: Any) -> str:
    asked = {"role": role.value, "name": f"n{next(COUNT)}", "owner": f"{role.value}@example.com", **more}
    answer = service.call("POST", "/v1/keys", asked)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def act(service: Served, client: httpx.Client, chance: random.Random) -> None:
    """Something that is recorded, of a kind that chance picks; on limits and beside them."""
    name = f"s{next(COUNT)}"
    row = order(quantity=chance.choice([1, 100, 101, 1000, 1001]), id=name, account=f"A{chance.randrange(4)}")
    what = chance.randrange(6)
    if what <= 2:
        client.post("/v1/orders/check?reserve=false", json=row)
    elif what == 3:
        rows = [{**row, "id": f"{name}-{n}"} for n in range(3)]
        client.post("/v1/orders/check-batch", json={"mode": "independent", "orders": rows})
    elif what == 4:
        client.post("/v1/prices", json={"event_id": name, "items": [instrument("COCO", "101")]})
    else:
        state = {"scope": "strategy", "id": "S", "state": "ACTIVE", "reason": "a test"}
        client.post("/v1/trading-state", json=state)


def marker(service: Served) -> int:
    """The number of a decision recorded now."""
    return int(service.check(id=f"m{next(COUNT)}", account="A0", quantity=1001).json()["recorded"]["seq"])


# ---- what comes, and in which order ------------------------------------------------------------------


@pytest.mark.parametrize("topics", [["decisions"], ["state"], ["feeds"], ["state", "feeds"], ["decisions", "feeds"]])
def test_a_stream_from_the_beginning_is_the_ledger(running, topics):
    chance = random.Random(4)
    with running.client() as client:
        for _ in range(40):
            act(running, client, chance)
    last = marker(running)
    with listening(running, topics=[*topics, "decisions"], start=0) as stream:
        found = [m for m in until_seq(stream, last) if m["topic"] in topics]
    kinds = frozenset().union(*(TOPICS[topic] for topic in topics))
    expected = [r for r in running.records() if r.kind in kinds and r.seq <= last]
    assert [(m["seq"], m["kind"], m["account"], m["at"]) for m in found] == [
        (r.seq, r.kind, r.account, r.at) for r in expected
    ]
    assert [m["body"] for m in found] == [body_of(r) for r in expected]
    assert {m["shard"] for m in found} == {0}


def test_breaches_are_the_decisions_that_a_rule_stopped(running):
    last = marker(running)
    with listening(running, topics=["breaches"], start=0) as stream:
        found = [m["seq"] for m in until_seq(stream, last) if m["kind"] in ("decision", "batch")]
    stopped = []
    for record in running.records():
        body = body_of(record)
        each = [body["decision"]] if record.kind == "decision" else body.get("decisions", [])
        if record.kind in ("decision", "batch") and any(decision["violations"] for decision in each):
            stopped.append(record.seq)
    assert found == [seq for seq in stopped if seq <= last]
    assert found


def test_readers_that_come_and_go_hear_everything_once_while_orders_come_in(running):
    """Resuming at a random place, again and again, beside callers: nothing is lost, nothing comes twice."""
    stop, first = threading.Event(), marker(running)

    def send() -> None:
        chance = random.Random(7)
        with running.client() as client:
            while not stop.is_set():
                act(running, client, chance)

    callers = [threading.Thread(target=send) for _ in range(2)]
    for caller in callers:
        caller.start()
    heard: list[int] = []
    chance = random.Random(11)
    try:
        for _ in range(25):
            following = heard[-1] + 1 if heard else first
            with listening(running, topics=["decisions"], start=following) as stream:
                heard += [message(stream)["seq"] for _ in range(chance.randrange(1, 12))]
    finally:
        stop.set()
        for caller in callers:
            caller.join(PATIENCE_S)
    last = marker(running)
    with listening(running, topics=["decisions"], start=heard[-1] + 1) as stream:
        heard += [m["seq"] for m in until_seq(stream, last)]
    recorded = [r.seq for r in running.records() if r.kind in TOPICS["decisions"] and first <= r.seq <= last]
    assert heard == recorded
    assert set(_decisions(running, first)) == set(heard)


def _decisions(service: Served, first: int) -> list[int]:
    """Numbers of the records behind `/v1/decisions`, page by page."""
    found, cursor = [], ""
    while True:
        page = service.call("GET", f"/v1/decisions?limit=100{cursor}").json()
        found += [int(row["id"].split("-")[1].split(".")[0]) for row in page["items"]]
        if page["next"] is None:
            return [seq for seq in found if seq >= first]
        cursor = f"&cursor={page['next']}"


def test_without_a_number_only_what_happens_from_now_on_is_told(running):
    before = marker(running)
    with listening(running, topics=["decisions"]) as stream:
        until(lambda: _readers(running) >= 1)
        after = marker(running)
        assert message(stream)["seq"] == after > before


def _readers(service: Served) -> int:
    lines = service.call("GET", "/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("lexorder_stream_subscribers{"))
    return int(float(line.rsplit(" ", 1)[1]))


def test_a_number_that_is_still_to_come_is_waited_for(running):
    ahead = marker(running) + 3
    with listening(running, topics=["decisions"], start=ahead) as stream:
        until(lambda: _readers(running) >= 1)
        numbers = [marker(running) for _ in range(4)]
        assert message(stream)["seq"] >= ahead or numbers[-1] < ahead


# ---- who hears what ----------------------------------------------------------------------------------

SECRET = "a deal that nobody may hear of"
"""The reason why a name is watched."""


@pytest.fixture(scope="module")
def told(running: Served) -> int:
    """One record of each kind that a test can make; the number of the last."""
    tell = {
        "accounts": [{"id": "A1", "orders_today": "3"}],
        "prices": [instrument("COCO", "99")],
        "positions": [{"account": "A1", "symbol": "ACME", "quantity": "1"}],
        "working-orders": [{**working("r-w", "ACME", "buy", 5), "account": "A1"}],
        "lists": [{"list": "watch", "entries": [{"name": "COCO", "reason": SECRET}]}],
        "signals": [],
        "fills": [{"id": "r-f", "account": "A1", "symbol": "ACME", "side": "buy", "quantity": "1", "price": "100"}],
    }
    for feed, items in tell.items():
        answer = running.call("POST", f"/v1/{feed}", {"event_id": f"t-{feed}", "items": items})
        assert answer.status_code == 200, answer.text
    running.call(
        "POST",
        "/v1/snapshot",
        {**furniture(4), "lists": {"restricted": [], "watch": [{"name": "COCO", "reason": SECRET}]}},
    )
    running.check(id="o-101", quantity=101, account="A1")
    running.call("POST", "/v1/orders/o-101/override", {"reason": "r"})
    running.call("POST", "/v1/limits", {"id": "l1", "kind": "position-weight", "values": {"2026-01-01": "90%"}})
    numbered = {"event_id": "g-1", "sequence": 1, "items": []}
    running.call("POST", "/v1/signals", numbered)
    assert running.call("POST", "/v1/signals", {**numbered, "event_id": "g-9", "sequence": 9}).status_code == 409
    running.call("POST", "/v1/signals", {**numbered, "event_id": "g-w", "whole": True})
    running.call("POST", "/v1/kill", {"scope": "account", "id": "A3", "reason": "r"})
    return marker(running)


@pytest.mark.parametrize("role", Role)
def test_a_role_hears_what_it_may_read_and_nothing_else(running, told, role):
    key = key_of(running, role)
    headers = {"authorization": f"Bearer {key}"}
    may = {
        kind for kind, place in PLACES.items() if httpx.get(running.address + place, headers=headers).status_code == 200
    }
    with listening(running, key, topics=list(TOPICS), start=0) as stream:
        running.call(
            "POST", "/v1/trading-state", {"scope": "strategy", "id": f"END-{role}", "state": "HALTED", "reason": "r"}
        )
        found = [message(stream)]
        while f"END-{role}" not in json.dumps(found[-1]):
            found.append(message(stream))
    running.call(
        "POST", "/v1/trading-state", {"scope": "strategy", "id": f"END-{role}", "state": "REDUCING", "reason": "r"}
    )
    kinds = {m["kind"] if m["kind"] != "events" else f"events {m['body']['feed']}" for m in found}
    recorded = {_kind(r) for r in running.records()} & PLACES.keys()
    assert len(recorded) >= 14, recorded
    assert kinds == may & recorded
    if role not in (Role.ADMIN, Role.RISK_OFFICER):
        assert SECRET not in json.dumps(found)
    if role not in (Role.ADMIN, Role.RISK_OFFICER, Role.APPROVER):
        assert '"snapshot_hash"' not in json.dumps([m["body"].get("decision") for m in found])


def _kind(record: Any) -> str:
    return f"events {body_of(record)['feed']}" if record.kind == "events" else str(record.kind)


def test_a_key_for_one_account_hears_of_no_other(running, told):
    key = key_of(running, Role.SENIOR_TRADER, accounts=["A1"])
    running.check(id=f"last{next(COUNT)}", account="A1")
    last = marker(running)
    end = running.check(id=f"end{next(COUNT)}", account="A1", quantity=1001).json()["recorded"]["seq"]
    assert end > last
    with listening(running, key, topics=list(TOPICS), start=0) as stream:
        found = until_seq(stream, end)
    assert {m["account"] for m in found} <= {"A1", ""}
    assert {m["kind"] for m in found if not m["account"]} <= {"trading-state", "rulebook"}
    own = [r.seq for r in running.records(kind="decision") if r.account == "A1" and r.seq <= end]
    assert [m["seq"] for m in found if m["kind"] == "decision"] == own


def test_a_key_that_is_taken_back_ends_its_stream(running):
    made = running.call("POST", "/v1/keys", {"role": "analyst", "name": "gone", "owner": "g"}).json()
    with listening(running, made["key"], topics=["decisions"]) as stream:
        until(lambda: _readers(running) >= 1)
        seen = marker(running)
        assert message(stream)["seq"] == seen
        running.call("DELETE", f"/v1/keys/{made['id']}")
        time.sleep(1.5)  # other processes read the table of keys once a second
        marker(running)
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=PATIENCE_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "not-welcome")
    with pytest.raises(InvalidStatus) as refused, listening(running, made["key"], topics=["decisions"]):
        pass
    assert refused.value.response.status_code == 401


def test_a_key_that_expires_ends_the_stream_of_the_client_with_its_reason(running):
    key = key_of(running, Role.ANALYST, lifetime_s=4)
    heard: list[int] = []
    start = marker(running)

    def follow() -> None:
        with Client(running.address, key) as client:
            for told in client.stream(["decisions"], start):
                heard.append(told.seq)
                time.sleep(0.2)
                marker(running)

    with pytest.raises(ServiceError) as ended:
        follow()
    assert (ended.value.status, ended.value.code) == (401, "key-expired")
    assert heard == sorted(set(heard))
    assert heard[0] == start


# ---- what cannot be wanted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "status", "code"),
    [
        ("", 400, "json-malformed"),
        ("decisions", 400, "json-malformed"),
        ('{"from": 1, "from": 2}', 400, "json-duplicate-key"),
        ('{"from": 1.5}', 400, "json-number"),
        ("[]", 422, "wrong-shape"),
        ('{"topics": []}', 422, "unknown-topic"),
        ('{"topics": "decisions"}', 422, "unknown-topic"),
        ('{"topics": ["nonsense"]}', 422, "unknown-topic"),
        ('{"topics": [["decisions"]]}', 422, "unknown-topic"),
        ('{"topics": [{}]}', 422, "unknown-topic"),
        ('{"topics": [null]}', 422, "unknown-topic"),
        ('{"from": -1}', 422, "wrong-shape"),
        ('{"from": true}', 422, "wrong-shape"),
        ('{"from": "1"}', 422, "wrong-shape"),
        (f'{{"from": {2**62 + 1}}}', 422, "wrong-shape"),
        ('{"shard": "0"}', 422, "wrong-shape"),
        ('{"topics": ["decisions"], "form": 0}', 422, "unknown-key"),
        ('{"shard": 1, "from": 0}', 421, "misdirected"),
    ],
)
def test_what_nobody_can_want_is_refused_in_words_and_by_the_close_code(running, hello, status, code):
    address = f"ws{running.address.removeprefix('http')}/v1/stream"
    with connect(address, additional_headers={"Authorization": f"Bearer {running.key}"}) as stream:
        stream.send(hello)
        said = message(stream)
        assert (said["status"], said["code"]) == (status, code)
        assert "nonsense" not in json.dumps(said), "no echo"
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=PATIENCE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_the_client_raises_what_it_is_told(running):
    with Client(running.address, running.key) as client, pytest.raises(ServiceError, match="unknown-topic"):
        next(client.stream(["nonsense"]))


def test_bytes_say_as_much_as_text(running):
    last = marker(running)
    address = f"ws{running.address.removeprefix('http')}/v1/stream"
    with connect(address, additional_headers={"Authorization": f"Bearer {running.key}"}, max_size=None) as stream:
        stream.send(json.dumps({"topics": ["decisions"], "from": last, "shard": 0}).encode())
        assert message(stream)["seq"] == last


# ---- the client follows ------------------------------------------------------------------------------


def test_the_client_reads_records_of_any_size(running):
    with Client(running.address, running.key, timeout_s=PATIENCE_S) as client:
        document = furniture(4)
        document["instruments"] += [instrument(f"N{n}") for n in range(8000)]
        client.send(calls.put_snapshot(document))
        record = running.records(kind="snapshot")[-1]
        assert len(record.body) > 2**20
        stream = client.stream(["state"], record.seq)
        assert next(stream).body == body_of(record)
        stream.close()  # type: ignore[attr-defined]
        client.send(calls.put_snapshot(furniture(4)))


@pytest.mark.slow
def test_the_client_follows_through_kills_and_misses_nothing(running):
    first = marker(running)
    heard: list[int] = []
    done = threading.Event()

    def follow() -> None:
        with Client(running.address, running.key, direct=False) as client:
            following = first
            while not done.is_set():
                try:
                    for told in client.stream(["decisions"], following):
                        heard.append(told.seq)
                        following = told.seq + 1
                        if done.is_set() and told.seq >= last:
                            return
                except (ServiceError, UnreachableError):
                    time.sleep(0.2)  # the new one takes longer than the client's patience

    last = 10**9
    reader = threading.Thread(target=follow)
    reader.start()
    for _ in range(2):
        for _ in range(5):
            marker(running)
        running.kill()
        running.start()
    last = marker(running)
    until(lambda: heard and heard[-1] >= last)
    done.set()
    marker(running)
    reader.join(PATIENCE_S)
    recorded = [r.seq for r in running.records(first) if r.kind in TOPICS["decisions"] and r.seq <= last]
    assert [seq for seq in heard if seq <= last] == recorded
