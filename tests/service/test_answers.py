"""What goes out message by message: every sequence an app may send, with a key that is good until some message.

The rule is told again here in a few lines: what a caller gets is a beginning of what the app sent, closed, and nothing
that was sent after its key had ended.
"""

from __future__ import annotations

import asyncio
import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexorder.api.service.answers import Answer, Ended, StreamGate
from lexorder.api.service.principal import Principal
from lexorder.api.service.problems import Problem
from lexorder.api.service.roles import Role, Scope

WHO = Principal("key:a", Role.OBSERVER, None, frozenset({Scope.READ}), None, "ann", "key", "a")
Message = dict[str, Any]


class Doorkeeper:
    """Access that lets somebody in so many times more."""

    def __init__(self, looks: int | None) -> None:
        self.looks = looks

    def current(self, principal: Principal) -> bool:
        assert principal is WHO
        if self.looks is None:
            return True
        self.looks -= 1
        return self.looks >= 0


def scope(path: str = "/v1/feeds", **more: Any) -> Message:
    return {"path": path, "scheme": "http", "request_id": "r1", **more}


class Sent:
    """What reached the server."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(dict(message))


def answer_of(messages: list[Message], looks: int | None, **more: Any) -> tuple[Answer, list[Message], bool]:
    """Let an app send these: the answer, what reached the server, whether the app was ended."""
    sent = Sent()
    answer = Answer(sent, scope(**more))
    if looks is not None:
        answer.watch(Doorkeeper(looks), WHO)  # type: ignore[arg-type]

    async def app() -> bool:
        for message in messages:
            try:
                await answer(dict(message))
            except Ended:
                return True
        return False

    return answer, sent.messages, asyncio.run(app())


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(text: str, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


# ---- one answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 404, 503])
def test_an_answer_of_one_piece_goes_out_whole_whatever_became_of_the_key(status: int):
    """It was decided while the key was good."""
    answer, sent, ended = answer_of([start(status), body("all", more=False)], looks=0)
    assert [m.get("body") for m in sent] == [None, b"all"]
    assert (answer.status, answer.started, answer.complete, ended) == (status, True, True, False)


@settings(max_examples=100, deadline=None)
@given(pieces=st.integers(0, 6), looks=st.integers(0, 8))
def test_a_long_answer_is_cut_before_the_first_piece_after_its_key_ended(pieces: int, looks: int):
    parts = [body(f"p{n}", more=True) for n in range(pieces)]
    answer, sent, ended = answer_of([start(), *parts, body("", more=False)], looks)
    told = [m["body"] for m in sent[1:]]
    assert told[:-1] == [f"p{n}".encode() for n in range(min(pieces, looks))]
    assert told[-1] == b""
    assert [bool(m.get("more_body")) for m in sent[1:]] == [True] * (len(told) - 1) + [False]
    assert ended == (pieces > looks)
    assert answer.complete


def test_an_answer_that_nobody_watches_is_never_cut():
    _, sent, ended = answer_of([start(), *(body("p", more=True) for _ in range(5))], looks=None)
    assert len(sent) == 6
    assert not ended


def test_an_answer_that_only_began_is_not_complete():
    answer, _, _ = answer_of([start(), body("p", more=True)], looks=9)
    assert (answer.started, answer.complete) == (True, False)
    untouched, _, _ = answer_of([], looks=9)
    assert (untouched.started, untouched.complete, untouched.status) == (False, False, 0)


# ---- headers -------------------------------------------------------------------------------------------

ALWAYS = {b"x-content-type-options": b"nosniff", b"cache-control": b"no-store", b"x-request-id": b"r1"}
PAGES = [
    ("/docs", "style-src 'unsafe-inline'"),
    ("/v1/rebalances/1/report", "style-src 'unsafe-inline'"),
    ("/v1/feeds", None),
    ("/docs/", None),
    ("/report/x", None),
    ("/", None),
]


@pytest.mark.parametrize(("path", "policy"), PAGES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_answer_has_the_headers_of_the_house_and_pages_their_policy(path: str, policy: str | None, scheme: str):
    own = (b"content-type", b"text/plain")
    _, sent, _ = answer_of([start(200, own), body("", more=False)], looks=1, path=path, scheme=scheme)
    pairs = sent[0]["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    assert len(headers) == len(pairs), "none twice"
    assert pairs[0] == own
    assert headers.items() >= ALWAYS.items()
    assert (b"strict-transport-security" in headers) == (scheme == "https")
    told = headers.get(b"content-security-policy", b"")
    if policy is None:
        assert told == b""
        assert b"referrer-policy" not in headers
    else:
        assert policy.encode() in told
        assert told.startswith(b"default-src 'none'")
        assert b"frame-ancestors 'none'" in told
        assert headers[b"referrer-policy"] == b"no-referrer"


def test_a_request_without_an_id_or_headers_of_its_own_is_answered_all_the_same():
    sent = Sent()
    bare = {"path": "/x"}
    asyncio.run(_first(Answer(sent, bare), {"type": "http.response.start", "status": 204}))
    assert dict(sent.messages[0]["headers"])[b"x-request-id"] == b""


async def _first(answer: Answer, message: Message) -> None:
    await answer(message)


# ---- streams -------------------------------------------------------------------------------------------

ACCEPT, CLOSE = {"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}


def text(n: int) -> Message:
    return {"type": "websocket.send", "text": f"t{n}"}


def stream_of(
    messages: list[Message], looks: int | None, *, denial: bool = True
) -> tuple[list[Message], StreamGate, int]:
    """Let an app send these through a gate: what reached the server, the gate, at which message the app was ended."""
    sent = Sent()
    gate = StreamGate(sent, scope(extensions={"websocket.http.response": {}} if denial else {}))
    if looks is not None:
        gate.watch(Doorkeeper(looks), WHO)  # type: ignore[arg-type]

    async def app() -> int:
        for number, message in enumerate(messages):
            try:
                await gate(dict(message))
            except Ended:
                return number
        return len(messages)

    return sent.messages, gate, asyncio.run(app())


@settings(max_examples=100, deadline=None)
@given(texts=st.integers(0, 6), looks=st.integers(0, 8))
def test_a_stream_tells_nothing_after_its_key_ended(texts: int, looks: int):
    messages = [ACCEPT, *(text(n) for n in range(texts)), CLOSE]
    sent, gate, ended_at = stream_of(messages, looks)
    assert [m["text"] for m in sent if m["type"] == "websocket.send"] == [f"t{n}" for n in range(min(texts, looks))]
    assert sent[-1] == (CLOSE if looks >= texts else {"type": "websocket.close", "code": 1008, "reason": "not-welcome"})
    assert [m["type"] for m in sent].count("websocket.close") == 1
    assert gate.ended
    assert ended_at == (len(messages) if looks >= texts else looks + 1)


def test_a_stream_whose_reader_nobody_named_tells_nothing():
    sent, _, _ = stream_of([ACCEPT, text(1)], looks=None)
    assert [m["type"] for m in sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize("last", [CLOSE, {"type": "websocket.http.response.body", "body": b""}])
@pytest.mark.parametrize("after", [ACCEPT, text(1), CLOSE])
def test_after_the_end_of_a_stream_the_app_is_ended(last: Message, after: Message):
    sent, _, ended_at = stream_of([ACCEPT, last, after], looks=9)
    assert len(sent) == 2
    assert ended_at == 2


def refused(status: int, *, accepted: bool, denial: bool, ended: bool = False) -> list[Message]:
    """What a refusal of a stream sends."""
    sent = Sent()
    gate = StreamGate(sent, scope(extensions={"websocket.http.response": {}} if denial else None))

    async def run() -> None:
        gate.watch(Doorkeeper(9), WHO)  # type: ignore[arg-type]
        if accepted:
            await gate(dict(ACCEPT))
        if ended:
            await gate(dict(CLOSE))
        sent.messages.clear()
        await gate.refuse(Problem(status, "some-code", "words", extra=1), "r7")
        with pytest.raises(Ended):
            await gate(text(1))

    asyncio.run(run())
    return sent.messages


@pytest.mark.parametrize(
    ("status", "accepted", "denial"), list(product((401, 403, 422, 429, 500, 503), (False, True), (False, True)))
)
def test_a_refused_stream_ends_with_a_document_where_it_can_and_with_a_code_elsewhere(
    status: int, *, accepted: bool, denial: bool
):
    sent = refused(status, accepted=accepted, denial=denial)
    if accepted or not denial:
        assert sent == [{"type": "websocket.close", "code": 1011 if status >= 500 else 1008, "reason": "some-code"}]
        return
    first, second = sent
    told, headers = json.loads(second["body"]), dict(first["headers"])
    assert (first["type"], first["status"]) == ("websocket.http.response.start", status)
    assert second["type"] == "websocket.http.response.body"
    assert (told["code"], told["status"], told["instance"], told["extra"]) == ("some-code", status, "r7", 1)
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(second["body"])
    assert headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize("denial", [False, True])
def test_a_stream_that_has_ended_is_not_refused_once_more(*, denial: bool):
    assert refused(403, accepted=True, denial=denial, ended=True) == []
