"""The client when calls fail: what it sends again and what never, how long it waits, and what it raises."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from zlib import crc32

import httpx
import msgspec
import pytest

from lexorder.api.client import AsyncClient, Call, Client, ServiceError, UnreachableError, calls, risk
from lexorder.api.client_calls import LONGEST_S
from lexorder.api.client_stream import TRIES
from lexorder.engine.errors import UsageError
from tests.faults.served import PATIENCE_S, Served, body_of
from tests.worlds import order

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]
Send = Callable[[Handler, Call[Any]], Any]

REPEATABLE = calls.check_order(order(), key="k")
ONCE = calls.check_order(order())
"""May be sent again, and may not."""

APPROVED = {"outcome": "approve", "account": "A", "orders": ["x"], "time": "2026-06-15T12:00:00-04:00"}


def waiting(handler: Handler, call: Call[T]) -> T:
    """The answer to `call` from a service that is `handler`, by the client that waits."""
    with Client("http://desk", "lx_k", transport=httpx.MockTransport(handler), direct=False, timeout_s=7) as client:
        return client.send(call)


def awaited(handler: Handler, call: Call[T]) -> T:
    """The same by the one that is awaited."""

    async def sent() -> T:
        client = AsyncClient("http://desk", "lx_k", transport=httpx.MockTransport(handler), timeout_s=7)
        try:
            return await client.send(call)
        finally:
            await client.close()

    return asyncio.run(sent())


@pytest.fixture(params=[waiting, awaited])
def send(request: pytest.FixtureRequest) -> Send:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the clients make, which take no time."""
    found: list[float] = []

    async def pause(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("lexorder.api.client.time.sleep", found.append)
    monkeypatch.setattr("lexorder.api.client.asyncio.sleep", pause)
    return found


class Script:
    """A service that answers from a list, and at last approves; what it was sent is kept."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else httpx.Response(200, json=APPROVED)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    document = {"type": f"/problems/{code}", "title": "T", "status": status, "code": code, "detail": "words"}
    told = {"content-type": "application/problem+json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.Response(status, content=json.dumps(document), headers=told)


# ---- again, or not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
def test_a_check_with_a_key_is_sent_again_word_for_word(send, slept, broken):
    script = Script(broken, broken)
    assert send(script, REPEATABLE).approved
    assert len(script.asked) == 3
    assert len({(r.content, r.headers["idempotency-key"], str(r.url)) for r in script.asked}) == 1
    assert slept == [0.1, 0.2]


@pytest.mark.parametrize("call", [ONCE, calls.check_batch([order()]), risk.create_limit({}), calls.rebalance("A", "T")])
def test_what_may_not_be_repeated_is_sent_once_when_nobody_answers(send, slept, call):
    script = Script(httpx.ReadTimeout("lost"), httpx.ReadTimeout("lost"))
    with pytest.raises(UnreachableError, match="ReadTimeout"):
        send(script, call)
    assert (len(script.asked), slept) == (1, [])


def test_somebody_who_never_answers_is_asked_a_few_times_and_no_more(send, slept):
    script = Script(*(httpx.ConnectError("x") for _ in range(20)))
    with pytest.raises(UnreachableError):
        send(script, REPEATABLE)
    assert len(script.asked) == TRIES
    assert slept == [0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    ("answer", "call", "times"),
    [
        (problem(503, "not-ready"), ONCE, 2),
        (problem(503, "keys-unreadable"), ONCE, 2),
        (problem(429, "rate-exceeded"), ONCE, 2),
        (problem(503, "shard-unavailable"), ONCE, 1),  # one worker may have taken its part
        (problem(503, "ledger-unavailable"), ONCE, 1),  # the record may be there
        (httpx.Response(503, content=b"<html>a proxy's</html>"), ONCE, 1),
        (problem(503, "shard-unavailable"), REPEATABLE, 2),
        (problem(503, "ledger-unavailable"), REPEATABLE, 2),
        (httpx.Response(503, content=b""), REPEATABLE, 2),
        (problem(409, "idempotency-key-reused"), REPEATABLE, 1),
        (problem(500, "internal-defect"), REPEATABLE, 1),
        (problem(422, "wrong-shape"), REPEATABLE, 1),
    ],
)
def test_a_refusal_is_tried_again_only_where_that_does_no_more_than_once(send, slept, answer, call, times):
    script = Script(answer)
    if times == 2:
        assert send(script, call).approved
    else:
        with pytest.raises(ServiceError) as refused:
            send(script, call)
        assert refused.value.status == answer.status_code
    assert len(script.asked) == times
    assert len(slept) == times - 1


def test_a_service_that_stays_busy_is_told_of_with_its_own_words(send, slept):
    script = Script(*(problem(503, "not-ready") for _ in range(20)))
    with pytest.raises(ServiceError) as refused:
        send(script, REPEATABLE)
    assert (refused.value.status, refused.value.code, refused.value.detail) == (503, "not-ready", "words")
    assert len(script.asked) == TRIES
    assert len(slept) == TRIES - 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("0", 0.0), ("2", 2.0), ("30", 30.0), ("31", 30.0), ("999999", 30.0), ("-1", 0.1), ("soon", 0.1), ("", 0.1)],
)
def test_the_service_says_how_long_to_wait_within_reason(send, slept, asked, waited):
    send(Script(problem(429, "rate-exceeded", retry_after=asked)), ONCE)
    assert slept == [waited]


def test_a_number_in_no_ascii_is_no_time_to_wait(send, slept):
    answer = httpx.Response(429, headers=[(b"retry-after", "²".encode("latin-1"))], content=b"{}")
    send(Script(answer), ONCE)
    assert slept == [0.1]


# ---- what is raised ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[1]", b"null", b'"text"', b"\xff\xfe", b'{"outcome": 1}', b'{"outcome": "approve"}']
)
def test_an_answer_that_is_no_decision_approves_nothing(send, content):
    with pytest.raises(ServiceError) as refused:
        send(lambda _request: httpx.Response(200, content=content), REPEATABLE)
    assert (refused.value.status, refused.value.code) == (200, "unreadable-answer")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "http-502"),
        (b"<html>Bad Gateway</html>", "http-502"),
        (b"\xff", "http-502"),
        (b"[]", "http-502"),
        (b'"code"', "http-502"),
        (b'{"detail": "no code"}', "http-502"),
        (b'{"code": "from-a-sister", "title": "T"}', "from-a-sister"),
    ],
)
def test_a_refusal_that_is_not_the_services_has_a_code_all_the_same(send, content, code):
    with pytest.raises(ServiceError) as refused:
        send(lambda _request: httpx.Response(502, content=content), REPEATABLE)
    assert (refused.value.status, refused.value.code) == (502, code)


def test_members_the_client_does_not_know_do_not_matter(send):
    newer = {**APPROVED, "colour": "blue", "recorded": {"shard": 0, "seq": 1, "more": 2}}
    assert send(lambda _request: httpx.Response(200, json=newer), REPEATABLE).approved


# ---- where and how long ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "read_s"),
    [(REPEATABLE, 7), (calls.rebalance("A", "T"), LONGEST_S), (risk.test_rulebook("x"), LONGEST_S), (risk.keys(), 7)],
)
def test_a_call_that_is_slow_by_nature_has_more_time(send, call, read_s):
    script = Script(problem(404, "unknown-thing"))
    with pytest.raises(ServiceError):
        send(script, call)
    (request,) = script.asked
    told = request.extensions["timeout"]
    assert (told["read"], told["connect"], told["write"]) == (read_s, 7, 7)


def sharded(count: int, asked: list[httpx.Request]) -> Handler:
    """A service of `count` workers that notes where it was asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path == "/v1/shards":
            return httpx.Response(200, json={"shards": [{"shard": k, "port": 9001 + k} for k in range(count)]})
        return httpx.Response(200, json=APPROVED)

    return answer


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_an_order_goes_to_the_worker_that_owns_its_account(count):
    asked: list[httpx.Request] = []
    with Client("http://desk:9000/", "k", transport=httpx.MockTransport(sharded(count, asked))) as client:
        for n in range(50):
            client.check(order(account=f"ACC-{n}"))
        client.send(risk.keys())  # about no account: whoever is asked
    first, *orders, last = asked
    expected = [9001 + crc32(f"ACC-{n}".encode()) % count for n in range(50)] if count > 1 else [9000] * 50
    assert [r.url.port for r in orders] == expected
    assert {first.url.port, last.url.port} == {9000}


def test_a_stream_of_several_workers_needs_the_name_of_one():
    with Client("http://desk:9000", "k", transport=httpx.MockTransport(sharded(3, []))) as client:
        with pytest.raises(UsageError, match="shard-needed"):
            next(client.stream())
        assert client.door(2) == "ws://desk:9003/v1/stream"


def test_a_client_that_is_not_let_in_leaves_no_connection_open():
    closed: list[bool] = []

    class Transport(httpx.MockTransport):
        def close(self) -> None:
            closed.append(True)

    transport = Transport(lambda _request: problem(401, "bad-credentials"))
    with pytest.raises(ServiceError, match="bad-credentials"):
        Client("http://desk", "k", transport=transport)
    assert closed == [True]


# ---- against a running service -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(running: Served) -> Iterator[Client]:
    with Client(running.address, running.key, timeout_s=PATIENCE_S) as made:
        yield made


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (calls.check_order({}), 422, "missing-key"),
        (calls.check_order(order(quantity="1.5")), 422, None),
        (calls.check_order(order(colour="blue")), 422, "unknown-name"),
        (calls.get_rebalance("r-none"), 404, "unknown-rebalance"),
        (risk.decision("0-999999999"), 404, None),
        (risk.decision("nonsense"), 404, None),
        (risk.approve_limit("none"), 403, None),
        (calls.rebalance("nobody", "T", wait=True), 404, "unknown-account"),
        (risk.revoke_key("none"), 404, None),
        (calls.tell_prices("e" * 200, []), 422, None),
        (calls.accounts(limit=0), 422, None),
    ],
)
def test_what_a_service_refuses_is_raised_as_it_says(running, desk, call, status, code):
    with pytest.raises(ServiceError) as refused:
        desk.send(call)
    plain = running.call(call.method, call.path, call.body) if not call.query else None
    assert refused.value.status == status
    if plain is not None:
        assert (plain.status_code, plain.json()["code"]) == (refused.value.status, refused.value.code)
    if code is not None:
        assert refused.value.code == code


