"""Plain requests without a task: the same answers, records and counts as the ordinary way, in turn, and not before."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexorder.api.service import express
from lexorder.api.service.express import BODY_MAX
from lexorder.api.service.express_check import RESERVING
from lexorder.api.service.orders import NAMES_MAX, PATH
from lexorder.api.service.roles import Role
from tests.service.house import House, Outage
from tests.service.stepping import snapshot
from tests.service.wires import Answer, Taken, Wire, request, twins
from tests.worlds import order

QUIET = PATH + "?reserve=false"
Asked = Callable[[str], bytes]
"""A request for a house, given the text of a key there."""


class Pair:
    """Two services that are asked the same; `taken` is what the express of the first said."""

    def __init__(self, houses: tuple[House, House]) -> None:
        self.houses = houses
        self.taken = Taken(houses[0])

    def ask(self, asked: Asked, by: str = "admin", count: int = 1, **fields: object) -> tuple[list[Answer], list[bool]]:
        """What both answered, which must be equal, and what express said."""
        self.taken.since()
        role, _, owner = by.partition("/")
        found: list[list[Answer]] = []
        closed = []
        for house in self.houses:
            wire = Wire(house).feed(asked(house.key(role, owner, **fields)))
            found.append([_without_number(answer) for answer in wire.answers(count)])
            closed.append(wire.closed)
        assert found[0] == found[1]
        assert closed[0] == closed[1]
        return found[0], self.taken.since()


def _without_number(answer: Answer) -> Answer:
    """Without the number that the service itself gave a request."""
    if len(answer.header("x-request-id")) == 20:
        answer = answer.without("x-request-id")
    body = re.sub(rb'"instance":"[0-9a-f]{20}"', b'"instance":""', answer.body)
    headers = tuple((n, v) for n, v in answer.headers if n != "content-length")
    return Answer(answer.status, headers if body != answer.body else answer.headers, body)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = twins(tmp_path_factory.mktemp("twins"))
    yield Pair(made)
    for house in made:
        house.close()


def body(**facts: Any) -> bytes:
    return msgspec.json.encode(order(**facts))


def plain(content: bytes, *headers: str, **parts: Any) -> Asked:
    return lambda key: request(key, content, *headers, **parts)


YES, NO = [True], [False]
NOT_ASKED: list[bool] = []

TABLE: list[tuple[str, str, Asked, int, list[bool]]] = [
    ("approved", "admin", plain(body(id="t1"), target=QUIET), 200, YES),
    ("approved and working", "admin", plain(body(id="t2")), 200, YES),
    ("said to reserve", "admin", plain(body(id="t3"), target=PATH + "?reserve=true"), 200, YES),
    ("needs somebody", "admin", plain(body(id="t4", quantity=101), target=QUIET), 200, YES),
    ("rejected", "admin", plain(body(id="t5", quantity=1001), target=QUIET), 200, YES),
    ("seen by a trader", "senior_trader/tess", plain(body(id="t6", quantity=1001), target=QUIET), 200, YES),
    ("approved for a trader", "senior_trader/tess", plain(body(id="t7"), target=QUIET), 200, YES),
    ("a market order", "admin", plain(body(id="t8", ord_type="market", price=None), target=QUIET), 200, YES),
    ("an id of its own", "admin", plain(body(id="t9"), "X-Request-Id: mine-1", target=QUIET), 200, YES),
    ("an id that is none", "admin", plain(body(id="t10"), "X-Request-Id: {}", target=QUIET), 200, YES),
    ("an id and a refusal", "admin", plain(b"{", "X-Request-Id: mine-2"), 400, YES),
    ("a trace", "admin", plain(body(id="t11"), "traceparent: 00-" + "1" * 32, target=QUIET), 200, YES),
    ("no JSON", "admin", plain(b"{"), 400, YES),
    ("no UTF-8", "admin", plain(b'{"id":"\xff"}'), 400, YES),
    ("a key twice", "admin", plain(b'{"id":"x","id":"y"}'), 400, YES),
    ("too deep", "admin", plain(b"[" * 40 + b"]" * 40), 400, YES),
    ("a float", "admin", plain(b'{"quantity":1.5}'), 400, YES),
    ("a list", "admin", plain(b"[]"), 422, YES),
    ("a text", "admin", plain(b'"MARKER"'), 422, YES),
    ("half a share", "admin", plain(body(quantity="1.5")), 422, YES),
    ("no side", "admin", plain(body(side="steal")), 422, YES),
    ("an unknown name", "admin", plain(body(MARKER="red")), 422, YES),
    ("an unknown account", "admin", plain(body(id="t12", account="MARKER"), target=QUIET), 200, YES),
    ("names too long", "admin", plain(body(id="x", account="A" * NAMES_MAX)), 422, YES),
    ("may not ask", "observer", plain(body(id="t13")), 403, YES),
    ("no body", "admin", plain(b""), 400, NO),
    ("no length", "admin", plain(b"", length=False), 400, NO),
    ("nobody", "admin", lambda _key: request("", body(id="t14")), 401, NO),
    ("no key of ours", "admin", lambda _key: request("lx_MARKER", body(id="t15")), 401, NO),
    ("two credentials", "admin", lambda key: request(key, body(id="t16"), f"Authorization: Bearer {key}"), 401, NO),
    ("an idempotency key", "admin", plain(body(id="t17"), "Idempotency-Key: k1", target=QUIET), 200, NO),
    ("a bad idempotency key", "admin", plain(body(id="t18"), "Idempotency-Key: " + "k" * 200), 400, NO),
    (
        "in chunks",
        "admin",
        plain(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False),
        422,
        NO,
    ),
    ("a header twice", "admin", plain(body(id="t19"), "X-Other: 1", "X-Other: 2", target=QUIET), 200, NO),
    ("the last one", "admin", plain(body(id="t20"), "Connection: close", target=QUIET), 200, NOT_ASKED),
    ("an old client", "admin", plain(body(id="t21"), version="1.0", target=QUIET), 200, NOT_ASKED),
    ("asks whether to go on", "admin", plain(body(id="t22"), "Expect: 100-continue", target=QUIET), 200, NOT_ASKED),
    ("another protocol", "admin", plain(body(id="t23"), "Connection: upgrade", "Upgrade: h2c"), 400, NOT_ASKED),
    ("another query", "admin", plain(body(id="t24"), target=QUIET + "&x=1"), 422, NOT_ASKED),
    ("written otherwise", "admin", plain(body(id="t25"), target="/v1/orders/%63heck?reserve=false"), 200, NOT_ASKED),
    ("another method", "admin", plain(b"", method="GET"), 405, NOT_ASKED),
    ("the batch", "admin", plain(b"{}", target="/v1/orders/check-batch"), 422, NOT_ASKED),
    ("a long body", "admin", plain(b" " * BODY_MAX + body(id="t26"), target=QUIET), 200, NOT_ASKED),
    ("a body that is too long", "admin", plain(b" " * (1 << 20) + body(id="t27")), 413, NOT_ASKED),
]


@pytest.mark.parametrize(("by", "asked", "status", "taken"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_both_ways_answer_alike(pair: Pair, by: str, asked: Asked, status: int, taken: list[bool]):
    """Status, headers in their order, body, whether the connection ends; and the way is the one that was meant."""
    (answer,), said = pair.ask(asked, by)
    assert (answer.status, said) == (status, taken)
    assert b"MARKER" not in answer.body or status == 200
    problem = answer.header("content-type") == "application/problem+json"
    assert problem == (status != 200)


def test_a_key_of_other_accounts_is_refused_alike(pair: Pair):
    """And one of this account is not."""
    (answer,), said = pair.ask(plain(body(id="c1")), "senior_trader/cora", accounts=frozenset({"B"}))
    assert (answer.status, json.loads(answer.body)["code"], said) == (403, "account-not-permitted", YES)
    (answer,), said = pair.ask(
        plain(body(id="c2", account="B"), target=QUIET), "senior_trader/cora", accounts=frozenset({"B"})
    )
    assert (answer.status, said) == (200, YES)


def test_the_records_are_alike(pair: Pair):
    """Everything but who asked, whose id is the house's own."""
    for n, quantity in enumerate([100, 101, 1001]):
        pair.ask(plain(body(id=f"r{n}", quantity=quantity), target=PATH if n else QUIET))
    told = []
    for house in pair.houses:
        assert house.service.ledger is not None
        records = [r for r in house.service.ledger.read(kind="decision") if re.fullmatch(r"r\d", r.ref)]
        bodies = [msgspec.json.decode(r.body, type=dict[str, msgspec.Raw]) for r in records]
        assert all(found.pop("by") for found in bodies)
        told.append([(r.seq, r.kind, r.ref, r.account, b) for r, b in zip(records, bodies, strict=True)])
    assert told[0] == told[1]
    assert len(told[0]) == 3


