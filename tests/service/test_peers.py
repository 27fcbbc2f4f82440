"""What one worker asks another over its socket: passed on as it came, answered as it was, or 503."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lexorder.api.service.peers import DROPPED, PASSED, Answer, Peers, socket_of
from lexorder.api.service.problems import Problem
from tests.service.neighbours import Neighbour


def scope(method: str = "POST", path: str = "/v1/kill", query: bytes = b"", **parts: Any) -> dict[str, Any]:
    """A request as a server hands it over."""
    headers = [
        (b"authorization", b"Bearer lx_key"),
        (b"content-type", b"application/json"),
        (b"idempotency-key", b"k-1"),
        (b"x-request-id", b"r-1"),
        (b"cookie", b"secret"),
        (b"host", b"evil"),
        (b"content-length", b"999"),
        (b"x-forwarded-for", b"1.2.3.4"),
    ]
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers, **parts}


def with_peers(folder: Path, work: Callable[[Peers], Awaitable[Any]], count: int = 2) -> Any:
    """Do something as worker 0."""

    async def done() -> Any:
        peers = Peers(folder, 0, count)
        try:
            return await work(peers)
        finally:
            await peers.close()

    return asyncio.run(done())


def code_of(folder: Path, work: Callable[[Peers], Awaitable[Any]]) -> tuple[int, str]:
    """With what it is refused."""
    with pytest.raises(Problem) as refused:
        with_peers(folder, work)
    return refused.value.status, refused.value.code


def test_a_request_goes_on_with_its_credentials_and_nothing_that_is_not_for_the_other(tmp_path):
    with Neighbour(tmp_path, 1, lambda _scope, _body: (200, {"ok": True})) as other:
        answer = with_peers(
            tmp_path, lambda peers: peers.ask(1, scope(query=b"reserve=false&x=%C3%A9", body=b'{"a":1}'))
        )
    (asked,) = other.asked
    assert (asked["method"], asked["path"], asked["body"]) == ("POST", "/v1/kill?reserve=false&x=%C3%A9", b'{"a":1}')
    assert asked["headers"]["authorization"] == "Bearer lx_key"
    passed = {name.encode() for name in asked["headers"]} - {b"host", b"content-length", b"connection"}
    assert passed - {b"accept-encoding", b"user-agent", b"accept"} == PASSED - {b"accept"}
    assert "cookie" not in asked["headers"]
    assert asked["headers"]["content-length"] == "7", "the length of what is sent, not of what was said"
    assert (answer.status, json.loads(answer.body)) == (200, {"ok": True})


@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 422, 500, 503])
def test_an_answer_is_given_on_as_it_was(tmp_path, status):
    with Neighbour(tmp_path, 1, lambda _scope, _body: (status, {"code": "theirs"})):
        answer = with_peers(tmp_path, lambda peers: peers.ask(1, scope()))
    assert (answer.status, json.loads(answer.body)) == (status, {"code": "theirs"})
    names = {name.decode() for name, _ in answer.headers}
    assert "x-own" in names
    assert not names & DROPPED, "these are said anew by the worker that answers"


def test_another_body_can_be_sent_in_place_of_the_callers(tmp_path):
    with Neighbour(tmp_path, 1, lambda _scope, body: (200, json.loads(body))):
        answer = with_peers(tmp_path, lambda peers: peers.ask(1, scope(body=b"[1]"), b"[2]"))
    assert json.loads(answer.body) == [2]


@pytest.mark.parametrize("what", ["ask", "stream"])
def test_a_worker_that_is_not_there_is_503_and_named(tmp_path, what):
    async def never(_message: Any) -> None:
        raise AssertionError("nothing may be said before the other answers")

    def work(peers: Peers) -> Awaitable[Any]:
        return peers.ask(1, scope()) if what == "ask" else peers.stream(1, scope(), never)

    assert code_of(tmp_path, work) == (503, "shard-unavailable")
    place = socket_of(tmp_path, 1)
    place.parent.mkdir()
    place.write_text("no socket")
    assert code_of(tmp_path, work) == (503, "shard-unavailable")


def test_a_stream_is_handed_on_piece_by_piece_and_ended(tmp_path):
    pieces = [b"event: progress\n\n", b"event: result\n\n"]
    said: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        said.append(message)

    with Neighbour(tmp_path, 1, lambda _scope, _body: (200, pieces)):
        with_peers(tmp_path, lambda peers: peers.stream(1, scope("GET", "/v1/rebalances/r/events"), send))
    assert said[0]["status"] == 200
    assert dict(said[0]["headers"])[b"content-type"] == b"text/event-stream"
    assert b"".join(message["body"] for message in said[1:]) == b"".join(pieces)
    assert [message.get("more_body", False) for message in said[1:]] == [True] * (len(said) - 2) + [False]


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [(200, {"shard": 1}, {"shard": 1}), (503, {"shard": 1}, None), (200, [b"no json"], None), (404, {}, None)],
)
def test_what_a_worker_says_of_itself_is_heard_or_passed_by(tmp_path, status, answer, expected):
    with Neighbour(tmp_path, 1, lambda _scope, _body: (status, answer)) as other:
        assert with_peers(tmp_path, lambda peers: peers.state(1)) == expected
    assert other.asked[0]["path"] == "/peer/state"


def test_nobody_there_says_nothing(tmp_path):
    assert with_peers(tmp_path, lambda peers: peers.state(1)) is None


def test_a_worker_does_not_ask_itself(tmp_path):
    async def asked(peers: Peers) -> list[int]:
        return sorted(peers.clients)

    for count in (1, 2, 5):
        assert with_peers(tmp_path, asked, count) == list(range(1, count))


def test_sockets_are_for_this_user_alone_by_their_folder(tmp_path):
    assert socket_of(tmp_path, 3) == tmp_path / "peers" / "shard-3.sock"
    folder = socket_of(tmp_path, 3).parent
    folder.mkdir(mode=0o700)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_answer_that_is_held_back_is_what_the_application_said():
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"4"), (b"x-a", b"b")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        for part, more in ((b"ab", True), (b"cd", True), (b"", False)):
            await send({"type": "http.response.body", "body": part, "more_body": more})

    async def held() -> tuple[Answer, list[Any]]:
        answer = await Answer.of(app, {}, None)  # type: ignore[arg-type]
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        await answer.send(send)
        return answer, said

    answer, said = asyncio.run(held())
    assert (answer.status, answer.body, answer.headers) == (201, b"abcd", ((b"x-a", b"b"),))
    assert said[0]["headers"] == [(b"x-a", b"b"), (b"content-length", b"4")]
    assert said[1]["body"] == b"abcd"


def test_an_application_that_says_nothing_is_a_500():
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    assert asyncio.run(Answer.of(app, {}, None)).status == 500  # type: ignore[arg-type]