@pytest.mark.parametrize("key", ["", " ", "lx_1\nx: y", "lx_ä"])
def test_a_key_that_is_none_is_never_sent(key):
    with pytest.raises(UsageError, match="bad-key"):
        Client("http://desk", key, transport=httpx.MockTransport(lambda _request: httpx.Response(200)))


@pytest.mark.parametrize("key", ["lx_none_0", "Bearer", "lx_" + "0" * 64])
def test_a_key_that_opens_nothing_is_an_error_of_its_own(running, key):
    with pytest.raises(ServiceError) as refused:
        Client(running.address, key)
    assert refused.value.status == 401


def test_nobody_there_is_unreachable(slept):
    with pytest.raises(UnreachableError, match="ConnectError"):
        Client("http://127.0.0.1:9", "lx_k")  # the port of `discard`, which nobody serves
    assert len(slept) == TRIES - 1


def test_a_service_that_stands_still_decides_each_order_once(running, desk):
    """It hears the order, and the caller gives up; asked again with the same key it has decided once."""
    assert running.process is not None
    asked = calls.check_order(order(quantity=10, id="still", account="A2"), key="still")
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        with (
            Client(running.address, running.key, timeout_s=0.2, direct=False) as hasty,
            pytest.raises(UnreachableError, match="Timeout"),
        ):
            hasty.send(asked)
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    decision = desk.send(asked)
    assert decision.approved
    again = desk.send(asked)
    assert again.replayed
    assert msgspec.structs.replace(again, replayed=decision.replayed) == decision
    found = [r for r in running.records(kind="decision") if r.ref == "still"]
    assert [r.seq for r in found] == [decision.recorded.seq]
    assert running.working()["still"] == "10"


def test_orders_sent_while_the_service_is_killed_are_decided_once_each(running):
    """SIGKILL under a client that repeats: whatever it says at last is what the ledger says, once."""
    told: dict[str, Any] = {}
    failed: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with Client(running.address, running.key, timeout_s=PATIENCE_S) as client:
            for n in range(10_000):
                if stop.is_set():
                    return
                name = f"kill-{n}"
                while name not in told:
                    try:
                        told[name] = client.check(order(id=name, account="A3"), reserve=False, key=name)
                    except (UnreachableError, ServiceError):  # the new one takes longer than the client's patience
                        failed.append(name)
                        time.sleep(0.2)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(2):
        time.sleep(random.uniform(0.2, 0.5))
        running.kill()
        running.start()
    time.sleep(0.3)
    stop.set()
    sender.join(PATIENCE_S)
    recorded = {r.ref: body_of(r) for r in running.records(kind="decision") if r.ref.startswith("kill-")}
    count = sum(r.ref.startswith("kill-") for r in running.records(kind="decision"))
    assert count == len(recorded) == len(told) > 0, "one record each"
    for name, decision in told.items():
        assert recorded[name]["decision"]["hash"] == decision.hash