def test_the_counts_are_alike(pair: Pair):
    """Decisions by outcome and rule, requests by route and status; nothing is left in flight or held."""

    def counted(house: House) -> list[str]:
        text = house.service.metrics.render().decode()
        kept = ("lexorder_decisions_total", "lexorder_http_requests_total", "lexorder_check_seconds_count")
        return [line for line in text.splitlines() if line.startswith(kept)]

    for asked in (plain(body(id="m1"), target=QUIET), plain(body(id="m2", quantity=1001)), plain(b"[]")):
        pair.ask(asked)
    first, second = (counted(house) for house in pair.houses)
    assert first == second
    assert any(PATH in line and '"200"' in line for line in first), first
    assert any('outcome="approve"' in line for line in first), first
    for house in pair.houses:
        assert (house.app.in_flight, house.app.bodies.held) == (0, 0)


def test_a_service_that_is_not_ready_says_so_alike(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    for house in pair.houses:
        monkeypatch.setattr(house.service, "standing", False)
    (answer,), said = pair.ask(plain(body(id="n1")))
    assert (answer.status, json.loads(answer.body)["code"], said) == (503, "not-ready", YES)


def test_a_defect_is_answered_without_its_text_alike(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    def broken(_orders: object) -> None:
        raise ZeroDivisionError("MARKER")

    for house in pair.houses:
        monkeypatch.setattr(house.service.floor, "decide", broken)
    (answer,), said = pair.ask(plain(body(id="n2")))
    assert (answer.status, json.loads(answer.body)["code"], said) == (500, "internal-defect", YES)
    for house in pair.houses:
        assert (house.app.in_flight, house.app.bodies.held) == (0, 0)


def test_a_rate_that_is_used_up_is_told_alike_and_not_charged(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    for house in pair.houses:
        monkeypatch.setattr(house.app, "_spacing", dict.fromkeys(house.app._spacing, 10**12))
    (answer,), said = pair.ask(plain(body(id="n3")))
    assert (answer.status, json.loads(answer.body)["code"], said) == (429, "too-many-requests", NO)


def test_too_many_bodies_at_once_are_refused_alike(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    content = body(id="n4")
    for house in pair.houses:
        monkeypatch.setattr(house.app.bodies, "_held_max", len(content) - 1)
    (answer,), said = pair.ask(plain(content))
    assert (answer.status, json.loads(answer.body)["code"], said) == (503, "server-busy", NO)
    for house in pair.houses:
        monkeypatch.setattr(house.app.bodies, "_held_max", len(content))
    (answer,), said = pair.ask(plain(content, target=QUIET))
    assert (answer.status, said) == (200, YES)


def test_the_kill_switch_stops_both_ways_at_once(pair: Pair):
    for state in ("HALTED", "ACTIVE"):
        for house in pair.houses:
            told = {"scope": "firm", "state": state, "reason": "a test"}
            assert house.call("POST", "/v1/trading-state", told, by="risk_officer/rita").status_code == 200
        (answer,), said = pair.ask(plain(body(id=f"k-{state}"), target=QUIET))
        assert json.loads(answer.body)["outcome"] == ("reject" if state == "HALTED" else "approve")
        assert said == YES


def test_a_revoked_key_is_refused_at_once(pair: Pair):
    codes = []
    for house in pair.houses:
        text, record = house.service.access.keys.create(Role.SENIOR_TRADER, "gone", owner="gone")
        house.service.access.refresh()
        assert Wire(house).ask(request(str(text), body(id="v1"), target=QUIET)).status == 200
        house.service.access.keys.revoke(record.id)
        house.service.access.refresh()
        codes.append(json.loads(Wire(house).ask(request(str(text), body(id="v2"))).body)["code"])
    assert codes == ["key-revoked"] * 2


NAMES = st.sampled_from(["Accept", "User-Agent", "X-Odd", "x-odd-2", "Accept-Encoding", "X-Request-Id", "traceparent"])
VALUES = st.text(alphabet="abcXYZ019-_.,; \t", max_size=20)
EXTRA = st.lists(st.tuples(NAMES, VALUES), max_size=4)
CASES = st.sampled_from([str.lower, str.upper, str.title])


Drawn = tuple[str, list[tuple[str, str]], list[int]]


@st.composite
def requests(draw: st.DrawFn) -> Drawn:
    """A body, its headers in any order and case, and where the whole is cut into packets."""
    told = draw(
        st.one_of(
            st.builds(lambda q, s: body(id="h", quantity=q, side=s), st.sampled_from([1, 100, 101, 1000, 1001]), SIDES),
            st.sampled_from([b"{", b"[]", b'{"id":1}', b'{"id":"x","id":"x"}', b'"\\u0000"', b"1e5", b" {} "]),
        )
    ).decode()
    headers = [("content-length", str(len(told))), ("authorization", "Bearer KEY"), ("host", "x"), *draw(EXTRA)]
    cased = [(draw(CASES)(name), value) for name, value in draw(st.permutations(headers))]
    return told, cased, draw(st.lists(st.integers(0, 600), max_size=3))


SIDES = st.sampled_from(["buy", "sell"])


@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(requests(), st.integers(1, 3))
def test_whatever_order_case_or_packets_a_request_comes_in(pair: Pair, drawn: Drawn, times: int):
    """The same requests, several in a row on one connection, cut anywhere."""
    content, headers, cuts = drawn
    found = []
    for house in pair.houses:
        key = house.key("admin")
        lines = [f"{name}: {value.replace('KEY', key)}" for name, value in headers]
        whole = "\r\n".join([f"POST {QUIET} HTTP/1.1", *lines, "", content]).encode() * times
        places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
        pieces = [whole[a:b] for a, b in pairwise(places)]
        wire = Wire(house).feed(*pieces)
        found.append([_without_number(a) for a in wire.answers(times)])
    assert found[0] == found[1]


# ---- when, and in which order ---------------------------------------------------------------------


@pytest.fixture
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Taken]]:
    made = House(tmp_path_factory.mktemp("lone"), tick_s=3600.0).furnished()
    yield made, Taken(made)
    made.close()


class Held:
    """The ledger's writer stands before its commit until `release`."""

    def __init__(self, house: House) -> None:
        ledger = house.service.ledger
        assert ledger is not None
        self.begun = threading.Event()
        self.release = threading.Event()
        commit = ledger.around_commit

        def standing(records: int, write: Callable[[], None]) -> None:
            self.begun.set()
            assert self.release.wait(60)
            commit(records, write)

        ledger.around_commit = standing


def test_an_answer_leaves_only_after_its_commit_and_in_one_write(lone: tuple[House, Taken]):
    house, taken = lone
    held = Held(house)
    wire = Wire(house).feed(request(house.key("admin"), body(id="o1")))
    house.until(held.begun.is_set)
    house.until(lambda: taken.since() == YES)
    assert (wire.writes, bytes(wire.sent), house.app.in_flight) == (0, b"", 1)
    assert "o1" in house.service.floor.standing.working, "the next order is decided with this one working"
    held.release.set()
    assert wire.answers()[0].status == 200
    assert (wire.writes, house.app.in_flight) == (1, 0)


def test_who_follows_the_stream_hears_of_a_record_before_the_answer(lone: tuple[House, Taken]):
    house, _ = lone
    wire, heard = Wire(house), []
    house.service.journal.listeners.append(lambda record: heard.append((record.ref, wire.writes)))
    wire.ask(request(house.key("admin"), body(id="o1")))
    assert heard == [("o1", 0)]


def test_requests_one_behind_the_other_are_answered_in_turn(lone: tuple[House, Taken]):
    """The second one comes while the first is not answered: it waits, uvicorn's way."""
    house, taken = lone
    held = Held(house)
    key = house.key("admin")
    wire = Wire(house).feed(b"".join(request(key, body(id=f"o{n}"), target=QUIET) for n in range(3)))
    held.release.set()
    assert [json.loads(a.body)["orders"] for a in wire.answers(3)] == [["o0"], ["o1"], ["o2"]]
    assert taken.since() == YES
    assert wire.reading
    assert wire.ask(request(key, body(id="o3"), target=QUIET)).status == 200
    assert taken.since() == YES, "afterwards the connection is as any other"


def test_a_client_that_leaves_takes_no_record_with_it(lone: tuple[House, Taken]):
    house, _ = lone
    held = Held(house)
    gone, stays = Wire(house), Wire(house)
    gone.feed(request(house.key("admin"), body(id="o1"), target=QUIET))
    stays.feed(request(house.key("admin"), body(id="o2"), target=QUIET))
    gone.leave()
    held.release.set()
    assert stays.answers()[0].status == 200
    assert gone.sent == b""
    assert house.service.ledger is not None
    assert [r.ref for r in house.service.ledger.read(kind="decision")] == ["o1", "o2"]
    assert (house.app.in_flight, house.app.bodies.held) == (0, 0)


def test_one_answer_that_cannot_be_sent_does_not_keep_the_others(lone: tuple[House, Taken]):
    house, _ = lone
    held = Held(house)
    broken, whole = Wire(house), Wire(house)
    broken.write = None  # type: ignore[method-assign,assignment]
    for n, wire in enumerate((broken, whole)):
        wire.feed(request(house.key("admin"), body(id=f"o{n}"), target=QUIET))
    held.release.set()
    assert whole.answers()[0].status == 200
    assert broken.closed
    assert (house.app.in_flight, house.app.bodies.held) == (0, 0)


def test_a_failed_commit_is_503_for_everybody_who_waits_and_for_who_comes_later(lone: tuple[House, Taken]):
    house, taken = lone
    held = Held(house)
    key = house.key("admin")
    with Outage(house):
        wires = [Wire(house).feed(request(key, body(id=f"o{n}"), target=QUIET)) for n in range(3)]
        held.release.set()
        answers = [wire.answers()[0] for wire in wires] + [Wire(house).ask(request(key, body(id="o9")))]
        assert {(a.status, json.loads(a.body)["code"]) for a in answers} == {(503, "ledger-unavailable")}
        assert taken.since() == YES * 4
        assert house.app.in_flight == 0
    house.until(lambda: not house.service.journal.down)
    assert Wire(house).ask(request(key, body(id="o10"))).status == 200


def test_a_server_that_stops_answers_first_and_then_ends_the_connection(lone: tuple[House, Taken]):
    house, _ = lone
    held = Held(house)
    waiting, idle = Wire(house), Wire(house)
    waiting.feed(request(house.key("admin"), body(id="o1"), target=QUIET))
    idle.protocol.shutdown()
    waiting.protocol.shutdown()
    assert (idle.closed, waiting.closed) == (True, False)
    held.release.set()
    (answer,) = waiting.answers()
    assert (answer.status, answer.header("connection"), waiting.closed) == (200, "close", True)


@pytest.mark.parametrize("stopping", [False, True])
def test_a_body_that_is_late_is_waited_for_by_the_app(lone: tuple[House, Taken], stopping: bool):
    """Also when the server stops between head and body: the request has begun, so it is answered."""
    house, taken = lone
    whole = request(house.key("admin"), body(id="o1"), target=QUIET)
    head, _, content = whole.partition(b"\r\n\r\n")
    wire = Wire(house).feed(head + b"\r\n\r\n", content[:10])
    if stopping:
        house.run(_shut(wire))
    else:
        house.until(lambda: house.app.in_flight == 1)
    assert wire.ask(content[10:]).status == 200
    assert taken.since() == NOT_ASKED
    assert wire.closed == stopping


async def _shut(wire: Wire) -> None:
    wire.protocol.shutdown()


def test_a_body_in_the_next_packet_is_plain_all_the_same(lone: tuple[House, Taken], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(express, "BODY_WAIT_S", 60.0)  # however busy this machine is
    house, taken = lone
    whole = request(house.key("admin"), body(id="o1"), target=QUIET)
    head, _, content = whole.partition(b"\r\n\r\n")
    wire = Wire(house)
    assert wire.ask(head[:50], head[50:] + b"\r\n\r\n", content[:7], content[7:]).status == 200
    assert taken.since() == YES
    assert wire.protocol._body_timer is None


def test_a_client_that_leaves_between_head_and_body_leaves_nothing(lone: tuple[House, Taken]):
    house, taken = lone
    head, _, _ = request(house.key("admin"), body(id="o1")).partition(b"\r\n\r\n")
    wire = Wire(house).feed(head + b"\r\n\r\n{")
    wire.leave()
    assert wire.protocol._body_timer is None
    assert (taken.since(), house.app.in_flight, house.app.bodies.held) == ([], 0, 0)


def test_over_tls_and_while_the_client_does_not_read_the_ordinary_way_is_taken(lone: tuple[House, Taken]):
    house, taken = lone
    asked = request(house.key("admin"), body(id="o1"), target=QUIET)
    secure = Wire(house, scheme="https").ask(asked)
    assert secure.header("strict-transport-security")
    wire = Wire(house)
    wire.protocol.pause_writing()
    wire.feed(asked)
    house.until(lambda: house.service.ledger is not None and house.service.ledger.committed > 4)
    wire.protocol.resume_writing()
    assert wire.answers()[0].status == 200
    assert taken.since() == NOT_ASKED
    assert Wire(house).ask(asked).status == 200
    assert taken.since() == YES


def test_with_too_many_connections_the_server_says_so_itself(lone: tuple[House, Taken]):
    house, taken = lone
    wire = Wire(house)
    wire.protocol.limit_concurrency = 1
    assert wire.ask(request(house.key("admin"), body(id="o1"))).status == 503
    assert taken.since() == NOT_ASKED


def test_without_a_ledger_the_answer_is_there_at_once(tmp_path_factory: pytest.TempPathFactory):
    house = House(tmp_path_factory.mktemp("off"), ledger="off")
    try:
        house.furnished()
        taken = Taken(house)
        wire = Wire(house).feed(*(request(house.key("admin"), body(id=f"o{n}"), target=QUIET) for n in range(2)))
        assert [a.status for a in wire.answers(2)] == [200, 200]
        assert taken.since() == YES * 2
    finally:
        house.close()


def test_traces_are_kept_alike(lone: tuple[House, Taken], monkeypatch: pytest.MonkeyPatch):
    house, taken = lone
    seen = []
    monkeypatch.setattr(house.service.traces, "on", True, raising=False)
    monkeypatch.setattr(
        house.service.traces, "check", lambda identifier, **told: seen.append((identifier, told)), raising=False
    )
    monkeypatch.setattr(house.service.traces, "commit", lambda *_told: None, raising=False)
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    answers = []
    for express_ in (house.app.express, None):
        house.app.express = express_
        asked = request(house.key("admin"), body(id="o1"), f"traceparent: {parent}", target=QUIET)
        answers.append(json.loads(Wire(house).ask(asked).body))
    assert taken.since() == YES
    assert [identifier for identifier, _ in seen] == [a["id"] for a in answers]
    assert [{k: v for k, v in told.items() if k != "times"} for _, told in seen] == [
        {"outcome": "approve", "reason": "", "rule": "", "parent": parent}
    ] * 2


def test_the_date_is_that_of_the_answer_and_nothing_of_a_request_is_kept(lone: tuple[House, Taken]):
    """The server changes its date every second; a connection that rests holds no body."""
    house, _ = lone
    wire = Wire(house)
    for date in (b"Mon, 15 Jun 2026 12:00:00 GMT", b"Mon, 15 Jun 2026 12:00:01 GMT"):
        wire.state.default_headers = [(b"date", date)]
        answer = wire.ask(request(house.key("admin"), body(id="o1"), target=QUIET))
        assert answer.headers[0] == ("date", date.decode())
        assert (wire.protocol.cycle.body, wire.protocol._body) == (b"", b"")


def test_the_plain_targets_are_the_path_with_and_without_its_one_question():
    assert {t.decode(): r for t, r in RESERVING.items()} == {PATH: True, QUIET: False, PATH + "?reserve=true": True}


def test_a_reserved_answer_uses_up_what_is_left(lone: tuple[House, Taken]):
    """Cumulative, as over the ordinary way: 500 shares at 100 are half of 100,000."""
    house, taken = lone
    snapshot(house)
    wire = Wire(house)
    key = house.key("admin")
    outcomes = [json.loads(wire.ask(request(key, body(id=f"n{n}", quantity=100))).body)["outcome"] for n in range(6)]
    assert outcomes == ["approve"] * 5 + ["reject"]
    assert taken.since() == YES * 6
